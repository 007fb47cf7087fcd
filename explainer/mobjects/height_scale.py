"""From losses to colours and to the levels of contour lines: one scale for a map, its key and its balls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from explainer.mobjects import shades
from explainer.mobjects.level_lines import round_levels
from explainer.theme import HEIGHTS

Array = npt.NDArray[np.float64]
SPREAD = 20.0  # from so many times the lowest decile on, the highest loss makes the scale logarithmic
LEADING = ((1, 2, 5), (1, 3), (1,))  # what levels of a logarithmic scale begin with, the finest that are few enough


@dataclass(frozen=True)
class HeightScale:
    """Which losses are low and which are high.

    Attributes:
        low: The loss of the lowest colour; `high` that of the highest.
        log: Equal factors, rather than equal differences, are equal distances.
    """

    low: float
    high: float
    log: bool = False

    @classmethod
    def of(cls, losses: npt.ArrayLike, log: bool | None = None) -> HeightScale:
        """Return a scale for losses (…), those that are finite; logarithmic where they differ by large factors."""
        values = np.asarray(losses, float)
        values = values[np.isfinite(values)]
        if not len(values):
            return cls(0.0, 1.0)
        low, high = float(values.min()), float(values.max())
        if log is None:
            log = low > 0 and high > SPREAD * float(np.quantile(values, 0.1))
        if not high > low:
            return cls(low - 0.5, low + 0.5)
        return cls(low, high, log and low > 0)

    def share(self, losses: npt.ArrayLike) -> Array:
        """Return how high losses (…) stand, 0 at `low` and 1 at `high`; NaN where a loss is not finite."""
        values = np.asarray(losses, float)
        values = np.where(np.isfinite(values), values, np.nan)
        if not self.log:
            return np.asarray((values - self.low) / (self.high - self.low))
        with np.errstate(invalid="ignore"):
            return np.asarray(np.log(np.maximum(values, 1e-300) / self.low) / np.log(self.high / self.low))

    def loss(self, share: npt.ArrayLike) -> Array:
        """Return the losses at shares (…): what `share` turns round."""
        shares = np.asarray(share, float)
        if self.log:
            return np.asarray(self.low * (self.high / self.low) ** shares)
        return np.asarray(self.low + shares * (self.high - self.low))

    def colours(self, losses: npt.ArrayLike) -> Array:
        """Return the colours of losses (…), (…, 3); those of a loss that is not finite are NaN."""
        return colours_of(self.share(losses))

    def levels(self, most: int = 9) -> Array:
        """Return round losses within the scale, at most so many, (level,)."""
        if not self.log:
            return round_levels(self.low, self.high, most)
        powers = range(int(np.floor(np.log10(self.low))), int(np.ceil(np.log10(self.high))) + 1)
        found = np.empty(0)
        for leading in LEADING:
            found = np.array([float(f"{digit}e{power}") for power in powers for digit in leading])
            found = found[(found >= self.low) & (found <= self.high)]
            if len(found) <= most:
                break
        return found


def colours_of(shares: npt.ArrayLike) -> Array:
    """Return the colours of heights between 0 and 1, (…, 3), as `theme.height_colour` has them; NaN of NaN."""
    table = np.array([shades.rgb(colour) for colour in HEIGHTS])
    at = np.clip(np.asarray(shares, float), 0, 1) * (len(table) - 1)
    return np.stack([np.interp(at, np.arange(len(table)), table[:, part]) for part in range(3)], axis=-1)
