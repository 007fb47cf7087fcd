"""By how much the loss changes over steps of one length: a signed bar for each direction, the gradient's beside."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from manim import DOWN, LEFT, UP, Line, VGroup, VMobject

from explainer.mobjects.bars import outline
from explainer.mobjects.counter import Counter
from explainer.mobjects.words import MINIMUM
from explainer.theme import DARK, GRADIENT, Theme, ink

Array = npt.NDArray[np.float64]
SHARE = 0.6  # of the pitch, that a bar is wide


class Rises(VGroup):
    """Bars over and under a line, from the deepest fall to the steepest rise, and the gradient's on their right.

    Attributes:
        changes: (bar,) the changes of the loss, those of the other directions in order, then the gradient's.
        others: The bars of the other directions, as one outline; `chosen` the gradient's.
        zero: The line where nothing changes.
        printed: The gradient's number.
    """

    def __init__(self, others: npt.ArrayLike, gradient: float, largest: float, *, theme: Theme = DARK) -> None:
        """Draw the line, without bars yet.

        Args:
            others: (arrow,) changes in other directions.
            gradient: The change along the gradient.
            largest: The magnitude of the longest bar.
        """
        super().__init__()
        self.changes = np.append(np.sort(np.asarray(others, float)), gradient)
        self.largest, self.theme, self.tall = largest, theme, 1.15
        width = 0.17 * (len(self.changes) + 1)
        self.zero = Line(LEFT * width / 2, -LEFT * width / 2, color=theme.quiet, stroke_width=2)
        self.others = VMobject(fill_color=theme.text, fill_opacity=1, stroke_width=0)
        self.chosen = VMobject(fill_color=GRADIENT, fill_opacity=1, stroke_width=0)
        self.printed = Counter(gradient, size=MINIMUM, colour=ink(GRADIENT, theme))
        self.add(self.zero, self.others, self.chosen, self.printed)
        self.grow(0.0, 0.0)

    def grow(self, others: float, gradient: float, change: float | None = None) -> Rises:
        """Draw so much of the bars, from 0 to 1; `change` is what the gradient's shows from now on."""
        if change is not None:
            self.changes[-1] = change
        boxes = self.boxes(np.append(np.full(len(self.changes) - 1, others), gradient))
        self.others.set_points(outline(boxes[:-1]))
        self.chosen.set_points(outline(boxes[-1:]))
        self.printed.set_value(self.changes[-1]).set_opacity(float(gradient > 0))
        end = boxes[-1, 1:3].mean(axis=0)
        self.printed.next_to(end, UP if self.changes[-1] >= 0 else DOWN, buff=0.08)
        return self

    def boxes(self, shares: npt.ArrayLike = 1.0) -> Array:
        """Return the bars' corners, (bar, 4, 3): foot, end, end, foot."""
        start, end = self.zero.get_start(), self.zero.get_end()
        step = (end - start) / (len(self.changes) + 1)
        places = np.arange(len(self.changes)) + 0.5
        places[-1] += 1.0  # a little apart
        middles = start + places[:, None] * step
        tall = np.linalg.norm(step) / 0.17 * self.tall
        tops = (self.changes / self.largest * np.asarray(shares, float) * tall)[:, None] * np.array([0.0, 1.0, 0.0])
        half = step * SHARE / 2
        return np.stack([middles - half, middles - half + tops, middles + half + tops, middles + half], axis=1)
