"""How a trace lies in memory and on disk: steps collected into shards.

A shard holds consecutive recorded steps; `arena.py` makes it. On disk it is a safetensors file that any safetensors
library reads, and `shard_file.py`:

    activations/0@17        one tensor of one step; so are gradients, parameters, parameter_gradients, updates, …
    steps                   (n,) int64
    scalars                 (n, names) float64; the names stand in the file's metadata, as do the next two's
    statistics/gradients    (n, names, 7) float64
    checksums               the sums by which altered bytes are found out when they are read
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explainer.errors import TraceError

Array = NDArray[Any]

FORMAT = 1  # the number of the format that this version writes
CHUNK = 1 << 16  # bytes under one checksum
CODES = {  # numpy's short names of dtypes, and safetensors'
    "f8": "F64", "f4": "F32", "f2": "F16", "i8": "I64", "i4": "I32", "i2": "I16", "i1": "I8",
    "u8": "U64", "u4": "U32", "u2": "U16", "u1": "U8", "b1": "BOOL",
}  # fmt: skip
NAMES = {code: name for name, code in CODES.items()}


def key_of(kind: str, name: str, step: int) -> str:
    """Return the name under which a shard holds one tensor of one step."""
    return f"{kind}/{name}@{step}"


def size_of(code: str, shape: Sequence[int]) -> int:
    """Return the bytes of an array of a safetensors dtype."""
    return math.prod(shape) * np.dtype(NAMES[code]).itemsize


def checksums(data: NDArray[np.uint8]) -> list[int]:
    """Sum the 64-bit words of each chunk, modulo 2⁶⁴; a last word that is not whole is filled with zeros."""
    whole = len(data) // CHUNK * CHUNK
    sums: list[int] = np.add.reduce(data[:whole].view(np.uint64).reshape(-1, CHUNK // 8), axis=1).tolist()
    if whole < len(data):
        rest = np.concatenate([data[whole:], np.zeros(-len(data) % 8, np.uint8)])
        sums.append(int(np.add.reduce(rest.view(np.uint64))))
    return sums


class Shard:
    """Consecutive recorded steps: their tensors, scalars and statistics.

    Args:
        arrays: All arrays under their keys; read when asked for.
        shapes: Their shapes, known without reading them.
        metadata: The names behind the columns of `scalars`, `statistics/…` and `events`.
        identity: What tells the shard's file from another that took its name; None in memory.
    """

    def __init__(
        self,
        arrays: Mapping[str, Array],
        shapes: Mapping[str, tuple[int, ...]],
        metadata: Mapping[str, Any],
        identity: tuple[int, ...] | None = None,
    ) -> None:
        self._arrays, self._shapes, self.identity = arrays, shapes, identity
        self._names: Mapping[str, list[str]] = metadata["names"]
        self._tables: dict[str, dict[str, Array]] = {}  # those that were read
        self.steps: list[int] = arrays["steps"].tolist()
        self._kept: dict[str, dict[str, None]] = {}
        for key in arrays:
            kind, slash, rest = key.partition("/")
            if slash and "@" in rest:
                self._kept.setdefault(kind, {})[rest.rpartition("@")[0]] = None

    def kept(self, kind: str) -> list[str]:
        """Return the names of which this shard holds tensors of a kind."""
        of_parameters = self._kept.get("parameters", {}) if kind == "updates" else {}
        return list(of_parameters | self._kept.get(kind, {}))

    def tensor(self, kind: str, name: str, step: int) -> Array | None:
        """Return one step's tensor, or None where it was not kept.

        An update is not stored where the next step's parameters stand in the same shard: the recorder checked that
        nothing else changed them, and it is their difference.
        """
        found = self._get(key_of(kind, name, step))
        if found is None and kind == "updates":
            before, after = (self._get(key_of("parameters", name, each)) for each in (step, step + 1))
            found = None if before is None or after is None else _difference(after, before, name)
        return found

    def shape(self, kind: str, name: str, step: int) -> tuple[int, ...] | None:
        """Return the shape of one step's tensor, or None where it was not kept."""
        found = self._shapes.get(key_of(kind, name, step))
        if found is None and kind == "updates" and key_of("parameters", name, step) in self._shapes:
            found = self._shapes.get(key_of("parameters", name, step + 1))
        return found

    def constant(self, name: str) -> Array | None:
        """Return an array that is the same for the whole run, or None where this shard does not hold it."""
        return self._get(f"constants/{name}")

    def columns(self, table: str) -> dict[str, Array]:
        """Return a table's columns by name: (n,) for `scalars`, (n, 7) for `statistics/…`; none where it has none."""
        if table not in self._tables:
            values = self._get(table)
            columns = {} if values is None else dict(zip(self._names[table], np.moveaxis(values, 1, 0), strict=True))
            self._tables[table] = columns
        return self._tables[table]

    def names(self, table: str) -> list[str]:
        """Return the names of a table's columns, without reading it."""
        return self._names.get(table, [])

    def tables(self, family: str) -> list[str]:
        """Return the kinds of which this shard has a table of a family, such as "statistics"."""
        return [name.partition("/")[2] for name in self._names if name.startswith(f"{family}/")]

    def events(self) -> list[list[str]]:
        """Return what happened in each step, in its order.

        Raises:
            TraceError: It is said by a code that stands for nothing.
        """
        codes, names = self._get("events"), self.names("events")
        if codes is None:
            return [[] for _ in self.steps]
        if codes.size and codes.max() >= len(names):
            raise TraceError(f"the events of steps {self.steps[0]} to {self.steps[-1]} are altered; record again")
        return [[names[code] for code in row[row >= 0].tolist()] for row in codes]

    def _get(self, key: str) -> Array | None:
        return np.array(self._arrays[key]) if key in self._arrays else None


def _difference(after: Array, before: Array, name: str) -> Array:
    if after.shape != before.shape or after.dtype != before.dtype or after.dtype == np.bool_:
        raise TraceError(f"updates of {name!r}: the values of two steps do not fit each other; record again")
    with np.errstate(all="ignore"):  # infinite weights have no finite difference, and that is the truth
        difference: Array = after - before
    return difference


def shard_path(folder: Path, number: int) -> Path:
    """Return where a trace's shard lies."""
    return folder / f"{number:06d}.safetensors"


def shard_paths(folder: Path) -> list[Path]:
    """Return the finished shards of a folder in their order."""
    numbered = ((int(path.stem), path) for path in folder.glob("*.safetensors") if _is_number(path.stem))
    return [path for number, path in sorted(numbered) if path == shard_path(folder, number)]


def _is_number(text: str) -> bool:
    return text.isdecimal() and text.isascii()
