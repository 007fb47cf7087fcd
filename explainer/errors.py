"""What can go wrong, as one family: catch `ExplainerError` to catch all of it."""

import math
import operator
from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from explainer.verify.report import Report


class ExplainerError(Exception):
    """Something was asked of explainer that it cannot do; the message says what to do instead."""


class TraceError(ExplainerError):
    """A trace is not one, is damaged, or lacks what was asked of it."""


class UnknownName(TraceError, KeyError):
    """A name that the trace does not hold."""

    __str__ = Exception.__str__  # KeyError would print the sentence as a quoted key


class RecordingError(ExplainerError):
    """A recording was asked for in a way that cannot work."""


class VerifyError(ExplainerError):
    """What was recorded is not what was computed; the message names the first place where they differ.

    Attributes:
        report: All that was compared, where there is more to see.
    """

    def __init__(self, message: str, report: "Report | None" = None) -> None:
        super().__init__(message)
        self.report = report


class SurfaceError(ExplainerError):
    """A surface was asked for in a way that cannot work, or a folder holds none."""


class LessonError(ExplainerError):
    """A lesson was asked for with settings or data that it does not have."""


class MissingDependency(ExplainerError):
    """A package that only this feature needs is not installed."""

    def __init__(self, package: str, needed_for: str, extra: str) -> None:
        super().__init__(f"{needed_for} needs {package}, which is not installed: pip install 'explainer[{extra}]'")
        self.package, self.needed_for, self.extra = package, needed_for, extra


class ExplainerWarning(UserWarning):
    """Something that the user should know, and that need not stop a training run."""


def is_one_of(name: Any, known: Iterable[str]) -> bool:
    """Whether something is a name, and one of those that are known: a number and a list are none."""
    return isinstance(name, str) and name in list(known)


def whole(what: str, value: Any) -> int:
    """Return a whole number as Python's own, be it numpy's or torch's, or a float that is one.

    Raises:
        TraceError: It is none.
    """
    try:
        return int(value) if isinstance(value, float) and value.is_integer() else operator.index(value)
    except TypeError:
        raise TraceError(f"{what} is a whole number, and not {value!r}") from None


def real(what: str, value: Any) -> float:
    """Return a finite number as Python's own.

    Raises:
        TraceError: It is none.
    """
    try:
        number = math.nan if isinstance(value, str) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise TraceError(f"{what} is a finite number, and not {value!r}")
    return number


def place_of(example: Any, count: int, where: str) -> int:
    """Return an example's number, where there is one.

    Args:
        where: Who has so many examples, with the verb: "the probe holds".

    Raises:
        TraceError: There is no such example.
    """
    place = whole("an example", example)
    if not 0 <= place < count:
        raise TraceError(f"{where} no example {place}: there are {count}, from 0 to {count - 1}")
    return place


def unknown(what: str, name: Any, known: Iterable[str]) -> str:
    """Say that `name` is not known, which known names are nearest, and what there is."""
    known = list(known)
    near = get_close_matches(name, known, n=3, cutoff=0.5) if isinstance(name, str) else ()
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    shown = ", ".join(map(repr, known[:12])) + (f", … ({len(known)} in all)" if len(known) > 12 else "")
    return f"no {what} is called {name!r}.{hint} There is: {shown or 'none'}."
