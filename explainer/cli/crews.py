"""Who computes, on the command line: this process, processes beside it, a Dask cluster, or the ranks under torchrun."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from explainer.cli import speech
from explainer.errors import MissingDependency, SurfaceError

_PATIENCE = 6.0  # seconds for a scheduler to answer


@dataclass(frozen=True)
class Crew:
    """Who computes the points.

    Attributes:
        rank: This process's number under torchrun; None where there are no ranks.
    """

    workers: int | None
    scheduler: str | None
    rank: int | None

    @contextmanager
    def executor(self, module: ModuleType | None) -> Iterator[Executor | None]:
        """Yield what the points are given to; None for this process, or its ranks."""
        if self.workers:
            from explainer.sampler.processes import Processes

            with Processes(self.workers) as processes:
                yield processes
        elif self.scheduler:
            with _client(self.scheduler) as client:
                if module is not None:
                    import cloudpickle

                    cloudpickle.register_pickle_by_value(module)  # the workers do not have the file
                if not client.nthreads():
                    speech.say_on_error(f"note: the scheduler at {self.scheduler} has no workers yet; waiting for some")
                yield client.get_executor()
        else:
            yield None


@contextmanager
def _client(address: str) -> Iterator[Any]:
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise MissingDependency("dask.distributed", "--scheduler", "dask") from error
    try:
        asyncio.run(_knock(address))
    except Exception as error:  # what is no scheduler may answer anything
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise SurfaceError(
            f"no Dask scheduler answers at {address} within {_PATIENCE:.0f} s ({reason}): is it running, and may this "
            "machine reach it? `dask scheduler` says its address"
        ) from error
    with Client(address, timeout=_PATIENCE, set_as_default=False) as client:
        yield client


async def _knock(address: str) -> None:
    """See whether a scheduler answers; a `Client` that finds none takes long to end."""
    from distributed.comm.core import connect

    comm = await asyncio.wait_for(connect(address, timeout=_PATIENCE), _PATIENCE)  # connect waits for ever for a word
    await comm.close()


def own_rank() -> int | None:
    """Return this process's number under torchrun."""
    if os.environ.get("WORLD_SIZE", "1") in ("", "1") or "MASTER_ADDR" not in os.environ:
        return None
    return int(os.environ.get("RANK", "0"))
