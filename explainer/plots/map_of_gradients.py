"""The size of the gradient at each layer over all steps, as a map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection, QuadMesh
from matplotlib.colors import LogNorm
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from explainer.histories import History
from explainer.histories import gradient_history as history_of
from explainer.plots import rows
from explainer.plots.comparing import Panel, panels, runs_of
from explainer.plots.naming import short
from explainer.plots.style import LABEL, NOTE, TICK, canvas, entitle, legend_row, lines_of, number, points, tick
from explainer.theme import NEGATIVE, Theme
from explainer.thinning import layer_groups

if TYPE_CHECKING:
    from explainer.plots.comparing import Traces
    from explainer.trace import Trace

_MEASURES = {"norm": "‖∂loss/∂activation‖", "mean": "mean |∂loss/∂activation|", "max": "max |∂loss/∂activation|"}
_COLOURS = "cividis"  # perceptual, and made to be the same for who sees no red and green
_NAMED = 16  # groups of layers whose names have room under each other


def gradient_history(
    trace: Traces,
    *,
    measure: str = "norm",
    ax: Axes | None = None,
    theme: Theme | str | None = None,
    style: str | None = None,
    **mesh: Any,
) -> Axes:
    """Draw how large the gradient is at each layer over all steps: who hears the loss, and since when?

    A row is a layer, the first on top; a column is a step; the brighter, the larger the gradient, on a logarithmic
    scale. The gradient comes from below. In a healthy run all rows have about one colour, which darkens evenly as the
    loss falls. Rows that darken upwards are a vanishing gradient, rows that brighten upwards an exploding one; a column
    that is brighter than its neighbours is a step that was thrown far; a row of "exactly 0" learns nothing.

    Args:
        trace: A recorded run, or several by name, drawn side by side on one scale of colours; reads the statistics of
            their gradients, (step,) per layer, over whole batches.
        measure: "norm", "mean" of the absolute values, or "max" of them.
        ax: Where to draw. A new figure is made when omitted.
        theme: "light" or "dark"; what fits the figure's background when omitted.
        style: "slide", "paper" or "notebook": the size of a new figure, and of the text.
        mesh: Passed to `matplotlib.axes.Axes.pcolormesh`.

    Returns:
        The axes drawn on; with the colour bar, and the map of each run, in `ax.child_axes`.

    Raises:
        TraceError: There is no such measure, or nothing has a gradient.

    Example:
        >>> from explainer import lessons, plots
        >>> axes = plots.gradient_history(lessons.record_lesson("two-layer"))
        >>> path = plots.save(axes, "gradient_history.svg")
    """
    runs = runs_of(trace)
    histories = [history_of(each, measure) for each in runs.values()]
    scale = _scale(histories)
    with canvas(ax, theme, style) as (ax, theme):
        same = len({history.names for history in histories}) == 1
        found = panels(ax, runs, theme, gap=0.03 if same else 0.16, right=0.93)
        for panel, history in zip(found, histories, strict=True):
            drawn = _draw_map(panel, history, scale, theme, mesh)
            if same and not panel.outer:
                panel.ax.tick_params(labelleft=False)
        if "" in runs:
            found[0].ax.set_ylabel("layer, the loss below the last", color=theme.text, fontsize=points(LABEL))
        _bar(ax, drawn, f"{_MEASURES[measure]}, log scale", theme)
        legend = legend_row(ax, _entries(histories, theme), theme)
        said = lines_of(ax, _remarks(runs, histories), wider=1.1)
        title = "Does the gradient reach every layer?"
        entitle(ax, title, said, theme, rows=legend, told=_told(runs, histories, measure))
    return ax


def _scale(histories: list[History]) -> LogNorm:
    """Return one scale of colours for all that a logarithm has a place for."""
    values = np.concatenate([history.sizes[history.sizes > 0] for history in histories])
    low, high = (float(values.min()), float(values.max())) if values.size else (0.1, 1.0)
    if high < 1.5 * low:  # one colour, in the middle of a scale that can be read
        low, high = low / 2, 2 * high
    return LogNorm(low, high)


def _draw_map(panel: Panel, history: History, scale: LogNorm, theme: Theme, mesh: dict[str, Any]) -> QuadMesh:
    ax, count = panel.ax, len(history.names)
    sides = np.arange(count + 1) - 0.5
    shown = np.ma.masked_where(~(history.sizes > 0) | history.nonfinite, history.sizes)
    look = {"cmap": mpl.colormaps[_COLOURS], "norm": scale, "rasterized": True, "zorder": 2, **mesh}
    drawn = ax.pcolormesh(history.edges, sides, shown, **look)
    for mask, style in zip(_kinds(history), _looks(theme).values(), strict=True):
        _patches(ax, history.edges, mask, style)
    _name_rows(panel, history, theme)
    ax.set_xlim(history.edges[0], history.edges[-1])
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8 if not panel.name else 4))
    ax.set_xlabel("step", color=theme.text, fontsize=points(LABEL))
    return drawn


def _name_rows(panel: Panel, history: History, theme: Theme) -> None:
    """Write the names of layers, or of groups of them beside marks at their ends; of those too near each other one."""
    ax, count = panel.ax, len(history.names)
    groups = layer_groups(history.names, _NAMED if count > rows.MOST else rows.MOST)
    trace, width = panel.trace, (18 if panel.name else 22)
    classes = not panel.name  # of several runs the names stand for all
    names = [rows.named(trace, each) if len(places) == 1 and classes else short(each, width) for each, places in groups]
    middles = [(places[0] + places[-1]) / 2 for _, places in groups]
    kept: list[int] = []
    for place in sorted(range(len(groups)), key=lambda place: -len(groups[place][1])):  # large groups first
        if all(abs(middles[place] - middles[other]) >= 0.95 * count / rows.MOST for other in kept):
            kept.append(place)
    rows.frame(ax, names, theme, lines=False)
    ax.set_yticks([middles[place] for place in kept], [names[place] for place in kept])
    ax.set_ylim(count - 0.5, -0.5)
    if len(groups) < count:
        ends = [places[-1] + 0.5 for _, places in groups[:-1]]
        ax.hlines(ends, -0.02, 0, transform=ax.get_yaxis_transform(), color=theme.quiet, linewidth=1, clip_on=False)


def _kinds(history: History) -> list[npt.NDArray[np.bool_]]:
    """Return (row, column) masks of what has no colour: no gradient, exactly 0, infinite or NaN."""
    none = np.isnan(history.sizes) & ~history.nonfinite
    return [none, (history.sizes == 0) & ~history.nonfinite, history.nonfinite]


def _looks(theme: Theme) -> dict[str, dict[str, Any]]:
    return {
        "no gradient": {"facecolor": theme.panel, "edgecolor": theme.line, "hatch": "///", "linewidth": 0},
        "exactly 0": {"facecolor": theme.background, "edgecolor": theme.text, "hatch": "..", "linewidth": 0},
        "infinite or NaN": {"facecolor": NEGATIVE, "edgecolor": theme.text, "hatch": "xx", "linewidth": 0},
    }


def _patches(ax: Axes, edges: npt.NDArray[np.float64], mask: npt.NDArray[np.bool_], style: dict[str, Any]) -> None:
    """Cover what a mask holds, in as few patches as there are stretches."""
    found = []
    for row, marked in enumerate(mask):
        turns = np.flatnonzero(np.diff(np.concatenate([[False], marked, [False]]).astype(int)))
        for begin, end in turns.reshape(-1, 2):
            found.append(Rectangle((edges[begin], row - 0.5), edges[end] - edges[begin], 1))
    if found:
        ax.add_collection(PatchCollection(found, zorder=3, **style))


def _bar(ax: Axes, drawn: QuadMesh, label: str, theme: Theme) -> None:
    """Draw the scale of colours at the right edge."""
    place = ax.inset_axes((0.955, 0, 0.025, 1))
    figure: Any = ax.figure
    bar = figure.colorbar(drawn, cax=place)
    bar.outline.set_visible(False)
    low, high = drawn.get_clim()
    between = (1.0, 2.0, 5.0) if high / low < 30 else (1.0,)
    ticks = [each for each in LogLocator(subs=between, numticks=8).tick_values(low, high) if low <= each <= high]
    place.yaxis.set_minor_locator(NullLocator())
    place.set_yticks(ticks, [tick(each, powers=high > 1e4 * low) for each in ticks])
    place.tick_params(length=0, labelsize=points(TICK), labelcolor=theme.quiet)
    place.set_ylabel(label, color=theme.text, fontsize=points(NOTE))


def _entries(histories: list[History], theme: Theme) -> list[Patch]:
    present = [any(kinds) for kinds in zip(*([mask.any() for mask in _kinds(each)] for each in histories), strict=True)]
    looks = zip(_looks(theme).items(), present, strict=True)
    return [Patch(**look, label=label) for (label, look), there in looks if there]


def _remarks(runs: dict[str, Trace], histories: list[History]) -> list[str]:
    below = [] if "" in runs else ["a row is a layer, the loss is below the last"]  # which else stands beside the rows
    return ["gradients of whole batches", *below, *_thinned(histories), *_reasons(histories)]


def _thinned(histories: list[History]) -> list[str]:
    steps, layers = (max(getattr(each, which) for each in histories) for which in ("steps_each", "layers_each"))
    parts = [f"{steps} steps to a column"] * (steps > 1) + [f"up to {layers} layers to a row"] * (layers > 1)
    return [f"{' and '.join(parts)}, the largest drawn"] if parts else []


def _reasons(histories: list[History]) -> list[str]:
    """Say which layers have no gradient in any step, and why."""
    reasons: dict[str, list[str]] = {}
    for history in histories:
        for layer, reason in history.missing.items():
            reasons.setdefault(reason, [])
            if layer not in reasons[reason]:
                reasons[reason].append(layer)
    return [
        f"{', '.join(layers[:3])}{f' and {len(layers) - 3} more' if len(layers) > 3 else ''}: {reason}"
        for reason, layers in reasons.items()
    ]


def _told(runs: dict[str, Trace], histories: list[History], measure: str) -> list[str]:
    said = [f"A map of {_MEASURES[measure]}: layers from top to bottom in forward order, steps from left to right."]
    for name, history in zip(runs, histories, strict=True):
        of = f"{name}: " if name else ""
        for place, column in (("first", 0), ("last", -1)):
            sizes = history.sizes[:, column]
            known = np.flatnonzero(np.isfinite(sizes))
            if not known.size:
                said.append(f"{of}In the {place} column no gradient is a finite number.")
                continue
            ends = [f"{number(float(sizes[at]))} at {history.names[at]}" for at in (known[0], known[-1])]
            said.append(f"{of}In the {place} column it is {ends[0]} and {ends[1]}.")
    low, high = (_extreme(histories, which) for which in (np.nanmin, np.nanmax))
    return [*said, f"The smallest is {low}, the largest {high}."]


def _extreme(histories: list[History], which: Any) -> str:
    values = np.concatenate([history.sizes.ravel() for history in histories])
    return number(float(which(values))) if not np.isnan(values).all() else "no number"
