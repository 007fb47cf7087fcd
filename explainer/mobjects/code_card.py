"""Lines of code on a card, one of which is lit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from manim import LEFT, Line, RoundedRectangle, VGroup

from explainer.mobjects.baseline import OnBaseline
from explainer.mobjects.typesetting import quoted, strut, typeset
from explainer.mobjects.words import MINIMUM, check_size
from explainer.theme import DARK, Theme

LEADING = 1.65  # from one line to the next, in em
ROOM = 0.22  # around the lines


class Code(OnBaseline):
    """A line of code, every character of one width.

    Attributes:
        words: What it says.
    """

    def __init__(self, words: str, *, size: float = MINIMUM, colour: str = DARK.text) -> None:
        check_size(size)
        super().__init__(color=colour, fill_color=colour, fill_opacity=1, stroke_width=0)
        self.words = words
        runs = typeset(f'{strut()}#text(font: "DejaVu Sans Mono", {quoted(words)})')
        self.set_points(np.concatenate([run.points for run in runs]) * size)
        self._lay_baseline(size)


class CodeCard(VGroup):
    """A card with lines of code.

    Attributes:
        card: The ground; `lines` the code; `mark` the bar behind the line that is lit.
    """

    def __init__(self, lines: Sequence[str], *, theme: Theme = DARK, size: float = MINIMUM) -> None:
        """Write lines of code.

        Args:
            size: Height of the em in frame units.
        """
        super().__init__()
        self.theme = theme
        self.codes = [Code(line, size=size, colour=theme.text) for line in lines]
        self.lines = VGroup(*self.codes)
        for place, line in enumerate(self.codes):
            line.at_baseline(-LEADING * size * place).align_to(np.zeros(3), LEFT)
        width, height = self.lines.width + 2 * ROOM, LEADING * size * len(lines) + 2 * ROOM - 0.3 * size
        self.card = RoundedRectangle(
            width=width, height=height, corner_radius=0.12, stroke_width=1.5, stroke_color=theme.line,
            fill_color=theme.panel, fill_opacity=1,
        )  # fmt: skip
        self.mark = RoundedRectangle(
            width=width - 0.16, height=LEADING * size * 0.96, corner_radius=0.06, stroke_width=0,
            fill_color=theme.line, fill_opacity=0,
        )  # fmt: skip
        self.card.move_to(self.lines)
        self.mark.move_to(self.card)
        self.add(self.card, self.mark, self.lines)

    def light(self, line: int | None, colour: str | None = None) -> CodeCard:
        """Light a line: what runs now is bright, with a bar of this colour behind it; None lights all alike."""
        for place, code in enumerate(self.lines):
            code.set_fill(self.theme.text if line in (None, place) else self.theme.quiet)
        self.mark.set_fill(colour or self.theme.line, opacity=0.0 if line is None else 0.45)
        if line is not None:
            self.mark.set_y(self.codes[line].baseline + 0.28 * self.codes[line].em)
        return self

    def strike(self, line: int, colour: str) -> Line:
        """Return a stroke through a line: it is left out."""
        code = self.codes[line]
        up = code.baseline + 0.26 * code.em
        left, right = code.get_left()[0] - 0.08, code.get_right()[0] + 0.08
        return Line((left, up, 0), (right, up, 0), color=colour, stroke_width=4)
