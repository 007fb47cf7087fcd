"""Keeping compiled code out of a recording.

What `torch.compile` makes of a model has no layers to listen to: hooks that are added after it was compiled are never
called. So while a recording goes on, compiled functions run as they were written. Their rounding differs a little from
that of compiled code, which is why it is said.
"""

import contextlib
import sys
import weakref
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

NOTE = "ran uncompiled while it was recorded: compiled code has no layers to listen to, and rounds differently"
_COMPILER = "torch._dynamo.eval_frame"
_NEAR, _FAR = 16, 64  # how many frames up a compiled caller is looked for

_holding: set[int] = set()  # the recordings that want compiled functions to run as written; the stance is the process's
_stance = contextlib.ExitStack()


class Uncompiled:
    """Has torch run compiled functions as they were written, from `hold` to `release`.

    Args:
        model: As the user gave it, wrappers included.
    """

    def __init__(self, model: nn.Module) -> None:
        self.seen = any(_is_compiled(module) for module in model.modules())  # whether something compiled was to run
        self._handles: dict[int, RemovableHandle] = {}

    def watch(self, modules: Iterable[nn.Module], guard: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        """Find out, when a module is called for the first time, whether compiled code calls it."""
        if not self.seen:
            first = guard(self._take_first_call)
            for key, each in _by_identity(modules):
                self._handles[key] = each.register_forward_pre_hook(first)

    def hold(self) -> None:
        """Set torch's stance, if the compiler was loaded at all; loading it takes seconds."""
        compiler = sys.modules.get(_COMPILER)
        if compiler is None:
            return
        if id(self) not in _holding:
            _holding.add(id(self))
            weakref.finalize(self, _let_go, id(self)).atexit = False
        if compiler._stance.stance != "force_eager":
            _stance.enter_context(torch.compiler.set_stance("force_eager"))

    def release(self) -> None:
        """Put torch's stance back, unless another recording goes on."""
        for handle in self._handles.values():
            handle.remove()
        self._handles = {}
        _let_go(id(self))

    def look_up(self, frames: int = _NEAR) -> None:
        """See whether compiled code calls what is running now."""
        frame: FrameType | None = sys._getframe(1)
        for _ in range(frames):
            if frame is None or self.seen:
                return
            self.seen = frame.f_code.co_name == "compile_wrapper" and frame.f_globals["__name__"] == _COMPILER
            frame = frame.f_back

    def _take_first_call(self, module: nn.Module, args: Any) -> None:
        self._handles.pop(id(module)).remove()
        self.look_up(_FAR)


def _by_identity(modules: Iterable[nn.Module]) -> Iterable[tuple[int, nn.Module]]:
    return {id(each): each for each in modules}.items()


def _let_go(holder: int) -> None:
    _holding.discard(holder)
    if not _holding:
        _stance.close()


def _is_compiled(module: nn.Module) -> bool:
    compiler = sys.modules.get(_COMPILER)
    wrapper = compiler is not None and isinstance(module, compiler.OptimizedModule)
    forward = hasattr(module.forward, "_torchdynamo_orig_callable")
    disabled = getattr(module.forward, "_torchdynamo_disable", False)
    return wrapper or module._compiled_call_impl is not None or (forward and not disabled)
