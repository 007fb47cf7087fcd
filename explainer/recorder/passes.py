"""Listening to forward and backward passes through hooks that change nothing.

Every layer's output gets a tensor hook instead of the module a backward hook: module backward hooks fail on in-place
operations. What is kept is cloned at the hook, so that nothing later can reach it.
"""

import threading
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from explainer.recorder.backward import OUTSIDE, BackwardWatch, current_task
from explainer.recorder.callers import functions_above
from explainer.recorder.checkpointing import Segments
from explainer.recorder.eye import Eye
from explainer.recorder.guard import GuardedHook, others_listen
from explainer.recorder.options import Options, fusible
from explainer.recorder.seen import Judgement, Pass, Seen
from explainer.recorder.tensors import argument_tensors, array_of, named_tensors
from explainer.recorder.wiring import Wiring

NO_GRADIENT = "no gradient: the output does not require one"
LEAF = "no gradient: the output is a parameter, or an input that requires a gradient, which is not a layer's to tell"
NOT_AGAIN = "no gradient: the layer ran without gradients inside an autograd function that did not call it again"
CHANGED = "no gradient: the output is a view that was changed in place, and its memory may have other readers"

Guard = Callable[[Callable[..., Any]], GuardedHook]


class Listener:
    """Puts hooks on a model and its criterion, and collects passes.

    Args:
        layers: The modules to listen to, by name.
        options: Says which kinds of tensors, and how many examples of them, are kept in full.
        backward: Tells which gradients count.
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
        backward: BackwardWatch,
        guard: Guard,
        begin: Callable[[], bool],
    ) -> None:
        self._model, self._layers, self._criterion = model, layers, criterion
        self.eye = Eye(options)
        self._backward, self._guard, self._begin = backward, guard, begin
        self._handles: list[RemovableHandle] = []
        self._describing_handles: list[RemovableHandle] = []
        self._fused_handles: list[RemovableHandle] = []
        self._fused = fusible(model, layers)
        self._passes: list[Pass] = []
        self._segments = Segments()
        self._inside = False  # whether a forward pass of the whole model, that is recorded, is going on
        self._idle = False  # whether one that is not recorded is going on
        self._thread = 0  # in which it goes on
        self.home: int | None = None  # the thread that trains, once it is known
        self.overheard = False  # whether another one ran the model with gradients on
        self.asleep = False  # whether what happens is not to be recorded
        self.describing = True  # until the wiring of the model is known

    def follow(self) -> RemovableHandle:
        """Notice from now on when a forward pass begins."""
        return self._model.register_forward_pre_hook(self._guard(self._enter), prepend=True, with_kwargs=True)

    def renew(self, layers: Mapping[str, nn.Module], backward: BackwardWatch) -> None:
        """Listen to other layers from now on."""
        attached = bool(self._handles)
        self.detach()
        self._layers, self._backward, self.describing = layers, backward, True
        self._fused = fusible(self._model, layers)
        if attached:
            self.attach()

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
            if name not in self._fused
        ]
        self._attach_rest()
        self._handles.append(self._model.register_forward_hook(guard(self._leave), always_call=True))
        if self._criterion is not None:
            self._handles.append(self._criterion.register_forward_hook(guard(self._judge), with_kwargs=True))

    def _attach_rest(self) -> None:
        """Put on the hooks that validation goes without."""
        self._fused_handles = [
            layer.register_forward_hook(self._guard(self._hook(name)), with_kwargs=True)
            for name, layer in self._fused.items()
        ]
        if self.describing:
            self._describing_handles += [
                layer.register_forward_pre_hook(self._guard(self._before), with_kwargs=True)
                for layer in self._layers.values()
            ]

    def _detach_rest(self) -> None:
        self._take_off(self._fused_handles)
        self._take_off(self._describing_handles)

    def detach(self) -> None:
        """Take them off."""
        self._take_off(self._handles)
        self._detach_rest()

    def _take_off(self, handles: list[RemovableHandle]) -> None:
        while handles:
            handles.pop().remove()

    def forget(self) -> None:
        """Drop the passes seen so far; gradients that still arrive for them are ignored."""
        for each in self._passes:
            self._take_off(each.handles)
        self._passes = []
        self._inside = self._idle = False
        self._backward.forget()

    def take(self) -> list[Pass]:
        """Return the passes that were trained on, else the last that ran, and forget all."""
        passes = [each for each in self._passes if each.answered] or self._passes[-1:]
        tasks = {task for each in passes for task in each.tasks}
        tasks = tasks or {task for each in passes for judgement in each.judgements for task in judgement.terms}
        self.eye.settle(passes)
        for each in passes:
            each.conclude(tasks)
            each.no_gradient |= dict.fromkeys(each.views.changed(), CHANGED)
        self.forget()
        return passes

    # Forward

    def _enter(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        if self.asleep or current_task() != OUTSIDE:
            return
        if self._is_elsewhere():
            return
        self._idle = not (torch.is_grad_enabled() or _may_come_again(functions_above().forward))
        if self._idle and self._fused:
            self._detach_rest()
        if self._idle or not self._begin():
            return
        now = self._open()
        self._inside, self._thread = True, threading.get_ident()
        tensors = argument_tensors(args, kwargs)
        for index, tensor in enumerate(tensors):
            now.put("inputs", f"inputs[{index}]" if index else "inputs", self.eye.see("inputs", tensor))
        if now.wiring:
            now.wiring.take_input(tensors)

    def _open(self) -> Pass:
        for each in self._passes:
            if each.wiring:
                each.wiring.release()
        self._passes = [each for each in self._passes if each.pending]  # the rest were validation
        self._passes.append(Pass(wiring=Wiring(self._layers) if self.describing else None))
        return self._passes[-1]

    def _leave(self, module: nn.Module, args: Any, output: Any) -> None:
        if current_task() != OUTSIDE or self._is_elsewhere():
            return
        if self._inside and isinstance(output, torch.Tensor):
            self._passes[-1].output = weakref.ref(output)
        if self._idle and self._fused and not self._fused_handles:
            self._attach_rest()
        self._inside = self._idle = False

    def _before(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        if current_task() != OUTSIDE or self._is_elsewhere():
            return
        if self._passes and (wiring := self._passes[-1].wiring):
            wiring.take_arguments(argument_tensors(args, kwargs))

    def _hook(self, layer: str) -> Callable[..., None]:
        # It returns None: the output stays the model's own.
        def hook(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            if self.asleep:
                return
            if current_task() != OUTSIDE:
                self._repeat(layer, lambda call, root: self._await_layer(call, module, output, root))
                return
            if self._is_elsewhere():
                return
            function = None
            if not torch.is_grad_enabled():
                if self._idle:
                    return  # validation
                function = functions_above().forward
                if not (self._inside or _may_come_again(function)):
                    return  # validation; inside a pass it is a part that is not trained
            now = self._pass_of_part()
            call = now.calls[layer] = now.calls.get(layer, -1) + 1
            name = f"{layer}:{call}" if call else layer
            now.events.append(f"forward {name}")
            tensors = named_tensors(name, output)
            for each, tensor in tensors:
                now.put("activations", each, self.eye.see("activations", tensor))
                if function is None:
                    self._await_gradient(now, each, tensor, module)
                else:
                    now.no_gradient[each] = NOT_AGAIN
            if function is not None:
                self._note(function, layer, now, (now, name))
            if now.wiring and tensors:
                now.wiring.take_call(argument_tensors(args, kwargs), tensors)

        return hook

    def _is_elsewhere(self) -> bool:
        """Tell whether this is not the thread that trains."""
        home = self._thread if self.home is None and self._inside else self.home
        if home is None or home == threading.get_ident():
            return False
        self.overheard |= torch.is_grad_enabled()
        return True

    def _pass_of_part(self) -> Pass:
        """Return the pass that a layer's call belongs to; a part of the model may be called by itself."""
        if self._passes and not self._passes[-1].answered:
            now = self._passes[-1]
            if self._inside or not now.waiting or now.pending:
                return now  # else its graph is gone: it failed on the way, or was validation
        self._begin()
        return self._open()

    def _judge(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        if self.asleep or not self._passes or not isinstance(output, torch.Tensor):
            return
        given = argument_tensors(args, kwargs)
        if current_task() != OUTSIDE:
            self._repeat(_CRITERION, lambda call, root: self._await_judgement(call, module, output, given[0], root))
            return
        function = None if output.requires_grad else functions_above().forward
        if not output.requires_grad and not _may_come_again(function):
            return
        now = self._passes[-1] if len(self._passes) == 1 else self._pass_that_returned(given[0])
        judgement = Judgement(output.detach().clone(), len(now.events))
        now.events.append("loss")
        now.judgements.append(judgement)
        judgement.seen["targets"] = {
            f"targets[{index}]" if index else "targets": self.eye.see("targets", target)
            for index, target in enumerate(given[1:])
        }
        judgement.seen["criterion"] = {"input": self.eye.see("activations", given[0], summarised=False)}
        if function is None:
            self._await_judgement((now, judgement), module, output, given[0])
        else:
            self._note(function, _CRITERION, now, (now, judgement))
        if now.wiring:
            now.wiring.take_criterion(given[0])

    def _pass_that_returned(self, tensor: torch.Tensor) -> Pass:
        """Return the pass whose output a criterion is given, perhaps in another shape; else the last."""
        for each in reversed(self._passes):
            output = None if each.output is None else each.output()
            if output is not None and (output is tensor or output is tensor._base):
                return each
        return self._passes[-1]

    # Layers that run again inside backward

    def _note(self, function: Any, layer: str, now: Pass, call: Any) -> None:
        self._segments.note(function, layer, call)
        now.waiting.append(weakref.ref(function))

    def _repeat(self, layer: str, await_gradients: Callable[[Any, int], None]) -> None:
        """Find which call is repeated, and wait for the gradients of the repetition in its name."""
        above = functions_above()
        segment = self._segments.of(above.backward)
        call = None if segment is None else segment.next(layer)
        if segment is None or call is None:
            return
        root = current_task() if segment.root is None else segment.root
        if above.forward is not None:  # a checkpoint inside a checkpoint
            self._segments.note(above.forward, layer, call, root)
            return
        self._backward.arrive(root, self._passes)
        await_gradients(call, root)

    def _await_layer(self, call: tuple[Pass, str], module: nn.Module, output: Any, root: int) -> None:
        now, name = call
        for each, tensor in named_tensors(name, output):
            now.no_gradient.pop(each, None)
            self._await_gradient(now, each, tensor, module, root)

    # Backward

    def _await_gradient(
        self, now: Pass, name: str, tensor: torch.Tensor, module: nn.Module, root: int | None = None
    ) -> None:
        if tensor.grad_fn is None:  # on a leaf a hook would stay, and the next step would add another
            now.no_gradient[name] = LEAF if tensor.requires_grad else NO_GRADIENT
            return
        reading = None
        if tensor._base is not None:
            tensor, reading = now.views.way_to(name, tensor, module)
        again = root is not None and _may_come_back()

        def receive(gradient: torch.Tensor) -> None:
            task = current_task() if root is None else root
            if self.asleep or not self._backward.arrive(task, self._passes):
                return
            now.tasks.add(task)
            found = gradient if reading is None else reading(gradient)
            if found is None:
                return  # it is not the whole gradient
            if others_listen(handle):
                now.touched.add(name)
            now.events.append(f"backward {name}")
            gradients = now.seen.setdefault("gradients", {})
            before = gradients.get(name)
            if before is not None:
                found = self._add(now, name, before, found)
            if found is not None:
                gradients[name] = self.eye.see("gradients", found)
                if again or _may_come_back():
                    now.whole[name] = found.detach().clone()

        handle = self._listen(now, tensor, receive)

    def _listen(self, now: Pass, tensor: torch.Tensor, receive: Callable[[torch.Tensor], None]) -> RemovableHandle:
        hook = self._guard(receive)
        handle: RemovableHandle = tensor.register_hook(hook)
        now.waiting.append(weakref.ref(hook))
        now.handles.append(handle)
        return handle

    def _add(self, now: Pass, name: str, before: Seen, part: torch.Tensor) -> torch.Tensor | None:
        """Add a part of a gradient to what came before; returns the sum, if all that came before was held on to."""
        if (whole := now.whole.pop(name, None)) is not None:
            return whole + part
        if before.kept is not None:
            self.eye.wait()
            values = array_of(part)
            before.kept = before.kept + (values[: len(before.kept)] if values.ndim else values)
        before.moments = before.coming = None
        now.repeated.add(name)
        return None

    def _await_judgement(
        self,
        call: tuple[Pass, Judgement],
        module: nn.Module,
        output: torch.Tensor,
        given: torch.Tensor,
        root: int | None = None,
    ) -> None:
        now, judgement = call

        def weigh(weight: torch.Tensor) -> None:
            task = current_task() if root is None else root
            if not self.asleep and self._backward.arrive(task, self._passes):
                judgement.terms.setdefault(task, []).append(self.eye.number((weight * judgement.value).sum()))

        if output.requires_grad:
            self._listen(now, output, weigh)
        if given.grad_fn is None and (root is None or not given.requires_grad):
            return  # on a leaf a hook would stay, but for the copy that a checkpoint makes of what it repeats
        reading = None
        if given._base is not None:
            given, reading = now.views.way_to("", given, module)

        def receive(gradient: torch.Tensor) -> None:
            task = current_task() if root is None else root
            found = gradient if reading is None else reading(gradient)
            if not self.asleep and found is not None and self._backward.arrive(task, self._passes):
                judgement.seen["criterion"]["gradient"] = self.eye.see("gradients", found, summarised=False)

        self._listen(now, given, receive)


_CRITERION = ""  # stands for the criterion where layers are named


def _may_come_again(function: Any) -> bool:
    """Tell whether an autograd function may call its layers again in its backward pass."""
    return function is not None and any(function.needs_input_grad)


_may_come_back: Callable[[], bool] = torch._C._autograd._get_current_graph_task_keep_graph
"""Whether the graph outlives the backward pass that is going on, so that another may come."""
