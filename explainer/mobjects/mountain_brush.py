"""How the parts of a mountain are painted: faces, strokes and balls, each where the view puts it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import cairo
import numpy as np
import numpy.typing as npt
from manim import VMobject

from explainer.mobjects.mountain_view import Answers, Array, View

WIDER = 0.6  # pixels that a face reaches beyond its edges
CASING = 0.045  # frame units: how much wider the dark line is that a stroke lies on
DASH = (0.08, 0.09)  # with round ends
GHOST = 0.6  # opacity of what is hidden
LIFT = 3.0  # of its width: how much nearer to the viewer a line is than what it lies on


@dataclass(frozen=True)
class Stroke:
    """A line through space.

    Attributes:
        points: (point, 3).
        colour: (3,) red, green, blue.
        width: In frame units; `head` is the length of an arrow's head at its end.
        casing: (3,) of the wider line below it; None without one.
        ghost: Whether a part that is hidden is shown faintly.
        rank: What is of a lower rank is painted first, whatever its depth.
    """

    points: Array
    colour: Array
    width: float
    head: float = 0.0
    casing: Array | None = None
    opacity: float = 1.0
    ghost: bool = False
    rank: int = 0


@dataclass(frozen=True)
class Ball:
    """A ball that lies on a point, drawn as a disc that faces the viewer and touches the ball's nearest point.

    Attributes:
        foot: (3,) the point.
        radius: In frame units.
    """

    foot: Array
    colour: Array
    radius: float
    casing: Array

    def middle(self, screen: Screen) -> Array:
        """Return its middle in space, (3,)."""
        return np.asarray(self.foot + np.array([0.0, 0.0, self.radius / screen.unit]))

    def nearest(self, screen: Screen) -> float:
        """Return the depth of its nearest point, at which the disc stands."""
        return float(screen.depth(self.middle(screen))) + self.radius / screen.unit


@dataclass(frozen=True)
class Screen:
    """Where the view puts things in the frame.

    Attributes:
        focus: (3,) the point of space in the middle, which is at `middle` (2,) in the frame.
        right: (2,) what one unit of space to the right is in the frame; `up` alike.
        pixel: A pixel's side in frame units.
    """

    view: View
    focus: Array
    middle: Array
    right: Array
    up: Array
    pixel: float = 0.0

    @property
    def unit(self) -> float:
        """How many frame units a unit of space is."""
        return float(np.hypot(*self.right))

    def place(self, points: npt.ArrayLike) -> Array:
        """Return where points (…, 3) stand in the frame, (…, 2)."""
        seen = self.view.project(np.asarray(points, float) - self.focus)
        return np.asarray(self.middle + seen[..., :1] * self.right + seen[..., 1:2] * self.up)

    def depth(self, points: npt.ArrayLike) -> Array:
        """Return how near to the viewer points (…, 3) are, (…)."""
        return np.asarray(np.asarray(points, float) @ self.view.toward)


@dataclass(frozen=True)
class Faces:
    """Four-cornered faces in the order in which they are painted: corners (face, 4, 3) and colours (face, 3)."""

    corners: Array
    colours: Array


@dataclass
class Brush:
    """A pen, and where things are; colours are red, green, blue between 0 and 1."""

    pen: cairo.Context[Any]
    screen: Screen
    opacity: float = 1.0

    def keep_within(self, corners: Array) -> None:
        """Paint nothing outside a polygon of the frame, (corner, 2), from now on."""
        self.pen.set_antialias(cairo.ANTIALIAS_NONE)  # else faces that meet at its edge are seen twice there
        self._path(corners)
        self.pen.clip()
        self.pen.set_antialias(cairo.ANTIALIAS_DEFAULT)

    def fill(self, faces: Faces) -> None:
        """Fill faces, each a little larger, so that no gap is seen between neighbours."""
        flat = self.screen.place(faces.corners)
        flat = widened(flat, WIDER * self.screen.pixel)
        pen, opacity = self.pen, self.opacity
        move, line, colour, paint = pen.move_to, pen.line_to, pen.set_source_rgba, pen.fill
        # As one long list of numbers: thousands of short ones would set off Python's search for garbage.
        numbers = iter(np.concatenate([faces.colours, flat.reshape(-1, 8)], axis=1).ravel().tolist())
        for red, green, blue, x1, y1, x2, y2, x3, y3, x4, y4 in zip(*[numbers] * 11, strict=True):
            colour(blue, green, red, opacity)  # the camera's bytes are RGBA, cairo's BGRA
            move(x1, y1)
            line(x2, y2)
            line(x3, y3)
            line(x4, y4)
            paint()

    def lines(self, strokes: Array, colour: Array, width: float, opacity: float = 1.0) -> None:
        """Draw separate short strokes (stroke, 2, 2) of the frame at once."""
        self._ready(colour, width, opacity)
        numbers = iter(strokes.ravel().tolist())
        for x, y, to_x, to_y in zip(*[numbers] * 4, strict=True):
            self.pen.move_to(x, y)
            self.pen.line_to(to_x, to_y)
        self.pen.stroke()

    def polyline(
        self, points: Array, colour: Array, width: float, opacity: float = 1.0, *, dashed: bool = False
    ) -> None:
        """Draw a line through points (point, 2) of the frame."""
        self._ready(colour, width, opacity)
        if dashed:
            self.pen.set_dash(DASH)
        self._path(points)
        self.pen.stroke()
        self.pen.set_dash(())

    def polygon(self, points: Array, colour: Array, opacity: float = 1.0) -> None:
        """Fill a polygon of the frame, (corner, 2)."""
        red, green, blue = colour
        self.pen.set_source_rgba(blue, green, red, opacity * self.opacity)
        self._path(points)
        self.pen.fill()

    def disc(self, middle: Array, radius: float, colour: Array) -> None:
        """Fill a disc of the frame."""
        red, green, blue = colour
        self.pen.set_source_rgba(blue, green, red, self.opacity)
        self.pen.new_sub_path()
        self.pen.arc(middle[0], middle[1], radius, 0, 2 * np.pi)
        self.pen.fill()

    def outline(self, letters: VMobject, middle: Array, colour: Array, opacity: float = 1.0) -> None:
        """Fill the outline of words whose own middle is at the origin, at a place of the frame (2,)."""
        red, green, blue = colour
        self.pen.set_source_rgba(blue, green, red, opacity * self.opacity)
        last = None
        for start, first, second, end in (letters.points[:, :2] + middle).reshape(-1, 4, 2).tolist():
            if start != last:
                self.pen.move_to(*start)
            self.pen.curve_to(*first, *second, *end)
            last = end
        self.pen.fill()

    def _ready(self, colour: Array, width: float, opacity: float) -> None:
        red, green, blue = colour
        self.pen.set_source_rgba(blue, green, red, opacity * self.opacity)
        self.pen.set_line_width(width)
        self.pen.set_line_cap(cairo.LINE_CAP_ROUND)
        self.pen.set_line_join(cairo.LINE_JOIN_ROUND)

    def _path(self, points: Array) -> None:
        first, *rest = points.tolist()
        self.pen.move_to(*first)
        for point in rest:
            self.pen.line_to(*point)


def widened(flat: Array, by: float) -> Array:
    """Return polygons (face, corner, 2) with every edge moved outwards."""
    along = np.roll(flat, -1, axis=1) - flat
    normal = np.stack([along[..., 1], -along[..., 0]], axis=-1)
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-12)
    x, y = np.moveaxis(flat, -1, 0)
    area = (x * np.roll(y, -1, axis=1) - y * np.roll(x, -1, axis=1)).sum(axis=1)
    before = np.roll(normal, 1, axis=1)
    miter = (normal + before) / np.maximum(1 + (normal * before).sum(axis=-1, keepdims=True), 0.3)
    return np.asarray(flat + by * np.sign(area)[:, None, None] * miter)


def in_front(corners: Array, depths: Array, depth: float) -> Array:
    """Return the part of a flat polygon (corner, 2) that is nearer to the viewer than a depth, (corner, 2)."""
    kept: list[Array] = []
    for here, there, at, to in zip(corners, np.roll(corners, -1, axis=0), depths, np.roll(depths, -1), strict=True):
        if at > depth:
            kept.append(here)
        if (at > depth) != (to > depth):
            kept.append(here + (depth - at) / (to - at) * (there - here))
    return np.array(kept).reshape(-1, 2)


def runs(flags: Answers) -> Iterable[tuple[int, int, bool]]:
    """Return the stretches of equal flags: from, to (not included), and the flag."""
    ends = [0, *(np.flatnonzero(np.diff(flags)) + 1).tolist(), len(flags)]
    return [(start, stop, bool(flags[start])) for start, stop in itertools.pairwise(ends) if stop > start]
