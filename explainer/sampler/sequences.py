"""`surface_sequence`: the surface around the current weights at several recorded steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from explainer.errors import SurfaceError
from explainer.sampler.axes import grid_axes
from explainer.sampler.evaluation import Evaluator
from explainer.sampler.gathering import Progress
from explainer.sampler.grid import Asked, measure_surface
from explainer.sampler.interpolation import check_tolerance
from explainer.sampler.means import Means
from explainer.sampler.planes import find_plane
from explainer.sampler.problem import Criterion, Metric, Problem, pose, try_out
from explainer.sampler.ranked import Ranks, share
from explainer.sampler.runs import Run, last_finite, read_runs
from explainer.surface import SurfaceSequence
from explainer.trace import Trace


def surface_sequence(
    trace: Trace,
    model: nn.Module,
    criterion: Criterion,
    data: Any,
    *,
    steps: int | Sequence[int] = 5,
    plane: str | Sequence[Any] = "random",
    resolution: int | tuple[int, int] = 25,
    span: float | tuple[float, float] | Sequence[tuple[float, float]] = 1.0,
    metrics: Mapping[str, Metric] | None = None,
    batch_norm: str = "as is",
    mode: str = "eval",
    seed: int = 0,
    tolerance: float | None = None,
    folder: str | Path | None = None,
    executor: Executor | None = None,
    progress: bool | Progress = True,
) -> SurfaceSequence:
    """Evaluate the surface around the current weights at several recorded steps, with one pair of directions.

    The weights of a step stand at (0, 0) of its surface, so that the pictures show how what a step sees changes. The
    directions are found once, about the trace's last weights, and are the same, in direction and length, at every step.

    Args:
        trace: A run, recorded with its parameters kept.
        model: As for `loss_surface`, and so is all that is not named here.
        steps: How many, evenly among the recorded, the first and the last among them; or which, by their numbers,
            negative ones counted from the last.
        plane: As for `loss_surface`; "random" is filter-normalised to the trace's last weights.
        span: As for `loss_surface`; the same around every step.

    Returns:
        The surfaces in the order of the steps, and the loss at each center.

    Raises:
        SurfaceError: Something given cannot be used; the message says what, and what to do.
        TraceError: A step was not recorded.
    """
    asked = Asked(trace, plane, resolution, span, None, seed, None, slopes=False)

    def compute(problem: Problem, ranks: Ranks | None) -> SurfaceSequence:
        return _draw(problem, asked, steps, Means(executor, folder, progress, ranks), tolerance)

    prepare = partial(pose, model, criterion, data, metrics, batch_norm, mode)
    return share(prepare, compute, alone=executor is not None)


def _draw(problem: Problem, asked: Asked, steps: Any, means: Means, tolerance: float | None) -> SurfaceSequence:
    check_tolerance(tolerance)
    axes = grid_axes(asked.resolution, asked.span, (), least=1.0)
    (run,) = read_runs(problem.model, {"walk": asked.trace}, asked.walk_steps)
    places = _places(run, steps)
    _, last = last_finite(run, problem.model)
    problem = try_out(problem, last)
    about_last = find_plane(problem, asked.plane, (run,), last, asked.seed, shown=means.progress is True)
    surfaces, losses = [], []
    for number, place in enumerate(places):
        weights, step = run.weights(problem.model, place), int(run.steps[place])
        around = replace(about_last, center=weights, notes={**about_last.notes, "center": f"step {step}"})
        own = replace(
            means,
            folder=None if means.folder is None else Path(means.folder) / f"{number:03d}",
            progress=_part_of(means.progress, number, len(places)),
        )
        surfaces.append(measure_surface(problem, around, axes, {}, own, tolerance, spanned=True))
        losses.append(float(Evaluator(problem, weights, ())(np.empty((1, 0)))[0, 0]))
    return SurfaceSequence(run.steps[places], tuple(surfaces), np.array(losses))


def _part_of(progress: bool | Progress, number: int, parts: int) -> bool | Progress:
    """Return what is told of one surface so that all of them are counted together."""
    if not callable(progress):
        return progress
    tell = progress
    return lambda done, total: tell(number * total + done, parts * total)


def _places(run: Run, steps: Any) -> list[int]:
    """Return where the chosen steps stand among a run's."""
    if isinstance(steps, int | np.integer) and not isinstance(steps, bool):
        if steps < 2:
            raise SurfaceError(f"steps is {steps}: give how many, from 2 on, or which, as in steps=(0, 100, -1)")
        found: list[int] = np.unique(np.linspace(0, len(run) - 1, int(steps)).round().astype(int)).tolist()
        return found
    try:
        indices = [run.trace.index_of(int(step)) for step in steps]
    except (TypeError, ValueError) as error:
        raise SurfaceError(f"steps is {steps!r}: give how many, or which, as in steps=(0, 100, -1)") from error
    lost = [int(run.trace.steps[index]) for index in indices if index not in run.indices]
    if lost or not indices:
        raise SurfaceError(f"the weights of step {lost[0]} were not kept" if lost else "steps names no step: give some")
    return [run.indices.index(index) for index in indices]
