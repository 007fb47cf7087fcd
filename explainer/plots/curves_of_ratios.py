"""How far each step moves the parameters, as a share of their own size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from explainer import ratios
from explainer.errors import TraceError
from explainer.plots import rows
from explainer.plots.comparing import Panel, panels, runs_of, share, style_of
from explainer.plots.naming import cut
from explainer.plots.style import NOTE, canvas, dress, entitle, legend_row, lines_of, number, points, tick
from explainer.ratios import GUIDE, Ratios
from explainer.theme import Theme

if TYPE_CHECKING:
    from explainer.plots.comparing import Traces

Floats = npt.NDArray[np.float64]

_LINES = 6  # that one figure tells apart
_LONG, _STRETCHES = 800, 200  # steps from which a curve is drawn of stretches, and how many
_THIN = 1.0  # the width of curves that have no room for a band
_READABLE = {"light": (0.0, 0.85), "dark": (0.3, 1.0)}  # the part of the colours that stands apart from the background
_DEEPEST = 1e-8  # of the largest ratio, to which the scale reaches down


def update_ratios(
    trace: Traces,
    *,
    per: str = "layer",
    ax: Axes | None = None,
    theme: Theme | str | None = None,
    style: str | None = None,
    **line: Any,
) -> Axes:
    """Draw ‖update‖ / ‖parameter‖ over the steps, on a logarithmic scale: is the learning rate right for every layer?

    The dashed line is a rule of thumb: a thousandth per step. In a healthy run the curves lie about there, within a
    factor of ten, and close to each other. Curves far below it hardly learn; curves near 1 throw all away that was
    learned; one layer far below the others gets no gradient, or stands still. Curves that sink evenly are a run that
    settles, or a learning rate that decays.

    Args:
        trace: A recorded run, or several by name, drawn side by side on one scale, or with `per="model"` over one
            another; reads the statistics of updates and parameters, (step,) each, over whole tensors.
        per: "layer" (all its parameters as one vector), "parameter", or "model".
        ax: Where to draw. A new figure is made when omitted.
        theme: "light" or "dark"; what fits the figure's background when omitted.
        style: "slide", "paper" or "notebook": the size of a new figure, and of the text.
        line: Passed to `matplotlib.axes.Axes.plot` for the curves.

    Returns:
        The axes drawn on, or in.

    Raises:
        TraceError: No updates were recorded, none is larger than 0, or there is no such choice.

    Example:
        >>> from explainer import lessons, plots
        >>> axes = plots.update_ratios(lessons.record_lesson("two-layer"))
        >>> path = plots.save(axes, "update_ratios.svg")
    """
    runs = runs_of(trace)
    found = {name: ratios.update_ratios(each, per) for name, each in runs.items()}
    for name, each in found.items():
        if not (each.values > 0).any():
            of = f"{name}: " if name else ""
            raise TraceError(f"{of}no step moved any parameter by a finite share above 0, so that there is no ratio "
                             "to draw: is the learning rate 0, or are all parameters frozen?")  # fmt: skip
    with canvas(ax, theme, style) as (ax, theme):
        one = per == "model"  # a curve for each run
        drawn = [Panel(ax, name, each) for name, each in runs.items()] if one else panels(ax, runs, theme, gap=0.04)
        names = list(runs) if one else list(dict.fromkeys(name for each in found.values() for name in each.names))
        looks = _looks(names, theme)
        for panel, each in zip(drawn, found.values(), strict=True):
            for name, values in zip(each.names, each.values, strict=True):
                _draw_curve(panel, values, {**looks[panel.name if one else name], **line})
        _finish(drawn, theme)
        rows_ = legend_row(ax, _entries(looks) if names != [""] else [], theme)
        said = lines_of(ax, _remarks(found, per), wider=1.1)
        told = _told(found)
        entitle(ax, "How far does a step move the weights?", said, theme, rows=rows_, told=told)
    return ax


def _looks(names: list[str], theme: Theme) -> dict[str, dict[str, Any]]:
    """Return how each curve is drawn: few in styles of their own, many in colours from the first to the last."""
    looks: dict[str, dict[str, Any]] = {}
    for place, name in enumerate(names):
        if len(names) <= _LINES:
            colour, dashes, marker = style_of(place, theme)
            looks[name] = {"color": colour, "linestyle": dashes, "linewidth": 1.7, "marker": marker, "label": name}
            continue
        low, high = _READABLE[theme.name]
        share_ = low + (high - low) * place / (len(names) - 1)
        looks[name] = {"color": mpl.colormaps["viridis"](share_), "linewidth": _THIN, "marker": "", "label": name}
        if place in (0, len(names) - 1):
            looks[name] |= {"linewidth": 2.0, "marker": "s" if place else "o"}
    return looks


def _draw_curve(panel: Panel, values: Floats, look: dict[str, Any]) -> None:
    """Draw a curve; of a long run each stretch's median, before a band from its lowest to its highest."""
    places, low, usual, high = panel.trace.steps, None, np.where(values > 0, values, np.nan), None
    if len(values) > _LONG:
        places, (low, usual, high) = ratios.stretched(places, values, _STRETCHES)
    every = max(1, len(places) // 8)
    marks = {"markersize": 5.5, "markevery": (every // 2, every)}
    (drawn,) = panel.ax.plot(places, usual, **{"zorder": 3, **marks, **look})
    if low is not None and high is not None and drawn.get_linewidth() > _THIN:
        panel.ax.fill_between(places, low, high, color=drawn.get_color(), alpha=0.13, linewidth=0, zorder=1)


def _finish(drawn: list[Panel], theme: Theme) -> None:
    """Give all runs one logarithmic scale that holds the rule of thumb, and draw its line."""
    ends = np.array([panel.ax.dataLim.intervaly for panel in drawn])
    high = max(float(ends.max()), 2 * GUIDE)
    low = min(max(float(ends.min()), _DEEPEST * high), GUIDE / 2)
    ticks = [each for each in LogLocator(numticks=8).tick_values(low, high) if low / 1.5 <= each <= 1.5 * high]
    for panel in drawn:
        dress(panel.ax, theme)
        panel.ax.set_yscale("log")
        panel.ax.set_ylim(low / 1.5, high * 1.5)
        panel.ax.yaxis.set_minor_locator(NullLocator())
        panel.ax.set_yticks(ticks, [tick(each, powers=True) for each in ticks])
        panel.ax.margins(x=0.015)
        panel.ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=min(9, rows.room_for(panel, 6))))
        panel.ax.set(xlabel="step", ylabel="‖update‖ / ‖parameter‖, log scale")
        panel.ax.axhline(GUIDE, color=theme.text, linewidth=1.6, linestyle=(0, (7, 4)), zorder=2)
    drawn[-1].ax.annotate(
        "rule of thumb\n10⁻³", (1, GUIDE), (5, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
        va="center", color=theme.text, fontsize=points(NOTE), linespacing=1.15,
    )  # fmt: skip
    if len({panel.ax for panel in drawn}) > 1:
        share(drawn, "y")


def _entries(looks: dict[str, dict[str, Any]]) -> list[Line2D]:
    """Name the curves, or of many the first, the last and one between."""
    names = list(looks)
    if len(names) <= _LINES:
        return [_entry(looks[name], cut(name)) for name in names]
    words = {0: "first", len(names) // 2: "between, in order", len(names) - 1: "last"}
    return [
        _entry(looks[names[place]], f"{cut(names[place])}: {word}" if word != words[len(names) // 2] else word)
        for place, word in words.items()
    ]


def _entry(look: dict[str, Any], label: str) -> Line2D:
    return Line2D([], [], **{"markersize": 5.5, **look, "label": label})


def _remarks(found: dict[str, Ratios], per: str) -> list[str]:
    each = next(iter(found.values()))
    said = ["all parameters as one vector" if per == "model" else f"a curve for each of {len(each.names)} {per}s"]
    still = list(dict.fromkeys(name for one in found.values() for name in one.still))
    if still:
        more = f" and {len(still) - 3} more" if len(still) > 3 else ""
        said.append(f"never moved: {', '.join(map(cut, still[:3]))}{more}")
    zero = sum(int((one.values == 0).sum()) for one in found.values())
    said += [f"{zero:,} updates are exactly 0 and have no place"] if zero else []
    steps = max(one.values.shape[1] for one in found.values())
    if steps > _LONG:
        said.append(f"of {steps // _STRETCHES} steps each the median, the band from the lowest to the highest")
    return said


def _told(found: dict[str, Ratios]) -> list[str]:
    said = ["Curves over the steps, on a logarithmic scale, with a dashed line at the rule of thumb, 0.001."]
    for name, each in found.items():
        moved = [(row, values[values > 0]) for row, values in zip(each.names, each.values, strict=True)]
        last = {row: values[-1] for row, values in moved if values.size}
        low, high = (which(last, key=lambda row: float(last[row])) for which in (min, max))
        parts = [f"{row} moves by {number(float(last[row]))} of itself" for row in dict.fromkeys((low, high))]
        said.append(f"{f'{name}: at' if name else 'At'} the end {' and '.join(parts)}.")
    return said
