"""The plane of two inputs: recorded grids as they were recorded, worked-out ones against torch, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import explainer
from explainer.classifier import read_classifier
from explainer.errors import TraceError
from explainer.forward import forward
from explainer.plane import read_plane
from explainer.trace import Trace

GENERATOR = torch.Generator().manual_seed(0)
POINTS = torch.randn(12, 2, generator=GENERATOR)
LABELS = (POINTS[:, 0] > 0).long()
GRID = torch.cartesian_prod(torch.linspace(-2, 2, 5), torch.linspace(-1, 1, 4))


def record(model: nn.Module, criterion: nn.Module, labels: torch.Tensor, **options: Any) -> Trace:
    """Train three steps on all points."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    with explainer.record(model, criterion=criterion, optimizer=optimizer, examples=None, **options) as recorder:
        for _ in range(3):
            optimizer.zero_grad()
            criterion(model(POINTS), labels).backward()
            optimizer.step()
    return recorder.trace


def network(*last: nn.Module, bend: type[nn.Module] = nn.Tanh) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 6), bend(), *(last or (nn.Linear(6, 2),)))


def with_grid(order: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    grid = GRID if order is None else GRID[order]
    return torch.cat([grid, POINTS]), torch.cat([torch.full((len(grid),), -100), LABELS])


def at(trace: Trace, layer: str, index: int, x: float, y: float) -> np.ndarray:
    """Return what the probe recorded of a layer at a point of the grid."""
    assert trace.probe is not None
    away = np.abs(trace.probe.inputs[:20] - np.array([x, y])).sum(axis=1)
    return np.asarray(trace.probe.activations[layer][index][away.argmin()])


@pytest.mark.parametrize("order", [None, torch.randperm(20, generator=GENERATOR)])
def test_a_recorded_grid_is_laid_out_by_its_inputs_whatever_their_order(order: torch.Tensor | None) -> None:
    trace = record(network(), nn.CrossEntropyLoss(), LABELS, probe=with_grid(order))
    plane = read_plane(trace, 1)
    assert plane.recorded
    assert plane.probed
    np.testing.assert_allclose(plane.across, [-2, -1, 0, 1, 2])
    np.testing.assert_allclose(plane.up, np.linspace(-1, 1, 4), rtol=1e-6)
    assert plane.at("0").shape == (4, 5, 6)
    for row, column in ((0, 0), (3, 1), (1, 4)):
        x, y = plane.across[column], plane.up[row]
        np.testing.assert_array_equal(plane.at("0")[row, column], at(trace, "0", 1, x, y))
        expected = torch.softmax(torch.tensor(at(trace, "2", 1, x, y)), dim=0)
        np.testing.assert_allclose(plane.probabilities[row, column], expected, rtol=1e-5)


def test_the_examples_are_those_with_a_class_and_wrong_ones_are_told() -> None:
    trace = record(network(), nn.CrossEntropyLoss(), LABELS, probe=with_grid())
    plane = read_plane(trace, 0)
    np.testing.assert_array_equal(plane.points, POINTS.numpy())
    np.testing.assert_array_equal(plane.targets, LABELS)
    assert trace.probe is not None
    answers = trace.probe.activations["2"][0][20:].argmax(axis=1)
    np.testing.assert_array_equal(plane.wrong, answers != LABELS.numpy())
    assert 0 < plane.wrong.sum() < 12


@pytest.mark.parametrize("probe", [None, (POINTS, LABELS)])
def test_without_a_grid_one_is_worked_out_as_torch_would(probe: Any) -> None:
    model = network()
    trace = record(model, nn.CrossEntropyLoss(), LABELS, probe=probe)
    plane = read_plane(trace, 2)
    assert not plane.recorded
    assert plane.probed == (probe is not None)
    assert plane.largest_difference < 1e-5
    assert plane.across[0] < POINTS[:, 0].min()
    assert plane.across[-1] > POINTS[:, 0].max()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.tensor(trace.parameters[name][2]))
        inputs = torch.cartesian_prod(torch.tensor(plane.across), torch.tensor(plane.up)).float()
        expected = model(inputs).softmax(dim=1).reshape(61, 61, 2).swapaxes(0, 1)
    np.testing.assert_allclose(plane.probabilities, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("last", "criterion", "how"),
    [
        ((nn.Linear(6, 1),), nn.BCEWithLogitsLoss(), "sigmoid of the recorded score"),
        ((nn.Linear(6, 1), nn.Sigmoid()), nn.BCELoss(), "probability of class 1 as recorded"),
    ],
)
def test_one_output_stands_for_two_classes(last: tuple[nn.Module, ...], criterion: nn.Module, how: str) -> None:
    labels = LABELS[:, None].float()
    trace = record(network(*last), criterion, labels, probe=(POINTS, labels))
    plane = read_plane(trace, -1)
    assert trace.probe is not None
    scores = torch.tensor(trace.probe.activations["2"][-1])[:, 0]
    np.testing.assert_array_equal(plane.answers, (scores > 0).long())
    assert plane.probabilities.shape == (61, 61, 2)
    seen = read_classifier(trace)
    assert seen.how == how
    np.testing.assert_allclose(seen.probabilities(-1)[:, 1], torch.sigmoid(scores), rtol=1e-5)
    np.testing.assert_array_equal(seen.answers(-1), (scores > 0).long())


class Functional(nn.Module):
    """A network whose bend is no layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(2, 6), nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.tanh(self.first(x)))


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (lambda: network(bend=nn.GELU), "layer '1' is a GELU, which is not worked out here"),
        (Functional, "other outputs than were recorded"),
    ],
)
def test_what_cannot_be_worked_out_shows_how_to_record_a_grid(model: Any, why: str) -> None:
    trace = record(model(), nn.CrossEntropyLoss(), LABELS)
    with pytest.raises(TraceError, match=rf"(?s){why}.*grid = torch\.cartesian_prod.*probe=probe"):
        read_plane(trace, -1, "mine")
    recorded = record(model(), nn.CrossEntropyLoss(), LABELS, probe=with_grid())
    assert read_plane(recorded, -1).recorded


def test_a_trace_that_kept_nothing_shows_how_to_record_a_grid() -> None:
    with pytest.raises(TraceError, match=r"(?s)the trace 'mine' holds neither a probe nor its inputs.*cartesian_prod"):
        read_plane(record(network(), nn.CrossEntropyLoss(), LABELS, keep=()), -1, "mine")


def test_other_inputs_and_targets_are_refused() -> None:
    torch.manual_seed(0)
    deep, criterion = nn.Linear(3, 2), nn.CrossEntropyLoss()
    with explainer.record(deep, criterion=criterion) as recorder:
        loss = criterion(deep(torch.ones(4, 3)), torch.zeros(4, dtype=torch.long))
        loss.backward()
        recorder.step(loss)
    with pytest.raises(TraceError, match=r"is of shape \(3,\), and a plane is that of two numbers"):
        read_plane(recorder.trace, 0)
    regression = record(network(), nn.MSELoss(), torch.rand(12, 2))
    with pytest.raises(TraceError, match=r"are float32 of shape \(12, 2\), not a class number for each example"):
        read_plane(regression, 0)


def test_a_step_whose_outputs_are_no_numbers_is_refused() -> None:
    model = network()
    with torch.no_grad():
        model[2].weight.fill_(torch.nan)
    trace = record(model, nn.CrossEntropyLoss(), LABELS, probe=with_grid())
    with pytest.raises(TraceError, match=r"at step 1 not all outputs of the trace are finite numbers"):
        read_plane(trace, 1)


def test_layers_give_for_other_inputs_what_torch_gives() -> None:
    model = network(nn.Linear(6, 3), nn.Sigmoid(), nn.Linear(3, 3, bias=False), nn.LogSoftmax(dim=1), bend=nn.ReLU)
    trace = record(model, nn.NLLLoss(), LABELS)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.tensor(trace.parameters[name][1]))
        x = GRID
        for layer, found in zip(model, forward(trace, 1, GRID).values(), strict=True):
            x = layer(x)
            np.testing.assert_allclose(found, x, atol=1e-6)


def test_layers_that_do_not_stand_in_a_line_are_refused() -> None:
    class Skip(Functional):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.second(self.first(x)) + x

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.again = nn.Linear(2, 2), nn.Tanh()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.again(self.first(self.again(x)))

    twice = record(Twice(), nn.CrossEntropyLoss(), LABELS)
    np.testing.assert_allclose(forward(twice, 0, POINTS)["again:1"], twice.activations["again:1"][0], atol=1e-6)
    with pytest.raises(TraceError, match=r"the loss of the trace reads layer 'second' only through AddBackward0"):
        read_plane(record(Skip(), nn.CrossEntropyLoss(), LABELS), 0)
    softmax = record(network(nn.Linear(6, 2), nn.Softmax(dim=0)), nn.CrossEntropyLoss(), LABELS)
    with pytest.raises(TraceError, match=r"layer '3' \(Softmax\) does not work on the output of 2 alone"):
        forward(softmax, 0, GRID)
