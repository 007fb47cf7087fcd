"""One film, drawn as ours or with manim's own mobjects; `film.py stock` runs it and compares.

python tests/benchmarks/stock.py TrainingLoop stock 2     at 1920×1080, 2 frames a second: prints JSON

Drawn stock, every cell of a heat map or picture is a `Square` of its own, every edge of a network and every flash on it
a `Line`, every unit a `Circle`, and manim lays all outlines down anew in every frame. Only drawing is exchanged: what
manim would need to copy, interpolate and hash so many mobjects is not counted, what else paints itself (mountains,
trails, plots) stays as it is, and the seconds before the first frame are the same. So the stock film would really take
longer than this one.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from typing import Any

import numpy as np
from manim import Camera, Circle, Line, ManimColor, Square, VMobject, tempconfig
from manim.utils.module_ops import get_module

from explainer import render as studio
from explainer.mobjects import painted, shades
from explainer.mobjects.edges import Edges, _lit
from explainer.mobjects.heat_map import Pixels
from explainer.mobjects.units import Units
from explainer.theme import GRADIENT

Parts = list[VMobject]
DISC = Circle(0.5).points  # of diameter 1


def parts_of(mobject: VMobject, count: int, kind: type[VMobject]) -> Parts:
    """Return a mobject's parts, made once, and copied with it as a group's would be."""
    if len(getattr(mobject, "stock_parts", ())) != count:
        mobject.stock_parts = [kind() for _ in range(count)]
    return list(mobject.stock_parts)


def cells(mobject: Pixels) -> Parts:
    """Return a square for each cell, and the outline; where nothing moves, only cells of another colour are set."""
    colours, opacity = mobject.colours(), mobject.get_fill_opacity()
    rows, columns = colours.shape[:2]
    *parts, outline = parts_of(mobject, rows * columns + 1, Square)
    outline.set_points(mobject.points)
    outline.set_fill(opacity=0).set_stroke(mobject.get_stroke_color(), mobject.get_stroke_width())
    where, before = (mobject.points.tobytes(), opacity), getattr(mobject, "stock_seen", ((), colours))
    mobject.stock_seen = where, colours
    if before[0] == where:
        for at in np.flatnonzero((before[1] != colours).any(axis=2)):
            parts[at].set_fill(ManimColor(tuple(colours.reshape(-1, 3)[at])), opacity)
        return [*parts, outline]
    corner, right, down = mobject._axes()
    across, along = np.meshgrid(np.arange(columns), np.arange(rows))
    box = np.array([(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)])
    for part, x, y, colour in zip(parts, across.flat, along.flat, colours.reshape(-1, 3), strict=True):
        part.set_points_as_corners(corner + (x + box[:, :1]) / columns * right + (y + box[:, 1:]) / rows * down)
        part.set_fill(ManimColor(tuple(colour)), opacity).set_stroke(width=0)
    return [*parts, outline]


def lines(mobject: Edges) -> Parts:
    """Return a line for each edge that is seen, and one for each that flashes."""
    starts, ends, opacity = mobject.points[0::4], mobject.points[3::4], mobject.get_fill_opacity()
    widths = mobject.widths().ravel()
    colours = shades.signed(np.sign(mobject.weights).ravel(), 1, mobject.theme)
    shown = [(starts, ends, widths, 0.1 + 0.7 * widths / mobject.widest, colours)]
    orange = np.broadcast_to(shades.rgb(GRADIENT), colours.shape)
    for there, ways, carried, colour in (
        (mobject.changing or None, (starts, ends), np.abs(mobject.change), orange),
        (mobject.flash, (starts, ends), np.abs(mobject.weights * mobject.signal), np.ones_like(colours)),
        (mobject.back, (ends, starts), np.abs(mobject.weights * mobject.gradient[:, None]), orange),
    ):
        if there is not None:
            strength = np.nan_to_num(carried).ravel() / max(float(np.nan_to_num(carried).max()), 1e-30)
            lit = ways if ways[0] is starts and there is mobject.changing else _lit(*ways, there)
            shown.append((*lit, np.where(strength > 0.1, 0.9 * mobject.widest * strength, 0), strength, colour))
    parts = iter(parts_of(mobject, 4 * len(starts), Line))
    seen = []
    for begin, end, wide, clear, colour in shown:
        for edge in np.flatnonzero(wide > 0.001):
            part = next(parts).set_points_as_corners([begin[edge], end[edge]])
            seen.append(part.set_stroke(ManimColor(tuple(colour[edge])), 100 * wide[edge], clear[edge] * opacity))
    return seen


def discs(mobject: Units) -> Parts:
    """Return a circle for each unit."""
    line, clear = mobject.outline_colour()
    parts = parts_of(mobject, len(mobject.values), Circle)
    for part, middle, size, fill in zip(parts, mobject.middles(), mobject.sizes(), mobject.colours(), strict=True):
        part.set_points(middle + size * DISC)
        part.set_fill(ManimColor(tuple(fill)), mobject.get_fill_opacity())
        part.set_stroke(ManimColor(tuple(line)), mobject.get_stroke_width(), clear)
    return parts


def draw_stock() -> None:
    """Let manim draw what paints itself, part by part."""
    ours = Camera.display_vectorized

    def display(camera: Camera, mobject: VMobject, pen: Any) -> Camera:
        for kind, taken_apart in ((Pixels, cells), (Edges, lines), (Units, discs)):
            if isinstance(mobject, kind) and mobject.get_fill_opacity() > 0 and len(mobject.points):
                for part in taken_apart(mobject):  # type: ignore[operator, arg-type]
                    painted._display_stock(camera, part, pen)
                return camera
        return ours(camera, mobject, pen)

    Camera.display_vectorized = display  # type: ignore[method-assign, assignment]
    Camera.set_cairo_context_path = painted._set_stock_path  # type: ignore[method-assign]


def main(name: str, how: str, rate: str) -> None:
    """Render a film, and print its frames and the seconds of processor that it took."""
    scene = studio.find_scenes()[name]
    if how == "stock":
        draw_stock()
    with tempfile.TemporaryDirectory() as folder:
        settings = studio.Settings(quality="high").for_manim(scene, folder)  # type: ignore[arg-type]
        with tempconfig({**settings, "frame_rate": float(rate)}):
            film = getattr(get_module(scene.file), scene.name)()
            began, used = time.perf_counter(), time.process_time()
            film.render()
            seconds, worked = time.perf_counter() - began, time.process_time() - used
    print(json.dumps({"frames": round(film.seconds * float(rate)), "seconds": seconds, "processor": worked}))


if __name__ == "__main__":
    main(*sys.argv[1:])
