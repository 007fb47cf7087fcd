"""A recorded run on one page: what is wrong with it, in words, and the six figures that show it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from explainer.diagnosis import FINE, MILD, SEVERE, UNKNOWN, Finding, findings, verdict
from explainer.errors import TraceError
from explainer.plots import FIGURES
from explainer.plots.areas_of_dead_units import dead_units
from explainer.plots.comparing import trace_of
from explainer.plots.curve_of_loss import loss
from explainer.plots.curves_of_ratios import update_ratios
from explainer.plots.describing import tell
from explainer.plots.map_of_gradients import gradient_history
from explainer.plots.ridges_of_activations import activations
from explainer.plots.ridges_of_gradients import gradient_distribution
from explainer.plots.style import LABEL, NOTE, brief, canvas, entitle, points, settle
from explainer.theme import GRADIENT, NEGATIVE, RIGHT, Theme, ink

if TYPE_CHECKING:
    from explainer.trace import Trace

_FIGURES: tuple[Callable[..., Axes], ...] = (
    loss,
    update_ratios,
    dead_units,
    gradient_history,
    gradient_distribution,
    activations,
)
_SMALLER = 0.75  # text of the six figures, beside that of the page
_MARKS = {SEVERE: ("✖", NEGATIVE), MILD: ("▲", GRADIENT), FINE: ("✔", RIGHT), UNKNOWN: ("?", "")}
_LINES = 2  # of an answer
_WORDS = 0.235  # the part of the page that answers have, from above
_ROOM = (0.085, 0.062, 0.052, 0.088)  # left, right, below and above each of the six figures, as parts of the page


def diagnosis(
    trace: Trace,
    *,
    ax: Axes | None = None,
    theme: Theme | str | None = None,
    style: str | None = None,
    **words: Any,
) -> Axes:
    """Draw a run on one page, findings in words and six figures that show them: what is wrong with it, if anything?

    Six questions are answered: does the gradient vanish on its way to the first layer, or explode; are units dead, or
    saturated; do steps bounce; does the network learn? Each answer says the numbers that it rests on: ✔ nothing found,
    ▲ a little, ✖ clearly, ? the trace cannot tell, with the reason. A healthy run has a tick everywhere. Of a sick one
    the first cross from the top is often the cause of the others. `explainer.diagnosis.findings(trace)` gives the same
    answers as data; its thresholds, rules of thumb all of them, stand there with their sources.

    Args:
        trace: A recorded run; reads statistics, losses, and the last steps' activations and updates.
        ax: Where to draw. A new figure, larger than others, is made when omitted.
        theme: "light" or "dark"; what fits the figure's background when omitted.
        style: "slide", "paper" or "notebook": the size of a new figure, and of the text.
        words: Passed to `matplotlib.axes.Axes.text` for the findings.

    Returns:
        The axes drawn on; in them those of the answers and of the six figures.

    Raises:
        TraceError: No step was recorded.

    Example:
        >>> from explainer import lessons, plots
        >>> axes = plots.diagnosis(lessons.record_lesson("two-layer"))
        >>> path = plots.save(axes, "diagnosis.svg")
    """
    trace_of(trace).index_of(-1)
    found = findings(trace)
    with canvas(ax, theme, style, FIGURES["diagnosis"].times) as (ax, theme):
        told = [f"{each.kind.capitalize()}: {each.severity}; {each.words}" for each in found]
        entitle(ax, "What is wrong with this run?", [verdict(found)], theme, told=told)
        settle(ax)
        _write(_inside(ax, (0, 1 - _WORDS, 1, _WORDS)), found, theme, words)
        with mpl.rc_context({"font.size": points(_SMALLER)}), brief():
            failed = [_draw(_inside(ax, _cell(at)), draw, trace, theme) for at, draw in enumerate(_FIGURES)]
        shown = ", ".join(draw.__name__ for draw, why in zip(_FIGURES, failed, strict=True) if not why)
        tell(ax, "What is wrong with this run?", [verdict(found), *told, f"Figures below: {shown}", *failed])
    return ax


def _cell(at: int) -> tuple[float, float, float, float]:
    """Return where one of the six stands, with room for what is written around it: left, bottom, width, height."""
    row, column = divmod(at, 3)
    wide, high = 1 / 3, (1 - _WORDS) / 2
    left, right, below, above = _ROOM
    bottom = (1 - row) * high + below
    return column * wide + left, bottom, wide - left - right, high - below - above


def _inside(ax: Axes, bounds: tuple[float, float, float, float]) -> Axes:
    inside = ax.inset_axes(bounds)
    inside.set_facecolor("none")
    inside.set_in_layout(False)  # what is written around it has its room
    return inside


def _write(ax: Axes, found: Sequence[Finding], theme: Theme, words: dict[str, Any]) -> None:
    """Write the answers in two columns, each with its mark, its kind and its numbers."""
    ax.set_axis_off()
    ax.set(xlim=(0, 2), ylim=(3, 0))
    letters = int(0.46 * ax.get_window_extent().width * 72 / ax.figure.dpi / (0.52 * points(NOTE)))
    for at, each in enumerate(found):
        mark, colour = _MARKS[each.severity]
        colour = ink(colour, theme) if colour else theme.quiet
        x, y = at // 3, at % 3
        look: dict[str, Any] = {"va": "top", "color": colour, "fontweight": "bold", "fontsize": points(LABEL)}
        ax.text(x, y, mark, **look)
        ax.text(x + 0.05, y, each.kind, **look)
        said = textwrap.fill(f"{each.words[:1].upper()}{each.words[1:]}.", letters, max_lines=_LINES, placeholder=" …")
        style = {"va": "top", "color": theme.text, "fontsize": points(NOTE), "linespacing": 1.15}
        ax.text(x + 0.05, y + 0.36, said, **{**style, **words})


def _draw(ax: Axes, draw: Callable[..., Axes], trace: Trace, theme: Theme) -> str:
    """Draw one of the six; where the trace lacks what it needs, say so in its place.

    Returns:
        Why it could not be drawn; empty where it could.
    """
    try:
        draw(trace, ax=ax)
    except TraceError as error:
        ax.clear()
        ax.set_axis_off()
        said = textwrap.fill(str(error), 46, max_lines=7, placeholder=" …")
        ax.text(0, 1, said, va="top", color=theme.quiet, fontsize=points(NOTE), transform=ax.transAxes)
        name = draw.__name__.replace("_", " ")
        entitle(ax, f"{name}: cannot be drawn", [], theme)
        return f"{name} cannot be drawn: {error}"
    _tighten(ax)
    return ""


def _tighten(ax: Axes) -> None:
    """Write fewer ticks, and in place of a legend over the curves which of them is dashed: there is room for little."""
    for inside in (ax, *ax.child_axes):
        locator = inside.xaxis.get_major_locator()
        if isinstance(locator, MaxNLocator):
            locator.set_params(nbins=4)
    legend = ax.get_legend()
    lines, labels = ax.get_legend_handles_labels()
    if legend is None or len(lines) != 2 or legend.get_window_extent().y1 > ax.get_window_extent().y1:
        return  # none, one above the axes, or one of too many lines
    legend.remove()
    dashed = (isinstance(line, Line2D) and line.get_linestyle() == "--" for line in lines)
    thin = next((name for name, is_dashed in zip(labels, dashed, strict=True) if is_dashed), "")
    if thin:
        ax.set_xlabel(f"{ax.get_xlabel()}  ·  dashed: {thin.partition(',')[0]}")
