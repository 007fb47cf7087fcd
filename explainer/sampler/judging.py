"""From a model's outputs to what is measured: the loss, then the metrics, as means over examples."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.nn.functional import cross_entropy, nll_loss

from explainer.sampler.problem import Problem, size_of

_OF_CLASSES = (nn.CrossEntropyLoss, nn.NLLLoss)
_FEW = 64  # classes; a softmax over so few numbers that lie side by side leaves most of a core idle
Loss = Callable[[Any, Any, Any], Any]  # criterion, outputs and targets of a batch to a number


def plain_loss(criterion: Any, output: Any, targets: Any) -> Any:
    """Return what the criterion gives."""
    return criterion(output, targets)


def quick_loss(criterion: Any, output: Any, targets: Any) -> Any:
    """Return what the criterion gives, sooner for cross-entropy.

    It takes outputs (example, class), or (image, class, pixel) with a class for each pixel. A batch given in the second
    way, as one image of all examples, has the same loss, and the softmax runs along memory.
    """
    if not isinstance(output, torch.Tensor):
        return criterion(output, targets)
    known = type(criterion) in _OF_CLASSES or criterion in (cross_entropy, nll_loss)
    classes = isinstance(targets, torch.Tensor) and targets.ndim == 1 and targets.dtype == torch.int64
    if known and classes and output.ndim == 2 and output.shape[1] < _FEW:
        return criterion(output.t().contiguous()[None], targets[None])
    return criterion(output.contiguous(), targets)


def judge(problem: Problem, outputs: Iterable[Any], loss: Loss = plain_loss) -> list[float]:
    """Return what is measured, from the outputs of each batch in turn."""
    sums, count = [0.0] * len(problem.names), 0
    for (_, targets), output in zip(problem.batches, outputs, strict=True):
        size, targets = size_of(targets), problem.given(targets)
        sums[0] += size * float(loss(problem.criterion, output, targets))
        for place, metric in enumerate(problem.metrics.values(), 1):
            whole = output.contiguous() if isinstance(output, torch.Tensor) else output
            sums[place] += size * float(metric(whole, targets))
        count += size
    return [total / count for total in sums]
