"""TrainingLoop: order, fills, edges, losses and lengths on screen are those that the trace recorded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

manim = pytest.importorskip("manim", reason="films are not installed")
torch = pytest.importorskip("torch")

from filmed import Box, CanBeSeen, Watching, check_room, run  # noqa: E402
from manim import DL, UR  # noqa: E402
from torch import nn  # noqa: E402
from zoo import classifier  # noqa: E402

import explainer  # noqa: E402
from explainer.errors import TraceError  # noqa: E402
from explainer.lessons import record_lesson  # noqa: E402
from explainer.mobjects.code_card import Code  # noqa: E402
from explainer.mobjects.edges import Edges  # noqa: E402
from explainer.mobjects.plates import Plates  # noqa: E402
from explainer.mobjects.units import Filled  # noqa: E402
from explainer.theme import GRADIENT, LOSS  # noqa: E402
from scenes.training_loop import TrainingLoop  # noqa: E402


@dataclass
class Frame:
    """What one frame said."""

    beat: str
    step: int
    turn: float | None
    lit: str | None
    loss: str
    curve: float
    reached: list[float]
    returned: list[float]
    weights: np.ndarray | None
    values: list[np.ndarray]
    changing: float


class Watched(Watching, TrainingLoop):
    """The film, looked at in every frame and at the end of every sentence."""

    def look(self) -> None:
        diagram, verbs = self.diagram, self.wheel.verbs
        turn = self.wheel.turn
        edges = next((each for each in diagram.edges if isinstance(each, Edges)), None)
        self.frames.append(
            Frame(
                beat=self.beats[-1][0] if self.beats else "",
                step=int(self.clock.counter.words),
                turn=turn,
                lit=None if turn is None else verbs[int(turn) % len(verbs)],
                loss=self.loss.words,
                curve=self.curve.position,
                reached=[float(np.min(each.reached)) if each.reached.size else 1.0 for each in diagram.units],
                returned=[float(each.returned) for each in diagram.units],
                weights=None if edges is None else np.array(edges.weights),
                values=[np.array(each.values) for each in diagram.units],
                changing=0.0 if edges is None else edges.changing,
            )
        )

    def boxes(self) -> list[Box]:
        return [*super().boxes(), *pictures(self)]


def pictures(scene: Watched) -> list[Box]:
    """Return the boxes of the network's columns, of the code's lines, and of the arrows."""
    shown = [part for each in scene.mobjects for part in each.get_family() if isinstance(part, Filled | Code)]
    on_screen = [part for each in scene.mobjects for part in each.get_family()]
    shown += [arrow for arrow in getattr(scene, "arrows", []) if any(arrow is part for part in on_screen)]
    return [
        (getattr(part, "words", type(part).__name__), *part.get_corner(DL)[:2], *part.get_corner(UR)[:2])
        for part in shown
        if len(part.get_all_points()) and part.get_fill_opacity() > 0
    ]


@pytest.fixture(scope="module")
def trace() -> explainer.Trace:
    return record_lesson("digits", steps=30)


@pytest.fixture(scope="module")
def film(trace: explainer.Trace) -> Watched:
    return run(Watched, trace=trace)


@pytest.fixture(scope="module")
def light(trace: explainer.Trace) -> Watched:
    return run(Watched, {"EXPLAINER_THEME": "light"}, rate=1, painted=False, trace=trace)


class TestItCanBeSeen(CanBeSeen):
    seconds = 34, 57


def of_beat(film: Watched, beat: str) -> list[Frame]:
    return [frame for frame in film.frames if frame.beat == beat]


def test_the_verbs_are_those_of_the_recorded_events_in_their_order(film: Watched, trace: explainer.Trace) -> None:
    events = list(dict.fromkeys(event.split()[0] for event in trace.events[0]))
    assert list(film.wheel.verbs) == events == ["forward", "loss", "backward", "update"]
    lit = [frame.lit for frame in of_beat(film, "one lap") if frame.lit]
    assert list(dict.fromkeys(lit)) == events


def test_the_flash_comes_to_the_layers_as_their_recorded_events_do(film: Watched, trace: explainer.Trace) -> None:
    outputs = [stage.output for stage in film.history.stages[1:]]
    events = trace.events[0]
    assert sorted(outputs, key=lambda layer: events.index(f"forward {layer}")) == outputs
    assert sorted(outputs, key=lambda layer: events.index(f"backward {layer}")) == outputs[::-1]
    frames = of_beat(film, "one lap")
    forward = [frame.reached for frame in frames if frame.lit == "forward"]
    assert all(np.all(np.diff(reached) <= 1e-9) for reached in forward)  # never a later column before an earlier one
    assert any(0 < sum(reached) < len(reached) for reached in forward)
    backward = [frame.returned[1:] for frame in frames if frame.lit == "backward"]
    assert all(np.all(np.diff(returned) >= -1e-9) for returned in backward)
    assert backward[0] == [0, 0, 0] and backward[-1] == [1, 1, 1]


def test_the_fills_are_the_recorded_activations_of_the_batchs_first_example(
    film: Watched, trace: explainer.Trace
) -> None:
    first = next(frame for frame in of_beat(film, "one lap") if frame.lit == "loss")
    drawn = film.history.drawn
    np.testing.assert_array_equal(first.values[0], np.asarray(trace.inputs[0])[0][drawn[0]])
    for place, layer in ((1, "1"), (2, "3"), (3, "5")):
        np.testing.assert_array_equal(first.values[place], np.asarray(trace.activations[layer][0])[0][drawn[place]])


def test_the_gradients_are_the_recorded_ones(film: Watched, trace: explainer.Trace) -> None:
    film.history.show_gradients(film.diagram, 7)
    for place, layer in ((1, "1"), (2, "3"), (3, "5")):
        expected = np.asarray(trace.gradients[layer][7])[0][film.history.drawn[place]]
        np.testing.assert_array_equal(film.diagram.units[place].gradients, expected)
    np.testing.assert_array_equal(film.diagram.edges[2].gradient, film.diagram.units[3].gradients)


def test_an_update_moves_the_edges_to_the_next_steps_weights(film: Watched, trace: explainer.Trace) -> None:
    drawn = np.ix_(film.history.drawn[1], film.history.drawn[0])
    before, after = (np.asarray(trace.parameters["0.weight"][step], float)[drawn] for step in (0, 1))
    updating = [frame for frame in of_beat(film, "one lap") if frame.changing > 0]
    assert len(updating) > 4
    last = of_beat(film, "one lap")[-1]
    np.testing.assert_array_equal(of_beat(film, "one lap")[0].weights, before)
    np.testing.assert_allclose(last.weights, after, atol=1e-12)
    film.history.show_updates(film.diagram, 0)
    change = film.diagram.edges[0].change
    np.testing.assert_array_equal(change, np.asarray(trace.updates["0.weight"][0], float)[drawn])
    np.testing.assert_allclose(before + change, after, atol=1e-7)


def test_every_printed_loss_is_that_of_a_recorded_step_and_never_ahead_of_the_clock(
    film: Watched, trace: explainer.Trace
) -> None:
    losses = [f"{value:.3f}" for value in trace.scalars["loss"]]
    frames = of_beat(film, "laps")
    for frame in frames:
        index = trace.index_of(frame.step)
        assert frame.loss in losses[max(index - 1, 0) : index + 1]
        assert index - 1 <= frame.curve < index + 1.0001
    steps = [frame.step for frame in frames]
    assert steps == sorted(steps) and (steps[0], steps[-1]) == (0, trace.steps[-1])
    assert frames[-1].loss == losses[-1] and frames[-1].curve == len(losses) - 1


def test_laps_go_faster_and_each_lights_the_verbs_in_their_order(film: Watched) -> None:
    frames = of_beat(film, "laps")
    lap = [frame.lit for frame in frames if frame.step == 1 and frame.turn is not None]
    assert list(dict.fromkeys(lap)) == ["forward", "loss", "backward", "update"]
    lengths = [sum(frame.step == step for frame in frames) for step in (1, 2, 3)]
    assert lengths == sorted(lengths, reverse=True) and lengths[0] > lengths[-1]


def test_the_curve_has_the_recorded_losses_and_the_line_of_who_knows_nothing(
    film: Watched, trace: explainer.Trace
) -> None:
    for curve in (film.curve, film.large):
        np.testing.assert_array_equal(curve.values, trace.scalars["loss"])
        assert curve.guides[0][1].words == "ln 10 = 2.30: knows nothing"
        line = curve.guides[0][0]
        assert line.get_center()[1] == pytest.approx(curve.at(0, np.log(10))[1])
    assert film.large.position == len(trace) - 1


def test_without_zero_grad_the_arrow_is_as_much_longer_as_the_gradient_was(
    film: Watched, trace: explainer.Trace
) -> None:
    noted = trace.notes["accumulation"]
    with_, without = (np.linalg.norm(arrow.get_end() - arrow.get_start()) for arrow in film.arrows)
    assert without / with_ == pytest.approx(noted["twice"] / noted["once"], rel=1e-9) == 2
    recorded = np.sqrt(sum((np.asarray(each[0], float) ** 2).sum() for each in trace.parameter_gradients.values()))
    still = film.stills["Forget to zero the gradients, and they add up."]
    words = {name for name, *_ in still}
    assert {f"{recorded:.3f}", f"{2 * recorded:.3f}", "with zero_grad", "without zero_grad"} <= words


def test_captions_are_true(film: Watched, trace: explainer.Trace) -> None:
    losses, moved = trace.scalars["loss"], max(np.abs(np.asarray(each[0])).max() for each in trace.updates.values())
    sentences = [sentence for sentence, _, _ in film.said]
    assert sentences == [
        "Training adjusts the weights of a network that is already defined: 109,386 numbers.",
        "One step of training is five lines of code.",
        "Four verbs make a step, again and again.",
        "Forward: the inputs flow through the network, layer by layer.",
        f"Loss: one number says how wrong the outputs are, here {losses[0]:.3f}.",
        "Backward: the loss sends a gradient back to every layer.",
        f"Update: every weight moves a little, here by {moved:.4f} at most.",
        f"One lap is one step: the same order in all {len(trace)} recorded steps.",
        f"Who knows nothing has a loss of ln 10 = 2.30; it is {losses[-1]:.2f} after 30 steps.",
        "Without zero_grad a second backward pass is added to the first: exactly twice as long.",
        "Forget to zero the gradients, and they add up.",
        "Forward, loss, backward, update: again and again.",
    ]


def test_the_colours_of_verbs_are_those_of_what_they_make(film: Watched) -> None:
    colours = dict(zip(film.wheel.verbs, film.wheel.colours, strict=True))
    assert (colours["loss"], colours["backward"]) == (LOSS, GRADIENT)
    assert film.curve.line.get_stroke_color().to_hex().upper() == LOSS


# ── other people's models ─────────────────────────────────────────────────────────────────────────────────────────────


class Sentences(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(20, 16), nn.Linear(16, 3)
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 3)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(self.encoder(self.embed(tokens)).mean(dim=1))


def foreign(kind: str, steps: int = 4, **options: object) -> explainer.Trace:
    torch.manual_seed(0)
    if kind == "cnn":
        model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(72, 3))
    else:
        model = Sentences() if kind == "transformer" else classifier("resnet18")[0]
    side = 8 if kind == "cnn" else 32
    inputs = torch.randint(0, 20, (6, 10)) if kind == "transformer" else torch.rand(6, 3, side, side)
    optimizer, criterion = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9), nn.CrossEntropyLoss()
    with explainer.record(model, criterion=criterion, optimizer=optimizer, examples=2, **options) as recorder:
        for _ in range(steps):
            optimizer.zero_grad()
            criterion(model(inputs), torch.arange(6) % 3).backward()
            optimizer.step()
    return recorder.trace


@pytest.mark.parametrize("kind", ["cnn", "transformer", "resnet18"])
def test_other_peoples_models_are_drawn_and_trained_alike(kind: str) -> None:
    trace = foreign(kind, steps=2 if kind == "resnet18" else 4)
    scene = run(Watched, rate=2, trace=trace)
    check_room(scene)
    names = [stage.name for stage in scene.history.stages]
    assert names == {
        "cnn": ["input", "0", "3", "4"],
        "transformer": ["input", "embed", "encoder.layers.0", "encoder.layers.1", "encoder.layers.2", "head"],
        "resnet18": ["input", "conv1", "layer1", "layer2", "layer3", "layer4", "fc"],
    }[kind]
    for place, stage in enumerate(scene.history.stages[1:], 1):
        units = scene.diagram.units[place]
        recorded = np.asarray(trace.activations[stage.output][-1], float)[0]
        shown = recorded if stage.shape == units.values.shape[1:] else recorded[picked(units, recorded)]
        np.testing.assert_array_equal(units.values.ravel(), shown.ravel())
    said = [sentence for sentence, _, _ in scene.said]
    assert "Without zero_grad a second backward pass is added to the first." in said  # it was not tried: no claim
    still = scene.stills["Forget to zero the gradients, and they add up."]
    assert "schematic: this run did not try it" in {name for name, *_ in still}


def picked(units: Filled, recorded: np.ndarray) -> np.ndarray:
    """Return which channels or units are drawn: so many, evenly chosen from all."""
    return np.unique(np.rint(np.linspace(0, len(recorded) - 1, len(units.values))).astype(int))


def test_a_convolution_shows_its_feature_maps(film: Watched) -> None:
    assert not any(isinstance(each, Plates) for each in film.diagram.units)
    trace = foreign("cnn", steps=1)
    other = run(Watched, rate=1, trace=trace)
    maps = other.diagram.units[1]
    assert isinstance(maps, Plates) and maps.values.shape == (4, 3, 3)
    expected = np.asarray(trace.activations["2"][0])[0][[0, 2, 5, 7]]
    np.testing.assert_array_equal(maps.values, expected)


def test_a_model_of_which_no_tensors_were_kept_is_drawn_all_the_same() -> None:
    scene = run(Watched, rate=1, trace=foreign("cnn", steps=2, keep=()))
    assert [len(each.values) for each in scene.diagram.units[:2]] == [0, 0]
    check_room(scene)
    assert "Update: every weight moves a little." in [sentence for sentence, _, _ in scene.said]


def test_a_trace_without_a_loss_is_told_how_to_log_it() -> None:
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with explainer.record(model, optimizer=optimizer) as recorder:
        model(torch.ones(1, 3)).sum().backward()
        optimizer.step()
    with pytest.raises(TraceError, match=r"shows the loss.*criterion=criterion.*\n    recorder\.log\(loss=loss\)"):
        run(TrainingLoop, trace=recorder.trace)


def test_a_trace_in_which_nothing_flowed_back_is_refused() -> None:
    trace = foreign("cnn", steps=1)
    trace._steps.shards[0].events = lambda: [["forward 0", "loss", "update"]]  # type: ignore[method-assign]
    with pytest.raises(TraceError, match=r"no backward pass was recorded at step 0.*loss\.backward\(\)"):
        run(TrainingLoop, trace=trace)
