"""A surface that was interrupted goes on where it stopped, after `kill -9` too; another one's folder is refused."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import explainer
from explainer.errors import SurfaceError
from explainer.sampler import resuming
from explainer.sampler.resuming import ABOUT, POINTS, WHOLE, Unfinished, unfinished_in
from tests.networks import batch_for, mlp, seeded
from tests.workers import RESOLUTION, same, surface

COUNT = RESOLUTION**2


# The metric shows no state, which would make another surface of each call: a deque hides its own.
CALLS: deque[int] = deque()
STOP: deque[int] = deque()


def counted(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """A metric that counts the points, and interrupts one."""
    CALLS.append(1)
    if STOP and len(CALLS) == STOP[0]:
        raise KeyboardInterrupt
    return outputs.square().mean()


METRICS = {"size": counted}


def calls_of(compute: Callable[[], Any]) -> tuple[Any, int]:
    """Return what was computed, and at how many points."""
    CALLS.clear()
    return compute(), len(CALLS) - 1  # the first only tries the metric out


def interrupted(folder: Path, stop_at: int = 60) -> int:
    """Begin a surface and interrupt it; returns how many points are kept."""
    CALLS.clear()
    STOP.append(stop_at)
    try:
        with pytest.raises(KeyboardInterrupt):
            surface(METRICS, folder=folder)
    finally:
        STOP.clear()
    assert unfinished_in(folder)
    return records_in(folder)


def records_in(folder: Path) -> int:
    size = (folder / POINTS).stat().st_size
    assert size % RECORD == 0
    return size // RECORD


RECORD = 8 * (2 + 2) + 4  # u, v; loss, metric; checksum


def test_an_interrupted_surface_goes_on_where_it_stopped(tmp_path: Path) -> None:
    folder = tmp_path / "surface"
    kept = interrupted(folder)
    assert 20 < kept < COUNT
    told: list[tuple[int, int]] = []
    found, calls = calls_of(lambda: surface(METRICS, folder=folder, progress=lambda *now: told.append(now)))
    assert calls == COUNT - kept
    assert told[0] == (kept, COUNT) and told[-1] == (COUNT, COUNT)
    same(found, surface(METRICS))
    assert not unfinished_in(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["surface.json", "surface.safetensors"]


def test_a_finished_surface_is_opened(tmp_path: Path) -> None:
    first, calls = calls_of(lambda: surface(METRICS, folder=tmp_path))
    assert calls == COUNT
    again, calls = calls_of(lambda: surface(METRICS, folder=tmp_path))
    assert calls == 0
    np.testing.assert_array_equal(again.losses, first.losses)


KILLED = """
import sys, time
from tests.workers import surface

class Slow:
    def __call__(self, outputs, targets):
        time.sleep(0.02)
        return outputs.square().mean()

surface({"size": Slow()}, folder=sys.argv[1])
"""


@pytest.mark.slow
def test_a_killed_surface_loses_less_than_a_second_and_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "surface"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(folder)])
    deadline = time.monotonic() + 60
    while not (folder / POINTS).exists() or records_at_least(folder) < 20:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(0.3)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = records_in(folder)
    assert 20 <= kept < COUNT
    # The killed process had a metric of its own, so that this is another surface.
    with pytest.raises(SurfaceError, match="the metrics differ"):
        surface(METRICS, folder=folder)
    finish = subprocess.run([sys.executable, "-c", KILLED, str(folder)], capture_output=True, text=True, check=False)
    assert finish.returncode == 0, finish.stderr
    same(explainer.open_surface(folder), surface(METRICS))


def records_at_least(folder: Path) -> int:
    return (folder / POINTS).stat().st_size // RECORD


def test_a_surface_with_a_tolerance_goes_on_too(tmp_path: Path) -> None:
    options: dict[str, Any] = {"resolution": 41, "tolerance": 0.01}
    whole, needed = calls_of(lambda: surface(METRICS, **options))
    assert needed < 41**2
    CALLS.clear()
    STOP.append(1 + 3 * needed // 4)
    with pytest.raises(KeyboardInterrupt):
        surface(METRICS, folder=tmp_path, **options)
    STOP.clear()
    kept = records_in(tmp_path)
    found, calls = calls_of(lambda: surface(METRICS, folder=tmp_path, **options))
    assert 0 < kept < needed and calls == needed - kept
    same(found, whole)
    np.testing.assert_array_equal(found.evaluated, whole.evaluated)


@pytest.mark.parametrize("damage", ["torn", "spoilt", "zeros"])
def test_a_torn_record_is_cut_off_and_computed_again(tmp_path: Path, damage: str) -> None:
    kept = interrupted(tmp_path)
    data = (tmp_path / POINTS).read_bytes()
    if damage == "torn":
        (tmp_path / POINTS).write_bytes(data[:-7])
    elif damage == "spoilt":
        (tmp_path / POINTS).write_bytes(data[:-20] + bytes([data[-20] ^ 1]) + data[-19:])
    else:
        (tmp_path / POINTS).write_bytes(data + bytes(5 * RECORD))  # what a power cut leaves on some file systems
    found, calls = calls_of(lambda: surface(METRICS, folder=tmp_path))
    assert calls == COUNT - kept + (damage != "zeros")
    same(found, surface(METRICS))


# What differs


def other_model() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 6), nn.LeakyReLU(inplace=True), nn.Linear(6, 3))


def called(folder: Path, **change: Any) -> explainer.Surface:
    model = seeded(change.pop("make", mlp))
    criterion = change.pop("criterion", nn.CrossEntropyLoss())
    data = change.pop("data", batch_for(model, 0, 40))
    chosen = {"plane": "random", "resolution": 4, "progress": False, "folder": folder, **change}
    return explainer.loss_surface(model, criterion, data, **chosen)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    called(folder)
    return folder


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        ({"make": other_model}, "the model differs"),
        ({"criterion": nn.CrossEntropyLoss(label_smoothing=0.1)}, "the criterion differs"),
        ({"criterion": nn.CrossEntropyLoss(weight=torch.ones(3))}, "the criterion differs"),
        ({"data": batch_for(mlp(), 1, 40)}, "the data differ"),
        ({"metrics": {"size": lambda outputs, targets: 0.0}}, "the metrics differ"),
        ({"batch_norm": "re-estimated"}, "the batch norm differs"),
        ({"mode": "train"}, "the mode differs"),
        ({"seed": 1}, "the directions differ"),
        ({"center": {name: torch.zeros_like(each) + 1 for name, each in mlp().named_parameters()}}, "the center"),
        ({"resolution": 5}, "the axes differ"),
        ({"span": 2.0}, "the span and the axes differ"),
        ({"tolerance": 0.01}, "the tolerance differs"),
    ],
    ids=lambda each: each if isinstance(each, str) else None,
)
@pytest.mark.parametrize("state", ["finished", "unfinished"])
def test_another_surfaces_folder_is_refused_with_what_differs(
    whole: Path, tmp_path: Path, change: dict[str, Any], differs: str, state: str
) -> None:
    folder = whole
    if state == "unfinished":
        folder = tmp_path
        made_of = json.loads((whole / WHOLE).read_text())["notes"]["made_of"]
        (folder / ABOUT).write_text(json.dumps({"format": 1, "made_of": made_of}))
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(SurfaceError, match=f"holds another surface: .*{differs}"):
        called(folder, **change)
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.name != POINTS} == before


SCALE = 1.0


def scaled(outputs: torch.Tensor) -> torch.Tensor:
    return outputs * SCALE


def through_a_helper(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(scaled(outputs), targets)


class Slotted:
    __slots__ = ("scale",)

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(outputs * self.scale, targets)


class Settable(nn.Module):
    """A network whose attributes decide what it does."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.out = nn.Linear(5, 3)
        self.scales, self.by_name, self.fixed = [1.0, 2.0], {"scale": 1.0}, torch.ones(3)
        self._scale, self.act = 1.0, nn.functional.relu
        self.every = [self.out]  # its weights are the surface's, and no setting
        vars(self).update(settings)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scale = self.scales[0] * self.by_name["scale"] * self._scale
        return scale * self.fixed * self.act(self.out(x))


def with_hook(factor: float) -> nn.Module:
    model = seeded(Settable)
    model.out.register_forward_hook(lambda module, args, output: output * factor)
    return model


PAIRS: dict[str, tuple[Callable[[], dict[str, Any]], Callable[[], dict[str, Any]], str]] = {
    "a string": (
        lambda: {"criterion": lambda x, y: nn.functional.cross_entropy(x, y, reduction="mean")},
        lambda: {"criterion": lambda x, y: nn.functional.cross_entropy(x, y, reduction="sum")},
        "the criterion differs",
    ),
    "slots": (lambda: {"criterion": Slotted(1.0)}, lambda: {"criterion": Slotted(2.0)}, "the criterion differs"),
    "a hook": (lambda: {"make": lambda: with_hook(1.0)}, lambda: {"make": lambda: with_hook(2.0)}, "the model differs"),
    "no hook": (lambda: {"make": lambda: with_hook(1.0)}, lambda: {"make": Settable}, "the model differs"),
    "the span's fifth digit": (lambda: {"span": 1.0}, lambda: {"span": 1.00005}, "the span differs"),
} | {
    f"the model's {name}": (
        lambda: {"make": Settable},
        lambda name=name, value=value: {"make": lambda: Settable(**{name: value})},
        "the model differs",
    )
    for name, value in {
        "scales": [3.0, 2.0],
        "by_name": {"scale": 2.0},
        "fixed": 2 * torch.ones(3),
        "_scale": 2.0,
        "act": torch.tanh,
    }.items()
}


@pytest.mark.parametrize("pair", PAIRS)
def test_whatever_decides_a_loss_makes_another_surface_and_nothing_else_does(tmp_path: Path, pair: str) -> None:
    first, other, differs = PAIRS[pair]
    losses = called(tmp_path, **first()).losses
    np.testing.assert_array_equal(called(tmp_path, **first()).losses, losses)
    with pytest.raises(SurfaceError, match=f"holds another surface: {differs}"):
        called(tmp_path, **other())


def test_a_global_that_a_criterion_reads_through_a_helper_makes_another_surface(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        called(tmp_path, criterion=through_a_helper)
    monkeypatch.setattr(sys.modules[__name__], "SCALE", 2.0)
    with pytest.raises(SurfaceError, match="the criterion differs"):
        called(tmp_path, criterion=through_a_helper)


def test_weights_that_are_not_the_center_make_no_other_surface(tmp_path: Path) -> None:
    center = {name: each.detach() for name, each in seeded(Settable).named_parameters()}
    first = called(tmp_path, make=Settable, center=center)
    model = Settable()
    with torch.no_grad():
        model.out.weight += 1
    np.testing.assert_array_equal(called(tmp_path, make=lambda: model, center=center).losses, first.losses)


def test_the_last_digit_of_a_direction_makes_no_other_surface(tmp_path: Path) -> None:
    model = seeded(mlp)
    data, criterion = batch_for(model, 0, 40), nn.CrossEntropyLoss()
    generator = np.random.default_rng(0)
    first, second = generator.normal(size=(2, sum(each.numel() for each in model.parameters())))

    def drawn(scale: float) -> explainer.Surface:
        plane = [first * scale, second]
        return explainer.loss_surface(
            model, criterion, data, plane=plane, resolution=4, folder=tmp_path, progress=False
        )

    drawn(1.0)
    np.testing.assert_array_equal(drawn(1 + 1e-7).losses, drawn(1.0).losses)
    with pytest.raises(SurfaceError, match="the directions differ"):
        drawn(1.01)


@pytest.mark.parametrize("kind", ["file", "photos", "surface of an older kind", "nonsense", "newer"])
def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "folder"
    if kind == "file":
        folder.write_text("mine")
    elif kind == "photos":
        folder.mkdir()
        (folder / "photo.jpg").write_text("mine")
    elif kind == "surface of an older kind":
        called(tmp_path / "first").save(folder)
        about = json.loads((folder / WHOLE).read_text())
        about["notes"].pop("made_of", None)
        (folder / WHOLE).write_text(json.dumps(about))
    else:
        folder.mkdir()
        (folder / ABOUT).write_text("[[" if kind == "nonsense" else '{"format": 99}')
    expected = {
        "file": "is a file",
        "photos": "holds something that is no surface",
        "surface of an older kind": "does not say what it was made of",
        "nonsense": "cannot be read",
        "newer": "of another format",
    }
    with pytest.raises(SurfaceError, match=expected[kind]):
        called(folder)


def test_two_processes_do_not_write_into_one_folder(tmp_path: Path) -> None:
    interrupted(tmp_path)
    made_of = json.loads((tmp_path / ABOUT).read_text())["made_of"]
    other = Unfinished(tmp_path, made_of, 2, 2)
    try:
        with pytest.raises(SurfaceError, match="another process computes the surface"):
            surface(METRICS, folder=tmp_path)
    finally:
        other.close()
    surface(METRICS, folder=tmp_path)


def test_a_full_disk_keeps_what_was_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, calls = os.write, []

    def fills(file: int, data: Any) -> int:
        calls.append(len(data))
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data)

    monkeypatch.setattr(resuming.os, "write", fills)
    with pytest.raises(SurfaceError, match=r"No space left on device; what was finished is kept .* the same call"):
        surface(METRICS, folder=tmp_path)
    monkeypatch.undo()
    found, calls = calls_of(lambda: surface(METRICS, folder=tmp_path))
    assert 0 < calls < COUNT
    same(found, surface(METRICS))


def test_points_are_known_by_their_place_in_whatever_order_they_are_asked_for(tmp_path: Path) -> None:
    points = np.array([[0.0, 1.0], [-0.5, 0.25], [np.pi, -1e-9]])
    made_of = {"the axes": [0.0]}
    first = Unfinished(tmp_path, made_of, 2, 3)
    first.add(points, np.array([[1.0, 2.0, np.nan], [np.inf, 5.0, 6.0], [7.0, 8.0, 9.0]]))
    first.close()
    second = Unfinished(tmp_path, made_of, 2, 3)
    known, values = second.find(np.array([[np.pi, -1e-9], [4.0, 4.0], [-0.0, 1.0], [-0.5, 0.25]]))
    second.close()
    assert known.tolist() == [True, False, True, True]
    np.testing.assert_array_equal(values[[0, 2, 3]], [[7, 8, 9], [1, 2, np.nan], [np.inf, 5, 6]])
