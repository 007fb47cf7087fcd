"""GradientFlow: every bar, factor, colour, curve, number and sentence is what one run or several recorded."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

manim = pytest.importorskip("manim", reason="films are not installed")
torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

import explainer  # noqa: E402
from explainer.cli import films  # noqa: E402
from explainer.errors import TraceError  # noqa: E402
from explainer.lessons import record_lesson, record_runs  # noqa: E402
from explainer.mobjects.gradient_bars import GradientBars  # noqa: E402
from explainer.mobjects.trace_sources import find_runs  # noqa: E402
from explainer.render import find_scenes  # noqa: E402
from explainer.trace import Trace  # noqa: E402
from scenes.gradient_flow import GradientFlow  # noqa: E402
from tests import zoo  # noqa: E402
from tests.filmed import CanBeSeen, Watching, check_room, run  # noqa: E402

LINEAR = [str(2 * place) for place in range(8)]  # the lesson's layers with weights


@dataclass
class Frame:
    """What one frame said."""

    beat: str
    step: int
    grown: np.ndarray = field(default_factory=lambda: np.empty(0))
    heights: dict[str, np.ndarray] = field(default_factory=dict)
    colours: dict[str, np.ndarray] = field(default_factory=dict)
    heads: dict[str, np.ndarray] = field(default_factory=dict)


class Watched(Watching, GradientFlow):
    """The film, looked at in every frame and at the end of every sentence."""

    def look(self) -> None:
        frame = Frame(self.beats[-1][0], int(self.clock.counter.words))
        if frame.beat == "backward":
            frame.grown = self.large.grown()
            frame.heights = {"": heights(self.large)}
        elif frame.beat == "training" and hasattr(self, "curves"):
            for told, bars, map_ in zip(self.told, self.bars, self.maps, strict=True):
                frame.heights[told.name] = heights(bars)
                frame.colours[told.name] = map_.colours()[::-1, max(map_.filled - 1, 0)]
            if self.curves is not None:
                frame.heads = {name: self.curves.trails.head(name) for name in self.curves.values}
        self.frames.append(frame)


def heights(bars: GradientBars) -> np.ndarray:
    return np.asarray(bars.boxes()[:, 1, 1] - bars.boxes()[:, 0, 1])


def norms(trace: Trace, layers: list[str]) -> np.ndarray:
    """Return the recorded norms, (layer, step)."""
    return np.array([trace.statistics["gradients"][layer]["norm"] for layer in layers])


def sentences(film: Watched) -> list[str]:
    return [sentence for sentence, _, _ in film.said]


def words_at_the_end(film: Watched) -> set[str]:
    return {name for name, *_ in list(film.stills.values())[-1]}


@pytest.fixture(scope="module")
def runs() -> dict[str, Trace]:
    return record_runs("depth", epochs=1)


@pytest.fixture(scope="module")
def film(runs: dict[str, Trace]) -> Watched:
    return run(Watched, runs=runs)


@pytest.fixture(scope="module")
def light(runs: dict[str, Trace]) -> Watched:
    return run(Watched, {"EXPLAINER_THEME": "light"}, rate=1, painted=False, runs=runs)


class TestItCanBeSeen(CanBeSeen):
    seconds = 45, 75


def test_bars_are_the_recorded_norms_on_the_printed_scale(film: Watched, runs: dict[str, Trace]) -> None:
    first = norms(runs["sigmoid"], LINEAR)[:, 0]
    expected = film.large.tall * np.log(first / film.scale.low) / np.log(film.scale.high / film.scale.low)
    np.testing.assert_allclose(heights(film.large), expected, rtol=1e-5)
    everything = np.concatenate([norms(trace, LINEAR).ravel() for trace in runs.values()])
    assert film.scale.low < everything.min() and film.scale.high == pytest.approx(everything.max())
    shown = {name for still in film.stills.values() for name, *_ in still}
    assert any("log scale, 0.00000" in name and "whole batch" in name for name in shown)


def test_the_backward_pass_runs_from_right_to_left_and_bars_only_grow(film: Watched) -> None:
    grown = [frame.grown for frame in film.frames if frame.beat == "backward" and len(frame.grown)]
    assert grown[0].sum() == 0 and grown[-1].sum() == 8
    assert all((after >= before).all() for before, after in pairwise(grown))
    assert all((np.diff(each) >= 0).all() for each in grown)  # the right one is never behind


def test_factors_are_quotients_of_the_recorded_norms_in_every_row(film: Watched, runs: dict[str, Trace]) -> None:
    assert [told.name for told in film.told] == ["sigmoid", "ReLU", "He ReLU"]
    for row, trace in zip(film.rows, runs.values(), strict=True):
        first = norms(trace, LINEAR)[:, 0]
        assert [words.words for words in row.factors.values()] == [f"×{a / b:.2f}" for a, b in pairwise(first)]
    at_rows = {name for name, *_ in film.stills[sentences(film)[5]]}
    first = norms(runs["sigmoid"], LINEAR)[:, 0]
    assert {f"{first[0]:.7f}", f"of {first[-1]:.2f} arrives"} <= at_rows


def test_what_is_said_of_the_lesson_is_what_its_numbers_say(film: Watched, runs: dict[str, Trace]) -> None:
    spans = []
    for trace in runs.values():
        first = norms(trace, LINEAR)[:, 0]
        spans.append(f"×{(first[:-1] / first[1:]).min():.2f} to ×{(first[:-1] / first[1:]).max():.2f}")
    first = norms(runs["sigmoid"], LINEAR)[:, 0]
    assert sentences(film)[:-1] == [
        "Eight layers in a row, and behind the last one the loss.",
        "Now backwards. A bar is how much gradient arrives at its layer.",
        f"A sigmoid’s slope is at most ¼. Here each layer passes on {spans[0]}: about a quarter is left each time.",
        f"At the first, layer 1, {first[0]:.7f} is left of {first[-1]:.2f}.",
        f"ReLU, torch’s own start: {spans[1]} a layer, it still shrinks.",
        f"ReLU, He start: {spans[2]} a layer, the bars are level.",
        f"Now time runs: the same gradients through {runs['sigmoid'].steps[-1] + 1} steps of training.",
    ]
    assert [beat for beat, _ in film.beats] == ["layers", "backward", "other runs", "training", "heat maps"]


def test_bars_maps_and_curves_are_those_of_the_step_in_the_corner(film: Watched, runs: dict[str, Trace]) -> None:
    frames = [frame for frame in film.frames if frame.heights and frame.beat == "training"]
    assert {frame.step for frame in frames} <= set(runs["ReLU"].steps.tolist()) and len({f.step for f in frames}) > 10
    assert [frame.step for frame in frames] == sorted(frame.step for frame in frames)
    low, span = np.log(film.scale.low), np.log(film.scale.high / film.scale.low)
    for frame in frames:
        for bars, (name, trace) in zip(film.bars, runs.items(), strict=True):
            now = norms(trace, LINEAR)[:, list(trace.steps).index(frame.step)]
            np.testing.assert_allclose(frame.heights[name], bars.tall * (np.log(now) - low) / span, rtol=1e-5)
    last = frames[-1]
    for name, trace in runs.items():
        np.testing.assert_allclose(last.colours[name], film.scale.colours(norms(trace, LINEAR)[:, -1]), atol=1e-6)
        loss = trace.scalars["loss"][-1]
        np.testing.assert_allclose(last.heads[name], film.curves.at(trace.steps[-1], loss), atol=1e-6)
        assert film.losses[name].words == f"{loss:.3f}"


def test_the_last_frame_has_all_maps_with_what_became_of_the_runs(film: Watched, runs: dict[str, Trace]) -> None:
    words = words_at_the_end(film)
    for map_, trace in zip(film.maps, runs.values(), strict=True):
        np.testing.assert_allclose(map_.norms, norms(trace, LINEAR))
        assert map_.filled == map_.values.shape[1]
        accuracy = np.asarray(trace.scalars["test_accuracy"])
        assert f"{accuracy[np.isfinite(accuracy)][-1]:.2f}" in words
    assert {"sigmoid", "Xavier start", "torch’s own start", "He start", "test accuracy", "layer 1", "layer 8"} <= words
    assert [map_.get_y() for map_ in film.maps] == sorted((map_.get_y() for map_ in film.maps), reverse=True)


# ── other people's networks ───────────────────────────────────────────────────────────────────────────────────────────


class Transformer(nn.Module):
    """Six blocks, as small as can be."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 6)
        self.head = nn.Linear(8, 20)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.head(self.encoder(self.embed(tokens)).mean(1)))


class Recurrent(nn.Module):
    """An LSTM whose last state decides."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.lstm, self.head = nn.Embedding(20, 8), nn.LSTM(8, 16, batch_first=True), nn.Linear(16, 20)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.head(self.lstm(self.embed(tokens))[0][:, -1]))


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 8, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5),
    )  # fmt: skip


def frozen() -> nn.Module:
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 5))
    model[0].requires_grad_(False)
    return model


def exploding() -> nn.Module:
    layers = [nn.Linear(8, 8) for _ in range(6)]
    for layer in layers:
        nn.init.normal_(layer.weight, 0, 4.0)
    return nn.Sequential(*layers, nn.Linear(8, 5))


TOKENS, IMAGES = torch.arange(24).reshape(4, 6) % 20, torch.linspace(-1, 1, 4 * 144).reshape(4, 1, 12, 12)
MODELS = {
    "cnn": (convolutional, IMAGES, "Three layers in a row, and behind the last one the loss."),
    "resnet": (
        lambda: zoo.classifier("resnet18")[0], IMAGES.expand(4, 3, 12, 12),
        "60 layers, put together to ten stages; behind the last one stands the loss.",
    ),
    "transformer": (
        Transformer, TOKENS, "50 layers, put together to eight stages; behind the last one stands the loss.",
    ),
    "lstm": (Recurrent, TOKENS, "Three layers in a row, and behind the last one the loss."),
    "frozen": (frozen, IMAGES[:, 0, 0, :4], "Three layers in a row, and behind the last one the loss."),
    "exploding": (exploding, IMAGES[:, 0, 0, :8], "Seven layers in a row, and behind the last one the loss."),
}  # fmt: skip


def recorded(name: str, folder: Path, steps: int = 4) -> Trace:
    torch.manual_seed(0)
    make, inputs, _ = MODELS[name]
    model, criterion = make(), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    with explainer.record(model, folder, criterion=criterion, optimizer=optimizer, keep=()) as recorder:
        for _ in range(steps):
            optimizer.zero_grad()
            criterion(model(inputs), torch.arange(4)).backward()
            optimizer.step()
    return recorder.trace


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a trace of each model."""
    made = tmp_path_factory.mktemp("runs")
    for name in MODELS:
        recorded(name, made / name, steps=2 if name == "resnet" else 4)
    return made


@pytest.mark.parametrize("name", MODELS)
def test_a_single_trace_of_another_model_is_a_film(name: str, folder: Path) -> None:
    scene = run(Watched, {"EXPLAINER_TRACE": str(folder / name)}, rate=1)
    assert sentences(scene)[0] == MODELS[name][2]
    assert [beat for beat, _ in scene.beats] == ["layers", "backward", "training", "heat maps"]
    trace = explainer.open_trace(folder / name)
    layers = [bar.layer for bar in scene.first.reach.bars]
    assert 1 < len(layers) <= 12 and set(layers) <= set(trace.layers)
    for layer, drawn, size in zip(layers, scene.large.boxes(), scene.large.sizes, strict=True):
        if layer not in trace.missing:
            assert size == trace.statistics["gradients"][layer]["norm"][0] and drawn[1, 1] > drawn[0, 1]
    check_room(scene)


def test_a_frozen_layer_is_told_with_its_reason(folder: Path) -> None:
    scene = run(Watched, {"EXPLAINER_TRACE": str(folder / "frozen")}, rate=1)
    assert "No gradient at layer 1: the output does not require one." in sentences(scene)
    assert sentences(scene)[-1] == "No gradient arrives at the first layer: nothing is learned there."
    assert "none" in {name for name, *_ in scene.stills[sentences(scene)[1]]}
    assert "striped: none (grey)" in words_at_the_end(scene)


def test_an_exploding_gradient_is_told_to_grow(folder: Path) -> None:
    scene = run(Watched, {"EXPLAINER_TRACE": str(folder / "exploding")}, rate=1)
    assert any(each.startswith("On its way to the first, layer 1, it has grown from") for each in sentences(scene))
    assert sentences(scene)[-1] == "The gradient grows on its way to the first layer, and the loss flies out."
    assert {"nan", "striped: not finite (red)"} <= words_at_the_end(scene)


def test_a_folder_of_several_models_is_a_row_for_each(folder: Path, tmp_path: Path) -> None:
    for name in ("cnn", "lstm"):
        (tmp_path / name).symlink_to(folder / name)
    scene = run(Watched, {"EXPLAINER_TRACE": str(tmp_path)}, rate=1)
    assert list(scene.runs) == ["cnn", "lstm"] and len(scene.rows) == len(scene.maps) == 2
    assert "embed … head" in words_at_the_end(scene)  # their layers differ
    check_room(scene)


def test_a_trace_without_a_loss_has_no_curve_and_says_less(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with explainer.record(model, tmp_path / "trace", optimizer=optimizer):
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.ones(2, 3)).sum().backward()
            optimizer.step()
    scene = run(Watched, {"EXPLAINER_TRACE": str(tmp_path / "trace")}, rate=1)
    assert scene.curves is None
    assert sentences(scene)[-1] == "The stronger the colour, the more gradient arrives at a layer."


def test_more_runs_than_have_room_are_refused(runs: dict[str, Trace]) -> None:
    five = {str(place): runs["ReLU"] for place in range(5)}
    with pytest.raises(TraceError, match="GradientFlow has room for 4 runs, and there are 5: name a trace"):
        run(GradientFlow, runs=five)


def test_one_run_or_several_are_found_where_one_will_do(tmp_path: Path) -> None:
    for name in ("a", "b"):
        record_lesson("two-layer", tmp_path / "runs" / name, steps=2)
    assert list(find_runs(tmp_path / "runs" / "a", "depth", "Film", least=1)) == ["a"]
    assert list(find_runs(tmp_path / "runs", "depth", "Film", least=1)) == ["a", "b"]  # one learning rate: by folder
    alone = explainer.open_trace(tmp_path / "runs" / "a")
    assert find_runs(alone, "depth", "Film", least=1) == {"a": alone}
    with pytest.raises(TraceError, match="Film compares several runs"):
        find_runs(tmp_path / "runs" / "a", "depth", "Film")


def test_the_command_line_takes_a_trace_a_folder_of_traces_or_the_lesson(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenes, told = find_scenes(), []
    flow, chain = scenes["GradientFlow"], scenes["ChainRule"]
    assert flow.compares and flow.lesson == "depth" and not chain.compares

    def tell(*words: object) -> None:
        told.append(words)

    assert films.folder_of(str(folder / "cnn"), [flow, chain], tell) == folder / "cnn"
    assert films.folder_of(str(folder), [flow], tell) == folder
    with pytest.raises(TraceError, match="holds the traces of several runs, of which one is wanted"):
        films.folder_of(str(folder), [flow, chain], tell)
    monkeypatch.setattr(films, "runs_of", tell)
    assert films.folder_of("depth", [flow], tell) is None and told[-1][0] == "depth"
