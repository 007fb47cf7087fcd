"""Two roads from scores to a loss: in one operation, or by way of log-probabilities."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from manim import DOWN, RIGHT, UP, AnimationGroup, Arrow, FadeIn, GrowArrow, RoundedRectangle, Succession, VGroup
from manim.animation.animation import Animation

from explainer.mobjects.heat_map import HeatMap
from explainer.mobjects.words import BODY, SMALL, Words
from explainer.theme import DARK, LAYER, LOSS, Theme, ink

UPPER, LOWER = 1.5, -1.5  # how far the roads are from the middle, up
MOST = 16  # rows and columns of a matrix


class Roads(VGroup):
    """Scores at the left; above, the road of CrossEntropyLoss; below, that of log_softmax and NLLLoss.

    Attributes:
        scores, logs: The matrices, (example, class).
        source: All that stands at the left; `upper` and `lower` are the roads, in the order in which they are gone.
        losses: The numbers at their ends, as words.
    """

    def __init__(
        self, scores: npt.ArrayLike, logs: npt.ArrayLike, losses: tuple[str, str], *, theme: Theme = DARK
    ) -> None:
        """Lay both out.

        Args:
            losses: What stands at the ends of the upper and of the lower road.
        """
        super().__init__()
        self.theme = theme
        self.scores, self.logs = self._matrix(scores, -5.3, 0.0), self._matrix(logs, 0.15, LOWER)
        name = Words("scores", size=BODY, colour=theme.text).next_to(self.scores, UP, buff=0.18)
        shape = Words("×".join(map(str, np.shape(scores))), size=SMALL, colour=theme.quiet)
        self.source = VGroup(self.scores, name, shape.next_to(self.scores, DOWN, buff=0.15))
        self.losses = [
            Words(each, size=0.5, colour=ink(LOSS, theme), bold=True).move_to((5.3, y, 0))
            for each, y in zip(losses, (UPPER, LOWER), strict=True)
        ]
        both = self._box("CrossEntropyLoss", 0.15, UPPER)
        first, second = self._box("log_softmax", -2.55, LOWER), self._box("NLLLoss", 2.5, LOWER)
        about = Words("log-probabilities", size=SMALL, colour=theme.quiet).next_to(self.logs, DOWN, buff=0.15)
        start = self.scores.get_right() + 0.1 * RIGHT
        self.upper = VGroup(
            self._arrow(start, both.get_left()), both, self._arrow(both.get_right(), self.losses[0].get_left()),
            self.losses[0],
        )  # fmt: skip
        self.lower = VGroup(
            self._arrow(start, first.get_left()), first, self._arrow(first.get_right(), self.logs.get_left()),
            VGroup(self.logs, about), self._arrow(self.logs.get_right(), second.get_left()), second,
            self._arrow(second.get_right(), self.losses[1].get_left()), self.losses[1],
        )  # fmt: skip
        self.add(self.source, self.upper, self.lower)

    def go(self, road: VGroup, each: float = 0.45) -> Animation:
        """Return a road being gone, part by part."""
        return Succession(
            *(
                AnimationGroup(GrowArrow(part), run_time=each)
                if isinstance(part, Arrow)
                else FadeIn(part, shift=0.15 * RIGHT, run_time=each)
                for part in road
            )
        )

    def _matrix(self, values: npt.ArrayLike, x: float, y: float) -> HeatMap:
        shown = np.asarray(values, float)[:MOST, :MOST]
        rows, columns = shown.shape
        height = min(1.3, 1.7 * rows / columns)
        return HeatMap(shown, theme=self.theme, height=height).move_to((x, y, 0))

    def _box(self, words: str, x: float, y: float) -> VGroup:
        name = Words(words, size=BODY, colour=self.theme.text)
        panel = RoundedRectangle(
            width=name.width + 0.5, height=0.8, corner_radius=0.12, color=LAYER, stroke_width=2.5,
            fill_color=self.theme.panel, fill_opacity=1,
        )  # fmt: skip
        return VGroup(panel, name).move_to((x, y, 0))

    def _arrow(self, start: npt.NDArray[np.float64], end: npt.NDArray[np.float64]) -> Arrow:
        return Arrow(
            start, end, buff=0.12, color=self.theme.quiet, stroke_width=4, tip_length=0.18,
            max_stroke_width_to_length_ratio=99, max_tip_length_to_length_ratio=1,
        )  # fmt: skip


