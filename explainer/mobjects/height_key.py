"""Which colour is which loss: the key of a map."""

from __future__ import annotations

import numpy as np
from manim import RIGHT, UP, VGroup

from explainer.mobjects.heat_map import Pixels
from explainer.mobjects.height_scale import HeightScale, colours_of
from explainer.mobjects.painted import Array
from explainer.mobjects.words import MINIMUM, SMALL, Words
from explainer.theme import DARK, LOSS, Theme, ink

FINE = 160  # colours in the bar


class _Bar(Pixels):
    def colours(self) -> Array:
        return colours_of(self.values)


class HeightKey(VGroup):
    """An upright bar of colours with the losses of the contour lines beside it.

    Attributes:
        bar: The colours, from the highest loss at the top.
        labels: The losses, each at its height.
    """

    def __init__(self, scale: HeightScale, *, theme: Theme = DARK, height: float = 3.0, most: int = 7) -> None:
        """Draw it.

        Args:
            height: Of the bar, in frame units.
            most: So many losses at most.
        """
        super().__init__()
        self.height_scale = scale
        self.bar = _Bar(np.linspace(1, 0, FINE)[:, None], height=height, line=theme.line)
        self.bar.stretch_to_fit_width(0.16)
        title = "loss, log scale" if scale.log else "loss"
        self.title = Words(title, size=SMALL, colour=ink(LOSS, theme))
        self.labels = VGroup()
        for level in scale.levels(most):
            words = Words(f"{level:g}", size=MINIMUM, colour=theme.quiet)
            words.next_to(self.place(float(level)), RIGHT, buff=0.14)
            self.labels.add(words)
        self.title.next_to(self.bar, UP, buff=0.2)
        self.title.align_to(self.bar, RIGHT * -1)
        self.add(self.bar, self.labels, self.title)

    def place(self, loss: float) -> Array:
        """Return where a loss stands at the bar's right edge, (3,)."""
        low, high = self.bar.get_corner(np.array([1, -1, 0])), self.bar.get_corner(np.array([1, 1, 0]))
        return np.asarray(low + float(self.height_scale.share(loss)) * (high - low))
