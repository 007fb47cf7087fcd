"""Filling a trace, step by step: in memory, or as a folder that is a trace at every moment.

The training thread fills a shard; a thread of its own writes it, outside Python's lock, while the next is being filled.
Where the disk is slower than the training, training waits for it: memory is bounded, and nothing is lost.
"""

import json
import os
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explainer.arena import Arena
from explainer.errors import RecordingError
from explainer.statistics import Moments, summarise
from explainer.storage import FORMAT, Array, Shard, shard_path, shard_paths

_SHARD_BYTES = 12 << 20  # after which a shard is finished
_LARGE_SHARD_BYTES = 128 << 20  # the same while it holds few steps
_FEW_STEPS = 4
_SHARD_MOMENTS = 100_000  # the same: until they are tables, they are some 400 bytes each
_ARENAS = 3  # one is being filled, one written, and one may wait
_PATIENCE = 2.0  # seconds after which somebody who watches the trace would like to see news


@dataclass
class StepRecord:
    """What was seen in one step, besides the tensors."""

    step: int
    scalars: dict[str, float] = field(default_factory=dict)
    moments: dict[str, dict[str, Moments]] = field(default_factory=dict)  # by kind and name
    events: list[str] = field(default_factory=list)


class TraceWriter:
    """Collects steps into shards.

    Args:
        folder: Where the trace lies; None keeps it in memory.
        overwrite: Whether a trace that lies there may be replaced.

    Raises:
        RecordingError: `folder` holds something already, and it is not a trace or must not be replaced.
    """

    def __init__(self, folder: Path | None, *, overwrite: bool = False) -> None:
        self.folder = folder
        self.shards: list[Shard] = []
        self.nbytes = 0  # of all tensors kept so far, those of the shards on disk included
        self._shown: dict[str, Any] = {}  # what trace.json says
        self._finished = 0  # shards, those that wait to be written included
        self._arena = Arena()
        self._spare: list[Arena] = []
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="explainer-writer")
        self._pending: deque[Future[None]] = deque()
        self._lost = False  # whether a shard could not be written
        self._records: list[StepRecord] = []
        self._moments = 0  # in them
        self.about: dict[str, Any] = {}
        self._started = self._last_flush = time.monotonic()
        if folder is not None:
            _make_room(folder, overwrite)

    @property
    def due(self) -> bool:
        """Whether the open shard ends with the step that is being closed."""
        few = len(self._records) + 1 < _FEW_STEPS
        if self._arena.nbytes >= (_LARGE_SHARD_BYTES if few else _SHARD_BYTES) or self._moments >= _SHARD_MOMENTS:
            return True
        now = time.monotonic()
        rarely = 0.02 * (now - self._started)  # a run of days should not leave a million files
        return self.folder is not None and now - self._last_flush > max(_PATIENCE, rarely)

    @property
    def last(self) -> StepRecord | None:
        """The step closed last, if its shard is still open."""
        return self._records[-1] if self._records else None

    def reserve(self, kind: str, step: int, shapes: Mapping[str, tuple[int, ...]], dtype: np.dtype[Any]) -> Array:
        """Make room for a step's tensors of a kind, by name; returns one flat array over all of it, to be filled."""
        flat = self._arena.reserve(kind, step, shapes, dtype)
        self.nbytes += flat.nbytes
        return flat

    def keep(self, kind: str, step: int, tensors: Mapping[str, Array]) -> None:
        """Keep a step's tensors of a kind, by name."""
        self._arena.keep(kind, step, tensors)
        self.nbytes += sum(values.nbytes for values in tensors.values())

    def keep_constant(self, name: str, values: Array) -> None:
        """Keep an array that is the same for the whole run."""
        self._arena.keep("constants", None, {name: values})

    def rename(self, kind: str, step: int, new_kind: str, new_step: int) -> None:
        """Say that what was reserved as one kind and step is another."""
        self._arena.rename(kind, step, new_kind, new_step)

    def drop(self, kind: str, step: int) -> None:
        """Forget a step's tensors of a kind; the shard must be still open."""
        self._arena.drop(kind, step)

    def close_step(self, record: StepRecord) -> None:
        """Take the rest of a step; its tensors are in place."""
        self._records.append(record)
        self._moments += sum(map(len, record.moments.values()))

    def flush(self) -> None:
        """Finish the open shard and have it written; nothing happens when no step was closed since the last.

        Raises:
            OSError: A shard before could not be written.
        """
        self._last_flush = time.monotonic()
        if not self._records:
            return
        names: dict[str, list[str]] = {}
        self._arena.keep("", None, _tables(self._records, names))
        self._records, self._moments = [], 0
        self._finished += 1
        full, metadata = self._arena, {"names": names}
        if self.folder is None:
            arrays = full.arrays()
            self.shards.append(Shard(arrays, {key: each.shape for key, each in arrays.items()}, metadata))
            self._arena = Arena()
            return
        path = shard_path(self.folder, self._finished - 1)
        try:
            self._pending.append(self._worker.submit(self._write, full, path, metadata))
        except RuntimeError:  # no thread can be had any more: the interpreter is ending
            self.drain()
            self._write(full, path, metadata)
        while len(self._pending) >= _ARENAS or (self._pending and self._pending[0].done()):
            self._pending.popleft().result()
        self._arena = self._spare.pop() if self._spare else Arena()

    def _write(self, arena: Arena, path: Path, metadata: dict[str, Any]) -> None:
        if self._lost:
            return  # a trace has no holes: what comes after a shard that was lost is lost too
        self._lost = True
        behind = len(self._pending) > 1  # the disk is slower than the training: the page cache gives it time
        arena.write(path, metadata, direct=not behind)
        self._lost = False
        arena.clear()
        self._spare.append(arena)

    def drain(self) -> None:
        """Wait until all that was finished is written.

        Raises:
            OSError: A shard could not be written.
        """
        while self._pending:
            self._pending.popleft().result()

    def close(self) -> None:
        """End the thread that writes, and let go of the memory."""
        self._worker.shutdown()
        self._arena, self._spare = Arena(), []

    def describe(self, about: dict[str, Any], *, finished: bool = False) -> None:
        """Write `trace.json`, if it would say anything new."""
        shards = self._finished if finished else None
        self.about = {"format": FORMAT, **about, "finished": finished, "shards": shards}
        if self.folder is None or self.about == self._shown:
            return
        temporary = self.folder / f".trace.json.{os.getpid()}.unfinished"
        try:
            temporary.write_text(json.dumps(self.about, indent=1, ensure_ascii=False), encoding="utf-8")
            os.replace(temporary, self.folder / "trace.json")
        finally:
            temporary.unlink(missing_ok=True)
        self._shown = self.about


def _tables(records: Sequence[StepRecord], names: dict[str, list[str]]) -> dict[str, Array]:
    """Stack what the steps hold into arrays; puts the names of their columns into `names`."""
    tables: dict[str, NDArray[Any]] = {"steps": np.array([record.step for record in records], np.int64)}
    kinds = dict.fromkeys(kind for record in records for kind in record.moments)
    for kind in ("scalars", *kinds):
        rows: list[Any] = [record.scalars if kind == "scalars" else record.moments.get(kind, {}) for record in records]
        found: list[str] = list(dict.fromkeys(name for row in rows for name in row))
        if not found:
            continue
        width = 1 if kind == "scalars" else len(Moments._fields)
        unseen = (np.nan,) * width
        cells = (row.get(name, unseen) for row in rows for name in found)
        numbers = ((cell,) if isinstance(cell, float) else cell for cell in cells)
        values = np.fromiter(chain.from_iterable(numbers), np.float64).reshape(len(rows), len(found), width)
        table = "scalars" if kind == "scalars" else f"statistics/{kind}"
        tables[table], names[table] = values[..., 0] if kind == "scalars" else summarise(values), found
    known = list(dict.fromkeys(event for record in records for event in record.events))
    code = {event: index for index, event in enumerate(known)}
    longest = max(len(record.events) for record in records)
    tables["events"] = np.full((len(records), longest), -1, np.int32)  # -1: nothing more happened
    for index, record in enumerate(records):
        tables["events"][index, : len(record.events)] = [code[event] for event in record.events]
    names["events"] = known
    return tables


def _make_room(folder: Path, overwrite: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise RecordingError(f"{folder} is a file; a trace is a folder: choose another path")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecordingError(f"{folder} cannot be made: {error.strerror}; choose another path") from error
    if any(folder.iterdir()):
        replace(folder, overwrite=overwrite)


def replace(folder: Path, *, overwrite: bool) -> None:
    """Remove the trace of a folder that holds something.

    Raises:
        RecordingError: It is no trace, or must not be replaced.
    """
    if not (folder / "trace.json").is_file():
        raise RecordingError(f"{folder} holds something that is not a trace: choose a new or empty folder")
    if not overwrite:
        raise RecordingError(f"{folder} holds a trace already: choose another folder, or pass overwrite=True")
    clear_folder(folder)


def clear_folder(folder: Path) -> None:
    """Remove a trace from its folder; another process may be at it too."""
    for path in (folder / "trace.json", *shard_paths(folder), *folder.glob(".*.unfinished")):
        path.unlink(missing_ok=True)
