"""The lesson `sine`, held to rows 2 and 3 of the lecture's table, and to the straight line that numpy fits."""

from __future__ import annotations

import numpy as np
import pytest

from explainer import lessons
from explainer.trace import Trace


@pytest.fixture(scope="module")
def runs() -> dict[str, Trace]:
    return lessons.record_runs("sine")


def test_the_curves_belong_to_the_same_examples(runs: dict[str, Trace]) -> None:
    assert list(runs) == ["ReLU", "tanh", "identity", "identity, 4 wide"]
    for trace in runs.values():
        assert trace.probe is not None
        x = trace.probe.inputs[:, 0]
        assert (len(x), x[0], x[-1]) == (200, -3, 3)
        np.testing.assert_allclose(trace.probe.targets[:, 0], np.sin(2 * x), atol=1e-6)
        curve = trace.probe.activations["2"][-1][:, 0]
        assert trace.scalars["probe_loss"][-1] == pytest.approx(np.mean((curve - np.sin(2 * x)) ** 2), rel=1e-3)


def test_with_a_non_linear_activation_the_network_becomes_the_sine(runs: dict[str, Trace]) -> None:
    for name in ("ReLU", "tanh"):
        assert runs[name].scalars["probe_loss"][0] > 0.4
        assert runs[name].scalars["probe_loss"][-1] < 1e-3


def test_without_one_it_is_the_best_straight_line_however_wide(runs: dict[str, Trace]) -> None:
    x = np.linspace(-3, 3, 200)
    _, residual, *_ = np.linalg.lstsq(np.stack([x, np.ones(200)], axis=1), np.sin(2 * x), rcond=None)
    assert residual[0] / 200 == pytest.approx(0.43598, abs=5e-6)
    for name in ("identity", "identity, 4 wide"):
        assert runs[name].scalars["probe_loss"][-1] == pytest.approx(0.43598, abs=2e-5)
        curve = np.asarray(runs[name].probe.activations["2"][-1], np.float64)[:, 0]  # type: ignore[union-attr]
        assert np.abs(np.diff(curve, 2)).max() < 1e-5


def test_the_first_steps_are_recorded_closely_and_the_last_is_there(runs: dict[str, Trace]) -> None:
    steps = runs["ReLU"].steps
    assert steps[:20].tolist() == list(range(20))
    assert steps[-1] == 2999
    assert len(steps) < 100
