"""Which class a classifier takes for which, at one recorded step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from numpy.typing import NDArray

from explainer.classifier import Classifier, read_classifier
from explainer.errors import TraceError
from explainer.plots.comparing import Panel, panels, runs_of
from explainer.plots.style import LABEL, NOTE, TICK, canvas, dress, entitle, lines_of, points
from explainer.theme import NEGATIVE, RIGHT, Theme, contrast

if TYPE_CHECKING:
    from explainer.plots.comparing import Traces

Whole = NDArray[np.int64]

_MOST = 20  # classes that are drawn
_WRITTEN = 12  # classes up to which each cell has its count
_LONGEST = 10  # letters of a class's name


def confusion(
    trace: Traces,
    *,
    step: int = -1,
    ax: Axes | None = None,
    theme: Theme | str | None = None,
    style: str | None = None,
    **image: Any,
) -> Axes:
    """Draw how many of the probe's examples of each class get each answer: what is taken for what?

    A row is a right class, a column an answer; a cell says how many, and its colour how large a share of its row that
    is. A healthy classifier has a green diagonal and nothing beside it. An untrained one gives nearly all the same
    answer: one column is full. A strong cell beside the diagonal, with its mirror image, is a pair that looks alike.

    The axes given become a frame for a matrix inside it, `ax.child_axes`, or one for each of several runs.

    Args:
        trace: A recorded run, or several by name, which are drawn side by side; reads the outputs of the probe,
            (example, class), and its targets, (example,).
        step: Which recorded step to draw; a negative one counts from the last.
        ax: Where to draw. A new figure is made when omitted.
        theme: "light" or "dark"; what fits the figure's background when omitted.
        style: "slide", "paper" or "notebook": the size of a new figure, and of the text.
        image: Passed to `matplotlib.axes.Axes.imshow`.

    Returns:
        The axes drawn in.

    Raises:
        TraceError: The step was not recorded, there is no probe with class numbers, or no output is a number.

    Example:
        >>> from explainer import lessons, plots
        >>> axes = plots.confusion(lessons.record_lesson("digits"), step=0)
        >>> path = plots.save(axes, "confusion.svg")
    """
    runs = runs_of(trace, most=3)
    counted = {name: _count(read_classifier(each, name), each.index_of(step), name) for name, each in runs.items()}
    with canvas(ax, theme, style) as (ax, theme):
        named = {f"{name}: {counted[name].right} right" if name else "": each for name, each in runs.items()}
        found = panels(ax, named, theme, gap=0.04, below=0.15, right=0.999)
        for panel, matrix in zip(found, counted.values(), strict=True):
            _draw(panel, matrix, theme, image)
        steps = sorted({int(each.steps[each.index_of(step)]) for each in runs.values()})
        said = [f"step {', '.join(map(str, steps))}", *(matrix.said(name) for name, matrix in counted.items())]
        colour = "colour: share of the row, green where it is right"
        told = [matrix.told(name) for name, matrix in counted.items()]
        entitle(ax, "What does it take for what?", lines_of(ax, [*said, colour], wider=1.05), theme, told=told)
    return ax


@dataclass(frozen=True)
class _Matrix:
    """A run's answers.

    Attributes:
        counts: (right class, answer) of all classes.
        shown: (class,) which of them are drawn.
        unknown: How many examples have an output that is no number.
    """

    counts: Whole
    shown: Whole
    names: tuple[str, ...]
    unknown: int

    @property
    def right(self) -> int:
        return int(np.trace(self.counts))

    def said(self, name: str) -> str:
        whole = int(self.counts.sum()) + self.unknown
        said = f"{self.right} of {whole} right in the probe" if not name else f"{name}: of {whole}"
        if self.unknown:
            said += f", {self.unknown} whose output is no number"
        if len(self.shown) < len(self.counts):
            own = self.counts[np.ix_(self.shown, self.shown)]
            wrong = int(self.counts.sum()) - self.right
            here = int(own.sum() - np.trace(own))
            said += f", {len(self.shown)} of {len(self.counts)} classes shown, with {here} of {wrong} mistakes"
        return said

    def told(self, name: str) -> str:
        wrong = self.counts - np.diag(np.diag(self.counts))
        if not wrong.any():
            return f"{name + ': ' if name else ''}A matrix of right classes and answers; all are on its diagonal."
        row, column = np.unravel_index(int(wrong.argmax()), wrong.shape)
        return (
            f"{name + ': ' if name else ''}A matrix of right classes and answers; {self.right} of "
            f"{int(self.counts.sum())} are on its diagonal; the most frequent mistake is {self.names[column]} for "
            f"{self.names[row]}, {int(wrong.max())} times."
        )


def _count(seen: Classifier, index: int, name: str) -> _Matrix:
    counts = seen.counts(index)
    unknown = len(seen.targets) - int(counts.sum())
    if not counts.any():
        called = f"the trace {name!r}" if name else "the trace"
        raise TraceError(
            f"at step {seen.trace.steps[index]} no output of {called} is a finite number: choose an earlier step"
        )
    wrong = counts - np.diag(np.diag(counts))
    telling = wrong.sum(axis=0) + wrong.sum(axis=1) + 1e-6 * counts.sum(axis=1)
    shown = np.sort(np.argsort(-telling, kind="stable")[:_MOST])
    if len(counts) > _MOST:
        shown = shown[telling[shown] > 0]
    return _Matrix(counts, shown, seen.classes, unknown)


def _draw(panel: Panel, matrix: _Matrix, theme: Theme, image: dict[str, Any]) -> None:
    """Draw one run's matrix, square, with the counts where there is room for them."""
    ax, shown = panel.ax, matrix.shown
    counts = matrix.counts[np.ix_(shown, shown)]
    whole = matrix.counts.sum(axis=1)[shown]  # of each row, also what is not shown
    shares = counts / np.maximum(whole, 1)[:, None]  # (right class, answer)
    colours = np.where(np.eye(len(shown), dtype=bool)[..., None], to_rgb(RIGHT), to_rgb(NEGATIVE))
    drawn = np.array(to_rgb(theme.zero)) * (1 - shares[..., None]) + colours * shares[..., None]
    ax.imshow(drawn, **{"interpolation": "nearest", "aspect": "auto", **image})
    dress(ax, theme, grid=False)
    for spine in ax.spines.values():
        spine.set_visible(False)
    _name(panel, [matrix.names[each] for each in shown], theme)
    if len(shown) <= _WRITTEN:
        size = points(LABEL if panel.share > 0.6 or len(shown) < 6 else 0.9)
        for row, column in np.argwhere(counts):
            dark = max((theme.text, theme.background), key=lambda ink: contrast(ink, to_hex(drawn[row, column])))
            weight = "bold" if row == column else "normal"
            ax.text(column, row, str(counts[row, column]), ha="center", va="center", color=dark, fontsize=size,
                    fontweight=weight)  # fmt: skip
    if panel.share > 0.9:
        _recalls(ax, np.diag(counts), whole, theme)


def _name(panel: Panel, names: list[str], theme: Theme) -> None:
    """Name rows and columns; of many classes each k-th."""
    ax, short = panel.ax, [name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…" for name in names]
    width = ax.get_window_extent().width * 72 / ax.figure.dpi
    size = points(TICK if len(names) <= _WRITTEN else 0.9)
    tilt = 0 if max(map(len, short)) * 0.6 * size < width / len(names) else 45
    ax.set_xticks(range(len(names)), short, rotation=tilt, ha="right" if tilt else "center", rotation_mode="anchor")
    ax.set_yticks(range(len(names)) if panel.outer else [], short if panel.outer else [])
    ax.tick_params(length=0, labelcolor=theme.text, labelsize=size)
    ax.set_xlabel("answer")
    ax.set_ylabel("right class" if panel.outer else "")


def _recalls(ax: Axes, right: Whole, whole: Whole, theme: Theme) -> None:
    """Write at the end of each row the share that is right."""
    style: dict[str, Any] = {"va": "center", "fontsize": points(NOTE if len(whole) <= _WRITTEN else 0.9)}
    for row, (own, all_) in enumerate(zip(right, whole, strict=True)):
        share = f"{own / all_:.0%} right" if all_ else "none"
        ax.text(len(whole) - 0.35, row, share, color=theme.text if all_ else theme.quiet, **style)
