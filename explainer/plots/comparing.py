"""Several runs in one figure: named, on shared scales, over one another or side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from matplotlib.axes import Axes

from explainer.errors import TraceError
from explainer.plots.naming import plain
from explainer.plots.style import LABEL, points
from explainer.theme import GRADIENT, LOSS, NEGATIVE, POSITIVE, RIGHT, Theme, ink

if TYPE_CHECKING:
    from explainer.trace import Trace

    Traces: TypeAlias = Trace | Mapping[str, Trace] | Sequence[Trace]  # what a figure that compares is drawn of

_MOST = 6  # runs that one figure tells apart
# What a run is known by where several stand in one picture: colour, dashes and marker, each enough by itself.
_STYLES = (
    (POSITIVE, "-", "o"),
    (GRADIENT, (0, (5, 1.6)), "s"),
    (LOSS, (0, (1.4, 1.2)), "^"),
    (None, (0, (6, 1.5, 1.2, 1.5)), "D"),  # in the colour of text
    (RIGHT, (0, (8, 2)), "v"),
    (NEGATIVE, (0, (3, 1, 1, 1, 1, 1)), "P"),
)


def runs_of(traces: Traces, *, most: int | None = _MOST) -> dict[str, Trace]:
    """Return runs by name: of one trace one, without a name; of a sequence named by their learning rates.

    Args:
        most: How many the figure tells apart; None for any number.

    Raises:
        TraceError: It is no trace, there is none, or there are more than can be told apart.
    """
    if not isinstance(traces, Mapping | Sequence):
        if not hasattr(traces, "statistics"):
            raise TraceError(f"a figure is drawn of a trace, or of several by name, not of a {type(traces).__name__}")
        return {"": traces}
    runs = dict(traces) if isinstance(traces, Mapping) else _named(traces)
    if not runs:
        raise TraceError("no trace was given: give one, or several by name, such as {'sigmoid': a, 'ReLU': b}")
    for name, trace in runs.items():
        if not hasattr(trace, "statistics"):
            raise TraceError(f"{name!r} is no trace but a {type(trace).__name__}: give traces by name")
    if most is not None and len(runs) > most:
        raise TraceError(f"this figure tells {most} traces apart, and these are {len(runs)}: leave some out")
    return runs


def trace_of(trace: Trace) -> Trace:
    """Return the trace that a figure of one is drawn of.

    Raises:
        TraceError: It is none, or several.
    """
    if not hasattr(trace, "statistics"):
        raise TraceError(f"this figure is drawn of one trace, not of a {type(trace).__name__}")
    return trace


def _named(traces: Iterable[Trace]) -> dict[str, Trace]:
    runs: dict[str, Trace] = {}
    for place, trace in enumerate(traces, 1):
        rates = trace.scalars.get("learning_rate", np.empty(0)) if hasattr(trace, "scalars") else np.empty(0)
        rates = rates[np.isfinite(rates)]
        name = f"run {place}" if not len(rates) else f"α = {rates[0]:g}"
        if len(rates) and rates[-1] != rates[0]:
            name += f" to {rates[-1]:g}"
        runs[f"{name} ({place})" if name in runs else name] = trace
    return runs


def style_of(place: int, theme: Theme) -> tuple[str, Any, str]:
    """Return the colour, dashes and marker of the run at a place, fit for thin lines."""
    colour, dashes, marker = _STYLES[place % len(_STYLES)]
    return ink(colour, theme) if colour else theme.text, dashes, marker


@dataclass(frozen=True)
class Panel:
    """Where one of several runs is drawn.

    Attributes:
        name: The run's; empty where it is the only one.
        outer: Whether it stands at the left edge of the figure, where a shared scale is written.
        share: Its part of the figure's width.
    """

    ax: Axes
    name: str
    trace: Trace
    outer: bool = True
    share: float = 1.0


def panels(
    ax: Axes, runs: Mapping[str, Trace], theme: Theme, *, gap: float = 0.05, below: float = 0.0, right: float = 1.0
) -> list[Panel]:
    """Return where each run is drawn: one on the axes themselves, several side by side inside them, each with its name.

    Args:
        gap: Between two panels, as a share of the axes' width; wider where each has a scale of its own.
        below: What is left free under the panels, as a share of the height, for words that tilt.
        right: Where the panels end, to leave room for a colour bar.
    """
    if len(runs) == 1 and right == 1:
        ((name, trace),) = runs.items()
        return [Panel(ax, name, trace)]
    ax.set_axis_off()
    width = (right - gap * (len(runs) - 1)) / len(runs)
    found = []
    for place, (name, trace) in enumerate(runs.items()):
        inside = ax.inset_axes((place * (width + gap), below, width, 1 - below - (0.08 if name else 0.0)))
        inside.set_facecolor("none")
        if name:
            longest = max(6, math.floor(width * ax.get_window_extent().width * 72 / ax.figure.dpi / points(0.58)))
            shown = plain(name if len(name) <= longest else f"{name[: longest - 1]}…")
            inside.set_title(shown, loc="left", color=theme.text, fontsize=points(LABEL), fontweight="bold", pad=6)
        found.append(Panel(inside, name, trace, place == 0, width))
    return found


def share(found: Sequence[Panel], which: str) -> None:
    """Give panels one scale along "x", "y" or both ("xy"), and write the shared vertical one at the left edge only."""
    for axis in which:
        limits = [getattr(panel.ax, f"get_{axis}lim")() for panel in found]
        ends: list[Callable[..., float]] = [max, min] if limits[0][0] > limits[0][1] else [min, max]
        common = [end(limit[side] for limit in limits) for side, end in enumerate(ends)]
        for panel in found:
            getattr(panel.ax, f"set_{axis}lim")(*common)
    for panel in found:
        if not panel.outer and "y" in which:
            panel.ax.tick_params(labelleft=False)
            panel.ax.set_ylabel("")
