"""The recorded walk beside the plane: where its shadow falls, how far it is off, and the three losses of each step."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from explainer.errors import SurfaceError
from explainer.sampler.blend import weights_at
from explainer.sampler.evaluation import Evaluator, measure
from explainer.sampler.gradients import gradient
from explainer.sampler.planes import Plane
from explainer.sampler.problem import Problem, kept
from explainer.sampler.runs import Run
from explainer.sampler.telling import telling
from explainer.sampler.weights import Tensors, dot, length, precise
from explainer.surface import Walk

Floats = NDArray[np.float64]


def measure_walk(problem: Problem, plane: Plane, run: Run, *, slopes: bool = True, shown: bool = False) -> Walk:
    """Return a run's walk beside a plane (or a line).

    It costs two evaluations of the loss a step, and about three more for the slopes.

    Args:
        slopes: Whether ∂loss/∂u and ∂loss/∂v are taken at each step's shadow; NaN where not, and where the loss has
            no gradient.
        shown: Whether to show how far it is, if somebody looks.
    """
    steps, axes = len(run), len(plane.directions)
    path, off = np.full((steps, axes), np.nan), np.full(steps, np.nan)
    moved, true = np.full(steps, np.nan), np.full(steps, np.nan)
    gram = np.array([[dot(first, second) for second in plane.directions] for first in plane.directions])
    bar = telling(shown, f"the walk of {run.name!r}", "steps")
    with bar as tell, kept(problem.model, training=problem.training), torch.no_grad():
        for place in range(steps):
            tell(place, steps)
            weights = run.weights(problem.model, place)
            true[place] = measure(problem, weights)[0]
            offset = {name: precise(tensor) - precise(plane.center[name]) for name, tensor in weights.items()}
            moved[place] = length(offset)
            if np.isfinite(moved[place]):  # else the run diverged, and is nowhere
                path[place] = np.linalg.solve(gram, [dot(offset, each) for each in plane.directions])
                off[place] = _beside(offset, plane, path[place])
    here = np.isfinite(path).all(axis=1)
    plane_losses = np.full(steps, np.nan)
    plane_losses[here] = Evaluator(problem, plane.center, plane.directions)(path[here])[:, 0]
    variance = float(np.square(moved[here]).sum())
    return Walk(
        steps=run.steps,
        path=path,
        losses=run.losses,
        true_losses=true,
        plane_losses=plane_losses,
        off_plane=off,
        slopes=_slopes(problem, plane, path, shown=shown) if slopes else np.full((steps, axes), np.nan),
        captured=1 - float(np.square(off[here]).sum()) / variance if variance else float("nan"),
    )


def slopes_at(problem: Problem, plane: Plane, point: Floats) -> tuple[float, Floats]:
    """Return the loss and ∂loss/∂(coordinates), (D,), at one point (D,) of a plane, by autograd.

    Raises:
        SurfaceError: The loss has no gradient.
    """
    loss, slope = gradient(problem, weights_at(plane.center, plane.directions, point.tolist()))
    return loss, np.array([dot(slope, direction) for direction in plane.directions])


def _slopes(problem: Problem, plane: Plane, path: Floats, *, shown: bool) -> Floats:
    found = np.full(path.shape, np.nan)
    with telling(shown, "its slopes", "steps") as tell:
        for place in np.flatnonzero(np.isfinite(path).all(axis=1)):
            tell(int(place), len(path))
            try:
                found[place] = slopes_at(problem, plane, path[place])[1]
            except SurfaceError:  # a loss without a gradient, such as the share of errors, has a surface all the same
                break
    return found


def _beside(offset: Tensors, plane: Plane, point: Floats) -> float:
    for x, direction in zip(point.tolist(), plane.directions, strict=True):
        offset = {name: each - x * precise(direction[name]) for name, each in offset.items()}
    return length(offset)
