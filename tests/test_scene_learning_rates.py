"""LearningRates: every ball, arrow, path, curve, number and word on screen is what the runs recorded, in order."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

manim = pytest.importorskip("manim", reason="films are not installed")
torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

import explainer  # noqa: E402
from explainer.errors import TraceError  # noqa: E402
from explainer.lessons import lesson_surface, record_lesson, record_runs  # noqa: E402
from explainer.mobjects.trace_sources import find_runs  # noqa: E402
from explainer.surface import Surface  # noqa: E402
from explainer.trace import Trace  # noqa: E402
from scenes.learning_rates import SHOWN, LearningRates  # noqa: E402
from tests.filmed import CanBeSeen, Watching, check_room, run  # noqa: E402

STEPS = 14


@dataclass
class Frame:
    """What one frame said."""

    beat: str
    step: int
    numbers: tuple[str, ...] = ()
    balls: dict[str, np.ndarray] | None = None
    heads: dict[str, np.ndarray] | None = None
    curves: dict[str, np.ndarray] | None = None
    table: dict[str, tuple[str, str]] | None = None


class Watched(Watching, LearningRates):
    """The film, looked at in every frame and at the end of every sentence."""

    def look(self) -> None:
        frame = Frame(self.beats[-1][0], int(self.clock.counter.words))
        if frame.beat == "trough":
            frame.numbers = tuple(each.words for each in (self.numbers.weight, self.numbers.slope, self.numbers.moved))
            frame.balls = {"": self.trough.ball.way()[-1]}
        elif frame.beat == "too large" and hasattr(self, "troughs"):
            frame.balls = {name: each.ball.way()[-1] for name, each in self.troughs.items()}
        elif frame.beat == "real network" and hasattr(self, "table"):
            frame.heads = {name: self.walks.head(name) for name in self.shown}
            frame.curves = {name: self.curves.trails.head(name) for name in self.shown}
            frame.table = {name: (self.table.counts[name].words, self.table.values[name].words) for name in self.shown}
        self.frames.append(frame)


@pytest.fixture(scope="module")
def runs() -> dict[str, Trace]:
    return record_runs("learning-rates", steps=STEPS)


@pytest.fixture(scope="module")
def surface(runs: dict[str, Trace]) -> Surface:
    return lesson_surface({name: runs[name] for name in SHOWN}, resolution=7)


@pytest.fixture(scope="module")
def folder(surface: Surface, tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(surface.save(tmp_path_factory.mktemp("surface") / "of-runs"))


@pytest.fixture(scope="module")
def film(runs: dict[str, Trace], folder: str) -> Watched:
    return run(Watched, {"EXPLAINER_SURFACE": folder}, runs=runs)


@pytest.fixture(scope="module")
def light(runs: dict[str, Trace], folder: str) -> Watched:
    return run(Watched, {"EXPLAINER_SURFACE": folder, "EXPLAINER_THEME": "light"}, rate=1, painted=False, runs=runs)


class TestItCanBeSeen(CanBeSeen):
    seconds = 40, 55


@pytest.fixture(scope="module")
def small() -> dict[str, Trace]:
    return record_runs("trough")


def turned_back(trace: Trace) -> list[bool]:
    """Return which updates point against the one before, by plain numpy."""
    flat = np.concatenate(
        [np.asarray(each, np.float64).reshape(len(trace), -1) for each in trace.updates.values()], axis=1
    )
    return [bool(after @ before < 0) for before, after in pairwise(flat)]


def test_the_first_step_is_the_slope_shortened_to_alpha_times_it(film: Watched, small: dict[str, Trace]) -> None:
    trace = small["α = 0.1"]
    (name,) = trace.parameters
    weights, slopes, updates = (
        np.asarray(kind[name], float).ravel() for kind in (trace.parameters, trace.parameter_gradients, trace.updates)
    )
    trough = film.trough
    tangent = trough.tangent(0)
    rise = (tangent.get_end() - tangent.get_start())[:2] / (trough.at(1, 1) - trough.at(0, 0))[:2]
    assert rise[1] / rise[0] == pytest.approx(slopes[0])
    whole, shortened = trough.arrow(0, 1.0), film.arrow
    np.testing.assert_allclose(whole.get_end(), trough.at(weights[0] - slopes[0], weights[0] ** 2), atol=1e-6)
    np.testing.assert_allclose(shortened.get_end(), trough.at(weights[1], weights[0] ** 2), atol=1e-6)
    assert shortened.get_length() / whole.get_length() == pytest.approx(0.1, abs=1e-6)
    assert updates[0] == pytest.approx(-0.1 * slopes[0])
    assert [sentence for sentence, _, _ in film.said][1] == (
        "The slope is 2.00. A step goes against it, α times as far: 0.1 · 2.00 = 0.20."
    )


def test_the_numbers_beside_the_trough_are_those_of_the_step_in_the_corner(
    film: Watched, small: dict[str, Trace]
) -> None:
    trace = small["α = 0.1"]
    (name,) = trace.parameters
    frames = [frame for frame in film.frames if frame.beat == "trough"]
    assert list(dict.fromkeys(frame.step for frame in frames)) == list(range(13))
    for frame in frames:
        kinds = trace.parameters, trace.parameter_gradients, trace.updates
        values = [float(kind[name][frame.step].item()) for kind in kinds]
        assert frame.numbers == tuple(f"{value:.3f}".replace("-", "−") for value in values)


def test_the_trough_is_the_square_through_evaluated_points(film: Watched) -> None:
    np.testing.assert_allclose(film.trough.heights, film.trough.across**2, rtol=1e-6, atol=1e-9)
    assert film.trough.reach == pytest.approx((-1.8, 1.8))


def test_balls_bounce_inwards_for_ever_and_out_as_recorded(film: Watched, small: dict[str, Trace]) -> None:
    assert [float(name.removeprefix("α = ")) for name in film.troughs] == [0.9, 1.0, 1.1]
    for name, rate in zip(film.troughs, (0.9, 1.0, 1.1), strict=True):
        trough = film.troughs[name]
        exact = (1 - 2 * rate) ** np.arange(len(trough.weights))
        np.testing.assert_allclose(trough.weights, exact, rtol=1e-9)
        np.testing.assert_allclose(trough.losses, exact**2, rtol=1e-9)
        landed = 4 if rate == 1.1 else 6
        np.testing.assert_allclose(trough.ball.way()[-1], trough.at(exact[landed], exact[landed] ** 2), atol=1e-9)
        words = f"step {landed}: w = {exact[landed]:.3f}".replace("-", "−")
        assert any(words in name for still in film.stills.values() for name, *_ in still)
    assert [film.outcome(name) for name in film.troughs] == ["inwards", "for ever", "out"]


def test_only_one_ball_moves_at_a_time_and_along_its_recorded_way(film: Watched) -> None:
    frames = [frame.balls for frame in film.frames if frame.beat == "too large" and frame.balls]
    moves = [
        [name for name in before if np.linalg.norm(after[name] - before[name]) > 1e-9]
        for before, after in pairwise(frames)
    ]
    assert max(map(len, moves)) == 1
    assert list(dict.fromkeys(name for each in moves for name in each)) == list(film.troughs)


def test_heads_curves_and_table_are_those_of_the_step_in_the_corner(
    film: Watched, runs: dict[str, Trace], surface: Surface
) -> None:
    frames = [frame for frame in film.frames if frame.table is not None]
    assert {frame.step for frame in frames} == set(range(STEPS))
    assert [frame.step for frame in frames] == sorted(frame.step for frame in frames)
    turned = {name: turned_back(runs[name]) for name in SHOWN}
    for frame in frames:
        for name in SHOWN:
            loss = runs[name].scalars["loss"][frame.step]
            assert frame.table[name] == (str(sum(turned[name][: frame.step])), f"{loss:.2f}")


def test_paths_on_the_map_are_the_walks_shadows_and_end_at_the_last_step(film: Watched, surface: Surface) -> None:
    np.testing.assert_array_equal(film.map.losses, surface.losses)
    for name in SHOWN:
        path = surface.walks[name].path
        np.testing.assert_allclose(film.walks.drawn(name), film.map.at(path[:, 0], path[:, 1]), atol=1e-9)
    captured = [surface.walks[name].captured for name in SHOWN]
    words = {name for still in film.stills.values() for name, *_ in still}
    assert f"it captures {100 * min(captured):.0f} % to {100 * max(captured):.0f} % of each walk" in words


def test_curves_are_the_recorded_losses_small_and_large(film: Watched, runs: dict[str, Trace]) -> None:
    for curves in (film.curves, film.large):
        for name in SHOWN:
            losses = np.asarray(runs[name].scalars["loss"], float)
            np.testing.assert_array_equal(curves.values[name], losses)
            share = (curves.trails.drawn(name)[:, 1] - curves.axis.get_y()) / curves.upright.get_length()
            np.testing.assert_allclose(share * curves.largest, losses, atol=1e-9)


def test_the_last_frame_names_each_curve_with_its_share_of_steps_that_turn_back(
    film: Watched, runs: dict[str, Trace]
) -> None:
    words = {name for name, *_ in list(film.stills.values())[-1]}
    for name in SHOWN:
        share = np.mean(turned_back(runs[name]))
        assert {name, f"{100 * share:.0f} % of steps turn back", film.verdict(name)} <= words
    assert f"step {STEPS - 1}" in words


@pytest.mark.parametrize(
    ("losses", "turned", "verdict"),
    [
        ([2.0, 1.0, 0.4, 0.2, 0.1], [0, 0, 0, 0], "arrives"),
        ([2.0, 2.0, 1.9, 1.9, 1.9], [0, 0, 0, 0], "crawls"),
        ([2.0, 1.0, 1.4, 0.2, 0.1], [0, 1, 1, 0], "bounces, but gets down"),
        ([2.0, 3.0, 1.9, 2.9, 1.9], [1, 1, 1, 0], "never settles"),
        ([2.0, 30.0, np.inf, np.nan, np.nan], [1, 0, 0, 0], "flies out"),
        ([2.0, 2.1, 2.2, 2.3, 2.3], [0, 0, 0, 0], "does not get down"),
    ],
)
def test_what_is_said_of_a_run_follows_from_its_losses_and_steps(
    losses: list[float], turned: list[int], verdict: str
) -> None:
    scene = LearningRates.__new__(LearningRates)
    scene.losses, scene.turned = {"a": np.array(losses)}, {"a": np.array(turned, bool)}
    assert scene.verdict("a") == verdict


def test_the_captions_go_from_the_smallest_mountain_to_a_real_network(film: Watched) -> None:
    sentences = [sentence for sentence, _, _ in film.said]
    assert sentences[0] == "The smallest mountain: one weight w, and the loss ℓ = w²."
    assert "A real network: 109,386 weights, one start, four learning rates." in sentences
    assert len(sentences) == 9
    assert sentences[-1] == "Too large a step bounces around in the trough and never settles."


def two_runs(*, keep: tuple[str, ...] = ("parameters", "updates"), criterion: bool = True) -> dict[str, Trace]:
    """Another person's runs: a line fitted with two learning rates, the second of which flies out."""
    found = {}
    inputs = torch.linspace(-1, 1, 20)[:, None] + 1
    for rate in (0.1, 5.0):
        torch.manual_seed(0)
        model, loss = nn.Linear(1, 1), nn.MSELoss()
        optimizer = torch.optim.SGD(model.parameters(), lr=rate)
        chosen = {"criterion": loss} if criterion else {}
        with explainer.record(model, optimizer=optimizer, keep=keep, **chosen) as recorder:
            for _ in range(60):
                optimizer.zero_grad()
                loss(model(inputs), 2 * inputs).backward()
                optimizer.step()
        found[f"{rate:g}"] = recorder.trace
    return found


def test_other_runs_are_shown_on_the_surface_that_is_given(tmp_path: Path) -> None:
    traces = two_runs()
    inputs = torch.linspace(-1, 1, 20)[:, None] + 1
    span = ((-3.0, 3.0), (-3.0, 3.0))
    made = explainer.loss_surface(
        nn.Linear(1, 1), nn.MSELoss(), (inputs, 2 * inputs), trace=traces, plane=[np.eye(2)[0], np.eye(2)[1]],
        resolution=5, span=span, progress=False,
    ).save(tmp_path / "surface")  # fmt: skip
    scene = run(Watched, {"EXPLAINER_SURFACE": str(made)}, rate=2, runs=traces)
    assert [sentence for sentence, _, _ in scene.said][6] == "A real network: 2 weights, one start, two learning rates."
    assert scene.verdict("5") == "flies out" and scene.curves.trails.lost("5")
    assert not scene.walks.inside("5") and scene.walks.inside("0.1")
    check_room(scene)


def test_runs_without_updates_are_told_what_to_record() -> None:
    with pytest.raises(TraceError, match=r'(?s)LearningRates draws updates.*keep=\("parameters", "updates"\)'):
        run(LearningRates, runs=two_runs(keep=("parameters",)))


def test_runs_without_a_loss_are_told_how_to_record_it() -> None:
    with pytest.raises(TraceError, match=r"shows the loss, which the run 0\.1 does not hold.*criterion=criterion"):
        run(LearningRates, runs=two_runs(criterion=False))


def test_a_single_trace_is_told_to_be_several(tmp_path: Path) -> None:
    record_lesson("two-layer", tmp_path / "one", steps=2)
    with pytest.raises(TraceError, match=r"(?s)compares several runs.*explainer record learning-rates -o FOLDER"):
        run(LearningRates, {"EXPLAINER_TRACE": str(tmp_path / "one")})


def test_a_surface_of_other_runs_is_refused_by_the_run_that_it_lacks(folder: str) -> None:
    with pytest.raises(TraceError, match=r"(?s)this one has no walk called '0\.1'.*loss_surface\(.*trace=runs\)"):
        run(LearningRates, {"EXPLAINER_SURFACE": folder}, runs=two_runs())


def test_a_folder_of_traces_is_found_run_by_run(tmp_path: Path) -> None:
    for name, trace in record_runs("trough", tmp_path / "runs", steps=2).items():
        assert find_runs(tmp_path / "runs", "trough", "Film")[name].scalars["loss"][1] == trace.scalars["loss"][1]
