"""An independent judge of what was recorded: it shares no code with the recorder.

A zero leaf, a probe, is added to every tensor that a layer returns; the probe's `.grad` is the gradient that should
have been recorded. (What is added is −0: x + (−0) is x bit by bit, also where x is −0.) The training is judged by the
loss, the gradients and the buffers that a run leaves behind.
"""

from __future__ import annotations

import copy
import dataclasses
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence

import explainer

Run = Callable[[nn.Module], torch.Tensor]  # a forward pass; returns the loss


@dataclass
class Verdict:
    """What the judge found. No faults: nothing is wrong, nothing is silently absent, and training was left alone."""

    trace: Any
    faults: list[str] = field(default_factory=list)
    equal: list[str] = field(default_factory=list)  # outputs whose gradient equals the probe's bit by bit


def judge(model: nn.Module, run: Run, **options: Any) -> Verdict:
    """Run a model from the same state bare, recorded and with probes, and compare the three."""
    start = [(buffer, buffer.clone()) for buffer in model.buffers()]

    def from_the_start(passing: Callable[[], torch.Tensor]) -> dict[str, int]:
        with torch.no_grad():
            for buffer, before in start:
                buffer.copy_(before)
        model.zero_grad(set_to_none=True)
        torch.manual_seed(11)
        left = {"loss": passing().detach(), **dict(model.named_buffers())}
        left |= {f"{name}.grad": each.grad for name, each in model.named_parameters() if each.grad is not None}
        return {name: fingerprint(tensor) for name, tensor in left.items()}

    def backward() -> torch.Tensor:
        loss = run(model)
        loss.backward()
        return loss

    def recorded() -> torch.Tensor:
        loss = backward()
        recorder.step(loss)
        return loss

    bare = from_the_start(backward)
    with explainer.record(model, **{"examples": None, "keep": ("activations", "gradients")} | options) as recorder:
        seen = from_the_start(recorded)
    verdict = Verdict(recorder.trace)
    if recorder.failure is not None:
        verdict.faults.append(f"failure: {recorder.failure!r}")
    verdict.faults += [f"training: {name} is another" for name in bare | seen if bare.get(name) != seen.get(name)]
    with probed(model) as probes:
        from_the_start(backward)
    compare(verdict, probes)
    return verdict


def compare(verdict: Verdict, probes: dict[str, tuple[torch.Tensor, torch.Tensor | None]]) -> None:
    """Compare what a trace holds of one step with the probes' outputs and gradients, bit by bit."""
    trace, faults = verdict.trace, verdict.faults
    faults += [f"{name}: recorded, but no layer returned it" for name in trace.activations if name not in probes]
    for name, (output, zero) in probes.items():
        if name not in trace.activations:
            faults += [f"{name}: its activation is silently absent"] * (name not in trace.missing)
        elif not same(trace.activations[name][0], output):
            faults.append(f"{name}: another activation")
        gradient = None if zero is None else zero.grad
        if name in trace.gradients:
            recorded, source = trace.gradients[name][0], trace.aliases.get(name, "")
            if gradient is not None and same(recorded, gradient):
                verdict.equal.append(name)
            elif not source and name not in trace.missing:
                faults.append(f"{name}: another gradient")
            elif source in trace.gradients and not np.array_equal(trace.gradients[source][0], recorded):
                faults.append(f"{name}: another gradient, and not that of {source}, whose output it is")
        elif name not in trace.missing:
            faults.append(f"{name}: its gradient is silently absent")


def same(recorded: Any, expected: torch.Tensor) -> bool:
    """Tell whether an array holds a tensor's values, bit by bit; numpy lacks bfloat16, and a file complex numbers."""
    values = expected.detach().resolve_conj()
    if values.dtype == torch.bfloat16:
        values = values.float()
    if values.is_complex():
        values = torch.view_as_real(values)
    array = values.numpy()
    return (recorded.shape, recorded.dtype) == (array.shape, array.dtype) and recorded.tobytes() == array.tobytes()


def fingerprint(tensor: torch.Tensor) -> int:
    """Sum up a tensor's bytes: two large models need not be held side by side."""
    return zlib.crc32(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy())


@contextmanager
def probed(model: nn.Module) -> Iterator[dict[str, tuple[torch.Tensor, torch.Tensor | None]]]:
    """Add a zero leaf to what every leaf module returns.

    Yields:
        Per output, as a trace names it: a copy of it, and its zero; None where it is no floating-point tensor.
    """
    probes: dict[str, tuple[torch.Tensor, torch.Tensor | None]] = {}
    calls: dict[str, int] = {}

    def add_zeros(layer: str) -> Callable[..., Any]:
        def hook(module: nn.Module, args: Any, output: Any) -> Any:
            call = calls[layer] = calls.get(layer, -1) + 1
            name = f"{layer}:{call}" if call else layer
            taken: list[str] = []

            def add_zero(where: str, tensor: torch.Tensor) -> torch.Tensor:
                own = f"{name}{where}" if taken else name
                taken.append(own)
                differentiable = tensor.is_floating_point() or tensor.is_complex()
                zero = torch.full_like(tensor, -0.0).requires_grad_() if differentiable else None
                probes[own] = (tensor.detach().clone(), zero)
                return tensor if zero is None else tensor + zero

            return rebuilt(output, add_zero)

        return hook

    handles = [layer.register_forward_hook(add_zeros(name)) for name, layer in leaves(model)]
    try:
        yield probes
    finally:
        for handle in handles:
            handle.remove()


def leaves(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return the modules that are layers: those without modules inside, and attention, which calls none of its own."""
    inside = [f"{name}." for name, layer in model.named_modules() if type(layer) is nn.MultiheadAttention]
    return [
        (name or "model", layer)
        for name, layer in model.named_modules()
        if (f"{name}." in inside or not [*layer.children()]) and not name.startswith(tuple(inside))
    ]


def rebuilt(value: Any, change: Callable[[str, torch.Tensor], torch.Tensor], where: str = "") -> Any:
    """Return a structure like `value` with its tensors changed; `change` is told where each stands."""
    if isinstance(value, torch.Tensor):
        return change(where, value)
    if isinstance(value, PackedSequence):
        return PackedSequence(change(f"{where}[data]", value.data), *value[1:])
    if isinstance(value, dict):
        new = copy.copy(value)
        for key, each in value.items():
            new[key] = rebuilt(each, change, f"{where}[{key}]")
        return new
    if isinstance(value, tuple | list):
        keys = getattr(value, "_fields", range(len(value)))
        items = [rebuilt(each, change, f"{where}[{key}]") for key, each in zip(keys, value, strict=True)]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [each.name for each in dataclasses.fields(value) if each.init]
        return dataclasses.replace(
            value, **{name: rebuilt(getattr(value, name), change, f"{where}[{name}]") for name in names}
        )
    return value
