"""DigitLearning: every bar, number, pixel, label and frame on screen is what the trace recorded, in its order."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

manim = pytest.importorskip("manim", reason="films are not installed")
torch = pytest.importorskip("torch")

from manim import DL, UR, Mobject, tempconfig  # noqa: E402
from torch import nn  # noqa: E402

import explainer  # noqa: E402
from explainer.errors import TraceError  # noqa: E402
from explainer.lessons import record_lesson  # noqa: E402
from explainer.mobjects.bars import Bars  # noqa: E402
from explainer.mobjects.counter import Counter  # noqa: E402
from explainer.mobjects.formula import Formula  # noqa: E402
from explainer.mobjects.heat_map import Picture  # noqa: E402
from explainer.mobjects.network_diagram import Edges  # noqa: E402
from explainer.mobjects.units import Filled  # noqa: E402
from explainer.mobjects.words import Words  # noqa: E402
from scenes.digit_learning import DigitLearning  # noqa: E402
from tests.filmed import Box, CanBeSeen, Watching, check_room, run  # noqa: E402

ROOT = Path(__file__).parent.parent


@dataclass
class Frame:
    """What one frame said."""

    step: int
    bars: np.ndarray
    numbers: list[str]
    loss: str
    position: float
    weight: float | None
    cards: list[tuple[str, str, bool]] = field(default_factory=list)


class Watched(Watching, DigitLearning):
    """The film, looked at in every frame and at the end of every sentence."""

    def look(self) -> None:
        shown = {id(part) for each in self.mobjects for part in each.get_family()}
        cards = [card for card in getattr(self, "cards", []) if id(card.answer) in shown]
        if not cards and id(self.bars.others) not in shown:
            return
        frame = Frame(
            step=int(self.clock.counter.words),
            bars=self.bars.lengths() / np.linalg.norm(self.bars.rule.get_vector()),
            numbers=[counter.words for counter in self.bars.counters],
            loss=self.loss.words,
            position=self.curve.position,
            weight=float(edges.weights[3, 5]) if isinstance(edges := self.diagram.edges[0], Edges) else None,
            cards=[(card.said, card.probability.words, card.frame.get_stroke_opacity() > 0) for card in cards],
        )
        self.frames.append((self.beats[-1][0], frame))

    def boxes(self) -> list[Box]:
        return all_boxes(self)


def all_boxes(scene: Watched) -> list[Box]:
    """Return the boxes of all text, images, bars and units on screen."""
    found: list[Box] = []
    for part in [part for each in scene.mobjects for part in each.get_family()]:
        name = getattr(part, "words", None) or type(part).__name__
        if isinstance(part, Words | Counter | Formula | Picture | Filled) and visible(part):
            found.append((f"{name}", *part.get_corner(DL)[:2], *part.get_corner(UR)[:2]))
        elif isinstance(part, Bars) and visible(part.base):
            shown = part.boxes()
            for index, box in enumerate(shown):
                found.append((f"bar {index}", *box.min(axis=0)[:2], *box.max(axis=0)[:2]))
    return found


def visible(mobject: Mobject) -> bool:
    return any(
        len(part.points) and (part.get_fill_opacity() > 0 or part.get_stroke_opacity() > 0)
        for part in mobject.get_family()
    )


@pytest.fixture(scope="module")
def trace() -> explainer.Trace:
    return record_lesson("digits")


@pytest.fixture(scope="module")
def film(trace: explainer.Trace) -> Watched:
    return run(Watched, trace=trace)


@pytest.fixture(scope="module")
def light(trace: explainer.Trace) -> Watched:
    return run(Watched, {"EXPLAINER_THEME": "light"}, rate=1, painted=False, trace=trace)


class TestItCanBeSeen(CanBeSeen):
    seconds = 35, 55


@pytest.fixture(scope="module")
def foreign() -> explainer.Trace:
    """Another person's network: a CNN on small colour images of three classes, with scores as its output."""
    torch.manual_seed(0)
    labels = torch.arange(24) % 3
    images = torch.rand(24, 3, 8, 8) * 0.3
    images[torch.arange(24), labels, 2:6, 2:6] += 0.7
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 3))
    optimizer, criterion = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9), nn.CrossEntropyLoss()
    probe = (images[1:6], labels[1:6])
    with explainer.record(model, criterion=criterion, optimizer=optimizer, probe=probe) as recorder:
        recorder.note(classes=["reddish", "green", "blue"])
        for _ in range(25):
            optimizer.zero_grad()
            criterion(model(images), labels).backward()
            optimizer.step()
    return recorder.trace


def probabilities(trace: explainer.Trace) -> np.ndarray:
    """Return exp of the recorded log-probabilities of the lesson's probe, (S, example, class)."""
    return np.exp(np.asarray(trace.probe.activations["5"], np.float64))


def test_it_begins_with_about_a_tenth_for_each_digit(film: Watched, trace: explainer.Trace) -> None:
    first = film.frames[0][1]
    np.testing.assert_allclose(first.bars, probabilities(trace)[0, 4], rtol=1e-6)
    assert first.step == 0 and first.bars.max() < 0.2
    assert first.bars.sum() == pytest.approx(1, abs=1e-6)


def test_every_printed_number_is_that_of_the_step_in_the_corner(film: Watched, trace: explainer.Trace) -> None:
    of_step = {int(step): index for index, step in enumerate(trace.steps)}
    frames = [frame for beat, frame in film.frames if beat == "training"]
    assert len({frame.step for frame in frames}) > 15
    for frame in frames:
        index = of_step[frame.step]
        assert frame.numbers == [f"{value:.3f}" for value in probabilities(trace)[index, 4]]
        assert frame.loss == f"{trace.scalars['loss'][index]:.3f}"


def test_bars_curve_and_weights_glide_between_that_step_and_the_next(film: Watched, trace: explainer.Trace) -> None:
    recorded = probabilities(trace)[:, 4]
    weights = np.asarray(trace.parameters["0.weight"])
    row, column = film.history.drawn[1][3], film.history.drawn[0][5]
    for frame in [frame for beat, frame in film.frames if beat == "training"]:
        index = trace.index_of(frame.step)
        share = frame.position - index
        assert 0 <= share < 1
        after = min(index + 1, len(recorded) - 1)
        np.testing.assert_allclose(frame.bars, (1 - share) * recorded[index] + share * recorded[after], atol=1e-9)
        between = (1 - share) * weights[index, row, column] + share * weights[after, row, column]
        assert frame.weight == pytest.approx(between, abs=1e-9)


@pytest.mark.parametrize("beat", ["training", "all digits"])
def test_the_steps_are_shown_in_their_order_and_to_the_last(film: Watched, trace: explainer.Trace, beat: str) -> None:
    steps = [frame.step for name, frame in film.frames if name == beat]
    steps = steps[steps.index(0) :] if beat == "training" else steps[len(steps) - steps[::-1].index(0) - 1 :]
    assert steps == sorted(steps)
    assert (steps[0], steps[-1]) == (0, trace.steps[-1])
    assert set(steps) <= set(trace.steps.tolist())


def test_the_curve_is_the_recorded_loss(film: Watched, trace: explainer.Trace) -> None:
    np.testing.assert_array_equal(film.curve.values, trace.scalars["loss"])
    np.testing.assert_array_equal(film.curve.steps, trace.steps)
    assert film.curve.position == len(trace.steps) - 1
    words = film.curve.guides[0][1]
    assert words.words == "ln 10 = 2.30: knows nothing"


def test_the_answers_and_frames_of_all_cards_are_the_recorded_ones(film: Watched, trace: explainer.Trace) -> None:
    recorded = probabilities(trace)
    frames = [frame for beat, frame in film.frames if beat == "all digits" and frame.cards]
    assert len({frame.step for frame in frames}) > 15
    for frame in frames:
        index = trace.index_of(frame.step)
        answers = recorded[index].argmax(axis=1)
        assert [said for said, _, _ in frame.cards] == [str(answer) for answer in answers]
        assert [number for _, number, _ in frame.cards] == [f"{value:.3f}" for value in recorded[index].max(axis=1)]
    last = frames[-1]
    assert [framed for _, _, framed in last.cards] == (recorded[-1].argmax(axis=1) == np.arange(10)).tolist()


def test_each_card_shows_its_image_and_marks_its_own_digit(film: Watched, trace: explainer.Trace) -> None:
    images = np.asarray(trace.probe.inputs).reshape(10, 28, 28)
    for digit, card in enumerate(film.cards):
        np.testing.assert_array_equal(card.picture.values, images[digit])
        assert (card.picture.low, card.picture.high) == (images.min(), images.max())
        assert card.right_class == trace.probe.targets[digit]
        np.testing.assert_allclose(card.bars.values, probabilities(trace)[-1, digit])


def test_the_image_that_is_followed_is_the_four_pixel_by_pixel(film: Watched, trace: explainer.Trace) -> None:
    four = np.asarray(trace.probe.inputs)[4].reshape(28, 28)
    assert trace.probe.targets[4] == 4
    np.testing.assert_array_equal(film.picture.values, four)
    np.testing.assert_allclose(film.picture.colours()[..., 0], (four + 1) / 2, atol=1e-6)


def test_the_network_inside_the_box_is_the_recorded_one(film: Watched, trace: explainer.Trace) -> None:
    assert [[line.words for line in label] for label in film.diagram.labels] == [
        ["16 of 784", "pixels"], ["16 of 128", "ReLU"], ["16 of 64", "ReLU"], ["10", "digits"],
    ]  # fmt: skip
    last = np.asarray(trace.parameters["4.weight"][-1])
    np.testing.assert_array_equal(film.diagram.edges[2].weights, last[:, film.history.drawn[2]])
    np.testing.assert_array_equal(
        film.diagram.units[1].values, np.asarray(trace.probe.activations["1"][-1])[4, film.history.drawn[1]]
    )
    outputs = film.diagram.units[3].middles()[:, 1]
    np.testing.assert_allclose(outputs, [film.bars.foot(digit)[1] for digit in range(10)], atol=1e-9)


def test_the_last_frame_is_a_slide_of_its_own(film: Watched, trace: explainer.Trace) -> None:
    words = {name for name, *_ in list(film.stills.values())[-1]}
    accuracy = trace.scalars["test_accuracy"][np.isfinite(trace.scalars["test_accuracy"])][-1]
    four = probabilities(trace)[:, 4, 4]
    assert {"p(4)", f"{four[-1]:.3f}", f"at step 0: {four[0]:.3f}", "test accuracy", f"{accuracy:.3f}"} <= words
    assert {"Picture", "bar 4", "1,797 real 8×8 scans, enlarged to 28×28", "459"} <= words
    assert four[-1] > 0.9


def test_where_the_images_are_from_is_on_screen_all_the_time(film: Watched) -> None:
    assert all(
        "1,797 real 8×8 scans, enlarged to 28×28" in {name for name, *_ in still} for still in film.stills.values()
    )


def test_captions_are_true(film: Watched, trace: explainer.Trace) -> None:
    sentences = [sentence for sentence, _, _ in film.said]
    turn = trace.steps[(probabilities(trace)[:, 4, 4] > 0.5).argmax()]
    right = int((probabilities(trace)[-1].argmax(axis=1) == np.arange(10)).sum())
    assert sentences == [
        "A real handwritten four: to the network, 784 numbers.",
        "The network is a function F: pixels in, a probability for each digit out.",
        "Untrained, it knows nothing: every digit gets about a tenth.",
        "Inside, every layer passes its numbers on to the next.",
        "Training changes the weights a little in every step: the bars move.",
        f"After {turn} steps the four has more than half of the probability.",
        "The same steps, all ten digits: a frame where it is right.",
        f"At the last recorded step it is right on {right} of these 10.",
        "From a tenth for each digit to a lot of probability in the digit four.",
    ]


def test_a_network_that_is_no_chain_of_dense_layers_is_opened_too(foreign: explainer.Trace) -> None:
    scene = run(Watched, rate=2, trace=foreign)
    check_room(scene)
    scores = torch.tensor(np.asarray(foreign.probe.activations["4"]))
    expected = torch.softmax(scores, dim=-1).numpy()
    assert [type(each).__name__ for each in scene.diagram.units] == ["Plates", "Plates", "Units", "Units"]
    maps = np.asarray(foreign.probe.activations["2"][-1])[0][[0, 2, 5, 7]]  # four of the eight feature maps
    np.testing.assert_array_equal(scene.diagram.units[1].values, maps)
    np.testing.assert_allclose(scene.diagram.units[3].values, expected[-1, 0], rtol=1e-5)
    last = np.asarray(foreign.parameters["4.weight"][-1])
    np.testing.assert_array_equal(scene.diagram.edges[2].weights[:, 0], last[:, 0])
    np.testing.assert_allclose(scene.bars.values, expected[-1, 0], rtol=1e-5)
    assert [label.words for label in scene.bars.labels] == ["reddish", "green", "blue"]
    np.testing.assert_array_equal(scene.picture.values, np.moveaxis(np.asarray(foreign.probe.inputs)[0], 0, -1))
    said = [sentence for sentence, _, _ in scene.said]
    assert said[0] == "An image of “green”: to the network, 192 numbers."
    assert said[-1] == f"Training moved “green” from {expected[0, 0, 1]:.3f} to {expected[-1, 0, 1]:.3f}."


@pytest.fixture(scope="module")
def many() -> explainer.Trace:
    """Forty classes without names, of which twelve get a bar."""
    torch.manual_seed(0)
    labels, images = torch.arange(80) % 40, torch.randn(80, 1, 8, 8)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 20), nn.Tanh(), nn.Linear(20, 40))
    optimizer, criterion = torch.optim.SGD(model.parameters(), lr=0.5), nn.CrossEntropyLoss()
    with explainer.record(
        model, criterion=criterion, optimizer=optimizer, probe=(images[5:17], labels[5:17])
    ) as recorder:
        for _ in range(12):
            optimizer.zero_grad()
            criterion(model(images), labels).backward()
            optimizer.step()
    return recorder.trace


def test_of_many_classes_twelve_get_a_bar_and_it_says_so(many: explainer.Trace) -> None:
    scene = run(Watched, rate=2, trace=many)
    check_room(scene)
    assert len(scene.bars.values) == 12
    assert scene.about_bars[0].words == "probability of 12 of 40 classes"
    expected = torch.softmax(torch.tensor(np.asarray(many.probe.activations["3"])), dim=-1).numpy()
    answers = expected[-1].argmax(axis=1)
    assert [card.said for card in scene.cards] == [str(answer) for answer in answers[: len(scene.cards)]]
    np.testing.assert_allclose(scene.bars.values, expected[-1, 0, scene.classes], rtol=1e-5)


def one_step(**options: Any) -> explainer.Trace:
    model, inputs, labels = nn.Linear(16, 3), torch.rand(4, 16), torch.tensor([0, 1, 2, 0])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with explainer.record(model, optimizer=optimizer, **options) as recorder:
        nn.functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
    return recorder.trace


def test_a_trace_without_a_probe_is_told_what_to_record() -> None:
    with pytest.raises(
        TraceError, match=r"(?s)DigitLearning draws a probe.*record it with\n.*probe=\(inputs, targets\)"
    ):
        run(DigitLearning, trace=one_step())


def test_a_trace_without_a_loss_is_told_how_to_log_it() -> None:
    probe = (torch.rand(2, 16), torch.tensor([0, 1]))
    with pytest.raises(TraceError, match=r"shows the loss.*criterion=criterion.*\n    recorder\.log\(loss=loss\)"):
        run(Watched, trace=one_step(probe=probe))


def test_the_film_of_another_run_is_not_taken_from_the_cache(trace: explainer.Trace) -> None:
    from manim.utils.hashing import get_json

    def keys(change: float) -> list[str]:
        """What manim tells two plays apart by, in a run whose last recorded probabilities differ."""
        scene = DigitLearning()
        scene.trace = trace
        scene.setup()
        scene.read()
        scene.seen.probabilities[-1, 4, :2] += change, -change
        scene.build()
        scene.cards = scene.make_cards()
        return [get_json(scene.run(0, 5, seconds=1)), get_json(scene.run_cards(seconds=1))]

    with tempconfig({"dry_run": True, "verbosity": "ERROR"}):
        assert keys(0) == keys(0)
        assert not set(keys(0)) & set(keys(1e-5))


@pytest.mark.slow
def test_plain_manim_renders_it(trace: explainer.Trace, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "manim",
        "-ql",
        "--fps",
        "2",
        "--media_dir",
        str(tmp_path),
        "--progress_bar",
        "none",
    ]
    environment = {**os.environ, "EXPLAINER_TRACE": str(trace.folder)}
    done = subprocess.run(
        [*command, str(ROOT / "scenes" / "digit_learning.py"), "DigitLearning"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list(tmp_path.rglob("DigitLearning.mp4"))) == 1
    subtitles = next(tmp_path.rglob("DigitLearning.srt")).read_text(encoding="utf-8")
    assert "784 numbers." in subtitles and "the digit four." in subtitles
