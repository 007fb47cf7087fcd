"""Running a model as often as one likes and leaving it as it was."""

import copy
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils._pytree import tree_map

from explainer.errors import RecordingError

Criterion = Callable[..., Any]


@dataclass(frozen=True)
class Trial:
    """A model, its loss and one batch: what can be run again and again.

    Attributes:
        inputs: One argument, a tuple of several, or a mapping of named ones.
        targets: What the criterion gets besides the model's output; None where it gets the output alone.
    """

    model: nn.Module
    criterion: Criterion
    inputs: Any
    targets: Any

    def loss(self) -> torch.Tensor:
        """Run forward, on a copy of the batch that the model may change.

        Raises:
            RecordingError: The criterion returned no single number.
        """
        inputs, targets = _copied(self.inputs), _copied(self.targets)
        if isinstance(inputs, Mapping):
            output = self.model(**inputs)
        else:
            output = self.model(*inputs) if type(inputs) is tuple else self.model(inputs)
        loss = self.criterion(output) if targets is None else self.criterion(output, targets)
        if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
            what = f"{tuple(loss.shape)}" if isinstance(loss, torch.Tensor) else type(loss).__name__
            raise RecordingError(f"criterion returned {what}; a loss is a tensor of one number")
        return loss


def read_trial(model: nn.Module, criterion: Criterion, batch: Any) -> Trial:
    """Check what was given to a check that runs a model.

    Raises:
        RecordingError: It is not a model, a callable and (inputs, targets), or the model has never run.
    """
    if not isinstance(model, nn.Module):
        raise RecordingError(f"model: {type(model).__name__} is no torch.nn.Module")
    if not callable(criterion):
        raise RecordingError(f"criterion: {type(criterion).__name__} cannot be called as criterion(output, targets)")
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        raise RecordingError("batch is (inputs, targets); targets may be None, then criterion(output) is called")
    lazy = [name for name, each in model.named_parameters() if isinstance(each, nn.parameter.UninitializedParameter)]
    if lazy:
        raise RecordingError(
            f"the parameter {lazy[0]!r} has no shape yet: run the lazy model once on a batch, then ask"
        )
    return Trial(model, criterion, batch[0], batch[1])


@contextmanager
def left_as_it_was(trial: Trial) -> Iterator[Callable[[], None]]:
    """Put back all that a training step changes: gradients, buffers, plain attributes, random numbers.

    Yields:
        A function that puts everything back, to be called between two runs; the gradients are None after it.
    """
    roots = [each for each in (trial.model, trial.criterion) if isinstance(each, nn.Module)]
    modules = [(module, _shallow(vars(module))) for root in roots for module in root.modules()]
    buffers = [(buffer, buffer.detach().clone()) for root in roots for buffer in root.buffers()]
    gradients = [(parameter, parameter.grad) for root in roots for parameter in root.parameters()]
    numbers = _random_numbers()

    def put_back() -> None:
        for module, attributes in modules:
            vars(module).clear()
            vars(module).update(_shallow(attributes))
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        for parameter, _ in gradients:
            parameter.grad = None
        _restore_random_numbers(numbers)

    for parameter, _ in gradients:
        parameter.grad = None
    try:
        yield put_back
    finally:
        put_back()
        for parameter, gradient in gradients:
            parameter.grad = gradient


def _shallow(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Copy what a module keeps by name, so that what it replaces in a run can be put back."""
    own = ("_buffers", "_parameters")
    return {key: dict(value) if key in own else value for key, value in attributes.items()}


def _random_numbers() -> tuple[Any, ...]:
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    seen = [torch.cuda.get_rng_state(device) for device in devices]
    return torch.get_rng_state(), seen, random.getstate(), np.random.get_state()  # noqa: NPY002 - what models use


def _restore_random_numbers(numbers: tuple[Any, ...]) -> None:
    torch.set_rng_state(numbers[0])
    for device, state in enumerate(numbers[1]):
        torch.cuda.set_rng_state(state, device)
    random.setstate(numbers[2])
    np.random.set_state(numbers[3])  # noqa: NPY002


def _copied(value: Any) -> Any:
    def copied(leaf: Any) -> Any:
        if isinstance(leaf, torch.Tensor):
            return leaf.detach().clone().requires_grad_(leaf.requires_grad)
        return copy.deepcopy(leaf)

    return tree_map(copied, value)
