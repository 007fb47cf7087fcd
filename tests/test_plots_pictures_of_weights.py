"""weights: each pixel is a recorded weight, on a scale whose middle is zero."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from drawn import assert_legible, written
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.image import AxesImage
from synthetic import small_run, synthetic
from torch import nn

import explainer
from explainer import plots
from explainer.errors import TraceError, UnknownName
from explainer.theme import LIGHT, NEGATIVE, POSITIVE
from explainer.trace import Trace


@pytest.fixture(scope="module")
def runs() -> dict[str, Trace]:
    return {name: small_run(name, steps=3) for name in ("ReLU", "Sigmoid")}


def images(axes: Axes) -> list[AxesImage]:
    return axes.findobj(AxesImage)


@pytest.mark.parametrize("step", [0, -1])
def test_a_tile_is_a_row_of_the_weight_and_gaps_are_no_weights(step: int, runs: dict[str, Trace]) -> None:
    for trace in runs.values():
        (image,) = images(plots.weights(trace, step=step))
        sheet = image.get_array()
        weight = trace.parameters["1.weight"][step].reshape(6, 4, 4)
        columns = (sheet.shape[1] + 1) // 5
        for unit in range(6):
            row, column = divmod(unit, columns)
            np.testing.assert_array_equal(sheet[row * 5 : row * 5 + 4, column * 5 : column * 5 + 4], weight[unit])
        assert sheet.count() == weight.size


def test_zero_is_the_middle_of_the_scale_blue_above_and_vermilion_below(runs: dict[str, Trace]) -> None:
    (image,) = images(plots.weights(runs["ReLU"], theme="light"))
    largest = np.abs(runs["ReLU"].parameters["1.weight"][-1]).max()
    assert image.get_clim() == pytest.approx((-largest, largest))
    ends = [to_hex(image.to_rgba(np.array([value]))[0]).upper() for value in (-largest, largest)]
    assert ends == [NEGATIVE, POSITIVE]
    middle = np.array(image.to_rgba(np.array([0.0]))[0][:3]) * 255
    np.testing.assert_allclose(middle, [int(LIGHT.zero[at : at + 2], 16) for at in (1, 3, 5)], atol=3)


def test_another_layer_is_a_matrix_and_a_small_one_has_its_numbers(runs: dict[str, Trace]) -> None:
    axes = plots.weights(runs["ReLU"], layer="3")
    (image,) = images(axes)
    weight = runs["ReLU"].parameters["3.weight"][-1]
    np.testing.assert_array_equal(image.get_array(), weight)
    assert plots.style.number(float(weight[1, 2])) in written(axes).splitlines()
    assert "3.weight, 3×6" in written(axes)


def test_several_runs_share_one_scale_of_colours(runs: dict[str, Trace]) -> None:
    axes = plots.weights(runs)
    first, second = images(axes)
    assert first.norm is second.norm
    assert first.norm.vmax == pytest.approx(
        max(np.abs(trace.parameters["1.weight"][-1]).max() for trace in runs.values())
    )
    assert [each.axes.get_title(loc="left") for each in (first, second)] == ["ReLU", "Sigmoid"]
    assert_legible(axes)


def record_convolution() -> Trace:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 16, 5))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with explainer.record(model, optimizer=optimizer) as recorder:
        model(torch.rand(2, 3, 8, 8)).sum().backward()
        optimizer.step()
    return recorder.trace


def test_a_filter_is_a_column_with_a_row_for_each_channel() -> None:
    trace = record_convolution()
    axes = plots.weights(trace)
    sheet = images(axes)[0].get_array()
    weight = trace.parameters["0.weight"][0]
    columns = (sheet.shape[1] + 1) // 6
    assert sheet.shape[0] == 3 * 6 - 1
    for channel in range(3):
        for unit in range(columns):
            part = sheet[channel * 6 : channel * 6 + 5, unit * 6 : unit * 6 + 5]
            np.testing.assert_array_equal(part, weight[unit, channel])
    assert f"the first {columns} of 16 filters" in written(axes)
    assert {"red", "green", "blue"} <= set(written(axes).splitlines())
    assert_legible(axes)


def of_weight(weight: np.ndarray) -> Trace:
    return synthetic({"parameters": {"weight": {}}}, steps=[0], tensors={"parameters": {"weight": weight[None]}})


def test_of_a_large_matrix_some_rows_and_columns_are_drawn_and_that_is_said() -> None:
    weight = np.random.default_rng(0).normal(size=(4096, 1000)).astype(np.float32)
    axes = plots.weights(of_weight(weight))
    np.testing.assert_array_equal(images(axes)[0].get_array(), weight[::16, ::4])
    assert "one in 16 units and one in 4 inputs drawn" in written(axes)
    assert_legible(axes)


def test_a_few_huge_weights_do_not_pale_the_others_and_are_counted() -> None:
    weight = np.random.default_rng(0).normal(size=(50, 60))
    weight[7, 7] = 1e3
    axes = plots.weights(of_weight(weight))
    largest = images(axes)[0].norm.vmax
    assert largest < 10
    beyond = int((np.abs(weight) > largest).sum())
    assert f"and {beyond} weights are larger" in plots.describe(axes)


def test_what_is_not_finite_is_left_out_and_of_nothing_else_there_is_no_figure() -> None:
    weight = np.array([[1.0, np.nan], [np.inf, -1.0]])
    axes = plots.weights(of_weight(weight))
    assert images(axes)[0].get_array().count() == 2
    assert "2 weights are not finite" in written(axes)
    with pytest.raises(TraceError, match="no weight of 'weight' is a finite number at this step"):
        plots.weights(of_weight(np.full((2, 2), np.nan)))


def test_what_cannot_be_drawn_says_why(runs: dict[str, Trace]) -> None:
    with pytest.raises(UnknownName, match="called '2'"):
        plots.weights(runs["ReLU"], layer="2")
    with pytest.raises(TraceError, match=r'record with keep=\("parameters"'):
        plots.weights(small_run(steps=1, keep=()))
    with pytest.raises(TraceError, match="step 50 was not recorded"):
        plots.weights(runs["ReLU"], step=50)
    assert not plt.get_fignums()
