"""`loss_slice`: a model's loss along a line through its weights, with its slope."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from explainer.errors import SurfaceError, TraceError, unknown
from explainer.sampler.axes import axis, line_ends
from explainer.sampler.evaluation import Evaluator
from explainer.sampler.gradients import gradient
from explainer.sampler.grid import about, choose_center, measure_walks, mind_statistics
from explainer.sampler.planes import Plane, given_direction, random_directions
from explainer.sampler.problem import Criterion, Metric, Problem, pose, try_out
from explainer.sampler.runs import read_runs, recorded_names, recorded_weights
from explainer.sampler.weights import Tensors, combined, dot, given_weights, length, scaled
from explainer.surface import Slice, Walk
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
    slopes: bool = False,
) -> Slice:
    """Evaluate a model's loss along a line through its weights; the model is left exactly as it was.

    A point t of the line is the weights center + t·direction. The slope at t = 0 is ∂loss/∂weights, by autograd, times
    the direction. What is not named here is as for `loss_surface`.

    Args:
        trace: A run, whose walk is drawn beside the line.
        step: Its recorded step whose weights are the center; a negative one counts from the last.
        direction: "gradient": the loss's at the center, by autograd, of length 1: uphill, t a distance between weights;
            "recorded gradient": the step's, of its own batch, of length 1; "update": the step's, so that the weights
            after it stand at t = 1; "random": filter-normalised; or a mapping or flat vector.
        to: Instead of a direction, the weights at t = 1: a model, a state dict or name → array.
        span: Half the line, or (from, to), in t; by default −1 to 1, for "update" to 2, with `to` −0.25 to 1.25.
        center: The weights at t = 0; by default the step's, else the model's own.
        slopes: Whether ∂loss/∂t is taken at the shadow of each step of the walk too, at three evaluations more.

    Raises:
        SurfaceError: Something given cannot be used; the message says what, and what to do.
        TraceError: The step was not recorded.
    """
    problem = pose(model, criterion, data, metrics, batch_norm, mode)
    ends = line_ends(span, _ENDS.get("line" if to is not None else str(direction), (-1.0, 1.0)))
    t = axis(resolution, ends)
    runs = read_runs(problem.model, trace, walk_steps)
    base = _base(problem, trace, step, center)
    problem = try_out(problem, base.weights)
    rise = _rise(problem, base)
    line = _line(problem, rise, base, direction, to, seed)
    return _measured(problem, line, t, rise, base, measure_walks(problem, line, runs, slopes=slopes))


@dataclass(frozen=True)
class _Base:
    """Where a line begins: some weights, whose they are, and the recorded step that they are of."""

    weights: Tensors
    whose: str
    trace: Trace | None
    index: int | None  # of the step among the recorded


@dataclass(frozen=True)
class _Rise:
    """The loss at a line's beginning, and its gradient, or why it has none."""

    loss: float
    gradient: Tensors
    failure: SurfaceError | None = None


def _base(problem: Problem, trace: Trace | None, step: int, center: Any) -> _Base:
    if trace is None and step != -1:
        raise SurfaceError(f"step={step} is one of a trace: give trace=…, or center=…")
    index = None if trace is None else trace.index_of(step)
    if center is not None or trace is None or index is None:
        return _Base(*choose_center(problem, center, ()), trace, index)
    whose = f"step {int(trace.steps[index])}"
    weights = given_weights(problem.model, recorded_weights(trace, problem.model, index), whose)
    return _Base(weights, whose, trace, index)


def _rise(problem: Problem, base: _Base) -> _Rise:
    try:
        return _Rise(*gradient(problem, base.weights))
    except SurfaceError as error:  # a loss without a gradient, such as the share of errors, has a slice all the same
        loss = Evaluator(problem, base.weights, ())(np.empty((1, 0)))[0, 0]
        return _Rise(float(loss), {}, error)


def _measured(
    problem: Problem, line: Plane, t: NDArray[np.float64], rise: _Rise, base: _Base, walks: Mapping[str, Walk]
) -> Slice:
    values = Evaluator(problem, line.center, line.directions)(t[:, None])
    return Slice(
        losses=values[:, 0],
        metrics={name: values[:, 1 + place] for place, name in enumerate(problem.metrics)},
        t=t,
        loss=rise.loss,
        slope=dot(rise.gradient, line.directions[0]) if rise.gradient else float("nan"),
        step=None if base.trace is None or base.index is None else int(base.trace.steps[base.index]),
        walks=walks,
        **about(problem, line),
    )


def _line(problem: Problem, rise: _Rise, base: _Base, direction: Any, to: Any, seed: int) -> Plane:
    center, notes = base.weights, {"center": base.whose}
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
        if rise.failure is not None:
            raise rise.failure
        return Plane(direction, center, (_unit(rise.gradient, "the gradient at the center"),), notes)
    if direction == "random":
        return Plane(direction, center, random_directions(problem.model, center, seed, 1), {**notes, "seed": seed})
    if base.trace is None or base.index is None:
        raise SurfaceError(f"direction={direction!r} is one that was recorded: give trace=…, or direction='gradient'")
    kind = "updates" if direction == "update" else "parameter_gradients"
    found = _recorded(base.trace, kind, problem.model, center, base.index)
    return Plane(direction, center, (found if direction == "update" else _unit(found, "the recorded gradient"),), notes)


def _unit(direction: Tensors, what: str) -> Tensors:
    size = length(direction)
    if not np.isfinite(size) or size == 0:
        raise SurfaceError(
            f"{what} is {'zero' if size == 0 else 'not finite'}, and points nowhere: give another direction= or center="
        )
    return scaled(direction, 1 / size)


def _recorded(trace: Trace, kind: str, model: nn.Module, center: Tensors, index: int) -> Tensors:
    """Return what was recorded of each parameter at a step; one without a gradient is at rest."""
    found, tensors = {}, trace.updates if kind == "updates" else trace.parameter_gradients
    names = recorded_names(model)
    for name, tensor in center.items():
        try:
            found[name] = torch.from_numpy(np.array(tensors[names[name]][index])).to(tensor)
        except TraceError:
            found[name] = torch.zeros_like(tensor)
    if length(found) == 0:
        raise SurfaceError(
            f"step {int(trace.steps[index])} has no recorded {kind.replace('_', ' ')} that are not zero: record with "
            f'keep=("{kind}", …), choose another step=, or direction="gradient"'
        )
    return found
