"""A network's stages side by side: units filled by their activations, maps as images, edges by their weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.patches import Circle, FancyBboxPatch

from explainer.plots.naming import plain
from explainer.plots.sheet import SMALL, Array, Sheet
from explainer.portrait import Seen
from explainer.stages import BLOCK, Skip
from explainer.theme import LAYER, NEGATIVE, POSITIVE, RIGHT, Theme, ink

_LABELS = 4.3  # the height of what stands under a stage, in em
_ARC = 0.95  # from one arrow that skips to the next above it
_RADIUS, _GAP = 0.46, 0.25  # of a unit, between two maps
_LARGEST = 1.0  # the radius of a unit that has room around it, in em
_NAME = 12  # letters of a class
_WIDEST = 2.8  # of an edge, in points


class StagesInARow:
    """Where the stages of a portrait stand on a sheet, and how they are drawn.

    Attributes:
        across: (stage,) the middle of each; of the input's picture too, where there is one.
        picture: An image of the input, or None.
    """

    def __init__(self, sheet: Sheet, seen: Sequence[Seen], picture: Array | None, classes: Sequence[str]) -> None:
        """Place them.

        Args:
            picture: The image that the input is, (row, column) or (row, column, 3).
            classes: Their names, where the last stage shows their probabilities.
        """
        self.classes = classes
        self.sheet, self.seen, self.theme, self.picture = sheet, seen, sheet.theme, picture
        self.skips = _stacked([skip for each in seen for skip in each.stage.skips])
        above = _ARC * (1 + max((level for _, level in self.skips), default=-1)) + (0.6 if self.skips else 0.2)
        self.top, self.bottom = sheet.height - above, _LABELS
        self.middle = (self.top + self.bottom) / 2
        count = len(seen) + (picture is not None)
        aside = self._aside(count) if seen[-1].probabilities else 0.0
        pitch = (sheet.width - aside) / count
        self.pitch, self.across = pitch, pitch * (np.arange(count) + 0.5)[count - len(seen) :]
        self.half = [self._half(each) for each in seen]

    def draw(self, edge: dict[str, Any]) -> None:
        """Draw all of it, what joins the stages first."""
        if self.picture is not None:
            self._draw_picture()
        for place, each in enumerate(self.seen[1:], 1):
            self._join(place, each, edge)
        for place, each in enumerate(self.seen):
            if each.stage.kind == BLOCK and place:
                self._box(place)
            if each.values is None:
                self._empty(place, each)
            elif each.row:
                self._units(place, each, each.values)
            else:
                self._maps(place, each, each.values)
            self._label(place, each)
        for skip, level in self.skips:
            self._arc(skip, level)

    # ── one stage ────────────────────────────────────────────────────────────────────────────────────────────────

    def _aside(self, count: int) -> float:
        """Return how much room the names of classes need beside the last stage, beyond what is there."""
        longest = min(max(map(len, self.classes), default=1), _NAME)
        return max(0.0, 0.62 * SMALL * (longest + 8) + 1.2 - self.sheet.width / count / 2)

    def _half(self, seen: Seen) -> float:
        """Return how far a stage reaches to either side."""
        if seen.row or seen.values is None:
            own = _RADIUS
        else:
            rows, columns = seen.values.shape[1:3]
            own = self._side(len(seen.values), rows, columns) / 2
        return float(own + (0.35 if seen.stage.kind == BLOCK else 0.05))

    def _side(self, count: int, rows: int, columns: int) -> float:
        """Return how wide a map is drawn: as there is room in both directions."""
        return float(min(0.62 * self.pitch, self._highest(count) * columns / rows, 8.0))

    def _tall(self, seen: Seen) -> float:
        """Return how high what is drawn of a stage reaches."""
        if seen.values is None or seen.row:
            heights = self._heights(len(seen.drawn) if seen.row else 1)
            return float(heights[0] - heights[-1]) + 1.4
        count, rows, columns = seen.values.shape[:3]
        high = min(self._side(count, rows, columns) * rows / columns, self._highest(count))
        return float(count * high + _GAP * (count - 1))

    def _highest(self, count: int) -> float:
        """Return how high each of so many maps may be."""
        return float((self.top - self.bottom - 1.2 - _GAP * (count - 1)) / count)

    def _heights(self, count: int) -> Array:
        around = 1.6 if any(each.stage.kind == BLOCK for each in self.seen) else 1  # frames need room
        apart = min(3.2, (self.top - self.bottom - around) / (max(count, 2) - 0.1))
        return np.asarray(self.middle + apart * ((count - 1) / 2 - np.arange(count)))

    def _units(self, place: int, seen: Seen, values: Array) -> None:
        x, heights = self.across[place], self._heights(len(values))
        radius = min(_LARGEST, 0.42 * abs(heights[0] - heights[1])) if len(heights) > 1 else _LARGEST
        largest = 1.0 if seen.probabilities else _largest(values)
        fills = shades(values, largest, self.theme)
        circles = [Circle((x, y), radius) for y in heights]
        look: dict[str, Any] = {"edgecolors": LAYER if place else self.theme.quiet, "linewidths": 1.1, "zorder": 4}
        self.sheet.ax.add_collection(PatchCollection(circles, facecolors=fills, **look), autolim=False)
        below = heights[values < 0]
        minus = [[(x - 0.5 * radius, y), (x + 0.5 * radius, y)] for y in below]
        bright = _light_on(fills[values < 0], self.theme)
        self.sheet.ax.add_collection(LineCollection(minus, colors=bright, linewidths=1.1, zorder=5), autolim=False)
        for y, each in zip(heights, values, strict=True):
            if not np.isfinite(each):
                self.sheet.write(x, y, "?", zorder=5)
        if seen.probabilities:
            self._classes(place, seen, values, heights)

    def _classes(self, place: int, seen: Seen, values: Array, heights: Array) -> None:
        """Name the classes beside their units, the right answer and the likeliest with their probability."""
        for unit, (y, value) in enumerate(zip(heights, values, strict=True)):
            true = int(seen.drawn[unit]) == seen.right
            words = plain(("▶ " if true else "") + _shortened(self.classes[int(seen.drawn[unit])], _NAME))
            words += f"  {value:.2f}" if true or value == values.max() else ""
            colour = ink(RIGHT, self.theme) if true else self.theme.text
            self.sheet.write(
                self.across[place] + 1.2, y, words, ha="left", color=colour, fontweight="bold" if true else "normal"
            )

    def _maps(self, place: int, seen: Seen, values: Array) -> None:
        count, rows, columns = values.shape[:3]
        wide = self._side(count, rows, columns)
        high = min(wide * rows / columns, self._highest(count))
        largest = _largest(values)
        for at, each in enumerate(values):
            y = self.middle + (high + _GAP) * ((count - 1) / 2 - at)
            grey = not place and len(seen.stage.shape) == 3 and seen.stage.shape[0] in (1, 3)
            image = _as_picture(each) if grey else shades(each, largest, self.theme)
            self._image(image, self.across[place], y, wide, high)

    def _image(self, image: Array, x: float, y: float, wide: float, high: float) -> None:
        extent = (x - wide / 2, x + wide / 2, y - high / 2, y + high / 2)
        limits = self.sheet.ax.get_xlim(), self.sheet.ax.get_ylim()
        self.sheet.ax.imshow(image, extent=extent, aspect="auto", interpolation="nearest", zorder=4)
        self.sheet.ax.set(xlim=limits[0], ylim=limits[1])
        frame = [(extent[0], extent[2]), (extent[1], extent[2]), (extent[1], extent[3]), (extent[0], extent[3])]
        self.sheet.line([*frame, frame[0]], self.theme.line, 0.8, zorder=5)

    def _empty(self, place: int, seen: Seen) -> None:
        """Draw a stage without numbers: empty units."""
        x, heights = self.across[place], self._heights(len(seen.drawn) if seen.row else 1)
        circles = [Circle((x, y), _RADIUS) for y in heights]
        look: dict[str, Any] = {"facecolors": "none", "edgecolors": self.theme.line, "zorder": 4, "hatch": "////"}
        self.sheet.ax.add_collection(PatchCollection(circles, **look), autolim=False)

    def _box(self, place: int) -> None:
        half, x, tall = self.half[place] + 0.1, self.across[place], self._tall(self.seen[place]) + 0.9
        box = FancyBboxPatch(
            (x - half, self.middle - tall / 2), 2 * half, tall, boxstyle="round,pad=0,rounding_size=0.5",
            facecolor=self.theme.panel, edgecolor=LAYER, linewidth=1.2, zorder=3,
        )  # fmt: skip
        self.sheet.ax.add_patch(box)

    def _draw_picture(self) -> None:
        image = self.picture
        if image is not None:
            x, rows, columns = self.pitch / 2, *image.shape[:2]
            wide = min(0.8 * self.pitch, (self.top - self.bottom) * columns / rows)
            self._image(_as_picture(image), x, self.middle, wide, wide * rows / columns)
            self.sheet.write(x, self.bottom - 0.9, "×".join(map(str, (rows, columns))), fontweight="bold")
            self.sheet.write(x, self.bottom - 2.1, "example", color=self.theme.quiet)
            end = self.across[0] - self.half[0] - 0.5
            self.sheet.arrow((x + wide / 2 + 0.15, self.middle), (end, self.middle), self.theme.quiet, linewidth=1.2)

    # ── what is said under it ────────────────────────────────────────────────────────────────────────────────────

    def _label(self, place: int, seen: Seen) -> None:
        """Say how many there are and what they are called, as fully as there is room."""
        x, room = self.across[place], self.pitch - 0.3
        lines = [(_fitting(_amounts(seen), room), self.theme.text, "bold")]
        lines.append((_fitting(_names(seen, place), room), self.theme.quiet, "normal"))
        if seen.stage.parameter_count:
            lines.append((f"{rounded(seen.stage.parameter_count)} θ", self.theme.quiet, "normal"))
        for at, (words, colour, weight) in enumerate(lines):
            self.sheet.write(x, self.bottom - 0.95 - 1.25 * at, words, color=colour, fontweight=weight)

    # ── what joins them ──────────────────────────────────────────────────────────────────────────────────────────

    def _join(self, place: int, seen: Seen, edge: dict[str, Any]) -> None:
        before = place - 1
        if seen.weights is not None:
            self._edges(place, seen.weights, edge)
        elif before in seen.stage.fed_by:
            start = self.across[before] + self.half[before] + 0.25
            end = self.across[place] - self.half[place] - 0.25
            self.sheet.arrow((start, self.middle), (end, self.middle), self.theme.quiet, linewidth=1.2)

    def _edges(self, place: int, weights: Array, edge: dict[str, Any]) -> None:
        """Draw an edge for each weight: its sign is the colour, its size the width; thick ones last."""
        left, right = self.across[place - 1], self.across[place]
        ends, starts = (self._heights(count) for count in weights.shape)
        largest = _largest(weights) or 1.0
        size = np.abs(np.nan_to_num(weights)).ravel()
        order = np.argsort(size, kind="stable")
        order = order[size[order] > 0]
        rows, columns = np.unravel_index(order, weights.shape)
        lines = np.stack([
            np.stack([np.full(len(order), left), starts[columns]], axis=1),
            np.stack([np.full(len(order), right), ends[rows]], axis=1),
        ], axis=1)  # fmt: skip
        share = np.minimum(size[order] / largest, 1)
        colours = np.where((weights.ravel()[order] > 0)[:, None], to_rgb(POSITIVE), to_rgb(NEGATIVE))
        look = {
            "colors": np.concatenate([colours, (0.08 + 0.77 * share**1.5)[:, None]], axis=1),
            "linewidths": np.maximum(_WIDEST * share, 0.15), "zorder": 1, **edge,
        }  # fmt: skip
        self.sheet.ax.add_collection(LineCollection(list(lines), **look), autolim=False)

    def _arc(self, skip: Skip, level: int) -> None:
        """Draw an arrow that skips, above what it goes past."""
        start = self.across[skip.start] + self.half[skip.start] + 0.6 * self._gap(skip.start)
        behind = self.half[skip.end] + 0.25 * self._gap(skip.end)
        before = self.half[skip.end] + 0.35 * self._gap(skip.end - 1)
        end = self.across[skip.end] + (behind if skip.after else -before)
        passed = self.seen[skip.start + 1 : skip.end + 1]
        high = self.middle + max(self._tall(each) for each in passed) / 2 + 1.1 + _ARC * level
        self.sheet.line([(start, self.middle), (start, high), (end, high)], self.theme.quiet, zorder=1)
        self.sheet.arrow((end, high), (end, self.middle), self.theme.quiet, linewidth=1.2)

    def _gap(self, place: int) -> float:
        """Return how far it is from a stage to the next."""
        return float(self.pitch - self.half[place] - (self.half[place + 1] if place + 1 < len(self.half) else 0.5))


def shades(values: Array, largest: float, theme: Theme) -> Array:
    """Return the colours of signed numbers, (…, 4): blue above zero, vermilion below, fainter the nearer to zero."""
    scale = LinearSegmentedColormap.from_list("signed", [NEGATIVE, theme.zero, POSITIVE])
    share = np.nan_to_num(values, posinf=largest, neginf=-largest) / (largest or 1.0)
    return np.asarray(scale(0.5 + 0.5 * np.clip(share, -1, 1)))


def rounded(count: int) -> str:
    """Write a large number in few letters: 73,984 is 74.0k."""
    for size, letter in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if count >= 0.9995 * size:
            return f"{count / size:.3g}{letter}"
    return str(count)


def _largest(values: Array) -> float:
    return float(np.abs(values[np.isfinite(values)]).max(initial=0.0))


def _light_on(fills: Array, theme: Theme) -> list[Any]:
    return ["white" if fill[:3].mean() < 0.72 else theme.text for fill in fills]


def _as_picture(image: Array) -> Array:
    """Return an image between 0 and 1, greys as colours."""
    low, high = float(np.nanmin(image)), float(np.nanmax(image))
    share = np.nan_to_num((image - low) / ((high - low) or 1.0))
    return share if share.ndim == 3 else np.repeat(share[..., None], 3, axis=-1)


def _amounts(seen: Seen) -> list[str]:
    """Return how many there are, in more and in fewer words."""
    shape, drawn = seen.stage.shape, len(seen.drawn)
    if not seen.row and seen.count == 1:
        return ["×".join(map(str, shape)), "×".join(map(str, shape[-2:]))]
    if seen.values is None and not seen.row:
        return ["×".join(map(str, shape)), str(seen.count)]
    what = "" if seen.row else " maps"
    return [f"{drawn} of {seen.count}{what}", f"{drawn} of {seen.count}", f"{seen.count}{what}", str(seen.count)][
        (0 if drawn < seen.count else 2) :
    ]


def _names(seen: Seen, place: int) -> list[str]:
    """Return what a stage is called, longer and shorter."""
    if not place:
        return ["input"]
    parts = seen.stage.title.split(".")
    shortest = seen.stage.name if seen.stage.name != "input" else seen.stage.type or seen.stage.title
    return [*(".".join(parts[start:]) for start in range(len(parts))), shortest]


def _fitting(choices: Sequence[str], room: float) -> str:
    """Return the first of the choices that is not too wide; else the last one, shortened."""
    letters = int(room / (0.58 * SMALL))
    return plain(next((each for each in choices if len(each) <= letters), _shortened(choices[-1], letters)))


def _shortened(words: str, letters: int) -> str:
    return words if len(words) <= letters else f"{words[: max(letters - 1, 1)]}…"


def _stacked(skips: Sequence[Skip]) -> list[tuple[Skip, int]]:
    """Return each arrow with its height: above all shorter ones that it would meet."""
    found: list[tuple[Skip, int]] = []
    for skip in sorted(skips, key=lambda each: (each.end - each.start, each.start)):
        meeting = [level for other, level in found if other.start < skip.end and skip.start < other.end]
        found.append((skip, max(meeting, default=-1) + 1))
    return found
