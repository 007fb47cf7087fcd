"""The loss of a softmax too many: what CrossEntropyLoss says when it is given probabilities instead of scores."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from explainer import scores
from explainer.plots.comparing import trace_of
from explainer.plots.style import LABEL, NOTE, canvas, dress, entitle, lines_of, number, points
from explainer.scores import Scores, read_scores
from explainer.theme import LOSS, NEGATIVE, Theme, ink
from explainer.thinning import bins

if TYPE_CHECKING:
    from explainer.trace import Trace

_COLUMNS = 500  # steps that are read and drawn
_FEW = 120  # steps of which each gets its dot


def loss_mistakes(
    trace: Trace,
    *,
    ax: Axes | None = None,
    theme: Theme | str | None = None,
    style: str | None = None,
    **line: Any,
) -> Axes:
    """Draw the loss of the recorded scores beside that of their softmax given as scores: is there a softmax too many?

    CrossEntropyLoss has the softmax inside. Who gives it probabilities gets no error, and a loss that cannot leave the
    band: for ten classes between 1.4612 and 2.4612, however right or wrong the answers are. A healthy curve falls
    through the band's floor; one that comes to rest on it has a softmax too many, and so has a loss that is never above
    its ceiling. Both are worked out here of the same recorded scores; the run was trained with the right one.

    Args:
        trace: A recorded classifier; reads what its loss was given, (example, class), of the examples kept.
        ax: Where to draw. A new figure is made when omitted.
        theme: "light" or "dark"; what fits the figure's background when omitted.
        style: "slide", "paper" or "notebook": the size of a new figure, and of the text.
        line: Passed to `matplotlib.axes.Axes.plot` for the curves.

    Returns:
        The axes drawn on.

    Raises:
        TraceError: The loss is not −log p of the right class of each example.

    Example:
        >>> from explainer import lessons, plots
        >>> axes = plots.loss_mistakes(lessons.record_lesson("digits"))
        >>> path = plots.save(axes, "loss_mistakes.svg")
    """
    trace_of(trace)
    chosen = sorted({part.start for part in bins(len(trace), _COLUMNS)} | {len(trace) - 1} if len(trace) else ())
    seen = read_scores(trace, chosen)
    right, mistaken = seen.right_losses, seen.mistaken_losses
    low, high = scores.bounds(len(seen.classes))
    with canvas(ax, theme, style) as (ax, theme):
        dress(ax, theme)
        dots = {"marker": "o", "markersize": 4} if len(chosen) <= _FEW else {}
        ax.axhspan(low, high, facecolor=NEGATIVE, alpha=0.13, zorder=0)
        for values, colour, dashes in ((right, LOSS, "-"), (mistaken, NEGATIVE, (0, (5, 1.6)))):
            curve: dict[str, Any] = {"color": ink(colour, theme), "linestyle": dashes, "linewidth": 2.2, **dots}
            ax.plot(seen.steps, values, **{"zorder": 3, **curve, **line})
        _frame(ax, np.concatenate([right, mistaken, [low, high]]))
        ax.set(xlabel="step", ylabel="loss")
        _name(ax, seen, (low, high), theme)
        notes = lines_of(ax, _said(trace, seen), wider=1.25)
        told = _told(seen, (low, high))
        entitle(ax, "Is there a softmax too many?", notes, theme, told=told)
    return ax


def _frame(ax: Axes, values: Any) -> None:
    known = values[np.isfinite(values)]
    top = float(known.max())
    ax.set_ylim(-0.03 * top, 1.12 * top)
    ax.margins(x=0.015)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))


def _name(ax: Axes, seen: Scores, band: tuple[float, float], theme: Theme) -> None:
    """Write to the right of the axes which curve is which, and in the band where its edges are."""
    ends = [(seen.right_losses[-1], "of scores", LOSS), (seen.mistaken_losses[-1], "of softmax(scores)", NEGATIVE)]
    apart = 0.16 * ax.get_ylim()[1]
    ends.sort(key=lambda end: -end[0] if np.isfinite(end[0]) else 0.0)
    heights = [float(end[0]) if np.isfinite(end[0]) else 0.0 for end in ends]
    middle, half = sum(heights) / 2, max((heights[0] - heights[1]) / 2, apart / 2)
    spots = heights if heights[0] - heights[1] >= apart else [middle + half, middle - half]
    style: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
    for spot, (value, name, colour) in zip(spots, ends, strict=True):
        last = number(float(value)) if np.isfinite(value) else "not finite"
        own = {**style, "va": "center", "color": ink(colour, theme)}
        ax.annotate(last, (1.015, spot), (0, 0.7 * points(LABEL)), **own, fontsize=points(LABEL), fontweight="bold")
        ax.annotate(name, (1.015, spot), (0, -0.7 * points(LABEL)), **own, fontsize=points(NOTE))
    edge = {**style, "ha": "right", "color": ink(NEGATIVE, theme), "fontsize": points(NOTE)}
    ax.annotate(f"{band[1]:.4f}: never above", (1, band[1]), (-4, 2), va="bottom", **edge)
    ax.annotate(f"{band[0]:.4f}: never below", (1, band[0]), (-4, -3), va="top", **edge)


def _said(trace: Trace, seen: Scores) -> list[str]:
    kept = len(seen.targets[-1])
    said = [
        "dashed: the same scores, through softmax first",
        f"mean over {f'{kept} of' if kept < seen.batch else 'all'} the batch's {seen.batch} examples",
        f"band: where probabilities of {len(seen.classes)} classes keep it",
    ]
    if len(seen.steps) < len(trace):
        said.append(f"{len(seen.steps)} of {len(trace):,} recorded steps")
    return said


def _told(seen: Scores, band: tuple[float, float]) -> list[str]:
    right, mistaken = seen.right_losses, seen.mistaken_losses
    return [
        f"Two curves over steps {seen.steps[0]} to {seen.steps[-1]}: the loss of the scores goes from {right[0]:.4f} "
        f"to {right[-1]:.4f}, that of their softmax given as scores from {mistaken[0]:.4f} to {mistaken[-1]:.4f}.",
        f"With {len(seen.classes)} classes the second cannot leave {band[0]:.4f} to {band[1]:.4f}; knowing nothing is "
        f"{math.log(len(seen.classes)):.4f}.",
    ]
