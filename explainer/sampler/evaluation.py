"""The loss at points of a plane, exactly: what a plain loop over `torch.func.functional_call` returns, sooner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from explainer.sampler.batch_norm import re_estimated_buffers
from explainer.sampler.blend import Tensors, weights_at
from explainer.sampler.judging import judge, quick_loss
from explainer.sampler.problem import Problem, call_with, kept, start_chance
from explainer.sampler.proof import Quick, find_quick

__all__ = ["Evaluator", "Tensors", "measure"]


class Evaluator:
    """Evaluates a problem at points of a plane (or a line, or a single point).

    At the first call it looks for the quickest way that provably gives what a plain loop gives (`proof`), and goes
    that way from then on. A point's values depend on nothing but the point: neither on the points beside it, nor on
    their order, nor on the process, on machines and numbers of threads that are alike.

    A model that draws random numbers (dropout, in train mode) draws the same ones at every point.

    Args:
        center: The weights at the origin.
        directions: D of them; a point has D coordinates.
    """

    def __init__(self, problem: Problem, center: Tensors, directions: Sequence[Tensors]) -> None:
        self._problem, self._center, self._directions = problem, center, directions
        self._quick: Quick | None = None
        self._sought = False

    def __call__(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what is measured at points (P, D), as (P, 1 + metrics): the loss, then the metrics."""
        problem = self._problem
        with kept(problem.model, training=problem.training), torch.no_grad():
            if not self._sought:
                self._quick, self._sought = find_quick(problem, self._center, self._directions), True
            values = np.array(self._measured(points.tolist())).reshape(len(points), len(problem.names))
            for place in np.flatnonzero(~np.isfinite(values).all(axis=1)):
                values[place] = self._plainly(points[place].tolist())  # infinite, or NaN? The order of sums decides
        return values

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._problem, self._center, self._directions)

    def _measured(self, points: Sequence[Sequence[float]]) -> list[list[float]]:
        if self._quick is None:
            return [self._plainly(point) for point in points]
        return self._quick.visit(points, lambda outputs: judge(self._problem, outputs, quick_loss))

    def _plainly(self, point: Sequence[float]) -> list[float]:
        return measure(self._problem, weights_at(self._center, self._directions, point))


def measure(problem: Problem, weights: Tensors) -> list[float]:
    """Return the loss and the metrics at some weights, the plain way; the model must be in its mode already."""
    start_chance()
    if problem.batch_norm == "re-estimated":
        buffers = re_estimated_buffers(problem, weights)
    else:
        buffers = {name: buffer.clone() for name, buffer in problem.model.named_buffers()}
    return judge(problem, (call_with(problem, weights, inputs, buffers) for inputs, _ in problem.batches))
