"""From torch's tensors to the arrays and names of a trace."""

from typing import Any

import numpy as np
import torch
from torch.utils._pytree import tree_flatten_with_path

from explainer.errors import RecordingError
from explainer.storage import Array

_WIDER = {torch.bfloat16: torch.float32}  # numpy lacks bfloat16; float32 holds it without loss


def array_of(tensor: torch.Tensor) -> Array:
    """Return a tensor's values as a numpy array, without a copy where its memory allows it."""
    if tensor.dtype in _WIDER:
        tensor = tensor.to(_WIDER[tensor.dtype])
    elif tensor.dtype.is_complex:
        raise RecordingError("complex tensors cannot be recorded yet")
    array: Array = tensor.numpy(force=True)
    return array


def numpy_dtype(tensor: torch.Tensor) -> np.dtype[Any]:
    """Return the dtype in which a trace holds a tensor."""
    return np.dtype(str(_WIDER.get(tensor.dtype, tensor.dtype)).removeprefix("torch."))


def named_tensors(name: str, value: Any) -> list[tuple[str, torch.Tensor]]:
    """Return the tensors in nested tuples, lists and dicts: `name`, then `name[1]`, `name[key]`, …"""
    if isinstance(value, torch.Tensor):
        return [(name, value)]
    leaves, _ = tree_flatten_with_path(value)
    found = []
    for index, (path, leaf) in enumerate(leaves):
        if isinstance(leaf, torch.Tensor):
            where = "".join(f"[{getattr(part, 'key', getattr(part, 'idx', part))}]" for part in path)
            found.append((name if index == 0 else f"{name}{where}", leaf))
    return found


def argument_tensors(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[torch.Tensor]:
    """Return the tensors among a call's arguments, in their order."""
    if not kwargs and all(isinstance(each, torch.Tensor) for each in args):
        return list(args)
    return [tensor for _, tensor in named_tensors("", (args, kwargs))]
