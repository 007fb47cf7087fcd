"""From arrays of numbers to arrays of colours: what `theme.colour_of` is for one number."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from explainer.theme import DARK, NEGATIVE, POSITIVE, Theme

Array = npt.NDArray[np.float64]


def rgb(colour: str) -> Array:
    """Return "#RRGGBB" as (3,) numbers between 0 and 1."""
    return np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255


def signed(values: npt.ArrayLike, largest: float, theme: Theme = DARK) -> Array:
    """Return the colours of signed numbers, (…, 3): blue above zero, vermilion below, fainter the nearer to zero.

    Args:
        values: (…) what is to be shown; NaN has the colour of zero.
        largest: The magnitude that gets the full colour.
    """
    numbers = np.nan_to_num(np.asarray(values, float))
    zero, positive, negative = rgb(theme.zero), rgb(POSITIVE), rgb(NEGATIVE)
    share = np.minimum(1, np.abs(numbers) / largest) if largest > 0 else np.zeros_like(numbers)
    full = np.where((numbers > 0)[..., None], positive, negative)
    return np.asarray(zero + (full - zero) * share[..., None])


def grey(values: npt.ArrayLike, low: float, high: float) -> Array:
    """Return the greys of an image, (…, 3): black at `low`, white at `high`."""
    share = (np.asarray(values, float) - low) / (high - low) if high > low else np.zeros(np.shape(values))
    return np.repeat(np.clip(np.nan_to_num(share), 0, 1)[..., None], 3, axis=-1)
