"""The loss over the steps of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes

from explainer import baseline
from explainer.errors import TraceError
from explainer.plots.comparing import runs_of, style_of
from explainer.plots.style import LABEL, NOTE, background, canvas, dress, entitle, legend_row, number, points
from explainer.theme import LOSS, Theme
from explainer.thinning import envelope

if TYPE_CHECKING:
    from explainer.plots.comparing import Traces
    from explainer.trace import Trace

_FEW = 120  # steps of which each gets its dot


def loss(
    trace: Traces,
    *,
    ax: Axes | None = None,
    theme: Theme | str | None = None,
    style: str | None = None,
    **line: Any,
) -> Axes:
    """Draw the loss over the recorded steps: does the network learn, and is it better than knowing nothing?

    A healthy curve leaves the dashed line, the loss of who gives each class the same probability, and falls. One that
    stays on it has learned nothing; one that rises or ends in a gap has too large a learning rate. Each point is the
    loss of one batch, so that some noise is no illness. Of very long runs each stretch's lowest and highest are drawn.

    Args:
        trace: A recorded run, or several by name, whose curves are drawn over one another; reads losses, (step,), and
            of one run also the other scalars called "…loss" and "…accuracy".
        ax: Where to draw. A new figure is made when omitted.
        theme: "light" or "dark"; what fits the figure's background when omitted.
        style: "slide", "paper" or "notebook": the size of a new figure, and of the text.
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
    runs = runs_of(trace)
    for name, each in runs.items():
        if "loss" not in each.scalars:
            called = f"the trace {name!r}" if name else "the trace"
            raise TraceError(f"{called} holds no loss: {each.missing.get(each.model.loss_name, 'none was recorded')}")
    with canvas(ax, theme, style) as (ax, theme):
        for place, (name, each) in enumerate(runs.items()):
            if not name:
                _others(ax, each, theme)
            _curve(ax, each, place if name else None, name or "loss of each recorded batch", theme, line)
        dress(ax, theme)
        known = {(baseline.knowing_nothing(each), baseline.class_count(each)) for each in runs.values()}
        nothing, classes = known.pop() if len(known) == 1 else (None, None)
        units = {_unit(each) for each in runs.values()}
        ax.set(xlabel="step", ylabel=units.pop() if len(units) == 1 else "loss")
        _frame(ax, list(runs.values()), nothing)
        if nothing is not None:
            _line_of_nothing(ax, nothing, classes, theme, beside="" in runs)
        notes, told, rows = [_summary(each, name) for name, each in runs.items()], [_told(runs, nothing)], 0
        if "" not in runs:
            notes, told, rows = [], told + notes, legend_row(ax, ax.get_lines(), theme)
        elif len(ax.get_legend_handles_labels()[0]) > 1:
            _legend(ax, theme)
        entitle(ax, "Does it learn?", notes, theme, rows=rows, told=told)
    return ax


def _curve(ax: Axes, trace: Trace, place: int | None, label: str, theme: Theme, line: dict[str, Any]) -> None:
    """Draw one run's loss; the place among several gives it a style of its own."""
    steps, losses = envelope(trace.steps, trace.scalars["loss"])
    style: dict[str, Any] = {"color": LOSS, "linewidth": 2.4, "label": label}
    if place is not None:
        colour, dashes, marker = style_of(place, theme)
        often = max(1, len(steps) // 10)
        marks = {"marker": marker, "markersize": 5.5, "markevery": (place * often // 4, often)}
        style |= {"color": colour, "linestyle": dashes, "linewidth": 2, **marks}
    elif len(trace) <= _FEW:
        style |= {"marker": "o", "markersize": 4.5}
    ax.plot(steps, losses, **{"zorder": 3, **style, **line})


def _told(runs: dict[str, Trace], nothing: float | None) -> str:
    first = next(iter(runs.values()))
    drawn = f"A curve of the loss at {len(first):,} recorded steps" if "" in runs else f"The losses of {len(runs)} runs"
    beside = "" if nothing is None else f", and a dashed line at {nothing:.4f}, the loss of who knows nothing"
    return f"{drawn}{beside}."


def _others(ax: Axes, trace: Trace, theme: Theme) -> None:
    """Draw the losses that are not the batch's, such as the probe's, thin and in the colour of text."""
    styles = ("--", ":", "-.")
    names = [name for name in trace.scalars if name.endswith("loss") and name != "loss"]
    for index, name in enumerate(names):
        values = trace.scalars[name]
        seen = np.isfinite(values)
        steps, values = envelope(trace.steps[seen], values[seen])
        label = f"{name.removesuffix('_loss')} loss"
        if name == "probe_loss" and trace.probe is not None and trace.probe.inputs is not None:
            label = f"loss of the probe, {len(trace.probe.inputs)} examples"
        ax.plot(steps, values, styles[index % 3], color=theme.text, linewidth=1.3, alpha=0.85, label=label)


def _frame(ax: Axes, traces: list[Trace], nothing: float | None) -> None:
    shown = [np.asarray(line.get_ydata(), float) for line in ax.get_lines()]
    values = np.concatenate([*shown, [] if nothing is None else [nothing]])
    values = values[np.isfinite(values)]
    if values.size and values.min() >= 0:
        top = float(values.max()) or 1.0
        ax.set_ylim(-0.025 * top, 1.1 * top)  # a dot at 0 is a whole dot
    if all(len(trace) == 1 for trace in traces):
        step = int(traces[0].steps[0])
        ax.set_xlim(step - 1, step + 1)
        ax.set_xticks([step])
    else:
        ax.margins(x=0.015)


def _line_of_nothing(ax: Axes, nothing: float, classes: int | None, theme: Theme, *, beside: bool) -> None:
    """Draw the loss of who knows nothing; what it is stands beside it, or in the legend where curves may be there."""
    words = f"knows nothing: ln {classes} = {nothing:.4f}"
    dashed: dict[str, Any] = {"color": theme.quiet, "linewidth": 1.4, "linestyle": (0, (6, 4)), "zorder": 1}
    ax.axhline(nothing, **dashed, label=None if beside else words)
    if not beside:
        return
    ax.annotate(
        words,
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


def _summary(trace: Trace, name: str = "") -> str:
    losses, steps = trace.scalars["loss"], trace.steps
    known = np.flatnonzero(np.isfinite(losses))
    if not known.size:
        return f"{name}: no loss is a finite number" if name else "no loss is a finite number"
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
    for scalar in (each for each in trace.scalars if each.endswith("accuracy")):
        values = trace.scalars[scalar]
        seen = np.flatnonzero(np.isfinite(values))
        if seen.size:
            parts.append(f"{scalar.replace('_', ' ')} {values[seen[-1]]:.3f}")
    if len(envelope(steps, losses)[0]) < len(losses):
        parts.append("of each stretch the lowest and the highest loss are drawn")
    return (f"{name}: " if name else "") + "  ·  ".join(parts)
