"""Updates judged from the trace alone: each optimizer's rule is replayed, and every single wrong number is found."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import explainer
from explainer import verify
from explainer.errors import VerifyError
from tests.altered import AlteredTrace, altered
from tests.networks import batch_for, mlp, seeded, train

Make = Callable[[Iterable[torch.Tensor]], torch.optim.Optimizer]

OPTIMIZERS: dict[str, Make] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "sgd, decay, maximize": lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.1, maximize=True),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.1),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "fused sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, fused=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "amsgrad": lambda p: torch.optim.Adam(p, lr=0.01, amsgrad=True, betas=(0.8, 0.9)),
    "adam, rate as a tensor": lambda p: torch.optim.Adam(p, lr=torch.tensor(0.01)),
    "fused adam": lambda p: torch.optim.Adam(p, lr=0.01, fused=True),
    "foreach adamw": lambda p: torch.optim.AdamW(p, lr=0.01, foreach=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, centered=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.01, initial_accumulator_value=0.1),
    "nadam": lambda p: torch.optim.NAdam(p, lr=0.01),
    "groups": lambda p: torch.optim.SGD(
        [{"params": (p := list(p))[:2], "lr": 0.2, "momentum": 0.9}, {"params": p[2:]}], lr=0.05
    ),
}


def recorded(make: Make, *, steps: int = 5, earlier: int = 0, schedule: Any = None, **options: Any) -> Any:
    model, criterion = seeded(mlp), nn.CrossEntropyLoss()
    optimizer = make(model.parameters())
    scheduler = schedule(optimizer) if schedule else None
    train(model, criterion, optimizer, steps=earlier)
    with explainer.record(model, criterion=criterion, optimizer=optimizer, **options) as recorder:
        train(model, criterion, optimizer, steps=steps, after_step=lambda step: scheduler.step() if scheduler else None)
    return recorder.trace


def judged(report: verify.Report, what: str) -> set[tuple[str, int]]:
    return {(row.name, row.step) for row in report.rows if what in row.what and row.state in ("equal", "close")}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_each_optimizers_rule_makes_every_recorded_update_and_no_other(make: Make) -> None:
    trace = recorded(make)
    report = verify.updates(trace)
    assert judged(report, "rule") == {(name, step) for name in trace.parameters for step in range(5)}
    assert judged(report, "weight to weight") == {(name, step) for name in trace.parameters for step in range(4)}
    exact = not isinstance(make([torch.zeros(1)]).defaults["lr"], torch.Tensor)  # a trace holds it in another precision
    assert {row.state for row in report.rows} == ({"equal"} if exact else {"equal", "close"})

    with pytest.raises(VerifyError, match=r"update, .* of '2\.weight', step 4: recorded .* at \[\d, \d\], expected"):
        verify.updates(altered(trace, "updates", "2.weight", 4))
    with pytest.raises(VerifyError, match=r"rule of '2\.weight', step 1: recorded"):
        verify.updates(altered(trace, "parameter_gradients", "2.weight", 1, factor=2))


def test_an_update_in_the_middle_must_lie_between_its_weights() -> None:
    with pytest.raises(VerifyError, match=r"update, from weight to weight of '0\.bias', step 2"):
        verify.updates(altered(recorded(OPTIMIZERS["sgd"]), "updates", "0.bias", 2))


def test_weights_that_something_else_moves_after_the_step_are_no_mistake() -> None:
    model, criterion = seeded(mlp), nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)

    def clamp(step: int) -> None:
        with torch.no_grad():
            model[0].weight.clamp_(-0.2, 0.2)

    with explainer.record(model, criterion=criterion, optimizer=optimizer) as recorder:
        train(model, criterion, optimizer, steps=3, after_step=clamp)
    report = verify.updates(recorder.trace)
    assert "then something else moved the weights" in str(report)
    assert len(judged(report, "rule")) == 12
    with pytest.raises(VerifyError, match=r"weight to weight of '0\.weight', step 1"):
        verify.updates(altered(recorder.trace, "updates", "0.weight", 1))


def test_a_schedule_of_learning_rates_is_followed() -> None:
    trace = recorded(OPTIMIZERS["adam"], schedule=lambda o: torch.optim.lr_scheduler.StepLR(o, 2, 0.1))
    assert len(set(trace.scalars["learning_rate"])) == 3
    assert len(judged(verify.updates(trace), "rule")) == 20
    rates = {**trace.scalars, "learning_rate": np.full(5, 0.01)}
    with pytest.raises(VerifyError, match=r"rule of '0\.weight', step 2"):
        verify.updates(AlteredTrace(trace, scalars=rates))


def test_plain_sgd_needs_no_other_step() -> None:
    trace = recorded(OPTIMIZERS["sgd"], every=2)
    assert judged(verify.updates(trace), "rule") == {(name, step) for name in trace.parameters for step in (0, 2, 4)}


def once_cycled(optimizer: torch.optim.Optimizer) -> Any:
    return torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=9)


@pytest.mark.parametrize(
    ("make", "options", "reason"),
    [
        (OPTIMIZERS["adam"], {"every": 2}, "Adam remembers earlier steps, and step 1 was not recorded"),
        (OPTIMIZERS["momentum"], {"earlier": 3}, "SGD had made steps before the recording began"),
        (OPTIMIZERS["momentum"], {"schedule": once_cycled}, "a scheduler changed the momentum too"),
        (OPTIMIZERS["sgd"], {"keep": ("parameters", "updates")}, "the trace keeps no parameter_gradients in full"),
    ],
    ids=["gaps", "begun before", "momentum scheduled", "no gradients"],
)
def test_what_cannot_be_replayed_is_named_with_its_reason(make: Make, options: dict[str, Any], reason: str) -> None:
    report = verify.updates(recorded(make, **options), raises=False)
    assert not report.failures
    assert reason in str(report)


def test_parameters_of_no_optimizer_are_named() -> None:
    report = verify.updates(recorded(lambda p: torch.optim.SGD(list(p)[:1], lr=0.1)))
    assert "the optimizer that was recorded does not have it" in str(report)
    assert {name for name, _ in judged(report, "rule")} == {"0.weight"}


def test_without_an_optimizer_or_tensors_nothing_is_judged_and_that_is_said() -> None:
    with pytest.raises(VerifyError, match=r"nothing could be judged.*record with keep=\('parameters', "):
        verify.updates(recorded(OPTIMIZERS["sgd"], keep=()))


def test_older_traces_without_the_optimizers_settings_open_and_say_so() -> None:
    trace = recorded(OPTIMIZERS["sgd"])
    data = {key: value for key, value in trace.model.to_json().items() if key != "parameter_groups"}
    older = AlteredTrace(trace, model=type(trace.model).from_json(data))
    assert "record again" in str(verify.updates(older))


def test_the_optimizers_settings_are_in_the_trace() -> None:
    groups = recorded(OPTIMIZERS["groups"]).model.parameter_groups
    assert [group.parameters for group in groups] == [("0.weight", "0.bias"), ("2.weight", "2.bias")]
    assert [(group.settings["lr"], group.settings["momentum"]) for group in groups] == [(0.2, 0.9), (0.05, 0)]


@pytest.mark.parametrize("name", ["SGD", "AdamW"])
def test_a_model_of_bfloat16_is_updated_as_its_own_rounding_has_it(name: str) -> None:
    model = seeded(mlp).bfloat16()
    settings = {"lr": 0.1, "momentum": 0.9} if name == "SGD" else {"lr": 0.1}
    optimizer, criterion = getattr(torch.optim, name)(model.parameters(), **settings), nn.CrossEntropyLoss()
    inputs, targets = batch_for(model, 0)
    with explainer.record(model, criterion=criterion, optimizer=optimizer) as recorder:
        for _ in range(3):
            optimizer.zero_grad()
            criterion(model(inputs.bfloat16()), targets).backward()
            optimizer.step()
    report = verify.updates(recorder.trace)
    by_rule = [row.state for row in report.rows if row.what == "update, by the optimizer's rule"]
    assert by_rule == ["equal"] * 3 * len(recorder.trace.parameters)
    with pytest.raises(VerifyError, match=r"rule of '0\.weight', step 2"):
        verify.updates(altered(recorder.trace, "updates", "0.weight", 2, factor=2))
