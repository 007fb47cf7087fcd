"""The network as each batch's first example runs through it, at the steps that are shown: columns and edges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from explainer.architecture import INPUT
from explainer.errors import TraceError
from explainer.page.arrays import Array, by_step, largest, limits, quantized, tones
from explainer.page.maps import MOST_MAPS, feature_maps, has_maps
from explainer.page.shown import evenly
from explainer.scores import softmax
from explainer.stages import BLOCK, Stage, stages
from explainer.units import unit_axis

if TYPE_CHECKING:
    from explainer.page.shown import Shown
    from explainer.recordings import StepTensors
    from explainer.trace import Trace

MOST_UNITS = 16
MOST_STAGES = 10
MOST_PIXELS = 64  # rows and columns of the picture of an input
SUMMED = "mean"  # what is drawn of a unit with many numbers: their mean, and of their gradients the length


def network(trace: Trace, shown: Shown) -> dict[str, Any]:
    """Return the model in at most MOST_STAGES columns, each with the numbers of at most MOST_UNITS units.

    Every number is of the first example of the step's batch. A unit that has many numbers, as a channel of a
    convolution has, is drawn by their mean, and by the length of their gradient.

    Returns:
        `columns`, each with `values` and `gradients` (unit, T); and `edges`, one for each gap between two columns: the
        weights between drawn units as `quantized`, (to, from, T), or null.

    Raises:
        TraceError: No activations were kept.
    """
    if not len(trace.activations):
        raise TraceError(
            f"{trace.folder or 'the trace'} keeps no activations, and the network is drawn by them: record with "
            'keep=("activations", "gradients", "parameters", …), or without keep='
        )
    found = stages(trace.model, MOST_STAGES)
    columns = [_input(trace, shown, found[0]), *(_column(trace, shown, stage) for stage in found[1:])]
    _end_in_probabilities(trace, columns[-1])
    edges = [_edges(trace, shown, found, columns, place) for place in range(1, len(found))]
    for column in columns:
        column["values"], column["gradients"] = (by_step(column[name]) for name in ("values", "gradients"))
        column["largest"] = {name: largest(column[name]) for name in ("values", "gradients")}
    return {"columns": columns, "edges": edges, "target": _targets(trace, shown)}


def _column(trace: Trace, shown: Shown, stage: Stage) -> dict[str, Any]:
    values, gradients = (_examples(kept, stage.output, shown) for kept in (trace.activations, trace.gradients))
    many = any(each is not None and each.size > each.shape[0] for each in values) and len(stage.shape) > 1
    axis = unit_axis(trace, stage.output, len(stage.shape) + 1) - 1
    count = stage.shape[axis] if many else stage.count
    maps = many and has_maps(stage.shape)
    drawn = evenly(count, MOST_MAPS if maps else MOST_UNITS)
    return {
        "name": stage.title if stage.name == INPUT else stage.name,  # "input" is the model's own
        "title": stage.title, "type": stage.type, "kind": stage.kind, "shape": list(stage.shape),
        "members": list(stage.members), "types": [trace.model.layers[each].type for each in stage.members],
        "output": stage.output, "parameters": stage.parameter_count,
        "count": count, "drawn": drawn, "summed": SUMMED if many else "",
        "maps": feature_maps(values, axis, drawn) if maps else None,
        "known": _known(values), "values": np.stack([_of_units(each, axis, drawn, length=False) for each in values]),
        "gradients": np.stack([_of_units(each, axis, drawn, length=True) for each in gradients]),
        "skips": [[skip.start, skip.end] for skip in stage.skips],
    }  # fmt: skip


def _examples(kept: Mapping[str, StepTensors], layer: str, shown: Shown) -> list[Array | None]:
    """Return the first example's numbers at each shown step, or None where they were not kept."""
    if layer not in kept:
        return [None] * len(shown)
    tensors = kept[layer]
    return [_first(tensors, int(index)) for index in shown.indices]


def _first(tensors: StepTensors, index: int) -> Array | None:
    try:
        return np.asarray(tensors[index][0])
    except (TraceError, IndexError):  # not kept at this step, or an empty batch
        return None


def _known(examples: Sequence[Array | None]) -> Array:
    """Return whether an example was kept at each shown step, (T,): what was not is no number, but not NaN either."""
    return np.array([each is not None for each in examples], np.uint8)


def _of_units(example: Array | None, axis: int, drawn: Array, *, length: bool) -> Array:
    """Return a number for each drawn unit, (unit,); of many numbers their mean, or their length; NaN for none."""
    if example is None:
        return np.full(len(drawn), np.nan)
    if example.ndim < 2 or example.size == example.shape[0]:
        units = example.ravel()
    else:
        rows = np.moveaxis(example, min(axis, example.ndim - 1), 0).reshape(example.shape[axis], -1).astype(np.float64)
        units = np.sqrt((rows**2).sum(axis=1)) if length else rows.mean(axis=1)
    fitting = drawn < len(units)  # a later, shorter sequence
    return np.where(fitting, units[np.where(fitting, drawn, 0)], np.nan) if len(units) else np.full(len(drawn), np.nan)


def _input(trace: Trace, shown: Shown, stage: Stage) -> dict[str, Any]:
    examples = _inputs(trace, shown)
    picture = _pictures(trace, examples)
    count = stage.count if stage.count else 1
    drawn = evenly(count, MOST_UNITS)
    flat = [None if each is None else each.reshape(-1) for each in examples]
    values = np.stack([_of_units(each, 0, drawn, length=False) for each in flat])
    return {
        "name": INPUT, "title": stage.title, "type": "", "kind": stage.kind, "shape": list(stage.shape),
        "members": [stage.output], "types": [],
        "output": stage.output, "parameters": 0, "count": count, "drawn": drawn, "summed": "", "picture": picture,
        "known": _known(examples), "values": values, "gradients": np.full(values.shape, np.nan), "skips": [],
    }  # fmt: skip


def _inputs(trace: Trace, shown: Shown) -> list[Array | None]:
    try:
        tensors = trace.inputs
    except TraceError:  # not kept
        return [None] * len(shown)
    return [_first(tensors, int(index)) for index in shown.indices]


def _pictures(trace: Trace, examples: Sequence[Array | None]) -> dict[str, Any] | None:
    """Return the inputs as pictures (T, row, column) or (T, row, column, 3), in 256 tones; None where they are none."""
    noted = trace.notes.get("image_shape")
    seen = [each for each in examples if each is not None]
    if not seen or len(seen) < len(examples) or len({each.shape for each in seen}) > 1:
        return None
    images = np.stack(seen)
    if isinstance(noted, list) and all(isinstance(each, int) for each in noted) and np.prod(noted) == images[0].size:
        images = images.reshape(len(images), *noted)
    if images.ndim == 4 and images.shape[1] in (1, 3):
        images = np.moveaxis(images, 1, -1)
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    if images.ndim not in (3, 4) or min(images.shape[1:3]) < 4 or (images.ndim == 4 and images.shape[3] != 3):
        return None
    if images.ndim == 3 and not isinstance(noted, list) and seen[0].ndim == 2:
        return None  # a sequence of features
    stride = max(1, -(-max(images.shape[1:3]) // MOST_PIXELS))
    images = images[:, ::stride, ::stride]
    low, high = limits(images)
    return {"tones": tones(images, low, high), "low": low, "high": high}


def _targets(trace: Trace, shown: Shown) -> Array | None:
    """Return the first example's class at each shown step, (T,); None where targets are no class numbers."""
    try:
        tensors = trace.targets
        found = [np.asarray(tensors[int(index)][0]) for index in shown.indices]
    except (TraceError, IndexError):
        return None
    whole = all(each.ndim == 0 and each.dtype.kind in "iu" for each in found)
    return np.array(found, np.int64) if whole else None


def _end_in_probabilities(trace: Trace, last: dict[str, Any]) -> None:
    """Let the last column show probabilities, where the model's scores are those of classes and all are drawn."""
    criterion, layer = trace.model.criterion, trace.model.layers.get(last["output"])
    if layer is None or last["summed"] or last["count"] > MOST_UNITS or len(last["shape"]) != 1:
        return
    if layer.type == "LogSoftmax":
        last["values"] = np.exp(last["values"].astype(np.float64))
    elif criterion is not None and criterion.type == "CrossEntropyLoss" and criterion.fed_by == (last["output"],):
        last["values"] = softmax(last["values"].astype(np.float64))
    elif layer.type != "Softmax":
        return
    classes = trace.notes.get("classes")
    named = isinstance(classes, list) and len(classes) == last["count"]
    last["classes"] = [str(each) for each in classes or ()] if named else [str(each) for each in range(last["count"])]


def _edges(
    trace: Trace, shown: Shown, found: Sequence[Stage], columns: Sequence[dict[str, Any]], place: int
) -> dict[str, Any] | None:
    """Return the weights between the drawn units of a column and of the one before it, where one matrix joins them."""
    stage, before = found[place], found[place - 1]
    if BLOCK in (stage.kind, before.kind) or stage.fed_by != (place - 1,) or len(stage.weighted) != 1:
        return None
    if len(before.shape) != 1 or columns[place - 1].get("picture"):
        return None
    shapes = trace.model.layers[stage.weighted[0]].parameters
    fitting = (name for name, shape in shapes.items() if tuple(shape) == (stage.count, before.count))
    name = next((name for name in fitting if name in trace.parameters), None)
    if name is None:
        return None
    chosen = np.ix_(columns[place]["drawn"], columns[place - 1]["drawn"])
    try:
        tensors = trace.parameters[name]
        weights = np.stack([np.asarray(tensors[int(index)])[chosen] for index in shown.indices])
    except TraceError:  # max_bytes was reached
        return None
    most = largest(weights)
    return {"parameter": name, "largest": most, "weights": by_step(quantized(weights, most))}
