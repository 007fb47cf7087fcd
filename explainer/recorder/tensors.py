"""From torch's tensors to the arrays and names of a trace."""

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import PackedSequence

from explainer.storage import Array

# What numpy and a trace's file lack is held in another dtype: bfloat16 in one that holds it without loss, and a complex
# number as the two (real, imaginary), in a last axis of length 2.
_HELD_IN = {
    torch.bfloat16: "float32",
    torch.complex32: "float16",
    torch.complex64: "float32",
    torch.complex128: "float64",
}


def held(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor in the dtype, and the shape, in which a trace holds it; without a copy where that is possible."""
    if tensor.dtype not in _HELD_IN:
        return tensor
    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor.to(torch.float32)


def array_of(tensor: torch.Tensor) -> Array:
    """Return a tensor's values as a numpy array, as a trace holds them."""
    array: Array = held(tensor).numpy(force=True)
    return array


def numpy_dtype(tensor: torch.Tensor) -> np.dtype[Any]:
    """Return the dtype in which a trace holds a tensor."""
    return np.dtype(_HELD_IN.get(tensor.dtype) or str(tensor.dtype).removeprefix("torch."))


def held_shape(tensor: torch.Tensor) -> tuple[int, ...]:
    """Return the shape in which a trace holds a tensor."""
    return (*tensor.shape, 2) if tensor.is_complex() else tuple(tensor.shape)


def named_tensors(name: str, value: Any) -> list[tuple[str, torch.Tensor]]:
    """Return the tensors in nested tuples, lists, mappings and dataclasses: `name`, then `name[1]`, `name[key]`, …

    Of a packed sequence it is the data. Fields of named tuples and dataclasses are keys.
    """
    if isinstance(value, torch.Tensor):
        return [(name, value)]
    found: list[tuple[str, torch.Tensor]] = []
    _collect(name, value, found)
    if found:
        found[0] = name, found[0][1]
    return found


def _collect(name: str, value: Any, found: list[tuple[str, torch.Tensor]]) -> None:
    for key, part in _parts(value):
        if isinstance(part, torch.Tensor):
            found.append((f"{name}[{key}]", part))
        elif part is not None:
            _collect(f"{name}[{key}]", part, found)


def _parts(value: Any) -> Iterable[tuple[Any, Any]]:
    """Return what a structure holds, with the key of each; nothing where it is none."""
    if isinstance(value, PackedSequence):
        return (("data", value.data),)
    if isinstance(value, (tuple, list)):
        return zip(value._fields, value, strict=True) if hasattr(value, "_fields") else enumerate(value)
    if isinstance(value, Mapping):
        return value.items()
    if is_dataclass(value) and not isinstance(value, type):
        return ((each.name, getattr(value, each.name, None)) for each in fields(value))
    return ()


def argument_tensors(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[torch.Tensor]:
    """Return the tensors among a call's arguments, in their order."""
    if not kwargs and all(isinstance(each, torch.Tensor) for each in args):
        return list(args)
    return [tensor for _, tensor in named_tensors("", (args, kwargs))]
