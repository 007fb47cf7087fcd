"""From which side a mountain is seen: where its points fall on the screen, and what stands in front of what.

The picture is a parallel projection: from straight above, it is a map. So the order of a height field's cells is exact,
not a guess by mean depth: a ray from the ground to the viewer passes over the cells' rows in one direction only, and
over their columns alike. Painted from the far rows and columns to the near ones, no cell covers one nearer than itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]
Answers = npt.NDArray[np.bool_]
OFTEN = 0.35  # of a cell: how often a ray looks at the ground below
_LEVEL = 1e-9  # what rounding leaves of a right angle's cosine


@dataclass(frozen=True)
class View:
    """A camera infinitely far away.

    Attributes:
        azimuth: Where it stands, in degrees anticlockwise from the x axis; −90 looks along y.
        elevation: How high, in degrees: 0 from the side, 90 straight down.
    """

    azimuth: float
    elevation: float

    @cached_property
    def axes(self) -> Array:
        """(3, 3) unit vectors, in rows: to the right of the screen, up the screen, towards the viewer."""
        turn, lift = np.radians([self.azimuth, self.elevation])
        ahead, aside = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
        return np.array(
            [(*aside, 0.0), (*(-np.sin(lift) * ahead), np.cos(lift)), (*(np.cos(lift) * ahead), np.sin(lift))]
        )

    @property
    def toward(self) -> Array:
        """(3,) the unit vector towards the viewer."""
        return np.asarray(self.axes[2])

    def project(self, points: npt.ArrayLike) -> Array:
        """Return points (…, 3) as across, up and depth, (…, 3); a larger depth is nearer to the viewer."""
        return np.asarray(np.asarray(points, float) @ self.axes.T)

    @property
    def near(self) -> tuple[int, int]:
        """Which ends of the columns and of the rows are nearer to the viewer: 0 the first, −1 the last."""
        return (-1 if self.toward[0] > _LEVEL else 0), (-1 if self.toward[1] > _LEVEL else 0)

    def order(self, rows: int, columns: int) -> Places:
        """Return the cells of a grid from the farthest to the nearest, (rows · columns,) places in it row by row."""
        cells = np.arange(rows * columns).reshape(rows, columns)
        column, row = self.near
        cells = cells if column == -1 else cells[:, ::-1]
        return np.asarray((cells if row == -1 else cells[::-1]).ravel())


@dataclass(frozen=True)
class Ground:
    """A height field, bilinear between its points, solid below.

    Attributes:
        x: (U,) and `y` (V,), ascending.
        z: (V, U) heights; a cell with a corner that is not finite is a hole.
    """

    x: Array
    y: Array
    z: Array

    @cached_property
    def corners(self) -> Array:
        """(cell, 4, 3) the corners of the cells, row by row; around each in turn."""
        x, y = np.meshgrid(self.x, self.y)
        points = np.stack([x, y, self.z], axis=-1)
        around = (points[:-1, :-1], points[:-1, 1:], points[1:, 1:], points[1:, :-1])
        return np.stack(around, axis=2).reshape(-1, 4, 3)

    @cached_property
    def whole(self) -> Answers:
        """(cell,) whether all of a cell's corners are finite."""
        return np.asarray(np.isfinite(self.corners).all(axis=(1, 2)))

    @cached_property
    def cell(self) -> float:
        """The side of the smallest cell."""
        return min(float(np.diff(self.x).min()), float(np.diff(self.y).min()))

    def finer(self, parts: int, wanted: Answers) -> Ground:
        """Return the same ground with each side of its cells divided, as far as the cells reach that are wanted.

        Args:
            wanted: (V − 1, U − 1) the cells; the smallest rectangle of the grid that holds them is kept.
        """
        if parts == 1 or not wanted.any():
            return self
        rows, columns = np.flatnonzero(wanted.any(axis=1)), np.flatnonzero(wanted.any(axis=0))
        y, x = self.y[rows[0] : rows[-1] + 2], self.x[columns[0] : columns[-1] + 2]
        x, y = (
            np.interp(np.arange((len(axis) - 1) * parts + 1) / parts, np.arange(len(axis)), axis) for axis in (x, y)
        )
        return Ground(x, y, self.height(*np.meshgrid(x, y)))

    @cached_property
    def top(self) -> float:
        """The largest finite height."""
        return float(np.max(self.z[np.isfinite(self.z)], initial=0.0))

    def height(self, x: npt.ArrayLike, y: npt.ArrayLike) -> Array:
        """Return the ground's height at points, (…); NaN beside it and in holes."""
        column, row = self._place(self.x, x), self._place(self.y, y)
        left = np.fmin(np.fmax(column, 0), len(self.x) - 2).astype(int)  # 0 where there is no ground: it stays NaN
        low = np.fmin(np.fmax(row, 0), len(self.y) - 2).astype(int)
        right_by, up_by = column - left, row - low
        lower = (1 - right_by) * self.z[low, left] + right_by * self.z[low, left + 1]
        upper = (1 - right_by) * self.z[low + 1, left] + right_by * self.z[low + 1, left + 1]
        return np.asarray((1 - up_by) * lower + up_by * upper)

    def hidden(self, points: npt.ArrayLike, view: View) -> Answers:
        """Say of points (N, 3) whether the ground stands between them and the viewer, (N,).

        A ray goes from each towards the viewer, and looks at the ground below until that covers it, or until it is
        above all ground.
        """
        rays = np.asarray(points, float).reshape(-1, 3)
        level, steep = float(np.hypot(*view.toward[:2])), float(view.toward[2])
        stride = OFTEN * self.cell / max(level, 1e-9)
        out = float(np.hypot(np.ptp(self.x), np.ptp(self.y))) / max(level, 1e-9)
        reach = np.clip((self.top - rays[:, 2]) / max(steep, 1e-9), 0.0, out)
        found = np.zeros(len(rays), np.bool_)
        going, way = np.arange(len(rays)), 0.0
        while len(going):
            x, y, z = (rays[going] + way * view.toward).T
            covered = self.height(x, y) > z + 1e-9  # never where there is no ground, which is NaN
            found[going[covered]] = True
            way += stride
            going = going[~covered & (reach[going] > way - stride)]
        return found

    @staticmethod
    def _place(axis: Array, values: npt.ArrayLike) -> Array:
        """Return where values stand on an axis, counted in its points; NaN beside it."""
        return np.asarray(np.interp(np.asarray(values, float), axis, np.arange(len(axis)), left=np.nan, right=np.nan))
