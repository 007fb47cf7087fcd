"""The plane of a network's two inputs: the probability of each class everywhere, and where the answer turns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from explainer.errors import TraceError
from explainer.plane import Plane, read_plane
from explainer.plots.comparing import Panel, panels, runs_of, share
from explainer.plots.style import LABEL, TICK, background, canvas, dress, entitle, legend_row, lines_of, number, points
from explainer.theme import GRADIENT, LOSS, NEGATIVE, POSITIVE, RIGHT, Theme, blend, ink

if TYPE_CHECKING:
    from explainer.plots.comparing import Traces

Floats = NDArray[np.float64]

_COLOURS = (NEGATIVE, POSITIVE, RIGHT, GRADIENT, LOSS)  # of classes, in their order
_MARKS = ("o", "^", "s", "D", "v")
_BANDS = 10  # of the probability of two classes
_FULLEST = 0.62  # of a class's colour, behind points that have all of it
_LEAST = 1e-30  # of a probability whose logarithm is taken
_FAR = 100.0  # above the logarithm of all its inverses
_RIGHT = 0.88  # where the panels end and the colour bar begins


def decision_boundary(
    trace: Traces,
    *,
    step: int = -1,
    ax: Axes | None = None,
    theme: Theme | str | None = None,
    style: str | None = None,
    **marker: Any,
) -> Axes:
    """Draw what a network of two inputs answers everywhere in their plane, and the line at which its answer turns.

    The fill is the probability of the classes: the stronger a colour, the surer the network; along the thick line two
    are equally likely. The examples have the colour and the mark of their right class; one on the wrong side of the
    line has a dark rim. In a healthy run the line goes between the classes and no further into the curls of single
    points than there is reason to. A straight line through classes that are curled has learned too little.

    The axes given become a frame for others inside it, `ax.child_axes`: a panel for each run, and the colour bar.

    Args:
        trace: A recorded run, or several by name, which are drawn side by side; reads the probe, (example, 2), of
            which those examples without a class (a label below 0, such as −100) are the grid. Without such a grid one
            is worked out from the recorded parameters where the layers allow it, which is said.
        step: Which recorded step to draw; a negative one counts from the last.
        ax: Where to draw. A new figure is made when omitted.
        theme: "light" or "dark"; what fits the figure's background when omitted.
        style: "slide", "paper" or "notebook": the size of a new figure, and of the text.
        marker: Passed to `matplotlib.axes.Axes.scatter` for the examples.

    Returns:
        The axes drawn in.

    Raises:
        TraceError: The step was not recorded, the network has not two inputs or is no classifier, there is no grid and
            none can be worked out, or there are more than five classes.

    Example:
        >>> from explainer import lessons, plots
        >>> axes = plots.decision_boundary(lessons.record_lesson("moons"))
        >>> path = plots.save(axes, "decision_boundary.png")
    """
    runs = runs_of(trace, most=4)
    planes = {name: read_plane(each, each.index_of(step), name) for name, each in runs.items()}
    classes = shared_classes(planes)
    wrong = {name: int(plane.wrong.sum()) for name, plane in planes.items()}
    named = {f"{name}: {wrong[name]} wrong" if name else "": each for name, each in runs.items()}
    with canvas(ax, theme, style) as (ax, theme):
        found = panels(ax, named, theme, gap=0.03, below=0.13, right=_RIGHT if len(classes) == 2 else 0.999)
        for panel, plane in zip(found, planes.values(), strict=True):
            _draw(panel, plane, theme, marker)
        share(found, "xy")
        if len(classes) == 2:
            probability_bar(ax.inset_axes((_RIGHT + 0.02, 0.13, 0.025, _height(found))), classes[1], theme)
        entries = [*class_entries(classes, theme), boundary_entry(theme), *wrong_entry(planes, theme)]
        rows = legend_row(ax, entries, theme)
        steps = [int(each.steps[each.index_of(step)]) for each in runs.values()]
        notes = lines_of(ax, [*_moment(steps, list(planes.values()), list(wrong.values())), *grid_said(planes)])
        entitle(ax, "Where does its answer turn?", notes, theme, rows=rows, told=_told(planes, classes))
    return ax


def _draw(panel: Panel, plane: Plane, theme: Theme, marker: dict[str, Any]) -> None:
    """Draw one run's plane and its examples."""
    ax = panel.ax
    dress(ax, theme, grid=False)
    fill(ax, plane.across, plane.up, plane.probabilities, theme)
    scatter(ax, plane.points, plane, theme, marker)
    ax.set(xlabel="first input", ylabel="second input")
    ax.locator_params(axis="y", nbins=5)
    ax.xaxis.set_major_locator(MaxNLocator(5, prune="both" if panel.name else None))


def _height(found: Sequence[Panel]) -> float:
    """Return how high panels are, as a share of the axes they stand in: those with a name leave room for it."""
    return 0.79 if found[0].name else 0.87


def shared_classes(planes: dict[str, Plane]) -> tuple[str, ...]:
    """Return the classes that all planes have.

    Raises:
        TraceError: They differ, or are more than have a colour.
    """
    names = {plane.classes for plane in planes.values()}
    if len(names) > 1:
        said = "; ".join(f"{name}: {', '.join(plane.classes)}" for name, plane in planes.items())
        raise TraceError(f"side by side stand runs with the same classes, and these differ: {said}")
    classes = names.pop()
    if len(classes) > len(_COLOURS):
        raise TraceError(f"this figure has colours for {len(_COLOURS)} classes, and the network has {len(classes)}")
    return classes


def fill(ax: Axes, across: Floats, up: Floats, probabilities: Floats, theme: Theme) -> None:
    """Draw probabilities (row, column, class) as fainter and stronger colours, and a line where the answer turns."""
    scores = np.log(np.maximum(probabilities, _LEAST))  # between two points of the grid these are nearly straight
    others = [np.delete(scores, each, axis=-1).max(axis=-1) for each in range(scores.shape[-1])]
    leads = [scores[..., each] - other for each, other in enumerate(others)]  # above 0 where a class is the answer
    if len(leads) == 2:
        shares = (np.arange(_BANDS) + 0.5) / _BANDS
        full = [_FULLEST * abs(2 * share - 1) for share in shares]
        colours = [
            blend(theme.zero, POSITIVE if share > 0.5 else NEGATIVE, strength)
            for share, strength in zip(shares, full, strict=True)
        ]
        inner = np.arange(1, _BANDS) / _BANDS
        levels = [-_FAR, *np.log(inner / (1 - inner)), _FAR]
        ax.contourf(across, up, leads.pop(), levels, colors=colours, zorder=0)
    else:
        least = 1 / len(leads)
        strength = _FULLEST * ((probabilities.max(axis=-1) - least) / (1 - least)).clip(0, 1)[..., None]
        own = np.array([to_rgb(colour) for colour in _COLOURS])[probabilities.argmax(axis=-1)]
        image = np.array(to_rgb(theme.zero)) * (1 - strength) + own * strength
        ax.pcolormesh(across, up, image, shading="nearest", rasterized=True, zorder=0)
    for lead in leads:
        if lead.min() < 0 < lead.max():
            ax.contour(across, up, lead, [0.0], colors=[theme.text], linewidths=2.4, linestyles="solid", zorder=2)
    ax.set(xlim=(across[0], across[-1]), ylim=(up[0], up[-1]))


def scatter(ax: Axes, at: Floats, plane: Plane, theme: Theme, marker: dict[str, Any], *, size: float = 26) -> None:
    """Draw the examples at (example, 2), each class with its colour and mark, those answered wrongly with a rim."""
    paper = background(ax)
    for place in range(len(plane.classes)):
        for wrong in (False, True):
            own = at[(plane.targets == place) & (plane.wrong == wrong)]
            if len(own):
                style: dict[str, Any] = {
                    "s": size * (2.2 if wrong else 1), "color": ink(_COLOURS[place], theme), "marker": _MARKS[place],
                    "edgecolors": theme.text if wrong else [paper], "linewidths": 1.8 if wrong else 0.6,
                }  # fmt: skip
                ax.scatter(own[:, 0], own[:, 1], **{"zorder": 4 if wrong else 3, **style, **marker})


def class_entries(classes: Sequence[str], theme: Theme) -> list[Artist]:
    """Return the legend's entries of the classes."""
    return [
        Line2D([], [], color=ink(colour, theme), marker=mark, linestyle="none", markersize=7, label=name)
        for colour, mark, name in zip(_COLOURS, _MARKS, classes, strict=False)
    ]


def boundary_entry(theme: Theme) -> Artist:
    """Return the legend's entry of the line."""
    return Line2D([], [], color=theme.text, linewidth=2.4, label="equally likely")


def wrong_entry(planes: dict[str, Plane], theme: Theme) -> list[Artist]:
    """Return the legend's entry of the examples that are answered wrongly; none where there are none."""
    if not any(plane.wrong.any() for plane in planes.values()):
        return []
    rim: dict[str, Any] = {"markeredgecolor": theme.text, "markeredgewidth": 1.8, "markersize": 9}
    return [Line2D([], [], color=theme.zero, marker="o", linestyle="none", **rim, label="wrong")]


def probability_bar(inside: Axes, name: str, theme: Theme) -> None:
    """Turn axes into the bar that says which colour is which probability."""
    values = np.linspace(0, 1, 10 * _BANDS + 1)
    both = np.stack([1 - values, values], axis=-1)[:, None].repeat(2, axis=1)
    fill(inside, np.array([0.0, 1.0]), values, both, theme)
    dress(inside, theme, grid=False)
    inside.set(xticks=[], xlabel="")
    inside.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    inside.yaxis.tick_right()
    inside.yaxis.set_label_position("right")
    inside.tick_params(axis="y", length=0, labelsize=points(TICK))
    for spine in inside.spines.values():
        spine.set_visible(False)
    shown = name if len(name) <= 16 else f"{name[:15]}…"
    inside.set_ylabel(f"probability of {shown}", fontsize=points(LABEL), labelpad=5)


def grid_said(planes: dict[str, Plane], what: str = "the fill") -> list[str]:
    """Say where the numbers between the examples are from."""
    worked = [name for name, plane in planes.items() if not plane.recorded]
    if not worked:
        rows, columns = next((len(plane.up), len(plane.across)) for plane in planes.values())
        return [f"{what}: recorded at a grid of {columns} × {rows} inputs"]
    off = max(plane.largest_difference for plane in planes.values())
    which = "" if len(worked) == len(planes) else f" of {', '.join(worked)}"
    return [f"{what}{which}: worked out from the parameters; points agree with the recorded to {number(off, 2)}"]


def _moment(steps: list[int], planes: list[Plane], wrong: list[int]) -> list[str]:
    said = [f"step {steps[0]}" if len(set(steps)) == 1 else f"steps {', '.join(map(str, steps))}"]
    many, whose = len(planes[0].points), "of the probe" if planes[0].probed else "kept of the batch"
    if len(planes) == 1:
        said.append(f"{wrong[0]} of {many} points {whose} on the wrong side")
    else:
        said.append(f"{many} points {whose} in each")
    return said


def _told(planes: dict[str, Plane], classes: Sequence[str]) -> list[str]:
    said = [
        f"The plane of two inputs, filled by the probability of {' and '.join(classes)}, with a line where two are "
        "equally likely, and the examples on it."
    ]
    for name, plane in planes.items():
        share_of = float((plane.probabilities.argmax(axis=-1) == 0).mean())
        said.append(
            f"{name + ': ' if name else ''}{int(plane.wrong.sum())} of {len(plane.points)} points are answered "
            f"wrongly; {classes[0]} is the answer in {share_of:.0%} of the plane."
        )
    return said

