"""The memory of a shard that is being filled, laid out as its file will be: a tensor is copied once, and written.

Files are written past the page cache where the system can do so (`O_DIRECT`): it costs the processor nearly nothing,
while filling new pages of the cache costs as much as copying the bytes twice more.
"""

import errno
import json
import math
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explainer.storage import CHUNK, CODES, Array, checksums, key_of

_BLOCK = 16 << 20  # bytes an arena grows by
_PAGE = 4096  # what direct writing asks every address and length to be a multiple of


@dataclass
class Entry:
    """Arrays of one dtype that lie one behind the other; their keys are spelt out when they are written."""

    kind: str
    step: int | None  # None for what belongs to no step
    shapes: dict[str, tuple[int, ...]]  # by name
    dtype: np.dtype[Any]
    block: int
    start: int  # in the block

    def places(self) -> Iterator[tuple[str, tuple[int, ...], int, int]]:
        """Yield each array's key, shape, and where in the block it starts and stops."""
        start = self.start
        for name, shape in self.shapes.items():
            stop = start + math.prod(shape) * self.dtype.itemsize
            key = name if not self.kind else f"{self.kind}/{name}"
            yield key if self.step is None else key_of(self.kind, name, self.step), shape, start, stop
            start = stop


class Arena:
    """The memory of a shard that is being filled."""

    def __init__(self) -> None:
        self._blocks: list[NDArray[np.uint8]] = []
        self._used: list[int] = []
        self._current = -1
        self._entries: list[Entry] = []

    @property
    def nbytes(self) -> int:
        """Bytes reserved so far."""
        return sum(self._used)

    def reserve(
        self, kind: str, step: int | None, shapes: Mapping[str, tuple[int, ...]], dtype: np.dtype[Any]
    ) -> Array:
        """Make room for arrays of one dtype, by name.

        Returns:
            One flat array over the room of all of them, not yet filled.
        """
        size = sum(map(math.prod, shapes.values())) * dtype.itemsize
        block, start = self._room(size, dtype.itemsize)
        self._entries.append(Entry(kind, step, dict(shapes), dtype, block, start))
        self._used[block] = start + size
        return self._blocks[block][start : start + size].view(dtype)

    def keep(self, kind: str, step: int | None, arrays: Mapping[str, Array]) -> None:
        """Copy arrays into the arena, by name, those of one dtype side by side."""
        by_dtype: dict[np.dtype[Any], dict[str, Array]] = {}
        for name, values in arrays.items():
            by_dtype.setdefault(values.dtype, {})[name] = values
        for dtype, members in by_dtype.items():
            flat = self.reserve(kind, step, {name: values.shape for name, values in members.items()}, dtype)
            np.concatenate([values.reshape(-1) for values in members.values()], out=flat)

    def rename(self, kind: str, step: int, new_kind: str, new_step: int) -> None:
        """Give what was reserved as one kind and step another name."""
        for entry in self._entries:
            if (entry.kind, entry.step) == (kind, step):
                entry.kind, entry.step = new_kind, new_step

    def drop(self, kind: str, step: int) -> None:
        """Forget what was reserved as a kind and step; its room becomes padding."""
        for entry in self._entries:
            if (entry.kind, entry.step) == (kind, step):
                entry.kind, entry.step = "padding", None
                entry.shapes = {f"{entry.block}.{entry.start}.{name}": shape for name, shape in entry.shapes.items()}

    def clear(self) -> None:
        """Forget the content and keep the memory for the next shard."""
        self._entries.clear()
        self._used = [0] * len(self._blocks)
        self._current = 0 if self._blocks else -1

    def arrays(self) -> dict[str, Array]:
        """Return every array as a view of the arena's memory."""
        return {
            key: self._blocks[entry.block][start:stop].view(entry.dtype).reshape(shape)
            for entry in self._entries
            for key, shape, start, stop in entry.places()
        }

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
            self._blocks.append(_aligned(max(_BLOCK, -(-size // CHUNK) * CHUNK)))
            self._used.append(0)
        return self._current, 0

    def _pad_to(self, stop: int) -> None:
        block, start = self._current, self._used[self._current]
        if stop > start:
            room: dict[str, tuple[int, ...]] = {f"{block}.{start}": (stop - start,)}
            self._entries.append(Entry("padding", None, room, np.dtype(np.uint8), block, start))
            self._blocks[block][start:stop] = 0
            self._used[block] = stop

    def write(self, path: Path, metadata: Mapping[str, Any], *, direct: bool) -> None:
        """Write the arena as one safetensors file, under a temporary name until it is whole.

        Args:
            direct: Whether to write past the page cache, where the system can.
        """
        self._pad_to(-(-self._used[self._current] // _PAGE) * _PAGE)
        blocks = [block[:used] for block, used in zip(self._blocks, self._used, strict=True) if used]
        starts = np.cumsum([0, *self._used]).tolist()
        sums = [each for block in blocks for each in checksums(block)]
        header: dict[str, Any] = {"__metadata__": {"explainer": json.dumps(metadata)}}
        for entry in self._entries:
            code, before = CODES[entry.dtype.str[1:]], starts[entry.block]
            for key, shape, start, stop in entry.places():
                header[key] = {"dtype": code, "shape": shape, "data_offsets": (before + start, before + stop)}
        end, count = starts[-1], 1 + len(sums)
        header["checksums"] = {"dtype": "U64", "shape": (count,), "data_offsets": (end, end + 8 * count)}
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-(len(text) + 8) % _PAGE)
        front = _aligned(len(text) + 8)
        front[:] = np.frombuffer(len(text).to_bytes(8, "little") + text, np.uint8)
        tail = np.array([zlib.crc32(text), *sums], np.uint64)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o666)
            try:
                _write_all(descriptor, [front, *blocks], direct=direct)
                _write_all(descriptor, [tail], direct=False)
            finally:
                os.close(descriptor)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def _aligned(size: int) -> NDArray[np.uint8]:
    """Return memory that begins with a page."""
    room = np.empty(size + _PAGE, np.uint8)
    start = -room.ctypes.data % _PAGE
    return room[start : start + size]


def _write_all(descriptor: int, parts: Iterable[NDArray[Any]], *, direct: bool) -> None:
    direct = _set_direct(descriptor, direct)
    for part in parts:
        rest = part.view(np.uint8).data
        while rest:
            try:
                rest = rest[os.write(descriptor, rest) :]
            except OSError as error:
                if not direct or error.errno != errno.EINVAL:
                    raise
                direct = _set_direct(descriptor, False)  # the file system promised what it cannot do


def _set_direct(descriptor: int, direct: bool) -> bool:
    """Switch writing past the page cache on or off; returns whether it is on."""
    if not hasattr(os, "O_DIRECT"):
        return False
    import fcntl

    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_DIRECT if direct else flags & ~os.O_DIRECT)
    except OSError:  # this file system cannot
        return False
    return direct
