"""Predictions: torch's own probabilities, from whatever the model's last layer gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import explainer
from explainer.errors import TraceError
from explainer.predictions import Predictions, read_predictions


def recorded(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor, **options: object) -> explainer.Trace:
    """Two steps, with the first four examples as probe."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    options.setdefault("probe", (inputs[:4], targets[:4]))
    options.setdefault("criterion", nn.CrossEntropyLoss())
    notes = options.pop("notes", {})
    with explainer.record(model, optimizer=optimizer, **options) as recorder:
        recorder.note(**notes)
        for _ in range(2):
            optimizer.zero_grad()
            options["criterion"](model(inputs), targets).backward()
            optimizer.step()
    return recorder.trace


IMAGES, LABELS = torch.rand(6, 1, 3, 4, generator=torch.Generator().manual_seed(1)), torch.arange(6) % 3


def network(*last: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 3), *last)


def refereed(trace: explainer.Trace) -> np.ndarray:
    """Return torch's probabilities from the recorded scores of layer 1, (S, example, class)."""
    return torch.softmax(torch.tensor(np.asarray(trace.probe.activations["1"])), dim=-1).numpy()


@pytest.mark.parametrize(
    ("last", "criterion", "how"),
    [
        ((), nn.CrossEntropyLoss(), "softmax of the recorded scores"),
        ((nn.LogSoftmax(dim=1),), nn.NLLLoss(), "exp of the recorded log-probabilities"),
        ((nn.Softmax(dim=1),), nn.CrossEntropyLoss(), "probabilities as recorded"),
    ],
)
def test_probabilities_are_torchs_and_sum_to_one(last: tuple[nn.Module, ...], criterion: nn.Module, how: str) -> None:
    trace = recorded(network(*last), IMAGES, LABELS, criterion=criterion)
    seen = read_predictions(trace)
    np.testing.assert_allclose(seen.probabilities, refereed(trace), rtol=1e-5)
    np.testing.assert_allclose(seen.probabilities.sum(axis=-1), 1, atol=1e-6)
    assert seen.how == how
    assert seen.probabilities.shape == (2, 4, 3)


def test_answers_are_the_most_likely_classes() -> None:
    trace = recorded(network(), IMAGES, LABELS)
    seen = read_predictions(trace)
    np.testing.assert_array_equal(seen.answers, refereed(trace).argmax(axis=-1))
    np.testing.assert_array_equal(seen.right, seen.answers == LABELS[:4].numpy())


@pytest.mark.parametrize(
    ("inputs", "notes", "shape"),
    [
        (IMAGES, {}, (4, 3, 4)),
        (IMAGES.flatten(1), {"image_shape": [3, 4]}, (4, 3, 4)),
        (torch.rand(6, 3, 2, 2), {}, (4, 2, 2, 3)),
        (torch.rand(6, 16), {}, (4, 4, 4)),
    ],
)
def test_inputs_are_seen_as_the_images_that_they_are(
    inputs: torch.Tensor, notes: dict[str, list[int]], shape: tuple[int, ...]
) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(inputs[0].numel(), 3))
    seen = read_predictions(recorded(model, inputs, LABELS, notes=notes))
    assert seen.images.shape == shape
    expected = inputs[:4].numpy()
    expected = np.moveaxis(expected, 1, -1) if len(shape) == 4 else expected.reshape(shape)
    np.testing.assert_allclose(seen.images, expected)


def test_names_of_classes_are_those_noted_else_their_numbers() -> None:
    assert read_predictions(recorded(network(), IMAGES, LABELS)).classes == ("0", "1", "2")
    seen = read_predictions(recorded(network(), IMAGES, LABELS, notes={"classes": ["cat", "dog", "owl"]}))
    assert seen.classes == ("cat", "dog", "owl")
    assert (seen.first_of("owl"), seen.first_of("4")) == (2, 0)


def predictions(probabilities: np.ndarray, targets: list[int]) -> Predictions:
    names = tuple(str(index) for index in range(probabilities.shape[-1]))
    return Predictions(np.zeros((len(targets), 2, 2)), probabilities, np.array(targets), names, "0", "")


def test_of_many_classes_the_right_ones_and_those_once_likely_are_drawn() -> None:
    probabilities = np.full((2, 1, 30), 0.01)
    probabilities[0, 0, 20], probabilities[1, 0, 7] = 0.5, 0.4
    assert predictions(probabilities, [29]).telling(3).tolist() == [7, 20, 29]
    assert predictions(probabilities[..., :3], [0]).telling(12).tolist() == [0, 1, 2]


def test_a_run_that_diverged_can_still_be_read() -> None:
    trace = recorded(network(nn.LogSoftmax(dim=1)), IMAGES * np.inf, LABELS, criterion=nn.NLLLoss())
    assert np.isnan(read_predictions(trace).probabilities).any()


def test_without_a_probe_the_line_to_record_one_is_shown() -> None:
    trace = recorded(network(), IMAGES, LABELS, probe=None)
    with pytest.raises(TraceError, match=r"no probe.*\n    with explainer\.record\(model, .*probe=\(images, labels\)"):
        read_predictions(trace)


def test_targets_that_are_no_class_numbers_are_refused() -> None:
    trace = recorded(network(), IMAGES, torch.rand(6, 3), criterion=nn.MSELoss())
    with pytest.raises(TraceError, match=r"float32 of shape \(4, 3\), not one class number for each image"):
        read_predictions(trace)


def test_an_output_that_cannot_be_class_probabilities_is_refused() -> None:
    class Mean(nn.Module):
        def forward(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            return outputs.mean()

    trace = recorded(network(nn.Unflatten(1, (3, 1))), IMAGES, LABELS, criterion=Mean())
    with pytest.raises(TraceError, match=r"shape \(4, 3, 1\): class probabilities need \(example, class\)"):
        read_predictions(trace)


def test_log_softmax_over_the_wrong_dimension_is_found_out() -> None:
    trace = recorded(network(nn.LogSoftmax(dim=0)), IMAGES, LABELS, criterion=nn.NLLLoss())
    with pytest.raises(TraceError, match=r"sum to \d\.\d+ over the classes instead of 1: is its dim 1"):
        read_predictions(trace)


def test_inputs_that_are_no_images_are_refused_with_the_line_that_helps() -> None:
    model = nn.Linear(5, 3)
    with pytest.raises(TraceError, match=r"are no images.*\n    recorder\.note\(image_shape=\[28, 28\]\)"):
        read_predictions(recorded(model, torch.rand(6, 5), LABELS))
