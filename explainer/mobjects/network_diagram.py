"""A network as it is: columns of units filled by their activations, edges by their weights.

Drawn by data, not by class: a `Column` is numbers and a name, what joins two columns a weight matrix. At most 16 units
of a column are drawn, evenly chosen from all, so that each stands at the height where it stands among all; a label
says how many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import cairo
import numpy as np
import numpy.typing as npt
from manim import DOWN, Animation, Camera, Mobject, UpdateFromAlphaFunc, VGroup, linear

from explainer.mobjects import shades
from explainer.mobjects.bars import outline
from explainer.mobjects.painted import Array, Painted, source
from explainer.mobjects.words import MINIMUM, Words
from explainer.theme import DARK, Theme

MOST = 16  # units of a column that are drawn
TAIL = 0.35  # length of the flash, as a share of an edge


@dataclass(frozen=True)
class Column:
    """A layer's units, to be drawn one above the other.

    Attributes:
        values: (unit,) their activations.
        name: What stands under the column.
        largest: The magnitude that gets the full colour; the largest of `values` when omitted.
        span: The height of the column in frame units; the diagram's when omitted.
        image: Between which two numbers the units are pixels, from black to white; else they are signed numbers.
        drawn: (drawn unit,) which of the units are drawn; evenly chosen when omitted.
    """

    values: Array
    name: str
    largest: float | None = None
    span: float | None = None
    image: tuple[float, float] | None = None
    drawn: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    def __post_init__(self) -> None:
        if not len(self.drawn):
            object.__setattr__(self, "drawn", evenly(len(self.values)))


def evenly(count: int, most: int = MOST) -> npt.NDArray[np.int64]:
    """Return at most `most` indices, evenly chosen from all, the first and the last among them."""
    return np.unique(np.rint(np.linspace(0, count - 1, min(count, most))).astype(np.int64))


class Units(Painted):
    """Discs (or squares) filled by numbers; its points are the squares around them, so that it has a box.

    Attributes:
        values: (unit,) what the fills say, once they have been `reached` (unit,) from 0 to 1.
    """

    data = ("values", "reached")

    def __init__(
        self,
        middles: npt.ArrayLike,
        values: npt.ArrayLike,
        size: float,
        shade: Callable[[Array], Array],
        *,
        theme: Theme = DARK,
        square: bool = False,
        **style: Any,
    ) -> None:
        super().__init__(**{"fill_opacity": 1, "stroke_width": 1.5, "stroke_color": theme.line, **style})
        self.values = np.asarray(values, float)
        self.reached = np.ones(len(self.values))
        self.shade, self.square, self.empty = shade, square, shades.rgb(theme.panel)
        self.place(middles, size)

    def place(self, middles: npt.ArrayLike, size: npt.ArrayLike) -> Units:
        """Put the units elsewhere: (unit, 3) middles, and one diameter or (unit,) of them."""
        corners = np.array([(-1, 1, 0), (1, 1, 0), (1, -1, 0), (-1, -1, 0)]) / 2
        sizes = np.broadcast_to(np.asarray(size, float), (len(self.values),))
        self.set_points(outline(np.asarray(middles, float)[:, None] + corners * sizes[:, None, None]))
        return self

    def middles(self) -> Array:
        """Return where the units stand now, (unit, 3)."""
        corners = self.points.reshape(len(self.values), 4, 4, 3)[:, :, 0]
        return np.asarray(corners.mean(axis=1))

    def sizes(self) -> Array:
        """Return the units' diameters now, (unit,)."""
        corners = self.points.reshape(len(self.values), 4, 4, 3)[:, :, 0]
        return np.asarray(np.linalg.norm(corners[:, 1] - corners[:, 0], axis=-1))

    def colours(self) -> Array:
        """Return the units' fills, (unit, 3)."""
        return np.asarray(self.empty + (self.shade(self.values) - self.empty) * self.reached[:, None])

    def paint(self, pen: cairo.Context[Any], camera: Camera) -> None:
        """Paint each unit: its fill, then its outline."""
        opacity, line = float(self.get_fill_opacity()), self.get_stroke_rgbas()[0]
        pen.set_line_width(self.get_stroke_width() * camera.cairo_line_width_multiple)
        for (x, y, _), size, fill in zip(self.middles(), self.sizes(), self.colours(), strict=True):
            if self.square:
                pen.rectangle(x - size / 2, y - size / 2, size, size)
            else:
                pen.new_sub_path()
                pen.arc(x, y, size / 2, 0, 2 * np.pi)
            source(pen, fill, opacity)
            if self.get_stroke_width() == 0:
                pen.fill()
                continue
            pen.fill_preserve()
            source(pen, line[:3], float(line[3]))
            pen.stroke()


class Edges(Painted):
    """The edges between two columns: the weight's sign is the colour, its size the width.

    Attributes:
        weights: (end, start), those that are drawn.
        signal: (start,) the activations that the flash carries: it is the brighter, the larger |weight · activation|.
        flash: How far the flash has come: 0 at the start, 1 at the ends; None without.
    """

    data = ("weights", "signal")

    def __init__(
        self, starts: Array, ends: Array, weights: Array, *, largest: float, widest: float, theme: Theme = DARK
    ) -> None:
        super().__init__(fill_opacity=1, stroke_width=0)
        self.weights, self.largest, self.widest = np.asarray(weights, float), largest, widest
        self.signal = np.ones(len(starts))
        self.flash: float | None = None
        self.bright, self.theme = shades.rgb(theme.text), theme
        pairs = np.stack(np.broadcast_arrays(starts[None, :], ends[:, None]), axis=2)  # (end, start, 2, 3)
        thirds = np.arange(4)[:, None] / 3
        curves = pairs[:, :, :1] + thirds * (pairs[:, :, 1:] - pairs[:, :, :1])
        self.set_points(curves.reshape(-1, 3))

    def widths(self) -> Array:
        """Return the edges' widths in frame units, (end, start)."""
        return np.asarray(np.minimum(np.abs(self.weights) / max(self.largest, 1e-30), 1) * self.widest)

    def paint(self, pen: cairo.Context[Any], camera: Camera) -> None:
        """Paint each edge, thick ones last and thin ones fainter, and the flash above them."""
        starts, ends, opacity = self.points[0::4, :2], self.points[3::4, :2], float(self.get_fill_opacity())
        widths, colours = self.widths().ravel(), shades.signed(np.sign(self.weights).ravel(), 1, self.theme)
        seen = np.flatnonzero(widths > 0.001)
        for edge in seen[np.argsort(widths[seen])]:
            pen.move_to(*starts[edge])
            pen.line_to(*ends[edge])
            pen.set_line_width(widths[edge])
            source(pen, colours[edge], (0.1 + 0.7 * widths[edge] / self.widest) * opacity)
            pen.stroke()
        if self.flash is not None:
            self._paint_flash(pen, starts, ends, opacity)

    def _paint_flash(self, pen: cairo.Context[Any], starts: Array, ends: Array, opacity: float) -> None:
        carried = np.abs(self.weights * self.signal).ravel()
        strength = carried / max(float(carried.max(initial=0.0)), 1e-30)
        head, tail = min(self.flash or 0.0, 1.0), max((self.flash or 0.0) - TAIL, 0.0)
        fronts, backs = starts + head * (ends - starts), starts + tail * (ends - starts)
        for edge in np.flatnonzero(strength > 0.1) if head > tail else ():
            pen.move_to(*backs[edge])
            pen.line_to(*fronts[edge])
            pen.set_line_width(max(0.02, self.widest * 0.9) * strength[edge])
            source(pen, self.bright, strength[edge] * opacity)
            pen.stroke()


class NetworkDiagram(VGroup):
    """Columns of units from left to right, joined by their weights.

    Attributes:
        columns: What is drawn, as given.
        units: Per column its `Units`; `edges` per gap between two columns its `Edges`.
        labels: Per column how many units there are, and its name.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        weights: Sequence[npt.ArrayLike],
        *,
        theme: Theme = DARK,
        width: float = 6.0,
        height: float = 4.2,
        largest: Sequence[float] | None = None,
        unit: float = 0.2,
        widest: float = 0.035,
    ) -> None:
        """Draw a network.

        Args:
            columns: From the input to the output.
            weights: Per gap between two columns (next unit, unit), as in `torch.nn.Linear.weight`; also only the
                drawn rows and columns of it.
            width: From the first column's middle to the last one's, in frame units; `height` of the tallest column.
            largest: Per gap the |weight| that has the widest edge; that of the drawn ones when omitted.
            unit: The diameter of a unit.
            widest: The width of the widest edge.
        """
        super().__init__()
        self.columns, self.theme = tuple(columns), theme
        across = np.linspace(-width / 2, width / 2, len(columns))
        room = width / max(len(columns) - 1, 1) - 0.12
        self.units = [self._units(column, x, height, unit) for column, x in zip(columns, across, strict=True)]
        self.edges: list[Edges] = []
        self.labels = VGroup()
        for gap, matrix in enumerate(weights):
            drawn = self._drawn(gap, matrix)
            most = float(np.abs(drawn).max(initial=0.0)) if largest is None else largest[gap]
            starts, ends = self.units[gap].middles(), self.units[gap + 1].middles()
            self.edges.append(Edges(starts, ends, drawn, largest=most, widest=widest, theme=theme))
        for column, x in zip(columns, across, strict=True):
            self.labels.add(self._label(column, x, height, room))
        self.add(VGroup(*self.edges), VGroup(*self.units), self.labels)
        self._carry()

    def set_values(self, values: Sequence[npt.ArrayLike]) -> NetworkDiagram:
        """Show other activations: per column (unit,), of all its units."""
        for column, units, activations in zip(self.columns, self.units, values, strict=True):
            units.values = np.asarray(activations, float)[column.drawn]
        self._carry()
        return self

    def set_weights(self, weights: Sequence[npt.ArrayLike]) -> NetworkDiagram:
        """Show other weights: per gap the whole matrix (next unit, unit), or only its drawn rows and columns."""
        for gap, matrix in enumerate(weights):
            self.edges[gap].weights = self._drawn(gap, matrix)
        return self

    def set_pass(self, position: float) -> NetworkDiagram:
        """Show how far the forward pass has come: 0 at the input, 1 at the first layer, 1.5 half-way to the next.

        A unit shows its activation once the flash has reached it; before 0 the input is empty too.
        """
        for index, units in enumerate(self.units):
            units.reached = np.full(len(units.values), np.clip((position - index) / TAIL + 1, 0, 1))
        for gap, edges in enumerate(self.edges):
            there = position - gap
            edges.flash = there if 0 < there < 1 + TAIL else None
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
        first, last = self.units[0].get_center(), self.units[-1].get_center()
        return np.asarray((first + last) / 2)

    def _carry(self) -> None:
        for edges, units in zip(self.edges, self.units, strict=False):
            edges.signal = units.values

    def _drawn(self, gap: int, matrix: npt.ArrayLike) -> Array:
        rows, columns, weights = self.columns[gap + 1].drawn, self.columns[gap].drawn, np.asarray(matrix, float)
        if weights.shape == (len(rows), len(columns)):
            return weights
        return np.asarray(weights[np.ix_(rows, columns)])

    def _units(self, column: Column, across: float, height: float, size: float) -> Units:
        span = height if column.span is None else column.span
        count = len(column.drawn)
        ups = np.linspace(span / 2, -span / 2, count) if count > 1 else np.zeros(1)
        middles = np.stack([np.full(len(ups), across), ups, np.zeros(len(ups))], axis=1)
        shown = column.values[column.drawn]
        return Units(middles, shown, size, self._shade(column), theme=self.theme)

    def _shade(self, column: Column) -> Callable[[Array], Array]:
        if column.image is not None:
            low, high = column.image
            return lambda values: shades.grey(values, low, high)
        largest = float(np.abs(column.values).max(initial=0.0)) if column.largest is None else column.largest
        theme = self.theme
        return lambda values: shades.signed(values, largest, theme)

    def _label(self, column: Column, across: float, height: float, room: float) -> VGroup:
        """Say how many units there are and what they are, as fully as there is room between the columns."""
        count, drawn = len(column.values), len(column.drawn)
        amount = str(count) if drawn == count else f"{drawn} of {count}"
        for first, second in ((amount, column.name), (str(count), column.name), (str(count), "")):
            lines = VGroup(Words(first, size=MINIMUM, colour=self.theme.text))
            if second:
                lines.add(Words(second, size=MINIMUM, colour=self.theme.quiet))
            if lines.arrange(DOWN, buff=0.08).width <= room:
                break
        return lines.move_to((across, -height / 2 - 0.2 - lines.height / 2, 0))
