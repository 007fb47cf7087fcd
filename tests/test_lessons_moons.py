"""The lesson `moons`: what bends tells all points apart; what does not ends at the best straight line's loss."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from explainer import lessons
from explainer.errors import LessonError
from explainer.lessons import moons
from explainer.trace import Trace


@pytest.fixture(scope="module")
def runs() -> dict[str, Trace]:
    return lessons.record_runs("moons")


def answers(trace: Trace) -> np.ndarray:
    """Return the class with the higher score of each of the probe's examples at the last step, (example,)."""
    assert trace.probe is not None
    return np.asarray(trace.probe.activations["3"][-1].argmax(axis=1))


def test_the_probe_holds_the_points_and_then_a_grid_that_has_no_class(runs: dict[str, Trace]) -> None:
    points, classes = moons.examples()
    for trace in runs.values():
        assert trace.probe is not None
        np.testing.assert_array_equal(trace.probe.inputs[:200], points)
        np.testing.assert_array_equal(trace.probe.targets[:200], classes)
        grid = trace.probe.inputs[200:].reshape(41, 41, 2)
        np.testing.assert_allclose(grid[:, 0, 0], np.linspace(-2, 3, 41), atol=1e-6)
        np.testing.assert_allclose(grid[0, :, 1], np.linspace(-1.5, 2, 41), atol=1e-6)
        assert set(trace.probe.targets[200:]) == {-100}
        assert (trace.probe.inputs[:200].min(axis=0) > grid[0, 0]).all()
        assert (trace.probe.inputs[:200].max(axis=0) < grid[-1, -1]).all()


def test_the_probes_loss_is_that_of_the_points_alone(runs: dict[str, Trace]) -> None:
    for trace in runs.values():
        assert trace.probe is not None
        scores = torch.tensor(trace.probe.activations["3"][-1][:200])
        expected = nn.functional.cross_entropy(scores, torch.tensor(trace.probe.targets[:200]))
        assert trace.scalars["probe_loss"][-1] == pytest.approx(float(expected), rel=1e-5)
        np.testing.assert_allclose(trace.scalars["probe_loss"], trace.scalars["loss"], rtol=1e-4)


def test_a_network_that_bends_tells_the_moons_apart(runs: dict[str, Trace]) -> None:
    for name in ("tanh", "ReLU"):
        assert (answers(runs[name])[:200] == moons.examples()[1].numpy()).mean() > 0.97
        assert runs[name].scalars["loss"][-1] < 0.06


def test_without_bending_it_is_the_best_straight_line(runs: dict[str, Trace]) -> None:
    from sklearn.linear_model import LogisticRegression

    points, classes = (each.numpy() for each in moons.examples())
    straight = LogisticRegression(C=1e6).fit(points, classes)
    p = straight.predict_proba(points)[np.arange(200), classes]
    assert runs["identity"].scalars["loss"][-1] == pytest.approx(-np.log(p).mean(), rel=0.02)
    assert 15 < (answers(runs["identity"])[:200] != classes).sum() < 40


def test_the_last_hidden_layer_has_two_units(runs: dict[str, Trace]) -> None:
    assert list(runs) == ["tanh", "ReLU", "identity"]
    for trace in runs.values():
        assert trace.model.layers["2"].output_shape == (200, 2)
        assert trace.steps[:6].tolist() == [0, 1, 2, 3, 4, 5]
        assert trace.steps[-1] == 299
        assert len(trace) < 30


def test_what_cannot_be_chosen_is_said() -> None:
    with pytest.raises(LessonError, match=r"lesson 'moons': no activation is called 'tan'. Did you mean 'tanh'"):
        moons.model("tan", 4, 0)
    with pytest.raises(LessonError, match=r"lesson 'moons': width=0 leaves no hidden layer"):
        moons.model("tanh", 0, 0)
