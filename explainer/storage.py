"""How a trace lies in memory and on disk: steps collected into shards.

A shard holds consecutive recorded steps. While it is being filled it is an `Arena`, whose memory is laid out as the
file will be: copying a tensor into the arena is the one copy that recording makes, and a file is written in one call.
On disk a shard is a safetensors file that any safetensors library reads:

    activations/0@17        one tensor of one step; so are gradients, parameters, parameter_gradients, updates, …
    steps                   (n,) int64
    scalars                 (n, names) float64; the names stand in the file's metadata, as do the next two's
    statistics/gradients    (n, names, 7) float64
    checksums               the sums by which altered bytes are found out when they are read
"""

import json
import math
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
_BLOCK = 16 << 20  # bytes an arena grows by
_CODES = {  # numpy's short names of dtypes, and safetensors'
    "f8": "F64", "f4": "F32", "f2": "F16", "i8": "I64", "i4": "I32", "i2": "I16", "i1": "I8",
    "u8": "U64", "u4": "U32", "u2": "U16", "u1": "U8", "b1": "BOOL",
}  # fmt: skip
_NAMES = {code: name for name, code in _CODES.items()}


def key_of(kind: str, name: str, step: int) -> str:
    """Return the name under which a shard holds one tensor of one step."""
    return f"{kind}/{name}@{step}"


class Arena:
    """The memory of a shard that is being filled."""

    def __init__(self) -> None:
        self._blocks: list[NDArray[np.uint8]] = []
        self._used: list[int] = []
        self._current = -1
        self.entries: dict[str, tuple[str, tuple[int, ...], int, int]] = {}  # key -> dtype, shape, block, start
        self._pads = 0

    @property
    def nbytes(self) -> int:
        """Bytes reserved so far."""
        return sum(self._used)

    def reserve(self, keys: Iterable[str], shapes: Iterable[tuple[int, ...]], dtype: np.dtype[Any]) -> Array:
        """Make room for arrays of one dtype that lie one behind the other.

        Returns:
            One flat array over the room of all of them, not yet filled.
        """
        shapes = tuple(shapes)
        width, code = dtype.itemsize, _CODES[dtype.str[1:]]
        block, start = self._room(sum(map(math.prod, shapes)) * width, width)
        stop = start
        for key, shape in zip(keys, shapes, strict=True):
            self.entries[key] = (code, shape, block, stop)
            stop += math.prod(shape) * width
        self._used[block] = stop
        return self._blocks[block][start:stop].view(dtype)

    def put(self, key: str, values: Array) -> None:
        """Copy an array into the arena."""
        self.reserve([key], [values.shape], values.dtype)[...] = values.reshape(-1)

    def rename(self, old: str, new: str) -> None:
        """Give an array another key."""
        self.entries[new] = self.entries.pop(old)

    def drop(self, key: str) -> None:
        """Forget an array; its room becomes padding."""
        self._pads += 1
        _, shape, block, start = entry = self.entries.pop(key)
        self.entries[f"padding/{self._pads}"] = ("U8", (_size(entry[0], shape),), block, start)

    def clear(self) -> None:
        """Forget the content and keep the memory for the next shard."""
        self.entries.clear()
        self._used = [0] * len(self._blocks)
        self._current = 0 if self._blocks else -1

    def arrays(self) -> dict[str, Array]:
        """Return every array as a view of the arena's memory."""
        found = {}
        for key, (code, shape, block, start) in self.entries.items():
            room = self._blocks[block][start : start + _size(code, shape)]
            found[key] = room.view(_NAMES[code]).reshape(shape)
        return found

    def _room(self, size: int, alignment: int) -> tuple[int, int]:
        """Find `size` bytes in one block; a file has no holes, so what is skipped becomes padding."""
        if self._current >= 0:
            start = -(-self._used[self._current] // alignment) * alignment
            if start + size <= len(self._blocks[self._current]):
                self._pad_to(start)
                return self._current, start
            self._pad_to(-(-self._used[self._current] // CHUNK) * CHUNK)  # checksums never span two blocks
        self._current += 1
        if self._current < len(self._blocks) and len(self._blocks[self._current]) < size:
            del self._blocks[self._current :], self._used[self._current :]
        if self._current == len(self._blocks):
            self._blocks.append(np.empty(max(_BLOCK, -(-size // CHUNK) * CHUNK), np.uint8))
            self._used.append(0)
        return self._current, 0

    def _pad_to(self, stop: int) -> None:
        start = self._used[self._current]
        if stop > start:
            self._pads += 1
            self.entries[f"padding/{self._pads}"] = ("U8", (stop - start,), self._current, start)
            self._blocks[self._current][start:stop] = 0
            self._used[self._current] = stop

    def write(self, path: Path, metadata: Mapping[str, Any]) -> None:
        """Write the arena as one safetensors file, under a temporary name until it is whole."""
        self._pad_to(-(-self._used[self._current] // 8) * 8)
        blocks = [block[:used] for block, used in zip(self._blocks, self._used, strict=True) if used]
        starts = np.cumsum([0, *self._used]).tolist()
        sums = [each for block in blocks for each in _checksums(block)]
        header: dict[str, Any] = {"__metadata__": {"explainer": json.dumps(metadata)}}
        for key, (code, shape, block, start) in self.entries.items():
            first = starts[block] + start
            header[key] = {"dtype": code, "shape": shape, "data_offsets": (first, first + _size(code, shape))}
        end, count = starts[-1], 1 + len(sums)
        header["checksums"] = {"dtype": "U64", "shape": (count,), "data_offsets": (end, end + 8 * count)}
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        tail = np.array([zlib.crc32(text), *sums], np.uint64)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
        try:
            with open(temporary, "wb", buffering=0) as file:
                for part in (len(text).to_bytes(8, "little") + text, *blocks, tail):
                    _write_all(file.fileno(), part)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def _write_all(descriptor: int, part: Any) -> None:
    rest = memoryview(part).cast("B")
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _size(code: str, shape: Sequence[int]) -> int:
    return math.prod(shape) * np.dtype(_NAMES[code]).itemsize


def _checksums(data: NDArray[np.uint8]) -> list[int]:
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
        if _checksums(np.ascontiguousarray(data)) != [int(self._sums[chunk + 1])]:
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
