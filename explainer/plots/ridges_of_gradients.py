"""How the values of gradients spread: a ridge for each layer, or for each of several steps of one layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes

from explainer.choosing import chosen
from explainer.distributions import Distribution, magnitudes
from explainer.errors import TraceError, is_one_of, unknown
from explainer.plots import rows
from explainer.plots.comparing import Panel, runs_of
from explainer.plots.style import LABEL, canvas, entitle, lines_of, number, points, raised
from explainer.theme import GRADIENT, Theme
from explainer.thinning import bins, layer_groups

if TYPE_CHECKING:
    from explainer.plots.comparing import Traces
    from explainer.trace import Trace

OVER = ("layers", "steps")
_STEPS = 10  # ridges over steps
_BINS = 70  # across a ridge
_RARE = 0.002  # the share of a ridge's values that may lie left of the scale
Ridges = dict[str, Distribution | str]  # per row what was counted, or why there is nothing


def gradient_distribution(
    trace: Traces,
    *,
    over: str = "layers",
    layer: str | None = None,
    step: int = -1,
    ax: Axes | None = None,
    theme: Theme | str | None = None,
    style: str | None = None,
    **fill: Any,
) -> Axes:
    """Draw how the values of the gradient spread, layer by layer or step by step: are they of one size?

    A ridge says how many values of ∂loss/∂activation are how large, whatever their sign, on a logarithmic scale; the
    line in it is the median. Values that are exactly 0 have no place there: their share is written at the row's end.
    In a healthy network the ridges stand below each other. Ridges that wander to the left, row by row towards the first
    layer, are a vanishing gradient, to the right an exploding one; a large share of exact zeros means units that a
    ReLU has switched off.

    Args:
        trace: A recorded run, or several by name, drawn side by side on one scale; reads gradients, (example, …) per
            layer and step, of the examples that were kept.
        over: "layers" for one step's ridges of each layer, or "steps" for one layer's ridges of several steps.
        layer: Which one, over steps, the first with a gradient when omitted; over layers a name or glob of those drawn.
        step: Which recorded step to draw over layers; a negative one counts from the last.
        ax: Where to draw. A new figure is made when omitted.
        theme: "light" or "dark"; what fits the figure's background when omitted.
        style: "slide", "paper" or "notebook": the size of a new figure, and of the text.
        fill: Passed to `matplotlib.axes.Axes.fill_between` for the ridges.

    Returns:
        The axes drawn on, or in.

    Raises:
        TraceError: Gradients were not kept, there is none at that step, or no such layer, step or choice.

    Example:
        >>> from explainer import lessons, plots
        >>> axes = plots.gradient_distribution(lessons.record_lesson("two-layer"), step=0)
        >>> path = plots.save(axes, "gradient_distribution.svg")
    """
    if not is_one_of(over, OVER):
        raise TraceError(unknown("choice of ridges", over, OVER))
    runs = runs_of(trace)
    counted = {
        name: _over_layers(each, layer, step) if over == "layers" else _over_steps(each, layer)
        for name, each in runs.items()
    }
    scale = _range(counted.values())
    with canvas(ax, theme, style) as (ax, theme):
        _draw(ax, runs, counted, scale, theme, fill)
        title = "How large are the values of the gradient?"
        told = _told(counted, over)
        entitle(ax, title, lines_of(ax, _remarks(runs, counted, over, (layer, step)), wider=1.1), theme, told=told)
    return ax


def _over_layers(trace: Trace, layer: str | None, step: int) -> Ridges:
    """Count each layer's values at one step; of very many layers those of a group together."""
    index = trace.index_of(step)
    _check_kept(trace)
    names = list(trace.layers) if layer is None else chosen(layer, trace.layers)
    ridges: Ridges = {}
    for name, places in layer_groups(names, rows.MOST):
        ridges[name] = _count(trace, [names[place] for place in places], index)
    if all(isinstance(each, str) for each in ridges.values()):
        raise TraceError(
            f"no gradient was kept at step {trace.steps[index]}: {', '.join(dict.fromkeys(map(str, ridges.values())))}"
        )
    return ridges


def _over_steps(trace: Trace, layer: str | None) -> Ridges:
    """Count one layer's values at a few steps, evenly spread from the first to the last."""
    trace.index_of(-1)
    _check_kept(trace)
    name = _one(trace, layer)
    places = sorted({part.stop - 1 if part.stop == len(trace) else part.start for part in bins(len(trace), _STEPS)})
    ridges: Ridges = {f"step {trace.steps[place]}": _count(trace, [name], place) for place in places}
    if all(isinstance(each, str) for each in ridges.values()):
        raise TraceError(f"layer {name!r} has no gradient: {next(iter(ridges.values()))}")
    return ridges


def _one(trace: Trace, layer: str | None) -> str:
    """Return the layer whose steps are drawn."""
    found = [each for each in trace.layers if each in trace.gradients] if layer is None else chosen(layer, trace.layers)
    return found[0]


def _check_kept(trace: Trace) -> None:
    if not len(trace.gradients):
        raise TraceError(
            "the trace keeps no gradients, and statistics do not tell how values spread: record with "
            'keep=("gradients", …), or without keep='
        )


def _count(trace: Trace, layers: Sequence[str], index: int) -> Distribution | str:
    """Return how the values of layers spread together in one step, or why there are none."""
    found, why = [], ""
    for layer in layers:
        try:
            found.append(np.ravel(trace.gradients[layer][index]))
        except TraceError:
            why = why or trace.missing.get(layer, f"no gradient was kept at step {trace.steps[index]}")
    return magnitudes(np.concatenate(found)) if found else why


def _range(counted: Any) -> tuple[float, float]:
    """Return between which powers of ten all ridges lie, but for a few values far to the left."""
    known = [each for ridges in counted for each in ridges.values() if isinstance(each, Distribution) and each.held]
    if not known:
        return -1.0, 0.0
    low, high = min(each.quantile(_RARE) for each in known), max(each.quantile(1) for each in known)
    return float(np.floor(2 * low) / 2), float(np.ceil(2 * high) / 2)


def _draw(
    ax: Axes, runs: dict[str, Trace], counted: dict[str, Ridges], scale: tuple[float, float], theme: Theme,
    fill: dict[str, Any],
) -> None:  # fmt: skip
    are = "are" if "" in runs else "="  # shorter where several stand side by side
    shapes = [[_shape(each, scale, are) for each in ridges.values()] for ridges in counted.values()]
    said = [shape.said for each in shapes for shape in each]
    found = rows.places(ax, runs, [list(ridges) for ridges in counted.values()], said, theme)
    for panel, ridges, each in zip(found, counted.values(), shapes, strict=True):
        rows.frame(panel.ax, rows.names_on(panel, list(ridges)), theme)
        rows.draw(panel.ax, each, theme, size=0.9 if panel.name else 1.0, **{"facecolor": GRADIENT, **fill})
        _scale(panel, *scale, theme)


def _scale(panel: Panel, low: float, high: float, theme: Theme) -> None:
    """Write powers of ten along the horizontal axis, so few that they can be read."""
    ax = panel.ax
    ax.set_xlim(low, high)
    every = max(1, int(np.ceil((high - low) / rows.room_for(panel, 7))))
    ticks = range(int(np.ceil(low)), int(np.floor(high)) + 1, every)
    ax.set_xticks(list(ticks), [f"10{raised(each)}" for each in ticks])
    ax.set_xlabel("|∂loss/∂activation|, log scale" if not panel.name else "|∂loss/∂activation|", color=theme.text)
    ax.xaxis.label.set_fontsize(points(LABEL))
    ax.grid(visible=True, axis="x", color=theme.line, linewidth=0.6, alpha=0.45)


def _shape(found: Distribution | str, scale: tuple[float, float], are: str) -> rows.Shape:
    if isinstance(found, str) or not found.held:
        said = "none" if isinstance(found, str) else "all are 0" if found.zeros else "not finite"
        return rows.Shape(np.array([*scale]), np.zeros(1), said=said)
    part = found.between(*scale, _BINS)
    heights = part.counts / part.counts.max() if part.held else np.zeros(len(part.counts))
    said = f"{rows.percent(found.zero_share)} {are} 0" if found.zeros else ""
    if found.nonfinite:
        said = f"{rows.percent(found.nonfinite / found.size)} not finite"
    return rows.Shape(part.edges, heights, middle=float(np.log10(found.median)), said=said)


def _remarks(
    runs: dict[str, Trace], counted: dict[str, Ridges], over: str, chosen_: tuple[str | None, int]
) -> list[str]:
    layer, step = chosen_
    first = next(iter(runs.values()))
    when = f"step {first.steps[first.index_of(step)]}"
    said = [when if over == "layers" else f"layer {rows.named(first, _one(first, layer))}"]
    said += [rows.kept_examples(list(runs.values()), "gradients"), "each ridge as high as its peak", "┃ its median"]
    reasons = {reason for ridges in counted.values() for reason in ridges.values() if isinstance(reason, str)}
    said += [f"none: {reason.removeprefix('no gradient: ')}" for reason in sorted(reasons)]
    if over == "layers" and any(len(each.layers) > len(ridges) for each, ridges in _pairs(runs, counted)):
        said.append(f"{len(first.layers)} layers in {len(next(iter(counted.values())))} rows")
    left = sum(
        each.held - each.between(*_range(counted.values()), _BINS).held
        for ridges in counted.values()
        for each in ridges.values()
        if isinstance(each, Distribution)
    )
    return [*said, f"{left:,} values are further left"] if left else said


def _pairs(runs: dict[str, Trace], counted: dict[str, Ridges]) -> Sequence[tuple[Trace, Ridges]]:
    return list(zip(runs.values(), counted.values(), strict=True))


def _told(counted: dict[str, Ridges], over: str) -> list[str]:
    said = [f"A ridge for each {over.removesuffix('s')}: how many values are how large, on a logarithmic scale."]
    for name, ridges in counted.items():
        known = [(row, each) for row, each in ridges.items() if isinstance(each, Distribution) and each.held]
        if known:
            ends = [f"{number(each.median)} at {row}" for row, each in (known[0], known[-1])]
            said.append(f"{name}: the" * bool(name) + "The" * (not name) + f" median is {ends[0]} and {ends[1]}.")
    return said
