"""Sums over tensors, in machine code that numba makes: one reading of the memory, exact, and nothing allocated.

Training waits for these numbers. numpy needs nine calls and as many readings for them, ten times as long. Compiled at
the first use on a machine (some seconds), then kept beside this file, or in numba's own cache folder.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numba
import numpy as np
from numpy.typing import NDArray

from explainer.statistics import Moments

Array = NDArray[Any]
_Function = TypeVar("_Function", bound=Callable[..., Any])

_CHUNK = 4096  # elements that stay in the fastest cache while they are read again
# A float's bits without its sign are ordered as magnitudes are: 0 first, then the finite, infinity, and NaN above all.
_BITS: dict[np.dtype[Any], tuple[np.dtype[Any], Any, Any]] = {
    np.dtype(np.float32): (np.dtype(np.int32), np.int32(0x7FFFFFFF), np.int32(0x7F800000)),
    np.dtype(np.float64): (np.dtype(np.int64), np.int64(0x7FFFFFFFFFFFFFFF), np.int64(0x7FF0000000000000)),
}


def _compiled(function: _Function) -> _Function:
    """Compile; sums may be taken in any order, which lets the processor take many at once."""
    options: dict[str, Any] = {"nogil": True, "fastmath": {"reassoc", "contract", "arcp", "nsz"}}
    try:
        compiled: _Function = numba.njit(function, cache=True, **options)
    except RuntimeError:  # no folder on this machine that a cache may be written to
        compiled = numba.njit(function, **options)
    return compiled


@_compiled
def _sums(values: Array, bits: Array, magnitude: Any, infinity: Any) -> tuple[float, float, float, Any, int, int]:
    """Return Σx, Σ|x|, Σx² in float64, the bits of the largest |x|, and how many are 0 and not finite."""
    total, abs_total, square_total, zeros, nonfinite = 0.0, 0.0, 0.0, 0, 0
    largest = magnitude - magnitude
    for at in range(0, len(values), _CHUNK):
        part, part_bits = values[at : at + _CHUNK], bits[at : at + _CHUNK]
        for index in range(len(part)):
            x = np.float64(part[index])
            total += x
            abs_total += abs(x)
            square_total += x * x
        part_largest = magnitude - magnitude
        for index in range(len(part)):
            size = part_bits[index] & magnitude
            part_largest = size if size > part_largest else part_largest
        part_zeros = magnitude - magnitude
        for index in range(len(part)):
            part_zeros += (magnitude - magnitude) + 1 if part_bits[index] & magnitude == 0 else magnitude - magnitude
        zeros += part_zeros
        largest = max(largest, part_largest)
        if part_largest >= infinity:
            for index in range(len(part)):
                nonfinite += 1 if part_bits[index] & magnitude >= infinity else 0
    return total, abs_total, square_total, largest, zeros, nonfinite


@_compiled
def _centred(values: Array, mean: float) -> float:
    """Return Σ(x − mean)² in float64."""
    total = 0.0
    for index in range(len(values)):
        apart = np.float64(values[index]) - mean
        total += apart * apart
    return total


@_compiled
def _fill(
    values: Array, bits: Array, magnitude: Any, infinity: Any, bounds: Array, moments: Array, largest: Array
) -> None:
    for row in range(len(bounds)):
        start, stop = bounds[row, 0], bounds[row, 1]
        piece = values[start:stop]
        total, abs_total, square_total, largest[row], zeros, nonfinite = _sums(
            piece, bits[start:stop], magnitude, infinity
        )
        moments[row, 0] = len(piece)
        moments[row, 1] = total
        moments[row, 2] = abs_total
        moments[row, 3] = square_total
        moments[row, 4] = _centred(piece, total / len(piece)) if len(piece) else 0.0
        moments[row, 6] = zeros
        moments[row, 7] = nonfinite


def moments_of(values: Array) -> Moments:
    """Compute the moments of one flat, contiguous array; a dtype but float32 or float64 is converted."""
    return moments_of_pieces(values, np.array([[0, len(values)]]))[0]


def moments_of_pieces(values: Array, bounds: NDArray[np.int64]) -> Sequence[Moments]:
    """Compute the moments of pieces of a flat, contiguous array.

    Args:
        values: (n,); a dtype but float32 or float64 is converted.
        bounds: (piece, 2): where each piece starts and stops.
    """
    if values.dtype not in _BITS:
        values = values.astype(np.float32 if values.dtype == np.float16 else np.float64)
    bits, magnitude, infinity = _BITS[values.dtype]
    moments = np.empty((len(bounds), 8))
    largest = np.empty(len(bounds), bits)
    _fill(values, values.view(bits), magnitude, infinity, bounds, moments, largest)
    moments[:, 5] = largest.view(values.dtype)
    return [Moments(*row) for row in moments.tolist()]
