"""A layer's weight as pictures: rows that look at images, filters, or the matrix as it is; one recorded step of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from explainer.errors import TraceError, UnknownName, is_one_of, unknown
from explainer.saturation import layer_of

if TYPE_CHECKING:
    from explainer.architecture import Layer
    from explainer.trace import Trace

Floats = npt.NDArray[np.float64]

_WIDEST = 256  # rows and columns of a matrix that are drawn
_SMALLEST = 3  # pixels a side of what is worth being drawn as an image
_LIKELY = 7  # pixels a side of a square that inputs without a shape may well be
_RESHAPING = ("Flatten", "Unflatten", "Identity", "Dropout", "BatchNorm2d", "Normalize")


@dataclass(frozen=True)
class WeightPictures:
    """The weight of a layer at one step, as pictures.

    Attributes:
        layer: Whose weight it is; `parameter` is the weight's own name.
        shape: Of the weight as it was recorded.
        kind: "images", one of what each unit looks for; "filters" of a convolution; or "matrix".
        pictures: (unit, channel, row, column); of a matrix (1, 1, row, column).
        units: How many units or filters there are; `channels` how many channels each has.
        every: Of a matrix, each which row and each which column was taken.
        maybe_image: Rows and columns of a square image that the inputs could be, as nothing in the trace says.
    """

    layer: str
    parameter: str
    shape: tuple[int, ...]
    kind: str
    pictures: Floats
    units: int
    channels: int = 1
    every: tuple[int, int] = (1, 1)
    maybe_image: tuple[int, int] | None = None


def weight_pictures(
    trace: Trace, layer: str | None = None, step: int = -1, *, most: int = 24, channels: int = 3
) -> WeightPictures:
    """Return a layer's weight at a step, before that step's update.

    Args:
        layer: A layer, or a parameter of at least two dimensions; the first layer that has one when omitted.
        step: A recorded step; a negative one counts from the last.
        most: How many units or filters are returned, the first ones.
        channels: How many of their channels, the first ones.

    Raises:
        TraceError: Parameters were not kept, not at that step, or none has two dimensions.
        UnknownName: No layer or parameter has the name.
    """
    index = trace.index_of(step)
    if not len(trace.parameters):
        raise TraceError('the trace keeps no weights: record with keep=("parameters", …), or without keep=')
    name = _parameter(trace, layer)
    weight = np.asarray(trace.parameters[name][index])
    if np.iscomplexobj(weight) or weight.ndim < 2:
        raise TraceError(f"{name!r} of shape {weight.shape} is no matrix: name a parameter with two dimensions or more")
    owner = _owner(trace, name)
    kept, image = weight[:most].astype(np.float64), _image(trace, owner, weight)
    if weight.ndim == 4:
        parts, kind = kept[:, :channels], "filters"
        count = weight.shape[1]
    elif image is not None:
        whole = kept.reshape(len(kept), *image)
        parts, kind, count = whole[:, :channels], "images", image[0]
    else:
        return _matrix(trace, owner, name, weight)
    return WeightPictures(owner, name, weight.shape, kind, parts, len(weight), count)


def _matrix(trace: Trace, owner: str, name: str, weight: npt.NDArray[Any]) -> WeightPictures:
    flat = weight.reshape(len(weight), -1)
    down, across = (max(1, math.ceil(size / _WIDEST)) for size in flat.shape)
    shown = flat[::down, ::across].astype(np.float64)
    side = math.isqrt(flat.shape[1])
    square = weight.ndim == 2 and side >= _LIKELY and side**2 == flat.shape[1] and _reads_input(trace, owner)
    maybe = (side, side) if square else None
    return WeightPictures(owner, name, weight.shape, "matrix", shown[None, None], len(flat), 1, (down, across), maybe)


def _parameter(trace: Trace, layer: str | None) -> str:
    """Return the name of a kept weight: of a layer, by its own name, or the first there is."""
    shapes: dict[str, int] = {}
    for each in trace.model.layers.values():
        shapes |= {name: len(shape) for name, shape in each.parameters.items()}
    kept = list(trace.parameters)
    wide = [name for name in kept if shapes.get(name, 2) > 1]
    if layer is None:
        called = [name for each in trace.layers if (found := layer_of(trace, each)) for name in found.parameters]
        first = next((name for name in (*called, *wide) if name in wide), None)
        if first is None:
            raise TraceError("no parameter of the model is a matrix, so that there are no weights to draw")
        return first
    if is_one_of(layer, kept):
        return layer
    own = [name for name in wide if name.rpartition(".")[0] == layer]
    if not own:
        known = dict.fromkeys(name.rpartition(".")[0] or name for name in wide)
        raise UnknownName(unknown("layer with a weight that is a matrix", layer, known))
    return next((name for name in own if name.endswith("weight")), own[0])


def _owner(trace: Trace, parameter: str) -> str:
    owners = (name for name, layer in trace.model.layers.items() if parameter in layer.parameters)
    return next(owners, parameter.rpartition(".")[0] or parameter)


def _image(trace: Trace, owner: str, weight: npt.NDArray[Any]) -> tuple[int, int, int] | None:
    """Return (channel, row, column) of the images that a layer's inputs are; None where they are none."""
    if weight.ndim != 2:
        return None
    shapes = [trace.notes.get("image_shape")] if _reads_input(trace, owner) else []
    shapes += [tuple(layer.input_shape)[1:] for layer in _before(trace, owner) if layer.input_shape]
    for shape in shapes:
        sizes = tuple(int(size) for size in shape) if isinstance(shape, list | tuple) else ()
        if len(sizes) in (2, 3) and math.prod(sizes) == weight.shape[1] and min(sizes[-2:]) >= _SMALLEST:
            return (sizes[0] if len(sizes) == 3 else 1, sizes[-2], sizes[-1])
    return None


def _before(trace: Trace, owner: str) -> list[Layer]:
    """Return the layers between the model's input and a layer, that only reshape it."""
    found: list[Layer] = []
    here, own_input = trace.model.layers.get(owner), trace.model.input_name
    while here is not None and here.fed_by and here.fed_by[0] != own_input:
        here = trace.model.layers.get(here.fed_by[0])
        if here is None or not here.type.startswith(_RESHAPING) or here in found:
            return []
        found.append(here)
    return found


def _reads_input(trace: Trace, owner: str) -> bool:
    here = trace.model.layers.get(owner)
    if here is None:
        return False
    return not here.fed_by or here.fed_by[0] == trace.model.input_name or bool(_before(trace, owner))
