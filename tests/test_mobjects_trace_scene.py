"""A scene that shows a trace: where it comes from, what it lacks, what is said and how long it stays."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("manim")

from manim import FadeIn, Square, tempconfig

import explainer
from explainer.errors import ExplainerError, TraceError
from explainer.lessons import record_lesson
from explainer.mobjects.trace_scene import READING, SHORTEST, TraceScene
from explainer.theme import DARK, LIGHT
from explainer.trace import Trace

ROOT = Path(__file__).parent.parent


class Two(TraceScene):
    lesson = "two-layer"

    def construct(self) -> None:
        self.source(12, "example 12")
        self.beat("first")
        self.say("A first sentence, which is long enough to need some time for being read.", FadeIn(Square()))
        self.play(FadeIn(Square()), run_time=2)
        self.beat("second")
        self.say("Short.")


def walked(scene_class: type[TraceScene], **settings: Any) -> TraceScene:
    with tempconfig({"dry_run": True, "pixel_width": 86, "pixel_height": 48, "frame_rate": 15, **settings}):
        scene = scene_class()
        scene.render()
    return scene


@pytest.fixture(autouse=True)
def without_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EXPLAINER_TRACE", raising=False)
    monkeypatch.delenv("EXPLAINER_THEME", raising=False)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    return record_lesson("two-layer", tmp_path_factory.mktemp("other") / "trace", steps=3)


def test_the_trace_is_the_classs_then_the_environments_then_the_lessons(
    other: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(walked(Two).trace) == 200
    monkeypatch.setenv("EXPLAINER_TRACE", str(other.folder))
    assert len(walked(Two).trace) == 3
    shorter = record_lesson("two-layer", steps=2)
    assert len(walked(type("Own", (Two,), {"trace": shorter})).trace) == 2
    assert len(walked(type("Own", (Two,), {"trace": shorter.folder})).trace) == 2


def test_a_folder_that_is_no_trace_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPLAINER_TRACE", str(tmp_path / "nothing"))
    with pytest.raises(TraceError, match="there is no such folder"):
        walked(Two)


def test_a_scene_without_trace_and_lesson_says_how_to_name_one() -> None:
    with pytest.raises(TraceError, match=r"Lost has no lesson of its own: name a trace with EXPLAINER_TRACE"):
        walked(type("Lost", (Two,), {"lesson": ""}))


def record_little(**options: Any) -> Trace:
    import torch

    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with explainer.record(model, optimizer=optimizer, **options) as recorder:
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()
    return recorder.trace


def test_what_a_trace_lacks_is_one_sentence_with_the_line_to_add() -> None:
    trace = record_little(keep=("activations",))
    scene = type("Film", (Two,), {"trace": trace, "needs": ("activations", "gradients", "criterion", "probe")})
    with pytest.raises(TraceError) as caught:
        walked(scene)
    sentence, line = str(caught.value).split("\n")
    assert sentence == "Film draws gradients and a loss and a probe, which this trace does not hold; record it with"
    assert line.strip() == (
        "explainer.record(model, path, criterion=criterion, optimizer=optimizer, "
        'keep=("activations", "gradients"), probe=(inputs, targets))'
    )


@pytest.mark.parametrize("need", ["inputs", "targets", "updates", "parameters", "parameter_gradients", "gradients"])
def test_every_kind_is_missed_where_it_was_not_kept(need: str) -> None:
    scene = type("Film", (Two,), {"trace": record_little(keep=()), "needs": (need,)})
    with pytest.raises(TraceError, match=f"Film draws {need.replace('_', ' ')}, which .* does not hold"):
        walked(scene)


def test_the_lessons_trace_holds_all_that_a_film_can_need() -> None:
    needs = (
        "activations", "gradients", "parameters", "parameter_gradients", "updates", "inputs", "targets", "criterion",
        "probe",
    )  # fmt: skip
    assert walked(type("Film", (Two,), {"needs": needs})).said


def test_captions_stay_long_enough_to_be_read_and_become_the_subtitles() -> None:
    scene = walked(Two)
    assert [sentence for sentence, _, _ in scene.said] == [
        "A first sentence, which is long enough to need some time for being read.", "Short.",
    ]  # fmt: skip
    frame = 1 / 15
    for sentence, began, ended in scene.said:
        assert ended - began >= max(SHORTEST, len(sentence) / READING) - frame
    assert scene.said[0][2] == scene.said[1][1]
    assert scene.said[-1][2] == pytest.approx(scene.seconds)

    subtitles = scene.renderer.file_writer.subcaptions
    assert [each.content for each in subtitles] == [sentence for sentence, _, _ in scene.said]
    for subtitle, (_, began, ended) in zip(subtitles, scene.said, strict=True):
        assert subtitle.start == pytest.approx(
            datetime.timedelta(seconds=began), abs=datetime.timedelta(milliseconds=1)
        )
        assert subtitle.end == pytest.approx(datetime.timedelta(seconds=ended), abs=datetime.timedelta(milliseconds=1))


def test_only_one_caption_is_on_screen_and_it_stays_in_its_region() -> None:
    scene = walked(Two)
    captions = [mobject for mobject in scene.mobjects if getattr(mobject, "words", "") in {s for s, _, _ in scene.said}]
    assert [caption.words for caption in captions] == ["Short."]
    assert scene.layout.caption.contains(captions[0])


@pytest.mark.parametrize("words", [3, 15, 24])
def test_a_caption_never_leaves_its_region(words: int) -> None:
    sentence = " ".join(["gradient"] * words)

    class Long(Two):
        def construct(self) -> None:
            self.say(sentence)
            assert self._caption is not None
            assert self.layout.caption.contains(self._caption)

    walked(Long)


def test_beats_are_named_and_timed_and_are_sections() -> None:
    scene = walked(Two)
    assert [name for name, _ in scene.beats] == ["first", "second"]
    assert scene.beats[0][1] == 0
    assert scene.beats[0][1] < scene.beats[1][1] < scene.seconds


def test_the_corner_says_where_the_numbers_are_from() -> None:
    scene = walked(Two)
    corner = next(mobject for mobject in scene.mobjects if getattr(mobject, "words", "").startswith("step"))
    assert corner.words == "step 12 of 200 · recorded, float64 · example 12"
    assert scene.layout.header.contains(corner)


def test_the_theme_is_dark_or_what_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert walked(Two).theme is DARK
    monkeypatch.setenv("EXPLAINER_THEME", "light")
    scene = walked(Two)
    assert scene.theme is LIGHT
    assert scene.camera.background_color == LIGHT.background
    monkeypatch.setenv("EXPLAINER_THEME", "ligth")
    with pytest.raises(ExplainerError, match=r"EXPLAINER_THEME: no theme is called 'ligth'. Did you mean 'light'"):
        walked(Two)


def test_a_part_of_a_film_can_be_rendered() -> None:
    assert walked(Two, upto_animation_number=0).seconds > 0


def test_a_recorded_lesson_is_shown_without_torch() -> None:
    record_lesson("two-layer")
    code = """
import sys
from manim import tempconfig
from explainer.mobjects import TraceScene
class Film(TraceScene):
    lesson = "two-layer"
    def construct(self):
        self.source(3)
        self.say("Said.")
with tempconfig({"dry_run": True, "pixel_width": 86, "pixel_height": 48, "frame_rate": 15}):
    Film().render()
assert not {"torch", "matplotlib"} & set(sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
