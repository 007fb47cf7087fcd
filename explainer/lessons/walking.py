"""A walk down a small model's loss: all examples in every step, every step recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from explainer.errors import LessonError, unknown
from explainer.lessons import Progress
from explainer.recorder import record
from explainer.trace import Trace

Problem = tuple[nn.Module, nn.Module, tuple[torch.Tensor, torch.Tensor]]  # model, criterion, (inputs, targets)
Optimizing = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]  # makes an optimizer of parameters


def walk(
    problem: Problem,
    optimizing: Optimizing,
    steps: int,
    *,
    folder: Path | None = None,
    notes: Mapping[str, Any],
    keep: Iterable[str] | None = None,
    progress: Progress = lambda done, total: None,
) -> Trace:
    """Train on all examples at once and record every step; returns the trace.

    An optimizer that asks for the loss several times a step (LBFGS) gets it; recorded is the step's first.

    Args:
        folder: Where the trace lies; in memory when omitted.
        notes: Facts that stay with the trace.
        keep: As in `explainer.record`.

    Raises:
        LessonError: There is no step to walk.
    """
    if steps < 1:
        raise LessonError(f"steps={steps}: a walk has at least one")
    model, criterion, (inputs, targets) = problem
    optimizer = optimizing(model.parameters())

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        now: torch.Tensor = criterion(model(inputs), targets)
        now.backward()
        return now

    with record(
        model, folder, criterion=criterion, optimizer=optimizer, examples=None, keep=keep, overwrite=True
    ) as recorder:
        recorder.note(**notes)
        for step in range(steps):
            if isinstance(optimizer, torch.optim.LBFGS):
                optimizer.step(loss)
            else:
                loss()
                optimizer.step()
            progress(step + 1, steps)
    return recorder.trace


def optimizer_called(name: str, learning_rate: float, momentum: float = 0.0) -> Optimizing:
    """Return what makes an optimizer of torch, by its class's name.

    Args:
        momentum: Given to those that have it, when it is not zero.

    Raises:
        LessonError: torch has no such optimizer; or, when it is made, it does not take what it is given.
    """
    kinds: dict[str, Callable[..., torch.optim.Optimizer]] = {
        each.__name__: each
        for each in vars(torch.optim).values()
        if isinstance(each, type)
        and issubclass(each, torch.optim.Optimizer)
        and each not in (torch.optim.Optimizer, torch.optim.SparseAdam)  # which wants sparse gradients
    }
    if name not in kinds:
        raise LessonError(unknown("optimizer of torch", name, kinds))
    given = {"lr": learning_rate, **({"momentum": momentum} if momentum else {})}

    def optimizing(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        try:
            return kinds[name](parameters, **given)
        except (TypeError, ValueError) as error:
            with_ = ", ".join(f"{option}={value}" for option, value in given.items())
            raise LessonError(f"torch.optim.{name} does not take {with_} for this model: {error}") from error

    return optimizing
