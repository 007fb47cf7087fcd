"""The order of a training step, as it was recorded: forward, loss, backward, update, again and again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from explainer.errors import TraceError

if TYPE_CHECKING:
    from explainer.trace import Trace

FORWARD, LOSS, BACKWARD, UPDATE = "forward", "loss", "backward", "update"


@dataclass(frozen=True)
class Lap:
    """One recorded step.

    Attributes:
        verbs: What happened, in the order in which each happened first.
        passes: How often the loss was computed before the update: more than 1 where gradients of several parts of a
            batch are added up.
    """

    verbs: tuple[str, ...]
    passes: int = 1


def lap(trace: Trace, step: int = -1) -> Lap:
    """Return the order of one recorded step.

    Args:
        step: A recorded step; a negative one counts from the last.

    Raises:
        TraceError: The step was not recorded, or nothing flowed back in it.
    """
    index = trace.index_of(step)
    found = _lap(trace.events[index])
    if BACKWARD not in found.verbs or FORWARD not in found.verbs:
        raise TraceError(
            f"no {BACKWARD if FORWARD in found.verbs else FORWARD} pass was recorded at step {trace.steps[index]}: "
            "record the training itself, with loss.backward() and optimizer.step() inside the recording"
        )
    return found


def alike(trace: Trace) -> int:
    """Return how many recorded steps have the first one's order."""
    laps = [_lap(events) for events in trace.events]
    return sum(each == laps[0] for each in laps)


def _lap(events: Sequence[str]) -> Lap:
    verbs = [verb for verb, _ in groupby(event.partition(" ")[0] for event in events)]
    return Lap(tuple(dict.fromkeys(verbs)), max(verbs.count(LOSS), 1))


@dataclass(frozen=True)
class Accumulation:
    """How long the gradient of all parameters was after one backward pass, and after a second without zero_grad."""

    once: float
    twice: float

    @property
    def ratio(self) -> float:
        """Twice by once."""
        return self.twice / self.once


def accumulation(trace: Trace) -> Accumulation | None:
    """Return what two real backward passes through one batch gave; None where the run did not try it.

    `recorder.note(accumulation={"once": …, "twice": …})` is how the lesson `digits` says so.
    """
    noted: Any = trace.notes.get("accumulation")
    try:
        found = Accumulation(float(noted["once"]), float(noted["twice"]))
    except (TypeError, KeyError, ValueError):
        return None
    return found if np.isfinite([found.once, found.twice]).all() and found.once > 0 else None
