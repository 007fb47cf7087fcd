"""One example, what the network says of it, and a frame where that is right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from manim import DOWN, LEFT, RoundedRectangle, VGroup, VMobject

from explainer import theme as colours
from explainer.mobjects.bars import Bars
from explainer.mobjects.counter import Counter
from explainer.mobjects.heat_map import Picture
from explainer.mobjects.words import MINIMUM, SMALL, Words
from explainer.theme import DARK, Theme

GAP = 0.1  # between the image and the words, as a share of the image
LARGE = 0.55  # height of the em of the answer, in frame units


class ExampleCard(VGroup):
    """An image, what the network says of it, and the probabilities of all classes as upright bars below.

    Attributes:
        picture: The image.
        bars: The probabilities, in the order of the classes.
        said: The class with the highest probability: `answer` shows it, and `probability` its number.
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
        width: float = 2.3,
        limits: tuple[float, float] | None = None,
    ) -> None:
        """Draw a card.

        Args:
            image: (row, column), or (row, column, 3).
            probabilities: (class,).
            classes: Their names.
            target: The index of the right one.
            width: Of what is inside the frame, in frame units.
            limits: The numbers that are black and white; the image's smallest and largest when omitted.
        """
        super().__init__()
        low, high = limits or (None, None)
        self.classes, self.right_class, self.theme = tuple(classes), target, theme
        self.picture = Picture(image, theme=theme, height=0.56 * width, low=low, high=high)
        self.bars = Bars(
            probabilities,
            theme=theme,
            length=0.3 * width,
            pitch=width / len(self.classes),
            upright=True,
            right=target,
            thickness=0.8,
        )
        self.bars.next_to(self.picture, DOWN, buff=0.16)
        self.picture.align_to(self.bars.base, LEFT)
        self.room = width - (1 + GAP) * self.picture.width  # for the words beside the image
        self.says = Words("says", size=SMALL, colour=theme.quiet)
        self.answer = VMobject(fill_color=theme.text, fill_opacity=1, stroke_width=0)
        self.probability = Counter(0, size=SMALL, colour=theme.quiet)
        for words, up in ((self.says, 0.8), (self.probability, -0.8)):
            words.move_to(self._beside(up))
        self.frame = RoundedRectangle(
            width=width + 0.24,
            height=self.picture.get_top()[1] - self.bars.get_bottom()[1] + 0.24,
            corner_radius=0.12,
            color=colours.RIGHT,
            stroke_width=5,
        )
        middle = (self.picture.get_top() + self.bars.get_bottom())[1] / 2
        self.frame.move_to((self.bars.base.get_center()[0], middle, 0))
        self.add(self.frame, self.picture, self.bars, self.says, self.answer, self.probability)
        self.set_probabilities(probabilities)
        self.center()

    @property
    def right(self) -> bool:
        """Whether the printed answer is the right one."""
        return self.said == self.classes[self.right_class]

    def set_probabilities(
        self, values: npt.ArrayLike, printed: npt.ArrayLike | None = None, said: tuple[str, float] | None = None
    ) -> ExampleCard:
        """Change the bars, and what is printed: the answer, its probability, and the frame of a right one.

        Args:
            values: (class,) the bars' lengths.
            printed: (class,) the numbers; `values` when omitted.
            said: The answer and its probability; those of the largest printed number when omitted.
        """
        self.bars.set_values(values, printed)
        best = int(self.bars.printed.argmax())
        self.said, probability = said or (self.classes[best], float(self.bars.printed[best]))
        word = self._fitting(self.said).scale(self.says.em / SMALL)
        self.answer.set_points(word.move_to(self._beside(0)).points)
        self.probability.set_value(probability)
        self.frame.set_stroke(opacity=float(self.right) * float(self.picture.get_fill_opacity()))
        return self

    def _fitting(self, name: str) -> Words:
        """Return a class's name as large as there is room for; too long to be read so, it is cut."""
        word = Words(name, size=LARGE, bold=True)
        if word.width <= self.room:
            return word
        cut = name
        while (size := LARGE * self.room / word.width) < MINIMUM and len(cut) > 1:
            cut = cut[:-1]
            word = Words(cut + "…", size=LARGE, bold=True)
        return word.scale(size / LARGE)

    def _beside(self, up: float) -> npt.NDArray[np.float64]:
        """Return a place in the column of words: −1 at the image's lower edge, 1 at its upper edge."""
        left, right = self.picture.get_right()[0], self.bars.base.get_end()[0]
        height = self.picture.get_center()[1] + up * self.picture.height / 2
        return np.array([(left + GAP * self.picture.width + right) / 2, height, 0.0])
