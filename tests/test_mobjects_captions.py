"""Captions in other words or none, and titles: what `explainer render --captions` and a title card put on screen."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("manim")

from filmed import outside, run
from manim import Scene, Square, tempconfig

from explainer.errors import ExplainerError
from explainer.lessons import record_lesson
from explainer.mobjects.trace_scene import TraceScene
from explainer.mobjects.words import Words
from explainer.trace import Trace


@pytest.fixture(scope="module")
def trace() -> Trace:
    return record_lesson("two-layer", steps=2)


class Film(TraceScene):
    """A film that says two things."""

    def construct(self) -> None:
        self.seen: list[list[str]] = []
        for sentence in ("The first sentence.", "The second one."):
            self.beat(sentence)
            self.say(sentence)
            self.seen.append([each.words for each in self.mobjects if isinstance(each, Words)])
            self.add(Square())


def translated(tmp_path: Path, *sentences: str) -> str:
    cues = [
        f"{number}\n00:00:0{number},000 --> 00:00:0{number},900\n{each}\n" for number, each in enumerate(sentences, 1)
    ]
    path = tmp_path / "de.srt"
    path.write_text("\n".join(cues), encoding="utf-8")
    return str(path)


def subtitles(scene: Scene) -> list[str]:
    return [each.content for each in scene.renderer.file_writer.subcaptions]


def test_a_film_says_its_own_words_where_nothing_else_is_asked(trace: Trace) -> None:
    film = run(Film, trace=trace)
    assert film.seen == [["The first sentence."], ["The second one."]]
    assert subtitles(film) == ["The first sentence.", "The second one."]


def test_captions_that_are_off_stand_in_the_subtitles_only_and_the_film_lasts_as_long(trace: Trace) -> None:
    film = run(Film, {"EXPLAINER_CAPTIONS": "off"}, trace=trace)
    assert film.seen == [[], []]
    assert subtitles(film) == ["The first sentence.", "The second one."]
    assert film.seconds == pytest.approx(run(Film, trace=trace).seconds, abs=0.3)


def test_a_file_puts_its_sentences_in_the_place_of_the_films(trace: Trace, tmp_path: Path) -> None:
    film = run(Film, {"EXPLAINER_CAPTIONS": translated(tmp_path, "Der erste\nSatz.", "Der zweite.")}, trace=trace)
    assert film.seen == [["Der erste Satz."], ["Der zweite."]]
    assert subtitles(film) == ["Der erste Satz.", "Der zweite."]


@pytest.mark.parametrize(
    ("sentences", "told"),
    [
        (["Nur einer."], r"de\.srt has 1 sentence, and Film says another after that: 'The second one\.'; translate"),
        (["Eins.", "Zwei.", "Drei."], r"de\.srt has 3 sentences, and Film says 2: it is of another film"),
    ],
)
def test_a_file_with_more_or_fewer_sentences_is_of_another_film(
    sentences: list[str], told: str, trace: Trace, tmp_path: Path
) -> None:
    with pytest.raises(ExplainerError, match=told):
        run(Film, {"EXPLAINER_CAPTIONS": translated(tmp_path, *sentences)}, trace=trace)


def test_an_empty_sentence_is_named_before_anything_is_said(trace: Trace, tmp_path: Path) -> None:
    with pytest.raises(ExplainerError, match=r"de\.srt says nothing in number 2 of its 2: .*, so write something"):
        run(Film, {"EXPLAINER_CAPTIONS": translated(tmp_path, "Eins.", "  ")}, trace=trace)


@pytest.mark.parametrize("character", ["\U000f1234", "\u0378"])  # nobody's; and one whose block has a box of its own
def test_a_character_that_no_font_has_is_named_instead_of_drawn_as_a_box(
    character: str, trace: Trace, tmp_path: Path
) -> None:
    captions = translated(tmp_path, f"Nothing has {character} this.", "Zwei.")
    with pytest.raises(ExplainerError, match=rf"no font here has .* \(U\+{ord(character):04X}\).*install a font that"):
        run(Film, {"EXPLAINER_CAPTIONS": captions}, trace=trace)


TITLE = {"title": "Chain rule", "says": "From the loss back to the first weights.", "card": "6 of 11"}


class Titled(Film):
    """A film whose frames are looked at."""

    def beat(self, name: str) -> None:
        self.cards = [*getattr(self, "cards", []), (name, sum(isinstance(each, Words) for each in self.family()))]
        super().beat(name)

    def wait(self, *args: object, **kwargs: object) -> None:
        self.stood = [*getattr(self, "stood", []), [each.words for each in self.family() if isinstance(each, Words)]]
        super().wait(*args, **kwargs)

    def family(self) -> list[object]:
        return [part for each in self.mobjects for part in each.get_family()]


def test_a_title_card_says_which_film_it_is_and_is_gone_when_the_film_begins(trace: Trace) -> None:
    film = run(Titled, {"EXPLAINER_TITLE": json.dumps(TITLE)}, trace=trace)
    assert film.stood[0] == ["6 of 11", "Chain rule", "From the loss back to the first weights."]
    assert film.cards[:2] == [("title", 0), ("The first sentence.", 0)]
    assert film.beats[1][1] > 3


def test_a_film_by_itself_has_no_card(trace: Trace) -> None:
    film = run(Titled, {"EXPLAINER_TITLE": json.dumps({**TITLE, "card": ""})}, trace=trace)
    assert [name for name, _ in film.beats] == ["The first sentence.", "The second one."]


def test_a_high_frame_has_its_title_painted_above_the_picture_where_nothing_can_sweep_it_away(trace: Trace) -> None:
    with tempconfig({"pixel_width": 90, "pixel_height": 160, "frame_width": 4.5, "frame_height": 8.0}):
        # `run` sets the pixels of its own films: this one is run as manim does it
        quiet = {"dry_run": True, "frame_rate": 4, "verbosity": "ERROR", "progress_bar": "none"}
        with pytest.MonkeyPatch.context() as patch, tempconfig(quiet):
            patch.setenv("EXPLAINER_TITLE", json.dumps({**TITLE, "card": ""}))
            patch.setattr(Film, "trace", trace, raising=False)
            film = Film()
            film.render()
        camera = film.renderer.camera
        above = camera.background[: camera.pixel_height // 3, :, :3]
        ground = np.array([16, 19, 26])
        assert np.abs(above.astype(int) - ground).max() > 100
        below = camera.background[camera.pixel_height // 3 :, :, :3]
        assert np.abs(below.astype(int) - ground).max() <= 2
        assert outside(film, [("title", -5, film.layout.title.bottom, 5, film.layout.title.top)]) == []
        caption = film._caption
        assert caption is not None and film.layout.caption.contains(caption)
        assert caption.em == pytest.approx(2 * 0.34)
