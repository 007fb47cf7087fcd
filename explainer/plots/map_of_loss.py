"""The loss over a plane through weights, from above, and the recorded walk on it."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Patch, PathPatch
from matplotlib.path import Path
from numpy.typing import NDArray

from explainer.plots.heights import Heights, colour_bar, heights_of
from explainer.plots.style import canvas, dress, entitle, legend_row, lines_of
from explainer.plots.surface_words import axis_names, check, losses_of, remarks, told
from explainer.plots.walks import draw_walk, legend_entry, mark_ends
from explainer.surface import Surface
from explainer.theme import Theme

GETTING = (
    "surface = explainer.loss_surface(model, criterion, (inputs, targets), trace=trace), "
    "or explainer.lessons.lesson_surface('digits'), or explainer.open_surface(folder)"
)


def surface(
    surface: Surface,
    *,
    losses: str = "true",
    scale: str | None = None,
    ax: Axes | None = None,
    theme: Theme | str | None = None,
    style: str | None = None,
    **line: Any,
) -> Axes:
    """Draw the loss over a plane through weights, from above, and the recorded walk: where did training walk?

    Read it as a hiker's map: on a contour the loss is the same, and where contours lie close it is steep. In a healthy
    run the walk leaves high ground for low, and its steps become shorter. A walk that zigzags between two walls has too
    large a learning rate, one that stays where it began too small a one, one that ends high up is stuck or diverged.

    The walk is not on the plane, only its shadow is. Each dot has the colour of the step's own loss: where a dot's
    colour is not that of the map around it, the map does not show what the step saw. Below the title stands how much
    of the walk the plane holds, and how far the two losses differ at worst.

    Args:
        surface: From `explainer.loss_surface`; reads its losses (V, U) and its walks (S, 2).
        losses: The dots' own losses: "true" (the recorded weights' on the surface's data) or "recorded" (each of its
            step's own batch).
        scale: "linear" or "log"; by default "log" where the losses are positive and span orders of magnitude.
        ax: Where to draw; the colour bar, `ax.child_axes[0]`, stands beside it. A new figure is made when omitted.
        theme: "light" or "dark"; what fits the figure's background when omitted.
        style: "slide", "paper" or "notebook": the size of a new figure, and of the text.
        line: Passed to `matplotlib.axes.Axes.plot` for the walks' lines.

    Returns:
        The axes drawn on.

    Raises:
        TraceError: It is not a surface, or there are no such losses, scale or theme.

    Example:
        >>> from explainer import lessons, plots
        >>> axes = plots.surface(lessons.lesson_surface("two-layer", resolution=11))
        >>> path = plots.save(axes, "surface.svg")
    """
    check(surface, Surface, GETTING)
    own = {name: losses_of(walk, losses) for name, walk in surface.walks.items()}
    with canvas(ax, theme, style) as (ax, theme):
        heights = heights_of(surface.losses, *own.values(), scale=scale)
        draw_map(ax, surface, heights, theme)
        dress(ax, theme, grid=False)
        across, up = axis_names(surface)
        ax.set(xlabel=across, ylabel=up.replace("  (", "\n("))
        for place, (name, walk) in enumerate(surface.walks.items()):
            draw_walk(ax, walk, own[name], heights, place=place, **line)
        mark_ends(ax, list(surface.walks.values()))
        colour_bar(ax.inset_axes((1.025, 0, 0.035, 1)), heights, theme)
        title = "Where did training walk?" if surface.walks else "What does the loss look like around these weights?"
        notes = lines_of(ax, remarks(surface, losses), wider=1.12)
        rows = legend_row(ax, _entries(surface, theme), theme)
        said = told(surface, own, "A map of the loss in bands and contours")
        entitle(ax, title, notes, theme, rows=rows, told=said)
    return ax


def draw_map(ax: Axes, surface: Surface, heights: Heights, theme: Theme, *, lines: float = 0.7) -> None:
    """Draw bands and contours of the loss on axes as large as the grid; hatched where it is no finite number."""
    known = np.ma.masked_invalid(surface.losses)
    ax.set(xlim=surface.u[[0, -1]], ylim=surface.v[[0, -1]])
    if known.count():
        shared: dict[str, Any] = {"levels": heights.levels, "corner_mask": False}
        colours = {"cmap": heights.colours, "norm": heights.norm, "extend": heights.extend}
        ax.contourf(surface.u, surface.v, known, **shared, **colours, zorder=1)
        ax.contour(surface.u, surface.v, known, **shared, colors="#10131A", linewidths=lines, alpha=0.45, zorder=2)
    unknown = unknown_cells(surface)
    if unknown is not None:
        ax.add_patch(PathPatch(unknown, facecolor=theme.panel, edgecolor=theme.quiet, hatch="////", lw=0, zorder=1))


def unknown_cells(surface: Surface) -> Path | None:
    """Return the grid's cells that have a corner without a finite loss; None where there are none."""
    lost = ~np.isfinite(surface.losses)
    touched: NDArray[np.bool_] = lost[:-1, :-1] | lost[1:, :-1] | lost[:-1, 1:] | lost[1:, 1:]
    if not touched.any():
        return None
    u, v = surface.u, surface.v
    rows, columns = np.nonzero(touched)
    corners = [(u[j + a], v[i + b]) for i, j in zip(rows, columns, strict=True) for a, b in _AROUND]
    codes = [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY]
    return Path(corners, codes * len(rows))


_AROUND = ((0, 0), (1, 0), (1, 1), (0, 1), (0, 0))


def _entries(surface: Surface, theme: Theme) -> list[Artist]:
    """Return what the legend explains: which walk is whose, and the hatching."""
    entries: list[Artist] = []
    if len(surface.walks) > 1:
        entries = [legend_entry(place, name) for place, name in enumerate(surface.walks)]
    if not np.isfinite(surface.losses).all():
        entries.append(Patch(facecolor=theme.panel, edgecolor=theme.quiet, hatch="////", lw=0, label="no finite loss"))
    return entries
