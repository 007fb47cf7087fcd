"""The film ChainRule: every number, arrow and order that it shows is compared with its trace, without a picture."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("manim")

import torch
from torch import nn

import explainer
from explainer.errors import TraceError
from explainer.lessons import record_lesson
from explainer.mobjects.factors import OperationEquation
from explainer.mobjects.grid import Grid
from explainer.mobjects.words import Words
from explainer.trace import Trace
from scenes.chain_rule import ChainRule
from tests.filmed import Box, CanBeSeen, Watching, check_pace, check_room, run, things

ROOT = Path(__file__).parent.parent


class Watched(Watching, ChainRule):
    """The film, looked at at the end of every sentence; it notes where values arrive, and each card."""

    def setup(self) -> None:
        super().setup()
        self.flowed: list[str] = []
        self.cards: list[OperationEquation] = []

    def flow_into(self, name: str) -> None:
        self.flowed.append(name)
        super().flow_into(name)

    def show_product(self) -> None:
        super().show_product()
        self.cards.append(self.worked)

    def boxes(self) -> list[Box]:
        return things(self)


def trained(model: nn.Module, criterion: nn.Module, x: torch.Tensor, y: torch.Tensor, adam: bool = False) -> Trace:
    optimizer = (torch.optim.Adam if adam else torch.optim.SGD)(model.parameters(), lr=0.1)
    with explainer.record(model, criterion=criterion, optimizer=optimizer) as recorder:
        for _ in range(3):
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
    return recorder.trace


def foreign(name: str) -> Trace:
    torch.manual_seed(1)
    x = torch.randn(6, 20)
    if name == "five layers":
        layers = [nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3)]
        return trained(nn.Sequential(*layers).double(), nn.MSELoss(), x[:1, :3].double(), x[:1, 3:6].double())
    if name == "a batch, wide, Adam":
        layers = [nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 10)]
        return trained(nn.Sequential(*layers), nn.CrossEntropyLoss(), x, torch.arange(6), adam=True)
    if name == "log-softmax":
        layers = [nn.Linear(2, 3, bias=False), nn.Sigmoid(), nn.Linear(3, 3), nn.LogSoftmax(dim=1)]
        return trained(nn.Sequential(*layers), nn.NLLLoss(), x[:1, :2], torch.tensor([1]))
    assert name == "one layer"
    return trained(nn.Sequential(nn.Linear(2, 1)), nn.MSELoss(), x[:3, :2], x[:3, 2:3])


FOREIGN = ("five layers", "a batch, wide, Adam", "log-softmax", "one layer")
CACHE: dict[tuple[str, str], Watched] = {}


def film(name: str, theme: str = "dark") -> Watched:
    if (name, theme) not in CACHE:
        trace = record_lesson("two-layer") if name == "the lesson" else foreign(name)
        CACHE[name, theme] = run(Watched, {"EXPLAINER_THEME": theme}, painted=theme == "dark", trace=trace)
    return CACHE[name, theme]


def columns(values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), -1).T


def written(values: np.ndarray, decimals: int = 3) -> list[list[str]]:
    return [[f"{value:.{decimals}f}".replace("-", "−") for value in row] for row in np.atleast_2d(values)]


ALL = pytest.mark.parametrize("name", ["the lesson", *FOREIGN])


# ── What is shown was recorded ──────────────────────────────────────────────────────────────────────────────────


def test_the_lessons_film_shows_the_step_at_which_the_network_was_most_wrong() -> None:
    scene = film("the lesson")
    assert scene.step == int(np.argmax(record_lesson("two-layer").scalars["loss"])) == 13
    corner = [words for words in scene.mobjects if isinstance(words, Words) and words.words.startswith("step")]
    assert [words.words for words in corner] == ["step 13 of 200 · recorded, float64"]


@ALL
def test_values_flow_in_in_the_recorded_order(name: str) -> None:
    scene = film(name)
    events = scene.trace.events[scene.index]
    forward = [event.removeprefix("forward ") for event in events if event.startswith("forward")]
    assert scene.flowed == ["input", *forward, "loss"]


@ALL
def test_columns_under_the_nodes_are_the_recorded_activations(name: str) -> None:
    scene = film(name)
    trace, index = scene.trace, scene.index
    np.testing.assert_array_equal(scene.columns["input"].values, columns(trace.inputs[index]))
    for layer in trace.layers:
        np.testing.assert_array_equal(scene.columns[layer].values, columns(trace.activations[layer][index]))
    assert scene.columns["loss"][0].words == f"{trace.scalars['loss'][index]:.3f}"


def test_the_lessons_columns_are_written_in_full() -> None:
    scene = film("the lesson")
    for layer in ("L1", "S", "L2"):
        activation, gradient = (kind[layer][scene.index].T for kind in (scene.trace.activations, scene.trace.gradients))
        assert scene.columns[layer].texts == written(activation)
        assert scene.columns[f"gradient of {layer}"].texts == written(gradient)


@ALL
def test_the_cards_come_in_the_order_in_which_gradients_arrived(name: str) -> None:
    scene = film(name)
    arrived = [event.removeprefix("backward ") for event in scene.trace.events[scene.index] if "backward" in event]
    assert [operation.name for operation in scene.operations] == ["loss", *arrived]
    assert len(scene.cards) == len(scene.operations)


@ALL
def test_each_card_shows_what_autograd_recorded_before_and_after_the_operation(name: str) -> None:
    scene = film(name)
    near = 1e-12 if name in ("the lesson", "five layers") else 1e-6
    trace, index = scene.trace, scene.index
    for operation, card in zip(scene.operations, scene.cards, strict=True):
        arrived = np.ones((1, 1)) if operation.name == "loss" else columns(trace.gradients[operation.name][index])
        to = scene.receiver(operation)
        passed = trace.parameter_gradients[to][index] if to == scene.weight else columns(trace.gradients[to][index])
        np.testing.assert_allclose(card.incoming.grid.values, arrived, rtol=0, atol=near)
        np.testing.assert_allclose(card.outgoing.grid.values, passed, rtol=0, atol=near)


def test_what_a_card_passes_on_is_what_the_next_card_receives() -> None:
    for card, following in itertools.pairwise(film("the lesson").cards):
        assert card.outgoing.grid.texts == following.incoming.grid.texts
        assert card.outgoing.label.markup == following.incoming.label.markup


def test_the_lessons_own_gradients_are_the_textbooks() -> None:
    scene = film("the lesson")
    trace, i = scene.trace, scene.index
    S, y, L2 = trace.activations["S"][i].T, trace.targets[i], trace.activations["L2"][i]
    loss, second, sigmoid, first = (card.local.grid for card in scene.cards)
    np.testing.assert_allclose(loss.values, 2 * (L2 - y), rtol=0, atol=1e-15)
    np.testing.assert_array_equal(second.values, trace.parameters["L2.weight"][i].T)
    np.testing.assert_allclose(sigmoid.values, S * (1 - S), rtol=0, atol=1e-15)
    np.testing.assert_array_equal(first.values, trace.inputs[i])
    for grid in (loss, second, sigmoid, first):
        assert grid.texts == written(grid.values)


def test_every_number_on_the_lessons_cards_is_written() -> None:
    scene = film("the lesson")
    for card in (*scene.cards, scene.equation):
        for factor in card.factors:
            assert factor.grid.texts == written(factor.grid.values)


@ALL
def test_arrows_run_from_the_loss_to_the_weights_and_at_last_to_every_parameter(name: str) -> None:
    scene = film(name)
    nodes = scene.graph.nodes
    along = [(scene.operations[at].name, scene.receiver(scene.operations[at])) for at in range(len(scene.operations))]
    rest = [
        (layer, each)
        for layer in scene.trace.layers
        for each in scene.trace.model.layers[layer].parameters
        if each != scene.weight
    ]
    assert len(scene.arrows) == len(along) + len(rest)
    for arrow, (start, end) in zip(scene.arrows, [*along, *rest], strict=True):
        way = nodes[end].get_center() - nodes[start].get_center()
        np.testing.assert_allclose(arrow.get_unit_vector(), way / np.linalg.norm(way), atol=1e-6)


@ALL
def test_every_gradient_at_the_graph_is_the_recorded_one(name: str) -> None:
    scene = film(name)
    for parameter in scene.trace.parameters:
        grids = [part for part in scene.gradients[parameter] if isinstance(part, Grid)]
        recorded = scene.trace.parameter_gradients[parameter][scene.index]
        assert len(grids) == 1
        np.testing.assert_array_equal(grids[0].values.reshape(recorded.shape), recorded)
    for operation in scene.operations[:-1]:
        layer = scene.receiver(operation)
        shown, recorded = scene.columns[f"gradient of {layer}"], scene.trace.gradients[layer][scene.index]
        np.testing.assert_array_equal(shown.values, columns(recorded))


def test_the_numbers_at_the_lessons_edges_are_the_gradients_or_their_norms() -> None:
    scene = film("the lesson")
    gradients = {layer: scene.trace.gradients[layer][scene.index] for layer in ("L2", "S", "L1")}
    assert [scene.gradients[layer][1].words for layer in gradients] == [
        f"{gradients['L2'].item():.3f}",
        f"‖·‖ {np.linalg.norm(gradients['S']):.3f}",
        f"‖·‖ {np.linalg.norm(gradients['L1']):.3f}",
    ]


@ALL
def test_the_formula_has_a_factor_for_each_card_and_all_are_lit(name: str) -> None:
    scene = film(name)
    assert len(scene.formula.factors) == len(scene.operations) == scene.formula.lit
    assert all(part.get_fill_opacity() == 1 for part in scene.formula)


def test_the_lessons_formula_is_the_lectures() -> None:
    factors = [("ell", "L_2"), ("L_2", "S"), ("S", "L_1"), ("L_1", "W_1")]
    assert film("the lesson").formula.factors == factors


def said(scene: ChainRule, beginning: str) -> str:
    return next(sentence for sentence, _, _ in scene.said if sentence.startswith(beginning))


def test_the_difference_that_is_printed_is_that_of_the_hand_worked_product() -> None:
    scene = film("the lesson")
    trace, i = scene.trace, scene.index
    W2, x, S = trace.parameters["L2.weight"][i], trace.inputs[i], trace.activations["S"][i]
    by_hand = np.outer((2 * (trace.activations["L2"][i] - trace.targets[i]) @ W2) * (S * (1 - S)), x)
    largest = np.abs(by_hand - trace.parameter_gradients["L1.weight"][i]).max()
    assert scene.difference == pytest.approx(largest, abs=1e-16)
    digits, _, power = f"{scene.difference:.1e}".partition("e")
    raised = str(int(power)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    number = "0" if scene.difference == 0 else f"{digits}·10{raised}"
    assert (
        said(scene, "PyTorch") == f"PyTorch’s autograd recorded the same numbers: the largest difference is {number}."
    )


def test_the_update_is_the_old_weights_less_alpha_times_the_gradient() -> None:
    scene = film("the lesson")
    trace, i = scene.trace, scene.index
    before, step, after = (factor.grid for factor in scene.equation.factors)
    W = trace.parameters["L1.weight"]
    np.testing.assert_array_equal(before.values, W[i])
    np.testing.assert_array_equal(step.values, 0.1 * trace.parameter_gradients["L1.weight"][i])
    np.testing.assert_allclose(after.values, W[i + 1], rtol=0, atol=1e-16)
    assert [sign.markup for sign in scene.equation.signs] == ["-", "="]
    assert before.cells.largest == step.cells.largest == after.cells.largest


def test_another_optimizers_step_is_called_what_it_is() -> None:
    scene = film("a batch, wide, Adam")
    assert said(scene, "The update").startswith("The update: Adam makes a step of the gradient")
    update = scene.trace.updates["0.weight"][scene.index]
    np.testing.assert_array_equal(scene.equation.factors[1].grid.values, update)
    assert scene.equation.signs[0].markup == "+"


def test_the_loss_after_is_what_the_probe_saw_of_the_same_example_at_the_next_step() -> None:
    scene = film("the lesson")
    probe, i = scene.trace.probe, scene.index
    assert probe is not None
    assert probe.targets is not None
    after = ((probe.activations["L2"][i + 1][i % 64] - probe.targets[i % 64]) ** 2).item()
    assert scene.bars.values == pytest.approx((scene.trace.scalars["loss"][i], after), abs=1e-15)
    assert said(scene, "The same example") == (
        f"The same example once more: the loss falls from {scene.loss:.3f} to {after:.3f}."
    )
    first, second = (bar.width for bar in scene.bars.bars)
    assert second / first == pytest.approx(after / scene.loss)


# ── It can be seen ──────────────────────────────────────────────────────────────────────────────────────────────


class TestItCanBeSeen(CanBeSeen):
    seconds = 70, 100

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


@ALL
def test_captions_name_what_the_network_has(name: str) -> None:
    slips = ("perimeter", "loss of this", "softmax") if name == "the lesson" else ("perimeter",)
    assert not [sentence for sentence, _, _ in film(name).said if any(slip in sentence for slip in slips)]


def test_the_last_frame_holds_the_graph_all_gradients_and_the_whole_formula() -> None:
    scene = film("the lesson")
    names = [what for what, *_ in list(scene.stills.values())[-1]]
    for node in scene.graph.nodes:
        assert node in names
    for gradient in ("L_1", "S", "L_2", "W_1", "b_1", "W_2", "b_2"):
        assert f"frac(partial ell, partial {gradient})" in names
    assert scene.formula.markup in names
    assert names.count("Grid") == 4 + 3 + 4  # values, gradients at the edges, gradients at the parameters


# ── What cannot be shown ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("layers", "options", "complaint"),
    [
        ([nn.Linear(2, 2), nn.Tanh()] * 4, {}, "ChainRule shows up to 5 layers in a row; this trace has 8"),
        ([nn.Linear(2, 2), nn.GELU()], {}, "layer '1' is a GELU, whose derivative is not worked out by hand"),
        ([nn.Linear(2, 2)], {"examples": 3}, "ChainRule sums over whole batches; .* record with examples=None"),
        ([nn.Linear(2, 2)], {"keep": ("inputs",)}, r"Watched draws activations and .*\n .*keep=\(\"activations\""),
        ([nn.Tanh()], {}, "Watched draws parameters and .* which this trace does not hold"),
    ],
)
def test_a_trace_that_cannot_be_shown_says_why(layers: list[Any], options: dict[str, Any], complaint: str) -> None:
    model, dummy = nn.Sequential(*(layer for layer in layers)), nn.Parameter(torch.zeros(1))
    optimizer, criterion = torch.optim.SGD([*model.parameters(), dummy], lr=0.1), nn.MSELoss()
    with explainer.record(model, criterion=criterion, optimizer=optimizer, **options) as recorder:
        criterion(model(torch.ones(5, 2, requires_grad=True)), torch.zeros(5, 2)).backward()
        optimizer.step()
    with pytest.raises(TraceError, match=complaint):
        run(Watched, trace=recorder.trace)


@pytest.mark.slow
def test_plain_manim_films_it_with_subtitles(tmp_path: Path) -> None:
    record_lesson("two-layer")
    command = [sys.executable, "-m", "manim", "-ql", "-n", "0,1", "--media_dir", str(tmp_path), "scenes/chain_rule.py"]
    done = subprocess.run(
        [*command, "ChainRule"], cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert next(tmp_path.rglob("ChainRule.mp4")).stat().st_size > 1000
