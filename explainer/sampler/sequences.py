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
from explainer.sampler.grid import measure_surface
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

    def compute(problem: Problem, ranks: Ranks | None) -> SurfaceSequence:
        (run,) = read_runs(problem.model, {"walk": trace}, None)
        places = _places(run, steps)
        axes = grid_axes(resolution, span, (), least=1.0)
        check_tolerance(tolerance)
        _, last = last_finite(run, problem.model)
        try_out(problem, last)
        about_last = find_plane(problem, plane, (run,), last, seed)
        surfaces, losses = [], []
        for number, place in enumerate(places):
            weights, step = run.weights(problem.model, place), int(run.steps[place])
            around = replace(about_last, center=weights, notes={**about_last.notes, "center": f"step {step}"})
            means = Means(executor, Path(folder) / f"{number:03d}" if folder is not None else None, progress, ranks)
            surfaces.append(measure_surface(problem, around, axes, {}, means, tolerance))
            losses.append(float(Evaluator(problem, weights, ())(np.empty((1, 0)))[0, 0]))
        return SurfaceSequence(run.steps[places], tuple(surfaces), np.array(losses))

    prepare = partial(pose, model, criterion, data, metrics, batch_norm, mode)
    return share(prepare, compute, alone=executor is not None)


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
