"""Who called: what stands above a hook on Python's stack.

A checkpoint runs layers without gradients in its forward pass and again inside backward; a `GradScaler` calls the
optimizer. Nothing about either can be asked of the tensors, and nothing of torch's is replaced to find out.
"""

import sys
from types import FrameType
from typing import Any, NamedTuple

import torch
from torch.autograd.function import FunctionCtx

_NEAR = 12  # frames between an optimizer's step and the scaler that calls it, at most: schedulers wrap it too


class Functions(NamedTuple):
    """The autograd functions that a layer was called in; None where there is none."""

    forward: Any  # the outermost whose forward pass called it, inside of `backward` if there is one
    backward: Any  # the innermost whose backward pass called it


class Step(NamedTuple):
    """Who called an optimizer's step."""

    inner: bool  # the optimizer's own step, by `super().step()`: torch calls the hooks for both
    scale: float  # of the `GradScaler` that called it; 1 where none did


def functions_above() -> Functions:
    """Find the autograd functions, such as reentrant checkpoints, that called whoever asks.

    A checkpoint that is not reentrant calls layers again while backward unpacks what it saved: such a call belongs to
    nobody, since the gradients come to the outputs of the first call.
    """
    forward = None
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if code.co_name in ("forward", "backward") and code.co_argcount and code.co_varnames[0] != "self":
            function = frame.f_locals.get(code.co_varnames[0])  # a copy of what the names stand for: only where needed
            if isinstance(function, FunctionCtx):
                if code.co_name == "backward":
                    return Functions(forward, function)
                forward = function
        elif code.co_name == "unpack_hook" and frame.f_globals.get("__name__") == "torch.utils.checkpoint":
            return Functions(None, None)
        frame = frame.f_back
    return Functions(forward, None)


def steps_above(optimizer: torch.optim.Optimizer) -> Step:
    """Find out who called an optimizer's step, of which a hook asks."""
    steps, scale = 0, 1.0
    frame: FrameType | None = sys._getframe(1)
    for _ in range(_NEAR):
        if frame is None:
            break
        name = frame.f_code.co_name
        if name == "wrapper" and frame.f_globals.get("__name__") == "torch.optim.optimizer":
            steps += not steps or frame.f_locals.get("self") is optimizer  # the nearest is the one that asks
        elif name == "step":
            caller = frame.f_locals.get("self")
            if isinstance(caller, torch.amp.GradScaler):
                scale = float(caller.get_scale()) if caller.is_enabled() else 1.0
                break
        frame = frame.f_back
    return Step(steps > 1, scale)
