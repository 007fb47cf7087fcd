"""The lesson `digits` tries once what happens without zero_grad, and trains as if it had not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from explainer.laps import accumulation  # noqa: E402
from explainer.lessons import digits, record_lesson  # noqa: E402


def test_the_second_gradient_is_added_to_the_first_and_exactly_twice_as_long(tmp_path: Path) -> None:
    trace = record_lesson("digits", tmp_path / "digits", steps=3)
    found = accumulation(trace)
    assert found is not None and found.ratio == 2.0
    recorded = [np.asarray(each[0], np.float64) for each in trace.parameter_gradients.values()]
    assert found.once == pytest.approx(np.sqrt(sum((each**2).sum() for each in recorded)), rel=1e-12)


def test_training_is_bitwise_what_it_is_without_the_trial(tmp_path: Path) -> None:
    trace = record_lesson("digits", tmp_path / "digits", steps=3)
    network, criterion, data = digits.model(3), nn.NLLLoss(), digits.images()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
    for inputs, targets in digits.batches(data, 64, 3, 3):
        before = {name: each.detach().clone().numpy() for name, each in network.named_parameters()}
        optimizer.zero_grad()
        loss = criterion(network(inputs), targets)
        loss.backward()
        optimizer.step()
    assert trace.scalars["loss"][-1] == loss.item()
    for name, weights in before.items():
        np.testing.assert_array_equal(trace.parameters[name][-1], weights)


def test_the_trial_leaves_the_network_its_gradients_and_the_random_numbers_alone() -> None:
    network, state = nn.Sequential(nn.Linear(4, 3), nn.LogSoftmax(dim=1)), torch.get_rng_state()
    found = digits.accumulation(network, nn.NLLLoss(), (torch.ones(2, 4), torch.tensor([0, 1])))
    assert found["twice"] == 2 * found["once"] > 0
    assert all(each.grad is None for each in network.parameters())
    assert torch.equal(state, torch.get_rng_state())
