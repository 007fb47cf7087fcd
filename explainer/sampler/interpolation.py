"""A grid from fewer evaluations: splines between some of its points, held to what other points turn out to be.

1. Evaluate a coarse lattice of the grid's own points, a little closer at the edges, where splines are weakest, and lay
   a cubic spline through it: through √loss, which varies less over a valley than the loss does.
2. In every other of the lattice's cells, as on a chessboard, evaluate one point more, elsewhere in each, and compare:
   every row and every column of the grid holds some of them, so that no ridge along an axis stands between them all.
3. Where the spline is not well within the tolerance, evaluate the whole cell and those beside it, and where one turns
   out bad, those beside that, until good ones surround the bad. Where a finer lattice would cost less, begin with it.

Points that were evaluated keep their values. Where any of them is NaN or infinite, all points are evaluated.

That is a check, and no bound: what a surface does between the points evaluated, nobody has seen. A hole of NaN, or a
spike, that is narrower than they are apart can be missed, and an error there can be larger than the tolerance.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from explainer.errors import SurfaceError

Floats = NDArray[np.float64]
Marks = NDArray[np.bool_]
Evaluate = Callable[[Floats], Floats]  # points (P, 2) to values (P, K)

_FEWEST = 4  # points along an axis that a cubic spline needs
_NODES = 16  # of the first lattice, along each axis
_CLUSTERING = 0.2  # 0: nodes at equal distances, 1: as Chebyshev's
_SAFETY = 2.5  # a cell is suspect where a point held out, in it or beside it, errs by more than tolerance / _SAFETY
_GROWTH = 0.75  # a cell is bad, and those beside it suspect, where any point errs by more than _GROWTH · tolerance


class Interpolated(NamedTuple):
    """A grid of which not every point was evaluated.

    Attributes:
        values: (V, U, K).
        evaluated: (V, U) whether a point was evaluated.
        worst: The largest relative error at held-out points of those cells in which points were interpolated; between
            them it can be larger.
    """

    values: Floats
    evaluated: Marks
    worst: float


def check_tolerance(tolerance: Any) -> None:
    """Refuse a tolerance that is none; without one, every point is evaluated.

    Raises:
        SurfaceError: It is no number between 0 and 1, both excluded.
    """
    number = isinstance(tolerance, int | float | np.floating) and not isinstance(tolerance, bool)
    if tolerance is not None and not (number and 0 < tolerance < 1):
        raise SurfaceError(
            f"tolerance={tolerance!r} is no relative error between 0 and 1: give 0.005 for half a per cent, or None "
            "to evaluate every point"
        )


def whole_grid(u: Floats, v: Floats, evaluate: Evaluate, tolerance: float | None) -> Interpolated:
    """Return a grid's values: all evaluated, or some interpolated, and held to a tolerance at points held out."""
    check_tolerance(tolerance)
    grid = _Grid(u, v, evaluate)
    return _everywhere(grid) if tolerance is None else _interpolated(grid, tolerance)


def _interpolated(grid: _Grid, tolerance: float) -> Interpolated:
    """Find a lattice that is fine enough, or evaluate all points.

    Whatever is measured is held to the tolerance, metrics too: an accuracy, which goes in steps, is evaluated in most
    cells, and the loss with it.
    """
    if min(grid.evaluated.shape) < _FEWEST:
        return _everywhere(grid)
    rows, columns = map(_nodes, grid.evaluated.shape)
    while max(np.diff(rows).max(), np.diff(columns).max()) > 1:
        cells = _Cells(rows, columns)
        grid.evaluate(cells.nodes() | cells.checks())
        if not grid.finite():
            break
        errors = grid.errors(_spline(grid.values, rows, columns))
        held_out = np.where(cells.checks(), errors / cells.shape(), 0)
        suspect = _grown(cells.worst(held_out) > tolerance / _SAFETY)
        finer = _Cells(_halved(rows), _halved(columns))
        if grid.left(cells.points(suspect)) <= grid.left(finer.nodes() | finer.checks()):
            return _settle(grid, cells, suspect, tolerance)
        rows, columns = finer.rows, finer.columns
    return _everywhere(grid)


def _everywhere(grid: _Grid) -> Interpolated:
    grid.evaluate(np.ones(grid.evaluated.shape, np.bool_))
    return Interpolated(grid.values, grid.evaluated, 0.0)


def _settle(grid: _Grid, cells: _Cells, suspect: Marks, tolerance: float) -> Interpolated:
    """Evaluate suspect cells, and those beside cells that are bad; take the spline in all others."""
    guess = _spline(grid.values, cells.rows, cells.columns)
    whole = np.zeros_like(suspect)
    while suspect.any():
        grid.evaluate(cells.points(suspect))
        if not grid.finite():
            return _everywhere(grid)
        whole |= suspect
        bad = whole & (cells.worst(grid.errors(guess)) > _GROWTH * tolerance)
        suspect = _grown(bad) & ~whole
    held_out = grid.evaluated & cells.points(~whole)
    worst = float(grid.errors(guess)[held_out].max(initial=0.0)) if not whole.all() else 0.0
    return Interpolated(np.where(grid.evaluated[..., None], grid.values, guess), grid.evaluated, worst)


class _Grid:
    """The grid's points, as far as they were evaluated; the others are NaN."""

    def __init__(self, u: Floats, v: Floats, evaluate: Evaluate) -> None:
        self._points = np.stack(np.meshgrid(u, v), axis=-1)  # (V, U, 2)
        self._evaluate = evaluate
        self.evaluated = np.zeros((len(v), len(u)), np.bool_)
        self.values = np.full((len(v), len(u), 1), np.nan)

    def evaluate(self, wanted: Marks) -> None:
        """Evaluate the points marked (V, U) that were not yet."""
        new = wanted & ~self.evaluated
        if new.any():
            found = self._evaluate(self._points[new])
            if self.values.shape[-1] != found.shape[-1]:
                self.values = np.full((*self.evaluated.shape, found.shape[-1]), np.nan)
            self.values[new] = found
            self.evaluated |= new

    def left(self, wanted: Marks) -> int:
        """Return how many of the points marked (V, U) are still to be evaluated."""
        return int((wanted & ~self.evaluated).sum())

    def finite(self) -> bool:
        """Whether all that was evaluated is finite."""
        return bool(np.isfinite(self.values[self.evaluated]).all())

    def errors(self, guess: Floats) -> Floats:
        """Return the largest relative error of a guess (V, U, K) over all K, (V, U); 0 where nothing is known."""
        with np.errstate(divide="ignore", invalid="ignore"):
            errors = np.abs(guess - self.values) / np.abs(self.values)
        known: Floats = np.where(np.isnan(errors) | (guess == self.values), 0.0, errors)
        largest: Floats = known.max(axis=-1)
        return largest


class _Cells:
    """The cells between the nodes of a lattice: R rows and C columns of them."""

    def __init__(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> None:
        self.rows, self.columns = rows, columns  # (R + 1,) and (C + 1,) of the grid
        self._both = rows, columns

    def nodes(self) -> Marks:
        """Mark the lattice's own points, (V, U)."""
        marks = self._none()
        marks[np.ix_(self.rows, self.columns)] = True
        return marks

    def checks(self) -> Marks:
        """Mark one point inside every other cell, (V, U): another in each, so that they meet all rows and columns.

        A cell that is but one step wide has it on its border.
        """
        marks = self._none()
        for row, (top, bottom) in enumerate(_pairs(self.rows)):
            for column, (left, right) in list(enumerate(_pairs(self.columns)))[row % 2 :: 2]:
                down = (row + column) // 2 % max(bottom - top - 1, 1)
                along = (row - column) // 2 % max(right - left - 1, 1)
                marks[top + 1 + down, left + 1 + along] = True
        return marks

    def points(self, cells: Marks) -> Marks:
        """Mark all points of the cells marked (R, C), with their borders, (V, U)."""
        marks = self._none()
        for row, column in np.argwhere(cells):
            marks[self._inside(row, column)] = True
        return marks

    def worst(self, errors: Floats) -> Floats:
        """Return the largest of the errors (V, U) in each cell, (R, C)."""
        shape = len(self.rows) - 1, len(self.columns) - 1
        return np.array([errors[self._inside(*cell)].max() for cell in np.ndindex(*shape)]).reshape(shape)

    def shape(self) -> Floats:
        """Return how large a cubic spline's error is at each point, (V, U), the middle of its cell being 1.

        Between nodes at 0 and 1 it goes as x²(1 − x)².
        """
        down, along = (np.append(np.concatenate([_bump(*pair) for pair in _pairs(each)]), 0.0) for each in self._both)
        shape: Floats = np.maximum((down[:, None] + along) / 2, 0.2)
        return shape

    def _inside(self, row: int, column: int) -> tuple[slice, slice]:
        return (
            slice(self.rows[row], self.rows[row + 1] + 1),
            slice(self.columns[column], self.columns[column + 1] + 1),
        )

    def _none(self) -> Marks:
        return np.zeros((self.rows[-1] + 1, self.columns[-1] + 1), np.bool_)


def _nodes(count: int) -> NDArray[np.int64]:
    """Return which of a number of points in a line are nodes, the first and the last included."""
    even = np.linspace(0, 1, min(_NODES, count))
    clustered = (1 - np.cos(np.pi * even)) / 2
    place = ((1 - _CLUSTERING) * even + _CLUSTERING * clustered) * (count - 1)
    return np.unique(place.round().astype(np.int64))


def _halved(nodes: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.union1d(nodes, (nodes[1:] + nodes[:-1]) // 2)


def _pairs(nodes: NDArray[np.int64]) -> list[tuple[int, int]]:
    return list(zip(nodes[:-1].tolist(), nodes[1:].tolist(), strict=True))


def _bump(start: int, end: int) -> Floats:
    x = np.arange(end - start) / (end - start)
    bump: Floats = 16 * np.square(x * (1 - x))
    return bump


def _grown(cells: Marks) -> Marks:
    """Mark cells and those beside them."""
    padded = np.pad(cells, 1)
    return cells | padded[2:, 1:-1] | padded[:-2, 1:-1] | padded[1:-1, 2:] | padded[1:-1, :-2]


def _spline(values: Floats, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Floats:
    """Return a cubic spline through the values (V, U, K) at a lattice's nodes, at all points (V, U, K)."""
    from scipy.interpolate import RectBivariateSpline

    found = np.empty_like(values)
    everywhere = [np.arange(length) for length in values.shape[:2]]
    for place in range(values.shape[-1]):
        at_nodes = values[..., place][np.ix_(rows, columns)]
        rooted = at_nodes.min() >= 0
        spline = RectBivariateSpline(rows, columns, np.sqrt(at_nodes) if rooted else at_nodes)(*everywhere)
        found[..., place] = np.square(spline) if rooted else spline
    return found
