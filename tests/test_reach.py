"""How much gradient reaches the first layers: each number is a recorded norm; what is said of a run follows from it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import explainer
from explainer.architecture import Model
from explainer.errors import ExplainerWarning, TraceError
from explainer.reach import GROWS, HOLDS, SHRINKS, Reach, Result, factor_range, reach, result
from explainer.trace import Trace
from tests import zoo


def recorded(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor, steps: int = 2) -> Trace:
    criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=0.01)
    with explainer.record(model, criterion=criterion, optimizer=optimizer, keep=()) as recorder:
        for _ in range(steps):
            optimizer.zero_grad()
            criterion(model(inputs), targets).backward()
            optimizer.step()
    return recorder.trace


def chain(*factors: float) -> tuple[nn.Sequential, torch.Tensor, torch.Tensor]:
    """Return a chain of 2×2 layers that multiply by these factors, and a batch of one."""
    layers = [nn.Linear(2, 2, bias=False) for _ in factors]
    for layer, factor in zip(layers, factors, strict=True):
        layer.weight.data = factor * torch.eye(2)
    return nn.Sequential(*layers), torch.tensor([[1e-4, 2e-4]]), torch.tensor([0])


@pytest.mark.parametrize(("factor", "trend"), [(0.25, SHRINKS), (1.0, HOLDS), (4.0, GROWS)])
def test_the_factor_between_neighbours_is_that_of_the_layer_in_between(factor: float, trend: str) -> None:
    found = reach(recorded(*chain(*[factor] * 5), steps=1))
    assert [bar.layer for bar in found.bars] == ["0", "1", "2", "3", "4"] and not found.grouped
    np.testing.assert_allclose(found.factors(0), [factor] * 4, rtol=1e-5)
    assert found.share(0) == pytest.approx(factor**4, rel=1e-5)
    assert found.trend(0) == trend


def test_norms_are_those_that_autograd_has_at_each_layer_with_weights() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 4))
    inputs, targets = torch.randn(5, 1, 6, 6), torch.arange(5) % 4
    first = model[0](inputs)
    first.retain_grad()
    last = model[4](model[3](model[2](model[1](first))))
    last.retain_grad()
    nn.CrossEntropyLoss()(last, targets).backward()
    found = reach(recorded(model, inputs, targets))
    assert [(bar.name, bar.type) for bar in found.bars] == [("0", "Conv2d"), ("4", "Linear")]
    np.testing.assert_allclose(found.norms[:, 0], [first.grad.norm(), last.grad.norm()], rtol=1e-5)


def test_a_resnet_of_sixty_layers_is_at_most_a_dozen_bars_in_forward_order() -> None:
    model, _ = zoo.classifier("resnet18")
    found = reach(recorded(model, torch.randn(2, 3, 32, 32), torch.tensor([0, 1]), steps=1))
    assert [bar.name for bar in found.bars] == [
        "conv1", "layer1.0", "layer1.1", "layer2.0", "layer2.1", "layer3.0", "layer3.1", "layer4.0", "layer4.1", "fc",
    ]  # fmt: skip
    assert found.grouped and sum(bar.layers for bar in found.bars) == 60
    trace_layers = [bar.layer for bar in found.bars]
    assert trace_layers[1] == "layer1.0.relu:1"  # a block's output is that of its second activation
    assert (found.norms > 0).all()


def test_a_frozen_part_says_why_it_has_no_gradient() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3), nn.Linear(3, 2))
    model[0].requires_grad_(False)
    found = reach(recorded(model, torch.randn(5, 4), torch.zeros(5, dtype=torch.long)))
    first, *others = found.at(0)
    assert first.missing == "no gradient: the output does not require one" and not any(each.missing for each in others)
    assert found.trend(0) == "" and found.share(0) is None
    assert factor_range(found.factors(0)) == pytest.approx([found.norms[1, 0] / found.norms[2, 0]] * 2)


def test_gradients_that_are_not_finite_are_counted_and_have_no_factor() -> None:
    model, inputs, targets = chain(1.0, 1.0, 1.0)
    found = reach(recorded(model, float("nan") * inputs, targets, steps=1))
    assert all(each.nonfinite and not each.drawable for each in found.at(0))
    assert factor_range(found.factors(0)) is None


def test_a_trace_without_a_backward_pass_is_told_so() -> None:
    model = nn.Linear(2, 2)
    recorder = explainer.record(model)
    with pytest.warns(ExplainerWarning, match="no backward pass"), recorder:  # noqa: PT031
        model(torch.ones(1, 2))
        recorder.step(torch.tensor(1.0))
    with pytest.raises(TraceError, match=r"holds no gradient: .*call loss\.backward\(\) while the recorder listens"):
        reach(recorder.trace)


def test_the_first_step_is_the_first_with_a_gradient() -> None:
    nan = np.nan
    found = Reach((), False, np.arange(3), np.zeros((2, 3)), np.array([[nan, nan, 0], [nan, 0, 0]]), {})
    assert found.first_step == 1


class Recorded:
    """A trace of numbers only."""

    def __init__(self, losses: list[float], **scalars: list[float]) -> None:
        kept = {"loss": losses, **scalars} if losses else scalars
        self.scalars = {name: np.array(values) for name, values in kept.items()}
        self.notes: dict[str, object] = {"classes": [str(digit) for digit in range(10)]}
        self.model = Model()


@pytest.mark.parametrize(
    ("losses", "scalars", "expected"),
    [
        ([2.3] * 10, {"test_accuracy": [0.1, 0.09]}, ("test accuracy", 0.09, "no better than guessing", False)),
        ([2.3] * 10, {"test_accuracy": [0.1, 0.97, np.nan]}, ("test accuracy", 0.97, "learns", True)),
        ([2.3] * 10, {"train_accuracy": [9.0], "val_accuracy": [88.0]}, ("val accuracy", 88.0, "learns", True)),
        ([2.0, 1.9, 2.1, 2.0, 1.95], {}, ("loss", 1.95, "its loss hardly falls", False)),
        ([2.0, 1.0, 0.5, 0.4, 0.3], {}, ("loss", 0.3, "learns", True)),
        ([2.0, 2.5, 3.0, 3.5, 4.0], {}, ("loss", 4.0, "its loss rises", False)),
        ([2.0, 9.0, np.inf], {"test_accuracy": [0.5, 0.1, 0.1]}, ("loss", np.inf, "flies out", False)),
        ([], {}, ("", np.nan, "", None)),
    ],
)
def test_what_a_run_came_to_follows_from_what_was_logged(
    losses: list[float], scalars: dict[str, list[float]], expected: tuple[str, float, str, bool | None]
) -> None:
    found = result(Recorded(losses, **scalars))  # type: ignore[arg-type]
    assert (found.what, found.verdict, found.learns) == (expected[0], expected[2], expected[3])
    assert found.value == expected[1] or np.isnan([found.value, expected[1]]).all()
    assert isinstance(found, Result)
