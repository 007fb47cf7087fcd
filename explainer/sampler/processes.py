"""Worker processes on this machine: they share its cores, are replaced when they die, and end with who made them."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

import torch

from explainer.errors import SurfaceError

T = TypeVar("T")


class Processes(Executor):
    """Processes that compute points of a surface, for `loss_surface(…, executor=…)`.

    Unlike a `ProcessPoolExecutor`, they do not use all cores each, and one that dies is replaced.

    Args:
        workers: How many.
        threads: Of each; its share of this machine's cores when omitted.

    Raises:
        SurfaceError: There are none.
    """

    def __init__(self, workers: int, *, threads: int | None = None) -> None:
        if workers < 1:
            raise SurfaceError(f"{workers} workers are none: at least 1 computes")
        self._max_workers, self._threads = workers, threads or max(1, cores() // workers)
        self._lock, self._closed = threading.Lock(), False
        self._pool = self._start()

    def submit(self, work: Callable[..., T], /, *arguments: Any, **named: Any) -> Future[T]:
        """Give work to a process; where one died, all are replaced first."""
        with self._lock:
            if self._closed:
                raise RuntimeError("these processes were ended")
            try:
                return self._pool.submit(work, *arguments, **named)
            except BrokenProcessPool:
                self._pool.shutdown(wait=True)
                self._pool = self._start()
                return self._pool.submit(work, *arguments, **named)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes, when they have done what they were given."""
        with self._lock:
            self._closed = True
            self._pool.shutdown(wait=wait, cancel_futures=cancel_futures)

    def kill(self) -> None:
        """End the processes at once."""
        with self._lock:
            self._closed = True
            running = list((self._pool._processes or {}).values())
            for process in running:
                process.terminate()
            self._pool.shutdown(wait=True, cancel_futures=True)

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if error is None:
            self.shutdown()
        else:
            self.kill()

    def _start(self) -> ProcessPoolExecutor:
        # Not forked: torch's threads do not survive that.
        return ProcessPoolExecutor(
            self._max_workers, multiprocessing.get_context("spawn"), initializer=_prepare, initargs=(self._threads,)
        )


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _prepare(threads: int) -> None:
    """Make a worker's first moves: it leaves Ctrl-C to who made it, and does not outlive that process."""
    torch.set_num_threads(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    multiprocessing.connection.wait([sentinel])
    os._exit(1)
