"""A run that was made sick is found sick by its numbers, a healthy one healthy, and what cannot be told is said."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import explainer
from explainer import diagnosis
from explainer.diagnosis import FINE, KINDS, MILD, SEVERE, UNKNOWN, Finding, findings, verdict
from explainer.trace import Trace

INPUTS = torch.randn(24, 6, generator=torch.Generator().manual_seed(0))
LABELS = (INPUTS[:, 0] > 0).long()


def record(
    model: nn.Module, *, rate: float = 0.5, steps: int = 12, every: int = 1, log: bool = True, **options: Any
) -> Trace:
    """Train a classifier of two classes on all examples at every step."""
    criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=rate)
    watched: dict[str, Any] = {"criterion": criterion} if log else {}
    with explainer.record(model, optimizer=optimizer, every=every, examples=None, **watched, **options) as recorder:
        for _ in range(steps):
            optimizer.zero_grad()
            criterion(model(INPUTS), LABELS).backward()
            optimizer.step()
    return recorder.trace


def chain(act: type[nn.Module], depth: int = 2, width: int = 12, scale: float | None = None) -> nn.Sequential:
    torch.manual_seed(0)
    widths = [6, *[width] * depth]
    layers = [each for a, b in itertools.pairwise(widths) for each in (nn.Linear(a, b), act())]
    model = nn.Sequential(*layers, nn.Linear(width, 2))
    for module in model:
        if isinstance(module, nn.Linear) and scale is not None:
            nn.init.normal_(module.weight, std=scale)
    return model


def dead() -> nn.Sequential:
    """Return a network of ReLUs whose second ones never open."""
    model = chain(nn.ReLU)
    nn.init.constant_(model.get_parameter("2.bias"), -10)
    return model


def of_kind(trace: Trace, kind: str) -> Finding:
    (found,) = (each for each in findings(trace) if each.kind == kind)
    return found


@pytest.fixture(scope="module")
def healthy() -> Trace:
    return record(chain(nn.Tanh))


@pytest.fixture(scope="module")
def deep_sigmoid() -> Trace:
    return record(chain(nn.Sigmoid, 8))


def test_a_healthy_run_has_no_finding(healthy: Trace) -> None:
    found = findings(healthy)
    assert [each.kind for each in found] == list(KINDS)
    assert {each.severity for each in found} == {FINE}
    assert verdict(found) == "Nothing wrong was found."


def test_in_a_deep_network_of_sigmoids_the_gradient_vanishes(deep_sigmoid: Trace) -> None:
    found = of_kind(deep_sigmoid, "vanishing")
    norms = deep_sigmoid.statistics["gradients"]
    ratio = float(np.median(norms["0"]["norm"] / norms["16"]["norm"]))
    assert (found.severity, found.layer) == (SEVERE, "0")
    assert found.numbers["first / last"] == pytest.approx(ratio, rel=1e-12) and ratio < 1e-3
    assert found.numbers["per layer"] == pytest.approx(ratio ** (1 / 16), rel=1e-12)
    digits, exponent = f"{ratio:.1e}".split("e-0")
    raised = "⁰¹²³⁴⁵⁶⁷⁸⁹"[int(exponent)]
    assert f"{digits}×10⁻{raised}" in found.words


def test_a_network_that_stays_at_the_loss_of_who_knows_nothing_does_not_learn(deep_sigmoid: Trace) -> None:
    found = of_kind(deep_sigmoid, "not learning")
    assert found.severity == SEVERE
    assert found.numbers["knowing nothing"] == pytest.approx(np.log(2))
    assert found.words.endswith("and who knows nothing has 0.693")
    assert verdict(findings(deep_sigmoid)).startswith("Found: vanishing, not learning")


def test_a_huge_initialisation_makes_the_gradient_explode() -> None:
    trace = record(chain(nn.ReLU, 8, scale=3.0), rate=0.0)
    found = of_kind(trace, "exploding")
    assert found.severity == SEVERE
    assert found.numbers["first / last"] > 1e3


def test_gradients_that_are_no_numbers_are_found_where_they_begin() -> None:
    found = of_kind(record(chain(nn.ReLU), rate=1e30, steps=6), "exploding")
    assert found.severity == SEVERE
    assert found.words.startswith("gradients are infinite or NaN from step 1 on")


def test_a_huge_initialisation_saturates_what_squashes() -> None:
    trace = record(chain(nn.Tanh, scale=30.0), rate=0.0)
    found = of_kind(trace, "saturated")
    shares = {
        name: np.mean([np.mean(np.abs(trace.activations[name][step]) > 0.9) for step in range(8, 12)])
        for name in ("1", "3")
    }
    assert found.severity == SEVERE
    assert found.numbers["share"] == pytest.approx(max(shares.values()))
    assert found.layer == max(shares, key=lambda name: shares[name])


def test_a_bias_of_minus_ten_kills_relus() -> None:
    trace = record(dead())
    found = of_kind(trace, "dead")
    assert (found.severity, found.layer, found.numbers["share"]) == (SEVERE, "3", 1.0)
    assert found.words.startswith("100% of the 12 units of layer 3 say the same to each of")
    assert of_kind(trace, "vanishing").words == ("no gradient reaches layer 0: it is exactly 0, and not so at layer 4")


def test_dead_relus_are_found_by_statistics_where_activations_were_not_kept() -> None:
    found = of_kind(record(dead(), keep=()), "dead")
    assert (found.severity, found.words) == (SEVERE, "every value of layer 3 is 0 for the whole batch at step 11")


def parabola(rate: float) -> Trace:
    """Walk down w² from 1: each step multiplies w by 1 − 2 · rate."""
    model, criterion = nn.Linear(1, 1, bias=False), nn.MSELoss()
    nn.init.ones_(model.weight)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    with explainer.record(model, criterion=criterion, optimizer=optimizer) as recorder:
        for _ in range(20):
            optimizer.zero_grad()
            criterion(model(torch.ones(1, 1)), torch.zeros(1, 1)).backward()
            optimizer.step()
    return recorder.trace


def test_too_large_a_learning_rate_bounces() -> None:
    found = of_kind(parabola(1.01), "bouncing")
    assert (found.severity, found.numbers["turned back"], found.numbers["loss rose"]) == (SEVERE, 1.0, 1.0)
    assert found.words == "100% of steps 0 to 19 turn back, and after 100% of them the loss is higher"


@pytest.mark.parametrize(("rate", "turned"), [(0.1, 0.0), (0.9, 1.0)])
def test_steps_that_turn_back_and_still_arrive_are_no_illness(rate: float, turned: float) -> None:
    found = of_kind(parabola(rate), "bouncing")
    assert (found.severity, found.numbers["turned back"]) == (FINE, turned)


def test_a_learning_rate_of_zero_does_not_learn_and_moves_nothing() -> None:
    found = of_kind(record(chain(nn.Tanh), rate=0.0), "not learning")
    assert found.severity == SEVERE
    assert found.numbers["fallen"] == 0 and found.numbers["moves"] == 0
    assert "no step moves a weight" in found.words


def test_a_loss_that_is_no_number_is_not_learning() -> None:
    found = of_kind(record(chain(nn.ReLU), rate=1e30, steps=6), "not learning")
    assert found.severity == SEVERE
    assert found.words.startswith("the loss is no finite number from step ")


def test_steps_whose_loss_is_no_number_are_not_told_to_go_straight() -> None:
    found = of_kind(record(chain(nn.ReLU), rate=1e30, steps=12), "bouncing")
    assert found.severity == UNKNOWN
    assert found.words == "cannot be told: not every loss of steps 0 to 11 is a finite number"


def go_on(trained: nn.Module, *, rate: float = 0.1, steps: int = 12) -> Trace:
    """Train a classifier until its loss hardly falls any more, then record what comes next."""
    optimizer = torch.optim.SGD(trained.parameters(), lr=1.0)
    for _ in range(400):
        optimizer.zero_grad()
        nn.CrossEntropyLoss()(trained(INPUTS), LABELS).backward()
        optimizer.step()
    return record(trained, rate=rate, steps=steps)


def test_a_run_that_goes_on_from_a_converged_model_is_not_said_to_learn_nothing() -> None:
    trace = go_on(chain(nn.Tanh))
    losses = trace.scalars["loss"]
    found = of_kind(trace, "not learning")
    assert abs(losses[-1] / losses[0] - 1) < 0.01 and losses[0] < 0.01  # it hardly falls
    assert found.severity == FINE
    assert found.words.endswith("and who knows nothing has 0.693: what the model has learned it had learned by step 0")
    assert found.numbers["learned"] == pytest.approx(1 - losses[-1] / np.log(2), rel=1e-6)


def test_a_converged_model_that_a_large_step_ruins_is_found() -> None:
    found = of_kind(go_on(chain(nn.Tanh, scale=3.0), rate=3e4), "not learning")
    assert found.severity == SEVERE and found.numbers["last loss"] > found.numbers["first loss"]


def test_a_converged_model_whose_weights_do_not_move_is_found() -> None:
    found = of_kind(go_on(chain(nn.Tanh), rate=0.0), "not learning")
    assert found.severity == SEVERE and found.words.endswith(": no step moves a weight")


class Far(nn.Module):
    """A loss of which a trace knows no loss of who knows nothing."""

    def forward(self, scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(scores, labels) + 1000


def test_a_loss_that_does_not_fall_and_says_nothing_of_itself_is_called_mild() -> None:
    model, criterion = chain(nn.Tanh), Far()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with explainer.record(model, criterion=criterion, optimizer=optimizer) as recorder:
        for _ in range(5):
            optimizer.zero_grad()
            criterion(model(INPUTS), LABELS).backward()
            optimizer.step()
    found = of_kind(recorder.trace, "not learning")
    assert found.severity == MILD
    assert found.words.endswith("whether the model had learned before cannot be told of this loss")


def learn_without_looking(count: int) -> tuple[Trace, torch.Tensor]:
    """Train a classifier of one rare class in twelve on inputs that say nothing."""
    generator = torch.Generator().manual_seed(1)
    labels = (torch.arange(count) % 12 == 0).long()
    model = nn.Sequential(nn.Linear(2, 2))
    optimizer, criterion = torch.optim.SGD(model.parameters(), lr=1.0), nn.CrossEntropyLoss()
    with explainer.record(model, criterion=criterion, optimizer=optimizer, examples=None) as recorder:
        for _ in range(60):
            optimizer.zero_grad()
            criterion(model(torch.randn(count, 2, generator=generator) * 0.1), labels).backward()
            optimizer.step()
    return recorder.trace, labels


def test_a_run_that_learned_only_how_often_each_class_comes_does_not_learn() -> None:
    trace, labels = learn_without_looking(48)
    often = np.bincount(labels.numpy()) / 48
    entropy = -float((often * np.log(often)).sum())
    found = of_kind(trace, "not learning")
    assert found.numbers["fallen"] > 0.1 and found.numbers["last loss"] < 0.5 * np.log(2)  # far below ln 2
    assert found.severity == SEVERE
    assert found.numbers["same answer"] == pytest.approx(entropy)
    assert f"who gives each the same answer has {entropy:.3g}" in found.words


def test_units_are_not_called_dead_by_two_examples() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 2))
    optimizer, criterion = torch.optim.SGD(model.parameters(), lr=0.01), nn.CrossEntropyLoss()
    with explainer.record(model, criterion=criterion, optimizer=optimizer) as recorder:
        for step in range(12):
            optimizer.zero_grad()
            criterion(model(INPUTS[2 * step :][:2]), LABELS[2 * step :][:2]).backward()
            optimizer.step()
    trace = recorder.trace
    silent = [float((np.asarray(trace.activations["1"][step]) == 0).all(axis=0).mean()) for step in range(12)]
    assert silent[-1] > diagnosis.DEAD[0]  # by the last two examples they would be
    together = (np.asarray(trace.activations["1"])[-8:].reshape(16, 16) == 0).all(axis=0).mean()
    found = of_kind(trace, "dead")
    assert found.severity == FINE
    assert found.numbers == {"share": pytest.approx(together), "units": 16, "examples": 16}


def test_an_example_that_comes_again_counts_once() -> None:
    trace = record(dead(), steps=4)
    assert of_kind(trace, "dead").numbers["examples"] == 24
    model = dead()
    with explainer.record(model, examples=8) as recorder:
        for _ in range(6):
            model(INPUTS).sum().backward()
            recorder.step()
    assert "say the same to each of 8 examples, which are too few" in of_kind(recorder.trace, "dead").words


def test_of_too_few_examples_it_cannot_be_told_whether_units_are_dead() -> None:
    model = dead()
    with explainer.record(model) as recorder:
        for _ in range(3):
            model(torch.randn(2, 6)).sum().backward()
            recorder.step()
    found = of_kind(recorder.trace, "dead")
    assert found.severity == UNKNOWN
    assert "say the same to each of 6 examples, which are too few to call them dead: it takes 16" in found.words


def test_what_a_trace_lacks_cannot_be_told_with_the_reason() -> None:
    found = {each.kind: each for each in findings(record(chain(nn.Tanh), keep=()))}
    assert found["vanishing"].severity == FINE  # statistics are always there
    for kind, reason in (
        ("dead", 'record with keep=("activations", …)'),
        ("saturated", 'activations of 1 were not kept: record with keep=("activations", …)'),
        ("bouncing", "keeps no updates"),
    ):
        assert found[kind].severity == UNKNOWN
        assert found[kind].words.startswith("cannot be told: ") and reason in found[kind].words
    assert verdict(found.values()) == "Nothing wrong was found; cannot be told: dead, saturated, bouncing."


def test_steps_with_gaps_between_them_say_nothing_of_bouncing() -> None:
    found = of_kind(record(chain(nn.Tanh), every=3), "bouncing")
    assert found.severity == UNKNOWN
    assert "it takes 9 recorded steps that follow each other: record every step, every=1" in found.words


def test_the_last_steps_that_follow_each_other_are_judged_for_bouncing() -> None:
    trace = record(chain(nn.Tanh), steps=30, every=lambda step: step < 12 or step % 5 == 0)  # type: ignore[arg-type]
    assert of_kind(trace, "bouncing").words.startswith("0% of steps 0 to 11 turn back")  # step 10 is one of them


def test_of_a_long_run_only_the_last_steps_are_read(healthy: Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "_STEPS", 10)
    found = of_kind(healthy, "bouncing")
    assert (found.numbers["first step"], found.numbers["last step"]) == (2, 11)


def test_without_a_loss_it_cannot_be_told_whether_a_run_learns() -> None:
    found = of_kind(record(chain(nn.Tanh), log=False), "not learning")
    assert found.severity == UNKNOWN
    assert "no loss was recorded: record with criterion=criterion" in found.words


def test_one_step_tells_of_gradients_only() -> None:
    found = {each.kind: each.severity for each in findings(record(chain(nn.Tanh), steps=1))}
    assert found["vanishing"] == FINE
    assert found["bouncing"] == found["not learning"] == UNKNOWN


def test_an_output_that_is_sure_is_not_saturated() -> None:
    model = nn.Sequential(nn.Linear(1, 1), nn.Sigmoid())
    nn.init.constant_(model.get_parameter("0.weight"), 50.0)
    with explainer.record(model, criterion=(criterion := nn.BCELoss())) as recorder:
        criterion(model(torch.ones(2, 1)), torch.ones(2, 1)).backward()
        recorder.step()
    assert of_kind(recorder.trace, "saturated").severity == FINE


def test_the_verdict_names_the_worst_first() -> None:
    found = [Finding("vanishing", MILD, ""), Finding("dead", SEVERE, ""), Finding("bouncing", UNKNOWN, "")]
    assert verdict(found) == "Found: dead, vanishing (mild); cannot be told: bouncing."
    assert verdict(found[2:]) == "Nothing can be told; cannot be told: bouncing."


def test_thresholds_stand_in_the_open() -> None:
    assert diagnosis.VANISHING == (1e-2, 1e-3)
    assert diagnosis.EXPLODING == (1e2, 1e3)
