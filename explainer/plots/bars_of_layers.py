"""The size of the gradient at each layer's output, in one step."""

from __future__ import annotations

import math
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, NullLocator

from explainer import flow
from explainer.flow import LayerGradient
from explainer.plots.comparing import runs_of
from explainer.plots.gradients_compared import TITLE, XLABEL, YLABELS, compare
from explainer.plots.naming import moment, name_layers
from explainer.plots.style import LABEL, NOTE, background, canvas, dress, entitle, number, points, tick
from explainer.theme import GRADIENT, LOSS, NEGATIVE, Theme

if TYPE_CHECKING:
    from explainer.plots.comparing import Traces
    from explainer.trace import Trace

_SPELLED_OUT = 10  # layers up to which numbers, types and factors are written
_LISTED = 44  # letters of layers' names in a line that says why
_TALLEST = {True: 0.70, False: 0.82}  # of the axes' height, with factors below the arrow, and without


def gradient_flow(
    trace: Traces,
    *,
    step: int = -1,
    measure: str = "norm",
    ax: Axes | None = None,
    theme: Theme | str | None = None,
    style: str | None = None,
    **bar: Any,
) -> Axes:
    """Draw how large the gradient is at each layer's output, loss side on the right: who learns, and who cannot?

    In a healthy network the bars are about level: each layer hears what the loss has to say. Bars that shrink to the
    left by the same factor at every layer are a vanishing gradient, bars that grow an exploding one. A layer without
    a gradient is shown with its reason, a gradient of exactly 0, for which a logarithmic scale has no place, as "0".
    Several runs are drawn as lines over one another, so that a slope can be told from a level.

    Args:
        trace: A recorded run, or several by name; reads the statistics of gradients, (step,) per layer, over the whole
            batch.
        step: Which recorded step to draw; a negative one counts from the last.
        measure: "norm", "mean" of the absolute values, or "max" of them.
        ax: Where to draw. A new figure is made when omitted.
        theme: "light" or "dark"; what fits the figure's background when omitted.
        style: "slide", "paper" or "notebook": the size of a new figure, and of the text.
        bar: Passed to `matplotlib.axes.Axes.bar`, of several runs to `plot`.

    Returns:
        The axes drawn on.

    Raises:
        TraceError: The step was not recorded, or nothing has a gradient there.

    Example:
        >>> from explainer import lessons, plots
        >>> axes = plots.gradient_flow(lessons.record_lesson("two-layer"), step=0)
        >>> path = plots.save(axes, "gradient_flow.pdf")
    """
    runs = runs_of(trace)
    if "" not in runs:
        return compare(runs, step, measure, ax=ax, theme=theme, style=style, **bar)
    alone = runs[""]
    gradients = flow.gradients_at(alone, step, measure)
    with canvas(ax, theme, style) as (ax, theme):
        _draw(ax, alone, gradients, measure, theme, bar)
        notes = [moment(alone, alone.index_of(step)), *_remarks(alone, gradients)]
        entitle(ax, TITLE, notes, theme, told=[_told(gradients, measure)])
    return ax


def _draw(
    ax: Axes, trace: Trace, gradients: list[LayerGradient], measure: str, theme: Theme, bar: dict[str, Any]
) -> None:
    drawn = [index for index, each in enumerate(gradients) if each.drawable]
    spelled_out = len(gradients) <= _SPELLED_OUT
    width, tallest = (0.56 if spelled_out else 0.8), _TALLEST[spelled_out]
    ax.bar(drawn, [gradients[i].size for i in drawn], **{"width": width, "color": GRADIENT, "zorder": 2, **bar})
    dress(ax, theme)
    ax.set_yscale("log")
    _limits(ax, [gradients[index].size for index in drawn], tallest)
    ax.set_xlim(-0.6, len(gradients) - 0.1)
    ax.set(xlabel=XLABEL, ylabel=YLABELS[measure])
    kinds = [_kind(trace, each.layer) for each in gradients] if spelled_out else None
    name_layers(ax, [each.layer for each in gradients], theme, kinds)
    for index, each in enumerate(gradients):
        if not each.drawable:
            _say_instead(ax, index, each, (width, tallest), theme)
    if spelled_out:
        _numbers(ax, gradients, theme)
    called = [each.layer in trace.layers for each in gradients]
    _arrow(ax, called.index(True), len(gradients), theme)


def _told(gradients: list[LayerGradient], measure: str) -> str:
    sizes = {each.layer: each.size for each in gradients if each.drawable}
    if not sizes:
        return "Bars, one a layer: none has a gradient that a logarithmic scale could show."
    first, last = next(iter(sizes)), next(reversed(sizes))
    low, high = min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)
    ratio = number(sizes[first] / sizes[last], 2)
    return (
        f"Bars of the {measure} of the gradient at each of {len(gradients)} layers, on a logarithmic scale: "
        f"{number(sizes[first])} at the first, {first}, and {number(sizes[last])} at the last, {last}, which is "
        f"{ratio} times from last to first; the smallest {number(sizes[low])} at {low}, the largest "
        f"{number(sizes[high])} at {high}."
    )


def _limits(ax: Axes, sizes: list[float], tallest: float) -> None:
    """Choose the scale: the smallest bar stays visible, and above the tallest there is room for the arrow."""
    low, high = (math.log10(min(sizes)), math.log10(max(sizes))) if sizes else (-1.0, 0.0)
    low -= max(0.18, 0.12 * (high - low))
    ax.set_ylim(10**low, 10 ** (low + (high - low) / tallest))
    for between in ((1.0,), (1.0, 2.0, 5.0), tuple(range(1, 10))):  # until there are enough to read the scale by
        places = LogLocator(subs=between, numticks=7).tick_values(10**low, 10**high)
        places = [place for place in places if 10**low <= place <= 1.3 * 10**high]
        if len(places) > 2:
            break
    ax.yaxis.set_minor_locator(NullLocator())
    ax.set_yticks(places, [tick(place, powers=high - low > 4) for place in places])
    ax.spines["left"].set_bounds(10**low, 10**high)


def _kind(trace: Trace, layer: str) -> str:
    found = trace.model.layers.get(layer) or trace.model.layers.get(layer.partition(":")[0].partition("[")[0])
    return found.type if found else ""


def _say_instead(ax: Axes, index: int, gradient: LayerGradient, size: tuple[float, float], theme: Theme) -> None:
    """Stand in for a bar that cannot be drawn."""
    width, tallest = size
    zero = not gradient.missing and gradient.size == 0
    if not zero:
        ax.add_patch(
            Rectangle(
                (index - width / 2, 0),
                width,
                tallest,
                transform=ax.get_xaxis_transform(),
                facecolor="none",
                edgecolor=theme.line,
                hatch="///",
                linewidth=0.8,
                zorder=1,
            )
        )
    words = "0" if zero else "no gradient" if gradient.missing else "not finite"
    ax.annotate(
        words,
        (index, 0 if zero else tallest / 2),
        (0, 4 if zero else 0),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha="center",
        va="bottom" if zero else "center",
        rotation=0 if zero else 90,
        color=theme.text if zero or gradient.missing else NEGATIVE,
        fontsize=points(NOTE),
        fontweight="bold" if zero else "normal",
        bbox=None if zero else {"facecolor": background(ax), "edgecolor": "none", "pad": 2.5},
        zorder=4,
    )


def _numbers(ax: Axes, gradients: list[LayerGradient], theme: Theme) -> None:
    """Write each bar's size above it, and between neighbours the factor that the backward pass went by."""
    for index, each in enumerate(gradients):
        if each.drawable:
            ax.annotate(
                number(each.size),
                (index, each.size),
                (0, 3),
                textcoords="offset points",
                ha="center",
                va="bottom",
                color=theme.text,
                fontsize=points(NOTE),
            )
    for index, factor in enumerate(flow.factors(gradients)):
        if factor is not None:
            ax.text(
                index + 0.5,
                0.845,
                f"×{number(factor, 2)}",
                transform=ax.get_xaxis_transform(),
                ha="center",
                va="center",
                color=theme.text,
                fontsize=points(LABEL),
            )


def _arrow(ax: Axes, first: int, count: int, theme: Theme) -> None:
    """Say which way the backward pass runs: from the loss, on the right, to the first layer that was called."""
    start, height = count - 0.42, 0.93
    ax.annotate(
        "",
        (first - 0.5, height),
        (start, height),
        xycoords=ax.get_xaxis_transform(),
        textcoords=ax.get_xaxis_transform(),
        arrowprops={"arrowstyle": "-|>,head_width=0.35,head_length=0.8", "color": GRADIENT, "linewidth": 2.4},
    )
    ax.text(
        (start + first - 0.5) / 2,
        height + 0.025,
        "the backward pass",
        transform=ax.get_xaxis_transform(),
        ha="center",
        va="bottom",
        color=theme.text,
        fontsize=points(NOTE),
    )
    ax.text(
        start,
        height,
        " loss",
        transform=ax.get_xaxis_transform(),
        ha="left",
        va="center",
        color=LOSS,
        fontsize=points(LABEL),
        fontweight="bold",
    )


def _remarks(trace: Trace, gradients: list[LayerGradient]) -> list[str]:
    """Say of which layers the gradient is missing and why, is 0, is not finite, or is another tensor's."""
    remarks: dict[str, list[str]] = {}
    for each in gradients:
        if each.missing:
            remarks.setdefault(each.missing, []).append(each.layer)
        elif each.nonfinite:
            remarks.setdefault("values that are infinite or NaN", []).append(each.layer)
        elif each.size == 0:
            remarks.setdefault("the gradient is exactly 0", []).append(each.layer)
        if each.layer in trace.aliases:
            remarks.setdefault("passes its input on (the gradient is the whole tensor's)", []).append(each.layer)
    return [f"{_listed(layers)}: {remark}" for remark, layers in remarks.items()]


def _listed(layers: list[str]) -> str:
    """Write as many names as leave a line room for the reason, and how many more there are."""
    shown = max(1, sum(total <= _LISTED for total in accumulate(len(layer) + 2 for layer in layers)))
    return ", ".join(layers[:shown]) + (f" and {len(layers) - shown} more" if len(layers) > shown else "")
