"""Tensors over time: what `trace.activations["0"]` is."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from explainer.errors import TraceError, UnknownName, unknown
from explainer.storage import Array, Shard


class Steps:
    """The recorded steps of a trace and the shards that hold them; shared, so that a refresh reaches every view."""

    def __init__(self) -> None:
        self.shards: Sequence[Shard] = ()
        self.numbers: list[int] = []
        self.keep: frozenset[str] = frozenset()
        self._places: list[tuple[Shard, int | None]] = []

    def take(self, shards: Sequence[Shard], keep: Sequence[str]) -> None:
        """Show these shards from now on."""
        self.shards, self.keep = shards, frozenset(keep)
        self.numbers = [step for shard in shards for step in shard.steps]
        self._places = [
            (shard, following) for shard in shards for following in (*shard.steps[1:], None)
        ]  # fmt: skip

    def names(self, kind: str) -> list[str]:
        """Return the names of which tensors of a kind were kept, in the order they were first seen."""
        kept = [name for shard in self.shards for name in shard.kept("parameters" if kind == "updates" else kind)]
        if kind == "updates":
            kept = [*kept, *(name for shard in self.shards for name in shard.kept("updates"))]
            kept = kept if "updates" in self.keep else []
        return list(dict.fromkeys(kept))

    def constant(self, name: str) -> Array | None:
        """Return an array that is the same for the whole run."""
        return next((found for shard in self.shards if (found := shard.constant(name)) is not None), None)

    def tensor(self, kind: str, name: str, index: int) -> Array | None:
        """Return a tensor of the step at `index`, or None where it was not kept."""
        shard, following = self._places[index]
        step = self.numbers[index]
        found = shard.tensor(kind, name, step)
        if found is None and kind == "updates" and following == step + 1:
            # Not stored where the next step's parameters are: the recorder checked that nothing else changed them.
            before, after = shard.tensor("parameters", name, step), shard.tensor("parameters", name, following)
            found = None if before is None or after is None else after - before
        return found


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
        first, *others = [each.shape for each in self]
        if any(len(shape) != len(first) for shape in others):
            raise TraceError(f"{self}: steps differ in the number of dimensions; read them one by one")
        return (len(self), *map(max, zip(first, *others, strict=True)))

    @property
    def ndim(self) -> int:
        """The number of dimensions, the steps' included."""
        return 1 + self[0].ndim

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the first recorded step."""
        return self[0].dtype

    def _at(self, index: int) -> Array:
        if not -len(self) <= index < len(self):
            raise IndexError(f"{self}: there is no recorded step at {index}; there are {len(self)}")
        index %= len(self)
        found = self._steps.tensor(self._kind, self._name, index)
        if found is None:
            step = self._steps.numbers[index]
            raise TraceError(
                f"{self} was not kept at step {step}: trace.missing may say why, else max_bytes was reached"
            )
        return found

    def _stack(self, indices: Sequence[int]) -> Array:
        if not len(indices):
            raise TraceError(f"{self}: no step was asked for, or none was recorded")
        parts = [self._at(index) for index in indices]
        shapes = {part.shape for part in parts}
        if len(shapes) == 1:
            return np.stack(parts)
        if len({len(shape) for shape in shapes}) > 1:
            raise TraceError(f"{self}: steps differ in the number of dimensions ({shapes}); read them one by one")
        largest = tuple(map(max, zip(*shapes, strict=True)))
        stacked = np.full((len(parts), *largest), np.nan, np.result_type(parts[0].dtype, np.float32))
        for row, part in zip(stacked, parts, strict=True):
            row[tuple(map(slice, part.shape))] = part
        return stacked

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
