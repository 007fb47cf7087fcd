"""The summary numbers of one tensor, fast.

Training waits for these numbers, so they are made of the few numpy and BLAS calls that were measured to be fastest
(`tests/benchmarks/recording.py`): one temporary array, no Python loop. Moments of several micro-batches can be merged;
the seven numbers that a reader sees are derived from them when a shard is finished, for many steps at once.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

STATISTICS = ("mean", "std", "abs_mean", "norm", "max_abs", "zero_fraction", "nonfinite")

_CANCELS = 1e-3  # a variance this small beside mean² has lost its digits in float32: compute it again
_SQUARES_WELL = (1e-12, 1e15)  # outside, squares (or their sum) leave float32: a vanishing gradient would read 0
_SMALL = 2048  # elements up to which counting zeros is as fast as looking whether there is one
CHUNK = 1 << 15  # elements that stay in the cache while they are read again and again


Sums = tuple[float, float, float, float, int]  # of values, magnitudes and squares; the largest magnitude; the zeros


class Moments(NamedTuple):
    """What the statistics of a tensor are derived from."""

    size: float
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
        self._scratch = {
            np.dtype(kind): (np.empty(CHUNK, kind), np.ones(CHUNK, kind)) for kind in (np.float32, np.float64)
        }

    def of(self, values: NDArray[Any]) -> Moments:
        """Compute the moments of a flat, contiguous array; dtypes other than float32 and float64 are converted."""
        if len(values) <= CHUNK:
            return self.total([self.sums(values)], lambda: values, len(values))
        parts = [self.sums(values[at : at + CHUNK]) for at in range(0, len(values), CHUNK)]
        return self.total(parts, lambda: values, len(values))

    def sums(self, values: NDArray[Any]) -> Sums:
        """Compute the sums of at most `CHUNK` elements, which stay in the cache while they are read six times."""
        if values.dtype not in self._scratch:
            values = values.astype(np.float64)
        magnitude, ones = self._scratch[values.dtype]
        return _sums(values, magnitude, ones)

    def total(self, parts: Sequence[Sums], whole: Callable[[], NDArray[Any]], size: int) -> Moments:
        """Put together the sums of all parts of an array.

        Args:
            whole: Returns the array, for the rare one that float32 sums do not do justice to.
            size: How many elements it has.
        """
        if len(parts) == 1:
            total, abs_total, square_total, largest, zeros = parts[0]
        else:
            totals, abs_totals, square_totals, maxima, nothings = zip(*parts, strict=True)
            total, abs_total, square_total = sum(totals), sum(abs_totals), sum(square_totals)
            largest, zeros = (max(maxima) if all(map(_fits_float32, maxima)) else np.nan), sum(nothings)
        if not _fits_float32(largest):
            return _careful_moments(whole())
        centred = square_total - total * total / size if size else 0.0
        if centred * size < _CANCELS * total * total:
            centred = size * float(np.var(whole(), dtype=np.float64))
        return Moments(size, total, abs_total, square_total, centred, largest, zeros, 0)


def _sums(values: NDArray[Any], magnitude: NDArray[Any], ones: NDArray[Any]) -> Sums:
    """Return the sums of the values, of their magnitudes and squares, the largest magnitude and the count of zeros."""
    count = len(values)
    if count == 0:
        return 0.0, 0.0, 0.0, 0.0, 0
    ones = ones[:count]
    magnitude = np.abs(values, out=magnitude[:count])
    largest = float(np.maximum.reduce(magnitude))
    if not _fits_float32(largest):
        return 0.0, 0.0, 0.0, largest, 0  # the sums would overflow, and are not used
    none = count > _SMALL and np.minimum.reduce(magnitude) > 0
    zeros = 0 if none else count - int(np.count_nonzero(magnitude != 0))
    # a dot product with ones is three times as fast as a pairwise sum
    sums = float(values.dot(ones)), float(magnitude.dot(ones)), float(values.dot(values))
    return *sums, largest, zeros


def _fits_float32(largest: float) -> bool:
    return _SQUARES_WELL[0] < largest < _SQUARES_WELL[1] or largest == 0  # False for NaN


def _careful_moments(values: NDArray[Any]) -> Moments:
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
            float(np.abs(wide).max()),
            float(count - np.count_nonzero(wide)),
            float(count - np.count_nonzero(np.isfinite(wide))),
        )


def merged(first: Moments, second: Moments) -> Moments:
    """Merge the moments of two batches into those of both together (Chan, Golub and LeVeque 1979)."""
    if not first.size or not second.size:
        return first if first.size else second
    sums = [a + b for a, b in zip(first, second, strict=True)]
    both = Moments(*sums)
    apart = second.total / second.size - first.total / first.size
    return both._replace(
        centred_square_total=both.centred_square_total + apart**2 * first.size * second.size / both.size,
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
