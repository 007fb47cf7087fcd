"""Bars whose lengths are data, with the right answer marked by more than its colour."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from manim import DOWN, LEFT, RIGHT, UP, Line, RoundedRectangle, VGroup, VMobject

from explainer import theme as colours
from explainer.mobjects.counter import Counter
from explainer.mobjects.words import SMALL, Words, number
from explainer.theme import DARK, Theme

Array = npt.NDArray[np.float64]
NUMBER_GAP = 0.16  # frame units between the end of the scale and the numbers


class Bars(VGroup):
    """One bar for each value, side by side along a base line.

    Changing the values changes points only: two outlines hold all the bars (the right one, the others), and the
    numbers' digits are typeset once.

    Attributes:
        base: The line on which the bars stand, from the first to the last.
        rule: The line from zero to the full length.
        others: All bars but the right one, as one outline; `chosen` is the right one.
        labels: One for each bar, and none when they were not given.
        counters: The printed numbers, alike.
        values: What the bars show, `printed` what the numbers say: (bar,).
    """

    def __init__(
        self,
        values: npt.ArrayLike,
        *,
        theme: Theme = DARK,
        labels: Sequence[str] = (),
        length: float = 3.0,
        pitch: float = 0.46,
        thickness: float = 0.68,
        upright: bool = False,
        right: int | None = None,
        decimals: int | None = None,
        full: float = 1.0,
        floor: float | None = None,
        size: float = SMALL,
    ) -> None:
        """Draw bars.

        Args:
            values: (bar,).
            labels: What stands at the foot of each bar.
            length: Of a bar of the value `full`, in frame units.
            pitch: From one bar to the next; `thickness` is a bar's share of it.
            upright: Bars grow upwards, side by side; else to the right, one below the other.
            right: The bar of the right answer: it has the colour of right answers, and its label is framed.
            decimals: Print the numbers, with so many decimals.
            floor: On a logarithmic scale, the value of a bar without length; the scale is linear when omitted.
        """
        super().__init__()
        self.values = np.asarray(values, float)
        self.printed, self.theme = self.values.copy(), theme
        self.full, self.floor, self.right, self.thickness = full, floor, right, thickness
        extent = pitch * len(self.values)
        along, across = (RIGHT, UP) if upright else (DOWN, RIGHT)
        start = -along * extent / 2
        self.base = Line(start, start + along * extent, color=theme.line, stroke_width=2)
        self.rule = Line(start, start + across * length, color=theme.line, stroke_width=0, stroke_opacity=0)
        self.others = VMobject(fill_color=theme.quiet, fill_opacity=1, stroke_width=0)
        self.chosen = VMobject(fill_color=colours.RIGHT, fill_opacity=1, stroke_width=0)
        self.labels, self.counters, self.mark = VGroup(), VGroup(), VGroup()
        self.add(self.rule, self.others, self.chosen, self.base, self.labels, self.counters, self.mark)
        for index, label in enumerate(labels):
            colour = theme.text if index == right else theme.quiet
            word = Words(label, size=size, colour=colour, bold=index == right)
            self.labels.add(self._at_foot(word, index, upright))
        if decimals is not None:
            for index, value in enumerate(self.values):
                colour = theme.text if index == right else theme.quiet
                counter = Counter(value, decimals=decimals, size=size, colour=colour)
                self.counters.add(self._at_end(counter, index, upright))
        if right is not None:
            self.mark.add(self._mark(right, pitch))
        self.set_values(values)

    @property
    def scale_name(self) -> str:
        """What the lengths mean, in words that belong on screen."""
        if self.floor is None:
            return f"linear scale, 0 to {number(self.full, 0)}"
        return f"log scale, {number(self.floor, 0)} to {number(self.full, 0)}"

    def shares(self, values: npt.ArrayLike) -> Array:
        """Return how much of the full length each value gets, (bar,) between 0 and 1."""
        numbers = np.nan_to_num(np.asarray(values, float))
        if self.floor is None:
            return np.asarray(np.clip(numbers / self.full, 0, 1))
        decades = np.log10(np.maximum(numbers, self.floor) / self.floor)
        return np.asarray(np.clip(decades / np.log10(self.full / self.floor), 0, 1))

    def set_values(self, values: npt.ArrayLike, printed: npt.ArrayLike | None = None) -> Bars:
        """Change the bars' lengths, and the numbers.

        Args:
            values: (bar,) what the lengths show; between two recorded steps, what lies between.
            printed: (bar,) what the numbers say; `values` when omitted.
        """
        self.values = np.asarray(values, float)
        self.printed = self.values if printed is None else np.asarray(printed, float)
        boxes = self.boxes()
        chosen = np.arange(len(boxes)) == (-1 if self.right is None else self.right)
        self.others.set_points(outline(boxes[~chosen]))
        self.chosen.set_points(outline(boxes[chosen]))
        for counter, value in zip(self.counters, self.printed, strict=False):
            counter.set_value(value)
        return self

    def ticks(self, values: npt.ArrayLike) -> VMobject:
        """Return a short stroke across each bar's place at other values (bar,), such as those of an earlier step."""
        across = self.rule.get_end() - self.rule.get_start()
        step = (self.base.get_end() - self.base.get_start()) / len(self.values)
        ends = np.stack([self.foot(index) for index in range(len(self.values))]) + self.shares(values)[:, None] * across
        lines = np.stack([ends + step * share for share in (-0.45, -0.15, 0.15, 0.45)], axis=1)
        strokes = VMobject(stroke_color=self.theme.text, stroke_width=2.5)
        return strokes.set_points(lines.reshape(-1, 3))

    def lengths(self) -> Array:
        """Return the drawn lengths in frame units, (bar,)."""
        boxes = self.boxes()
        return np.asarray(np.linalg.norm(boxes[:, 1] - boxes[:, 0], axis=1))

    def boxes(self) -> Array:
        """Return the bars' corners as they stand now, (bar, 4, 3): foot, end, end, foot."""
        first, last = self.base.get_start(), self.base.get_end()
        across = self.rule.get_end() - self.rule.get_start()
        step = (last - first) / len(self.values)
        middles = first + (np.arange(len(self.values)) + 0.5)[:, None] * step
        ends = self.shares(self.values)[:, None] * across
        half = step * self.thickness / 2
        return np.stack([middles - half, middles - half + ends, middles + half + ends, middles + half], axis=1)

    def foot(self, index: int) -> Array:
        """Return the middle of a bar's foot, (3,)."""
        first, last = self.base.get_start(), self.base.get_end()
        return np.asarray(first + (index + 0.5) / len(self.values) * (last - first))

    def _mark(self, right: int, pitch: float) -> VMobject:
        """Mark the right answer: a frame around its label, or without labels a wedge at its foot."""
        if len(self.labels):
            box = self.labels[right]
            across, up = max(box.width, box.height) + 0.18, box.height + 0.16
            frame = RoundedRectangle(width=across, height=up, corner_radius=0.06, color=colours.RIGHT, stroke_width=2.5)
            return frame.move_to(box)
        out = self.rule.get_start() - self.rule.get_end()
        out = out / np.linalg.norm(out) * min(pitch, 0.22)
        aside = np.array([-out[1], out[0], 0.0]) / 2
        tip = self.foot(right) + out * 0.25
        wedge = VMobject(fill_color=colours.RIGHT, fill_opacity=1, stroke_width=0)
        return wedge.set_points_as_corners([tip, tip + out + aside, tip + out - aside, tip])

    def _at_foot(self, word: Words, index: int, upright: bool) -> Words:
        word.next_to(self.foot(index), DOWN if upright else LEFT, buff=0.2)
        return word if upright else word.set_y(self.foot(index)[1])

    def _at_end(self, counter: Counter, index: int, upright: bool) -> Counter:
        across = self.rule.get_end() - self.rule.get_start()
        place = self.foot(index) + across
        if upright:
            return counter.next_to(place, UP, buff=NUMBER_GAP)
        return counter.next_to(place, RIGHT, buff=NUMBER_GAP).set_y(place[1])


def outline(boxes: Array) -> Array:
    """Return corners, (box, 4, 3), as one path of straight cubic curves, (16 · box, 3)."""
    starts, ends = boxes, np.roll(boxes, -1, axis=1)
    thirds = np.arange(4)[None, None, :, None] / 3
    curves = starts[:, :, None] + thirds * (ends - starts)[:, :, None]  # (box, side, 4, 3)
    return np.asarray(curves.reshape(-1, 3))
