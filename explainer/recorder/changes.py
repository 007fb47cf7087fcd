"""Noticing that a model is made of something else than before: a new head, another dtype, weights lent for one call."""

import sys
from collections.abc import Mapping
from itertools import chain
from operator import attrgetter, is_, methodcaller
from types import FrameType
from typing import Any

import torch
from torch import nn

_LENDING = ("torch.nn.utils.stateless", "torch._functorch.functional_call")
_FORM, _VALUES = attrgetter("dtype", "shape"), methodcaller("values")
_FRAMES = 24  # between the model's first hook and the functional call, at most

LENT = "the forward pass ran with other weights (functional_call): what stands here are the model's own"


class Structure:
    """What a model was made of when it was looked at.

    Args:
        parameters: Those that are watched, by qualified name.
    """

    def __init__(
        self, model: nn.Module, parameters: Mapping[str, torch.Tensor], optimizer: torch.optim.Optimizer | None
    ) -> None:
        self._named = dict(parameters)
        self._tensors = list(parameters.values())
        self._forms = list(map(_FORM, self._tensors))
        self._rooms: list[dict[str, Any]] = [
            room for module in model.modules() for room in (module._parameters, module._modules) if room
        ]
        self._things = list(chain.from_iterable(room.values() for room in self._rooms))
        self._optimizer = optimizer
        self._groups = self._sizes()

    def is_changed(self) -> bool:
        """Tell whether modules, parameters, their form, or the optimizer's groups are others than they were."""
        return (
            sum(map(len, self._rooms)) != len(self._things)
            or not all(map(is_, chain.from_iterable(map(_VALUES, self._rooms)), self._things))
            or list(map(_FORM, self._tensors)) != self._forms
            or self._sizes() != self._groups
        )

    def lent(self) -> list[str] | None:
        """Return the parameters in whose place others stand for the call that is going on; None where it is no loan."""
        if not _is_lending():
            return None
        there = {id(each) for room in self._rooms for each in room.values()}
        return [name for name, each in self._named.items() if id(each) not in there]

    def _sizes(self) -> list[int]:
        return [len(group["params"]) for group in self._optimizer.param_groups] if self._optimizer else []


def _is_lending() -> bool:
    frame: FrameType | None = sys._getframe(1)
    for _ in range(_FRAMES):
        if frame is None:
            return False
        if frame.f_globals.get("__name__") in _LENDING:
            return True
        frame = frame.f_back
    return False
