"""A layer's weight at a step: an image of what each unit looks for, filters, or the matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_hex
from matplotlib.image import AxesImage

from explainer.errors import TraceError
from explainer.plots.comparing import Panel, panels, runs_of
from explainer.plots.style import LABEL, NOTE, TICK, background, canvas, dress, entitle, lines_of, number, points
from explainer.theme import NEGATIVE, POSITIVE, Theme, contrast
from explainer.weights import WeightPictures, weight_pictures

if TYPE_CHECKING:
    from explainer.plots.comparing import Traces
    from explainer.trace import Trace

Floats = npt.NDArray[np.float64]

_TITLES = {
    "images": "What does each unit look for?",
    "filters": "What does each filter look for?",
    "matrix": "How does the layer weigh its inputs?",
}
_MOST = {1: 24, 2: 12, 3: 8}  # pictures of a run, by how many runs there are
_FEWEST = 6
_CHANNELS = 3
_SHAPE = 1.7  # how many times as wide as high the room for pictures is
_MANY, _FULL = 1000, 0.997  # weights from which on the full colour is that of a quantile, so that few do not pale all
_NUMBERS = 48  # cells up to which a matrix has its numbers written in it


def weights(
    trace: Traces,
    *,
    layer: str | None = None,
    step: int = -1,
    ax: Axes | None = None,
    theme: Theme | str | None = None,
    style: str | None = None,
    **image: Any,
) -> Axes:
    """Draw a layer's weights at a step, blue above zero and vermilion below: what does it look for?

    Where the inputs are images, each picture is the row of the weight that one unit multiplies them by: the unit speaks
    up for images that are bright where it is blue, and dark where it is vermilion. Of a convolution each column is a
    filter, each row one of its input channels; any other weight is drawn as the matrix it is, a unit in each row. A
    trained network shows strokes, edges and spots. Pictures that look like noise have learned little or are learned by
    heart; all alike, or all but white, are units that do nothing.

    Args:
        trace: A recorded run, or several by name, drawn side by side on one scale of colours; reads one parameter,
            (unit, input, …), as it was before the step's update.
        layer: A layer, or a parameter by its own name; the first with a matrix when omitted.
        step: A recorded step; a negative one counts from the last.
        ax: Where to draw. A new figure is made when omitted.
        theme: "light" or "dark"; what fits the figure's background when omitted.
        style: "slide", "paper" or "notebook": the size of a new figure, and of the text.
        image: Passed to `matplotlib.axes.Axes.imshow`.

    Returns:
        The axes drawn on; with the map of each run and the colour bar in `ax.child_axes`.

    Raises:
        TraceError: Parameters were not kept, or there is no such layer or step.

    Example:
        >>> from explainer import lessons, plots
        >>> axes = plots.weights(lessons.record_lesson("digits"))
        >>> path = plots.save(axes, "weights.png")
    """
    runs = runs_of(trace)
    most = _MOST.get(len(runs), _FEWEST)
    pictures = {name: weight_pictures(each, layer, step, most=most, channels=_CHANNELS) for name, each in runs.items()}
    largest = _largest(list(pictures.values()))
    with canvas(ax, theme, style) as (ax, theme):
        look = {"cmap": _colours(theme), "norm": Normalize(-largest, largest), "interpolation": "nearest", **image}
        found = panels(ax, runs, theme, gap=0.05, right=0.92)
        for panel, each in zip(found, pictures.values(), strict=True):
            drawn = _draw(panel, each, theme, look)
            if not panel.outer and len({other.shape for other in pictures.values()}) == 1:
                panel.ax.tick_params(labelleft=False)
        _bar(ax, drawn, largest, _beyond(list(pictures.values()), largest) > 0, theme)
        first = next(iter(pictures.values()))
        said = lines_of(ax, _remarks(runs, pictures, step, found[0].share), wider=1.15)
        entitle(ax, _TITLES[first.kind], said, theme, told=_told(pictures, largest))
    return ax


def _largest(pictures: list[WeightPictures]) -> float:
    """Return the magnitude that has the full colour: of many weights larger than all but a few.

    Raises:
        TraceError: None of the weights is a finite number.
    """
    values = np.concatenate([np.abs(each.pictures[np.isfinite(each.pictures)]) for each in pictures])
    if not values.size:
        name = pictures[0].parameter
        raise TraceError(f"no weight of {name!r} is a finite number at this step: take an earlier one with step=")
    return float(np.quantile(values, _FULL) if values.size > _MANY else values.max()) or 1.0


def _colours(theme: Theme) -> LinearSegmentedColormap:
    return LinearSegmentedColormap.from_list("signed", [NEGATIVE, theme.zero, POSITIVE])


def _draw(panel: Panel, each: WeightPictures, theme: Theme, look: dict[str, Any]) -> AxesImage:
    """Draw a run's pictures as one image: tiles with gaps between them, or the matrix."""
    ax = panel.ax
    dress(ax, theme, grid=False)
    for spine in ax.spines.values():
        spine.set_visible(False)
    tiled = each.kind != "matrix"
    columns = columns_of(each, _SHAPE * panel.share)
    sheet = tiles(each, columns) if tiled else each.pictures[0, 0]
    drawn = ax.imshow(np.ma.masked_invalid(sheet), **{"aspect": "equal" if tiled else "auto", **look})
    ax.tick_params(length=0)
    if tiled:
        _name_tiles(ax, each, columns, theme)
        return drawn
    down, across = each.every
    for axis, every, count, most in (
        (ax.yaxis, down, sheet.shape[0], 5), (ax.xaxis, across, sheet.shape[1], 5 if panel.share > 0.5 else 2)
    ):  # fmt: skip
        places = np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))
        axis.set_ticks(places, [str(place * every) for place in places])
    ax.set_xlabel("input", color=theme.text, fontsize=points(LABEL))
    ax.set_ylabel("unit" if panel.outer else "", color=theme.text, fontsize=points(LABEL))
    if sheet.size <= _NUMBERS * panel.share:
        _write_numbers(ax, sheet, drawn, theme)
    return drawn


def _write_numbers(ax: Axes, matrix: Floats, drawn: AxesImage, theme: Theme) -> None:
    for (row, column), value in np.ndenumerate(matrix):
        words, ink = str(value).replace("inf", "∞").replace("nan", "NaN"), theme.text
        if np.isfinite(value):
            red, green, blue, _ = drawn.to_rgba(np.array([value]))[0]
            behind = to_hex((float(red), float(green), float(blue)))
            words = number(float(value))
            ink = "#FFFFFF" if contrast("#FFFFFF", behind) > contrast("#000000", behind) else "#000000"
        ax.text(column, row, words, ha="center", va="center", color=ink, fontsize=points(LABEL))


def columns_of(each: WeightPictures, shape: float) -> int:
    """Return how many pictures stand side by side so that they are as large as they can be.

    Args:
        shape: How many times as wide as high the room for them is.
    """
    count, channels, high, wide = (int(size) for size in each.pictures.shape)
    shape *= high / wide
    if channels > 1:
        return min(count, max(1, round(channels * shape)))
    sizes = {columns: min(shape / columns, 1 / -(-count // columns)) for columns in range(1, count + 1)}
    return max(sizes, key=lambda columns: (sizes[columns], -(-count % columns)))


def tiles(each: WeightPictures, columns: int) -> Floats:
    """Return pictures side by side with gaps of NaN: of one channel in rows, else a column for each unit."""
    count, channels, high, wide = each.pictures.shape
    gap = _gap(each)
    lines = -(-count // columns) if channels == 1 else channels
    sheet = np.full((lines * (high + gap) - gap, columns * (wide + gap) - gap), np.nan)
    for unit in range(count if channels == 1 else columns):
        for channel in range(channels):
            row, column = divmod(unit, columns) if channels == 1 else (channel, unit)
            top, left = row * (high + gap), column * (wide + gap)
            sheet[top : top + high, left : left + wide] = each.pictures[unit, channel]
    return sheet


def _gap(each: WeightPictures) -> int:
    return max(1, round(0.08 * max(map(int, each.pictures.shape[2:]))))


def _name_tiles(ax: Axes, each: WeightPictures, columns: int, theme: Theme) -> None:
    """Say below and beside the tiles which units, and which channels, they are."""
    count, channels, high, wide = each.pictures.shape
    lines = -(-count // columns) if channels == 1 else channels
    tops = [row * (high + _gap(each)) + (high - 1) / 2 for row in range(lines)]
    word = "unit" if each.kind == "images" else "filter"
    if channels > 1:
        lefts = [column * (wide + _gap(each)) + (wide - 1) / 2 for column in range(columns)]
        names = ("red", "green", "blue") if each.channels == 3 else [f"channel {at}" for at in range(channels)]
        ax.set_yticks(tops, list(names[:channels]), color=theme.text, fontsize=points(TICK))
        ax.set_xticks(lefts, [str(column) for column in range(columns)], color=theme.quiet, fontsize=points(NOTE))
        ax.set_xlabel(word, color=theme.text, fontsize=points(LABEL))
        return
    ax.set_xticks([])
    ends = [min((row + 1) * columns, count) - 1 for row in range(lines)]
    spans = [f"{row * columns} to {end}" if end > row * columns else f"{end}" for row, end in enumerate(ends)]
    ax.set_yticks(tops, [f"{word}s\n{span}" for span in spans], color=theme.quiet, fontsize=points(NOTE))


def _beyond(pictures: list[WeightPictures], largest: float) -> int:
    """Return how many of the weights drawn are larger than what has the full colour."""
    return sum(int((np.abs(each.pictures[np.isfinite(each.pictures)]) > largest).sum()) for each in pictures)


def _bar(ax: Axes, drawn: AxesImage, largest: float, beyond: bool, theme: Theme) -> None:
    bar = Colorbar(ax.inset_axes((0.955, 0.02, 0.022, 0.94)), drawn, extend="both" if beyond else "neither")
    bar.set_ticks([-largest, 0, largest], labels=[number(-largest, 2), "0", number(largest, 2)])
    bar.minorticks_off()
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, pad=4, labelcolor=theme.quiet, labelsize=points(TICK))
    bar.set_label("weight", color=theme.text, fontsize=points(LABEL))
    bar.ax.set_facecolor(background(ax))


def _remarks(runs: dict[str, Trace], pictures: dict[str, WeightPictures], step: int, share: float) -> list[str]:
    first, trace = next(iter(pictures.values())), next(iter(runs.values()))
    said = [f"{first.parameter}, {'×'.join(map(str, first.shape))}", f"step {trace.steps[trace.index_of(step)]}"]
    lost = sum(int((~np.isfinite(each.pictures)).sum()) for each in pictures.values())
    said += [f"{lost:,} weights are not finite"] if lost else []
    if first.kind == "matrix":
        kinds = zip(first.every, ("units", "inputs"), strict=True)
        parts = [f"one in {every} {what}" for every, what in kinds if every > 1]
        said += [f"{' and '.join(parts)} drawn"] if parts else []
        rows_and_columns = list(first.maybe_image or ())
        return [*said, f"are inputs images? recorder.note(image_shape={rows_and_columns})" if rows_and_columns else ""]
    shown = len(first.pictures)
    if first.pictures.shape[1] > 1:
        shown = columns_of(first, _SHAPE * share)
    word = "units" if first.kind == "images" else "filters"
    said += [f"the first {shown} of {first.units} {word}"] if shown < first.units else []
    if first.pictures.shape[1] < first.channels:
        said.append(f"the first {first.pictures.shape[1]} of {first.channels} input channels")
    return said


def _told(pictures: dict[str, WeightPictures], largest: float) -> list[str]:
    first = next(iter(pictures.values()))
    what = "The weights as a matrix" if first.kind == "matrix" else f"The weights as {first.kind}, one for each unit"
    beyond = _beyond(list(pictures.values()), largest)
    more = f", and {beyond:,} weights are larger" if beyond else ""
    said = [f"{what}, blue above zero, vermilion below; the full colour is ±{number(largest)}{more}."]
    for name, each in pictures.items():
        known = each.pictures[np.isfinite(each.pictures)]
        low, high, size = (number(float(value)) for value in (known.min(), known.max(), np.abs(known).mean()))
        said.append(f"{f'{name}: they' if name else 'They'} reach from {low} to {high}, {size} in mean magnitude.")
    return said
