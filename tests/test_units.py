"""Which axis units lie along, and which of them are dead: against numbers made by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import explainer
from explainer.errors import TraceError
from explainer.trace import Trace
from explainer.units import dead_units, unit_axis


class Playing(nn.Module):
    """Returns what it is told to, step by step, so that a test knows every activation."""

    def __init__(self, values: list[Any]) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.values = [torch.as_tensor(each, dtype=torch.float32) for each in values]

    def forward(self, step: int) -> torch.Tensor:
        return self.values[step] * self.scale


def played(*values: Any, **options: Any) -> Trace:
    model = Playing(list(values))
    with explainer.record(model, **options) as recorder:
        for step in range(len(values)):
            loss = model(step).sum()
            loss.backward()
            recorder.step(loss)
    return recorder.trace


ALIVE, ZERO, ONE = [1, -2, 3], [0, 0, 0], [1, 1, 1]


def columns(*units: list[float]) -> Any:
    """Return (example, unit) of what each unit says of three examples."""
    return np.array(units, np.float32).T


@pytest.mark.parametrize(
    ("steps", "dead"),
    [
        ([columns(ALIVE, ZERO, ONE)], {1: 0, 2: 1}),
        ([columns(ALIVE, ZERO), columns(ALIVE, ALIVE)], {}),  # dead in one step is not dead
        ([columns(ALIVE, ZERO), columns(ALIVE, ZERO)], {1: 0}),
        ([columns(ALIVE, ONE), columns(ALIVE, [2, 2, 2])], {1: 2}),  # it moves with the bias, not with the example
        ([columns(ALIVE, ZERO)[:1], columns(ALIVE, ZERO)[1:2]], {1: 0}),  # one example a step: steps are compared
        ([columns(ALIVE, ONE)[:1], columns(ALIVE, [2, 2, 2])[1:2]], {}),
    ],
)
def test_a_unit_is_dead_when_it_tells_no_example_from_another(steps: list[Any], dead: dict[int, float]) -> None:
    assert dead_units(played(*steps), "model", range(len(steps))).dead == dead


def test_channels_are_judged_over_all_positions() -> None:
    values = np.zeros((2, 3, 4, 4), np.float32)
    values[0, 1, 2, 3] = 1  # one pixel of one example
    values[:, 2] = 5
    units = dead_units(played(values), "model", [0])
    assert (units.count, units.axis, units.shape, units.dead) == (3, 1, (2, 3, 4, 4), {0: 0, 2: 5})
    assert dead_units(played(values), "model", [0], axis=-1).count == 4


def test_the_number_of_examples_is_that_of_the_whole_batch_whatever_was_kept() -> None:
    values = np.random.default_rng(0).normal(size=(100, 6)).astype(np.float32)
    units = dead_units(played(values, values[:37], examples=8), "model", [0, 1])
    assert (units.examples, units.batch_examples, units.whole) == (16, 137, False)
    assert dead_units(played(values, examples=None), "model", [0]).whole
    assert dead_units(played(0 * values, examples=8), "model", [0]).whole  # all is zero: as good as seen


def test_the_share_of_zeros_in_the_whole_batch_clears_a_unit_that_was_zero_in_what_was_kept() -> None:
    values = np.ones((100, 4), np.float32) * np.arange(100)[:, None]
    values[:8, 3] = 0  # the eight that are kept; the other 92 are not zero
    values[0] = [1, 2, 3, 0]
    units = dead_units(played(values), "model", [0])
    assert (units.zero_at_most, units.dead) == (0, {})
    values[8:, 3] = 0
    units = dead_units(played(values), "model", [0])
    assert (units.zero_at_most, units.dead) == (1, {3: 0})


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([np.ones(3)], "has no units: its activation is 3"),
        ([np.ones((1, 3))], "1 example was kept"),
        ([np.array([[1, math.nan], [2, 3]])], r"not finite; explainer.testing.assert_finite\(trace\)"),
    ],
)
def test_where_nothing_can_be_said_of_units_the_reason_is(steps: list[Any], said: str) -> None:
    with pytest.raises(TraceError, match=said):
        dead_units(played(*steps), "model", [0])


class Words(nn.Module):
    """An embedding, a convolution over time, a transformer's Linear, each followed by an activation."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.after_embed = nn.Embedding(10, 6), nn.ReLU()
        self.conv, self.after_conv = nn.Conv1d(6, 4, 3, padding=1), nn.ReLU()
        self.linear, self.after_linear = nn.Linear(4, 5), nn.GELU()
        self.drop = nn.Dropout(0.1)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        seen = self.after_embed(self.embed(tokens))
        seen = self.after_conv(self.conv(seen.transpose(1, 2)))
        return self.drop(self.after_linear(self.linear(seen.transpose(1, 2))))


def test_the_axis_of_units_follows_from_the_layers_before() -> None:
    model = Words()
    with explainer.record(model) as recorder:
        loss = model(torch.randint(0, 10, (3, 7))).sum()
        loss.backward()
        recorder.step(loss)
    trace = recorder.trace
    found = {layer: (unit_axis(trace, layer, 3), trace.activations[layer].shape[1:]) for layer in trace.layers}
    last, channels = (2, (3, 7, 6)), (1, (3, 4, 7))
    assert found == {
        "embed": last,
        "after_embed": last,
        "conv": channels,
        "after_conv": channels,
        "linear": (2, (3, 7, 5)),
        "after_linear": (2, (3, 7, 5)),
        "drop": (2, (3, 7, 5)),
    }
    assert unit_axis(trace, "linear", 2) == 1
