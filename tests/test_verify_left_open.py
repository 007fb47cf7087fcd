"""What the chain rule must leave open, because a trace does not tell it: named with its reason, and never made up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

import explainer
from explainer import verify


def recorded(model: nn.Module, *, steps: int = 4, inputs: Callable[[int], int] = lambda step: 6) -> explainer.Trace:
    """Train on fresh numbers at each step; `inputs` says how many examples."""
    optimizer, criterion = torch.optim.SGD(model.parameters(), lr=0.1), nn.MSELoss()
    numbers = torch.Generator().manual_seed(5)
    with explainer.record(model, criterion=criterion, optimizer=optimizer, examples=None) as recorder:
        for step in range(steps):
            optimizer.zero_grad()
            output = model(torch.randn(inputs(step), 4, generator=numbers))
            criterion(output, torch.randn(output.shape, generator=numbers)).backward()
            optimizer.step()
    assert recorder.failure is None
    return recorder.trace


def states(report: verify.Report, name: str, what: str) -> set[str]:
    return {row.state for row in report.rows if (row.name, row.what) == (name, what)}


HELD = ({"equal"}, {"close"}, {"equal", "close"})


@pytest.fixture(autouse=True)
def same_numbers() -> None:
    torch.manual_seed(0)


def pruned() -> nn.Module:
    return prune.l1_unstructured(nn.Linear(4, 4), "weight", 0.5)  # type: ignore[no-any-return]


def weight_normed_of_old() -> nn.Module:
    with pytest.warns(FutureWarning, match="weight_norm"):
        return nn.utils.weight_norm(nn.Linear(4, 4))


@pytest.mark.parametrize(
    "made",
    [
        pruned,
        weight_normed_of_old,
        lambda: nn.utils.spectral_norm(nn.Linear(4, 4)),
        lambda: parametrizations.weight_norm(nn.Linear(4, 4)),
        lambda: prune.random_unstructured(nn.BatchNorm1d(4), "bias", 0.5),
    ],
    ids=["pruned", "weight norm of old", "spectral norm", "weight norm", "pruned batch norm"],
)
def test_a_layer_whose_weight_is_made_of_other_parameters_is_not_judged_by_chance(made: Callable[[], Any]) -> None:
    trace = recorded(nn.Sequential(nn.Linear(4, 4), made(), nn.ReLU(), nn.Linear(4, 4)))
    reports = [verify.chain_rule(trace) for _ in range(3)]
    assert len({str(report) for report in reports}) == 1
    assert states(reports[0], "1", "activation") == {"cannot"}
    assert states(reports[0], "0", "gradient") == {"cannot"}
    assert states(reports[0], "3.weight", "parameter gradient") in HELD


def test_a_frozen_layer_is_still_judged() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4).requires_grad_(False), nn.Linear(4, 4))
    report = verify.chain_rule(recorded(model))
    assert states(report, "1", "activation") in HELD
    assert states(report, "0", "gradient") in HELD


class Skipping(nn.Module):
    """A residual branch that is left out at some calls, as by stochastic depth."""

    def __init__(self, skipped: Callable[[int], bool]) -> None:
        super().__init__()
        self.a, self.branch, self.b = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
        self.skipped, self.calls = skipped, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.a(x)
        self.calls += 1
        return self.b(x if self.skipped(self.calls - 1) else x + self.branch(x))  # type: ignore[no-any-return]


def test_a_layer_that_is_skipped_in_some_steps_is_missing_there_and_the_rest_is_judged() -> None:
    report = verify.chain_rule(recorded(Skipping(lambda step: step % 2 == 1)))
    by_step = {row.step: row for row in report.rows if (row.name, row.what) == ("branch", "activation")}
    assert by_step[0].state == by_step[2].state == "close"
    assert by_step[1].state == by_step[3].state == "missing"
    assert "the layer was not called" in by_step[1].reason
    assert states(report, "loss", "gradient") in HELD
