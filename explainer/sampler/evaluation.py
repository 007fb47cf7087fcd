"""The loss at points of a plane, exactly: what a plain loop over `torch.func.functional_call` returns, sooner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.func import functional_call

from explainer.sampler.batch_norm import re_estimated_buffers
from explainer.sampler.problem import Problem, call, kept, size_of, start_chance

Tensors = Mapping[str, torch.Tensor]  # by parameter name, in the model's own dtypes, on its device


class Evaluator:
    """Evaluates a problem at points of a plane (or a line, or a single point).

    Args:
        center: The weights at the origin.
        directions: D of them; a point has D coordinates.
    """

    def __init__(self, problem: Problem, center: Tensors, directions: Sequence[Tensors]) -> None:
        self._problem, self._center, self._directions = problem, center, directions

    def __call__(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what is measured at points (P, D), as (P, 1 + metrics): the loss, then the metrics."""
        problem = self._problem
        with kept(problem.model, training=problem.training), torch.no_grad():
            return np.array([measure(problem, self._weights(point)) for point in points.tolist()])

    def _weights(self, point: Sequence[float]) -> dict[str, torch.Tensor]:
        found = {name: tensor.clone() for name, tensor in self._center.items()}
        for x, direction in zip(point, self._directions, strict=True):
            for name, tensor in direction.items():
                found[name] += x * tensor
        return found


def measure(problem: Problem, weights: Tensors) -> list[float]:
    """Return the loss and the metrics at some weights; the model must be in its mode already."""
    start_chance()
    if problem.batch_norm == "re-estimated":
        buffers = re_estimated_buffers(problem, weights)
    else:
        buffers = {name: buffer.clone() for name, buffer in problem.model.named_buffers()}
    sums, count = torch.zeros(1 + len(problem.metrics), dtype=torch.float64), 0
    for inputs, targets in problem.batches:
        outputs = functional_call(problem.model, {**weights, **buffers}, _arguments(inputs), _keywords(inputs))
        size = size_of(targets)
        values = [problem.criterion(outputs, targets), *(each(outputs, targets) for each in problem.metrics.values())]
        sums += size * torch.tensor([float(value) for value in values], dtype=torch.float64)
        count += size
    return (sums / count).tolist()


def _arguments(inputs: Any) -> tuple[Any, ...]:
    if isinstance(inputs, Mapping):
        return ()
    return tuple(inputs) if isinstance(inputs, list | tuple) else (inputs,)


def _keywords(inputs: Any) -> dict[str, Any]:
    return dict(inputs) if isinstance(inputs, Mapping) else {}


__all__ = ["Evaluator", "call", "measure"]
