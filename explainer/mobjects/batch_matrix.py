"""A batch's probabilities as a matrix: a row for each example, a column for each class, and what they sum to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from manim import DOWN, LEFT, RIGHT, UP, Rectangle, VGroup, VMobject

from explainer import theme as colours
from explainer.mobjects.bars import outline
from explainer.mobjects.grid import MOST, Grid
from explainer.mobjects.words import MINIMUM, SMALL, Words, number
from explainer.theme import DARK, Theme

Array = npt.NDArray[np.float64]

ROOMY = 0.9  # frame units, of a column whose sum stands under it, where there is room


class BatchMatrix(VGroup):
    """Probabilities, (example, class), with a frame around each example's right class; the first 16 of each.

    Attributes:
        grid: The matrix.
        picks: The frames of the right classes, as one outline.
        names: The right answers at the left, and the classes above; `about` is what the matrix is.
        sums: At the right those of the rows, or below those of the columns, one word for each.
    """

    def __init__(
        self, probabilities: npt.ArrayLike, targets: npt.ArrayLike, classes: Sequence[str], *, axis: int, about: str,
        theme: Theme = DARK, width: float = 8.5, height: float = 3.4,
    ) -> None:  # fmt: skip
        """Draw the matrix; the sums move along, but are for who shows the matrix to show.

        Args:
            targets: (example,) the right classes.
            axis: Over which sums are made: 1 along the rows, 0 along the columns.
            about: What stands above; where no numbers have room in the cells, what their colour says too.
        """
        super().__init__()
        values, self.axis, self.theme = np.asarray(probabilities, float), axis, theme
        self.grid = Grid(values, theme=theme, largest=1.0, decimals=2, width=width, height=height)
        self._widen(width)
        self.names, self.sums = VGroup(), VGroup()
        right = np.asarray(targets)[:MOST]
        self.picks = self._picks(right)
        cells = self.grid.cells
        middles = cells.cells()
        for row, target in enumerate(right):
            word = Words(classes[target], size=MINIMUM, colour=theme.text, bold=True)
            self.names.add(word.set_x(cells.get_left()[0] - 0.2, RIGHT).set_y(middles[row, 0][1]))
        for place, name in enumerate(classes[: middles.shape[1]]):
            word = Words(name, size=MINIMUM, colour=theme.quiet)
            self.names.add(word.set_x(middles[0, place][0]).set_y(cells.get_top()[1] + 0.25))
        if not self.grid.texts:  # what their sizes are is then said by colour only
            cut = f", {MOST} of {len(classes)} classes" if len(classes) > MOST else ""
            about += f"{cut}; the bluer, the larger"
        self.about = Words(about, size=SMALL, colour=theme.quiet).next_to(cells, UP, buff=0.5).align_to(cells, LEFT)
        for place, total in enumerate(values.sum(axis=axis)[:MOST]):
            word = Words(number(float(total), 2), size=SMALL if axis == 1 else MINIMUM, colour=theme.quiet)
            if axis == 1:
                word.set_x(self.grid.get_right()[0] + 0.2, LEFT).set_y(middles[place, 0][1])
            else:
                word.set_x(middles[0, place][0]).set_y(self.grid.get_bottom()[1] - 0.3)
            self.sums.add(word)
        self.add(self.grid, self.picks, self.names, self.about)

    def shift(self, *vectors: Any) -> BatchMatrix:
        """Move, with the sums."""
        self.sums.shift(*vectors)
        super().shift(*vectors)
        return self

    def middle(self, at: int) -> Array:
        """Return the middle of a row, or of a column where sums are along these, (3,)."""
        cells = self.grid.cells.cells()
        return np.asarray((cells[at] if self.axis == 1 else cells[:, at]).mean(axis=0))

    def frame(self, at: int) -> Rectangle:
        """Return a frame around a row or a column."""
        cells = self.grid.cells
        rows, columns = cells.values.shape
        down, across = (rows, 1) if self.axis == 1 else (1, columns)
        frame = Rectangle(width=cells.width / across + 0.08, height=cells.height / down + 0.08)
        return frame.set_stroke(self.theme.text, 4).move_to(self.middle(at))

    def _widen(self, width: float) -> None:
        """Give columns without numbers in them as much room as their names and sums need."""
        cells, columns = self.grid.cells, self.grid.cells.values.shape[1]
        if self.grid.texts:
            return
        cells.stretch_to_fit_width(min(columns * ROOMY, width))
        for dots in self.grid[1:]:
            dots.next_to(cells, RIGHT if dots.words == "⋯" else DOWN, buff=0.05)

    def _picks(self, right: npt.NDArray[np.int64]) -> VMobject:
        cells = self.grid.cells
        middles, (rows, columns) = cells.cells(), cells.values.shape
        half = np.array([cells.width / columns, cells.height / rows, 0.0]) / 2 - [0.02, 0.02, 0]
        seen = [(row, target) for row, target in enumerate(right) if target < columns]
        signs = np.array([(-1, 1, 0), (1, 1, 0), (1, -1, 0), (-1, -1, 0)])
        picks = VMobject(stroke_color=colours.RIGHT, stroke_width=3.5)
        if seen:
            picks.set_points(outline(np.stack([middles[at] + signs * half for at in seen])))
        return picks
