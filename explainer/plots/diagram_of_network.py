"""Any recorded model as a diagram: what one example becomes on its way through, and by which weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from explainer.plots.comparing import trace_of
from explainer.plots.sheet import sheet
from explainer.plots.stages_in_a_row import StagesInARow, rounded
from explainer.plots.style import canvas, entitle, legend_row, lines_of
from explainer.portrait import Seen, picture_of, portrait
from explainer.theme import NEGATIVE, POSITIVE, Theme

if TYPE_CHECKING:
    from explainer.trace import Trace

_STAGES = 10


def network(
    trace: Trace,
    *,
    step: int = -1,
    example: int = 0,
    ax: Axes | None = None,
    theme: Theme | str | None = None,
    style: str | None = None,
    **edge: Any,
) -> Axes:
    """Draw the recorded model from left to right: what does one example become on its way through?

    A unit's fill is its activation, blue above zero and vermilion with a minus below; maps of a convolution are small
    images in the same colours. An edge's colour is the weight's sign, its width the weight's size, each layer with its
    own scale. In a healthy network units differ, and different examples light different ones. A column that is all
    pale carries nothing, one in which all units are full and equal is saturated.

    Up to 16 units and 4 maps of a stage are drawn, evenly chosen from all; below it stand how many there are, its name,
    and how many numbers θ it learns. Deep models are put together by the names of their modules, in frames.

    Args:
        trace: A recorded run of any model; reads activations, parameters and inputs of one step, as far as kept.
        step: Which recorded step; a negative one counts from the last.
        example: Which of the examples kept of the step's batch, from 0.
        ax: Where to draw. A new figure is made when omitted.
        theme: "light" or "dark"; what fits the figure's background when omitted.
        style: "slide", "paper" or "notebook": the size of a new figure, and of the text.
        edge: Passed to `matplotlib.collections.LineCollection` for the weights.

    Returns:
        The axes drawn on.

    Raises:
        TraceError: The step was not recorded, no layer was, or there is no such example.

    Example:
        >>> from explainer import lessons, plots
        >>> axes = plots.network(lessons.record_lesson("two-layer"))
        >>> path = plots.save(axes, "network.svg")
    """
    seen = portrait(trace_of(trace), step, example, _STAGES)
    picture = picture_of(trace, seen[0], step, example)
    with canvas(ax, theme, style) as (ax, theme):
        sheet(ax, theme)
        joined = any(each.weights is not None for each in seen)
        key = [
            Line2D([], [], color=colour, linewidth=2.5, label=f"{sign} weight")
            for sign, colour in (("positive", POSITIVE), ("negative", NEGATIVE))
        ]
        rows = legend_row(ax, key, theme) if joined else 0
        notes = lines_of(ax, _remarks(trace, seen, step, example))
        told = _told(seen, trace)
        entitle(ax, "What becomes of one example on its way through?", notes, theme, rows=rows, told=told)
        drawn = StagesInARow(sheet(ax, theme), seen, picture, _classes(trace, seen[-1]))
        drawn.draw(edge)
    return ax


def _classes(trace: Trace, last: Seen) -> list[str]:
    named = trace.notes.get("classes")
    fits = isinstance(named, list) and len(named) == last.count
    return [str(each) for each in named] if fits and named else [str(each) for each in range(last.count)]


def _of_classes(last: Seen) -> str:
    """Say what is drawn of classes."""
    if not last.probabilities:
        return ""
    few = len(last.drawn) < last.count
    return f"the {len(last.drawn)} likeliest of {last.count} classes" if few else "last: probability of each class"


def _remarks(trace: Trace, seen: tuple[Seen, ...], step: int, example: int) -> list[str]:
    """Return what the picture does not say by itself."""
    said = [f"step {trace.steps[trace.index_of(step)]}, example {example} of its batch"]
    said.append(f"{trace.model.type}, {rounded(trace.model.parameter_count)} parameters θ")
    said += ["fill: activation, scaled per layer", _of_classes(seen[-1])]
    without = [each for each in seen if each.missing]
    if without:
        names = ", ".join(each.stage.title for each in without[:3]) + (" …" if len(without) > 3 else "")
        said.append(f"hatched: {names}: {without[0].missing}")
    odd = sum(each.nonfinite for each in seen)
    if odd:
        said.append(f"? {odd} numbers are infinite or NaN")
    uncalled = [name for name in trace.model.layers if name in trace.missing and name not in trace.layers]
    if uncalled:
        said.append(f"never called: {', '.join(uncalled[:3])}" + (" …" if len(uncalled) > 3 else ""))
    return said


def _told(seen: tuple[Seen, ...], trace: Trace) -> list[str]:
    """Return the diagram in sentences."""
    stages = ", ".join(f"{each.stage.title} ({'×'.join(map(str, each.stage.shape))})" for each in seen)
    said = [f"A diagram of {len(seen)} stages from left to right: {stages}."]
    skips = sum(len(each.stage.skips) for each in seen)
    if skips:
        said.append(f"{skips} arrows skip stages.")
    last = seen[-1]
    if last.probabilities and last.values is not None:
        names, best = _classes(trace, last), int(np.argmax(last.values))
        said.append(f"The likeliest class is {names[int(last.drawn[best])]} with probability {last.values[best]:.3f}.")
        if last.right is not None:
            said.append(f"The right one is {names[last.right]}.")
    return said
