"""A model may call its layers "input", "loss" and "target": none is taken for what stands outside of all layers."""

from __future__ import annotations

import json
from collections import OrderedDict
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from altered import altered, with_altered_loss_gradient  # noqa: E402
from matplotlib.text import Text  # noqa: E402
from test_page import data_of, unpacked  # noqa: E402
from torch import nn  # noqa: E402

import explainer  # noqa: E402
from explainer import chain, change, factors, plots, testing, verify  # noqa: E402
from explainer.architecture import Model  # noqa: E402
from explainer.errors import TraceError, VerifyError  # noqa: E402
from explainer.forward import forward  # noqa: E402
from explainer.portrait import portrait  # noqa: E402
from explainer.recorder.about import About  # noqa: E402
from explainer.stages import Skip, stages  # noqa: E402
from explainer.symbols import spoken, symbols  # noqa: E402
from explainer.trace import Trace  # noqa: E402
from explainer.weights import weight_pictures  # noqa: E402

CASES = {
    "the first is the input": ("input", "act", "out"),
    "the last is the loss": ("one", "act", "loss"),
    "the loss feeds the input": ("loss", "input", "out"),
    "all three": ("target", "input", "loss"),
}
PLAIN = ("one", "act", "out")


class Recorded(NamedTuple):
    """A recorded step, and what torch's autograd says of it without a recorder."""

    names: tuple[str, ...]
    trace: Trace
    inputs: np.ndarray
    outputs: dict[str, np.ndarray]  # per layer
    gradients: dict[str, np.ndarray]  # per layer and parameter; "" is the model's own input
    loss: float


def layers(names: tuple[str, ...]) -> nn.Sequential:
    torch.manual_seed(0)
    kinds = (nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    return nn.Sequential(OrderedDict(zip(names, kinds, strict=True))).double()


def batch(step: int) -> tuple[Any, Any]:
    generator = torch.Generator().manual_seed(step)
    x = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    return x, torch.randint(2, (5,), generator=generator)


@cache
def recorded(names: tuple[str, ...]) -> Recorded:
    """Record two steps, and make the last of them again by torch alone."""
    model, criterion = layers(names), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with explainer.record(model, criterion=criterion, optimizer=optimizer) as recorder:
        for step in range(2):
            alone = layers(names)
            alone.load_state_dict(model.state_dict())
            optimizer.zero_grad()
            x, y = batch(step)
            criterion(model(x), y).backward()
            optimizer.step()
    tensors = {"": batch(1)[0].requires_grad_()}
    for name, layer in alone.named_children():
        tensors[name] = layer(list(tensors.values())[-1])
        tensors[name].retain_grad()
    loss = criterion(tensors[names[-1]], batch(1)[1])
    loss.backward()
    found = {name: each.grad.numpy() for name, each in (*tensors.items(), *alone.named_parameters())}
    outputs = {name: tensors[name].detach().numpy() for name in names}
    return Recorded(names, recorder.trace, tensors[""].detach().numpy(), outputs, found, loss.item())


@pytest.fixture(params=[*CASES.values()], ids=[*CASES])
def seen(request: pytest.FixtureRequest) -> Recorded:
    return recorded(request.param)


# ── What the trace says ──────────────────────────────────────────────────────────────────────────────────────────────


def test_without_such_layers_the_names_are_as_ever() -> None:
    trace = recorded(PLAIN).trace
    assert (trace.model.input_name, trace.model.loss_name, trace.model.target_name) == ("input", "loss", "target")
    assert trace.model.layers["one"].fed_by == ("input",)
    assert chain.work_out(trace)["loss"].is_loss
    assert json.loads(json.dumps(trace.model.to_json()))["layers"]["one"]["fed_by"] == ["input"]


def test_each_layer_is_fed_by_the_one_before_and_the_first_by_no_layer(seen: Recorded) -> None:
    model, (first, second, third) = seen.trace.model, seen.names
    assert {model.input_name, model.loss_name, model.target_name}.isdisjoint(seen.names)
    assert model.layers[first].fed_by == (model.input_name,)
    assert [model.layers[each].fed_by for each in (second, third)] == [(first,), (second,)]
    assert model.criterion is not None and model.criterion.fed_by == (third,)


def test_a_layer_that_passes_the_models_input_on_is_no_alias_of_itself() -> None:
    model, criterion = nn.Sequential(OrderedDict(input=nn.Identity(), out=nn.Linear(3, 2))), nn.CrossEntropyLoss()
    x, y = batch(0)
    with explainer.record(model, criterion=criterion) as recorder:
        criterion(model(x.float()), y).backward()
        recorder.step()
    assert recorder.trace.aliases == {"input": ".input"}
    assert verify.captures(model, criterion, (x.float(), y)).check().judged


def test_a_parameter_of_the_model_itself_may_be_called_so_too() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.input, self.loss = nn.Parameter(torch.ones(3)), nn.Parameter(torch.zeros(3))

        def forward(self, x: Any) -> Any:
            return self.input * x + self.loss

    model, criterion = Scaled(), nn.CrossEntropyLoss()
    with explainer.record(model, criterion=criterion) as recorder:
        x, y = batch(0)
        criterion(model(x.float()), y).backward()
        recorder.step()
    (layer,) = recorder.trace.model.layers.values()
    assert layer.fed_by == (".input",)
    assert symbols(recorder.trace.model).keys() == {".input", "target", ".loss", "model", "input", "loss"}


def test_without_a_loss_a_layer_of_that_name_does_not_answer_why() -> None:
    torch.manual_seed(0)
    model = nn.ModuleDict(OrderedDict(one=nn.Linear(3, 2), loss=nn.Linear(2, 2)))
    model.forward = lambda x: model["one"](x)  # type: ignore[method-assign, assignment]
    with explainer.record(model) as recorder:
        model(torch.randn(4, 3)).sum().backward()
        recorder.step()
    trace = recorder.trace
    assert trace.missing["loss"] == "no activation: the layer was not called"
    assert "recorder.log(loss=loss)" in trace.missing[".loss"]
    for refused in (lambda: plots.loss(trace), lambda: plots.learning_rates({"0.1": trace, "0.2": trace})):
        with pytest.raises(TraceError, match=r"holds no loss: .*recorder\.log\(loss=loss\)"):
            refused()
    with pytest.raises(AssertionError, match=r"recorder\.log\(loss=loss\)"):
        testing.assert_finite(trace)


def test_a_probe_that_is_lost_does_not_stand_for_a_layer_of_that_name() -> None:
    model = nn.Sequential(OrderedDict(probe=nn.Linear(3, 2)))
    with explainer.record(model) as recorder:
        about: About = recorder._about
        model(torch.randn(4, 3)).sum().backward()
        recorder.step()
        about.lose_probe(1, ValueError("no room"))
    assert "no room" in recorder.trace.missing[".probe"]
    assert "probe" not in recorder.trace.missing


# ── Traces of before: "input" was both ───────────────────────────────────────────────────────────────────────────────


def of_before(names: tuple[str, ...], **fed_by: list[str]) -> dict[str, Any]:
    described = recorded(names).trace.model.to_json()
    for name, sources in fed_by.items():
        described["layers"][name]["fed_by"] = sources
    return described


@pytest.mark.parametrize("names", [CASES["the first is the input"], CASES["the loss feeds the input"]])
def test_in_an_older_trace_a_layer_called_input_feeds_those_after_it_alone(names: tuple[str, ...]) -> None:
    first, second, third = names
    said = {first: ["input"], second: [first], third: [second]}
    assert Model.from_json(of_before(names, **said)) == recorded(names).trace.model


def test_in_an_older_trace_no_layer_is_an_alias_of_itself() -> None:
    trace = recorded(CASES["the first is the input"]).trace
    about = {**trace._about, "aliases": {"input": "input", "act": "input"}}
    assert Trace(trace._steps.shards, about).aliases == {"input": ".input", "act": "input"}


# ── The chain rule, against torch's autograd ─────────────────────────────────────────────────────────────────────────


def test_the_chain_rule_by_hand_is_autograds(seen: Recorded) -> None:
    worked = chain.work_out(seen.trace)
    assert [*worked.gradients] == [*seen.names]
    for name, gradient in {**worked.gradients, **worked.parameter_gradients}.items():
        np.testing.assert_allclose(gradient, seen.gradients[name], rtol=0, atol=1e-14)
    np.testing.assert_allclose(worked.operations[0].outgoing, seen.gradients[""], rtol=0, atol=1e-14)
    assert worked.loss.type == "CrossEntropyLoss"
    assert float(worked.loss.output) == pytest.approx(seen.loss, rel=1e-14)
    assert [each.is_loss for each in worked.operations] == [False, False, False, True]
    assert worked[seen.trace.model.loss_name] is worked.loss
    assert [worked[name].name for name in seen.names] == [*seen.names]


def test_verify_judges_every_layer_the_loss_and_every_parameter(seen: Recorded) -> None:
    report = verify.chain_rule(seen.trace, step=1).check()
    loss = seen.trace.model.loss_name
    judged = [(row.name, row.what) for row in report.rows if row.state in ("equal", "close")]
    wanted = [(name, what) for name in seen.names for what in ("activation", "gradient")]
    wanted += [(loss, "its input"), (loss, "value"), (loss, "gradient")]
    wanted += [(name, "parameter gradient") for name in seen.trace.parameters]
    assert sorted(judged) == sorted(wanted)


def test_verify_tells_the_layer_called_loss_from_the_loss() -> None:
    trace = recorded(CASES["the last is the loss"]).trace
    with pytest.raises(VerifyError, match=r"gradient of 'loss' \(Linear\), step 1"):
        verify.chain_rule(altered(trace, "gradients", "loss", 1))
    with pytest.raises(VerifyError, match=r"gradient of '\.loss' \(CrossEntropyLoss\), step 0"):
        verify.chain_rule(with_altered_loss_gradient(trace))


def test_verify_finds_captures_true(seen: Recorded) -> None:
    report = verify.captures(layers(seen.names), nn.CrossEntropyLoss(), batch(0)).check()
    judged = {(row.name, row.what) for row in report.rows if row.state == "equal"}
    assert judged >= {(name, what) for name in seen.names for what in ("activation", "gradient")}
    assert (seen.trace.model.loss_name, "value") in judged


def test_a_change_of_a_weight_is_followed_to_the_loss(seen: Recorded) -> None:
    found = change.follow(seen.trace)
    assert found.ratio == pytest.approx(seen.gradients[found.parameter][found.entry], rel=1e-4)
    assert found.loss == pytest.approx(seen.loss, rel=1e-14)
    assert {name: each.shape for name, each in found.changes.items()} == {
        name: each.shape for name, each in seen.outputs.items()
    }


def test_other_inputs_run_forward_from_the_models_input_and_from_a_layer(seen: Recorded) -> None:
    first, second, third = seen.names
    found = forward(seen.trace, 1, seen.inputs)
    for name in seen.names:
        np.testing.assert_allclose(found[name], seen.outputs[name], rtol=0, atol=1e-14)
    after = forward(seen.trace, 1, seen.outputs[first], after=first)
    assert [*after] == [second, third]
    np.testing.assert_allclose(after[third], seen.outputs[third], rtol=0, atol=1e-14)


def test_one_examples_factors_are_of_its_own_inputs_and_activations(seen: Recorded) -> None:
    found = factors.of_example(seen.trace, example=2)
    own_input, loss = seen.trace.model.input_name, seen.trace.model.loss_name
    assert [*found.values] == [own_input, *seen.names]
    np.testing.assert_array_equal(found.values[own_input], seen.inputs[2])
    for name in seen.names:
        np.testing.assert_allclose(found.values[name], seen.outputs[name][2], rtol=0, atol=1e-14)
    first, second, third = seen.names
    assert [(link.operation.name, link.to) for link in found.links] == [
        (loss, third), (third, second), (second, first), (first, f"{first}.weight"),
    ]  # fmt: skip
    assert found.difference < 1e-12


# ── A way past a layer called input ──────────────────────────────────────────────────────────────────────────────────


class Past(nn.Module):
    """What was given to the model meets what a layer called `input` makes of it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.input, self.act, self.out = nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2)

    def forward(self, x: Any) -> Any:
        return self.out(self.act(self.input(x)) + x)


@pytest.fixture(scope="module")
def past() -> Trace:
    model, criterion = Past().double(), nn.CrossEntropyLoss()
    with explainer.record(model, criterion=criterion) as recorder:
        x, y = batch(0)
        criterion(model(1 * x.requires_grad_()), y).backward()  # autograd sees no sum with what needs no gradient
        recorder.step()
    return recorder.trace


def test_the_models_input_goes_past_a_layer_called_input(past: Trace) -> None:
    assert past.model.layers["input"].fed_by == (".input",)
    assert past.model.layers["act"].fed_by == ("input",)
    assert set(past.model.layers["out"].fed_by) == {"act", ".input"}
    verify.chain_rule(past).check()
    found = stages(past.model)
    assert [each.output for each in found] == [".input", "act", "out"]
    assert found[2].fed_by == (0, 1)
    assert found[2].skips == (Skip(0, 2, after=False),)
    with pytest.raises(TraceError, match=r"'out' \(Linear\) is fed by .*, not by act alone"):
        chain.work_out(past)


# ── Who reads what ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_stages_begin_with_the_models_own_input(seen: Recorded) -> None:
    own, *others = stages(seen.trace.model)
    first, second, third = seen.names
    assert (own.members, own.shape, own.output, own.title) == ((), (3,), seen.trace.model.input_name, "input")
    assert [each.members for each in others] == [(first, second), (third,)]
    assert [each.fed_by for each in others] == [(0,), (1,)]
    assert "input" not in [each.title for each in others]


def test_a_portrait_shows_the_models_input_first(seen: Recorded) -> None:
    own, hidden, _ = portrait(seen.trace, example=1)
    np.testing.assert_array_equal(own.values, seen.inputs[1])
    np.testing.assert_allclose(hidden.values, seen.outputs[seen.names[1]][1], rtol=0, atol=1e-14)


def test_a_layer_behind_one_called_input_does_not_read_the_image() -> None:
    torch.manual_seed(0)
    model, criterion = nn.Sequential(OrderedDict(input=nn.Linear(9, 9), out=nn.Linear(9, 2))), nn.CrossEntropyLoss()
    with explainer.record(model, criterion=criterion) as recorder:
        recorder.note(image_shape=[3, 3])
        criterion(model(torch.randn(4, 9)), torch.tensor([0, 1, 1, 0])).backward()
        recorder.step()
    assert weight_pictures(recorder.trace, "input").kind == "images"
    assert weight_pictures(recorder.trace, "out").kind == "matrix"


def test_a_layer_called_input_to_which_no_gradient_flows_is_complained_of() -> None:
    class Cut(Past):
        def forward(self, x: Any) -> Any:
            return self.out(self.act(self.input(x)).detach())

    model, criterion = Cut(), nn.CrossEntropyLoss()
    with explainer.record(model, criterion=criterion) as recorder:
        x, y = batch(0)
        criterion(model(x.float()), y).backward()
        recorder.step()
    with pytest.raises(AssertionError, match="'act'"):
        testing.assert_gradients_flow(recorder.trace)


def test_every_quantity_has_a_symbol_of_its_own(seen: Recorded) -> None:
    model, (first, _, third) = seen.trace.model, seen.names
    found = symbols(model)
    assert len(set(found.values())) == len(found)
    assert [spoken(found[each]) for each in (model.input_name, model.target_name, model.loss_name)] == ["x", "y", "ℓ"]
    assert [spoken(found[each]) for each in (first, third, f"{first}.weight")] == ["L₁", "L₂", "W₁"]


# ── Figures and page ─────────────────────────────────────────────────────────────────────────────────────────────────


def words(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.findobj(Text) if text.get_text()]


def test_the_figure_of_the_chain_rule_goes_from_the_input_to_the_loss(seen: Recorded) -> None:
    axes = plots.chain_rule(seen.trace, step=1, example=2)
    assert "the nodes x, L₁, T, L₂, ℓ from left to right" in plots.describe(axes)
    at = {text.get_text(): text.get_position()[0] for text in axes.texts}
    nodes = [at[node] for node in ("$x$", "${L_{1}}$", "$T$", "${L_{2}}$", r"$\ell$")]
    assert nodes == sorted(nodes)
    assert at[f"{seen.loss:.4f}"] == nodes[-1]
    plain = plots.chain_rule(recorded(PLAIN).trace, step=1, example=2)
    assert sorted(words(axes)) == sorted(words(plain))


def test_the_figure_of_the_network_calls_one_column_input(seen: Recorded) -> None:
    written = words(plots.network(seen.trace))
    assert written.count("input") == 1
    if seen.names[0] == "input":
        assert "input (Linear)" in written


def test_the_page_multiplies_what_autograd_does(seen: Recorded) -> None:
    tree, blob = data_of(seen.trace.page().html)
    (run,) = tree["runs"]
    operations = run["chain"]["operations"]
    assert [each["name"] for each in operations] == [*seen.names, "loss"]
    assert [each["is_loss"] for each in operations] == [False, False, False, True]
    assert [each["before"] for each in operations] == ["", *seen.names]
    for each in operations[1:]:
        (table,) = [table for table in each["tables"] if table["to"] == "input"]
        for column in ("total", "recorded"):
            found = unpacked(table[column]["array"], blob)[:, -1]
            np.testing.assert_allclose(found, seen.gradients[each["before"]][0], rtol=0, atol=1e-7)


def test_the_page_draws_the_models_input_and_the_layer_called_so(seen: Recorded) -> None:
    tree, blob = data_of(seen.trace.page().html)
    own, hidden, last = tree["runs"][0]["network"]["columns"]
    assert [each["name"] for each in (own, hidden, last)].count("input") == 1
    assert (own["name"], own["title"], own["output"]) == ("input", "input", seen.trace.model.input_name)
    assert (hidden["members"], last["members"]) == ([*seen.names[:2]], [seen.names[2]])
    np.testing.assert_allclose(unpacked(own["values"]["array"], blob)[:, -1], seen.inputs[0], rtol=1e-6)
    shown = unpacked(hidden["values"]["array"], blob)[:, -1]
    np.testing.assert_allclose(shown, seen.outputs[seen.names[1]][0], rtol=1e-6)


# ── Films ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_films_know_the_models_input_and_the_loss_from_layers_of_these_names() -> None:
    pytest.importorskip("manim")
    from scenes.chain_rule import ChainRule
    from scenes.ripple import Ripple
    from tests.filmed import run

    class ChainRuleStands(ChainRule):
        def construct(self) -> None:
            self.read_trace()
            self.draw_graph()

    class RippleStands(Ripple):
        def construct(self) -> None:
            self.read_trace()
            self.build()

    seen = recorded(CASES["all three"])
    for film in (ChainRuleStands, RippleStands):
        scene = run(film, trace=seen.trace, painted=False, rate=1)
        assert scene.graph.spine == (".input", *seen.names, ".loss")
        assert scene.graph.edges.keys() >= {(".target", ".loss"), ("input", "loss"), ("loss", ".loss")}
        values = {".input": batch(scene.step)[0].numpy()}
        values |= {name: seen.trace.activations[name][scene.index] for name in seen.names}
        for name, each in values.items():
            np.testing.assert_array_equal(scene.value_column(name).values, each.T)
        loss = f"{seen.trace.scalars['loss'][scene.index]:.3f}"
        assert [each.words for each in scene.value_column(".loss")] == [loss]
        if isinstance(scene, ChainRule):
            said = [scene.told_of(operation) for operation in scene.operations]
            assert [each.split(",")[0].split(":")[0] for each in said] == [
                "At every operation", "L₂ multiplied T by the weights W₂", "The own gradient of tanh is 1 − T²",
                "L₁ multiplied x by W₁",
            ]  # fmt: skip
        else:
            moved = f"{1e6 * scene.seen.loss_change:.3f}".replace("-", "−")
            assert scene.change_under(".loss")[1].words == moved
            np.testing.assert_array_equal(scene.change_under("loss")[1].values, 1e6 * scene.seen.changes["loss"].T)


def test_a_film_of_the_network_calls_one_column_input_and_no_layer_loss(seen: Recorded) -> None:
    pytest.importorskip("manim")
    from explainer.mobjects.layer_row import bar_names
    from explainer.mobjects.network_history import dense_chain
    from explainer.mobjects.stage_history import StageHistory
    from explainer.reach import reach

    history = StageHistory(seen.trace)
    own, *others = (history.names(place) for place in range(len(history.stages)))
    assert own == ("input",)
    assert {"input", "loss"}.isdisjoint(name for names in others for name in names)
    assert [link.layer for link in dense_chain(seen.trace.model)] == [seen.names[1], seen.names[2]]
    assert "loss" not in bar_names(reach(seen.trace).bars)
