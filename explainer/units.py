"""Units: along which axis of an activation they lie, and which of them say the same whatever they are shown.

A unit is a number of a Linear layer's output, a channel of a convolution's, a feature of a sequence's. It is dead when
it has one value for all examples, at all positions: zero after a ReLU that never opens, 1 after a sigmoid that is
saturated. Nothing flows back through it, so that training does not bring it back.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from explainer.errors import TraceError

if TYPE_CHECKING:
    from explainer.trace import Trace

# How the names of classes end whose output has its features last, and begin whose output has channels after examples.
_FEATURES_LAST = ("Linear", "LayerNorm", "RMSNorm", "Embedding", "EmbeddingBag", "RNN", "LSTM", "GRU", "Attention")
_CHANNELS_SECOND = ("Conv", "LazyConv", "BatchNorm", "GroupNorm", "InstanceNorm", "PixelShuffle")
_TRANSFORMERS_LINEAR = "Conv1D"  # is no convolution: Hugging Face's name for a Linear with its weight transposed
_BACK = 50  # steps, the last ones, in which different examples are looked for


@dataclass(frozen=True)
class Units:
    """What the units of one layer did in some recorded steps.

    Attributes:
        count: How many units there are.
        axis: Of the activation (example, …), the one along which they lie.
        shape: Of the activation, with the largest number of examples kept.
        dead: Unit → the value that it always had; the last one, where a step's differs from another's.
        examples: How many examples were looked at, over all steps.
        batch_examples: How many the batches had, over all steps; NaN where that cannot be told.
        zero_at_most: How many units can have been zero for whole batches, as statistics of them say.
    """

    count: int
    axis: int
    shape: tuple[int, ...]
    dead: dict[int, float]
    examples: int
    batch_examples: float
    zero_at_most: int

    @property
    def whole(self) -> bool:
        """Whether every example of every batch was looked at."""
        return self.examples == self.batch_examples


def dead_units(
    trace: Trace,
    layer: str,
    indices: Iterable[int],
    axis: int | None = None,
    *,
    statistics: Mapping[str, Any] | None = None,
) -> Units:
    """Find the units whose value is one and the same for all kept examples and positions, in each of some steps.

    Where a step has only one example, steps are not told apart: then a dead unit has one value in all of them. A unit
    that is zero in all kept examples, while the statistics of the whole batch rule out that any unit was, is not dead.

    Args:
        layer: A layer, or an output of one, whose activation was kept.
        indices: Where the steps stand among the recorded.
        axis: The one along which units lie; found by `unit_axis` when omitted.
        statistics: `trace.statistics["activations"][layer]`, where it was read already: it is long in a long run.

    Raises:
        TraceError: The activation has no units, was not kept, holds numbers that are not finite, or fewer than two
            examples were kept, of which nothing can be said.
    """
    indices, tensors = list(indices), trace.activations[layer]
    known = trace.statistics["activations"][layer] if statistics is None else statistics
    shape = tensors.shape_at(indices)
    axis = unit_axis(trace, layer, len(shape)) if axis is None else axis % max(1, len(shape))
    if len(shape) < 2 or axis == 0:
        raise TraceError(f"layer {layer!r} has no units: its activation is {_shape(shape)}, of which the first are "
                         "examples; an axis from 1 is one of units")  # fmt: skip
    sizes, lows, highs = [], [], []
    for index in indices:
        values = np.moveaxis(np.asarray(tensors[index], np.float64), axis, -1)
        sizes.append(len(values))
        rows = values.reshape(-1, values.shape[-1])
        if len(rows):
            lows.append(rows.min(axis=0))
            highs.append(rows.max(axis=0))
    if sum(sizes) < 2:
        raise TraceError(
            f"layer {layer!r}: {sum(sizes)} example was kept, and one does not say what a unit does for others; "
            "record with examples=None, or more steps"
        )
    low, high = np.stack(lows), np.stack(highs)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise TraceError(f"layer {layer!r} holds values that are not finite; explainer.testing.assert_finite(trace) "
                         "says where they began")  # fmt: skip
    if min(sizes) < 2:
        low, high = low.min(axis=0, keepdims=True), high.max(axis=0, keepdims=True)
    at_most = _zero_at_most(known, indices, low.shape[1])
    dead = {int(unit): float(low[-1, unit]) for unit in np.flatnonzero((low == high).all(axis=0))}
    if not at_most:
        dead = {unit: value for unit, value in dead.items() if low[:, unit].any()}
    batches = [_batch_size(known, index, size, shape) for index, size in zip(indices, sizes, strict=True)]
    return Units(low.shape[1], axis, tuple(shape), dead, sum(sizes), sum(batches), at_most)


def dead_lately(trace: Trace, layer: str, enough: int) -> tuple[Units, int]:
    """Find the units that are dead in the last steps that hold enough different examples; and say how many they are.

    Examples that come again count once, where inputs were kept. All of the last steps are taken that are looked at,
    where they hold fewer.
    """
    indices: list[int] = []
    different: set[bytes] = set()
    for index in range(len(trace) - 1, max(len(trace) - 1 - _BACK, -1), -1):
        if len(different) >= enough:
            break
        try:
            count = trace.activations[layer].shape_at([index])[0]
        except TraceError:  # it was not called at this step
            continue
        different |= _examples(trace, index, count)
        indices.append(index)
    found = dead_units(trace, layer, sorted(indices))
    return found, min(len(different), found.examples)


def _examples(trace: Trace, index: int, count: int) -> set[bytes]:
    """Return what tells a step's first examples apart: their inputs, or where those were not kept their places."""
    try:
        inputs = np.asarray(trace.inputs[index])
    except TraceError:
        inputs = np.empty(0)
    if inputs.ndim and len(inputs) == count:
        return {each.tobytes() for each in inputs}
    return {f"{index} {place}".encode() for place in range(count)}


def unit_axis(trace: Trace, layer: str, ndim: int) -> int:
    """Return the axis along which a layer's units lie, judged by its class or that of those it is fed by.

    After a Linear, a norm of layers, an embedding, a recurrent layer it is the last; otherwise that after examples.
    """
    seen: set[str] = set()
    while layer in trace.model.layers and layer not in seen and ndim > 2:
        seen.add(layer)
        here = trace.model.layers[layer]
        if here.type.endswith(_FEATURES_LAST) or here.type == _TRANSFORMERS_LINEAR:
            return ndim - 1
        if here.type.startswith(_CHANNELS_SECOND) or not here.fed_by:
            break
        layer = here.fed_by[0]
    return 1


def _zero_at_most(statistics: Mapping[str, Any], indices: Iterable[int], count: int) -> int:
    """Return how many units can be zero for all examples, by the share of zeros in whole batches."""
    shares = [float(statistics["zero_fraction"][index]) for index in indices]
    known = [share for share in shares if not math.isnan(share)]  # an empty batch has none
    return math.floor(min(known, default=1.0) * count + 1e-6)


def _batch_size(statistics: Mapping[str, Any], index: int, kept: int, shape: tuple[int, ...]) -> float:
    """Return how many examples a batch had, by Σx² = n·(mean² + std²), which is over all of it."""
    if statistics["zero_fraction"][index] == 1:
        return kept  # the rest of the batch is zero too: as good as seen
    norm, mean, std = (float(statistics[which][index]) for which in ("norm", "mean", "std"))
    mean_square = mean**2 + std**2
    if not math.isfinite(norm) or not mean_square > 0:
        return math.nan
    return round(norm**2 / mean_square / math.prod(shape[1:]))


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "one number"
