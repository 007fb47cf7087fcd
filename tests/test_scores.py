"""Scores, probabilities, log-probabilities and their losses, against torch."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

import explainer  # noqa: E402
from explainer import scores  # noqa: E402
from explainer.errors import TraceError  # noqa: E402
from explainer.lessons import record_lesson  # noqa: E402
from explainer.trace import Trace  # noqa: E402

F = nn.functional


def trained(model: nn.Module, criterion: nn.Module, classes: int = 3, steps: int = 4, **options: object) -> Trace:
    torch.manual_seed(2)
    x, y = torch.randn(6, 5), torch.arange(6) % classes
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    with explainer.record(model, criterion=criterion, optimizer=optimizer, **options) as recorder:
        for _ in range(steps):
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
    return recorder.trace


def by_scores() -> Trace:
    return trained(nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)), nn.CrossEntropyLoss())


def by_logs(dim: int = 1) -> Trace:
    return trained(nn.Sequential(nn.Linear(5, 3), nn.LogSoftmax(dim=dim)), nn.NLLLoss())


class Functional(nn.Module):
    """Calls log_softmax as a function: no layer's output are the scores alone."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.log_softmax(self.layer(x), dim=1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("axis", [0, 1])
def test_softmax_its_logarithm_and_both_losses_are_torchs(dtype: type, axis: int) -> None:
    x = (np.random.default_rng(0).normal(size=(7, 10)) * 9).astype(dtype)
    t = np.arange(7) % 10
    near = 1e-5 if dtype is np.float32 else 1e-12
    for ours, theirs in ((scores.softmax, F.softmax), (scores.log_softmax, F.log_softmax)):
        assert ours(x, axis).dtype == dtype
        np.testing.assert_allclose(ours(x, axis), theirs(torch.tensor(x), dim=axis).numpy(), rtol=near, atol=near)
    log_p = scores.log_softmax(x, axis)
    entropy = float(F.cross_entropy(torch.tensor(x), torch.tensor(t)))
    assert scores.cross_entropy(x, t) == pytest.approx(entropy, rel=near)
    likelihood = float(F.nll_loss(torch.tensor(log_p), torch.tensor(t)))
    assert scores.negative_log_likelihood(log_p, t) == pytest.approx(likelihood, rel=near)


def test_the_two_roads_are_bit_equal_in_torch() -> None:
    x, t = torch.randn(64, 10), torch.arange(64) % 10
    assert torch.equal(F.cross_entropy(x, t), F.nll_loss(F.log_softmax(x, dim=1), t))


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_cross_entropy_of_probabilities_stays_between_its_bounds_which_are_reached(classes: int) -> None:
    low, high = scores.bounds(classes)
    right, wrong = torch.eye(classes)[:1], torch.eye(classes)[1:2]
    t = torch.tensor([0])
    assert float(F.cross_entropy(right, t)) == pytest.approx(low, rel=1e-6)
    assert float(F.cross_entropy(wrong, t)) == pytest.approx(high, rel=1e-6)
    p = F.softmax(torch.randn(500, classes) * 5, dim=1)
    losses = F.cross_entropy(p, torch.zeros(500, dtype=torch.long), reduction="none")
    assert low - 1e-6 <= float(losses.min()) <= float(losses.max()) <= high + 1e-6
    if classes == 10:
        assert (round(low, 4), round(high, 4)) == (1.4612, 2.4612)


@pytest.mark.parametrize("gap", [0, 1, 50, 104, 200])
def test_both_roads_of_two_scores_give_torchs_loss_and_gradient_in_float32(gap: int) -> None:
    for ours, theirs in (
        (scores.by_probabilities(gap), lambda x: -torch.log(F.softmax(x, dim=0))[1]),
        (scores.by_logarithms(gap), lambda x: -F.log_softmax(x, dim=0)[1]),
    ):
        x = torch.tensor([0.0, -float(gap)], requires_grad=True)
        loss = theirs(x)
        loss.backward()
        np.testing.assert_allclose(ours.loss, float(loss.detach()), rtol=1e-5)
        np.testing.assert_allclose(ours.gradient, x.grad.numpy(), rtol=1e-5, atol=1e-7, equal_nan=True)


def test_the_logarithm_of_softmax_breaks_at_104_and_log_softmax_does_not() -> None:
    assert scores.breaking_gap() == 104
    assert math.isfinite(scores.by_probabilities(103).loss)
    assert math.isinf(scores.by_probabilities(104).loss)
    assert all(math.isnan(each) for each in scores.by_probabilities(200).gradient)
    assert scores.by_logarithms(200) == scores.Road(200.0, (1.0, -1.0))


def test_the_lessons_scores_are_what_its_last_layer_was_given_and_its_logs_are_recorded() -> None:
    trace = record_lesson("digits", steps=30)
    seen = scores.read_scores(trace)
    assert (seen.classes, seen.batch, seen.recorded_as) == (tuple("0123456789"), 64, "scores")
    for index in range(len(trace)):
        np.testing.assert_array_equal(seen.scores[index], trace.activations["4"][index])
        np.testing.assert_array_equal(seen.log_probabilities[index], trace.activations["5"][index])
        np.testing.assert_array_equal(seen.targets[index], trace.targets[index])
        x, t = torch.tensor(seen.scores[index]), torch.tensor(seen.targets[index])
        assert seen.right_losses[index] == pytest.approx(float(F.cross_entropy(x, t)), rel=1e-6)
        assert seen.likelihood_losses[index] == pytest.approx(seen.right_losses[index], rel=1e-6)
        assert seen.mistaken_losses[index] == pytest.approx(float(F.cross_entropy(F.softmax(x, 1), t)), rel=1e-6)


def test_an_untrained_network_with_the_wrong_dim_has_a_loss_of_ln_of_the_rows() -> None:
    trace = record_lesson("digits", steps=30)
    seen = scores.read_scores(trace)
    wrong = scores.negative_log_likelihood(scores.log_softmax(seen.scores[0], 0), seen.targets[0])
    assert wrong == pytest.approx(math.log(8), abs=0.1)
    x = torch.randn(64, 10) * 0.1
    t = torch.arange(64) % 10
    assert float(F.nll_loss(F.log_softmax(x, dim=0), t)) == pytest.approx(math.log(64), abs=0.1)


def test_a_whole_batch_has_the_recorded_loss() -> None:
    for trace in (by_scores(), by_logs()):
        seen = scores.read_scores(trace)
        assert seen.batch == 6 == len(seen.targets[0])
        np.testing.assert_allclose(seen.right_losses, trace.scalars["loss"], rtol=1e-6)
        np.testing.assert_allclose(seen.likelihood_losses, trace.scalars["loss"], rtol=1e-6)


def test_log_probabilities_made_by_a_function_are_scores_too() -> None:
    seen = scores.read_scores(trained(Functional(), nn.NLLLoss()))
    assert seen.recorded_as == "log-probabilities"
    for x, log_p in zip(seen.scores, seen.log_probabilities, strict=True):
        np.testing.assert_allclose(scores.log_softmax(x), log_p, atol=1e-6)


def test_the_batch_that_is_looked_at_is_the_first_with_a_third_of_the_loss_of_equal_shares() -> None:
    seen = scores.read_scores(trained(nn.Sequential(nn.Linear(5, 3)), nn.CrossEntropyLoss(), steps=60))
    at, losses = seen.on_the_way(), seen.right_losses
    assert 0 < at < len(losses) - 1
    assert losses[at] < math.log(3) / 3 <= losses[:at].min()
    never = scores.read_scores(by_scores())
    assert never.on_the_way() == len(never.steps) - 1
    own = [scores.cross_entropy(seen.scores[at][[each]], seen.targets[at][[each]]) for each in range(6)]
    assert seen.telling_example(at) == int(np.abs(np.array(own) - losses[at]).argmin())
    assert seen.largest_gap() == max(float((x.max(1) - x.min(1)).max()) for x in seen.scores)


@pytest.mark.parametrize(
    ("model", "criterion", "complaint"),
    [
        (nn.Linear(5, 3), nn.CrossEntropyLoss(label_smoothing=0.1), "smooths its labels"),
        (nn.Sequential(nn.Linear(5, 3), nn.LogSoftmax(dim=0)), nn.NLLLoss(), r"sum to .* instead of 1: end the model"),
        (nn.Linear(5, 3), nn.MultiMarginLoss(), "has a MultiMarginLoss: record a classifier with criterion"),
    ],
)
def test_a_trace_whose_loss_is_another_says_so(model: nn.Module, criterion: nn.Module, complaint: str) -> None:
    with pytest.raises(TraceError, match=complaint):
        scores.read_scores(trained(model, criterion))


def test_targets_that_are_no_class_numbers_are_refused() -> None:
    model, criterion = nn.Linear(5, 3), nn.CrossEntropyLoss()
    with explainer.record(model, criterion=criterion) as recorder:
        loss = criterion(model(torch.randn(4, 5)), torch.full((4, 3), 1 / 3))
        loss.backward()
        recorder.step(loss)
    with pytest.raises(TraceError, match=r"targets \(4, 3\) of float32; only \(example, class\)"):
        scores.read_scores(recorder.trace)
