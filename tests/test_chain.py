"""The chain rule by hand, against torch.autograd and against numpy written out for the lecture's network."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import explainer
from explainer import chain, operations
from explainer.errors import TraceError
from explainer.lessons import record_lesson


def recorded(
    model: nn.Module, criterion: nn.Module, inputs: torch.Tensor, targets: torch.Tensor, **options: Any
) -> explainer.Trace:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with explainer.record(model, criterion=criterion, optimizer=optimizer, **options) as recorder:
        for _ in range(2):
            optimizer.zero_grad()
            criterion(model(inputs), targets).backward()
            optimizer.step()
    return recorder.trace


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def classes(count: int, among: int) -> torch.Tensor:
    return torch.randint(among, (count,), generator=torch.Generator().manual_seed(1))


# ── Each operation against torch ────────────────────────────────────────────────────────────────────────────────

LAYERS: dict[str, Callable[[], nn.Module]] = {
    "Linear": lambda: nn.Linear(5, 3).double(),
    "Sigmoid": nn.Sigmoid,
    "Tanh": nn.Tanh,
    "ReLU": nn.ReLU,
    "Softmax": lambda: nn.Softmax(dim=-1),
    "LogSoftmax": lambda: nn.LogSoftmax(dim=-1),
}


def test_every_operation_is_compared_with_torch() -> None:
    assert LAYERS.keys() == operations.LAYERS.keys()


@pytest.mark.parametrize("kind", LAYERS)
def test_an_operation_passes_on_what_torch_passes_on(kind: str) -> None:
    module, x, incoming = LAYERS[kind](), random(4, 5).requires_grad_(), None
    y = module(x)
    incoming = random(*y.shape, seed=2)
    y.backward(incoming)

    parameters = {name: value.detach().numpy() for name, value in module.named_parameters()}
    applied = operations.LAYERS[kind](x.detach().numpy(), **parameters)

    assert x.grad is not None
    np.testing.assert_allclose(applied.output, y.detach().numpy(), rtol=0, atol=1e-14)
    np.testing.assert_allclose(applied.local.times(incoming.numpy()), x.grad.numpy(), rtol=0, atol=1e-14)
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None
        by_hand = applied.parameters[name](incoming.numpy())
        np.testing.assert_allclose(by_hand, parameter.grad.numpy(), rtol=0, atol=1e-14)


@pytest.mark.parametrize("kind", LAYERS)
def test_a_local_derivative_is_the_jacobian_of_torch(kind: str) -> None:
    module, x = LAYERS[kind](), random(5)
    parameters = {name: value.detach().numpy() for name, value in module.named_parameters()}
    local = operations.LAYERS[kind](x.numpy()[None], **parameters).local
    jacobian = torch.autograd.functional.jacobian(module, x)  # (output, input)

    values = {"Elementwise": lambda: np.diag(local.values[0]), "Matrix": lambda: local.values}
    by_hand = values.get(type(local).__name__, lambda: local.values[0])()
    np.testing.assert_allclose(by_hand, jacobian.numpy(), rtol=0, atol=1e-15)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(
    ("kind", "target"),
    [(nn.MSELoss, random(6, 4, seed=3)), (nn.NLLLoss, classes(6, 4)), (nn.CrossEntropyLoss, classes(6, 4))],
)
def test_a_loss_and_its_derivative_are_torchs(kind: type[nn.Module], target: torch.Tensor, reduction: str) -> None:
    prediction = random(6, 4).requires_grad_()
    loss = kind(reduction=reduction)(prediction, target)
    loss.backward()
    n = 1.0 if reduction == "sum" else 24.0 if kind is nn.MSELoss else 6.0

    by_hand = operations.LOSSES[kind.__name__](prediction.detach().numpy(), target.numpy(), n)

    assert prediction.grad is not None
    np.testing.assert_allclose(by_hand.output, loss.item(), rtol=1e-14)
    np.testing.assert_allclose(by_hand.local.times(np.array(1.0)), prediction.grad.numpy(), rtol=0, atol=1e-15)


def test_the_sigmoid_of_a_large_number_warns_of_nothing() -> None:
    applied = operations.sigmoid(np.array([-1000.0, 0.0, 1000.0]))
    assert applied.output.tolist() == [0.0, 0.5, 1.0]
    assert applied.local.values.tolist() == [0.0, 0.25, 0.0]


def test_log_softmax_walks_on_where_the_logarithm_of_softmax_falls() -> None:
    applied = operations.log_softmax(np.array([[0.0, 200.0]], np.float32))
    assert applied.output.tolist() == [[-200.0, 0.0]]


# ── A recorded step ─────────────────────────────────────────────────────────────────────────────────────────────


def lectures_chain_rule(trace: explainer.Trace, index: int) -> dict[str, np.ndarray]:
    """The lecture's network written out by hand, with nothing of explainer but the recorded weights and example."""
    x, y = trace.inputs[index][0], trace.targets[index][0]
    W1, b1, W2, b2 = (trace.parameters[name][index] for name in ("L1.weight", "L1.bias", "L2.weight", "L2.bias"))
    L1 = W1 @ x + b1
    S = 1 / (1 + np.exp(-L1))
    L2 = W2 @ S + b2
    dL2 = 2 * (L2 - y)  # ℓ = (L2 − y)²
    dS = W2.T @ dL2
    dL1 = dS * S * (1 - S)
    return {
        "loss": (L2 - y) ** 2, "L1": L1, "S": S, "L2": L2, "∂L2": dL2, "∂S": dS, "∂L1": dL1,
        "L2.weight": np.outer(dL2, S), "L2.bias": dL2, "L1.weight": np.outer(dL1, x), "L1.bias": dL1,
    }  # fmt: skip


@pytest.mark.parametrize("step", [0, 1, 12, 63, 64, 150, 199])
def test_recorded_gradients_are_the_lectures_chain_rule_to_1e12(step: int) -> None:
    trace = record_lesson("two-layer")
    by_hand, worked_out = lectures_chain_rule(trace, step), chain.work_out(trace, step)

    for layer in ("L1", "S", "L2"):
        np.testing.assert_allclose(trace.activations[layer][step][0], by_hand[layer], rtol=0, atol=1e-12)
        np.testing.assert_allclose(trace.gradients[layer][step][0], by_hand[f"∂{layer}"], rtol=0, atol=1e-12)
        np.testing.assert_allclose(worked_out.gradients[layer][0], by_hand[f"∂{layer}"], rtol=0, atol=1e-12)
    for name in ("L1.weight", "L1.bias", "L2.weight", "L2.bias"):
        np.testing.assert_allclose(trace.parameter_gradients[name][step], by_hand[name], rtol=0, atol=1e-12)
        np.testing.assert_allclose(worked_out.parameter_gradients[name], by_hand[name], rtol=0, atol=1e-12)
    np.testing.assert_allclose(trace.scalars["loss"][step], by_hand["loss"][0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(worked_out["loss"].output, by_hand["loss"][0], rtol=0, atol=1e-12)


def test_new_weights_are_the_old_less_alpha_times_the_gradient_exactly_as_torch_rounds_it() -> None:
    trace = record_lesson("two-layer")
    rates = trace.scalars["learning_rate"]
    for name in trace.parameters:
        W, G = np.asarray(trace.parameters[name]), np.asarray(trace.parameter_gradients[name])
        for step in range(len(trace) - 1):
            torchs = torch.add(torch.from_numpy(W[step]), torch.from_numpy(G[step]), alpha=-float(rates[step]))
            np.testing.assert_array_equal(W[step + 1], torchs.numpy())


def test_what_one_operation_passes_on_is_what_the_next_receives() -> None:
    worked_out = list(chain.work_out(record_lesson("two-layer"), 12))
    assert [operation.name for operation in worked_out] == ["loss", "L2", "S", "L1"]
    for operation, following in itertools.pairwise(worked_out):
        assert following.incoming is operation.outgoing
    assert worked_out[0].incoming == 1.0


def deep_model() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 6, bias=False), nn.ReLU(), nn.Linear(6, 4), nn.Softmax(dim=1)]
    return nn.Sequential(*layers, nn.Linear(4, 4), nn.LogSoftmax(dim=1)).double()


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_deep_network_and_a_batch_agree_with_autograd(reduction: str) -> None:
    trace = recorded(deep_model(), nn.NLLLoss(reduction=reduction), random(7, 3), classes(7, 4), examples=None)
    worked_out = chain.work_out(trace)

    assert worked_out.whole
    assert tuple(worked_out.gradients) == trace.layers
    for layer, gradient in worked_out.gradients.items():
        np.testing.assert_allclose(gradient, trace.gradients[layer][-1], rtol=0, atol=1e-14)
    assert worked_out.parameter_gradients.keys() == trace.parameter_gradients.keys()
    for name, gradient in worked_out.parameter_gradients.items():
        np.testing.assert_allclose(gradient, trace.parameter_gradients[name][-1], rtol=0, atol=1e-14)


def test_the_first_examples_of_a_larger_batch_are_followed_to_the_input_but_not_summed() -> None:
    trace = recorded(deep_model(), nn.NLLLoss(), random(7, 3), classes(7, 4), examples=2)
    worked_out = chain.work_out(trace)

    assert not worked_out.whole
    assert worked_out.parameter_gradients == {}
    for layer, gradient in worked_out.gradients.items():
        assert gradient.shape[0] == 2
        np.testing.assert_allclose(gradient, trace.gradients[layer][-1], rtol=0, atol=1e-14)


def test_a_run_that_diverged_tells_that_its_batch_is_unknown() -> None:
    trace = recorded(deep_model(), nn.MSELoss(), random(7, 3) * float("nan"), random(7, 4), examples=2)
    with pytest.raises(TraceError, match="step 1 has a prediction or a gradient of the loss that is not finite"):
        chain.work_out(trace)


def test_the_digits_lesson_agrees_in_float32_also_where_a_batch_is_smaller() -> None:
    trace = record_lesson("digits", steps=23)
    last = int(trace.steps[-1])
    assert last == 22  # 1,437 images are 22 batches of 64 and one of 29
    for step in (0, last):
        for layer, gradient in chain.work_out(trace, step).gradients.items():
            np.testing.assert_allclose(gradient, trace.gradients[layer][trace.index_of(step)], rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("step", [0, 12, 13, 150])
def test_the_loss_after_the_update_is_the_probes_at_the_next_step(step: int) -> None:
    trace = record_lesson("two-layer")
    assert trace.probe is not None
    assert trace.probe.targets is not None
    example = step % 64
    prediction, target = trace.probe.activations["L2"][step + 1][example], trace.probe.targets[example]
    np.testing.assert_allclose(chain.loss_after(trace, step), ((prediction - target) ** 2).mean(), rtol=1e-12)


def test_the_loss_after_the_update_is_worked_out_where_no_probe_saw_it() -> None:
    trace = recorded(deep_model(), nn.NLLLoss(), random(7, 3), classes(7, 4), examples=None)
    np.testing.assert_allclose(chain.loss_after(trace, 0), trace.scalars["loss"][1], rtol=1e-14)


def test_the_loss_after_the_update_needs_the_whole_batch() -> None:
    trace = recorded(deep_model(), nn.NLLLoss(), random(7, 3), classes(7, 4), examples=2)
    with pytest.raises(TraceError, match="record with examples=None"):
        chain.loss_after(trace)


# ── What it cannot do is said ───────────────────────────────────────────────────────────────────────────────────


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.a(x)
        return torch.as_tensor(self.c(y + self.b(y)))


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.b(2 * self.a(x)))


@pytest.mark.parametrize(
    ("model", "criterion", "complaint"),
    [
        (nn.Sequential(nn.Linear(3, 3), nn.GELU()), nn.MSELoss(), r"layer '1' is a GELU, .* Linear, Sigmoid"),
        (nn.Sequential(nn.Linear(3, 3), nn.Softmax(dim=0)), nn.MSELoss(), r"layer '1' \(Softmax\) is over dimension 0"),
        (nn.Sequential(nn.Linear(3, 3)), nn.L1Loss(), r"the loss is a L1Loss, .* MSELoss"),
        (Residual(), nn.MSELoss(), r"layer 'c' \(Linear\) is fed by .*b.*, not by b alone"),
        (Scaled(), nn.MSELoss(), r"layer 'b' \(Linear\) did not make its recorded output of a alone"),
    ],
)
def test_what_is_not_worked_out_by_hand_is_an_error_naming_layer_and_type(
    model: nn.Module, criterion: nn.Module, complaint: str
) -> None:
    trace = recorded(model.double(), criterion, random(4, 3), random(4, 3, seed=1))
    with pytest.raises(TraceError, match=complaint):
        chain.work_out(trace)


def test_smoothed_labels_are_refused() -> None:
    model = nn.Sequential(nn.Linear(3, 4)).double()
    trace = recorded(model, nn.CrossEntropyLoss(label_smoothing=0.1), random(4, 3), classes(4, 4))
    with pytest.raises(TraceError, match=r"CrossEntropyLoss.* smooths or ignores labels"):
        chain.work_out(trace)


def test_a_trace_without_a_loss_module_says_what_to_record() -> None:
    model = nn.Sequential(nn.Linear(3, 1)).double()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with explainer.record(model, optimizer=optimizer) as recorder:
        model(random(2, 3)).sum().backward()
        optimizer.step()
    with pytest.raises(TraceError, match=r"record with criterion=criterion"):
        chain.work_out(recorder.trace)
