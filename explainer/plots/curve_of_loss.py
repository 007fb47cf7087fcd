"""The loss over the steps of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes

from explainer import baseline
from explainer.errors import TraceError
from explainer.plots.style import LABEL, NOTE, background, dress, entitle, number, points, prepare
from explainer.theme import LOSS, Theme

if TYPE_CHECKING:
    from explainer.trace import Trace

_FEW = 120  # steps of which each gets its dot


def loss(trace: Trace, *, ax: Axes | None = None, theme: Theme | str | None = None, **line: Any) -> Axes:
    """Draw the loss over the recorded steps: does the network learn, and is it better than knowing nothing?

    A healthy curve leaves the dashed line, the loss of who gives each class the same probability, and falls. One that
    stays on it has learned nothing; one that rises or ends in a gap has too large a learning rate. Each point is the
    loss of one batch, so that some noise is no illness.

    Args:
        trace: A recorded run; reads its losses, (step,), and other scalars called "…loss" and "…accuracy".
        ax: Where to draw. A new figure is made when omitted.
        theme: "light" or "dark"; what fits the figure's background when omitted.
        line: Passed to `matplotlib.axes.Axes.plot` for the curve of the loss.

    Returns:
        The axes drawn on.

    Raises:
        TraceError: No loss was recorded.

    Example:
        >>> from explainer import lessons, plots
        >>> axes = plots.loss(lessons.record_lesson("two-layer"))
        >>> path = plots.save(axes, "loss.svg")
    """
    if "loss" not in trace.scalars:
        raise TraceError(f"the trace holds no loss: {trace.missing.get('loss', 'none was recorded')}")
    ax, theme = prepare(ax, theme)
    losses = trace.scalars["loss"]  # (step,)
    dots = {"marker": "o", "markersize": 4.5} if len(trace) <= _FEW else {}
    _others(ax, trace, theme)
    curve = {"color": LOSS, "linewidth": 2.4, "label": "loss of each recorded batch", **dots, **line}
    ax.plot(trace.steps, losses, **{"zorder": 3, **curve})
    nothing = baseline.knowing_nothing(trace)
    dress(ax, theme)
    ax.set(xlabel="step", ylabel=_unit(trace))
    _frame(ax, trace, nothing)
    if nothing is not None:
        _line_of_nothing(ax, nothing, baseline.class_count(trace), theme)
    if len(ax.get_legend_handles_labels()[0]) > 1:
        _legend(ax, theme)
    entitle(ax, "Does it learn?", [_summary(trace)], theme)
    return ax


def _others(ax: Axes, trace: Trace, theme: Theme) -> None:
    """Draw the losses that are not the batch's, such as the probe's, thin and in the colour of text."""
    styles = ("--", ":", "-.")
    names = [name for name in trace.scalars if name.endswith("loss") and name != "loss"]
    for index, name in enumerate(names):
        values = trace.scalars[name]
        seen = np.isfinite(values)
        label = f"{name.removesuffix('_loss')} loss"
        if name == "probe_loss" and trace.probe is not None and trace.probe.inputs is not None:
            label = f"loss of the probe, {len(trace.probe.inputs)} examples"
        ax.plot(
            trace.steps[seen], values[seen], styles[index % 3], color=theme.text, linewidth=1.3, alpha=0.85, label=label
        )


def _frame(ax: Axes, trace: Trace, nothing: float | None) -> None:
    shown = [np.asarray(line.get_ydata(), float) for line in ax.get_lines()]
    values = np.concatenate([*shown, [] if nothing is None else [nothing]])
    values = values[np.isfinite(values)]
    if values.size and values.min() >= 0:
        top = float(values.max()) or 1.0
        ax.set_ylim(-0.025 * top, 1.1 * top)  # a dot at 0 is a whole dot
    if len(trace) == 1:
        step = int(trace.steps[0])
        ax.set_xlim(step - 1, step + 1)
        ax.set_xticks([step])
    else:
        ax.margins(x=0.015)


def _line_of_nothing(ax: Axes, nothing: float, classes: int | None, theme: Theme) -> None:
    ax.axhline(nothing, color=theme.quiet, linewidth=1.4, linestyle=(0, (6, 4)), zorder=1)
    ax.annotate(
        f"knows nothing: ln {classes} = {nothing:.4f}",
        (1, nothing),
        (-4, -4),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        ha="right",
        va="top",
        color=theme.text,
        fontsize=points(LABEL),
    )


def _legend(ax: Axes, theme: Theme) -> None:
    """Say which line is which, the batch's first, below the line of who knows nothing."""
    handles, labels = ax.get_legend_handles_labels()
    ax.legend(
        [handles[-1], *handles[:-1]],
        [labels[-1], *labels[:-1]],
        loc="upper right",
        bbox_to_anchor=(1, 0.85),
        facecolor=background(ax),
        edgecolor="none",
        framealpha=0.9,
        labelcolor=theme.text,
        fontsize=points(NOTE),
    )


def _unit(trace: Trace) -> str:
    criterion = trace.model.criterion
    return f"loss ({criterion.type})" if criterion else "loss"


def _summary(trace: Trace) -> str:
    losses, steps = trace.scalars["loss"], trace.steps
    known = np.flatnonzero(np.isfinite(losses))
    if not known.size:
        return "no loss is a finite number"
    first, last = known[0], known[-1]
    parts = [f"{number(losses[last])} at step {steps[last]}"]
    if first != last:
        parts = [f"{number(losses[first])} at step {steps[first]}, {parts[0]}"]
    span = int(steps[-1] - steps[0]) + 1
    if span > len(steps):
        parts.append(f"{len(steps)} of {span} steps recorded")
    unknown = len(losses) - known.size
    if unknown:
        parts.append(f"{unknown} not a finite number")
    for name in (name for name in trace.scalars if name.endswith("accuracy")):
        values = trace.scalars[name]
        seen = np.flatnonzero(np.isfinite(values))
        if seen.size:
            parts.append(f"{name.replace('_', ' ')} {values[seen[-1]]:.3f}")
    return "  ·  ".join(parts)
