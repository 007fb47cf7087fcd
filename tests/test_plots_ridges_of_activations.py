"""activations: each ridge is the histogram of kept activations, and each share is counted."""

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
    return {name: small_run(name) for name in ("ReLU", "Sigmoid")}


def areas(axes: Axes, *, hatched: bool = False) -> list[FillBetweenPolyCollection]:
    found = [area for area in axes.collections if isinstance(area, FillBetweenPolyCollection)]
    return [area for area in found if bool(area.get_hatch()) == hatched]


def assert_is_histogram_of(area: FillBetweenPolyCollection, row: int, values: np.ndarray) -> None:
    """Assert that a ridge is numpy's own histogram of values, as high as its peak."""
    upper = {x: row for x, _ in area.get_paths()[0].vertices}
    for x, y in area.get_paths()[0].vertices:
        upper[x] = min(upper[x], y)
    middles = np.array(sorted(upper))
    width = middles[1] - middles[0]
    counts, _ = np.histogram(values, bins=len(middles), range=(middles[0] - width / 2, middles[-1] + width / 2))
    heights = (row - np.array([upper[x] for x in middles])) / TALL
    np.testing.assert_allclose(heights, counts / counts.max(), atol=1e-9)


@pytest.mark.parametrize("step", [0, -1])
def test_a_ridge_is_the_histogram_of_a_layers_kept_activations(step: int, runs: dict[str, Trace]) -> None:
    for trace in runs.values():
        for row, (area, layer) in enumerate(zip(areas(plots.activations(trace, step=step)), trace.layers, strict=True)):
            values = np.asarray(trace.activations[layer][step])
            assert_is_histogram_of(area, row, values[values != 0] if layer == "2" else values)


def test_the_line_in_a_ridge_is_its_median_and_so_are_the_words(runs: dict[str, Trace]) -> None:
    axes = plots.activations(runs["Sigmoid"], layers=["1", "2"])
    medians = [np.median(runs["Sigmoid"].activations[layer][-1].astype(np.float64)) for layer in ("1", "2")]
    drawn = [line.get_xdata()[0] for line in axes.get_lines() if len(line.get_ydata()) == 2][:2]
    np.testing.assert_allclose(drawn, medians)
    assert all(f"{plots.style.number(float(median))} in" in plots.describe(axes) for median in medians)


def test_a_relus_zeros_are_those_of_the_whole_batch(runs: dict[str, Trace]) -> None:
    trace = runs["ReLU"]
    axes = plots.activations(trace, step=3)
    share = trace.statistics["activations"]["2"]["zero_fraction"][3]
    assert 0 < share < 1
    assert f"{100 * share:.0f} % are 0" in written(axes)
    assert "zeros: shares of whole batches, in no ridge" in written(axes)


def test_what_is_saturated_is_counted_and_hatched_from_the_ends_on() -> None:
    values = np.concatenate([np.linspace(0, 0.04, 30), np.linspace(0.1, 0.9, 60), np.linspace(0.96, 1, 10)])
    trace = synthetic(
        {"activations": {"0": {"norm": 1.0}}}, steps=[0], kinds={"0": "Sigmoid"},
        tensors={"activations": {"0": values.reshape(1, 10, 10)}},
    )  # fmt: skip
    axes = plots.activations(trace)
    assert "40 % saturated" in written(axes)
    below, above = (area.get_clip_box() for area in areas(axes, hatched=True))
    to_data = axes.transData.inverted()
    assert [below.transformed(to_data).x1, above.transformed(to_data).x0] == pytest.approx([0.05, 0.95])
    assert "hatched: saturated" in written(axes)


def test_where_nothing_is_saturated_nothing_is_hatched(runs: dict[str, Trace]) -> None:
    axes = plots.activations(runs["Sigmoid"], step=0, layers="2")
    assert "0 % saturated" in written(axes)
    assert not areas(axes, hatched=True)


def test_several_runs_stand_side_by_side_on_one_scale(runs: dict[str, Trace]) -> None:
    axes = plots.activations(runs)
    first, second = axes.child_axes
    assert first.get_xlim() == second.get_xlim()
    assert_is_histogram_of(areas(second)[2], 2, np.asarray(runs["Sigmoid"].activations["2"][-1]))
    assert_legible(axes)


def test_layers_that_reach_much_further_than_others_make_the_scale_logarithmic() -> None:
    values = {str(place): np.linspace(-1, 1, 40).reshape(1, 4, 10) * size for place, size in enumerate((1, 1, 1, 1e4))}
    trace = synthetic({"activations": {name: {} for name in values}}, steps=[0], tensors={"activations": values})
    axes = plots.activations(trace)
    assert "log scale beyond ±1.0" in written(axes)
    assert_is_histogram_of(areas(axes)[3], 3, np.arcsinh(values["3"] / 0.996))
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert "0" in labels and any("10" in label for label in labels)


def test_of_very_many_layers_the_activation_functions_are_drawn_and_that_is_said() -> None:
    kinds = {str(place): "Tanh" if place % 10 == 5 else "Linear" for place in range(200)}
    values = {name: np.random.default_rng(0).normal(size=(1, 4, 8)) / 3 for name in kinds}
    statistics = {"activations": {name: {} for name in kinds}}
    trace = synthetic(statistics, steps=[0], kinds=kinds, tensors={"activations": values})
    axes = plots.activations(trace)
    assert len(names(axes)) <= 18
    assert "the activation functions, 20 of 200 layers" in written(axes)
    assert_legible(axes)
    assert names(plots.activations(trace, layers=["15", "2"])) == ["2  Linear", "15  Tanh"]


def test_integers_and_values_that_are_not_finite_are_drawn_or_said() -> None:
    values = {
        "0": np.arange(24).reshape(1, 4, 6),
        "1": np.full((1, 4, 6), np.nan),
        "2": np.where(np.eye(4), np.inf, 1.0)[None],
    }
    trace = synthetic({"activations": {name: {} for name in values}}, steps=[0], tensors={"activations": values})
    axes = plots.activations(trace)
    assert_is_histogram_of(areas(axes)[0], 0, values["0"])
    assert "25 % not finite" in written(axes)
    assert "not finite" in written(axes).splitlines()


def test_what_cannot_be_drawn_says_why(runs: dict[str, Trace]) -> None:
    with pytest.raises(TraceError, match=r'keeps no activations.*record with keep=\("activations"'):
        plots.activations(small_run(steps=1, keep=()))
    with pytest.raises(UnknownName, match="no layer is called 'conv"):
        plots.activations(runs["ReLU"], layers="conv*")
    nothing = synthetic(
        {"activations": {"0": {}}}, steps=[0], tensors={"activations": {"0": np.full((1, 2, 2), np.nan)}}
    )
    with pytest.raises(TraceError, match="no activation at this step is a finite number"):
        plots.activations(nothing)
    assert not plt.get_fignums()
