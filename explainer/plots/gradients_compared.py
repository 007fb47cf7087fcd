"""The size of the gradient at each layer's output, of several runs over one another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator

from explainer import flow
from explainer.flow import LayerGradient
from explainer.plots.comparing import style_of
from explainer.plots.naming import name_layers
from explainer.plots.style import canvas, dress, entitle, legend_row, lines_of, number, tick
from explainer.theme import Theme

if TYPE_CHECKING:
    from explainer.trace import Trace

TITLE = "How much gradient reaches each layer?"
XLABEL = "layer, in the order of the forward pass"
YLABELS = {
    "norm": "‖∂loss/∂activation‖  (log scale)",
    "mean": "mean |∂loss/∂activation|  (log scale)",
    "max": "max |∂loss/∂activation|  (log scale)",
}


def compare(
    runs: Mapping[str, Trace],
    step: int,
    measure: str,
    *,
    ax: Axes | None,
    theme: Theme | str | None,
    style: str | None,
    **line: Any,
) -> Axes:
    """Draw runs as lines over their layers; a layer without a gradient leaves a gap, and is counted in the notes."""
    found = {name: flow.gradients_at(trace, step, measure) for name, trace in runs.items()}
    with canvas(ax, theme, style) as (ax, theme):
        entries = [
            _line(ax, place, name, gradients, theme, line) for place, (name, gradients) in enumerate(found.items())
        ]
        dress(ax, theme)
        _scale(ax)
        ax.set(xlabel=XLABEL, ylabel=YLABELS[measure])
        names = [tuple(each.layer for each in gradients) for gradients in found.values()]
        if len(set(names)) == 1:
            name_layers(ax, names[0], theme)
        else:
            ax.set_xlabel(f"{XLABEL} of each run, counted from 0")
        moments = {f"step {trace.steps[trace.index_of(step)]}" for trace in runs.values()}
        rows = legend_row(ax, entries, theme)
        notes = [*sorted(moments), *_gaps(found), "loss side on the right"]
        entitle(ax, TITLE, lines_of(ax, notes), theme, rows=rows, told=[_told(found, measure)])
    return ax


def _line(
    ax: Axes, place: int, name: str, gradients: list[LayerGradient], theme: Theme, line: dict[str, Any]
) -> Line2D:
    sizes = [each.size if each.drawable else np.nan for each in gradients]
    colour, dashes, marker = style_of(place, theme)
    marks = {"marker": marker, "markersize": 6.5, "markevery": max(1, len(sizes) // 24)}
    drawn = ax.plot(sizes, **{"color": colour, "linestyle": dashes, "linewidth": 2.2, "label": name, **marks, **line})
    return drawn[0]


def _scale(ax: Axes) -> None:
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    places = LogLocator(numticks=7).tick_values(low, high)
    places = [place for place in places if low <= place <= high]
    if len(places) > 1:
        ax.yaxis.set_minor_locator(NullLocator())
        ax.set_yticks(places, [tick(place, powers=high > 1e4 * low) for place in places])


def _gaps(found: Mapping[str, list[LayerGradient]]) -> list[str]:
    """Say of which runs some layers have no place on the scale."""
    said = []
    for name, gradients in found.items():
        reasons = {
            "no gradient": sum(bool(each.missing) for each in gradients),
            "a gradient of exactly 0": sum(not each.missing and each.size == 0 for each in gradients),
            "one that is not finite": sum(bool(each.nonfinite) for each in gradients),
        }
        said += [f"{name}: {count} layers with {what}" for what, count in reasons.items() if count]
    return said


def _told(found: Mapping[str, list[LayerGradient]], measure: str) -> str:
    said = []
    for name, gradients in found.items():
        sizes = [each.size for each in gradients if each.drawable]
        if sizes:
            said.append(f"{name} from {number(sizes[0])} at the first layer to {number(sizes[-1])} at the last")
    return f"Lines of the {measure} of the gradient at each layer, on a logarithmic scale: {'; '.join(said)}."
