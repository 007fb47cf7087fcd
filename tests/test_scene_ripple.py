"""The film Ripple: every value, change, arrow and order on screen against its trace, torch the referee."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

manim = pytest.importorskip("manim", reason="films are not installed")
torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

import explainer  # noqa: E402
from explainer.errors import TraceError  # noqa: E402
from explainer.lessons import record_lesson  # noqa: E402
from explainer.mobjects.words import Words  # noqa: E402
from explainer.trace import Trace  # noqa: E402
from scenes.ripple import Ripple  # noqa: E402
from tests.filmed import Box, CanBeSeen, Watching, check_pace, check_room, run, things  # noqa: E402


class Watched(Watching, Ripple):
    """The film, looked at at the end of every sentence; it notes where flashes run and where changes arrive."""

    def setup(self) -> None:
        super().setup()
        self.arrived: list[str] = []
        self.flashed: list[tuple[str, str]] = []

    def flash(self, edge: Any) -> Any:
        self.flashed.append(next(pair for pair, line in self.graph.edges.items() if line is edge))
        return super().flash(edge)

    def change_under(self, name: str) -> Any:
        self.arrived.append(name)
        return super().change_under(name)

    def boxes(self) -> list[Box]:
        return things(self)


def trained(model: nn.Module, criterion: nn.Module, x: torch.Tensor, y: torch.Tensor) -> Trace:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
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
    if name == "a batch, wide":
        layers = [nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 10)]
        return trained(nn.Sequential(*layers), nn.CrossEntropyLoss(), x, torch.arange(6))
    if name == "log-softmax, an activation first":
        layers = [nn.Tanh(), nn.Linear(2, 3, bias=False), nn.Sigmoid(), nn.Linear(3, 3), nn.LogSoftmax(dim=1)]
        return trained(nn.Sequential(*layers), nn.NLLLoss(), x[:1, :2], torch.tensor([1]))
    assert name == "one layer"
    return trained(nn.Sequential(nn.Linear(2, 1)), nn.MSELoss(), x[:3, :2], x[:3, 2:3])


FOREIGN = ("five layers", "a batch, wide", "log-softmax, an activation first", "one layer")
CACHE: dict[tuple[str, str], Watched] = {}
ALL = pytest.mark.parametrize("name", ["the lesson", *FOREIGN])


def film(name: str, theme: str = "dark") -> Watched:
    if (name, theme) not in CACHE:
        trace = record_lesson("two-layer", steps=20) if name == "the lesson" else foreign(name)
        CACHE[name, theme] = run(Watched, {"EXPLAINER_THEME": theme}, painted=theme == "dark", trace=trace)
    return CACHE[name, theme]


def columns(values: Any) -> np.ndarray:
    values = np.asarray(values)
    return values.reshape(len(values), -1).T


def by_torch(scene: Watched) -> tuple[dict[str, np.ndarray], float]:
    """Return what a millionth more in the weight changes at each layer, and at the loss, in torch's float64."""
    trace, index = scene.trace, scene.index
    kinds = {name: getattr(nn, described.type) for name, described in trace.model.layers.items()}
    shapes = {
        name: np.asarray(trace.parameters[f"{name}.weight"][index]).shape if kind is nn.Linear else ()
        for name, kind in kinds.items()
    }
    criterion = getattr(nn, trace.model.criterion.type)()
    found = []
    for added in (0.0, 1e-6):
        value, outputs = torch.tensor(np.asarray(trace.inputs[index])).double(), {}
        for name, kind in kinds.items():
            if kind is nn.Linear:
                weight = torch.tensor(np.asarray(trace.parameters[f"{name}.weight"][index])).double()
                if f"{name}.weight" == scene.seen.parameter:
                    weight[scene.seen.entry] += added
                bias = f"{name}.bias"
                offset = trace.parameters[bias][index] if bias in trace.parameters else np.zeros(shapes[name][0])
                value = nn.functional.linear(value, weight, torch.tensor(np.asarray(offset)).double())
            else:
                value = (kind(dim=1) if "Softmax" in kind.__name__ else kind())(value)
            outputs[name] = value
        target = torch.tensor(np.asarray(trace.targets[index]))
        found.append((outputs, float(criterion(value, target.double() if target.is_floating_point() else target))))
    (before, loss), (after, moved) = found
    return {name: (after[name] - before[name]).numpy() for name in kinds}, moved - loss


# ── What is shown was recorded, or follows from it ──────────────────────────────────────────────────────────────


def test_the_lessons_film_shows_the_step_of_the_largest_loss_as_chain_rule_does() -> None:
    scene = film("the lesson")
    assert scene.step == int(np.argmax(record_lesson("two-layer", steps=20).scalars["loss"])) == 13
    corner = [words.words for words in scene.mobjects if isinstance(words, Words)]
    assert {"step 13 of 20 · recorded, float64", "two numbers and their difference"} <= {*corner}


@ALL
def test_columns_under_the_nodes_are_the_recorded_activations(name: str) -> None:
    scene = film(name)
    trace, index = scene.trace, scene.index
    np.testing.assert_array_equal(scene.columns["input"].values, columns(trace.inputs[index]))
    for layer in trace.layers:
        np.testing.assert_array_equal(scene.columns[layer].values, columns(trace.activations[layer][index]))
    assert scene.columns["loss"][0].words == f"{trace.scalars['loss'][index]:.3f}"


@ALL
def test_every_change_is_what_torch_computes_with_the_weight_a_millionth_larger(name: str) -> None:
    scene = film(name)
    changes, loss = by_torch(scene)
    shown = {layer: group[1] for layer, group in scene.moved.items() if layer != "loss"}
    assert [*shown] == list(trace_layers_from(scene))
    for layer, column in shown.items():
        np.testing.assert_allclose(column.values, columns(changes[layer]) * 1e6, rtol=1e-6, atol=1e-7)
    assert scene.seen.loss_change == pytest.approx(loss, rel=1e-5, abs=1e-14)
    assert scene.moved["loss"][1].words == f"{loss * 1e6:.3f}".replace("-", "−")


def trace_layers_from(scene: Watched) -> tuple[str, ...]:
    """Return the layers from the one whose weight is changed, in forward order."""
    layers = scene.trace.layers
    return layers[layers.index(scene.seen.parameter.rpartition(".")[0]) :]


def test_in_the_lesson_every_change_is_written_and_only_one_unit_of_the_first_layer_moves() -> None:
    scene = film("the lesson")
    for layer in scene.trace.layers:
        column = scene.moved[layer][1]
        assert column.texts == [[f"{value:.3f}".replace("-", "−") for value in row] for row in column.values]
    x = scene.trace.inputs[13][0]
    np.testing.assert_allclose(scene.moved["L1"][1].values[:, 0], [x[1], 0, 0, 0], atol=1e-8)


@ALL
def test_the_ripple_runs_forward_from_the_weight_in_the_recorded_order(name: str) -> None:
    scene = film(name)
    events = [event.removeprefix("forward ") for event in scene.trace.events[scene.index] if "forward" in event]
    way = events[events.index(scene.seen.parameter.rpartition(".")[0]) :]
    assert scene.arrived == [*way, "loss"]
    ripple = scene.flashed[-len(scene.arrived) :]
    assert ripple == [*zip([scene.seen.parameter, *way], [*way, "loss"], strict=True)]


@ALL
def test_the_gradient_runs_back_in_the_order_in_which_autograd_did(name: str) -> None:
    scene = film(name)
    back = [event.removeprefix("backward ") for event in scene.trace.events[scene.index] if "backward" in event]
    nodes = scene.graph.nodes
    way = ["loss", *back[: back.index(scene.seen.parameter.rpartition(".")[0]) + 1], scene.seen.parameter]
    assert len(scene.arrows) == len(way) - 1
    for arrow, start, end in zip(scene.arrows, way, way[1:], strict=False):
        along = nodes[end].get_center() - nodes[start].get_center()
        np.testing.assert_allclose(arrow.get_unit_vector(), along / np.linalg.norm(along), atol=1e-6)


@ALL
def test_the_two_numbers_are_the_ratio_and_the_recorded_gradient(name: str) -> None:
    scene = film(name)
    _, loss = by_torch(scene)
    recorded = scene.trace.parameter_gradients[scene.seen.parameter][scene.index][scene.seen.entry]
    row, column = (place + 1 for place in scene.seen.entry)
    assert scene.ratio[1].markup == f"frac({{{{ Delta ell : loss }}}}, Delta w) = {loss / 1e-6:.{scene.decimals}f}"
    assert scene.recorded[1].markup == (
        f"frac(partial ell, partial w_({row}, {column})) = {recorded:.{scene.decimals}f}"
    )
    assert 1e5 <= abs(float(recorded)) * 10**scene.decimals < 1e6  # six digits that count


def test_in_the_lesson_the_two_numbers_are_equal_in_all_digits_shown_and_the_film_says_so() -> None:
    scene = film("the lesson")
    number = scene.ratio[1].markup.rpartition(" = ")[2]
    assert scene.recorded[1].markup.endswith(f"= {number}")
    assert number == "-0.325966"
    assert said(scene, "That ratio") == "That ratio is the gradient: autograd recorded the same number."


def test_the_division_is_of_the_numbers_that_stand_at_the_loss_and_at_the_weight() -> None:
    scene = film("the lesson")
    assert "-0.325966" in scene.division.markup
    assert scene.division.markup.endswith("dot 10^(-6), 10^(-6))")
    old, added = (scene.weight[place].words for place in (2, 3))
    assert (old, added) == (f"{scene.trace.parameters['L1.weight'][13][scene.seen.entry]:.6f}", "+0.000001")


def test_numbers_that_differ_in_a_digit_are_not_called_the_same() -> None:
    scene = film("the lesson")
    wrong = {"recorded": scene.seen.recorded * 1.0001}
    told = _told_with(scene, **wrong)
    assert told.startswith("That ratio is the gradient: autograd’s is the same to within 3.3·10⁻⁵")
    assert _told_with(scene, recorded=0.5).startswith("Autograd recorded another number: they differ by 0.826")


def _told_with(scene: Watched, **changed: float) -> str:
    from dataclasses import replace

    honest = scene.seen
    try:
        scene.seen = replace(honest, **changed)
        return scene.told_of_gradient()
    finally:
        scene.seen = honest


@ALL
def test_the_frames_stand_around_the_changed_weight(name: str) -> None:
    scene = film(name)
    for matrix, frame in (scene.large[:2], scene.weight[:2]):
        np.testing.assert_allclose(frame.get_center(), matrix.cells.cell(*scene.seen.entry), atol=1e-6)
        shown = matrix.cells.values[scene.seen.entry]
        assert shown == scene.trace.parameters[scene.seen.parameter][scene.index][scene.seen.entry]


def said(scene: Watched, beginning: str) -> str:
    return next(sentence for sentence, _, _ in scene.said if sentence.startswith(beginning))


def test_the_captions_tell_the_lecture_in_order() -> None:
    scene = film("the lesson")
    assert [beat for beat, _ in scene.beats] == ["forward", "nudge", "ripple", "ratio", "backwards"]
    assert [sentence for sentence, _, _ in scene.said] == [
        "One recorded step of training: the example x goes in, and layer by layer the loss ℓ comes out.",
        "Make one single weight of W₁ a tiny bit larger: by one millionth.",
        "A change here changes that, which changes the next.",
        "In the end the loss falls, by 0.326 millionths.",
        "Divide the change of the loss by the change of the weight:",
        "That ratio is the gradient: autograd recorded the same number.",
        "Going backwards once, training finds this ratio for all 17 parameters.",
    ]


# ── It can be seen ──────────────────────────────────────────────────────────────────────────────────────────────


class TestItCanBeSeen(CanBeSeen):
    seconds = 28, 50

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
    assert 28 < scene.seconds < 50


# ── What cannot be shown ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("layers", "options", "complaint"),
    [
        ([nn.Linear(2, 2), nn.Tanh()] * 4, {}, "Ripple shows up to 5 layers in a row; this trace has 8"),
        ([nn.Linear(2, 2), nn.GELU()], {}, "layer '1' is a GELU, whose derivative is not worked out by hand"),
        ([nn.Linear(2, 2)], {"examples": 3}, "keeps a part of it: record with examples=None"),
        ([nn.Linear(2, 2)], {"keep": ("inputs",)}, r"Watched draws activations and .*\n .*keep=\(\"activations\""),
    ],
)
def test_a_trace_that_cannot_be_shown_says_why(layers: list[Any], options: dict[str, Any], complaint: str) -> None:
    model = nn.Sequential(*layers)
    optimizer, criterion = torch.optim.SGD(model.parameters(), lr=0.1), nn.MSELoss()
    with explainer.record(model, criterion=criterion, optimizer=optimizer, **options) as recorder:
        criterion(model(torch.ones(5, 2)), torch.zeros(5, 2)).backward()
        optimizer.step()
    with pytest.raises(TraceError, match=complaint):
        run(Watched, trace=recorder.trace)
