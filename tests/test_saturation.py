"""Which values are saturated: counted by hand, with torch's own derivative as the referee."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import explainer
from explainer import saturation
from explainer.trace import Trace


def said_by(layer: nn.Module, inputs: torch.Tensor) -> tuple[Trace, np.ndarray]:
    """Record a layer's answer to inputs, one example a row."""
    model = nn.Sequential(layer)
    with explainer.record(model, examples=None) as recorder:
        loss = model(inputs.clone().requires_grad_()).sum()
        loss.backward()
        recorder.step(loss)
    return recorder.trace, np.asarray(recorder.trace.activations["0"][0])


INPUTS = torch.linspace(-6, 6, 240).reshape(8, 30)


@pytest.mark.parametrize("layer", [nn.Sigmoid(), nn.Tanh()])
def test_a_saturated_value_has_under_a_fifth_of_the_largest_derivative(layer: nn.Module) -> None:
    trace, values = said_by(layer, INPUTS)
    inputs = INPUTS.clone().requires_grad_()
    layer(inputs).sum().backward()
    assert inputs.grad is not None
    flat = inputs.grad < (4 * 0.05 * 0.95) * inputs.grad.max()  # s(1 − s) at 0.05, of 1/4; tanh is 2σ(2x) − 1
    assert saturation.saturated_share(trace, "0", values) == pytest.approx(float(flat.double().mean()), abs=0.01)


@pytest.mark.parametrize(
    ("layer", "zones"),
    [
        (nn.Sigmoid(), (0.05, 0.95)),
        (nn.Tanh(), (-0.9, 0.9)),
        (nn.Hardtanh(-2, 2), (-1.8, 1.8)),
        (nn.Hardsigmoid(), (0.05, 0.95)),
        (nn.ReLU(), None),
        (nn.Linear(30, 2), None),
    ],
)
def test_an_end_begins_at_a_twentieth_of_the_range(layer: nn.Module, zones: Any) -> None:
    trace, values = said_by(layer, INPUTS)
    found = saturation.saturated_zones(trace, "0")
    assert found == (zones if zones is None else pytest.approx(zones))
    if zones is not None:
        expected = np.mean((values < zones[0]) | (values > zones[1]))
        assert saturation.saturated_share(trace, "0", values) == pytest.approx(expected)
    else:
        assert np.isnan(saturation.saturated_share(trace, "0", values))


@pytest.mark.parametrize("layer", [nn.Softmax(dim=1), nn.LogSoftmax(dim=-1)])
def test_a_softmax_is_saturated_in_examples_where_one_class_has_nearly_all(layer: nn.Module) -> None:
    scores = torch.tensor([[9.0, 0, 0], [0, 0, 0], [3.0, 0, 0], [0, 20, 0]])
    trace, values = said_by(layer, scores)
    sure = scores.softmax(dim=1).max(dim=1).values > 0.95
    assert saturation.saturated_share(trace, "0", values) == pytest.approx(float(sure.double().mean())) == 0.5


def test_what_is_not_finite_is_left_out_and_nothing_is_no_share() -> None:
    trace, _ = said_by(nn.Sigmoid(), INPUTS)
    assert saturation.saturated_share(trace, "0", np.array([0.0, 0.5, np.nan])) == 0.5
    assert np.isnan(saturation.saturated_share(trace, "0", np.array([np.nan])))
    assert np.isnan(saturation.saturated_share(trace, "0", np.zeros((0, 3))))


def test_a_second_call_and_a_further_output_are_of_their_layer() -> None:
    trace, _ = said_by(nn.Tanh(), INPUTS)
    for name in ("0", "0:1", "0[1]", "0:1[hidden]"):
        assert saturation.kind_of(trace, name) == "Tanh"
        assert saturation.is_activation_function(trace, name)
        assert not saturation.zeroes(trace, name)
    assert saturation.kind_of(trace, "elsewhere") == ""
