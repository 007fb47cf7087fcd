"""The dimension along which softmax sums to 1: over the classes, or by mistake over the batch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from explainer import scores
from explainer.plots.comparing import trace_of
from explainer.plots.style import LABEL, NOTE, canvas, dress, entitle, lines_of, number, points
from explainer.scores import Scores, read_scores
from explainer.theme import NEGATIVE, RIGHT, Theme, ink
from explainer.thinning import bins

if TYPE_CHECKING:
    from explainer.trace import Trace

Floats = NDArray[np.float64]

_ROWS, _COLUMNS = 8, 10  # of the matrices that are drawn
_TRIED = 200  # steps among which one on the way is looked for


def softmax_dim(
    trace: Trace,
    *,
    step: int | None = None,
    ax: Axes | None = None,
    theme: Theme | str | None = None,
    style: str | None = None,
    **image: Any,
) -> Axes:
    """Draw a batch's probabilities with softmax along either dimension: is it the classes that share, or the examples?

    A row is an example, a column a class. With dim=1 every row sums to 1, as it should: the classes share. With dim=0
    every column does: examples take from each other, and what one is given depends on the others in the batch. No error
    is raised, and training goes on with another loss. It gives itself away before training: the loss begins near the
    logarithm of how many share, ln(classes) where it is right, and ln(batch size) where it is not.

    The axes given become a frame for both matrices inside it, `ax.child_axes`.

    Args:
        trace: A recorded classifier; reads what its loss was given, (example, class), of the examples kept.
        step: Which recorded step to draw; one on the way, at which some are sure already, when omitted.
        ax: Where to draw. A new figure is made when omitted.
        theme: "light" or "dark"; what fits the figure's background when omitted.
        style: "slide", "paper" or "notebook": the size of a new figure, and of the text.
        image: Passed to `matplotlib.axes.Axes.imshow`.

    Returns:
        The axes drawn in.

    Raises:
        TraceError: The step was not recorded, or the loss is not −log p of the right class of each example.

    Example:
        >>> from explainer import lessons, plots
        >>> axes = plots.softmax_dim(lessons.record_lesson("digits"))
        >>> path = plots.save(axes, "softmax_dim.svg")
    """
    index = _on_the_way(trace_of(trace)) if step is None else trace.index_of(step)
    seen = read_scores(trace, [0, index])
    x, targets = seen.scores[1].astype(np.float64), seen.targets[1]
    with canvas(ax, theme, style) as (ax, theme):
        ax.set_axis_off()
        for place, axis in enumerate((1, 0)):
            inside = ax.inset_axes((0.09 + 0.51 * place, 0.26, 0.32, 0.60))
            _draw(inside, scores.softmax(x, axis), targets, axis, seen.classes, theme, image)
            _judge(ax, 0.09 + 0.51 * place, seen, axis, theme)
        kept, many = len(targets), len(seen.classes)
        said = [
            f"step {trace.steps[index]}",
            f"{min(kept, _ROWS)} of the batch's {seen.batch} examples × {min(many, _COLUMNS)} of {many} classes",
            "□ the right class",
        ]
        if seen.batch > kept:
            said.append(f"of the whole batch dim=0 would begin near ln {seen.batch} = {math.log(seen.batch):.2f}")
        entitle(ax, "Along which dimension does it sum to 1?", lines_of(ax, said), theme, told=_told(seen))
    return ax


def losses_along(seen: Scores, place: int, axis: int) -> float:
    """Return the mean −log p of the right classes of a step that was read, with softmax along an axis."""
    logs = scores.log_softmax(seen.scores[place].astype(np.float64), axis)
    return scores.negative_log_likelihood(logs, seen.targets[place])


def _on_the_way(trace: Trace) -> int:
    """Return the place of the first step whose loss is below a third of that of equal shares, else of the last."""
    tried = [part.start for part in bins(len(trace), _TRIED)]
    return tried[read_scores(trace, tried).on_the_way()] if tried else 0


def _draw(
    ax: Axes, p: Floats, targets: NDArray[Any], axis: int, classes: tuple[str, ...], theme: Theme, image: dict[str, Any]
) -> None:
    """Draw a matrix of probabilities, and their sums at the ends of the rows, or of the columns."""
    rows, columns = min(len(p), _ROWS), min(p.shape[1], _COLUMNS)
    style: dict[str, Any] = {"cmap": "viridis", "vmin": 0, "vmax": 1, "aspect": "auto", "interpolation": "nearest"}
    ax.imshow(p[:rows, :columns], **{**style, **image})
    ax.set_facecolor("none")
    dress(ax, theme, grid=False)
    for spine in ax.spines.values():
        spine.set_visible(False)
    for row, target in enumerate(targets[:rows]):
        if target < columns:
            box = Rectangle((target - 0.46, row - 0.46), 0.92, 0.92, fill=False, edgecolor="white", linewidth=1.6)
            ax.add_patch(box)
    longest = 34 // columns
    names = [name if len(name) <= longest else f"{name[: longest - 1]}…" for name in classes[:columns]]
    ax.set_xticks(range(columns), names)
    ax.set_yticks([])
    ax.xaxis.tick_top()
    ax.tick_params(length=0, labelcolor=theme.quiet, labelsize=points(0.9))
    ax.set_ylabel("example")
    sums = p.sum(axis=axis)
    say: dict[str, Any] = {"color": theme.text, "fontsize": points(NOTE), "fontweight": "bold"}
    for place, total in enumerate(sums[: rows if axis else columns]):
        if axis:
            ax.text(columns - 0.35, place, f"{total:.2f}", va="center", ha="left", **say)
        else:
            at = (place, rows - 0.35)
            ax.text(*at, f"{total:.2f}", va="top", ha="right", rotation=60, rotation_mode="anchor", **say)


def _judge(ax: Axes, left: float, seen: Scores, axis: int, theme: Theme) -> None:
    """Write above a matrix which dimension it is of, and below it the loss, and what it was at the first step."""
    good = axis == 1
    colour = ink(RIGHT if good else NEGATIVE, theme)
    words = "✓ dim=1: each row sums to 1" if good else "✗ dim=0: each column sums to 1"
    style: dict[str, Any] = {"transform": ax.transAxes, "ha": "left"}
    ax.text(left - 0.05, 0.965, words, va="center", color=colour, fontsize=points(LABEL), fontweight="bold", **style)
    first, now = losses_along(seen, 0, axis), losses_along(seen, 1, axis)
    ax.text(left - 0.05, 0.095, f"loss {number(now)}", va="center", color=theme.text, fontsize=points(LABEL), **style)
    beside = near(first, seen, axis)
    ax.text(left - 0.05, 0.02, f"at step {seen.steps[0]}: {number(first)}{beside}", va="center", color=theme.text,
            fontsize=points(LABEL), fontweight="bold" if beside else "normal", **style)  # fmt: skip


def near(loss: float, seen: Scores, axis: int) -> str:
    """Say of how many shares a loss is the logarithm, if it is near it."""
    many, what = (len(seen.classes), "classes") if axis else (len(seen.targets[0]), "examples")
    return f" ≈ ln {many} ({what}) = {math.log(many):.2f}" if abs(loss - math.log(many)) < 0.1 else ""


def _told(seen: Scores) -> list[str]:
    first = [losses_along(seen, 0, axis) for axis in (1, 0)]
    now = [losses_along(seen, 1, axis) for axis in (1, 0)]
    return [
        "Two matrices of the same batch's probabilities, an example a row: with dim=1 each row sums to 1, with dim=0 "
        "each column.",
        f"The loss is {now[0]:.3f} with dim=1 and {now[1]:.3f} with dim=0; at step {seen.steps[0]} they are "
        f"{first[0]:.3f} and {first[1]:.3f}.",
    ]
