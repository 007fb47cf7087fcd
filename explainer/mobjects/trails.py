"""The ways of several runs, as far as the film has come: on a map, or as curves over the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import cairo
import numpy as np
import numpy.typing as npt
from manim import Camera

from explainer.mobjects import shades
from explainer.mobjects.painted import Array, Painted, source
from explainer.theme import DARK, LAYER, NEGATIVE, Theme, ink

YELLOW = "#F0E442"  # Okabe and Ito's; it has no meaning of its own
WIDTH = 0.045  # frame units, of a line
CASING = 0.032  # how much wider what lies under it is, on each side
HEAD = 0.095  # from a mark's middle to its rim
ROUND, SQUARE, WEDGE, DIAMOND = "round", "square", "wedge", "diamond"
REACH = {ROUND: 1.0, SQUARE: 1.25, WEDGE: 1.35, DIAMOND: 1.25}  # of a mark's corners, in heads


@dataclass(frozen=True)
class TrailStyle:
    """How one run among several is drawn: line and mark say what the colour says.

    Attributes:
        dash: (dash, gap, …) in frame units; empty for a whole line.
        mark: The shape at its head.
    """

    colour: str
    dash: tuple[float, ...]
    mark: str


def trail_styles(theme: Theme = DARK) -> tuple[TrailStyle, ...]:
    """Return the styles of four runs, none of which means anything by itself."""
    return (
        TrailStyle(theme.text, (), ROUND),
        TrailStyle(ink(LAYER, theme), (0.16, 0.07), SQUARE),
        TrailStyle(ink(YELLOW, theme), (0.05, 0.06), WEDGE),
        TrailStyle(ink(NEGATIVE, theme), (0.17, 0.07, 0.04, 0.07), DIAMOND),
    )


class Trails(Painted):
    """Several ways through a box, each a line with a mark at its head; nothing is smoothed.

    What leaves the box is not drawn, and a wedge at the edge says where its head is beyond. Where a way has no number,
    it ends with a cross. The points are the box's corners: it moves and scales with its box.

    Attributes:
        steps: By run (S,) the recorded step numbers.
        ways: By run (S, 2) across and up, in shares of the box.
        step: How far they are drawn; between two recorded steps the head glides.
    """

    def __init__(
        self,
        corners: npt.ArrayLike,
        steps: Mapping[str, npt.ArrayLike],
        ways: Mapping[str, npt.ArrayLike],
        *,
        styles: Sequence[TrailStyle] = (),
        theme: Theme = DARK,
        width: float = WIDTH,
        **style: Any,
    ) -> None:
        """Draw the first step of each.

        Args:
            corners: (3, 3) the box's lower left, lower right and upper left corner.
            styles: Of each run; those of `trail_styles` when omitted.
            width: Of the lines, in frame units.
        """
        super().__init__(**{"fill_opacity": 1, "stroke_width": 0, **style})
        corner, right, top = np.asarray(corners, float)
        self.set_points_as_corners([corner, right, right + top - corner, top, corner])
        self.steps = {run: np.asarray(each, float) for run, each in steps.items()}
        self.ways = {run: np.asarray(each, float) for run, each in ways.items()}
        chosen = styles or trail_styles(theme)
        self.styles = {run: chosen[place % len(chosen)] for place, run in enumerate(self.ways)}
        self.theme, self.width_of_lines = theme, width
        self.step = float(min(each[0] for each in self.steps.values()))

    def set_step(self, step: float) -> Trails:
        """Draw them as far as this step."""
        self.step = step
        return self

    def shares(self, run: str, step: float | None = None) -> Array:
        """Return what is drawn of a run until a step, or until now, (point, 2) shares of the box; the head is last."""
        step, steps, way = self.step if step is None else step, self.steps[run], self.ways[run]
        whole = max(int(np.searchsorted(steps, step, "right")), 1)
        drawn = way[:whole]
        if whole < len(steps) and step > steps[0] and np.isfinite(way[whole - 1 : whole + 1]).all():
            rest = (step - steps[whole - 1]) / (steps[whole] - steps[whole - 1])
            if rest > 0:
                drawn = np.concatenate([drawn, drawn[-1:] + rest * (way[whole] - drawn[-1])])
        known = np.isfinite(drawn).all(axis=1)
        return drawn if known.all() else drawn[: int(np.argmin(known))]

    def drawn(self, run: str) -> Array:
        """Return what is drawn of a run now, (point, 3)."""
        corner, right, up = self._axes()
        return _placed(self.shares(run), corner, right, up)

    def head(self, run: str) -> Array:
        """Return where a run's head stands now, (3,); beyond the box too."""
        return np.asarray(self.drawn(run)[-1])

    def inside(self, run: str) -> bool:
        """Say whether a run's head is in the box."""
        drawn = self.shares(run)
        return bool(len(drawn) and (drawn[-1] > -1e-9).all() and (drawn[-1] < 1 + 1e-9).all())

    def lost(self, run: str) -> bool:
        """Say whether a run has come to where it has no number any more."""
        return len(self.shares(run)) < int((self.steps[run] <= self.step).sum())

    def paint(self, pen: cairo.Context[Any], camera: Camera) -> None:
        """Paint all lines in the box, the first run's above the others', then all marks, the smallest above.

        What sets lines off from the ground comes before all of them: through the gaps of a dashed one another that
        runs below it is seen.
        """
        opacity = float(self.get_fill_opacity())
        corner, right, up = self._axes(camera)
        if opacity < 1:
            pen.push_group()
        pen.save()
        camera.set_cairo_context_path(pen, self)
        pen.clip()
        pen.set_line_join(cairo.LINE_JOIN_ROUND)
        runs = list(self.ways)[::-1]
        ways = [[_placed(piece, corner, right, up) for piece in pieces_within(self.shares(run))] for run in runs]
        pen.set_line_cap(cairo.LINE_CAP_ROUND)
        for way in ways:
            self._paint_line(pen, way, self.theme.background, self.width_of_lines + 2 * CASING)
        pen.set_line_cap(cairo.LINE_CAP_BUTT)
        for run, way in zip(runs, ways, strict=True):
            pen.set_dash(self.styles[run].dash)
            self._paint_line(pen, way, self.styles[run].colour, self.width_of_lines)
        pen.restore()
        above = sorted((run for run in runs if len(self.shares(run))), key=lambda run: -REACH[self.styles[run].mark])
        for casing in (True, False):
            for run in above:
                self._paint_mark(pen, run, corner, right, up, casing=casing)
        if opacity < 1:
            pen.pop_group_to_source()
            pen.paint_with_alpha(opacity)

    @staticmethod
    def _paint_line(pen: cairo.Context[Any], pieces: list[Array], colour: str, width: float) -> None:
        for points in pieces:
            for place, point in enumerate(points.tolist()):
                (pen.line_to if place else pen.move_to)(*point[:2])
        source(pen, shades.rgb(colour), 1.0)
        pen.set_line_width(width)
        pen.stroke()

    def _paint_mark(
        self, pen: cairo.Context[Any], run: str, corner: Array, right: Array, up: Array, *, casing: bool
    ) -> None:
        """Paint a head: its shape; a wedge that points out of the box; a cross where it has no number any more."""
        head, lost, style = self.shares(run)[-1:], self.lost(run), self.styles[run]
        place = _placed(np.clip(head, 0, 1), corner, right, up)[0, :2]
        if lost:
            for sign in (-1, 1):
                pen.move_to(place[0] - HEAD, place[1] - sign * HEAD)
                pen.line_to(place[0] + HEAD, place[1] + sign * HEAD)
        else:
            out = None if self.inside(run) else np.sign(head[0] - np.clip(head[0], 0, 1))
            for at, point in enumerate(place + HEAD * outline(style.mark, out)):
                (pen.line_to if at else pen.move_to)(*point)
            pen.close_path()
        source(pen, shades.rgb(self.theme.background if casing else style.colour), 1.0)
        if casing or lost:
            pen.set_dash(())
            pen.set_line_join(cairo.LINE_JOIN_ROUND)
            pen.set_line_width(self.width_of_lines * lost + 2 * CASING * casing)
            pen.stroke()
        else:
            pen.fill()

    def _axes(self, camera: Camera | None = None) -> tuple[Array, Array, Array]:
        """Return the box's lower left corner, and what leads from it to the right and up."""
        points = self.points if camera is None else camera.transform_points_pre_display(self, self.points)
        corner, right, top = points[0], points[4], points[12]
        return corner, right - corner, top - corner


def pieces_within(way: Array, room: float = 0.2) -> list[Array]:
    """Return the parts of a way (point, 2) that are in the box, or no further from it than `room`, each (point, 2).

    A run that flies out goes astronomically far: no pen counts the dashes on such a line. Liang and Barsky (1984).
    """
    pieces: list[Array] = []
    ended = False
    for begin, end in pairwise(way):
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            shares = np.sort(np.stack([(-room - begin) / (end - begin), (1 + room - begin) / (end - begin)]), axis=0)
        level = end == begin
        if np.any(level & ((begin < -room) | (begin > 1 + room))):
            ended = True
            continue
        first = max(0.0, float(np.max(shares[0], initial=0.0, where=~level)))
        last = min(1.0, float(np.min(shares[1], initial=1.0, where=~level)))
        if first > last:
            ended = True
            continue
        ends = np.stack(
            [begin + share * (end - begin) if 0 < share < 1 else (begin, end)[int(share)] for share in (first, last)]
        )
        if not pieces or ended or first > 0:
            pieces.append(ends)
        else:
            pieces[-1] = np.concatenate([pieces[-1], ends[1:]])
        ended = last < 1
    return pieces


def swatch(style: TrailStyle, theme: Theme = DARK, length: float = 0.75) -> Trails:
    """Return a piece of a run's line with its mark, for a legend."""
    corners = np.array([[-length / 2, -HEAD, 0.0], [length / 2, -HEAD, 0.0], [-length / 2, HEAD, 0.0]])
    way = np.array([[0.0, 0.5], [1.0, 0.5]])
    return Trails(corners, {"": [0, 1]}, {"": way}, styles=[style], theme=theme).set_step(1)


def outline(mark: str, way: Array | None = None) -> Array:
    """Return a mark’s corners around its middle, (corner, 2); a wedge that points along `way` (2,) if one is given."""
    if way is not None:
        turn = np.arctan2(way[1], way[0])
        angles, reach = turn + np.radians([0, 140, 220]), 1.5
    elif mark == ROUND:
        angles, reach = np.linspace(0, 2 * np.pi, 36, endpoint=False), REACH[mark]
    elif mark == WEDGE:
        angles, reach = np.radians([90, 210, 330]), REACH[mark]
    else:
        angles, reach = np.radians([45, 135, 225, 315]) - (np.pi / 4 if mark == DIAMOND else 0), REACH[mark]
    return reach * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _placed(shares: Array, corner: Array, right: Array, up: Array) -> Array:
    return np.asarray(corner + shares[:, :1] * right + shares[:, 1:] * up)
