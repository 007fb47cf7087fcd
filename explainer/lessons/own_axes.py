"""The weights themselves as axes, where a model has one or two: nothing is projected. Read without torch."""

from __future__ import annotations

from typing import Any

import numpy as np

from explainer.lessons.catalogue import LESSONS
from explainer.trace import Trace


def own_line(trace: Trace) -> dict[str, Any]:
    """Return the line whose t is the one weight, as `loss_slice` takes it."""
    ((name, zero),) = _zeros(trace).items()
    return {"center": {name: zero}, "direction": {name: np.ones_like(zero)}}


def own_plane(trace: Trace) -> dict[str, Any]:
    """Return the plane whose u and v are the two weights, as `loss_surface` takes it."""
    return {"center": _zeros(trace), "plane": [np.array([1.0, 0.0]), np.array([0.0, 1.0])]}


def axes_of(trace: Trace) -> list[str]:
    """Return how the weights are called, in the order of the axes."""
    return list(trace.parameters)


def shown(*traces: Trace) -> tuple[tuple[float, float], ...] | None:
    """Return where the lesson's weights are looked at, or None where a walk leaves that, or there is no such view."""
    view = LESSONS[traces[0].notes["lesson"]].view
    for trace in traces:
        for values, (low, high) in zip(trace.parameters.values(), view, strict=False):
            if not np.all((np.asarray(values) >= low) & (np.asarray(values) <= high)):
                return None
    return view or None


def _zeros(trace: Trace) -> dict[str, Any]:
    return {name: np.zeros_like(values[0]) for name, values in trace.parameters.items()}
