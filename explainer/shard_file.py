"""A shard on disk: its header is checked against the file and the grammar once, its bytes whenever they are read.

After that check nothing that the file says can surprise: every array lies inside the file, has its shape and one of
our dtypes, and the tables fit the steps. So reading needs no more memory than what is read.
"""

import math
import os
import zlib
from collections.abc import Iterator, Mapping
from io import FileIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from explainer.errors import TraceError
from explainer.statistics import STATISTICS
from explainer.storage import CHUNK, NAMES, Array, Shard, checksums
from explainer.untrusted import LONGEST_JSON, is_count, open_plain, parse_json, read_exactly

_MOST_DIMENSIONS = 32
_LARGEST_EMPTY = 1 << 31  # product of the other sizes of an array without elements: numpy counts them too


class Entry(NamedTuple):
    """Where an array lies among the data of a shard."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    start: int
    stop: int


class ShardFile(Mapping[str, Array]):
    """The arrays of a shard on disk, each read and checked when it is asked for.

    Raises:
        TraceError: The file is not whole, is no shard, or its bytes are not those that were written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with open_plain(path) as file:
                self.identity = _identity(file)
                size = os.fstat(file.fileno()).st_size
                length = int.from_bytes(read_exactly(file, 0, 8), "little")
                if length > size - 8:
                    raise ValueError("its header does not fit")
                header = read_exactly(file, 8, length, most=LONGEST_JSON)
                self._data = 8 + length
                self._entries, names = _parse(header, size - self._data)
                self._end = self._entries["checksums"].start
                self._sums = self._read_sums(file)
            if zlib.crc32(header) != int(self._sums[0]):
                raise ValueError("its header is not the one that was written")
        except (OSError, ValueError) as error:
            raise TraceError(
                f"{path}: the shard cannot be read; the file is truncated or altered ({_reason(error)}); "
                "restore it from a copy, or record again"
            ) from error
        self.metadata = {"names": names}
        self.shapes = {key: entry.shape for key, entry in self._entries.items()}

    def __getitem__(self, key: str) -> Array:
        entry = self._entries[key]
        found = np.empty(entry.stop - entry.start, np.uint8)
        try:
            with open_plain(self._path) as file:
                if _identity(file) != self.identity:
                    raise ValueError("it was replaced since the trace was opened; call trace.refresh()")
                for chunk in range(entry.start // CHUNK, -(-entry.stop // CHUNK)):
                    at = chunk * CHUNK
                    data = self._read_chunk(file, chunk)
                    first, last = max(entry.start, at), min(entry.stop, at + len(data))
                    found[first - entry.start : last - entry.start] = data[first - at : last - at]
        except (OSError, ValueError) as error:
            raise TraceError(f"{self._path}: {key!r} cannot be read: {_reason(error)}") from error
        return found.view(entry.dtype).reshape(entry.shape)

    def _read_sums(self, file: FileIO) -> Array:
        entry = self._entries["checksums"]
        data = read_exactly(file, self._data + entry.start, entry.stop - entry.start)
        return np.frombuffer(data, entry.dtype)

    def _read_chunk(self, file: FileIO, chunk: int) -> NDArray[np.uint8]:
        at = chunk * CHUNK
        data = np.frombuffer(read_exactly(file, self._data + at, min(CHUNK, self._end - at)), np.uint8)
        if checksums(data) != [int(self._sums[chunk + 1])]:
            raise ValueError("its bytes are not those that were written; restore the shard from a copy")
        return data

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def __iter__(self) -> Iterator[str]:
        return (key for key in self._entries if key != "checksums" and not key.startswith("padding/"))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def open_shard(path: Path) -> Shard:
    """Open a shard on disk.

    Raises:
        TraceError: It is damaged, or no shard of a trace.
    """
    file = ShardFile(path)
    shard = Shard(file, file.shapes, file.metadata, file.identity)
    if any(later <= step for step, later in zip([-1, *shard.steps], shard.steps, strict=False)):
        raise TraceError(f"{path}: its steps do not ascend, so it is no shard of a trace; record again")
    return shard


def _identity(file: FileIO) -> tuple[int, ...]:
    """Return what tells a file from another that took its name."""
    status = os.fstat(file.fileno())
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _parse(header: bytes, room: int) -> tuple[dict[str, Entry], dict[str, list[str]]]:
    """Check a header against the `room` bytes of data after it; returns the arrays and the names of tables' columns."""
    found = parse_json(header)
    if not isinstance(found, dict):
        raise ValueError("its header is no JSON object")
    entries = {key: _entry(key, said) for key, said in found.items() if key != "__metadata__"}
    _check_places(entries, room)
    names = _names(found.get("__metadata__"))
    _check_tables(entries, names)
    return entries, names


def _entry(key: str, said: Any) -> Entry:
    if not isinstance(said, dict):
        raise ValueError(f"{key!r} is not described")
    code, shape, offsets = said.get("dtype"), said.get("shape"), said.get("data_offsets")
    if not isinstance(code, str) or code not in NAMES:
        raise ValueError(f"{key!r} has the dtype {code!r}; a trace has {', '.join(NAMES)}")
    if not isinstance(shape, list) or len(shape) > _MOST_DIMENSIONS or not all(map(is_count, shape)):
        raise ValueError(f"{key!r} has no proper shape")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(is_count, offsets)):
        raise ValueError(f"{key!r} has no proper place")
    dtype = np.dtype(NAMES[code]).newbyteorder("<")
    start, stop = offsets
    if stop - start != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{key!r} has another size than its shape says")
    if start == stop and math.prod(max(size, 1) for size in shape) > _LARGEST_EMPTY:
        raise ValueError(f"{key!r} is empty and yet too large")
    return Entry(dtype, tuple(shape), start, stop)


def _check_places(entries: Mapping[str, Entry], room: int) -> None:
    """Arrays lie one behind the other, without a hole, to the end of the file; the last are the checksums."""
    end = 0
    for key, entry in sorted(entries.items(), key=lambda item: item[1][2:]):
        if entry.start != end:
            raise ValueError(f"{key!r} does not begin where the array before it ends")
        end = entry.stop
    if end != room:
        raise ValueError(f"its arrays end at byte {end} of {room}")
    sums = entries.get("checksums")
    if sums is None or sums.dtype != np.uint64 or sums.shape != (1 + -(-sums.start // CHUNK),) or sums.stop != room:
        raise ValueError("it has no checksums, so it is no shard of a trace")


def _names(metadata: Any) -> dict[str, list[str]]:
    """Return the names behind the columns of each table."""
    own = metadata.get("explainer") if isinstance(metadata, dict) else None
    about = parse_json(own.encode()) if isinstance(own, str) else None
    names = about.get("names") if isinstance(about, dict) else None
    if not isinstance(names, dict):
        raise ValueError("it names no columns, so it is no shard of a trace")
    for table, columns in names.items():
        if not isinstance(columns, list) or not all(isinstance(each, str) for each in columns):
            raise ValueError(f"the columns of {table!r} have no proper names")
        if len(set(columns)) < len(columns):
            raise ValueError(f"two columns of {table!r} have one name")
    return names


def _check_tables(entries: Mapping[str, Entry], names: Mapping[str, list[str]]) -> None:
    """Each table has a row for each step and a column for each of its names."""
    steps = entries.get("steps")
    if steps is None or steps.dtype != np.int64 or len(steps.shape) != 1:
        raise ValueError("it has no steps, so it is no shard of a trace")
    for table in {*names, *(key for key in entries if _is_table(key))}:
        entry, columns = entries.get(table), len(names.get(table, ()))
        if table == "events":
            fits = entry is not None and entry.dtype == np.int32 and len(entry.shape) == 2
            fits = fits and entry is not None and entry.shape[0] == steps.shape[0]
        else:
            cell = (len(STATISTICS),) if table.startswith("statistics/") else ()
            fits = entry is not None and entry.dtype == np.float64 and entry.shape == (*steps.shape, columns, *cell)
        if not fits or table not in names:
            raise ValueError(f"the table {table!r} does not fit its steps and names")


def _is_table(key: str) -> bool:
    return key in ("scalars", "events") or (key.startswith("statistics/") and "@" not in key)
