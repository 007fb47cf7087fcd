"""What stands on a mountain besides the ground: the walk, stems, balls, arrows; and how holes and sides look."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from explainer.mobjects import shades
from explainer.mobjects.mountain_brush import Ball, Brush, Faces, Stroke
from explainer.mobjects.mountain_view import Array, Ground
from explainer.theme import DARK

if TYPE_CHECKING:
    from explainer.mobjects.mountain import Mountain

PATH = 0.05  # frame units: widths, and the ball's radius
STEM = 0.025
ARROW = 0.035
HEAD = 0.17
BALL = 0.11
RIM = 0.03
CASE = shades.rgb(DARK.background)  # under light strokes, on every theme: faces are as bright as they are
BRIGHT = shades.rgb(DARK.text)


def strokes(mountain: Mountain) -> list[Stroke]:
    """Return the walk as far as it has come, its stems and the arrows, in space."""
    trail, opacity = walked(mountain), float(mountain.trail)
    found = stems(mountain) if opacity > 0 else []
    if len(trail) > 1 and opacity > 0:
        found.append(Stroke(mountain.space(trail), BRIGHT, PATH, casing=CASE, opacity=opacity, ghost=True))
    return found + arrows(mountain)


def walked(mountain: Mountain) -> Array:
    """Return the walk's points until its position, u, v and loss, (point, 3); none before it begins."""
    position, path = float(mountain.position), mountain.path
    if position < 0 or not len(path):
        return np.empty((0, 3))
    whole = min(int(position), len(path) - 1)
    rest = position - whole
    if rest > 0 and whole + 1 < len(path):
        return np.concatenate([path[: whole + 1], path[whole : whole + 1] * (1 - rest) + path[whole + 1] * rest])
    return np.asarray(path[: whole + 1])


def stems(mountain: Mountain) -> list[Stroke]:
    """Return a stem from the plane's loss up or down to the walk's true one, for every step until the position."""
    share = float(mountain.stems)
    if share <= 0:
        return []
    found: list[Stroke] = []
    for (u, v, loss), below in zip(mountain.path, mountain.below, strict=True):
        if len(found) > float(mountain.position) + 1e-9:
            break
        ends = np.array([(u, v, below), (u, v, below + share * (loss - below))])
        found.append(Stroke(mountain.space(ends), BRIGHT, STEM, casing=CASE, ghost=True, rank=-1))
    return found


def arrows(mountain: Mountain) -> list[Stroke]:
    """Return the arrows, lying on the ground."""
    ground = mountain.ground()
    found: list[Stroke] = []
    arrows_of = zip(
        mountain.ways, mountain.grown, mountain.clear, mountain.arrow_colours, mountain.arrow_widths, strict=True
    )
    for way, grown, clear, colour, width in arrows_of:
        if abs(float(grown)) < 1e-6 or clear <= 0:
            continue
        flat = mountain.origin + np.linspace(0, 1, 33)[:, None] * way * float(grown)
        points = mountain.space(np.column_stack([flat, np.full(len(flat), mountain.floor)]))
        points[:, 2] = ground.height(points[:, 0], points[:, 1])
        points = points[np.isfinite(points[:, 2])]
        if len(points) > 1:
            rank, head = int(width > ARROW), HEAD * width / ARROW
            found.append(Stroke(points, colour, width, head, CASE, float(clear), ghost=True, rank=rank))
    return found


def balls(mountain: Mountain) -> list[Ball]:
    """Return the walk's ball, and the one that stands somewhere."""
    trail = walked(mountain)
    places = [trail[-1]] if len(trail) and float(mountain.trail) > 0 else []
    places += [mountain.spot] if np.isfinite(mountain.spot).all() else []
    return [Ball(mountain.space(place), BRIGHT, BALL, CASE) for place in places]


def walls(mountain: Mountain, ground: Ground) -> Faces:
    """Return the two sides of the block that face the viewer, from the ground's rim down to the plane."""
    theme, (column, row) = mountain.theme, mountain.view.near
    x, y = np.meshgrid(ground.x, ground.y)
    points = np.stack([x, y, ground.z], axis=-1)
    corners, tints = [], []
    for rim, tint in ((points[row], theme.zero), (points[:, column], theme.panel)):
        foot = on_plane(rim)
        side = np.stack([rim[:-1], rim[1:], foot[1:], foot[:-1]], axis=1)
        side = side[np.isfinite(side).all(axis=(1, 2))]
        corners.append(side)
        tints.append(np.tile(shades.rgb(tint), (len(side), 1)))
    return Faces(np.concatenate(corners), np.concatenate(tints))


def on_plane(points: Array) -> Array:
    """Return the points of the plane below (or above) points (…, 3)."""
    return np.concatenate([points[..., :2], np.zeros((*points.shape[:-1], 1))], axis=-1)


def paint_holes(mountain: Mountain, brush: Brush, ground: Ground) -> None:
    """Hatch the cells of the plane over which there is no finite loss."""
    holes = on_plane(ground.corners[~ground.whole])
    if not len(holes):
        return
    colour = shades.rgb(mountain.theme.quiet)
    halves = np.stack([holes, np.roll(holes, -1, axis=1)], axis=2).mean(axis=2)  # (cell, side, 3)
    strokes = [holes[:, [0, 2]], halves[:, [0, 1]], halves[:, [3, 2]]]
    brush.lines(brush.screen.place(np.concatenate(strokes)), colour, 0.012, 0.7)


def paint_rims(brush: Brush, ground: Ground) -> None:
    """Draw the rims of holes on the ground, where nothing stands before them."""
    whole = ground.whole.reshape(len(ground.y) - 1, len(ground.x) - 1)
    if whole.all():
        return
    x, y = np.meshgrid(ground.x, ground.y)
    points = np.stack([x, y, ground.z], axis=-1)
    across, along = whole[1:] != whole[:-1], whole[:, 1:] != whole[:, :-1]  # between rows, between columns
    rims = np.concatenate(
        [
            np.stack([points[1:-1, :-1][across], points[1:-1, 1:][across]], axis=1),
            np.stack([points[:-1, 1:-1][along], points[1:, 1:-1][along]], axis=1),
        ]
    )
    lift = 2 * RIM / brush.screen.unit * brush.screen.view.toward
    seen = rims[~ground.hidden(rims.mean(axis=1) + lift, brush.screen.view)]
    brush.lines(brush.screen.place(seen), BRIGHT, RIM)
