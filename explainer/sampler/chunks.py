"""Large batches in pieces, for models that treat each example by itself.

What a piece needs stays in the cache and is used again by the next. A whole batch's large activations are fresh memory
each time, which can cost as much as computing them. But each piece also brings all weights in again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

_BYTES = 8 << 20  # of a piece's largest activation; measured: of 1, 2, 4, 8, 16 and 32 MiB, 2 to 8 are about equal
_WEIGHTS = 8  # times as large as all weights it is, too, so that they weigh little


class LargestActivation(TorchDispatchMode):
    """Notes the largest tensor computed inside a `with`.

    Attributes:
        bytes: Its size.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Compute as ever, and look at what comes out."""
        output = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(output):
            if isinstance(tensor, torch.Tensor):
                self.bytes = max(self.bytes, tensor.numel() * tensor.element_size())
        return output


def tensors_of(inputs: Any) -> list[torch.Tensor]:
    """Return the tensors in what a model is called with, or gives."""
    return [leaf for leaf in tree_leaves(inputs) if isinstance(leaf, torch.Tensor)]


def pieces(inputs: Any, examples: int, activation: int, weights: int) -> list[Any]:
    """Return a batch's inputs in pieces of about equal length; all in one where they cannot be divided.

    Args:
        examples: How many the batch has.
        activation: Bytes of the largest activation for the whole batch.
        weights: Bytes of all weights.
    """
    leaves, structure = tree_flatten(inputs)
    count = min(examples, -(-activation // max(_BYTES, _WEIGHTS * weights)))
    if count < 2 or not all(isinstance(leaf, torch.Tensor) and leaf.ndim and len(leaf) == examples for leaf in leaves):
        return [inputs]
    length = -(-examples // count)
    parts = zip(*(leaf.split(length) for leaf in leaves), strict=True)
    return [tree_unflatten(list(part), structure) for part in parts]


def joined(outputs: Sequence[Any]) -> Any:
    """Return the outputs of a batch's pieces as the batch's.

    Raises:
        TypeError: They hold something else than tensors.
    """
    if len(outputs) == 1:
        return outputs[0]
    leaves, structures = zip(*map(tree_flatten, outputs), strict=True)
    return tree_unflatten([torch.cat(each) for each in zip(*leaves, strict=True)], structures[0])
