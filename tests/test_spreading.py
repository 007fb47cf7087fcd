"""Points through executors: threads, processes, Dask's workers; lost workers; a model's own mistakes."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import (
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from multiprocessing import get_all_start_methods, get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import explainer
from explainer.errors import ExplainerWarning, SurfaceError
from explainer.sampler import gathering, jobs
from explainer.sampler.gathering import Pace
from explainer.sampler.processes import Processes
from explainer.sampler.spreading import is_loss, slots_of
from explainer.surface import Surface
from tests import workers
from tests.networks import batch_for, mlp, seeded
from tests.workers import same, surface

# Dask's own: its loop and comms end in threads that outlive what Python sees as their owner.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


@pytest.fixture(scope="module")
def local() -> Surface:
    return surface({"size": workers.Calm()})


@pytest.fixture(scope="module")
def processes() -> Iterator[Processes]:
    with Processes(2) as executor:
        yield executor


@pytest.fixture(scope="module")
def dask() -> Iterator[Any]:
    """A cluster of two processes on this machine."""
    from distributed import Client, LocalCluster

    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "processes": True}
    with LocalCluster(**options) as cluster, Client(cluster, set_as_default=False) as client:
        yield client


class Watched(Executor):
    """Hands work on to another executor, and remembers it; takes its answers in whatever order it likes."""

    def __init__(self, inner: Executor, workers: int) -> None:
        self._inner, self._max_workers = inner, workers
        self.sent: list[tuple[str, int, bool]] = []  # key, points, whether the payload went with it
        self.most, self._flying, self._lock = 0, 0, threading.Lock()

    def submit(self, work: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        key, points, payload = arguments
        self.sent.append((key, len(points), payload is not None))
        with self._lock:
            self._flying += 1
            self.most = max(self.most, self._flying)
        future = self._inner.submit(work, *arguments, **named)
        future.add_done_callback(self._landed)
        return future

    def _landed(self, future: Future[Any]) -> None:
        with self._lock:
            self._flying -= 1


class Unlucky(Executor):
    """Fails as told, then does the work in a thread."""

    def __init__(self, *failures: BaseException, submits: int = 10**9) -> None:
        self._inner, self._failures, self._submits = ThreadPoolExecutor(1), list(failures), submits

    def submit(self, work: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        if self._submits == 0:
            raise BrokenExecutor("the pool is gone")
        self._submits -= 1
        if not self._failures:
            return self._inner.submit(work, *arguments, **named)
        future: Future[Any] = Future()
        future.set_exception(self._failures.pop(0))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._inner.shutdown(wait, cancel_futures=cancel_futures)


# The same grid, wherever it is computed


def test_threads_compute_the_same_grid_each_with_a_model_of_its_own(local: Surface) -> None:
    before = torch.random.get_rng_state()
    with ThreadPoolExecutor(3) as executor:
        same(surface({"size": workers.Calm()}, executor=executor), local)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_dropout_draws_alike_in_several_threads() -> None:
    model = nn.Sequential(nn.Linear(5, 8), nn.Dropout(0.5), nn.Linear(8, 3))
    options = {"plane": "random", "resolution": 6, "mode": "train", "progress": False}
    alone = explainer.loss_surface(model, nn.CrossEntropyLoss(), batch_for(model, 0), **options)
    with ThreadPoolExecutor(4) as executor:
        spread = explainer.loss_surface(model, nn.CrossEntropyLoss(), batch_for(model, 0), executor=executor, **options)
    same(spread, alone)


@pytest.mark.slow
def test_processes_compute_the_same_grid_and_are_sent_the_model_once_each(
    processes: Processes, local: Surface, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "PIECE_SECONDS", 0.0)  # one point a task
    watched = Watched(processes, 2)
    same(surface({"size": workers.Slow()}, executor=watched), local)
    assert len({key for key, _, _ in watched.sent}) == 1
    assert sum(points for _, points, _ in watched.sent) >= local.losses.size
    assert 2 <= sum(carried for *_, carried in watched.sent) <= 6  # a task with the model may reach who has it already
    assert watched.most <= 8  # four a worker: what waits is bounded
    again = Watched(processes, 2)
    same(surface({"size": workers.Slow()}, executor=again), local)
    assert not any(carried for *_, carried in again.sent)  # both have it still


@pytest.mark.slow
def test_a_dask_cluster_computes_the_same_grid_although_a_worker_dies(
    dask: Any, local: Surface, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "PIECE_SECONDS", 0.02)
    found = surface({"size": workers.DiesOnce(tmp_path)}, executor=dask.get_executor())
    assert (tmp_path / "call2").exists()  # a worker did die
    same(found, local)


def test_tasks_grow_with_what_they_take_and_leave_some_for_everyone() -> None:
    pace = Pace()
    assert pace.next_size(1000, 4) == 1
    sizes = []
    for _ in range(5):
        size = pace.next_size(1000, 4)
        pace.learn(size, 0.002 * size)
        sizes.append(size)
    assert sizes == [1, 4, 16, 64, 250]  # half a second's worth at last
    assert pace.next_size(1000, 8) == 125 and pace.next_size(3, 8) == 1
    pace.learn(100, 100.0)
    assert pace.next_size(1000) < 5


FORKED = """
import torch, warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_all_start_methods, get_context
from torch import nn
import explainer

warnings.simplefilter("ignore", DeprecationWarning)  # Python's own, of forking where there are threads
torch.set_num_threads(4)
torch.manual_seed(0)
net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 26 * 26, 10))
data = torch.randn(64, 1, 28, 28), torch.randint(10, (64,))
def losses(executor):
    model, options = (net, nn.CrossEntropyLoss(), data), {"plane": "random", "resolution": 4, "progress": False}
    return explainer.loss_surface(*model, executor=executor, **options).losses
here = losses(None)  # torch's threads have begun
with ProcessPoolExecutor(2, get_context("fork")) as executor:
    assert abs(losses(executor) - here).max() < 1e-5
"""


@pytest.mark.skipif("fork" not in get_all_start_methods(), reason="nothing is forked here")
def test_processes_that_are_forked_do_not_wait_for_threads_that_did_not_come_along() -> None:
    subprocess.run([sys.executable, "-c", FORKED], check=True, timeout=120)


# Workers that are lost


@pytest.mark.slow
def test_a_process_that_dies_is_replaced_and_nothing_is_missing(
    processes: Processes, local: Surface, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "PIECE_SECONDS", 0.02)
    same(surface({"size": workers.DiesOnce(tmp_path)}, executor=processes), local)
    assert (tmp_path / "call2").exists()


@pytest.mark.slow
def test_a_pool_that_python_gives_up_leaves_the_rest_to_this_process_and_says_so(
    local: Surface, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "PIECE_SECONDS", 0.02)
    with ProcessPoolExecutor(1, get_context("spawn")) as executor, pytest.warns(ExplainerWarning) as said:
        found = surface({"size": workers.DiesOnce(tmp_path)}, executor=executor)
    (warning,) = said
    assert "workers were lost for good (BrokenProcessPool" in str(warning.message)
    assert "points are computed in this process" in str(warning.message)
    same(found, local)


@pytest.mark.parametrize(
    "error",
    [BrokenExecutor("gone"), CancelledError(), asyncio.CancelledError(), ConnectionResetError("reset"), EOFError()],
    ids=lambda error: type(error).__name__,
)
def test_what_a_lost_worker_had_is_computed_again(error: BaseException) -> None:
    expected = surface()
    with Unlucky(error, error) as executor, warnings.catch_warnings():
        warnings.simplefilter("error", ExplainerWarning)
        same(surface(executor=executor), expected)


@pytest.mark.parametrize("submits", [0, 1, 3])
def test_an_executor_that_breaks_leaves_what_is_left_to_this_process(submits: int) -> None:
    with Unlucky(submits=submits) as executor, pytest.warns(ExplainerWarning, match="lost for good") as said:
        found = surface(executor=executor)
    assert len(said) == 1
    same(found, surface())


def test_an_executor_that_loses_every_task_is_given_up() -> None:
    with Unlucky(*[ConnectionResetError("reset")] * 1000) as executor, pytest.warns(ExplainerWarning, match="reset"):
        same(surface(executor=executor), surface())


class KilledWorker(Exception):
    """Dask's, as far as its name goes."""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (KilledWorker("task", "worker"), True),
        (TimeoutError(), True),
        (ConnectionRefusedError(), True),
        (ValueError("the model's own"), False),
        (ModuleNotFoundError("No module named 'explainer'"), False),
        (KeyboardInterrupt(), False),
    ],
    ids=lambda each: type(each).__name__,
)
def test_a_loss_is_told_from_a_mistake(error: BaseException, expected: bool) -> None:
    assert is_loss(error) is expected


# Mistakes


def test_a_models_own_exception_comes_back_as_itself_with_its_point() -> None:
    with ThreadPoolExecutor(2) as executor, pytest.raises(ArithmeticError, match="no such outputs") as caught:
        surface({"size": workers.Refuses()}, executor=executor)
    point, where = caught.value.__notes__
    assert re.fullmatch(r"at the point \(\S+, -1\) of the surface", point)  # of the first row: the first tasks
    assert "on the worker" in where and "in there" in where


def test_an_exception_that_cannot_travel_is_told_in_words() -> None:
    with (
        ThreadPoolExecutor(2) as executor,
        pytest.raises(SurfaceError, match=r"the model failed: Odd: an odd one, at the point \("),
    ):
        surface({"size": workers.RefusesOddly()}, executor=executor)


def test_here_too_an_exception_says_its_point() -> None:
    metric = workers.Refuses()
    calls = iter([False] * 12 + [True] * 1000)
    metric.home = type("Home", (), {"__eq__": lambda self, other: not next(calls), "__hash__": None})()
    with pytest.raises(ArithmeticError) as caught:
        surface({"size": metric})
    assert caught.value.__notes__[0].startswith("at the point (")


@pytest.mark.parametrize("what", ["model", "metric"])
def test_what_cannot_be_sent_is_named(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, metrics = seeded(mlp), {}
    if what == "model":
        model.lock = threading.Lock()  # which cloudpickle cannot send either
    else:
        monkeypatch.setattr(jobs, "_pickler", lambda: __import__("pickle"))
        metrics = {"size": lambda outputs, targets: 0.0}
    expected = r"the model \(Sequential\) cannot" if what == "model" else r"the metric 'size' \(function\) cannot"
    with ThreadPoolExecutor(1) as executor, pytest.raises(SurfaceError, match=expected + " be sent to other processes"):
        explainer.loss_surface(
            model, nn.CrossEntropyLoss(), batch_for(model, 0), plane="random", executor=executor, metrics=metrics
        )


def test_a_worker_that_lacks_the_models_module_says_so() -> None:
    model = seeded(mlp)
    with ThreadPoolExecutor(1) as executor, pytest.raises(SurfaceError, match=r"cannot unpack .* named 'only_at_home'"):
        explainer.loss_surface(model, workers.Lost(), batch_for(model, 0), plane="random", executor=executor)


def test_workers_without_explainer_are_told_of() -> None:
    told = r"the workers cannot compute .* the same versions"
    missing = ModuleNotFoundError("No module named 'explainer'")
    with Unlucky(missing) as executor, pytest.raises(SurfaceError, match=told):
        surface(executor=executor)


# How many they are


@pytest.mark.parametrize(
    ("attributes", "slots"),
    [
        ({"_max_workers": 3}, 3),
        ({"num_workers": 5}, 5),  # mpi4py's
        ({"_client": type("Client", (), {"nthreads": lambda self: {"tcp://a": 2, "tcp://b": 4}})()}, 6),
        ({"_client": type("Client", (), {"nthreads": dict})()}, 1),  # Dask's, before its first worker has come
    ],
)
def test_how_much_an_executor_does_at_once(attributes: dict[str, Any], slots: int) -> None:
    executor = Unlucky()
    for name, value in attributes.items():
        setattr(executor, name, value)
    assert slots_of(executor) == slots


@pytest.mark.slow
def test_processes_share_the_cores(processes: Processes) -> None:
    from explainer.sampler.processes import cores

    assert processes.submit(torch.get_num_threads).result() == max(1, cores() // 2)
    assert np.isfinite(processes.submit(np.float64, 1).result())


def test_no_workers_are_refused() -> None:
    with pytest.raises(SurfaceError, match="at least 1"):
        Processes(0)
