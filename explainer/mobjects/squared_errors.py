"""Squared errors as literal squares, and the column that they make, whose height is their mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cairo
import numpy as np
import numpy.typing as npt
from manim import DOWN, LEFT, RIGHT, UP, Camera, Line, VGroup

from explainer import theme as colours
from explainer.mobjects import shades
from explainer.mobjects.counter import Counter
from explainer.mobjects.function_plot import FunctionPlot, limits_of, ticks
from explainer.mobjects.painted import Array, Painted, source
from explainer.mobjects.words import BODY, MINIMUM, Words, number
from explainer.theme import DARK, Theme, ink

APART = 1.25  # frame units between the plot and the column: its numbers stand there
LEAST_SPREAD = 0.34  # the examples take at least this share of the plot's width
WIDEST = 1.9  # of the column, in frame units


class SquaredErrors(VGroup):
    """A plot of examples and a network's outputs, a square on each error, and a column of the squares' mean.

    A square's side is its error, in the unit of the vertical axis. The column is `wide` of the same units, and each
    square enters it with 1/n of its area, so that wide · height is the mean of the areas.

    Attributes:
        plot: The examples and the outputs.
        squares: The squares at their examples, and `slabs` the parts of the column, in the order of x.
        wide: The column's width in units of y, a round number; `ruler` is the axis beside it.
        outputs: (example,) those that are drawn now.
        mean: The number above the column.
    """

    def __init__(
        self,
        x: npt.ArrayLike,
        targets: npt.ArrayLike,
        shown: npt.ArrayLike,
        *,
        theme: Theme = DARK,
        width: float = 12.0,
        height: float = 4.2,
        radius: float = 0.075,
        size: float = BODY,
    ) -> None:
        """Draw the first of the outputs, with room for the squares of all of them.

        Args:
            x: (example,) ascending, and `targets` (example,).
            shown: (moment, example) all outputs that are going to be drawn.
            width: Of plot and column together, without the words around them; `height` alike.
            size: Of the number above the column.
        """
        super().__init__()
        self.x, self.targets = np.asarray(x, float), np.asarray(targets, float)
        shown = np.asarray(shown, float)
        self.outputs, self.theme = shown[0], theme
        self.ways = ways_off(self.x, shown[0], self.targets)
        up = limits_of(self.targets, shown, margin=0.06)
        mean = float(np.mean((shown - self.targets) ** 2, axis=1).max())
        self.wide = column_width(mean, up[1] - up[0])
        sides = np.abs(shown - self.targets)
        unit, across, room = fit(self.x, sides * self.ways, up[1] - up[0], self.wide, width, height)
        self.plot = FunctionPlot(
            self.x, self.targets, shown[0], across=across, up=up, theme=theme, width=room,
            height=unit * (up[1] - up[0]), radius=radius,
        )  # fmt: skip
        box = self.plot.dots.points[[0, 4, 8, 12, 0]]
        self.squares, self.slabs = Rectangles(box, self.squares_at(shown[0]), theme), Rectangles(box, None, theme)
        self.ruler = self._ruler(mean / self.wide)
        self.mean = Counter(0, decimals=decimals_of(mean), size=size, colour=ink(colours.LOSS, theme))
        self.slabs.set_rectangles(self.slabs_at(shown[0]))
        self.add(self.plot.about, self.ruler, self.squares, self.plot.curve, self.plot.dots, self.slabs, self.mean)
        self.show_mean(float(np.mean((shown[0] - self.targets) ** 2)))
        self.center()

    @property
    def foot(self) -> Array:
        """(3,) the column's lower left corner."""
        return self.plot.at(self.plot.across[1], self.plot.up[0]) + RIGHT * APART

    @property
    def column(self) -> float:
        """The column's width in frame units."""
        return self.wide * self.plot.unit

    def squares_at(self, outputs: Array) -> Array:
        """Return the squares on the errors of outputs (example,), (example, 4): left, bottom, width, height."""
        ends = self.plot.at(self.x, outputs)[:, :2], self.plot.at(self.x, self.targets)[:, :2]
        side = np.abs(ends[0][:, 1] - ends[1][:, 1])
        left = ends[0][:, 0] + np.where(self.ways < 0, -side, 0)
        return np.column_stack([left, np.minimum(ends[0][:, 1], ends[1][:, 1]), side, side])

    def slabs_at(self, outputs: Array) -> Array:
        """Return the column's slabs, (example, 4): each of 1/n of its square's area, one on top of the other."""
        areas = self.squares_at(outputs)[:, 2] ** 2 / len(self.x)
        heights = areas / self.column
        bottoms = self.foot[1] + np.concatenate([[0], np.cumsum(heights)[:-1]])
        return np.column_stack(
            [np.full(len(areas), self.foot[0]), bottoms, np.full(len(areas), self.column), heights]
        )

    def set_outputs(self, outputs: Array) -> SquaredErrors:
        """Draw other outputs, (example,): the curve, the squares, the column."""
        self.outputs = outputs
        self.plot.set_outputs(outputs)
        self.squares.set_rectangles(self.squares_at(outputs))
        self.slabs.set_rectangles(self.slabs_at(outputs))
        return self

    def show_mean(self, value: float) -> SquaredErrors:
        """Write a number above the column."""
        self.mean.set_value(value)
        top = self.slabs.drawn()
        high = float((top[:, 1] + top[:, 3]).max(initial=self.foot[1]))
        across = max(self.column, self.mean.width) / 2  # clear of the ruler, which is to the left
        self.mean.move_to((self.foot[0] + across, high + 0.1 + self.mean.height / 2, 0))
        return self

    def grow(self, share: float) -> None:
        """Draw the errors as lines from the curve to the dots, then pull them out into squares."""
        long, broad = min(1.0, 2 * share), max(0.0, 2 * share - 1)
        left, bottom, side, _ = self.squares_at(self.outputs).T
        above = self.outputs > self.targets  # the line grows from the curve
        down = np.where(above, bottom + (1 - long) * side, bottom)
        start = np.where(self.ways < 0, left + (1 - broad) * side, left)
        self.squares.set_rectangles(np.column_stack([start, down, broad * side, long * side]))

    def slide(self, share: float) -> None:
        """Draw the squares' copies on their way into the column, one after the other."""
        squares, slabs = self.squares_at(self.outputs), self.slabs_at(self.outputs)
        late = np.linspace(0, 0.6, len(squares))
        own = np.clip((share - late) / 0.4, 0, 1)[:, None]
        own = own * own * (3 - 2 * own)
        middles = [each[:, :2] + each[:, 2:] / 2 for each in (squares, slabs)]
        middle = middles[0] + own * (middles[1] - middles[0])
        extent = squares[:, 2:] ** (1 - own) * np.maximum(slabs[:, 2:], 1e-9) ** own  # the area shrinks evenly
        self.slabs.set_rectangles(np.column_stack([middle - extent / 2, extent])[own[:, 0] > 0])

    def _ruler(self, top: float) -> VGroup:
        """Return the column's axis: the mean that a height stands for."""
        plot, parts = self.plot, VGroup()
        high = self.foot + UP * min(max(top * plot.unit * 1.08, 0.5), plot.dots.height)
        parts.add(Line(self.foot, high, color=self.theme.line, stroke_width=2))
        parts.add(Line(self.foot, self.foot + RIGHT * self.column, color=self.theme.line, stroke_width=2))
        marks = ticks(0.0, float(high[1] - self.foot[1]) / plot.unit * self.wide)
        decimals = max(0, int(np.ceil(-np.log10(marks[1]) - 1e-9))) if len(marks) > 1 else 1
        for value in marks:
            place = self.foot + UP * value / self.wide * plot.unit
            stroke = Line(place, place + LEFT * 0.08, color=self.theme.line, stroke_width=2)
            words = Words(number(value, decimals), size=MINIMUM, colour=self.theme.quiet)
            parts.add(stroke, words.next_to(stroke, LEFT, buff=0.08))
        wide = Words(f"{self.wide:g} wide", size=MINIMUM, colour=self.theme.quiet)
        parts.add(wide.next_to(self.foot + RIGHT * self.column / 2, DOWN, buff=0.16))
        return parts


class Rectangles(Painted):
    """Many rectangles as one, see-through, in the colour of losses; its points are a box that they move with.

    Attributes:
        places: (rectangle, 4) left, bottom, width, height, as shares of the box.
    """

    data = ("places",)

    def __init__(self, box: Array, rectangles: Array | None, theme: Theme) -> None:
        super().__init__(fill_opacity=1, stroke_width=0)
        self.set_points_as_corners(box)
        self.theme = theme
        self.set_rectangles(np.empty((0, 4)) if rectangles is None else rectangles)

    def set_rectangles(self, rectangles: Array) -> Rectangles:
        """Draw others, (rectangle, 4) left, bottom, width, height in frame units."""
        corner, size = self._box()
        self.places = (rectangles - np.concatenate([corner, [0, 0]])) / np.tile(size, 2)
        return self

    def drawn(self) -> Array:
        """Return the rectangles as they stand now, (rectangle, 4) in frame units."""
        corner, size = self._box()
        return np.asarray(self.places * np.tile(size, 2) + np.concatenate([corner, [0, 0]]))

    def _box(self) -> tuple[Array, Array]:
        return self.points[0][:2], (self.points[8] - self.points[0])[:2]

    def paint(self, pen: cairo.Context[Any], camera: Camera) -> None:
        """Paint the fills, then the rims."""
        opacity = float(self.get_fill_opacity())
        colour = shades.rgb(colours.LOSS)
        known = [each for each in self.drawn().tolist() if np.isfinite(each).all()]
        source(pen, colour, 0.16 * opacity)
        for left, bottom, width, height in known:
            pen.rectangle(left, bottom, width, height)
            pen.fill()
        source(pen, colour, opacity)
        pen.set_line_width(0.022)
        pen.set_line_join(cairo.LINE_JOIN_MITER)
        for left, bottom, width, height in known:
            pen.rectangle(left, bottom, width, height)
        pen.stroke()


def ways_off(x: Array, outputs: Array, targets: Array) -> Array:
    """Return to which side each square goes, 1 or −1, (example,): where the curve, were it straight, leaves room."""
    slope = float((x - x.mean()) @ outputs)
    return np.where((outputs - targets) * (slope or 1.0) >= 0, 1.0, -1.0)


def decimals_of(mean: float) -> int:
    """Return how many decimals a mean is written with: three, fewer if it is large, more if it is small."""
    power = int(np.floor(np.log10(mean))) if mean > 0 else 0
    return max(0, 3 - power) if power >= 0 else min(6, max(3, 2 - power))


def column_width(mean: float, extent: float) -> float:
    """Return a round width for the column, in units of y, on which the mean is no higher than the plot.

    Args:
        mean: The highest that there will be.
        extent: From the foot of the plot to its top.
    """
    least = max(mean / (0.9 * extent), 0.12 * extent)
    power = 10.0 ** np.floor(np.log10(least))
    return float(next(step * power for step in (1, 2, 5, 10) if step * power >= least * (1 - 1e-9)))


def fit(
    x: Array, offsets: Array, extent: float, wide: float, width: float, height: float
) -> tuple[float, tuple[float, float], float]:
    """Return how large a unit of y is, which x the plot goes from and to, and how wide it is, so that all is within.

    Args:
        offsets: (moment, example) each square's side with the sign of the side that it goes to, in units of y.
        extent: Of y in the plot; `wide` is the column's width; both in units of y.
        width: Of plot and column with the gap between them, in frame units; `height` alike.
    """
    spread = max(float(np.ptp(x)), 1e-9)
    unit = height / extent
    for _ in range(200):
        room = width - APART - wide * unit
        right, left = np.maximum(offsets, 0).max(axis=0) * unit, np.minimum(offsets, 0).min(axis=0) * unit

        def reach(each: float, right: Array = right, left: Array = left) -> tuple[float, float]:
            places = (x - x.min()) * each
            return float((places + left).min()), float((places + right).max())

        scale = _largest(lambda each: float(np.ptp(reach(each))), 0.94 * room, room / spread)
        if scale * spread >= LEAST_SPREAD * room and wide * unit <= WIDEST:
            low, high = reach(scale)
            spare = (room - (high - low)) / 2
            start = float(x.min()) + (low - spare) / scale
            return unit, (start, start + room / scale), room
        unit *= 0.97
    raise ValueError("squares cannot be made to fit")  # cannot be: at a unit of nothing all squares do


def _largest(extent: Callable[[float], float], room: float, most: float) -> float:
    """Return the largest number up to `most` whose extent is within the room, or zero; extents grow with it."""
    low, high = 0.0, most
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if extent(middle) <= room else (low, middle)
    return low
