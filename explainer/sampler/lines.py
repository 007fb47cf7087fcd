"""`loss_slice`: a model's loss along a line through its weights, with its slope."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from explainer.errors import SurfaceError, TraceError, unknown
from explainer.sampler.axes import axis, line_ends
from explainer.sampler.evaluation import Evaluator
from explainer.sampler.gradients import gradient
from explainer.sampler.grid import about, choose_center, measure_walks, mind_statistics
from explainer.sampler.planes import Plane, given_direction, random_directions
from explainer.sampler.problem import Criterion, Metric, Problem, pose, try_out
from explainer.sampler.runs import read_runs, recorded_weights
from explainer.sampler.weights import Tensors, combined, dot, given_weights, length, scaled
from explainer.surface import Slice
from explainer.trace import Trace

DIRECTIONS = ("gradient", "recorded gradient", "update", "random")
_ENDS = {"update": (-1.0, 2.0), "line": (-0.25, 1.25)}  # others from -1 to 1


def loss_slice(
    model: nn.Module,
    criterion: Criterion,
    data: Any,
    *,
    trace: Trace | None = None,
    step: int = -1,
    direction: Any = "gradient",
    to: Any = None,
    resolution: int = 51,
    span: float | tuple[float, float] | None = None,
    center: nn.Module | Mapping[str, Any] | None = None,
    metrics: Mapping[str, Metric] | None = None,
    batch_norm: str = "as is",
    mode: str = "eval",
    seed: int = 0,
    walk_steps: int | None = 200,
) -> Slice:
    """Evaluate a model's loss along a line through its weights; the model is left exactly as it was.

    A point t of the line is the weights center + t·direction. The slope at t = 0 is ∂loss/∂weights, by autograd, times
    the direction.

    Args:
        model: As for `loss_surface`, and so are `criterion`, `data`, `metrics`, `batch_norm`, `mode`, `seed` and
            `walk_steps`.
        trace: A run, whose walk is drawn beside the line.
        step: The recorded step of the trace whose weights are the center; negative counts from the last.
        direction: "gradient": of the loss at the center, by autograd, of length 1: uphill, t in the weights' own
            distance. "recorded gradient": the step's own, of its batch, of length 1. "update": the step's, so that the
            weights after it stand at t = 1. "random": filter-normalised. Or a mapping from parameter name to array, or
            a flat vector.
        to: Other weights instead of a direction, a model, a state dict or a mapping: they stand at t = 1.
        resolution: Points along the line.
        span: Half the line's length, or (from, to), in t. By default from −1 to 1, for "update" to 2, and with `to`
            from −0.25 to 1.25.
        center: The weights at t = 0, a model, a state dict or a mapping; by default the step's, else the model's own.

    Returns:
        The slice: losses (T,) at t (T,), the loss and its slope at 0.

    Raises:
        SurfaceError: Something given cannot be used; the message says what, and what to do.
        TraceError: The step was not recorded.
    """
    problem = pose(model, criterion, data, metrics, batch_norm, mode)
    runs = read_runs(problem.model, trace, walk_steps)
    index = _index(trace, step)
    if center is None and trace is not None and index is not None:
        weights, whose = recorded_weights(trace, problem.model, index), f"step {int(trace.steps[index])}"
        weights = given_weights(problem.model, weights, whose)
    else:
        weights, whose = choose_center(problem, center, ())
    try_out(problem, weights)
    try:
        loss, slope = gradient(problem, weights)
    except SurfaceError:
        if to is None and isinstance(direction, str) and direction == "gradient":
            raise
        loss, slope = _loss(problem, weights), {}
    line = _line(problem, weights, slope, direction, to, trace, index, seed, whose)
    t = axis(resolution, line_ends(span, _ENDS.get(line.name, (-1.0, 1.0))))
    values = Evaluator(problem, line.center, line.directions)(t[:, None])
    return Slice(
        losses=values[:, 0],
        metrics={name: values[:, 1 + place] for place, name in enumerate(problem.metrics)},
        t=t,
        loss=loss,
        slope=dot(slope, line.directions[0]) if slope else float("nan"),
        step=int(trace.steps[index]) if trace is not None and index is not None else None,
        walks=measure_walks(problem, line, runs, slopes=False),
        **about(problem, line),
    )


def _index(trace: Trace | None, step: int) -> int | None:
    if trace is not None:
        return trace.index_of(step)
    if step != -1:
        raise SurfaceError(f"step={step} is one of a trace: give trace=…, or center=…")
    return None


def _line(
    problem: Problem,
    center: Tensors,
    slope: Tensors,
    direction: Any,
    to: Any,
    trace: Trace | None,
    index: int | None,
    seed: int,
    whose: str,
) -> Plane:
    notes = {"center": whose}
    if to is not None:
        if not (isinstance(direction, str) and direction == "gradient"):
            raise SurfaceError("a line leads to other weights, to=…, or along a direction, direction=…: give one")
        ahead = combined(given_weights(problem.model, to, "to"), center, -1.0)
        mind_statistics(problem, to, "to")
        if length(ahead) == 0:
            raise SurfaceError("to holds the very weights of the center, so there is no line between them")
        return Plane("line", center, (ahead,), notes)
    if not isinstance(direction, str):
        return Plane("given", center, (given_direction(direction, center),), notes)
    if direction not in DIRECTIONS:
        raise SurfaceError(f"{unknown('direction', direction, DIRECTIONS)} Or give one.")
    if direction == "gradient":
        return Plane(direction, center, (_unit(slope, "the gradient at the center"),), notes)
    if direction == "random":
        return Plane(direction, center, random_directions(problem.model, center, seed, 1), {**notes, "seed": seed})
    if trace is None or index is None:
        raise SurfaceError(f"direction={direction!r} is one that was recorded: give trace=…, or direction='gradient'")
    kind = "updates" if direction == "update" else "parameter_gradients"
    found = _recorded(trace, kind, center, index)
    return Plane(direction, center, (found if direction == "update" else _unit(found, "the recorded gradient"),), notes)


def _unit(direction: Tensors, what: str) -> Tensors:
    size = length(direction)
    if not np.isfinite(size) or size == 0:
        raise SurfaceError(
            f"{what} is {'zero' if size == 0 else 'not finite'}, and points nowhere: give another direction= or center="
        )
    return scaled(direction, 1 / size)


def _recorded(trace: Trace, kind: str, center: Tensors, index: int) -> Tensors:
    """Return what was recorded of each parameter at a step; one without a gradient is at rest."""
    found, tensors = {}, trace.updates if kind == "updates" else trace.parameter_gradients
    for name, tensor in center.items():
        try:
            found[name] = torch.from_numpy(np.array(tensors[name][index])).to(tensor)
        except TraceError:
            found[name] = torch.zeros_like(tensor)
    if length(found) == 0:
        raise SurfaceError(
            f"step {int(trace.steps[index])} has no recorded {kind.replace('_', ' ')} that are not zero: record with "
            f'keep=("{kind}", …), choose another step=, or direction="gradient"'
        )
    return found


def _loss(problem: Problem, center: Tensors) -> float:
    return float(Evaluator(problem, center, ())(np.empty((1, 0)))[0, 0])
