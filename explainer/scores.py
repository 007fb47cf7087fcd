"""From scores to the loss: softmax, its logarithm, cross-entropy; the recorded scores of a classifier, and wrong uses.

A classifier's last layer gives a score for each class, any number, also called logit. softmax makes probabilities of
them. The functions keep the dtype of what they are given: where float32 breaks down, they do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explainer.errors import TraceError
from explainer.trace import Trace

Array = NDArray[Any]

LOSSES = ("CrossEntropyLoss", "NLLLoss")  # the one takes scores, the other log-probabilities


# ── The operations ──────────────────────────────────────────────────────────────────────────────────────────────


def softmax(scores: Array, axis: int = -1) -> Array:
    """Return p = eˣ / Σ eˣ over an axis, shaped as the scores."""
    with np.errstate(invalid="ignore"):  # infinite scores have no probabilities: NaN
        powers = np.exp(scores - scores.max(axis=axis, keepdims=True))
        return np.asarray(powers / powers.sum(axis=axis, keepdims=True))


def log_softmax(scores: Array, axis: int = -1) -> Array:
    """Return log p = x − log Σ eˣ over an axis: the same as log(softmax(x)), without ever leaving the logarithm."""
    with np.errstate(invalid="ignore"):
        above = scores - scores.max(axis=axis, keepdims=True)
        return np.asarray(above - np.log(np.exp(above).sum(axis=axis, keepdims=True)))


def negative_log_likelihood(log_probabilities: Array, targets: Array) -> float:
    """Return ℓ = −mean log p[t], for (example, class) and classes t (example,)."""
    return float(-log_probabilities[np.arange(len(targets)), targets].mean())


def cross_entropy(scores: Array, targets: Array) -> float:
    """Return ℓ = −mean log softmax(x)[t], for (example, class) and classes t (example,)."""
    return negative_log_likelihood(log_softmax(scores), targets)


def bounds(classes: int) -> tuple[float, float]:
    """Return between which two values cross-entropy stays when it is given probabilities instead of scores.

    Lowest where the right class has the probability 1: −log(e / (e + C − 1)); highest where a wrong one has it.
    """
    high = math.log(math.e + classes - 1)
    return high - 1, high


# ── Where float32 breaks down ───────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Road:
    """One way from two scores, the right class's `gap` below the other's, to the loss.

    Attributes:
        loss: −log p(the right class).
        gradient: (2,) ∂loss/∂score, of the other class and of the right one.
    """

    loss: float
    gradient: tuple[float, float]


def by_probabilities(gap: float) -> Road:
    """Take log(softmax(x)) in float32: two operations, each with its own derivative."""
    p = softmax(np.array([0, -gap], np.float32))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        incoming = np.array([0, -1], np.float32) / p  # ∂ℓ/∂p
        gradient = incoming @ (np.diag(p) - np.outer(p, p))
        return Road(float(-np.log(p[1])), (float(gradient[0]), float(gradient[1])))


def by_logarithms(gap: float) -> Road:
    """Take log_softmax(x) in float32: one operation."""
    scores = np.array([0, -gap], np.float32)
    gradient = softmax(scores) - np.array([0, 1], np.float32)
    return Road(float(-log_softmax(scores)[1]), (float(gradient[0]), float(gradient[1])))


def breaking_gap() -> int:
    """Return the smallest whole gap at which log(softmax(x)) is −∞ in float32."""
    return next(gap for gap in range(1000) if math.isinf(by_probabilities(gap).loss))


# ── What was recorded ───────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Scores:
    """The kept examples of every recorded batch: their scores, and what they should be.

    Attributes:
        steps: (S,)
        scores: Per step (example, class), as recorded.
        log_probabilities: Per step (example, class): as recorded if the model gives them, else of the scores.
        targets: Per step (example,) the right class.
        classes: Their names.
        batch: How many examples the batches had.
        recorded_as: "scores", or "log-probabilities" where nothing before them was recorded.
    """

    steps: Array
    scores: tuple[Array, ...]
    log_probabilities: tuple[Array, ...]
    targets: tuple[Array, ...]
    classes: tuple[str, ...]
    batch: int
    recorded_as: str

    @property
    def right_losses(self) -> Array:
        """(S,) cross-entropy of the scores."""
        return np.array([cross_entropy(x, t) for x, t in zip(self.scores, self.targets, strict=True)])

    @property
    def likelihood_losses(self) -> Array:
        """(S,) negative log-likelihood of the log-probabilities, which is the same."""
        pairs = zip(self.log_probabilities, self.targets, strict=True)
        return np.array([negative_log_likelihood(log_p, t) for log_p, t in pairs])

    @property
    def mistaken_losses(self) -> Array:
        """(S,) cross-entropy given softmax's probabilities, as if they were scores."""
        return np.array([cross_entropy(softmax(x), t) for x, t in zip(self.scores, self.targets, strict=True)])

    def largest_gap(self) -> float:
        """Return the largest distance between two scores of one example, in any step."""
        return max(float(np.ptp(x, axis=1).max()) for x in self.scores)

    def on_the_way(self) -> int:
        """Return where the step stands at which the loss first is a third of that of equal shares, else the last."""
        below = np.flatnonzero(self.right_losses < math.log(len(self.classes)) / 3)
        return int(below[0]) if len(below) else len(self.steps) - 1

    def telling_example(self, index: int) -> int:
        """Return the example of a step whose own loss is nearest to the mean: neither all right nor all wrong."""
        log_p, targets = self.log_probabilities[index], self.targets[index]
        losses = -log_p[np.arange(len(targets)), targets]
        return int(np.abs(losses - losses.mean()).argmin())


def read_scores(trace: Trace, places: Sequence[int] | None = None) -> Scores:
    """Read the scores of a classifier whose loss is −log p(the right class).

    Args:
        places: Which of the recorded steps are read, by their place; all when omitted.

    Raises:
        TraceError: The loss is another one or has options that make it another one, or what it was given is not
            (example, class) with a class number for each example.
    """
    criterion, seen, name = trace.model.criterion, trace.criterion, trace.folder or "this trace"
    if criterion is None or seen is None or criterion.type not in LOSSES:
        kind = f"a {criterion.type}" if criterion else "no loss module"
        raise TraceError(
            f"scores become a loss by CrossEntropyLoss, or by NLLLoss after log_softmax; {name} has {kind}: record a "
            "classifier with criterion=criterion"
        )
    if criterion.settings.get("label_smoothing"):
        raise TraceError(f"the loss of {name} smooths its labels, which is another one than −log p(the right class)")
    read = range(len(trace)) if places is None else places
    if not len(read):
        raise TraceError(f"{name} holds no step, so there are no scores in it: record at least one")
    try:
        given = [np.asarray(seen.inputs[index]) for index in read]
        targets = [np.asarray(trace.targets[index]) for index in read]
    except TraceError as error:
        raise TraceError(
            f'{name} does not keep what its loss was given at every step: record with keep=("activations", "targets") '
            f"or more ({error})"
        ) from error
    for each, target in zip(given, targets, strict=True):
        _check(each, target, criterion.type)
    scores, recorded_as = given, "scores"
    if criterion.type == "NLLLoss":
        _check_sums(given, name)
        before = _scored_by(trace)
        scores = [np.asarray(trace.activations[before][index]) for index in read] if before else given
        recorded_as = "scores" if before else "log-probabilities"
    logs = given if criterion.type == "NLLLoss" else [log_softmax(each) for each in given]
    kept = max(len(each) for each in given)
    names = trace.notes.get("classes") or range(given[0].shape[1])
    return Scores(
        trace.steps[list(read)], tuple(scores), tuple(logs), tuple(targets), tuple(str(each) for each in names),
        max(kept, _batch(trace)), recorded_as,
    )  # fmt: skip


def _batch(trace: Trace) -> int:
    """Return how many examples the first recorded batch had: rows of the model's output, else of its input."""
    fed_by = trace.model.criterion.fed_by if trace.model.criterion else ()
    last = trace.model.layers.get(fed_by[0]) if len(fed_by) == 1 else None
    if last is not None and last.output_shape:
        return math.prod(last.output_shape[:-1])
    first = trace.model.layers[trace.layers[0]].input_shape if trace.layers else None
    return first[0] if first else 0


def _scored_by(trace: Trace) -> str | None:
    """Return the layer whose output a last log-softmax layer was given, if that was recorded."""
    fed_by = trace.model.criterion.fed_by if trace.model.criterion else ()
    last = trace.model.layers.get(fed_by[0]) if fed_by else None
    if last is None or last.type != "LogSoftmax" or len(last.fed_by) != 1:
        return None
    return last.fed_by[0] if last.fed_by[0] in trace.activations else None


def _check(given: Array, target: Array, kind: str) -> None:
    fits = given.ndim == 2 and target.shape == given.shape[:1] and target.dtype.kind in "iu"
    if not fits or (len(target) and not 0 <= target.min() <= target.max() < given.shape[1]):
        raise TraceError(
            f"the loss ({kind}) compares {given.shape} with targets {target.shape} of {target.dtype}; only "
            "(example, class) with a class number from 0 for each example is drawn"
        )


def _check_sums(given: list[Array], name: object) -> None:
    """Refuse what is no log-probabilities over the classes: then the recorded run itself has the wrong dim."""
    sums = np.exp(np.concatenate(given).astype(np.float64)).sum(axis=1)
    if np.nan_to_num(np.abs(sums - 1)).max(initial=0.0) > 1e-3:
        raise TraceError(
            f"NLLLoss takes log-probabilities; those of {name} sum to {sums[np.abs(sums - 1).argmax()]:.3f} over the "
            "classes instead of 1: end the model with LogSoftmax(dim=1)"
        )
