"""The summary numbers of one tensor, fast.

Training waits for these numbers, so they are made of the few numpy and BLAS calls that were measured to be fastest
(`tests/benchmarks/recording.py`): one temporary array, no Python loop. Moments of several micro-batches can be merged;
the seven numbers that a reader sees are derived from them when a shard is finished, for many steps at once.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

STATISTICS = ("mean", "std", "abs_mean", "norm", "max_abs", "zero_fraction", "nonfinite")

_CANCELS = 1e-3  # a variance this small beside mean² has lost its digits in float32: compute it again
_SQUARES_WELL = (1e-12, 1e15)  # outside, squares (or their sum) leave float32: a vanishing gradient would read 0
_SMALL = 2048  # elements up to which counting what is not zero is faster than looking whether there is a zero


class Moments(NamedTuple):
    """What the statistics of a tensor are derived from."""

    count: float
    total: float
    abs_total: float
    square_total: float
    centred_square_total: float
    max_abs: float
    zeros: float
    nonfinite: float


class Summary:
    """Computes moments; keeps its scratch memory, so that a step allocates none. Not for two threads at once."""

    def __init__(self) -> None:
        self._magnitude: dict[np.dtype[Any], NDArray[Any]] = {}
        self._ones: dict[np.dtype[Any], NDArray[Any]] = {}

    def of(self, values: NDArray[Any]) -> Moments:
        """Compute the moments of a flat, contiguous array; dtypes other than float32 and float64 are converted."""
        return self.of_pieces(values, [(0, len(values))])[0]

    def of_pieces(self, values: NDArray[Any], bounds: Sequence[tuple[int, int]]) -> list[Moments]:
        """Compute the moments of pieces of a flat array, each given by its first and its last + 1 index."""
        if values.dtype != np.float32 and values.dtype != np.float64:
            values = values.astype(np.float64)
        magnitude = self._magnitude.get(values.dtype)
        if magnitude is None or len(magnitude) < len(values):
            magnitude = self._magnitude[values.dtype] = np.empty(len(values), values.dtype)
            self._ones[values.dtype] = np.ones(len(values), values.dtype)
        magnitude = np.abs(values, out=magnitude[: len(values)])
        ones = self._ones[values.dtype]
        if len(bounds) == 1:
            return [_moments(values, magnitude, ones[: len(values)])]
        return [_moments(values[a:b], magnitude[a:b], ones[: b - a]) for a, b in bounds]


def _moments(values: NDArray[Any], magnitude: NDArray[Any], ones: NDArray[Any]) -> Moments:
    count = len(values)
    if count == 0:
        return Moments(0, 0, 0, 0, 0, 0, 0, 0)
    largest = float(np.maximum.reduce(magnitude))
    if not _SQUARES_WELL[0] < largest < _SQUARES_WELL[1] and largest != 0:
        return _careful_moments(values, magnitude)
    total = float(values.dot(ones))  # a dot product with ones is three times as fast as a pairwise sum
    square_total = float(values.dot(values))
    centred = square_total - total * total / count
    if centred * count < _CANCELS * total * total:
        centred = count * float(np.var(values, dtype=np.float64))
    if count <= _SMALL:
        zeros = count - np.count_nonzero(values)
    else:
        zeros = 0 if np.minimum.reduce(magnitude) > 0 else count - np.count_nonzero(magnitude != 0)
    return Moments(count, total, float(magnitude.dot(ones)), square_total, centred, largest, zeros, 0)


def _careful_moments(values: NDArray[Any], magnitude: NDArray[Any]) -> Moments:
    """The same in float64, for values that are not finite or whose squares float32 cannot hold."""
    wide = values.astype(np.float64)
    count = len(wide)
    with np.errstate(all="ignore"):  # infinities and NaN are what is to be reported, not a warning
        return Moments(
            count,
            float(wide.sum()),
            float(np.abs(wide).sum()),
            float(wide.dot(wide)),
            count * float(np.var(wide)),
            float(np.maximum.reduce(magnitude)),
            count - np.count_nonzero(wide),
            count - np.count_nonzero(np.isfinite(wide)),
        )


def merged(first: Moments, second: Moments) -> Moments:
    """Merge the moments of two batches into those of both together (Chan, Golub and LeVeque 1979)."""
    if not first.count or not second.count:
        return first if first.count else second
    sums = [a + b for a, b in zip(first, second, strict=True)]
    both = Moments(*sums)
    apart = second.total / second.count - first.total / first.count
    return both._replace(
        centred_square_total=both.centred_square_total + apart**2 * first.count * second.count / both.count,
        max_abs=float(np.maximum(first.max_abs, second.max_abs)),  # a NaN stays one
    )


def summarise(moments: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn moments into the numbers that a trace keeps.

    Args:
        moments: (…, 8) in the order of `Moments`; a row of NaN stands for a tensor that was not seen.

    Returns:
        (…, 7) in the order of `STATISTICS`; `std` is the population's, as `torch.std(correction=0)`.
    """
    count, total, abs_total, square_total, centred, max_abs, zeros, nonfinite = np.moveaxis(moments, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):  # an empty tensor has no mean: NaN says so
        mean, std, abs_mean = total / count, np.sqrt(np.maximum(centred, 0) / count), abs_total / count
        share = zeros / count
    return np.stack([mean, std, abs_mean, np.sqrt(square_total), max_abs, share, nonfinite], axis=-1)
