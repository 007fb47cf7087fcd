"""The lesson `learning-rates`, held to what the lecture's table says (rows 15, 30 and 31).

Steps that turn back cannot be held to a count: beyond α = 0.05 a last bit in a weight decides between, say, 106 and 143
of them, and α = 0.5 ends anywhere between 1.9 and 2.4. What is held is what does not depend on it.
"""

from __future__ import annotations

import numpy as np
import pytest

from explainer import flow, lessons
from explainer.trace import Trace

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs() -> dict[str, Trace]:
    return lessons.record_runs("learning-rates")


def test_all_runs_start_alike_and_say_their_rate(runs: dict[str, Trace]) -> None:
    assert list(runs) == ["α = 0.05", "α = 0.003", "α = 0.1", "α = 0.3", "α = 0.5"]
    first = runs["α = 0.05"]
    for name, trace in runs.items():
        assert trace.notes["run"] == name
        assert trace.steps.tolist() == list(range(150))
        assert (trace.scalars["learning_rate"] == float(name.removeprefix("α = "))).all()
        for parameter, values in trace.parameters.items():
            np.testing.assert_array_equal(values[0], first.parameters[parameter][0])


def test_a_good_rate_never_goes_up_and_never_turns_back(runs: dict[str, Trace]) -> None:
    trace = runs["α = 0.05"]
    assert flow.steps_up(trace).sum() == 0
    assert flow.bounces(trace).sum() == 0
    assert trace.scalars["loss"][-1] < 0.25


def test_too_small_a_rate_hardly_moves(runs: dict[str, Trace]) -> None:
    trace = runs["α = 0.003"]
    assert trace.scalars["loss"][-1] == pytest.approx(2.20, abs=0.02)
    assert flow.bounces(trace).sum() == flow.steps_up(trace).sum() == 0


@pytest.mark.parametrize(("name", "ends_below"), [("α = 0.1", 0.15), ("α = 0.3", 0.1)])
def test_larger_rates_bounce_and_arrive_all_the_same(runs: dict[str, Trace], name: str, ends_below: float) -> None:
    assert flow.bounces(runs[name]).mean() > 0.5
    assert flow.steps_up(runs[name]).any()
    assert runs[name].scalars["loss"][-1] < ends_below


def test_too_large_a_rate_bounces_and_never_settles(runs: dict[str, Trace]) -> None:
    trace = runs["α = 0.5"]
    assert flow.bounces(trace).mean() > 0.3
    assert flow.steps_up(trace).sum() > 20
    assert trace.scalars["loss"][-1] > 1


def test_a_step_is_the_rate_times_the_gradient(runs: dict[str, Trace]) -> None:
    for trace in runs.values():
        for index in (0, 75, 148):
            length = np.sqrt(sum(np.square(each[index], dtype=np.float64).sum() for each in trace.updates.values()))
            step = trace.scalars["learning_rate"][index] * trace.scalars["gradient_norm"][index]
            assert length == pytest.approx(step, rel=1e-4)


def test_only_weights_are_kept(runs: dict[str, Trace]) -> None:
    trace = runs["α = 0.05"]
    assert not len(trace.activations)
    assert not len(trace.gradients)
    assert trace.folder is not None
    written = sum(path.stat().st_size for path in trace.folder.iterdir())
    weights = sum(np.asarray(each[0]).nbytes for each in trace.parameters.values())
    assert written < 1.2 * 150 * weights
