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

    Only layers that follow each other become a group, so that the order of the forward pass stays.

    Returns:
        Each group's name and the places of its layers; one layer each, under its own name, where there are few.
    """
    if len(layers) <= most:
        return [(name, [place]) for place, name in enumerate(layers)]
    parts = [name.partition(":")[0].split(".") for name in layers]
    for depth in range(max(map(len, parts)) - 1, 0, -1):
        groups = _following([".".join(part[:depth]) for part in parts])
        if len(groups) <= most:
            return groups
    return [
        (f"{layers[part.start]} … {layers[part.stop - 1]}", list(range(part.start, part.stop)))
        for part in bins(len(layers), most)
    ]


def _following(names: Sequence[str]) -> list[tuple[str, list[int]]]:
    groups: list[tuple[str, list[int]]] = []
    for place, name in enumerate(names):
        if groups and groups[-1][0] == name:
            groups[-1][1].append(place)
        else:
            groups.append((name, [place]))
    return groups
