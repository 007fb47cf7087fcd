"""ln C is drawn where a loss is a mean over classes, and nowhere else."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import explainer
from explainer import baseline
from explainer.trace import Trace


def record_one(criterion: nn.Module, outputs: int, targets: torch.Tensor, **options: object) -> Trace:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, outputs))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with explainer.record(model, criterion=criterion, optimizer=optimizer, **options) as recorder:  # type: ignore[arg-type]
        criterion(model(torch.zeros(6, 4)) * 0, targets).backward()
        optimizer.step()
    return recorder.trace


CLASSES = torch.tensor([0, 1, 2, 3, 4, 0])


def test_it_is_the_loss_that_torch_gives_to_equal_scores() -> None:
    trace = record_one(nn.CrossEntropyLoss(), 5, CLASSES)
    assert baseline.class_count(trace) == 5
    assert baseline.knowing_nothing(trace) == pytest.approx(trace.scalars["loss"][0], abs=1e-6)
    assert baseline.knowing_nothing(trace) == math.log(5)


def test_smoothed_labels_do_not_change_it() -> None:
    trace = record_one(nn.CrossEntropyLoss(label_smoothing=0.2), 5, CLASSES)
    assert baseline.knowing_nothing(trace) == pytest.approx(trace.scalars["loss"][0], abs=1e-6)


def test_the_classes_of_a_loss_over_places_are_its_second_dimension() -> None:
    criterion, model = nn.CrossEntropyLoss(), nn.Conv2d(1, 7, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with explainer.record(model, criterion=criterion, optimizer=optimizer) as recorder:
        criterion(model(torch.zeros(2, 1, 3, 3)), torch.zeros(2, 3, 3, dtype=torch.long)).backward()
        optimizer.step()
    assert baseline.class_count(recorder.trace) == 7


def test_the_layer_before_the_loss_tells_it_where_tensors_were_not_kept() -> None:
    trace = record_one(nn.CrossEntropyLoss(), 5, CLASSES, keep=())
    assert baseline.knowing_nothing(trace) == math.log(5)


@pytest.mark.parametrize(
    ("criterion", "targets"),
    [
        (nn.CrossEntropyLoss(reduction="sum"), CLASSES),
        (nn.MSELoss(), torch.zeros(6, 5)),
        (nn.L1Loss(), torch.zeros(6, 5)),
    ],
)
def test_other_losses_have_none(criterion: nn.Module, targets: torch.Tensor) -> None:
    assert baseline.knowing_nothing(record_one(criterion, 5, targets)) is None


def test_a_loss_that_was_only_logged_has_none() -> None:
    model = nn.Linear(4, 5)
    with explainer.record(model) as recorder:
        loss = nn.functional.cross_entropy(model(torch.zeros(6, 4)), CLASSES)
        loss.backward()
        recorder.step(loss)
    assert baseline.knowing_nothing(recorder.trace) is None
