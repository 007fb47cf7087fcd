"""Which shortcuts are true of a model: tried, and believed only where the outputs are those of a plain call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from math import isclose, isfinite
from typing import Any, Protocol, TypeVar

import torch
from torch import nn
from torch.utils._pytree import tree_flatten

from explainer.sampler.blend import Tensors, weights_at
from explainer.sampler.columns import Columns, chain
from explainer.sampler.judging import judge, quick_loss
from explainer.sampler.lent import LentModel, Points, Shortcuts
from explainer.sampler.problem import Problem, call_with, start_chance

T = TypeVar("T")
_OF_OUTPUT = 1e-5  # of its largest number: what sums in another order differ by in a deep network
_OF_LOSS = 5e-6


class Quick(Protocol):
    """A way to a model's outputs at many points."""

    def visit(self, points: Points, receive: Callable[[Iterator[Any]], T]) -> list[T]:
        """Return what `receive` makes of the outputs of each batch in turn, at each point; they do not last longer."""


def find_quick(problem: Problem, center: Tensors, directions: Sequence[Tensors]) -> Quick | None:
    """Return the quickest way that gives what a plain call gives; None where none does, or nothing can be gained.

    Each is tried at the center and one unit along every direction, on all batches.
    """
    if not directions or problem.batch_norm == "re-estimated" or not _is_open(problem.model):
        return None
    probes = [[0.0] * len(directions), [1.0] * len(directions)]
    try:
        expected = [_plain_outputs(problem, weights_at(center, directions, point)) for point in probes]
    except Exception:  # the model's own affair: nobody asked for these points
        return None
    for make in _ways(problem, center, directions):
        try:
            quick = make()
            if _gives(problem, quick, probes, expected):
                return quick
        except Exception:  # whatever a model raises when it is called in a way that it was not written for
            continue
    return None


def _ways(problem: Problem, center: Tensors, directions: Sequence[Tensors]) -> Iterator[Callable[[], Quick]]:
    """Yield what makes a way, the quickest first."""
    layers = chain(problem)
    if layers is not None:
        yield partial(Columns, problem, layers, center, directions)
    for how in _shortcuts(problem):
        yield partial(LentModel, problem, center, directions, how)


def _is_open(model: nn.Module) -> bool:
    """Whether a model's weights are ordinary numbers, and its code is Python's to call."""
    compiled = any(each._compiled_call_impl is not None or hasattr(each, "_orig_mod") for each in model.modules())
    return not compiled and all(each.dtype in (torch.float32, torch.float64) for each in model.parameters())


def _shortcuts(problem: Problem) -> list[Shortcuts]:
    """Return what may be tried, the quickest first."""
    on_cpu = all(parameter.device.type == "cpu" for parameter in problem.model.parameters())
    alone = on_cpu and not problem.training  # in train mode, examples of a batch have to do with each other
    images = on_cpu and any(type(module) is nn.Conv2d for module in problem.model.modules())
    every = [
        Shortcuts(chunked, shared, channels_last)
        for chunked in (True, False)
        for shared in (True, False)
        for channels_last in (True, False)
    ]
    return [how for how in every if (alone or not how.chunked) and (not how.channels_last or (images and how.shared))]


def _plain_outputs(problem: Problem, weights: Tensors) -> list[Any]:
    start_chance()
    buffers = {name: buffer.clone() for name, buffer in problem.model.named_buffers()}
    return [call_with(problem, weights, inputs, buffers) for inputs, _ in problem.batches]


def _gives(problem: Problem, quick: Quick, points: Points, expected: Sequence[Sequence[Any]]) -> bool:
    """Whether a way leads to the outputs expected, and to their loss: a small one is sensitive to the last bits."""
    unmeasured = replace(problem, metrics={})  # metrics are called where a user asks for them, and only there

    def is_expected(outputs: Iterator[Any], plain: Sequence[Any]) -> bool:
        found = list(outputs)
        same = all(_equal(*pair) for pair in zip(found, plain, strict=True))
        loss, plain_loss = judge(unmeasured, found, quick_loss)[0], judge(unmeasured, plain)[0]
        return same and (isclose(loss, plain_loss, rel_tol=_OF_LOSS) or not isfinite(plain_loss))

    return all(
        quick.visit([point], partial(is_expected, plain=plain))[0]
        for point, plain in zip(points, expected, strict=True)
    )


def _equal(output: Any, expected: Any) -> bool:
    (leaves, structure), (others, expected_structure) = tree_flatten(output), tree_flatten(expected)
    return structure == expected_structure and all(
        isinstance(leaf, torch.Tensor) and isinstance(other, torch.Tensor) and _close(leaf, other)
        for leaf, other in zip(leaves, others, strict=True)
    )


def _close(output: torch.Tensor, expected: torch.Tensor) -> bool:
    if output.shape != expected.shape or output.dtype != expected.dtype:
        return False
    if not output.dtype.is_floating_point:
        return torch.equal(output, expected)
    largest = expected[expected.isfinite()].abs().max() if bool(expected.isfinite().any()) else 0.0
    return torch.allclose(output, expected, rtol=0, atol=_OF_OUTPUT * float(largest), equal_nan=True)
