"""Any recorded model as a diagram: maps, units and blocks show what was recorded, arrows skip what they skip."""

from __future__ import annotations

import numpy as np
import pytest

manim = pytest.importorskip("manim", reason="films are not installed")
torch = pytest.importorskip("torch")

from networks import Residual, batch_for, seeded  # noqa: E402
from torch import nn  # noqa: E402

import explainer  # noqa: E402
from explainer.mobjects import shades  # noqa: E402
from explainer.mobjects.edges import Wire  # noqa: E402
from explainer.mobjects.network_diagram import NetworkDiagram  # noqa: E402
from explainer.mobjects.plates import Plates  # noqa: E402
from explainer.mobjects.stage_history import StageHistory, rounded  # noqa: E402
from explainer.stages import Skip  # noqa: E402
from explainer.theme import DARK, GRADIENT, LAYER  # noqa: E402


def recorded(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor, **options: object) -> explainer.Trace:
    optimizer, criterion = torch.optim.SGD(model.parameters(), lr=0.5), nn.CrossEntropyLoss()
    probe = (inputs[:3], targets[:3])
    with explainer.record(model, criterion=criterion, optimizer=optimizer, probe=probe, **options) as recorder:
        for step in range(3):
            optimizer.zero_grad()
            criterion(model(inputs.roll(step, 0)), targets.roll(step, 0)).backward()
            optimizer.step()
    return recorder.trace


@pytest.fixture(scope="module")
def residual() -> explainer.Trace:
    model = seeded(Residual)
    return recorded(model, *batch_for(model, 0))


@pytest.fixture(scope="module")
def tokens() -> explainer.Trace:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(20, 6), nn.Linear(6, 5), nn.Flatten(), nn.Linear(35, 3))
    return recorded(model, torch.randint(0, 20, (8, 7)), torch.arange(8) % 3)


def kinds(diagram: NetworkDiagram) -> list[str]:
    return [type(each).__name__ for each in [*diagram.units, *diagram.edges]]


def test_maps_units_wires_and_weights_stand_where_the_model_has_them(residual: explainer.Trace) -> None:
    diagram = StageHistory(residual).diagram()
    assert kinds(diagram) == ["Plates", "Plates", "Plates", "Units", "Units", "Wire", "Wire", "Wire", "Edges"]
    assert [[line.words for line in label] for label in diagram.labels] == [
        ["6 × 6 pixels", "input"], ["4 maps", "stem"], ["4 maps", "block"], ["16", "flat"], ["3", "head"],
    ]  # fmt: skip


def test_the_fills_are_one_examples_recorded_numbers_at_the_step(residual: explainer.Trace) -> None:
    history = StageHistory(residual, example=2)
    diagram = history.diagram()
    history.show(diagram, 2)
    np.testing.assert_array_equal(diagram.units[0].values[0], np.asarray(residual.inputs[2])[2, 0])
    for place, layer in ((1, "act"), (2, "pool"), (3, "drop"), (4, "head")):
        np.testing.assert_array_equal(diagram.units[place].values, np.asarray(residual.activations[layer][2])[2])
    np.testing.assert_array_equal(diagram.edges[3].weights, np.asarray(residual.parameters["head.weight"][2]))


def test_between_steps_the_probes_numbers_glide_and_weights_do(residual: explainer.Trace) -> None:
    history = StageHistory(residual, example=1, probe=True)
    diagram = history.diagram()
    history.show(diagram, 1.25)
    seen = np.asarray(residual.probe.activations["act"], float)[:, 1]
    np.testing.assert_allclose(diagram.units[1].values, 0.75 * seen[1] + 0.25 * seen[2])
    weights = np.asarray(residual.parameters["head.weight"], float)
    np.testing.assert_allclose(diagram.edges[3].weights, 0.75 * weights[1] + 0.25 * weights[2])


def test_examples_that_differ_from_step_to_step_are_not_mixed(residual: explainer.Trace) -> None:
    history = StageHistory(residual)
    diagram = history.diagram()
    history.show(diagram, 1.25)
    np.testing.assert_array_equal(diagram.units[0].values[0], np.asarray(residual.inputs[1])[0, 0])
    weights = np.asarray(residual.parameters["head.weight"], float)
    np.testing.assert_allclose(diagram.edges[3].weights, 0.75 * weights[1] + 0.25 * weights[2])


def test_the_gradient_comes_back_from_the_loss_with_its_recorded_numbers(residual: explainer.Trace) -> None:
    history = StageHistory(residual)
    diagram = history.diagram()
    history.show_gradients(diagram, 1)
    assert [list(np.round(diagram.set_back(at) and [float(each.returned) for each in diagram.units], 6))
            for at in (0, 1, 2, 3, 4, 5)] == [
        [0, 0, 0, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 1, 1], [0, 0, 1, 1, 1], [0, 1, 1, 1, 1], [0, 1, 1, 1, 1],
    ]  # fmt: skip
    for place, layer in ((1, "act"), (2, "pool"), (4, "head")):
        expected = np.asarray(residual.gradients[layer][1])[0]
        np.testing.assert_array_equal(diagram.units[place].gradients, expected)
        shown = shades.signed(expected, np.abs(expected).max())
        np.testing.assert_allclose(diagram.units[place].colours(), shown)
        np.testing.assert_allclose(diagram.units[place].outline_colour()[0], shades.rgb(GRADIENT))
    diagram.set_back(None)
    values = diagram.units[1].values
    np.testing.assert_allclose(diagram.units[1].colours(), shades.signed(values, history_largest(history, 1)))


def history_largest(history: StageHistory, place: int) -> float:
    layer = history.stages[place].output
    return float(np.abs(np.asarray(history.trace.activations[layer], float)[:, 0]).max())


def test_the_flash_back_runs_from_the_last_column_to_the_first(residual: explainer.Trace) -> None:
    diagram = StageHistory(residual).diagram()
    seen = [[edges.back for edges in diagram.set_back(at).edges] for at in (0.5, 1.5, 2.5, 4.5)]
    assert seen == [[None] * 4, [None, None, None, 0.5], [None, None, 0.5, None], [0.5, None, None, None]]
    backward = diagram.backward(seconds=0.5)
    assert backward.run_time == 2.0
    backward.begin()
    backward.interpolate(1)
    assert [edges.back for edges in diagram.edges] == [None] * 4


def test_a_residual_connection_is_an_arrow_past_its_stage(residual: explainer.Trace) -> None:
    diagram = StageHistory(residual).diagram()
    ((wire, skip),) = diagram.arcs
    assert skip == Skip(1, 2, after=True)
    start, end = wire.way()[[0, -1], 0]
    assert diagram.units[1].get_right()[0] < start < diagram.units[2].get_left()[0]
    assert diagram.units[2].get_right()[0] < end < diagram.units[3].get_left()[0]
    assert wire.way()[:, 1].max() > diagram.units[2].get_top()[1]
    assert [diagram.set_pass(at).arcs[0][0].flash for at in (0.9, 1.5, 2.4)] == [None, 0.5, None]
    diagram.set_back(3.5)  # half-way from "block" to "stem"
    assert wire.back == pytest.approx(0.5)


def test_of_a_sequence_all_tokens_and_features_are_one_image_in_a_block(tokens: explainer.Trace) -> None:
    history = StageHistory(tokens)
    diagram = history.diagram()
    assert kinds(diagram)[:5] == ["Units", "Plates", "Plates", "Units", "Units"]
    np.testing.assert_array_equal(diagram.units[1].values, np.asarray(tokens.activations["0"][0])[:1])
    assert sorted(diagram.panels) == [1, 2]
    assert [line.words for line in diagram.labels[1]] == ["Embedding", "120 weights"]
    numbers = diagram.units[0]
    np.testing.assert_allclose(numbers.colours()[:, 0], numbers.colours()[:, 1])  # numbers of words are greys


def test_a_block_is_lit_by_the_pass_and_outlined_by_the_gradient(tokens: explainer.Trace) -> None:
    diagram = StageHistory(tokens).diagram()
    panel = diagram.panels[1]
    diagram.set_pass(0)
    np.testing.assert_allclose(panel.outline_colour(), shades.rgb(DARK.line))
    diagram.set_pass(1)
    np.testing.assert_allclose(panel.outline_colour(), shades.rgb(LAYER))
    diagram.set_back(5)
    np.testing.assert_allclose(panel.outline_colour(), shades.rgb(GRADIENT))


def test_probabilities_may_stand_for_the_last_stages_numbers(residual: explainer.Trace) -> None:
    outputs, shown = np.arange(9.0).reshape(3, 3), np.array([0, 2])
    history = StageHistory(residual, probe=True, outputs=outputs, shown=shown, named=("classes",))
    diagram = history.diagram()
    history.show(diagram, 1)
    np.testing.assert_array_equal(diagram.units[-1].values, [3, 5])
    assert diagram.edges[-1].weights.shape == (2, 16)
    assert [line.words for line in diagram.labels[-1]] == ["2 of 3", "classes"]


def test_updates_are_shown_above_the_weights(residual: explainer.Trace) -> None:
    history = StageHistory(residual)
    diagram = history.diagram()
    history.show_updates(diagram, 1)
    np.testing.assert_array_equal(diagram.edges[3].change, np.asarray(residual.updates["head.weight"][1]))
    assert diagram.set_changing(0.5).edges[3].changing == 0.5


def test_what_was_not_kept_is_drawn_without_numbers() -> None:
    model = seeded(Residual)
    trace = recorded(model, *batch_for(model, 0), keep=())
    history = StageHistory(trace)
    diagram = history.diagram()
    assert [len(each.values) for each in diagram.units] == [0, 0, 0, 16, 3]
    assert [type(each) for each in diagram.edges] == [Wire] * 4
    history.show(diagram, 2)
    history.show_gradients(diagram, 0)
    diagram.set_back(6)
    assert [float(each.returned) for each in diagram.units] == [0] * 5


def test_colours_and_images_reach_the_picture() -> None:
    """A map's pixel on screen has the colour of its number."""
    values = np.array([[[1.0, -1.0]]])
    box = np.array([[(-6, 3, 0), (6, 3, 0), (6, -3, 0), (-6, -3, 0)]], float)
    plates = Plates(box, values, lambda shown: shades.signed(shown, 1.0))
    camera = manim.Camera(pixel_width=160, pixel_height=90, frame_width=16, frame_height=9, background_color="#000000")
    camera.capture_mobjects([plates])
    np.testing.assert_allclose(camera.pixel_array[45, [50, 110], :3] / 255, plates.colours()[0, 0], atol=0.01)
    np.testing.assert_allclose(plates.landing(2), [(-3, 0, 0), (3, 0, 0)])


def test_a_wires_flash_is_painted_where_it_is() -> None:
    wire = Wire([(-7, 0, 0), (7, 0, 0)])
    wire.back = 0.5
    camera = manim.Camera(pixel_width=640, pixel_height=360, frame_width=16, frame_height=9, background_color="#000000")
    camera.capture_mobjects([wire])
    orange = np.abs(camera.pixel_array[178:182, :, :3] / 255 - shades.rgb(GRADIENT)).max(axis=-1).min(axis=0) < 0.15
    lit = np.flatnonzero(orange)
    assert abs(lit.min() - 320) <= 2 and abs(lit.max() - (320 + 0.35 * 560)) <= 2  # from the middle back to the end


@pytest.mark.parametrize(("count", "said"), [(7, "7"), (999, "999"), (73_984, "74k"), (999_900, "1M")])
def test_large_numbers_are_said_shortly(count: int, said: str) -> None:
    assert rounded(count) == said
