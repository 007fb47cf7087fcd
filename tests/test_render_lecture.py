"""Films joined to a lecture: every frame as it was, chapters, subtitles in time; and single frames of a film."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("manim")

import av
import srt
from PIL import Image

from explainer import render
from explainer.errors import ExplainerError
from explainer.render import Film, SceneFile, Settings
from explainer.render.joining import join, last_frame
from explainer.render.lecture import ORDER, assemble, lecture_scenes

pytestmark = pytest.mark.slow

SCENES = """
from manim import BLUE, RED, Circle, Create, Scene, Square

class ChainRule(Scene):
    def construct(self):
        self.add_subcaption("A square.", duration=0.6)
        self.play(Create(Square(color=RED, fill_opacity=1)), run_time=1)

class TheEnd(Scene):
    def construct(self):
        self.add_subcaption("A circle & more.", duration=0.4)
        self.play(Create(Circle(color=BLUE)), run_time=0.4)
        self.wait(0.2)
"""


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> list[Film]:
    folder = tmp_path_factory.mktemp("films")
    (folder / "two.py").write_text(SCENES)
    made = render.render(render.choose([str(folder / "two.py")]), folder / "out", Settings())
    assert all(film.path for film in made), [film.log for film in made]
    return made


def frames(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as film:
        return [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]


def test_the_lecture_holds_every_film_in_the_order_of_its_storyboards() -> None:
    scenes = lecture_scenes()
    assert [scene.name for scene in scenes] == [name for name in ORDER if name in render.find_scenes()]
    assert [scene.card for scene in scenes] == [f"{number} of {len(scenes)}" for number in range(1, len(scenes) + 1)]
    assert set(render.find_scenes()) <= set(ORDER)


@pytest.mark.parametrize(
    ("name", "title"),
    [("ChainRule", "Chain rule"), ("LogitsToLoss", "Logits to loss"), ("Ripple", "Ripple"), ("MLPShown", "MLP shown")],
)
def test_a_films_title_is_its_name_in_words(name: str, title: str) -> None:
    assert SceneFile(name, Path("x.py")).title == title


def test_a_lecture_is_its_films_frame_by_frame_with_a_chapter_each(films: list[Film], tmp_path: Path) -> None:
    lecture = assemble(films, tmp_path)
    alone = [frames(film.path) for film in films]
    joined = frames(lecture.path)
    assert [len(each) for each in alone] == [15, 9]
    assert len(joined) == 24
    for shown, single in zip(joined, [*alone[0], *alone[1]], strict=True):
        np.testing.assert_array_equal(shown, single)
    with av.open(str(lecture.path)) as film:
        marks = [(each["metadata"]["title"], float(each["start"] * each["time_base"])) for each in film.chapters()]
        assert float(film.duration / av.time_base) == pytest.approx(1.6, abs=0.01)
    assert marks == [("Chain rule", 0.0), ("The end", pytest.approx(1.0, abs=0.002))]
    assert [each.title for each in lecture.chapters] == ["Chain rule", "The end"]
    assert lecture.seconds == pytest.approx(1.6, abs=0.002)


def test_its_subtitles_come_when_each_film_does(films: list[Film], tmp_path: Path) -> None:
    lecture = assemble(films, tmp_path)
    said = list(srt.parse(lecture.srt.read_text(encoding="utf-8")))
    assert [(each.index, each.content, each.start.total_seconds()) for each in said] == [
        (1, "A square.", 0.0),
        (2, "A circle & more.", pytest.approx(1.0, abs=0.002)),
    ]
    assert "00:00:01.000 --> 00:00:01.400\nA circle &amp; more." in lecture.vtt.read_text(encoding="utf-8")


def test_its_poster_is_the_last_frame_of_its_heart(films: list[Film], tmp_path: Path) -> None:
    poster = np.asarray(Image.open(assemble(films, tmp_path).poster))
    np.testing.assert_array_equal(poster, frames(films[0].path)[-1])


def test_the_last_frame_of_a_transparent_film_is_transparent(films: list[Film], tmp_path: Path) -> None:
    (film,) = render.render([films[0].scene], tmp_path, Settings(format="mov", transparent=True))
    picture = Image.open(last_frame(film.path, tmp_path / "still.png"))
    assert picture.mode == "RGBA"
    assert (picture.getpixel((0, 0))[3], picture.getpixel((427, 240))[3]) == (0, 255)


def test_films_that_are_not_alike_are_not_joined(films: list[Film], tmp_path: Path) -> None:
    (larger,) = render.render([films[1].scene], tmp_path, Settings("medium"))
    with pytest.raises(ExplainerError, match=r"TheEnd\.mp4 is encoded otherwise than .*ChainRule\.mp4: render both"):
        join([("one", films[0].path), ("two", larger.path)], tmp_path / "whole.mp4")
    assert not list(tmp_path.glob("*whole*"))


def test_a_lecture_without_one_of_its_films_says_which(films: list[Film], tmp_path: Path) -> None:
    lost = Film(films[1].scene, failure="it failed")
    with pytest.raises(ExplainerError, match=r"cannot be joined: there is no film of TheEnd"):
        assemble([films[0], lost], tmp_path)
    with pytest.raises(ExplainerError, match="GIFs cannot be joined"):
        assemble([Film(films[0].scene, path=tmp_path / "ChainRule.gif")], tmp_path)


# How films are made


@pytest.mark.parametrize(
    ("aspect", "quality", "size"),
    [("16:9", "high", (1920, 1080)), ("4:3", "draft", (854, 640)), ("9:16", "high", (1080, 1920))],
)
def test_each_shape_has_its_pixels(aspect: str, quality: str, size: tuple[int, int]) -> None:
    assert render.QUALITIES[quality].pixels(aspect) == size


def test_a_faster_film_has_fewer_frames_at_the_same_rate_and_its_subtitles_in_time(
    films: list[Film], tmp_path: Path
) -> None:
    (fast,) = render.render([films[0].scene], tmp_path, Settings(speed=1.25))
    with av.open(str(fast.path)) as film:
        assert film.streams.video[0].guessed_rate == 15
    assert len(frames(fast.path)) == 12
    assert fast.seconds == pytest.approx(0.8)
    (said,) = srt.parse(fast.subtitles.read_text(encoding="utf-8"))
    assert said.end.total_seconds() == pytest.approx(0.48)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"aspect": "16:10"}, r"no shape of a frame is called '16:10'\. Did you mean '16:9'"),
        ({"speed": 0.0}, "the speed is 0, and can be 0.25 to 4"),
        ({"speed": float("nan")}, "the speed is nan, and can be"),
        ({"captions": "of"}, r"captions can be on, off, an \.srt file or a folder of them; 'of' is not there"),
    ],
)
def test_settings_that_cannot_be_are_told(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(ExplainerError, match=sentence):
        Settings(**settings)  # type: ignore[arg-type]


def test_a_folder_of_captions_has_one_for_each_film_or_says_which_is_not_there(
    films: list[Film], tmp_path: Path
) -> None:
    (tmp_path / "ChainRule.srt").write_text("")
    settings = Settings(captions=str(tmp_path))
    assert settings.captions_of(films[0].scene) == str(tmp_path / "ChainRule.srt")
    with pytest.raises(ExplainerError, match=r"holds no captions for TheEnd: TheEnd\.srt is not there"):
        render.render([films[1].scene], tmp_path / "out", settings)
