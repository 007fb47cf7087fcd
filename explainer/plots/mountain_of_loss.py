"""The loss over a plane through weights as a mountain, with the recorded walk on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import Normal, Stroke
from mpl_toolkits.mplot3d import Axes3D, proj3d
from mpl_toolkits.mplot3d.art3d import Line3DCollection, Poly3DCollection
from numpy.typing import NDArray

from explainer.errors import real, whole
from explainer.plots.heights import MOUNTAIN, Heights, colour_bar, heights_of
from explainer.plots.map_of_loss import GETTING
from explainer.plots.relief import Relief, best_side, relief_of
from explainer.plots.room_of_mountain import Arrow, View, space_of
from explainer.plots.style import canvas, entitle, legend_row, lines_of
from explainer.plots.surface_words import check, inside, losses_of, remarks, told
from explainer.plots.walks import DARK_EDGE, LIGHT_EDGE, free_side, legend_entry, names_of_ends, style_of, write_beside
from explainer.surface import Surface, Walk
from explainer.theme import GRADIENT, Theme

Floats = NDArray[np.float64]

_PIECES = 600  # of a walk's line, each of which is hidden or not
_ARROW = 0.2  # drawn length of a gradient's arrow, where the longer side of the plane is 1
_FAINT = 0.38  # opacity of what the sheet hides
_STEM = 0.015  # of the box's height: a smaller difference between a dot and the sheet gets no stem
_TITLE = "Which way is up, and which way did it go?"


def mountain(
    surface: Surface,
    *,
    losses: str = "true",
    scale: str | None = None,
    arrows: int = 4,
    elev: float = 28.0,
    azim: float | None = None,
    ax: Axes | None = None,
    theme: Theme | str | None = None,
    style: str | None = None,
    **faces: Any,
) -> Axes:
    """Draw the loss as a mountain, and the recorded walk down it: which way is up, and which way did training go?

    Height and colour are both the loss. The arrows are gradients: they point uphill, the way in which the loss grows
    fastest on the plane; a healthy walk goes the other way, down into the valley. A walk that leaps from slope to slope
    has too large a learning rate, one that stays on a plateau has found no way down.

    The walk is not on the plane, only its shadow is. Each step stands at its own loss; where that differs from the
    mountain's, a thin stem joins the two. What the mountain hides from the eye is drawn fainter.

    The axes given become a frame for two inside it, `ax.child_axes`: the mountain, in three dimensions, and the colour
    bar. What is hidden is worked out for one view: to look from elsewhere give `elev` and `azim`, rather than turn it.

    Args:
        surface: From `explainer.loss_surface`; reads its losses (V, U), its walks (S, 2) and their slopes (S, 2). Of a
            finer grid than 61×61 as many evenly chosen points are drawn.
        losses: The steps' own losses: "true" (the recorded weights' on the surface's data) or "recorded" (each of its
            step's own batch).
        scale: "linear" or "log"; by default "log" where the losses are positive and span orders of magnitude.
        arrows: How many steps get their gradient's arrow.
        elev: How high the eye stands above the plane, in degrees.
        azim: From which side it looks, in degrees; by default from where most of the walk is seen.
        ax: Where to draw. A new figure is made when omitted.
        theme: "light" or "dark"; what fits the figure's background when omitted.
        style: "slide", "paper" or "notebook": the size of a new figure, and of the text.
        faces: Passed to `mpl_toolkits.mplot3d.art3d.Poly3DCollection`.

    Returns:
        The axes drawn in.

    Raises:
        TraceError: It is not a surface, there are no such losses, scale or theme, or a number is none.

    Example:
        >>> from explainer import lessons, plots
        >>> axes = plots.mountain(lessons.lesson_surface("two-layer", resolution=11))
        >>> path = plots.save(axes, "mountain.png")
    """
    check(surface, Surface, GETTING)
    own = {name: losses_of(walk, losses) for name, walk in surface.walks.items()}
    with canvas(ax, theme, style) as (ax, theme):
        ax.set_axis_off()
        heights = heights_of(surface.losses, *own.values(), scale=scale, spread=MOUNTAIN)
        rows = legend_row(ax, _fill(ax, surface, own, heights, (elev, azim), arrows, theme, faces), theme)
        colour_bar(ax.inset_axes((0.92, 0.08, 0.028, 0.84)), heights, theme)
        notes = lines_of(ax, remarks(surface, losses), wider=1.1)
        entitle(ax, _TITLE, notes, theme, rows=rows, told=told(surface, own, "The loss as a mountain, its height,"))
    return ax


def _fill(
    ax: Axes,
    surface: Surface,
    own: Mapping[str, Floats],
    heights: Heights,
    side: tuple[float, float | None],
    arrows: int,
    theme: Theme,
    faces: dict[str, Any],
) -> list[Artist]:
    """Draw the mountain and what is on it; returns what the legend has to explain."""
    arrows, elev = whole("the number of arrows", arrows), real("elev", side[0])
    azim = None if side[1] is None else real("azim", side[1])
    relief = relief_of(surface, heights)
    paths = {name: _standing(surface, walk, own[name], heights) for name, walk in surface.walks.items()}
    view: View = (elev, _side(relief, paths, elev) if azim is None else azim)
    space = space_of(ax, surface, relief, heights, view, theme)
    _draw_sheet(space, relief, heights, theme, faces)
    hidden = [
        _draw_walk(space, walk, paths[name], heights, (relief, view), place)
        for place, (name, walk) in enumerate(surface.walks.items())
    ]
    _name_ends(space, list(paths.values()))
    drawn = _draw_arrows(space, surface, heights, (relief, view), arrows)
    for artist in (*space.collections, *space.lines, *space.patches, *space.artists):
        artist.set_clip_on(False)  # the box may be wider than the square that mplot3d draws into
    return _entries(surface, drawn, any(hidden), theme)


def _side(relief: Relief, paths: Mapping[str, Floats], elev: float) -> float:
    """Return from which side the walks are seen best, in degrees."""
    together = np.concatenate([*paths.values(), np.empty((0, 3))])
    return best_side(relief, together[np.isfinite(together).all(axis=1)], elev)


def _standing(surface: Surface, walk: Walk, losses: Floats, heights: Heights) -> Floats:
    """Return where the steps stand in the box, (S, 3): above their shadow, at their own loss; NaN where that is not."""
    rise = np.where(np.isfinite(losses), heights.rise(losses), np.nan)
    path = np.column_stack([walk.path, rise])
    path[~inside(surface, walk)] = np.nan
    return path


def _draw_sheet(space: Axes3D, relief: Relief, heights: Heights, theme: Theme, faces: dict[str, Any]) -> None:
    """Draw the faces in their losses' colours, weakly shaded, and hatch the floor below holes."""
    sheet, holes = relief.faces()
    if len(holes):
        floor = {"facecolor": theme.panel, "edgecolor": theme.quiet, "hatch": "////", "linewidth": 0, "zorder": 0.9}
        space.add_collection3d(Poly3DCollection(list(holes), **floor), autolim=False)
    if len(sheet):
        colours = heights.smooth_colours(sheet[..., 2].mean(axis=1))
        colours[:, :3] *= relief.shades(sheet)[:, None]
        style = {"facecolors": colours, "edgecolors": colours, "linewidths": 0.6, "zorder": 1, **faces}
        space.add_collection3d(Poly3DCollection(list(sheet), **style), autolim=False)


def _draw_walk(
    space: Axes3D, walk: Walk, path: Floats, heights: Heights, seen: tuple[Relief, View], place: int
) -> bool:
    """Draw a walk at its own losses: what the sheet hides fainter, and stems to the sheet where the two differ.

    Returns:
        Whether some of it is hidden.
    """
    relief, view = seen
    colour = style_of(place)["color"]
    pieces = _pieces(path)
    stems = _stems(path, heights.rise(walk.plane_losses), relief)
    edge = {"color": DARK_EDGE if colour != DARK_EDGE else LIGHT_EDGE}
    for lines, width, label in ((stems, 1.0, "stem"), (pieces, 1.8, "line")):
        behind = relief.hidden(lines.mean(axis=1), *view)
        for part, faint in ((lines[behind], _FAINT), (lines[~behind], 1.0)):
            if not len(part):
                continue  # mplot3d cannot draw a collection of nothing
            style = {"zorder": 3 if faint < 1 else 4, "alpha": faint, "capstyle": "round"}
            if faint == 1 and label == "line":
                space.add_collection3d(Line3DCollection(part, linewidths=width + 1.9, **edge, **style), autolim=False)
            space.add_collection3d(
                Line3DCollection(part, color=colour, linewidths=width, label=label, **style), autolim=False
            )
    placed = np.isfinite(path).all(axis=1)
    hidden = relief.hidden(path, *view)
    for chosen, faint in ((placed & hidden, _FAINT), (placed & ~hidden, 1.0)):
        dots = {"s": 26, "marker": style_of(place)["marker"], "depthshade": False, "linewidths": 0.7, "alpha": faint}
        colours = heights.smooth_colours(path[chosen, 2])
        space.scatter(*path[chosen].T, c=colours, edgecolors=colour, zorder=5 if faint == 1 else 3, **dots)
    _mark_ends(space, path, hidden, colour)
    return bool(hidden.any() or behind.any())


def _pieces(path: Floats) -> Floats:
    """Cut the line through (S, 3) into pieces, (P, 2, 3), each of which is hidden or not; none to or from NaN."""
    shares = np.linspace(0, 1, max(1, min(6, _PIECES // max(len(path), 1))) + 1)[:, None]
    ends = path[:-1, None] * (1 - shares) + path[1:, None] * shares  # (S − 1, piece + 1, 3)
    pieces: Floats = np.stack([ends[:, :-1], ends[:, 1:]], axis=2).reshape(-1, 2, 3)
    return pieces[np.isfinite(pieces).all(axis=(1, 2))]


def _stems(path: Floats, shadows: Floats, relief: Relief) -> Floats:
    """Return the lines (N, 2, 3) from steps (S, 3) to the plane's loss above or below them, where it differs."""
    chosen = np.abs(path[:, 2] - shadows) > _STEM * (relief.high[2] - relief.low[2])  # of NaN never
    feet = np.column_stack([path[:, :2], shadows])
    return np.stack([path[chosen], feet[chosen]], axis=1)


def _mark_ends(space: Any, path: Floats, hidden: NDArray[np.bool_], colour: str) -> None:
    """Mark the start by a ring and the end by a star."""
    around = DARK_EDGE if colour != DARK_EDGE else LIGHT_EDGE
    for place, marker in ((0, "o"), (-1, "*")):
        if not np.isfinite(path[place]).all():
            continue
        faint = _FAINT if hidden[place] else 1.0
        for edge, width in ((around, 4.0), (colour, 1.8)) if marker == "o" else ((around, 1.0),):
            mark = {"markeredgecolor": edge, "markeredgewidth": width, "alpha": faint, "zorder": 6}
            fill = "none" if marker == "o" else colour
            size = 11 if marker == "o" else 16
            space.plot(*path[[place]].T, marker, markersize=size, markerfacecolor=fill, **mark)


def _name_ends(space: Any, paths: Sequence[Floats]) -> None:
    """Write beside the first walk's start what it is, and beside a single walk's end."""
    if not sum(map(len, paths)):
        return
    to_points = 72 / space.figure.dpi
    frame = space.get_window_extent()
    across, up, _ = proj3d.proj_transform(*np.concatenate(paths).T, space.get_proj())
    flat = np.column_stack([across, up])
    spots = (space.transData.transform(flat) - [frame.x0, frame.y0]) * to_points
    seen = spots[np.isfinite(spots).all(axis=1)]
    for place, words in names_of_ends(paths):
        if np.isfinite(spots[place]).all():
            beside = free_side(spots[place], seen, np.array([frame.width, frame.height]) * to_points, words)
            write_beside(space, flat[place], beside, words, clip=False)


def _draw_arrows(space: Axes3D, surface: Surface, heights: Heights, seen: tuple[Relief, View], count: int) -> int:
    """Draw the gradient at a few steps' shadows, tangent to the mountain, all of one length; returns how many."""
    if not surface.walks or count < 1:
        return 0
    relief, view = seen
    walk = surface.walk
    slopes, shadows = walk.slopes, heights.rise(walk.plane_losses)
    feet = np.column_stack([walk.path, shadows])
    steep = np.square(slopes).sum(axis=1)
    steeper = steep / (np.log(10) * walk.plane_losses) if heights.log else steep
    ways = np.column_stack([slopes, steeper]) * relief.scale  # drawn
    lengths = np.linalg.norm(ways, axis=1)
    usable = (
        np.isfinite(feet).all(axis=1) & np.isfinite(lengths) & (lengths > 0) & np.isfinite(relief.height(walk.path))
    )
    usable[usable] = ~relief.hidden(feet[usable], *view)
    chosen = _spread_out(feet * relief.scale, usable, count)
    tips = feet[chosen] + _ARROW * ways[chosen] / lengths[chosen, None] / relief.scale
    head = "-|>,head_width=0.32,head_length=0.6"
    edge = [Stroke(linewidth=4.8, foreground=DARK_EDGE), Normal()]
    for foot, tip in zip(feet[chosen], tips, strict=True):
        style = {"color": GRADIENT, "linewidth": 2.6, "shrinkA": 0, "shrinkB": 0, "zorder": 6.5, "path_effects": edge}
        space.add_artist(Arrow(np.array([foot, tip]), arrowstyle=head, mutation_scale=9, **style))
    return len(chosen)


def _spread_out(path: Floats, usable: NDArray[np.bool_], count: int) -> NDArray[np.int64]:
    """Choose steps about evenly along the first three quarters of a path, where the walk goes far."""
    places = np.flatnonzero(usable)
    if not len(places):
        return places
    gone = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.nan_to_num(np.diff(path, axis=0)), axis=1))])
    wished = np.linspace(0, 0.75 * gone[-1], count)
    return np.unique([places[np.argmin(np.abs(gone[places] - wish))] for wish in wished])


def _entries(surface: Surface, arrows: int, hidden: bool, theme: Theme) -> list[Artist]:
    """Return what the legend explains."""
    entries: list[Artist] = []
    if len(surface.walks) > 1:
        entries = [legend_entry(place, name) for place, name in enumerate(surface.walks)]
    if arrows:
        mark: dict[str, Any] = {"color": GRADIENT, "linewidth": 2.6, "marker": ">", "markersize": 7, "markevery": [1]}
        entries.append(Line2D([0, 1], [0, 0], **mark, label="gradient, uphill"))
    if hidden:
        entries.append(Line2D([], [], color=theme.quiet, linewidth=1.8, alpha=_FAINT, label="hidden by the mountain"))
    if not np.isfinite(surface.losses).all():
        entries.append(Patch(facecolor=theme.panel, edgecolor=theme.quiet, hatch="////", lw=0, label="no finite loss"))
    return entries
