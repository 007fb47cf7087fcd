"""A surface under torchrun: two real processes of gloo's share the points, and each returns the whole."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import explainer
from explainer.errors import SurfaceError
from explainer.sampler import ranked
from explainer.sampler.ranked import Shares
from explainer.sampler.resuming import POINTS
from tests.networks import batch_for, mlp, seeded
from tests.workers import RESOLUTION, same, surface

RANKS = 2
needs_gloo = pytest.mark.skipif(not dist.is_available() or not dist.is_gloo_available(), reason="torch without gloo")


class Normed(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))


CALLS: list[int] = []


def counted(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    CALLS.append(1)
    return outputs.square().mean()


# What each of the two processes does; they are started once, and do everything in turn.


def plain(rank: int, folder: Path) -> Any:
    CALLS.clear()
    told: list[tuple[int, int]] = []
    found = surface({"size": counted}, progress=lambda *now: told.append(now))
    return found, len(CALLS), told


def wrapped(rank: int, folder: Path) -> Any:
    """Ranks whose buffers differ, as after a training with DistributedDataParallel."""
    model = seeded(Normed)
    parallel = DistributedDataParallel(model)
    with torch.no_grad():
        parallel(batch_for(model, rank)[0])  # moves the running statistics
    before = {name: each.clone() for name, each in model.state_dict().items()}
    options: dict[str, Any] = {"plane": "random", "resolution": 5, "progress": False}
    found = explainer.loss_surface(parallel, nn.CrossEntropyLoss(), batch_for(model, 0), **options)
    with ThreadPoolExecutor(1) as executor:  # with which the ranks are left out of it
        alone = explainer.loss_surface(model, nn.CrossEntropyLoss(), batch_for(model, 0), executor=executor, **options)
    untouched = all(torch.equal(before[name], each) for name, each in model.state_dict().items())
    return found, alone, untouched


def kept(rank: int, folder: Path) -> Any:
    first = surface(folder=folder / "kept")
    again = surface(folder=folder / "kept")
    return first, again


def sequence(rank: int, folder: Path) -> Any:
    model = seeded(mlp)
    criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=0.1)
    inputs, targets = batch_for(model, 0)
    with explainer.record(model, None, criterion=criterion, optimizer=optimizer) as recorder:
        for _ in range(3):
            optimizer.zero_grad()
            criterion(model(inputs), targets).backward()
            optimizer.step()
    options: dict[str, Any] = {"steps": 2, "resolution": 4, "progress": False}
    return explainer.surface_sequence(recorder.trace, model, criterion, (inputs, targets), **options).surfaces


def failing(rank: int, folder: Path) -> Any:
    """What goes wrong on one rank goes wrong on both."""
    other = batch_for(mlp(), rank, 40)

    def of_one(outputs: torch.Tensor, targets: torch.Tensor) -> float:
        if dist.get_rank() == 1:
            raise ArithmeticError("only rank 1 fails")
        return 0.0

    calls: dict[str, Callable[[], Any]] = {
        "metric": lambda: surface({"size": of_one}),
        "plane": lambda: surface(plane="randon"),
        "data": lambda: explainer.loss_surface(seeded(mlp), nn.CrossEntropyLoss(), other, plane="random"),
        "pose": lambda: surface(batch_norm="as is" if rank == 0 else "never"),
    }
    said = {}
    for name, call in calls.items():
        began = time.monotonic()
        try:
            call()
        except Exception as error:
            said[name] = type(error).__name__, str(error), time.monotonic() - began
    return said


CASES: list[Callable[[int, Path], Any]] = [plain, kept, wrapped, sequence, failing]


def process(rank: int, folder: Path, port: int) -> None:
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(RANKS), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    found: dict[str, Any] = {"told": [plain(rank, folder), plain(rank, folder)]}  # by the environment only, twice
    assert not dist.is_initialized()
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=RANKS)
    try:
        found |= {case.__name__: case(rank, folder) for case in CASES}
    finally:
        dist.destroy_process_group()
    torch.save(found, folder / f"found{rank}.pt")


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    folder = tmp_path_factory.mktemp("ranks")
    torch.multiprocessing.spawn(process, (folder, free_port()), nprocs=RANKS)
    of_ranks = [torch.load(folder / f"found{rank}.pt", weights_only=False) for rank in range(RANKS)]
    return {name: [each[name] for each in of_ranks] for name in of_ranks[0]}


@needs_gloo
@pytest.mark.slow
def test_every_rank_returns_the_whole_surface(found: dict[str, list[Any]]) -> None:
    expected = surface({"size": counted})
    of_ranks = [found["plain"], *zip(*found["told"], strict=True)]
    for (first, *_), (second, *_) in of_ranks:
        same(first, expected)
        for name in ("losses", "u", "v", "evaluated"):
            np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


@needs_gloo
@pytest.mark.slow
def test_the_ranks_share_the_points_and_rank_0_says_how_far_they_are(found: dict[str, list[Any]]) -> None:
    count = RESOLUTION**2
    (_, calls, told), (_, other_calls, other_told) = found["plain"]
    assert min(calls, other_calls) > count // 10
    assert count <= calls + other_calls <= count + RANKS  # which try the metric out
    assert told[-1] == (count, count) and other_told == []


@needs_gloo
@pytest.mark.slow
def test_the_ranks_save_one_surface_and_open_it(found: dict[str, list[Any]]) -> None:
    for first, again in found["kept"]:
        same(first, surface())
        np.testing.assert_array_equal(again.losses, first.losses)


@needs_gloo
@pytest.mark.slow
def test_what_a_ranks_own_buffers_hold_changes_nothing_and_stays(found: dict[str, list[Any]]) -> None:
    (first, alone, untouched), (second, other_alone, other_untouched) = found["wrapped"]
    np.testing.assert_allclose(first.losses, alone.losses, rtol=1e-6)
    np.testing.assert_array_equal(first.losses, second.losses)
    assert not np.allclose(alone.losses, other_alone.losses)  # by itself rank 1 has another surface
    assert untouched and other_untouched


@needs_gloo
@pytest.mark.slow
def test_a_sequence_of_surfaces_is_shared_too(found: dict[str, list[Any]]) -> None:
    first, second = found["sequence"]
    assert len(first) == 2
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.losses, other.losses)


@needs_gloo
@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "kind", "said"),
    [
        ("metric", "ArithmeticError", "only rank 1 fails"),
        ("plane", "SurfaceError", "no plane is called 'randon'"),
        ("data", "SurfaceError", "rank 1 has the data other than rank 0"),
        ("pose", "SurfaceError", "no treatment of batch norm is called 'never'"),
    ],
)
def test_what_fails_on_one_rank_fails_on_both_at_once(
    found: dict[str, list[Any]], what: str, kind: str, said: str
) -> None:
    for of_rank in found["failing"]:
        found_kind, found_said, seconds = of_rank[what]
        assert found_kind == kind and said in found_said
        assert seconds < 20


DYING = """
import os, sys, time
from tests.workers import surface

calls = 0

def dies(outputs, targets):
    global calls
    calls += 1
    time.sleep(0.02)
    if os.environ["RANK"] == "1" and calls == 8:
        os._exit(7)
    return outputs.mean()

surface({"size": dies}, folder=sys.argv[1])
"""


@needs_gloo
@pytest.mark.slow
def test_a_rank_that_dies_ends_the_others_with_an_error_and_what_was_finished_is_kept(tmp_path: Path) -> None:
    port, began = free_port(), time.monotonic()
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", DYING, str(tmp_path / "surface")],
            env=os.environ
            | {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(RANKS)
    ]
    said = [rank.communicate(timeout=60)[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [1, 7]
    assert "rank 0 lost the other ranks" in said[0] and "start all again" in said[0]
    assert time.monotonic() - began < 60
    assert (tmp_path / "surface" / POINTS).stat().st_size > 0


# How the points are shared out


def test_a_rank_that_is_faster_gets_more_points() -> None:
    shares = Shares(3)
    assert shares.next(100) == [1, 1, 1]
    for _ in range(6):
        sizes = shares.next(10_000)
        shares.learn(sizes, [sizes[0] / 100, sizes[1] / 50, sizes[2] / 25])
    assert shares.next(10_000) == [100, 50, 25]  # a second's worth for each
    assert shares.next(7) == [4, 2, 1]


@pytest.mark.parametrize("left", [1, 2, 3, 50, 51])
def test_no_point_is_left_out_or_given_twice(left: int) -> None:
    shares = Shares(4)
    shares.learn([10, 10, 10, 10], [1.0, 0.5, 0.2, 3.0])
    sizes = shares.next(left)
    assert sum(sizes) == min(left, 10 + 20 + 40 + 3) and min(sizes) >= 0


def test_one_process_alone_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", "1")
    same(surface(), surface())
    assert not dist.is_initialized()


def test_a_rank_that_nobody_joins_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranked, "PATIENCE", timedelta(seconds=1))
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}.items():
        monkeypatch.setenv(name, str(value))
    with pytest.raises(SurfaceError, match=r"not all ranks came within 1 s .* every rank must call loss_surface"):
        surface()
    assert not dist.is_initialized()
