"""A recorded walk on a map: a line through its shadows, a dot for each recorded step, its start and its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke
from numpy.typing import NDArray

from explainer.plots.heights import Heights
from explainer.plots.style import LABEL, points
from explainer.surface import Walk

DARK_EDGE, LIGHT_EDGE = "#10131A", "#FFFFFF"

# Several walks are told apart by line, marker and colour; all stand out from every colour of the map.
STYLES: tuple[dict[str, Any], ...] = (
    {"color": LIGHT_EDGE, "linestyle": "-", "marker": "o"},
    {"color": "#E69F00", "linestyle": (0, (5, 1.6)), "marker": "s"},
    {"color": "#F7B6D2", "linestyle": (0, (1.4, 1.2)), "marker": "^"},
    {"color": DARK_EDGE, "linestyle": (0, (6, 1.5, 1.2, 1.5)), "marker": "D"},
    {"color": "#9AD8FF", "linestyle": (0, (8, 2)), "marker": "v"},
    {"color": "#FF6A2B", "linestyle": (0, (3, 1, 1, 1, 1, 1)), "marker": "P"},
)


def style_of(place: int) -> dict[str, Any]:
    """Return how the walk at one place among several is drawn."""
    return STYLES[place % len(STYLES)]


def draw_walk(
    ax: Axes, walk: Walk, losses: NDArray[np.float64], heights: Heights, *, place: int = 0, **line: Any
) -> None:
    """Draw a walk: each dot in the colour of the step's own loss, which is not always that of the map below it."""
    style = style_of(place)
    across, up = walk.path.T
    kept = {"color": style["color"], "linestyle": style["linestyle"], "linewidth": 1.7, "zorder": 4}
    ax.plot(across, up, **{**kept, "path_effects": _cased(style["color"]), **line})
    seen = np.isfinite(walk.path).all(axis=1)
    known, lost = seen & np.isfinite(losses), seen & ~np.isfinite(losses)
    size, edge = _dot(ax, walk.path[seen])
    marks: dict[str, Any] = {"s": size, "marker": style["marker"], "edgecolors": style["color"], "linewidths": edge}
    ax.scatter(across[known], up[known], color=heights.colour_of(losses[known]), **marks, zorder=5)
    if lost.any():
        ax.scatter(across[lost], up[lost], s=40, marker="x", color=style["color"], linewidths=1.6, zorder=5)


def _dot(ax: Axes, path: NDArray[np.float64]) -> tuple[float, float]:
    """Return the area and the edge of a walk's dots: smaller where steps are many, so that they do not hide each other.

    Both in points, the area squared.
    """
    box = ax.get_window_extent()
    shown = np.array([box.width, box.height]) * 72 / ax.figure.dpi
    extent = np.array([np.ptp(ax.get_xlim()), np.ptp(ax.get_ylim())])
    steps = np.linalg.norm(np.diff(path, axis=0) / extent * shown, axis=1)  # in points
    apart = float(np.median(steps)) if len(steps) else 6.0
    across = min(7.0, max(4.6, 1.6 * apart))
    return across**2, 0.9 if across > 5.5 else 0.6


def _cased(colour: str, width: float = 3.6) -> list[Any]:
    """Return what draws a line with an edge: dark around a light line, light around a dark one."""
    return [Stroke(linewidth=width, foreground=_around(colour)), Normal()]


def _around(colour: str) -> str:
    return LIGHT_EDGE if colour == DARK_EDGE else DARK_EDGE


def mark_ends(ax: Axes, walks: Sequence[Walk]) -> None:
    """Mark where the walks start by a ring, where each ends by a star, and say which is which beside the first."""
    for place, walk in enumerate(walks):
        colour = style_of(place)["color"]
        edged: dict[str, Any] = {"linestyle": "none", "zorder": 6}
        ring: dict[str, Any] = {"marker": "o", "markersize": 12, "markerfacecolor": "none"}
        for line, width in ((_around(colour), 4.2), (colour, 2.0)):
            ax.plot(*walk.path[:1].T, **ring, markeredgecolor=line, markeredgewidth=width, **edged)
        star: dict[str, Any] = {"marker": "*", "markersize": 17, "color": colour, "markeredgewidth": 1.2}
        ax.plot(*walk.path[-1:].T, **star, markeredgecolor=_around(colour), **edged)
    everything = np.concatenate([walk.path for walk in walks] or [np.empty((0, 2))])
    everything = everything[np.isfinite(everything).all(axis=1)]
    for place, words in names_of_ends([walk.path for walk in walks]):
        if np.isfinite(walks[0].path[place]).all():
            _label(ax, walks[0].path[place], everything, words)


def names_of_ends(paths: Sequence[NDArray[np.float64]]) -> tuple[tuple[int, str], ...]:
    """Return which steps have words, and which: the first walk's start, and a single one's end; each walk (S, D)."""
    if not paths or not len(paths[0]):
        return ()
    if len(paths) > 1:
        return ((0, "start"),)
    (path,) = paths
    return ((0, "start and end"),) if np.array_equal(path[0], path[-1]) else ((0, "start"), (-1, "end"))


def _label(ax: Axes, point: NDArray[np.float64], path: NDArray[np.float64], words: str) -> None:
    """Write words beside a point of the map, on the side where the walk is furthest and the map goes on."""
    box = ax.get_window_extent()
    size = np.array([box.width, box.height]) * 72 / ax.figure.dpi
    spans = np.array([ax.get_xlim(), ax.get_ylim()])
    seen = (path - spans[:, 0]) / np.diff(spans, axis=1)[:, 0] * size
    at = (point - spans[:, 0]) / np.diff(spans, axis=1)[:, 0] * size
    write_beside(ax, point, free_side(at, seen, size, words), words)


def free_side(
    at: NDArray[np.float64], seen: NDArray[np.float64], size: NDArray[np.float64], words: str
) -> NDArray[np.float64]:
    """Return how far from a point the middle of a label stands where it hides least of a path and stays in the frame.

    Args:
        at: (2,) the point, in points from the frame's corner; seen: (S, 2) the path, alike; size: (2,) of the frame.
    """
    reach = np.array([0.32 * points(LABEL) * len(words) + 14, 0.6 * points(LABEL) + 14])

    def room(side: tuple[int, int]) -> float:
        label = at + reach * side
        edge = min(*(label - 0.6 * reach), *(size - label - 0.6 * reach), 0.0)
        return float(np.abs((seen - label) / reach).max(axis=1).min() + edge)

    best = max(((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)), key=room)
    return reach * best


def write_beside(ax: Axes, point: Any, offset: NDArray[np.float64], words: str, *, clip: bool = True) -> None:
    """Write words on a dark ground beside a point, so that they can be read on any colour; clipped, on the map only."""
    ax.annotate(
        words,
        point,
        (float(offset[0]), float(offset[1])),
        textcoords="offset points",
        ha="center",
        va="center",
        color=LIGHT_EDGE,
        fontsize=points(LABEL),
        fontweight="bold",
        bbox={"facecolor": DARK_EDGE, "edgecolor": "none", "alpha": 0.72, "boxstyle": "round,pad=0.22"},
        annotation_clip=clip,
        zorder=8,
    )


def legend_entry(place: int, name: str) -> Line2D:
    """Return what stands for one of several walks in a legend."""
    style = style_of(place)
    around: dict[str, Any] = {"markeredgecolor": _around(style["color"]), "path_effects": _cased(style["color"])}
    return Line2D([], [], **style, **around, linewidth=1.7, markersize=7, label=name)
