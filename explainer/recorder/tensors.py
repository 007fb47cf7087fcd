"""From torch's tensors to the arrays and names of a trace."""

from typing import Any

import numpy as np
import torch
from torch.utils._pytree import tree_flatten_with_path

from explainer.errors import RecordingError
from explainer.storage import Array


def flat_array(tensor: torch.Tensor) -> Array:
    """Return a tensor's values as a flat array, without a copy where its memory allows it."""
    tensor = tensor.detach()
    if tensor.is_complex():
        raise RecordingError("complex tensors cannot be recorded yet")
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.float()
    array: Array = tensor.cpu().numpy()
    return array.reshape(-1)


def numpy_dtype(tensor: torch.Tensor) -> np.dtype[Any]:
    """Return the dtype in which a trace holds a tensor: bfloat16, which numpy lacks, becomes float32 without loss."""
    if tensor.dtype == torch.bfloat16:
        return np.dtype(np.float32)
    return np.dtype(str(tensor.dtype).removeprefix("torch."))


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
