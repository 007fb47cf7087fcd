"""−log p as bars that hang from zero: the less the right answer was given, the further they fall."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from manim import DOWN, LEFT, RIGHT, Animation, DashedLine, Line, Mobject, UpdateFromAlphaFunc, VGroup, VMobject

from explainer import theme as colours
from explainer.mobjects.bars import outline
from explainer.mobjects.painted import Array
from explainer.mobjects.words import BODY, MINIMUM, Words, number
from explainer.theme import DARK, Theme, ink

MARKS = (1.0, 0.5, 0.1, 0.01, 1e-3, 1e-4, 1e-6, 1e-9)  # probabilities that may be written at the axis


class FallingBars(VGroup):
    """A bar for each example, −ln of the probability given to its right class long.

    Attributes:
        losses: (bar,) what the bars show; one that is too long or infinite is cut off at the foot.
        deepest: The loss at the foot of the axis.
        base: The line from which they hang, from the first bar to the last; `rule` leads from loss 0 to the deepest.
        bars: All bars as one outline.
        mean: Their mean, once it has been drawn.
    """

    def __init__(
        self,
        losses: npt.ArrayLike,
        *,
        deepest: float,
        theme: Theme = DARK,
        width: float = 6.0,
        length: float = 3.0,
        thickness: float = 0.6,
        apart: float = 0.45,
    ) -> None:
        """Draw the bars and their axis.

        Args:
            width: Of all bars together; `length` of a bar of the deepest loss, in frame units.
            thickness: A bar's share of its place.
            apart: How far from each other the probabilities at the axis are at least, in frame units.
        """
        super().__init__()
        self.losses = np.asarray(losses, float)
        self.deepest, self.theme, self.thickness = deepest, theme, thickness
        start = np.array([-width / 2, length / 2, 0.0])
        self.base = Line(start, start + RIGHT * width, color=theme.line, stroke_width=2)
        self.rule = Line(start, start + DOWN * length, color=theme.line, stroke_width=2)
        self.bars = VMobject(fill_color=colours.LOSS, fill_opacity=1, stroke_width=0)
        self.marks = self._marks(apart)
        self.add(self.rule, self.bars, self.base, self.marks)
        self.set_losses(losses)

    def at(self, index: float, loss: npt.ArrayLike) -> Array:
        """Return where a loss is in the column of a bar, (…, 3); beyond the axis at its foot."""
        share = np.clip(np.nan_to_num(np.asarray(loss, float), nan=np.inf) / self.deepest, 0, 1)
        step = (self.base.get_end() - self.base.get_start()) / len(self.losses)
        down = self.rule.get_end() - self.rule.get_start()
        return np.asarray(self.base.get_start() + (index + 0.5) * step + share[..., None] * down)

    def lengths(self) -> Array:
        """Return the drawn lengths in frame units, (bar,)."""
        return np.asarray(np.linalg.norm(self.boxes()[:, 1] - self.boxes()[:, 0], axis=1))

    def boxes(self) -> Array:
        """Return the bars' corners as they stand now, (bar, 4, 3): foot, end, end, foot."""
        half = (self.base.get_end() - self.base.get_start()) / len(self.losses) * self.thickness / 2
        count = range(len(self.losses))
        feet = np.stack([self.at(index, 0.0) for index in count])
        ends = np.stack([self.at(index, self.losses[index]) for index in count])
        return np.stack([feet - half, ends - half, ends + half, feet + half], axis=1)

    def set_losses(self, losses: npt.ArrayLike) -> FallingBars:
        """Change the bars' lengths."""
        self.losses = np.asarray(losses, float)
        self.bars.set_points(outline(self.boxes()))
        return self

    def fall(self, seconds: float) -> Animation:
        """Return the bars' fall from zero to their lengths; until it begins there are none."""
        losses = self.losses.copy()

        def show(_: Mobject, alpha: float) -> None:
            self.set_losses(alpha * losses)

        show(self.bars, 0)
        return UpdateFromAlphaFunc(self.bars, show, run_time=seconds)

    def draw_mean(self, size: float = BODY) -> VGroup:
        """Return a dashed line at the bars' mean with its number; it is not moved with them."""
        self.mean = float(self.losses.mean())
        left, right = self.at(-0.5, self.mean), self.at(len(self.losses) - 0.5, self.mean)
        dashes = DashedLine(left, right, color=self.theme.text, stroke_width=3, dash_length=0.12)
        line = VMobject(stroke_color=self.theme.text, stroke_width=3)
        line.set_points(np.concatenate([dash.points for dash in dashes]))
        value = Words(number(self.mean), size=size, colour=ink(colours.LOSS, self.theme))
        return VGroup(line, value.next_to(right, RIGHT, buff=0.15))

    def _marks(self, apart: float) -> VGroup:
        """Write probabilities at the axis: where a bar ends that was given so much."""
        marks, last = VGroup(), -np.inf
        for probability in MARKS:
            depth = -float(np.log(probability))
            down = depth / self.deepest * self.rule.get_length()
            if depth > self.deepest or down - last < apart:
                continue
            place = self.rule.get_start() + DOWN * down
            stroke = Line(place, place + LEFT * 0.08, color=self.theme.line, stroke_width=2)
            words = Words(f"p = {probability:g}", size=MINIMUM, colour=self.theme.quiet)
            marks.add(stroke, words.next_to(stroke, LEFT, buff=0.08))
            last = down
        return marks
