"""Points of a surface through any `concurrent.futures.Executor`: processes here, Dask's workers or MPI's ranks there.

A task carries the name of its job and a few points; a worker that lacks the job says so, and is sent it once. What a
lost worker had is computed again; where the executor is gone for good, the rest is computed here.
"""

from __future__ import annotations

import asyncio
import os
import time
import warnings
from collections import deque
from collections.abc import Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ThreadPoolExecutor,
    wait,
)
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explainer.errors import ExplainerWarning, SurfaceError
from explainer.sampler.gathering import Floats, Pace, Piece, Source
from explainer.sampler.jobs import Answer, Job, forget, raise_again, work

IN_FLIGHT = 4  # tasks a worker: one that it does, the others so that it never waits
TRIES = 4  # of one task, before the executor counts as broken
_LOOK_AGAIN = 5.0  # seconds after which a cluster is asked again how large it is
_PATIENCE = 3  # payloads that went to others before a worker that lacked one is taken for gone
_LOST = (BrokenExecutor, CancelledError, asyncio.CancelledError, OSError, EOFError, TimeoutError)
# Dask's, by name, so that it need not be loaded: a worker died too often, none is left, the client lost its scheduler.
_LOST_NAMES = {"KilledWorker", "NoWorkerError", "NoValidWorkerError", "ClosedClientError"}


@dataclass
class _Task:
    chosen: NDArray[np.int64]  # which of the points
    carries: bool = False  # the job's payload
    tries: int = 0


@dataclass
class _Holders:
    """Who has the job, and who lacks it."""

    have: set[str] = field(default_factory=set)
    lack: dict[str, int] = field(default_factory=dict)  # and how many payloads may go elsewhere until it is forgotten

    def heard(self, worker: str, *, has: bool, carried: bool) -> None:
        if not has:
            self.lack.setdefault(worker, _PATIENCE)
            return
        self.have.add(worker)
        self.lack.pop(worker, None)
        if carried:
            self.lack = {each: left - 1 for each, left in self.lack.items() if left > 1}


class Spread:
    """A source of points: computes them by an executor's workers.

    Args:
        here: Computes points in this process, where the executor is gone for good.
    """

    def __init__(self, executor: Executor, job: Job, here: Source) -> None:
        self._executor, self._job, self._here = executor, job, here
        self._pace, self._holders = Pace(), _Holders()
        self._slots, self._looked = 1, -float("inf")
        self._flying: dict[Future[Answer], _Task] = {}
        self._gone = ""  # why no more is given to the executor

    def __call__(self, points: Floats) -> Iterator[Piece]:
        """Have points (P, D) evaluated; pieces come in the order in which they are finished."""
        fresh, again = deque([np.arange(len(points))]), deque[_Task]()
        try:
            while not self._gone and (again or fresh[0].size or self._flying):
                self._launch(points, fresh, again)
                done, _ = wait(self._flying, return_when=FIRST_COMPLETED)
                for future in done:
                    task = self._flying.pop(future)
                    answer = self._landed(future, task)
                    if answer is None or answer.values is None:
                        again.append(task)
                    else:
                        yield task.chosen, answer.values
        finally:
            for future in self._flying:
                future.cancel()
            if isinstance(self._executor, ThreadPoolExecutor):
                wait(self._flying)  # they draw from this process's random numbers
            left = [task.chosen for task in (*again, *self._flying.values())]
            self._flying.clear()
        if self._gone:
            yield from self._compute_here(points, np.concatenate([*left, fresh[0]]))

    def close(self) -> None:
        """Drop what workers that are threads of this process kept."""
        forget(self._job.key)

    def _launch(self, points: Floats, fresh: deque[NDArray[np.int64]], again: deque[_Task]) -> None:
        """Give the executor as much as keeps its workers busy."""
        self._look()
        most = IN_FLIGHT * self._slots if self._holders.have else self._slots
        while not self._gone and len(self._flying) < most and (again or fresh[0].size):
            carrying = sum(task.carries for task in self._flying.values())
            carries = carrying < len(self._holders.lack)
            if self._holders.lack and not carries:
                return  # who lacks the job would only send tasks back until it has come
            if again:
                task = again.popleft()
            else:
                size = self._pace.next_size(fresh[0].size, 2 * self._slots)
                task = _Task(fresh[0][:size])
                fresh[0] = fresh[0][size:]
            task.carries = carries
            if not self._submit(points, task):
                again.append(task)

    def _submit(self, points: Floats, task: _Task) -> bool:
        payload = self._job.payload if task.carries else None
        try:
            with warnings.catch_warnings():  # Dask says that a model is large; it goes once to each worker
                warnings.filterwarnings("ignore", "Sending large graph", UserWarning)
                future = self._executor.submit(work, self._job.key, points[task.chosen], payload)
        except Exception as error:  # whatever it is, this executor takes no more work
            self._gone = f"{type(error).__name__}: {error}"
            return False
        self._flying[future] = task
        return True

    def _landed(self, future: Future[Answer], task: _Task) -> Answer | None:
        """Take in what became of a task; None where its worker was lost."""
        try:
            answer = future.result()
        except BaseException as error:
            if not is_loss(error):
                if isinstance(error, Exception):
                    raise SurfaceError(
                        f"the workers cannot compute ({type(error).__name__}: {error}): they need explainer, torch and "
                        "the model's own modules in the same versions as here"
                    ) from error
                raise
            task.tries += 1
            if task.tries >= TRIES:
                self._gone = f"{type(error).__name__}: {error}"
            return None
        if answer.failure is not None:
            raise_again(answer.failure, answer.worker)
        if answer.unreadable:
            raise SurfaceError(
                f"the worker {answer.worker} cannot unpack the model and its data ({answer.unreadable}): make their "
                "modules importable there, in the same versions as here"
            )
        self._holders.heard(answer.worker, has=answer.values is not None, carried=task.carries)
        if answer.values is not None:
            self._pace.learn(len(task.chosen), answer.seconds)
        return answer

    def _compute_here(self, points: Floats, left: NDArray[np.int64]) -> Iterator[Piece]:
        if len(left):
            warnings.warn(
                f"the executor's workers were lost for good ({self._gone}): the other {len(left):,} points are "
                "computed in this process",
                ExplainerWarning,
                stacklevel=2,
            )
        for chosen, values in self._here(points[left]):
            yield left[chosen], values

    def _look(self) -> None:
        """Ask now and then how many the workers are: clusters grow and shrink."""
        if time.monotonic() - self._looked > _LOOK_AGAIN:
            self._looked = time.monotonic()
            with suppress(OSError, TimeoutError):  # a cluster that does not answer is found out by its tasks
                self._slots = slots_of(self._executor)


def slots_of(executor: Executor) -> int:
    """Return how many tasks an executor does at once; as many as this machine has processors where it does not say."""
    client: Any = getattr(executor, "_client", None)
    if hasattr(client, "nthreads"):  # Dask's
        threads: dict[str, int] = client.nthreads()
        return max(1, sum(threads.values()))
    told = getattr(executor, "_max_workers", None) or getattr(executor, "num_workers", None)  # the latter is mpi4py's
    return told if isinstance(told, int) and told > 0 else os.cpu_count() or 1


def is_loss(error: BaseException) -> bool:
    """Tell whether an exception means that a worker or the way to it was lost, rather than that a task is wrong."""
    return isinstance(error, _LOST) or any(each.__name__ in _LOST_NAMES for each in type(error).__mro__)
