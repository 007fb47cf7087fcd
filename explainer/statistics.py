"""The summary numbers of one tensor, fast.

Training waits for these numbers, so they are made of the few numpy and BLAS calls that were measured to be fastest
(`facts.md`): one temporary array, no Python loop, float32 sums that BLAS accumulates in blocks. Moments of several
micro-batches can be merged; the seven numbers that a reader sees are derived from them at the end.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

STATISTICS = ("mean", "std", "abs_mean", "norm", "max_abs", "zero_fraction", "nonfinite")
MOMENTS = ("count", "sum", "abs_sum", "square_sum", "centred_square_sum", "max_abs", "zeros", "nonfinite")

_CANCELS = 1e-3  # a variance this small beside mean² has lost its digits in float32: compute it again
_SQUARES_WELL = (1e-12, 1e15)  # outside, squares (or their sum) leave float32: a vanishing gradient would read 0


class Moments:
    """Computes moments; keeps its scratch memory, so that a step allocates none.

    Not for two threads at once.
    """

    def __init__(self) -> None:
        self._magnitude: dict[np.dtype[Any], NDArray[Any]] = {}
        self._ones: dict[np.dtype[Any], NDArray[Any]] = {}

    def of(self, values: NDArray[Any], lengths: Sequence[int] | None = None) -> NDArray[np.float64]:
        """Compute the moments of consecutive pieces of a flat array.

        Args:
            values: Contiguous, flat; other dtypes than float32 and float64 are converted to float64.
            lengths: How many elements each piece has; one piece when omitted.

        Returns:
            (piece, 8) in the order of `MOMENTS`.
        """
        if values.dtype != np.float32 and values.dtype != np.float64:
            values = values.astype(np.float64)
        magnitude, ones = self._scratch(values)
        np.abs(values, out=magnitude)
        rows, start = [], 0
        for length in (len(values),) if lengths is None else lengths:
            stop = start + length
            rows.append(_row(values[start:stop], magnitude[start:stop], ones[start:stop]))
            start = stop
        return np.array(rows, np.float64).reshape(-1, len(MOMENTS))

    def _scratch(self, values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        magnitude = self._magnitude.get(values.dtype)
        if magnitude is None or len(magnitude) < len(values):
            magnitude = self._magnitude[values.dtype] = np.empty(len(values), values.dtype)
            self._ones[values.dtype] = np.ones(len(values), values.dtype)
        return magnitude[: len(values)], self._ones[values.dtype]


def _row(values: NDArray[Any], magnitude: NDArray[Any], ones: NDArray[Any]) -> tuple[float, ...]:
    count = len(values)
    if count == 0:
        return (0, 0.0, 0.0, 0.0, 0.0, 0.0, 0, 0)
    total = float(values.dot(ones))  # a dot product with ones is three times as fast as a pairwise sum
    square_sum = float(values.dot(values))
    largest = float(np.maximum.reduce(magnitude))
    if not (_SQUARES_WELL[0] < largest < _SQUARES_WELL[1]) and largest != 0:
        return _careful_row(values, magnitude)
    centred = square_sum - total * total / count
    if centred * count < _CANCELS * total * total:
        centred = count * float(np.var(values, dtype=np.float64))
    zeros = 0 if np.minimum.reduce(magnitude) > 0 else count - int(np.count_nonzero(magnitude != 0))
    return (count, total, float(magnitude.dot(ones)), square_sum, centred, largest, zeros, 0)


def _careful_row(values: NDArray[Any], magnitude: NDArray[Any]) -> tuple[float, ...]:
    """The same in float64, for values that are not finite or whose squares float32 cannot hold."""
    wide = values.astype(np.float64)
    count = len(wide)
    nonfinite = count - int(np.count_nonzero(np.isfinite(wide)))
    with np.errstate(all="ignore"):  # infinities and NaN are what is to be reported, not a warning
        centred = count * float(np.var(wide))
        sums = float(wide.sum()), float(np.abs(wide).sum()), float(wide.dot(wide))
    zeros = count - int(np.count_nonzero(wide))
    return (count, *sums, centred, np.maximum.reduce(magnitude), zeros, nonfinite)


def merged(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Merge the moments of two batches into those of both together (Chan, Golub and LeVeque 1979).

    Args:
        first: (8,) in the order of `MOMENTS`, and so is `second`.
    """
    if not first[0] or not second[0]:
        return first + second
    both = first + second
    apart = second[1] / second[0] - first[1] / first[0]
    both[4] = first[4] + second[4] + apart**2 * first[0] * second[0] / both[0]
    both[5] = max(first[5], second[5])
    return both


def summarise(moments: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn moments into the numbers that a trace keeps.

    Args:
        moments: (…, 8) in the order of `MOMENTS`; a row of NaN stands for a tensor that was not seen.

    Returns:
        (…, 7) in the order of `STATISTICS`; `std` is the population's, as `torch.std(correction=0)`.
    """
    count, total, abs_sum, square_sum, centred, max_abs, zeros, nonfinite = np.moveaxis(moments, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):  # an empty tensor has no mean: NaN says so
        per = np.stack([total / count, np.sqrt(np.maximum(centred, 0) / count), abs_sum / count], axis=-1)
        share = zeros / count
    return np.concatenate([per, np.stack([np.sqrt(square_sum), max_abs, share, nonfinite], axis=-1)], axis=-1)
