"""What the loss would be of somebody who never looks: who gives every example the same answer, the best one there is.

For cross-entropy that answer is how often each class comes, for squared errors the mean of the targets. A run that is
no better has learned nothing of its inputs, however far its loss fell: where one class in a hundred is right, it falls
from 0.69 to 0.06 by that alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from explainer.errors import TraceError
from explainer.scores import LOSSES, log_softmax

if TYPE_CHECKING:
    from explainer.trace import Trace

Floats = npt.NDArray[np.float64]

_JUDGED = 200  # examples, the last ones, of which both losses are compared; more where a step has more
_READ = 2_000_000  # numbers of what the loss was given, of them at most
_STEPS = 2_000  # steps whose targets are read, evenly spread
_EACH = 20  # examples for each class, or of numbers, from which it is known how they are spread


@dataclass(frozen=True)
class SameAnswer:
    """Two losses of the same examples, the last ones that were kept.

    Attributes:
        given: The mean loss of what the run answered.
        constant: That of who gives each the same answer, the best one for the targets of the whole run.
        examples: How many they are.
    """

    given: float
    constant: float
    examples: int


def same_answer(trace: Trace) -> SameAnswer | None:
    """Compare a run's last answers with the best one that is the same for every example.

    Returns:
        None where it cannot be told: another loss than a mean of cross-entropies or of squared errors, examples that
        weigh differently, tensors that were not kept, targets that are all the same, or too few to know their spread.
    """
    criterion = trace.model.criterion
    if criterion is None or trace.criterion is None or criterion.settings.get("reduction") != "mean":
        return None
    classes = criterion.type in LOSSES and not criterion.settings.get("label_smoothing")
    if not classes and criterion.type != "MSELoss":
        return None
    try:
        targets = _spread(trace, classes)
        answer = None if targets is None else _best(targets, classes)
        return None if answer is None else _compared(trace, answer, criterion.type)
    except TraceError:  # tensors were not kept
        return None


def _spread(trace: Trace, classes: bool) -> npt.NDArray[Any] | None:
    """Return the targets of the whole run, (example,) or (example, number); None where they are of another kind."""
    steps = np.unique(np.linspace(0, len(trace) - 1, min(len(trace), _STEPS)).astype(int))
    shape = trace.targets.shape_at(steps.tolist())
    if classes and len(shape) != 1:
        return None  # probabilities, or a class for each place
    read = [np.asarray(trace.targets[int(step)]) for step in steps]
    targets = np.concatenate([each.reshape(len(each), *(() if classes else (-1,))) for each in read])
    if classes and (not np.issubdtype(targets.dtype, np.integer) or (len(targets) and targets.min() < 0)):
        return None
    kinds = len(np.unique(targets)) if classes else 1
    return targets if len(targets) >= _EACH * kinds else None


def _best(targets: npt.NDArray[Any], classes: bool) -> Floats | None:
    """Return the answer: of classes −log how often each comes, (class,), of numbers their mean, (number,)."""
    if not classes:
        return np.asarray(targets.astype(np.float64).mean(axis=0)) if np.ptp(targets, axis=0).any() else None
    often = np.bincount(targets) / len(targets)
    with np.errstate(divide="ignore"):
        return np.asarray(-np.log(often)) if np.count_nonzero(often) > 1 else None


def _compared(trace: Trace, answer: Floats, kind: str) -> SameAnswer | None:
    """Compare on the last examples, half of the run's at most."""
    seen = trace.criterion
    given: list[Floats] = []
    constant: list[Floats] = []
    read = 0
    for step in range(len(trace) - 1, len(trace) // 2 - 1, -1):
        if seen is None or sum(map(len, given)) >= _JUDGED or read >= _READ:
            break
        outputs, targets = np.asarray(seen.inputs[step], np.float64), np.asarray(trace.targets[step])
        read += outputs.size
        if len(outputs) != len(targets) or not np.isfinite(outputs).all():
            return None
        losses, slopes = _losses(outputs, targets, kind)
        if not _weigh_the_same(slopes, np.asarray(seen.gradients[step], np.float64)):
            return None
        given.append(losses)
        same = answer[targets] if kind in LOSSES else ((targets.reshape(len(targets), -1) - answer) ** 2).mean(axis=1)
        constant.append(same)
    losses, same = np.concatenate(given), np.concatenate(constant)
    return SameAnswer(float(losses.mean()), float(same.mean()), len(losses)) if same.any() else None


def _losses(outputs: Floats, targets: npt.NDArray[Any], kind: str) -> tuple[Floats, Floats]:
    """Return each example's own loss, (example,), and its derivative by what the loss was given, but for a factor."""
    if kind == "MSELoss":
        errors = outputs.reshape(len(outputs), -1) - targets.reshape(len(targets), -1)
        return (errors**2).mean(axis=1), errors
    logs = log_softmax(outputs) if kind == "CrossEntropyLoss" else outputs
    right = np.eye(outputs.shape[1])[targets]
    slopes = np.exp(logs) - right if kind == "CrossEntropyLoss" else -right
    return -logs[np.arange(len(targets)), targets], slopes


def _weigh_the_same(slopes: Floats, gradients: Floats) -> bool:
    """Whether the recorded gradient has one factor for all examples: a loss with weights, or that ignores, has several.

    Both are (example, number); the factor is one over the size of the batch.
    """
    gradients = gradients.reshape(slopes.shape)
    square = float((slopes**2).sum())
    factor = float((slopes * gradients).sum()) / square if square else 0.0
    return bool(np.abs(gradients - factor * slopes).max(initial=0) <= 1e-3 * np.abs(gradients).max(initial=0))
