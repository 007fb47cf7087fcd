"""Folders that a stranger may have made: each is a trace or a TraceError, and nothing else happens.

Of each kind of mutation the first 300 are tried, always the same; with `--thorough` more than 10,000 together.
"""

from __future__ import annotations

import copy
import json
import os
import resource
import shutil
import sys
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file
from torch import nn

import explainer

EXAMPLES, THOROUGHLY = 300, 1700  # of each kind of mutation
CHUNK = 65536  # bytes under one sum: written here again, so that the reader is held to the format and not to itself
KINDS = ("activations", "gradients", "parameters", "parameter_gradients", "updates")


class Packed:
    """A shard taken apart, so that any part can be altered and the file be put together again."""

    def __init__(self, data: bytes) -> None:
        length = int.from_bytes(data[:8], "little")
        self.header: Any = json.loads(data[8 : 8 + length])
        self.names: Any = json.loads(self.header["__metadata__"]["explainer"])
        self.body = data[8 + length : 8 + length + self.header["checksums"]["data_offsets"][0]]

    def pack(self) -> bytes:
        """Return a file whose checksums are right, whatever it says."""
        if isinstance(self.header, dict) and isinstance(self.header.get("__metadata__"), dict):
            self.header["__metadata__"]["explainer"] = json.dumps(self.names)
        text = json.dumps(self.header).encode()
        padded = self.body + b"\0" * (-len(self.body) % 8)
        sums = [
            int(np.frombuffer(padded[at : at + CHUNK], np.uint64).sum(dtype=np.uint64))
            for at in range(0, len(padded), CHUNK)
        ]
        tail = np.array([zlib.crc32(text), *sums], np.uint64).tobytes()
        return len(text).to_bytes(8, "little") + text + self.body + tail

    def patch(self, key: str, values: np.ndarray[Any, Any]) -> None:
        """Put other values in the place of an array."""
        start = self.header[key]["data_offsets"][0]
        data = values.tobytes()
        self.body = self.body[:start] + data + self.body[start + len(data) :]


@pytest.fixture(scope="module")
def genuine(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A small trace of two shards, as its files' bytes."""
    folder = tmp_path_factory.mktemp("genuine") / "t"
    torch.manual_seed(3)
    model, criterion = nn.Sequential(nn.Linear(2, 2)), nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    batch = torch.ones(3, 2), torch.zeros(3, 2)
    with (
        pytest.MonkeyPatch.context() as patch,
        explainer.record(model, folder, criterion=criterion, optimizer=optimizer, probe=batch) as recorder,
    ):
        patch.setattr("explainer.writer._PATIENCE", 1e9)  # however slow the machine is
        recorder.note(lesson={"name": "é"})
        for step in range(4):
            optimizer.zero_grad()
            criterion(model(batch[0]), batch[1]).backward()
            optimizer.step()
            if step == 1:
                assert len(recorder.trace) == 2  # looking finishes a shard
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert sorted(files) == ["000000.safetensors", "000001.safetensors", "trace.json"]
    return files


def read_everything(folder: Path) -> None:
    """Use all that is public; what is not there may say so with a TraceError, and must not with anything else."""
    try:
        trace = explainer.open_trace(folder)
    except explainer.TraceError:
        return
    readers: list[Callable[[], Any]] = [
        lambda: [repr(each) for each in (trace, trace.model, trace.notes, trace.missing, trace.aliases, trace.layers)],
        lambda: [layer.parameter_count for layer in trace.model.layers.values()],
        lambda: (len(trace), trace.steps.shape, trace.finished, trace.ranks, trace.index_of(-1), trace.index_of(1)),
        lambda: [trace.index_of(step) for step in trace.steps.tolist()],
        lambda: [values.sum() for values in trace.scalars.values()],
        lambda: [v.sum() for names in trace.statistics.values() for row in names.values() for v in row.values()],
        lambda: trace.events,
        trace.to_dataframe,
        lambda: trace.refresh(),
        lambda: trace.probe and (trace.probe.inputs, trace.probe.targets, list(trace.probe.activations)),
    ]
    tensors = [lambda: trace.inputs, lambda: trace.targets]
    tensors += [lambda: trace.criterion.inputs, lambda: trace.criterion.gradients] if trace.criterion else []
    for kind in KINDS:
        names = attempt(lambda kind=kind: list(getattr(trace, kind))) or []
        tensors += [lambda kind=kind, name=name: getattr(trace, kind)[name] for name in names]
    for get in tensors:
        readers += [
            lambda get=get: np.asarray(get()),
            lambda get=get: (get()[-1], get().shape, get().ndim, repr(get())),
        ]
    for read in readers:
        attempt(read)


def attempt(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except explainer.TraceError:
        return None


# What the reader opens meanwhile

opened: list[str] | None = None


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    if opened is not None and event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
        opened.append(os.fsdecode(arguments[0]))


@pytest.fixture(scope="module")
def bounded(genuine: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Path], None]]:
    """Read a folder with every opened file seen, and with no more than 256 MiB to take."""
    global opened
    warm = tmp_path_factory.mktemp("warm")
    write(warm, genuine)
    read_everything(warm)  # imports what is imported lazily
    sys.addaudithook(watch)  # it stays until the process ends, and is deaf outside of this fixture

    def read(folder: Path) -> None:
        global opened
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        before = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (used + (256 << 20), before[1]))
        opened = []
        try:
            read_everything(folder)
            outside = [name for name in opened if Path(name).parent != folder]
        finally:
            opened = None
            resource.setrlimit(resource.RLIMIT_AS, before)
        assert outside == []

    yield read
    opened = None


def write(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)


# Mutations

HUGE = [0, 1, -1, 2, 3, 7, 8, 2**31, 2**40, 2**62, 2**63 - 1, 2**63, 2**64, 10**30, -(2**63), 10**400]
WORDS = ["", "..", "../../etc/passwd", "/etc/passwd", "a\0b", "a/b", "@", "a@1", "é", "\ud800", "F64", "U8", "BF16",
         "steps", "checksums", "padding/1", "statistics/", "statistics/x@1", "activations/0@0", "0" * 300]  # fmt: skip
DEEP = "DEEP"  # becomes JSON that is nested deeper than Python can go
leaves = st.one_of(
    st.sampled_from(HUGE), st.sampled_from(WORDS), st.sampled_from([None, True, False, 0.5, float("nan"), float("inf")])
)
values = st.one_of(
    leaves,
    st.lists(leaves, max_size=3),
    st.dictionaries(st.sampled_from(WORDS), leaves, max_size=3),
    st.sampled_from([DEEP, [[[[]]]], {"a": {"a": {}}}, [2**31, 2**31, 0], [2**40, 2**40], [1] * 70]),
)


def places(tree: Any) -> list[tuple[Any, Any]]:
    """Return every (container, key) inside a JSON value."""
    found: list[tuple[Any, Any]] = []
    waiting = [tree]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict | list):
            keys = list(each) if isinstance(each, dict) else list(range(len(each)))
            found += [(each, key) for key in keys]
            waiting += [each[key] for key in keys]
    return found


def alter(tree: Any, draw: st.DataObject) -> Any:
    """Replace, remove, rename or add something anywhere in a JSON value."""
    spots = places(tree)
    container, key = spots[draw.draw(st.integers(0, len(spots) - 1))]
    how = draw.draw(st.sampled_from(["replace", "replace", "replace", "remove", "rename", "add"]))
    if how == "replace":
        container[key] = copy.deepcopy(draw.draw(values))
    elif how == "remove":
        del container[key]
    elif isinstance(container, list):
        container.append(copy.deepcopy(draw.draw(values)) if how == "add" else copy.deepcopy(container[key]))
    elif how == "rename":
        container[draw.draw(st.sampled_from(WORDS))] = container.pop(key)
    else:
        container[draw.draw(st.sampled_from(WORDS))] = copy.deepcopy(draw.draw(values))
    return tree


def dump(tree: Any) -> bytes:
    return json.dumps(tree).encode().replace(b'"DEEP"', b"[" * 3000 + b"]" * 3000)


def mutate_about(files: dict[str, bytes], draw: st.DataObject) -> None:
    tree = json.loads(files["trace.json"])
    for _ in range(draw.draw(st.integers(1, 3))):
        if places(tree):
            tree = alter(tree, draw)
    files["trace.json"] = dump(tree)


def mutate_header(files: dict[str, bytes], draw: st.DataObject) -> None:
    name = draw.draw(st.sampled_from(["000000.safetensors", "000001.safetensors"]))
    packed = Packed(files[name])
    if draw.draw(st.booleans()):
        alter(packed.header, draw)
    else:
        alter(packed.names, draw)
    files[name] = packed.pack()


def mutate_entry(files: dict[str, bytes], draw: st.DataObject) -> None:
    """Alter what the header says of one array, offsets and shape above all."""
    name = draw.draw(st.sampled_from(["000000.safetensors", "000001.safetensors"]))
    packed = Packed(files[name])
    keys = [key for key in packed.header if key != "__metadata__"]
    first, second = (packed.header[draw.draw(st.sampled_from(keys))] for _ in range(2))
    how = draw.draw(st.sampled_from(["shape", "swap", "dtype", "overlap", "regroup"]))
    if how == "shape":
        first["shape"] = draw.draw(st.lists(st.sampled_from(HUGE), max_size=4))
    elif how == "swap":
        first["shape"], second["shape"] = second["shape"], first["shape"]
    elif how == "overlap":
        first["data_offsets"] = second["data_offsets"]
    elif how == "regroup":  # the same bytes in another shape: valid, and yet not what the tables' names say
        first["shape"] = draw.draw(st.sampled_from([first["shape"][::-1], [1, *first["shape"]], [*first["shape"], 1]]))
    else:
        first["dtype"] = draw.draw(st.sampled_from(["I64", "F64", "U64", "F32", "I32", "BOOL", "U8", "BF16"]))
    files[name] = packed.pack()


def mutate_body(files: dict[str, bytes], draw: st.DataObject) -> None:
    """Alter the arrays' own bytes, with sums that are right again."""
    name = draw.draw(st.sampled_from(["000000.safetensors", "000001.safetensors"]))
    packed = Packed(files[name])
    key = draw.draw(st.sampled_from(["steps", "events", "scalars", *packed.header]))
    if key in ("steps", "events"):
        kind, shape = (
            (np.int64, packed.header[key]["shape"]) if key == "steps" else (np.int32, packed.header[key]["shape"])
        )
        bounds = np.iinfo(kind)
        number = st.one_of(st.integers(-3, 6), st.integers(int(bounds.min), int(bounds.max)))
        count = int(np.prod(shape))
        packed.patch(key, np.array(draw.draw(st.lists(number, min_size=count, max_size=count)), kind))
    else:
        at = draw.draw(st.integers(0, len(packed.body) - 1))
        packed.body = packed.body[:at] + draw.draw(st.binary(min_size=1, max_size=16)) + packed.body[at:]
        packed.body = packed.body[: draw.draw(st.sampled_from([len(packed.body), at]))]
    files[name] = packed.pack()


def mutate_bytes(files: dict[str, bytes], draw: st.DataObject) -> None:
    """Flip, cut, extend or replace bytes of any file; nothing is repaired."""
    name = draw.draw(st.sampled_from(sorted(files)))
    data = files[name]
    at = draw.draw(st.integers(0, len(data) - 1))
    if name != "trace.json" and draw.draw(st.booleans()):
        at %= 8 + int.from_bytes(data[:8], "little")  # the header, above all
    how = draw.draw(st.sampled_from(["flip", "cut", "extend", "splice"]))
    new = draw.draw(st.binary(min_size=1, max_size=8))
    files[name] = {
        "flip": data[:at] + bytes([data[at] ^ new[0]]) + data[at + 1 :],
        "cut": data[:at],
        "extend": data + new,
        "splice": data[:at] + new + data[at + len(new) :],
    }[how]


def mutate_files(files: dict[str, bytes], draw: st.DataObject) -> None:
    """Remove, rename or double files."""
    name = draw.draw(st.sampled_from(sorted(files)))
    others = ["000000.safetensors", "000002.safetensors", "0.safetensors", "0000001.safetensors", "9999999.safetensors",
              "²0.safetensors", "rank0", "rank1", "x.json"]  # fmt: skip
    other = draw.draw(st.sampled_from(others))
    files[other] = files[name]
    if draw.draw(st.booleans()) and other != name:
        del files[name]


MUTATIONS = [mutate_about, mutate_header, mutate_entry, mutate_body, mutate_bytes, mutate_files]


@pytest.mark.slow
@pytest.mark.parametrize("mutate", MUTATIONS)
def test_a_mutated_folder_is_a_trace_or_a_trace_error(
    genuine: dict[str, bytes], bounded: Callable[[Path], None], tmp_path: Path, mutate: Any, thorough: bool
) -> None:
    folder = tmp_path / "t"
    count = THOROUGHLY if thorough else EXAMPLES

    @settings(
        max_examples=count, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(st.data())
    def check(draw: st.DataObject) -> None:
        files = copy.copy(genuine)
        mutate(files, draw)
        shutil.rmtree(folder, ignore_errors=True)
        write(folder, files)
        bounded(folder)

    check()


# What no mutation makes: links, pipes, folders, and sizes that would fill a memory


def link(folder: Path, name: str) -> None:
    (folder / name).rename(folder.parent / name)
    (folder / name).symlink_to(folder.parent / name)


def pipe(folder: Path, name: str) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)


def directory(folder: Path, name: str) -> None:
    (folder / name).unlink()
    (folder / name).mkdir()


@pytest.mark.parametrize("name", ["trace.json", "000000.safetensors", "000001.safetensors"])
@pytest.mark.parametrize(("make", "message"), [(link, "it is a link"), (pipe, "a pipe"), (directory, "directory")])
def test_what_is_no_plain_file_is_refused_and_not_waited_for(
    genuine: dict[str, bytes], tmp_path: Path, name: str, make: Any, message: str
) -> None:
    write(tmp_path / "t", genuine)
    make(tmp_path / "t", name)
    with pytest.raises(explainer.TraceError, match=message):
        explainer.open_trace(tmp_path / "t")


def test_a_shard_that_becomes_a_link_after_it_was_opened_is_not_followed(
    genuine: dict[str, bytes], tmp_path: Path
) -> None:
    write(tmp_path / "t", genuine)
    trace = explainer.open_trace(tmp_path / "t")
    link(tmp_path / "t", "000001.safetensors")
    with pytest.raises(explainer.TraceError, match="it is a link"):
        trace.activations["0"][-1]


def shard_of(arrays: dict[str, np.ndarray[Any, Any]], names: dict[str, list[str]], like: bytes) -> bytes:
    """Make a shard of any arrays."""
    packed = Packed(like)
    packed.names, packed.header, packed.body = {"names": names}, {"__metadata__": {}}, b""
    codes = {"int64": "I64", "float64": "F64", "float32": "F32", "int32": "I32"}
    for key, values in arrays.items():
        data = np.ascontiguousarray(values).tobytes()
        start = len(packed.body)
        packed.header[key] = {
            "dtype": codes[values.dtype.name],
            "shape": list(values.shape),
            "data_offsets": [start, start + len(data)],
        }
        packed.body += data
    end, chunks = len(packed.body), -(-len(packed.body) // CHUNK)
    packed.header["checksums"] = {
        "dtype": "U64",
        "shape": [1 + chunks],
        "data_offsets": [end, end + 8 * (1 + chunks)],
    }
    return packed.pack()


ROWS, TALL, WIDE = np.arange(2), np.ones((1_000_000, 1), np.float32), np.ones((1, 1_000_000), np.float32)
LARGE = {
    "two shapes that fit in one of 4 TB": [
        {"steps": ROWS, "activations/0@0": TALL, "activations/0@1": WIDE}
    ],
    "weights whose difference has 4 TB": [
        {"steps": ROWS, "parameters/w@0": TALL, "parameters/w@1": WIDE}
    ],
    "one large step beside 2,000 small ones": [
        {"steps": np.arange(2000), "activations/0@0": np.ones(300_000, np.float32)}
        | {f"activations/0@{step}": np.ones(1, np.float32) for step in range(1, 2000)}
    ],
}  # fmt: skip


@pytest.mark.parametrize("shards", LARGE.values(), ids=LARGE)
def test_reading_needs_memory_in_proportion_to_the_files(
    genuine: dict[str, bytes], tmp_path: Path, shards: list[dict[str, np.ndarray[Any, Any]]]
) -> None:
    like = genuine["000000.safetensors"]
    files = {f"{number:06d}.safetensors": shard_of(each, {}, like) for number, each in enumerate(shards)}
    about = {**json.loads(genuine["trace.json"]), "finished": False, "shards": None}
    write(tmp_path / "t", {**files, "trace.json": json.dumps(about).encode()})
    tracemalloc.start()
    try:
        trace = explainer.open_trace(tmp_path / "t")
        for kind in KINDS:
            for tensors in attempt(lambda kind=kind: list(getattr(trace, kind).values())) or []:
                attempt(lambda tensors=tensors: np.asarray(tensors))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 * sum(map(len, files.values())) + (8 << 20)


def test_many_columns_in_one_shard_and_many_steps_in_another_do_not_multiply(
    genuine: dict[str, bytes], tmp_path: Path
) -> None:
    like, names = genuine["000000.safetensors"], [f"n{index}" for index in range(20_000)]
    shards = [
        shard_of({"steps": np.arange(50_000)}, {}, like),
        shard_of({"steps": np.array([50_000]), "scalars": np.ones((1, 20_000))}, {"scalars": names}, like),
    ]
    about = {**json.loads(genuine["trace.json"]), "finished": False, "shards": None}
    files = {f"{number:06d}.safetensors": data for number, data in enumerate(shards)}
    write(tmp_path / "t", {**files, "trace.json": json.dumps(about).encode()})
    trace = explainer.open_trace(tmp_path / "t")
    tracemalloc.start()
    try:
        assert [trace.scalars[name][-1] for name in names[:50]] == [1.0] * 50
        assert len(trace.to_dataframe()) == 20_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 * sum(map(len, shards)) + (8 << 20)  # a column of one number is mostly Python's; multiplied: 8 GB


def test_a_shard_made_for_these_tests_is_one_that_the_safetensors_library_reads(
    genuine: dict[str, bytes], tmp_path: Path
) -> None:
    """The tests' own packing is right, so that what the reader refuses is what was altered."""
    for name in ("000000.safetensors", "000001.safetensors"):
        (tmp_path / name).write_bytes(Packed(genuine[name]).pack())
        expected = load_file(tmp_path / name)
        assert expected["steps"].tolist() == ([0, 1] if name.startswith("000000") else [2, 3])
    (tmp_path / "trace.json").write_bytes(genuine["trace.json"])
    assert explainer.open_trace(tmp_path).steps.tolist() == [0, 1, 2, 3]
