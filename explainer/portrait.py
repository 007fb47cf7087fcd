"""A recorded model as one example sees it at one step, in at most a dozen stages: what a diagram of it shows.

Plain numbers, read of one step only: the units or feature maps of each stage that are drawn, and the weights between
units that are drawn on both sides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from explainer.classifier import probabilities_of
from explainer.errors import TraceError, place_of
from explainer.scores import LOSSES
from explainer.stages import BLOCK, Stage, stages

if TYPE_CHECKING:
    from explainer.trace import Trace

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]

UNITS, MAPS = 16, 4  # of a stage that are drawn


@dataclass(frozen=True)
class Seen:
    """One stage, as one example sees it.

    Attributes:
        stage: As `explainer.stages` put its layers together.
        values: What is drawn: (unit,), or (map, row, column), or (1, row, column, 3) of a colour image; None where
            there are no numbers.
        drawn: (unit or map,) which of them those are; evenly chosen from all.
        count: How many there are in all.
        probabilities: Whether the values are those of classes; of many the likeliest and the right one are drawn.
        right: The class that is the right answer, where it was kept.
        missing: Why there are no numbers; "" where there are.
        matrix: The name of the weights that join it with the stage before; "" where there are none to draw.
        weights: (unit, unit before) those between drawn units.
    """

    stage: Stage
    values: Array | None
    drawn: Places
    count: int
    probabilities: bool = False
    right: int | None = None
    missing: str = ""
    matrix: str = ""
    weights: Array | None = None

    @property
    def row(self) -> bool:
        """Whether it is drawn as units of one number each."""
        return self.values.ndim == 1 if self.values is not None else is_row(self.stage.shape)

    @property
    def nonfinite(self) -> int:
        """How many of the numbers that are drawn are infinite or NaN."""
        return 0 if self.values is None else int(np.count_nonzero(~np.isfinite(self.values)))


def portrait(trace: Trace, step: int = -1, example: int = 0, most: int = 12) -> tuple[Seen, ...]:
    """Read what one example makes of a model at a recorded step, the input first.

    Args:
        step: A recorded step; a negative one counts from the last.
        example: Which of the examples kept, from 0.
        most: How many stages there may be.

    Raises:
        TraceError: The step was not recorded, no layer was, or there is no such example.
    """
    index = trace.index_of(step)
    if not trace.layers:
        raise TraceError("the trace holds no layer, so there is no network to draw: record a model that is called")
    _check_example(trace, index, example)
    found: list[Seen] = []
    for place, stage in enumerate(stages(trace.model, most)):
        numbers, missing = _numbers(trace, stage, index, example)
        right = _right(trace, index, example)
        seen = _last(trace, stage, numbers, right) if stage.output == _judged(trace) else None
        seen = seen or _drawn(stage, numbers, missing, picture=not place)
        found.append(_joined(trace, seen, found, index))
    return tuple(found)


def evenly(count: int, most: int) -> Places:
    """Return at most so many of `count` places, evenly apart, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def is_row(shape: Sequence[int]) -> bool:
    """Say whether numbers of this shape are units: all dimensions but one are 1."""
    return sum(size != 1 for size in shape) <= 1


def picture_of(trace: Trace, seen: Seen, step: int = -1, example: int = 0) -> Array | None:
    """Return the image that a row of inputs is, (row, column) or (row, column, 3); None where it is none.

    The note `image_shape` of a recording says so.
    """
    shape = trace.notes.get("image_shape")
    numbers, _ = _numbers(trace, seen.stage, trace.index_of(step), example)
    if numbers is None or not seen.row or not isinstance(shape, list | tuple) or math.prod(shape) != numbers.size:
        return None
    image = numbers.reshape([size for size in shape if size != 1])
    return image if image.ndim == 2 else np.moveaxis(image, 0, -1) if image.ndim == 3 and len(image) == 3 else None


def _check_example(trace: Trace, index: int, example: int) -> None:
    for name in list(trace.activations)[:1]:
        place_of(example, len(trace.activations[name][index]), f"step {trace.steps[index]} keeps")


def _numbers(trace: Trace, stage: Stage, index: int, example: int) -> tuple[Array | None, str]:
    """Return one example's output of a stage, and why there is none."""
    name, option = stage.output, "activations" if stage.members else "inputs"
    with suppress(TraceError, IndexError):
        kept: Any = trace.activations[name] if stage.members else trace.inputs
        return _real(np.asarray(kept[index][example]), stage), ""
    return None, trace.missing.get(name, f'not kept: record with keep=("{option}", …)')


def _real(values: npt.NDArray[Any], stage: Stage) -> Array:
    """Return numbers as they are drawn: of complex ones, kept as (…, 2), how large they are."""
    numbers = values.astype(np.float64)
    complex_ = numbers.ndim == len(stage.shape) + 1 and numbers.shape[-1] == 2
    return np.hypot(numbers[..., 0], numbers[..., 1]) if complex_ else numbers


def _drawn(stage: Stage, numbers: Array | None, missing: str, *, picture: bool) -> Seen:
    """Choose what is drawn of a stage."""
    if numbers is None or is_row(numbers.shape):
        count = stage.count if numbers is None else numbers.size
        places = evenly(count, UNITS)
        return Seen(stage, None if numbers is None else numbers.reshape(-1)[places], places, count, missing=missing)
    if numbers.ndim == 2:
        return Seen(stage, numbers[None], np.zeros(1, np.int64), 1)
    if picture and numbers.ndim == 3 and len(numbers) == 3:
        return Seen(stage, np.moveaxis(numbers, 0, -1)[None], np.zeros(1, np.int64), 1)
    channels = np.moveaxis(numbers, -1, 0) if stage.channels_last else numbers
    while channels.ndim > 3:
        channels = channels[:, channels.shape[1] // 2]  # the middle of a video, or of a volume
    places = evenly(len(channels), MAPS)
    return Seen(stage, channels[places], places, len(channels))


def _judged(trace: Trace) -> str:
    """Return the layer whose output a loss of classes reads; "" where there is none."""
    criterion = trace.model.criterion
    return criterion.fed_by[0] if criterion and criterion.type in LOSSES and len(criterion.fed_by) == 1 else ""


def _right(trace: Trace, index: int, example: int) -> int | None:
    """Return the class that the example should have, where it was kept."""
    with suppress(TraceError, IndexError):
        target = np.asarray(trace.targets[index][example])
        return int(target) if target.ndim == 0 and target.dtype.kind in "iu" else None
    return None


def _last(trace: Trace, stage: Stage, numbers: Array | None, right: int | None) -> Seen | None:
    """Return the probabilities of classes, where a stage's numbers stand for such."""
    if numbers is None or numbers.ndim != 1 or numbers.size < 2 or not np.isfinite(numbers).all():
        return None
    try:
        probabilities = probabilities_of(trace, stage.output, numbers[None])[0][0]
    except TraceError:
        return None
    likely = np.argsort(-probabilities, kind="stable")[:UNITS]
    right = right if right is not None and 0 <= right < numbers.size else None
    if right is not None and right not in likely:
        likely[-1] = right
    places = np.sort(likely)
    return Seen(stage, probabilities[places], places, numbers.size, probabilities=True, right=right)


def _joined(trace: Trace, seen: Seen, before: Sequence[Seen], index: int) -> Seen:
    """Add the weights that join a row of units with the row before it."""
    stage, place = seen.stage, len(before)
    if not place or not (seen.row and before[-1].row) or BLOCK in (stage.kind, before[-1].stage.kind):
        return seen
    if stage.fed_by != (place - 1,) or len(stage.weighted) != 1:
        return seen
    shapes = trace.model.layers[stage.weighted[0]].parameters
    fitting = (name for name, shape in shapes.items() if shape == (seen.count, before[-1].count))
    name = next((name for name in fitting if name in trace.parameters), "")
    if not name:
        return seen
    matrix = np.asarray(trace.parameters[name][index], np.float64)
    weights = matrix[np.ix_(seen.drawn, before[-1].drawn)]
    return Seen(**{**vars(seen), "matrix": name, "weights": weights})
