"""One image beside the probability of each class, before and after training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from explainer.errors import place_of
from explainer.plots.comparing import trace_of
from explainer.plots.style import LABEL, NOTE, TICK, canvas, dress, entitle, points
from explainer.predictions import Predictions, read_predictions
from explainer.theme import LAYER, RIGHT, Theme

if TYPE_CHECKING:
    from explainer.trace import Trace

_MOST = 10  # classes shown; of more, those with the highest probabilities and the right one


def classification(
    trace: Trace,
    *,
    example: int = 0,
    step: int = -1,
    ax: Axes | None = None,
    theme: Theme | str | None = None,
    style: str | None = None,
    **bar: Any,
) -> Axes:
    """Draw an image of the probe beside its class probabilities, before and after: what did the network learn to see?

    Before training the bars are about equal; afterwards a good classifier gives nearly all to the right class, which
    is marked by a triangle and a frame besides its colour. A long bar without the mark is a confident mistake.

    The axes given become a frame for three axes inside it, `ax.child_axes`: the image, the bars at the first recorded
    step, and the bars at `step` (left out where that is the first).

    Args:
        trace: A recorded run with a probe of images, whose output is one of classes.
        example: Which of the probe's examples, from 0.
        step: The recorded step that is "after"; a negative one counts from the last.
        ax: Where to draw. A new figure is made when omitted.
        theme: "light" or "dark"; what fits the figure's background when omitted.
        style: "slide", "paper" or "notebook": the size of a new figure, and of the text.
        bar: Passed to `matplotlib.axes.Axes.barh`.

    Returns:
        The axes drawn in.

    Raises:
        TraceError: The trace has no probe, no images or no class probabilities, or there is no such example or step.

    Example:
        >>> from explainer import lessons, plots
        >>> axes = plots.classification(lessons.record_lesson("digits"), example=4)
        >>> path = plots.save(axes, "classification.png")
    """
    after = trace_of(trace).index_of(step)
    seen = read_predictions(trace)
    count = len(seen.images)
    example = place_of(example, count, "the probe holds")
    with canvas(ax, theme, style) as (ax, theme):
        ax.set_axis_off()
        _draw_image(ax.inset_axes((0, 0.02, 0.33, 0.89)), seen.images[example], theme)
        moments = [0, after] if len(trace) > 1 else [0]  # two at the first step too: a film has them from there on
        shown = _chosen(seen.probabilities[after, example], int(seen.targets[example]))
        room = 0.64 / len(moments)
        for place, index in enumerate(moments):
            inside = ax.inset_axes((0.41 + place * room, 0.02, room - 0.05, 0.89))
            _draw_bars(inside, seen, index, example, shown, theme, bar)
            when = _moment(place, after) if len(moments) == 2 else "as recorded"
            inside.set_title(f"{when}, step {trace.steps[index]}", color=theme.text, fontsize=points(LABEL), pad=7)
        notes = [_caption(trace, seen, example, shown)]
        told = [_told(trace, seen, example, index) for index in dict.fromkeys(moments)]
        entitle(ax, "What does the network see?", notes, theme, told=["An image beside bars.", *told])
    return ax


def _moment(place: int, after: int) -> str:
    return ("before", "after" if after else "the same")[place]


def _draw_image(ax: Axes, image: NDArray[np.float64], theme: Theme) -> None:
    if image.ndim == 3:
        image = (image - image.min()) / (np.ptp(image) or 1.0)
    ax.imshow(image, cmap="gray", interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set_color(theme.line)


def _chosen(probabilities: NDArray[np.float64], truth: int) -> NDArray[np.int64]:
    """Return the classes to show, in their order."""
    if len(probabilities) <= _MOST:
        return np.arange(len(probabilities))
    likely = np.argsort(-probabilities, kind="stable")[:_MOST]
    if truth not in likely:
        likely[-1] = truth
    return np.sort(likely)


def _draw_bars(
    ax: Axes,
    seen: Predictions,
    index: int,
    example: int,
    shown: NDArray[np.int64],
    theme: Theme,
    bar: dict[str, Any],
) -> None:
    values = seen.probabilities[index, example, shown]
    right = shown == seen.targets[example]
    rows = np.arange(len(shown))
    ax.barh(rows, values, **{"height": 0.66, "color": [RIGHT if true else LAYER for true in right], "zorder": 2, **bar})
    ax.set(facecolor="none", xlim=(0, 1.36), ylim=(len(shown) - 0.4, -0.6))
    dress(ax, theme, grid=False)
    ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    ax.set_yticks(rows, ["▶ " * bool(at == seen.targets[example]) + seen.classes[at] for at in shown])
    ax.tick_params(axis="y", length=0, labelcolor=theme.text, labelsize=points(LABEL))
    ax.tick_params(axis="x", length=0, labelsize=points(TICK))
    ax.spines["bottom"].set_visible(False)
    ax.grid(visible=True, axis="x", color=theme.line, linewidth=0.6, alpha=0.45)
    for row, (value, true) in enumerate(zip(values, right, strict=True)):
        if true:
            ax.axhspan(row - 0.47, row + 0.47, facecolor="none", edgecolor=RIGHT, linewidth=1.4, zorder=1)
            ax.get_yticklabels()[row].set(fontweight="bold", color=RIGHT)
        if true or value == values.max():
            _number(ax, row, float(value), bold=bool(true), theme=theme)


def _number(ax: Axes, row: int, value: float, *, bold: bool, theme: Theme) -> None:
    ax.text(
        value + 0.03,
        row,
        probability(value),
        va="center",
        color=theme.text,
        fontsize=points(NOTE),
        fontweight="bold" if bold else "normal",
        zorder=4,
    )


def probability(value: float) -> str:
    """Write a probability with three decimals, never as 1 or 0 where it is not."""
    if 0.9995 <= value < 1:
        return ">0.999"
    if 0 < value < 0.0005:
        return "<0.001"
    return f"{value:.3f}"


def _told(trace: Trace, seen: Predictions, example: int, index: int) -> str:
    values, right = seen.probabilities[index, example], int(seen.targets[example])
    likeliest = int(np.nanargmax(values)) if np.isfinite(values).any() else right
    return (
        f"At step {trace.steps[index]} the likeliest class is {seen.classes[likeliest]} with "
        f"{probability(float(values[likeliest]))}, and the right one, {seen.classes[right]}, has "
        f"{probability(float(values[right]))}."
    )


def _caption(trace: Trace, seen: Predictions, example: int, shown: NDArray[np.int64]) -> str:
    parts = [f"▶ the right answer: {seen.classes[seen.targets[example]]}", "bars: probability of each class"]
    if len(shown) < len(seen.classes):
        parts[1] += f", {len(shown)} of {len(seen.classes)}"
    data = trace.notes.get("data")
    return "  ·  ".join([*parts, data] if isinstance(data, str) else parts)
