"""What a network of one input and one output says of its examples: order, errors, straightness, and what is refused."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

import explainer  # noqa: E402
from explainer.errors import TraceError  # noqa: E402
from explainer.regression import Regression, best_lines, read_regression  # noqa: E402
from explainer.trace import Trace  # noqa: E402

STEPS = 4


def recorded(
    *, bend: nn.Module | None = None, probe: bool = True, inputs: int = 1, shuffled: bool = False, ragged: bool = False,
    criterion: nn.Module | None = None, **options: Any,
) -> tuple[Trace, nn.Module, torch.Tensor, torch.Tensor]:  # fmt: skip
    """Record a small net on points whose x are in no order; return it as it was in the last step, and the points."""
    torch.manual_seed(1)
    x = torch.randn(12, inputs)
    y = torch.sin(x[:, :1])
    model = nn.Sequential(nn.Linear(inputs, 5), bend or nn.Identity(), nn.Linear(5, 1))
    loss, optimizer = criterion or nn.MSELoss(), torch.optim.SGD(model.parameters(), lr=0.05)
    if probe:
        options["probe"] = (x, y)
    with explainer.record(model, criterion=loss, optimizer=optimizer, examples=None, **options) as recorder:
        for step in range(STEPS):
            chosen = torch.randperm(12)[: 12 - step * ragged] if shuffled or ragged else torch.arange(12)
            optimizer.zero_grad()
            loss(model(x[chosen]), y[chosen]).backward()
            then = deepcopy(model.state_dict())
            optimizer.step()
    model.load_state_dict(then)
    return recorder.trace, model, x, y


@pytest.mark.parametrize("probe", [True, False])
def test_examples_stand_in_the_order_of_x_each_with_its_own_target_and_output(probe: bool) -> None:
    trace, model, x, y = recorded(bend=nn.Tanh(), probe=probe)
    seen = read_regression(trace)
    order = np.argsort(x.numpy()[:, 0])
    assert seen.probed is probe
    np.testing.assert_allclose(seen.x, np.sort(x.numpy()[:, 0]))
    np.testing.assert_allclose(seen.targets, y.numpy()[order, 0])
    assert seen.outputs.shape == (STEPS, 12)
    np.testing.assert_allclose(seen.outputs[-1], model(x).detach().numpy()[order, 0], rtol=1e-6)


@pytest.mark.parametrize("probe", [True, False])
def test_the_mean_of_squares_is_torch_s_and_the_recorded_loss(probe: bool) -> None:
    trace, model, x, y = recorded(bend=nn.ReLU(), probe=probe)
    seen = read_regression(trace)
    np.testing.assert_allclose(seen.mean_squares[-1], nn.functional.mse_loss(model(x), y).item(), rtol=1e-6)
    np.testing.assert_allclose(seen.losses, seen.mean_squares, rtol=1e-6)
    assert seen.is_mean_square and seen.measure == "MSELoss"


def test_another_loss_is_not_taken_for_the_mean_of_squares() -> None:
    seen = read_regression(recorded(criterion=nn.L1Loss())[0])
    assert not seen.is_mean_square and seen.measure == "L1Loss"


def test_a_net_without_a_bend_is_straight_and_one_with_it_is_not() -> None:
    assert read_regression(recorded()[0]).straight.all()
    assert not read_regression(recorded(bend=nn.Tanh())[0]).straight.any()


def test_what_is_not_a_number_is_not_straight() -> None:
    seen = read_regression(recorded()[0])
    outputs = seen.outputs.copy()
    outputs[1, 3] = np.nan
    lost = Regression(seen.x, seen.targets, outputs, seen.losses, seen.layer, seen.probed)
    assert lost.straight.tolist() == [True, False, True, True]


def test_the_best_straight_line_is_that_of_least_squares() -> None:
    x, y = np.array([0.0, 1.0, 2.0, 5.0]), np.array([1.0, 0.0, 4.0, 3.0])
    slope, start = np.polyfit(x, y, 1)
    np.testing.assert_allclose(best_lines(x, y[None])[0], start + slope * x)
    seen = Regression(x, y, y[None], np.zeros(1), "0", True)
    assert seen.best_straight == pytest.approx(np.mean((start + slope * x - y) ** 2))
    np.testing.assert_allclose(best_lines(np.ones(4), y[None])[0], y.mean())


def test_more_than_one_input_is_refused_with_its_shape() -> None:
    with pytest.raises(TraceError, match=r"each input of the run A is of shape \(2,\).*one input and one output"):
        read_regression(recorded(inputs=2)[0], "the run A")


@pytest.mark.parametrize("how", ["shuffled", "ragged"])
def test_examples_that_change_are_refused_with_the_line_to_add(how: str) -> None:
    with pytest.raises(TraceError, match=r"(?s)change from step to step.*probe=\(x, y\)"):
        read_regression(recorded(probe=False, **{how: True})[0])


def test_a_trace_without_examples_is_refused_with_the_line_to_add() -> None:
    with pytest.raises(TraceError, match=r"(?s)the trace holds no probe.*probe=\(x, y\)"):
        read_regression(recorded(probe=False, keep=("parameters",))[0])
