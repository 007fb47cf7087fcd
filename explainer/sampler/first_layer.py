"""The first layer, which is linear in its weights: computed for each direction once, then only added up.

A Linear or a convolution that sees the model's own input x gives W·x + b. At a point (u, v) that is
(W₀·x + b₀) + u·(U·x + b_u) + v·(V·x + b_v): three products in all, instead of one at every point.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.functional import linear

from explainer.sampler.blend import Blend, Tensors

_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_CACHED = 64 << 20  # bytes; fetching more than that from memory takes as long as multiplying few numbers anew
_MANY = 64  # numbers that go into one output, beyond which multiplying is dearer than fetching
_MOST = 1 << 30  # bytes


class FirstLayers:
    """The layers of a model that see its own input, each as a blend of outputs.

    Nothing is believed: a layer's output is taken from here only where it is called, for the first time in a pass,
    with the very memory that was seen in `learn`, unwritten since. Else it computes as ever.

    Args:
        model: Its layers of known kinds whose weights are plain parameters are looked at.
        inputs: The tensors that the model will be called with.
        channels_last: Whether a 2-D convolution's output shall lie in memory as convolutions and poolings like it.
    """

    def __init__(
        self,
        model: nn.Module,
        center: Tensors,
        directions: Sequence[Tensors],
        inputs: Sequence[torch.Tensor],
        *,
        channels_last: bool,
    ) -> None:
        self._weights = (center, *directions)
        self._memory = {tensor.untyped_storage().data_ptr() for tensor in inputs if not tensor.is_inference()}
        self._channels_last = channels_last
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        self._names = {
            module: {key: names[id(each)] for key, each in module._parameters.items() if each is not None}
            for module in model.modules()
            if type(module) in _LAYERS
            and "forward" not in vars(module)
            and module._parameters.get("weight") is not None
        }
        self._blends: dict[Any, Blend] = {}
        self._bytes = 0
        self._used: set[Any] = set()  # what this pass has asked for
        self._point: Sequence[float] = ()

    def move(self, point: Sequence[float]) -> None:
        """Let layers answer for a point (D,) from now on."""
        self._point = point
        self._used.clear()

    @contextmanager
    def learning(self) -> Iterator[None]:
        """Learn, from one pass at any weights inside the `with`, which layers see which input."""
        with self._instead(self._learn):
            yield

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Let the layers learnt of answer with what is known, inside the `with`."""
        with self._instead(self._answer):
            yield

    @contextmanager
    def _instead(self, forward: Callable[[Any, torch.Tensor], torch.Tensor]) -> Iterator[None]:
        try:
            for module in self._names:
                module.forward = lambda x, module=module: forward(module, x)
            yield
        finally:
            for module in self._names:
                vars(module).pop("forward", None)

    def _learn(self, module: Any, x: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = type(module).forward(module, x)
        if x.is_inference() or x.untyped_storage().data_ptr() not in self._memory or _key(module, x) in self._blends:
            return output
        size = output.numel() * output.element_size() * (len(self._weights) + 2)
        fan_in = module.weight[0].numel()
        if self._bytes + size > (_MOST if fan_in >= _MANY else _CACHED):
            return output
        layout = self._channels_last and isinstance(module, nn.Conv2d)
        parts = [
            part.contiguous(memory_format=torch.channels_last) if layout else part
            for part in (self._compute(module, x, weights) for weights in self._weights)
        ]
        if parts[0].dtype == output.dtype:  # not so under autocast
            self._bytes += size
            self._blends[_key(module, x)] = Blend(parts[0], parts[1:])
        return output

    def _answer(self, module: Any, x: torch.Tensor) -> torch.Tensor:
        key = None if x.is_inference() else _key(module, x)
        if key not in self._blends or key in self._used:
            output: torch.Tensor = type(module).forward(module, x)
            return output
        self._used.add(key)
        return self._blends[key].move(self._point)

    def _compute(self, module: Any, x: torch.Tensor, weights: Tensors) -> torch.Tensor:
        given: Mapping[str, torch.Tensor] = {key: weights[name] for key, name in self._names[module].items()}
        if isinstance(module, nn.Linear):
            return linear(x, given["weight"], given.get("bias"))
        output: torch.Tensor = module._conv_forward(x, given["weight"], given.get("bias"))
        return output


def _key(module: nn.Module, x: torch.Tensor) -> Any:
    return module, x.data_ptr(), x.shape, x.stride(), x._version
