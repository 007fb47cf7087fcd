"""What stands before what, once the ground is painted: strokes are cut where it hides them, balls are covered by it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from explainer.mobjects.mountain_brush import (
    CASING,
    GHOST,
    LIFT,
    WIDER,
    Ball,
    Brush,
    Faces,
    Stroke,
    in_front,
    runs,
    widened,
)
from explainer.mobjects.mountain_view import Array, Ground

FINE = 0.05  # frame units: the longest piece of a stroke that is hidden or seen as a whole


def paint_things(brush: Brush, ground: Ground, faces: Faces, strokes: Sequence[Stroke], balls: Sequence[Ball]) -> None:
    """Paint strokes and balls on ground that is painted already, each hidden by what stands before it.

    Args:
        faces: All that was painted of the ground, from the farthest to the nearest.
    """
    ordered = sorted(balls, key=lambda ball: ball.nearest(brush.screen))
    cut = [Cut(stroke, brush, ordered) for stroke in strokes]
    hide(cut, brush, ground)
    cut.sort(key=lambda each: (each.stroke.rank, float(each.depths.mean())))
    for each in cut:
        each.paint_ghost(brush)
    for place in range(len(ordered) + 1):
        for each in cut:
            each.paint(brush, place)
        if place < len(ordered):
            _paint_ball(brush, ordered[place], faces)


def hide(cut: Sequence[Cut], brush: Brush, ground: Ground) -> None:
    """Find which pieces the ground hides, of all strokes at once: asked one by one, rays cost eight times as much."""
    if not cut:
        return
    hidden = ground.hidden(np.concatenate([each.lifted(brush) for each in cut]), brush.screen.view)
    ends = np.cumsum([len(each.seen) for each in cut])
    for each, part in zip(cut, np.split(hidden, ends[:-1]), strict=True):
        each.seen = ~part


class Cut:
    """A stroke in fine pieces, each seen or hidden.

    Attributes:
        points: (piece + 1, 3) their ends.
        seen: (piece,) whether the ground leaves it to be seen; all, until `hide` has looked.
        depths: (piece,) how near it is.
        after: (piece,) how many of the balls, from the farthest, are painted before it.
    """

    def __init__(self, stroke: Stroke, brush: Brush, balls: Sequence[Ball]) -> None:
        """Cut a stroke finely, and where it passes before a ball."""
        screen = brush.screen
        self.stroke = stroke
        self.points = finely(stroke.points, FINE / screen.unit)
        middles = self.middles()
        self.seen = np.ones(len(middles), np.bool_)
        self.depths = screen.depth(middles)
        self.after = np.zeros(len(middles), np.int64)
        flat = screen.place(middles)
        for place, ball in enumerate(balls):
            apart = np.linalg.norm(flat - screen.place(ball.middle(screen)), axis=1)
            meets = apart < ball.radius + stroke.width + CASING
            self.after[meets & (self.depths > ball.nearest(screen))] = place + 1

    def middles(self) -> Array:
        """Return the middles of the pieces, (piece, 3)."""
        return np.asarray((self.points[1:] + self.points[:-1]) / 2)

    def lifted(self, brush: Brush) -> Array:
        """Return the middles a little nearer to the viewer, (piece, 3): what lies on the ground is not in it."""
        screen = brush.screen
        return np.asarray(self.middles() + LIFT * self.stroke.width / screen.unit * screen.view.toward)

    def paint_ghost(self, brush: Brush) -> None:
        """Paint faintly what is hidden."""
        if self.stroke.ghost:
            flat = brush.screen.place(self.points)
            for start, stop, seen in runs(self.seen):
                if not seen:
                    width, opacity = 0.75 * self.stroke.width, GHOST * self.stroke.opacity
                    brush.polyline(flat[start : stop + 1], self.stroke.colour, width, opacity, dashed=True)

    def paint(self, brush: Brush, after: int) -> None:
        """Paint what is seen, and has so many balls behind it."""
        flat, stroke = brush.screen.place(self.points), self.stroke
        parts = [(start, stop) for start, stop, inside in runs(self.seen & (self.after == after)) if inside]
        if stroke.casing is not None:
            for start, stop in parts:
                brush.polyline(flat[start : stop + 1], stroke.casing, stroke.width + CASING, stroke.opacity)
                self._paint_head(brush, flat, stop, stroke.casing, CASING / 2)
        for start, stop in parts:
            # On to the neighbours that are seen too, so that no end of a casing crosses the line where a ball cuts it.
            start -= start > 0 and bool(self.seen[start - 1])
            stop += stop < len(self.seen) and bool(self.seen[stop])
            brush.polyline(flat[start : stop + 1], stroke.colour, stroke.width, stroke.opacity)
            self._paint_head(brush, flat, stop, stroke.colour, 0.0)

    def _paint_head(self, brush: Brush, flat: Array, stop: int, colour: Array, grown: float) -> None:
        """Paint the head of an arrow whose end is seen; shorter than usual where the arrow is."""
        if not self.stroke.head or stop != len(flat) - 1:
            return
        long = min(self.stroke.head, 0.6 * float(np.linalg.norm(flat[-1] - flat[0])))
        behind = flat[-1] - flat
        base = int(np.argmin(np.abs(np.linalg.norm(behind, axis=1) - long)))
        way = flat[-1] - flat[min(base, len(flat) - 2)]
        along = way / max(float(np.linalg.norm(way)), 1e-9)
        aside = np.array([-along[1], along[0]])
        tip, back, half = flat[-1] + (0.35 * long + 1.6 * grown) * along, flat[-1] - 0.65 * long * along, 0.42 * long
        corners = np.array(
            [tip, back - grown * along + (half + grown) * aside, back - grown * along - (half + grown) * aside]
        )
        brush.polygon(corners, colour, self.stroke.opacity)


def finely(points: Array, longest: float) -> Array:
    """Return a line with more points on it, so that none of its pieces is longer than `longest`."""
    lengths = np.linalg.norm(np.diff(points, axis=0), axis=1)
    counts = np.maximum(1, np.ceil(lengths / longest)).astype(int)
    at = np.concatenate([place + np.arange(count) / count for place, count in enumerate(counts)] + [[len(counts)]])
    return np.stack([np.interp(at, np.arange(len(points)), points[:, axis]) for axis in range(3)], axis=1)


def _paint_ball(brush: Brush, ball: Ball, faces: Faces) -> None:
    """Paint a ball, then once more the parts of the ground that stand before it, within its outline."""
    pen, screen, rim = brush.pen, brush.screen, ball.radius + CASING / 2
    middle, level = screen.place(ball.middle(screen)), ball.nearest(screen)
    brush.disc(middle, rim, ball.casing)
    brush.disc(middle, ball.radius, ball.colour)
    flat, depths = screen.place(faces.corners), screen.depth(faces.corners)
    before = (depths.max(axis=1) > level) & ((flat.min(axis=1) < middle + rim) & (flat.max(axis=1) > middle - rim)).all(
        axis=1
    )
    if not before.any():
        return
    pen.save()
    pen.new_sub_path()
    pen.arc(middle[0], middle[1], rim + brush.screen.pixel, 0, 2 * np.pi)
    pen.clip()
    for corners, depth, colour in zip(
        widened(flat[before], WIDER * screen.pixel), depths[before], faces.colours[before], strict=True
    ):
        part = in_front(corners, depth, level)
        if len(part) > 2:
            brush.polygon(part, colour)
    pen.restore()
