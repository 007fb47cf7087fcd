"""What a surface is the loss of: a model, a criterion and data, which evaluating leaves exactly as they were."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from explainer.errors import SurfaceError, unknown

Metric = Callable[[Any, Any], Any]  # outputs and targets of a batch to a number
BATCH_NORM = ("as is", "re-estimated")
MODES = ("eval", "train")


@dataclass(frozen=True)
class Problem:
    """A model, its criterion, and batches that are the same at every point.

    Attributes:
        batches: (inputs, targets) each; inputs are what the model is called with: a tensor, a tuple or a dict of them.
        metrics: By name what else is measured, averaged over examples.
        batch_norm: "as is" takes the buffers that the model has; "re-estimated" runs the data through it first, at
            every point.
        training: Whether the model is evaluated in train mode, as it was trained, rather than in eval mode.
    """

    model: nn.Module
    criterion: Callable[[Any, Any], Any]
    batches: tuple[tuple[Any, Any], ...]
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    batch_norm: str = "as is"
    training: bool = False

    @property
    def examples(self) -> int:
        """How many examples the loss is the mean over."""
        return sum(size_of(targets) for _, targets in self.batches)

    @property
    def names(self) -> tuple[str, ...]:
        """What is measured at a point: "loss", then the metrics."""
        return ("loss", *self.metrics)


def pose(
    model: nn.Module,
    criterion: Callable[[Any, Any], Any],
    data: Any,
    metrics: Mapping[str, Metric] | None,
    batch_norm: str,
    mode: str,
) -> Problem:
    """Make a problem of what a user gives.

    Args:
        data: (inputs, targets), or an iterable of such batches, such as a loader; it is read once and kept.

    Raises:
        SurfaceError: There is no data, or it is no pair of inputs and targets; there is no such choice.
    """
    if batch_norm not in BATCH_NORM:
        raise SurfaceError(unknown("treatment of batch norm", batch_norm, BATCH_NORM))
    if mode not in MODES:
        raise SurfaceError(unknown("mode of a model", mode, MODES))
    batches = (data,) if isinstance(data, tuple) else tuple(data)
    if not batches or not all(isinstance(batch, list | tuple) and len(batch) == 2 for batch in batches):
        raise SurfaceError(
            "the data are neither (inputs, targets) nor batches of them: give a tuple of two, or a loader of such"
        )
    pairs = tuple((inputs, targets) for inputs, targets in batches)
    return Problem(model, criterion, pairs, dict(metrics or {}), batch_norm, mode == "train")


def size_of(batch: Any) -> int:
    """Return how many examples a batch's inputs or targets are."""
    if isinstance(batch, torch.Tensor):
        return len(batch) if batch.ndim else 1
    inside: Iterable[Any] = batch.values() if isinstance(batch, Mapping) else batch
    return size_of(next(iter(inside)))


def call(model: Callable[..., Any], inputs: Any) -> Any:
    """Call a model with what a batch has for it."""
    if isinstance(inputs, Mapping):
        return model(**inputs)
    if isinstance(inputs, list | tuple):
        return model(*inputs)
    return model(inputs)


@contextmanager
def kept(model: nn.Module, *, training: bool) -> Iterator[None]:
    """Put a model in eval or train mode; afterwards modes and random numbers are what they were.

    Weights and buffers are never touched: `functional_call` is given others.
    """
    modes = [(module, module.training) for module in model.modules()]
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices):
        try:
            model.train(training)
            yield
        finally:
            for module, mode in modes:
                module.training = mode
