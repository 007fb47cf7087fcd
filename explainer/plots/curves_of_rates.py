"""The losses of several runs that differ in their learning rate, and how often each turns back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from explainer import baseline, flow
from explainer.errors import TraceError, is_one_of, unknown
from explainer.plots.comparing import runs_of, style_of
from explainer.plots.heights import SCALES
from explainer.plots.style import LABEL, NOTE, background, canvas, dress, entitle, lines_of, number, points, tick
from explainer.theme import Theme

if TYPE_CHECKING:
    from explainer.trace import Trace

_SPREAD = 1e3  # from so many times as high as the lowest loss the highest is, the scale is logarithmic
_DEEPEST = 1e-12  # of the highest loss, that a logarithmic scale reaches down to
_MARKS = 12  # markers on a curve


def learning_rates(
    traces: Mapping[str, Trace] | Sequence[Trace],
    *,
    scale: str | None = None,
    ax: Axes | None = None,
    theme: Theme | str | None = None,
    style: str | None = None,
    **line: Any,
) -> Axes:
    """Draw the losses of several runs on one scale: does the learning rate crawl, arrive, bounce or fly out?

    Beside each curve stands how many of its steps turn back: their update points against that of the step before, by
    a cosine below zero. A good learning rate falls fast and turns back seldom. One that is too small hardly moves, and
    never turns; one that is too large bounces from wall to wall of a trough and settles late or never. A cross marks
    the last loss before one that is no finite number: the run has flown out.

    Args:
        traces: Runs by name, or a sequence of them, which are named by their recorded learning rates.
        scale: "linear" or "log"; by default "log" where losses are positive and the highest is 1,000 times the lowest.
        ax: Where to draw. A new figure is made when omitted.
        theme: "light" or "dark"; what fits the figure's background when omitted.
        style: "slide", "paper" or "notebook": the size of a new figure, and of the text.
        line: Passed to `matplotlib.axes.Axes.plot` for the curves.

    Returns:
        The axes drawn on.

    Raises:
        TraceError: There is no trace, one holds no loss, or there is no such scale or theme.

    Example:
        >>> from explainer import lessons, plots
        >>> axes = plots.learning_rates(lessons.record_runs("trough"))
        >>> path = plots.save(axes, "learning_rates.svg")
    """
    runs = _with_losses(traces)
    with canvas(ax, theme, style) as (ax, theme):
        dress(ax, theme)
        losses = [np.asarray(trace.scalars["loss"], np.float64) for trace in runs.values()]
        knows = {(baseline.knowing_nothing(trace), baseline.class_count(trace)) for trace in runs.values()}
        nothing, classes = knows.pop() if len(knows) == 1 else (None, None)
        _frame(ax, losses, nothing, scale)
        for place, trace in enumerate(runs.values()):
            _draw_run(ax, place, trace, theme, line)
        labels = [
            _Label(name, told(trace), _end(ax, trace), style_of(place, theme)[0])
            for place, (name, trace) in enumerate(runs.items())
        ]
        if nothing is not None:
            ax.axhline(nothing, color=theme.quiet, linewidth=1.4, linestyle=(0, (6, 4)), zorder=1)
            labels.append(
                _Label("knows nothing", f"ln {classes} = {nothing:.4f}", (ax.get_xlim()[1], nothing), theme.quiet)
            )
        _write(ax, labels, theme)
        criteria = {trace.model.criterion.type for trace in runs.values() if trace.model.criterion}
        unit = f"loss ({criteria.pop()})" if len(criteria) == 1 else "loss"
        ax.set(xlabel="step", ylabel=f"{unit}, log scale" if ax.get_yscale() == "log" else unit)
        notes = lines_of(ax, _remarks(runs), wider=1.3)
        entitle(ax, "Which learning rate arrives?", notes, theme, told=_told_all(runs))
    return ax


def _with_losses(traces: Mapping[str, Trace] | Sequence[Trace]) -> dict[str, Trace]:
    """Return the runs by name, each of which has a loss.

    Raises:
        TraceError: There is none, it is one trace alone, or one has no loss.
    """
    if not isinstance(traces, Mapping | Sequence):
        raise TraceError(
            f"this figure compares traces: give them by name or in a list, not one {type(traces).__name__}"
        )
    runs = runs_of(traces, most=None)
    for name, trace in runs.items():
        if "loss" not in trace.scalars:
            reason = trace.missing.get(trace.model.loss_name, "none was recorded")
            raise TraceError(f"the trace {name!r} holds no loss: {reason}")
    return runs


def _frame(ax: Axes, losses: Sequence[NDArray[np.float64]], nothing: float | None, scale: str | None) -> None:
    """Choose one scale for all losses that are finite numbers."""
    values = np.concatenate([*losses, [] if nothing is None else [nothing]])
    values = values[np.isfinite(values)]
    if scale is not None and not is_one_of(scale, SCALES):
        raise TraceError(unknown("scale", scale, SCALES))
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    positive = values[values > 0]
    log = low >= 0 and positive.size and high >= _SPREAD * positive.min()
    if scale == "log" and not (low >= 0 and positive.size):
        raise TraceError(f"a loss of {low:g} has no place on a logarithmic scale; take scale='linear'")
    if scale == "log" or (scale is None and log):
        bottom = max(float(positive.min()), high * _DEEPEST)
        ax.set_yscale("log")
        ax.set_ylim(bottom / 2, high * 2)
        places = LogLocator(numticks=7).tick_values(bottom, high)
        places = [place for place in places if bottom / 2 <= place <= 2 * high]
        ax.yaxis.set_minor_locator(NullLocator())
        ax.set_yticks(places, [tick(place, powers=high > 1e4 * bottom) for place in places])
    else:
        room = 0.03 * (high - low) or 1.0
        ax.set_ylim(low - room, high + 3 * room)
    ax.margins(x=0.015)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=9))


def _draw_run(ax: Axes, place: int, trace: Trace, theme: Theme, line: dict[str, Any]) -> None:
    colour, dashes, marker = style_of(place, theme)
    losses = np.asarray(trace.scalars["loss"], np.float64)
    style: dict[str, Any] = {"color": colour, "linestyle": dashes, "marker": marker, "markersize": 5.5, "linewidth": 2}
    every = max(1, len(trace) // _MARKS)
    ax.plot(trace.steps, losses, **{**style, "markevery": (place * every // 4, every), "zorder": 3, **line})
    last = _flown(losses)
    if last is not None:
        cross: dict[str, Any] = {
            "marker": "X",
            "markersize": 13,
            "color": colour,
            "markeredgecolor": background(ax),
            "zorder": 5,
        }
        ax.plot(trace.steps[last : last + 1], losses[last : last + 1], **cross)


def _flown(losses: NDArray[np.float64]) -> int | None:
    """Return where the last finite loss stands before those that are not; None where the run stays finite."""
    known = np.flatnonzero(np.isfinite(losses))
    return int(known[-1]) if len(known) and known[-1] < len(losses) - 1 else None


@dataclass(frozen=True)
class _Label:
    """What is written beside the end of a curve: its name, and below it what became of it."""

    name: str
    told: str
    at: tuple[float, float]
    colour: str


def _end(ax: Axes, trace: Trace) -> tuple[float, float]:
    """Return the last point of a run's curve, inside the frame."""
    losses = np.asarray(trace.scalars["loss"], np.float64)
    known = np.flatnonzero(np.isfinite(losses))
    last = int(known[-1]) if len(known) else -1
    return float(trace.steps[last]), float(np.clip(losses[last], *ax.get_ylim())) if len(known) else ax.get_ylim()[0]


def _write(ax: Axes, labels: Sequence[_Label], theme: Theme) -> None:
    """Write the labels to the right of the axes, each as near to its curve's end as none over another allows."""
    height = ax.get_window_extent().height * 72 / ax.figure.dpi
    to_axes = ax.transData + ax.transAxes.inverted()
    ends = sorted(((*to_axes.transform(label.at), label) for label in labels), key=lambda end: -float(end[1]))
    spots = _spread([float(end[1]) for end in ends], 3.3 * points(NOTE) / height)
    for spot, (across, up, label) in zip(spots, ends, strict=True):
        leader: dict[str, Any] = {"color": label.colour, "linewidth": 0.8, "alpha": 0.6, "clip_on": False, "zorder": 2}
        ax.plot([across, 1.02], [up, spot], transform=ax.transAxes, **leader)
        for words, side in ((label.name, 1), (label.told, -1)):
            ax.annotate(
                words,
                (1.03, spot),
                (0, side * 0.72 * points(NOTE)),
                xycoords="axes fraction",
                textcoords="offset points",
                va="center",
                color=label.colour if side > 0 else theme.text,
                fontweight="bold" if side > 0 else "normal",
                fontsize=points(LABEL if side > 0 else NOTE),
            )


def _spread(heights: list[float], apart: float) -> list[float]:
    """Move heights, given from the highest down, as little as keeps them apart and inside the axes."""
    top = 1 - apart / 2
    spots: list[float] = []
    for height in heights:
        spots.append(min(height, spots[-1] - apart if spots else top))
    lowest = apart / 2
    for place in range(len(spots) - 1, -1, -1):
        if spots[place] < lowest:
            spots[place] = lowest
        lowest = spots[place] + apart
    return spots


def told(trace: Trace) -> str:
    """Say what became of a run: how many of its steps turn back, and where its loss ceased to be a number."""
    losses = np.asarray(trace.scalars["loss"], np.float64)
    if not np.isfinite(losses).any():
        return "no loss is a finite number"
    last = _flown(losses)
    lost = "" if last is None else f", flown out after step {trace.steps[last]}"
    if len(trace) < 2:
        return f"one step recorded{lost}"
    if (np.diff(trace.steps) != 1).any():
        return f"not every step was recorded{lost}"
    if not len(trace.updates):
        return f"no updates were recorded{lost}"
    turned = flow.bounces(trace)
    return f"{np.count_nonzero(turned)} of {len(turned)} steps turn back{lost}"


def _told_all(runs: Mapping[str, Trace]) -> list[str]:
    said = ["Curves of the loss over the steps."]
    for name, trace in runs.items():
        known = np.asarray(trace.scalars["loss"], np.float64)
        known = known[np.isfinite(known)]
        ends = f"from {number(known[0])} to {number(known[-1])}, " if known.size else ""
        said.append(f"{name}: {ends}{told(trace)}.")
    return said


def _remarks(runs: Mapping[str, Trace]) -> list[str]:
    data = {trace.notes.get("data") for trace in runs.values()}
    said = data.pop() if len(data) == 1 else ""
    return [f"{len(runs)} runs, the loss as recorded at each step", said if isinstance(said, str) else ""]
