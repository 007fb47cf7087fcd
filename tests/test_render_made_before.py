"""A film is left as it is where nothing has changed since it was made, and made anew where anything has."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("manim")

from explainer import render
from explainer.errors import ExplainerError
from explainer.lessons import record_lesson
from explainer.render import Film, Settings

SCENE = """
from helper import SIDE
from explainer.mobjects.trace_scene import TraceScene
from manim import Square

class Short(TraceScene):
    lesson = "two-layer"
    def construct(self):
        self.beat("one")
        self.say("It is small.")
        self.add(Square(SIDE * float(self.trace.scalars["loss"][0])))
        self.beat("two")
        self.wait(0.2)
"""

Make = Callable[..., Film]


def maker(folder: Path) -> Make:
    """Write a scene and record its trace; returns what films them."""
    (folder / "scene.py").write_text(SCENE)
    (folder / "helper.py").write_text("SIDE = 1\n")
    record_lesson("two-layer", folder / "trace", steps=2)

    def made(again: bool = False, **settings: object) -> Film:
        chosen = Settings(trace=folder / "trace", **settings)  # type: ignore[arg-type]
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            (film,) = render.render(render.choose(["scene.py"]), folder / "out", chosen, again=again)
        assert film.path is not None, film.failure + film.log
        return film

    return made


@pytest.fixture
def make(tmp_path: Path) -> Make:
    return maker(tmp_path)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Make, Film]:
    """A folder with a film that no test makes anew, what asks for it, and what it was when it was made."""
    folder = tmp_path_factory.mktemp("kept")
    make = maker(folder)
    return folder, make, make()


def test_nothing_has_changed_and_the_film_is_what_it_was(kept: tuple[Path, Make, Film]) -> None:
    _, make, first = kept
    before = first.path.stat()
    second = make()
    assert (first.unchanged, second.unchanged) == (False, True)
    assert second.path.stat().st_mtime_ns == before.st_mtime_ns
    assert (second.seconds, second.subtitles, second.beats) == (first.seconds, first.subtitles, first.beats)
    assert [name for name, _ in second.beats] == ["one", "two"]


def test_other_captions_than_a_film_made_before_has_are_refused_before_it_is_begun(
    kept: tuple[Path, Make, Film], tmp_path: Path
) -> None:
    _, make, _ = kept
    cue = "{0}\n00:00:0{0},000 --> 00:00:0{0},900\nSatz {0}.\n"
    (tmp_path / "de.srt").write_text("\n".join(map(cue.format, (1, 2))))
    with pytest.raises(ExplainerError, match=r"de\.srt has 2 sentences, and Short says 1: translate .*out/Short\.srt"):
        make(captions=str(tmp_path / "de.srt"))
    assert make().unchanged


def rewritten(path: Path) -> None:
    path.write_bytes(path.read_bytes())
    os.utime(path, ns=(1, 1))


def test_a_file_that_was_only_touched_has_not_changed(kept: tuple[Path, Make, Film]) -> None:
    folder, make, _ = kept
    rewritten(folder / "scene.py")
    rewritten(folder / "trace" / "trace.json")
    assert make().unchanged


@pytest.mark.slow
def test_whatever_a_film_depends_on_makes_it_anew(make: Make, tmp_path: Path) -> None:
    make()
    (tmp_path / "helper.py").write_text("SIDE = 2\n")
    assert not make().unchanged
    record_lesson("two-layer", tmp_path / "trace", steps=3, again=True)
    assert not make().unchanged
    (tmp_path / "out" / "Short.mp4").write_bytes(b"something else")
    assert not make().unchanged
    (tmp_path / "out" / "Short.srt").unlink()
    assert not make().unchanged
    (tmp_path / "out" / ".Short.mp4.made.json").write_text('{"order": 1}')
    assert not make().unchanged
    assert make().unchanged


@pytest.mark.slow
def test_other_settings_are_another_film_and_asking_for_it_again_makes_it(make: Make) -> None:
    make()
    assert not make(theme="light").unchanged
    assert make(theme="light").unchanged
    assert not make(theme="light", captions="off").unchanged
    assert not make(theme="light", captions="off", again=True).unchanged
