"""Dead units over a run: the definition is that of `units.py`, stretch by stretch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from synthetic import synthetic
from torch import nn

import explainer
from explainer.errors import TraceError, UnknownName
from explainer.lifetimes import lifetimes, stretches
from explainer.trace import Trace
from explainer.units import dead_units


def dying(steps: int = 6, layers: int = 1, **options: object) -> Trace:
    """Record a network that one more of whose four units is switched off by its bias in each other step."""
    torch.manual_seed(0)
    blocks: list[nn.Module] = [nn.Linear(3, 4)]
    for _ in range(layers):
        blocks += [nn.ReLU(), nn.Dropout(0.5), nn.Linear(4, 4)]
    model = nn.Sequential(*blocks)
    inputs = torch.rand(10, 3)
    with torch.no_grad():
        model[0].weight.abs_()
    with explainer.record(model, **options) as recorder:
        for step in range(steps):
            with torch.no_grad():
                model[0].bias.fill_(1)
                model[0].bias[: step // 2] = -99
            loss = model(inputs).sum()
            loss.backward()
            recorder.step(loss)
    return recorder.trace


def test_units_die_one_after_the_other() -> None:
    (life,) = lifetimes(dying())
    assert life.layer == "1" and life.units == 4 and life.fewest == 8
    assert life.dead.tolist() == life.zero.tolist() == [0, 0, 1, 1, 2, 2]
    assert life.share.tolist() == [0, 0, 0.25, 0.25, 0.5, 0.5]


def test_each_stretch_says_what_dead_units_says_of_its_steps() -> None:
    trace = dying(60)
    parts = stretches(trace)
    assert [part.stop - part.start for part in parts] == [4] * 15
    (life,) = lifetimes(trace)
    expected = [len(dead_units(trace, "1", range(part.start, part.stop)).dead) for part in parts]
    assert life.dead.tolist() == expected
    assert life.fewest == 32


def test_a_probe_stands_in_where_activations_were_not_kept() -> None:
    inputs = torch.rand(5, 3)
    (life,) = lifetimes(dying(keep=("gradients",), probe=(inputs, None)))
    assert life.dead.tolist() == [0, 0, 1, 1, 2, 2] and life.fewest == 5


def test_without_activation_functions_all_layers_with_units_are_looked_at_but_for_dropout() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.5), nn.Linear(3, 1))
    with explainer.record(model) as recorder:
        loss = model(torch.rand(4, 2)).sum()
        loss.backward()
        recorder.step(loss)
    assert [life.layer for life in lifetimes(recorder.trace)] == ["0", "2"]
    assert [life.layer for life in lifetimes(recorder.trace, "1")] == ["1"]
    with pytest.raises(UnknownName, match="no layer is called '7'"):
        lifetimes(recorder.trace, ["0", "7"])


def test_without_activations_the_line_to_record_with_is_said() -> None:
    with pytest.raises(TraceError, match=r'keep=\("activations", …\), or without keep='):
        lifetimes(dying(keep=()))


def test_steps_that_are_not_finite_are_a_gap_and_a_layer_of_only_such_says_so() -> None:
    values = np.ones((3, 4, 2)) * np.arange(4).reshape(1, 4, 1)
    values[1, 0, 0] = math.nan
    table = {"0": {"nonfinite": [0, 1, 0], "zero_fraction": 0.25}, "1": {"nonfinite": 8.0}}
    tensors = {"0": values, "1": np.full((3, 4, 2), math.inf)}
    trace = synthetic(
        {"activations": table}, steps=[0, 1, 2], tensors={"activations": tensors}, kinds={"0": "ReLU", "1": "ReLU"}
    )
    fine, lost = lifetimes(trace)
    np.testing.assert_array_equal(fine.dead, [0, math.nan, 0])
    assert fine.missing == "" and "infinite or NaN" in lost.missing


def test_of_one_example_a_step_nothing_can_be_said_and_that_is_said() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    with explainer.record(model) as recorder:
        loss = model(torch.rand(1, 2)).sum()
        loss.backward()
        recorder.step(loss)
    (life,) = lifetimes(recorder.trace)
    assert "1 example was kept" in life.missing


def test_of_a_long_run_a_few_steps_of_each_stretch_are_read() -> None:
    count = 5_000
    values = np.zeros((count, 4, 3))
    values[:, :, 0] = np.arange(4)
    table = {"0": {"zero_fraction": 0.75}}
    trace = synthetic(
        {"activations": table}, steps=range(count), tensors={"activations": {"0": values}}, kinds={"0": "ReLU"}
    )
    (life,) = lifetimes(trace)
    assert len(life.dead) == 40 and life.fewest == 8 * 4
    assert life.dead.tolist() == [2] * 40
