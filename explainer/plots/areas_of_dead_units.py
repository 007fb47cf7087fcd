"""The share of each layer's units that are dead, over the steps of a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from explainer.errors import TraceError
from explainer.histories import column_edges
from explainer.lifetimes import Lifetimes, lifetimes, stretches
from explainer.plots import rows
from explainer.plots.comparing import Panel, runs_of
from explainer.plots.style import LABEL, canvas, entitle, lines_of, points
from explainer.theme import NEGATIVE, Theme
from explainer.thinning import layer_groups

if TYPE_CHECKING:
    from explainer.plots.comparing import Traces
    from explainer.trace import Trace


def dead_units(
    trace: Traces,
    *,
    layers: str | Sequence[str] | None = None,
    ax: Axes | None = None,
    theme: Theme | str | None = None,
    style: str | None = None,
    **fill: Any,
) -> Axes:
    """Draw which share of each layer's units is dead, over the steps: do all units do something?

    A unit is dead while it says the same, mostly 0, whichever example it is shown; nothing flows back through it. The
    area in a row fills as much of it as the share of the layer's units that is dead. In a healthy run it is
    low, and may grow a little as units specialise. An area that jumps up at a step and stays there is a step that was
    too large: it threw units where no example reaches them. One that is high from the start is a bad initialisation.

    Args:
        trace: A recorded run, or several by name, drawn side by side; reads activations, (example, …) per layer and
            step, of the examples that were kept, or where there are none of the probe.
        layers: Names or globs; the activation functions when omitted, or where there are none all layers with units.
        ax: Where to draw. A new figure is made when omitted.
        theme: "light" or "dark"; what fits the figure's background when omitted.
        style: "slide", "paper" or "notebook": the size of a new figure, and of the text.
        fill: Passed to `matplotlib.axes.Axes.fill_between` for the areas.

    Returns:
        The axes drawn on, or in.

    Raises:
        TraceError: Neither activations nor a probe were recorded, or nothing can be said of any layer.

    Example:
        >>> from explainer import lessons, plots
        >>> axes = plots.dead_units(lessons.record_lesson("two-layer"))
        >>> path = plots.save(axes, "dead_units.svg")
    """
    runs = runs_of(trace)
    lives = {name: lifetimes(each, layers) for name, each in runs.items()}
    for name, found in lives.items():
        if all(life.missing for life in found):
            raise TraceError(f"{name}: {found[0].missing}" if name else found[0].missing)
    grouped = {name: _grouped(found) for name, found in lives.items()}
    with canvas(ax, theme, style) as (ax, theme):
        said = [_ending(life) for found in grouped.values() for life in found]
        names = [[life.layer for life in found] for found in grouped.values()]
        placed = rows.places(ax, runs, names, said, theme)
        for panel, found in zip(placed, grouped.values(), strict=True):
            _draw(panel, found, theme, fill)
        told = _told(grouped)
        entitle(ax, "Do all units do something?", lines_of(ax, _remarks(runs, lives), wider=1.1), theme, told=told)
    return ax


def _grouped(lives: Sequence[Lifetimes]) -> list[Lifetimes]:
    """Count the units of a group of layers together, where there are very many layers."""
    found = []
    for name, places in layer_groups([life.layer for life in lives], rows.MOST):
        some = [lives[place] for place in places if not lives[place].missing] or [lives[places[0]]]
        if len(some) == 1 and some[0].layer == name:
            found.append(some[0])
            continue
        dead, zero = (np.sum([getattr(life, which) for life in some], axis=0) for which in ("dead", "zero"))
        units, fewest = sum(life.units for life in some), min(life.fewest for life in some)
        found.append(Lifetimes(name, units, dead, zero, fewest, some[0].missing))
    return found


def _draw(panel: Panel, lives: Sequence[Lifetimes], theme: Theme, fill: dict[str, Any]) -> None:
    ax, trace = panel.ax, panel.trace
    edges = column_edges(trace.steps, stretches(trace))
    rows.frame(ax, rows.names_on(panel, [life.layer for life in lives]), theme, raised=rows.TALL / 2)
    shapes = [
        rows.Shape(edges, np.full(len(edges) - 1, np.nan) if life.missing else life.share, said=_ending(life))
        for life in lives
    ]
    size = 0.9 if panel.name else 1.0
    rows.draw(ax, shapes, theme, step=True, size=size, **{"facecolor": NEGATIVE, "edgecolor": "none", **fill})
    for row in range(len(lives)):
        ax.axhspan(row - rows.TALL, row, facecolor=theme.panel, edgecolor=theme.line, linewidth=0.6, zorder=0)
    ax.set_xlim(edges[0], edges[-1])
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=min(9, rows.room_for(panel, 6))))
    ax.set_xlabel("step", color=theme.text, fontsize=points(LABEL))


def _ending(life: Lifetimes) -> str:
    """Say how many units are dead at the end."""
    if life.missing:
        return "not known"
    known = life.dead[np.isfinite(life.dead)]
    return f"{known[-1]:.0f} of {life.units}" if known.size else "not known"


def _remarks(runs: dict[str, Trace], lives: dict[str, list[Lifetimes]]) -> list[str]:
    every = [life for found in lives.values() for life in found]
    traces = list(runs.values())
    judged = [life.fewest for life in every if not life.missing]
    each = max(part.stop - part.start for trace in traces for part in stretches(trace))
    of = "kept examples" if all(len(trace.activations) for trace in traces) else "examples of the probe"
    said = ["a full row: all units are dead", f"judged by {min(judged)} {of} or more"]
    said += [f"{each} recorded steps to a column, dead in all of them"] if each > 1 else []
    drawn, recorded = len(next(iter(lives.values()))), len(traces[0].layers)
    said += [f"{drawn} of {recorded} layers"] if drawn < recorded else []
    said += ["units of several layers counted together"] if drawn > rows.MOST else []
    said += ["a gap: no finite number, or not called"] if any(np.isnan(life.dead).any() for life in every) else []
    return said + sorted({f"not known: {life.missing}" for life in every if life.missing})


def _told(grouped: dict[str, list[Lifetimes]]) -> list[str]:
    said = ["An area for each layer over the steps: the share of its units that say the same to every example."]
    for name, found in grouped.items():
        known = [life for life in found if not life.missing]
        ends = "; ".join(f"{life.layer} {_ending(life)}" for life in known[:8])
        said.append(f"{f'{name}: at' if name else 'At'} the end are dead in layer {ends}.")
        worst = max(known, key=lambda life: float(np.nanmax(life.share)))
        said.append(f"The largest share is {rows.percent(float(np.nanmax(worst.share)))}, in {worst.layer}.")
    return said
