"""The scale of a surface's losses: which levels, logarithmic or not, and one colour for each band between two."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.colors import BoundaryNorm, Colormap, ListedColormap, to_rgba
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from explainer.errors import TraceError, is_one_of, unknown
from explainer.plots.style import LABEL, TICK, points, tick
from explainer.theme import HEIGHTS, Theme, height_colour

SCALES = ("linear", "log")
MAP, MOUNTAIN = 20.0, 100.0  # how large a spread of losses is too large for an even scale: colours, and heights
_DECADES = 6  # of a logarithmic scale; what is lower is one band, with an arrow at the end of the colour bar
_DIGITS = (  # decades below which a logarithmic scale has levels at these digits
    (1.0, (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)),
    (2.4, (1, 1.5, 2, 3, 5, 7)),
    (4.5, (1, 2, 5)),
    (math.inf, (1, 3)),
)
_MOST = 9  # ticks on a colour bar


@dataclass(frozen=True)
class Heights:
    """What colour a loss has, and how high it stands.

    Attributes:
        levels: (L,) where a band ends and the next begins, rising.
        log: Whether they are steps of a factor rather than of a difference.
        below: Whether some losses are lower than the first level.
    """

    levels: NDArray[np.float64]
    log: bool
    below: bool = False

    @property
    def name(self) -> str:
        """What is written at an axis that shows these losses."""
        return "loss (log scale)" if self.log else "loss"

    @property
    def extend(self) -> Any:
        """Which bands are open at their end, in matplotlib's word."""
        return "min" if self.below else "neither"

    @property
    def colours(self) -> Colormap:
        """One colour for each band; of those above the scale the highest, of those that are no number none."""
        bands = len(self.levels) - 1 + self.below
        colours = [height_colour(band / max(1, bands - 1)) for band in range(bands)]
        return ListedColormap(colours, "loss").with_extremes(under=colours[0], over=colours[-1], bad=(0, 0, 0, 0))

    @property
    def norm(self) -> BoundaryNorm:
        """From a loss to the number of its band."""
        return BoundaryNorm(self.levels, len(self.levels) - 1 + self.below, extend=self.extend)

    def colour_of(self, losses: ArrayLike) -> NDArray[np.float64]:
        """Return the colours of losses, (…, 4)."""
        colours: NDArray[np.float64] = self.colours(self.norm(np.ma.masked_invalid(losses)))
        return colours

    def smooth_colours(self, rises: ArrayLike) -> NDArray[np.float64]:
        """Return the colours of heights on this scale's axis, (…, 4): in the middle of a band its own."""
        edges = self.rise(self.levels)
        shares = np.interp(
            np.asarray(rises, np.float64), (edges[:-1] + edges[1:]) / 2, np.linspace(0, 1, len(edges) - 1)
        )
        stops = np.array([to_rgba(height) for height in HEIGHTS])  # (stop, 4)
        places = np.linspace(0, 1, len(stops))
        return np.stack([np.interp(shares, places, channel) for channel in stops.T], axis=-1)

    def rise(self, losses: ArrayLike) -> NDArray[np.float64]:
        """Return how high losses stand on an axis of this scale: the losses, or their logarithms to base ten."""
        values = np.asarray(losses, np.float64)
        if not self.log:
            return values
        rises: NDArray[np.float64] = np.log10(np.maximum(values, self.levels[0]))  # what is lower stands on the floor
        return rises

    def ticks(self, most: int = _MOST) -> tuple[NDArray[np.float64], list[str]]:
        """Return the levels that are named, and their names."""
        levels = self.levels
        if self.log:
            powers = levels[-1] / levels[0] > 1e4
            for leading in ((1, 2, 5), (1, 3), (1,)):
                chosen = levels[[_leading(level) in leading for level in levels]]
                if 2 <= len(chosen) <= most:
                    break
            else:
                chosen = levels[:: math.ceil(len(levels) / most)]
            return chosen, [tick(level, powers=powers) for level in chosen]
        chosen = levels[:: math.ceil(len(levels) / most)]
        least = 1e-3 * np.ptp(chosen)
        digits = next(many for many in range(20) if np.abs(chosen - chosen.round(many)).max() <= least)
        return chosen, [f"{level:.{digits}f}".replace("-", "−") for level in chosen]


def heights_of(*losses: ArrayLike, scale: str | None = None, spread: float = MAP) -> Heights:
    """Choose the scale for losses of any shapes: logarithmic where they are positive and span orders of magnitude.

    Args:
        scale: "linear" or "log"; None chooses.
        spread: From how many times the lowest decile on the highest loss makes the scale logarithmic.

    Raises:
        TraceError: There is no such scale, or losses that are zero or negative are to have a logarithmic one.
    """
    values = np.concatenate([np.ravel(np.asarray(each, np.float64)) for each in losses])
    values = values[np.isfinite(values)]
    if scale is not None and not is_one_of(scale, SCALES):
        raise TraceError(unknown("scale", scale, SCALES))
    if not values.size:
        return Heights(np.array([0.0, 1.0]), log=False)
    low, high = float(values.min()), float(values.max())
    if scale == "log" and low <= 0:
        raise TraceError(f"a loss of {low:g} has no place on a logarithmic scale; take scale='linear'")
    if scale == "log" or (scale is None and low > 0 and high >= spread * float(np.quantile(values, 0.1))):
        bottom = max(low, high / 10**_DECADES)
        return Heights(_factors(bottom, high), log=True, below=low < bottom)
    if high - low <= 1e-9 * max(abs(low), abs(high)):  # flat: one band around it
        room = 0.05 * abs(low) or 0.5
        low, high = low - room, high + room
    steps = np.asarray(MaxNLocator(nbins=12, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high), np.float64)
    first, last = np.searchsorted(steps, low, "right") - 1, np.searchsorted(steps, high, "left")
    return Heights(steps[max(int(first), 0) : int(last) + 1], log=False)


def _factors(low: float, high: float) -> NDArray[np.float64]:
    """Return round numbers from the one below `low` to the one above `high`, evenly spread by their logarithm."""
    decades = math.log10(high / low)
    leading = next(digits for most, digits in _DIGITS if decades < most)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    numbers = np.array([float(f"{digit}e{power}") for power in range(first, last + 1) for digit in leading])
    begin, end = np.searchsorted(numbers, low, "right") - 1, np.searchsorted(numbers, high, "left")
    return numbers[max(begin, 0) : max(end, begin + 1) + 1]


def _leading(value: float) -> float:
    """Return the leading digits of a round number: such as 1, 1.5 or 7."""
    return float(f"{value:.1e}".partition("e")[0])


def colour_bar(inside: Axes, heights: Heights, theme: Theme, *, horizontal: bool = False) -> Colorbar:
    """Turn axes into the bar that says which colour is which loss."""
    from matplotlib.cm import ScalarMappable

    bar = Colorbar(
        inside,
        ScalarMappable(heights.norm, heights.colours),
        orientation="horizontal" if horizontal else "vertical",
        spacing="uniform",
        drawedges=False,
        extendfrac=0.05,
    )
    places, names = heights.ticks()
    bar.set_ticks(places.tolist(), labels=names)
    bar.minorticks_off()
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, pad=4, labelcolor=theme.quiet, labelsize=points(TICK))
    bar.set_label(heights.name, color=theme.text, fontsize=points(LABEL))
    return bar
