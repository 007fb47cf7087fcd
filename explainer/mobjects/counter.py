"""A number that changes while a film runs: its digits are typeset once, and stand where they stood."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import numpy.typing as npt
from manim import LEFT, RIGHT, VGroup, VMobject
from manim.typing import Vector3D

from explainer.mobjects.typesetting import strut, typeset
from explainer.mobjects.words import BODY, LONG, MINUS, SMALL, Words, check_size, number
from explainer.theme import DARK, Theme

Points = npt.NDArray[np.float64]


class Counter(VMobject):
    """A number as one outline; digits are all of one width, so that nothing shakes while they change.

    Attributes:
        value: What it shows, before rounding.
        words: What stands on screen.
    """

    def __init__(
        self,
        value: float = 0.0,
        *,
        decimals: int = 3,
        size: float = BODY,
        colour: str = DARK.text,
        edge: Vector3D = RIGHT,
    ) -> None:
        """Write a number.

        Args:
            decimals: How many stand after the point, always.
            size: Height of the em in frame units.
            edge: Which edge stays where it is when the number gets longer: RIGHT, or LEFT.
        """
        check_size(size)
        super().__init__(color=colour, fill_color=colour, fill_opacity=1, stroke_width=0)
        self.decimals, self.edge = decimals, edge
        self.words, self._em = "", size
        self._write(np.zeros(3), np.array([size, 0.0, 0.0]), value, from_right=False)

    def set_value(self, value: float) -> Counter:
        """Show another number; only when its digits differ anything is drawn anew."""
        if written(value, self.decimals) == self.words:
            self.value = float(value)
            return self
        # The first two curves are dots at the two ends of the line: they tell where it is now, and how large.
        left, right = self.points[0], self.points[4]
        em = (right - left) / advance(self.words)
        from_right = bool(np.allclose(self.edge, RIGHT))
        return self._write(right if from_right else left, em, value, from_right=from_right)

    def _write(self, anchor: Points, em: Points, value: float, *, from_right: bool) -> Counter:
        self.value, self.words = float(value), written(value, self.decimals)
        outline, across = line(self.words)
        left = anchor - across * em if from_right else anchor
        aside = np.array([-em[1], em[0], 0.0])
        glyphs = left + outline[:, :1] * em + outline[:, 1:2] * aside
        ends = np.repeat([left, left + across * em], 4, axis=0)
        self.set_points(np.concatenate([ends, glyphs]))
        return self


class StepCounter(VGroup):
    """Which recorded step is on screen, in the words of `TraceScene.source`: "step 137 of 460 · recorded, float32".

    Attributes:
        counter: The step's number.
    """

    def __init__(self, step: int, after: str, *, largest: int, theme: Theme = DARK, size: float = SMALL) -> None:
        """Write a step; `after` stands behind the number, and `largest` is the longest one to come."""
        super().__init__()
        self.counter = Counter(largest, decimals=0, size=size, colour=theme.text)
        self.before, behind = Words("step", size=size, colour=theme.quiet), Words(after, size=size, colour=theme.quiet)
        behind.next_to(self.counter, RIGHT, buff=0.12).at_baseline(self.baseline)
        self.add(self.before, self.counter, behind)
        self.set_step(step)

    @property
    def baseline(self) -> float:
        """The height in the frame on which it stands."""
        return float(self.counter.points[0, 1])

    def set_step(self, step: int) -> StepCounter:
        """Show another step."""
        self.counter.set_value(step)
        self.before.next_to(self.counter, LEFT, buff=0.12).at_baseline(self.baseline)
        return self


def written(value: float, decimals: int) -> str:
    """Return a number with fixed decimals, and a real minus sign; zero has none.

    One too long to read is written with a power of ten, if it has decimals: counts are whole.
    """
    if not math.isfinite(value) or (decimals and abs(value) >= LONG):
        return number(value, decimals)
    text = f"{value:.{decimals}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", MINUS)


def line(words: str) -> tuple[Points, float]:
    """Return the outlines of characters set side by side, (4 · curves, 3) in em, and the line's length in em."""
    parts, across = [], 0.0
    for character in words:
        outline, step = _glyph(character)
        parts.append(outline + np.array([across, 0.0, 0.0]))
        across += step
    return np.concatenate(parts), across


def advance(words: str) -> float:
    """Return the length of a line in em."""
    return sum(_glyph(character)[1] for character in words)


@cache
def _glyph(character: str) -> tuple[Points, float]:
    """Return a character's outline in em, and how far on the next one stands."""
    strut_alone = _outline("0")
    followed = _outline(character + "0")
    step = float(followed[:, 0].max() - strut_alone[:, 0].max())
    return _outline(character) - np.array([_origin(), 0.0, 0.0]), step


def _outline(words: str) -> Points:
    return np.concatenate([run.points for run in typeset(f'{strut()}#text("{words}")')])


@cache
def _origin() -> float:
    """Return where the first character behind the strut begins: a zero stands as far in front as behind a zero."""
    one, two = _outline("0"), _outline("00")
    step = two[:, 0].max() - one[:, 0].max()
    ink = float(np.ptp(one[:, 0]))
    return float(one[:, 0].min() - (step - ink) / 2)
