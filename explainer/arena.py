"""The memory of a shard that is being filled, laid out as its file will be: a tensor is copied once, and written.

Files are written past the page cache where the system can do so (`O_DIRECT`): it costs the processor nearly nothing,
while filling new pages of the cache costs as much as copying the bytes twice more.
"""

import errno
import json
import math
import os
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explainer.storage import CHUNK, CODES, NAMES, Array, checksums, size_of

_BLOCK = 16 << 20  # bytes an arena grows by
_PAGE = 4096  # what direct writing asks every address and length to be a multiple of


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
        width, code = dtype.itemsize, CODES[dtype.str[1:]]
        sizes = [math.prod(shape) * width for shape in shapes]
        block, start = self._room(sum(sizes), width)
        stop = start
        for key, shape, size in zip(keys, shapes, sizes, strict=True):
            self.entries[key] = (code, shape, block, stop)
            stop += size
        self._used[block] = stop
        return self._blocks[block][start:stop].view(dtype)

    def keep(self, tensors: Iterable[tuple[str, Array]]) -> None:
        """Copy arrays into the arena, each a (key, values), those of one dtype side by side."""
        by_dtype: dict[np.dtype[Any], list[tuple[str, Array]]] = {}
        for each in tensors:
            by_dtype.setdefault(each[1].dtype, []).append(each)
        for dtype, members in by_dtype.items():
            flat = self.reserve([key for key, _ in members], [values.shape for _, values in members], dtype)
            np.concatenate([values.reshape(-1) for _, values in members], out=flat)

    def rename(self, old: str, new: str) -> None:
        """Give an array another key."""
        self.entries[new] = self.entries.pop(old)

    def drop(self, key: str) -> None:
        """Forget an array; its room becomes padding."""
        self._pads += 1
        _, shape, block, start = entry = self.entries.pop(key)
        self.entries[f"padding/{self._pads}"] = ("U8", (size_of(entry[0], shape),), block, start)

    def clear(self) -> None:
        """Forget the content and keep the memory for the next shard."""
        self.entries.clear()
        self._used = [0] * len(self._blocks)
        self._current = 0 if self._blocks else -1

    def arrays(self) -> dict[str, Array]:
        """Return every array as a view of the arena's memory."""
        found = {}
        for key, (code, shape, block, start) in self.entries.items():
            room = self._blocks[block][start : start + size_of(code, shape)]
            found[key] = room.view(NAMES[code]).reshape(shape)
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
            self._blocks.append(_aligned(max(_BLOCK, -(-size // CHUNK) * CHUNK)))
            self._used.append(0)
        return self._current, 0

    def _pad_to(self, stop: int) -> None:
        start = self._used[self._current]
        if stop > start:
            self._pads += 1
            self.entries[f"padding/{self._pads}"] = ("U8", (stop - start,), self._current, start)
            self._blocks[self._current][start:stop] = 0
            self._used[self._current] = stop

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
        for key, (code, shape, block, start) in self.entries.items():
            first = starts[block] + start
            header[key] = {"dtype": code, "shape": shape, "data_offsets": (first, first + size_of(code, shape))}
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
