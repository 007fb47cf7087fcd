"""The computational graph of a recorded step with its numbers: incoming × local = outgoing, down to the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from explainer import factors
from explainer.factors import Factors
from explainer.plots.comparing import trace_of
from explainer.plots.factors_in_a_row import FactorsInARow
from explainer.plots.sheet import sheet, spelled
from explainer.plots.style import canvas, entitle, legend_row, lines_of
from explainer.symbols import spoken
from explainer.theme import GRADIENT, LOCAL, Theme

if TYPE_CHECKING:
    from explainer.trace import Trace


def chain_rule(
    trace: Trace,
    *,
    step: int | None = None,
    example: int = 0,
    ax: Axes | None = None,
    theme: Theme | str | None = None,
    style: str | None = None,
    **arrow: Any,
) -> Axes:
    """Draw the graph of one recorded step with its numbers: how does the loss reach each weight?

    Above each node stands what the forward pass gave it. Below, read from the loss on the right: what arrives, times
    the operation's own derivative, is what is passed on, and that is what arrives at the next. Of matrices too large
    to write, shape and norm are given, and on each edge by what the gradient's norm is multiplied there. In a healthy
    network these factors are about 1; where they are all well below it the gradient vanishes on its way, where they
    are all above, it explodes; a 0 ends the chain.

    All gradients are worked out here by hand, from what was recorded of the forward pass; how far autograd's are from
    them is said.

    Args:
        trace: A recorded run of layers one after the other, of the kinds in `explainer.operations`; reads inputs,
            targets, parameters and activations of one step.
        step: Which recorded step; a negative one counts from the last. That of the largest loss when omitted.
        example: Which of the examples kept, from 0. What this one adds to the first weights' gradient ends the chain;
            below parameters stands the norm over the whole batch.
        ax: Where to draw. A new figure is made when omitted.
        theme: "light" or "dark"; what fits the figure's background when omitted.
        style: "slide", "paper" or "notebook": the size of a new figure, and of the text.
        arrow: Passed to `matplotlib.patches.FancyArrowPatch` for the arrows of the gradient.

    Returns:
        The axes drawn on.

    Raises:
        TraceError: A layer or the loss is of another kind, layers do not stand one after the other, or what is needed
            was not kept; the layer is named.

    Example:
        >>> from explainer import lessons, plots
        >>> axes = plots.chain_rule(lessons.record_lesson("two-layer"))
        >>> path = plots.save(axes, "chain_rule.svg")
    """
    index = _most_wrong(trace_of(trace)) if step is None else trace.index_of(step)
    found = factors.of_example(trace, int(trace.steps[index]), example)
    with canvas(ax, theme, style) as (ax, theme):
        drawn = FactorsInARow(trace.model, trace.layers, found, sheet(ax, theme).width, theme)
        rows = legend_row(ax, _key(theme), theme)
        notes = lines_of(ax, _remarks(drawn, found, example))
        entitle(ax, "How does the loss reach each weight?", notes, theme, rows=rows, told=_told(drawn, found))
        drawn.draw(sheet(ax, theme), arrow)
    return ax


def _most_wrong(trace: Trace) -> int:
    """Return where the step with the largest loss stands among the recorded: there the gradients are large."""
    losses = trace.scalars.get("loss", np.zeros(len(trace)))
    return int(np.argmax(np.where(np.isfinite(losses), losses, -np.inf))) if len(trace) else trace.index_of(-1)


def _key(theme: Theme) -> list[Patch]:
    """Return what each frame's colour says."""
    meanings = (
        (theme.line, "value, forward"),
        (GRADIENT, "gradient of the loss, backward"),
        (LOCAL, "the operation’s own derivative"),
    )
    return [Patch(facecolor="none", edgecolor=colour, linewidth=1.8, label=said) for colour, said in meanings]


def _remarks(drawn: FactorsInARow, found: Factors, example: int) -> list[str]:
    """Return what the picture does not say by itself."""
    several = found.examples > 1 or not found.by_hand
    moment = f"step {found.step}, example {example}" if several else f"step {found.step}"
    said = [moment, "read from the right: incoming × own = outgoing"]
    if not drawn.written:
        said.append("in frames shape and norm")
    if drawn.left_out:
        said.append(f"⋯ {drawn.left_out} layers are left out")
    if drawn.hops[-1].links[-1].parameter and several:
        said.append(f"left: this example’s part of {spoken(drawn.symbol[drawn.hops[-1].end])}’s gradient")
    if found.parameter_gradients:
        said.append("below parameters the norm of their gradient" + (", whole batch" if several else ""))
    if np.isfinite(found.difference):
        said.append(f"autograd agrees to {spelled(found.difference, 2)}")
    return said


def _told(drawn: FactorsInARow, found: Factors) -> list[str]:
    """Return the chain in sentences."""
    symbol = drawn.symbol
    nodes = ", ".join(spoken(symbol[name]) for name in drawn.nodes)
    steps = [
        f"to {spoken(symbol[hop.end])} {spelled(float(np.linalg.norm(hop.links[-1].outgoing)))}" for hop in drawn.hops
    ]
    return [
        f"A graph of the nodes {nodes} from left to right; the loss is {spelled(found.loss, 4)}.",
        f"On the way back the gradient’s norm is 1 at the loss, then passed on {', '.join(steps)}.",
    ]
