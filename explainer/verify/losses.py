"""The loss over again: its value, and ∂loss/∂(its input)."""

from dataclasses import dataclass

import numpy as np
import torch

from explainer.trace import Trace
from explainer.verify.calls import Moment
from explainer.verify.comparing import Array
from explainer.verify.links import Link
from explainer.verify.one_layer import Again, Given, work_out
from explainer.verify.operations_again import LOSSES, WEIGHTED, Unjudged, applied, operation


@dataclass(frozen=True)
class Judged:
    """What the loss should be, and what should come back from it.

    Attributes:
        value: None where not every example was kept.
        gradient: As expected at the loss's input.
        reason: What a reader should know of it.
    """

    value: Again | None
    gradient: Again
    reason: str = ""


def work_out_loss(moment: Moment) -> Judged:
    """Work out the loss of a recorded step.

    Where backward went through a multiple of the loss (a weight, a scaler), or where only the first examples of a batch
    were kept, the gradient is the expected one times one number, which is read off the middle of all ratios.

    Raises:
        Unjudged: The loss is not one of those that are worked out.
        TraceError: The trace lacks what is needed.
    """
    trace = moment.caller.trace
    criterion, seen = trace.model.criterion, trace.criterion
    if criterion is None or seen is None:
        raise Unjudged("no loss module was recorded: record with criterion=criterion")
    if criterion.type not in LOSSES:
        raise Unjudged(f"the derivative of a {criterion.type} is not worked out here")
    if trace.events[moment.index].count("loss") > 1:
        raise Unjudged("the loss was called several times in this step, and what is kept of it is joined")
    prediction, target = np.asarray(seen.inputs[moment.index]), np.asarray(trace.targets[moment.index])
    recorded = np.asarray(seen.gradients[moment.index])
    module = operation(criterion.type, criterion.settings, set())
    goal = torch.from_numpy(target.copy())

    def loss(x: torch.Tensor, parameters: object) -> list[torch.Tensor]:
        return [applied(module, {}, x, goal.to(x.dtype) if goal.is_floating_point() else goal)]

    incoming = np.ones((), np.float64)
    given = Given((prediction,), {}, (incoming,), moment.loss_dtype(), moment.caller.tolerance)
    worked = work_out(loss, Link("", lambda x: x), given)
    gradient = worked.to_feeders[0]
    if gradient is None or gradient.values.shape != recorded.shape:
        raise Unjudged("no gradient comes back from it")
    value, gradient = _of_ranks(trace, worked.outputs[0], gradient)
    return _weighted(moment, value, gradient, recorded, target)


def _of_ranks(trace: Trace, value: Again, gradient: Again) -> tuple[Again, Again]:
    """Turn what the joined batch would give into what several processes had: each the loss of its own part."""
    settings = trace.model.criterion.settings if trace.model.criterion else {}
    if settings.get("reduction", "mean") == "sum":
        return Again(value.values / trace.ranks, value.allowed / trace.ranks), gradient
    return value, Again(gradient.values * trace.ranks, gradient.allowed * trace.ranks)


def _weighted(moment: Moment, value: Again, gradient: Again, recorded: Array, target: Array) -> Judged:
    criterion = moment.caller.trace.model.criterion
    factor = factor_between(recorded, gradient.values)
    if abs(factor - 1) > 0.01:
        scaled = Again(gradient.values * factor, gradient.allowed * abs(factor))
        if criterion and criterion.type in WEIGHTED and not _uniform(recorded, scaled):
            return _by_class(value, gradient, recorded, target)
        if not moment.whole:
            reason = "the first examples of the batch were kept, so the gradient is judged up to one factor"
            return Judged(None, scaled, reason)
        reason = f"backward went through {factor:.6g} times this loss"
        return Judged(Again(value.values * factor, value.allowed * abs(factor)), scaled, reason)
    if criterion and criterion.type in WEIGHTED and not _uniform(recorded, gradient):
        return _by_class(value, gradient, recorded, target)
    return Judged(value if moment.whole else None, gradient)


def _by_class(value: Again, gradient: Again, recorded: Array, target: Array) -> Judged:
    """Read the weights of the classes, which no trace holds, off the gradients: one number for each class."""
    if target.ndim != 1 or recorded.ndim != 2 or target.dtype.kind not in "iu":
        return Judged(None, gradient)
    by_class = {
        int(label): factor_between(recorded[target == label], gradient.values[target == label])
        for label in np.unique(target)
    }
    factors = np.array([by_class[int(label)] for label in target])[:, None]
    found = Again(gradient.values * factors, gradient.allowed * float(np.abs(factors).max(initial=1)))
    if not _uniform(recorded, found):
        return Judged(value, gradient)
    return Judged(None, found, "the weights of the classes are not in the trace; they were read off the gradients")


def factor_between(recorded: Array, expected: Array) -> float:
    """Return the middle of recorded / expected where expected is not small; 1 where nothing is."""
    with np.errstate(all="ignore"):
        large = np.abs(expected) > 1e-3 * np.abs(expected).max(initial=0)
        ratios = recorded[large].astype(np.float64) / expected[large]
    ratios = ratios[np.isfinite(ratios)]
    return float(np.median(ratios)) if ratios.size else 1.0


def _uniform(recorded: Array, again: Again, mostly: float = 0.9) -> bool:
    close = np.abs(recorded.astype(np.float64) - again.values) <= again.allowed
    return bool(close.mean() >= mostly) if close.size else True
