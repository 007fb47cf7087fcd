"""The loss of two scores by how far they are apart, on two roads: one breaks off where p becomes zero."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from manim import LEFT, UP, Arrow, DashedLine, VGroup, VMobject

from explainer.mobjects.plot_frame import PlotFrame
from explainer.mobjects.words import MINIMUM, SMALL, Words, number
from explainer.theme import DARK, LOSS, Theme, ink

Array = npt.NDArray[np.float64]


class GapPlot(PlotFrame):
    """Loss over gap, both from zero upwards.

    Attributes:
        gaps: (gap,); `whole` (gap,) is the loss on the road that goes on, `broken` (gap,) on the one that does not.
        edge: The gap from which that is ∞.
    """

    def __init__(
        self, gaps: npt.ArrayLike, whole: npt.ArrayLike, broken: npt.ArrayLike, *, theme: Theme = DARK,
        width: float = 6.4, height: float = 3.6,
    ) -> None:  # fmt: skip
        """Draw the axes; the lines come with `lines`."""
        self.gaps, self.whole, self.broken = (np.asarray(each, float) for each in (gaps, whole, broken))
        colour, largest = ink(LOSS, theme), float(np.max(self.whole))
        super().__init__(
            float(self.gaps[0]), float(self.gaps[-1]), largest, title="loss = −log p", colour=colour, theme=theme,
            width=width, height=height, across="gap",
        )  # fmt: skip
        self.edge = float(self.gaps[~np.isfinite(self.broken)][0])

    def lines(self) -> tuple[VMobject, VMobject, VGroup]:
        """Return the line that goes on, the one that breaks off, and where it goes then, as the plot stands now."""
        finite, colour = np.isfinite(self.broken), ink(LOSS, self.theme)
        through = VMobject(stroke_color=self.theme.text, stroke_width=5)
        through.set_points_as_corners([*self.at(self.gaps, self.whole)])
        breaking = VMobject(stroke_color=colour, stroke_width=14, stroke_opacity=0.75)
        breaking.set_points_as_corners([*self.at(self.gaps[finite], self.broken[finite])])
        start, end = self.at(self.edge, self.broken[finite][-1]), self.at(self.edge, self.largest)
        up = Arrow(
            start, end, buff=0, color=colour, stroke_width=5, tip_length=0.22,
            max_stroke_width_to_length_ratio=99, max_tip_length_to_length_ratio=1,
        )  # fmt: skip
        words = Words(f"∞ from a gap of {number(self.edge, 0)}", size=SMALL, colour=colour, bold=True)
        return through, breaking, VGroup(up, words.next_to((start + end) / 2, LEFT, buff=0.2))

    def tick(self, gap: float, words: str) -> VGroup:
        """Mark a gap with a dashed line and words at its side, and return them."""
        foot = self.at(gap, 0)
        line = DashedLine(foot, foot + 1.2 * UP, color=self.theme.quiet, stroke_width=2.5, dash_length=0.08)
        label = Words(words, size=MINIMUM, colour=self.theme.quiet, width=2.4)
        label.next_to(line.get_end(), UP, buff=0.1)
        label.set_x(max(float(foot[0]), float(self.axis.get_start()[0]) + label.width / 2 + 0.1))
        return VGroup(line, label)


