"""docs/mobjects.md: every name is on it, its blocks run, and its pictures are what they draw."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

pytest.importorskip("manim")

from manim import Mobject
from PIL import Image

from explainer import mobjects

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parent.parent / "docs"
FRAME = 128 / 9, 8.0  # frame units
NOT_DRAWN = {"number", "GradientScale", "HeightScale", "TraceScene", "Layout", "Region", "Painted"}


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw_mobjects", DOCS / "draw_mobjects.py")
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = script  # where its dataclass looks for its own module
    spec.loader.exec_module(script)
    return script


SCRIPT = _script()
_, SECTIONS = SCRIPT.read_page()
DRAWN = [section.name for section in SECTIONS if section.drawn]


@pytest.fixture(scope="module")
def shown(runs_of_lessons: None) -> dict[str, tuple[Mobject, Image.Image]]:
    """Run the whole page; keep what each block shows, and its picture as it is drawn now.

    A block may change what an earlier one has made: so each is drawn before the next one runs.
    """
    return {
        section.name: (mobject, SCRIPT.draw(mobject))
        for section, mobject in SCRIPT.run_page()
        if section.drawn and mobject is not None
    }


def test_every_name_is_on_the_page_once_with_a_sentence() -> None:
    assert sorted(section.name for section in SECTIONS) == sorted(mobjects.__all__)
    assert [section.name for section in SECTIONS if not section.says.endswith((".", "…"))] == []


def test_every_name_but_those_that_are_not_drawn_has_a_picture() -> None:
    assert {section.name for section in SECTIONS if not section.drawn} == NOT_DRAWN
    assert sorted(path.stem for path in SCRIPT.PICTURES.iterdir()) == sorted(DRAWN)


def test_blocks_are_short_and_use_the_name_they_are_about() -> None:
    assert [section.name for section in SECTIONS if len(section.code.splitlines()) > 8] == []
    elsewhere = {"Layout", "Region"}  # a scene has them: self.layout, and its regions
    uses = [section for section in SECTIONS if section.drawn or section.name not in elsewhere]
    assert [section.name for section in uses if section.name not in section.code] == []


def test_every_block_shows_something_that_fits_into_the_frame(shown: dict[str, Any]) -> None:
    assert sorted(shown) == sorted(DRAWN)
    for name, (mobject, _) in shown.items():
        size = np.array([mobject.width, mobject.height])
        assert mobject.has_points() or mobject.submobjects, name
        assert (size > 0).all() and (size <= FRAME).all(), (name, size)


def test_nothing_is_cut_off_by_a_pictures_edge(shown: dict[str, Any]) -> None:
    ground = np.array([int(SCRIPT.DARK.background[at : at + 2], 16) for at in (1, 3, 5)])
    for name, (_, picture) in shown.items():
        pixels = np.asarray(picture, int)
        assert (np.abs(pixels - ground).max(axis=-1) > 40).any(), f"{name}: nothing to be seen"
        for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):
            assert np.abs(edge - ground).max() <= 1, name


@pytest.mark.parametrize("name", DRAWN)
def test_the_picture_that_the_page_shows_is_what_its_block_draws(name: str, shown: dict[str, Any]) -> None:
    file, (_, now) = SCRIPT.PICTURES / f"{name}.png", shown[name]
    assert file.stat().st_size < 25_000
    with Image.open(file) as kept:
        assert kept.size == now.size and kept.width == 480
        off = np.abs(np.asarray(kept.convert("RGB"), float) - np.asarray(now, float)).mean()
    assert off < 3, f"{off:.2f} of 255: python docs/draw_mobjects.py {name}"


def test_films_md_links_the_page() -> None:
    assert "(mobjects.md)" in (DOCS / "films.md").read_text(encoding="utf-8")
