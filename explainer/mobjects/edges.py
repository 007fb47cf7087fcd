"""What joins two stages of a network: edges by their weights, or one wire where there is no weight to show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cairo
import numpy as np
import numpy.typing as npt
from manim import Camera

from explainer.mobjects import shades
from explainer.mobjects.painted import Array, Painted, paint_once, source
from explainer.theme import DARK, GRADIENT, Theme

TAIL = 0.35  # length of the flash, as a share of an edge
TIP = 0.12  # length of a wire's arrow head, in frame units
THICK = 0.05  # the flash of a wire, in frame units


class Edges(Painted):
    """The edges between two columns: the weight's sign is the colour, its size the width.

    Attributes:
        weights: (end, start), those that are drawn.
        signal: (start,) the activations that the flash carries: it is the brighter, the larger |weight · activation|.
        gradient: (end,) the gradients that the flash back carries.
        flash: How far the flash has come: 0 at the start, 1 at the ends; None without.
        back: How far the flash back has come: 0 at the ends, 1 at the start; None without.
        change: (end, start) the update that is shown above the edges, as strong as `changing` from 0 to 1.
    """

    data = ("weights", "signal")

    def __init__(
        self, starts: Array, ends: Array, weights: Array, *, largest: float, widest: float, theme: Theme = DARK
    ) -> None:
        super().__init__(fill_opacity=1, stroke_width=0)
        self.weights, self.largest, self.widest = np.asarray(weights, float), largest, widest
        self.signal, self.gradient = np.ones(len(starts)), np.ones(len(ends))
        self.flash: float | None = None
        self.back: float | None = None
        self.change, self.changing = np.zeros_like(self.weights), 0.0
        self.bright, self.theme = shades.rgb(theme.text), theme
        pairs = np.stack(np.broadcast_arrays(starts[None, :], ends[:, None]), axis=2)  # (end, start, 2, 3)
        thirds = np.arange(4)[:, None] / 3
        curves = pairs[:, :, :1] + thirds * (pairs[:, :, 1:] - pairs[:, :, :1])
        self.set_points(curves.reshape(-1, 3))

    def widths(self) -> Array:
        """Return the edges' widths in frame units, (end, start)."""
        return np.asarray(np.minimum(np.abs(self.weights) / max(self.largest, 1e-30), 1) * self.widest)

    def paint(self, pen: cairo.Context[Any], camera: Camera) -> None:
        """Paint the edges, and what flashes above them."""
        starts, ends, opacity = self.points[0::4, :2], self.points[3::4, :2], float(self.get_fill_opacity())
        self._remember(pen, ("weights", self.weights, self.largest, self.theme.name), self._strokes, opacity)
        if self.changing > 0:
            change, colour = np.abs(self.change), shades.rgb(GRADIENT)
            self._remember(
                pen, ("change", change), lambda pen: self._paint(pen, starts, ends, change, colour, 1.0),
                opacity * self.changing,
            )  # fmt: skip
        if self.flash is not None:
            parts = _lit(starts, ends, self.flash)
            self._paint(pen, *parts, np.abs(self.weights * self.signal), self.bright, opacity)
        if self.back is not None:
            parts = _lit(ends, starts, self.back)
            self._paint(pen, *parts, np.abs(self.weights * self.gradient[:, None]), shades.rgb(GRADIENT), opacity)

    def _remember(
        self, pen: cairo.Context[Any], key: tuple[Any, ...], paint: Callable[[cairo.Context[Any]], None], opacity: float
    ) -> None:
        """Paint a picture that stays until the numbers in its key change, or the edges move."""
        low, high = self.points[:, :2].min(axis=0) - self.widest, self.points[:, :2].max(axis=0) + self.widest
        box = float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])
        paint_once(pen, box, (*key, self.points, self.widest), lambda: paint(pen), opacity)

    def _strokes(self, pen: cairo.Context[Any]) -> None:
        """Paint each edge, thick ones last and thin ones fainter."""
        starts, ends = self.points[0::4, :2], self.points[3::4, :2]
        widths, colours = self.widths().ravel(), shades.signed(np.sign(self.weights).ravel(), 1, self.theme)
        seen = np.flatnonzero(widths > 0.001)
        for edge in seen[np.argsort(widths[seen])]:
            pen.move_to(*starts[edge])
            pen.line_to(*ends[edge])
            pen.set_line_width(widths[edge])
            source(pen, colours[edge], 0.1 + 0.7 * widths[edge] / self.widest)
            pen.stroke()

    def _paint(
        self, pen: cairo.Context[Any], starts: Array, ends: Array, carried: Array, colour: Array, opacity: float
    ) -> None:
        """Paint strokes that are the wider and brighter, the more is carried, (end, start)."""
        carried = np.nan_to_num(carried).ravel()
        strength = carried / max(float(carried.max(initial=0.0)), 1e-30)
        for edge in np.flatnonzero(strength > 0.1):
            pen.move_to(*starts[edge])
            pen.line_to(*ends[edge])
            pen.set_line_width(max(0.02, self.widest * 0.9) * strength[edge])
            source(pen, colour, strength[edge] * opacity)
            pen.stroke()


class Wire(Painted):
    """An arrow from one stage to another, straight or round a corner, along which a flash runs.

    Attributes:
        flash: How far the flash has come: 0 at its start, 1 at its end; None without. `back` alike, from the end.
    """

    def __init__(self, way: npt.ArrayLike, *, tip: bool = True, theme: Theme = DARK) -> None:
        """Draw an arrow along (point, 3); corners are rounded."""
        super().__init__(fill_opacity=1, stroke_width=0)
        self.flash: float | None = None
        self.back: float | None = None
        self.tip, self.theme = tip, theme
        self.set_points_as_corners(_rounded(np.asarray(way, float)))

    def way(self) -> Array:
        """Return the points that it runs through now, (point, 3)."""
        return np.concatenate([self.points[0::4], self.points[-1:]])

    def paint(self, pen: cairo.Context[Any], camera: Camera) -> None:
        """Paint the line, its head, and what flashes above it."""
        way, opacity = self.way()[:, :2], float(self.get_fill_opacity())
        line = shades.rgb(self.theme.quiet)
        self._stroke(pen, way, 0.02, line, 0.8 * opacity)
        if self.tip:
            along = (way[-1] - way[-2]) / max(float(np.linalg.norm(way[-1] - way[-2])), 1e-9)
            aside = np.array([-along[1], along[0]]) * TIP * 0.42
            pen.move_to(*way[-1])
            pen.line_to(*(way[-1] - TIP * along + aside))
            pen.line_to(*(way[-1] - TIP * along - aside))
            pen.close_path()
            source(pen, line, opacity)
            pen.fill()
        for there, points, colour in (
            (self.flash, way, shades.rgb(self.theme.text)), (self.back, way[::-1], shades.rgb(GRADIENT)),
        ):  # fmt: skip
            if there is not None and (lit := _part(points, there)) is not None:
                self._stroke(pen, lit, THICK, colour, opacity)

    @staticmethod
    def _stroke(pen: cairo.Context[Any], way: Array, width: float, colour: Array, opacity: float) -> None:
        pen.move_to(*way[0])
        for point in way[1:]:
            pen.line_to(*point)
        pen.set_line_width(width)
        source(pen, colour, opacity)
        pen.stroke()


def _lit(starts: Array, ends: Array, there: float) -> tuple[Array, Array]:
    """Return from where to where edges are lit, (edge, 2) each."""
    head, tail = min(there, 1.0), min(max(there - TAIL, 0.0), 1.0)
    return starts + tail * (ends - starts), starts + head * (ends - starts)


def _part(way: Array, there: float) -> Array | None:
    """Return the part of a way that is lit, (point, 2); None where it has no length."""
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(way, axis=0), axis=1))])
    head, tail = (min(max(each, 0.0), 1.0) * along[-1] for each in (there, there - TAIL))
    if head - tail < 1e-9:
        return None
    inside = way[(along > tail) & (along < head)]
    ends = [[np.interp(at, along, way[:, axis]) for axis in range(2)] for at in (tail, head)]
    return np.concatenate([ends[:1], inside, ends[1:]])


def _rounded(way: Array, radius: float = 0.15) -> Array:
    """Return a way whose corners are arcs, (point, 3)."""
    found = [way[0]]
    for before, corner, after in zip(way[:-2], way[1:-1], way[2:], strict=True):
        room = min(np.linalg.norm(before - corner), np.linalg.norm(after - corner)) / 2
        reach = min(radius, float(room))
        first = corner + (before - corner) / max(float(np.linalg.norm(before - corner)), 1e-9) * reach
        last = corner + (after - corner) / max(float(np.linalg.norm(after - corner)), 1e-9) * reach
        share = np.linspace(0, 1, 6)[:, None]
        found += [*((1 - share) ** 2 * first + 2 * share * (1 - share) * corner + share**2 * last)]
    return np.array([*found, way[-1]])
