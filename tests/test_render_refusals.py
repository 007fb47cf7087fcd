"""What cannot be rendered is refused in a sentence, before anything is made."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path
from typing import NoReturn

import pytest

pytest.importorskip("manim", reason="films are not installed")

from explainer import cli, render
from explainer.cli.films import complain
from explainer.errors import ExplainerError
from explainer.render import Film, SceneFile, Settings

SCENE = "from manim import Scene\nclass Still(Scene):\n    def construct(self): self.wait(1)\n"


@pytest.fixture
def scenes(tmp_path: Path) -> list[SceneFile]:
    (tmp_path / "still.py").write_text(SCENE)
    return render.choose([str(tmp_path / "still.py")])


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("1\n00:00:00,000 --> 00:00:01,000\nf\xe4llt\n".encode("latin-1"), "is not written in UTF-8: save it so"),
        ("1\n00:00:00,000 --> 00:00:01,000\nfalls\n".encode("utf-16"), "is not written in UTF-8: save it so"),
        (b"hello", r"is no \.srt"),
        (b"1\n00:00:00,000 --> 00:00:01,000\n\n", r"de\.srt says nothing in number 1 of its 1"),
    ],
)
def test_captions_that_nobody_can_read_are_refused_before_a_film_is_begun(
    written: bytes, told: str, scenes: list[SceneFile], tmp_path: Path
) -> None:
    (tmp_path / "de.srt").write_bytes(written)
    with pytest.raises(ExplainerError, match=told):
        render.render(scenes, tmp_path / "out", Settings(captions=str(tmp_path / "de.srt")))
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_named_and_nothing_hidden_in_it(
    scenes: list[SceneFile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**options: object) -> NoReturn:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), f"{options['dir']}/.Still.x")

    monkeypatch.setattr(tempfile, "TemporaryDirectory", refuse)
    with pytest.raises(ExplainerError, match=r"out cannot be written: Read-only file system; choose another -o$"):
        render.render(scenes, tmp_path / "out")


def test_a_film_that_names_itself_is_named_once(capsys: pytest.CaptureFixture[str]) -> None:
    complain([Film(SceneFile("Some", Path("some.py")), failure="Some has room for 4 runs", kind="TraceError")])
    assert capsys.readouterr().err == "explainer: Some: has room for 4 runs\n"


def test_a_misspelt_lecture_is_answered_with_the_right_word(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(["render", "Lectrue"])
    assert "no scene is called 'Lectrue'. Did you mean 'lecture'?" in capsys.readouterr().err
