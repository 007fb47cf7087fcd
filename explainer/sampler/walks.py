"""The recorded walk beside the plane: where its shadow falls, how far it is off, and the three losses of each step."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.func import functional_call

from explainer.sampler.evaluation import Evaluator, measure
from explainer.sampler.planes import Plane, Tensors, recorded_weights
from explainer.sampler.problem import Problem, kept
from explainer.surface import Walk
from explainer.trace import Trace


def measure_walk(problem: Problem, plane: Plane, trace: Trace) -> Walk:
    """Return a trace's walk beside a plane."""
    model = problem.model
    axes = [_flat(direction) for direction in plane.directions]
    gram = np.array([[float(first @ second) for second in axes] for first in axes])
    center, path, off, moved, true = _flat(plane.center), [], [], [], []
    with kept(model, training=problem.training), torch.no_grad():
        for index in range(len(trace)):
            weights = recorded_weights(trace, model, index)
            offset = _flat(weights) - center
            point = np.linalg.solve(gram, [float(offset @ axis) for axis in axes])
            rest = offset - sum(x * axis for x, axis in zip(point.tolist(), axes, strict=True))
            path.append(point)
            off.append(float(rest.norm()))
            moved.append(float(offset.norm()))
            true.append(measure(problem, weights)[0])
    shadow = np.array(path).reshape(len(trace), len(axes))
    plane_losses = Evaluator(problem, plane.center, plane.directions)(shadow)[:, 0]
    variance = float(np.square(moved).sum())
    return Walk(
        steps=trace.steps,
        path=shadow,
        losses=np.asarray(trace.scalars["loss"], float) if "loss" in trace.scalars else np.full(len(trace), np.nan),
        true_losses=np.array(true),
        plane_losses=plane_losses,
        off_plane=np.array(off),
        slopes=_slopes(problem, plane, shadow),
        captured=1 - float(np.square(off).sum()) / variance if variance else float("nan"),
    )


def _slopes(problem: Problem, plane: Plane, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ∂loss/∂(coordinates) at points (P, D), by autograd."""
    return np.array([slope(problem, plane, point)[1] for point in points.tolist()]).reshape(points.shape)


def slope(problem: Problem, plane: Plane, point: list[float]) -> tuple[float, list[float]]:
    """Return the loss and ∂loss/∂(coordinates) at one point, by autograd."""
    model = problem.model
    x = torch.tensor(point, dtype=torch.float64, requires_grad=True)
    total, count = torch.zeros((), dtype=torch.float64), 0
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with kept(model, training=problem.training), torch.enable_grad():
        weights = {
            name: tensor + sum(x[place].to(tensor) * each[name] for place, each in enumerate(plane.directions))
            for name, tensor in plane.center.items()
        }
        for inputs, targets in problem.batches:
            size = len(targets)
            loss = problem.criterion(functional_call(model, {**weights, **buffers}, (inputs,)), targets)
            total, count = total + size * loss.double().cpu(), count + size
        (gradient,) = torch.autograd.grad(total / count, x)
    return float(total.detach() / count), gradient.tolist()


def _flat(weights: Tensors) -> torch.Tensor:
    return torch.cat([tensor.detach().double().cpu().ravel() for tensor in weights.values()])
