"""A surface computed by all ranks under `torchrun`: rank 0 leads, the others compute what it hands out, all get it.

Every rank calls `loss_surface` alike. Whatever decides the surface (center, directions, buffers, axes) is rank 0's, so
that no rounding on another rank can differ. No wait is longer than `PATIENCE`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from itertools import count
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from explainer.errors import SurfaceError
from explainer.sampler.evaluation import Evaluator
from explainer.sampler.fingerprint import of_problem
from explainer.sampler.gathering import Floats, Piece, Source, evaluated
from explainer.sampler.jobs import Failure, failure_of, raise_again
from explainer.sampler.planes import Plane
from explainer.sampler.problem import Problem

PATIENCE = timedelta(minutes=10)  # for a rank that does not come, or is slower than the others by so much
SIGN_OF_LIFE = 30.0  # seconds after which rank 0, busy with something else, tells the others to wait on
ROUND_SECONDS = 1.0  # what one round of all ranks may take
_GROWTH = 4  # a rank gets at most so many times as many points as in the round before
_TOLD = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # by torchrun
T = TypeVar("T")
_groups = count()  # the groups that this process made: ranks count alike, as they make the same calls


class RanksLost(SurfaceError):
    """Another rank ended, or did not come."""


class Answer(NamedTuple):
    """What a rank made of its share: values (P, 1 + metrics), or what the model raised; and the seconds it took."""

    values: Floats | None
    failure: Failure | None
    seconds: float


class Ranks:
    """The processes that share a surface's points; this one is `number` of `size`."""

    def __init__(self, group: dist.ProcessGroup | None, number: int, size: int) -> None:
        self._group, self.number, self.size = group, number, size
        self._talking = threading.Lock()  # on rank 0: a round is not interrupted by a sign of life

    def agree(self, prepare: Callable[[], Problem]) -> Problem:
        """Prepare the problem on all ranks, and see that it is the same everywhere.

        Raises:
            SurfaceError: It is not; or a rank failed to prepare it, in which case all of them raise what it raised.
        """
        problem, failure, error = None, None, None
        try:
            problem = prepare()
        except Exception as caught:
            error, failure = caught, failure_of(caught)
        told: list[Any] = [None] * self.size
        with self._heard():
            dist.all_gather_object(told, (failure, of_problem(problem) if problem else None), group=self._group)
        if problem is None:
            raise error or SurfaceError("no problem was posed")
        for rank, (failed, _) in enumerate(told):
            if failed is not None:
                raise_again(failed, f"rank {rank}")
        for rank, (_, made_of) in enumerate(told):
            if differing := [name for name, digest in made_of.items() if digest != told[0][1][name]]:
                raise SurfaceError(
                    f"rank {rank} has {' and '.join(differing)} other than rank 0: give every rank the same, data "
                    "without DistributedSampler too"
                )
        return problem

    def lead(self, compute: Callable[[], T]) -> T:
        """Compute the surface on rank 0, with the help of the others; they get it, or the error that ended it."""
        over = threading.Event()
        living = threading.Thread(target=self._live, args=(over,), daemon=True)
        living.start()
        try:
            surface = compute()
            self._send("done", surface)
            return surface
        except RanksLost:
            raise
        except Exception as error:
            with suppress(RanksLost):  # who fails and is alone fails all the same
                self._send("failed", failure_of(error))
            raise
        finally:
            over.set()
            living.join()

    def serve(self, problem: Problem) -> Any:
        """Compute what rank 0 hands out, until the surface is there."""
        evaluator, own = None, {name: buffer.clone() for name, buffer in problem.model.named_buffers()}
        try:
            while True:
                what, told = self._receive()
                if what == "plane":
                    center, directions, buffers = told
                    _put(problem, buffers)
                    evaluator = Evaluator(
                        problem, _like(problem, center), [_like(problem, each) for each in directions]
                    )
                elif what == "points" and evaluator is not None:
                    points, sizes = told
                    start = sum(sizes[: self.number])
                    answer = self._answered(evaluator, points[start : start + sizes[self.number]])
                    self._gather(answer)
                elif what == "done":
                    return told
                elif what == "failed":
                    raise_again(told, "rank 0")
        finally:
            _put(problem, own)

    def source(self, problem: Problem, plane: Plane) -> Source:
        """Return what computes points on all ranks, for rank 0."""
        here = torch.device("cpu")
        tensors = [{name: each.detach().to(here) for name, each in part.items()} for part in _parts(problem, plane)]
        center, *directions, buffers = tensors
        self._send("plane", (center, directions, buffers))
        evaluator, shares = Evaluator(problem, plane.center, plane.directions), Shares(self.size)

        def stream(points: Floats) -> Iterator[Piece]:
            start = 0
            while start < len(points):
                sizes = shares.next(len(points) - start)
                chosen = np.arange(start, start + sum(sizes))
                answers = self._round(evaluator, points[chosen], sizes)
                shares.learn(sizes, [answer.seconds for answer in answers])
                yield chosen, np.concatenate([answer.values for answer in answers if answer.values is not None])
                start += sum(sizes)

        return stream

    def _round(self, evaluator: Evaluator, points: Floats, sizes: list[int]) -> list[Answer]:
        """Have each rank compute its share of some points."""
        with self._talking:
            self._broadcast(("points", (points, sizes)))
            answers = self._gather(self._answered(evaluator, points[: sizes[0]]))
        for rank, answer in enumerate(answers):
            if answer.failure is not None:
                raise_again(answer.failure, f"rank {rank}")
        return answers

    def _answered(self, evaluator: Evaluator, points: Floats) -> Answer:
        began = time.perf_counter()
        try:
            values = evaluated(evaluator, points) if len(points) else None
        except Exception as error:
            return Answer(None, failure_of(error), 0.0)
        return Answer(values, None, time.perf_counter() - began)

    def _live(self, over: threading.Event) -> None:
        while not over.wait(SIGN_OF_LIFE):
            with suppress(RanksLost):  # the next round says so
                self._send("wait", None)

    def _send(self, what: str, told: Any) -> None:
        with self._talking:
            self._broadcast((what, told))

    def _receive(self) -> tuple[str, Any]:
        return self._broadcast(None)  # type: ignore[no-any-return]

    def _broadcast(self, message: Any) -> Any:
        box = [message]
        with self._heard():
            dist.broadcast_object_list(box, src=0, group=self._group, device=torch.device("cpu"))
        return box[0]

    def _gather(self, answer: Answer) -> list[Answer]:
        answers: list[Any] | None = [None] * self.size if self.number == 0 else None
        with self._heard():
            dist.gather_object(answer, answers, dst=0, group=self._group)
        return answers or []

    @contextmanager
    def _heard(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:  # torch.distributed's errors are its children
            raise RanksLost(
                f"rank {self.number} lost the other ranks ({_first_line(error)}): one of them ended, or was "
                f"{PATIENCE.total_seconds():.0f} s late. With folder=… what was finished is kept: start all again"
            ) from error


class Shares:
    """How many points each rank gets in a round: one at first, then so many that all are done together."""

    def __init__(self, ranks: int) -> None:
        self._speeds = [0.0] * ranks  # points a second; 0 where not known
        self._most = [1] * ranks

    def next(self, left: int) -> list[int]:
        """Return how many of the `left` points each rank gets."""
        sizes = [
            max(1, min(most, int(speed * ROUND_SECONDS))) for speed, most in zip(self._speeds, self._most, strict=True)
        ]
        if sum(sizes) > left:
            parts = np.cumsum([size / sum(sizes) for size in sizes]) * left
            ends = [*np.rint(parts[:-1]).astype(int).tolist(), left]
            sizes = [end - start for start, end in zip([0, *ends[:-1]], ends, strict=True)]
        return sizes

    def learn(self, sizes: list[int], seconds: list[float]) -> None:
        """Take in how long each rank took."""
        for rank, (size, took) in enumerate(zip(sizes, seconds, strict=True)):
            if size:
                self._speeds[rank] = size / max(took, 1e-9)
                self._most[rank] = _GROWTH * size


def share(prepare: Callable[[], Problem], compute: Callable[[Problem, Ranks | None], T], *, alone: bool) -> T:
    """Compute a surface, or several: on all ranks together where there are several, else in this process.

    Args:
        prepare: Makes the problem; every rank does.
        compute: Makes the surface; rank 0 does, with the ranks that help, or None where there are none.
        alone: Whether the ranks are to be left out of it.

    Raises:
        SurfaceError: The ranks differ, or one was lost; what fails on one rank fails on all.
    """
    with _joined(alone=alone) as ranks:
        if ranks is None:
            return compute(prepare(), None)
        problem = ranks.agree(prepare)
        if ranks.number == 0:
            return ranks.lead(lambda: compute(problem, ranks))
        surface: T = ranks.serve(problem)
        return surface


@contextmanager
def _joined(*, alone: bool) -> Iterator[Ranks | None]:
    """Join the other ranks in a group of gloo's, whatever group there is, and leave it afterwards."""
    if alone or not dist.is_available() or not dist.is_gloo_available():
        yield None
    elif dist.is_initialized():
        if dist.get_world_size() == 1:
            yield None
            return
        with _said_who_is_missing():
            group = dist.new_group(backend="gloo", timeout=PATIENCE)
        try:
            yield Ranks(group, dist.get_rank(), dist.get_world_size())
        finally:
            dist.destroy_process_group(group)
    elif _is_told():
        with _said_who_is_missing():
            store, rank, size = next(iter(rendezvous("env://", timeout=PATIENCE)))
            # A name of its own for each group: in the same store the addresses of an earlier one are still written.
            store = PrefixStore(f"explainer{next(_groups)}", store)
            dist.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=PATIENCE)
        try:
            yield Ranks(None, rank, size)
        finally:
            dist.destroy_process_group()
    else:
        yield None


def _is_told() -> bool:
    return all(name in os.environ for name in _TOLD) and os.environ["WORLD_SIZE"] not in ("", "1")


@contextmanager
def _said_who_is_missing() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise RanksLost(
            f"not all ranks came within {PATIENCE.total_seconds():.0f} s ({_first_line(error)}): every rank must call "
            "loss_surface; to compute on one of them, give it executor=…"
        ) from error


def _parts(problem: Problem, plane: Plane) -> list[dict[str, torch.Tensor]]:
    return [plane.center, *plane.directions, dict(problem.model.named_buffers())]


def _like(problem: Problem, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Put tensors where this rank's model has its own."""
    own = dict(problem.model.named_parameters())
    return {name: tensor.to(own[name].device) for name, tensor in tensors.items()}


def _put(problem: Problem, buffers: dict[str, torch.Tensor]) -> None:
    """Write into a model's buffers; each rank's own come back when the surface is done."""
    with torch.no_grad():
        for name, buffer in problem.model.named_buffers():
            buffer.copy_(buffers[name])


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200]
