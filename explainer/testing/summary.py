"""What a trace holds, in a few lines under a failed test."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from explainer.testing.choice import type_of
from explainer.testing.complaint import number, table

if TYPE_CHECKING:
    from explainer.trace import Trace

_REASONS = 8  # of what is missing


def summarise(trace: Trace) -> str:
    """Tell the steps, the loss, what is missing, and how large the gradient is at each layer in the last step."""
    if not len(trace):
        return f"{trace.model.type}: no step was recorded: {trace.missing.get('loss', 'nothing was seen')}"
    steps = trace.steps
    lines = [f"{trace.model.type}: {len(trace)} recorded step{'s' * (len(trace) > 1)}, {steps[0]} to {steps[-1]}"]
    for name, values in trace.scalars.items():
        known = [float(value) for value in values if not math.isnan(value)]
        absent = f" ({len(trace) - len(known)} steps without a number)" if len(known) < len(trace) else ""
        span = f"{number(known[0])} → {number(known[-1])}" if known else "never a number"
        lines.append(f"{name}: {span}{absent}")
    lines += [f"missing: {name}: {reason}" for name, reason in list(trace.missing.items())[:_REASONS]]
    if len(trace.missing) > _REASONS:
        lines.append(f"missing: {len(trace.missing) - _REASONS} more")
    norms: dict[str, Any] = trace.statistics.get("gradients", {})
    rows = [
        (layer, type_of(trace, layer), number(float(norms[layer]["norm"][-1])) if layer in norms else "none")
        for layer in trace.layers
    ]
    return "\n".join([*lines, "‖gradient‖ in the last step, in forward order:", *table(rows)])
