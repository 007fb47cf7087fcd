"""A plane's grid of losses, put together with its walks."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explainer.errors import ExplainerWarning
from explainer.sampler.axes import grid_axes
from explainer.sampler.batch_norm import running_norms, statistics_differ
from explainer.sampler.interpolation import check_tolerance, whole_grid
from explainer.sampler.means import Means, gathering
from explainer.sampler.planes import Plane, find_plane
from explainer.sampler.problem import Problem, try_out
from explainer.sampler.runs import Run, last_finite, read_runs
from explainer.sampler.walks import measure_walk
from explainer.sampler.weights import Tensors, given_weights, own_weights, to_array
from explainer.surface import Surface, Walk

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Asked:
    """What a user asks of a surface, as `loss_surface` takes it."""

    trace: Any
    plane: Any
    resolution: Any
    span: Any
    center: Any
    seed: int
    walk_steps: int | None
    slopes: bool


def draw_surface(problem: Problem, asked: Asked, means: Means, tolerance: float | None) -> Surface:
    """Find the center, the plane, the walks and the axes, in this order, and measure the grid.

    Raises:
        SurfaceError: Something asked cannot be; what needs no work to be seen is said before long work begins.
    """
    grid_axes(asked.resolution, asked.span, ())
    check_tolerance(tolerance)
    runs = read_runs(problem.model, asked.trace, asked.walk_steps)
    weights, whose = choose_center(problem, asked.center, runs)
    problem = try_out(problem, weights)
    shown = means.progress is True  # who is called is told of points only
    plane = find_plane(problem, asked.plane, runs, weights, asked.seed, shown=shown)
    plane = replace(plane, notes={"center": whose, **plane.notes})
    walks = measure_walks(problem, plane, runs, slopes=asked.slopes, shown=shown)
    least = 0.0 if plane.name in ("pca", "ends") else 1.0
    axes = grid_axes(asked.resolution, asked.span, [walk.path for walk in walks.values()], least=least)
    return measure_surface(problem, plane, axes, walks, means, tolerance, spanned=asked.span is not None)


def measure_walks(
    problem: Problem, plane: Plane, runs: Sequence[Run], *, slopes: bool, shown: bool = False
) -> dict[str, Walk]:
    """Return each run's walk beside a plane, by name."""
    return {run.name: measure_walk(problem, plane, run, slopes=slopes, shown=shown) for run in runs}


def measure_surface(
    problem: Problem,
    plane: Plane,
    axes: tuple[Floats, Floats],
    walks: Mapping[str, Walk],
    means: Means,
    tolerance: float | None,
    *,
    spanned: bool,
) -> Surface:
    """Return the losses at all points of a grid, u (U,) times v (V,), with what else is known.

    Args:
        spanned: Whether a user said how far the axes reach.
    """
    with gathering(problem, plane, axes, means, walks=walks, tolerance=tolerance, spanned=spanned) as evaluate:
        if evaluate.finished is not None:
            return evaluate.finished
        u, v = evaluate.axes
        values, evaluated, worst = whole_grid(u, v, evaluate, tolerance)
        if not np.isfinite(values[..., 0]).any():
            warnings.warn(
                "the loss is finite at no point of the surface: choose a smaller span=, or another center=",
                ExplainerWarning,
                stacklevel=3,
            )
        return evaluate.keep(
            Surface(
                losses=values[..., 0],
                metrics={name: values[..., 1 + place] for place, name in enumerate(problem.metrics)},
                u=u,
                v=v,
                evaluated=evaluated,
                tolerance=None if evaluated.all() else tolerance,
                worst=worst,
                walks=walks,
                **about(problem, plane),
            )
        )


def choose_center(problem: Problem, given: Any, runs: Sequence[Run]) -> tuple[Tensors, str]:
    """Return the weights at the origin, and whose they are: those given, else the first run's last, else the model's.

    Raises:
        SurfaceError: Those given do not fit the model, or there are none that are finite.
    """
    if given is not None:
        weights = given_weights(problem.model, given, "center")
        mind_statistics(problem, given, "center")
        return weights, "given"
    if not runs:
        return given_weights(problem.model, own_weights(problem.model), "the model"), "the model's own weights"
    place, weights = last_finite(runs[0], problem.model)
    step = int(runs[0].steps[place])
    if place < len(runs[0]) - 1:
        warnings.warn(
            f"the run {runs[0].name!r} ends with weights that are not finite: the center is step {step}, its last of "
            "finite ones",
            ExplainerWarning,
            stacklevel=3,
        )
    return weights, f"step {step} of {runs[0].name!r}"


def mind_statistics(problem: Problem, given: Any, what: str) -> None:
    """Warn where weights come with running statistics of their own, which are not used."""
    if problem.batch_norm == "as is" and not problem.training and statistics_differ(problem.model, given):
        warnings.warn(
            f"{what} has running statistics of its own, and the model's are used at every point: choose "
            "batch_norm='re-estimated' to have those that belong to the weights",
            ExplainerWarning,
            stacklevel=4,
        )


def about(problem: Problem, plane: Plane) -> dict[str, Any]:
    """Return what a surface or a slice says of itself beside its losses."""

    def arrays(weights: Tensors) -> dict[str, NDArray[Any]]:
        return {name: to_array(tensor) for name, tensor in weights.items()}

    norms = "of each batch" if problem.training else problem.batch_norm
    return {
        "center": arrays(plane.center),
        "directions": tuple(map(arrays, plane.directions)),
        "plane": plane.name,
        "data": f"{problem.examples:,} example{'s' if problem.examples > 1 else ''}",
        "batch_norm": norms if running_norms(problem.model) else "none",
        "notes": {
            "model": type(problem.model).__name__,
            "criterion": getattr(problem.criterion, "__name__", type(problem.criterion).__name__),
            "mode": "train" if problem.training else "eval",
            **plane.notes,
        },
    }
