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


@pytest.mark.parametrize("first_step_skips", [False, True])
def test_where_other_layers_are_called_than_at_first_nothing_true_differs(first_step_skips: bool) -> None:
    report = verify.chain_rule(recorded(Skipping(lambda step: (step % 2 == 0) == first_step_skips)))
    assert report.judged
    assert states(report, "b", "activation") == {"close", "cannot"}
    assert not report.failures


class Between(nn.Module):
    """Two layers, and a function that no module sees between them."""

    def __init__(self, function: Callable[[Any, torch.Tensor, torch.Tensor], torch.Tensor], **own: torch.Tensor):
        super().__init__()
        self.a, self.b, self.function, self.calls = nn.Linear(4, 4), nn.Linear(4, 4), function, -1
        for name, values in own.items():
            self.register_parameter(name, nn.Parameter(values))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return self.b(self.function(self, x, self.a(x)))  # type: ignore[no-any-return]


NOTHING_AT_FIRST = {
    "an added parameter": lambda: Between(lambda n, x, y: y + n.p, p=torch.zeros(4)),
    "LayerScale": lambda: Between(lambda n, x, y: y * n.gamma, gamma=torch.ones(4)),
    "LoRA": lambda: Between(lambda n, x, y: y + x @ n.down @ n.up, down=torch.randn(4, 2), up=torch.zeros(2, 4)),
    "a factor on a schedule": lambda: Between(lambda n, x, y: y * (1 + 0.1 * n.calls)),
    "a shortcut that fades in": lambda: Between(lambda n, x, y: y + x * n.calls),
}


@pytest.mark.parametrize("made", NOTHING_AT_FIRST.values(), ids=NOTHING_AT_FIRST)
def test_what_is_nothing_at_first_and_something_later_is_left_open(made: Callable[[], nn.Module]) -> None:
    report = verify.chain_rule(recorded(made()))
    assert states(report, "b", "activation") == states(report, "a", "gradient") == {"cannot"}
    assert "what fits at step 0 does not at others" in str(report)
    assert states(report, "a", "activation") in HELD
    assert states(report, "loss", "gradient") in HELD


def test_a_function_that_holds_at_first_and_last_but_not_between_differs() -> None:
    model = Between(lambda n, x, y: y * 2 if n.calls == 1 else y)
    report = verify.chain_rule(recorded(model), raises=False)
    assert {row.step for row in report.failures if row.name == "b"} == {1}


def test_batch_norm_that_is_frozen_later_is_left_open() -> None:
    class Freezing(Between):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.calls == 1:
                self.norm.eval()
            return super().forward(x)

    model = Freezing(lambda n, x, y: n.norm(y))
    model.norm = nn.BatchNorm1d(4)
    report = verify.chain_rule(recorded(model))
    assert states(report, "norm", "activation") == {"cannot"}
    assert "in training mode at one step, in evaluation at another" in str(report)


def test_a_reshape_is_seen_through_where_the_last_batch_is_smaller() -> None:
    class Reshaped(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self[1](self[0](x).reshape(-1, 2, 2))  # type: ignore[no-any-return]

    report = verify.chain_rule(
        recorded(Reshaped(nn.Linear(4, 4), nn.Linear(2, 3)), inputs=lambda step: 6 - 4 * (step == 3))
    )
    assert states(report, "1", "activation") in HELD
    assert states(report, "0", "gradient") in HELD


def test_lent_weights_are_not_in_the_trace_and_nothing_is_judged_by_the_models_own() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    lent = {name: torch.randn_like(each).requires_grad_() for name, each in model.named_parameters()}

    class Lending(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.func.functional_call(model, lent, (x,))  # type: ignore[no-any-return]

    optimizer, criterion, outer = torch.optim.SGD(model.parameters(), lr=0.1), nn.MSELoss(), Lending()
    with explainer.record(model, criterion=criterion, optimizer=optimizer, examples=None) as recorder:
        for _ in range(2):
            criterion(outer(torch.randn(6, 4)), torch.randn(6, 4)).backward()
            optimizer.step()
    report = verify.chain_rule(recorder.trace)
    assert states(report, "0", "activation") == states(report, "2", "activation") == {"cannot"}
    assert states(report, "1", "activation") in HELD
    assert "functional_call" in str(report)


def test_batch_norm_over_several_batches_of_a_step_is_left_open_and_says_why() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 4))
    optimizer, criterion = torch.optim.SGD(model.parameters(), lr=0.1), nn.MSELoss()
    with explainer.record(model, criterion=criterion, optimizer=optimizer, examples=None) as recorder:
        for part in range(4):
            criterion(model(torch.randn(6, 4)), torch.randn(6, 4)).backward()
            if part % 2:
                optimizer.step()
                optimizer.zero_grad()
    report = verify.chain_rule(recorder.trace)
    assert states(report, "1", "activation") == {"cannot"}
    assert "several batches were joined in one step, and each was normalised by itself" in str(report)
