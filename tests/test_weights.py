"""Weights as pictures: pixel by pixel what was recorded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import explainer
from explainer.errors import TraceError, UnknownName
from explainer.trace import Trace
from explainer.weights import weight_pictures


def recorded(model: nn.Module, inputs: torch.Tensor, notes: dict[str, Any] | None = None, **options: Any) -> Trace:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with explainer.record(model, optimizer=optimizer, **options) as recorder:
        recorder.note(**notes or {})
        for _ in range(2):
            optimizer.zero_grad()
            model(inputs).sum().backward()
            optimizer.step()
    return recorder.trace


@pytest.fixture(scope="module")
def of_images() -> Trace:
    torch.manual_seed(0)
    return recorded(nn.Sequential(nn.Flatten(), nn.Linear(2 * 4 * 5, 30), nn.ReLU(), nn.Linear(30, 3)),
                    torch.rand(6, 2, 4, 5))  # fmt: skip


def test_a_row_that_looks_at_images_is_an_image_by_channels(of_images: Trace) -> None:
    found = weight_pictures(of_images)
    assert (found.layer, found.parameter, found.kind) == ("1", "1.weight", "images")
    assert found.pictures.shape == (24, 2, 4, 5)
    assert (found.units, found.channels) == (30, 2)
    weight = of_images.parameters["1.weight"][-1]
    np.testing.assert_array_equal(found.pictures, weight[:24].reshape(24, 2, 4, 5))


def test_the_step_is_the_one_asked_for(of_images: Trace) -> None:
    first = weight_pictures(of_images, step=0).pictures.reshape(24, -1)
    np.testing.assert_array_equal(first, of_images.parameters["1.weight"][0][:24])
    assert not np.array_equal(first, of_images.parameters["1.weight"][1][:24])


def test_a_later_layer_is_a_matrix(of_images: Trace) -> None:
    found = weight_pictures(of_images, "3")
    assert found.kind == "matrix" and found.every == (1, 1)
    np.testing.assert_array_equal(found.pictures[0, 0], of_images.parameters["3.weight"][-1])


def test_a_convolution_has_filters_and_of_many_channels_the_first() -> None:
    trace = recorded(nn.Sequential(nn.Conv2d(5, 7, 3)), torch.rand(2, 5, 6, 6))
    found = weight_pictures(trace, most=4, channels=3)
    assert found.kind == "filters" and (found.units, found.channels) == (7, 5)
    np.testing.assert_array_equal(found.pictures, trace.parameters["0.weight"][-1][:4, :3])


def test_images_whose_shape_is_noted_are_images_and_else_a_square_is_a_guess_that_is_said() -> None:
    inputs = torch.rand(3, 64)
    noted = weight_pictures(recorded(nn.Linear(64, 4), inputs, {"image_shape": [8, 8]}))
    assert noted.kind == "images" and noted.pictures.shape == (4, 1, 8, 8)
    plain = weight_pictures(recorded(nn.Linear(64, 4), inputs))
    assert plain.kind == "matrix" and plain.maybe_image == (8, 8)
    assert weight_pictures(recorded(nn.Linear(60, 4), inputs[:, :60])).maybe_image is None


def test_of_a_large_matrix_each_kth_row_and_column_is_taken() -> None:
    trace = recorded(nn.Linear(600, 300), torch.rand(1, 600))
    found = weight_pictures(trace)
    assert found.every == (2, 3)
    np.testing.assert_array_equal(found.pictures[0, 0], trace.parameters["weight"][-1][::2, ::3])


def test_a_recurrent_layers_and_any_other_matrix_is_found_by_name() -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(3, 2, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.lstm(x)[0]

    trace = recorded(Last(), torch.rand(2, 4, 3))
    assert weight_pictures(trace).parameter == "lstm.weight_ih_l0"
    found = weight_pictures(trace, "lstm.weight_hh_l0")
    np.testing.assert_array_equal(found.pictures[0, 0], trace.parameters["lstm.weight_hh_l0"][-1])


def test_what_cannot_be_drawn_says_why(of_images: Trace) -> None:
    with pytest.raises(UnknownName, match=r"called '2'.*There is: '1', '3'"):
        weight_pictures(of_images, "2")
    with pytest.raises(TraceError, match=r"'3.bias' of shape .* is no matrix"):
        weight_pictures(of_images, "3.bias")
    with pytest.raises(TraceError, match="step 9 was not recorded"):
        weight_pictures(of_images, step=9)
    with pytest.raises(TraceError, match=r'keeps no weights: record with keep=\("parameters"'):
        weight_pictures(recorded(nn.Linear(2, 2), torch.rand(1, 2), keep=()))
    with pytest.raises(TraceError, match="no parameter of the model is a matrix"):
        weight_pictures(recorded(nn.Sequential(nn.BatchNorm1d(2)), torch.rand(3, 2)))
