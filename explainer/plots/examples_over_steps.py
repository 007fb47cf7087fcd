"""How sure a classifier is of each probe example, step by step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Normalize
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from explainer.classifier import Classifier, answers_of, read_classifier
from explainer.plots.comparing import Panel, panels, runs_of, style_of
from explainer.plots.style import LABEL, NOTE, TICK, background, canvas, dress, entitle, lines_of, points
from explainer.theme import RIGHT, Theme, ink
from explainer.thinning import bins

if TYPE_CHECKING:
    from explainer.plots.comparing import Traces
    from explainer.trace import Trace

Floats = NDArray[np.float64]

_COLUMNS = 300  # steps that are drawn
_ROWS = 200  # examples that each get a row
_FEW = 5  # examples up to which each gets a line instead
_NAMED = 12  # rows up to which each has its class beside it
_LONGEST = 10  # letters of a class's name
_RIGHT = 0.88  # where the panels end and the colour bar begins
_ACCURACY = 0.20  # how high the line of the accuracy stands, in shares


def predictions(
    trace: Traces,
    *,
    ax: Axes | None = None,
    theme: Theme | str | None = None,
    style: str | None = None,
    **image: Any,
) -> Axes:
    """Draw the probability of the right class of each probe example over the steps: when is what learned?

    Each row is an example, ordered by class and within it by how sure the network is in the end; the lighter, the
    surer. Below stands the share of examples that get the right answer. In a healthy run all rows become light, some
    sooner than others. A row that stays dark is an example that is hard, or has a wrong label; one that darkens again
    is being forgotten; rows that flicker bounce. Of a few examples each gets a line instead of a row.

    The axes given become a frame for others inside it, `ax.child_axes`: map and accuracy of each run, the colour bar.

    Args:
        trace: A recorded run, or several by name, which are drawn side by side; reads the outputs of the probe,
            (S, example, class), and its targets, (example,).
        ax: Where to draw. A new figure is made when omitted.
        theme: "light" or "dark"; what fits the figure's background when omitted.
        style: "slide", "paper" or "notebook": the size of a new figure, and of the text.
        image: Passed to `matplotlib.axes.Axes.pcolormesh`.

    Returns:
        The axes drawn in.

    Raises:
        TraceError: There is no probe with class numbers.

    Example:
        >>> from explainer import lessons, plots
        >>> axes = plots.predictions(lessons.record_lesson("digits"))
        >>> path = plots.save(axes, "predictions.png")
    """
    runs = runs_of(trace, most=4)
    seen = {name: _read(each, name) for name, each in runs.items()}
    same = len({(*each.targets.tolist(), *each.examples.tolist()) for each in seen.values()}) == 1
    lines = same and all(len(each.targets) <= _FEW for each in seen.values())
    with canvas(ax, theme, style) as (ax, theme):
        found = panels(ax, runs, theme, gap=0.05, below=0.13, right=0.87 if lines else _RIGHT)
        drawn = [_draw(panel, each, lines, theme, image) for panel, each in zip(found, seen.values(), strict=True)]
        if lines:
            _name_lines(drawn[-1], theme)
        else:
            low = 0.13 + (_ACCURACY + 0.05) * (0.79 if found[0].name else 0.87)
            _bar(ax.inset_axes((_RIGHT + 0.02, low, 0.02, (0.92 if found[0].name else 1.0) - low)), theme)
        notes = lines_of(ax, [*_said(seen), *_left_out(seen)], wider=1.05)
        entitle(ax, "When is what learned?", notes, theme, told=[_told(name, each) for name, each in seen.items()])
    return ax


@dataclass(frozen=True)
class _Seen:
    """A run's examples in the order in which they are drawn.

    Attributes:
        steps: (step,) those that are drawn, of `recorded`.
        right: (example, step) the probability of the right class.
        accuracy: (step,) the share of examples with the right answer.
        targets: (example,)
        examples: (example,) which of the probe's each is.
    """

    steps: NDArray[np.int64]
    recorded: int
    right: Floats
    accuracy: Floats
    targets: NDArray[np.int64]
    examples: NDArray[np.int64]
    classes: tuple[str, ...]


def _read(trace: Trace, name: str) -> _Seen:
    """Read the steps that are drawn, one by one: the last of each stretch, and the first of all."""
    seen: Classifier = read_classifier(trace, name)
    chosen = sorted({0, *(part.stop - 1 for part in bins(len(trace), _COLUMNS))})
    right = np.empty((len(seen.targets), len(chosen)))
    accuracy = np.empty(len(chosen))
    for place, index in enumerate(chosen):
        p = seen.probabilities(index)
        right[:, place] = p[np.arange(len(p)), seen.targets]
        accuracy[place] = (answers_of(p) == seen.targets).mean()
    few = len(seen.targets) <= _FEW  # lines, whose styles are the same in every run
    order = np.lexsort((seen.places if few else -np.nan_to_num(right[:, -1]), seen.targets))
    kinds = seen.targets[order], seen.places[order], seen.classes
    return _Seen(trace.steps[chosen], len(trace), right[order], accuracy, *kinds)


def _draw(panel: Panel, seen: _Seen, lines: bool, theme: Theme, image: dict[str, Any]) -> Axes:
    """Draw a run's map, or its lines, above the line of its accuracy; return what the upper one is drawn on."""
    panel.ax.set_axis_off()
    upper = panel.ax.inset_axes((0, _ACCURACY + 0.05, 1, 0.95 - _ACCURACY))
    lower = panel.ax.inset_axes((0, 0, 1, _ACCURACY))
    for inside in (upper, lower):
        inside.set_facecolor("none")
        dress(inside, theme, grid=inside is lower or lines)
        inside.set_xlim(*_edges(seen.steps)[[0, -1]])
        inside.xaxis.set_major_locator(MaxNLocator(6 if panel.share > 0.5 else 3, integer=True, min_n_ticks=1))
    if lines:
        _draw_lines(upper, panel, seen, theme)
    else:
        _draw_map(upper, panel, seen, theme, image)
    upper.tick_params(labelbottom=False)
    dots = "o" if len(seen.steps) < 3 else ""
    lower.plot(seen.steps, seen.accuracy, color=ink(RIGHT, theme), linewidth=2.2, marker=dots)
    lower.set(ylim=(-0.05, 1.12), xlabel="step")
    lower.set_yticks([0, 1], ["0", "1"] if panel.outer else [])
    lower.set_ylabel("right" if panel.outer else "")
    last = f"{seen.accuracy[-1]:.0%}"
    style: dict[str, Any] = {"textcoords": "offset points", "color": theme.text, "fontsize": points(NOTE)}
    above = seen.accuracy[-1] < 0.5
    at = (float(seen.steps[-1]), float(seen.accuracy[-1]))
    lower.annotate(last, at, (-5, 4 if above else -4), ha="right", va="bottom" if above else "top", **style)
    return upper


def _draw_map(ax: Axes, panel: Panel, seen: _Seen, theme: Theme, image: dict[str, Any]) -> None:
    """Draw the examples as rows, several of a class together in one where there are very many."""
    groups = bins(len(seen.targets), _ROWS)
    rows = np.stack([_means(seen.right[part]) for part in groups])
    edges = np.array([0, *(part.stop for part in groups)])
    style: dict[str, Any] = {"cmap": "viridis", "vmin": 0, "vmax": 1, "rasterized": True, "zorder": 1}
    ax.pcolormesh(_edges(seen.steps), edges, rows, **{**style, **image})
    ax.set_ylim(len(seen.targets), 0)
    ax.tick_params(axis="y", length=0, labelcolor=theme.text, labelsize=points(TICK))
    borders = np.flatnonzero(np.diff(seen.targets)) + 1
    if len(borders) < _NAMED and len(seen.targets) > len(borders) + 1:
        for border in borders:
            ax.axhline(float(border), color=background(ax), linewidth=1.6, zorder=2)
    if not panel.outer:
        ax.set_yticks([])
        return
    edges = np.array([0, *borders, len(seen.targets)])
    names = [seen.classes[seen.targets[begin]] for begin in edges[:-1]]
    every = -(-len(names) // _NAMED)
    shown = [name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…" for name in names]
    ax.set_yticks(((edges[1:] + edges[:-1]) / 2)[::every], shown[::every])
    ax.set_ylabel("right class, an example each" if len(seen.targets) == len(names) else "examples, by right class")


def _means(values: Floats) -> Floats:
    """Return the mean of each column's numbers, NaN where it has none."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, values, 0).sum(axis=0) / known.sum(axis=0))


def _draw_lines(ax: Axes, panel: Panel, seen: _Seen, theme: Theme) -> None:
    """Draw a few examples as lines, each with its right class beside its end."""
    repeated = len(set(seen.targets.tolist())) < len(seen.targets)
    for place, values in enumerate(seen.right):
        colour, dashes, marker = style_of(place, theme)
        every = max(1, len(seen.steps) // 10)
        name = seen.classes[seen.targets[place]] + (f" (no. {seen.examples[place]})" if repeated else "")
        ax.plot(seen.steps, values, color=colour, linestyle=dashes, marker=marker, markersize=5, markevery=every,
                linewidth=2, label=name)  # fmt: skip
    ax.set(ylim=(-0.03, 1.05))
    ax.set_ylabel("probability of\nthe right class" if panel.outer else "")
    if not panel.outer:
        ax.tick_params(labelleft=False)


def _name_lines(ax: Axes, theme: Theme) -> None:
    """Say beside a panel which line is which example."""
    style: dict[str, Any] = {"labelcolor": theme.text, "fontsize": points(NOTE), "handlelength": 2.2}
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, **style)


def _edges(steps: NDArray[np.int64]) -> Floats:
    """Return where the cells of steps begin and end, half-way to their neighbours."""
    middle = (steps[1:] + steps[:-1]) / 2
    first, last = (steps[0] - 0.5, steps[-1] + 0.5) if len(steps) < 2 else (steps[0] - 0.5, 2 * steps[-1] - middle[-1])
    return np.array([first, *middle, last])


def _bar(inside: Axes, theme: Theme) -> None:
    """Turn axes into the bar that says which colour is which probability."""
    bar = Colorbar(inside, ScalarMappable(Normalize(0, 1), "viridis"))
    bar.set_ticks([0, 0.5, 1], labels=["0", "0.5", "1"])
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, pad=4, labelcolor=theme.quiet, labelsize=points(TICK))
    bar.set_label("probability of\nthe right class", color=theme.text, fontsize=points(LABEL))


def _said(seen: dict[str, _Seen]) -> list[str]:
    counts = {len(each.targets) for each in seen.values()}
    many = counts.pop() if len(counts) == 1 else 0
    return [f"the probe's {many} examples" if many else "the probe's examples", "below: the share that is right"]


def _left_out(seen: dict[str, _Seen]) -> list[str]:
    said = []
    first = next(iter(seen.values()))
    if any(len(each.steps) < each.recorded for each in seen.values()):
        said.append(f"{len(first.steps)} of {first.recorded:,} recorded steps")
    if any(len(each.targets) > _ROWS for each in seen.values()):
        said.append(f"{_ROWS} rows, each the mean of up to {-(-len(first.targets) // _ROWS)} examples")
    if any(np.isnan(each.right).any() for each in seen.values()):
        said.append("empty where it is no number")
    return said


def _told(name: str, seen: _Seen) -> str:
    ends = seen.right[:, -1]
    known = np.isfinite(ends)
    if not known.any():
        return f"{name + ': ' if name else ''}At the last step no probability is a number."
    low = int(np.flatnonzero(known)[ends[known].argmin()])
    return (
        f"{name + ': ' if name else ''}A map of {len(ends)} examples over steps {seen.steps[0]} to {seen.steps[-1]}; "
        f"the mean probability of the right class goes from {_means(seen.right)[0]:.3f} to "
        f"{ends[known].mean():.3f}, the share of right answers from {seen.accuracy[0]:.0%} to {seen.accuracy[-1]:.0%}; "
        f"least sure in the end is one of class {seen.classes[seen.targets[low]]}, with {ends[low]:.3f}."
    )
