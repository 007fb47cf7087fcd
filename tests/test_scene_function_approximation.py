"""FunctionApproximation: every dot, curve, number and word on screen is what the runs recorded, in order."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

manim = pytest.importorskip("manim", reason="films are not installed")
torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

import explainer  # noqa: E402
from explainer.errors import TraceError  # noqa: E402
from explainer.lessons import record_runs  # noqa: E402
from explainer.mobjects.function_plot import FunctionPlot  # noqa: E402
from explainer.mobjects.words import number  # noqa: E402
from explainer.regression import Regression  # noqa: E402
from explainer.trace import Trace  # noqa: E402
from scenes.function_approximation import SHOWN, FunctionApproximation  # noqa: E402
from tests.filmed import CanBeSeen, Watching, check_room, outside, overlaps, run  # noqa: E402

STEPS = 40


@dataclass
class Frame:
    """What one frame showed."""

    beat: str
    step: int
    curves: dict[str, np.ndarray] = field(default_factory=dict)
    losses: dict[str, str] = field(default_factory=dict)


class Watched(Watching, FunctionApproximation):
    """The film, looked at in every frame and at the end of every sentence."""

    def look(self) -> None:
        frame = Frame(self.beats[-1][0], int(self.clock.counter.words))
        plots = getattr(self, "panels", {}) if frame.beat == "side by side" else {self.hero: (self.plot, self.loss)}
        seen = {id(part) for each in self.mobjects for part in each.get_family()}
        for name, (plot, loss) in ((name, each) for name, each in plots.items() if id(each[0].curve) in seen):
            frame.curves[name], frame.losses[name] = drawn(plot, plot.curve), loss.words
        self.frames.append(frame)


def drawn(plot: FunctionPlot, part: Any) -> np.ndarray:
    """Return the drawn points as numbers, (point, 2) x and y, by two points of the axes."""
    zero, one = plot.at(0.0, 0.0)[:2], plot.at(1.0, 1.0)[:2]
    return (part.drawn()[:, :2] - zero) / (one - zero)


@pytest.fixture(scope="module")
def runs() -> dict[str, Trace]:
    return record_runs("sine", steps=STEPS)


@pytest.fixture(scope="module")
def film(runs: dict[str, Trace]) -> Watched:
    return run(Watched, runs=runs)


@pytest.fixture(scope="module")
def light(runs: dict[str, Trace]) -> Watched:
    return run(Watched, {"EXPLAINER_THEME": "light"}, rate=1, painted=False, runs=runs)


class TestItCanBeSeen(CanBeSeen):
    seconds = 30, 50


def test_the_dots_are_the_targets_of_the_probe(film: Watched, runs: dict[str, Trace]) -> None:
    x = np.linspace(-3, 3, 200)
    wanted = np.stack([x, np.sin(2 * x)], axis=1)[::5]
    for plot in (film.plot, *(plot for plot, _ in film.panels.values())):
        np.testing.assert_allclose(drawn(plot, plot.dots), wanted, atol=1e-5)
    words = {name for still in film.stills.values() for name, *_ in still}
    assert "y = sin 2x at 200 points from −3 to 3; a dot for one in 5" in words


def test_a_curve_is_what_was_recorded_at_the_step_in_the_corner_or_on_its_way_to_the_next(
    film: Watched, runs: dict[str, Trace]
) -> None:
    steps = runs["ReLU"].steps.tolist()
    for frame in film.frames:
        for name, curve in frame.curves.items():
            outputs = np.asarray(runs[name].probe.activations["2"], float)[:, :, 0]  # type: ignore[union-attr]
            here = steps.index(frame.step)
            way = outputs[min(here + 1, len(steps) - 1)] - outputs[here]
            come = curve[:, 1] - outputs[here]
            share = float(come @ way) / max(float(way @ way), 1e-30)
            assert -1e-6 <= share <= 1 + 1e-6
            np.testing.assert_allclose(come, share * way, atol=1e-5)


def test_a_loss_is_printed_as_recorded_at_the_step_in_the_corner(film: Watched, runs: dict[str, Trace]) -> None:
    for frame in film.frames:
        for name, words in frame.losses.items():
            trace = runs[name]
            value = trace.scalars["probe_loss"][trace.steps.tolist().index(frame.step)]
            assert words == f"{value:.{film.decimals}f}"


def test_all_recorded_steps_are_passed_in_order_once_alone_and_once_side_by_side(film: Watched) -> None:
    steps = [frame.step for frame in film.frames]
    again = next(place for place, frame in enumerate(film.frames) if frame.curves.keys() == set(SHOWN))
    for part in (steps[:again], steps[again:]):
        assert part == sorted(part) and (part[0], part[-1]) == (0, STEPS - 1)
    assert again < len(steps) - 10
    assert len(set(steps)) == len(film.runs["ReLU"].steps)
    assert list(film.panels) == ["identity", "tanh", "ReLU"]


def test_the_identity_is_a_straight_line_in_every_frame_and_the_others_are_not(film: Watched) -> None:
    frames = [frame for frame in film.frames if len(frame.curves) == 3]
    for name, bends in (("identity", False), ("tanh", True), ("ReLU", True)):
        most = min(np.abs(np.diff(frame.curves[name][:, 1], 2)).max() for frame in frames)
        assert bool(most > 1e-4) is bends
    assert film.straight() == ["identity"]


def test_the_captions_tell_the_runs_in_order(film: Watched) -> None:
    sentences = [sentence for sentence, _, _ in film.said]
    assert sentences == [
        "Training looks for a function that we only know by examples.",
        "At first the network knows nothing.",
        "Step by step it bends towards the examples.",
        "Three activations, one clock: the identity bends nothing.",
        "Without a non-linear activation it can only ever be a straight line.",
    ]
    assert [name for name, _ in film.beats] == ["examples", "untrained", "training", "side by side"]


@pytest.mark.parametrize(
    ("outputs", "lines"),
    [
        (lambda x: 0 * x, ["straight: the best line there is"]),
        (lambda x: 0 * x + 1, ["straight at every step"]),
        (lambda x: np.cos(x) + 0.01, ["on the examples"]),
        (lambda x: 0.5 * np.cos(x), ["nearer than it was"]),
        (lambda x: 3 * np.cos(2 * x), ["no nearer than it was"]),
        (lambda x: np.where(x > 0, np.nan, x), ["has left the numbers"]),
    ],
)
def test_what_is_said_of_a_run_follows_from_its_curve(outputs: Any, lines: list[str]) -> None:
    x = np.linspace(-np.pi, np.pi, 101)[:-1]
    last = outputs(x)
    first = last if np.isfinite(last).all() and np.ptp(last) == 0 else -np.cos(x) / 4
    scene = FunctionApproximation.__new__(FunctionApproximation)
    both = np.stack([first, last])
    losses = np.mean((both - np.cos(x)) ** 2, axis=1)
    scene.shown = scene.read_of = {"a": Regression(x, np.cos(x), both, losses, "0", True, "MSELoss")}
    assert scene.verdict("a") == lines


def test_width_is_said_not_to_help_only_where_the_narrow_run_ends_the_same(film: Watched) -> None:
    scene = FunctionApproximation.__new__(FunctionApproximation)
    wide = film.read_of["identity"]
    scene.shown, scene.decimals, scene.runs = {"identity": wide}, 5, film.runs
    scene.read_of = {"identity": wide, "identity, 4 wide": wide}
    assert scene.verdict("identity")[-1] == "the same with 4 units or 64"
    scene.read_of = {"identity": wide, "identity, 4 wide": film.read_of["tanh"]}
    assert "the same with 4 units or 64" not in scene.verdict("identity")


# ── other people's runs ──────────────────────────────────────────────────────────────────────────────────────────


def recorded(
    path: Path | None = None, *, bend: nn.Module | None = None, steps: int = 8, every: int = 1, rate: float = 0.1,
    inputs: int = 1, probe: bool = True,
) -> Trace:  # fmt: skip
    """Record a small net on 30 points of a parabola, far from zero."""
    torch.manual_seed(0)
    x = torch.linspace(2, 4, 30)[:, None].repeat(1, inputs)
    y = 40 + 5 * (x[:, :1] - 3) ** 2
    model = nn.Sequential(nn.Linear(inputs, 8), bend or nn.Identity(), nn.Linear(8, 1))
    loss, optimizer = nn.MSELoss(), torch.optim.SGD(model.parameters(), lr=rate)
    chosen = {"probe": (x, y)} if probe else {}
    with explainer.record(model, path, criterion=loss, optimizer=optimizer, every=every, **chosen) as recorder:
        for _ in range(steps):
            optimizer.zero_grad()
            loss(model(x), y).backward()
            optimizer.step()
    return recorder.trace


def test_other_people_s_runs_are_shown_each_at_its_own_steps_also_one_that_flies_out() -> None:
    runs = {"calm": recorded(bend=nn.Tanh(), rate=1e-3), "wild": recorded(bend=nn.ReLU(), steps=12, every=3, rate=1.0)}
    film = run(Watched, rate=2, runs=runs)
    assert film.hero == "calm"
    sentences = [sentence for sentence, _, _ in film.said]
    assert sentences[-2:] == ["The same clock, two networks.", "calm ends nearest to the examples."]
    for frame in film.frames:
        for name, words in frame.losses.items():
            steps = runs[name].steps
            value = runs[name].scalars["probe_loss"][max(int((steps <= frame.step).sum()) - 1, 0)]
            assert words == number(value, film.decimals)  # some, of the run that flies out, with a power of ten
    for moment, still in film.stills.items():
        assert (moment, list(overlaps(still))) == (moment, [])
        assert not [name for name in outside(film, still) if name not in set(frame.losses.values())]


def test_a_folder_of_traces_is_told_apart_and_a_straight_one_is_called_so(tmp_path: Path) -> None:
    recorded(tmp_path / "bent", bend=nn.Tanh(), rate=1e-3)
    recorded(tmp_path / "plain", rate=1e-3)
    film = run(Watched, {"EXPLAINER_TRACE": str(tmp_path)}, rate=1)
    assert list(film.shown) == ["bent", "plain"] and film.straight() == ["plain"]
    assert film.said[-1][0] == "Without a non-linear activation it can only ever be a straight line."
    check_room(film)


def test_runs_without_a_probe_are_told_the_line_to_add() -> None:
    with pytest.raises(TraceError, match=r"(?s)FunctionApproximation draws a probe.*probe=\(inputs, targets\)"):
        run(FunctionApproximation, runs={"a": recorded(), "b": recorded(probe=False)})


def test_more_runs_than_there_is_room_for_are_refused() -> None:
    trace = recorded(steps=2)
    with pytest.raises(TraceError, match="has room for 4 runs side by side, and there are 5"):
        run(FunctionApproximation, runs=dict.fromkeys("abcde", trace))


def test_nets_of_several_inputs_are_refused_by_name() -> None:
    with pytest.raises(TraceError, match=r"each input of the run b is of shape \(2,\)"):
        run(FunctionApproximation, runs={"a": recorded(steps=2), "b": recorded(steps=2, inputs=2)})
