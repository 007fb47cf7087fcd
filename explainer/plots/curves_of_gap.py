"""Where float32 ends: the loss by log(softmax) and by log_softmax, the further two scores are apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from explainer import scores
from explainer.plots.comparing import trace_of
from explainer.plots.style import LABEL, canvas, dress, entitle, lines_of, points
from explainer.scores import read_scores
from explainer.theme import NEGATIVE, POSITIVE, RIGHT, Theme, ink
from explainer.thinning import bins

if TYPE_CHECKING:
    from explainer.scores import Road
    from explainer.trace import Trace

Floats = NDArray[np.float64]

_FAR = 200  # the gap up to which is drawn, if the run's own is not larger
_READ = 500  # steps that are read


def log_softmax_range(
    trace: Trace,
    *,
    ax: Axes | None = None,
    theme: Theme | str | None = None,
    style: str | None = None,
    **line: Any,
) -> Axes:
    """Draw the loss of two scores that move apart, in float32, by log(softmax) and by log_softmax: where does one end?

    The wrong class's score is larger by the gap, so the right loss is the gap itself. softmax gives the right class
    e^−gap, which float32 rounds to 0 from a gap of 104 on; its logarithm is −∞, the loss infinite and the gradient no
    number: training ends there. log_softmax never leaves the logarithm. The mark is the largest gap between two scores
    that was recorded in the run: one far to the left is safe either way, for now.

    Args:
        trace: A recorded classifier; reads what its loss was given, (example, class), of the examples kept.
        ax: Where to draw. A new figure is made when omitted.
        theme: "light" or "dark"; what fits the figure's background when omitted.
        style: "slide", "paper" or "notebook": the size of a new figure, and of the text.
        line: Passed to `matplotlib.axes.Axes.plot` for both curves.

    Returns:
        The axes drawn on.

    Raises:
        TraceError: The loss is not −log p of the right class of each example.

    Example:
        >>> from explainer import lessons, plots
        >>> axes = plots.log_softmax_range(lessons.record_lesson("digits"))
        >>> path = plots.save(axes, "log_softmax_range.svg")
    """
    chosen = sorted({part.stop - 1 for part in bins(len(trace_of(trace)), _READ)})
    seen = read_scores(trace, chosen)
    own, edge = seen.largest_gap(), scores.breaking_gap()
    far = max(_FAR, int(np.ceil(1.1 * own))) if np.isfinite(own) else _FAR
    gaps = np.unique(np.linspace(0, far, _FAR + 1).round().astype(int))
    with canvas(ax, theme, style) as (ax, theme):
        dress(ax, theme)
        whole, broken = ([road(gap) for gap in gaps] for road in (scores.by_logarithms, scores.by_probabilities))
        _draw(ax, gaps, whole, broken, theme, line)
        _mark_end(ax, edge, broken[-1], theme)
        ax.set(xlim=(0, far), ylim=(0, 1.3 * far), ylabel="loss")
        ax.set_xlabel("gap between two scores, the wrong one higher")
        _mark_own(ax, own, theme)
        read = "" if len(chosen) == len(trace) else f" in {len(chosen)} of {len(trace):,} steps"
        kept = f"of {seen.recorded_as}, {len(seen.targets[-1])} examples of each batch"
        said = ["curves: two scores, worked out in float32", f"mark: the run's largest gap {kept}{read}"]
        entitle(ax, "Where does float32 end?", lines_of(ax, said, wider=1.1), theme, told=_told(own, edge, far))
    return ax


def _draw(ax: Axes, gaps: Any, whole: list[Road], broken: list[Road], theme: Theme, line: dict[str, Any]) -> None:
    """Draw both losses over the gaps; the infinite ones have no place."""
    losses = [np.array([road.loss for road in roads]) for roads in (whole, broken)]
    through: dict[str, Any] = {"color": ink(POSITIVE, theme), "linewidth": 2, "linestyle": (0, (5, 1.6))}
    ax.plot(gaps, losses[0], **{"zorder": 4, **through, **line})
    known = np.isfinite(losses[1])
    ends: dict[str, Any] = {"color": ink(NEGATIVE, theme), "linewidth": 5, "alpha": 0.75, "solid_capstyle": "butt"}
    ax.plot(gaps[known], losses[1][known], **{"zorder": 3, **ends, **line})
    far, height = gaps[-1], losses[0][-1]
    gradient = ", ".join(f"{each:.0f}".replace("-", "−") for each in whole[-1].gradient)
    ax.annotate(
        f"log_softmax(x): goes on\nloss {height:.0f}, gradient ({gradient})", (far, height), (-6, 8),
        textcoords="offset points", ha="right", va="bottom", color=ink(POSITIVE, theme), fontsize=points(LABEL),
        fontweight="bold", linespacing=1.3,
    )  # fmt: skip


def _mark_end(ax: Axes, edge: int, beyond: Road, theme: Theme) -> None:
    """Mark where log(softmax) breaks down, and say what it gives beyond."""
    colour = ink(NEGATIVE, theme)
    ax.axvspan(edge, 1e6, facecolor=NEGATIVE, alpha=0.10, zorder=0)
    ax.axvline(edge, color=colour, linewidth=1.6, linestyle=(0, (2, 2)), zorder=2)
    ax.plot([edge - 1], [edge - 1], marker="X", markersize=13, color=colour, markeredgecolor=theme.background, zorder=6)
    gradient = "no number" if np.isnan(beyond.gradient).any() else "finite"
    ax.annotate(
        f"log(softmax(x)): ends at {edge}\nloss {'∞' if np.isinf(beyond.loss) else beyond.loss}, gradient {gradient}",
        (edge, 0.30), (8, 0), xycoords=("data", "axes fraction"), textcoords="offset points", va="center",
        color=colour, fontsize=points(LABEL), fontweight="bold", linespacing=1.3,
    )  # fmt: skip


def _mark_own(ax: Axes, own: float, theme: Theme) -> None:
    """Mark the largest gap that the run itself had."""
    if not np.isfinite(own):
        return
    mark: dict[str, Any] = {"marker": "^", "markersize": 14, "color": RIGHT, "markeredgecolor": theme.background}
    ax.plot([own], [0], **mark, clip_on=False, zorder=7)
    far = ax.get_xlim()[1]
    beyond = own > 0.6 * far
    style: dict[str, Any] = {"color": ink(RIGHT, theme), "fontsize": points(LABEL), "fontweight": "bold", "zorder": 7}
    at = own if beyond else max(own, 0.14 * far)  # right of where the curves are low
    side: dict[str, Any] = {"ha": "right" if beyond else "left", "va": "bottom"}
    ax.annotate(f"recorded here: up to {own:.1f}", (at, 0), (-11 if beyond else 11, 3), textcoords="offset points",
                **side, **style)  # fmt: skip


def _told(own: float, edge: int, far: int) -> list[str]:
    return [
        f"The loss of two scores over their gap from 0 to {far}, in float32: by log_softmax it is the gap itself; by "
        f"log(softmax) the same up to {edge - 1}, and infinite from {edge} on, with a gradient that is no number.",
        f"The largest gap that was recorded in the run is {own:.1f}."
        if np.isfinite(own)
        else "The run's largest gap is no finite number.",
    ]
