"""`loss_surface`: a model's loss over a plane through its weights, and the recorded walk beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from explainer.sampler.gathering import Progress
from explainer.sampler.grid import Asked, draw_surface
from explainer.sampler.lines import loss_slice
from explainer.sampler.means import Means
from explainer.sampler.problem import Criterion, Metric, Problem, pose
from explainer.sampler.processes import Processes
from explainer.sampler.ranked import Ranks, share
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

    A point (u, v) is the weights center + u·first + v·second; its loss is the mean over all examples. What each plane
    shows and hides, and how far a surface can be trusted, is told in docs/surfaces.md.

    Args:
        model: Wrappers of `DistributedDataParallel` and `torch.compile` are taken off.
        criterion: Called with outputs and targets; returns one number, the mean over a batch's examples.
        data: (inputs, targets) as a tuple, or batches of them as a list or a loader, which is read once. Inputs are a
            tensor, or a tuple or dict of the model's arguments, and lie where the model does.
        trace: The run whose walk is drawn, or several by name, recorded with their parameters.
        plane: "pca", "ends", "random" or "hessian", as in `explainer.sampler.planes`; or two directions, mappings from
            parameter name to array or, in the order of `model.parameters()`, lists of arrays or flat vectors.
        resolution: Points along each axis, or (along u, along v).
        span: Half a side, or (of u, of v), or ((u from, to), (v from, to)), in the directions' unit; by default the
            walks and a quarter of their extent around, and for planes that no walk made at least 1 to each side.
        center: A model, a state dict or name → array; by default the first trace's last weights, else the model's own.
        metrics: By name, functions of outputs and targets, averaged like the loss.
        batch_norm: "as is": the model's running statistics; "re-estimated": each point's own, at twice the cost.
        mode: "eval", or "train" for every module; a dropout then draws the same at all points.
        walk_steps: The most steps drawn of each trace, evenly chosen, at two evaluations each; None: all.
        slopes: Whether ∂loss/∂u and ∂loss/∂v are taken at each of them, at three evaluations more.
        tolerance: Interpolates from fewer evaluations, held to this relative error at points held out; no bound on it
            between them, and a hole narrower than they are apart can be missed. None evaluates every point.
        folder: Where the surface is saved, and its points as they come, so that the same call goes on or opens it.
        executor: Any `concurrent.futures.Executor` to spread the grid over; else, under torchrun, the ranks share it.
        progress: Whether to show it, or what is told the points done and those in all.

    Raises:
        SurfaceError: Something given cannot be used; the message says what, what was allowed, and what to do.
    """
    asked = Asked(trace, plane, resolution, span, center, seed, walk_steps, slopes)

    def compute(problem: Problem, ranks: Ranks | None) -> Surface:
        return draw_surface(problem, asked, Means(executor, folder, progress, ranks), tolerance)

    prepare = partial(pose, model, criterion, data, metrics, batch_norm, mode)
    return share(prepare, compute, alone=executor is not None)


__all__ = ["Criterion", "Metric", "Processes", "Progress", "loss_slice", "loss_surface", "surface_sequence"]
