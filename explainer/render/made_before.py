"""Films that were made before: kept beside each is what was asked, and every file that it read.

As `make` does it, but the list of what a film depends on is not written by hand: its process tells which traces,
surfaces and captions it opened, and which of explainer's own files it loaded. A film is made anew when one of them, or
what was asked, is another.
"""

from __future__ import annotations

import hashlib
import json
import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_DRAW = ("manim", "typst", "pycairo", "matplotlib", "numpy")  # packages that decide what a frame looks like
_SMALL = 2_000_000  # bytes: files up to this size are compared by their contents, larger ones by size and time


def find_made(path: Path, order: dict[str, Any]) -> dict[str, Any] | None:
    """Return what a film's process told when it was made; None where it has to be made.

    Args:
        path: The film.
        order: What is asked now.
    """
    try:
        kept = json.loads(_note(path).read_text(encoding="utf-8"))
        if kept["order"] != _asked(order) or kept["film"] != _stamp(path):
            return None
        if any(not _same(file, seen) for file, seen in kept["read"].items()):
            return None
        told: dict[str, Any] = kept["told"]
        return told if not told["subtitles"] or path.with_suffix(".srt").is_file() else None
    except (OSError, ValueError, KeyError, TypeError):  # there is no such note, or nobody can tell what it says
        return None


def keep_made(path: Path, order: dict[str, Any], told: dict[str, Any]) -> None:
    """Write down what a film was made of; where that cannot be written, it will be made anew."""
    kept = {
        "order": _asked(order),
        "film": _stamp(path),
        "read": {file: _seen(file) for file in told["read"]},
        "told": {
            "subtitles": bool(told["subtitles"]),
            "seconds": told["seconds"],
            "beats": told["beats"],
            "memory": told["memory"],
        },
    }
    note = _note(path)
    try:
        temporary = note.with_suffix(".new")
        temporary.write_text(json.dumps(kept, ensure_ascii=False), encoding="utf-8")
        os.replace(temporary, note)
    except OSError:
        note.unlink(missing_ok=True)


def _note(path: Path) -> Path:
    return path.with_name(f".{path.name}.made.json")


def _asked(order: dict[str, Any]) -> dict[str, Any]:
    versions = {}
    for package in _DRAW:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = ""
    return json.loads(json.dumps({**order, "versions": versions}))  # type: ignore[no-any-return]  # as it is read back


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _seen(file: str) -> list[Any]:
    """Return a file's size, time and contents; the last empty for large ones."""
    path = Path(file)
    try:
        size, changed = _stamp(path)
        return [size, changed, hashlib.sha256(path.read_bytes()).hexdigest() if size <= _SMALL else ""]
    except OSError:
        return []


def _same(file: str, seen: list[Any]) -> bool:
    try:
        size, changed = _stamp(Path(file))
    except OSError:
        return seen == []
    if not seen or size != seen[0]:
        return False
    return changed == seen[1] or bool(seen[2] and _seen(file)[2] == seen[2])
