"""A trace with one number changed: what a judge must find."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

FACTOR = 1.001


class AlteredTrace:
    """Answers as a trace does, but for what is given by name."""

    def __init__(self, trace: Any, **instead: Any) -> None:
        self._trace = trace
        vars(self).update(instead)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._trace, name)

    def __len__(self) -> int:
        return len(self._trace)


class _Rows:
    def __init__(self, rows: Any, index: int, factor: float) -> None:
        self._rows, self._index, self._factor = rows, index, factor

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Any:
        values = np.array(self._rows[index])
        if index % len(self._rows) == self._index % len(self._rows):
            place = np.unravel_index(np.argmax(np.abs(values)), values.shape)
            values[place] *= self._factor
        return values


class _Names(Mapping[str, Any]):
    def __init__(self, names: Mapping[str, Any], name: str, rows: Any) -> None:
        self._names, self._name, self._rows = names, name, rows

    def __getitem__(self, name: str) -> Any:
        return self._rows if name == self._name else self._names[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def altered(trace: Any, kind: str, name: str, index: int = 0, factor: float = FACTOR) -> Any:
    """Return the trace with the largest number of one tensor, in one recorded step, a thousandth larger."""
    kinds = getattr(trace, kind)
    return AlteredTrace(trace, **{kind: _Names(kinds, name, _Rows(kinds[name], index, factor))})


class _Criterion:
    def __init__(self, criterion: Any, index: int) -> None:
        self.inputs, self.gradients = criterion.inputs, _Rows(criterion.gradients, index, FACTOR)


def with_altered_loss_gradient(trace: Any, index: int = 0) -> Any:
    """Return the trace with the largest number of ∂loss/∂(the loss's input) a thousandth larger."""
    return AlteredTrace(trace, criterion=_Criterion(trace.criterion, index))
