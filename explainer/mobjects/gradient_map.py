"""The gradient at each layer over the steps: layers × steps as a map that fills in while the film runs."""

from __future__ import annotations

from typing import Any

import cairo
import numpy as np
import numpy.typing as npt
from manim import RIGHT, UP, VGroup

from explainer.mobjects import shades
from explainer.mobjects.gradient_scale import GradientScale, tick
from explainer.mobjects.heat_map import Pixels
from explainer.mobjects.painted import Array, source
from explainer.mobjects.words import MINIMUM, Words
from explainer.theme import DARK, NEGATIVE, Theme

FINE = 320  # cells from the first step to the last
STRIPE = 4  # cells, of what has no colour on the scale
GAP = 0.02  # frame units between two layers


class GradientMap(Pixels):
    """A row for each layer, the last one at the top, and the steps from left to right.

    A cell shows the last step recorded until then: between two recorded steps nothing is made up. A gradient that is
    missing is striped in grey, one that is not finite in the colour of negative numbers.

    Attributes:
        steps: (S,) the recorded step numbers.
        step: How far it is filled.
        norms: (layer, S), and `nonfinite` (layer, S), from the first layer on.
    """

    def __init__(
        self,
        steps: npt.ArrayLike,
        norms: npt.ArrayLike,
        nonfinite: npt.ArrayLike,
        scale: GradientScale,
        *,
        last: float | None = None,
        theme: Theme = DARK,
        width: float = 5.0,
        height: float = 1.4,
    ) -> None:
        """Draw it, filled.

        Args:
            last: The step at the right edge; the last recorded one when omitted.
        """
        self.steps = np.asarray(steps, float)
        self.norms, self.nonfinite = np.asarray(norms, float), np.asarray(nonfinite, float)
        self.first, self.last = float(self.steps[0]), float(self.steps[-1] if last is None else last)
        wide = float(np.median(np.diff(self.steps))) if len(self.steps) > 1 else 1.0  # that the last step is seen too
        self.end = self.last + wide
        cells = self.first + (np.arange(FINE) + 0.5) / FINE * (self.end - self.first)
        self.shown = np.searchsorted(self.steps, cells, "right") - 1  # (cell,) the index of the step that it shows
        self.own = cells <= self.steps[-1] + wide  # a run may end earlier
        self.gradient_scale, self.theme = scale, theme
        super().__init__(self.norms[::-1][:, self.shown], height=height, line=theme.line, gap=GAP)
        self.stretch_to_fit_width(width)
        self.painted = self._painted()
        self.set_step(self.last)

    def set_step(self, step: float) -> GradientMap:
        """Fill it as far as this step."""
        self.step = step
        share = (step - self.first) / (self.end - self.first)
        self.filled = FINE if step >= self.last else int(np.clip(share * FINE, 0, FINE))
        return self

    def colours(self) -> Array:
        """Return the cells' colours, (layer, cell, 3)."""
        empty = (np.arange(FINE) >= self.filled) | ~self.own
        return np.where(empty[None, :, None], shades.rgb(self.theme.background), self.painted)

    def _painted(self) -> Array:
        """Return the colours of the whole map, (layer, cell, 3)."""
        painted = self.gradient_scale.colours(self.values, self.theme)
        counts = self.nonfinite[::-1][:, self.shown]
        striped = (np.arange(FINE) + STRIPE * np.arange(len(counts))[:, None]) // STRIPE % 2 == 0
        panel = shades.rgb(self.theme.panel)
        for where, colour in (
            (np.isnan(counts), self.theme.line),
            (~np.isnan(counts) & ~np.isfinite(self.values), NEGATIVE),
        ):
            painted[where & striped] = shades.rgb(colour)
            painted[where & ~striped] = panel
        return np.asarray(painted)

    def _rule(self, pen: cairo.Context[Any], corner: Array, right: Array, down: Array) -> None:
        """Part the layers, not the steps."""
        for share in np.arange(1, len(self.values)) / len(self.values):
            begin = corner + share * down
            pen.move_to(*begin[:2])
            pen.line_to(*(begin + right)[:2])
        source(pen, shades.rgb(self.theme.background), float(self.get_stroke_opacity()))
        pen.set_line_width(self.gap)
        pen.stroke()


class _Colours(Pixels):
    gradient_scale: GradientScale
    theme: Theme

    def colours(self) -> Array:
        return self.gradient_scale.colours(self.values, self.theme)


class GradientKey(VGroup):
    """Which colour is which size of a gradient: a bar of colours with numbers under it.

    Attributes:
        bar: The colours, from the smallest size on.
        labels: The sizes, each where its colour is.
    """

    def __init__(self, scale: GradientScale, *, title: str, theme: Theme = DARK, width: float = 4.0) -> None:
        """Draw it, `width` frame units wide; the title stands to the left."""
        super().__init__()
        sizes = scale.low * (scale.high / scale.low) ** np.linspace(0, 1, FINE)
        self.bar = _Colours(sizes[None, :], height=0.2, line=theme.line)
        self.bar.gradient_scale, self.bar.theme = scale, theme
        self.bar.stretch_to_fit_width(width)
        self.labels = VGroup()
        left, right = self.bar.get_corner(np.array([-1, -1, 0])), self.bar.get_corner(np.array([1, -1, 0]))
        for value in scale.ticks(4):
            words = Words(tick(value), size=MINIMUM, colour=theme.quiet)
            at = left + float(scale.share(value)) * (right - left)
            self.labels.add(words.next_to(at, -UP, buff=0.08))
        self.title = Words(title, size=MINIMUM, colour=theme.quiet).next_to(self.bar, -RIGHT, buff=0.2)
        self.add(self.bar, self.labels, self.title)
