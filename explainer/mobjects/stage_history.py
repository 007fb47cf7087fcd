"""Any recorded model as one example sees it, step by step, in at most a dozen stages: what a diagram of it shows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from explainer.architecture import INPUT, LOSS
from explainer.errors import TraceError
from explainer.mobjects.network_diagram import Column, Maps, NetworkDiagram, evenly
from explainer.mobjects.network_history import between
from explainer.stages import BLOCK, stages
from explainer.trace import Trace

Array = npt.NDArray[np.float64]

MOST_MAPS = 4  # of a stage's feature maps that are drawn
HEIGHT = 4.2  # of the tallest column, in frame units
SPACING = 0.42  # from one unit to the next, where there is room
SAMPLED = 24  # recorded steps that decide how large a number gets the full colour


class StageHistory:
    """A recorded model's stages, and one example's numbers in each, read from the trace when they are shown.

    Attributes:
        stages: As `explainer.stages.stages` puts the layers together.
        weights: Per gap between two stages the matrix that joins them, as in `trace.parameters`; "" where there is none
            to draw.
    """

    def __init__(
        self,
        trace: Trace,
        *,
        example: int = 0,
        most: int = 12,
        probe: bool = False,
        outputs: npt.ArrayLike | None = None,
        shown: npt.NDArray[np.int64] | None = None,
        named: Sequence[str] = (),
    ) -> None:
        """Read a trace.

        Args:
            example: Which of the batch's first examples, or of the probe's.
            most: How many stages there may be.
            probe: Whether the example is the probe's, the same at every step; else each step has its own.
            outputs: (S, output) what the last stage shows in place of its numbers, such as probabilities; `shown` which
                of them are drawn, and `named` what they are.
        """
        self.trace, self.example, self.probe, self.named = trace, example, probe, tuple(named)
        self.stages = stages(trace.model, most)
        self.outputs = self._fitting_outputs(outputs)
        self.shown = shown if self.outputs is not None else None
        self._at = lru_cache(maxsize=4)(self._read)
        self._matrices_at = lru_cache(maxsize=4)(self._read_matrices)
        self.weights = tuple(self._matrix(place) for place in range(1, len(self.stages)))
        self.sample = evenly(len(trace), SAMPLED)  # (step,) indices

    # ── the diagram ──────────────────────────────────────────────────────────────────────────────────────────────

    def diagram(self, image: tuple[float, float] | None = None, **options: Any) -> NetworkDiagram:
        """Return the model at the first recorded step; scales of colour and width hold for all steps.

        Args:
            image: Between which numbers the inputs are grey, from black to white; their own limits when omitted.
            options: Of `NetworkDiagram`.
        """
        self.limits = image or self._limits()
        first = self._at(0)
        largest = [max(self._size(self._at(int(step))[place]) for step in self.sample) for place in range(len(first))]
        height = float(options.get("height", HEIGHT))
        columns = [
            self._column(place, each, most, height)
            for place, (each, most) in enumerate(zip(first, largest, strict=True))
        ]
        scales = self._scales(columns)
        columns = [
            Maps(each.values, each.name, each.amounts, each.largest, each.image, each.block, scale)
            if isinstance(each, Maps) else each
            for each, scale in zip(columns, scales, strict=True)
        ]  # fmt: skip
        self.drawn = [each.drawn if isinstance(each, Column) else None for each in columns]
        widest = [0.0] * len(self.weights)
        for step in self.sample:
            sizes = [self._size(each) for each in self._matrices_at(int(step))]
            widest = [max(pair) for pair in zip(widest, sizes, strict=True)]
        skips = [skip for stage in self.stages for skip in stage.skips]
        return NetworkDiagram(columns, self._joints(self._matrices_at(0)), skips=skips, largest=widest, **options)

    def show(self, diagram: NetworkDiagram, position: float) -> None:
        """Show the model at a recorded step, or between two.

        Weights glide from one recorded step to the next; so do the numbers of the probe's example, but not those of
        examples that differ from step to step.
        """
        before, share = int(position), position - int(position)
        here = self._at(before)
        if share and self.probe:
            after = self._at(before + 1)
            here = tuple(between(np.stack([one, other]), share) for one, other in zip(here, after, strict=True))
        diagram.set_values(here)
        self.show_weights(diagram, position)

    def show_weights(self, diagram: NetworkDiagram, position: float) -> None:
        """Show the weights of a recorded step, or between two."""
        before, share = int(position), position - int(position)
        matrices = self._matrices_at(before)
        if share:
            after = self._matrices_at(before + 1)
            matrices = tuple(
                None if here is None or there is None else between(np.stack([here, there]), share)
                for here, there in zip(matrices, after, strict=True)
            )
        diagram.set_weights(self._joints(matrices))

    def show_gradients(self, diagram: NetworkDiagram, index: int) -> None:
        """Let a diagram have the gradients of a recorded step, which it shows where the backward pass has come."""
        found: list[Array | None] = [None]
        for place, stage in enumerate(self.stages[1:], 1):
            example = self._example_of(self.trace.gradients, stage.output, index)
            found.append(None if example is None else self._picture(place, example))
        diagram.set_gradients(found)

    def show_updates(self, diagram: NetworkDiagram, index: int) -> None:
        """Let a diagram have the updates of a recorded step; nothing where they were not kept."""
        found: list[Any] = []
        for gap, name in enumerate(self.weights):
            kept = bool(name) and name in self.trace.updates
            drawn = self._drawn_of(gap + 1), self._drawn_of(gap)
            found.append(self._chosen(gap, self.trace.updates[name][index]) if kept else np.zeros([*map(len, drawn)]))
        diagram.set_updates(found)

    # ── what is read ─────────────────────────────────────────────────────────────────────────────────────────────

    def _read(self, index: int) -> tuple[Array, ...]:
        """Return what is drawn of each stage at a recorded step."""
        found = []
        for place, stage in enumerate(self.stages):
            if place == len(self.stages) - 1 and self.outputs is not None:
                found.append(self.outputs[index])
                continue
            example = self._input_of(index) if not place else self._activation_of(stage.output, index)
            found.append(self._picture(place, example))
        return tuple(found)

    def _input_of(self, index: int) -> Array | None:
        inputs = self._inputs_at(index)
        return None if inputs is None or len(inputs) <= self.example else np.asarray(inputs[self.example], float)

    def _inputs_at(self, index: int) -> npt.NDArray[Any] | None:
        try:
            return np.asarray(self.trace.probe.inputs if self.probe and self.trace.probe else self.trace.inputs[index])
        except TraceError:  # not kept
            return None

    def _activation_of(self, layer: str, index: int) -> Array | None:
        probe = self.trace.probe if self.probe else None
        return self._example_of(probe.activations if probe else self.trace.activations, layer, index)

    def _example_of(self, kept: Any, layer: str, index: int) -> Array | None:
        if layer not in kept:
            return None
        try:
            return np.asarray(kept[layer][index][self.example], float)
        except (TraceError, IndexError):  # not at this step
            return None

    def _picture(self, place: int, example: Array | None) -> Array:
        """Return what is drawn of one example's numbers: (unit,), (map, row, column) or (1, row, column, 3)."""
        stage = self.stages[place]
        if example is None:
            return np.zeros(stage.count) if _is_row(stage.shape) else np.zeros((0, 1, 1))
        if _is_row(example.shape):
            return example.ravel()
        if example.ndim == 2:
            return example[None]
        if not place and example.shape[0] == 3 and example.ndim == 3:
            return np.moveaxis(example, 0, -1)[None]
        channels = np.moveaxis(example, -1, 0) if stage.channels_last else example
        while channels.ndim > 3:
            channels = channels[:, channels.shape[1] // 2]  # the middle of a video, or of a volume
        return channels[evenly(len(channels), MOST_MAPS)]

    def _matrix(self, place: int) -> str:
        """Return which matrix joins a row of units with the row before it."""
        stage, before = self.stages[place], self.stages[place - 1]
        rows = all(_is_row(each.shape) and each.kind != BLOCK for each in (stage, before))
        if not rows or stage.fed_by != (place - 1,) or len(stage.weighted) != 1:
            return ""
        shapes = self.trace.model.layers[stage.weighted[0]].parameters
        fitting = (name for name, shape in shapes.items() if shape == (stage.count, before.count))
        return next((name for name in fitting if name in self.trace.parameters), "")

    def _read_matrices(self, index: int) -> tuple[Array | None, ...]:
        """Return the drawn rows and columns of each matrix at a recorded step."""
        return tuple(
            self._chosen(gap, self.trace.parameters[name][index]) if name else None
            for gap, name in enumerate(self.weights)
        )

    def _chosen(self, gap: int, matrix: Any) -> Array:
        rows, columns = (self._drawn_of(place) for place in (gap + 1, gap))
        return np.asarray(np.asarray(matrix)[np.ix_(rows, columns)], float)

    def _drawn_of(self, place: int) -> npt.NDArray[np.int64]:
        if self.shown is not None and place == len(self.stages) - 1:
            return self.shown
        return evenly(self.stages[place].count)

    def _fitting_outputs(self, outputs: npt.ArrayLike | None) -> Array | None:
        last = self.stages[-1]
        found = None if outputs is None else np.asarray(outputs, float)
        fits = found is not None and last.kind != BLOCK and found.shape[1:] == (last.count,)
        return found if fits else None

    # ── how it is drawn ──────────────────────────────────────────────────────────────────────────────────────────

    def _joints(self, matrices: Sequence[Array | None]) -> list[Any]:
        """Return what joins each stage with the next: its weights, a wire, or nothing."""
        found: list[Any] = []
        for place, matrix in enumerate(matrices, 1):
            found.append(matrix if matrix is not None else place - 1 in self.stages[place].fed_by)
        return found

    def _column(self, place: int, values: Array, largest: float, height: float) -> Column | Maps:
        stage = self.stages[place]
        block = self._about_block(place, values) if stage.kind == BLOCK and place else ()
        image = self.limits if not place and self._is_grey() else None
        if values.ndim == 1:
            drawn = self._drawn_of(place)
            own = place == len(self.stages) - 1 and self.outputs is not None
            span = None if own else min(SPACING * max(len(drawn) - 1, 1), height)
            return Column(values, self.names(place), largest, span, image, drawn, block)
        return Maps(values, self.names(place), self._amounts(place, values), largest, image, block)

    def names(self, place: int) -> tuple[str, ...]:
        """Return what a stage is called, longer and shorter."""
        stage = self.stages[place]
        if not place:
            return ("pixels",) if self._is_image() and _is_row(stage.shape) else (INPUT,)
        if place == len(self.stages) - 1 and self.named:
            return self.named
        if stage.title != stage.name:
            kinds = dict.fromkeys(self.trace.model.layers[each].type for each in stage.members)
            together = " + ".join(kinds)
            shorter = () if stage.name in (INPUT, LOSS) else (stage.name,)
            return (together, stage.title) if stage.type else (stage.title, *shorter)
        parts = stage.name.split(".")
        return tuple(".".join(parts[start:]) for start in range(len(parts)))

    def _about_block(self, place: int, values: Array) -> tuple[str, ...]:
        stage = self.stages[place]
        count = stage.parameter_count
        weights = (f"{count:,} weights", f"{rounded(count)} weights") if count else ()
        if values.ndim == 1:
            return (*weights, *Column(values, "").amounts)
        return (*weights, *self._amounts(place, values))

    def _amounts(self, place: int, values: Array) -> tuple[str, ...]:
        stage = self.stages[place]
        size = " × ".join(map(str, stage.shape[1:] if len(stage.shape) == 3 else stage.shape))
        if not place or values.ndim == 4 or len(stage.shape) == 2:
            return (f"{size} pixels", size) if not place and self._is_image() else (size,)
        drawn, count = len(values), stage.count
        return (f"{drawn} of {count} maps", f"{drawn} of {count}") if drawn < count else (f"{count} maps", str(count))

    def _is_image(self) -> bool:
        """Say whether the inputs are seen as greys or colours, not as signed numbers."""
        shape = self.stages[0].shape
        return "image_shape" in self.trace.notes or (len(shape) == 3 and shape[0] in (1, 3))

    def _is_grey(self) -> bool:
        """Say whether the inputs are shown from black to white: images, and numbers that only name something."""
        kept = self._inputs_at(0)
        return self._limits() is not None and (self._is_image() or (kept is not None and kept.dtype.kind in "iu"))

    @lru_cache(maxsize=1)  # noqa: B019  a history lives as long as its film
    def _limits(self) -> tuple[float, float] | None:
        inputs = [each for step in self.sample if (each := self._input_of(int(step))) is not None]
        if not inputs:
            return None
        return min(float(each.min()) for each in inputs), max(float(each.max()) for each in inputs)

    @staticmethod
    def _size(values: Array | None) -> float:
        finite = np.abs(values[np.isfinite(values)]) if values is not None else np.empty(0)
        return float(finite.max(initial=0.0))

    @staticmethod
    def _scales(columns: Sequence[Column | Maps]) -> list[float]:
        """Return how large each column's maps are drawn: smaller, the fewer rows they have."""
        rows = [each.values.shape[1] if isinstance(each, Maps) and len(each.values) else 0 for each in columns]
        return [max((each / max(*rows, 1)) ** 0.35, 0.5) if each else 1.0 for each in rows]


def _is_row(shape: tuple[int, ...]) -> bool:
    """Say whether numbers of this shape are drawn as units: all dimensions but one are 1."""
    return sum(size != 1 for size in shape) <= 1


def rounded(count: int) -> str:
    """Return a large number in few characters: 73,984 is 74k."""
    for size, letter in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if count >= 0.9995 * size:
            return f"{count / size:.3g}{letter}"
    return str(count)
