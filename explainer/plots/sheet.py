"""A sheet to draw diagrams on: axes whose coordinates are multiples of the size of text, so that nothing collides."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.patches import Circle, FancyArrowPatch, Rectangle
from matplotlib.text import Text

from explainer.plots.style import number, points, settle
from explainer.theme import DARK, LIGHT, Theme, colour_of, contrast

Array = npt.NDArray[np.float64]

SMALL = 0.9  # the size of what is written into cells and beside them
ROW = 1.35  # the height of a cell
_DIGIT = 0.64 * SMALL  # the width of a digit


@dataclass
class Sheet:
    """Axes to draw a diagram on, measured in em: the size of what is written in passing.

    Attributes:
        width: From the left edge, 0, to the right; `height` from the bottom, 0, to the top.
    """

    ax: Axes
    theme: Theme
    width: float
    height: float
    _cells: list[Any] = field(default_factory=list)

    def write(self, x: float, y: float, words: str, *, size: float = SMALL, **style: Any) -> Text:
        """Write words about a point, centred in both directions unless `style` says otherwise."""
        look = {"color": self.theme.text, "ha": "center", "va": "center", "fontsize": points(size), **style}
        return self.ax.text(x, y, words, **{"math_fontfamily": "cm", **look})

    def extent(self, words: str, size: float = SMALL) -> float:
        """Return how wide words are, in em."""
        text = self.write(0, 0, words, size=size)
        width = text.get_window_extent().width * 72 / self.ax.figure.dpi / points(1)
        text.remove()
        return float(width)

    def line(self, way: Sequence[tuple[float, float]], colour: str, width: float = 1.2, **style: Any) -> None:
        """Draw a line along points."""
        self.ax.add_collection(LineCollection([list(way)], colors=[colour], linewidths=width, **style), autolim=False)

    def arrow(self, start: tuple[float, float], end: tuple[float, float], colour: str, **style: Any) -> None:
        """Draw an arrow from one point to another."""
        look = {"arrowstyle": "-|>", "mutation_scale": points(1.1), "color": colour, "linewidth": 2, "zorder": 2}
        self.ax.add_patch(FancyArrowPatch(start, end, shrinkA=0, shrinkB=0, **{**look, **style}))

    def ring(self, x: float, y: float, radius: float, symbol: str, colour: str) -> None:
        """Draw a node: a ring with its symbol."""
        face = self.theme.panel
        self.ax.add_patch(Circle((x, y), radius, facecolor=face, edgecolor=colour, linewidth=2, zorder=3))
        self.write(x, y - 0.05, f"${symbol}$", size=0.85 + 0.3 * radius, zorder=4)

    def put(self, block: Block, x: float, y: float, outline: str) -> None:
        """Draw a matrix about a point: its numbers, or in their place its shape and one number for all."""
        if isinstance(block, Numbers):
            self._grid(x, y + block.height / 2, block, outline)
            return
        corner = x - block.width / 2, y - block.height / 2
        self.ax.add_patch(
            Rectangle(corner, block.width, block.height, facecolor=self.theme.panel, edgecolor=outline, zorder=3)
        )
        for place, words in enumerate(block.lines):
            up = y + block.height / 2 - ROW * (place + 0.55)
            self.write(x, up, words, color=self.theme.text if place else self.theme.quiet, zorder=4)

    def _grid(self, x: float, top: float, numbers: Numbers, outline: str) -> None:
        """Draw cells, centred about x, with a number in each, coloured by its sign and size, and a frame around."""
        rows, columns = numbers.values.shape
        left, width = x - numbers.width / 2, numbers.width / columns
        finite = np.abs(numbers.values[np.isfinite(numbers.values)])
        largest = float(finite.max(initial=0.0))
        boxes, fills = [], []
        for row in range(rows):
            for column in range(columns):
                value = float(numbers.values[row, column])
                fill = colour_of(value, largest, self.theme) if np.isfinite(value) else self.theme.panel
                corner = (left + column * width, top - (row + 1) * ROW)
                boxes.append(Rectangle(corner, width, ROW))
                fills.append(fill)
                self.write(
                    corner[0] + width - 0.3, corner[1] + 0.48 * ROW, numbers.texts[row][column],
                    ha="right", color=readable_on(fill), zorder=4,
                )  # fmt: skip
        self.ax.add_collection(
            PatchCollection(boxes, facecolors=fills, edgecolors=outline, linewidths=1.2, zorder=3), autolim=False
        )


@dataclass(frozen=True)
class Numbers:
    """A small matrix as it is written.

    Attributes:
        values: (row, column)
        texts: Per row what stands in each cell.
    """

    values: Array
    texts: tuple[tuple[str, ...], ...]

    @property
    def width(self) -> float:
        """The width of its cells, in em."""
        longest = max(_wide(text) for row in self.texts for text in row)
        return float(self.values.shape[1] * (longest + 0.6))

    @property
    def height(self) -> float:
        """The height of its cells, in em."""
        return len(self.values) * ROW


@dataclass(frozen=True)
class Card:
    """What stands in place of a matrix that is too large to write.

    Attributes:
        lines: Its shape, and a number that stands for all.
    """

    lines: tuple[str, ...]

    @property
    def width(self) -> float:
        """In em, and so is `height`."""
        return 0.56 * SMALL * max(map(len, self.lines)) + 0.8

    @property
    def height(self) -> float:
        """The height of its lines."""
        return len(self.lines) * ROW


Block = Numbers | Card


def numbers(values: npt.ArrayLike) -> Numbers:
    """Return a column or a matrix as it is written: of fixed decimals, as many as the largest number needs."""
    table = np.asarray(values, np.float64)
    table = table.reshape(-1, 1) if table.ndim < 2 else table
    largest = float(np.abs(table[np.isfinite(table)]).max(initial=0.0))
    places = next((digits for digits in (3, 4, 5) if largest >= 10.0 ** (1 - digits)), 3)
    if largest and not 1e-4 <= largest < 1e4:
        return Numbers(table, tuple(tuple(_power(value) for value in row) for row in table))
    return Numbers(table, tuple(tuple(_fixed(value, places) for value in row) for row in table))


def spelled(value: float, digits: int = 3) -> str:
    """Write a number for the eye, also one that is not finite."""
    return _special(value) or number(value, digits)


def short(value: float) -> str:
    """Write a number in about six letters at most, such as 0.57 or 1e−5."""
    if not math.isfinite(value) or value == 0 or 1e-3 <= abs(value) < 1e4:
        return spelled(value, 2)
    return _power(value, 0)


def _fixed(value: float, places: int) -> str:
    return _special(value) or f"{value:.{places}f}".replace("-", "−")


def _power(value: float, digits: int = 1) -> str:
    return _special(value) or re.sub(r"e([-+])0*", r"e\1", f"{value:.{digits}e}").replace("+", "").replace("-", "−")


def _special(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "" if math.isfinite(value) else "∞" if value > 0 else "−∞"


def _wide(text: str) -> float:
    """Return about how wide a number is, in em."""
    return sum(0.5 * _DIGIT if letter == "." else 1.3 * _DIGIT if letter == "−" else _DIGIT for letter in text)


def readable_on(fill: str) -> str:
    """Return the text colour, of the light or the dark theme, that stands out better from a fill.

    Light letters on a middling colour read better than WCAG's measure says, so dark ones must be clearly ahead there.
    """
    light, dark = DARK.text, LIGHT.text
    return dark if contrast(dark, fill) > 1.35 * contrast(light, fill) else light


def sheet(ax: Axes, theme: Theme) -> Sheet:
    """Make a sheet of axes whose title has been written: their layout is settled, and nothing but ours is on them."""
    settle(ax)
    box, em = ax.get_window_extent(), points(1)
    width, height = (side * 72 / ax.figure.dpi / em for side in (box.width, box.height))
    ax.set(xlim=(0, width), ylim=(0, height))
    return Sheet(ax, theme, width, height)
