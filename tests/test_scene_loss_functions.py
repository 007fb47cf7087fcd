"""LossFunctions: every square, slab, bar, number and word on screen is what the runs recorded, in order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

manim = pytest.importorskip("manim", reason="films are not installed")
torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

import explainer  # noqa: E402
from explainer.errors import TraceError  # noqa: E402
from explainer.lessons import record_lesson  # noqa: E402
from explainer.mobjects.squared_errors import SquaredErrors  # noqa: E402
from explainer.mobjects.words import Words  # noqa: E402
from explainer.trace import Trace  # noqa: E402
from scenes.loss_functions import LossFunctions  # noqa: E402
from tests.filmed import CanBeSeen, Watching, check_room, run  # noqa: E402

STEPS = 12  # of the line
DIGIT_STEPS = 60


@dataclass
class Frame:
    """What one frame showed."""

    beat: str
    step: int
    outputs: np.ndarray | None = None
    squares: np.ndarray | None = None
    slabs: np.ndarray | None = None
    mean: str = ""
    bars: np.ndarray | None = None
    fallen: float = 0.0
    loss: str = ""
    said: str = ""


class Watched(Watching, LossFunctions):
    """The film, looked at in every frame and at the end of every sentence."""

    def look(self) -> None:
        frame = Frame(self.beats[-1][0], int(self.clock.counter.words))
        frame.said = self._caption.words if self._caption is not None else ""
        seen = {id(part) for each in self.mobjects for part in each.get_family()}
        if frame.beat in ("squares", "smaller squares"):
            frame.outputs = heights(self.picture, self.picture.plot.curve.drawn())
            frame.squares = self.picture.squares.drawn()
            frame.slabs = self.picture.slabs.drawn() if id(self.picture.slabs) in seen else np.empty((0, 4))
            frame.mean = self.picture.mean.words if id(self.picture.mean) in seen else ""
        elif frame.beat == "cross-entropy" and hasattr(self, "loss") and id(self.loss) in seen:
            frame.bars, frame.loss = self.bars.printed.copy(), self.loss.words
            frame.fallen = float(self.bar.lengths()[0] / self.bar.rule.get_length() * self.bar.deepest)
        self.frames.append(frame)


def heights(picture: SquaredErrors, points: np.ndarray) -> np.ndarray:
    """Return the y of drawn points, by two points of the axis."""
    zero, one = (picture.plot.at(0.0, y)[1] for y in (0.0, 1.0))
    return np.asarray((points[:, 1] - zero) / (one - zero))


@pytest.fixture(scope="module")
def line() -> Trace:
    return record_lesson("line", steps=STEPS)


@pytest.fixture(scope="module")
def digits() -> Trace:
    return record_lesson("digits", steps=DIGIT_STEPS)


@pytest.fixture(scope="module")
def film(line: Trace, digits: Trace) -> Watched:
    return run(Watched, runs={"line": line, "digits": digits})


@pytest.fixture(scope="module")
def light(line: Trace, digits: Trace) -> Watched:
    return run(Watched, {"EXPLAINER_THEME": "light"}, rate=1, painted=False, runs={"line": line, "digits": digits})


class TestItCanBeSeen(CanBeSeen):
    seconds = 34, 56


def errors(trace: Trace, step: int) -> np.ndarray:
    """Return output − target of the lesson's examples, by its two recorded weights."""
    w, b = (np.asarray(trace.parameters[name][step], float).item() for name in "wb")
    return np.asarray(w * np.asarray(trace.inputs[0])[:, 0] + b - np.asarray(trace.targets[0])[:, 0])


# ── squares ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_squares_are_square_and_their_sides_are_the_errors_on_the_scale_of_the_axis(film: Watched, line: Trace) -> None:
    unit = film.picture.plot.at(0.0, 1.0)[1] - film.picture.plot.at(0.0, 0.0)[1]
    frames = [frame for frame in film.frames if frame.beat == "smaller squares"]
    whole = film.picture.squares.drawn()
    np.testing.assert_allclose(whole[:, 2], whole[:, 3])
    np.testing.assert_allclose(whole[:, 2], np.abs(errors(line, STEPS - 1)) * unit, rtol=1e-6)
    for frame in frames:  # between two steps too, of the line that is drawn
        sides = np.abs(frame.outputs - np.asarray(line.targets[0])[:, 0]) * unit
        np.testing.assert_allclose(frame.squares[:, 2], sides, atol=1e-9)


def test_a_square_reaches_from_the_line_to_its_example(film: Watched, line: Trace) -> None:
    picture, squares = film.picture, film.picture.squares.drawn()
    dots, points = picture.plot.dots.drawn(), picture.plot.curve.drawn()
    low, high = np.minimum(dots[:, 1], points[:, 1]), np.maximum(dots[:, 1], points[:, 1])
    np.testing.assert_allclose(squares[:, 1], low, atol=1e-9)
    np.testing.assert_allclose(squares[:, 1] + squares[:, 3], high, atol=1e-9)
    edges = np.stack([squares[:, 0], squares[:, 0] + squares[:, 2]])
    assert np.abs(edges - dots[:, 0]).min(axis=0).max() < 1e-9


def test_the_column_holds_a_twentieth_of_each_area_and_its_height_is_the_recorded_loss(
    film: Watched, line: Trace
) -> None:
    picture = film.picture
    unit = picture.plot.at(0.0, 1.0)[1] - picture.plot.at(0.0, 0.0)[1]
    assert picture.wide == 1
    frames = [frame for frame in film.frames if frame.beat == "smaller squares"]
    for frame in frames:
        areas = [rectangles[:, 2] * rectangles[:, 3] for rectangles in (frame.squares, frame.slabs)]
        np.testing.assert_allclose(areas[1], areas[0] / 20, atol=1e-12)
        np.testing.assert_allclose(frame.slabs[:, 2], 1 * unit)
        np.testing.assert_allclose(frame.slabs[1:, 1], (frame.slabs[:, 1] + frame.slabs[:, 3])[:-1])
    last = film.picture.slabs.drawn()
    assert last[:, 3].sum() / unit == pytest.approx(line.scalars["loss"][-1], rel=1e-6)
    first = [frame for frame in film.frames if frame.beat == "squares"][-1].slabs
    assert first[:, 3].sum() / unit == pytest.approx(line.scalars["loss"][0], rel=1e-6)
    words = {name for still in film.stills.values() for name, *_ in still}
    assert "each square goes into the column with 1/20 of its area;" in words
    assert "the column is 1 wide, so its height is the mean: not ½ mean" in words


def test_numbers_beside_the_column_stand_where_a_column_of_that_mean_would_end(film: Watched) -> None:
    ruler, foot = film.picture.ruler, film.picture.foot
    unit = film.picture.plot.unit
    marks = [part for part in ruler if isinstance(part, Words) and "wide" not in part.words]
    assert [mark.words for mark in marks] == ["0", "1", "2"]
    for mark in marks:
        assert mark.get_center()[1] - foot[1] == pytest.approx(float(mark.words) * unit, abs=0.02)


def test_copies_shrink_on_their_way_from_the_square_to_the_slab(film: Watched, line: Trace) -> None:
    frames = [frame.slabs for frame in film.frames if frame.beat == "squares" and "average area" in frame.said]
    counts = [len(slabs) for slabs in frames if len(slabs)]
    assert counts[-1] == 20 and sorted(counts) == counts and len(set(counts)) > 3
    own = errors(line, 0) ** 2 * film.picture.plot.unit**2
    for slabs in frames:
        areas = slabs[:, 2] * slabs[:, 3]
        if len(slabs) < 20:
            assert (areas <= own[: len(slabs)] * (1 + 1e-9)).all() and (areas >= own[: len(slabs)] / 20.001).all()


def test_the_printed_mean_is_the_recorded_loss_of_the_step_in_the_corner(film: Watched, line: Trace) -> None:
    frames = [frame for frame in film.frames if frame.mean]
    assert {frame.step for frame in frames} == set(range(STEPS))
    for frame in frames:
        assert frame.mean == f"{line.scalars['loss'][frame.step]:.3f}"
        assert frame.mean == f"{np.mean(errors(line, frame.step) ** 2):.3f}"


# ── falling bars ─────────────────────────────────────────────────────────────────────────────────────────────────


def log_probabilities(trace: Trace) -> np.ndarray:
    """Return what the network's last layer gave for the probe, (S, example, class)."""
    assert trace.probe is not None
    return np.asarray(trace.probe.activations["5"], np.float64)


def test_the_ten_bars_are_exp_of_the_recorded_log_probabilities_of_the_four(film: Watched, digits: Trace) -> None:
    steps = digits.steps.tolist()
    frames = [frame for frame in film.frames if frame.bars is not None]
    assert frames
    for frame in frames:
        logs = log_probabilities(digits)[steps.index(frame.step), 4]
        np.testing.assert_allclose(frame.bars, np.exp(logs), rtol=1e-6)
        assert frame.bars.sum() == pytest.approx(1, abs=1e-5)
        assert frame.loss == f"{-logs[4]:.3f}"


def test_the_bar_falls_by_minus_the_log_of_the_right_one_s_probability(film: Watched, digits: Trace) -> None:
    steps, losses = digits.steps.tolist(), -log_probabilities(digits)[:, 4, 4]
    frames = [frame for frame in film.frames if frame.bars is not None and "surer" in frame.said]
    assert len({frame.step for frame in frames}) > 10
    for frame in frames:
        here = steps.index(frame.step)
        ends = losses[here], losses[min(here + 1, film.turn)]
        assert min(ends) - 1e-9 <= frame.fallen <= max(ends) + 1e-9
    assert frames[-1].fallen == pytest.approx(losses[film.turn])
    for mark in [part for part in film.bar.marks if isinstance(part, Words)]:
        depth = -np.log(float(mark.words.removeprefix("p = ")))
        assert mark.get_center()[1] == pytest.approx(film.bar.at(0, depth)[1], abs=0.02)


def test_each_example_has_its_bar_and_the_dashed_line_is_their_mean_as_torch_has_it(
    film: Watched, digits: Trace
) -> None:
    logs = log_probabilities(digits)[film.turn]
    losses = nn.functional.nll_loss(torch.tensor(logs), torch.arange(10), reduction="none").numpy()
    drawn = film.all_bars.lengths() / film.all_bars.rule.get_length() * film.all_bars.deepest
    np.testing.assert_allclose(drawn, losses, rtol=1e-6)
    mean = nn.functional.nll_loss(torch.tensor(logs), torch.arange(10)).item()
    assert mean == pytest.approx(digits.scalars["probe_loss"][film.turn], rel=1e-6)
    assert film.average[0].get_center()[1] == pytest.approx(film.all_bars.at(0, mean)[1])
    assert film.average[1].words == f"{mean:.3f}"
    assert f"The loss is the mean over these 10 examples: {mean:.3f}." in film.stills


# ── the whole film ───────────────────────────────────────────────────────────────────────────────────────────────


def test_the_captions_tell_both_losses_with_their_recorded_numbers(film: Watched, line: Trace) -> None:
    sentences = [sentence for sentence, _, _ in film.said]
    losses = line.scalars["loss"]
    mean = f"{film.answers.means[film.turn]:.3f}"
    assert sentences == [
        "Examples, and a network's answer: a line, and it is wrong.",
        "Each error, from the line to the example, becomes a square.",
        "Mean squared error: the average area.",
        f"Two recorded steps later: smaller squares, a mean of {losses[2]:.3f}.",
        f"At step {STEPS - 1} the mean is {losses[-1]:.3f}.",
        "A classifier gives a probability to each digit.",
        "Cross-entropy looks only at the probability given to the right answer.",
        "The surer of the right answer, the shorter the bar.",
        f"The loss is the mean over these 10 examples: {mean}.",
        "A loss is one number for how wrong the predictions are.",
    ]
    assert [name for name, _ in film.beats] == ["squares", "smaller squares", "cross-entropy", "mean", "two losses"]


def test_the_last_frame_holds_both_formulas_and_says_which_mean(film: Watched, line: Trace, digits: Trace) -> None:
    words = {name for name, *_ in list(film.stills.values())[-1]}
    assert sum("ell" in name for name in words) == 2
    half = line.scalars["loss"][2] / 2
    step = digits.steps[film.turn]
    assert {
        f"the mean, not ½ mean (that would be {half:.3f})", "the mean over 10 examples, natural logarithm",
        f"line · step 2 of {STEPS} · recorded, float64",
        f"digits · step {step} of {DIGIT_STEPS} · recorded, float32",
    } <= words  # fmt: skip


# ── other people's runs ──────────────────────────────────────────────────────────────────────────────────────────


def regression(path: Path | None = None, *, probe: bool = False, inputs: int = 1) -> Trace:
    """Record a bent net on 9 points, all in every step, that are far from zero."""
    torch.manual_seed(0)
    x = torch.linspace(100, 300, 9)[:, None].repeat(1, inputs)
    y = 5000 + 30 * x[:, :1]
    model = nn.Sequential(nn.BatchNorm1d(inputs), nn.Linear(inputs, 8), nn.Tanh(), nn.Linear(8, 1))
    model[3].weight.data *= 2000
    model[3].bias.data[:] = 9000
    return trained(model, nn.MSELoss(), x, y, path, rate=1e-2, probe=probe)


def classifier(path: Path | None = None, *, probe: bool = True) -> Trace:
    """Record a classifier of three classes of points, which are no images."""
    torch.manual_seed(0)
    x, y = torch.randn(12, 2), torch.randint(0, 3, (12,))
    return trained(nn.Linear(2, 3), nn.CrossEntropyLoss(), x, y, path, rate=0.3, probe=probe)


def trained(
    model: nn.Module, loss: nn.Module, x: torch.Tensor, y: torch.Tensor, path: Path | None, *, rate: float, probe: bool
) -> Trace:
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    chosen: dict[str, Any] = {"probe": (x, y)} if probe else {}
    examples = None if loss._get_name() == "MSELoss" else 8
    with explainer.record(model, path, criterion=loss, optimizer=optimizer, examples=examples, **chosen) as recorder:
        for _ in range(6):
            optimizer.zero_grad()
            loss(model(x), y).backward()
            optimizer.step()
    return recorder.trace


@pytest.mark.parametrize("probe", [True, False])
def test_a_folder_with_a_regression_and_a_classifier_of_others_is_shown(tmp_path: Path, probe: bool) -> None:
    regression(tmp_path / "rents", probe=probe)
    classifier(tmp_path / "points", probe=probe)
    film = run(Watched, {"EXPLAINER_TRACE": str(tmp_path)}, rate=2)
    assert film.noun == "class" and film.answers.images is None
    assert film.line.probed is film.answers.probed is probe
    sentences = [sentence for sentence, _, _ in film.said]
    assert sentences[0] == "Examples, and a network's answer: a curve, and it is wrong."
    assert (sentences[-2].startswith("This is the mean over these 8")) is not probe
    slabs, unit = film.picture.slabs.drawn(), film.picture.plot.unit
    high = slabs[:, 3].sum() / unit * film.picture.wide
    assert high == pytest.approx(film.line.mean_squares[film.last], rel=1e-6)
    check_room(film)


def test_one_trace_alone_is_joined_by_the_lesson_s_of_the_other_kind(
    line: Trace, digits: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    lessons = {"line": {"line": line}, "digits": {"digits": digits}}
    monkeypatch.setattr(LossFunctions, "lesson_runs", lambda self, lesson: lessons[lesson])
    for given, lesson in ((regression(), digits), (classifier(), line)):
        film = LossFunctions.__new__(LossFunctions)
        film.runs = {"mine": given}
        film.read()
        assert lesson in (film.line_trace, film.class_trace) and given in (film.line_trace, film.class_trace)


def test_two_of_one_kind_are_refused() -> None:
    with pytest.raises(TraceError, match="shows one regression and one classifier, and there are 2 and 0"):
        run(LossFunctions, runs={"a": regression(), "b": regression()})


def test_a_regression_of_several_inputs_is_refused_by_name() -> None:
    with pytest.raises(TraceError, match=r"each input of the run a is of shape \(2,\).*one input and one output"):
        run(LossFunctions, runs={"a": regression(inputs=2)})
