"""update_ratios: each curve is ‖update‖ / ‖parameter‖, on one logarithmic scale with the rule of thumb."""

from __future__ import annotations

from time import perf_counter

import numpy as np
import pytest
from drawn import assert_legible, written
from matplotlib.axes import Axes
from matplotlib.collections import FillBetweenPolyCollection
from matplotlib.colors import to_hex
from synthetic import small_run, synthetic

from explainer import plots
from explainer.errors import TraceError
from explainer.ratios import update_ratios
from explainer.trace import Trace


@pytest.fixture(scope="module")
def runs() -> dict[str, Trace]:
    return {name: small_run(name) for name in ("ReLU", "Sigmoid")}


def of_ratios(ratios: np.ndarray) -> Trace:
    """Make a trace whose parameters have the norm 2, and move by these shares of it, (parameter, step)."""
    names = [f"blocks.{place}.weight" for place in range(len(ratios))]
    return synthetic(
        {
            "parameters": {name: {"norm": 2.0} for name in names},
            "updates": {name: {"norm": 2 * row} for name, row in zip(names, ratios, strict=True)},
        },
        steps=range(ratios.shape[1]),
    )


def curves(axes: Axes) -> dict[str, np.ndarray]:
    lines = [line for line in axes.get_lines() if len(line.get_xdata()) > 2]
    return {str(line.get_label()): np.asarray(line.get_ydata()) for line in lines}


@pytest.mark.parametrize("per", ["layer", "parameter", "model"])
def test_a_curve_is_the_share_by_which_a_step_moves(per: str, runs: dict[str, Trace]) -> None:
    for trace in runs.values():
        found = update_ratios(trace, per)
        axes = plots.update_ratios(trace, per=per)
        drawn = list(curves(axes).values())
        np.testing.assert_array_equal(drawn, found.values)
        assert axes.get_yscale() == "log" and "log scale" in axes.get_ylabel()


def test_the_rule_of_thumb_is_a_dashed_line_with_its_name(runs: dict[str, Trace]) -> None:
    axes = plots.update_ratios(runs["ReLU"])
    (guide,) = (line for line in axes.get_lines() if set(line.get_ydata()) == {1e-3})
    assert guide.is_dashed()
    assert "rule of thumb\n10⁻³" in written(axes)
    low, high = axes.get_ylim()
    assert low < 1e-3 < high


def test_several_runs_stand_side_by_side_on_one_scale_each_layer_in_its_style(runs: dict[str, Trace]) -> None:
    axes = plots.update_ratios(runs)
    first, second = axes.child_axes
    assert first.get_ylim() == second.get_ylim()
    for inside, trace in zip((first, second), runs.values(), strict=True):
        np.testing.assert_array_equal(list(curves(inside).values()), update_ratios(trace).values)
    assert [line.get_color() for line in first.get_lines()] == [line.get_color() for line in second.get_lines()]
    assert_legible(axes)


def test_whole_models_are_compared_over_one_another(runs: dict[str, Trace]) -> None:
    axes = plots.update_ratios(runs, per="model")
    drawn = [line for line in axes.get_lines() if len(line.get_xdata()) > 2]
    for line, trace in zip(drawn, runs.values(), strict=True):
        np.testing.assert_array_equal(line.get_ydata(), update_ratios(trace, "model").values[0])
    assert len({to_hex(line.get_color()) for line in drawn}) == len({line.get_marker() for line in drawn}) == 2
    assert {text.get_text() for text in axes.get_legend().get_texts()} == {"ReLU", "Sigmoid"}
    assert_legible(axes)


def test_two_hundred_layers_go_from_the_first_colour_to_the_last() -> None:
    ratios = 10.0 ** -np.linspace(2, 5, 200)[:, None] * np.ones((200, 30))
    started = perf_counter()
    axes = plots.update_ratios(of_ratios(ratios))
    assert perf_counter() - started < 10  # two seconds on a quiet machine
    drawn = [line for line in axes.get_lines() if len(line.get_xdata()) > 2]
    np.testing.assert_allclose([line.get_ydata()[0] for line in drawn], ratios[:, 0])
    assert len({to_hex(line.get_color()) for line in drawn}) > 150
    assert [drawn[0].get_marker(), drawn[-1].get_marker()] == ["o", "s"]
    assert "blocks.0: first" in written(axes) and "blocks.199: last" in written(axes)
    assert_legible(axes)


def test_of_a_hundred_thousand_steps_the_medians_are_drawn_in_a_band_that_holds_every_peak() -> None:
    ratios = np.full((2, 100_000), 1e-3) * (1 + np.arange(100_000) % 3)
    ratios[1, 54_321] = 0.9
    axes = plots.update_ratios(of_ratios(ratios))
    for row, drawn in enumerate(curves(axes).values()):
        assert drawn.tolist() == [np.median(part) for part in np.split(ratios[row], 200)]
    bands = [area for area in axes.collections if isinstance(area, FillBetweenPolyCollection)]
    assert [area.get_paths()[0].vertices[:, 1].max() for area in bands] == [3e-3, 0.9]
    assert axes.get_ylim()[1] > 0.9
    assert "of 500 steps each the median, the band from the lowest to the highest" in written(axes)


def test_a_step_that_does_not_move_is_a_gap_and_what_never_moved_is_named() -> None:
    ratios = np.array([[1e-3, 0, 1e-3], [0, 0, 0]])
    axes = plots.update_ratios(of_ratios(ratios))
    (drawn,) = curves(axes).values()
    np.testing.assert_array_equal(drawn, [1e-3, np.nan, 1e-3])
    assert "1 updates are exactly 0 and have no place" in written(axes)
    assert "never moved: blocks.1" in written(axes)
    with pytest.raises(TraceError, match=r"no step moved any parameter.*is the learning rate 0"):
        plots.update_ratios(of_ratios(ratios[1:]))


def test_the_words_name_what_moves_least_and_most() -> None:
    said = plots.describe(plots.update_ratios(of_ratios(np.array([[1e-2] * 3, [2e-5] * 3, [1e-3] * 3]))))
    assert "blocks.1 moves by 2.0×10⁻⁵ of itself and blocks.0 moves by 0.0100 of itself" in said


def test_an_unknown_choice_names_those_there_are(runs: dict[str, Trace]) -> None:
    with pytest.raises(TraceError, match=r"called 'layers'.* 'layer'"):
        plots.update_ratios(runs["ReLU"], per="layers")
