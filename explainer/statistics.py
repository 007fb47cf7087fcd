"""The summary numbers of tensors, fast.

Training waits for these numbers, so they are made of the few numpy calls that were measured to be fastest
(`tests/benchmarks/recording.py`): small tensors that lie side by side are summed by one call for all, large ones chunk
by chunk, so that a chunk stays in the cache while it is read again. Moments of several micro-batches can be merged;
the seven numbers that a reader sees are derived from them when a shard is finished, for many steps at once.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

STATISTICS = ("mean", "std", "abs_mean", "norm", "max_abs", "zero_fraction", "nonfinite")

_CANCELS = 1e-3  # a variance this small beside mean² has lost its digits in float32: compute it again
_SQUARES_WELL = (1e-12, 1e15)  # outside, squares (or their sum) leave float32: a vanishing gradient would read 0
_SMALL = 1 << 14  # elements below which several pieces are summed by one call
_CHUNK = 1 << 15  # elements that stay in the cache while they are read again and again
_DTYPES = frozenset({np.dtype(np.float32), np.dtype(np.float64)})


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


_NOTHING = Moments(0, 0.0, 0.0, 0.0, 0.0, 0.0, 0, 0)


class Summary:
    """Computes moments; keeps its scratch memory, so that a step allocates none. Not for two threads at once."""

    def __init__(self) -> None:
        self._scratch: dict[np.dtype[Any], tuple[Array, Array, Array]] = {}

    def of(self, values: Array) -> Moments:
        """Compute the moments of one flat, contiguous array; a dtype but float32 or float64 is converted."""
        return self.of_pieces(values, [(0, len(values))])[0]

    def of_each(self, arrays: Sequence[Array]) -> list[Moments]:
        """Compute the moments of many arrays, best small ones."""
        rows: dict[int, Moments] = {}
        for kind in (np.float32, np.float64):
            members = [index for index, each in enumerate(arrays) if (each.dtype == np.float32) is (kind is np.float32)]
            if members:
                flat = np.concatenate([arrays[index].reshape(-1) for index in members], dtype=kind, casting="unsafe")
                ends = np.cumsum([arrays[index].size for index in members]).tolist()
                bounds = list(zip([0, *ends], ends, strict=False))
                rows.update(zip(members, self.of_pieces(flat, bounds), strict=True))
        return [rows[index] for index in range(len(arrays))]

    def of_pieces(self, values: Array, bounds: Sequence[tuple[int, int]]) -> list[Moments]:
        """Compute the moments of the pieces of a flat array.

        Args:
            bounds: The first and the last + 1 index of each piece; the pieces lie one behind the other.
        """
        if values.dtype not in _DTYPES:
            values = values.astype(np.float64)
        rows: list[Moments] = []
        for size, run in groupby(bounds, _size_class):
            if size == "empty":
                rows += [_NOTHING for _ in run]
            elif size == "large":
                rows += [self._of_large(values[start:stop]) for start, stop in run]
            else:
                rows += self._of_small(values, list(run))
        return rows

    def _of_small(self, values: Array, bounds: Sequence[tuple[int, int]]) -> list[Moments]:
        first, last = bounds[0][0], bounds[-1][1]
        starts = [start - first for start, _ in bounds]
        bounds = [(start - first, stop - first) for start, stop in bounds]
        values = values[first:last]
        magnitude, squares, _ = self._room(values.dtype, last - first)
        np.abs(values, magnitude)
        largest = np.maximum.reduceat(magnitude, starts)
        if not all(map(_fits_float32, largest.tolist())):
            return [_careful_moments(values[start:stop]) for start, stop in bounds]
        smallest = np.minimum.reduceat(magnitude, starts).tolist()
        sums = zip(
            np.add.reduceat(values, starts).tolist(),
            np.add.reduceat(magnitude, starts).tolist(),
            np.add.reduceat(np.multiply(values, values, squares), starts).tolist(),
            largest.tolist(),
            strict=True,
        )
        moments = []
        for (start, stop), least, (total, abs_total, square_total, most) in zip(bounds, smallest, sums, strict=True):
            zeros = 0 if least > 0 else stop - start - int(np.count_nonzero(magnitude[start:stop] != 0))
            centred = _centred(values[start:stop], total, square_total)
            moments.append(Moments(stop - start, total, abs_total, square_total, centred, most, zeros, 0))
        return moments

    def _of_large(self, values: Array) -> Moments:
        parts = [self._of_chunk(values[at : at + _CHUNK]) for at in range(0, len(values), _CHUNK)]
        if not all(_fits_float32(part[3]) for part in parts):
            return _careful_moments(values)
        totals, abs_totals, square_totals, maxima, zeros = zip(*parts, strict=True)
        centred = _centred(values, sum(totals), sum(square_totals))
        return Moments(
            len(values), sum(totals), sum(abs_totals), sum(square_totals), centred, max(maxima), sum(zeros), 0
        )

    def _of_chunk(self, values: Array) -> tuple[float, float, float, float, int]:
        magnitude, _, ones = self._room(values.dtype, len(values))
        np.abs(values, magnitude)
        largest = float(np.maximum.reduce(magnitude))
        if not _fits_float32(largest):
            return 0.0, 0.0, 0.0, largest, 0  # the sums would overflow, and are not used
        none = np.minimum.reduce(magnitude) > 0
        zeros = 0 if none else len(values) - int(np.count_nonzero(magnitude != 0))
        # a dot product with ones is three times as fast as a sum
        return float(values.dot(ones)), float(magnitude.dot(ones)), float(values.dot(values)), largest, zeros

    def _room(self, dtype: np.dtype[Any], size: int) -> tuple[Array, Array, Array]:
        room = self._scratch.get(dtype)
        if room is None or len(room[0]) < size:
            room = np.empty(size, dtype), np.empty(size, dtype), np.ones(size, dtype)
            self._scratch[dtype] = room
        return room[0][:size], room[1][:size], room[2][:size]


def _size_class(bounds: tuple[int, int]) -> str:
    size = bounds[1] - bounds[0]
    return "empty" if size == 0 else "small" if size < _SMALL else "large"


def _centred(values: Array, total: float, square_total: float) -> float:
    """Return the sum of squared distances from the mean."""
    centred = square_total - total * total / len(values)
    if centred * len(values) < _CANCELS * total * total:
        return len(values) * float(np.var(values, dtype=np.float64))
    return centred


def _fits_float32(largest: float) -> bool:
    return _SQUARES_WELL[0] < largest < _SQUARES_WELL[1] or largest == 0  # False for NaN


def _careful_moments(values: Array) -> Moments:
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
