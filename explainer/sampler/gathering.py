"""Points of a surface, piece by piece. Where they are computed is a *source*: here, on workers, or shared by ranks.

A source takes points (P, D) and gives pieces as they are finished, in any order.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from explainer.sampler.evaluation import Evaluator

Floats = NDArray[np.float64]
Piece = tuple[NDArray[np.int64], Floats]  # which of the points (N,), and what was measured there (N, 1 + metrics)
Source = Callable[[Floats], Iterator[Piece]]
Progress = Callable[[int, int], None]  # called with the points done and the points in all

PIECE_SECONDS = 0.5  # what a piece may take: so much work is lost at most when a run is killed
_GROWTH = 4  # a piece is at most so many times as large as the one before it


class Pace:
    """How many points make a piece: one at first, then as many as take about `PIECE_SECONDS`."""

    def __init__(self) -> None:
        self._size, self._seconds = 1, float("inf")  # of a point

    def next_size(self, left: int, slots: int = 1) -> int:
        """Return how many of the `left` points the next piece takes, so that each of the `slots` gets its share."""
        return max(1, min(self._size, -(-left // slots)))

    def learn(self, points: int, seconds: float) -> None:
        """Take in how long a piece took."""
        self._seconds = seconds / points if self._seconds == float("inf") else (self._seconds + seconds / points) / 2
        self._size = max(1, min(_GROWTH * max(points, self._size), int(PIECE_SECONDS / max(self._seconds, 1e-9))))


class Here:
    """Computes points in this process."""

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator, self._pace = evaluator, Pace()

    def __call__(self, points: Floats) -> Iterator[Piece]:
        """Evaluate points (P, D), piece by piece."""
        start = 0
        while start < len(points):
            chosen = np.arange(start, start + self._pace.next_size(len(points) - start))
            began = time.perf_counter()
            values = evaluated(self._evaluator, points[chosen])
            self._pace.learn(len(chosen), time.perf_counter() - began)
            yield chosen, values
            start += len(chosen)


def evaluated(evaluator: Evaluator, points: Floats) -> Floats:
    """Return what is measured at points (P, D); an exception of the model says in a note at which point it came."""
    try:
        return evaluator(points)
    except Exception:
        return np.concatenate([_evaluated_alone(evaluator, point) for point in points])


def _evaluated_alone(evaluator: Evaluator, point: Floats) -> Floats:
    try:
        return evaluator(point[None])
    except Exception as error:
        error.add_note(f"at the point ({', '.join(f'{x:.6g}' for x in point)}) of the surface")
        raise
