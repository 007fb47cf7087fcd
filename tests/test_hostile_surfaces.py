"""Folders that a stranger may have made: each is a surface or a SurfaceError, and nothing else happens."""

from __future__ import annotations

import json
import os
import resource
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hills import full_batch_run, surface_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import explainer

HUGE = [0, 1, -1, 2, 3, 7, 2**31, 2**40, 2**62, 2**63, 2**64, 10**30, -(2**63), 10**400]
WORDS = ["", "..", "../../etc/passwd", "a\0b", "é", "F64", "F32", "I64", "BOOL", "BF16", "__metadata__", "losses", "u",
         "center/0.weight", "walk0/path", "0" * 300]  # fmt: skip
leaves = st.one_of(
    st.sampled_from(HUGE), st.sampled_from(WORDS), st.sampled_from([None, True, False, 0.5, float("nan"), float("inf")])
)
values = st.one_of(leaves, st.lists(leaves, max_size=3), st.dictionaries(st.sampled_from(WORDS), leaves, max_size=3))


@pytest.fixture(scope="module")
def genuine(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A small surface, as its files' bytes."""
    surface = surface_of(full_batch_run(4), metrics={"top": lambda outputs, _: outputs.max()}, resolution=3)
    folder = surface.save(tmp_path_factory.mktemp("genuine") / "s")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def resealed(files: dict[str, bytes]) -> dict[str, bytes]:
    """Return the files with the sum that their author would have written."""
    about = json.loads(files["surface.json"])
    if isinstance(about, dict) and "crc32" in about:
        about["crc32"] = zlib.crc32(files["surface.safetensors"])
    return {**files, "surface.json": json.dumps(about).encode()}


def use(folder: Path) -> None:
    """Use all that is public; the folder may be refused with a SurfaceError, and nothing that was opened may break."""
    surface, said = None, ""
    try:
        surface = explainer.open_surface(folder)
    except explainer.SurfaceError as error:
        said = str(error)
    if surface is None:
        assert str(folder) in said
        assert len(said) < 2000 + 2 * len(str(folder))
        return
    surface.summary(), repr(surface), surface.weights_at(0.5, 0.5), surface.height(0.0, 0.0)
    if surface.walks:
        surface.path, surface.walk.gap, repr(surface.walk), surface.captured


opened: list[str] | None = None


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    if opened is not None and event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
        opened.append(os.fsdecode(arguments[0]))


@pytest.fixture(scope="module")
def bounded(genuine: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], None]:
    """Use a folder with every opened file seen, and with no more than 256 MiB to take."""
    use(write(tmp_path_factory.mktemp("warm"), genuine))
    sys.addaudithook(watch)  # it stays until the process ends, and is deaf outside of this fixture

    def read(folder: Path) -> None:
        global opened
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        before = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (used + (256 << 20), before[1]))
        opened = []
        try:
            use(folder)
            outside = [name for name in opened if Path(name).parent != folder]
        finally:
            opened = None
            resource.setrlimit(resource.RLIMIT_AS, before)
        assert outside == []

    return read


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
    """Replace, remove or rename something anywhere in a JSON value."""
    spots = places(tree)
    container, key = spots[draw.draw(st.integers(0, len(spots) - 1))]
    how = draw.draw(st.sampled_from(["replace", "replace", "remove", "rename"]))
    if how == "remove":
        del container[key]
    elif how == "rename" and isinstance(container, dict):
        container[draw.draw(st.sampled_from(WORDS))] = container.pop(key)
    else:
        container[key] = draw.draw(values)
    return tree


def parts(data: bytes) -> tuple[Any, bytes]:
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def joined(header: Any, body: bytes) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


fuzz = settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


@fuzz
@given(draw=st.data())
def test_any_change_of_the_words_is_a_surface_or_an_error(
    genuine: dict[str, bytes], bounded: Callable[[Path], None], tmp_path_factory: Any, draw: st.DataObject
) -> None:
    about = alter(json.loads(genuine["surface.json"]), draw)
    if draw.draw(st.booleans()):
        about = alter(about, draw) if places(about) else about
    folder = tmp_path_factory.getbasetemp() / "words"
    bounded(write(folder, {**genuine, "surface.json": json.dumps(about).encode()}))


@fuzz
@given(draw=st.data())
def test_any_change_of_the_header_is_a_surface_or_an_error(
    genuine: dict[str, bytes], bounded: Callable[[Path], None], tmp_path_factory: Any, draw: st.DataObject
) -> None:
    header, body = parts(genuine["surface.safetensors"])
    files = resealed({**genuine, "surface.safetensors": joined(alter(header, draw), body)})
    bounded(write(tmp_path_factory.getbasetemp() / "header", files))


@fuzz
@given(draw=st.data())
def test_any_change_of_the_bytes_is_a_surface_or_an_error(
    genuine: dict[str, bytes], bounded: Callable[[Path], None], tmp_path_factory: Any, draw: st.DataObject
) -> None:
    name = draw.draw(st.sampled_from(sorted(genuine)))
    data = bytearray(genuine[name])
    for _ in range(draw.draw(st.integers(1, 4))):
        at = draw.draw(st.integers(0, len(data) - 1))
        if draw.draw(st.booleans()):
            data[at] = draw.draw(st.integers(0, 255))
        else:
            del data[at : at + draw.draw(st.integers(1, 40))]
    files = {**genuine, name: bytes(data)}
    bounded(write(tmp_path_factory.getbasetemp() / "bytes", resealed(files) if name != "surface.json" else files))


# What a fuzz would not think of


def refused(folder: Path, message: str) -> None:
    with pytest.raises(explainer.SurfaceError, match=message):
        explainer.open_surface(folder)


def test_a_byte_that_was_altered_is_found_out(genuine: dict[str, bytes], tmp_path: Path) -> None:
    data = bytearray(genuine["surface.safetensors"])
    data[-3] ^= 1
    refused(write(tmp_path / "s", {**genuine, "surface.safetensors": bytes(data)}), "not those that were written")


@pytest.mark.parametrize("name", ["surface.json", "surface.safetensors"])
def test_a_file_that_is_missing_cut_a_link_or_a_pipe_is_refused(
    genuine: dict[str, bytes], tmp_path: Path, name: str
) -> None:
    folder = write(tmp_path / "s", genuine)
    (folder / name).write_bytes(genuine[name][:-5])
    refused(folder, "cannot be read")
    (folder / name).unlink()
    refused(folder, "there is no such file|No such file")
    (tmp_path / "elsewhere").write_bytes(genuine[name])
    (folder / name).symlink_to(tmp_path / "elsewhere")
    refused(folder, "it is a link")
    (folder / name).unlink()
    os.mkfifo(folder / name)
    refused(folder, "it is no file, but a pipe or a device")
    (folder / name).unlink()
    (folder / name).mkdir()
    refused(folder, "cannot be read")


def test_sizes_that_are_only_claimed_take_no_memory(
    genuine: dict[str, bytes], bounded: Callable[[Path], None], tmp_path: Path
) -> None:
    header, body = parts(genuine["surface.safetensors"])
    first = next(iter(header))
    for shape, bytes_claimed in (([2**40], 2**43), ([2**61, 8], 2**67), ([0, 2**62], 0)):
        header[first] = {"dtype": "F64", "shape": shape, "data_offsets": [0, bytes_claimed]}
        files = resealed({**genuine, "surface.safetensors": joined(header, body)})
        folder = write(tmp_path / "s", files)
        bounded(folder)
        refused(folder, "cannot be read")
    vast = {"u": {"dtype": "U8", "shape": [2**40], "data_offsets": [0, 2**40]}}
    files = {**genuine, "surface.safetensors": joined(vast, b"")}
    folder = write(tmp_path / "s", files)
    with open(folder / "surface.safetensors", "r+b") as file:
        file.truncate(2**40 + len(files["surface.safetensors"]))  # a file of a terabyte that takes no room
    bounded(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"worst": "much"}, "'much' is no number"),
        ({"plane": 3}, "3 is no word"),
        ({"notes": []}, r"\[\] is no table"),
        ({"center": "0.weight"}, "is no list"),
        ({"walks": [["a"]]}, "not enough values"),
        ({"format": 2}, r"is of format 2; this version reads up to 1: pip install -U explainer"),
        ({"format": True}, "holds no format number"),
        ({"metrics": ["top", "bottom"]}, "it lacks 'metric1'"),
    ],
)
def test_words_of_a_wrong_kind_are_told(
    genuine: dict[str, bytes], tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    about = {**json.loads(genuine["surface.json"]), **change}
    refused(write(tmp_path / "s", {**genuine, "surface.json": json.dumps(about).encode()}), message)


def test_arrays_that_do_not_fit_each_other_are_told(genuine: dict[str, bytes], tmp_path: Path) -> None:
    header, body = parts(genuine["surface.safetensors"])
    header["losses"]["shape"] = [9]
    files = resealed({**genuine, "surface.safetensors": joined(header, body)})
    refused(write(tmp_path / "s", files), r"damaged: .*losses")
    header["losses"]["shape"] = [3, 3]
    header["losses"]["data_offsets"] = [8, 80]
    files = resealed({**genuine, "surface.safetensors": joined(header, body)})
    refused(write(tmp_path / "s", files), "its header says of 'losses' what cannot be")
    header["losses"]["data_offsets"] = [0, 72]
    header["losses"]["dtype"] = "I64"
    files = resealed({**genuine, "surface.safetensors": joined(header, body)})
    refused(write(tmp_path / "s", files), "an array is of dtype int64")


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ({"format": 1, "steps": [1, 2], "step_losses": [0.5, 0.5]}, "there is no such file"),
        ({"format": 1, "steps": list(range(2000)), "step_losses": [0.5]}, "its steps are no 1,000 whole numbers"),
        ({"format": 1, "steps": ["a"], "step_losses": [0.5]}, "its steps are no"),
        ({"format": 1, "steps": [10**30], "step_losses": [0.5]}, "cannot be read"),
        ({"format": 1, "steps": [1]}, "it lacks 'step_losses'"),
        ({"format": 1, "steps": 5, "step_losses": []}, "cannot be read"),
        ([], "holds no format number"),
    ],
)
def test_a_sequence_that_is_none_is_told(tmp_path: Path, about: Any, message: str) -> None:
    (tmp_path / "sequence.json").write_text(json.dumps(about), encoding="utf-8")
    with pytest.raises(explainer.SurfaceError, match=message):
        explainer.open_surface_sequence(tmp_path)


def test_a_surface_is_no_slice_and_no_sequence(genuine: dict[str, bytes], tmp_path: Path) -> None:
    folder = write(tmp_path / "s", genuine)
    for open_other in (explainer.open_slice, explainer.open_surface_sequence):
        with pytest.raises(explainer.SurfaceError, match="there is no such file"):
            open_other(folder)
    assert np.isfinite(explainer.open_surface(folder).losses).all()
