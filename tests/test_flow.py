"""The numbers of gradient flow are those of a chain rule worked by hand, and a layer without one says why."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import explainer
from explainer import flow, lessons
from explainer.errors import TraceError
from explainer.recordings import Steps
from explainer.trace import Trace


class Troubled(nn.Module):
    """A network in which one layer gets a gradient of zero, and one is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Linear(2, 2)
        self.first, self.dead, self.last = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        seen = torch.tanh(self.first(inputs))
        return torch.as_tensor(self.last(seen + 0 * self.dead(seen)))


def record_steps(model: nn.Module, steps: int = 3, criterion: nn.Module | None = None, scale: float = 1.0) -> Trace:
    torch.manual_seed(0)
    criterion = criterion or nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with explainer.record(model, criterion=criterion, optimizer=optimizer, examples=None) as recorder:
        for _ in range(steps):
            optimizer.zero_grad()
            criterion(model(scale * torch.randn(5, 4)), torch.randint(0, 3, (5,))).backward()
            optimizer.step()
    return recorder.trace


@pytest.fixture(scope="module")
def troubled() -> Trace:
    torch.manual_seed(0)
    return record_steps(Troubled())


def test_gradient_norms_are_those_of_a_chain_rule_worked_by_hand() -> None:
    trace = lessons.record_lesson("two-layer", steps=5)
    norms = flow.gradient_norms(trace)
    assert trace.layers == ("L1", "S", "L2")
    assert norms.shape == (3, 5)
    for step in range(5):
        W1, b1 = trace.parameters["L1.weight"][step], trace.parameters["L1.bias"][step]
        W2, b2 = trace.parameters["L2.weight"][step], trace.parameters["L2.bias"][step]
        S = 1 / (1 + np.exp(-(trace.inputs[step] @ W1.T + b1)))
        to_L2 = 2 * (S @ W2.T + b2 - trace.targets[step])
        to_S = to_L2 @ W2
        by_hand = [np.linalg.norm(each) for each in (to_S * S * (1 - S), to_S, to_L2)]
        np.testing.assert_allclose(norms[:, step], by_hand, rtol=1e-12)


@pytest.mark.parametrize(
    ("measure", "of"),
    [
        ("norm", lambda gradient: np.sqrt((gradient**2).sum())),
        ("mean", lambda gradient: np.abs(gradient).mean()),
        ("max", lambda gradient: np.abs(gradient).max()),
    ],
)
def test_each_measure_is_what_its_name_says(troubled: Trace, measure: str, of: object) -> None:
    sizes = flow.gradient_sizes(troubled, measure)
    for row, layer in zip(sizes, troubled.layers, strict=True):
        np.testing.assert_allclose(row, [of(gradient) for gradient in troubled.gradients[layer]], rtol=1e-6)  # type: ignore[operator]


def test_an_unknown_measure_names_the_nearest(troubled: Trace) -> None:
    with pytest.raises(TraceError, match=r"no measure of a gradient is called 'maximum'. Did you mean 'max'"):
        flow.gradient_sizes(troubled, "maximum")


def test_a_layer_never_called_comes_first_with_its_reason(troubled: Trace) -> None:
    unused, *called = flow.gradients_at(troubled)
    assert unused.layer == "unused"
    assert unused.missing == "no activation: the layer was not called"
    assert tuple(each.layer for each in called) == troubled.layers
    assert not any(each.missing for each in called)


def test_a_gradient_of_zero_is_a_gradient_that_no_logarithm_can_draw(troubled: Trace) -> None:
    dead = next(each for each in flow.gradients_at(troubled) if each.layer == "dead")
    assert (dead.size, dead.missing, dead.drawable) == (0, "", False)


def test_values_that_are_not_finite_are_counted() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 3))
    with torch.no_grad():
        model[1].weight[0, 0] = torch.inf
    trace = record_steps(model, steps=1)
    first, _ = flow.gradients_at(trace, step=0)
    assert first.nonfinite == np.count_nonzero(~np.isfinite(trace.gradients["0"][0])) > 0
    assert not first.drawable


def test_a_step_of_the_middle_can_be_asked_for(troubled: Trace) -> None:
    at = flow.gradients_at(troubled, 1)[1:]
    assert [each.size for each in at] == flow.gradient_norms(troubled)[:, 1].tolist()
    with pytest.raises(TraceError, match="step 7 was not recorded; the nearest is 2"):
        flow.gradients_at(troubled, 7)


def test_without_any_backward_pass_the_reason_is_given() -> None:
    model = nn.Linear(4, 3)
    recorder = explainer.record(model)
    recorder.__enter__()
    model(torch.ones(2, 4))
    recorder.step()
    with pytest.warns(explainer.ExplainerWarning, match="no backward pass was seen"):
        recorder.__exit__(None, None, None)
    with pytest.raises(TraceError, match="no gradient was recorded at step 0: no gradient: no backward pass was seen"):
        flow.gradients_at(recorder.trace)


def test_factors_are_ratios_of_neighbours_and_none_where_one_has_no_place(troubled: Trace) -> None:
    gradients = flow.gradients_at(troubled)
    assert [each.layer for each in gradients] == ["unused", "first", "dead", "last"]
    assert flow.factors(gradients) == [None, None, None]
    first, last = gradients[1], gradients[3]
    assert flow.factors([first, last]) == [first.size / last.size]


# How the steps follow each other


def walk_of(places: list[list[float]], **options: object) -> Trace:
    """Record a model that is put to these places, one a step, and to the last of them by the last step."""
    model = nn.Linear(len(places[0]), 1, bias=False).double()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with explainer.record(model, optimizer=optimizer, **options) as recorder:  # type: ignore[arg-type]
        for here, there in pairwise(places):
            model.weight.data[0] = torch.tensor(here, dtype=torch.float64)
            optimizer.zero_grad()
            loss = model(torch.ones(1, len(here), dtype=torch.float64)).sum()
            recorder.log(loss=loss)
            loss.backward()
            model.weight.grad[0] = (torch.tensor(here) - torch.tensor(there)) / 0.1
            optimizer.step()
    return recorder.trace


def test_a_step_turns_back_where_its_cosine_with_the_step_before_is_below_zero() -> None:
    #          right      up: 90°    back left  on, left   not at all  right
    places = [[0.0, 0], [1, 0.0], [1, 1.0], [0.9, 0.99], [0.1, 0.9], [0.1, 0.9], [5.0, 1]]
    assert flow.bounces(walk_of(places)).tolist() == [False, True, False, False, False]
    assert flow.bounces(walk_of(places, keep=("updates",))).tolist() == [False, True, False, False, False]
    assert flow.bounces(walk_of(places[:2])).tolist() == []
    assert flow.bounces(walk_of(places), slice(1, 4)).tolist() == [True, False]  # of three steps two have one before


def test_bounces_are_those_of_all_parameters_together() -> None:
    """The first parameter turns back by 1, the second goes on by more: together the step goes on."""
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    steps = [(1.0, 2.0), (-1.0, 2.0), (1.0, -2.0)]
    with explainer.record(model, optimizer=optimizer) as recorder:
        for pushes in steps:
            optimizer.zero_grad()
            model(torch.ones(1, 1)).sum().backward()
            for parameter, push in zip(model.parameters(), pushes, strict=True):
                parameter.grad.fill_(push)  # type: ignore[union-attr]
            optimizer.step()
    assert flow.bounces(recorder.trace).tolist() == [False, True]


def test_steps_up_are_those_after_which_the_recorded_loss_is_higher() -> None:
    trace = walk_of([[0.0], [3.0], [2.0], [2.0], [5.0], [9.0]])  # its loss is the weight
    assert trace.scalars["loss"].tolist() == [0, 3, 2, 2, 5]
    assert flow.steps_up(trace).tolist() == [True, False, False, True]


def test_what_follows_what_is_told_of_consecutive_steps_only() -> None:
    sparse = walk_of([[0.0], [1.0], [2.0], [3.0], [4.0]], every=lambda step: step != 2)
    for ask in (flow.bounces, flow.steps_up):
        with pytest.raises(TraceError, match="consecutive steps only, and after step 1 the next recorded is 3: record"):
            ask(sparse)
    with pytest.raises(TraceError, match=r'keeps no updates, .*keep=\("parameters", "updates"\)'):
        flow.bounces(walk_of([[0.0], [1.0], [2.0]], keep=("parameters",)))


def test_bounces_ask_the_shards_for_names_once_and_not_at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    names = Steps.names
    monkeypatch.setattr(Steps, "names", lambda steps, kind: asked.append(kind) or names(steps, kind))

    def times(count: int) -> int:
        trace = walk_of([[float(place)] for place in range(count)])
        asked.clear()
        flow.bounces(trace)
        return len(asked)

    assert times(4) == times(12)


def test_bounces_read_the_updates_of_one_step_at_a_time(tmp_path: Path) -> None:
    walk_of([[float(place)] * 20_000 for place in range(41)], path=tmp_path / "run")
    trace = explainer.open_trace(tmp_path / "run")
    one = trace.updates["weight"][0].nbytes
    tracemalloc.start()
    try:
        assert not flow.bounces(trace).any()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10 * one  # of forty
