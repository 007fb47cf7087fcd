"""Which layers a figure is of, by names and globs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any

from explainer.errors import UnknownName, unknown


def chosen(layers: str | Iterable[str], among: Sequence[str]) -> list[str]:
    """Return those layers that names or globs ("layer1.*") fit, in the order of `among`.

    Raises:
        UnknownName: One fits none; the nearest are named. Or it is no name.
    """
    patterns: Sequence[Any] = [layers] if isinstance(layers, str) or not isinstance(layers, Iterable) else list(layers)
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise UnknownName(f"layers are chosen by names and globs, such as {[*among][:1]}, and not by {pattern!r}")
        if not any(_fits(name, pattern) for name in among):
            raise UnknownName(unknown("layer", pattern, among))
    return [name for name in among if any(_fits(name, pattern) for pattern in patterns)]


def _fits(name: str, pattern: str) -> bool:
    return name == pattern or fnmatchcase(name, pattern)
