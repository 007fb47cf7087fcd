"""Arrays in one file that any safetensors library reads: written one after the other, read within bounds.

The first 8 bytes are the header's length, then comes the header, JSON that says of each array its dtype, its shape and
where it lies, then the arrays' bytes without a gap.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explainer.storage import CODES, NAMES
from explainer.untrusted import LONGEST_JSON, is_count, open_plain, parse_json, read_exactly

Arrays = Mapping[str, NDArray[Any]]
_MOST_AXES = 32  # numpy allows 64


def write_arrays(path: Path, arrays: Arrays) -> int:
    """Write arrays, never holding a copy of more than one of them.

    Returns:
        The CRC-32 of the file.

    Raises:
        OSError: It cannot be written.
        ValueError: An array is of a dtype that safetensors has not.
    """
    header: dict[str, Any] = {}
    end = 0
    for name, values in arrays.items():
        code = values.dtype.str[1:]
        if code not in CODES:
            raise ValueError(f"{name!r} is of dtype {values.dtype}, which no such file can hold")
        header[name] = {"dtype": CODES[code], "shape": list(values.shape), "data_offsets": [end, end + values.nbytes]}
        end += values.nbytes
    text = json.dumps(header, ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    begin = len(text).to_bytes(8, "little") + text
    total = zlib.crc32(begin)
    with open(path, "wb") as file:
        file.write(begin)
        for values in arrays.values():
            part = _little(values).reshape(-1).view(np.uint8).data
            total = zlib.crc32(part, total)
            file.write(part)
    return total


def read_arrays(path: Path, crc: int) -> dict[str, NDArray[Any]]:
    """Read what `write_arrays` wrote; the arrays can be read only.

    Raises:
        OSError: It cannot be opened, or is no file.
        ValueError: It is another file than the one that was written, or none of this kind.
        MemoryError: It is too large.
    """
    with open_plain(path) as file:
        size = os.fstat(file.fileno()).st_size
        start = read_exactly(file, 0, 8)
        length = int.from_bytes(start, "little")
        text = read_exactly(file, 8, length, most=min(LONGEST_JSON, size))
        header = parse_json(text)
        if not isinstance(header, dict):
            raise ValueError("its header is no table of arrays")
        total, end, found = zlib.crc32(start + text), 8 + length, dict[str, NDArray[Any]]()
        for name, entry in header.items():
            dtype, shape = _described(name, entry, end - 8 - length)
            data = read_exactly(file, end, math.prod(shape) * dtype.itemsize, most=size)
            total, end = zlib.crc32(data, total), end + len(data)
            found[name] = np.frombuffer(data, dtype).reshape(shape)
    if end != size:
        raise ValueError(f"it is {size:,} bytes long, and {end:,} of them are arrays")
    if total != crc:
        raise ValueError("its bytes are not those that were written")
    return found


def _described(name: str, entry: Any, start: int) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Return the dtype and the shape that a header says of an array, which must begin where the last one ended."""
    wrong = ValueError(f"its header says of {name[:80]!r} what cannot be")
    if not isinstance(entry, dict):
        raise wrong
    code, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(code, str) or code not in NAMES or not isinstance(shape, list) or len(shape) > _MOST_AXES:
        raise wrong
    if not all(is_count(each) for each in shape) or math.prod(max(each, 1) for each in shape) >= 2**62:
        raise wrong
    dtype = np.dtype(NAMES[code])
    if offsets != [start, start + math.prod(shape) * dtype.itemsize]:
        raise wrong
    return dtype, tuple(shape)


def _little(values: NDArray[Any]) -> NDArray[Any]:
    found = np.ascontiguousarray(values)
    return found.astype(found.dtype.newbyteorder("<"), copy=False)
