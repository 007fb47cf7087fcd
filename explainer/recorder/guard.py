"""Hooks that never do a training run harm: not by failing, and not by travelling along with a copy of the model."""

from collections.abc import Callable
from typing import Any


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
        if not self._active():
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


def nothing(*args: Any, **kwargs: Any) -> None:
    """Do nothing: what a hook is in a copy of a recorded model."""


def _get_nothing() -> Callable[..., None]:
    return nothing
