from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

import explainer
from explainer.moments import moments_of
from explainer.recorder.devices import moments_there
from explainer.recorder.parameters import ParameterWatch
from explainer.writer import TraceWriter
from tests.networks import Residual, mlp, seeded, train

TENSORS = {
    "normal": lambda: torch.randn(7, 300),
    "half": lambda: torch.randn(5000).half(),
    "zeros": lambda: torch.relu(torch.randn(900)),
    "whole numbers": lambda: torch.arange(-3, 9),
    "empty": lambda: torch.zeros(0, 3),
    "infinite": lambda: torch.tensor([1.0, math.inf, -2.0]),
    "nan": lambda: torch.tensor([1.0, math.nan, 0.0, -math.inf]),
}


@pytest.mark.parametrize("make", TENSORS.values(), ids=TENSORS)
def test_moments_that_a_device_computes_are_those_of_the_host(make: object) -> None:
    torch.manual_seed(0)
    tensor = make()
    there, here = moments_there(tensor).tolist(), moments_of(tensor.reshape(-1).numpy())
    assert there == pytest.approx(tuple(here), rel=1e-6, nan_ok=True)


class SlowFerry:
    """Stands for a GPU's second stream: what is brought holds nonsense until somebody waits."""

    def __init__(self) -> None:
        self.under_way: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.waits = 0

    def bring(self, tensor: torch.Tensor) -> torch.Tensor:
        there = tensor.detach().clone()
        here = torch.full_like(there, 77)
        self.under_way.append((here, there))
        return here

    def wait(self) -> None:
        self.waits += bool(self.under_way)
        for here, there in self.under_way:
            here.copy_(there)
        self.under_way.clear()


@pytest.mark.parametrize("ways", [1, 3], ids=["one batch", "micro-batches"])
@pytest.mark.parametrize("make", [mlp, Residual])
def test_tensors_that_come_later_are_recorded_as_those_at_hand_with_one_wait_a_step(
    make: Callable[[], nn.Module], ways: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    near = record(make, ways)
    ferries: list[SlowFerry] = []
    monkeypatch.setattr("explainer.recorder.eye.Ferry", lambda: ferries.append(SlowFerry()) or ferries[-1])
    for room in ("eye", "parameters", "backward"):
        monkeypatch.setattr(f"explainer.recorder.{room}.is_far", lambda tensor: True)
    far = record(make, ways)
    assert ferries[0].waits == len(far) == 4
    assert far.missing == near.missing == {}
    for kind in ("activations", "gradients", "parameters", "parameter_gradients", "updates"):
        for name, tensors in getattr(near, kind).items():
            np.testing.assert_array_equal(getattr(far, kind)[name], np.asarray(tensors), err_msg=f"{kind} {name}")
            for which, values in near.statistics[kind][name].items():
                np.testing.assert_allclose(far.statistics[kind][name][which], values, rtol=1e-6, atol=1e-12)
    for name, values in near.scalars.items():
        np.testing.assert_allclose(far.scalars[name], values, rtol=1e-6)
    np.testing.assert_array_equal(far.criterion.gradients, np.asarray(near.criterion.gradients))


def record(make: Callable[[], nn.Module], micro_batches: int) -> explainer.Trace:
    model, criterion = seeded(make), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with explainer.record(model, criterion=criterion, optimizer=optimizer) as recorder:
        train(model, criterion, optimizer, steps=4, micro_batches=micro_batches)
    assert recorder.failure is None
    return recorder.trace


def test_parameters_on_two_devices_do_not_share_the_room_that_is_not_written() -> None:
    parameters = {"here": torch.zeros(5), "there": torch.zeros(5, device="meta")}
    watch = ParameterWatch(parameters, TraceWriter(None), frozenset())
    here, there = (watch._room("parameters", 0, group) for group in watch._groups)
    assert not np.shares_memory(here, there)
