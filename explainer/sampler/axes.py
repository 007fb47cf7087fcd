"""Where the points of a surface lie along its axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explainer.errors import SurfaceError

Floats = NDArray[np.float64]
Ends = tuple[float, float]
_ROOM = 0.25  # of a walk's extent, beyond its ends
_MOST = 10_000  # points along an axis: more is a slip of the finger


def grid_axes(
    resolution: int | tuple[int, int], span: Any, paths: Sequence[Floats], *, least: float = 0.0
) -> tuple[Floats, Floats]:
    """Return the coordinates along u and v.

    Args:
        span: As `loss_surface` takes it.
        paths: Walks (S, 2), around which the axes are laid where no span is given.
        least: How far the axes then reach to both sides at least, in their own unit.

    Raises:
        SurfaceError: A resolution or a span that is none.
    """
    counts = (resolution, resolution) if not isinstance(resolution, tuple | list) else tuple(resolution)
    if len(counts) != 2:
        raise SurfaceError(f"resolution is {resolution!r}: give one number, or (along u, along v)")
    ends = _around(paths, least) if span is None else _given(span)
    u, v = (axis(count, each) for count, each in zip(counts, ends, strict=True))
    return u, v


def axis(count: Any, ends: Ends) -> Floats:
    """Return evenly spaced coordinates; where 0 lies between them and nearly on one, it is one exactly.

    Raises:
        SurfaceError: There are fewer than two.
    """
    if isinstance(count, bool) or not isinstance(count, int | np.integer) or not 2 <= count <= _MOST:
        raise SurfaceError(f"resolution is {count!r}: give a whole number of points along an axis, from 2 to {_MOST:,}")
    found = np.linspace(*ends, int(count))
    found[np.abs(found) < 1e-12 * (ends[1] - ends[0])] = 0.0
    return found


def line_ends(span: Any, default: Ends) -> Ends:
    """Return where a line begins and ends: span is a half, or (from, to).

    Raises:
        SurfaceError: It is neither.
    """
    return default if span is None else _pair(span, span)


def _given(span: Any) -> tuple[Ends, Ends]:
    if not isinstance(span, tuple | list):
        return _pair(span, span), _pair(span, span)
    if len(span) != 2:
        raise SurfaceError(_wrong(span))
    return _pair(span[0], span), _pair(span[1], span)


def _pair(one: Any, span: Any) -> Ends:
    try:
        low, high = (-float(one), float(one)) if not isinstance(one, tuple | list) else (float(one[0]), float(one[1]))
    except (TypeError, ValueError, IndexError) as error:
        raise SurfaceError(_wrong(span)) from error
    if not (np.isfinite([low, high]).all() and low < high) or (isinstance(one, tuple | list) and len(one) != 2):
        raise SurfaceError(_wrong(span))
    return low, high


def _wrong(span: Any) -> str:
    return (
        f"span is {span!r}: give half a side as a number above 0, or for each axis such a number or (from, to) with "
        "from below to, all finite"
    )


def _around(paths: Sequence[Floats], least: float) -> tuple[Ends, Ends]:
    """Return ends with room around all walks and the center; an axis along which nothing moves is as long as the other.

    A walk along one line would else give a plane without a width.
    """
    points = np.concatenate([np.zeros((1, 2)), *paths])
    points = points[np.isfinite(points).all(axis=1)]
    low, high = points.min(axis=0), points.max(axis=0)
    extent = high - low
    low, high = low - _ROOM * extent, high + _ROOM * extent
    if extent.max() == 0 and least == 0:
        least = 1.0
    for place in range(2):
        if extent[place] < 1e-3 * extent.max():
            middle, half = (low[place] + high[place]) / 2, (1 + 2 * _ROOM) * extent.max() / 2
            low[place], high[place] = middle - half, middle + half
    low, high = np.minimum(low, -least), np.maximum(high, least)
    return (float(low[0]), float(high[0])), (float(low[1]), float(high[1]))
