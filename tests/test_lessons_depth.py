"""The lesson `depth`, held to what storyboard 10 says was measured."""

from __future__ import annotations

import numpy as np
import pytest

from explainer import flow, lessons
from explainer.trace import Trace

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs() -> dict[str, Trace]:
    return lessons.record_runs("depth")


def norms(trace: Trace, step: int) -> np.ndarray:
    """Return ‖∂loss/∂output‖ of the eight layers with weights, (8,), the first layer first."""
    return flow.gradient_norms(trace)[::2, trace.index_of(step)]


def test_eight_layers_three_times_from_the_same_data(runs: dict[str, Trace]) -> None:
    assert list(runs) == ["sigmoid", "ReLU", "He ReLU"]
    for trace in runs.values():
        linear = [layer for layer in trace.model.layers.values() if layer.type == "Linear"]
        assert [layer.output_shape[-1] for layer in linear if layer.output_shape] == [32] * 7 + [10]
        assert trace.steps[-1] == 20 * 23 - 1


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("sigmoid", 0.22, 0.28), ("ReLU", 0.36, 0.48), ("He ReLU", 0.84, 1.06)],
)
def test_each_layer_passes_on_the_share_that_was_measured(
    runs: dict[str, Trace], name: str, least: float, most: float
) -> None:
    first = norms(runs[name], 0)
    shares = first[:-1] / first[1:]
    assert least <= shares.min()
    assert shares.max() <= most


def test_through_sigmoids_almost_nothing_reaches_the_first_layer(runs: dict[str, Trace]) -> None:
    first = norms(runs["sigmoid"], 0)
    assert first[0] == pytest.approx(0.0000069, abs=1e-7)
    assert first[-1] == pytest.approx(0.12, abs=0.005)


def test_where_no_gradient_arrives_nothing_is_learned(runs: dict[str, Trace]) -> None:
    ends = {name: trace.scalars["test_accuracy"][-1] for name, trace in runs.items()}
    assert ends["sigmoid"] < 0.13
    assert ends["ReLU"] < 0.13
    epochs = np.asarray(runs["He ReLU"].scalars["test_accuracy"], float)
    epochs = epochs[np.isfinite(epochs)]
    assert ends["He ReLU"] > 0.7  # a step of α = 0.1 still jumps at the end: last bits decide between 0.78 and 0.97
    assert epochs[-10:].max() == pytest.approx(0.97, abs=0.015)
    assert runs["sigmoid"].scalars["loss"][-1] == pytest.approx(np.log(10), abs=0.05)


def test_gradients_are_kept_beside_their_norms(runs: dict[str, Trace]) -> None:
    trace = runs["He ReLU"]
    assert trace.gradients["0"].shape[1:] == (8, 32)
    assert trace.notes["data"] == "1,797 real scans of 8×8 pixels"
