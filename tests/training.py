"""What plain torch says of every step of a training loop: the referee of the tests of ways to train.

It shares no code with the recorder. A loop tells it the weights that a step starts from and the forward passes that the
step is made of; a fresh copy of the model, with a zero leaf added to every layer's output, is run through them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import nn

Tensors = dict[str, torch.Tensor]
Forward = Callable[[nn.Module], Any]  # one forward pass; returns its loss, or several that are backpropagated in turn


@dataclass
class Expected:
    """One step, by hand."""

    parameters: Tensors
    parameter_gradients: Tensors = field(default_factory=dict)  # as the optimizer used them
    updates: Tensors = field(default_factory=dict)
    activations: Tensors = field(default_factory=dict)
    gradients: Tensors = field(default_factory=dict)
    loss: float = 0.0
    norm: float | None = None  # of the gradients as backward left them, where the loop looked


class Referee:
    """Works out every step.

    Args:
        make: Makes the model afresh; its weights do not matter.
    """

    def __init__(self, make: Callable[[], nn.Module]) -> None:
        self.steps: list[Expected] = []
        self._make = make

    def begin(self, model: nn.Module) -> None:
        """See the weights, buffers and random numbers that a step starts from."""
        self._state = {name: each.detach().clone() for name, each in model.state_dict().items()}
        self._random = torch.get_rng_state()
        self.now = Expected({name: each.detach().clone() for name, each in model.named_parameters()})

    def backward_is_done(self, model: nn.Module, scale: float = 1.0) -> None:
        """See the gradients before anybody clips them."""
        grads = [each.grad.double().flatten() / scale for each in model.parameters() if each.grad is not None]
        self.now.norm = float(torch.cat(grads).norm())

    def end(self, model: nn.Module, passes: Sequence[Forward], scale: float = 1.0, **known: Any) -> None:
        """See what a step left, and work out the passes that it was made of.

        Args:
            scale: What the losses are multiplied with before backward; undone in what is expected.
            known: What the loop knows better: `parameter_gradients` that are gone, a `loss` that says less.
        """
        now, self._scale = self.now, scale
        now.parameter_gradients = {
            name: each.grad.clone() for name, each in model.named_parameters() if each.grad is not None
        }
        now.updates = {name: each.detach() - now.parameters[name] for name, each in model.named_parameters()}
        after = torch.get_rng_state()
        torch.set_rng_state(self._random)
        fresh = self._make()
        torch.set_rng_state(self._random)
        fresh.load_state_dict(self._state)
        fresh.train(model.training)
        for forward in passes:
            self._run(fresh, forward)
        torch.set_rng_state(after)
        self.steps.append(replace(now, **known))

    def _run(self, model: nn.Module, forward: Forward) -> None:
        activations: Tensors = {}
        zeros: Tensors = {}
        calls: dict[str, int] = {}

        def add_zero(layer: str) -> Callable[..., torch.Tensor]:
            def hook(module: nn.Module, args: Any, output: torch.Tensor) -> torch.Tensor:
                call = calls[layer] = calls.get(layer, -1) + 1
                name = f"{layer}:{call}" if call else layer
                activations[name] = output.detach().clone()
                zeros[name] = torch.zeros_like(output, requires_grad=True)
                return output + zeros[name]

            return hook

        leaves = [(name, layer) for name, layer in model.named_modules() if not [*layer.children()]]
        handles = [layer.register_forward_hook(add_zero(name)) for name, layer in leaves]
        losses = forward(model)
        for handle in handles:
            handle.remove()
        for loss in losses if isinstance(losses, list) else [losses]:
            (loss * self._scale).backward(retain_graph=True)
            self.now.loss += loss.item()
        gradients = {name: wide(zero.grad) / self._scale for name, zero in zeros.items() if zero.grad is not None}
        for found, new in ((self.now.activations, activations), (self.now.gradients, gradients)):
            for name, tensor in new.items():
                found[name] = torch.cat([found[name], tensor]) if name in found else tensor


def wide(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def compare(trace: Any, steps: Sequence[Expected]) -> None:
    """Hold a trace, which keeps every example, to what was worked out."""
    assert len(trace) == len(steps)
    for index, expected in enumerate(steps):
        for kind in ("parameters", "parameter_gradients", "updates", "activations", "gradients"):
            tensors = getattr(trace, kind)
            wanted = getattr(expected, kind)
            held = {name for name in tensors if is_kept(tensors[name], index)}
            assert held == set(wanted), f"{kind} in step {index}"
            for name, tensor in wanted.items():
                where = f"{kind} of {name} in step {index}"
                recorded, values = tensors[name][index], wide(tensor).numpy()
                np.testing.assert_array_equal(recorded, values, err_msg=where)
                norm = trace.statistics[kind][name]["norm"][index]
                np.testing.assert_allclose(norm, np.linalg.norm(values.astype(np.float64)), rtol=1e-5, err_msg=where)
        np.testing.assert_allclose(trace.scalars["loss"][index], expected.loss, rtol=1e-5)
        if expected.norm is not None:
            np.testing.assert_allclose(trace.scalars["gradient_norm"][index], expected.norm, rtol=1e-5)


def is_kept(tensors: Any, index: int) -> bool:
    try:
        return tensors[index] is not None
    except Exception as error:
        if type(error).__name__ == "TraceError":
            return False
        raise
