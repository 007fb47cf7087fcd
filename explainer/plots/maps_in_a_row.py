"""The surface around the current weights at several steps, side by side on one scale."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from explainer.plots.heights import Heights, colour_bar, heights_of
from explainer.plots.map_of_loss import draw_map
from explainer.plots.style import LABEL, NOTE, canvas, dress, entitle, legend_row, lines_of, number, points
from explainer.plots.surface_words import axis_names, check, remarks
from explainer.plots.walks import DARK_EDGE, LIGHT_EDGE
from explainer.surface import Surface, SurfaceSequence
from explainer.theme import Theme

Floats = NDArray[np.float64]

GETTING = (
    "sequence = explainer.surface_sequence(trace, model, criterion, (inputs, targets)), "
    "or explainer.lessons.lesson_sequence('digits'), or explainer.open_surface_sequence(folder)"
)
_RIGHT, _FLOOR = 0.9, 0.45  # where the maps end and the colour bar begins; how high the maps stand, in shares
_TOLD = 6  # maps for which there is room to write the lowest loss


def surface_sequence(
    sequence: SurfaceSequence,
    *,
    scale: str | None = None,
    ax: Axes | None = None,
    theme: Theme | str | None = None,
    style: str | None = None,
    **marker: Any,
) -> Axes:
    """Draw the surfaces around the weights of several steps on one scale: does the ball roll down a fixed mountain?

    It does not: the directions are the same in each map, but the weights in the middle, the star, are that step's own,
    and so is the landscape that it sees. At first it may be flat, with no way down; in a healthy run it sinks and turns
    into a bowl around the weights. Under each map stands the loss at the star, and the lowest and highest on the map:
    a star far above the lowest has a way down within the map, one at the lowest has none.

    The axes given become a frame for others inside it, `ax.child_axes`: a map for each step, and the colour bar.

    Args:
        sequence: From `explainer.surface_sequence`; reads the losses (V, U) of each step's surface.
        scale: "linear" or "log"; by default "log" where the losses are positive and span orders of magnitude.
        ax: Where to draw. A new figure is made when omitted.
        theme: "light" or "dark"; what fits the figure's background when omitted.
        style: "slide", "paper" or "notebook": the size of a new figure, and of the text.
        marker: Passed to `matplotlib.axes.Axes.plot` for the stars.

    Returns:
        The axes drawn in.

    Raises:
        TraceError: It is not a sequence of surfaces, or there is no such scale or theme.

    Example:
        >>> from explainer import lessons, plots
        >>> axes = plots.surface_sequence(lessons.lesson_sequence("two-layer", steps=3, resolution=9))
        >>> path = plots.save(axes, "surface_sequence.svg")
    """
    check(sequence, SurfaceSequence, GETTING)
    with canvas(ax, theme, style) as (ax, theme):
        ax.set_axis_off()
        heights = heights_of(*(each.losses for each in sequence), sequence.step_losses, scale=scale)
        columns = len(sequence)
        width = _RIGHT / columns
        centers = [(column + 0.5) * width for column in range(columns)]
        for place, (center, step, each) in enumerate(zip(centers, sequence.steps, sequence, strict=True)):
            inside = ax.inset_axes((center - 0.46 * width, _FLOOR, 0.92 * width, 1 - _FLOOR - 0.08))
            _draw_one(inside, each, heights, theme, marker)
            inside.set_title(f"step {step}", color=theme.text, fontsize=points(LABEL), pad=5)
            if place:  # the same as of the first
                inside.tick_params(labelbottom=False, labelleft=False)
        colour_bar(ax.inset_axes((_RIGHT + 0.015, _FLOOR, 0.025, 1 - _FLOOR - 0.08)), heights, theme)
        _draw_ranges(ax.inset_axes((0, 0, _RIGHT, _FLOOR - 0.12)), sequence, heights, np.array(centers) / _RIGHT, theme)
        rows = legend_row(ax, _entries(sequence, theme), theme)
        said = [*_axes_said(sequence[0]), *remarks(sequence[0], "true")]
        notes = lines_of(ax, said, wider=1.1)
        entitle(ax, "What does each step see?", notes, theme, rows=rows, told=_told_all(sequence))
    return ax


def _draw_one(ax: Axes, surface: Surface, heights: Heights, theme: Theme, marker: dict[str, Any]) -> None:
    """Draw one map, with the step's own weights as a star in its middle."""
    ax.set_facecolor("none")
    draw_map(ax, surface, heights, theme, lines=0.5)
    star: dict[str, Any] = {"marker": "*", "markersize": 15, "color": LIGHT_EDGE, "markeredgecolor": DARK_EDGE}
    ax.plot([0], [0], **{"zorder": 5, "linestyle": "none", **star, **marker})
    for spine in ax.spines.values():
        spine.set_visible(False)
    ax.locator_params(nbins=3, steps=[1, 2, 5, 10])
    ax.tick_params(length=0, labelcolor=theme.quiet, labelsize=points(0.9), pad=2)


def _draw_ranges(ax: Axes, sequence: SurfaceSequence, heights: Heights, centers: Floats, theme: Theme) -> None:
    """Draw under each map which losses are on it, from the lowest to the highest, and the one at the star."""
    ax.set_facecolor("none")
    dress(ax, theme)
    floor, top = heights.rise(heights.levels[[0, -1]])
    room = 0.16 * (top - floor)
    ax.set(xlim=(0, 1), ylim=(floor - room, top + room), xticks=[], ylabel=heights.name.replace(" (", "\n("))
    places, names = heights.ticks(4)
    ax.set_yticks(heights.rise(places), names)
    for center, each, own in zip(centers, sequence, sequence.step_losses, strict=True):
        known = each.losses[np.isfinite(each.losses)]
        if known.size:
            ends = heights.rise([known.min(), known.max()])
            ax.plot([center, center], ends, color=theme.line, linewidth=9, solid_capstyle="butt", zorder=2)
        if np.isfinite(own):
            colour = heights.colour_of([own])[0]
            star = {"marker": "*", "markersize": 15, "color": colour, "markeredgecolor": theme.text}
            ax.plot([center], heights.rise([own]), linestyle="none", zorder=4, **star)
        at = (float(center), float(heights.rise(own)) if np.isfinite(own) else floor)
        at_star, lowest = _told(float(own), float(known.min()) if known.size else float("nan"))
        style: dict[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": points(NOTE)}
        ax.annotate(at_star, at, (9, 0.62 * points(NOTE)), color=theme.text, fontweight="bold", **style)
        if len(sequence) <= _TOLD:
            ax.annotate(lowest, at, (9, -0.62 * points(NOTE)), color=theme.quiet, **style)


def _told_all(sequence: SurfaceSequence) -> list[str]:
    """Say in sentences what the ranges under the maps show."""
    said = [f"{len(sequence)} maps of the loss around the weights of a step each, on one scale."]
    for step, each, own in zip(sequence.steps, sequence, sequence.step_losses, strict=True):
        known = each.losses[np.isfinite(each.losses)]
        at_star, lowest = _told(float(own), float(known.min()) if known.size else float("nan"))
        said.append(f"Step {step}: {at_star} at its own weights, {lowest} on the map.")
    return said


def _told(own: float, lowest: float) -> tuple[str, str]:
    """Write the loss at the star and the lowest on the map, with as many digits as tell them apart."""
    digits = 3 if number(own) != number(lowest) or own == lowest else 4
    return (
        number(own, digits) if np.isfinite(own) else "not finite",
        f"lowest {number(lowest, digits)}" if np.isfinite(lowest) else "no finite loss",
    )


def _axes_said(surface: Surface) -> list[str]:
    """Say what the axes of every map are."""
    across, up = axis_names(surface)
    name, _, unit = across.partition("  (")
    if unit and up.endswith(f"  ({unit}"):  # the same unit: said once
        return [f"axes: {name}, {up.replace('  (', ' (')}"]
    return [f"axes: {across}, {up}".replace("  (", " (")]


def _entries(sequence: SurfaceSequence, theme: Theme) -> list[Artist]:
    star: dict[str, Any] = {
        "marker": "*",
        "markersize": 12,
        "linestyle": "none",
        "color": LIGHT_EDGE,
        "markeredgecolor": DARK_EDGE,
    }
    entries: list[Artist] = [
        Line2D([], [], **star, label="the step's own weights"),
        Line2D([], [], color=theme.line, linewidth=7, label="all losses on the map"),
    ]
    if any(not np.isfinite(each.losses).all() for each in sequence):
        entries.append(Patch(facecolor=theme.panel, edgecolor=theme.quiet, hatch="////", lw=0, label="no finite loss"))
    return entries
