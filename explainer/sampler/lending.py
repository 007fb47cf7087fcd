"""Other tensors in a model's place, in every slot that holds its own, and its own again afterwards.

`torch.func.functional_call` goes by names. A module that a model holds under two of them has one slot, which it would
lend twice, and the second time it would take what it lent for the model's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


@contextmanager
def lent(model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> Iterator[None]:
    """Let a model have other parameters and buffers, by name, inside the `with`; tied ones stay tied."""
    instead = {id(own): tensors[name] for name, own in _named(model) if name in tensors}
    before: list[tuple[dict[str, Any], str, Any]] = [
        (slots, key, own)
        for module in model.modules()
        for slots in _slots_of(module)[:2]
        for key, own in slots.items()
        if id(own) in instead
    ]
    try:
        for slots, key, own in before:
            slots[key] = instead[id(own)]
        yield
    finally:
        for slots, key, own in before:
            slots[key] = own


def _named(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()


def _slots_of(module: nn.Module) -> tuple[Any, Any, Any]:
    return module._parameters, module._buffers, module._modules


class Held:
    """All that stands in a model's modules: their attributes, and which parameters, buffers and children they have."""

    def __init__(self, model: nn.Module) -> None:
        self._attributes = [(module.__dict__, dict(module.__dict__)) for module in model.modules()]
        self._slots = [
            (slots, dict(slots))
            for module in model.modules()
            for slots in _slots_of(module)
            if isinstance(slots, dict)  # a compiled module has views of its own
        ]

    def restore(self) -> None:
        """Put back whatever is no longer the same object."""
        for now, before in (*self._attributes, *self._slots):
            if not _same_things(now, before):
                now.clear()
                now.update(before)


def _same_things(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    return first.keys() == second.keys() and all(each is second[name] for name, each in first.items())
