"""A small change of one weight, against torch: the same network built again, with that weight larger by ε."""

from __future__ import annotations

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

import explainer  # noqa: E402
from explainer.change import EPSILON, Change, follow  # noqa: E402
from explainer.errors import TraceError  # noqa: E402
from explainer.lessons import record_lesson  # noqa: E402
from explainer.trace import Trace  # noqa: E402

STEPS = 3


def trained(network: nn.Module, criterion: nn.Module, x: torch.Tensor, y: torch.Tensor, **options: object) -> Trace:
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    with explainer.record(network, criterion=criterion, optimizer=optimizer, **options) as recorder:
        for _ in range(STEPS):
            optimizer.zero_grad()
            criterion(network(x), y).backward()
            optimizer.step()
    return recorder.trace


def chains() -> dict[str, tuple[nn.Sequential, nn.Module, torch.Tensor, torch.Tensor]]:
    torch.manual_seed(1)
    x = torch.randn(6, 4, dtype=torch.float64)
    tanh = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    relu = nn.Sequential(nn.Linear(4, 7), nn.ReLU(), nn.Linear(7, 3)).double()
    log = nn.Sequential(nn.Linear(4, 3, bias=False), nn.Sigmoid(), nn.Linear(3, 3), nn.LogSoftmax(dim=1)).double()
    late = nn.Sequential(nn.Tanh(), nn.Linear(4, 3), nn.Softmax(dim=1)).double()
    classes = torch.arange(6) % 3
    return {
        "mean squared": (tanh, nn.MSELoss(), x, x[:, :3]),
        "summed": (copy.deepcopy(tanh), nn.MSELoss(reduction="sum"), x, x[:, 1:]),
        "cross-entropy": (relu, nn.CrossEntropyLoss(), x, classes),
        "log-likelihood": (log, nn.NLLLoss(), x, classes),
        "first layer without weights": (late, nn.MSELoss(), x, x[:, :3]),
    }


def seen_by_torch(name: str, change: Change, trace: Trace) -> tuple[list[torch.Tensor], float]:
    """Return per layer the change of its output, and of the loss, as torch computes them with the recorded weights."""
    network, criterion, x, y = chains()[name]
    network.load_state_dict({each: torch.tensor(trace.parameters[each][change.step]) for each in trace.parameters})
    outputs: list[list[torch.Tensor]] = []
    losses = []
    for added in (0.0, change.epsilon):
        with torch.no_grad():
            network.get_parameter(change.parameter)[change.entry] += added
            outputs.append([])
            value = x
            for layer in network:
                value = layer(value)
                outputs[-1].append(value)
            losses.append(float(criterion(value, y)))
    return [after - before for before, after in zip(*outputs, strict=True)], losses[1] - losses[0]


@pytest.mark.parametrize("name", chains())
@pytest.mark.parametrize("step", range(STEPS))
def test_every_change_is_what_torch_computes_with_that_weight_larger(name: str, step: int) -> None:
    trace = trained(*chains()[name])
    change = follow(trace, step)
    changes, loss_change = seen_by_torch(name, change, trace)
    assert list(change.changes) == list(trace.layers)
    for layer, expected in zip(trace.layers, changes, strict=True):
        np.testing.assert_allclose(change.changes[layer], expected.numpy(), rtol=1e-7, atol=1e-15)
    assert change.loss_change == pytest.approx(loss_change, rel=1e-6, abs=1e-14)


@pytest.mark.parametrize("name", chains())
def test_the_share_that_arrives_at_the_loss_is_the_recorded_gradient(name: str) -> None:
    trace = trained(*chains()[name])
    change = follow(trace, 1)
    assert change.recorded == trace.parameter_gradients[change.parameter][1][change.entry]
    assert change.ratio == change.loss_change / EPSILON
    assert change.ratio == pytest.approx(change.recorded, rel=2e-5)
    assert change.difference == abs(change.ratio - change.recorded)


def test_the_weight_is_that_of_the_first_layer_with_weights_whose_gradient_is_largest() -> None:
    trace = trained(*chains()["first layer without weights"])
    change = follow(trace, 2)
    assert change.parameter == "1.weight"
    gradient = np.abs(trace.parameter_gradients["1.weight"][2])
    assert gradient[change.entry] == gradient.max()
    assert change.weight == trace.parameters["1.weight"][2][change.entry]


def test_it_is_a_weight_that_a_picture_of_16_rows_and_columns_shows() -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 30)
    x[:, 20:] *= 100
    trace = trained(nn.Sequential(nn.Linear(30, 20), nn.ReLU(), nn.Linear(20, 2)), nn.MSELoss(), x, x[:, :2])
    change = follow(trace, 0)
    gradient = np.abs(trace.parameter_gradients["0.weight"][0])
    assert max(change.entry) < 16
    assert gradient[change.entry] == gradient[:16, :16].max() < gradient.max()


def test_in_the_lesson_finite_difference_and_autograd_agree_to_nine_digits_by_steps_both_ways() -> None:
    trace = record_lesson("two-layer", steps=20)
    forth, back = follow(trace, 13, epsilon=1e-5), follow(trace, 13, epsilon=-1e-5)
    assert forth.entry == back.entry
    assert (forth.ratio + back.ratio) / 2 == pytest.approx(forth.recorded, rel=1e-9)


def test_values_and_loss_are_the_recorded_ones() -> None:
    trace = record_lesson("two-layer", steps=20)
    change = follow(trace, 13)
    for layer in trace.layers:
        np.testing.assert_allclose(change.values[layer], trace.activations[layer][13], rtol=0, atol=1e-15)
    assert change.loss == pytest.approx(trace.scalars["loss"][13], abs=1e-14)


def test_a_weight_that_reaches_nothing_changes_nothing() -> None:
    x = torch.ones(2, 2)
    network = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    nn.init.constant_(network[0].bias, -9.0)  # no ReLU ever opens
    change = follow(trained(network, nn.MSELoss(), x, x[:, :1]), 0)
    assert (change.loss_change, change.ratio, change.recorded) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("layers", "options", "complaint"),
    [
        ([nn.Linear(2, 2), nn.GELU()], {}, "layer '1' is a GELU, whose derivative is not worked out by hand"),
        ([nn.Linear(2, 2)], {"examples": 3}, "keeps a part of it: record with examples=None"),
        ([nn.Tanh()], {}, "has no layer with weights"),
    ],
)
def test_a_trace_in_which_nothing_can_be_followed_says_why(
    layers: list[nn.Module], options: dict[str, object], complaint: str
) -> None:
    network = nn.Sequential(*layers)
    x = torch.ones(5, 2, requires_grad=True)
    optimizer = torch.optim.SGD([*network.parameters(), nn.Parameter(torch.zeros(1))], lr=0.1)
    criterion = nn.MSELoss()
    with explainer.record(network, criterion=criterion, optimizer=optimizer, **options) as recorder:
        criterion(network(x), torch.zeros(5, 2)).backward()
        optimizer.step()
    with pytest.raises(TraceError, match=complaint):
        follow(recorder.trace)
