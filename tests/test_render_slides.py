"""A deck of slides: each beat of a film is a video of its own, with what is said in it as the speaker's notes."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("manim")

import av

from explainer import render
from explainer.errors import ExplainerError, MissingDependency
from explainer.render import Film, Settings
from explainer.render.slides import cut, make_deck, notes_of

pytestmark = pytest.mark.slow

SCENE = """
from manim import BLUE, RED, Circle, Create, Square
from explainer.mobjects.trace_scene import TraceScene

class Two(TraceScene):
    lesson = "two-layer"

    def construct(self):
        self.beat("a square")
        self.say("A square.", Create(Square(color=RED, fill_opacity=1), run_time=0.6))
        self.beat("a circle")
        self.say("A circle.")
        self.play(Create(Circle(color=BLUE)), run_time=0.4)
        self.say("It is round.")
"""


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Film:
    folder = tmp_path_factory.mktemp("slides")
    (folder / "two.py").write_text(SCENE)
    (made,) = render.render(render.choose([str(folder / "two.py")]), folder / "out", Settings())
    assert made.path, made.failure + made.log
    return made


def frames(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_a_film_is_cut_at_its_beats_and_no_frame_is_lost_or_changed(film: Film, tmp_path: Path) -> None:
    parts = cut(film.path, [second for _, second in film.beats], tmp_path)
    whole = frames(film.path)
    pieces = [frames(part) for part in parts]
    assert [path.name for path in parts] == ["Two-01.mp4", "Two-02.mp4"]
    assert len(pieces[0]) == round(film.beats[1][1] * 15)
    for shown, original in zip([*pieces[0], *pieces[1]], whole, strict=True):
        np.testing.assert_array_equal(shown, original)


def test_what_is_said_in_a_beat_is_its_slides_notes(film: Film) -> None:
    assert notes_of(film) == ["A square.", "A circle.\nIt is round."]
    assert notes_of(replace(film, subtitles=None)) == ["", ""]


def test_a_deck_has_a_slide_for_each_beat(film: Film, tmp_path: Path) -> None:
    pptx = pytest.importorskip("pptx")
    made = make_deck([film, replace(film)], tmp_path, "deck", (854, 480))
    assert [path.name for path in made] == ["deck.pptx", "deck.html"]
    slides = list(pptx.Presentation(str(made[0])).slides)
    assert [slide.notes_slide.notes_text_frame.text for slide in slides] == 2 * ["A square.", "A circle.\nIt is round."]
    videos = re.findall(r'data-background-video="?([^"\s>]+\.mp4)', made[1].read_text(encoding="utf-8"))
    assert len(videos) == 4
    assert all((tmp_path / video).is_file() for video in videos)


def test_what_cannot_become_slides_is_told(film: Film, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ExplainerError, match=r"Two has no beats to stop at: let it call self\.beat"):
        make_deck([replace(film, beats=())], tmp_path, "deck", (854, 480))
    with pytest.raises(ExplainerError, match="slides are made of MP4s, and there is none of Two"):
        make_deck([replace(film, path=tmp_path / "Two.gif")], tmp_path, "deck", (854, 480))
    with pytest.raises(ExplainerError, match=r"cannot be cut at second 0\.33: no picture begins there"):
        cut(film.path, [0.0, 0.33], tmp_path)
    monkeypatch.setitem(sys.modules, "manim_slides.convert", None)
    with pytest.raises(MissingDependency, match=r"pip install 'explainer\[slides\]'"):
        make_deck([film], tmp_path, "deck", (854, 480))
