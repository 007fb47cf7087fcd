"""Scenes are found without being run, and become films in processes of their own, all of which can be stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import pytest

from explainer import render
from explainer.errors import ExplainerError, MissingDependency
from explainer.render import QUALITIES, Film, SceneFile, Settings, crew, finding

needs_manim = pytest.mark.skipif(
    find_spec("manim") is None, reason="manim is not installed: pip install 'explainer[films]'"
)

SCENES = '''
"""Scenes for tests; nothing here may run when they are only looked for."""
import os
from typing import ClassVar

from explainer.errors import TraceError
from manim import Create, Scene, Square


class Short(Scene):
    """A square is drawn.

    And that is all.
    """

    def construct(self):
        print("this line is not for the parent")
        self.add_subcaption("A square.", duration=1)
        self.play(Create(Square()))
        self.wait(1)


class Lacking(Scene):
    lesson = "two-layer"

    def construct(self):
        raise TraceError(f"{os.environ.get('EXPLAINER_TRACE')} in {os.environ['EXPLAINER_THEME']}")


class Broken(Lacking):
    def construct(self):
        raise ZeroDivisionError("a mistake in the scene")


class Annotated(Scene):
    lesson: ClassVar[str] = "digits"


class _Base(Scene):
    """Not a film by itself."""


class NoScene:
    """Something else."""
'''


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "scenes" / "own.py"
    path.parent.mkdir()
    path.write_text(SCENES, encoding="utf-8")
    return path


# Finding


def test_scenes_are_found_with_what_they_say_and_their_lesson(file: Path) -> None:
    found = {scene.name: (scene.says, scene.lesson) for scene in render.scenes_of(file)}
    assert found == {
        "Short": ("A square is drawn.", ""),
        "Lacking": ("", "two-layer"),
        "Broken": ("", "two-layer"),
        "Annotated": ("", "digits"),
    }


def test_looking_for_scenes_runs_nothing_of_their_files(tmp_path: Path) -> None:
    path = tmp_path / "loud.py"
    path.write_text("raise SystemExit('was run')\nclass Loud(Scene): pass\n")
    assert [scene.name for scene in render.scenes_of(path)] == ["Loud"]


def test_the_lectures_scenes_have_a_sentence_and_a_lesson_each() -> None:
    from explainer.lessons import LESSONS

    scenes = render.find_scenes()
    assert {"ChainRule", "DigitLearning"} <= set(scenes)
    assert all(scene.says and scene.lesson in LESSONS for scene in scenes.values())


def test_an_installed_package_carries_its_scenes_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "__file__", str(tmp_path / "explainer" / "render" / "finding.py"))
    assert render.scenes_folder() == tmp_path / "scenes"  # a clone
    (tmp_path / "explainer" / "_scenes").mkdir(parents=True)
    assert render.scenes_folder() == tmp_path / "explainer" / "_scenes"


def test_a_scene_of_a_file_is_chosen_by_name_or_all_of_it(file: Path) -> None:
    assert [scene.name for scene in render.choose([f"{file}:Short", f"{file}:Short"])] == ["Short"]
    assert [scene.name for scene in render.choose([str(file)])] == ["Short", "Lacking", "Broken", "Annotated"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("ChainRul", r"no scene is called 'ChainRul'\. Did you mean 'ChainRule'"),
        ("{file}:Shrot", r"own\.py: no scene is called 'Shrot'\. Did you mean 'Short'"),
        ("{folder}/nowhere.py", r"nowhere\.py cannot be read: No such file"),
        ("{folder}/empty.py", r"empty\.py defines no scene"),
        ("{folder}/wrong.py", r"wrong\.py is no Python that could be run: "),
    ],
)
def test_a_name_that_is_no_scene_gets_one_sentence(name: str, sentence: str, file: Path) -> None:
    (file.parent / "empty.py").write_text("x = 1\n")
    (file.parent / "wrong.py").write_text("def f(:\n")
    with pytest.raises(ExplainerError, match=sentence):
        render.choose([name.format(file=file, folder=file.parent)])


def test_two_scenes_of_one_name_would_overwrite_each_other(file: Path) -> None:
    other = file.with_name("other.py")
    other.write_text(SCENES, encoding="utf-8")
    with pytest.raises(ExplainerError, match="both define Short"):
        render.choose([f"{file}:Short", f"{other}:Short"])


# Settings


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"quality": "hgih"}, r"no quality is called 'hgih'\. Did you mean 'high'"),
        ({"format": "avi"}, r"no format is called 'avi'"),
        ({"transparent": True}, "an MP4 cannot be transparent: choose the format mov or webm"),
        ({"theme": "drak"}, r"no theme is called 'drak'\. Did you mean 'dark'"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything_starts(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(ExplainerError, match=sentence):
        Settings(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "width", "height", "rate"),
    [
        ("draft", 854, 480, 15),
        ("low", 854, 480, 30),
        ("medium", 1280, 720, 30),
        ("high", 1920, 1080, 60),
        ("4k", 3840, 2160, 60),
    ],
)
def test_each_quality_has_its_size_and_rate(name: str, width: int, height: int, rate: int, tmp_path: Path) -> None:
    told = Settings(quality=name).for_manim(SceneFile("X", tmp_path / "x.py"), tmp_path)
    assert (told["pixel_width"], told["pixel_height"], told["frame_rate"]) == (width, height, rate)
    assert str(QUALITIES[name]) == f"{width}×{height}, {rate} frames a second"


def test_only_drafts_let_the_encoder_hurry(tmp_path: Path) -> None:
    scene = SceneFile("X", tmp_path / "x.py")
    assert Settings().for_manim(scene, tmp_path)["video_encoder_options"] == {"preset": "veryfast"}
    assert Settings(quality="high").for_manim(scene, tmp_path)["video_encoder_options"] == {}


def test_without_manim_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch, file: Path, tmp_path: Path) -> None:
    monkeypatch.setattr(crew, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match=r"pip install 'explainer\[films\]'"):
        render.render(render.scenes_of(file), tmp_path / "out")
    assert not (tmp_path / "out").exists()


# Rendering


@needs_manim
def test_films_are_made_and_failures_are_told_without_stopping_each_other(file: Path, tmp_path: Path) -> None:
    import av

    shares: dict[str, list[float]] = {}
    output, trace = tmp_path / "out", tmp_path / "a trace"
    films = render.render(
        render.choose([f"{file}:Broken", f"{file}:Short", f"{file}:Lacking"]),
        output,
        Settings(trace=trace, theme="light"),
        progress=lambda scene, share, seconds: shares.setdefault(scene.name, []).append(share),
    )
    broken, short, lacking = films
    assert [film.scene.name for film in films] == ["Broken", "Short", "Lacking"]

    assert (short.path, short.subtitles, short.failure) == (output / "Short.mp4", output / "Short.srt", "")
    assert "A square." in (output / "Short.srt").read_text(encoding="utf-8")
    with av.open(str(output / "Short.mp4")) as film:
        stream = film.streams.video[0]
        assert (stream.width, stream.height, stream.average_rate) == (854, 480, Fraction(15))
        assert sum(1 for _ in film.decode(video=0)) == 30
    assert short.seconds == pytest.approx(2)
    assert shares["Short"] == sorted(shares["Short"])
    assert shares["Short"][0] > 0 and shares["Short"][-1] < 1

    assert (lacking.path, lacking.kind, lacking.failure) == (None, "TraceError", f"{trace} in light")
    assert (broken.path, broken.kind) == (None, "")
    assert broken.failure == "its process ended with exit code 1"
    assert broken.log.rstrip().endswith("ZeroDivisionError: a mistake in the scene")
    assert sorted(path.name for path in output.iterdir()) == [".Short.mp4.made.json", "Short.mp4", "Short.srt"]


@needs_manim
@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "transparent", "codec"),
    [("gif", False, "gif"), ("webm", False, "vp9"), ("mov", True, "qtrle"), ("webm", True, "vp9")],
)
def test_the_other_formats_come_out_as_what_they_are_called(
    form: str, transparent: bool, codec: str, file: Path, tmp_path: Path
) -> None:
    import av

    (film,) = render.render(render.choose([f"{file}:Short"]), tmp_path, Settings("draft", form, transparent))
    assert film.path == tmp_path / f"Short.{form}", film.failure + film.log
    with av.open(str(film.path)) as made:
        assert made.streams.video[0].codec.name == codec
        if codec == "qtrle":
            assert next(made.decode(video=0)).format.name in ("argb", "rgba", "bgra")
        if codec == "vp9" and transparent:
            said = {key.lower(): value for key, value in made.streams.video[0].metadata.items()}
            assert said["alpha_mode"] == "1"


ENDLESS = """
import os
from manim import Create, Scene, Square


class Endless(Scene):
    def construct(self):
        with open({fifo!r}, "w") as news:
            news.write(str(os.getpid()))
        while True:
            self.play(Create(Square()))
"""


@needs_manim
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_ends_the_films_that_are_being_made(number: signal.Signals, code: int, tmp_path: Path) -> None:
    fifo, file, output = tmp_path / "news", tmp_path / "endless.py", tmp_path / "out"
    os.mkfifo(fifo)
    file.write_text(ENDLESS.format(fifo=str(fifo)))
    command = [sys.executable, "-m", "explainer", "render", str(file), "-o", str(output)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    child = int(fifo.read_text())  # waits until the scene has begun
    process.send_signal(number)
    out, err = process.communicate()
    assert (process.returncode, out, err.strip()) == (code, "", "explainer: interrupted; no film was finished")
    assert list(output.iterdir()) == []
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


@needs_manim
def test_a_process_that_is_killed_is_told(tmp_path: Path) -> None:
    file = tmp_path / "killed.py"
    file.write_text(
        "import os\nfrom manim import Scene\nclass Killed(Scene):\n    def construct(self): os.kill(os.getpid(), 9)\n"
    )
    (film,) = render.render(render.choose([str(file)]), tmp_path / "out")
    assert film.failure == "its process ended with signal 9: was there too little memory?"


@needs_manim
def test_the_subtitles_of_an_earlier_film_do_not_stay_beside_a_new_one_without(tmp_path: Path) -> None:
    file = tmp_path / "silent.py"
    file.write_text("from manim import Scene\nclass Silent(Scene):\n    def construct(self): self.wait(1)\n")
    (tmp_path / "Silent.srt").write_text("old")
    (film,) = render.render(render.choose([str(file)]), tmp_path)
    assert isinstance(film, Film) and film.path == tmp_path / "Silent.mp4"
    assert not (tmp_path / "Silent.srt").exists()
