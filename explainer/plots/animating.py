"""A figure that moves: one picture a recorded step, on one scale, as MP4, GIF or a page. No manim."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from explainer.errors import TraceError, is_one_of, unknown
from explainer.plots.describing import describe
from explainer.plots.moving_files import WRITERS
from explainer.plots.style import STYLES, layout, tick
from explainer.thinning import bins

if TYPE_CHECKING:
    from explainer.plots.comparing import Traces

Draw = Callable[..., Axes]
Limits = list[tuple[tuple[float, float], tuple[float, float]]]  # (x, y) of each axes of a picture

_MOST = 120  # pictures: of longer runs evenly chosen steps
_HELD = 1.5  # seconds that the last picture stays


def animate(
    draw: Draw,
    trace: Traces,
    path: str | Path,
    *,
    frames_per_second: float = 10,
    most: int = _MOST,
    dpi: float = 120,
    style: str = "slide",
    theme: str = "light",
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> Path:
    """Draw a figure at each recorded step into a film, a GIF or a page with a slider.

    All pictures share one scale, so that what moves is what changed. Of runs with more than `most` recorded steps
    evenly chosen ones are shown, the first and the last among them; each picture says which step it is.

    Args:
        draw: A figure that takes a step, such as `explainer.plots.gradient_flow`.
        path: Ends in .mp4 (needs PyAV, as the films do), .gif or .html, which is one file without a network.
        frames_per_second: Steps shown in a second.
        most: Pictures at most.
        dpi: Pixels per inch; 120 makes 960×540 of a slide.
        progress: Called with how many pictures are drawn, and of how many.
        options: Passed to `draw`.

    Raises:
        TraceError: The figure shows all steps at once, the path has another ending, or it cannot be written.
        MissingDependency: An MP4 is asked for, and PyAV is not installed.

    Example:
        >>> from explainer import lessons, plots
        >>> path = plots.animate(plots.gradient_flow, lessons.record_lesson("two-layer"), "flow.gif", most=3, dpi=40)
    """
    path = Path(path)
    kind = _kind_of(path)
    check(draw)
    if not is_one_of(style, STYLES):
        raise TraceError(unknown("style", style, STYLES))
    steps = _steps(trace, most)
    drawn = _Drawn(draw, trace, steps, style, theme, options, progress)
    common = _common([_limits(figure) for figure, _ in drawn.pictures(0)])
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.unfinished{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with WRITERS[kind](temporary, frames_per_second, _HELD) as add:
            for step, (figure, axes) in zip(steps, drawn.pictures(1), strict=True):
                _set_limits(figure, common)
                add(_pixels(figure, dpi), f"step {step}", describe(axes))
        os.replace(temporary, path)
    except OSError as error:
        raise TraceError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink()
    return path


@dataclass(frozen=True)
class _Drawn:
    """A figure at several steps, drawn twice: to learn what scale they share, and with it."""

    draw: Draw
    trace: Traces
    steps: Sequence[int]
    style: str
    theme: str
    options: dict[str, Any]
    progress: Callable[[int, int], None] | None

    def pictures(self, time: int) -> Iterator[tuple[Figure, Axes]]:
        """Draw all for the first time, 0, or the second, 1."""
        size, total = STYLES[self.style], 2 * len(self.steps)
        for done, step in enumerate(self.steps, time * len(self.steps) + 1):
            figure = Figure(figsize=(size.width, size.height), layout=layout())
            look: dict[str, Any] = {"step": step, "theme": self.theme, "style": self.style, **self.options}
            yield figure, self.draw(self.trace, ax=figure.add_subplot(), **look)
            if self.progress:
                self.progress(done, total)


def _kind_of(path: Path) -> str:
    kind = path.suffix.lower().removeprefix(".")
    if kind not in WRITERS:
        raise TraceError(f"{path}: a figure that moves is written as {', '.join(f'.{each}' for each in WRITERS)}")
    return kind


def check(draw: Draw) -> None:
    """Refuse a figure that does not take a step.

    Raises:
        TraceError: It shows all steps at once, or none.
    """
    if "step" not in inspect.signature(draw).parameters:
        raise TraceError(
            f"the figure {draw.__name__} takes no step, so there is nothing that would move: choose one with step=, "
            "such as gradient_flow, activations or classification"
        )


def _steps(trace: Traces, most: int) -> list[int]:
    """Return which recorded steps are shown: those that all runs have, evenly chosen."""
    from explainer.plots.comparing import runs_of

    held = [{int(step) for step in run.steps} for run in runs_of(trace).values()]
    shared = sorted(set.intersection(*held))
    if not shared:
        raise TraceError("these traces share no recorded step, so that none can be drawn beside the other")
    parts = bins(len(shared), max(2, most))
    return [shared[part.start] for part in parts[:-1]] + [shared[-1]]


def _all_axes(figure: Figure) -> list[Axes]:
    """Return a figure's axes and those inside them, in the order in which they were made."""
    found: list[Axes] = []
    waiting = list(figure.axes)
    while waiting:
        ax = waiting.pop(0)
        found.append(ax)
        waiting += [child for child in ax.child_axes if isinstance(child, Axes)]
    return found


def _limits(figure: Figure) -> Limits:
    return [(ax.get_xlim(), ax.get_ylim()) for ax in _all_axes(figure)]


def _common(limits: Sequence[Limits]) -> Limits | None:
    """Return for each axes limits that hold those of every picture; None where pictures differ in their axes."""
    if len({len(each) for each in limits}) != 1:
        return None
    columns = zip(*limits, strict=True)
    return [(_hull([across for across, _ in column]), _hull([up for _, up in column])) for column in columns]


def _hull(ends: Sequence[tuple[float, float]]) -> tuple[float, float]:
    falling = ends[0][0] > ends[0][1]  # an image's rows are counted from the top
    low, high = min(map(min, ends)), max(map(max, ends))
    return (high, low) if falling else (low, high)


def _set_limits(figure: Figure, common: Limits | None) -> None:
    """Give a picture the scales of all; where that widens one, its ticks are chosen anew."""
    if common is None:
        return
    for ax, (across, up) in zip(_all_axes(figure), common, strict=True):
        if ax.get_xlim() != across:
            ax.set_xlim(*across)
        if ax.get_ylim() != up:
            ax.set_ylim(*up)
            ax.spines["left"].set_bounds(*sorted(up))
            if ax.get_yscale() == "log":
                powers = max(up) > 1e4 * min(up)
                ax.yaxis.set_major_locator(LogLocator(numticks=7))
                ax.yaxis.set_minor_locator(NullLocator())
                ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _, powers=powers: tick(value, powers=powers)))
            elif ax.yaxis.get_ticklocs().size:
                ax.yaxis.set_major_locator(MaxNLocator(6))


def _pixels(figure: Figure, dpi: float) -> NDArray[np.uint8]:
    """Return a picture as (row, column, RGB)."""
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
