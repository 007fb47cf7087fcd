"""Bars to both sides of zero, one below the other: scores, and what is made of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from manim import DOWN, LEFT, RIGHT, Line, RoundedRectangle, VGroup, VMobject

from explainer import theme as colours
from explainer.mobjects.bars import outline
from explainer.mobjects.words import Words, number
from explainer.theme import DARK, Theme

Array = npt.NDArray[np.float64]


class SignedBars(VGroup):
    """One bar for each number, from zero to the right or to the left, its number beside it.

    Three outlines hold all bars: those above zero, those below, and that of the right answer.

    Attributes:
        values: What the bars show, (bar,).
        rule: From the lowest value to the highest, along the first bar's upper edge; `side` down along all bars.
        zero: The line on which all bars stand.
        above, below, chosen: The bars.
        labels: At the left, and none when they were not given; `numbers` at the right.
    """

    def __init__(
        self,
        values: npt.ArrayLike,
        *,
        theme: Theme = DARK,
        labels: Sequence[str] = (),
        right: int | None = None,
        length: float = 2.4,
        pitch: float = 0.42,
        thickness: float = 0.66,
        decimals: int = 2,
        size: float = 0.26,
        low: float | None = None,
        high: float | None = None,
    ) -> None:
        """Draw bars.

        Args:
            values: (bar,).
            labels: What each bar is of.
            right: The bar of the right answer: it has that colour, and its label is framed.
            length: From the lowest value to the highest, in frame units.
            pitch: From one bar to the next; `thickness` is a bar's share of it.
            low: The lowest value of the scale; the lowest of `values` and 0 when omitted. `high` alike.
        """
        super().__init__()
        self.values, self.right, self.thickness = np.asarray(values, float), right, thickness
        self.low = min(0.0, float(self.values.min())) if low is None else low
        self.high = max(0.0, float(self.values.max())) if high is None else high
        tall = pitch * len(self.values)
        corner = np.array([-length / 2, tall / 2, 0.0])
        self.rule = Line(corner, corner + RIGHT * length, stroke_width=0, stroke_opacity=0)
        self.side = Line(corner, corner + DOWN * tall, stroke_width=0, stroke_opacity=0)
        foot = self._across(0.0)
        self.zero = Line(foot, foot + DOWN * tall, color=theme.line, stroke_width=2)
        boxes, chosen = self.boxes(), np.arange(len(self.values)) == (-1 if right is None else right)
        self.above = self._outline(boxes[(self.values >= 0) & ~chosen], colours.POSITIVE)
        self.below = self._outline(boxes[(self.values < 0) & ~chosen], colours.NEGATIVE)
        self.chosen = self._outline(boxes[chosen], colours.RIGHT)
        self.labels, self.numbers, self.mark = VGroup(), VGroup(), VGroup()
        middles = boxes.mean(axis=1)[:, 1]
        for index, label in enumerate(labels):
            colour = theme.text if index == right else theme.quiet
            word = Words(label, size=size, colour=colour, bold=index == right)
            word.next_to(corner, LEFT, buff=0.25).set_y(middles[index])
            self.labels.add(word)
        for index, value in enumerate(self.values):
            colour = theme.text if index == right else theme.quiet
            self.numbers.add(Words(number(value, decimals, tiny=False), size=size, colour=colour).set_y(middles[index]))
        widest = max(word.width for word in self.numbers)
        for each in self.numbers:
            each.set_x(self.rule.get_end()[0] + 0.22 + widest, RIGHT)
        if right is not None and len(self.labels):
            self.mark.add(_frame(self.labels[right]))
        self.add(self.rule, self.side, self.above, self.below, self.chosen, self.zero)
        self.add(self.labels, self.mark, self.numbers)

    def boxes(self) -> Array:
        """Return the bars' corners as they stand now, (bar, 4, 3): at zero, end, end, at zero."""
        down = (self.side.get_end() - self.side.get_start()) / len(self.values)
        feet = self._across(0.0) + (np.arange(len(self.values)) + 0.5)[:, None] * down
        ends = feet + np.stack([self._across(value) for value in self.values]) - self._across(0.0)
        half = down * self.thickness / 2
        return np.stack([feet - half, ends - half, ends + half, feet + half], axis=1)

    def lengths(self) -> Array:
        """Return how far each bar goes to the right of zero, in values' units, (bar,); to the left is below zero."""
        boxes = self.boxes()
        unit = (self.rule.get_end() - self.rule.get_start())[0] / (self.high - self.low)
        return np.asarray((boxes[:, 1] - boxes[:, 0])[:, 0] / unit)

    def _across(self, value: float) -> Array:
        """Return where a value stands on the rule, (3,)."""
        share = (value - self.low) / max(self.high - self.low, 1e-12)
        return np.asarray(self.rule.get_start() + share * (self.rule.get_end() - self.rule.get_start()))

    def _outline(self, boxes: Array, colour: str) -> VMobject:
        bars = VMobject(fill_color=colour, fill_opacity=1, stroke_width=0)
        return bars.set_points(outline(boxes)) if len(boxes) else bars


def _frame(label: VMobject) -> RoundedRectangle:
    """Return a frame around the label of the right answer."""
    across, up = max(label.width, label.height) + 0.18, label.height + 0.16
    frame = RoundedRectangle(width=across, height=up, corner_radius=0.06, color=colours.RIGHT, stroke_width=2.5)
    return frame.move_to(label)
