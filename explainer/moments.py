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
def _moments(values: Array, bits: Array, magnitude: Any, infinity: Any) -> tuple[float, ...]:
    total, abs_total, square_total, largest, zeros, nonfinite = _sums(values, bits, magnitude, infinity)
    size = np.float64(len(values))
    centred = _centred(values, total / size) if size else 0.0
    box = np.empty(1, bits.dtype)
    box[0] = largest
    max_abs = np.float64(box.view(values.dtype)[0])
    return size, total, abs_total, square_total, centred, max_abs, np.float64(zeros), np.float64(nonfinite)


@_compiled
def _fill(values: Array, bits: Array, magnitude: Any, infinity: Any, bounds: Array, moments: Array) -> None:
    for row in range(len(bounds)):
        start, stop = bounds[row, 0], bounds[row, 1]
        found = _moments(values[start:stop], bits[start:stop], magnitude, infinity)
        for column in range(8):
            moments[row, column] = found[column]


@_compiled
def _square_total(values: Array) -> float:
    total = 0.0
    for index in range(len(values)):
        x = np.float64(values[index])
        total += x * x
    return total


@_compiled
def _same(first: Array, second: Array) -> bool:
    for at in range(0, len(first), _CHUNK):
        part, other = first[at : at + _CHUNK], second[at : at + _CHUNK]
        different = part[0] ^ other[0]
        for index in range(len(part)):
            different |= part[index] ^ other[index]
        if different:
            return False
    return True


def moments_of(values: Array) -> Moments:
    """Compute the moments of one flat, contiguous array; a dtype but float32 or float64 is converted."""
    values = _as_float(values)
    bits, magnitude, infinity = _BITS[values.dtype]
    return Moments(*_moments(values, values.view(bits), magnitude, infinity))


def moments_of_pieces(values: Array, bounds: NDArray[np.int64]) -> Sequence[Moments]:
    """Compute the moments of pieces of a flat, contiguous array.

    Args:
        values: (n,); a dtype but float32 or float64 is converted.
        bounds: (piece, 2): where each piece starts and stops.
    """
    values = _as_float(values)
    bits, magnitude, infinity = _BITS[values.dtype]
    moments = np.empty((len(bounds), len(Moments._fields)))
    _fill(values, values.view(bits), magnitude, infinity, bounds, moments)
    return [Moments(*row) for row in moments.tolist()]


def square_total_of(values: Array) -> float:
    """Return Σx² of a flat, contiguous array, in float64."""
    return float(_square_total(_as_float(values)))


def same_bits(first: Array, second: Array) -> bool:
    """Compare two flat arrays of one dtype and size bit by bit: NaN equals itself, and −0 is not 0."""
    words = np.dtype(f"u{first.dtype.itemsize}")
    return bool(_same(first.view(words), second.view(words)))


def _as_float(values: Array) -> Array:
    if values.dtype in _BITS:
        return values
    return values.astype(np.float32 if values.dtype == np.float16 else np.float64)
