"""What each of several curves is, written where it ends; those that end near each other are moved apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from manim import LEFT, Line, VGroup

from explainer.mobjects.trails import Trails
from explainer.mobjects.words import BODY, MINIMUM, SMALL, Words
from explainer.theme import DARK, Theme

APART = 1.08  # frame units from one label's middle to the next
BASELINES = (0.3, -0.02, -0.33)  # of a label's three lines, from its middle


class EndLabels(VGroup):
    """A label for each run, from the highest end down: its name, and two lines about it.

    Attributes:
        labels: By run its lines; `leads` by run the thin line from the curve's head to them.
    """

    def __init__(
        self, trails: Trails, about: Mapping[str, tuple[str, str]], *, low: float, high: float, theme: Theme = DARK
    ) -> None:
        """Write the labels to the right of the trails' box.

        Args:
            about: By run what stands under its name: a sentence's word, and a number in words.
            low: How far down the lowest label's middle may be, in frame units; `high` how far up the highest.
        """
        super().__init__()
        heads = {run: trails.head(run) for run in about}
        order = sorted(heads, key=lambda run: -float(heads[run][1]))
        left, bottom, top = trails.points[8][0], trails.points[0][1], trails.points[8][1]
        self.labels: dict[str, VGroup] = {}
        self.leads: dict[str, Line] = {}
        for run, y in zip(order, spread([heads[run][1] for run in order], low=low, high=high), strict=True):
            label = _label(run, about[run], trails.styles[run].colour, theme)
            label.shift((left + 0.75, y, 0))
            start = np.array([heads[run][0] + 0.18, np.clip(heads[run][1], bottom, top), 0.0])
            self.labels[run] = label
            self.leads[run] = Line(start, (left + 0.65, y, 0), color=theme.line, stroke_width=2)
            self.add(self.leads[run], label)


def _label(run: str, about: tuple[str, str], colour: str, theme: Theme) -> VGroup:
    lines = VGroup(
        Words(run, size=BODY, colour=colour, bold=True),
        Words(about[0], size=SMALL, colour=theme.text),
        Words(about[1], size=MINIMUM, colour=theme.quiet),
    )
    for line, y in zip(lines, BASELINES, strict=True):
        line.set_x(0, LEFT).at_baseline(y)
    return lines


def spread(places: Sequence[float], *, low: float, high: float, apart: float = APART) -> list[float]:
    """Move places, from the highest down, so that none is nearer than `apart` to the next, and all stay within."""
    found = np.asarray(places, float).copy()
    for _ in range(4 * len(found)):
        for upper in range(len(found) - 1):
            near = max(0.0, apart - (found[upper] - found[upper + 1]))
            found[upper], found[upper + 1] = found[upper] + near / 2, found[upper + 1] - near / 2
        found = np.clip(found, low, high)
    for lower in range(1, len(found)):  # what little is left of being too near
        found[lower] = min(found[lower], found[lower - 1] - apart)
    found += max(0.0, low - float(found[-1])) if len(found) else 0.0
    return [float(each) for each in found]
