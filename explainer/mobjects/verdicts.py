"""A table of what goes together and what does not: a mark, two columns of code, and what comes of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from manim import LEFT, Line, VGroup, VMobject

from explainer import theme as colours
from explainer.mobjects.words import BODY, SMALL, Words
from explainer.theme import DARK, Theme, ink

PITCH = 0.62  # frame units from one row to the next


class Verdicts(VGroup):
    """Rows of two things, whether they go together, and what comes of it.

    Attributes:
        rows: (first, second, whether they go together, what comes of it).
        lines: The rows as they are drawn, the heading first: its words from the left.
    """

    def __init__(
        self, rows: Sequence[tuple[str, str, bool, str]], headings: tuple[str, str, str], *, theme: Theme = DARK,
        across: tuple[float, float, float] = (0.6, 4.1, 7.4), width: float = 12.4,
    ) -> None:  # fmt: skip
        """Lay out the rows.

        Args:
            across: Where the three columns begin, from the left edge, in frame units.
            width: Of the rules between rows.
        """
        super().__init__()
        self.rows, self.lines = list(rows), VGroup()
        heading = VGroup(*(Words(words, size=SMALL, colour=theme.quiet) for words in headings))
        self._lay(heading, 0.0, across)
        for place, (first, second, right, more) in enumerate(rows, 1):
            colour = theme.text if right else theme.quiet
            line = VGroup(
                Words(first, size=BODY, colour=theme.text), Words(second, size=BODY, colour=theme.text),
                Words(more, size=SMALL if len(more) > 12 else BODY, colour=colour),
            )  # fmt: skip
            y = -PITCH * place
            self._lay(line, y, across)
            line.add(mark(right, theme).move_to((0.15, y, 0)))
            rule = Line((0, y + PITCH / 2, 0), (width, y + PITCH / 2, 0), color=theme.line, stroke_width=1.5)
            self.add(rule)
        self.add(self.lines)
        self.center()

    def _lay(self, line: VGroup, y: float, across: Sequence[float]) -> None:
        for words, x in zip(line, across, strict=True):
            words.set_x(x, LEFT).at_baseline(y - 0.1)
        self.lines.add(line)


def mark(right: bool, theme: Theme = DARK) -> VMobject:
    """Return a tick for right, a cross for wrong: told apart by shape, not by colour alone."""
    if right:
        tick = VMobject(stroke_color=ink(colours.RIGHT, theme), stroke_width=7)
        return tick.set_points_as_corners(np.array([(-0.14, 0, 0), (-0.04, -0.12, 0), (0.16, 0.14, 0)]))
    cross = VMobject(stroke_color=ink(colours.NEGATIVE, theme), stroke_width=6)
    cross.start_new_path(np.array([-0.12, -0.12, 0.0])).add_line_to(np.array([0.12, 0.12, 0.0]))
    cross.start_new_path(np.array([-0.12, 0.12, 0.0])).add_line_to(np.array([0.12, -0.12, 0.0]))
    return cross
