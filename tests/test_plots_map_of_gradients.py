"""gradient_history: each cell is a recorded norm, and what has no colour says why."""

from __future__ import annotations

from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
import pytest
from drawn import assert_legible, names, written
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection, QuadMesh
from synthetic import of_gradients, small_run, synthetic

from explainer import plots
from explainer.errors import TraceError
from explainer.trace import Trace


@pytest.fixture(scope="module")
def runs() -> dict[str, Trace]:
    return {name: small_run(name) for name in ("ReLU", "Sigmoid")}


def maps(axes: Axes) -> list[QuadMesh]:
    """Return the maps that are drawn, without the colour bar."""
    meshes = [mesh for mesh in axes.findobj(QuadMesh) if mesh.axes.get_label() != "<colorbar>"]
    return [mesh for mesh in meshes if mesh.axes.get_xlabel() == "step"]


def test_a_cell_is_the_recorded_norm_of_a_layer_at_a_step(runs: dict[str, Trace]) -> None:
    for trace in runs.values():
        (drawn,) = maps(plots.gradient_history(trace))
        recorded = np.array([trace.statistics["gradients"][name]["norm"] for name in trace.layers[1:]])
        np.testing.assert_array_equal(drawn.get_array()[1:], recorded)
        assert drawn.get_array().mask[0].all()  # Flatten reads the images themselves
        assert drawn.norm.vmin == recorded.min() and drawn.norm.vmax == recorded.max()


@pytest.mark.parametrize(("measure", "statistic"), [("mean", "abs_mean"), ("max", "max_abs")])
def test_another_measure_is_another_statistic(measure: str, statistic: str, runs: dict[str, Trace]) -> None:
    axes = plots.gradient_history(runs["ReLU"], measure=measure)
    recorded = runs["ReLU"].statistics["gradients"]["1"][statistic]
    np.testing.assert_array_equal(maps(axes)[0].get_array()[1], recorded)
    assert f"{measure} |∂loss/∂activation|" in written(axes)


def test_layers_stand_in_forward_order_from_the_top_with_their_classes(runs: dict[str, Trace]) -> None:
    inside = maps(plots.gradient_history(runs["ReLU"]))[0].axes
    assert names(inside) == ["0  Flatten", "1  Linear", "2  ReLU", "3  Linear"]
    bottom, top = inside.get_ylim()
    assert bottom > top
    assert inside.get_xlim() == (0, 12)


def test_several_runs_share_one_scale_of_colours_and_one_list_of_names(runs: dict[str, Trace]) -> None:
    axes = plots.gradient_history(runs)
    first, second = maps(axes)
    assert first.norm is second.norm
    for drawn, trace in zip((first, second), runs.values(), strict=True):
        np.testing.assert_array_equal(drawn.get_array()[3], trace.statistics["gradients"]["3"]["norm"])
    assert [each.axes.get_title(loc="left") for each in (first, second)] == ["ReLU", "Sigmoid"]
    assert names(first.axes) == ["0", "1", "2", "3"]
    assert not second.axes.yaxis.get_tick_params()["labelleft"]
    assert_legible(axes)


def test_no_gradient_zero_and_not_finite_are_covered_and_explained() -> None:
    none = np.full(3, np.nan)
    table = {
        "none": {"norm": none, "nonfinite": none},
        "zero": {"norm": np.zeros(3)},
        "lost": {"norm": [1, np.inf, 3], "nonfinite": [0, 2, 0]},
    }
    axes = plots.gradient_history(synthetic({"gradients": table}, steps=[0, 1, 2], missing={"none": "it was frozen"}))
    covers = {cover.get_hatch(): cover.get_paths() for cover in axes.findobj(PatchCollection)}
    corners = {hatch: paths[0].get_extents().bounds for hatch, paths in covers.items() if paths}
    assert corners == {"///": (0, -0.5, 3, 1), "..": (0, 0.5, 3, 1), "xx": (1, 1.5, 1, 1)}
    said = written(axes)
    assert all(word in said for word in ("no gradient", "exactly 0", "infinite or NaN", "none: it was frozen"))


def test_of_a_gradient_that_is_the_same_everywhere_a_scale_is_drawn_all_the_same() -> None:
    (drawn,) = maps(plots.gradient_history(of_gradients(np.full((2, 2), 0.5))))
    assert drawn.norm.vmin < 0.5 < drawn.norm.vmax


def test_two_hundred_layers_are_named_by_groups_and_stay_legible() -> None:
    layers = [f"blocks.{place // 10}.{place % 10}" for place in range(200)]
    norms = np.random.default_rng(0).random((200, 50)) + 0.1
    started = perf_counter()
    axes = plots.gradient_history(of_gradients(norms, layers))
    assert perf_counter() - started < 10  # two seconds on a quiet machine
    assert maps(axes)[0].get_array().shape == (200, 50)
    shown = names(maps(axes)[0].axes)
    assert 8 <= len(shown) <= 16
    assert_legible(axes)


def test_a_hundred_thousand_steps_are_columns_of_the_largest_and_that_is_said() -> None:
    axes = plots.gradient_history(of_gradients(np.random.default_rng(0).random((3, 100_000)) + 0.1))
    assert maps(axes)[0].get_array().shape == (3, 300)
    assert "334 steps to a column, the largest drawn" in written(axes)


def test_what_it_says_in_words_are_the_numbers_of_the_ends(runs: dict[str, Trace]) -> None:
    trace = runs["ReLU"]
    said = plots.describe(plots.gradient_history(trace))
    for index in (0, -1):
        for layer in ("1", "3"):
            assert plots.style.number(trace.statistics["gradients"][layer]["norm"][index]) in said


def test_what_cannot_be_drawn_says_why(runs: dict[str, Trace]) -> None:
    with pytest.raises(TraceError, match="no measure of a gradient is called 'nrm'"):
        plots.gradient_history(runs["ReLU"], measure="nrm")
    none = {"0": {"norm": np.nan, "nonfinite": np.nan}}
    with pytest.raises(TraceError, match="no gradient was recorded at any step: it was frozen"):
        plots.gradient_history(synthetic({"gradients": none}, steps=[0], missing={"0": "it was frozen"}))
    assert not plt.get_fignums()
