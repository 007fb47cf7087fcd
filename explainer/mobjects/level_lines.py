"""Where a grid of numbers passes a level: the lines of a contour map, as separate short strokes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def level_lines(x: npt.ArrayLike, y: npt.ArrayLike, values: npt.ArrayLike, level: float) -> Array:
    """Return the strokes of one level, (stroke, 2, 2): two ends, each across and up.

    Marching squares: linear along the cells' edges; in a saddle the mean of the four corners decides which are joined.
    A cell with a corner that is not finite has none.

    Args:
        x: (U,) and `y` (V,), where the columns and rows of `values` (V, U) stand.
    """
    corners, heights = _cells(np.asarray(x, float), np.asarray(y, float), np.asarray(values, float))
    above = heights > level  # (cell, 4)
    crossed = above != np.roll(above, -1, axis=1)  # (cell, 4): the edge from each corner to the next
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (level - heights) / (np.roll(heights, -1, axis=1) - heights)
        places = corners + share[..., None] * (np.roll(corners, -1, axis=1) - corners)  # (cell, 4, 2)
    plain, saddle = crossed.sum(axis=1) == 2, crossed.all(axis=1)
    strokes = [places[plain][crossed[plain]].reshape(-1, 2, 2)]
    first_alone = (heights[saddle].mean(axis=1) > level) != above[saddle, 0]
    # Around the corners that stand alone: the first and third, or the second and fourth.
    pairs = np.where(first_alone[:, None, None], [[3, 0], [1, 2]], [[0, 1], [2, 3]])  # (cell, stroke, 2) edges
    strokes.append(np.take_along_axis(places[saddle], pairs.reshape(-1, 4, 1), axis=1).reshape(-1, 2, 2))
    return np.concatenate(strokes)


def round_levels(low: float, high: float, most: int = 12) -> Array:
    """Return round numbers between two, evenly spaced by 1, 2 or 5 times a power of ten, at most so many."""
    if not high > low:
        return np.empty(0)
    decade = 10.0 ** np.floor(np.log10((high - low) / most))
    step = next(each * decade for each in (1, 2, 5, 10) if (high - low) / (each * decade) <= most)
    return np.asarray(np.arange(np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9) + 1) * step + 0.0)


def _cells(x: Array, y: Array, values: Array) -> tuple[Array, Array]:
    """Return the corners, (cell, 4, 2), and their values, (cell, 4), of the cells that are whole."""
    points = np.stack([*np.meshgrid(x, y), values], axis=-1)
    around = np.stack([points[:-1, :-1], points[:-1, 1:], points[1:, 1:], points[1:, :-1]], axis=2).reshape(-1, 4, 3)
    around = around[np.isfinite(around).all(axis=(1, 2))]
    return around[..., :2], around[..., 2]
