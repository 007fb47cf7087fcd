"""The factors of one example's chain rule multiply to what autograd says, from the loss to the first weights."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

import explainer
from explainer import factors
from explainer.errors import TraceError
from explainer.trace import Trace

INPUTS = torch.tensor([[0.5, -1.0, 2.0], [1.5, 0.25, -0.5]], dtype=torch.float64)
LABELS = torch.tensor([1, 0])


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2), nn.LogSoftmax(dim=1)).double()


def record(model: nn.Module, criterion: nn.Module, *, examples: int | None = None) -> Trace:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with explainer.record(model, criterion=criterion, optimizer=optimizer, examples=examples) as recorder:
        criterion(model(INPUTS), LABELS).backward()
        optimizer.step()
    return recorder.trace


@pytest.fixture(scope="module")
def trace() -> Trace:
    return record(network(), nn.NLLLoss())


def test_each_link_receives_what_the_one_before_passed_on_and_multiplies_it(trace: Trace) -> None:
    links = factors.of_example(trace, example=1).links
    assert [(link.operation.name, link.to) for link in links] == [
        ("loss", "3"), ("3", "2"), ("2", "1"), ("1", "0"), ("0", "0.weight"),
    ]  # fmt: skip
    for before, link in pairwise(links):
        np.testing.assert_array_equal(link.incoming, before.outgoing)
    for link in links[:-1]:
        product = link.incoming * link.local if link.elementwise else link.local @ link.incoming
        np.testing.assert_allclose(link.outgoing, product, rtol=1e-12)


@pytest.mark.parametrize("example", [0, 1])
def test_what_reaches_the_layers_and_weights_is_torchs_gradient_of_this_example(trace: Trace, example: int) -> None:
    model = network()
    (nn.NLLLoss(reduction="sum")(model(INPUTS[example : example + 1]), LABELS[example : example + 1]) / 2).backward()
    gradient = model.get_parameter("0.weight").grad
    assert gradient is not None
    last = factors.of_example(trace, example=example).links[-1]
    assert last.parameter
    np.testing.assert_allclose(last.outgoing, gradient.numpy(), rtol=1e-12)


def test_the_examples_parts_add_up_to_the_gradient_that_was_recorded(trace: Trace) -> None:
    parts = [factors.of_example(trace, example=example).links[-1].outgoing for example in (0, 1)]
    np.testing.assert_allclose(sum(parts), trace.parameter_gradients["0.weight"][0], rtol=1e-12)


def test_gradients_by_hand_are_held_to_autograds(trace: Trace) -> None:
    found = factors.of_example(trace)
    assert found.by_hand
    assert 0 <= found.difference < 1e-14
    assert found.parameter_gradients.keys() == set(trace.parameter_gradients)


def test_of_a_part_of_a_batch_autograds_parameter_gradients_are_given() -> None:
    cut = record(network(), nn.NLLLoss(), examples=1)
    found = factors.of_example(cut)
    assert (found.by_hand, found.examples) == (False, 1)
    np.testing.assert_array_equal(found.parameter_gradients["2.bias"], cut.parameter_gradients["2.bias"][0])


def test_a_link_says_by_what_it_changes_the_norm(trace: Trace) -> None:
    link = factors.of_example(trace).links[1]
    assert link.kept == pytest.approx(float(np.linalg.norm(link.outgoing) / np.linalg.norm(link.incoming)), rel=1e-12)


def test_layers_without_weights_before_the_first_ones_are_not_gone_through() -> None:
    model = nn.Sequential(nn.ReLU(), nn.Linear(3, 2), nn.Softmax(dim=1)).double()
    found = factors.of_example(record(model, nn.CrossEntropyLoss()))
    assert [link.to for link in found.links] == ["2", "1", "1.weight"]
    np.testing.assert_array_equal(found.links[-1].local, np.maximum(INPUTS[0].numpy(), 0))


def test_a_chain_without_weights_ends_at_the_input() -> None:
    model, inputs = nn.Sequential(nn.Tanh(), nn.LogSoftmax(dim=1)), INPUTS.clone().requires_grad_()
    criterion = nn.NLLLoss()
    with explainer.record(model, criterion=criterion, examples=None) as recorder:
        loss = criterion(model(inputs), LABELS)
        loss.backward()
        recorder.step(loss)
    last = factors.of_example(recorder.trace, example=1).links[-1]
    assert (last.to, last.parameter) == ("input", False)
    assert inputs.grad is not None
    np.testing.assert_allclose(last.outgoing, inputs.grad[1].numpy(), rtol=1e-12)


def test_an_example_that_was_not_kept_says_how_many_there_are(trace: Trace) -> None:
    with pytest.raises(TraceError, match="step 0 keeps no example 2: there are 2, from 0 to 1"):
        factors.of_example(trace, example=2)
