"""What hooks recorded against zero probes: right on every kind of model, and every lie is found."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - its usual name
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence
from torch.utils.checkpoint import checkpoint

from explainer import verify
from explainer.errors import RecordingError, VerifyError
from explainer.verify import captured
from explainer.verify.zero_probes import Probes
from tests.altered import AlteredTrace, altered
from tests.networks import Residual, batch_for, mlp, seeded


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Tiny operations wait for each other's threads longer than they work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def classes(count: int, among: int = 3) -> torch.Tensor:
    return torch.randint(among, (count,), generator=torch.Generator().manual_seed(1))


class Net(nn.Module):
    """A first layer of 5 → 4, others by name, a head of 4 → 3, and a forward of one line."""

    def __init__(self, forward: Callable[..., Any], **layers: nn.Module) -> None:
        super().__init__()
        self._forward = forward
        for name, layer in {"first": nn.Linear(5, 4), **layers, "head": nn.Linear(4, 3)}.items():
            self.add_module(name, layer)

    def forward(self, *x: Any, **named: Any) -> Any:
        return self._forward(self, *x, **named)


@dataclass
class Two:
    left: torch.Tensor
    right: torch.Tensor


class Parts(nn.Module):
    """Returns two tensors in one of several structures."""

    def __init__(self, pack: Callable[..., Any]) -> None:
        super().__init__()
        self.pack = pack

    def forward(self, x: torch.Tensor) -> Any:
        return self.pack(x * 2, x * 3)


def words(model: Any, x: torch.Tensor) -> torch.Tensor:
    packed: PackedSequence = pack_padded_sequence(model.first(x), [3, 2, 1], batch_first=True)
    _, (hidden, _) = model.rnn(packed)
    return model.head(hidden[0])


def viewed(model: Any, x: torch.Tensor) -> torch.Tensor:
    y = model.first(x.reshape(3, 2, 5))
    F.relu_(y)
    return model.head(y.flatten(0, 1))


MODELS: dict[str, Any] = {
    "mlp with an activation in place": (mlp(), (12, 5)),
    "residual cnn": (Residual(), (12, 1, 6, 6)),
    "tuple": (Net(lambda n, x: n.head(sum(n.p(n.first(x)))), p=Parts(lambda a, b: (a, b))), (6, 5)),
    "dict": (Net(lambda n, x: n.head(n.p(n.first(x))["y"]), p=Parts(lambda a, b: {"x": a, "y": b})), (6, 5)),
    "nested": (Net(lambda n, x: n.head(n.p(n.first(x))[1][0]), p=Parts(lambda a, b: (a, [b]))), (6, 5)),
    "dataclass": (Net(lambda n, x: n.head(n.p(n.first(x)).right), p=Parts(Two)), (6, 5)),
    "second call": (Net(lambda n, x: n.head(n.r(n.b(n.r(n.first(x))))), r=nn.ReLU(), b=nn.Linear(4, 4)), (6, 5)),
    "alias": (Net(lambda n, x: n.head(n.i(y := n.first(x)) + y), i=nn.Identity()), (6, 5)),
    "packed sequence": (Net(words, rnn=nn.LSTM(4, 4, batch_first=True)), (3, 3, 5)),
    "attention": (Net(lambda n, x: n.head(n.a(y := n.first(x), y, y)[0]), a=nn.MultiheadAttention(4, 2, 0.1)), (6, 5)),
    "a view in place": (Net(viewed), (6, 5)),
    "integers": (Net(lambda n, x: n.head(n.first(x) * n.p(x)), p=Parts(lambda a, b: a.argmax(1, True))), (6, 5)),
    "minus zero": (Net(lambda n, x: n.head((1 / n.p(n.first(x))).sign()), p=Parts(lambda a, b: a * -0.0)), (6, 5)),
}  # fmt: skip


@pytest.mark.parametrize(("model", "shape"), MODELS.values(), ids=MODELS)
def test_every_recorded_tensor_is_judged_bit_by_bit(model: nn.Module, shape: tuple[int, ...]) -> None:
    report = verify.captures(model, nn.CrossEntropyLoss(), (normal(*shape), classes(shape[0])))
    assert {row.state for row in report.rows} <= {"equal", "alias", "missing"}
    for name in ("first", "head") if isinstance(model, Net) else ():
        assert {row.what for row in report.rows if row.name == name and row.state == "equal"} == {
            "activation", "gradient"
        }  # fmt: skip


def test_a_frozen_layers_missing_gradient_has_its_reason() -> None:
    model = nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 3))
    model[0].requires_grad_(False)
    report = verify.captures(model, nn.CrossEntropyLoss(), (normal(6, 5), classes(6)))
    reasons = {row.reason for row in report.rows if row.name == "0" and row.what == "gradient"}
    assert reasons == {"no gradient: the output does not require one"}


@pytest.mark.parametrize(
    ("forward", "criterion", "batch"),
    [
        (lambda n, x, y: n.head(n.first(x) + n.first(y)), F.cross_entropy, ((normal(6, 5), normal(6, 5)), classes(6))),
        (lambda n, *, x, by: n.head(n.first(x) * by), F.cross_entropy, ({"x": normal(6, 5), "by": 2}, classes(6))),
        (lambda n, x: {"a": n.head(n.first(x)).mean()}, lambda losses: sum(losses.values()), (normal(6, 5), None)),
        (lambda n, x: n.head(n.first(x.add_(1))), F.cross_entropy, (normal(6, 5), classes(6))),
        (lambda n, x: F.dropout(n.head(n.first(x)), 0.5), nn.CrossEntropyLoss(), (normal(6, 5), classes(6))),
    ],
    ids=["several inputs", "named inputs", "losses of its own", "changes its input", "random numbers"],
)  # fmt: skip
def test_models_are_called_as_their_batch_says(forward: Callable[..., Any], criterion: Any, batch: Any) -> None:
    before = [each.clone() for each in batch[0]] if isinstance(batch[0], tuple) else None
    assert verify.captures(Net(forward), criterion, batch).ok
    if before:
        assert all(torch.equal(was, now) for was, now in zip(before, batch[0], strict=True))


class Remembering(nn.Module):
    """Counts its calls, keeps its last output, and takes random numbers from everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm, self.drop = nn.Linear(5, 3), nn.BatchNorm1d(3), nn.Dropout(0.5)
        self.calls, self.last = 0, None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        x = self.linear(x) * (1 + random.random()) * float(np.random.rand())  # noqa: NPY002
        self.last = self.drop(self.norm(x))
        return self.last


@pytest.mark.parametrize("check", [verify.captures, verify.finite_differences])
def test_the_model_is_left_exactly_as_it_was(check: Callable[..., verify.Report]) -> None:
    model = Remembering()
    gradient = model.linear.weight.grad = normal(3, 5)
    before = {name: each.clone() for name, each in model.state_dict().items()}
    numbers = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    criterion = nn.CrossEntropyLoss()

    check(model, criterion, (normal(6, 5), classes(6)))

    assert all(torch.equal(before[name], each) for name, each in model.state_dict().items())
    assert model.linear.weight.grad is gradient and torch.equal(gradient, normal(3, 5))
    assert model.linear.bias.grad is None
    assert (model.calls, model.last, model.training) == (0, None, True)
    assert torch.equal(torch.get_rng_state(), numbers[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == numbers[1:]  # noqa: NPY002
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in (*model.modules(), criterion))


# ── It finds every lie ───────────────────────────────────────────────────────────────────────────────────────────


def lying(monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], Any]) -> None:
    """Let the recorder's trace be changed before it is judged."""
    told_truly = captured.RecordedStep.__call__

    def tell(step: Any) -> torch.Tensor:
        loss = told_truly(step)
        step.trace = change(step.trace)
        return loss

    monkeypatch.setattr(captured.RecordedStep, "__call__", tell)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda t: altered(t, "gradients", "0"), r"gradient of '0' \(Linear\), step 0: recorded .* at \[.*expected"),
        (lambda t: altered(t, "activations", "1"), r"activation of '1' \(ReLU\), step 0: recorded"),
        (lambda t: altered(t, "parameter_gradients", "2.bias"), r"parameter gradient of '2.bias', step 0: recorded"),
        (lambda t: altered(t, "scalars", "loss"), r"value of 'loss', step 0: recorded"),
        (lambda t: AlteredTrace(t, gradients={"2": t.gradients["2"]}), r"gradient of '0' .* gives no reason"),
        (lambda t: AlteredTrace(t, activations={}), r"activation of '0' .* gives no reason"),
        (lambda t: AlteredTrace(t, parameter_gradients={}), r"parameter gradient of '0.weight', .* gives no reason"),
        (lambda t: altered(AlteredTrace(t, aliases={"1": "0"}), "gradients", "1"), r"gradient of '1' \(ReLU\)"),
    ],
    ids=["gradient", "activation", "of parameter", "loss", "no gradient", "no activation", "of no parameter", "alias"],
)
def test_a_wrong_or_absent_number_is_named(
    change: Callable[[Any], Any], complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, batch = seeded(mlp), batch_for(mlp(), 0)
    verify.captures(model, nn.CrossEntropyLoss(), batch)
    lying(monkeypatch, change)
    with pytest.raises(VerifyError, match=complaint):
        verify.captures(model, nn.CrossEntropyLoss(), batch)


def test_what_was_never_recorded_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgets_a_layer(trace: Any) -> Any:
        model = AlteredTrace(trace.model, layers={name: trace.model.layers[name] for name in ("0", "2")})
        kept = {kind: {name: getattr(trace, kind)[name] for name in "02"} for kind in ("activations", "gradients")}
        return AlteredTrace(trace, model=model, layers=("0", "2"), **kept)

    lying(monkeypatch, forgets_a_layer)
    with pytest.raises(VerifyError, match=r"activation of '1' \(ReLU\), step 0: not recorded, and trace.missing"):
        verify.captures(seeded(mlp), nn.CrossEntropyLoss(), batch_for(mlp(), 0))


def test_training_that_the_recorder_changes_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def meddle(trace: Any) -> Any:
        model[0].weight.grad *= 2
        model[2].bias.grad = None
        return trace

    model = seeded(mlp)
    lying(monkeypatch, meddle)
    report = verify.captures(model, nn.CrossEntropyLoss(), batch_for(mlp(), 0), raises=False)
    assert [row.name for row in report.failures] == ["0.weight", "2.bias"]


def test_a_model_that_differs_from_run_to_run_is_not_blamed_on_a_layer() -> None:
    calls = iter(range(1, 100))
    model = Net(lambda n, x: n.head(n.first(x)) * next(calls))
    with pytest.raises(VerifyError, match="computes the same twice"):
        verify.captures(model, nn.CrossEntropyLoss(), (normal(6, 5), classes(6)))


# ── The zero probes themselves ───────────────────────────────────────────────────────────────────────────────────


def test_probes_read_what_autograd_says_of_the_tensors_between() -> None:
    first, head = nn.Linear(5, 4), nn.Linear(4, 3)
    middle = first(normal(6, 5)).relu()
    loss = F.cross_entropy(head(middle), classes(6))
    (expected,) = torch.autograd.grad(loss, middle)

    model = nn.Sequential(first, nn.ReLU(inplace=True), head)
    probes = Probes(layers=("0", "1", "2"))
    value = probes.run(model, lambda: F.cross_entropy(model(normal(6, 5)), classes(6)))
    assert torch.equal(value, loss)
    np.testing.assert_array_equal(probes.found["1"].gradient, expected.numpy())
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("reentrant", [False, True])
def test_probes_hear_what_checkpoints_compute_a_second_time(reentrant: bool) -> None:
    model = Net(lambda n, x: n.head(n.first(x)), b=nn.Linear(4, 4))
    batch = normal(6, 5).requires_grad_()

    def gradients(forward: Callable[[Any, torch.Tensor], torch.Tensor]) -> list[Any]:
        model._forward = forward
        probes = Probes(layers=("first", "b", "head"))
        probes.run(model, lambda: F.cross_entropy(model(batch), classes(6)))
        return [probes.found[name].gradient for name in ("first", "b", "head")]

    plain = gradients(lambda n, x: n.head(n.b(n.first(x)).tanh()))
    again = gradients(lambda n, x: n.head(checkpoint(lambda y: n.b(n.first(y)).tanh(), x, use_reentrant=reentrant)))
    for expected, found in zip(plain, again, strict=True):
        np.testing.assert_array_equal(found, expected)


# ── Wrong use ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("model", "criterion", "batch", "complaint"),
    [
        ("model", F.mse_loss, (1, 2), "model: str is no torch.nn.Module"),
        (mlp(), "loss", (1, 2), r"criterion: str cannot be called as criterion\(output, targets\)"),
        (mlp(), F.mse_loss, normal(2, 5), r"batch is \(inputs, targets\)"),
        (mlp(), lambda output, targets: output, (normal(2, 5), classes(2)), r"criterion returned \(2, 3\); a loss is"),
        (nn.Sequential(nn.LazyLinear(3)), F.mse_loss, (normal(2, 5), classes(2)), "'0.weight' has no shape yet"),
    ],
    ids=["model", "criterion", "batch", "loss", "lazy"],
)
def test_wrong_use_is_told(model: Any, criterion: Any, batch: Any, complaint: str) -> None:
    with pytest.raises(RecordingError, match=complaint):
        verify.captures(model, criterion, batch)


def test_some_layers_alone_can_be_judged() -> None:
    report = verify.captures(mlp(), nn.CrossEntropyLoss(), batch_for(mlp(), 0), layers="0")
    assert {row.name for row in report.rows if row.what in ("activation", "gradient")} == {"0"}


def doubles_a_part_in_place(n: Any, x: torch.Tensor) -> torch.Tensor:
    y = n.first(x)
    part = n.p(y)
    part *= 2  # changes y too
    return n.head(y)


def test_an_output_that_cannot_be_probed_is_named_and_the_others_are_judged() -> None:
    model = Net(doubles_a_part_in_place, p=Parts(lambda a, b: a))
    model.p.forward = lambda x: x[:, :2]
    report = verify.captures(model, nn.CrossEntropyLoss(), (normal(6, 5), classes(6)))
    states = {(row.name, row.what): row.state for row in report.rows}
    assert states["first", "gradient"] == states["head", "gradient"] == states["p", "activation"] == "equal"
    assert states["p", "gradient"] in ("cannot", "missing")
