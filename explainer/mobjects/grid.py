"""Small arrays on screen: cells coloured by sign and size, with the numbers written in them where they can be read."""

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
from manim import DOWN, RIGHT, Rectangle, VGroup, VMobject

from explainer.mobjects.heat_map import HeatMap
from explainer.mobjects.words import MINIMUM, MINUS, Words, number
from explainer.theme import DARK, LIGHT, Theme, contrast

MOST = 16  # rows and columns that are drawn
TALLEST = 0.42  # frame units, of a cell
LARGEST = 0.32  # height of the numbers' em
DOTS = 0.25  # frame units, for the dots where an array goes on
PADDING = 0.17  # frame units, beside a number in its cell
BRIGHT, BLACK = DARK.text, LIGHT.text  # of the numbers
AHEAD = 1.35  # how much better dark numbers must stand out


class Grid(VGroup):
    """An array of numbers, (row, column), as cells; one that is larger than 16 × 16 is cut, and shows dots where.

    Attributes:
        values: (row, column) all numbers, also those that are cut off.
        texts: (row, column) what is written in the cells that are shown; empty where only colours are.
        cells: The heat map.
    """

    def __init__(
        self,
        values: npt.ArrayLike,
        *,
        theme: Theme = DARK,
        outline: str | None = None,
        height: float = 4 * TALLEST,
        width: float = 4.5,
        largest: float | None = None,
        decimals: int | None = None,
        numbers: bool = True,
        **kwargs: Any,
    ) -> None:
        """Draw the numbers.

        Args:
            outline: The colour of the quantity.
            height: The most that the cells may take, in frame units; `width` alike.
            largest: The magnitude that gets the full colour; the largest of `values` when omitted.
            decimals: As many as the largest number needs when omitted, from 3 to 6.
            numbers: Write the numbers where they can be read.
        """
        super().__init__(**kwargs)
        self.values = np.atleast_2d(np.asarray(values, float))
        shown = self.values[:MOST, :MOST]
        rows, columns = shown.shape
        height -= DOTS if len(self.values) > MOST else 0
        width -= DOTS if self.values.shape[1] > MOST else 0
        scale = float(np.abs(self.values).max(initial=0.0)) if largest is None else largest
        cell = min(TALLEST, height / rows)
        places = _decimals(shown) if decimals is None else decimals
        written = [[number(value, places, tiny=False) for value in row] for row in shown]
        size = min(LARGEST, cell / 1.3)
        usual = f"{MINUS}{0:.{places}f}"  # columns of one film are of one width, whichever signs they have
        widest = max(Words(text, size=max(size, MINIMUM)).width for text in {usual, *itertools.chain(*written)})
        if size >= MINIMUM and (shrink := (width / columns - PADDING) / widest) < 1:
            size, widest = size * shrink, widest * shrink
        readable = numbers and size >= MINIMUM
        across = widest + PADDING if readable else min(cell, width / columns) if columns > 1 else min(2 * cell, width)
        self.cells = HeatMap(
            shown, theme=theme, height=cell * rows, largest=scale, gap=min(0.02, 0.06 * cell),
            stroke_color=outline or theme.line, stroke_width=2.5,
        )  # fmt: skip
        self.cells.stretch_to_fit_width(across * columns)
        self.add(self.cells)
        self.texts = written if readable else []
        if readable:
            self._write(written, size, widest)
        self._dots(theme)

    @property
    def em(self) -> float:
        """The height of the numbers' em in frame units; infinite where none are written."""
        return min((part.em for part in self if isinstance(part, _Numbers)), default=float("inf"))

    def row(self, at: int) -> Rectangle:
        """Return a frame around a row of cells."""
        tall = self.cells.height / len(self.values[:MOST])
        top = float(self.cells.get_top()[1]) - at * tall
        frame = Rectangle(width=self.cells.width + 0.06, height=tall + 0.06, stroke_width=4, fill_opacity=0)
        return frame.move_to((float(self.cells.get_x()), top - tall / 2, 0.0))

    def _write(self, written: list[list[str]], size: float, widest: float) -> None:
        """Write all numbers of one colour as one outline: decimal points stand one under the other."""
        middles, fills = self.cells.cells(), self.cells.colours()
        parts: dict[str, list[npt.NDArray[np.float64]]] = {BRIGHT: [], BLACK: []}
        for row, texts in enumerate(written):
            for column, text in enumerate(texts):
                words = Words(text, size=size)
                words.move_to(middles[row, column]).at_baseline(float(middles[row, column][1]) - 0.365 * size)
                words.shift(RIGHT * (middles[row, column][0] + widest / 2 - words.get_right()[0]))
                parts[_readable_on(fills[row, column])].append(words.points)
        for colour, points in parts.items():
            if points:
                self.add(_Numbers(np.concatenate(points), colour, size))

    def _dots(self, theme: Theme) -> None:
        """Show where the array goes on."""
        rows, columns = self.values.shape
        if rows > MOST:
            self.add(Words("⋮", size=MINIMUM, colour=theme.quiet).next_to(self.cells, DOWN, buff=0.05))
        if columns > MOST:
            self.add(Words("⋯", size=MINIMUM, colour=theme.quiet).next_to(self.cells, RIGHT, buff=0.05))


class _Numbers(VMobject):
    def __init__(self, points: npt.NDArray[np.float64], colour: str, size: float) -> None:
        super().__init__(color=colour, fill_color=colour, fill_opacity=1, stroke_width=0)
        self.set_points(points)
        self._size, self._tall = size, max(self.height, 1e-9)

    @property
    def em(self) -> float:
        return float(self._size * self.height / self._tall)


def shape_words(values: npt.NDArray[Any]) -> str:
    """Return a shape as it is written under a matrix: "4×2"."""
    return "×".join(map(str, np.atleast_2d(values).shape))


def _readable_on(fill: npt.NDArray[np.float64]) -> str:
    """Return the one of two text colours that stands out better from a fill, whatever the theme.

    Light letters on a middling colour read better than WCAG's measure says, so dark ones must be clearly ahead there.
    """
    written = "#" + "".join(f"{round(channel * 255):02X}" for channel in fill)
    return BLACK if contrast(BLACK, written) > AHEAD * contrast(BRIGHT, written) else BRIGHT


def _decimals(values: npt.NDArray[np.float64]) -> int:
    """Return how many decimals show two digits of the largest number, from 3 to 6."""
    largest = float(np.abs(values[np.isfinite(values)]).max(initial=0.0))
    return next((places for places in (3, 4, 5, 6) if largest >= 10.0 ** (1 - places)), 3)
