"""How values spread: how many fall into each of evenly spaced bins, so that layers, steps and runs can be compared.

Magnitudes are counted on one grid of powers of ten that holds whatever float32 holds, so that any two of them fit
together without a look at the values first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

_DECADE = 16  # bins of magnitudes to a power of ten
_LOWEST, _HIGHEST = -46, 39  # powers of ten between which float32 lies, those below its normal numbers too
MAGNITUDES: Floats = np.linspace(_LOWEST, _HIGHEST, (_HIGHEST - _LOWEST) * _DECADE + 1)


@dataclass(frozen=True)
class Distribution:
    """How many values fall into each bin.

    Attributes:
        edges: (bin + 1,) evenly spaced; of magnitudes their logarithms to base 10.
        counts: (bin,)
        zeros: Values that are exactly 0. Among magnitudes they have no bin, else they are counted in theirs too.
        nonfinite: Values that are infinite or NaN; no bin holds them.
        size: All values there were.
        median: Of the finite values, itself and not its bin's; of magnitudes that of those that are not 0.
    """

    edges: Floats
    counts: Counts
    zeros: int
    nonfinite: int
    size: int
    median: float = float("nan")

    @property
    def held(self) -> int:
        """How many values lie in bins."""
        return int(self.counts.sum())

    @property
    def zero_share(self) -> float:
        """The share of the values that are exactly 0; NaN where there are no values."""
        return self.zeros / self.size if self.size else float("nan")

    def quantile(self, share: float) -> float:
        """Return below which place on the axis of the edges that share of the values in bins lies.

        Values are taken to be spread evenly inside a bin, so that it is off by a bin at most; NaN where bins are empty.
        """
        if not self.held:
            return float("nan")
        below = np.concatenate([[0], np.cumsum(self.counts)])
        wanted = share * self.held
        bin_ = min(int(np.searchsorted(below, wanted, side="right")) - 1, len(self.counts) - 1)
        while not self.counts[bin_]:  # the largest value's, where all of them are asked for
            bin_ -= 1
        inside = (wanted - below[bin_]) / self.counts[bin_]
        return float(self.edges[bin_] + min(inside, 1.0) * (self.edges[bin_ + 1] - self.edges[bin_]))

    def between(self, low: float, high: float, most: int) -> Distribution:
        """Return the part from `low` to `high` in at most so many bins, each of several of these.

        The ends move outwards to edges; what lies beyond them is in no bin any more.
        """
        first = max(int(np.searchsorted(self.edges, low + 1e-9, side="right")) - 1, 0)
        last = min(int(np.searchsorted(self.edges, high - 1e-9, side="left")), len(self.counts))
        together = max(1, -(-(last - first) // most))
        parts = max(1, -(-(last - first) // together))
        counts = np.zeros(parts * together, np.int64)
        found = self.counts[first : first + parts * together]
        counts[: len(found)] = found
        width = self.edges[1] - self.edges[0]
        edges = self.edges[first] + width * together * np.arange(parts + 1)
        return replace(self, edges=edges, counts=counts.reshape(parts, together).sum(axis=1))


def magnitudes(values: npt.ArrayLike) -> Distribution:
    """Count how large values are, whatever their sign, on a grid of sixteenths of powers of ten.

    Args:
        values: Of any shape and any numeric type.
    """
    flat = np.asarray(values).ravel()
    size = np.abs(flat[np.isfinite(flat)]).astype(np.float64)
    places = np.floor((np.log10(size[size > 0]) - _LOWEST) * _DECADE).astype(np.int64)
    count = len(MAGNITUDES) - 1
    inside = places[(places >= 0) & (places < count)]
    zeros = len(size) - int(np.count_nonzero(size))
    counts, lost = np.bincount(inside, minlength=count), flat.size - len(size)
    return Distribution(MAGNITUDES, counts, zeros, lost, flat.size, _median(size[size > 0]))


def spread(values: npt.ArrayLike, edges: npt.ArrayLike) -> Distribution:
    """Count values between evenly spaced edges; the last bin holds its upper edge too, as in `numpy.histogram`.

    Args:
        values: Of any shape and any numeric type.
        edges: (bin + 1,) ascending.
    """
    flat, edges = np.asarray(values).ravel(), np.asarray(edges, np.float64)
    known = flat[np.isfinite(flat)].astype(np.float64)
    counts = np.histogram(known, bins=len(edges) - 1, range=(edges[0], edges[-1]))[0]
    zeros = len(known) - int(np.count_nonzero(known))
    return Distribution(edges, counts.astype(np.int64), zeros, flat.size - len(known), flat.size, _median(known))


def _median(values: Floats) -> float:
    return float(np.median(values)) if values.size else float("nan")
