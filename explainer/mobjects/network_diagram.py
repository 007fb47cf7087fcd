"""A network as it is: columns of units and feature maps filled by their activations, edges by their weights.

Drawn by data, not by class: a `Column` is numbers and a name, `Maps` are images and a name, what joins two of them is a
weight matrix, or a wire where there is none to show. At most 16 units of a column and a few of the maps are drawn,
evenly chosen from all; a label says how many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from manim import Animation, Line, Mobject, UpdateFromAlphaFunc, VGroup, linear

from explainer.mobjects import shades
from explainer.mobjects.edges import TAIL as TAIL
from explainer.mobjects.edges import Edges as Edges
from explainer.mobjects.edges import Wire
from explainer.mobjects.painted import Array
from explainer.mobjects.plates import Plates
from explainer.mobjects.stage_label import StageLabel
from explainer.mobjects.stage_panel import Panel
from explainer.mobjects.units import MOST as MOST
from explainer.mobjects.units import Filled
from explainer.mobjects.units import Units as Units
from explainer.mobjects.units import evenly as evenly
from explainer.stages import Skip
from explainer.theme import DARK, Theme

UNIT = 0.2  # diameter of a unit, in frame units
BOXED = 0.62  # height of what is in a block, as a share of the diagram's
GAP = 0.1  # between two maps, in frame units
WIDEST_MAP = 1.25  # in frame units
ARC = 0.3  # from one arrow that skips to the next above it


@dataclass(frozen=True)
class Column:
    """A layer's units, to be drawn one above the other.

    Attributes:
        values: (unit,) their activations.
        name: What stands under the column; longer and shorter, where there are several.
        largest: The magnitude that gets the full colour; the largest of `values` when omitted.
        span: The height of the column in frame units; the diagram's when omitted.
        image: Between which two numbers the units are pixels, from black to white; else they are signed numbers.
        drawn: (drawn unit,) which of the units are drawn; evenly chosen when omitted.
        block: What is said of a block of several layers, in more and in fewer words; a box is drawn around it. None
            where it is no block.
    """

    values: Array
    name: str | tuple[str, ...]
    largest: float | None = None
    span: float | None = None
    image: tuple[float, float] | None = None
    drawn: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    block: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not len(self.drawn):
            object.__setattr__(self, "drawn", evenly(len(self.values)))

    @property
    def amounts(self) -> tuple[str, ...]:
        """How many there are, in more and in fewer words."""
        count, drawn = len(self.values), len(self.drawn)
        return (str(count),) if drawn == count else (f"{drawn} of {count}", str(count))


@dataclass(frozen=True)
class Maps:
    """Images of a layer's output, to be drawn one above the other: some of its channels, or one of the whole.

    Attributes:
        values: (drawn map, row, column), or (drawn map, row, column, 3) of a colour image. None are drawn where the
            numbers were not recorded.
        amounts: How many there are, in more and in fewer words.
        name, largest, image, block: As of a `Column`.
        scale: How large they are drawn, beside the largest maps of the network.
    """

    values: Array
    name: str | tuple[str, ...]
    amounts: tuple[str, ...] = ()
    largest: float | None = None
    image: tuple[float, float] | None = None
    block: tuple[str, ...] = ()
    scale: float = 1.0


class NetworkDiagram(VGroup):
    """Columns of units and maps from left to right, joined by their weights.

    Attributes:
        columns: What is drawn, as given.
        units: Per column what is filled: its `Units` or `Plates`; `panels` per block its box.
        edges: Per gap between two columns its `Edges`, or a `Wire`; None where neither feeds the other.
        arcs: The arrows that skip, each with its `Skip`.
        labels: Per column how many units there are, and its name.
    """

    def __init__(
        self,
        columns: Sequence[Column | Maps],
        weights: Sequence[npt.ArrayLike | bool],
        *,
        skips: Sequence[Skip] = (),
        theme: Theme = DARK,
        width: float = 6.0,
        height: float = 4.2,
        largest: Sequence[float] | None = None,
        unit: float = UNIT,
        widest: float = 0.035,
    ) -> None:
        """Draw a network.

        Args:
            columns: From the input to the output.
            weights: Per gap between two columns (next unit, unit), as in `torch.nn.Linear.weight`; also only the
                drawn rows and columns of it. True for a wire, False for nothing.
            skips: The arrows that skip.
            width: From the first column's middle to the last one's, in frame units; `height` of the tallest column.
            largest: Per gap the |weight| that has the widest edge; that of the drawn ones when omitted.
            unit: The diameter of a unit.
            widest: The width of the widest edge.
        """
        super().__init__()
        self.columns, self.theme, self.height_of_columns = tuple(columns), theme, height
        self.across = np.linspace(-width / 2, width / 2, len(columns))
        self.pitch = width / max(len(columns) - 1, 1)
        self.units: list[Any] = [self._part(column, x, unit) for column, x in zip(columns, self.across, strict=True)]
        self.panels: dict[int, Panel] = {
            place: Panel(self.across[place], self._box(place), theme=theme)
            for place, column in enumerate(columns)
            if column.block
        }
        self.edges: list[Any] = [self._gap(gap, each, largest, widest) for gap, each in enumerate(weights)]
        self.arcs = self._arcs(skips)
        room = self.pitch - 0.12
        self.labels = VGroup(*(self._label(place, room) for place in range(len(columns))))
        drawn = [each for each in self.edges if each is not None]
        self.add(VGroup(*drawn, *(wire for wire, _ in self.arcs)), VGroup(*self.panels.values(), *self.units))
        first, last = self.across[[0, -1]]
        self.ends = Line((first, 0, 0), (last, 0, 0), stroke_opacity=0)  # columns of which nothing was kept are empty
        self.add(self.labels, self.ends)
        self._carry()

    # ── what it shows ────────────────────────────────────────────────────────────────────────────────────────────

    def set_values(self, values: Sequence[npt.ArrayLike]) -> NetworkDiagram:
        """Show other activations: per column (unit,), of all its units; of maps those that are drawn."""
        for column, units, activations in zip(self.columns, self.units, values, strict=True):
            shown = np.asarray(activations, float)
            units.values = shown[column.drawn] if isinstance(column, Column) else shown
        self._carry()
        return self

    def set_weights(self, weights: Sequence[npt.ArrayLike | bool]) -> NetworkDiagram:
        """Show other weights: per gap the whole matrix (next unit, unit), or only its drawn rows and columns."""
        for gap, matrix in enumerate(weights):
            if isinstance(self.edges[gap], Edges):
                self.edges[gap].weights = self._drawn(gap, matrix)
        return self

    def set_gradients(self, gradients: Sequence[npt.ArrayLike | None]) -> NetworkDiagram:
        """Take the gradient at each column, as `set_values`; None where there is none. Each column has its scale."""
        for place, (column, units, each) in enumerate(zip(self.columns, self.units, gradients, strict=True)):
            shown = np.zeros_like(units.values) if each is None else np.asarray(each, float)
            units.set_gradients(shown[column.drawn] if each is not None and isinstance(column, Column) else shown)
            edges = self.edges[place - 1] if place else None
            if isinstance(edges, Edges):
                edges.gradient = units.gradients
        return self

    def set_updates(self, updates: Sequence[npt.ArrayLike | bool]) -> NetworkDiagram:
        """Take by how much each weight is moved, as `set_weights`."""
        for gap, matrix in enumerate(updates):
            if isinstance(self.edges[gap], Edges):
                self.edges[gap].change = self._drawn(gap, matrix)
        return self

    # ── what runs through it ─────────────────────────────────────────────────────────────────────────────────────

    def set_pass(self, position: float) -> NetworkDiagram:
        """Show how far the forward pass has come: 0 at the input, 1 at the first layer, 1.5 half-way to the next.

        A unit shows its activation once the flash has reached it; before 0 the input is empty too.
        """
        for index, units in enumerate(self.units):
            units.reached = np.full(len(units.values), np.clip((position - index) / TAIL + 1, 0, 1))
        for place, panel in self.panels.items():
            panel.reached = float(np.clip((position - place) / TAIL + 1, 0, 1))
        self._flash("flash", position)
        return self

    def set_back(self, position: float | None) -> NetworkDiagram:
        """Show how far the backward pass has come: 0 at the loss, 1 at the last column, 2 at the one before it.

        A unit shows its gradient from then on. None: there is no backward pass, and all show their activations.
        """
        last = len(self.units) - 1
        there = -np.inf if position is None else float(position) - 1
        for index, units in enumerate(self.units):
            has_gradient = index > 0 and units.largest > 0  # the input's is not recorded
            units.returned = np.clip(np.asarray((there - last + index) / TAIL + 1), 0, 1) * has_gradient
        for place, panel in self.panels.items():
            panel.returned = float(np.clip((there - last + place) / TAIL + 1, 0, 1))
        self._flash("back", there)
        return self

    def set_changing(self, strength: float) -> NetworkDiagram:
        """Show the updates above the weights, 0 not at all, 1 fully."""
        for edges in self.edges:
            if isinstance(edges, Edges):
                edges.changing = strength
        return self

    def forward(self, seconds: float = 1.0, **options: Any) -> Animation:
        """Return the forward pass as a flash along the edges, so many seconds a layer."""
        end = len(self.edges) + TAIL
        return UpdateFromAlphaFunc(
            self,
            lambda diagram, alpha: diagram.set_pass(alpha * end),
            run_time=seconds * len(self.edges),
            rate_func=linear,
            **options,
        )

    def backward(self, seconds: float = 1.0, **options: Any) -> Animation:
        """Return the backward pass: the same way reversed, in the gradient's colour, so many seconds a layer."""
        end = len(self.edges) + 1 + TAIL
        return UpdateFromAlphaFunc(
            self,
            lambda diagram, alpha: diagram.set_back(alpha * end),
            run_time=seconds * len(self.edges),
            rate_func=linear,
            **options,
        )

    def arrive(self, seconds: float = 1.0) -> Animation:
        """Return how the input's units fill, one after the other from the top."""
        count = len(self.units[0].values)
        units = self.units[0]

        def fill(_: Mobject, alpha: float) -> None:
            units.reached = np.clip(alpha * (count + 1) - np.arange(count), 0, 1)

        return UpdateFromAlphaFunc(self, fill, run_time=seconds, rate_func=linear)

    @property
    def middle(self) -> Array:
        """(3,) the middle of the first and the last column, without their labels."""
        return np.asarray((self.ends.get_start() + self.ends.get_end()) / 2)

    def _flash(self, which: str, position: float) -> None:
        """Let a flash stand in each gap and on each arc where it is: forward from 0, back from the last column."""
        last = len(self.units) - 1
        ways = [(edges, gap, gap + 1) for gap, edges in enumerate(self.edges) if edges is not None]
        ways += [(wire, skip.start, skip.end) for wire, skip in self.arcs]
        for way, start, end in ways:
            begun = position - start if which == "flash" else position - (last - end)
            there = begun / (end - start)
            setattr(way, which, there if 0 < there < 1 + TAIL - 1e-9 else None)

    def _carry(self) -> None:
        for edges, units in zip(self.edges, self.units, strict=False):
            if isinstance(edges, Edges):
                edges.signal = units.values

    def _drawn(self, gap: int, matrix: Any) -> Array:
        rows, columns, weights = self.columns[gap + 1].drawn, self.columns[gap].drawn, np.asarray(matrix, float)  # type: ignore[union-attr]  # weights join columns only
        if weights.shape == (len(rows), len(columns)):
            return weights
        return np.asarray(weights[np.ix_(rows, columns)])

    # ── how it is built ──────────────────────────────────────────────────────────────────────────────────────────

    def _gap(self, gap: int, matrix: Any, largest: Sequence[float] | None, widest: float) -> Edges | Wire | None:
        if matrix is False:
            return None
        if matrix is True:
            return Wire([self._side(gap, 1), self._side(gap + 1, -1)], theme=self.theme)
        drawn = self._drawn(gap, matrix)
        most = float(np.abs(drawn).max(initial=0.0)) if largest is None else largest[gap]
        starts, ends = self.units[gap].middles(), self.units[gap + 1].middles()
        return Edges(starts, ends, drawn, largest=most, widest=widest, theme=self.theme)

    def _part(self, column: Column | Maps, across: float, size: float) -> Filled:
        if isinstance(column, Maps):
            return Plates(self._plates(column, across), column.values, self._shade(column), theme=self.theme)
        span = (self.height_of_columns if column.span is None else column.span) * (BOXED if column.block else 1)
        count = len(column.drawn)
        ups = np.linspace(span / 2, -span / 2, count) if count > 1 else np.zeros(1)
        middles = np.stack([np.full(len(ups), across), ups, np.zeros(len(ups))], axis=1)
        shown = column.values[column.drawn]
        return Units(middles, shown, size, self._shade(column), theme=self.theme)

    def _plates(self, column: Maps, across: float) -> Array:
        """Return where maps stand, (map, 4, 3): as large as there is room in both directions."""
        count = len(column.values)
        rows, columns = column.values.shape[1:3]
        tall = self.height_of_columns * (BOXED if column.block else 1)
        widest = min(WIDEST_MAP, (0.48 if column.block else 0.62) * self.pitch) * column.scale
        high = min((tall - GAP * (count - 1)) / max(count, 1), widest * rows / columns)
        wide = min(widest, high * columns / rows)
        ups = (np.arange(count) - (count - 1) / 2)[::-1] * (high + GAP)
        middles = np.stack([np.full(count, across), ups, np.zeros(count)], axis=1)
        corners = np.array([(-wide, high, 0), (wide, high, 0), (wide, -high, 0), (-wide, -high, 0)]) / 2
        return np.asarray(middles[:, None] + corners)

    def _shade(self, column: Column | Maps) -> Callable[[Array], Array]:
        if column.image is not None:
            low, high = column.image
            colour = isinstance(column, Maps) and column.values.ndim == 4
            return lambda values: shades.grey(values, low, high)[..., 0] if colour else shades.grey(values, low, high)
        largest = float(np.abs(column.values).max(initial=0.0)) if column.largest is None else column.largest
        theme = self.theme
        return lambda values: shades.signed(values, largest, theme)

    def _box(self, place: int) -> Array:
        """Return the width and the height of a block, (2,)."""
        units = self.units[place]
        inside = np.array([units.width, units.height]) if len(units.points) else np.array([0.3, 0.8])
        return np.maximum(inside + 0.24, (0.5 * min(self.pitch, WIDEST_MAP), 1.0))

    def _side(self, place: int, towards: int) -> Array:
        """Return the middle of a column's left (−1) or right (1) side, (3,)."""
        thing = self.panels.get(place, self.units[place])
        reach = thing.width / 2 if len(thing.points) else 0.0
        return np.array([self.across[place] + towards * (reach + 0.05), 0.0, 0.0])

    def _top(self, place: int) -> float:
        thing = self.panels.get(place, self.units[place])
        return float(thing.get_top()[1]) if len(thing.points) else 0.0

    def _arcs(self, skips: Sequence[Skip]) -> list[tuple[Wire, Skip]]:
        """Return the arrows that skip, short ones below long ones."""
        found: list[tuple[Wire, Skip]] = []
        heights: dict[Skip, float] = {}
        for skip in sorted(skips, key=lambda each: (each.end - each.start, each.start)):
            inside = range(skip.start + 1, skip.end + int(skip.after))
            below = [height for other, height in heights.items() if other.start < skip.end and skip.start < other.end]
            up = max([self._top(place) for place in inside] + [height + ARC - 0.2 for height in below]) + 0.2
            heights[skip] = up
            leaves = self._right_of(skip.start, 0.7)
            meets = self._right_of(skip.end, 0.3) if skip.after else self._side(skip.end, -1)[0] - 0.12
            way = [(leaves, 0, 0), (leaves, up, 0), (meets, up, 0), (meets, 0.03, 0)]
            found.append((Wire(way, theme=self.theme), skip))
        return found

    def _right_of(self, place: int, share: float) -> float:
        """Return how far right a share of the gap behind a column is; behind the last one as if another followed."""
        start = float(self._side(place, 1)[0])
        last = place + 1 == len(self.units)
        return start + share * (0.3 if last else float(self._side(place + 1, -1)[0]) - start)

    def _label(self, place: int, room: float) -> StageLabel:
        """Say how many units there are and what they are, as fully as there is room between the columns."""
        column = self.columns[place]
        names = (column.name,) if isinstance(column.name, str) else column.name
        amounts = column.block or column.amounts
        lowest = -max(self._top(each) for each in range(len(self.units))) + UNIT / 2
        label = StageLabel(amounts, names, room, theme=self.theme, name_first=bool(column.block))
        return label.shift((self.across[place], lowest - 0.4, 0))
