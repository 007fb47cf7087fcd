"""The memory of a shard that is being filled, laid out as its file will be."""

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
        sums = [each for block in blocks for each in checksums(block)]
        header: dict[str, Any] = {"__metadata__": {"explainer": json.dumps(metadata)}}
        for key, (code, shape, block, start) in self.entries.items():
            first = starts[block] + start
            header[key] = {"dtype": code, "shape": shape, "data_offsets": (first, first + size_of(code, shape))}
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
