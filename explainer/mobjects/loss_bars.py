"""Losses as lengths."""

from collections.abc import Mapping

from manim import RIGHT, Rectangle, VGroup

from explainer.mobjects.words import Words, number
from explainer.theme import DARK, LOSS, Theme, ink

APART = 0.75  # frame units, from one bar to the next
THICK = 0.42


class LossBars(VGroup):
    """Losses as bars, one under the other, each with its name and its number.

    Attributes:
        values: The losses.
        bars: Their bars; the longest is `width` long.
        rows: Each bar with its name and its number.
    """

    def __init__(self, named: Mapping[str, float], width: float = 4.0, theme: Theme = DARK) -> None:
        super().__init__()
        self.values = tuple(named.values())
        longest = max(*self.values, 1e-12)
        names = [Words(name, colour=theme.text) for name in named]
        left = max(name.width for name in names) + 0.25
        self.bars: list[Rectangle] = []
        self.rows: list[VGroup] = []
        for at, (name, value) in enumerate(zip(names, self.values, strict=True)):
            bar = Rectangle(
                width=max(value / longest * width, 0.01), height=THICK, stroke_width=0, fill_color=LOSS, fill_opacity=1
            )
            bar.move_to((left + bar.width / 2, -APART * at, 0.0))
            text = Words(number(value), colour=ink(LOSS, theme), bold=True)
            for words, edge in ((name, left - 0.25 - name.width / 2), (text, left + bar.width + 0.2 + text.width / 2)):
                words.shift(RIGHT * edge).at_baseline(-APART * at - 0.1)
            self.bars.append(bar)
            self.rows.append(VGroup(name, bar, text))
        self.add(*self.rows)
