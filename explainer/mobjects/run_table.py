"""Several runs in rows: their line, their name, and two recorded numbers that change while the film runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from manim import LEFT, RIGHT, VGroup

from explainer.mobjects.counter import Counter
from explainer.mobjects.trails import TrailStyle, swatch
from explainer.mobjects.words import MINIMUM, SMALL, Words
from explainer.theme import DARK, Theme

PITCH = 0.4  # frame units from one row to the next


class RunTable(VGroup):
    """A row for each run.

    Attributes:
        counts: By run how often something happened; `values` by run a number with two decimals.
    """

    def __init__(
        self,
        runs: Sequence[str],
        headings: tuple[str, str],
        styles: Sequence[TrailStyle],
        *,
        theme: Theme = DARK,
        width: float = 4.7,
    ) -> None:
        """Lay out the rows, all numbers zero.

        Args:
            headings: What the counts are, and what the values are.
            width: From the lines' left ends to where the values end, in frame units.
        """
        super().__init__()
        ends = 0.73 * width, width
        for words, right in zip(headings, ends, strict=True):
            self.add(Words(words, size=MINIMUM, colour=theme.quiet).set_x(right, RIGHT).at_baseline(-0.08))
        self.counts: dict[str, Counter] = {}
        self.values: dict[str, Counter] = {}
        for place, run in enumerate(runs):
            y = -PITCH * (place + 1)
            line = swatch(styles[place], theme)
            line.move_to(np.array([line.width / 2, y, 0.0]))
            self.counts[run] = Counter(0, decimals=0, size=SMALL, colour=theme.text).set_y(y).set_x(ends[0], RIGHT)
            self.values[run] = Counter(0, decimals=2, size=SMALL, colour=theme.text).set_y(y).set_x(ends[1], RIGHT)
            name = Words(run, size=SMALL, colour=theme.text).set_x(line.width + 0.3, LEFT)
            self.add(line, name.at_baseline(float(self.counts[run].points[0, 1])), self.counts[run], self.values[run])

    def set_values(self, run: str, count: int, value: float) -> RunTable:
        """Show other numbers of a run."""
        self.counts[run].set_value(count)
        self.values[run].set_value(value)
        return self
