"""The loss itself as judge: right gradients pass, a wrong backward is found, kinks are not blamed on anybody."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from explainer import verify
from explainer.errors import VerifyError
from tests.networks import Residual, batch_for, mlp, seeded


class Square(torch.autograd.Function):
    """x², whose backward is off by a factor."""

    factor = 1.0

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        (x,) = ctx.saved_tensors
        return gradient * 2 * x * Square.factor


class Squared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(5, 4), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(Square.apply(self.first(x)))


def test_gradients_of_a_network_with_batch_norm_and_dropout_are_the_slopes_of_its_loss() -> None:
    report = verify.finite_differences(seeded(Residual), nn.CrossEntropyLoss(), batch_for(Residual(), 0), count=2)
    assert {row.name for row in report.rows if row.state in ("close", "equal")} == {
        name for name, _ in Residual().named_parameters()
    }
    worst = max(row.difference / max(row.allowed, 1e-12) for row in report.rows if row.difference is not None)
    assert worst < 0.3  # far from a mistake


@pytest.mark.parametrize("factor", [1.0, 1.001])
def test_a_backward_that_is_a_thousandth_wrong_is_found(factor: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Square, "factor", factor)
    torch.manual_seed(0)
    model, batch = Squared(), (torch.randn(6, 5), torch.randint(3, (6,)))
    if factor == 1:
        verify.finite_differences(model, nn.CrossEntropyLoss(), batch)
        return
    with pytest.raises(VerifyError, match=r"of 'first\.weight', step 0: recorded .*expected .*a backward of your own"):
        verify.finite_differences(model, nn.CrossEntropyLoss(), batch)


def test_a_part_that_is_hidden_from_autograd_is_found() -> None:
    torch.manual_seed(0)
    model = nn.Linear(5, 3)
    hiding = verify.finite_differences(
        model, lambda output, targets: (output * output.detach()).mean(), (torch.randn(6, 5), 0), raises=False
    )
    assert {row.name for row in hiding.failures} == {"weight", "bias"}


@pytest.mark.parametrize("at", [0.0, 3e-6])
def test_a_kink_is_not_judged(at: float) -> None:
    model = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(at)
    report = verify.finite_differences(model, lambda output: output.abs().sum(), (torch.ones(1, 1), None), raises=False)
    assert {row.state for row in report.rows} == {"cannot"}
    assert "the loss has a kink there" in str(report)


def test_what_is_frozen_is_named() -> None:
    model = mlp()
    model[0].bias.requires_grad_(False)
    report = verify.finite_differences(model, nn.CrossEntropyLoss(), batch_for(model, 0))
    assert [row.reason for row in report.rows if row.name == "0.bias"] == ["no parameter gradient: it is frozen"]


def test_the_same_seed_chooses_the_same_numbers() -> None:
    reports = [
        verify.finite_differences(seeded(mlp), nn.CrossEntropyLoss(), batch_for(mlp(), 0), seed=4) for _ in range(2)
    ]
    assert reports[0].rows == reports[1].rows
