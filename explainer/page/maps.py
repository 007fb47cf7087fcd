"""The feature maps of a convolution's channels, as they are drawn in the network: small, and by their sign and size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from explainer.page.arrays import Array, largest, quantized

MOST_MAPS = 8  # channels that are shown of a layer of maps
MOST_CELLS = 12  # rows and columns of a map: a larger one is shown by every n-th
FEWEST_CELLS = 2  # a map of fewer is a number


def has_maps(shape: Sequence[int]) -> bool:
    """Return whether what a layer makes of an example, (channel, row, column), is seen as maps."""
    return len(shape) == 3 and min(shape[1:]) >= FEWEST_CELLS


def feature_maps(examples: Sequence[Array | None], axis: int, drawn: Array) -> dict[str, Any] | None:
    """Return the maps of the drawn channels of one example a step.

    Args:
        examples: For each shown step (channel, row, column), or None where it was not kept.
        axis: Along which the channels lie.
        drawn: (unit,) which of them are drawn.

    Returns:
        `cells` (T, unit, row, column), each against the `largest` of them all as `quantized`; and the `stride` between
        the cells that are shown. None where no step has maps, or their shapes differ.
    """
    known = [np.take(np.moveaxis(each, axis, 0), drawn, axis=0) for each in examples if each is not None]
    shapes = {each.shape for each in known}
    if len(shapes) != 1 or len(next(iter(shapes))) != 3:
        return None
    rows, columns = next(iter(shapes))[1:]
    stride = -(-max(rows, columns) // MOST_CELLS)
    nothing = np.full(next(iter(shapes)), np.nan)
    taken = iter(known)
    cells = np.stack([nothing if each is None else next(taken) for each in examples])[:, :, ::stride, ::stride]
    most = largest(cells)
    return {"cells": quantized(cells, most), "largest": most, "stride": stride}
