"""The space of a layer of two units: where it takes the plane of the inputs, and the line that the next layer cuts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from explainer.classifier import probabilities_of
from explainer.errors import TraceError
from explainer.forward import forward
from explainer.plane import Plane, read_plane, two_unit_layer
from explainer.plots.comparing import panels, runs_of
from explainer.plots.plane_of_classes import (
    boundary_entry,
    class_entries,
    fill,
    grid_said,
    scatter,
    shared_classes,
    wrong_entry,
)
from explainer.plots.style import LABEL, canvas, dress, entitle, legend_row, lines_of, points
from explainer.theme import Theme

if TYPE_CHECKING:
    from explainer.plots.comparing import Traces
    from explainer.trace import Trace

Floats = NDArray[np.float64]

_LINES = 21  # of the grid that are drawn, along each axis
_FINE = 81  # points along each axis at which the next layers' answer is worked out
_LEFT = 0.40  # where the plane of the inputs ends and the layer's space begins


def feature_space(
    trace: Traces,
    *,
    layer: str | None = None,
    step: int = -1,
    ax: Axes | None = None,
    theme: Theme | str | None = None,
    style: str | None = None,
    **marker: Any,
) -> Axes:
    """Draw where a layer of two units takes the plane of the inputs: the grid as it bends it, and the examples on it.

    On the left is the plane as it goes in, on the right the same grid and the same examples as the layer gives them
    out. The fill is what the rest of the network answers there, and the thick line is where its answer turns: if the
    rest is one linear layer, it is straight, and all bending was done before. In a healthy run the grid is folded
    so that the classes lie on two sides of it. A grid that stays a slanted plane is not bent: the network has no
    activation that is not linear. One that is a thin line has lost a dimension.

    The axes given become a frame for `ax.child_axes`: the plane and the space; of several runs each one's space only.

    Args:
        trace: A recorded run, or several by name; reads the probe as `decision_boundary` does.
        layer: A layer whose output is two numbers for each example; the last before the scores when omitted.
        step: Which recorded step to draw; a negative one counts from the last.
        ax: Where to draw. A new figure is made when omitted.
        theme: "light" or "dark"; what fits the figure's background when omitted.
        style: "slide", "paper" or "notebook": the size of a new figure, and of the text.
        marker: Passed to `matplotlib.axes.Axes.scatter` for the examples.

    Returns:
        The axes drawn in.

    Raises:
        TraceError: As `decision_boundary`; or there is no layer of two units, or `layer` is not one.

    Example:
        >>> from explainer import lessons, plots
        >>> axes = plots.feature_space(lessons.record_lesson("moons"))
        >>> path = plots.save(axes, "feature_space.png")
    """
    runs = runs_of(trace, most=4)
    planes = {name: read_plane(each, each.index_of(step), name) for name, each in runs.items()}
    classes = shared_classes(planes)
    layers = {name: two_unit_layer(each, planes[name], layer) for name, each in runs.items()}
    with canvas(ax, theme, style) as (ax, theme):
        if "" in runs:
            spaces = [_beside_plane(ax, planes[""], theme, marker)]
        else:
            wrong = {f"{name}: {int(planes[name].wrong.sum())} wrong": each for name, each in runs.items()}
            spaces = [panel.ax for panel in panels(ax, wrong, theme, gap=0.09, below=0.13)]
        filled = [
            _draw_space(inside, each, each.index_of(step), planes[name], layers[name], theme, marker)
            for inside, (name, each) in zip(spaces, runs.items(), strict=True)
        ]
        entries = [*class_entries(classes, theme), boundary_entry(theme), *wrong_entry(planes, theme)]
        rows = legend_row(ax, entries, theme)
        said = [*_said(runs, layers, step), *grid_said(planes, "the thin lines"), *_left_out(filled)]
        told = _told(runs, planes, layers, step)
        entitle(ax, "How is the plane bent?", lines_of(ax, said), theme, rows=rows, told=told)
    return ax


def _beside_plane(ax: Axes, plane: Plane, theme: Theme, marker: dict[str, Any]) -> Axes:
    """Draw the plane as it goes in at the left, and return where the space is drawn."""
    ax.set_axis_off()
    _draw_plane(ax.inset_axes((0, 0.13, _LEFT - 0.11, 0.78)), plane, theme, marker)
    inside = ax.inset_axes((_LEFT, 0.13, 1 - _LEFT, 0.78))
    inside.set_facecolor("none")
    inside.set_title("as the layer gives it out", **_heading(theme))
    return inside


def _heading(theme: Theme) -> dict[str, Any]:
    return {"loc": "left", "color": theme.text, "fontsize": points(LABEL), "pad": 6}


def _draw_plane(ax: Axes, plane: Plane, theme: Theme, marker: dict[str, Any]) -> None:
    """Draw the plane as it goes in: the grid straight, the examples, and what is answered where."""
    ax.set_facecolor("none")
    dress(ax, theme, grid=False)
    fill(ax, plane.across, plane.up, plane.probabilities, theme)
    straight = np.stack(np.meshgrid(plane.across, plane.up), axis=-1)  # (row, column, 2)
    _draw_grid(ax, straight, theme)
    scatter(ax, plane.points, plane, theme, marker, size=12)
    ax.set_title("as it goes in", **_heading(theme))
    ax.set(xlabel="first input", ylabel="second input")
    ax.locator_params(nbins=4)


def _draw_space(
    ax: Axes, trace: Trace, index: int, plane: Plane, layer: str, theme: Theme, marker: dict[str, Any]
) -> bool:
    """Draw the grid and the examples as the layer gives them out; return whether the rest's answer could be drawn."""
    dress(ax, theme, grid=False)
    grid, own = plane.at(layer), plane.of_points(layer)
    low, high = np.minimum(grid.min(axis=(0, 1)), own.min(axis=0)), np.maximum(grid.max(axis=(0, 1)), own.max(axis=0))
    room = 0.05 * np.where(high > low, high - low, 1.0)
    across, up = (np.linspace(low[each] - room[each], high[each] + room[each], _FINE) for each in (0, 1))
    filled = True
    try:
        probabilities = answered(trace, index, plane, layer, across, up)
        fill(ax, across, up, probabilities, theme)
    except TraceError:
        filled = False
    _draw_grid(ax, grid, theme)
    scatter(ax, own, plane, theme, marker)
    ax.set(xlim=(across[0], across[-1]), ylim=(up[0], up[-1]), xlabel="first unit", ylabel="second unit")
    ax.yaxis.labelpad = 1
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(4))
    return filled


def answered(trace: Trace, index: int, plane: Plane, layer: str, across: Floats, up: Floats) -> Floats:
    """Return what the layers after one make of its space: the probability of each class, (row, column, class).

    Raises:
        TraceError: They cannot be worked out.
    """
    space = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2)
    scores = space if layer == plane.layer else forward(trace, index, space, after=layer)[plane.layer]
    return probabilities_of(trace, plane.layer, scores)[0].reshape(len(up), len(across), -1)


def _draw_grid(ax: Axes, grid: Floats, theme: Theme) -> None:
    """Draw some lines of a grid (row, column, 2): those along its first axis, and those along its second."""
    for lines in (grid, grid.swapaxes(0, 1)):
        chosen = np.unique(np.linspace(0, len(lines) - 1, min(_LINES, len(lines))).round().astype(int))
        ax.add_collection(LineCollection(list(lines[chosen]), colors=theme.text, linewidths=0.7, alpha=0.5, zorder=1))


def _said(runs: dict[str, Trace], layers: dict[str, str], step: int) -> list[str]:
    steps = {int(each.steps[each.index_of(step)]) for each in runs.values()}
    names = sorted({f"{name!r} ({runs[run].model.layers[name].type})" for run, name in layers.items()})
    said = f"step {steps.pop()}" if len(steps) == 1 else f"steps {', '.join(map(str, sorted(steps)))}"
    return [said, f"layer {' and '.join(names)}"]


def _left_out(filled: list[bool]) -> list[str]:
    return [] if all(filled) else ["what the layers after it answer cannot be worked out, and is not drawn"]


def _told(runs: dict[str, Trace], planes: dict[str, Plane], layers: dict[str, str], step: int) -> list[str]:
    said = ["The grid of inputs and the examples, as a layer of two units gives them out, and where the answer turns."]
    for name, plane in planes.items():
        grid = plane.at(layers[name])
        ends = [f"{grid[..., unit].min():.3g} to {grid[..., unit].max():.3g}" for unit in (0, 1)]
        said.append(
            f"{name + ': ' if name else ''}at step {runs[name].steps[runs[name].index_of(step)]} the units of layer "
            f"{layers[name]!r} go from {' and from '.join(ends)}; {int(plane.wrong.sum())} of {len(plane.points)} "
            "points are answered wrongly."
        )
    return said
