"""Layers that a reentrant checkpoint calls twice: without gradients first, and again inside backward.

What the first call showed is the activation; the gradient comes to the output of the second. A checkpoint is an
autograd function: the same object stands on the stack in its forward and in its backward pass, so that the second call
finds the first, whatever runs in between, and however often a layer is called.
"""

import weakref
from dataclasses import dataclass, field
from typing import Any

from explainer.recorder.backward import current_task


@dataclass
class Segment:
    """The calls that one autograd function made in its forward pass."""

    root: int | None = None  # the outermost backward pass, where the function itself ran inside one
    calls: dict[str, list[Any]] = field(default_factory=dict)  # by layer, in their order
    task: int = -1  # the backward pass that repeats them
    repeated: dict[str, int] = field(default_factory=dict)  # how many of them it has repeated

    def next(self, layer: str) -> Any | None:
        """Return what was noted of the call that is being repeated; None where there was no such call."""
        task = current_task()
        if task != self.task:  # backward may come more than once
            self.task, self.repeated = task, {}
        at = self.repeated.get(layer, 0)
        self.repeated[layer] = at + 1
        calls = self.calls.get(layer, [])
        return calls[at] if at < len(calls) else None


class Segments:
    """The segments of the passes that still wait for their gradients; they go with autograd's graph."""

    def __init__(self) -> None:
        self._known: weakref.WeakKeyDictionary[Any, Segment] = weakref.WeakKeyDictionary()

    def note(self, function: Any, layer: str, call: Any, root: int | None = None) -> None:
        """Note a call that an autograd function makes in its forward pass."""
        self._known.setdefault(function, Segment(root)).calls.setdefault(layer, []).append(call)

    def of(self, function: Any) -> Segment | None:
        """Return what a function called, if it was noted."""
        return None if function is None else self._known.get(function)
