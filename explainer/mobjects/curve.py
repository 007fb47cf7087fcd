"""A recorded number over the steps, drawn as far as the film has come."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from manim import DOWN, LEFT, RIGHT, UP, DashedLine, Dot, Line, VGroup, VMobject

from explainer import theme as colours
from explainer.mobjects.words import MINIMUM, SMALL, Words, number
from explainer.theme import DARK, Theme

Array = npt.NDArray[np.float64]


class Curve(VGroup):
    """A line through the recorded points, which grows; nothing is smoothed.

    Attributes:
        steps: (point,) and `values` (point,), as recorded: those that are numbers.
        position: How far it is drawn: k is the k-th recorded point, k + ½ half-way on to the next.
        line: The curve; `dot` its head; `guides` the horizontal lines drawn for comparison, with their words.
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
        super().__init__()
        self.known = np.flatnonzero(np.isfinite(np.asarray(values, float)))  # (drawn point,) places in (S,)
        self.steps, self.values = np.asarray(steps, float)[self.known], np.asarray(values, float)[self.known]
        self.position, self.theme = 0.0, theme
        self.largest = float(self.values.max(initial=0.0)) * 1.08 if largest is None else largest
        corner = np.array([-width / 2, -height / 2, 0.0])
        self.axis = Line(corner, corner + RIGHT * width, color=theme.line, stroke_width=2)
        self.upright = Line(corner, corner + UP * height, color=theme.line, stroke_width=2)
        self.line = VMobject(stroke_color=colour, stroke_width=3.5, fill_opacity=0)
        self.dot = Dot(radius=0.06, color=colour)
        self.guides = VGroup()
        self.title = Words(title, size=SMALL, colour=colour)
        self.title.next_to(self.upright.get_end(), UP, buff=0.1).align_to(corner, LEFT)
        ends = VGroup(
            Words(number(self.steps[0], 0), size=MINIMUM, colour=theme.quiet).next_to(corner, DOWN, buff=0.1),
            Words(f"{across} {number(self.steps[-1], 0)}", size=MINIMUM, colour=theme.quiet),
        )
        ends[1].next_to(self.axis.get_end(), DOWN, buff=0.1).align_to(self.axis.get_end(), RIGHT)
        ends[0].align_to(corner, LEFT)
        self.ends = ends
        self.add(self.axis, self.upright, ends, self.guides, self.title, self.line, self.dot)
        self.set_position(0)

    def guide(self, value: float, words: str) -> VMobject:
        """Draw a horizontal line at a value, and what it means where the curve will not go; return both."""
        left, right = self.at(self.steps[0], value), self.at(self.steps[-1], value)
        dashes = DashedLine(left, right, color=self.theme.quiet, stroke_width=2, dash_length=0.08)
        line = VMobject(stroke_color=self.theme.quiet, stroke_width=2)
        line.set_points(np.concatenate([dash.points for dash in dashes]))
        label = Words(words, size=MINIMUM, colour=self.theme.quiet, width=0.75 * self.axis.get_length())
        self._clear_of_curve(label, float(right[1]))
        self.guides.add(VGroup(line, label))
        return self.guides[-1]

    def _clear_of_curve(self, label: Words, height: float) -> None:
        """Put a label under a height on the right if the whole curve leaves that free, else where it does."""
        path = self.points_until(len(self.steps) - 1)
        path = np.concatenate([path[:-1] + share * np.diff(path, axis=0) for share in np.linspace(0, 1, 9)])
        left, right, floor = self.axis.get_start()[0], self.axis.get_end()[0], self.axis.get_start()[1]
        reach = np.array([label.width, label.height]) / 2
        ups = (height - 0.08 - reach[1], floor + 0.1 + reach[1], (height + floor) / 2)
        places = [(across, up) for up in ups for across in (right - reach[0], left + 0.12 + reach[0])]
        hits = [int(np.all(np.abs(path[:, :2] - place) < reach + 0.06, axis=1).sum()) for place in places]
        label.move_to((*places[int(np.argmin(hits))], 0))

    @property
    def middle(self) -> Array:
        """(3,) the middle of the plot, without words."""
        return np.asarray((self.axis.get_end() + self.upright.get_end()) / 2)

    def at(self, steps: npt.ArrayLike, values: npt.ArrayLike) -> Array:
        """Return where a point of the plot stands now, (…, 3)."""
        across = (np.asarray(steps, float) - self.steps[0]) / max(float(self.steps[-1] - self.steps[0]), 1e-9)
        up = np.clip(np.asarray(values, float) / max(self.largest, 1e-9), 0, 1)
        corner = self.axis.get_start()
        right, top = self.axis.get_end() - corner, self.upright.get_end() - corner
        return np.asarray(corner + across[..., None] * right + up[..., None] * top)

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
        points = self.points_until(float(np.interp(position, self.known, np.arange(len(self.known)))))
        self.line.set_points_as_corners(points if len(points) > 1 else np.repeat(points, 2, axis=0))
        self.dot.move_to(points[-1])
        return self
