"""Gradients over a whole run: what is left of long and deep ones keeps its peaks, its zeros and its gaps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from synthetic import of_gradients, synthetic
from torch import nn

import explainer
from explainer.errors import TraceError
from explainer.histories import column_edges, gradient_history


def test_a_short_run_is_the_recorded_norms() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Sigmoid(), nn.Linear(4, 1))
    with explainer.record(model, every=3) as recorder:
        for _ in range(7):
            loss = model(torch.ones(5, 3)).sum()
            loss.backward()
            recorder.step(loss)
    history = gradient_history(recorder.trace)
    assert history.names == ("0", "1", "2")
    recorded = recorder.trace.statistics["gradients"]
    assert history.sizes.tolist() == [recorded[name]["norm"].tolist() for name in history.names]
    assert history.edges.tolist() == [0, 3, 6, 9]
    assert not history.missing and not history.nonfinite.any()


def test_of_a_long_run_each_column_is_its_largest_and_no_peak_is_lost() -> None:
    norms = np.random.default_rng(0).random((3, 100_000))
    norms[1, 61_803] = 99
    history = gradient_history(of_gradients(norms))
    assert history.sizes.shape == (3, 300)
    starts = history.edges[:-1].astype(int)
    assert history.sizes[1].max() == 99
    for row in range(3):
        assert history.sizes[row].tolist() == [part.max() for part in np.split(norms[row], starts[1:])]
    assert history.steps_each == 334


def test_of_a_very_deep_network_neighbours_share_a_row() -> None:
    norms = np.arange(1.0, 451).reshape(450, 1).repeat(2, axis=1)
    history = gradient_history(of_gradients(norms))
    assert len(history.names) <= 200 and history.layers_each == 3
    assert history.sizes[-1, 0] == 450 and history.sizes[0, 0] == history.layers_each - 1


def test_none_zero_and_not_finite_stay_apart() -> None:
    none, lost = np.full(3, np.nan), np.array([0.0, 2, 0])
    table = {
        "none": {"norm": none, "nonfinite": none},
        "zero": {"norm": np.zeros(3)},
        "lost": {"norm": np.array([1.0, np.inf, 3]), "nonfinite": lost},
    }
    trace = synthetic({"gradients": table}, steps=[0, 1, 2], missing={"none": "it was frozen"})
    history = gradient_history(trace)
    assert history.missing == {"none": "it was frozen"}
    np.testing.assert_array_equal(history.sizes, [none, np.zeros(3), [1, np.nan, 3]])
    assert history.nonfinite.tolist() == [[False] * 3, [False] * 3, [False, True, False]]


def test_without_any_gradient_the_reason_is_said() -> None:
    none = {"norm": np.nan, "nonfinite": np.nan}
    with pytest.raises(TraceError, match="no gradient was recorded at any step: it was frozen"):
        gradient_history(synthetic({"gradients": {"0": none}}, steps=[0], missing={"0": "it was frozen"}))
    with pytest.raises(TraceError, match="holds no step"):
        gradient_history(synthetic({}, steps=[]))


def test_a_column_ends_where_the_next_begins_and_the_last_is_as_wide_as_the_one_before() -> None:
    steps = np.array([0, 1, 5, 11])
    assert column_edges(steps, [slice(0, 1), slice(1, 3), slice(3, 4)]).tolist() == [0, 1, 11, 17]
    assert column_edges(np.array([7]), [slice(0, 1)]).tolist() == [7, 8]
