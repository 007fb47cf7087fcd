"""Nothing stays behind: no memory while a recording goes on, and no hook, thread, file or model after it."""

from __future__ import annotations

import contextlib
import gc
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import explainer
from explainer.writer import TraceWriter
from tests.networks import batch_for, mlp, seeded, train


def resident() -> int:
    """Resident memory of this process in kB; 0 where the system does not say."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmRSS"))


def open_files() -> set[str]:
    """What this process has open, save what comes and goes with the looking itself."""
    folder = Path("/proc/self/fd")
    found = set()
    for each in folder.iterdir() if folder.exists() else ():
        with contextlib.suppress(OSError):
            found.add(str(each.readlink()))
    return found


def writing_threads() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith("explainer")]


def hooks_on(model: nn.Module, criterion: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    on_modules = [getattr(module, kind) for module in (*model.modules(), criterion) for kind in kinds]
    on_tensors = [each._backward_hooks or () for each in model.parameters()]
    of_optimizer = [optimizer._optimizer_step_pre_hooks, optimizer._optimizer_step_post_hooks]
    return sum(map(len, (*on_modules, *on_tensors, *of_optimizer)))


@pytest.mark.slow
@pytest.mark.parametrize(("keep", "every"), [(None, 1), ((), 1), (None, 10)])
def test_a_long_recording_on_disk_stands_still_in_memory(tmp_path: Path, keep: Any, every: int) -> None:
    model = seeded(mlp)
    criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=0.1)
    inputs, targets = batch_for(model, 0)
    seen = []
    with explainer.record(
        model, tmp_path / "run", criterion=criterion, optimizer=optimizer, keep=keep, every=every
    ) as recorder:
        for step in range(1000):
            optimizer.zero_grad()
            criterion(model(inputs), targets).backward()
            optimizer.step()
            if step in (299, 999):
                assert len(recorder.trace.steps) == (step + every) // every  # what was open is written
                gc.collect()
                objects = gc.get_objects()
                tensors = sum(issubclass(type(each), torch.Tensor) for each in objects)
                seen.append((len(objects), tensors, resident()))
                del objects
    (objects, tensors, kilobytes), (objects_later, tensors_later, kilobytes_later) = seen
    assert tensors_later <= tensors
    assert objects_later - objects < 200  # 700 steps later
    assert kilobytes_later - kilobytes < 20_000


def test_statistics_of_many_steps_do_not_wait_as_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("explainer.writer._SHARD_MOMENTS", 400)
    model = seeded(mlp)
    criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=0.1)
    longest = 0

    def look(step: int) -> None:
        nonlocal longest
        longest = max(longest, len(recorder._writer._records))

    with explainer.record(model, criterion=criterion, optimizer=optimizer, keep=()) as recorder:
        train(model, criterion, optimizer, steps=100, after_step=look)
    assert recorder.trace.steps.tolist() == list(range(100))
    assert 10 < longest < 40


def failing(writer: TraceWriter) -> None:
    raise OSError(28, "No space left on device")


def interrupted(writer: TraceWriter) -> None:
    raise KeyboardInterrupt


def recorded_until(end: Any, path: Path | None, patch: pytest.MonkeyPatch) -> weakref.ref[nn.Module]:
    """Record a run that ends in some way, and look at what it leaves on the model."""
    model = seeded(mlp)
    criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=0.1)
    try:
        with explainer.record(model, path, criterion=criterion, optimizer=optimizer) as recorder:
            train(model, criterion, optimizer, steps=3)
            assert hooks_on(model, criterion, optimizer) > 0
            assert recorder.trace.steps.tolist() == [0, 1, 2]  # the thread has written
            assert path is None or writing_threads()
            train(model, criterion, optimizer, steps=1)
            if end == "a full disk":
                patch.setattr(TraceWriter, "flush", failing)
            elif end == "interrupted at the end":
                patch.setattr(TraceWriter, "drain", interrupted)
            elif end is not None:
                raise end
    except (ValueError, KeyboardInterrupt) as error:
        if end not in (type(error), "interrupted at the end"):
            raise
    assert hooks_on(model, criterion, optimizer) == 0
    return weakref.ref(model)


@pytest.mark.filterwarnings("ignore:the recording ended in step:explainer.errors.ExplainerWarning")
@pytest.mark.parametrize("on_disk", [True, False])
@pytest.mark.parametrize("end", [None, ValueError, KeyboardInterrupt, "a full disk", "interrupted at the end"])
def test_nothing_is_left_after_a_recording_however_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: Any, on_disk: bool
) -> None:
    files = open_files()
    model = recorded_until(end, tmp_path / "run" if on_disk else None, monkeypatch)
    assert writing_threads() == []
    assert open_files() <= files
    gc.collect()
    assert model() is None


@pytest.mark.parametrize("entered", [False, True], ids=["never entered", "never left"])
def test_a_recorder_that_is_dropped_leaves_nothing(tmp_path: Path, entered: bool) -> None:
    model = seeded(mlp)
    criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=0.1)
    recorder = explainer.record(model, tmp_path / "run", criterion=criterion, optimizer=optimizer)
    if entered:
        recorder.__enter__()
        train(model, criterion, optimizer, steps=2)
        assert len(recorder.trace.steps) == 2
        assert writing_threads()
    writer = next((each for each in threading.enumerate() if each.name.startswith("explainer")), None)
    gone = weakref.ref(recorder), weakref.ref(model)
    del recorder, model, optimizer, criterion
    gc.collect()
    assert [each() for each in gone] == [None, None]
    if writer is not None:
        writer.join(timeout=10)
    assert writing_threads() == []
    assert torch._dynamo.eval_frame._stance.stance == "default"


@pytest.mark.parametrize("on_disk", [True, False])
def test_a_trace_does_not_hold_the_model(tmp_path: Path, on_disk: bool) -> None:
    model = seeded(mlp)
    criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=0.1)
    with explainer.record(
        model, tmp_path / "run" if on_disk else None, criterion=criterion, optimizer=optimizer
    ) as recorder:
        train(model, criterion, optimizer, steps=2)
    trace, gone = recorder.trace, weakref.ref(model)
    del model, optimizer, recorder
    gc.collect()
    assert gone() is None
    assert trace.activations["0"].shape == (2, 8, 6)


@pytest.mark.slow
def test_an_interpreter_ends_in_the_middle_of_recordings_and_finishes_them(tmp_path: Path) -> None:
    script = """
import sys, torch, explainer
from torch import nn

def begin(path):
    model = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3))
    criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=0.1)

    def train():
        optimizer.zero_grad()
        criterion(model(torch.ones(4, 5)), torch.tensor([0, 1, 2, 0])).backward()
        optimizer.step()

    return explainer.record(model, path, criterion=criterion, optimizer=optimizer), train

def generator():
    recording, train = begin(sys.argv[1] + "/generator")
    with recording:
        while True:
            train()
            yield

endless = generator()
for _ in range(3):
    next(endless)
recorder, train = begin(sys.argv[1] + "/notebook")
recorder.__enter__()
train()
assert len(recorder.trace.steps) == 1
train()
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    for name, steps in {"generator": [0, 1, 2], "notebook": [0, 1]}.items():
        trace = explainer.open_trace(tmp_path / name)
        assert trace.steps.tolist() == steps and trace.missing == {}
        assert trace._about["finished"] is True
