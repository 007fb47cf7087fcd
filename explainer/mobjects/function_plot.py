"""A function of one input: the examples as dots, and a network's curve between them."""

from __future__ import annotations

from typing import Any

import cairo
import numpy as np
import numpy.typing as npt
from manim import DOWN, LEFT, RIGHT, UP, Animation, Camera, Line, Mobject, UpdateFromAlphaFunc, VGroup

from explainer import theme as colours
from explainer.mobjects import shades
from explainer.mobjects.formula import Formula
from explainer.mobjects.painted import Array, Painted, source
from explainer.mobjects.words import MINIMUM, Words, number
from explainer.theme import DARK, Theme

Limits = tuple[float, float]


class FunctionPlot(VGroup):
    """Axes with the examples as dots, and a curve through the network's outputs; what leaves the axes is cut off.

    Attributes:
        across: What stands at the left and right end of the horizontal axis; `up` at the foot and top of the other.
        dots: The examples, and `curve` the network's outputs at them; nothing is smoothed.
        about: The axes' strokes, numbers and letters.
    """

    def __init__(
        self,
        x: npt.ArrayLike,
        targets: npt.ArrayLike,
        outputs: npt.ArrayLike,
        *,
        across: Limits,
        up: Limits,
        theme: Theme = DARK,
        width: float = 8.0,
        height: float = 4.5,
        radius: float = 0.06,
        every: int = 1,
    ) -> None:
        """Draw the axes, the dots and the curve.

        Args:
            x: (example,) ascending, and `targets` and `outputs` (example,).
            width: Of the axes in frame units; `height` alike.
            radius: Of a dot in frame units.
            every: Only each so many-th example gets a dot; the curve goes through all.
        """
        super().__init__()
        self.x, self.across, self.up, self.theme = np.asarray(x, float), across, up, theme
        corner = np.array([-width / 2, -height / 2, 0.0])
        corners = corner + np.array([[0, 0, 0], [width, 0, 0], [width, height, 0], [0, height, 0], [0, 0, 0]])
        places = self.shares(self.x, targets)[::every]
        self.dots = Dots(corners, places, radius=radius, colour=colours.RIGHT, theme=theme)
        self.curve = OpenLine(corners, self.shares(self.x, outputs), colour=colours.LAYER)
        self.about = VGroup(*self._axis(across, RIGHT), *self._axis(up, UP))
        if up[0] < 0 < up[1]:
            ends = self.at(across[0], 0.0), self.at(across[1], 0.0)
            self.about.add_to_back(Line(*ends, color=theme.line, stroke_width=1.2))
        letters = [f"{name} {in_units_of(limits)}" for name, limits in (("x", across), ("y", up))]
        self.letters = VGroup(*(Formula(letter, size=0.32, colour=theme.quiet) for letter in letters))
        for letter, place in zip(self.letters, (self.at(across[1], up[0]), self.at(across[0], up[1])), strict=True):
            letter.next_to(place, RIGHT, buff=0.15)
        self.about.add(self.letters)
        self.add(self.about, self.curve, self.dots)

    @property
    def middle(self) -> Array:
        """(3,) the middle of the axes' box, without words."""
        return np.asarray((self.dots.points[0] + self.dots.points[8]) / 2)

    def shares(self, x: npt.ArrayLike, y: npt.ArrayLike) -> Array:
        """Return places as shares of the box, (…, 2); beyond it too."""
        return np.stack(
            [(np.asarray(each, float) - low) / (high - low) for each, (low, high) in ((x, self.across), (y, self.up))],
            axis=-1,
        )

    def at(self, x: npt.ArrayLike, y: npt.ArrayLike) -> Array:
        """Return where points of the plot stand now, (…, 3)."""
        return placed(self.dots.points, self.shares(x, y))

    def come(self, seconds: float) -> Animation:
        """Return the curve's coming from the left, under the dots; it is not seen before."""

        def show(_: Mobject, alpha: float) -> None:
            self.curve.come = np.array(alpha)

        show(self.curve, 0)
        return UpdateFromAlphaFunc(VGroup(self.curve, self.dots), show, run_time=seconds)

    @property
    def unit(self) -> float:
        """How many frame units one unit of y is."""
        return float(self.at(self.across[0], 1.0)[1] - self.at(self.across[0], 0.0)[1])

    def set_outputs(self, outputs: npt.ArrayLike) -> FunctionPlot:
        """Draw the curve through other outputs, (example,)."""
        self.curve.places = self.shares(self.x, outputs)
        return self

    def _axis(self, limits: Limits, way: Array) -> list[Any]:
        """Return an axis at the foot or on the left: its line, and strokes with their numbers."""
        level = way is RIGHT
        ends = [self.at(each, self.up[0]) if level else self.at(self.across[0], each) for each in limits]
        parts: list[Any] = [Line(ends[0], ends[1], color=self.theme.line, stroke_width=2)]
        unit, marks = 10.0 ** power_of(limits), ticks(*limits)
        apart = (marks[1] - marks[0] if len(marks) > 1 else limits[1] - limits[0]) / unit
        for value in marks:
            place = self.at(value, self.up[0]) if level else self.at(self.across[0], value)
            aside = DOWN if level else LEFT
            stroke = Line(place, place + 0.08 * aside, color=self.theme.line, stroke_width=2)
            decimals = max(0, int(np.ceil(-np.log10(apart) - 1e-9)))
            words = Words(number(value / unit, decimals, tiny=False), size=MINIMUM, colour=self.theme.quiet)
            parts += [stroke, words.next_to(stroke, aside, buff=0.08)]
        return parts


class Dots(Painted):
    """Many round dots as one; its points are a box, in shares of which the dots stand.

    Attributes:
        places: (dot, 2) in shares of the box.
        seen: How many are drawn, from the first; the last one in part.
    """

    data = ("places", "seen")

    def __init__(
        self, corners: npt.ArrayLike, places: Array, *, radius: float, colour: str, theme: Theme = DARK
    ) -> None:
        super().__init__(fill_opacity=1, stroke_width=0)
        self.set_points_as_corners(np.asarray(corners, float))
        self.places, self.radius, self.colour, self.theme = places, radius, colour, theme
        self.seen = np.array(float(len(places)))

    def drawn(self) -> Array:
        """Return where the dots stand now, (dot, 3)."""
        return placed(self.points, self.places)

    def paint(self, pen: cairo.Context[Any], camera: Camera) -> None:
        """Paint the dots on rims of the background, so that they stand off a line through them."""
        shares = np.clip(self.seen - np.arange(len(self.places)), 0, 1)
        for colour, larger in ((self.theme.background, 0.02), (self.colour, 0.0)):
            source(pen, shades.rgb(colour), float(self.get_fill_opacity()))
            for (across, up, _), share in zip(self.drawn().tolist(), shares.tolist(), strict=True):
                if share > 0 and np.isfinite(across) and np.isfinite(up):
                    pen.new_sub_path()
                    pen.arc(across, up, self.radius * share + larger, 0, 2 * np.pi)
                    pen.fill()


class OpenLine(Painted):
    """A line through places in a box, cut off where it leaves it.

    Attributes:
        places: (point, 2) in shares of the box; not a number where there is none.
        come: The share of the line that is drawn, from the left.
    """

    data = ("places", "come")

    def __init__(self, corners: npt.ArrayLike, places: Array, *, colour: str, width: float = 0.07) -> None:
        super().__init__(fill_opacity=1, stroke_width=0)
        self.set_points_as_corners(np.asarray(corners, float))
        self.places, self.colour, self.width_of_line = places, colour, width
        self.come = np.array(1.0)

    def drawn(self) -> Array:
        """Return the points of the line as it stands now, (point, 3); beyond the box too."""
        return placed(self.points, self.places)

    def paint(self, pen: cairo.Context[Any], camera: Camera) -> None:
        """Paint the line, within the box."""
        low, high = self.points[:, :2].min(axis=0), self.points[:, :2].max(axis=0)
        size = high - low
        points = np.clip(self.drawn()[:, :2], low - 9 * size, high + 9 * size)  # no pen likes astronomical numbers
        pen.rectangle(low[0] - 0.1, low[1], (size[0] + 0.2) * float(self.come), size[1])
        pen.clip()
        pen.set_line_join(cairo.LINE_JOIN_ROUND)
        pen.set_line_cap(cairo.LINE_CAP_ROUND)
        begun = False
        for across, up in points.tolist():
            known = bool(np.isfinite(across) and np.isfinite(up))
            if known:
                (pen.line_to if begun else pen.move_to)(across, up)
            begun = known
        source(pen, shades.rgb(self.colour), float(self.get_fill_opacity()))
        pen.set_line_width(self.width_of_line)
        pen.stroke()


def placed(box: Array, shares: Array) -> Array:
    """Return shares of a box (its points, a rectangle's from the lower left round) as places, (…, 3)."""
    corner, right, top = box[0], box[4] - box[0], box[12] - box[0]
    with np.errstate(invalid="ignore", over="ignore"):  # what flies out is nowhere
        return np.asarray(corner + shares[..., :1] * right + shares[..., 1:] * top)


def power_of(limits: Limits) -> int:
    """Return the power of ten in whose units an axis is written: zero, unless its numbers were too long."""
    largest = max(map(abs, limits))
    return 0 if 0.05 <= largest < 5000 else 3 * int(np.floor(np.log10(largest) / 3))


def in_units_of(limits: Limits) -> str:
    """Return in Typst what stands behind an axis's letter: "in 10^3", or nothing."""
    power = power_of(limits)
    return f'#h(0.3em) "in" 10^({power})' if power else ""


def ticks(low: float, high: float, most: int = 5) -> Array:
    """Return at most so many round numbers from `low` to `high`, evenly apart."""
    rough = (high - low) / most
    power = 10.0 ** np.floor(np.log10(rough))
    apart = next(step * power for step in (1, 2, 5, 10, 20) if (high - low) / (step * power) <= most - 1 + 1e-9)
    return np.asarray(np.arange(np.ceil(low / apart - 1e-9), np.floor(high / apart + 1e-9) + 1) * apart)


def limits_of(*values: npt.ArrayLike, margin: float = 0.1) -> Limits:
    """Return the smallest and the largest finite number, and a margin around them as a share of what is between."""
    every = np.concatenate([np.ravel(np.asarray(each, float)) for each in values])
    every = every[np.isfinite(every)] if np.isfinite(every).any() else np.zeros(1)
    low, high = float(every.min()), float(every.max())
    room = margin * (high - low) or 1.0
    return low - room, high + room
