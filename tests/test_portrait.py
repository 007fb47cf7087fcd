"""A portrait holds what one example was recorded to be in each stage, and the weights between what is drawn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import explainer
from explainer.errors import TraceError
from explainer.portrait import evenly, is_row, picture_of, portrait
from explainer.trace import Trace


def record(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor, **options: object) -> Trace:
    criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=0.5)
    with explainer.record(model, criterion=criterion, optimizer=optimizer, **options) as recorder:  # type: ignore[arg-type]
        recorder.note(image_shape=[4, 6])
        for _ in range(2):
            optimizer.zero_grad()
            criterion(model(inputs), targets).backward()
            optimizer.step()
    return recorder.trace


def classifier(classes: int = 40) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(24, 30), nn.ReLU(), nn.Linear(30, classes))


IMAGES = torch.randn(5, 24, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def trace() -> Trace:
    return record(classifier(), IMAGES, torch.tensor([0, 1, 2, 3, 39]))


def test_units_are_those_of_the_recorded_activation(trace: Trace) -> None:
    first, hidden, _ = portrait(trace, step=0, example=2)
    np.testing.assert_array_equal(first.values, IMAGES[2].numpy()[first.drawn])
    assert (first.count, len(first.drawn)) == (24, 16)
    np.testing.assert_array_equal(hidden.values, trace.activations["1"][0][2][hidden.drawn])
    assert hidden.stage.members == ("0", "1")


def test_weights_join_the_units_that_are_drawn(trace: Trace) -> None:
    first, hidden, last = portrait(trace, step=1)
    assert (hidden.matrix, last.matrix) == ("0.weight", "2.weight")
    assert hidden.weights is not None and last.weights is not None
    for row, unit in enumerate(hidden.drawn):
        np.testing.assert_array_equal(hidden.weights[row], trace.parameters["0.weight"][1][unit][first.drawn])
    np.testing.assert_array_equal(last.weights[3], trace.parameters["2.weight"][1][last.drawn[3]][hidden.drawn])


@pytest.mark.parametrize("example", [0, 4])
def test_of_many_classes_the_likeliest_and_the_right_one_are_drawn_with_torchs_probabilities(
    trace: Trace, example: int
) -> None:
    last = portrait(trace, step=0, example=example)[-1]
    expected = classifier()(IMAGES[example]).softmax(dim=0).detach().numpy()
    assert last.probabilities and last.right == (0, 39)[example == 4]
    assert last.right in last.drawn and int(expected.argmax()) in last.drawn
    np.testing.assert_allclose(np.asarray(last.values), expected[last.drawn], rtol=1e-5)
    assert (np.diff(last.drawn) > 0).all()


def test_a_row_of_inputs_is_a_picture_where_the_recording_says_so(trace: Trace) -> None:
    picture = picture_of(trace, portrait(trace)[0], example=3)
    np.testing.assert_array_equal(picture, IMAGES[3].numpy().reshape(4, 6))


def test_maps_are_channels_of_one_example() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3))
    trace = record(model, torch.randn(2, 3, 4, 4), torch.tensor([0, 1]))
    first, maps, row, last = portrait(trace, example=1)
    assert first.values is not None and first.values.shape == (1, 4, 4, 3)
    np.testing.assert_array_equal(maps.values, trace.activations["1"][-1][1][maps.drawn])
    assert maps.drawn.tolist() == [0, 2, 5, 7]
    assert (maps.count, maps.row, row.row) == (8, False, True)
    assert maps.weights is None and last.weights is not None and last.weights.shape == (3, 16)


def test_of_complex_numbers_the_magnitude_is_drawn() -> None:
    class Fourier(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            heard: torch.Tensor = torch.fft.fft(x)
            return heard

    class Heard(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fourier, self.head = Fourier(), nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.head(self.fourier(x).abs())
            return found

    waves = torch.tensor([[1.0, 2.0, 3.0, 5.0]])
    heard = next(each for each in portrait(record(Heard(), waves, torch.tensor([1]))) if "fourier" in each.stage.name)
    np.testing.assert_allclose(np.asarray(heard.values), np.abs(np.fft.fft(waves[0].numpy())), rtol=1e-5)


def test_numbers_that_were_not_kept_are_missing_with_what_to_record() -> None:
    seen = portrait(record(classifier(3), IMAGES, torch.arange(5) % 3, keep=()))
    assert [each.values for each in seen] == [None] * 3
    assert seen[0].missing == 'not kept: record with keep=("inputs", …)'
    assert seen[1].missing == 'not kept: record with keep=("activations", …)'
    assert seen[2].weights is None


def test_an_example_that_was_not_kept_says_how_many_there_are(trace: Trace) -> None:
    with pytest.raises(TraceError, match="step 1 keeps no example 5: there are 5, from 0 to 4"):
        portrait(trace, example=5)


def test_places_are_evenly_chosen_with_both_ends() -> None:
    assert evenly(100, 4).tolist() == [0, 33, 66, 99]
    assert evenly(3, 16).tolist() == [0, 1, 2]
    assert [is_row(shape) for shape in ((5,), (5, 1, 1), (5, 2), ())] == [True, True, False, True]
