"""gradient_distribution: each ridge is the histogram of kept gradients, by layer or by step."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from drawn import assert_legible, names, written
from matplotlib.axes import Axes
from matplotlib.collections import FillBetweenPolyCollection
from synthetic import small_run, synthetic

from explainer import plots
from explainer.errors import TraceError, UnknownName
from explainer.plots.rows import TALL
from explainer.trace import Trace


@pytest.fixture(scope="module")
def runs() -> dict[str, Trace]:
    return {name: small_run(name, steps=25) for name in ("ReLU", "Sigmoid")}


def ridges(axes: Axes) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Return for each row with a shape its places and its heights, from 0 to 1."""
    found = {}
    for area in axes.collections:
        if isinstance(area, FillBetweenPolyCollection) and area.get_hatch() is None:
            points = area.get_paths()[0].vertices
            row = round(points[:, 1].max())
            upper = points[points[:, 1] <= row]
            order = np.unique(upper[:, 0], return_index=True)[1]
            tops = {x: upper[upper[:, 0] == x][:, 1].min() for x in upper[order][:, 0]}
            found[row] = np.array(list(tops)), (row - np.array(list(tops.values()))) / TALL
    return found


def assert_is_histogram_of(ridge: tuple[np.ndarray, np.ndarray], values: np.ndarray) -> None:
    """Assert that a ridge is numpy's own histogram of the logarithms of values, as high as its peak."""
    middles, heights = ridge
    width = middles[1] - middles[0]
    edges = np.append(middles - width / 2, middles[-1] + width / 2)
    counts, _ = np.histogram(np.log10(np.abs(values[values != 0].astype(np.float64))), bins=edges)
    np.testing.assert_allclose(heights, counts / counts.max(), atol=1e-9)


@pytest.mark.parametrize("step", [0, -1])
def test_a_ridge_is_the_histogram_of_a_layers_kept_gradients(step: int, runs: dict[str, Trace]) -> None:
    for trace in runs.values():
        drawn = ridges(plots.gradient_distribution(trace, step=step))
        for row, layer in enumerate(trace.layers):
            if layer in trace.gradients:
                assert_is_histogram_of(drawn[row], np.asarray(trace.gradients[layer][step]))


def test_zeros_are_said_at_the_rows_end_and_a_layer_without_a_gradient_says_none(runs: dict[str, Trace]) -> None:
    axes = plots.gradient_distribution(runs["ReLU"])
    zeros = np.mean(np.asarray(runs["ReLU"].gradients["1"][-1]) == 0)
    assert 0 < zeros < 1
    assert f"{100 * zeros:.0f} % are 0" in written(axes)
    assert "none: the output does not require one" in written(axes)
    assert "of the 8 examples kept" in written(axes)


def test_the_line_in_a_ridge_is_its_median(runs: dict[str, Trace]) -> None:
    axes = plots.gradient_distribution(runs["Sigmoid"])
    medians = [line.get_xdata()[0] for line in axes.get_lines()]
    found = [np.abs(runs["Sigmoid"].gradients[layer][-1].astype(np.float64)) for layer in ("1", "2", "3")]
    expected = [np.log10(np.median(each)) for each in found]
    np.testing.assert_allclose(medians, expected, rtol=1e-6)


def test_over_steps_the_ridges_are_of_one_layer_from_the_first_step_to_the_last(runs: dict[str, Trace]) -> None:
    trace = runs["ReLU"]
    axes = plots.gradient_distribution(trace, over="steps", layer="3")
    shown = names(axes)
    assert shown[0] == "step 0" and shown[-1] == "step 24" and len(shown) == 10
    for row, drawn in ridges(axes).items():
        index = trace.index_of(int(shown[row].removeprefix("step ")))
        assert_is_histogram_of(drawn, np.asarray(trace.gradients["3"][index]))
    assert "layer 3  Linear" in written(axes)
    assert "layer 1  Linear" in written(plots.gradient_distribution(trace, over="steps"))  # the first with a gradient


def test_several_runs_stand_side_by_side_on_one_scale(runs: dict[str, Trace]) -> None:
    axes = plots.gradient_distribution(runs)
    first, second = axes.child_axes
    assert first.get_xlim() == second.get_xlim()
    for inside, trace in zip((first, second), runs.values(), strict=True):
        assert_is_histogram_of(ridges(inside)[3], np.asarray(trace.gradients["3"][-1]))
    assert_legible(axes)


def test_of_sixty_layers_groups_are_counted_together() -> None:
    layers = [f"blocks.{place // 6}.{place % 6}" for place in range(60)]
    values = {name: np.random.default_rng(place).normal(size=(1, 4, 50)) for place, name in enumerate(layers)}
    statistics = {"gradients": {name: {"norm": 1.0} for name in layers}}
    trace = synthetic(statistics, steps=[0], tensors={"gradients": values})
    axes = plots.gradient_distribution(trace)
    assert names(axes) == [f"blocks.{place}" for place in range(10)]
    assert_is_histogram_of(ridges(axes)[3], np.concatenate([values[f"blocks.3.{part}"][0] for part in range(6)]))
    assert "60 layers in 10 rows" in written(axes)
    assert_legible(axes)


def test_gradients_of_only_zeros_or_no_finite_number_are_said() -> None:
    values = {"dead": np.zeros((1, 4, 3)), "lost": np.full((1, 4, 3), np.inf), "fine": np.ones((1, 4, 3))}
    trace = synthetic({"gradients": {name: {} for name in values}}, steps=[0], tensors={"gradients": values})
    axes = plots.gradient_distribution(trace)
    assert list(ridges(axes)) == [0, 1, 2]
    assert "all are 0" in written(axes) and "not finite" in written(axes)
    assert not np.any(ridges(axes)[0][1]) and np.any(ridges(axes)[2][1])


def test_what_cannot_be_drawn_says_why(runs: dict[str, Trace]) -> None:
    with pytest.raises(TraceError, match=r'keeps no gradients.*record with keep=\("gradients"'):
        plots.gradient_distribution(small_run(steps=1, keep=()))
    with pytest.raises(TraceError, match=r"no choice of ridges is called 'step'. Did you mean 'steps'"):
        plots.gradient_distribution(runs["ReLU"], over="step")
    with pytest.raises(UnknownName, match="no layer is called '9'"):
        plots.gradient_distribution(runs["ReLU"], over="steps", layer="9")
    with pytest.raises(TraceError, match="layer '0' has no gradient: no gradient: the output does not require one"):
        plots.gradient_distribution(runs["ReLU"], over="steps", layer="0")
    with pytest.raises(TraceError, match="step 99 was not recorded"):
        plots.gradient_distribution(runs["ReLU"], step=99)
    assert not plt.get_fignums()
