"""The curves of a run: its loss and what else was logged, at the steps that are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from explainer import baseline, flow, reach
from explainer.errors import TraceError

if TYPE_CHECKING:
    from explainer.page.shown import Shown
    from explainer.trace import Trace


MOST_READ = 500_000_000  # numbers of updates, which say how often a run turns back: more would take minutes


def curves(trace: Trace, shown: Shown) -> dict[str, Any]:
    """Return a run's loss, the other losses and accuracies that were logged, and the loss of who knows nothing.

    Returns:
        `loss` (T,), `others` name → (T,), `accuracies` name → (T,), `nothing` and `classes`, and `criterion`.

    Raises:
        TraceError: No loss was recorded.
    """
    if "loss" not in trace.scalars:
        reason = trace.missing.get(trace.model.loss_name, "none was recorded")
        raise TraceError(f"the trace holds no loss: {reason}")
    names = [name for name in trace.scalars if np.isfinite(trace.scalars[name]).any()]
    others = [name for name in names if name.endswith("loss") and name != "loss"]
    criterion = trace.model.criterion
    return {
        "loss": shown.of(trace.scalars["loss"]),
        "others": {name: shown.of(trace.scalars[name]) for name in others},
        "accuracies": {name: _latest(trace, shown, name) for name in names if name.endswith("accuracy")},
        "nothing": baseline.knowing_nothing(trace),
        "classes": baseline.class_count(trace),
        "criterion": criterion.type if criterion else "",
    }


def _latest(trace: Trace, shown: Shown, name: str) -> Any:
    """Return a scalar that is logged now and then as it was last known at each shown step, (T,)."""
    values = np.asarray(trace.scalars[name], np.float64)
    place = np.maximum.accumulate(np.where(np.isfinite(values), np.arange(len(values)), -1))
    return shown.of(np.where(place >= 0, values[place], np.nan))


def verdict(trace: Trace) -> dict[str, Any]:
    """Return what a run came to, beside the others: its learning rate, its last loss, and how often it turns back."""
    losses = np.asarray(trace.scalars["loss"], np.float64) if "loss" in trace.scalars else np.empty(0)
    rates = np.asarray(trace.scalars["learning_rate"], np.float64) if "learning_rate" in trace.scalars else np.empty(0)
    rates = rates[np.isfinite(rates)]
    few = len(trace) > 1 and len(trace) * trace.model.parameter_count <= MOST_READ
    try:
        turns: float | None = float(flow.bounces(trace).mean()) if few else None
    except TraceError:  # steps between were not recorded, or updates were not kept
        turns = None
    return {
        "rate": float(rates[0]) if len(rates) else None,
        "last": losses[-1:] if len(losses) else None,  # (1,): an array says what is infinite or NaN
        "turns": turns,
        "learns": reach.result(trace).learns,
    }
