"""The loss along a line through weights, with the tangent at one point of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from explainer.plots.style import LABEL, background, canvas, dress, entitle, legend_row, lines_of, number, points
from explainer.plots.surface_words import BETWEEN, axis_names, check, inside, losses_of, remarks
from explainer.surface import Slice
from explainer.theme import GRADIENT, LOSS, Theme, ink

GETTING = (
    "slice_ = explainer.loss_slice(model, criterion, (inputs, targets), trace=trace, step=40), "
    "or explainer.lessons.lesson_slice('digits', step=40)"
)
# Along the tangent, 1 being its higher end, where there is most room.
_ALONG = (0.6, 0.75, 0.9, 0.45, -0.3, -0.45, -0.6, -0.8)


def slice(  # noqa: A001 – figures are nouns; inside this file nothing needs the builtin
    slice_: Slice,
    *,
    losses: str = "true",
    ax: Axes | None = None,
    theme: Theme | str | None = None,
    style: str | None = None,
    **line: Any,
) -> Axes:
    """Draw the loss along a line through weights, with its slope at one point: what does one step see?

    The dashed line is the tangent at t = 0: all that the gradient knows of the loss. It rises to the right of a
    gradient; training steps to the left. Where the curve stays near the tangent, a step of that length does what the
    gradient promises; where the curve turns up again before the step ends, the step is too long. Between two trained
    models, a hump says that they stand in different valleys. A gap in the curve is a loss that is no finite number.

    Args:
        slice_: From `explainer.loss_slice`; reads its losses (T,), its slope at t = 0, and its walks.
        losses: The walk's dots' own losses: "true" (the recorded weights' on the slice's data) or "recorded".
        ax: Where to draw. A new figure is made when omitted.
        theme: "light" or "dark"; what fits the figure's background when omitted.
        style: "slide", "paper" or "notebook": the size of a new figure, and of the text.
        line: Passed to `matplotlib.axes.Axes.plot` for the curve of the loss.

    Returns:
        The axes drawn on.

    Raises:
        TraceError: It is not a slice, or there are no such losses or theme.

    Example:
        >>> from explainer import lessons, plots
        >>> axes = plots.slice(lessons.lesson_slice("two-layer", step=0))
        >>> path = plots.save(axes, "slice.svg")
    """
    check(slice_, Slice, GETTING)
    own = {name: losses_of(walk, losses) for name, walk in slice_.walks.items()}
    with canvas(ax, theme, style) as (ax, theme):
        dress(ax, theme)
        _draw_gaps(ax, slice_, theme)
        curve = {"color": LOSS, "linewidth": 2.6, "label": "loss on the line", "zorder": 3, **line}
        ax.plot(slice_.t, slice_.losses, **curve)
        ax.set_xlim(slice_.t[0], slice_.t[-1])
        for name, walk in slice_.walks.items():
            label = "the walk's shadow, each step at its own loss" if len(own) == 1 else name
            dots: dict[str, Any] = {"marker": "o", "markersize": 5, "linewidth": 1.0, "markeredgewidth": 0}
            ax.plot(walk.path[:, 0], own[name], color=theme.quiet, alpha=0.75, label=label, zorder=2, **dots)
        _frame(ax, slice_, [own[name][inside(slice_, walk)] for name, walk in slice_.walks.items()])
        _draw_points(ax, slice_, theme)
        _draw_tangent(ax, slice_, theme)
        ax.set(xlabel=axis_names(slice_)[0], ylabel="loss")
        entries = ax.get_legend_handles_labels()[0]
        rows = legend_row(ax, entries, theme) if len(entries) > 1 else 0
        notes = lines_of(ax, remarks(slice_, losses), wider=1.1)
        entitle(ax, _title(slice_), notes, theme, rows=rows, told=[_told(slice_)])
    return ax


def _told(slice_: Slice) -> str:
    known = np.flatnonzero(np.isfinite(slice_.losses))
    if not known.size:
        return f"A curve of the loss over {axis_names(slice_)[0]}: no loss on it is a finite number."
    lowest = known[slice_.losses[known].argmin()]
    return (
        f"A curve of the loss over {axis_names(slice_)[0]}, from {number(slice_.t[0])} to {number(slice_.t[-1])}: "
        f"{number(slice_.loss)} at 0, and lowest, {number(slice_.losses[lowest])}, at {number(slice_.t[lowest])}."
    )


def _draw_gaps(ax: Axes, slice_: Slice, theme: Theme) -> None:
    """Hatch where the loss is no finite number: between the neighbours that have one."""
    lost = ~np.isfinite(slice_.losses)
    if not lost.any():
        return
    edges = np.flatnonzero(np.diff(np.r_[False, lost, False]))
    for place, (first, end) in enumerate(zip(edges[::2], edges[1::2], strict=True)):
        ax.axvspan(
            slice_.t[max(first - 1, 0)],
            slice_.t[min(end, len(slice_.t) - 1)],
            facecolor=theme.panel,
            edgecolor=theme.quiet,
            hatch="////",
            linewidth=0,
            zorder=1,
            label=None if place else "no finite loss",
        )


def _frame(ax: Axes, slice_: Slice, own: Sequence[NDArray[np.float64]]) -> None:
    """Choose the heights shown: all losses that are drawn, rather than where the tangent leads."""
    values = np.concatenate([slice_.losses, [slice_.loss], *own])
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    room = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
    ax.set_ylim(low - room, high + 2 * room)


def _draw_tangent(ax: Axes, slice_: Slice, theme: Theme) -> None:
    """Draw the tangent as far as the frame reaches, and write its slope beside it, clear of what is written already."""
    if not np.isfinite([slice_.loss, slice_.slope]).all():
        return
    low, high = ax.get_ylim()
    ends = slice_.t[[0, -1]]
    if slice_.slope:
        reach = np.sort((np.array([low, high]) - slice_.loss) / slice_.slope)
        ends = np.clip(ends, *reach)
    heights = slice_.loss + slice_.slope * ends
    ax.plot(ends, heights, color=GRADIENT, linewidth=2.2, linestyle=(0, (6, 2.5)), zorder=4)
    rising = slice_.slope >= 0
    taken = [text.get_window_extent().padded(4) for text in ax.texts]
    label = ax.annotate(
        f"slope {number(slice_.slope)}",
        (0.0, slice_.loss),
        (-6 if rising else 6, 5),
        textcoords="offset points",
        ha="right" if rising else "left",
        va="bottom",
        color=ink(GRADIENT, theme),
        fontsize=points(LABEL),
        fontweight="bold",
        bbox={"facecolor": background(ax), "edgecolor": "none", "alpha": 0.8, "pad": 1.5},
        zorder=6,
    )
    for share in _ALONG:
        across = ends[1 if rising == (share > 0) else 0] * abs(share)
        label.xy = (across, slice_.loss + slice_.slope * across)
        box = label.get_window_extent()
        if ax.bbox.fully_containsx(box.x0) and not any(map(box.overlaps, taken)):
            return


def _draw_points(ax: Axes, slice_: Slice, theme: Theme) -> None:
    """Mark the weights at t = 0, and on a line between two models the other end, with their losses."""
    _draw_point(ax, slice_, (0.0, slice_.loss), f"{_whose(slice_)}: loss {number(slice_.loss)}", theme)
    if slice_.plane == BETWEEN and slice_.t[0] <= 1 <= slice_.t[-1]:
        loss = float(np.interp(1.0, slice_.t, slice_.losses))
        sign = "" if 1.0 in slice_.t else "≈ "  # between two points of the grid
        _draw_point(ax, slice_, (1.0, loss), f"the other weights: loss {sign}{number(loss)}", theme)


def _draw_point(ax: Axes, slice_: Slice, at: tuple[float, float], words: str, theme: Theme) -> None:
    if not np.isfinite(at[1]):
        return
    ax.plot(*np.array([at]).T, "o", markersize=9, color=theme.text, markeredgecolor=background(ax), zorder=5)
    right = at[0] > slice_.t[0] + 0.62 * (slice_.t[-1] - slice_.t[0])
    low, high = ax.get_ylim()
    under = at[1] > low + 0.2 * (high - low)
    ax.annotate(
        words,
        at,
        (-8 if right else 8, -15 if under else 15),
        textcoords="offset points",
        ha="right" if right else "left",
        va="center",
        color=theme.text,
        fontsize=points(LABEL),
        bbox={"facecolor": background(ax), "edgecolor": "none", "alpha": 0.8, "pad": 1.5},
        zorder=6,
    )


def _whose(slice_: Slice) -> str:
    """Return what stands at t = 0: a weight's own zero, a recorded step, or other weights."""
    if "axes" in slice_.notes:
        return f"{axis_names(slice_)[0]} = 0"
    center = slice_.notes.get("center")
    return str(center) if center else "these weights" if slice_.step is None else f"step {slice_.step}"


def _title(slice_: Slice) -> str:
    return "Is there a hill between the two?" if slice_.plane == BETWEEN else "What does one step see?"
