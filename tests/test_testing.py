"""Each assertion passes on a healthy run, and fails on one that is ill in exactly that way, saying where and why."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import explainer
from explainer import testing
from explainer.errors import TraceError, UnknownName
from explainer.testing.summary import summarise
from explainer.trace import Trace


def recorded(
    model: nn.Module,
    *,
    steps: int = 3,
    learning_rate: float = 0.1,
    criterion: nn.Module | None = None,
    inputs: torch.Tensor | None = None,
    **options: Any,
) -> Trace:
    """Train on random numbers, three classes, the same every time."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(32, 8, generator=generator) if inputs is None else inputs
    targets = torch.randint(0, 3, (len(inputs),), generator=generator)
    criterion = criterion or nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate)
    with explainer.record(model, criterion=criterion, optimizer=optimizer, **options) as recorder:
        for _ in range(steps):
            optimizer.zero_grad()
            criterion(model(inputs), targets).backward()
            optimizer.step()
    return recorder.trace


def healthy() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3))


def deep(activation: Callable[[], nn.Module]) -> nn.Sequential:
    torch.manual_seed(0)
    blocks = [layer for _ in range(12) for layer in (nn.Linear(8, 8), activation())]
    return nn.Sequential(*blocks, nn.Linear(8, 3))


def with_dead_units(*units: int) -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.LeakyReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3))
    with torch.no_grad():
        model[2].bias[list(units)] = -100
        model[2].bias[[unit for unit in range(16) if unit not in units]] = 3  # open for some example or other
    return model


@pytest.fixture(scope="module")
def trace() -> Trace:
    return recorded(healthy(), examples=None)


# ── All of them ──────────────────────────────────────────────────────────────────────────────────────────────────

OF_A_TRACE = [
    testing.assert_gradients_flow,
    testing.assert_no_dead_units,
    testing.assert_finite,
    testing.assert_chain_rule,
    testing.assert_updates_match,
]


@pytest.mark.parametrize("assertion", OF_A_TRACE)
def test_a_healthy_run_passes(trace: Trace, assertion: Callable[[Trace], object]) -> None:
    assertion(trace)


@pytest.mark.parametrize("assertion", OF_A_TRACE)
@pytest.mark.filterwarnings("ignore:no step was recorded")
def test_no_assertion_passes_on_a_trace_without_steps(assertion: Callable[[Trace], object]) -> None:
    with pytest.raises(AssertionError, match="step"):
        assertion(recorded(healthy(), steps=0))


@pytest.mark.parametrize("assertion", OF_A_TRACE[:3])
def test_a_choice_of_no_step_is_no_success(trace: Trace, assertion: Callable[..., object]) -> None:
    with pytest.raises(AssertionError, match="steps= chooses no step"):
        assertion(trace, steps=[])
    with pytest.raises(AssertionError, match="no layer was recorded or chosen"):
        assertion(trace, layers=[])


@pytest.mark.parametrize("assertion", OF_A_TRACE[:3])
def test_a_layer_or_step_that_is_not_there_names_the_nearest(trace: Trace, assertion: Callable[..., object]) -> None:
    with pytest.raises(UnknownName, match=r"no layer is called '33'. Did you mean '3'"):
        assertion(trace, layers="33")
    with pytest.raises(TraceError, match="step 7 was not recorded; the nearest is 2"):
        assertion(trace, steps=[0, 7])


def test_the_failure_points_at_the_line_of_the_test(trace: Trace) -> None:
    with pytest.raises(AssertionError) as caught:
        testing.assert_gradients_flow(trace, minimum=1e9)
    hidden = [entry.locals.get("__tracebackhide__", False) for entry in caught.traceback]
    assert hidden == [False, True]


# ── Gradients ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_vanishing_gradient_names_layer_step_and_both_numbers() -> None:
    trace = recorded(deep(nn.Sigmoid))
    norms = {layer: trace.statistics["gradients"][layer]["norm"][0] for layer in trace.layers}
    below = [layer for layer, norm in norms.items() if norm < 1e-6]
    assert below[0] == "0"  # the sickness: what arrives at the input is next to nothing
    worst = below[-1]
    with pytest.raises(AssertionError) as caught:
        testing.assert_gradients_flow(trace, minimum=1e-6)
    said = str(caught.value).splitlines()
    assert said[0] == (
        f"layer {worst!r} ({trace.model.layers[worst].type}), step 0: the gradient's norm is {norms[worst]:.3g}, "
        f"wanted at least 1e-06 ({len(below) - 1} other layers too)"
    )
    assert any(re.fullmatch(rf"  {worst} +\w+ +{norms[worst]:.3g} +too small", line) for line in said)
    assert said[-1].startswith("Look next at: initialisation, activation functions that saturate")


def test_what_vanishes_below_a_layer_does_not_touch_the_layers_above() -> None:
    trace = recorded(deep(nn.Sigmoid))
    testing.assert_gradients_flow(trace, minimum=1e-6, layers=["2[0-4]", "22"])
    with pytest.raises(AssertionError, match=r"layer '0' \(Linear\), step 2"):
        testing.assert_gradients_flow(trace, minimum=1e-6, layers="0", steps=-1)


def test_a_deep_network_of_relus_keeps_its_gradient() -> None:
    model = deep(nn.ReLU)
    for layer in model[::2]:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    testing.assert_gradients_flow(recorded(model), minimum=1e-4)


class Cut(nn.Module):
    """A network whose first layer is cut off from the loss, and which holds layers that it never calls."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.unused, self.idle, self.last = nn.Linear(8, 8), nn.Linear(2, 2), nn.ReLU(), nn.Linear(8, 3)

    def forward(self, inputs: torch.Tensor) -> Any:
        return self.last(self.first(inputs).detach())


def test_a_layer_without_gradient_fails_with_the_reason_of_the_trace() -> None:
    trace = recorded(Cut())
    with pytest.raises(AssertionError) as caught:
        testing.assert_gradients_flow(trace, layers="first")
    assert "layer 'first' (Linear), step 0: there is no gradient, wanted at least 1e-08" in str(caught.value)
    assert trace.missing["first"] in str(caught.value)
    with pytest.raises(AssertionError, match=r"'unused'.*the layer was not called"):
        testing.assert_gradients_flow(trace, layers="unused")
    with pytest.raises(AssertionError, match=r"\(1 other layer too\)"):
        testing.assert_gradients_flow(trace)  # "first" and "unused"; "idle" has nothing to learn
    testing.assert_gradients_flow(trace, layers="last")


def test_a_gradient_of_exactly_zero_is_told_from_a_small_one() -> None:
    model = with_dead_units(*range(16))
    with pytest.raises(
        AssertionError, match=r"layer '2' \(Linear\), step 0: the gradient is exactly zero.*\n(.*\n)*.*dead units"
    ):
        testing.assert_gradients_flow(recorded(model))


def test_a_gradient_that_is_not_finite_fails() -> None:
    model = healthy()
    with torch.no_grad():
        model[3].weight[0, 0] = torch.inf
    with pytest.raises(AssertionError, match=r"values of the gradient are not finite .*wanted 0"):
        testing.assert_gradients_flow(recorded(model, steps=1))


class Reading(nn.Module):
    """A recurrent network of which only the last state is used, with layers that pass their input on."""

    def __init__(self) -> None:
        super().__init__()
        self.same, self.read, self.drop, self.last = (
            nn.Identity(),
            nn.LSTM(2, 5, batch_first=True),
            nn.Dropout(0),
            nn.Linear(5, 3),
        )

    def forward(self, inputs: torch.Tensor) -> Any:
        _, (hidden, _) = self.read(self.same(inputs.reshape(-1, 4, 2)))
        return self.last(self.drop(hidden[0]))


def test_layers_to_which_no_gradient_is_due_are_left_out_unless_they_are_named(trace: Trace) -> None:
    reading = recorded(Reading())
    assert "read" in reading.missing  # its first output, which nobody uses; the state has a gradient
    testing.assert_gradients_flow(reading)
    testing.assert_gradients_flow(reading, layers="read")
    with pytest.raises(AssertionError, match=r"'same'.*there is no gradient"):
        testing.assert_gradients_flow(reading, layers="same")
    with pytest.raises(AssertionError, match=r"'0' \(Flatten\).*the output does not require one"):
        testing.assert_gradients_flow(trace, layers="0")


def test_a_layer_that_passes_its_input_on_answers_for_the_tensor() -> None:
    torch.manual_seed(0)
    trace = recorded(nn.Sequential(nn.Linear(8, 4), nn.Identity(), nn.Linear(4, 3)))
    assert trace.aliases == {"1": "0"}
    testing.assert_gradients_flow(trace, layers="1")
    with pytest.raises(AssertionError, match=r"layer '1' \(Identity\)(.*\n)*.*passes on what '0' gave"):
        testing.assert_gradients_flow(trace, layers="1", minimum=100)


class Borrowing(nn.Module):
    """Uses a layer's parameters without calling it, as attention does with its output projection."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.lent = nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, inputs: torch.Tensor) -> Any:
        return nn.functional.linear(self.first(inputs), self.lent.weight, self.lent.bias)


def test_a_layer_that_is_used_without_being_called_is_judged_by_its_parameters() -> None:
    trace = recorded(Borrowing())
    assert "lent" not in trace.layers
    testing.assert_gradients_flow(trace)
    with pytest.raises(AssertionError, match=r"lent +Linear +\S+ +too small +of its parameters: it was not called"):
        testing.assert_gradients_flow(trace, layers="lent", minimum=100)


def test_gradients_flow_through_attention() -> None:
    torch.manual_seed(0)
    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = nn.Sequential(nn.Unflatten(1, (2, 8)), encoder, nn.Flatten(), nn.Linear(16, 3))
    testing.assert_gradients_flow(recorded(model, inputs=torch.randn(16, 16)))


# ── Units ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_dead_units_are_named_with_what_the_verdict_stands_on() -> None:
    trace = recorded(with_dead_units(2, 5), examples=None)
    with pytest.raises(AssertionError) as caught:
        testing.assert_no_dead_units(trace)
    said = str(caught.value)
    assert said.startswith(
        "layer '3' (ReLU), steps 0 to 2 (3 recorded): 2 of 16 units are dead, wanted at most 0: always zero: 2, 5.\n"
        "All 96 examples were looked at. Units lie along axis 1 of 32×16."
    )
    assert "Look next at: the learning rate" in said
    testing.assert_no_dead_units(trace, maximum=2 / 16)
    testing.assert_no_dead_units(trace, layers=["0", "1", "2"])
    with pytest.raises(AssertionError, match="2 of 16 units are dead, wanted at most 1"):
        testing.assert_no_dead_units(trace, maximum=0.1)


def test_where_only_some_examples_were_kept_the_message_says_how_many() -> None:
    with pytest.raises(
        AssertionError, match=r"Only the 24 of 96 examples that were kept were looked at.*examples=None"
    ):
        testing.assert_no_dead_units(recorded(with_dead_units(2, 5), examples=8))


def test_a_unit_that_answers_to_one_example_is_alive() -> None:
    model = with_dead_units(2)
    inputs = torch.randn(32, 8, generator=torch.Generator().manual_seed(1))
    inputs[31] = 1000.0  # the last example opens what is closed to all others
    with torch.no_grad():
        model[2].weight[2] = model[1](model[0](inputs[31])).sign()
    testing.assert_no_dead_units(recorded(model, inputs=inputs, steps=1, examples=None), layers="3")
    with pytest.raises(AssertionError, match=r"always zero: 2\.\nOnly the 8 of 32 examples"):
        testing.assert_no_dead_units(recorded(with_dead_units(2), inputs=inputs[:32], steps=1), layers="3")


def test_a_saturated_unit_is_dead_although_it_is_not_zero() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 4), nn.Sigmoid(), nn.Linear(4, 3))
    with torch.no_grad():
        model[0].bias[3] = 1000
    with pytest.raises(AssertionError, match=r"layer '1' \(Sigmoid\).*: 3 \(always 1\)\.\n(.*\n)*.*saturate"):
        testing.assert_no_dead_units(recorded(model, examples=None))


def test_pixels_that_are_always_black_are_no_dead_units_unless_asked() -> None:
    inputs = torch.randn(32, 8)
    inputs[:, 0] = 0
    trace = recorded(healthy(), inputs=inputs)
    testing.assert_no_dead_units(trace)
    with pytest.raises(AssertionError, match=r"layer '0' \(Flatten\).*always zero: 0"):
        testing.assert_no_dead_units(trace, layers="0")


def test_units_that_dropout_drops_are_not_dead() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 64), nn.Dropout(0.9), nn.Linear(64, 3))
    trace = recorded(model, examples=2)
    testing.assert_no_dead_units(trace)
    with pytest.raises(AssertionError, match=r"layer '1' \(Dropout\)"):
        testing.assert_no_dead_units(trace, layers="1")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"keep": ()}, r"keeps no activations.*record with keep=\(\"activations\""),
        ({"examples": 1, "steps": 1}, "one does not say what a unit does for others"),
    ],
)
def test_what_cannot_be_told_of_units_does_not_pass(options: dict[str, Any], said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        testing.assert_no_dead_units(recorded(healthy(), **options))


def test_a_layer_never_called_has_no_units_to_pass() -> None:
    with pytest.raises(AssertionError, match="'unused': no activation: the layer was not called"):
        testing.assert_no_dead_units(recorded(Cut()), layers="unused")


# ── Finite ───────────────────────────────────────────────────────────────────────────────────────────────────────


class Log(nn.Module):
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs.clamp_min(0).log()


class Root(nn.Module):
    """√x², whose derivative at 0 is NaN while the value is not."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return (inputs * 0).square().sqrt() + inputs


def with_infinite_weight() -> nn.Module:
    model = healthy()
    with torch.no_grad():
        model[1].weight[0, 0] = torch.inf
    return model


class InfiniteLoss(nn.Module):
    def forward(self, output: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(output, targets) + torch.inf


@pytest.mark.parametrize(
    ("model", "options", "said"),
    [
        (
            nn.Sequential(nn.Linear(8, 16), Log(), nn.Linear(16, 3)),
            {},
            r"layer '1' \(Log\), step 0: \d+ values of the activation are not finite, wanted 0. It began here: "
            r"the first recorded step.*\n(.*\n)*.*1 +Log +inf +\d+ not finite\n(.*\n)*Look next at: .*log\(0\)",
        ),
        (
            nn.Sequential(nn.Linear(8, 16), Root(), nn.Linear(16, 3)),
            {},
            r"layer '0' \(Linear\), step 0: \d+ values of the gradient are not finite(.*\n)*.*sqrt or norm at 0",
        ),
        (
            healthy(),
            {"criterion": InfiniteLoss()},
            r"the loss, step 0, computed from layer '3': it is inf, wanted a finite number(.*\n)*.*the loss function",
        ),
        (
            with_infinite_weight(),
            {},
            r"layer '1' \(Linear\), step 0: 1 value of the parameter '1.weight' is not finite(.*\n)*.*checkpoint",
        ),
        (
            healthy(),
            {"learning_rate": 1e38},
            r"the loss, step 1, computed from layer '3': it is inf.*It began here\. The losses before: 1\.\d+\.",
        ),
        (
            healthy(),
            {"learning_rate": 1e38, "every": 2, "steps": 5},
            r"step 2: .*It began here, or after step 0, the last recorded before",
        ),
        (
            healthy(),
            {"learning_rate": float("inf")},
            r"step 0: .* of the update '1.weight' are not finite(.*\n)*.*the optimizer",
        ),
    ],
    ids=["activation", "gradient", "loss", "parameter", "diverged", "between recorded steps", "update"],
)
def test_what_is_not_finite_is_named_where_it_began(model: nn.Module, options: dict[str, Any], said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        testing.assert_finite(recorded(copy.deepcopy(model), **options))


def test_a_late_step_that_is_asserted_leads_back_to_where_it_began() -> None:
    trace = recorded(healthy(), learning_rate=1e38, steps=5)
    testing.assert_finite(trace, steps=0)
    with pytest.raises(AssertionError, match=r"step 1, .*It began here\. "):
        testing.assert_finite(trace, steps=-1)


def test_layers_that_are_not_chosen_may_be_infinite() -> None:
    trace = recorded(with_infinite_weight(), steps=1)
    testing.assert_finite(trace, layers="3")  # tanh makes ±1 of ±∞
    with pytest.raises(AssertionError, match=r"layer '1' \(Linear\), step 0: 1 value of the parameter"):
        testing.assert_finite(trace, layers=["1", "3"])


@pytest.mark.filterwarnings("ignore:no backward pass was seen")
def test_a_run_without_backward_or_without_loss_cannot_be_called_finite() -> None:
    model = healthy()
    with explainer.record(model) as recorder:
        model(torch.ones(2, 8))
        recorder.step(1.0)
    with pytest.raises(AssertionError, match=r"holds no gradient.*no backward pass was seen"):
        testing.assert_finite(recorder.trace)
    with explainer.record(model) as recorder:
        model(torch.ones(2, 8)).sum().backward()
        recorder.step()
    with pytest.raises(AssertionError, match=r"holds no loss.*recorder.log\(loss=loss\)"):
        testing.assert_finite(recorder.trace)


# ── What explainer.verify finds ──────────────────────────────────────────────────────────────────────────────────


class WrongTanh(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, inputs: torch.Tensor) -> torch.Tensor:
        output = inputs.tanh()
        context.save_for_backward(output)
        return output

    @staticmethod
    def backward(context: Any, incoming: torch.Tensor) -> torch.Tensor:
        (output,) = context.saved_tensors
        return incoming * (1 - output)  # the square is forgotten


class Tanh(nn.Module):
    def forward(self, inputs: torch.Tensor) -> Any:
        return WrongTanh.apply(inputs)


def test_a_derivative_that_is_wrong_breaks_the_chain_rule() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), Tanh(), nn.Linear(16, 3))
    with pytest.raises(AssertionError, match=r"'0'.*step 0: recorded .*, expected (.*\n)*.*DIFFERS") as caught:
        testing.assert_chain_rule(recorded(model))
    assert "Look next at" in str(caught.value)


def test_an_optimizer_that_does_more_than_its_rule_is_found_out() -> None:
    model = healthy()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    optimizer.register_step_post_hook(lambda *_: model[1].weight.data.clamp_(-0.1, 0.1))
    with explainer.record(model, criterion=(criterion := nn.CrossEntropyLoss()), optimizer=optimizer) as recorder:
        criterion(model(torch.randn(4, 8)), torch.tensor([0, 1, 2, 0])).backward()
        optimizer.step()
    with pytest.raises(AssertionError, match=r"'1.weight'.*step 0: recorded .*, expected (.*\n)*.*DIFFERS"):
        testing.assert_updates_match(recorder.trace)


@pytest.mark.parametrize(
    ("optimizer", "options", "said"),
    [
        (torch.optim.Adam, {"every": 2}, r"2 of 3 steps could not be judged, first of step 2: Adam remembers earlier"),
        (type("Own", (torch.optim.SGD,), {}), {}, r"4 of 4 steps .* of step 0: Own is not one of torch's own"),
        (torch.optim.SGD, {"keep": ("updates",)}, r"nothing could be judged|keeps no parameters"),
    ],
)
def test_updates_that_nobody_could_judge_do_not_pass(optimizer: Any, options: dict[str, Any], said: str) -> None:
    model, criterion = healthy(), nn.CrossEntropyLoss()
    descent = optimizer(model.parameters(), lr=0.1)
    with explainer.record(model, criterion=criterion, optimizer=descent, **options) as recorder:
        for _ in range(5 if "every" in options else 4):
            descent.zero_grad()
            criterion(model(torch.ones(4, 8)), torch.tensor([0, 1, 2, 0])).backward()
            descent.step()
    with pytest.raises(AssertionError, match=said):
        testing.assert_updates_match(recorder.trace)


class Shy(nn.Module):
    """Computes something else when somebody listens."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(8, 3)

    def forward(self, inputs: torch.Tensor) -> Any:
        return self.last(inputs * (2 if self.last._forward_hooks else 1))


def test_captures_match_unless_the_model_computes_something_else_when_it_is_recorded() -> None:
    batch = torch.randn(6, 8), torch.randint(0, 3, (6,))
    assert testing.assert_captures_match(healthy(), nn.CrossEntropyLoss(), batch).ok
    assert testing.assert_captures_match(healthy(), nn.CrossEntropyLoss(), batch, layers="3").ok
    with pytest.raises(AssertionError, match=r"step 0: recorded .*, expected "):
        testing.assert_captures_match(Shy(), nn.CrossEntropyLoss(), batch)


# ── The summary under a failed test ──────────────────────────────────────────────────────────────────────────────


def test_a_summary_tells_steps_loss_what_is_missing_and_gradients(tmp_path: Path) -> None:
    trace = recorded(Cut(), path=tmp_path / "run")
    losses = trace.scalars["loss"]
    norm = trace.statistics["gradients"]["last"]["norm"][-1]
    lines = summarise(trace).splitlines()
    assert lines[0] == "Cut: 3 recorded steps, 0 to 2"
    assert f"loss: {losses[0]:.3g} → {losses[-1]:.3g}" in lines
    assert f"missing: unused: {trace.missing['unused']}" in lines
    assert f"  last   Linear  {norm:.3g}" in lines
    assert "  first  Linear  none" in lines


@pytest.mark.filterwarnings("ignore:no step was recorded")
def test_a_summary_of_nothing_says_why() -> None:
    assert summarise(recorded(healthy(), steps=0)).startswith("Sequential: no step was recorded: no step was recorded")
