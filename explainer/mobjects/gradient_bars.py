"""The gradient at each layer as a bar, the loss on the right; the backward pass lets them grow from there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from manim import RIGHT, UP, Line, VGroup, VMobject

from explainer.flow import LayerGradient
from explainer.mobjects.bars import outline
from explainer.mobjects.gradient_scale import GradientScale, size_words, tick
from explainer.mobjects.words import MINIMUM, SMALL, Words, number
from explainer.theme import DARK, GRADIENT, NEGATIVE, Theme, ink

Array = npt.NDArray[np.float64]
THICK = 0.62  # a bar's share of the pitch
INSTEAD = 0.3  # of the height, what stands in for a bar that cannot be drawn
HATCH = 0.13  # frame units, from one stroke of it to the next


class GradientBars(VGroup):
    """Bars along a base line, from the first layer to the last, on a logarithmic scale.

    A gradient that is missing or not finite has hatching instead of a bar, and a word that says which. Below the line
    stands the factor between each two neighbours.

    Attributes:
        sizes: (bar,) what the bars show.
        arrived: How many bars, from the right, the backward pass has reached; the next one is growing.
        base: The line on which they stand.
        bars: All bars, as one outline.
        gaps: The hatching where a gradient is missing; `broken` where it is not finite.
        factors: By the left one of two neighbours the factor between them.
        ends: The sizes of the first and the last bar that can be drawn, in words above them.
        instead: By bar the word that stands for a bar that cannot be drawn.
    """

    def __init__(
        self,
        gradients: Sequence[LayerGradient],
        factors: Sequence[float | None],
        scale: GradientScale,
        *,
        theme: Theme = DARK,
        width: float = 8.0,
        height: float = 2.0,
        words: bool = True,
        size: float = SMALL,
    ) -> None:
        """Draw the base line, all bars, and their words.

        Args:
            factors: (bar − 1,) the factor between neighbours; None where there is none.
            width: Of the base line in frame units; `height` of a whole bar.
            words: Whether factors and sizes are written.
        """
        super().__init__()
        self.gradient_scale, self.theme, self.tall = scale, theme, height
        self.base = Line((-width / 2, 0, 0), (width / 2, 0, 0), color=theme.line, stroke_width=2)
        self.bars = VMobject(fill_color=GRADIENT, fill_opacity=1, stroke_width=0)
        self.gaps = VMobject(stroke_color=theme.quiet, stroke_width=1.5)
        self.broken = VMobject(stroke_color=ink(NEGATIVE, theme), stroke_width=1.5)
        self.factors: dict[int, Words] = {}
        self.ends: dict[int, Words] = {}
        self.instead: dict[int, Words] = {}
        self.arrived = float(len(gradients))
        self.set_gradients(gradients)
        self.add(self.bars, self.gaps, self.broken, self.base)
        if words:
            self._write(gradients, factors, size)
            self.add(*self.factors.values(), *self.ends.values(), *self.instead.values())

    def set_gradients(self, gradients: Sequence[LayerGradient]) -> GradientBars:
        """Show other gradients, such as those of another step."""
        self.sizes = np.array([each.size for each in gradients])
        self.drawable = np.array([each.drawable for each in gradients])
        self.nonfinite = np.array([not each.missing and not np.isfinite(each.size) for each in gradients])
        self.missing = np.array([bool(each.missing) for each in gradients])
        return self._draw()

    def arrive(self, position: float) -> GradientBars:
        """Let the backward pass come so far: 0 is the loss, 1 the last layer, and so on to the first."""
        self.arrived = position
        for index, words in [*self.ends.items(), *self.instead.items()]:
            words.set_opacity(float(self.grown()[index] >= 1))
        for index, words in self.factors.items():
            words.set_opacity(float(self.grown()[index] >= 1))
        return self._draw()

    def grown(self) -> Array:
        """Return how much of each bar is there, (bar,) 0 to 1."""
        count = len(self.sizes)
        return np.asarray(np.clip(self.arrived - (count - 1 - np.arange(count)), 0, 1))

    def boxes(self) -> Array:
        """Return the bars' corners as they stand now, (bar, 4, 3): foot, end, end, foot; flat where there is none."""
        return self._boxes(np.where(self.drawable, self.gradient_scale.share(self.sizes), 0.0) * self.grown())

    def foot(self, index: int) -> Array:
        """Return the middle of a bar's foot, (3,)."""
        first, last = self.base.get_start(), self.base.get_end()
        return np.asarray(first + (index + 0.5) / len(self.sizes) * (last - first))

    @property
    def pitch(self) -> float:
        """From one bar to the next, in frame units."""
        return float(self.base.get_length() / len(self.sizes))

    def _boxes(self, shares: Array) -> Array:
        feet = np.stack([self.foot(index) for index in range(len(shares))])
        half = np.array([THICK * self.pitch / 2, 0.0, 0.0])
        ends = feet + (shares * self.tall)[:, None] * np.array([0.0, 1.0, 0.0])
        return np.stack([feet - half, ends - half, ends + half, feet + half], axis=1)

    def _draw(self) -> GradientBars:
        self.bars.set_points(outline(self.boxes()[self.drawable]))
        boxes = self._boxes(np.full(len(self.sizes), INSTEAD) * (self.grown() > 0))
        self.gaps.set_points(hatching(boxes[self.missing]))
        self.broken.set_points(hatching(boxes[self.nonfinite]))
        return self

    def _write(self, gradients: Sequence[LayerGradient], factors: Sequence[float | None], size: float) -> None:
        colour = ink(GRADIENT, self.theme)
        for index, factor in enumerate(factors):
            if factor is not None:
                words = self._fitting(factor, size, colour)
                words.move_to((self.foot(index) + self.foot(index + 1)) / 2).at_baseline(self.base.get_y() - 0.1 - size)
                self.factors[index] = words
        drawn = [index for index, each in enumerate(gradients) if each.drawable]
        tops = self.boxes()[:, 1:3].mean(axis=1)
        for index in dict.fromkeys([*drawn[:1], *drawn[-1:]]):
            words = Words(size_words(gradients[index].size), size=size, colour=self.theme.text)
            self.ends[index] = words.next_to(tops[index], UP, buff=0.08)
            room = self._room_right(index, float(words.get_bottom()[1]))
            words.shift(RIGHT * min(0.0, room - float(words.get_right()[0])))
        for index, each in enumerate(gradients):
            if not each.drawable:
                said = "none" if each.missing else number(each.size, 0)
                words = Words(said, size=MINIMUM, colour=self.theme.text)
                self.instead[index] = words.next_to(self.foot(index) + INSTEAD * self.tall * UP * (each.size != 0),
                                                    UP, buff=0.08)  # fmt: skip

    def _fitting(self, factor: float, size: float, colour: str) -> Words:
        """Return a factor in words no wider than the pitch: smaller where need be, then with one digit."""
        ways = [(factor_words(factor), size), (factor_words(factor), MINIMUM), (size_words(factor, 1), MINIMUM)]
        ways += [(tick(float(f"{factor:.0e}")), MINIMUM)] if factor > 0 else []
        for said, each in ways:
            words = Words(f"×{said}", size=each, colour=colour)
            if words.width <= 0.94 * self.pitch:
                break
        return words

    def _room_right(self, index: int, height: float) -> float:
        """Return how far right words at a height may reach before they meet the next bar."""
        if index + 1 == len(self.sizes):
            return float(self.base.get_end()[0])
        corner = self.boxes()[index + 1, 1]
        return float(corner[0]) - 0.06 if corner[1] > height - 0.05 else float("inf")


def factor_words(factor: float) -> str:
    """Write a factor with two digits that count."""
    return number(factor, 2) if 0.095 <= factor < 9.95 else size_words(factor)


def hatching(boxes: Array) -> Array:
    """Return slanting strokes within corners (box, 4, 3), as paths of straight cubic curves, (4 · stroke, 3)."""
    lines = []
    for low_left, _, high_right, _ in boxes:
        (left, bottom), (right, top) = low_left[:2], high_right[:2]
        if top - bottom < 1e-6:
            continue
        for start in np.arange(left - (top - bottom) + HATCH / 2, right, HATCH):
            begin, end = max(start, left), min(start + top - bottom, right)
            ends = np.array([(begin, bottom + begin - start, 0.0), (end, bottom + end - start, 0.0)])
            lines.append(ends[0] + np.linspace(0, 1, 4)[:, None] * (ends[1] - ends[0]))
    return np.concatenate(lines) if lines else np.empty((0, 3))
