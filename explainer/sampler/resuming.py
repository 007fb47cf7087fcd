"""A surface that is not finished: its points lie in its folder as they come, and the next call goes on from there.

`unfinished.json` says what the surface is made of, `unfinished.points` holds a record for each point: its coordinates,
what was measured there, and a checksum. Records are only ever appended, so that whatever kills the process leaves whole
records and at most a torn last one.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explainer.errors import SurfaceError
from explainer.sampler.fingerprint import Told, differing
from explainer.sampler.gathering import Floats
from explainer.surface import Surface, open_surface
from explainer.untrusted import LONGEST_JSON, open_plain, parse_json, read_exactly

FORMAT = 1
ABOUT, POINTS, WHOLE = "unfinished.json", "unfinished.points", "surface.json"
_CHECKSUM = struct.Struct("<I")
_SAFE_SECONDS = 1.0  # between two moments at which what was written is safe from a power cut, too
_SCRATCH = ".finished"


class Unfinished:
    """The points of a surface that were computed so far, in its folder.

    Args:
        made_of: What decides the surface, each part as a digest: see `explainer.sampler.fingerprint`.
        columns: How many numbers a point has: its coordinates, and what is measured there.

    Raises:
        SurfaceError: The folder holds another surface, or something else, or is in use, or cannot be written.
    """

    def __init__(self, folder: Path, made_of: Mapping[str, Told], coordinates: int, measured: int) -> None:
        self._folder, self._coordinates, self._measured = folder, coordinates, measured
        self._made_of = dict(made_of)
        self._known: dict[bytes, Floats] = {}
        self._safe = time.monotonic()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._check()
            self._file = os.open(
                folder / POINTS, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0), 0o666
            )
            _lock(self._file, folder)
            self._read()
        except OSError as error:
            raise SurfaceError(f"{folder} cannot be written: {error.strerror}; choose another folder") from error

    def __len__(self) -> int:
        return len(self._known)

    def find(self, points: Floats) -> tuple[NDArray[np.bool_], Floats]:
        """Return which of some points (P, D) are known, (P,), and what was measured there, (P, measured)."""
        values = np.full((len(points), self._measured), np.nan)
        known = np.zeros(len(points), np.bool_)
        for place, key in enumerate(_keys(points)):
            if key in self._known:
                known[place], values[place] = True, self._known[key]
        return known, values

    def add(self, points: Floats, values: Floats) -> None:
        """Keep what was measured at points.

        Raises:
            SurfaceError: The disk is full, or gone.
        """
        records = []
        for key, found in zip(_keys(points), values, strict=True):
            if key not in self._known:
                self._known[key] = found
                record = key + np.ascontiguousarray(found, "<f8").tobytes()
                records.append(record + _CHECKSUM.pack(zlib.crc32(record)))
        try:
            left = memoryview(b"".join(records))
            while left:
                left = left[os.write(self._file, left) :]
            if time.monotonic() - self._safe > _SAFE_SECONDS:
                os.fsync(self._file)
                self._safe = time.monotonic()
        except OSError as error:
            raise SurfaceError(
                f"{self._folder} cannot be written: {error.strerror}; what was finished is kept there: make room, and "
                "the same call goes on"
            ) from error

    def finish(self, surface: Surface) -> Surface:
        """Save the surface in place of its points; its `surface.json` comes last, and then they go.

        Returns:
            The surface, with what it was made of among its notes.
        """
        scratch = self._folder / _SCRATCH
        shutil.rmtree(scratch, ignore_errors=True)
        told = replace(surface, notes={**surface.notes, "made_of": self._made_of})
        told.save(scratch)
        try:
            for path in sorted(scratch.iterdir(), key=lambda path: path.name == WHOLE):
                os.replace(path, self._folder / path.name)
            scratch.rmdir()
            for name in (POINTS, ABOUT):
                (self._folder / name).unlink()
        except OSError as error:
            raise SurfaceError(f"{self._folder} cannot be written: {error.strerror}") from error
        return told

    def close(self) -> None:
        """Let go of the folder; what is unfinished stays."""
        os.close(self._file)

    @property
    def axes(self) -> list[float]:
        """The coordinates along both axes, as the call that began had them: points are known by them."""
        return list(self._made_of["the axes"])  # type: ignore[arg-type]  # the axes are told by numbers

    def _check(self) -> None:
        if (self._folder / ABOUT).is_file():
            there: Any = read_about(self._folder).get("made_of")
            compare(self._folder, there, self._made_of)
            self._made_of = there
            return
        if any(self._folder.iterdir()):
            raise SurfaceError(f"{self._folder} holds something that is no surface: choose a new or empty folder")
        scratch = self._folder / f".{ABOUT}.writing"
        scratch.write_text(json.dumps({"format": FORMAT, "made_of": self._made_of}, indent=1), encoding="utf-8")
        os.replace(scratch, self._folder / ABOUT)

    def _read(self) -> None:
        """Take in all whole records, and cut off what a killed process left half-written."""
        floats = 8 * (self._coordinates + self._measured)
        size = floats + _CHECKSUM.size
        with open(self._file, "rb", closefd=False) as file:
            data = file.read()
        good = 0
        while good + size <= len(data):
            record = data[good : good + floats]
            if _CHECKSUM.unpack_from(data, good + floats)[0] != zlib.crc32(record):
                break
            self._known[record[: 8 * self._coordinates]] = np.frombuffer(
                record, "<f8", offset=8 * self._coordinates
            ).astype(np.float64)
            good += size
        if good < len(data):
            os.ftruncate(self._file, good)


def open_finished(folder: Path, made_of: Mapping[str, Told]) -> Surface | None:
    """Open the surface that a folder holds, if it is finished and made of just this; None where none is finished.

    Raises:
        SurfaceError: It is another surface, or damaged, or what lies there is no folder.
    """
    if folder.exists() and not folder.is_dir():
        raise SurfaceError(f"{folder} is a file; a surface is a folder: choose another path")
    if not (folder / WHOLE).is_file():
        return None
    surface = open_surface(folder)
    compare(folder, surface.notes.get("made_of"), made_of)
    for name in (POINTS, ABOUT):  # the process was killed after the surface was saved
        (folder / name).unlink(missing_ok=True)
    return surface


def compare(folder: Path, there: Any, made_of: Mapping[str, Told]) -> None:
    """Check that a folder's surface is made of the same.

    Raises:
        SurfaceError: It is not; says what differs.
    """
    if not isinstance(there, Mapping):
        raise SurfaceError(
            f"{folder} holds a surface that does not say what it was made of: choose another folder, or remove it"
        )
    if names := differing(there, made_of):
        verb = "differs" if len(names) == 1 and not names[0].endswith("s") else "differ"
        raise SurfaceError(
            f"{folder} holds another surface: {_listed(names)} {verb}; choose another folder, or remove it (--again on "
            "the command line)"
        )


def unfinished_in(folder: Path) -> bool:
    """Tell whether a folder holds a surface that was begun and not finished."""
    return (folder / ABOUT).is_file() and not (folder / WHOLE).is_file()


def read_about(folder: Path) -> dict[str, Any]:
    """Read what an unfinished surface is made of.

    Raises:
        SurfaceError: It is damaged, or of a newer format.
    """
    path = folder / ABOUT
    try:
        with open_plain(path) as file:
            about = parse_json(read_exactly(file, 0, os.fstat(file.fileno()).st_size, most=LONGEST_JSON))
    except (OSError, ValueError) as error:
        raise SurfaceError(f"{path} cannot be read ({error}); remove it to begin again") from error
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise SurfaceError(f"{path} is of another format than {FORMAT}: remove {folder} to begin again")
    return about


def clear(folder: Path) -> None:
    """Remove the surface, finished or not, that a folder holds; other files stay."""
    for name in (ABOUT, POINTS, WHOLE, "surface.safetensors"):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / _SCRATCH, ignore_errors=True)


def _keys(points: Floats) -> Sequence[bytes]:
    """Name points (P, D) by their coordinates; 0 and −0 are one place."""
    return [row.tobytes() for row in np.ascontiguousarray(points + 0.0, "<f8")]


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _lock(file: int, folder: Path) -> None:
    """Keep a second process from computing into the same folder.

    Raises:
        SurfaceError: One does already.
    """
    try:
        import fcntl
    except ModuleNotFoundError:  # Windows has no such locks
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise SurfaceError(
            f"another process computes the surface in {folder}: wait for it, or choose another folder"
        ) from error
    except OSError:  # some network file systems have no locks
        return
