"""Tensors over time: what `trace.activations["0"]` is."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from explainer.errors import TraceError, UnknownName, unknown
from explainer.storage import Array, Shard

_MOST_FILLING = 8  # times what was kept: an array of all steps that is mostly NaN is no use, and may not fit anywhere
_LITTLE = 1 << 16  # elements that always may be


class Steps:
    """The recorded steps of a trace and the shards that hold them; shared, so that a refresh reaches every view."""

    def __init__(self) -> None:
        self.shards: Sequence[Shard] = ()
        self.numbers: list[int] = []
        self.keep: frozenset[str] = frozenset()
        self._homes: list[Shard] = []  # of each step
        self._full_at: int | None = None  # the last step before max_bytes was reached

    def take(self, shards: Sequence[Shard], about: Mapping[str, Any]) -> None:
        """Show these shards of a recording from now on."""
        self.shards, self.keep, self._full_at = shards, frozenset(about["keep"]), about.get("full_at")
        self.numbers = [step for shard in shards for step in shard.steps]
        self._homes = [shard for shard in shards for _ in shard.steps]

    def names(self, kind: str) -> list[str]:
        """Return the names of which tensors of a kind were kept, in the order they were first seen."""
        if kind == "updates" and kind not in self.keep:
            return []
        return list(dict.fromkeys(name for shard in self.shards for name in shard.kept(kind)))

    def constant(self, name: str) -> Array | None:
        """Return an array that is the same for the whole run."""
        return next((found for shard in self.shards if (found := shard.constant(name)) is not None), None)

    def tensor(self, kind: str, name: str, index: int) -> Array | None:
        """Return a tensor of the step at `index`, or None where it was not kept."""
        return self._homes[index].tensor(kind, name, self.numbers[index])

    def shape(self, kind: str, name: str, index: int) -> tuple[int, ...] | None:
        """Return the shape of what `tensor` returns, without reading it."""
        return self._homes[index].shape(kind, name, self.numbers[index])

    def columns(self, table: str) -> list[str]:
        """Return the names of a table's columns, in the order they were first seen."""
        return list(dict.fromkeys(name for shard in self.shards for name in shard.names(table)))

    def tables(self, family: str) -> list[str]:
        """Return the kinds of which there is a table of a family, such as "statistics"."""
        return list(dict.fromkeys(kind for shard in self.shards for kind in shard.tables(family)))

    def parts(self, table: str, name: str) -> Iterator[tuple[int, Array]]:
        """Return a column where there is one: (index of the first step, (n, *cell)) for each shard that has it."""
        start = 0
        for shard in self.shards:
            if name in shard.columns(table):
                yield start, shard.columns(table)[name]
            start += len(shard.steps)

    def column(self, table: str, name: str) -> Array:
        """Return a column, (S, *cell); NaN in the steps of shards that have none."""
        whole: Array | None = None
        for start, values in self.parts(table, name):
            if whole is None:
                whole = np.full((len(self.numbers), *values.shape[1:]), np.nan)
            whole[start : start + len(values)] = values
        return np.full(len(self.numbers), np.nan) if whole is None else whole

    def why_not(self, index: int) -> str:
        """Say why a step has no tensor that others have."""
        if isinstance(self._full_at, int) and self.numbers[index] > self._full_at:
            return f"max_bytes was reached in step {self._full_at}"
        return "it was not seen in that step; trace.missing says why"


def join(parts: Sequence[Array], what: object) -> Array:
    """Join arrays along their first axis; where the other sizes differ, what was not there is NaN.

    Raises:
        TraceError: They have different numbers of dimensions, or the whole would be nearly empty.
    """
    if len({part.ndim for part in parts}) > 1:
        raise TraceError(f"{what}: its parts differ in the number of dimensions; read them one by one")
    largest = tuple(map(max, zip(*(part.shape[1:] for part in parts), strict=True)))
    if all(part.shape[1:] == largest for part in parts):
        return np.concatenate(parts)
    shape = (sum(map(len, parts)), *largest)
    if _room(shape) > _MOST_FILLING * sum(_room(part.shape) for part in parts) + _LITTLE:
        raise TraceError(
            f"{what}: its parts differ so much in size that {shape} would be nearly empty; read one by one"
        )
    whole = np.full(shape, np.nan, np.result_type(np.float32, *{part.dtype for part in parts}))
    start = 0
    for part in parts:
        whole[(slice(start, start + len(part)), *map(slice, part.shape[1:]))] = part
        start += len(part)
    return whole


def _room(shape: tuple[int, ...]) -> int:
    """Return the elements of an array, at least one: numpy counts the other sizes of an empty one too."""
    return math.prod(max(size, 1) for size in shape)


class StepTensors:
    """One tensor of every recorded step, array-like as (S, …), read when asked for.

    `tensors[-1]` reads the last recorded step only; `np.asarray(tensors)` reads all. Where steps differ in size (a
    last, smaller batch), the array of all has the largest size, and what was not there is NaN.
    """

    def __init__(self, steps: Steps, kind: str, name: str) -> None:
        self._steps, self._kind, self._name = steps, kind, name

    def __len__(self) -> int:
        return len(self._steps.numbers)

    def __getitem__(self, index: Any) -> Array:
        rest: tuple[Any, ...] = ()
        if isinstance(index, tuple):
            index, rest = (index[0], index[1:]) if index else (slice(None), ())
        if index is Ellipsis:
            return self._stack(range(len(self)))[(..., *rest)]
        if isinstance(index, (int, np.integer)):
            found = self._at(int(index))
            return found[rest] if rest else found
        chosen = np.arange(len(self))[index]
        stacked = self._stack(chosen.tolist())
        return stacked[(slice(None), *rest)] if rest else stacked

    def __iter__(self) -> Iterator[Array]:
        return (self._at(index) for index in range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.asarray(self._stack(range(len(self))), dtype=dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """(S, …); the largest size where steps differ."""
        return (len(self), *self.shape_at(range(len(self))))

    @property
    def ndim(self) -> int:
        """The number of dimensions, the steps' included."""
        return 1 + self[0].ndim

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the first recorded step."""
        return self[0].dtype

    def _at(self, index: int) -> Array:
        if not len(self):
            raise TraceError(f"{self}: no step was recorded")
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self}: there is no recorded step at {index}; there are {len(self)}")
        found = self._steps.tensor(self._kind, self._name, index % len(self))
        return self._told(index % len(self)) if found is None else found

    def _told(self, index: int) -> Any:
        step = self._steps.numbers[index]
        raise TraceError(f"{self} was not kept at step {step}: {self._steps.why_not(index)}")

    def shape_at(self, indices: Sequence[int]) -> tuple[int, ...]:
        """Return the size that holds each of some steps' tensors, without reading them.

        Args:
            indices: Where the steps stand among the recorded, from 0.

        Raises:
            TraceError: One was not kept, none was asked for, or they differ in the number of dimensions.
        """
        if not len(indices):
            raise TraceError(f"{self}: no step was asked for, or none was recorded")
        shapes = [self._steps.shape(self._kind, self._name, index) for index in indices]
        known = {self._told(index) if shape is None else shape for index, shape in zip(indices, shapes, strict=True)}
        if len({len(shape) for shape in known}) > 1:
            raise TraceError(f"{self}: steps differ in the number of dimensions ({known}); read them one by one")
        return tuple(map(max, zip(*known, strict=True)))

    def _stack(self, indices: Sequence[int]) -> Array:
        if not len(indices):
            raise TraceError(f"{self}: no step was asked for, or none was recorded")
        return join([self._at(index)[None] for index in indices], self)

    def __repr__(self) -> str:
        return f"{self._kind} of {self._name!r}"


class Recordings(Mapping[str, StepTensors]):
    """All tensors of one kind by name.

    Raises:
        UnknownName: On a name of which nothing was kept; it is a `TraceError` and a `KeyError`.
    """

    def __init__(self, steps: Steps, kind: str) -> None:
        self._steps, self._kind = steps, kind

    def __getitem__(self, name: str) -> StepTensors:
        names = self._steps.names(self._kind)
        if name in names:
            return StepTensors(self._steps, self._kind, name)
        if not names:
            what = "probe=(inputs, targets)" if self._kind == "probe" else f'keep=("{self._kind}", …)'
            raise UnknownName(f"the trace keeps no {self._kind} in full; record with {what} to have them")
        raise UnknownName(unknown(f"tensor with {self._kind}", name, names))

    def __iter__(self) -> Iterator[str]:
        return iter(self._steps.names(self._kind))

    def __len__(self) -> int:
        return len(self._steps.names(self._kind))

    def __repr__(self) -> str:
        return f"<{self._kind} of {', '.join(self) or 'nothing'}>"
