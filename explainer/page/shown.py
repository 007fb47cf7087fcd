"""Which of a run's recorded steps a page shows: all of them, or as many as its bytes have room for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from explainer import flow
from explainer.errors import TraceError

if TYPE_CHECKING:
    from explainer.trace import Trace


@dataclass(frozen=True)
class Shown:
    """The steps of one run that are on the page.

    Attributes:
        indices: (T,) where they stand among the recorded.
        steps: (T,) their numbers.
        stride: Every how many-th recorded step is shown; the last always is.
        recorded: How many steps were recorded.
    """

    indices: NDArray[np.int64]
    steps: NDArray[np.int64]
    stride: int
    recorded: int

    def __len__(self) -> int:
        return len(self.indices)

    def of(self, column: Any) -> NDArray[np.float64]:
        """Return a column of the trace, (S,) or (…, S), at the shown steps."""
        return np.asarray(column, np.float64)[..., self.indices]


def every(trace: Trace, stride: int = 1) -> Shown:
    """Return every stride-th recorded step and the last.

    Raises:
        TraceError: The trace holds no step.
    """
    if not len(trace):
        why = trace.missing.get(trace.model.loss_name, "none was closed")
        raise TraceError(f"{trace.folder or 'the trace'} holds no step, and a page shows what happens in steps: {why}")
    indices = _every_nth(len(trace), stride)
    return Shown(indices, trace.steps[indices], stride, len(trace))


def fewer(shown: Shown, most: int) -> Shown:
    """Return at most about so many of the shown steps, evenly chosen, the last among them."""
    stride = max(1, -(-len(shown) // max(most, 1)))
    places = _every_nth(len(shown), stride)
    return Shown(shown.indices[places], shown.steps[places], shown.stride * stride, shown.recorded)


def _every_nth(count: int, stride: int) -> NDArray[np.int64]:
    return np.unique(np.append(np.arange(0, count, stride), count - 1))  # the last among them


def finite(trace: Trace, shown: Shown) -> Shown:
    """Return those of the shown steps that have an example, and whose every gradient, and the loss, is finite.

    Raises:
        TraceError: There is none.
    """
    lost = np.nan_to_num(flow.gradient_nonfinite(trace)).sum(axis=0)  # (S,)
    if "loss" in trace.scalars:
        lost = lost + ~np.isfinite(np.asarray(trace.scalars["loss"], np.float64))
    known = (lost[shown.indices] == 0) & [_has_an_example(trace, int(index)) for index in shown.indices]
    if not known.any():
        raise TraceError("no recorded step has a finite loss and finite gradients, and others cannot be multiplied out")
    return replace(shown, indices=shown.indices[known], steps=shown.steps[known])


def _has_an_example(trace: Trace, index: int) -> bool:
    try:
        return trace.inputs.shape_at([index])[0] > 0
    except TraceError:  # not kept, which is said elsewhere
        return True


def evenly(count: int, most: int) -> NDArray[np.int64]:
    """Return at most so many of a count of things, evenly chosen, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))
