"""From the size of a gradient to a length and to a colour: one logarithmic scale for all bars and maps of a film."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from explainer.mobjects import shades
from explainer.mobjects.words import number
from explainer.theme import DARK, GRADIENT, Theme

Array = npt.NDArray[np.float64]
DEEPEST = 12  # decades that a scale has at most: smaller gradients are drawn as its lower end
BEYOND = 2.0  # decades that it goes on beyond the sizes that must be told apart
LEAST = 1.0  # decades that it has at least: what is about equal is to look so
ROOM = 0.12  # of the scale, below the smallest: its bar can still be seen
STEEP = 2.0  # power of the share that is a colour's: half-way down the scale is to look like little
_RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


@dataclass(frozen=True)
class GradientScale:
    """A logarithmic scale.

    Attributes:
        low: The size of a bar without length; `high` that of a whole one.
    """

    low: float
    high: float

    @classmethod
    def of(cls, sizes: Iterable[npt.ArrayLike], near: Iterable[npt.ArrayLike] | None = None) -> GradientScale:
        """Return a scale for several arrays of sizes; those that are 0 or not finite have no place on it.

        Args:
            near: The sizes that must be told apart: what is more than some decades beyond them is cut off, so that a
                run that flies out leaves the others their place. All of `sizes` when omitted.
        """
        flat = _logarithms(sizes)
        if not len(flat):
            return cls(0.1, 1.0)
        low, high = float(flat.min()), float(flat.max())
        inner = _logarithms(near) if near is not None else flat
        if len(inner):
            low, high = max(low, float(inner.min()) - BEYOND), min(high, float(inner.max()) + BEYOND)
        low = max(low, high - DEEPEST)
        low = min(low - ROOM * max(high - low, LEAST), high - LEAST)
        return cls(10**low, 10**high)

    def __str__(self) -> str:
        """Say what it spans, with as many digits as the sizes on it have: none is beyond an end that is printed."""
        return f"log scale, {size_words(self.low)} to {size_words(self.high)}"

    def cuts(self, sizes: Iterable[npt.ArrayLike]) -> bool:
        """Say whether some sizes are beyond its ends."""
        flat = _logarithms(sizes)
        return bool(len(flat) and (flat.max() > np.log10(self.high) + 1e-9 or flat.min() < np.log10(self.low) - 1e-9))

    @property
    def decades(self) -> float:
        """How many factors of ten it spans."""
        return math.log10(self.high / self.low)

    def share(self, sizes: npt.ArrayLike) -> Array:
        """Return how long the bars of sizes (…) are, 0 to 1; 0 where a size is none, 0 or not finite."""
        values = np.asarray(sizes, float)
        known = np.isfinite(values) & (values > 0)
        decades = np.log10(np.where(known, values, self.low) / self.low)
        return np.asarray(np.clip(decades / self.decades, 0, 1))

    def ticks(self, most: int = 5) -> list[float]:
        """Return powers of ten within the scale, evenly thinned to so many; of a short scale what is between too."""
        powers = range(math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9) + 1)
        if len(powers) < 2:
            around = (math.floor(math.log10(self.low)), math.floor(math.log10(self.high)))
            between = [float(f"{digit}e{power}") for power in dict.fromkeys(around) for digit in (1, 2, 5)]
            return [value for value in between if self.low <= value <= self.high]
        every = max(1, math.ceil(len(powers) / most))
        return [10.0**power for power in powers if (powers[-1] - power) % every == 0]

    def colours(self, sizes: npt.ArrayLike, theme: Theme = DARK) -> Array:
        """Return the colours of sizes (…), (…, 3): the more of the gradient's colour, the larger."""
        zero, full = shades.rgb(theme.zero), shades.rgb(GRADIENT)
        return np.asarray(zero + (full - zero) * self.share(sizes)[..., None] ** STEEP)


def _logarithms(sizes: Iterable[npt.ArrayLike]) -> Array:
    """Return the decimal logarithms of all sizes that are finite and above 0, in one row."""
    flat = np.concatenate([np.empty(0), *(np.ravel(np.asarray(each, float)) for each in sizes)])
    return np.asarray(np.log10(flat[np.isfinite(flat) & (flat > 0)]))


def tick(value: float) -> str:
    """Write a number of one digit that counts: plainly near one, else with a power of ten."""
    power = math.floor(math.log10(value) + 1e-9)
    if -2 <= power <= 3:
        return f"{value:,.{max(0, -power)}f}"
    digit = round(value / 10.0**power)
    return f"{digit}·" * (digit > 1) + f"10{str(power).translate(_RAISED)}"


def size_words(value: float, digits: int = 2) -> str:
    """Write a size with so many digits that count, plainly as long as it can be read: 0.0000069."""
    if not math.isfinite(value) or value == 0:
        return number(value, 0)
    power = math.floor(math.log10(abs(float(f"{value:.{digits - 1}e}"))))  # of the rounded size: 9.96 is 10
    decimals = max(0, digits - 1 - power)
    if power >= 6:
        return number(value, 0)
    if power < -7:
        return number(value, 3)
    return f"{value:,.0f}" if power >= 3 else number(value, decimals)
