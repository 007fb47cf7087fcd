"""Hooks that never do a training run harm: not by failing, and not by travelling along with a copy of the model."""

import atexit
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from torch.utils.hooks import RemovableHandle

_silent: set[int] = set()  # threads in which the recorder itself runs the model


class GuardedHook:
    """A hook whose failure ends the recording and nothing else; in a copied or unpickled model it does nothing.

    Args:
        function: What the hook does.
        active: Whether it is still to be done.
        fail: Told of a failure.
    """

    def __init__(
        self, function: Callable[..., Any], active: Callable[[], bool], fail: Callable[[Exception], None]
    ) -> None:
        self._function, self._active, self._fail = function, active, fail

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Do what the hook does, as long as the recording goes on."""
        if not self._active() or (_silent and threading.get_ident() in _silent):
            return None
        try:
            return self._function(*args, **kwargs)
        except Exception as error:  # whatever it is: it must not stop the training
            self._fail(error)
            return None

    def __deepcopy__(self, memo: dict[int, Any]) -> Callable[..., None]:
        return nothing

    def __reduce__(self) -> tuple[Callable[[], Callable[..., None]], tuple[()]]:
        return (_get_nothing, ())


def others_listen(handle: RemovableHandle) -> bool:
    """Tell whether somebody else has a hook on the tensor that a recorder's own is on."""
    hooks = handle.hooks_dict_ref()
    return hooks is not None and len(hooks) > 1 and not all(isinstance(each, GuardedHook) for each in hooks.values())


def nothing(*args: Any, **kwargs: Any) -> None:
    """Do nothing: what a hook is in a copy of a recorded model."""


def _get_nothing() -> Callable[..., None]:
    return nothing


@contextmanager
def unheard() -> Iterator[None]:
    """Let this thread run a model without any recording taking it for training."""
    own = threading.get_ident()
    outermost = own not in _silent
    _silent.add(own)
    try:
        yield
    finally:
        if outermost:
            _silent.discard(own)


class Running(Protocol):
    """A recording that goes on."""

    def abandon(self) -> None:
        """Leave the recording to another process."""

    def leave(self) -> None:
        """End the recording, if nobody has."""


_running: weakref.WeakSet[Running] = weakref.WeakSet()


def stay_in_this_process(recording: Running) -> None:
    """Have a recording end with this process, and in those that are forked from it, which must not write its folder."""
    _running.add(recording)


def _abandon_all() -> None:
    for each in list(_running):
        each.abandon()


@atexit.register
def _leave_all() -> None:
    for each in list(_running):  # a notebook, or a generator that nobody closed
        each.leave()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing is forked
    os.register_at_fork(after_in_child=_abandon_all)
