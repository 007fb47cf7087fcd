"""Numbers behind the pictures of gradient flow: how large a gradient is at each layer, and why one has no number.

All of them are over whole batches, because they are made of a trace's statistics, which always are. And how the steps
follow each other: which turn back, and which go up.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from explainer.errors import TraceError, is_one_of, unknown

if TYPE_CHECKING:
    from explainer.trace import Trace

MEASURES = {"norm": "norm", "mean": "abs_mean", "max": "max_abs"}  # what a user says -> the statistic of a trace


def gradient_norms(trace: Trace) -> NDArray[np.float64]:
    """Return ‖∂loss/∂activation‖ as (layer, step), in the order of `trace.layers`; NaN where there is none."""
    return gradient_sizes(trace, "norm")


def gradient_sizes(trace: Trace, measure: str = "norm") -> NDArray[np.float64]:
    """Return how large the gradient is at each layer's output, at every recorded step.

    Args:
        measure: "norm" (the root of the sum of squares), "mean" (of the absolute values) or "max" (their largest).

    Returns:
        (layer, step), in the order of `trace.layers`; NaN where a layer has no gradient.

    Raises:
        TraceError: There is no such measure.
    """
    if not is_one_of(measure, MEASURES):
        raise TraceError(unknown("measure of a gradient", measure, MEASURES))
    return _statistic(trace, MEASURES[measure])


def gradient_nonfinite(trace: Trace) -> NDArray[np.float64]:
    """Return how many values of each layer's gradient are infinite or NaN, (layer, step); NaN where there is none."""
    return _statistic(trace, "nonfinite")


def _statistic(trace: Trace, statistic: str) -> NDArray[np.float64]:
    recorded: dict[str, Any] = trace.statistics.get("gradients", {})
    nothing = np.full(len(trace), np.nan)
    rows = [recorded[layer][statistic] if layer in recorded else nothing for layer in trace.layers]
    return np.array(rows, np.float64).reshape(len(rows), len(trace))


@dataclass(frozen=True)
class LayerGradient:
    """How large the gradient is at one layer's output in one step.

    Attributes:
        size: In the measure asked for; NaN where there is none, and possibly where it is not finite.
        nonfinite: How many of its values are infinite or NaN.
        missing: Why there is none; empty where there is one.
    """

    layer: str
    size: float
    nonfinite: int = 0
    missing: str = ""

    @property
    def drawable(self) -> bool:
        """Whether a logarithmic scale has a place for it."""
        return not self.missing and bool(np.isfinite(self.size)) and self.size > 0


def gradients_at(trace: Trace, step: int = -1, measure: str = "norm") -> list[LayerGradient]:
    """Return the gradient at each layer's output in one step, in forward order, none left out.

    Layers that were never called, and so stand in `trace.missing` alone, come first.

    Args:
        step: A recorded step; a negative one counts from the last.
        measure: "norm", "mean" or "max".

    Raises:
        TraceError: The step was not recorded, there is no such measure, or no layer has a gradient at that step.
    """
    index = trace.index_of(step)
    sizes, counts = gradient_sizes(trace, measure)[:, index], gradient_nonfinite(trace)[:, index]
    found = [
        LayerGradient(layer, float(size), missing=_why(trace, layer, int(trace.steps[index])))
        if np.isnan(count)
        else LayerGradient(layer, float(size), nonfinite=int(count))
        for layer, size, count in zip(trace.layers, sizes, counts, strict=True)
    ]
    if all(each.missing for each in found):
        reasons = ", ".join(dict.fromkeys(each.missing for each in found)) or "no layer was recorded"
        raise TraceError(f"no gradient was recorded at step {trace.steps[index]}: {reasons}")
    uncalled = [layer for layer in trace.model.layers if layer in trace.missing and layer not in trace.layers]
    return [*(LayerGradient(layer, float("nan"), missing=trace.missing[layer]) for layer in uncalled), *found]


def _why(trace: Trace, layer: str, step: int) -> str:
    return trace.missing.get(layer, f"no gradient was seen at step {step}")


def factors(gradients: list[LayerGradient]) -> list[float | None]:
    """Return by what each layer's gradient differs from the next layer's, nearer the loss; None where one has no place.

    In a chain of layers this is what the backward pass kept on its way through the next layer.
    """
    return [here.size / next_.size if here.drawable and next_.drawable else None for here, next_ in pairwise(gradients)]


def bounces(trace: Trace, within: slice = slice(None)) -> NDArray[np.bool_]:
    """Return which steps turn back: their update points against that of the step before, by a cosine below zero.

    Too large a learning rate jumps over the valley's bottom and back; `.mean()` is the share of steps that do. Updates
    are read one step at a time.

    Args:
        within: Which recorded steps are looked at, by their places; all when omitted.

    Returns:
        (S − 1,) of S steps looked at, for the second to the last. A step that does not move turns nowhere, and neither
        does one whose update is not a number.

    Raises:
        TraceError: Steps between the recorded were not recorded, or updates were not kept.
    """
    _check_consecutive(trace, "which steps turn back", within)
    if len(trace) and not len(trace.updates):
        raise TraceError(
            f"{trace.folder or 'the trace'} keeps no updates, which say which steps turn back: record with "
            'keep=("parameters", "updates"), or without keep='
        )
    places = range(len(trace))[within]
    turned = np.zeros(max(len(places) - 1, 0), np.bool_)
    before: dict[str, NDArray[np.float64]] = {}
    updates = dict(trace.updates)  # once: every shard is asked for its names
    for at, index in enumerate(places):
        now = {name: np.asarray(each[index], np.float64).ravel() for name, each in updates.items()}
        if at:
            turned[at - 1] = sum(float(before[name] @ update) for name, update in now.items()) < 0
        before = now
    return turned


def steps_up(trace: Trace) -> NDArray[np.bool_]:
    """Return after which steps the loss is higher than before them, (S − 1,) without the last.

    Losses are as recorded, each of its own batch: only with the same batch in every step does the step alone decide.

    Raises:
        TraceError: Steps between the recorded were not recorded, or no loss was.
    """
    _check_consecutive(trace, "after which steps the loss is higher")
    return np.asarray(np.diff(trace.scalars["loss"]) > 0)


def _check_consecutive(trace: Trace, what: str, within: slice = slice(None)) -> None:
    steps = trace.steps[within]
    gaps = np.flatnonzero(np.diff(steps) != 1)
    if len(gaps):
        here, next_ = steps[gaps[0]], steps[gaps[0] + 1]
        raise TraceError(
            f"{what} can be told of consecutive steps only, and after step {here} the next recorded is {next_}: "
            "record every step, every=1"
        )
