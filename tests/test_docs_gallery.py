"""The gallery: each figure has an example that runs and draws it, and the page shows just those."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

from explainer import plots

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parent.parent / "docs"
LARGEST = 100_000  # bytes of a picture of a figure


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw_gallery", DOCS / "draw_gallery.py")
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script


SCRIPT = _script()


def test_every_figure_has_an_example_and_every_example_a_figure() -> None:
    assert sorted(path.stem for path in SCRIPT.EXAMPLES.glob("*.py")) == sorted(plots.FIGURES)


@pytest.mark.parametrize("name", plots.FIGURES)
def test_an_example_is_what_one_types_and_not_more(name: str) -> None:
    source = SCRIPT.examples()[name].read_text(encoding="utf-8")
    assert 8 <= len(source.splitlines()) <= 25
    assert f"plots.{name}(" in source


@pytest.mark.parametrize("name", plots.FIGURES)
def test_an_example_draws_its_figure(name: str, tmp_path: Path) -> None:
    picture = SCRIPT.run(SCRIPT.examples()[name], tmp_path)
    with Image.open(picture) as image:
        assert image.width >= 700  # what can be read on the page
        assert image.info["Description"]


def test_the_page_is_what_the_script_writes() -> None:
    assert (SCRIPT.GALLERY / "README.md").read_text(encoding="utf-8") == SCRIPT.page()


def test_every_picture_on_the_page_is_there_and_small() -> None:
    for name in plots.FIGURES:
        assert (SCRIPT.GALLERY / f"{name}.png").stat().st_size < LARGEST
    for name in SCRIPT.films():
        assert (SCRIPT.GALLERY / f"{name}.png").exists()


def test_every_film_of_the_lecture_is_in_the_gallery() -> None:
    assert len(SCRIPT.films()) == 11
