"""The history of a network: what the diagram shows at a step is what was recorded at that step."""

from __future__ import annotations

import numpy as np
import pytest

manim = pytest.importorskip("manim", reason="films are not installed")
torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

import explainer  # noqa: E402
from explainer.mobjects.network_history import NetworkHistory, between, dense_chain, network_history  # noqa: E402

SHOWN = np.arange(4)


def recorded(model: nn.Module, shape: tuple[int, ...] = (30,), **options: object) -> explainer.Trace:
    """Three steps of a model that chooses between four classes, with a probe of two examples."""
    torch.manual_seed(0)
    inputs, targets = torch.randn(8, *shape), torch.arange(8) % 4
    optimizer, criterion = torch.optim.SGD(model.parameters(), lr=0.5), nn.CrossEntropyLoss()
    probe = (inputs[:2], targets[:2])
    with explainer.record(model, criterion=criterion, optimizer=optimizer, probe=probe, **options) as recorder:
        for _ in range(3):
            optimizer.zero_grad()
            criterion(model(inputs), targets).backward()
            optimizer.step()
    return recorder.trace


def history(trace: explainer.Trace) -> NetworkHistory | None:
    outputs = np.arange(12.0).reshape(3, 4)
    return network_history(trace, 1, outputs, SHOWN, inputs="pixels", named="classes")


@pytest.fixture(scope="module")
def dense() -> explainer.Trace:
    return recorded(
        nn.Sequential(nn.Linear(30, 20), nn.ReLU(), nn.Dropout(0.1), nn.Linear(20, 4), nn.LogSoftmax(dim=1))
    )


def test_a_column_ends_where_the_next_weights_begin(dense: explainer.Trace) -> None:
    assert [(link.weight, link.layer, link.type) for link in dense_chain(dense.model)] == [
        ("0.weight", "2", "Dropout"),
        ("3.weight", "4", "LogSoftmax"),
    ]


def test_a_network_that_flattens_images_first_is_a_chain() -> None:
    trace = recorded(nn.Sequential(nn.Flatten(), nn.Linear(30, 4)), (1, 5, 6))
    assert [link.weight for link in dense_chain(trace.model)] == ["1.weight"]
    seen = history(trace)
    assert seen is not None and seen.activations[0].shape == (3, 30)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(30, 30), nn.Linear(30, 30), nn.Linear(30, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.first(x)
        return self.last(self.second(hidden) + hidden)


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(24, 4)), (1, 5, 6)),
        (Residual(), (30,)),
    ],
)
def test_what_is_no_chain_of_dense_layers_is_not_drawn_as_one(model: nn.Module, shape: tuple[int, ...]) -> None:
    trace = recorded(model, shape)
    assert dense_chain(trace.model) == []
    assert history(trace) is None


def test_without_kept_weights_there_is_no_diagram() -> None:
    assert history(recorded(nn.Sequential(nn.Linear(30, 4)), keep=("activations",))) is None


def test_its_numbers_are_the_recorded_ones(dense: explainer.Trace) -> None:
    seen = history(dense)
    assert seen is not None and seen.names == ("pixels", "Dropout", "classes")
    np.testing.assert_array_equal(seen.activations[0], np.broadcast_to(dense.probe.inputs[1], (3, 30)))
    np.testing.assert_array_equal(seen.activations[1], np.asarray(dense.probe.activations["2"])[:, 1])
    first, second = np.asarray(dense.parameters["0.weight"]), np.asarray(dense.parameters["3.weight"])
    rows, columns = seen.drawn[1], seen.drawn[0]
    np.testing.assert_array_equal(seen.weights[0], first[:, rows][:, :, columns])
    np.testing.assert_array_equal(seen.weights[1], second[:, :, rows])


def test_the_diagram_shows_a_recorded_step_as_it_was(dense: explainer.Trace) -> None:
    seen = history(dense)
    assert seen is not None
    diagram = seen.diagram()
    seen.show(diagram, 2)
    np.testing.assert_array_equal(diagram.edges[0].weights, seen.weights[0][2])
    np.testing.assert_array_equal(diagram.units[2].values, [8, 9, 10, 11])
    assert diagram.edges[0].largest == pytest.approx(np.abs(seen.weights[0]).max())


def test_between_two_steps_lies_the_mixture_of_both() -> None:
    steps = np.array([[0.0, 10.0], [1.0, 20.0], [3.0, 0.0]])
    np.testing.assert_array_equal(between(steps, 1), steps[1])
    np.testing.assert_array_equal(between(steps, 2), steps[2])
    np.testing.assert_allclose(between(steps, 1.25), [1.5, 15.0])
