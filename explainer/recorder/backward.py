"""Telling one backward pass from another, and which of them the optimizer will use.

Gradients that were thrown away must not count: those that a generator's loss left in the discriminator, of a step that
a `GradScaler` skipped, of a loss that a training loop gave up.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import torch

from explainer.moments import square_total_of
from explainer.recorder.devices import is_far
from explainer.recorder.tensors import array_of

current_task: Callable[[], int] = torch._C._current_graph_task_id
"""The number of the backward pass that is going on; -1 outside."""

OUTSIDE = -1

_call_at_end = torch.autograd.Variable._execution_engine.queue_callback  # of the backward pass that is going on


class Answerable(Protocol):
    """A forward pass that gradients may come back to."""

    @property
    def answered(self) -> bool:
        """Whether a gradient came back."""

    def discard(self) -> None:
        """Forget the gradients that came back."""


class BackwardWatch:
    """Follows the backward passes of a step.

    Args:
        parameters: Those whose gradients are watched.
        guard: Wraps what autograd is to call.
    """

    def __init__(self, parameters: Iterable[torch.Tensor], guard: Callable[[Callable[..., Any]], Any]) -> None:
        self._parameters = list(parameters)
        self._at_end, self._at_very_end = guard(self._wait_for_others), guard(self._take_norms)
        self._task = OUTSIDE  # the backward pass seen last
        self._counts = False  # whether its gradients are recorded
        self._accumulated = False  # whether a pass of this step has added to the parameters' gradients
        self._seen = False  # whether backward left gradients, of which the next two tell
        self._square_total = 0.0  # of the host's
        self._norms: list[torch.Tensor] = []  # of a GPU's
        self.discarded = 0  # backward passes, in the whole run, whose gradients no optimizer used

    def forget(self) -> None:
        """Begin a new step."""
        self._accumulated = self._seen = False

    def arrive(self, task: int, passes: Sequence[Answerable]) -> bool:
        """Notice that a gradient arrives; returns whether it is to be recorded.

        Args:
            task: The backward pass that brings it.
            passes: The forward passes of this step.
        """
        if task != self._task:
            self._task = task
            self._begin([each for each in passes if each.answered])
        return self._counts

    def _begin(self, answered: list[Answerable]) -> None:
        # torch's name for: neither `autograd.grad` nor `backward(inputs=…)`
        accumulates = torch.autograd._is_checkpoint_valid() or self._are_asked_for()
        self._counts = accumulates or not self._accumulated  # a look by `autograd.grad` never spoils what is trained on
        if not self._counts:
            return
        if answered and (not self._accumulated or self._are_gone()):
            self.discarded += self._accumulated
            for each in answered:
                each.discard()
        if accumulates:
            self._accumulated, self._seen = True, False
            _call_at_end(self._at_end)

    def _are_asked_for(self) -> bool:
        """Tell whether `backward(inputs=…)` adds to a watched gradient; `autograd.grad` adds to none."""
        for parameter in self._parameters:
            if parameter.requires_grad and parameter.is_leaf:
                node = torch.autograd.graph.get_gradient_edge(parameter).node
                try:
                    if torch._C._will_engine_execute_node(node):
                        return True
                except RuntimeError:  # what it says of a leaf in `autograd.grad`
                    return False
        return False

    def _are_gone(self) -> bool:
        """Tell whether somebody set the gradients to None or zero, as `zero_grad` does."""
        trained = [each for each in self._parameters if each.requires_grad]
        return bool(trained) and not any(each.grad is not None and bool(each.grad.any()) for each in trained)

    def _wait_for_others(self) -> None:
        """Let the other processes' gradients come in first: `DistributedDataParallel` averages at backward's end."""
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            _call_at_end(self._at_very_end)
        else:
            self._take_norms()

    def _take_norms(self) -> None:
        far = []
        self._square_total = 0.0
        for each in self._parameters:
            if (gradient := each.grad) is None:
                continue
            self._seen = True
            if is_far(gradient):
                far.append(gradient.float())
            else:
                values = gradient.coalesce().values() if gradient.is_sparse else gradient
                self._square_total += square_total_of(array_of(values).reshape(-1))
        with torch.no_grad():  # one call for all; they stay where they are: nobody waits for a GPU
            self._norms = list(torch._foreach_norm(far)) if far else []

    def norm(self) -> float | None:
        """Return the total norm of the gradients as the last backward pass left them; None where there was none."""
        if not self._seen:
            return None
        return math.sqrt(self._square_total + sum(float(each) ** 2 for each in self._norms))
