"""dead_units: each area is the share of a layer's units that are dead."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import numpy as np
import pytest
from drawn import assert_legible, names, written
from matplotlib.axes import Axes
from matplotlib.collections import FillBetweenPolyCollection
from synthetic import small_run, synthetic

from explainer import plots
from explainer.errors import TraceError
from explainer.lifetimes import lifetimes
from explainer.plots.rows import TALL
from explainer.trace import Trace


def dying(dead: list[list[int]], units: int = 8, **options: Any) -> Trace:
    """Make a trace of ReLU layers of which so many units are dead, (layer, step)."""
    kept, zero = {}, {}
    for place, row in enumerate(dead):
        alive = [np.arange(5.0)[:, None] * (np.arange(units) >= count) for count in row]
        kept[str(place)], zero[str(place)] = np.array(alive), {"zero_fraction": 1.0}
    return synthetic(
        {"activations": zero}, steps=range(len(dead[0])), kinds=dict.fromkeys(kept, "ReLU"),
        tensors={"activations": kept}, **options,
    )  # fmt: skip


def shares(axes: Axes, row: int, steps: int) -> list[float]:
    """Return the height of a row's area in the middle of each step."""
    areas = [area for area in axes.collections if isinstance(area, FillBetweenPolyCollection)]
    corners = areas[row].get_paths()[0].vertices
    count = (len(corners) - 3) // 2
    tops = corners[count + 2 : 2 * count + 2][::-1]  # from left to right, two of each column
    columns = np.searchsorted(tops[::2, 0], np.arange(steps) + 0.5) - 1
    return [float(height) for height in (row - tops[::2, 1][columns]) / TALL]


DEAD = [[0, 1, 1, 4], [8, 8, 8, 8], [0, 0, 0, 0]]


def test_an_area_is_as_high_as_the_share_that_is_dead() -> None:
    axes = plots.dead_units(dying(DEAD))
    assert shares(axes, 0, 4) == pytest.approx([0, 1 / 8, 1 / 8, 1 / 2])
    assert shares(axes, 1, 4) == pytest.approx([1] * 4)
    assert shares(axes, 2, 4) == [0] * 4
    assert names(axes) == ["0  ReLU", "1  ReLU", "2  ReLU"]


def test_at_the_end_of_a_row_stands_how_many_units_are_dead() -> None:
    axes = plots.dead_units(dying(DEAD))
    assert [said for said in written(axes).splitlines() if " of 8" in said][:3] == ["4 of 8", "8 of 8", "0 of 8"]
    assert "judged by 5 kept examples or more" in written(axes)
    assert "layer 0 4 of 8; 1 8 of 8" in plots.describe(axes)


def test_what_is_drawn_of_a_recorded_run_is_what_lifetimes_counts() -> None:
    trace = small_run()
    (life,) = lifetimes(trace)
    assert np.isfinite(life.share).all()
    ending = f"{life.dead[-1]:.0f} of 6"
    assert ending in written(plots.dead_units(trace))


def test_several_runs_stand_side_by_side() -> None:
    axes = plots.dead_units({"good": dying([[0, 0], [0, 0]]), "bad": dying([[8, 8], [0, 8]])})
    good, bad = axes.child_axes
    assert shares(good, 0, 2) == [0, 0]
    assert shares(bad, 0, 2) == pytest.approx([1, 1])
    assert_legible(axes)


def test_of_a_hundred_layers_groups_are_counted_together_and_all_stays_legible() -> None:
    trace = dying([[place % 3] * 3 for place in range(100)])
    started = perf_counter()
    axes = plots.dead_units(trace)
    assert perf_counter() - started < 10  # two seconds on a quiet machine
    assert len(names(axes)) <= 18
    assert "units of several layers counted together" in written(axes)
    first = next(row for row in written(axes).splitlines() if " of " in row and row[0].isdigit())
    width = 100 // 18 + 1
    assert first in {f"{sum(place % 3 for place in range(count))} of {8 * count}" for count in (width, width - 1)}
    assert_legible(axes)


def test_of_a_long_run_several_steps_share_a_column_and_that_is_said() -> None:
    axes = plots.dead_units(dying([[0] * 300 + [8] * 300]))
    assert "15 recorded steps to a column, dead in all of them" in written(axes)
    drawn = shares(axes, 0, 600)
    assert drawn == pytest.approx([0] * 300 + [1] * 300)


def test_a_layer_of_which_nothing_is_known_says_so_and_of_none_there_is_no_figure() -> None:
    kept = {"0": np.arange(8.0).reshape(1, 4, 2), "1": np.full((1, 4, 2), np.nan)}
    statistics = {"activations": {"0": {}, "1": {"nonfinite": 8.0}}}
    trace = synthetic(statistics, steps=[0], kinds={"0": "ReLU", "1": "ReLU"}, tensors={"activations": kept})
    assert "not known: values that are infinite or NaN" in written(plots.dead_units(trace))
    with pytest.raises(TraceError, match="infinite or NaN"):
        plots.dead_units(trace, layers="1")
    with pytest.raises(TraceError, match=r'record with keep=\("activations"'):
        plots.dead_units(small_run(steps=1, keep=()))
