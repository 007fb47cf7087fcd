"""How every figure looks: sizes that the last row can read, the theme's colours, a title with a quiet line below it.

Only the axes that are drawn on are styled; rcParams are as before once a figure is drawn.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.layout_engine import ConstrainedLayoutEngine

from explainer.errors import TraceError, is_one_of, unknown
from explainer.plots.describing import tell
from explainer.plots.glyphs import lend_letters
from explainer.theme import DARK, LIGHT, THEMES, Theme


@dataclass(frozen=True)
class Style:
    """What a figure is made for. All have one shape and nearly one share of it for text, so that nothing moves.

    Attributes:
        width: Inches, and so is `height`.
        font: Points of what is written in passing; titles and labels are multiples of it.
        dpi: Pixels per inch on a screen.
    """

    name: str
    width: float
    height: float
    font: float
    dpi: float


STYLES = {
    style.name: style
    for style in (
        Style("slide", 8.0, 4.5, 10.0, 160),  # 16:9, on which 11 points are 3.4 % of the height
        Style("paper", 6.5, 3.66, 8.0, 160),  # the width of a page's text
        Style("notebook", 8.0, 4.5, 10.0, 96),
    )
}

# Sizes of text, as multiples of rcParams["font.size"].
TITLE, LABEL, TICK, NOTE = 1.5, 1.15, 1.1, 1.0

_BRIEF: ContextVar[bool] = ContextVar("brief", default=False)
_SHORT = 36  # letters in a line of a small title


def points(times: float) -> float:
    """Return a size of text in points."""
    return float(mpl.rcParams["font.size"]) * times


@contextmanager
def canvas(
    ax: Axes | None, theme: Theme | str | None, style: str | None = None, times: tuple[float, float] = (1.0, 1.0)
) -> Iterator[tuple[Axes, Theme]]:
    """Give the axes to draw on and their theme, and meanwhile let text have the style's size.

    Args:
        ax: Where to draw; None makes a new figure of the style's size.
        theme: A theme or its name, which also colours the figure's background; None leaves the background as it is,
            and takes the theme that is legible on it.
        style: "slide", "paper" or "notebook"; None is a slide, with text of the size of rcParams["font.size"].
        times: How much wider and higher than the style's a new figure is.

    Raises:
        TraceError: There is no such theme or style, or axes of another kind.
    """
    if isinstance(theme, str):
        if theme not in THEMES:
            raise TraceError(unknown("theme", theme, THEMES))
        theme = THEMES[theme]
    elif theme is not None and not isinstance(theme, Theme):
        raise TraceError(f"a theme is 'light', 'dark' or an explainer.theme.Theme, and not {theme!r}")
    if style is not None and not is_one_of(style, STYLES):
        raise TraceError(unknown("style", style, STYLES))
    if ax is not None:
        _check_axes(ax)
    with mpl.rc_context({"font.size": STYLES[style].font} if style else None):
        ax = _new_axes(STYLES[style or "slide"], times) if ax is None else ax
        if theme is not None:
            ax.figure.set_facecolor(theme.background)
        ax.set_facecolor("none")
        yield ax, theme or _legible(ax)
        lend_letters(ax)


def _check_axes(ax: Any) -> None:
    """Refuse what is no axes with a horizontal and a vertical axis: figures hide the one and write on the other."""
    if isinstance(ax, Axes) and ax.name == "rectilinear":
        return
    what = f"a {ax.name} projection" if isinstance(ax, Axes) else f"a {type(ax).__name__}"
    raise TraceError(
        f"a figure is drawn on flat axes, such as figure, ax = plt.subplots() makes, and not on {what}: give such "
        "ones, one of them where there are several, or leave out ax="
    )


def _new_axes(style: Style, times: tuple[float, float]) -> Axes:
    import matplotlib.pyplot as plt  # so that plt.show() shows it

    size = style.width * times[0], style.height * times[1]
    return plt.figure(figsize=size, dpi=style.dpi, layout=layout()).add_subplot()


def layout() -> ConstrainedLayoutEngine:
    """Return what gives titles and labels their room, and leaves a margin around."""
    return ConstrainedLayoutEngine(w_pad=0.14, h_pad=0.12)


def settle(ax: Axes) -> None:
    """Hide axes' own lines, and let their layout be what it will be, so that lengths in them can be relied on."""
    ax.set_axis_off()
    figure = ax.get_figure(root=True)
    engine = figure.get_layout_engine() if figure is not None else None
    if figure is not None and engine is not None:
        engine.execute(figure)


def background(ax: Axes) -> tuple[float, float, float]:
    """Return the colour behind axes: their figure's, or where that is transparent, that of the figure around it."""
    for figure in (ax.figure, ax.get_figure(root=True)):
        if figure is not None:
            *colour, opacity = to_rgba(figure.get_facecolor())
            if opacity > 0:
                return colour[0], colour[1], colour[2]
    return (1.0, 1.0, 1.0)


def _legible(ax: Axes) -> Theme:
    red, green, blue = background(ax)
    return DARK if 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.5 else LIGHT


@contextmanager
def brief() -> Iterator[None]:
    """Let figures that are drawn meanwhile have small titles without lines below them: there is room for little."""
    before = _BRIEF.set(True)
    try:
        yield
    finally:
        _BRIEF.reset(before)


def dress(ax: Axes, theme: Theme, *, grid: bool = True) -> None:
    """Give axes the theme's colours, legible ticks, and lines only where they help."""
    for side, spine in ax.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(theme.line)
    ax.tick_params(which="both", color=theme.line, labelcolor=theme.quiet, labelsize=points(TICK))
    for axis in (ax.xaxis, ax.yaxis):
        axis.label.set(color=theme.text, fontsize=points(LABEL))
    ax.set_axisbelow(True)
    if grid:
        ax.grid(visible=True, axis="y", which="major", color=theme.line, linewidth=0.6, alpha=0.45)


def entitle(
    ax: Axes, title: str, notes: Sequence[str], theme: Theme, *, rows: int = 0, told: Sequence[str] = ()
) -> None:
    """Write a title, and quiet lines between it and the axes, above so many rows of a legend.

    Args:
        told: Sentences for who cannot see the figure: what is drawn, and the numbers that answer its question. With
            title and notes they are what `describe` returns.
    """
    size = points(NOTE)
    tell(ax, title, [*notes, *told])
    lines = [] if _BRIEF.get() else [line for note in notes if note for line in _wrapped(ax, note)]
    ax.set_title(
        textwrap.fill(title, _SHORT) if _BRIEF.get() else title,
        loc="left",
        color=theme.text,
        fontsize=points(LABEL if _BRIEF.get() else TITLE),
        fontweight="bold",
        pad=8 + 1.45 * size * (len(lines) + rows),
        parse_math=False,
    )
    if lines:
        ax.annotate(
            "\n".join(lines),
            (0, 1),
            (0, 5 + 1.45 * size * rows),
            xycoords="axes fraction",
            textcoords="offset points",
            va="bottom",
            color=theme.quiet,
            fontsize=size,
            linespacing=1.25,
            parse_math=False,
        )


def _wrapped(ax: Axes, note: str, most: int = 2) -> list[str]:
    """Return a remark in lines that end inside the figure; where they would be more than `most`, cut off with "…"."""
    box, figure = ax.get_window_extent(), ax.figure.bbox
    alone = len(ax.figure.axes) == 1 and box.width > 0.6 * figure.width
    width = (figure.x1 - box.x0 if alone else box.width) * 72 / ax.figure.dpi
    room = max(20, int(width / (0.5 * points(NOTE))))
    return textwrap.wrap(note, room, max_lines=most, placeholder=" …") if len(note) > room else [note]


def lines_of(ax: Axes, said: Sequence[str], *, wider: float = 1.0) -> list[str]:
    """Put short remarks into as few quiet lines as fit above axes, with a dot between two.

    Args:
        wider: How much wider than the axes a line may be, where a colour bar or a legend stands beside them.
    """
    width = wider * ax.get_window_extent().width * 72 / ax.figure.dpi
    room = width / (0.53 * points(NOTE))  # letters in a line
    lines: list[str] = []
    for each in filter(None, said):
        joined = f"{lines[-1]}  ·  {each}" if lines else each
        if lines and len(joined) <= room:
            lines[-1] = joined
        else:
            lines.append(each)
    return lines


def legend_row(ax: Axes, entries: Sequence[Artist], theme: Theme) -> int:
    """Say what is what in rows between the quiet lines and the axes, where nothing is hidden.

    Returns:
        How many rows that took: `entitle` writes its lines above them.
    """
    if not entries:
        return 0
    columns = _columns(ax, [str(entry.get_label()) for entry in entries])
    legend = ax.legend(
        handles=entries,
        loc="lower left",
        ncols=columns,
        bbox_to_anchor=(-0.01, 0.995),
        frameon=False,
        labelcolor=theme.text,
        fontsize=points(NOTE),
        handlelength=2.4,
        columnspacing=1.4,
        borderaxespad=0,
        borderpad=0.3,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)  # of two dollars in a run's name
    return -(-len(entries) // columns)


def _columns(ax: Axes, labels: Sequence[str]) -> int:
    """Return in how many columns a legend's labels are no wider than axes with a colour bar beside them."""
    room = 1.1 * ax.get_window_extent().width * 72 / ax.figure.dpi
    for columns in range(min(len(labels), 6), 1, -1):
        widest = [max(map(len, labels[part])) for part in _parts(len(labels), columns)]
        if sum(0.53 * longest + 4.6 for longest in widest) * points(NOTE) <= room:
            return columns
    return 1


def _parts(count: int, columns: int) -> list[slice]:
    """Return which of a legend's entries stand in each column: matplotlib fills the first ones with one more."""
    each, more = divmod(count, columns)
    ends = [each * (column + 1) + min(more, column + 1) for column in range(columns)]
    return [slice(begin, end) for begin, end in zip([0, *ends], ends, strict=False)]


def number(value: float, digits: int = 3) -> str:
    """Write a number for the eye: a few digits that count, a real minus sign, powers of ten where they are shorter."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e4:
        written = f"{value:#.{digits}g}" if abs(value) < 10 ** (digits - 1) else f"{value:.0f}"
        return written.replace("-", "−")
    mantissa, exponent = f"{value:.{digits - 2}e}".split("e")
    return f"{mantissa}×10{raised(int(exponent))}".replace("-", "−")


def tick(value: float, *, powers: bool = False) -> str:
    """Write a tick of a logarithmic scale: 0.02, 0.1, 10⁻⁵; all as powers of ten where that is asked for."""
    if 1e-3 <= value < 1e4 and not powers:
        return f"{value:g}"
    exponent = math.floor(math.log10(value) + 1e-9)
    leading = f"{value / 10**exponent:.2g}"
    return ("" if leading == "1" else f"{leading}×") + f"10{raised(exponent)}"


def raised(exponent: int) -> str:
    """Write an exponent in raised digits."""
    return str(exponent).translate(_RAISED)


_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
