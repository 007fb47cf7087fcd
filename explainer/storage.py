"""How a trace lies in memory and on disk: steps collected into shards.

A shard holds consecutive recorded steps; `arena.py` makes it. On disk it is a safetensors file that any safetensors
library reads:

    activations/0@17        one tensor of one step; so are gradients, parameters, parameter_gradients, updates, …
    steps                   (n,) int64
    scalars                 (n, names) float64; the names stand in the file's metadata, as do the next two's
    statistics/gradients    (n, names, 7) float64
    checksums               the sums by which altered bytes are found out when they are read
"""

import json
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

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
    """

    def __init__(
        self, arrays: Mapping[str, Array], shapes: Mapping[str, tuple[int, ...]], metadata: Mapping[str, Any]
    ) -> None:
        self._arrays, self._shapes = arrays, shapes
        self._names: Mapping[str, list[str]] = metadata["names"]
        self.steps: list[int] = arrays["steps"].tolist()
        self._kept: dict[str, dict[str, None]] = {}
        for key in arrays:
            kind, slash, rest = key.partition("/")
            if slash and "@" in rest:
                self._kept.setdefault(kind, {})[rest.rpartition("@")[0]] = None

    def kept(self, kind: str) -> list[str]:
        """Return the names of which this shard holds tensors of a kind."""
        return list(self._kept.get(kind, ()))

    def tensor(self, kind: str, name: str, step: int) -> Array | None:
        """Return one step's tensor, or None where it was not kept."""
        return self._get(key_of(kind, name, step))

    def shape(self, kind: str, name: str, step: int) -> tuple[int, ...] | None:
        """Return the shape of one step's tensor, or None where it was not kept."""
        return self._shapes.get(key_of(kind, name, step))

    def constant(self, name: str) -> Array | None:
        """Return an array that is the same for the whole run, or None where this shard does not hold it."""
        return self._get(f"constants/{name}")

    def columns(self, table: str) -> dict[str, Array]:
        """Return a table's columns by name: (n,) for `scalars`, (n, 7) for `statistics/…`; none where it has none."""
        values = self._get(table)
        if values is None:
            return {}
        return {name: values[:, index] for index, name in enumerate(self._names[table])}

    def tables(self, family: str) -> list[str]:
        """Return the kinds of which this shard has a table of a family, such as "statistics"."""
        return [name.partition("/")[2] for name in self._names if name.startswith(f"{family}/")]

    def events(self) -> list[list[str]]:
        """Return what happened in each step, in its order."""
        codes = self._get("events")
        if codes is None:
            return [[] for _ in self.steps]
        return [[self._names["events"][code] for code in row if code >= 0] for row in codes.tolist()]

    def _get(self, key: str) -> Array | None:
        return np.array(self._arrays[key]) if key in self._arrays else None


class ShardFile(Mapping[str, Array]):
    """The arrays of a shard on disk, each read and checked when it is asked for.

    Raises:
        TraceError: The file is not whole, or its bytes are not those that were written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._told("cannot be read; the file is truncated or altered"):
            self._file = safe_open(path, framework="numpy")  # the library checks the header against the file
            self._bytes = np.memmap(path, np.uint8, mode="r")
            length = int.from_bytes(self._bytes[:8].tobytes(), "little")
            header = self._bytes[8 : 8 + length].tobytes()
            entries = {key: entry for key, entry in json.loads(header).items() if not key.startswith("__")}
            self._offsets = {key: entry["data_offsets"] for key, entry in entries.items()}
            self.shapes = {key: tuple(entry["shape"]) for key, entry in entries.items()}
            self._data = self._bytes[8 + length :]
            self._sums = self._file.get_tensor("checksums")
            self._checked = np.zeros(len(self._sums), bool)
            self.metadata = json.loads(self._file.metadata()["explainer"])
        if zlib.crc32(header) != int(self._sums[0]):
            raise TraceError(f"{path}: the shard was altered after it was written; restore it from a copy")

    def __getitem__(self, key: str) -> Array:
        start, stop = self._offsets[key]
        for chunk in range(start // CHUNK, -(-stop // CHUNK)):
            if not self._checked[chunk + 1]:
                self._check(chunk, key)
        with self._told(f"holds no readable {key!r}"):
            array: Array = self._file.get_tensor(key)
        return array

    def _check(self, chunk: int, key: str) -> None:
        end = self._offsets["checksums"][0]
        data = self._data[chunk * CHUNK : min((chunk + 1) * CHUNK, end)]
        if checksums(np.ascontiguousarray(data)) != [int(self._sums[chunk + 1])]:
            raise TraceError(
                f"{self._path}: the bytes of {key!r} are not those that were written; restore the shard from a copy"
            )
        self._checked[chunk + 1] = True

    def __contains__(self, key: object) -> bool:
        return key in self._offsets

    def __iter__(self) -> Iterator[str]:
        return (key for key in self._offsets if key != "checksums" and not key.startswith("padding/"))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise TraceError(f"{self._path}: the shard {what}; restore it from a copy, or record again") from error


def shard_path(folder: Path, number: int) -> Path:
    """Return where a trace's shard lies."""
    return folder / f"{number:06d}.safetensors"


def shard_paths(folder: Path) -> list[Path]:
    """Return the finished shards of a folder in their order."""
    return sorted(path for path in folder.glob("*.safetensors") if path.stem.isdecimal() and path.stem.isascii())
