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


def said(trace: Trace) -> dict[str, Any]:
    """Return what a trace of a lesson says of itself, to stand in a surface's notes too."""
    examples = {"examples": trace.notes.get("data", "")}
    return {**{note: trace.notes[note] for note in ("lesson", "settings") if note in trace.notes}, **examples}


def shown(*traces: Trace) -> tuple[tuple[float, float], ...]:
    """Return (from, to) of each weight: where the lesson looks at it, and as far as the walks go beyond that."""
    ends = []
    for (low, high), name in zip(LESSONS[traces[0].notes["lesson"]].view, traces[0].parameters, strict=True):
        walked = np.concatenate([np.asarray(trace.parameters[name], np.float64).ravel() for trace in traces])
        walked = walked[np.isfinite(walked)]
        left, right = walked.min(initial=low), walked.max(initial=high)
        room = 0.05 * (right - left)  # so that nothing stands on the edge
        ends.append((float(left - room) if left < low else low, float(right + room) if right > high else high))
    return tuple(ends)


def _zeros(trace: Trace) -> dict[str, Any]:
    return {name: np.zeros_like(values[0]) for name, values in trace.parameters.items()}
