"""A film finds its surface: the one given, else its lesson's, which is computed before any film starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("manim", reason="films are not installed")
pytest.importorskip("torch")

from manim import tempconfig

from explainer import render
from explainer.cli.render import shoot
from explainer.errors import SurfaceError, TraceError
from explainer.lessons import lesson_surface, record_lesson
from explainer.mobjects.trace_scene import TraceScene
from explainer.surface import Surface

SMALL = {"plane": "random", "resolution": 3, "span": 0.5}
SCENES = """
import os
from typing import ClassVar
from explainer.errors import TraceError
from explainer.mobjects import TraceScene

SIZE = 5


class Small(TraceScene):
    lesson = "two-layer"
    surfaces = ({"plane": "random", "resolution": 3, "span": 0.5},)

    def construct(self):
        raise TraceError(f"{self.surface().losses.shape} from {os.environ.get('EXPLAINER_SURFACE')}")


class Inherited(Small):
    pass


class Computed(TraceScene):
    lesson = "two-layer"
    surfaces: ClassVar = ({"resolution": SIZE},)


class Comparing(TraceScene):
    lesson = "two-layer"
    compares = True
"""


class Small(TraceScene):
    """A film that draws a surface, and nothing else of a trace."""

    lesson = "two-layer"
    surfaces = (SMALL,)

    def construct(self) -> None:
        self.ground = self.surface()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "own.py"
    path.write_text(SCENES, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where a surface of 4 × 4 points lies."""
    surface: Surface = lesson_surface(record_lesson("two-layer"), plane="random", resolution=4)
    return surface.save(tmp_path_factory.mktemp("given") / "surface")


@pytest.fixture(autouse=True)
def without_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("EXPLAINER_TRACE", "EXPLAINER_SURFACE", "EXPLAINER_THEME"):
        monkeypatch.delenv(name, raising=False)


def walked(film: type[TraceScene]) -> Any:
    with tempconfig({"dry_run": True, "pixel_width": 86, "pixel_height": 48}):
        scene = film()
        scene.render()
    return scene


def test_what_a_scene_draws_is_read_from_its_file(file: Path) -> None:
    found = {scene.name: (scene.surfaces, scene.compares) for scene in render.scenes_of(file)}
    assert found == {
        "Small": ((SMALL,), False),
        "Inherited": ((SMALL,), False),
        "Computed": ((), False),
        "Comparing": ((), True),
    }


def test_the_surface_is_the_environments_then_the_lessons(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = walked(Small)
    np.testing.assert_array_equal(scene.ground.losses, lesson_surface(scene.trace, **SMALL).losses)
    monkeypatch.setenv("EXPLAINER_SURFACE", str(folder))
    assert walked(Small).ground.losses.shape == (4, 4)


def test_a_film_that_draws_a_surface_alone_records_no_lesson_when_it_is_given_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXPLAINER_SURFACE", str(folder))
    monkeypatch.setattr("explainer.lessons.record_lesson", None)
    assert not hasattr(walked(Small), "trace")
    with pytest.raises(TypeError, match="not callable"):
        walked(type("Needing", (Small,), {"needs": ("gradients",)}))


def test_a_trace_of_no_lesson_says_how_to_compute_its_surface(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = record_lesson("two-layer")
    monkeypatch.setitem(trace.notes, "lesson", None)
    trace.notes.pop("lesson")
    with pytest.raises(TraceError, match=r"(?s)is of no lesson.*explainer surface .*--model.*EXPLAINER_SURFACE=FOLDER"):
        walked(type("Own", (Small,), {"trace": trace}))


def test_surfaces_are_computed_before_the_films_start_and_progress_is_told(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXPLAINER_RUNS", str(tmp_path / "runs"))
    told: list[tuple[str, float, str]] = []
    started: list[int] = []

    def films(*args: Any, **kwargs: Any) -> list[Any]:
        started.append(len(told))
        return []

    monkeypatch.setattr(render, "render", films)
    chosen = render.choose([f"{file}:Small"])
    shoot(chosen, tmp_path, render.Settings(), None, None, lambda *news: told.append(news))
    of_surface = [place for place, (what, *_) in enumerate(told) if what == "surface for Small"]
    assert told[of_surface[-1]] == ("surface for Small", 1.0, "computed")
    assert any("of 9" in words for what, _, words in told if what == "surface for Small")
    assert started == [len(told)] and of_surface[-1] < started[0]
    monkeypatch.setattr("explainer.sampler.loss_surface", None)  # not computed again
    assert lesson_surface(record_lesson("two-layer"), **SMALL).losses.shape == (3, 3)


@pytest.mark.slow
def test_the_surface_given_reaches_the_film(file: Path, folder: Path, tmp_path: Path) -> None:
    chosen = render.choose([f"{file}:Small"])
    for surface, expected in ((folder, f"(4, 4) from {folder}"), (None, "(3, 3) from None")):
        (film,) = shoot(chosen, tmp_path / "films", render.Settings(surface=surface), None, 1, lambda *news: None)
        assert film.failure == expected


def test_a_folder_that_is_no_surface_is_told_before_anything_is_made(file: Path, tmp_path: Path) -> None:
    settings = render.Settings(surface=tmp_path / "nowhere")
    with pytest.raises(SurfaceError, match="cannot be read"):
        shoot(render.choose([f"{file}:Small"]), tmp_path / "films", settings, None, None, lambda *news: None)
    assert not (tmp_path / "films").exists()
