"""A height field seen from one side: which faces are drawn, and which points they hide from the eye.

matplotlib sorts whole artists by their depth, so that a path would vanish under a surface or cut through it. Here each
point is asked whether the line from it to the eye crosses the drawn sheet.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from explainer.plots.heights import Heights
from explainer.surface import Surface

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_MOST = 60  # faces along a side that are drawn: finer ones are smaller than what the last row can see
_SHADE = 0.22  # how much darker a face turned away from the light is, at most: colour has to read as loss
_LIGHT = np.array([-0.35, -0.5, 0.79])
_FLATTEST = 2.2  # how many times longer than the other a side of the plane is drawn at most
_TALL = 0.38  # how high the box is, as a share of its longer side
_SAMPLE = 60  # points of a path that decide from which side it is looked at
_NEAR = 0.03  # of the box's height: nearer points stand on the sheet


@dataclass(frozen=True)
class Relief:
    """The sheet that is drawn, in the units of the axes: u, v, and the height of a loss on a scale.

    Attributes:
        u: (U,) and v: (V,) where its corners stand.
        z: (V, U) how high; NaN where the loss is not finite.
        lost: (V − 1, U − 1) which faces are holes: somewhere in them a loss is not finite.
        low: (3,) where the box around it begins in u, v and z; `high`: where it ends.
        box: (3,) how long its sides are drawn, in one unit.
    """

    u: Floats
    v: Floats
    z: Floats
    lost: Flags
    low: Floats
    high: Floats
    box: Floats

    @property
    def scale(self) -> Floats:
        """(3,) how long one unit of u, v and z is drawn."""
        scale: Floats = self.box / (self.high - self.low)
        return scale

    def faces(self) -> tuple[Floats, Floats]:
        """Return the corners of the faces that are drawn, (F, 4, 3), and of the holes, laid on the floor."""
        u, v = np.meshgrid(self.u, self.v)
        corners = np.stack([u, v, self.z], axis=-1)
        around = [corners[:-1, :-1], corners[:-1, 1:], corners[1:, 1:], corners[1:, :-1]]
        quads = np.stack(around, axis=2).reshape(-1, 4, 3)
        lost = self.lost.ravel()
        holes = quads[lost]
        holes[..., 2] = self.low[2]
        return quads[~lost], holes

    def shades(self, faces: Floats) -> Floats:
        """Return how bright faces (F, 4, 3) are, (F,): 1 towards the light, and never much darker."""
        shown = faces * self.scale
        normals = np.cross(shown[:, 2] - shown[:, 0], shown[:, 3] - shown[:, 1])
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        towards = normals @ (_LIGHT / np.linalg.norm(_LIGHT))
        shades: Floats = 1 - _SHADE * (1 - np.clip(towards, 0, 1))
        return shades

    def height(self, points: Floats) -> Floats:
        """Return how high the sheet is at points (…, 2): bilinear between corners, NaN beside it and in its holes."""
        column = np.clip(np.searchsorted(self.u, points[..., 0], "right") - 1, 0, len(self.u) - 2)
        row = np.clip(np.searchsorted(self.v, points[..., 1], "right") - 1, 0, len(self.v) - 2)
        across = (points[..., 0] - self.u[column]) / (self.u[column + 1] - self.u[column])
        up = (points[..., 1] - self.v[row]) / (self.v[row + 1] - self.v[row])
        low = (1 - across) * self.z[row, column] + across * self.z[row, column + 1]
        top = (1 - across) * self.z[row + 1, column] + across * self.z[row + 1, column + 1]
        beside = ~((across >= 0) & (across <= 1) & (up >= 0) & (up <= 1)) | self.lost[row, column]
        height: Floats = np.where(beside, np.nan, (1 - up) * low + up * top)
        return height

    def hidden(self, points: Floats, elev: float, azim: float, *, looks: int = 160) -> Flags:
        """Return which points (P, 3) the sheet hides from an eye far away, (P,).

        A point on the sheet is taken to be on the side that faces the eye; what is seen through a hole is seen.

        Args:
            elev: How high the eye stands above the plane, in degrees; azim: from which side, as in mplot3d.
            looks: At how many places the line to the eye is compared with the sheet.
        """
        rise, turn = np.radians([elev, azim])
        way = np.array([np.cos(rise) * np.cos(turn), np.cos(rise) * np.sin(turn), np.sin(rise)]) / self.scale
        way = way * float(np.linalg.norm(self.box))
        shares = np.linspace(0, 1, looks)[:, None, None]
        seen = points + shares * way  # (look, P, 3)
        above = seen[..., 2] - self.height(seen[..., :2])  # NaN beside the sheet
        near = np.abs(above) <= _NEAR * (self.high[2] - self.low[2])
        sides = np.where(near, 0.0, np.sign(above))
        side = np.where(sides[0] == 0, np.sign(elev) or 1.0, sides[0])
        hidden = np.zeros(len(points), np.bool_)
        for here in sides[1:]:
            hidden |= here * side < 0
            side = np.where(np.isnan(side) | np.isnan(here) | (here != 0), here, side)
            side = np.where(side == 0, np.sign(elev) or 1.0, side)
        return hidden


def relief_of(surface: Surface, heights: Heights) -> Relief:
    """Return the sheet that is drawn of a surface: a small grid as it is, of a large one evenly chosen points."""
    rows, columns = _chosen(len(surface.v)), _chosen(len(surface.u))
    losses = surface.losses[np.ix_(rows, columns)]
    u, v = surface.u[columns], surface.v[rows]
    low = np.array([u[0], v[0], heights.rise(heights.levels[0])])
    high = np.array([u[-1], v[-1], heights.rise(heights.levels[-1])])
    sides = high[:2] - low[:2]
    sides = np.maximum(sides, sides.max() / _FLATTEST)
    return Relief(
        u=u,
        v=v,
        z=np.where(np.isfinite(losses), heights.rise(losses), np.nan),
        lost=_lost(surface, rows, columns),
        low=low,
        high=high,
        box=np.array([*sides / sides.max(), _TALL]),
    )


def _chosen(count: int) -> NDArray[np.int64]:
    """Return the places of evenly chosen points, the first and the last among them."""
    return np.linspace(0, count - 1, min(count, _MOST + 1)).round().astype(int)


def _lost(surface: Surface, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Flags:
    """Return between which chosen points a loss is not finite, whether it was chosen or not."""
    lost = np.cumsum(np.cumsum(~np.isfinite(np.pad(surface.losses, ((1, 0), (1, 0)))), axis=0), axis=1)
    top, left = rows[:-1], columns[:-1]
    under, right = rows[1:] + 1, columns[1:] + 1
    count = lost[np.ix_(under, right)] - lost[np.ix_(top, right)] - lost[np.ix_(under, left)] + lost[np.ix_(top, left)]
    found: Flags = count > 0
    return found


def best_side(relief: Relief, path: Floats, elev: float) -> float:
    """Return from which side, in degrees, most of a path (S, 3) is seen, and of those the widest view."""
    if len(path) < 2:
        return _SIDES[0]
    some = path[np.linspace(0, len(path) - 1, min(len(path), _SAMPLE)).astype(int)]
    seen = [1 - float(relief.hidden(some, elev, azim, looks=50).mean()) for azim in _SIDES]
    good = [azim for azim, share in zip(_SIDES, seen, strict=True) if share >= max(seen) - 0.1]
    corners = np.array([[-1, -1, 0], [-1, 1, 0], [1, -1, 0], [1, 1, 0]]) * relief.box

    def width(azim: float) -> float:
        right = np.array([-np.sin(np.radians(azim)), np.cos(np.radians(azim)), 0.0])
        return float(np.ptp(path * relief.scale @ right) + np.ptp(corners @ right))

    return max(good, key=width)


_SIDES = tuple(float(azim) for azim in (-60, *range(-165, 181, 15)) if azim % 90)
