"""The loss of who never looks is that of torch for the best constant answer; where it has no meaning, none is told."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import explainer
from explainer.same_answer import same_answer
from explainer.trace import Trace

INPUTS = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
LABELS = (torch.arange(40) % 5 == 0).long()
NUMBERS = INPUTS @ torch.tensor([[1.0, 0.5], [0.0, 1.0], [2.0, 0.0]])


def record(criterion: nn.Module, targets: torch.Tensor, *, last: nn.Module | None = None, **options: object) -> Trace:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 2), last or nn.Identity())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    options = {"examples": None, **options}
    with explainer.record(model, criterion=criterion, optimizer=optimizer, **options) as recorder:  # type: ignore[arg-type]
        for _ in range(10):
            optimizer.zero_grad()
            criterion(model(INPUTS), targets).backward()
            optimizer.step()
    return recorder.trace


@pytest.mark.parametrize("last", [None, nn.LogSoftmax(dim=1)])
def test_of_classes_it_is_the_loss_of_how_often_each_comes(last: nn.Module | None) -> None:
    trace = record(nn.NLLLoss() if last else nn.CrossEntropyLoss(), LABELS, last=last)
    found = same_answer(trace)
    assert found is not None
    scores = torch.log(torch.tensor([[0.8, 0.2]], dtype=torch.float64)).expand(40, 2)
    assert found.constant == pytest.approx(float(nn.CrossEntropyLoss()(scores, LABELS)))
    assert found.given == pytest.approx(float(trace.scalars["loss"][-5:].mean()), rel=1e-5)  # 200 examples
    assert found.examples == 200


def test_of_numbers_it_is_the_squared_error_of_their_means() -> None:
    trace = record(nn.MSELoss(), NUMBERS)
    found = same_answer(trace)
    assert found is not None
    means = NUMBERS.double().mean(dim=0).expand(40, 2)
    assert found.constant == pytest.approx(float(nn.MSELoss()(means, NUMBERS.double())), rel=1e-6)
    assert found.given == pytest.approx(float(trace.scalars["loss"][-5:].mean()), rel=1e-5)


def test_the_examples_that_were_kept_are_compared_with_themselves() -> None:
    trace = record(nn.CrossEntropyLoss(), LABELS, examples=8)  # two of them are of the rare class, in 40 there are 8
    found = same_answer(trace)
    assert found is not None and found.examples == 40
    scores = torch.log(torch.tensor([[0.75, 0.25]], dtype=torch.float64)).expand(8, 2)
    assert found.constant == pytest.approx(float(nn.CrossEntropyLoss()(scores, LABELS[:8])))


@pytest.mark.parametrize(
    "criterion",
    [
        nn.CrossEntropyLoss(weight=torch.tensor([1.0, 4.0])),
        nn.CrossEntropyLoss(ignore_index=1),
        nn.CrossEntropyLoss(label_smoothing=0.1),
        nn.CrossEntropyLoss(reduction="sum"),
        nn.MultiMarginLoss(),
    ],
)
def test_where_examples_weigh_differently_or_the_loss_is_another_none_is_told(criterion: nn.Module) -> None:
    assert same_answer(record(criterion, LABELS)) is None


def test_targets_that_are_all_the_same_have_no_better_answer() -> None:
    assert same_answer(record(nn.CrossEntropyLoss(), LABELS * 0)) is None
    assert same_answer(record(nn.MSELoss(), NUMBERS * 0 + 3)) is None


def test_of_few_examples_it_is_not_known_how_often_each_class_comes() -> None:
    torch.manual_seed(0)
    trace = record(nn.CrossEntropyLoss(), torch.arange(40) % 2, examples=2)  # 20 of the run's
    assert same_answer(trace) is None


def test_without_targets_none_is_told() -> None:
    assert same_answer(record(nn.CrossEntropyLoss(), LABELS, keep=())) is None
