"""Layers as rows, the first on top: their names, what is said at the end of each, and a curve's shape on each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from explainer.plots.comparing import Panel, panels
from explainer.plots.glyphs import width
from explainer.plots.naming import plain, short
from explainer.plots.style import NOTE, TICK, dress, points
from explainer.saturation import kind_of
from explainer.theme import Theme

if TYPE_CHECKING:
    from explainer.trace import Trace

Floats = npt.NDArray[np.float64]

MOST = 18  # rows that are still read from the last row of a room
_LONGEST = 22  # letters of a name
TALL = 0.86  # of a row's height, that the highest place of a shape has


@dataclass(frozen=True)
class Shape:
    """What is drawn on one row.

    Attributes:
        edges: (bin + 1,) where bins begin and end, along the horizontal axis.
        heights: (bin,) from 0 to 1; NaN is a gap.
        inside: Between which places nothing is hatched, as everything beyond is; None for no hatching.
        middle: Where a line stands, such as the median; NaN for none.
        said: Written at the row's end.
    """

    edges: Floats
    heights: Floats
    inside: tuple[float, float] | None = None
    middle: float = float("nan")
    said: str = ""


def named(trace: Trace, layer: str) -> str:
    """Return a layer's name, and its class beside it where there is room."""
    kind = kind_of(trace, layer)
    together = f"{layer}  {kind}"
    return plain(together) if kind and width(together) <= _LONGEST else short(layer, _LONGEST)


def places(
    ax: Axes, runs: Mapping[str, Trace], names: Sequence[Sequence[str]], said: Sequence[str], theme: Theme
) -> list[Panel]:
    """Return where each run's rows are drawn, with room for what is said at their ends.

    Args:
        names: Of each run's rows; where all runs have the same, they are written once.
        said: All that will be said at rows' ends, in panels in letters of 0.9 of the usual size.
    """
    same = all(list(each) == list(names[0]) for each in names)
    letters = max(map(len, said), default=0) * 0.5 * points(0.9) + 6
    end = letters * ax.figure.dpi / 72 / ax.get_window_extent().width  # as a share of the axes' width
    before = 0.0 if same else min(0.25, 0.009 * max(len(name) for each in names for name in each))
    found = panels(ax, runs, theme, gap=0.025 + end + before, right=1.0 if "" in runs else 1.06 - end)
    for panel in found if same else ():
        panel.ax.tick_params(labelleft=panel.outer)
    return found


def names_on(panel: Panel, names: Sequence[str]) -> list[str]:
    """Return the names of rows as there is room for them: with their classes where the run is the only one."""
    if panel.name:
        return [short(name, _LONGEST - 6) for name in names]
    return [named(panel.trace, name) for name in names]


def frame(ax: Axes, names: Sequence[str], theme: Theme, *, lines: bool = True, raised: float = 0.22) -> None:
    """Give axes a row for each name, the first on top.

    Args:
        lines: Whether rows stand on lines, above which their shapes are drawn.
        raised: How far above its line a name stands, as a share of a row's height.
    """
    dress(ax, theme, grid=False)
    ax.set_ylim(len(names) - (0.7 if lines else 0.5), -1.0 if lines else -0.5)
    small = 0.9 if len(names) > 16 else NOTE if len(names) > 10 else TICK
    raised *= lines
    ax.set_yticks([place - raised for place in range(len(names))], names, color=theme.text, fontsize=points(small))
    ax.tick_params(axis="y", length=0, labelsize=points(small), labelcolor=theme.text)
    ax.spines["left"].set_visible(False)
    if lines:
        places = range(len(names))
        ax.hlines(places, 0, 1, transform=ax.get_yaxis_transform(), color=theme.line, linewidth=0.7, zorder=1)


def draw(
    ax: Axes, shapes: Sequence[Shape], theme: Theme, *, size: float = NOTE, step: bool = False, **fill: Any
) -> None:
    """Draw each row's shape on its line, and write at its end what is said of it.

    Args:
        size: Of what is written at the end.
        step: Whether a height holds over its whole bin, or shapes are smooth.
        fill: Passed to `matplotlib.axes.Axes.fill_between`.
    """
    for row, shape in enumerate(shapes):
        x, up = (
            (np.repeat(shape.edges, 2)[1:-1], np.repeat(shape.heights, 2))
            if step
            else ((shape.edges[1:] + shape.edges[:-1]) / 2, shape.heights)
        )
        look = {"linewidth": 1.1, "zorder": 3, "edgecolor": theme.text, **fill}
        ax.fill_between(x, row, row - TALL * up, **look)
        if shape.inside is not None:
            _hatch(ax, (x, row, row - TALL * up), shape.inside, theme)
        if np.isfinite(shape.middle):
            at = int(np.clip(np.searchsorted(shape.edges, shape.middle) - 1, 0, len(shape.heights) - 1))
            top = row - TALL * float(np.nan_to_num(shape.heights[at]))
            ax.plot([shape.middle] * 2, [row, top], color=theme.text, linewidth=2.2, zorder=5)
        if shape.said:
            ax.annotate(
                shape.said, (1, row - (TALL / 2 if step else 0.22)), (6, 0), xycoords=("axes fraction", "data"),
                textcoords="offset points", va="center", color=theme.text, fontsize=points(size),
            )  # fmt: skip


def _hatch(ax: Axes, drawn: tuple[Floats, int, Floats], inside: tuple[float, float], theme: Theme) -> None:
    """Hatch a shape beyond two places, exactly from there on."""
    x, row, up = drawn
    for left, right in ((x[0], inside[0]), (inside[1], x[-1])):
        if left < right:
            hatch: dict[str, Any] = {"facecolor": "none", "edgecolor": theme.text, "hatch": "////////", "linewidth": 0}
            area = ax.fill_between(x, row, up, zorder=4, **hatch)
            area.set_clip_path(Rectangle((left, row - 1), right - left, 1, transform=ax.transData))


def percent(share: float) -> str:
    """Write a share, never as none or all where it is not."""
    if 0 < share < 0.005:
        return "<1 %"
    return ">99 %" if 0.995 <= share < 1 else f"{100 * share:.0f} %"


def kept_examples(traces: Sequence[Trace], kind: str) -> str:
    """Say of how many examples tensors were kept, where all traces have the same number."""
    counts = set()
    for trace in traces:
        recorded = getattr(trace, kind)
        for name in list(recorded)[:1]:
            counts.update(recorded[name].shape_at([0])[:1])
    if len(counts) != 1:
        return "of the examples kept"
    (count,) = counts
    return f"of the {count} examples kept" if count != 1 else "of the one example kept"


def room_for(panel: Panel, letters: float) -> int:
    """Return how many numbers of so many letters fit side by side under a run's rows, at least two."""
    width = panel.ax.get_window_extent().width * 72 / panel.ax.figure.dpi
    return max(2, int(width / (0.6 * letters * points(TICK))))
