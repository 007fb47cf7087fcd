from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import nn

import explainer
from explainer.errors import ExplainerWarning, RecordingError
from tests.networks import batch_for, mlp, seeded, train


@pytest.fixture
def many_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a shard of every two or three steps."""
    monkeypatch.setattr("explainer.writer._SHARD_BYTES", 4000)


def record_to(path: Path | None, **options: Any) -> explainer.Trace:
    model, criterion = seeded(mlp), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loop = {key: options.pop(key) for key in ("steps", "size", "after_step") if key in options}
    with explainer.record(model, path, criterion=criterion, optimizer=optimizer, **options) as recorder:
        train(model, criterion, optimizer, **loop)
    return recorder.trace


# Memory and disk


@pytest.mark.usefixtures("many_shards")
def test_a_trace_answers_alike_in_memory_and_on_disk(tmp_path: Path) -> None:
    probe = batch_for(seeded(mlp), 99)
    memory, disk = record_to(None, steps=9, probe=probe), record_to(tmp_path / "t", steps=9, probe=probe)
    assert len(list((tmp_path / "t").glob("*.safetensors"))) > 2
    disk = explainer.open_trace(tmp_path / "t")
    assert memory.layers == disk.layers
    assert memory.steps.tolist() == disk.steps.tolist()
    assert memory.model == disk.model
    assert memory.events == disk.events
    assert memory.missing == disk.missing == {}
    for kind in ("activations", "gradients", "parameters", "parameter_gradients", "updates"):
        first, second = getattr(memory, kind), getattr(disk, kind)
        assert list(first) == list(second)
        for name in first:
            np.testing.assert_array_equal(np.asarray(first[name]), np.asarray(second[name]), err_msg=f"{kind} {name}")
    np.testing.assert_array_equal(np.asarray(memory.inputs), np.asarray(disk.inputs))
    np.testing.assert_array_equal(memory.probe.activations["2"][4], disk.probe.activations["2"][4])
    assert memory.to_dataframe().equals(disk.to_dataframe())
    assert memory.finished
    assert disk.finished


def test_shards_are_files_that_the_safetensors_library_reads(tmp_path: Path) -> None:
    trace = record_to(tmp_path / "t", steps=3)
    arrays = load_file(tmp_path / "t" / "000000.safetensors")
    assert arrays["steps"].tolist() == [0, 1, 2]
    for step in range(3):
        np.testing.assert_array_equal(arrays[f"activations/0@{step}"], trace.activations["0"][step])


def test_only_the_step_that_is_asked_for_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = record_to(tmp_path / "t")
    read: list[str] = []
    original = explainer.shard_file.ShardFile.__getitem__
    monkeypatch.setattr(
        explainer.shard_file.ShardFile, "__getitem__", lambda self, key: read.append(key) or original(self, key)
    )
    _ = trace.activations["0"][-1]
    assert read == ["activations/0@5"]


def test_tensors_over_time_are_indexed_as_arrays_are() -> None:
    trace = record_to(None)
    weights = trace.parameters["0.weight"]
    whole = np.asarray(weights)
    assert weights.shape == whole.shape == (6, 6, 5)
    assert weights.dtype == np.float32
    assert len(weights) == 6
    np.testing.assert_array_equal(weights[[0, -1], 2], whole[[0, -1], 2])
    np.testing.assert_array_equal(weights[1:4], whole[1:4])
    np.testing.assert_array_equal(weights[..., 0], whole[..., 0])
    np.testing.assert_array_equal(weights[-1, 1], whole[-1, 1])
    np.testing.assert_array_equal(np.stack(list(weights)), whole)
    with pytest.raises(IndexError, match="there is no recorded step at 6; there are 6"):
        weights[6]


def test_what_was_read_can_be_changed_without_changing_the_trace() -> None:
    trace = record_to(None)
    trace.activations["0"][0][...] = 7
    assert not (trace.activations["0"][0] == 7).any()


def test_a_smaller_last_batch_is_filled_with_nan_and_never_invented() -> None:
    model, criterion = seeded(mlp), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with explainer.record(model, criterion=criterion, optimizer=optimizer) as recorder:
        train(model, criterion, optimizer, steps=2)
        train(model, criterion, optimizer, steps=1, size=3)
    inputs = np.asarray(recorder.trace.inputs)
    assert inputs.shape == recorder.trace.inputs.shape == (3, 8, 5)
    assert np.isnan(inputs[2, 3:]).all()
    np.testing.assert_array_equal(recorder.trace.inputs[2], batch_for(model, 0, 3)[0])
    assert np.asarray(recorder.trace.targets)[2, 3:].tolist() == pytest.approx([np.nan] * 5, nan_ok=True)


def test_steps_are_found_by_number_and_from_the_end() -> None:
    trace = record_to(None, every=2)
    assert trace.index_of(4) == 2
    assert trace.index_of(-1) == 2
    with pytest.raises(
        explainer.TraceError, match=r"step 3 was not recorded; the nearest is 2 \(3 were, from 0 to 4\)"
    ):
        trace.index_of(3)


def test_a_misspelt_name_tells_the_nearest_and_is_a_key_error_too() -> None:
    trace = record_to(None)
    with pytest.raises(explainer.TraceError, match=r"called '0.wieght'. Did you mean '0.weight'"):
        trace.parameters["0.wieght"]
    with pytest.raises(KeyError):
        trace.statistics["gradients"]["9"]
    assert "9" not in trace.gradients
    assert trace.gradients.get("9") is None


def test_a_dataframe_holds_every_statistic_in_long_form() -> None:
    trace = record_to(None)
    frame = trace.to_dataframe()
    assert list(frame.columns) == ["step", "kind", "name", "statistic", "value"]
    row = frame[(frame.step == 3) & (frame.kind == "gradients") & (frame.name == "1") & (frame.statistic == "norm")]
    assert row.value.tolist() == [trace.statistics["gradients"]["1"]["norm"][3]]
    loss = frame[(frame.kind == "scalars") & (frame.name == "loss")]
    assert loss.value.tolist() == trace.scalars["loss"].tolist()


def test_a_dataframe_without_pandas_is_a_clear_word(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = record_to(None)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(explainer.MissingDependency, match=r"needs pandas.*pip install 'explainer\[dataframe\]'"):
        trace.to_dataframe()


# Traces of older versions


@pytest.mark.parametrize("form", [1])
def test_a_trace_of_every_format_ever_released_opens_with_the_numbers_it_was_recorded_with(form: int) -> None:
    """The numbers beside the trace were computed by torch alone, in a run without a recorder."""
    data = Path(__file__).parent / "data"
    expected = json.loads((data / f"format{form}.json").read_text())
    trace = explainer.open_trace(data / f"format{form}")
    assert trace.finished
    assert trace.layers == ("0", "1", "2")
    assert trace.steps.tolist() == expected["steps"]
    assert trace.scalars["loss"].tolist() == pytest.approx(expected["loss"], rel=1e-7)
    assert trace.scalars["learning_rate"].tolist() == [0.5] * 3
    for kind in ("activations", "gradients", "parameters", "parameter_gradients", "updates"):
        tensors = getattr(trace, kind)["0" if kind in ("activations", "gradients") else "0.weight"]
        assert np.asarray(tensors).tolist() == np.array(expected[kind], np.float32).tolist(), kind
    norms = np.linalg.norm(np.array(expected["gradients"]).reshape(3, -1), axis=1)
    assert trace.statistics["gradients"]["0"]["norm"].tolist() == pytest.approx(norms.tolist(), rel=1e-6)
    assert trace.missing == {}
    assert trace.notes == {"lesson": {"name": f"format {form}"}}
    assert trace.events[0] == [
        "forward 0",
        "forward 1",
        "forward 2",
        "loss",
        "backward 2",
        "backward 1",
        "backward 0",
        "update",
    ]
    assert trace.probe.inputs.shape == (2, 3)
    assert [layer.type for layer in trace.model.layers.values()] == ["Linear", "ReLU", "Linear"]


# While the run goes on


@pytest.mark.usefixtures("many_shards")
def test_a_trace_opens_while_its_run_goes_on_and_refresh_sees_new_steps(tmp_path: Path) -> None:
    seen: list[int] = []
    traces: list[explainer.Trace] = []

    def look(step: int) -> None:
        if not traces:
            traces.append(explainer.open_trace(tmp_path / "t"))
            assert traces[0].layers == ()
        seen.append(len(traces[0].refresh()))
        assert not traces[0].finished
        if seen[-1]:
            assert np.isfinite(np.asarray(traces[0].updates["0.weight"])).all()

    record_to(tmp_path / "t", steps=20, after_step=look)
    assert seen == sorted(seen)
    assert 10 < seen[-1] < 20
    assert len(traces[0].refresh()) == 20
    assert traces[0].finished


@pytest.mark.parametrize("on_disk", [True, False])
def test_the_recorders_trace_can_be_read_in_the_middle(tmp_path: Path, on_disk: bool) -> None:
    model, criterion = seeded(mlp), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    path = tmp_path / "t" if on_disk else None
    with explainer.record(model, path, criterion=criterion, optimizer=optimizer) as recorder:
        train(model, criterion, optimizer, steps=3)
        middle = recorder.trace
        assert len(middle) == 3
        assert np.isfinite(np.asarray(middle.updates["0.weight"])).all()
        train(model, criterion, optimizer, steps=3)
    assert len(recorder.trace) == 6
    weights, updates = (np.asarray(getattr(recorder.trace, kind)["0.weight"]) for kind in ("parameters", "updates"))
    np.testing.assert_array_equal(updates[:-1], weights[1:] - weights[:-1])


# Killed, interrupted, full

ENDLESS = """
import sys, torch, explainer, explainer.writer
from torch import nn
explainer.writer._SHARD_BYTES = int(sys.argv[2])
model, criterion = nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 5)), nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
with explainer.record(model, sys.argv[1], criterion=criterion, optimizer=optimizer, max_bytes=10**12):
    print("begun", flush=True)
    while True:
        optimizer.zero_grad()
        criterion(model(torch.randn(16, 20)), torch.randint(0, 5, (16,))).backward()
        optimizer.step()
"""


def start_endless(folder: Path, shard_bytes: int) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", ENDLESS, str(folder), str(shard_bytes)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


def finished_steps(folder: Path) -> int:
    shards = sorted(folder.glob("[0-9]*.safetensors"))
    return sum(len(load_file(path)["steps"]) for path in shards)


@pytest.mark.parametrize(("shard_bytes", "delay"), [(20_000, 0.3), (20_000, 0.517), (400_000, 0.4)])
def test_a_killed_recording_leaves_a_trace_that_opens_and_holds_every_finished_shard(
    tmp_path: Path, shard_bytes: int, delay: float
) -> None:
    process = start_endless(tmp_path / "t", shard_bytes)
    time.sleep(delay)  # any moment will do: nothing is compared with a clock
    process.send_signal(signal.SIGKILL)
    process.communicate()
    trace = explainer.open_trace(tmp_path / "t")
    assert not trace.finished
    assert len(trace) == finished_steps(tmp_path / "t")
    assert trace.steps.tolist() == list(range(len(trace)))
    for kind in ("activations", "gradients", "parameters", "parameter_gradients", "updates"):
        for name, tensors in getattr(trace, kind).items():
            assert np.isfinite(np.asarray(tensors)).all(), name


def test_ctrl_c_leaves_a_trace_that_is_finished_and_opens(tmp_path: Path) -> None:
    process = start_endless(tmp_path / "t", 20_000)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode != 0
    trace = explainer.open_trace(tmp_path / "t")
    assert trace.finished
    assert len(trace) == finished_steps(tmp_path / "t")


FULL = """
import resource, signal, sys, warnings, torch, explainer, explainer.writer
from torch import nn
sys.path.insert(0, sys.argv[3])
from tests.networks import mlp, seeded, train
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write beyond the limit is then an error, as on a full disk
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
explainer.writer._SHARD_BYTES = 30_000
bare, model, criterion = seeded(mlp), seeded(mlp), nn.CrossEntropyLoss()
train(bare, criterion, torch.optim.SGD(bare.parameters(), lr=0.1), steps=90)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
with warnings.catch_warnings(record=True) as caught, explainer.record(
    model, sys.argv[1], criterion=criterion, optimizer=optimizer, every=lambda s: s % 40 < 25
) as recorder:
    warnings.simplefilter("always")
    train(model, criterion, optimizer, steps=90)
assert all(torch.equal(a, b) for a, b in zip(bare.parameters(), model.parameters()))
assert len(caught) == 1 and "training goes on" in str(caught[0].message), caught
assert isinstance(recorder.failure, OSError), recorder.failure
print(len(recorder.trace))
"""


def test_a_full_disk_costs_the_training_nothing_and_what_was_finished_stays(tmp_path: Path) -> None:
    """A limit on the size of a file is the full disk that needs no disk."""
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "t"), "20000", str(Path(__file__).parent.parent)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    trace = explainer.open_trace(tmp_path / "t")
    assert not trace.finished
    assert len(trace) == int(done.stdout) == finished_steps(tmp_path / "t")
    assert not list((tmp_path / "t").glob("*.unfinished"))


# Folders that are no trace, or no whole one


@pytest.fixture
def whole(tmp_path: Path, many_shards: None) -> Path:
    record_to(tmp_path / "t", steps=12)
    return tmp_path / "t"


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def read_all(folder: Path) -> None:
    trace = explainer.open_trace(folder)
    for kind in (trace.activations, trace.gradients, trace.parameters, trace.parameter_gradients, trace.updates):
        for tensors in kind.values():
            np.asarray(tensors)
    assert len(trace.scalars["loss"])
    assert len(trace.statistics["gradients"]["0"]["norm"])


DAMAGE = {
    "no folder": (lambda folder: folder.rename(folder.with_name("else")), "there is no such folder"),
    "empty": (lambda folder: [path.unlink() for path in folder.iterdir()], "is empty, so it is not a trace"),
    "no trace.json": (lambda folder: (folder / "trace.json").unlink(), "holds no trace.json, so it is not a trace"),
    "first shard missing": (lambda folder: (folder / "000000.safetensors").unlink(), "shard 000000 is missing"),
    "middle shard missing": (lambda folder: (folder / "000002.safetensors").unlink(), "shard 000002 is missing"),
    "last shard missing": (lambda folder: max(folder.glob("*.safetensors")).unlink(), r"shard 0000\d\d is missing"),
    "truncated shard": (
        lambda folder: os.truncate(folder / "000001.safetensors", 5000),
        "000001.*truncated or altered",
    ),
    "empty shard": (lambda folder: os.truncate(folder / "000001.safetensors", 0), "000001.*truncated or altered"),
    "altered tensor": (
        lambda folder: flip(folder / "000001.safetensors", -2000),
        "000001.*not those that were written",
    ),
    "altered header": (lambda folder: flip(folder / "000001.safetensors", 60), "000001.*altered"),
    "foreign shard": (
        lambda folder: (folder / "000001.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}"),
        "000001.*truncated or altered",
    ),
    "broken json": (lambda folder: os.truncate(folder / "trace.json", 100), "trace.json cannot be read"),
    "other json": (lambda folder: (folder / "trace.json").write_text("[1]"), "holds no format number"),
    "newer format": (
        lambda folder: edit(folder / "trace.json", format=99),
        "format 99; this version reads up to 1: pip install -U explainer",
    ),
    "mistyped": (lambda folder: edit(folder / "trace.json", layers="0"), "lacks or mistypes layers"),
    "no model": (lambda folder: edit(folder / "trace.json", model={}), "lacks or mistypes model"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGE.values(), ids=DAMAGE)
def test_a_folder_that_is_no_whole_trace_is_told_in_one_sentence(whole: Path, damage: Any, message: str) -> None:
    read_all(whole)
    damage(whole)
    with pytest.raises(explainer.TraceError, match=message) as caught:
        read_all(whole)
    assert "\n" not in str(caught.value)


def test_temporary_files_are_not_taken_for_shards(whole: Path) -> None:
    (whole / ".000009.safetensors.123.unfinished").write_bytes(b"half")
    (whole / "notes.safetensors").write_bytes(b"somebody's own")
    read_all(whole)


def test_a_folder_that_holds_a_trace_is_overwritten_only_when_asked(tmp_path: Path) -> None:
    record_to(tmp_path / "t", steps=3)
    with pytest.raises(RecordingError, match="holds a trace already: choose another folder, or pass overwrite=True"):
        record_to(tmp_path / "t")
    assert len(explainer.open_trace(tmp_path / "t")) == 3
    assert len(record_to(tmp_path / "t", steps=2, overwrite=True)) == 2


def test_a_folder_that_holds_something_else_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(RecordingError, match="holds something that is not a trace: choose a new or empty folder"):
        record_to(tmp_path, overwrite=True)
    with pytest.raises(RecordingError, match=r"thesis.txt is a file; a trace is a folder"):
        record_to(tmp_path / "thesis.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_no_thread_and_no_file_handle_is_left(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    record_to(tmp_path / "t")
    gc.collect()
    assert set(threading.enumerate()) == before
    opened = [str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if path.exists()]
    assert not [name for name in opened if name.startswith(str(tmp_path))]


def test_a_warning_is_the_librarys_own_kind() -> None:
    assert issubclass(ExplainerWarning, UserWarning)
