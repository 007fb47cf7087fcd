"""The axes of a mountain: at the edges where the viewer sees them from outside, with round numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from explainer.mobjects import shades
from explainer.mobjects.level_lines import round_levels
from explainer.mobjects.mountain_brush import Brush
from explainer.mobjects.mountain_view import Array, View
from explainer.mobjects.words import MINIMUM, SMALL, Words, number

if TYPE_CHECKING:
    from explainer.mobjects.mountain import Mountain

TICK = 0.09  # frame units
GAP = 0.08  # between a tick and its number
APART = 0.42  # between an axis and its name, beyond the numbers
LINE = 0.022
DOWN = 0.35  # how much the words of a flat axis are pushed down, where it is seen from the side
MOST = 5  # numbers on an axis
NEAREST = 0.12  # frame units between two words


@dataclass(frozen=True)
class Label:
    """Words at an axis: at which value, or in the middle for its name."""

    words: Words
    value: float | None


Labels = tuple[list[Label], list[Label], list[Label]]


def labels(mountain: Mountain, names: tuple[str, str, str]) -> Labels:
    """Return the words of the three axes: round numbers, and the name."""
    ends = ((mountain.u[0], mountain.u[-1]), (mountain.v[0], mountain.v[-1]), (mountain.floor, mountain.ceiling))
    found: list[list[Label]] = []
    for (low, high), name in zip(ends, names, strict=True):
        values = round_levels(float(low), float(high), MOST)
        step = float(values[1] - values[0]) if len(values) > 1 else 1.0
        decimals = max(0, -int(np.floor(np.log10(step) + 1e-9)))
        ticks = [Label(Words(number(value, decimals, tiny=False), size=MINIMUM), value) for value in values.tolist()]
        found.append([*ticks, Label(Words(name, size=SMALL), None)])
    return found[0], found[1], found[2]


def margins(mountain: Mountain, view: View) -> tuple[Array, Array]:
    """Return the room that labels need around the block: left and below, right and above, in frame units."""
    widest = [max(label.words.width for label in each) for each in mountain.labels]
    side = TICK + GAP + max(*widest) + 0.25
    return np.array([side, 0.72]), np.array([0.55 * side, 0.32])


def paint_behind(mountain: Mountain, brush: Brush) -> None:
    """Paint the outline of the plane, before the ground."""
    corners = mountain.space([(u, v, mountain.floor) for u, v in _around(mountain)])
    colour, opacity = shades.rgb(mountain.theme.line), float(mountain.frame)
    brush.polyline(brush.screen.place(np.concatenate([corners, corners[:1]])), colour, LINE, opacity)


def paint_before(mountain: Mountain, brush: Brush) -> None:
    """Paint the three axes with their ticks, numbers and names, in front of the ground."""
    opacity = float(mountain.frame)
    if opacity <= 0:
        return
    for axis in axes(mountain, brush):
        brush.polyline(axis.ends, shades.rgb(mountain.theme.quiet), LINE, opacity * axis.opacity)
        for label, foot, middle in axis.places:
            ink = mountain.theme.text if label.value is None else mountain.theme.quiet
            if label.value is not None:
                tick = np.array([foot, foot + TICK * axis.out])
                brush.polyline(tick, shades.rgb(mountain.theme.quiet), LINE, opacity * axis.opacity)
            brush.outline(label.words, middle, shades.rgb(ink), opacity * axis.opacity)


@dataclass(frozen=True)
class Axis:
    """An axis in the frame: its ends (2, 2), the way out (2,), and per label where it belongs and its middle."""

    ends: Array
    out: Array
    opacity: float
    places: list[tuple[Label, Array, Array]]


def axes(mountain: Mountain, brush: Brush) -> list[Axis]:
    """Return where the three axes stand in the frame now."""
    view, floor, u, v = mountain.view, mountain.floor, mountain.u, mountain.v
    column, row = view.near
    along_u = np.array([(u[0], v[row], floor), (u[-1], v[row], floor)])
    along_v = np.array([(u[column], v[0], floor), (u[column], v[-1], floor)])
    below, beside = np.array([0.0, 1.0 if row else -1.0, 0.0]), np.array([1.0 if column else -1.0, 0.0, 0.0])
    found = []
    for place, (ends, out) in enumerate(((along_u, below), (along_v, beside))):
        way = view.project(out)[:2] + np.array([0.0, -DOWN * float(view.axes[1, 2])])
        found.append(_axis(mountain, brush, place, ends, way / float(np.linalg.norm(way)), 1.0))
    level = float(np.hypot(*view.toward[:2]))
    shown = float(np.clip(level / 0.4, 0, 1) * mountain.rise)
    found.append(_axis(mountain, brush, 2, upright(mountain, view), np.array([-1.0, 0.0]), shown))
    return _apart(found)


def _apart(found: list[Axis]) -> list[Axis]:
    """Leave out the numbers that would stand on the words of another axis, as near a corner; names always stay."""
    boxes: list[tuple[Array, Array]] = []
    kept = []
    for axis in sorted(found, key=lambda each: each.opacity, reverse=True):
        places = []
        for label, foot, middle in sorted(axis.places, key=lambda place: place[0].value is not None):
            half = np.array([label.words.width, label.words.height]) / 2
            clash = any((np.abs(middle - other) < half + reach + NEAREST).all() for other, reach in boxes)
            if label.value is None or not clash:
                places.append((label, foot, middle))
                if axis.opacity > 0:
                    boxes.append((middle, half))
        kept.append(Axis(axis.ends, axis.out, axis.opacity, places))
    return kept


def upright(mountain: Mountain, view: View) -> Array:
    """Return the ends of the axis of the loss, u, v and loss, (2, 3): at the corner that is seen farthest to the left.

    Of two that are, as when one looks along an axis, the one behind.
    """
    corners = _around(mountain)
    seen = view.project(mountain.space([(u, v, mountain.floor) for u, v in corners]))
    u, v = corners[int(np.argmin(seen[:, 0] + 1e-6 * seen[:, 2]))]
    return np.array([(u, v, mountain.floor), (u, v, mountain.ceiling)])


def _axis(mountain: Mountain, brush: Brush, place: int, ends: Array, out: Array, opacity: float) -> Axis:
    """Lay out one axis: its numbers beyond their ticks, its name beyond them, or above the axis of the loss."""
    flat = brush.screen.place(mountain.space(ends))
    places = []
    for label in mountain.labels[place]:
        half = np.array([label.words.width, label.words.height]) / 2
        if label.value is not None:
            share = (label.value - ends[0][place]) / (ends[1][place] - ends[0][place])
            foot = flat[0] + share * (flat[1] - flat[0])
            middle = foot + (TICK + GAP + float(np.abs(out) @ half)) * out
        elif place == 2:
            foot, middle = flat[1], flat[1] + np.array([-half[0], 0.12 + half[1]])  # right of it there may be ground
        else:
            foot = flat.mean(axis=0)
            middle = foot + (APART + float(np.abs(out) @ half)) * out
        places.append((label, foot, middle))
    return Axis(flat, out, opacity, places)


def _around(mountain: Mountain) -> list[tuple[float, float]]:
    """Return u and v at the four corners of the plane, in turn."""
    (left, right), (low, high) = mountain.u[[0, -1]].tolist(), mountain.v[[0, -1]].tolist()
    return [(left, low), (right, low), (right, high), (left, high)]
