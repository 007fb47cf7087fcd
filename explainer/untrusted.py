"""Reading what a stranger may have written: plain files, never a way out of their folder, and JSON within bounds."""

import errno
import json
import os
import stat
from io import FileIO
from pathlib import Path
from typing import Any

_SAFELY = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # no link is followed, no pipe is waited for
LONGEST_JSON = 100_000_000  # bytes; safetensors allows its headers as many
_DEEPEST = 64  # levels of JSON: what is deeper is no account of a run, and would break who prints or copies it


def open_plain(path: Path) -> FileIO:
    """Open a file for reading, if it is one.

    Raises:
        OSError: It is not there, or it is a link, a folder, a pipe or a device.
    """
    try:
        file = FileIO(path, "rb", opener=lambda name, flags: os.open(name, flags | _SAFELY))
    except OSError as error:
        if path.is_symlink():
            raise OSError(errno.ELOOP, "it is a link, and a trace is read only inside its folder") from error
        raise OSError(error.errno, error.strerror) from error  # whoever tells it names the path
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is no file, but a pipe or a device")
    return file


def read_exactly(file: FileIO, start: int, size: int, most: int | None = None) -> bytes:
    """Read `size` bytes that begin at `start`.

    Raises:
        ValueError: The file ends before, or they are more than the `most` that can be meant.
    """
    if most is not None and size > most:
        raise ValueError(f"{size:,} bytes are too many for this part of it; at most {most:,} can be")
    file.seek(start)
    parts: list[bytes] = []
    while size > 0:
        part = file.read(size)
        if not part:
            raise ValueError("it ends too early")
        parts.append(part)
        size -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def parse_json(data: bytes) -> Any:
    """Parse JSON, in time and memory that grow with its length only.

    Raises:
        ValueError: It is no JSON, is nested too deeply, or holds half a character.
    """
    try:
        text = data.decode("utf-8")
        found = json.loads(text)
    except RecursionError as error:
        raise ValueError("its JSON is nested too deeply") from error
    level = [found]
    for _ in range(_DEEPEST):
        level = [each for value in level if isinstance(value, dict | list) for each in _inside(value)]
    if level:
        raise ValueError("its JSON is nested too deeply")
    if "\\u" in text:  # an escape may stand for half a character, which no file and no screen can hold
        json.dumps(found, ensure_ascii=False).encode("utf-8")
    return found


def is_count(value: object) -> bool:
    """Whether a value of JSON is a natural number that fits into 63 bits."""
    return type(value) is int and 0 <= value < 2**63


def _inside(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value
