"""The summary numbers of tensors, derived from sums that `moments.py` takes.

Moments of several micro-batches can be merged; the seven numbers that a reader sees are derived from them when a shard
is finished, for many steps at once.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

STATISTICS = ("mean", "std", "abs_mean", "norm", "max_abs", "zero_fraction", "nonfinite")


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
