"""`loss_surface`: a model's loss over a plane through its weights, and the recorded walk beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from explainer.sampler.axes import grid_axes
from explainer.sampler.gathering import Progress
from explainer.sampler.grid import choose_center, measure_surface, measure_walks
from explainer.sampler.lines import loss_slice
from explainer.sampler.means import Means
from explainer.sampler.planes import find_plane
from explainer.sampler.problem import Criterion, Metric, Problem, pose, try_out
from explainer.sampler.ranked import Ranks, share
from explainer.sampler.runs import read_runs
from explainer.sampler.sequences import surface_sequence
from explainer.surface import Surface
from explainer.trace import Trace


def loss_surface(
    model: nn.Module,
    criterion: Criterion,
    data: Any,
    *,
    trace: Trace | Mapping[str, Trace] | None = None,
    plane: str | Sequence[Any] = "pca",
    resolution: int | tuple[int, int] = 51,
    span: float | tuple[float, float] | Sequence[tuple[float, float]] | None = None,
    center: nn.Module | Mapping[str, Any] | None = None,
    metrics: Mapping[str, Metric] | None = None,
    batch_norm: str = "as is",
    mode: str = "eval",
    seed: int = 0,
    walk_steps: int | None = 200,
    slopes: bool = True,
    tolerance: float | None = None,
    folder: str | Path | None = None,
    executor: Executor | None = None,
    progress: bool | Progress = True,
) -> Surface:
    """Evaluate a model's loss over a plane through its weights; the model is left exactly as it was.

    A point (u, v) is the weights center + u·first + v·second. Its loss is the mean over all the data, each batch's loss
    counted by its examples: what a loop over `torch.func.functional_call` gives. Weights, buffers, gradients, modes and
    random numbers are afterwards what they were, and a recorder that is running does not listen.

    Args:
        model: Any module whose weights can be given to `torch.func.functional_call`; wrappers of
            `DistributedDataParallel` and `torch.compile` are taken off.
        criterion: Called with the model's outputs and the targets of a batch; returns one number, the mean over its
            examples.
        data: (inputs, targets) as a tuple, or batches of them as a list or a loader, which is read once. Inputs are a
            tensor, or a tuple or dict of the model's arguments. They lie where the model does.
        trace: The run whose walk is drawn, or several by name, recorded with their parameters kept.
        plane: Which directions, all but "random" in the weights' own unit, so that a distance on the plane is one
            between weights:
            "pca": the two, orthogonal and of length 1, in which the recorded weights vary most about the center
            (Li et al. 2018, section 7; Lipton 2016); the walk starts at u ≥ 0, and its step farthest along the second
            lies at v > 0.
            "ends": from the walk's last weights to its first, of length 1, and, orthogonal to it, the one in which the
            rest varies most; signs as for "pca". Of several runs, the first one's ends.
            "random": two normal draws, each filter as long as the weights' own (Li et al. 2018, section 4), biases
            and norms at rest; 1 is as far as the weights are from zero.
            "hessian": the two sharpest, of length 1, in which the loss curves upwards most at the center; each one's
            largest entry is positive. The curvatures stand in `notes`.
            Or two directions, each a mapping from parameter name to array (what it leaves out is at rest) or a flat
            vector in the order of `model.parameters()`, in whatever unit they have.
        resolution: Points along each axis, or (along u, along v).
        span: Half a side of the plane, or one for each axis, or ((u from, to), (v from, to)), in the directions' unit.
            By default the walks and a quarter of their extent around, for "pca" and "ends"; for others at least 1 to
            each side.
        center: The weights at the origin: a model, its state dict, or parameter name → array; by default the first
            trace's last, else the model's own. Buffers are always the model's.
        metrics: By name, functions of outputs and targets of a batch, averaged over examples like the loss.
        batch_norm: "as is" takes the running statistics that the model has, at every point; "re-estimated" runs the
            data through the model at each point first, which costs twice as much. Nothing else differs between the
            points.
        mode: "eval", or "train" for every module: dropout then draws the same at all points, and norms take each
            batch's own statistics.
        seed: Of random directions.
        walk_steps: The most steps of each trace that are drawn, evenly chosen, the first and last among them; None: all
            that were kept. Each costs two evaluations, and three more with `slopes`.
        slopes: Whether the slopes ∂loss/∂u and ∂loss/∂v are taken at each step's shadow.
        tolerance: The largest relative error that a point may have by interpolating from fewer evaluations.
        folder: Where the surface is saved, and its points as they come, so that the same call goes on where an
            interrupted one stopped. A folder that holds it already is opened.
        executor: Any `concurrent.futures.Executor` that the grid is spread over. Without one, under `torchrun`, all
            ranks share the grid: each makes the same call, and gets the whole surface.
        progress: Whether to show how far it is, or what is told of it: called with the points done and those in all.

    Returns:
        The surface: losses (V, U), its axes, and the walks beside it.

    Raises:
        SurfaceError: Something given cannot be used: the message says what, what was allowed, and what to do.

    Warns:
        ExplainerWarning: The loss is finite nowhere, the run diverged, or `center` has statistics of its own.
    """

    def compute(problem: Problem, ranks: Ranks | None) -> Surface:
        runs = read_runs(problem.model, trace, walk_steps)
        weights, whose = choose_center(problem, center, runs)
        grid_axes(resolution, span, ())  # what is wrong with them is said before long work begins
        try_out(problem, weights)
        found = find_plane(problem, plane, runs, weights, seed)
        found = replace(found, notes={"center": whose, **found.notes})
        walks = measure_walks(problem, found, runs, slopes=slopes)
        least = 0.0 if found.name in ("pca", "ends") else 1.0
        axes = grid_axes(resolution, span, [walk.path for walk in walks.values()], least=least)
        return measure_surface(problem, found, axes, walks, Means(executor, folder, progress, ranks), tolerance)

    prepare = partial(pose, model, criterion, data, metrics, batch_norm, mode)
    return share(prepare, compute, alone=executor is not None)


__all__ = ["Criterion", "Metric", "Progress", "loss_slice", "loss_surface", "surface_sequence"]
