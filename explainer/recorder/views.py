"""Reading the gradient of an output that is a view, such as that of a linear layer on (example, token, feature).

A view shares its memory with a base. Once the memory is changed in place, autograd gives the view another node: a hook
on the first one sees a part of the gradient, or nothing. What the base receives is then the whole gradient, as long as
the base is read through this view alone. Where that is not sure, the view is watched: nothing is told once it changed.
"""

import sys
import weakref
from collections.abc import Callable

import torch
from torch import nn

# From what a hook is given to the view's gradient, if it is that.
Reading = Callable[[torch.Tensor | None], torch.Tensor | None]


class Views:
    """The views that one forward pass showed."""

    def __init__(self) -> None:
        self._sole: dict[int, weakref.ref[torch.Tensor]] = {}  # views that alone read their base, by their identity
        self._watched: dict[str, Reading] = {}  # the others, by name

    def way_to(self, name: str, view: torch.Tensor, module: nn.Module) -> tuple[torch.Tensor, Reading]:
        """Find where a view's gradient is to be heard.

        Args:
            name: What the view is called in the trace.
            module: What returned it, or was given it.

        Returns:
            The tensor to put a hook on, and what makes the view's gradient of the hook's: None where nobody can tell.
        """
        base = view._base
        known = self._sole.get(id(view))
        # A layer may return what it was given, perhaps changed in place: it is still the only view.
        if base is not None and ((known is not None and known() is view) or _made_for(view, base, module)):
            self._sole[id(view)] = weakref.ref(view)
            return base, _through(view, base)
        self._watched[name] = reading = _while_unchanged(view)
        return view, reading

    def changed(self) -> list[str]:
        """Return the views that were changed in place, and whose gradient nobody can tell."""
        nothing = torch.empty(0)
        return [name for name, reading in self._watched.items() if reading(nothing) is None]


def _made_for(view: torch.Tensor, base: torch.Tensor, module: nn.Module) -> bool:
    """Tell whether a base was made by a layer for this view alone.

    A module of torch's own reads its intermediate results once. If nobody but the view and those who ask hold the base,
    it is no tensor that others saw too, and no second view was made of it.
    """
    if not type(module).__module__.startswith("torch.nn.") or base.grad_fn is None:
        return False
    references, uses = _holders(base)
    return references <= _ALONE[0] and uses <= _ALONE[1]


def _holders(base: torch.Tensor) -> tuple[int, int]:
    """Count who holds a tensor, in Python and in C++."""
    return sys.getrefcount(base), base._use_count()  # type: ignore[attr-defined]


def _count_alone() -> tuple[int, int]:
    """Count the holders of a base that only its view, its asker and the asker's asker hold, as in `_made_for`."""
    view = torch.zeros(1).view(1, 1)

    def asked(view: torch.Tensor, base: torch.Tensor) -> tuple[int, int]:
        references, uses = _holders(base)
        return references, uses

    base = view._base
    return (0, 0) if base is None else asked(view, base)


_ALONE = _count_alone()  # it depends on the versions of Python and torch


def _through(view: torch.Tensor, base: torch.Tensor) -> Reading:
    """Look at the base's gradient as the view looks at the base."""
    size, stride, offset = view.size(), view.stride(), view.storage_offset() - base.storage_offset()
    base_size, base_stride = base.size(), base.stride()

    def reading(gradient: torch.Tensor | None) -> torch.Tensor | None:
        if gradient is None:  # autograd asks a base's hook although no gradient came
            return None
        if gradient.stride() != base_stride:  # such as that of a sum: one number, seen many times
            gradient = gradient.new_empty_strided(base_size, base_stride).copy_(gradient)
        return gradient.as_strided(size, stride, gradient.storage_offset() + offset)

    return reading


def _while_unchanged(view: torch.Tensor) -> Reading:
    counter = view.detach()  # it counts changes of the same memory …
    counter.data = view.new_empty(0)  # … without holding it
    version = view._version

    def reading(gradient: torch.Tensor | None) -> torch.Tensor | None:
        return gradient if counter._version == version else None

    return reading
