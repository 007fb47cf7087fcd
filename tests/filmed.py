"""Running a film without writing it, and the boxes of what stands on screen."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
import pytest
from manim import DL, UR, Mobject, Scene, tempconfig

from explainer.mobjects import mountain_axes
from explainer.mobjects.contour_map import ContourMap
from explainer.mobjects.counter import Counter
from explainer.mobjects.formula import Formula
from explainer.mobjects.mountain import Mountain
from explainer.mobjects.mountain_brush import Brush
from explainer.mobjects.trace_scene import TraceScene
from explainer.mobjects.words import Words

Box = tuple[str, float, float, float, float]  # what, left, bottom, right, top
Film = TypeVar("Film", bound=TraceScene)


def run(film: type[Film], environment: Mapping[str, str] | None = None, *, rate: int = 4, **given: Any) -> Film:
    """Run a film at so many frames a second; `given` are its class attributes, such as `trace` or `runs`."""
    with pytest.MonkeyPatch.context() as patch, tempconfig(
        {"dry_run": True, "frame_rate": rate, "pixel_height": 90, "pixel_width": 160, "disable_caching": True,
         "verbosity": "ERROR", "progress_bar": "none"}
    ):  # fmt: skip
        for name in [name for name in os.environ if name.startswith("EXPLAINER_") and name != "EXPLAINER_RUNS"]:
            patch.delenv(name)
        for name, value in (environment or {}).items():
            patch.setenv(name, value)
        for name, value in given.items():
            patch.setattr(film, name, value, raising=False)
        scene = film()
        scene.render()
    return scene


def boxes(scene: Scene) -> list[Box]:
    """Return the boxes of all text and maps on screen, also of the text that mountains paint."""
    found: list[Box] = []
    for part in [part for each in scene.mobjects for part in each.get_family()]:
        if isinstance(part, Words | Counter | Formula | ContourMap) and visible(part):
            name = getattr(part, "words", None) or getattr(part, "markup", None) or type(part).__name__
            found.append((str(name), *part.get_corner(DL)[:2], *part.get_corner(UR)[:2]))
        elif isinstance(part, Mountain) and float(part.frame) > 0:
            for axis in mountain_axes.axes(part, Brush(None, part.screen())):  # type: ignore[arg-type]
                for label, _, middle in axis.places if axis.opacity > 0.05 else []:
                    half = np.array([label.words.width, label.words.height]) / 2
                    found.append((f"axis {label.words.words}", *(middle - half), *(middle + half)))
    return found


def visible(mobject: Mobject) -> bool:
    return any(len(part.points) and part.get_fill_opacity() > 0 for part in mobject.get_family())


def overlaps(still: list[Box], slack: float = 0.01) -> Iterator[tuple[str, str]]:
    """Yield the names of each two boxes that have more than `slack` frame units in common, across and up."""
    for place, (name, left, bottom, right, top) in enumerate(still):
        for other, left2, bottom2, right2, top2 in still[place + 1 :]:
            if min(right, right2) - max(left, left2) > slack and min(top, top2) - max(bottom, bottom2) > slack:
                yield name, other


def outside(scene: TraceScene, still: list[Box], margin: float = 0.25) -> list[str]:
    """Return the names of the boxes that come nearer to the frame's edge than the margin."""
    frame = scene.layout.frame
    return [
        name
        for name, left, bottom, right, top in still
        if left < frame.left + margin
        or right > frame.right - margin
        or bottom < frame.bottom + margin
        or top > frame.top - margin
    ]
