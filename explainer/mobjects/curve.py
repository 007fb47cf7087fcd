"""A recorded number over the steps, drawn as far as the film has come."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from manim import Dot, VMobject

from explainer import theme as colours
from explainer.mobjects.plot_frame import Array, PlotFrame
from explainer.theme import DARK, Theme


class Curve(PlotFrame):
    """A line through the recorded points, which grows; nothing is smoothed.

    Attributes:
        steps: (point,) and `values` (point,), as recorded: those that are numbers.
        position: How far it is drawn: k is the k-th recorded point, k + ½ half-way on to the next.
        line: The curve; `dot` its head.
    """

    def __init__(
        self,
        steps: npt.ArrayLike,
        values: npt.ArrayLike,
        *,
        title: str,
        theme: Theme = DARK,
        colour: str = colours.LOSS,
        width: float = 3.2,
        height: float = 1.8,
        largest: float | None = None,
        across: str = "step",
    ) -> None:
        """Draw axes from zero, and the curve's first point.

        Args:
            steps: (S,) where each value stands from left to right.
            values: (S,); not a number where a step has none.
            title: What the values are.
            largest: The top of the vertical axis; a little more than the largest value when omitted.
            across: What the horizontal axis counts.
        """
        every = np.asarray(steps, float)
        self.known = np.flatnonzero(np.isfinite(np.asarray(values, float)))  # (drawn point,) places in (S,)
        self.steps, self.values = every[self.known], np.asarray(values, float)[self.known]
        super().__init__(
            float(every[0]), float(every[-1]),
            float(self.values.max(initial=0.0)) * 1.08 if largest is None else largest,
            title=title, colour=colour, theme=theme, width=width, height=height, across=across,
        )  # fmt: skip
        self.position = 0.0
        self.line = VMobject(stroke_color=colour, stroke_width=3.5, fill_opacity=0)
        self.dot = Dot(radius=0.06, color=colour)
        self.add(self.line, self.dot)
        self.set_position(0)

    def whole_paths(self) -> list[Array]:
        """Return the path that is drawn in the end, (point, 3)."""
        return [self.points_until(len(self.steps) - 1)]

    def points_until(self, position: float) -> Array:
        """Return the drawn points, (point, 3): the first ones, and the head on the way to the next."""
        whole = min(int(position), len(self.steps) - 1)
        drawn = self.at(self.steps[: whole + 1], self.values[: whole + 1])
        rest = position - whole
        if rest > 0 and whole + 1 < len(self.steps):
            after = self.at(self.steps[whole + 1], self.values[whole + 1])
            drawn = np.concatenate([drawn, drawn[-1:] + rest * (after - drawn[-1])])
        return drawn

    def set_position(self, position: float) -> Curve:
        """Draw it as far as this: k is the k-th recorded point."""
        self.position = position
        if not len(self.known):  # no number at all: the axes stand alone
            self.dot.set_opacity(0)
            return self
        points = self.points_until(float(np.interp(position, self.known, np.arange(len(self.known)))))
        self.line.set_points_as_corners(points if len(points) > 1 else np.repeat(points, 2, axis=0))
        self.dot.move_to(points[-1])
        return self
