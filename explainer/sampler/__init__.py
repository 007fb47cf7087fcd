"""`loss_surface`: a model's loss over a plane through its weights, and the recorded walk beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from explainer.errors import SurfaceError
from explainer.sampler.evaluation import Evaluator
from explainer.sampler.means import Means, gathering
from explainer.sampler.planes import Plane, Tensors, find_plane, own_weights, recorded_weights
from explainer.sampler.problem import Metric, Problem, pose
from explainer.sampler.walks import measure_walk, slope
from explainer.surface import Slice, Surface, SurfaceSequence
from explainer.trace import Trace

Progress = Callable[[int, int], None]  # called with the points done and the points in all
Criterion = Callable[[Any, Any], Any]


def loss_surface(
    model: nn.Module,
    criterion: Criterion,
    data: Any,
    *,
    trace: Trace | Mapping[str, Trace] | None = None,
    plane: str | Sequence[Any] = "pca",
    resolution: int | tuple[int, int] = 51,
    span: float | tuple[float, float] | Sequence[tuple[float, float]] | None = None,
    center: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Metric] | None = None,
    batch_norm: str = "as is",
    mode: str = "eval",
    seed: int = 0,
    tolerance: float | None = None,
    folder: str | Path | None = None,
    executor: Executor | None = None,
    progress: bool | Progress = True,
) -> Surface:
    """Evaluate a model's loss over a plane through its weights; the model is left exactly as it was.

    Args:
        data: (inputs, targets), or batches of them, such as a loader.
        trace: The run whose walk is drawn, or several by name.
        plane: "pca", "random", "ends", "hessian", or two directions.
        resolution: Points along each axis, or (along u, along v).
        span: Half the side of the plane, or its (u, v) halves, or ((u from, to), (v from, to)); by default from the
            walk.
        center: The weights at the origin; by default the trace's last, else the model's own.
    """
    problem = pose(model, criterion, data, metrics, batch_norm, mode)
    traces = _by_name(trace)
    weights = _center(model, center, traces)
    found = find_plane(model, plane, list(traces.values()), weights, seed)
    walks = {name: measure_walk(problem, found, each) for name, each in traces.items()}
    u, v = _axes(resolution, span, [walk.path for walk in walks.values()])
    means = Means(executor, folder, progress)
    with gathering(problem, found, (u, v), means, walks=walks, tolerance=tolerance) as evaluate:
        if evaluate.finished is not None:
            return evaluate.finished
        u, v = evaluate.axes
        points = np.stack(np.meshgrid(u, v), axis=-1)  # (V, U, 2)
        values = evaluate(points.reshape(-1, 2)).reshape(len(v), len(u), -1)
        return evaluate.keep(
            Surface(
                losses=values[..., 0],
                metrics={name: values[..., 1 + place] for place, name in enumerate(problem.metrics)},
                u=u,
                v=v,
                evaluated=np.ones((len(v), len(u)), np.bool_),
                walks=walks,
                **_about(problem, found),
            )
        )


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
    center: Mapping[str, Any] | None = None,
    batch_norm: str = "as is",
    mode: str = "eval",
) -> Slice:
    """Evaluate a model's loss along a line through its weights."""
    problem = pose(model, criterion, data, None, batch_norm, mode)
    index = trace.index_of(step) if trace is not None else None
    if center is not None or trace is None or index is None:
        weights = _center(model, center, {})
    else:
        weights = recorded_weights(trace, model, index)
    line = find_plane(model, [direction], [], weights, 0)
    low, high = span if isinstance(span, tuple) else (-(span or 1.0), span or 1.0)
    t = np.linspace(low, high, resolution)
    loss, (rise,) = slope(problem, line, [0.0])
    return Slice(
        losses=Evaluator(problem, line.center, line.directions)(t[:, None])[:, 0],
        t=t,
        loss=loss,
        slope=rise,
        step=None if trace is None or index is None else int(trace.steps[index]),
        walks={} if trace is None else {"walk": measure_walk(problem, line, trace)},
        **_about(problem, line),
    )


def surface_sequence(
    trace: Trace,
    model: nn.Module,
    criterion: Criterion,
    data: Any,
    *,
    steps: int | Sequence[int] = 5,
    plane: str | Sequence[Any] = "random",
    resolution: int | tuple[int, int] = 25,
    span: float = 1.0,
    seed: int = 0,
    **options: Any,
) -> SurfaceSequence:
    """Evaluate the surface around the current weights at several recorded steps, with one pair of directions."""
    chosen = (
        [trace.index_of(step) for step in steps]
        if not isinstance(steps, int)
        else (np.unique(np.linspace(0, len(trace) - 1, steps).round().astype(int)).tolist())
    )
    first = find_plane(model, plane, [trace], recorded_weights(trace, model, len(trace) - 1), seed)
    surfaces, losses = [], []
    for index in chosen:
        weights = recorded_weights(trace, model, index)
        surface = loss_surface(
            model, criterion, data, plane=first.directions, center=weights, resolution=resolution, span=span, **options
        )
        problem = pose(model, criterion, data, None, "as is", "eval")
        losses.append(float(Evaluator(problem, weights, ())(np.empty((1, 0)))[0, 0]))
        surfaces.append(surface)
    return SurfaceSequence(trace.steps[chosen], tuple(surfaces), np.array(losses))


def _by_name(trace: Trace | Mapping[str, Trace] | None) -> dict[str, Trace]:
    if trace is None:
        return {}
    return {"walk": trace} if isinstance(trace, Trace) else dict(trace)


def _center(model: nn.Module, given: Mapping[str, Any] | None, traces: Mapping[str, Trace]) -> Tensors:
    import torch

    own = own_weights(model)
    if given is not None:
        return {name: torch.as_tensor(np.array(given[name])).to(tensor) for name, tensor in own.items()}
    if traces:
        first = next(iter(traces.values()))
        return recorded_weights(first, model, len(first) - 1)
    return own


def _axes(
    resolution: int | tuple[int, int], span: Any, paths: Sequence[NDArray[np.float64]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the coordinates along u and v: those given, else the walks' with a quarter of their extent around."""
    counts = (resolution, resolution) if isinstance(resolution, int) else resolution
    if min(counts) < 2:
        raise SurfaceError(f"a surface of {counts[0]}×{counts[1]} points is none: resolution must be at least 2")
    ends = []
    for axis in range(2):
        if span is None and paths:
            along = np.concatenate([path[:, axis] for path in paths])
            low, high = min(along.min(), 0.0), max(along.max(), 0.0)
            room = 0.25 * (high - low)
            ends.append((low - room, high + room))
        elif span is None or isinstance(span, int | float):
            ends.append((-float(span or 1.0), float(span or 1.0)))
        else:
            one = span[axis]
            ends.append((-float(one), float(one)) if isinstance(one, int | float) else (float(one[0]), float(one[1])))
    u, v = (np.linspace(low, high, count) for (low, high), count in zip(ends, counts, strict=True))
    return u, v


def _about(problem: Problem, plane: Plane) -> dict[str, Any]:
    def arrays(weights: Tensors) -> dict[str, NDArray[Any]]:
        return {name: tensor.detach().cpu().numpy() for name, tensor in weights.items()}

    norms = any(name.endswith("running_mean") for name, _ in problem.model.named_buffers())
    return {
        "center": arrays(plane.center),
        "directions": tuple(map(arrays, plane.directions)),
        "plane": plane.name,
        "data": f"{problem.examples:,} examples",
        "batch_norm": problem.batch_norm if norms else "none",
        "notes": {"model": type(problem.model).__name__, "criterion": type(problem.criterion).__name__},
    }
