"""Fewer numbers than were recorded, for pictures of long runs and deep networks; what is left out is said there."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def bins(count: int, most: int) -> list[slice]:
    """Return `count` places, such as steps, in at most so many stretches that follow each other.

    Returns:
        Slices that cover all, of lengths that differ by at most one; one place each where there are few.
    """
    edges = np.linspace(0, count, min(count, most) + 1).round().astype(int)
    return [slice(int(begin), int(end)) for begin, end in pairwise(edges)]


def envelope(x: npt.ArrayLike, y: npt.ArrayLike, most: int = 1000) -> tuple[Floats, Floats]:
    """Return at most twice so many points of a curve, such that none of its peaks is lost.

    Of each stretch the lowest and the highest point stay, in their order; a stretch without any number stays a gap.

    Args:
        x: (point,) ascending, such as steps.
        y: (point,) with NaN where there is none.

    Returns:
        x and y of the points that stay, all of them where there are few.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if len(x) <= 2 * most:
        return x, y
    kept: list[int] = []
    for part in bins(len(x), most):
        values = y[part]
        known = np.flatnonzero(~np.isnan(values))
        ends = {int(known[values[known].argmin()]), int(known[values[known].argmax()])} if len(known) else {0}
        kept += sorted(part.start + end for end in ends)
    return x[kept], y[kept]


def layer_groups(layers: Sequence[str], most: int) -> list[tuple[str, list[int]]]:
    """Return layers in at most so many groups, by what their names share: "layer3.0.conv1" goes to "layer3".

    Only layers that follow each other become a group, so that the order of the forward pass stays. Where names would
    leave too few groups to tell anything, neighbours are joined instead, and named by the first and the last.

    Returns:
        Each group's name and the places of its layers; one layer each, under its own name, where there are few.
    """
    finer = [(name, [place]) for place, name in enumerate(layers)]
    if len(finer) <= most:
        return finer
    parts = [name.partition(":")[0].split(".") for name in layers]
    for depth in range(max(map(len, parts)) - 1, 0, -1):
        groups = _following([".".join(part[:depth]) for part in parts])
        if most / 3 < len(groups) <= most:
            return groups
        if len(groups) <= most:
            break
        finer = groups
    return [_joined(finer[part]) for part in bins(len(finer), most)]


def _joined(groups: list[tuple[str, list[int]]]) -> tuple[str, list[int]]:
    """Return groups that follow each other as one; of the last's name only where it differs from the first's."""
    first, last = (groups[end][0].split(".") for end in (0, -1))
    places = [place for _, part in groups for place in part]
    if len(groups) == 1:
        return groups[0]
    return f"{groups[0][0]} … {'.'.join(_beyond(first, last))}", places


def _beyond(first: Sequence[str], last: Sequence[str]) -> list[str]:
    """Return the parts of a name from the first on that differs from another's."""
    shared = next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), 0)
    return list(last[shared:])


def _following(names: Sequence[str]) -> list[tuple[str, list[int]]]:
    groups: list[tuple[str, list[int]]] = []
    for place, name in enumerate(names):
        if groups and groups[-1][0] == name:
            groups[-1][1].append(place)
        else:
            groups.append((name, [place]))
    return groups
