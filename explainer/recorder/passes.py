"""Listening to forward and backward passes through hooks that change nothing.

Every layer's output gets a tensor hook instead of the module a backward hook: module backward hooks fail on in-place
operations. What is kept is cloned at the hook, so that nothing later can reach it.
"""

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from explainer.moments import moments_of
from explainer.recorder.guard import GuardedHook
from explainer.recorder.options import Options
from explainer.recorder.tensors import argument_tensors, array_of, named_tensors
from explainer.recorder.views import Views
from explainer.recorder.wiring import Wiring
from explainer.statistics import Moments, merged
from explainer.storage import Array


@dataclass(slots=True)
class Seen:
    """One tensor as it passed by: a copy of its first examples, if kept, and the moments of all of it, if wanted."""

    kept: Array | None  # (example, …)
    moments: Moments | None = None


@dataclass
class Pass:
    """What one forward pass, and the backward pass that answered it, showed."""

    seen: dict[str, dict[str, Seen]] = field(default_factory=dict)  # kind -> name -> tensor
    losses: list[float] = field(default_factory=list)  # of each criterion call, times what backward weighted it with
    calls: dict[str, int] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    no_gradient: dict[str, str] = field(default_factory=dict)  # outputs of which none can be had, and the reason
    views: Views = field(default_factory=Views)
    repeated: set[str] = field(default_factory=set)  # outputs that several gradients came back to
    answered: bool = False  # whether a gradient came back
    waiting: list[weakref.ref[Any]] = field(default_factory=list)  # for gradients; they die with autograd's graph
    wiring: Wiring | None = None

    def put(self, kind: str, name: str, seen: Seen) -> None:
        """Keep what was seen under its kind and name."""
        self.seen.setdefault(kind, {})[name] = seen

    @property
    def pending(self) -> bool:
        """Whether a gradient came back or may still come."""
        return self.answered or any(each() is not None for each in self.waiting)


NO_GRADIENT = "no gradient: the output does not require one"
LEAF = "no gradient: the output is a parameter, or an input that requires a gradient, which is not a layer's to tell"
CHANGED = "no gradient: the output is a view that was changed in place, and its memory may have other readers"

Guard = Callable[[Callable[..., Any]], GuardedHook]


class Listener:
    """Puts hooks on a model and its criterion, and collects passes.

    Args:
        layers: The modules to listen to, by name.
        options: Says which kinds of tensors, and how many examples of them, are kept in full.
        guard: Wraps every hook, so that a failure of the recorder is none of the training's.
        begin: Called before a forward pass that may be trained on; says whether it is to be recorded.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Mapping[str, nn.Module],
        criterion: nn.Module | None,
        options: Options,
        *,
        guard: Guard,
        begin: Callable[[], bool],
    ) -> None:
        self._model, self._layers, self._criterion = model, layers, criterion
        self.keep, self._examples = options.keep, options.examples
        self._guard, self._begin = guard, begin
        self._handles: list[RemovableHandle] = []
        self._describing_handles: list[RemovableHandle] = []
        self._passes: list[Pass] = []
        self._inside = False  # whether a forward pass of the whole model, that is recorded, is going on
        self.describing = True  # until the wiring of the model is known

    def follow(self) -> RemovableHandle:
        """Notice from now on when a forward pass begins."""
        return self._model.register_forward_pre_hook(self._guard(self._enter), prepend=True, with_kwargs=True)

    def attach(self) -> None:
        """Put the hooks on the layers and the criterion, if they are not there."""
        if not self.describing:
            self._take_off(self._describing_handles)
        if self._handles:
            return
        guard = self._guard
        self._handles = [
            layer.register_forward_hook(guard(self._hook(name)), with_kwargs=True)
            for name, layer in self._layers.items()
        ]
        if self.describing:
            self._describing_handles += [
                layer.register_forward_pre_hook(guard(self._before), with_kwargs=True)
                for layer in self._layers.values()
            ]
        self._handles.append(self._model.register_forward_hook(guard(self._leave), always_call=True))
        if self._criterion is not None:
            self._handles.append(self._criterion.register_forward_hook(guard(self._judge), with_kwargs=True))

    def detach(self) -> None:
        """Take them off."""
        self._take_off(self._handles)
        self._take_off(self._describing_handles)

    def _take_off(self, handles: list[RemovableHandle]) -> None:
        while handles:
            handles.pop().remove()

    def forget(self) -> None:
        """Drop the passes seen so far; gradients that still arrive for them are ignored."""
        self._passes = []
        self._inside = False

    def take(self) -> list[Pass]:
        """Return the passes that were trained on, else the last that ran, and forget all."""
        passes = [each for each in self._passes if each.answered] or self._passes[-1:]
        for each in passes:
            each.no_gradient |= dict.fromkeys(each.views.changed(), CHANGED)
        self.forget()
        return passes

    # Forward

    def _enter(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        if not torch.is_grad_enabled() or not self._begin():
            return
        now = self._open()
        self._inside = True
        tensors = argument_tensors(args, kwargs)
        for index, tensor in enumerate(tensors):
            now.put("inputs", f"inputs[{index}]" if index else "inputs", self._see("inputs", tensor))
        if now.wiring:
            now.wiring.take_input(tensors)

    def _open(self) -> Pass:
        for each in self._passes:
            if each.wiring:
                each.wiring.release()
        self._passes = [each for each in self._passes if each.pending]  # the rest were validation
        self._passes.append(Pass(wiring=Wiring() if self.describing else None))
        return self._passes[-1]

    def _leave(self, module: nn.Module, args: Any, output: Any) -> None:
        self._inside = False

    def _before(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        if self._passes and (wiring := self._passes[-1].wiring):
            wiring.take_arguments(argument_tensors(args, kwargs))

    def _hook(self, layer: str) -> Callable[..., None]:
        # It returns None: the output stays the model's own.
        def hook(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            if not torch.is_grad_enabled() and not self._inside:
                return  # validation; inside a pass it is a part that is not trained
            if not self._passes or self._passes[-1].answered:
                self._begin()  # a part of the model was called by itself
                self._open()
            now = self._passes[-1]
            call = now.calls[layer] = now.calls.get(layer, -1) + 1
            name = f"{layer}:{call}" if call else layer
            now.events.append(f"forward {name}")
            tensors = named_tensors(name, output)
            for each, tensor in tensors:
                now.put("activations", each, self._see("activations", tensor))
                self._await_gradient(now, each, tensor, module)
            if now.wiring and tensors:
                now.wiring.take_call(argument_tensors(args, kwargs), tensors)

        return hook

    def _judge(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        if not self._passes or not isinstance(output, torch.Tensor) or not output.requires_grad:
            return
        now = self._passes[-1]
        given = argument_tensors(args, kwargs)
        now.events.append("loss")
        loss = output.detach().clone()
        output.register_hook(self._guard(lambda weight: now.losses.append(float((weight * loss).sum()))))
        for index, target in enumerate(given[1:]):
            now.put("targets", f"targets[{index}]" if index else "targets", self._see("targets", target))
        now.put("criterion", "input", self._see("activations", given[0], summarised=False))
        self._await_gradient(now, "gradient", given[0], module, kind="criterion")
        if now.wiring:
            now.wiring.take_criterion(given[0])

    # Backward

    def _await_gradient(
        self, now: Pass, name: str, tensor: torch.Tensor, module: nn.Module, kind: str = "gradients"
    ) -> None:
        of_layer = kind == "gradients"
        if tensor.grad_fn is None:
            if of_layer:  # on a leaf a hook would stay, and the next step would add another
                now.no_gradient[name] = LEAF if tensor.requires_grad else NO_GRADIENT
            return
        reading = None
        if tensor._base is not None:
            tensor, reading = now.views.way_to(name if of_layer else "", tensor, module)

        def receive(gradient: torch.Tensor) -> None:
            now.answered = True
            found = gradient if reading is None else reading(gradient)
            if found is None:
                return  # it is not the whole gradient
            if of_layer:
                if name in now.seen.get(kind, {}):
                    now.repeated.add(name)
                now.events.append(f"backward {name}")
            now.put(kind, name, self._see("gradients", found, summarised=of_layer))

        hook = self._guard(receive)
        tensor.register_hook(hook)
        now.waiting.append(weakref.ref(hook))

    def _see(self, kind: str, tensor: torch.Tensor, *, summarised: bool = True) -> Seen:
        values = array_of(tensor)
        kept = None
        if kind in self.keep:
            kept = np.array(values[: self._examples] if values.ndim else values)
        return Seen(kept, moments_of(values.reshape(-1)) if summarised else None)


def union(passes: Sequence[Pass], kind: str, examples: int | None) -> dict[str, Seen]:
    """Join what several passes of one step showed, as if their batches had been one.

    Returns:
        Per name the first `examples` examples over all passes, and the moments of all examples.
    """
    if len(passes) == 1:
        return passes[0].seen.get(kind, {})
    joined: dict[str, Seen] = {}
    for each in passes:
        for name, seen in each.seen.get(kind, {}).items():
            before = joined.get(name)
            joined[name] = seen if before is None else _append(before, seen, examples)
    return joined


def _append(first: Seen, second: Seen, examples: int | None) -> Seen:
    kept = first.kept
    if kept is not None and second.kept is not None and kept.ndim and kept.shape[1:] == second.kept.shape[1:]:
        room = None if examples is None else examples - len(kept)
        kept = kept if room == 0 else np.concatenate([kept, second.kept[:room]])
    both = merged(first.moments, second.moments) if first.moments and second.moments else None
    return Seen(kept, both)
