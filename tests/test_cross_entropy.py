"""What cross-entropy makes of a classifier's answers: torch's numbers, for whatever the last layer gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

import explainer  # noqa: E402
from explainer.cross_entropy import CrossEntropy, classifies, log_probabilities, read_cross_entropy  # noqa: E402
from explainer.errors import TraceError  # noqa: E402
from explainer.trace import Trace  # noqa: E402

STEPS = 3


def recorded(
    last: nn.Module | None = None, *, probe: bool = True, targets: torch.Tensor | None = None, **options: Any
) -> tuple[Trace, nn.Module, torch.Tensor, torch.Tensor]:
    """Record a classifier of four classes; return it as trained, and its examples."""
    torch.manual_seed(2)
    x, y = torch.randn(9, 3), torch.randint(0, 4, (9,))
    model = nn.Sequential(nn.Linear(3, 4), *([last] if last is not None else []))
    loss: nn.Module = nn.NLLLoss() if isinstance(last, nn.LogSoftmax) else nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    if probe:
        options["probe"] = (x, y if targets is None else targets)
    if targets is None:
        options["criterion"] = loss
    with explainer.record(model, optimizer=optimizer, **options) as recorder:
        for _ in range(STEPS):
            optimizer.zero_grad()
            loss(model(x), y).backward()
            optimizer.step()
    return recorder.trace, model, x, y


@pytest.mark.parametrize("last", [None, nn.LogSoftmax(dim=1)])
def test_losses_are_torch_s_and_their_mean_is_the_recorded_one(last: nn.Module | None) -> None:
    trace, _, x, y = recorded(last)
    seen = read_cross_entropy(trace)
    model = nn.Linear(3, 4)
    assert seen.losses.shape == (STEPS, 9) and seen.images is None and seen.probed
    for step in range(STEPS):
        weight, bias = (torch.tensor(np.asarray(trace.parameters[f"0.{each}"][step])) for each in ("weight", "bias"))
        model.weight.data, model.bias.data = weight, bias
        wanted = nn.functional.cross_entropy(model(x), y, reduction="none").detach().numpy()
        np.testing.assert_allclose(seen.losses[step], wanted, rtol=1e-5)
    np.testing.assert_allclose(seen.means, trace.scalars["probe_loss"], rtol=1e-6)
    np.testing.assert_allclose(seen.probabilities.sum(axis=2), 1, rtol=1e-6)
    assert seen.is_recorded


def test_without_a_probe_what_was_kept_of_the_last_batch_is_read() -> None:
    trace, *_, y = recorded(probe=False)
    seen = read_cross_entropy(trace)
    assert seen.losses.shape == (1, 8) and seen.steps.tolist() == [2] and not seen.probed
    np.testing.assert_array_equal(seen.targets, y[:8])
    assert not seen.is_recorded  # the loss is of all nine


def test_scores_probabilities_and_log_probabilities_say_the_same() -> None:
    scores = np.random.default_rng(0).normal(size=(2, 5, 4))
    wanted = torch.log_softmax(torch.tensor(scores), dim=-1).numpy()
    for kind, outputs in (("Linear", scores), ("Softmax", np.exp(wanted)), ("LogSoftmax", wanted)):
        np.testing.assert_allclose(log_probabilities(outputs, kind), wanted, rtol=1e-12)
    assert np.isfinite(log_probabilities(np.array([[0.0, 5000.0]]), "Linear")).all()


@pytest.mark.parametrize(("given", "turn"), [([0.1, 0.4, 0.6, 0.4], 2), ([0.9, 0.1], 0), ([0.1, 0.2, 0.3], 2)])
def test_the_turn_is_where_the_right_class_gets_more_than_half(given: list[float], turn: int) -> None:
    logs = np.log(np.stack([given, 1 - np.array(given)], axis=1))[:, None]
    seen = CrossEntropy(logs, np.array([0]), ("a", "b"), np.zeros(1), None, np.arange(len(given)), True)
    assert seen.turn(0) == turn


def test_classifiers_are_told_from_other_traces_by_their_targets() -> None:
    assert classifies(recorded()[0]) and classifies(recorded(probe=False)[0])
    assert not classifies(recorded(keep=("parameters",), probe=False)[0])


def test_targets_that_are_no_classes_are_refused() -> None:
    with pytest.raises(TraceError, match=r"the targets of the run B are float32 of shape \(9, 4\), not a class number"):
        read_cross_entropy(recorded(targets=torch.zeros(9, 4))[0], "the run B")


def test_more_classes_than_outputs_are_refused() -> None:
    with pytest.raises(TraceError, match=r"has the shape \(9, 4\): a probability for each class.*more than 7 classes"):
        read_cross_entropy(recorded(targets=torch.full((9,), 7))[0])


def test_a_trace_without_outputs_is_refused_with_the_line_to_add() -> None:
    with pytest.raises(TraceError, match=r"(?s)neither a probe nor its outputs and targets.*probe=\(images, labels\)"):
        read_cross_entropy(recorded(keep=("parameters",), probe=False)[0])
