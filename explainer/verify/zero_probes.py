"""Another way to every gradient: add a leaf of zeros to each layer's output and read its `.grad`. No hook on a tensor.

The sum is a new tensor, so whatever later works in place works on the sum; and what is added is −0, because x + (−0) is
x bit by bit, also where x is −0.
"""

import copy
import dataclasses
from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence
from torch.utils._pytree import tree_flatten_with_path, tree_unflatten

from explainer.verify.comparing import Array


@dataclass
class Probe:
    """One tensor of one layer's output.

    Attributes:
        activation: Its values, (example, …).
        zero: The leaf that was added; None where none could be, and `reason` says why.
    """

    activation: Array
    zero: torch.Tensor | None = None
    reason: str = ""

    @property
    def gradient(self) -> Array | None:
        """∂loss/∂output, (example, …); None where the loss does not depend on it."""
        return None if self.zero is None or self.zero.grad is None else values_of(self.zero.grad)


@dataclass
class Probes:
    """The zero leaves on a model.

    Args:
        layers: The names of the modules whose outputs are probed.
        sparing_views: Whether outputs that share memory with another tensor are left alone: adding to them changes what
            the model computes, where it counts on the shared memory.
    """

    layers: Collection[str]
    sparing_views: bool = False
    found: dict[str, Probe] = field(default_factory=dict)  # in forward order
    types: dict[str, str] = field(default_factory=dict)
    _calls: dict[str, int] = field(default_factory=dict)
    _backward: bool = False

    def run(self, model: nn.Module, loss: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Run forward and backward with the leaves in place; returns the loss."""
        with ExitStack() as hooks:
            for name, layer in model.named_modules():
                if (name or "model") in self.layers:
                    handle = layer.register_forward_hook(self._adding(name or "model"))
                    hooks.callback(handle.remove)
            value = loss()
            self._backward = True  # what runs forward from now on is a checkpoint's second time
            value.backward()
        return value.detach()

    def _adding(self, layer: str) -> Callable[..., Any]:
        def hook(module: nn.Module, args: Any, output: Any) -> Any:
            call = self._calls[layer] = self._calls.get(layer, -1) + 1
            name = f"{layer}:{call}" if call else layer
            leaves, rebuild = taken_apart(output)
            given = {id(each) for each in taken_apart(args)[0].values()}
            changed = {}
            for index, (where, tensor) in enumerate(leaves.items()):
                probe, changed[where] = self._probe(tensor, id(tensor) in given)
                self._keep(f"{name}{where}" if index else name, layer, probe)
                self.types.setdefault(f"{name}{where}" if index else name, type(module).__name__)
            return rebuild(changed)

        return hook

    def _probe(self, tensor: torch.Tensor, given: bool) -> tuple[Probe, torch.Tensor]:
        probe = Probe(values_of(tensor))
        if not tensor.requires_grad:
            probe.reason = "the output does not require a gradient"
        elif self.sparing_views and (tensor._is_view() or given):
            probe.reason = "the output shares memory with another tensor that the model counts on: it cannot be probed"
        else:
            probe.zero = torch.full_like(tensor, -0.0).requires_grad_()
            return probe, tensor + probe.zero
        return probe, tensor

    def _keep(self, name: str, layer: str, probe: Probe) -> None:
        if not self._backward:
            self.found[name] = probe
            return
        for other in (key for key in self.found if key == layer or key.startswith((f"{layer}:", f"{layer}["))):
            before = self.found[other]  # checkpointed without a graph the first time: its gradient comes to the second
            if before.zero is None and np.array_equal(before.activation, probe.activation, equal_nan=True):
                self.found[other] = probe
                return


def base_of(name: str) -> str:
    """Return the module that a name is of: `conv` for `conv:1[0]`."""
    return name.partition("[")[0].partition(":")[0]


def taken_apart(value: Any) -> tuple[dict[str, torch.Tensor], Callable[[dict[str, torch.Tensor]], Any]]:
    """Return the tensors in nested tuples, lists, dicts, dataclasses and packed sequences, and what puts them back.

    Returns:
        Per place ("" for a tensor that stands alone, else "[1]", "[key]", …) the tensor; and a function that makes the
        same structure of other tensors.
    """
    if isinstance(value, torch.Tensor):
        return {"": value}, lambda tensors: tensors[""]
    if isinstance(value, PackedSequence):
        return {"[data]": value.data}, lambda tensors: value._replace(data=tensors["[data]"])
    leaves, structure = tree_flatten_with_path(value, is_leaf=lambda part: isinstance(part, PackedSequence))
    parts = {"".join(f"[{_key(part)}]" for part in path): leaf for path, leaf in leaves}
    inner = {
        where: taken_apart(leaf) for where, leaf in parts.items() if isinstance(leaf, torch.Tensor | PackedSequence)
    }
    if dataclasses.is_dataclass(value) and not isinstance(value, type) and len(parts) == 1 and "" in parts:
        names = {f"[{each.name}]": getattr(value, each.name) for each in dataclasses.fields(value)}
        inner = {where: taken_apart(each) for where, each in names.items()}
    found = {f"{where}{below}": tensor for where, (some, _) in inner.items() for below, tensor in some.items()}

    def rebuild(tensors: dict[str, torch.Tensor]) -> Any:
        rebuilt = {
            where: again({below: tensors[f"{where}{below}"] for below in some})
            for where, (some, again) in inner.items()
        }
        if "" in parts:  # one leaf: a dataclass, or something that holds no tensor that could be seen
            return _with_fields(value, rebuilt) if rebuilt else value
        return tree_unflatten([rebuilt.get(where, leaf) for where, leaf in parts.items()], structure)

    return found, rebuild


def _with_fields(value: Any, rebuilt: dict[str, Any]) -> Any:
    changed = copy.copy(value)
    for where, each in rebuilt.items():
        object.__setattr__(changed, where[1:-1], each)
    return changed


def _key(part: Any) -> Any:
    return getattr(part, "key", getattr(part, "idx", getattr(part, "name", part)))


def values_of(tensor: torch.Tensor) -> Array:
    """Return a copy of a tensor's values, in the dtype that a trace holds them in: complex ones as (…, 2)."""
    tensor = tensor.detach().resolve_conj().resolve_neg()
    if tensor.is_sparse:
        tensor = tensor.to_dense()
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    wide = tensor.to(torch.float32) if tensor.dtype == torch.bfloat16 else tensor
    return np.array(wide.cpu().numpy())
