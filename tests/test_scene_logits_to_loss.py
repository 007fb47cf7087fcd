"""LogitsToLoss: every bar, number, needle, line, cell and caption against its trace, torch the referee."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

manim = pytest.importorskip("manim", reason="films are not installed")
torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

import explainer  # noqa: E402
from explainer.errors import TraceError  # noqa: E402
from explainer.lessons import record_lesson  # noqa: E402
from explainer.trace import Trace  # noqa: E402
from scenes.logits_to_loss import LogitsToLoss  # noqa: E402
from tests.filmed import Box, CanBeSeen, Watching, check_pace, check_room, run, things  # noqa: E402

F = nn.functional


@dataclass
class Needle:
    """What one frame of the training showed."""

    step: int
    good: tuple[float, str]
    wrong: tuple[float, str]


class Watched(Watching, LogitsToLoss):
    """The film, looked at in every frame of the training and at the end of every sentence."""

    def setup(self) -> None:
        super().setup()
        self.needles: list[Needle] = []
        self.matrices: list[Any] = []

    def look(self) -> None:
        if self.beats and self.beats[-1][0] == "mistake" and getattr(self, "wrong", None) in self.family():
            dials = ((dial.angle, dial.counter.words) for dial in (self.good, self.wrong))
            self.needles.append(Needle(int(self.clock.counter.words), *dials))

    def family(self) -> list[Any]:
        return [part for mobject in self.mobjects for part in mobject.get_family()]

    def matrix_of(self, index: int, axis: int) -> Any:
        self.matrices.append((index, axis, super().matrix_of(index, axis)))
        return self.matrices[-1][2]

    def boxes(self) -> list[Box]:
        return things(self)


def foreign(name: str) -> Trace:
    torch.manual_seed(2)
    x = torch.randn(20, 6)
    if name == "three classes, scores":
        model, criterion, y = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)), nn.CrossEntropyLoss(), 3
    elif name == "many classes, not learned":
        model, criterion, y = nn.Linear(6, 40), nn.CrossEntropyLoss(), 20
    else:
        assert name == "log-softmax, two classes"
        model, criterion, y = nn.Sequential(nn.Linear(6, 2), nn.LogSoftmax(dim=-1)), nn.NLLLoss(), 2
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    with explainer.record(model, criterion=criterion, optimizer=optimizer, examples=None) as recorder:
        for _ in range(12):
            optimizer.zero_grad()
            criterion(model(x), torch.arange(20) % y).backward()
            optimizer.step()
    return recorder.trace


FOREIGN = ("three classes, scores", "many classes, not learned", "log-softmax, two classes")
ALL = pytest.mark.parametrize("name", ["the lesson", *FOREIGN])
CACHE: dict[tuple[str, str], Watched] = {}


def film(name: str, theme: str = "dark") -> Watched:
    if (name, theme) not in CACHE:
        trace = record_lesson("digits", steps=30) if name == "the lesson" else foreign(name)
        CACHE[name, theme] = run(Watched, {"EXPLAINER_THEME": theme}, rate=2, painted=theme == "dark", trace=trace)
    return CACHE[name, theme]


def recorded(scene: Watched, index: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the scores and the right classes of a batch, as the trace has them."""
    trace = scene.trace
    if trace.model.criterion.type == "CrossEntropyLoss":
        x = trace.criterion.inputs[index]
    else:
        x = trace.activations[trace.layers[-2]][index]
    return torch.tensor(np.asarray(x)), torch.tensor(np.asarray(trace.targets[index]))


def written(value: float, decimals: int = 3) -> str:
    return f"{value:.{decimals}f}".replace("-", "−")


# ── What is shown was recorded, or follows from it ──────────────────────────────────────────────────────────────


@ALL
def test_the_bars_are_the_scores_their_softmax_and_its_logarithm(name: str) -> None:
    scene = film(name)
    x, t = recorded(scene, scene.at)
    row = x[scene.example].double()
    kinds = (row, F.softmax(row, dim=0), F.log_softmax(row, dim=0))
    for bars, values, decimals in zip(scene.bars, kinds, (2, 3, 2), strict=True):
        np.testing.assert_allclose(bars.lengths(), values.numpy()[scene.classes], rtol=1e-6, atol=1e-7)
        shown = [written(float(values[each]), decimals) for each in scene.classes]
        assert [word.words for word in bars.numbers] == shown
        assert scene.classes[bars.right] == int(t[scene.example])
    assert [word.words for word in scene.bars[0].labels] == [scene.seen.classes[each] for each in scene.classes]
    assert scene.titles[1][1].words == "sum 1.000"


def test_of_many_classes_the_likeliest_are_shown_and_the_film_says_so() -> None:
    scene = film("many classes, not learned")
    assert scene.titles[0][1].words == "10 of 40 classes"
    assert len(scene.classes) <= 10
    assert scene.target in scene.classes
    assert set(np.argsort(-scene.x[scene.example])[:9]) <= set(scene.classes)


@ALL
def test_the_loss_of_the_image_is_minus_the_logarithm_of_its_right_class(name: str) -> None:
    scene = film(name)
    x, t = recorded(scene, scene.at)
    loss = float(F.cross_entropy(x[scene.example][None].double(), t[scene.example][None]))
    right = scene.seen.classes[int(t[scene.example])]
    item = "image" if name == "the lesson" else "example"
    assert f"The right answer is {right}, and −log p({right}) = {loss:.2f} is the loss of this {item}." in said(scene)


@ALL
def test_both_roads_end_at_torchs_loss_of_the_recorded_examples(name: str) -> None:
    scene = film(name)
    x, t = recorded(scene, scene.at)
    np.testing.assert_array_equal(scene.roads.scores.values, x.numpy()[:16, :16])
    np.testing.assert_allclose(scene.roads.logs.values, F.log_softmax(x, dim=1).numpy()[:16, :16], atol=1e-5)
    upper, lower = (float(words.words) for words in scene.roads.losses)
    assert upper == pytest.approx(float(F.cross_entropy(x, t)), abs=2e-6)
    assert lower == pytest.approx(float(F.nll_loss(F.log_softmax(x, dim=1), t)), abs=2e-6)
    same = "The same number at the end of both: CrossEntropyLoss has the log_softmax inside."
    assert (same in said(scene)) == (upper == lower)


@ALL
def test_the_needles_go_through_the_recorded_steps_and_the_numbers_are_recorded_ones(name: str) -> None:
    scene = film(name)
    steps = [int(step) for step in scene.trace.steps]
    right, wrong = [], []
    for index in range(len(steps)):
        x, t = recorded(scene, index)
        right.append(float(F.cross_entropy(x, t)))
        wrong.append(float(F.cross_entropy(F.softmax(x, dim=1), t)))
    assert len({needle.step for needle in scene.needles}) > 5
    assert (scene.needles[0].step, scene.needles[-1].step) == (steps[0], steps[-1])
    for needle in scene.needles:
        index = steps.index(needle.step)
        for (angle, words), losses in ((needle.good, right), (needle.wrong, wrong)):
            assert float(words) == pytest.approx(losses[index], abs=6e-4)
            between = sorted((losses[index], losses[min(index + 1, len(losses) - 1)]))
            assert between[0] - 1e-3 <= angle <= between[1] + 1e-3
        assert scene.band[0] <= needle.wrong[0] <= scene.band[1]


def test_log_probabilities_made_by_a_function_are_called_what_they_are() -> None:
    class Functional(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.log_softmax(super().forward(x), dim=1)

    torch.manual_seed(0)
    model, criterion = nn.Sequential(Functional(4, 3)), nn.NLLLoss()
    with explainer.record(model, criterion=criterion) as recorder:
        loss = criterion(model(torch.randn(5, 4)), torch.arange(5) % 3)
        loss.backward()
        recorder.step(loss)
    scene = run(Watched, rate=1, trace=recorder.trace)
    assert said(scene)[0] == "Recorded are log-probabilities, which are scores too: one for each class."
    np.testing.assert_allclose(scene.bars[0].values, scene.bars[2].values, atol=1e-6)


def test_the_band_is_what_ten_classes_allow() -> None:
    scene = film("the lesson")
    assert [words.words for words in scene.wrong.band[1:]] == ["1.46", "2.46"]
    assert "As scores for 10 classes, probabilities keep the loss between 1.46 and 2.46." in said(scene)


def test_the_mistaken_loss_is_said_to_be_stuck_only_where_the_right_one_is_below_the_band() -> None:
    learned, not_learned = film("three classes, scores"), film("many classes, not learned")
    for scene in (learned, not_learned, film("the lesson")):
        stuck = any("it cannot go below the band" in sentence for sentence in said(scene))
        assert stuck == (scene.right[-1] < scene.band[0])


@ALL
def test_the_lines_of_the_plot_are_torchs_losses_in_float32_and_say_schematic(name: str) -> None:
    scene = film(name)
    plot, corner = scene.plot, scene.plot.at(0, 0)
    x = torch.stack([torch.zeros(201), -torch.arange(201.0)])
    whole, broken = -F.log_softmax(x, dim=0)[1], -torch.log(F.softmax(x, dim=0))[1]
    unit = (plot.at(1, 1) - corner)[:2]
    for line, losses in ((scene.through, whole), (scene.breaking, broken[torch.isfinite(broken)])):
        ends = np.concatenate([line.points[:1], line.points[3::4]])
        points = (ends - corner)[:, :2] / unit
        np.testing.assert_allclose(points[:, 0], np.arange(len(losses)), atol=1e-4)
        np.testing.assert_allclose(points[:, 1], losses.numpy(), rtol=1e-4, atol=1e-3)
    assert plot.edge == int(torch.isinf(broken).nonzero()[0]) == 104
    words = [each[0] for each in scene.stills[next(each for each in said(scene) if "104" in each)]]
    assert "schematic: two scores, computed in float32" in words
    assert "∞ from a gap of 104" in words
    assert f"recorded here: up to {scene.seen.largest_gap():.0f}" in words


def test_at_the_far_end_stand_both_losses_and_gradients() -> None:
    far = [part.words for part in film("the lesson").far]
    assert far == [
        "at a gap of 200",
        "log_softmax(scores)", "loss 200", "gradient (1, −1)",
        "log(softmax(scores))", "loss ∞", "gradient (nan, nan)",
    ]  # fmt: skip


@ALL
def test_the_matrix_is_softmax_over_rows_then_over_columns_then_that_of_the_first_step(name: str) -> None:
    scene = film(name)
    assert [each[:2] for each in scene.matrices] == [(scene.at, 1), (scene.at, 0), (0, 0)]
    for index, axis, matrix in scene.matrices:
        x, t = recorded(scene, index)
        p = F.softmax(x.double(), dim=axis).numpy()
        np.testing.assert_allclose(matrix.grid.values, p, atol=1e-6)
        assert {word.words for word in matrix.sums} == {"1.00"}
        rows = [word.words for word in matrix.names[: min(16, len(t))]]
        assert rows == [scene.seen.classes[each] for each in t[:16]]


@ALL
def test_the_losses_beside_the_matrix_are_torchs(name: str) -> None:
    scene = film(name)
    x, t = recorded(scene, 0)
    for verdict, axis in zip(scene.verdict, (1, 0), strict=True):
        assert verdict[0].words == f"dim={axis}"
        loss = float(F.nll_loss(F.log_softmax(x, dim=axis), t))
        assert float(verdict[1].words.removeprefix("loss ")) == pytest.approx(loss, abs=6e-4)


def test_untrained_the_wrong_dim_is_told_by_the_logarithm_of_the_rows() -> None:
    scene = film("the lesson")
    assert [verdict[2].words for verdict in scene.verdict] == ["≈ ln 10 = 2.30", "≈ ln 8 = 2.08"]
    whole = f"(ln 64 = {math.log(64):.2f} for all 64)"
    assert said(scene)[-2] == f"Untrained, it gives itself away: about ln 8 for 8 rows {whole}, not ln 10."
    other = film("three classes, scores")
    near = all(other.knows_nothing(0, axis) for axis in (0, 1))
    assert said(other)[-2].startswith("Untrained") == near


@ALL
def test_the_table_holds_torchs_numbers_of_the_same_batch(name: str) -> None:
    scene = film(name)
    x, t = recorded(scene, scene.at)
    p, log_p = F.softmax(x, dim=1), F.log_softmax(x, dim=1)
    expected = [
        F.cross_entropy(x, t), F.nll_loss(log_p, t), F.cross_entropy(p, t), F.nll_loss(p, t), None,
        F.nll_loss(F.log_softmax(x, dim=0), t),
    ]  # fmt: skip
    assert [right for *_, right, _ in scene.table.rows] == [True, True, False, False, False, False]
    for (*_, more), loss in zip(scene.table.rows, expected, strict=True):
        first = more.partition(":")[0]
        if loss is None:
            assert more == "∞ from a gap of 104 (float32)"
        else:
            assert float(first.replace("−", "-")) == pytest.approx(float(loss), abs=6e-4)


@pytest.mark.parametrize(
    ("name", "more"),
    [("the lesson", ""), ("many classes, not learned", ", 16 of 40 classes; the bluer, the larger")],
)
def test_where_cells_have_no_numbers_the_film_says_what_their_colour_means(name: str, more: str) -> None:
    scene = film(name)
    assert (scene.matrix.grid.texts == []) == bool(more)
    assert scene.matrix.about.words == f"probabilities; a row for each example, {scene.kept}{more}"


def said(scene: Watched) -> list[str]:
    return [sentence for sentence, _, _ in scene.said]


def test_the_film_says_how_many_examples_it_shows() -> None:
    assert film("the lesson").kept == "8 of the batch’s 64 examples"
    assert film("three classes, scores").kept == "all 20 examples"
    for sentence, still in film("the lesson").stills.items():
        if "mistaken" in sentence or "row" in sentence or sentence.startswith("Scores go"):
            assert any("8 of the batch’s 64 examples" in what for what, *_ in still), sentence


@ALL
def test_the_beats_come_in_order_and_each_shows_its_step(name: str) -> None:
    scene = film(name)
    assert [beat for beat, _ in scene.beats] == ["scores", "two roads", "mistake", "float32", "dim", "table"]
    at = str(scene.seen.steps[scene.at])
    steps = {sentence: [what for what, *_ in still if what.isdigit()] for sentence, still in scene.stills.items()}
    for sentence in ("softmax makes probabilities of them: each above 0, and together 1.", said(scene)[-1]):
        assert at in steps[sentence]
    assert str(scene.seen.steps[0]) in steps[said(scene)[-2]]


# ── It can be seen ──────────────────────────────────────────────────────────────────────────────────────────────


class TestItCanBeSeen(CanBeSeen):
    seconds = 56, 95

    @pytest.fixture
    def film(self) -> Watched:
        return film("the lesson")

    @pytest.fixture
    def light(self) -> Watched:
        return film("the lesson", "light")


@pytest.mark.parametrize("name", FOREIGN)
def test_other_networks_can_be_seen_and_read_as_well(name: str) -> None:
    scene = film(name)
    check_room(scene)
    check_pace(scene)
    assert 56 < scene.seconds < 95


# ── What cannot be shown ────────────────────────────────────────────────────────────────────────────────────────


def test_a_trace_without_a_loss_module_is_asked_for_one() -> None:
    model = nn.Linear(3, 2)
    with explainer.record(model) as recorder:
        loss = model(torch.ones(2, 3)).sum()
        loss.backward()
        recorder.step(loss)
    with pytest.raises(TraceError, match=r"Watched draws .*\n .*criterion=criterion"):
        run(Watched, trace=recorder.trace)


def test_a_regression_is_told_what_the_film_is_about() -> None:
    model, criterion = nn.Linear(3, 2), nn.MSELoss()
    with explainer.record(model, criterion=criterion) as recorder:
        loss = criterion(model(torch.ones(2, 3)), torch.ones(2, 2))
        loss.backward()
        recorder.step(loss)
    with pytest.raises(TraceError, match="has a MSELoss: record a classifier with criterion=criterion"):
        run(Watched, trace=recorder.trace)
