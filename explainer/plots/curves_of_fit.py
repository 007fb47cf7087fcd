"""The function that a network of one input and one output is, at a few steps, over the points that are known of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from explainer.errors import TraceError
from explainer.plots.comparing import panels, runs_of, share
from explainer.plots.style import NOTE, canvas, dress, entitle, legend_row, lines_of, number, points
from explainer.regression import Regression, read_regression
from explainer.theme import POSITIVE, Theme, blend, ink

if TYPE_CHECKING:
    from explainer.plots.comparing import Traces
    from explainer.trace import Trace

_CURVES = 4  # steps that are drawn
_DASHES = ((0, (1, 1.2)), (0, (4, 1.6)), (0, (8, 1.6)), "-")  # of the steps, the last one's whole
_DOTS = 80  # of the points that are known, in all panels


def function_fit(
    trace: Traces,
    *,
    steps: Sequence[int] | None = None,
    ax: Axes | None = None,
    theme: Theme | str | None = None,
    style: str | None = None,
    **line: Any,
) -> Axes:
    """Draw the network as the function that it is, at a few steps: does it become what is known of it?

    Dots are the examples, each line is what the network gives for them at one step, the strongest at the last. In a
    healthy run the lines come nearer and end on the dots. A line that stays straight is a network that cannot bend: all
    its activations are linear, however wide it is. One that runs through every single dot of noisy data has learned
    the noise.

    Args:
        trace: A recorded run, or several by name, which are drawn side by side on one scale; reads inputs, targets and
            outputs of the probe, (example, 1), or else of the batch where it is the same in every step.
        steps: Up to four recorded steps; the first, the last and two between when omitted.
        ax: Where to draw. A new figure is made when omitted.
        theme: "light" or "dark"; what fits the figure's background when omitted.
        style: "slide", "paper" or "notebook": the size of a new figure, and of the text.
        line: Passed to `matplotlib.axes.Axes.plot` for the lines.

    Returns:
        The axes drawn on; with several runs a frame for `ax.child_axes`.

    Raises:
        TraceError: A step was not recorded, or a network has more than one input or output.

    Example:
        >>> from explainer import lessons, plots
        >>> axes = plots.function_fit(lessons.record_lesson("sine"))
        >>> path = plots.save(axes, "function_fit.svg")
    """
    runs = runs_of(trace, most=4)
    for each in runs.values():
        each.index_of(-1)  # says why, where nothing was recorded
    chosen = telling_steps([each.steps for each in runs.values()]) if steps is None else _checked(steps)
    places = {name: sorted({each.index_of(step) for step in chosen}) for name, each in runs.items()}
    fits = {name: read_regression(each, name, places[name]) for name, each in runs.items()}
    with canvas(ax, theme, style) as (ax, theme):
        found = panels(ax, runs, theme, gap=0.04, below=0.13 if len(runs) > 1 else 0.0)
        for panel, fit in zip(found, fits.values(), strict=True):
            dress(panel.ax, theme)
            _draw(panel.ax, fit, _DOTS // len(runs), theme, line)
            panel.ax.locator_params(axis="x", nbins=7 if panel.share > 0.5 else 4)
        share(found, "xy")
        for panel, fit in zip(found, fits.values(), strict=True):
            if panel.name:
                _write_loss(panel.ax, fit, theme)
        first = next(iter(runs))
        rows = legend_row(ax, _entries(runs[first], places[first], fits[first], theme), theme)
        notes = lines_of(ax, _said(runs, fits))
        told = [_told(name, fit, runs[name].steps[places[name]]) for name, fit in fits.items()]
        entitle(ax, "Does it become the function?", notes, theme, rows=rows, told=told)
    return ax


def telling_steps(recorded: Sequence[NDArray[Any]]) -> list[int]:
    """Return up to four steps that all runs recorded: the first, the last, and between them even factors apart.

    Early steps change most, so the two between are chosen on a logarithmic scale.

    Raises:
        TraceError: The runs have no recorded step in common.
    """
    common = set(map(int, recorded[0])).intersection(*(map(int, each) for each in recorded[1:]))
    if not common:
        raise TraceError("these runs have no recorded step in common: draw them one by one")
    steps = np.array(sorted(common))
    past = np.log1p(steps - steps[0])
    wanted = past[-1] * np.array([0.0, 0.5, 0.75, 1.0])
    return [int(steps[place]) for place in sorted({int(np.abs(past - each).argmin()) for each in wanted})]


def _checked(steps: Sequence[int]) -> list[int]:
    if not isinstance(steps, Iterable):
        raise TraceError(f"steps are several, such as steps=[0, -1], and not {steps!r}")
    chosen = list(steps)
    if not 1 <= len(chosen) <= _CURVES:
        raise TraceError(f"this figure draws 1 to {_CURVES} steps, and these are {len(chosen)}")
    return chosen


def _draw(ax: Axes, fit: Regression, most: int, theme: Theme, line: dict[str, Any]) -> None:
    """Draw the examples as dots, and what the network makes of them as lines."""
    every = -(-len(fit.x) // most)
    dots: dict[str, Any] = {"linestyle": "none", "marker": "o", "markersize": 5.5, "color": theme.text}
    ax.plot(fit.x[::every], fit.targets[::every], **dots, alpha=0.6, zorder=2)
    for place, outputs in enumerate(fit.outputs):
        ax.plot(fit.x, outputs, **{"zorder": 3 + place, **_style(place, len(fit.outputs), theme), **line})
    ax.set(xlabel="input", ylabel="output")
    ax.margins(x=0.02)


def _style(place: int, count: int, theme: Theme) -> dict[str, Any]:
    """Return how the line of a step is drawn: the later, the stronger and the less broken."""
    age = count - 1 - place
    strength = (1.0, 0.85, 0.7, 0.6)[age]
    colour = blend(theme.background, ink(POSITIVE, theme), strength)
    return {"color": colour, "linestyle": _DASHES[-1 - age], "linewidth": 3.2 if age == 0 else 1.9}


def _entries(trace: Trace, places: list[int], fit: Regression, theme: Theme) -> list[Artist]:
    dots = Line2D([], [], linestyle="none", marker="o", markersize=5, color=theme.text, alpha=0.6, label="known")
    lines = [
        Line2D([], [], **_style(place, len(places), theme), label=f"step {trace.steps[index]}")
        for place, index in enumerate(places)
    ]
    return [dots, *lines]


def _write_loss(ax: Axes, fit: Regression, theme: Theme) -> None:
    """Write the last step's loss below the lines, and leave it room."""
    low, high = ax.get_ylim()
    ax.set_ylim(low - 0.09 * (high - low), high)
    style: dict[str, Any] = {"color": theme.text, "fontsize": points(NOTE), "fontweight": "bold"}
    ax.text(0.04, 0.03, _loss(fit), transform=ax.transAxes, va="bottom", **style)


def _loss(fit: Regression) -> str:
    last = fit.losses[-1] if np.isfinite(fit.losses[-1]) else fit.mean_squares[-1]
    return f"loss {number(float(last), 2)}" if np.isfinite(last) else "not finite"


def _said(runs: dict[str, Trace], fits: dict[str, Regression]) -> list[str]:
    said = []
    first = next(iter(fits.values()))
    whose = "examples of the probe" if first.probed else "examples of every batch"
    every = -(-len(first.x) // (_DOTS // len(runs)))
    said.append(f"{len(first.x)} {whose}" + (f", of which one in {every} is drawn as a dot" if every > 1 else ""))
    if "" in fits:
        said.append(f"{_loss(first)} at the last of these steps")
    straight = [name for name, fit in fits.items() if fit.straight.all() and len(fit.x) > 2]
    if straight:
        names = " and ".join(f"“{name}”" for name in straight)
        which = "a straight line at each step" if straight == [""] else f"always a straight line: {names}"
        said.append(which)
    data = {str(each.notes.get("data", "")) for each in runs.values()}
    return [*said, data.pop() if len(data) == 1 else ""]


def _told(name: str, fit: Regression, steps: NDArray[Any]) -> str:
    squares = fit.mean_squares
    bent = "a straight line" if fit.straight[-1] else "a curve"
    return (
        f"{name + ': ' if name else ''}the network's function over inputs from {fit.x[0]:.3g} to {fit.x[-1]:.3g}, at "
        f"step {' and '.join(map(str, steps))}; its mean squared distance from the dots goes from {squares[0]:.3g} to "
        f"{squares[-1]:.3g}, and in the end it is {bent}."
    )
