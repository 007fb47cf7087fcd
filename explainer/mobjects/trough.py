"""A loss over one weight, and a ball that is carried from side to side by recorded steps."""

from __future__ import annotations

from typing import Any

import cairo
import numpy as np
import numpy.typing as npt
from manim import DOWN, RIGHT, UP, Arrow, Camera, Line, VGroup, VMobject

from explainer import theme as colours
from explainer.mobjects import shades
from explainer.mobjects.formula import Formula
from explainer.mobjects.painted import Array, Painted, source
from explainer.mobjects.trails import ROUND, outline
from explainer.mobjects.words import MINIMUM, Words, number
from explainer.theme import DARK, Theme, ink

BALL = 0.13
TRACK = 0.035  # width of the lines that a step has gone
MARK = 0.05  # radius of the dots where the ball has been
TANGENT = 1.0  # half the length of the tangent, in frame units


class Trough(VGroup):
    """The loss over one weight, the ball on it, and the way that it has come.

    A step moves the weight: the ball goes sideways, whatever stands in its way, then down or up onto the curve.

    Attributes:
        weights: (S,) as recorded, `losses` (S,) and `slopes` (S,) ∂loss/∂weight alike.
        reach: The weights at the left and right end of the axis; `largest` is the loss at the top.
        curve: The loss, through evaluated points.
        ball: The ball and its way, painted as one.
        position: How far it has come: k is the k-th recorded step, k + ½ where it still has to go down or up.
    """

    def __init__(
        self,
        across: npt.ArrayLike,
        heights: npt.ArrayLike,
        *,
        weights: npt.ArrayLike,
        losses: npt.ArrayLike,
        slopes: npt.ArrayLike,
        largest: float | None = None,
        theme: Theme = DARK,
        width: float = 6.0,
        height: float = 3.6,
    ) -> None:
        """Draw the curve, and the ball at the first recorded step.

        Args:
            across: (T,) weights, ascending, and `heights` (T,) the loss at each.
            largest: The loss at the top; the highest of `heights` when omitted. What is higher is cut off.
        """
        super().__init__()
        self.across, self.heights = np.asarray(across, float), np.asarray(heights, float)
        self.weights, self.losses = np.asarray(weights, float), np.asarray(losses, float)
        self.slopes, self.theme = np.asarray(slopes, float), theme
        self.reach = float(self.across[0]), float(self.across[-1])
        self.largest = float(np.nanmax(self.heights)) if largest is None else largest
        corner = np.array([-width / 2, -height / 2, 0.0])
        self.axis = Line(corner, corner + RIGHT * width, color=theme.line, stroke_width=2)
        self.upright = Line(corner, corner + UP * height, color=theme.line, stroke_width=0, stroke_opacity=0)
        self.curve = VMobject(stroke_color=ink(colours.LOSS, theme), stroke_width=5, fill_opacity=0)
        shown = self.heights <= self.largest
        self.curve.set_points_as_corners(self.at(self.across[shown], self.heights[shown]))
        self.ticks = self._ticks()
        self.letter = Formula("w", size=0.34, colour=theme.text).next_to(self.axis.get_end(), RIGHT, buff=0.14)
        self.ball = Ball(self)
        self.add(self.axis, self.upright, self.ticks, self.letter, self.curve, self.ball)
        self.position = 0.0

    def at(self, weights: npt.ArrayLike, losses: npt.ArrayLike) -> Array:
        """Return where weights and losses stand now, (…, 3); beyond the axes too."""
        share = (np.asarray(weights, float) - self.reach[0]) / (self.reach[1] - self.reach[0])
        up = np.asarray(losses, float) / self.largest
        corner = self.axis.get_start()
        right, top = self.axis.get_end() - corner, self.upright.get_end() - corner
        return np.asarray(corner + share[..., None] * right + up[..., None] * top)

    def inside(self, index: int) -> bool:
        """Say whether a recorded step is on the picture."""
        weight = self.reach[0] <= self.weights[index] <= self.reach[1]
        return bool(weight and self.losses[index] <= self.largest)

    @property
    def last_inside(self) -> int:
        """The last recorded step of those on the picture from the first on."""
        seen = [self.inside(index) for index in range(len(self.weights))]
        return len(seen) - 1 if all(seen) else seen.index(False) - 1

    def way(self) -> tuple[Array, Array]:
        """Return the corners of all steps' ways, weight and loss: (2 S − 1,) each."""
        weights, losses = np.repeat(self.weights, 2)[1:], np.repeat(self.losses, 2)[:-1]
        return weights, losses

    def come(self, position: float) -> Array:
        """Return the way come at a position, (point, 2): shares of the axes, the ball last."""
        weights, losses = self.way()
        width = self.reach[1] - self.reach[0]
        points = np.column_stack([(weights - self.reach[0]) / width, losses / self.largest])
        place = min(2 * position, len(points) - 1)
        whole = int(place)
        drawn = points[: whole + 1]
        if place > whole:
            drawn = np.concatenate([drawn, drawn[-1:] + (place - whole) * (points[whole + 1] - drawn[-1])])
        return np.asarray(drawn)

    def set_position(self, position: float) -> Trough:
        """Let the ball come as far as this."""
        self.position = position
        self.ball.come = self.come(position)
        return self

    # ── one step, drawn ──────────────────────────────────────────────────────────────────────────────────────────

    def tangent(self, index: int) -> Line:
        """Return the tangent at a recorded step: its slope is the recorded one."""
        foot = self.at(self.weights[index], self.losses[index])
        way = self.at(self.weights[index] + 1, self.losses[index] + self.slopes[index]) - foot
        way *= TANGENT / np.linalg.norm(way)
        return Line(foot - way, foot + way, color=colours.GRADIENT, stroke_width=4)

    def arrow(self, index: int, share: float) -> Arrow:
        """Return an arrow from the ball against the slope: `share` times the slope long, counted along the axis."""
        start = self.at(self.weights[index], self.losses[index])
        end = self.at(self.weights[index] - share * self.slopes[index], self.losses[index])
        tip = min(0.2, 0.6 * float(np.linalg.norm(end - start)))
        return Arrow(
            start, end, buff=0, color=colours.GRADIENT, stroke_width=6, tip_length=tip,
            max_stroke_width_to_length_ratio=99, max_tip_length_to_length_ratio=1,
        )  # fmt: skip

    def _ticks(self) -> VGroup:
        """Mark whole weights on the axis."""
        found = VGroup()
        for weight in range(int(np.ceil(self.reach[0])), int(np.floor(self.reach[1])) + 1):
            place = self.at(weight, 0)
            stroke = Line(place, place + DOWN * 0.08, color=self.theme.line, stroke_width=2)
            words = Words(number(weight, 0), size=MINIMUM, colour=self.theme.quiet)
            found.add(VGroup(stroke, words.next_to(stroke, DOWN, buff=0.08)))
        return found


class Ball(Painted):
    """The ball of a trough, where it has been, and the way between; what is beyond the picture is not drawn.

    Attributes:
        come: (point, 2) the way, in shares of the box that its points are; the ball is the last.
    """

    data = ("come",)

    def __init__(self, trough: Trough) -> None:
        super().__init__(fill_opacity=1, stroke_width=0)
        self.theme = trough.theme
        corner, right, top = trough.axis.get_start(), trough.axis.get_end(), trough.upright.get_end()
        self.set_points_as_corners([corner, right, right + top - corner, top, corner])
        self.come = trough.come(0.0)

    def way(self) -> Array:
        """Return the way as it stands now, (point, 3), the ball last; beyond the picture too."""
        corner, right, top = self.points[[0, 4, 12]]
        return np.asarray(corner + self.come[:, :1] * (right - corner) + self.come[:, 1:] * (top - corner))

    def paint(self, pen: cairo.Context[Any], camera: Camera) -> None:
        """Paint the way, a dot where each step ended, and the ball; a wedge at the edge where it has left."""
        opacity, points = float(self.get_fill_opacity()), self.way()[:, :2]
        low, high = self.points[:, :2].min(axis=0), self.points[:, :2].max(axis=0)
        pen.save()
        pen.rectangle(low[0], low[1] - BALL, *(high - low + [0, BALL]))
        pen.clip()
        near = np.clip(points, low - 1, high + 1)  # its lines are level or upright: what is seen stays where it is
        for place, point in enumerate(near.tolist()):
            (pen.line_to if place else pen.move_to)(*point)
        source(pen, shades.rgb(self.theme.quiet), 0.8 * opacity)
        pen.set_line_width(TRACK)
        pen.stroke()
        for across, up in near[:-1:2].tolist():
            pen.arc(across, up, MARK, 0, 2 * np.pi)
            pen.fill()
        pen.restore()
        edge = np.clip(points[-1], low, high)
        away = points[-1] - edge
        if np.linalg.norm(away) > 1e-6:
            shape = edge + BALL * outline(ROUND, away)
        else:
            shape = points[-1] + BALL * outline(ROUND)
        for place, corner in enumerate(shape.tolist()):
            (pen.line_to if place else pen.move_to)(*corner)
        pen.close_path()
        source(pen, shades.rgb(self.theme.text), opacity)
        pen.fill_preserve()
        source(pen, shades.rgb(self.theme.background), opacity)
        pen.set_line_width(0.03)
        pen.stroke()
