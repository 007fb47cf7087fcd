"""How each layer's activations spread at a step, and how many of them lie at an end of the layer's range."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from explainer import saturation
from explainer.choosing import chosen
from explainer.distributions import Distribution, spread
from explainer.errors import TraceError
from explainer.plots import rows
from explainer.plots.comparing import Panel, runs_of
from explainer.plots.style import LABEL, canvas, entitle, lines_of, number, points, tick
from explainer.theme import LAYER, Theme
from explainer.thinning import layer_groups

if TYPE_CHECKING:
    from explainer.plots.comparing import Traces
    from explainer.trace import Trace

Floats = npt.NDArray[np.float64]

_BINS = 80
_RARE = 0.002  # the share of a layer's values that may lie beyond each end of the scale
_WIDE = 60.0  # times as far as a usual layer reaches, from which on the scale is no longer linear


@dataclass(frozen=True)
class _Row:
    """What was counted of one layer or group.

    Attributes:
        saturated: The share at an end of the range; NaN where the layer has none.
        zeros: The share of exact zeros in whole batches, of layers that make zeros; NaN of others.
        zones: Below and above which values the layer is saturated.
    """

    name: str
    spread: Distribution | str
    saturated: float = float("nan")
    zeros: float = float("nan")
    zones: tuple[float, float] | None = None


def activations(
    trace: Traces,
    *,
    layers: str | Sequence[str] | None = None,
    step: int = -1,
    ax: Axes | None = None,
    theme: Theme | str | None = None,
    style: str | None = None,
    **fill: Any,
) -> Axes:
    """Draw how the activations of each layer spread at a step: do they saturate, die out or grow?

    A ridge says how many of a layer's values are how large; the line in it is the median. At the end of the row stands
    which share of a Sigmoid's or Tanh's values is saturated, within 5 % of its range from an end, hatched in the ridge,
    where hardly any gradient passes; of a Softmax in how many examples one class has over 95 %; and of a ReLU how many
    values are exactly 0. In a healthy network ridges of the same kind look alike from layer to layer. Ridges that
    shrink to a needle carry nothing on, those that widen row by row blow up, a Sigmoid that stands at both its ends
    learns no more.

    Args:
        trace: A recorded run, or several by name, drawn side by side on one scale; reads activations, (example, …) per
            layer, of the examples that were kept, and the share of zeros in whole batches.
        layers: Names or globs of those to draw; all when omitted, or of very many the activation functions.
        step: A recorded step; a negative one counts from the last.
        ax: Where to draw. A new figure is made when omitted.
        theme: "light" or "dark"; what fits the figure's background when omitted.
        style: "slide", "paper" or "notebook": the size of a new figure, and of the text.
        fill: Passed to `matplotlib.axes.Axes.fill_between` for the ridges.

    Returns:
        The axes drawn on, or in.

    Raises:
        TraceError: Activations were not kept, none is a finite number, or there is no such step or layer.

    Example:
        >>> from explainer import lessons, plots
        >>> axes = plots.activations(lessons.record_lesson("two-layer"), step=0)
        >>> path = plots.save(axes, "activations.svg")
    """
    runs = runs_of(trace)
    groups = {name: _groups(each, layers, step) for name, each in runs.items()}
    scale = _scale_of([(each, groups[name], step) for name, each in runs.items()])
    counted = {name: [_count(each, group, step, scale) for group in groups[name]] for name, each in runs.items()}
    with canvas(ax, theme, style) as (ax, theme):
        shapes = [[_shape(row, scale, brief="" not in runs) for row in each] for each in counted.values()]
        names = [[row.name for row in each] for each in counted.values()]
        found = rows.places(ax, runs, names, [shape.said for each in shapes for shape in each], theme)
        for panel, each, drawn in zip(found, names, shapes, strict=True):
            rows.frame(panel.ax, rows.names_on(panel, each), theme)
            rows.draw(panel.ax, drawn, theme, size=0.9 if panel.name else 1.0, **{"facecolor": LAYER, **fill})
            _draw_scale(panel, scale, theme)
        title = "How do activations spread, and do they saturate?"
        said = lines_of(ax, _remarks(runs, counted, (layers, step), scale), wider=1.1)
        entitle(ax, title, said, theme, told=_told(counted, scale))
    return ax


# ── What is counted ──────────────────────────────────────────────────────────────────────────────────────────────

Group = tuple[str, list[str]]  # a row's name, and its layers


def _groups(trace: Trace, layers: str | Sequence[str] | None, step: int) -> list[Group]:
    """Return the rows to draw: of very many layers the activation functions, or else groups."""
    trace.index_of(step)
    if not len(trace.activations):
        raise TraceError(
            "the trace keeps no activations, and statistics do not tell how values spread: record with "
            'keep=("activations", …), or without keep='
        )
    names = list(trace.layers) if layers is None else chosen(layers, trace.layers)
    if layers is None and len(names) > rows.MOST:
        names = [name for name in names if saturation.is_activation_function(trace, name)] or names
    return [(name, [names[place] for place in places]) for name, places in layer_groups(names, rows.MOST)]


def _values(trace: Trace, layer: str, step: int) -> Floats | str:
    """Return what a layer said at a step, or why there is nothing."""
    if layer not in trace.activations:
        return trace.missing.get(layer, "no activation was kept")
    try:
        return np.asarray(trace.activations[layer][trace.index_of(step)])
    except TraceError:
        return trace.missing.get(layer, "no activation was kept at this step")


@dataclass(frozen=True)
class Scale:
    """The horizontal axis: linear, or where layers differ much, linear near 0 and logarithmic beyond.

    Attributes:
        width: Up to which values it is about linear; infinite where it is all over.
    """

    low: float
    high: float
    width: float

    def place(self, values: npt.ArrayLike) -> Floats:
        """Return where values stand."""
        array = np.asarray(values, np.float64)
        return array if np.isinf(self.width) else np.arcsinh(array / self.width)

    def value(self, places: npt.ArrayLike) -> Floats:
        """Return which values stand at places."""
        array = np.asarray(places, np.float64)
        return array if np.isinf(self.width) else np.sinh(array) * self.width


def _scale_of(drawn: Sequence[tuple[Trace, list[Group], int]]) -> Scale:
    """Return a scale on which each layer's values have room, but for a few at each end."""
    ends = []
    for trace, groups, step in drawn:
        for layer in (layer for _, group in groups for layer in group):
            values = _values(trace, layer, step)
            known = values[np.isfinite(values)].astype(np.float64) if not isinstance(values, str) else np.empty(0)
            if known.size:
                ends.append(np.quantile(known, (_RARE, 1 - _RARE)))
    if not ends:
        raise TraceError("no activation at this step is a finite number: explainer.testing.assert_finite(trace) says "
                         "where they ceased to be")  # fmt: skip
    lows, highs = np.array(ends).T
    reach = np.maximum(np.abs(lows), np.abs(highs))
    usual = float(np.median(reach[reach > 0])) if reach.any() else 1.0
    linear = reach.max() < _WIDE * usual
    low, high = float(min(lows.min(), 0)), float(max(highs.max(), 0))
    room = 0.02 * (high - low) or 1.0
    return Scale(low - room, high + room, float("inf") if linear else usual)


def _count(trace: Trace, group: Group, step: int, scale: Scale) -> _Row:
    name, layers = group
    index = trace.index_of(step)
    low, high = scale.place([scale.low, scale.high])
    edges = np.linspace(float(low), float(high), _BINS + 1)
    found, shares, missing = list[Floats](), list[float](), ""
    for layer in layers:
        values = _values(trace, layer, step)
        if isinstance(values, str):
            missing = missing or values
            continue
        found.append(values[values != 0] if saturation.zeroes(trace, layer) else np.ravel(values))
        shares.append(saturation.saturated_share(trace, layer, values))
    zeros = [
        float(trace.statistics["activations"][layer]["zero_fraction"][index])
        for layer in layers
        if saturation.zeroes(trace, layer) and layer in trace.statistics["activations"]
    ]
    zones = saturation.saturated_zones(trace, layers[0]) if len(layers) == 1 else None
    return _Row(
        name, _spread(np.concatenate(found), edges, scale) if found else missing, _mean(shares), _mean(zeros), zones
    )


def _spread(values: Floats, edges: Floats, scale: Scale) -> Distribution:
    """Count values along the scale; their median is that of the values, wherever it stands."""
    known = values[np.isfinite(values)].astype(np.float64)
    middle = float(scale.place(np.median(known))) if known.size else float("nan")
    return replace(spread(scale.place(values), edges), median=middle)


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if value == value]
    return sum(known) / len(known) if known else float("nan")


# ── How it is drawn ──────────────────────────────────────────────────────────────────────────────────────────────


def _draw_scale(panel: Panel, scale: Scale, theme: Theme) -> None:
    ax = panel.ax
    low, high = scale.place([scale.low, scale.high])
    ax.set_xlim(low, high)
    ax.axvline(0, color=theme.line, linewidth=0.8, zorder=1)
    if not np.isinf(scale.width):
        ticks = _ticks(scale, most=rows.room_for(panel, 6))
        ax.set_xticks(scale.place(ticks), [_power(each) for each in ticks])
    else:
        ax.locator_params(axis="x", nbins=min(9, rows.room_for(panel, 6)))
    ax.grid(visible=True, axis="x", color=theme.line, linewidth=0.6, alpha=0.45)
    ax.set_xlabel("activation", color=theme.text, fontsize=points(LABEL))


def _power(value: float) -> str:
    return "0" if value == 0 else tick(value) if value > 0 else f"−{tick(-value)}"


def _ticks(scale: Scale, most: int) -> list[float]:
    """Return powers of ten on both sides of 0, so few that they can be read."""
    first, last = np.ceil(np.log10(scale.width)), np.floor(np.log10(max(-scale.low, scale.high)))
    powers = 10.0 ** np.arange(first, last + 1)
    values = [value for value in (*-powers[::-1], 0.0, *powers) if scale.low <= value <= scale.high]
    every = -(-len(values) // most)
    middle = values.index(0.0)
    return [value for place, value in enumerate(values) if (place - middle) % every == 0]


def _shape(row: _Row, scale: Scale, *, brief: bool) -> rows.Shape:
    found = row.spread
    if isinstance(found, str) or not found.held:
        said = "none" if isinstance(found, str) else "not finite"
        said = _said(row, found, brief=brief) if not isinstance(found, str) and not found.size else said
        return rows.Shape(np.array([0.0, 1.0]), np.zeros(1), said=said)
    heights = found.counts / found.counts.max()
    return rows.Shape(found.edges, heights, _hatched(row, scale), found.median, _said(row, found, brief=brief))


def _hatched(row: _Row, scale: Scale) -> tuple[float, float] | None:
    """Return between which places a layer that squashes is not saturated, where it says anything beyond."""
    if row.zones is None or not row.saturated > 0:
        return None
    low, high = scale.place(row.zones)
    return float(low), float(high)


def _said(row: _Row, found: Distribution, *, brief: bool) -> str:
    """Say what stands at a row's end, in fewer letters where runs stand side by side."""
    if found.nonfinite:
        return f"{rows.percent(found.nonfinite / found.size)} not finite"
    if row.saturated == row.saturated:
        return f"{rows.percent(row.saturated)} {'sat.' if brief else 'saturated'}"
    return f"{rows.percent(row.zeros)} {'=' if brief else 'are'} 0" if row.zeros == row.zeros else ""


def _remarks(
    runs: dict[str, Trace], counted: dict[str, list[_Row]], choice: tuple[str | Sequence[str] | None, int], scale: Scale
) -> list[str]:
    layers, step = choice
    first = next(iter(runs.values()))
    said = [f"step {first.steps[first.index_of(step)]}", rows.kept_examples(list(runs.values()), "activations")]
    every = [row for each in counted.values() for row in each]
    if any(row.zeros == row.zeros for row in every):
        said.append("zeros: shares of whole batches, in no ridge")
    said += ["each ridge as high as its peak", "┃ its median"]
    said += ["hatched: saturated"] if any(_hatched(row, scale) is not None for row in every) else []
    said += [] if np.isinf(scale.width) else [f"log scale beyond ±{number(scale.width, 2)}"]
    drawn = sum(len(group) for _, group in _groups(first, layers, step))
    if drawn < len(first.layers) and layers is None:
        said.append(f"the activation functions, {drawn} of {len(first.layers)} layers")
    elif drawn > len(every) / len(counted):
        said.append(f"{drawn} layers in {len(next(iter(counted.values())))} rows")
    reasons = {row.spread for row in every if isinstance(row.spread, str)}
    return said + [f"none: {reason}" for reason in sorted(map(str, reasons))]


def _told(counted: dict[str, list[_Row]], scale: Scale) -> list[str]:
    said = ["A ridge for each layer, the first on top: how many values are how large."]
    for name, each in counted.items():
        of = f"{name}: " if name else ""
        known = [(row.name, row.spread) for row in each if isinstance(row.spread, Distribution) and row.spread.held]
        medians = [f"{number(float(scale.value(found.median)))} in {row}" for row, found in known]
        if medians:
            ends = " and ".join(dict.fromkeys((medians[0], medians[-1])))
            said.append(f"{of}the median is {ends}." if name else f"The median is {ends}.")
        for share, word in (("saturated", "is saturated"), ("zeros", "is exactly 0")):
            with_share = [row for row in each if getattr(row, share) == getattr(row, share)]
            if with_share:
                most = max(with_share, key=lambda row: float(getattr(row, share)))
                share_of = float(getattr(most, share))
                found = f"most {word} in {most.name}, {rows.percent(share_of)}" if share_of else f"nothing {word}"
                said.append(f"{of}{found}." if name else f"{found[0].upper()}{found[1:]}.")
    return said
