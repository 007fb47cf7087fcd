"""How large each layer's gradient was over a whole run: rows of layers, columns of steps, few enough to be seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from explainer import flow
from explainer.errors import TraceError
from explainer.thinning import bins, layer_groups

if TYPE_CHECKING:
    from explainer.trace import Trace

Floats = npt.NDArray[np.float64]

_COLUMNS, _ROWS = 300, 200


@dataclass(frozen=True)
class History:
    """The size of the gradient at each layer, over the steps of a run.

    Attributes:
        names: Of the rows: layers in forward order, or groups of layers.
        edges: (column + 1,) the recorded step at which each column begins, and the last one's end.
        sizes: (row, column) the largest that is a finite number; NaN where there is none.
        nonfinite: (row, column) whether some value of the gradient was infinite or NaN.
        missing: Layer → why no step has a gradient of it.
        steps_each: How many recorded steps a column holds, at most; `layers_each` how many layers a row.
    """

    names: tuple[str, ...]
    edges: Floats
    sizes: Floats
    nonfinite: npt.NDArray[np.bool_]
    missing: dict[str, str]
    steps_each: int = 1
    layers_each: int = 1


def gradient_history(trace: Trace, measure: str = "norm") -> History:
    """Return how large the gradient was at each layer's output, over all recorded steps.

    Of several steps or layers that share a place the largest stands there, so that no peak is lost.

    Args:
        measure: "norm", "mean" of the absolute values, or "max" of them.

    Raises:
        TraceError: There is no such measure, no step was recorded, or no layer has a gradient at any.
    """
    if not len(trace):
        raise TraceError(f"the trace holds no step: {trace.missing.get('loss', 'nothing was recorded')}")
    sizes, lost = flow.gradient_sizes(trace, measure), flow.gradient_nonfinite(trace)
    missing = {
        layer: trace.missing.get(layer, "no gradient was seen")
        for layer, counts in zip(trace.layers, lost, strict=True)
        if np.isnan(counts).all()
    }
    if len(missing) == len(trace.layers):
        reasons = ", ".join(dict.fromkeys(missing.values())) or "no layer was recorded"
        raise TraceError(f"no gradient was recorded at any step: {reasons}")
    parts, groups = bins(len(trace), _COLUMNS), layer_groups(trace.layers, _ROWS)
    finite = np.where(np.isfinite(sizes), sizes, np.nan)
    broken = np.nan_to_num(lost) > 0
    begins = [part.start for part in parts]
    largest = np.array([np.fmax.reduce(finite[places]) for _, places in groups])
    nonfinite = np.array([broken[places].any(axis=0) for _, places in groups])
    return History(
        tuple(name for name, _ in groups),
        column_edges(trace.steps, parts),
        np.fmax.reduceat(largest, begins, axis=1),
        np.logical_or.reduceat(nonfinite, begins, axis=1),
        missing,
        max(part.stop - part.start for part in parts),
        max(len(places) for _, places in groups),
    )


def column_edges(steps: npt.NDArray[np.int64], parts: Sequence[slice]) -> Floats:
    """Return at which step each stretch of recorded steps begins, and where the last one ends: (stretch + 1,)."""
    apart = int(steps[-1] - steps[-2]) if len(steps) > 1 else 1
    return np.array([*(steps[part.start] for part in parts), steps[-1] + apart], np.float64)
