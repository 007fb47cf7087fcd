"""A dial with a needle: one number on a scale, and the part of the scale that it cannot leave."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from manim import DOWN, UP, Arc, Dot, Line, VGroup

from explainer.mobjects.counter import Counter
from explainer.mobjects.words import BODY, SMALL, Words, number
from explainer.theme import DARK, Theme

Array = npt.NDArray[np.float64]

HUB = 0.09  # radius in frame units


class Dial(VGroup):
    """Half a circle from 0 at the left to `largest` at the right, a needle, its number below.

    Attributes:
        value: What the needle points at; `counter` prints a number of its own.
        needle: From the hub outwards.
        band: The part of the scale that was marked, once it was.
    """

    def __init__(
        self, value: float, largest: int, *, title: str, colour: str, theme: Theme = DARK, radius: float = 2.2
    ) -> None:
        """Draw a dial.

        Args:
            largest: A whole number; there is a mark at each one.
            title: What is measured, above it.
            colour: Of the needle and its number.
        """
        super().__init__()
        self.largest, self.radius, self.theme, self.colour = largest, radius, theme, colour
        self.arc = Arc(radius, np.pi, -np.pi, color=theme.line, stroke_width=7)
        self.hub = Dot(np.zeros(3), radius=HUB, color=colour)
        self.needle = Line(np.zeros(3), self.at(value, 0.86), color=colour, stroke_width=8)
        self.marks = VGroup()
        for mark in range(largest + 1):
            stroke = Line(self.at(mark, 0.95), self.at(mark, 1.05), color=theme.quiet, stroke_width=3)
            self.marks.add(stroke, Words(str(mark), size=SMALL, colour=theme.quiet).move_to(self.at(mark, 1.16)))
        self.counter = Counter(value, size=0.55, colour=colour)
        self.counter.next_to(self.hub, DOWN, buff=0.22)
        self.title = Words(title, size=BODY, colour=theme.text)
        self.title.next_to(self.at(largest / 2, 1.34), UP, buff=0.1)
        self.band = VGroup()
        self.add(self.arc, self.marks, self.title, self.band, self.needle, self.hub, self.counter)
        self.value = value
        self.set_value(value)

    def at(self, value: float, out: float = 1.0) -> Array:
        """Return where a value stands now, (3,), `out` times as far from the hub as the scale."""
        share = float(np.clip(value / self.largest, 0, 1))
        angle = np.pi * (1 - share)
        return np.asarray(self.hub.get_center() + out * self.radius * np.array([np.cos(angle), np.sin(angle), 0.0]))

    def set_value(self, value: float, printed: float | None = None) -> Dial:
        """Turn the needle; `printed` is the number below, `value` when omitted."""
        self.value = float(value)
        self.needle.put_start_and_end_on(self.hub.get_center(), self.at(value, 0.86))
        self.counter.set_value(self.value if printed is None else printed)
        self.counter.set_x(self.hub.get_x())
        return self

    def mark(self, low: float, high: float) -> VGroup:
        """Mark the part of the scale between two values, name its ends, and return it."""
        start, end = (np.pi * (1 - each / self.largest) for each in (low, high))
        arc = Arc(self.radius, start, end - start, color=self.colour, stroke_width=18)
        arc.shift(self.hub.get_center())
        self.band = VGroup(arc)
        for each in (low, high):
            told = Words(number(each, 2), size=SMALL, colour=self.colour).move_to(self.at(each, 1.24))
            self.band.add(told)
            for words in self.marks[1::2]:  # where both would stand, the end of the band does
                apart = np.abs(words.get_center() - told.get_center())[:2]
                if (apart < np.array([words.width + told.width, words.height + told.height]) / 2 + 0.06).all():
                    words.set_opacity(0)
        return self.band

    @property
    def angle(self) -> float:
        """Where the needle points, as a value of the scale."""
        way = self.needle.get_end() - self.needle.get_start()
        return float((1 - np.arctan2(way[1], way[0]) / np.pi) * self.largest)


