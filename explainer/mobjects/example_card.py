"""One example and what the network says of it: image, bars, answer, and a frame where the answer is right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from manim import DOWN, LEFT, RIGHT, RoundedRectangle, VGroup, VMobject

from explainer import theme as colours
from explainer.mobjects.bars import Bars
from explainer.mobjects.counter import Counter
from explainer.mobjects.heat_map import Picture
from explainer.mobjects.words import SMALL, Words
from explainer.theme import DARK, Theme


class ExampleCard(VGroup):
    """An image beside its class probabilities.

    Attributes:
        picture: The image.
        bars: The probabilities, in the order of the classes.
        answer: The class with the highest probability, in words; `probability` is its number.
        frame: Drawn around the card where the answer is right.
    """

    def __init__(
        self,
        image: npt.ArrayLike,
        probabilities: npt.ArrayLike,
        *,
        classes: Sequence[str],
        target: int,
        theme: Theme = DARK,
        height: float = 1.3,
        limits: tuple[float, float] | None = None,
    ) -> None:
        """Draw a card.

        Args:
            image: (row, column), or (row, column, 3).
            probabilities: (class,).
            classes: Their names.
            target: The index of the right one.
            height: Of the image, in frame units.
            limits: The numbers that are black and white; the image's smallest and largest when omitted.
        """
        super().__init__()
        low, high = limits or (None, None)
        self.classes, self.right_class, self.theme = tuple(classes), target, theme
        self.picture = Picture(image, theme=theme, height=height, low=low, high=high)
        self.bars = Bars(
            probabilities,
            theme=theme,
            length=height * 0.86,
            pitch=height / len(self.classes),
            right=target,
            thickness=0.8,
        )
        self.bars.next_to(self.picture, RIGHT, buff=0.24)
        self.answer = VMobject(fill_color=theme.text, fill_opacity=1, stroke_width=0)
        self.says = Words("says", size=SMALL, colour=theme.quiet)
        self.says.next_to(self.picture, DOWN, buff=0.16).align_to(self.picture, LEFT)
        self.probability = Counter(0, size=SMALL, colour=theme.quiet)
        self.probability.next_to(self.says, RIGHT).align_to(self.bars.rule, RIGHT).set_y(self.says.get_y())
        self.frame = RoundedRectangle(
            width=self.bars.rule.get_end()[0] - self.picture.get_left()[0] + 0.3,
            height=self.picture.get_top()[1] - self.says.get_bottom()[1] + 0.3,
            corner_radius=0.12,
            color=colours.RIGHT,
            stroke_width=4,
        )
        middle = (self.bars.rule.get_end()[0] + self.picture.get_left()[0]) / 2
        self.frame.move_to((middle, (self.picture.get_top()[1] + self.says.get_bottom()[1]) / 2, 0))
        self.add(self.frame, self.picture, self.bars, self.says, self.answer, self.probability)
        self.set_probabilities(probabilities)
        self.center()

    @property
    def right(self) -> bool:
        """Whether the printed answer is the right one."""
        return int(self.bars.printed.argmax()) == self.right_class

    @property
    def said(self) -> str:
        """The printed answer."""
        return self.classes[int(self.bars.printed.argmax())]

    def set_probabilities(self, values: npt.ArrayLike, printed: npt.ArrayLike | None = None) -> ExampleCard:
        """Change the bars, and by what is printed the answer and the frame; both (class,)."""
        self.bars.set_values(values, printed)
        word = Words(self.said, size=SMALL, colour=self.theme.text, bold=True).scale(self.says.em / SMALL)
        word.next_to(self.says, RIGHT, buff=0.12).at_baseline(self.says.baseline)
        self.answer.set_points(word.points)
        self.probability.set_value(float(self.bars.printed.max()))
        self.frame.set_stroke(opacity=float(self.right) * self._seen)
        return self

    @property
    def _seen(self) -> float:
        """How far the card has been faded in."""
        return float(np.asarray(self.picture.get_fill_opacity()))
