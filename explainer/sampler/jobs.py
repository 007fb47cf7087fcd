"""What runs on a worker: a surface's model and data come once, as bytes named by their content; then only points."""

from __future__ import annotations

import hashlib
import io
import multiprocessing
import os
import pickle
import socket
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import nullcontext
from importlib import import_module
from typing import Any, NamedTuple, NoReturn

import torch

from explainer.errors import SurfaceError
from explainer.sampler.evaluation import Evaluator, Tensors
from explainer.sampler.gathering import Floats, evaluated
from explainer.sampler.problem import Problem

_home = os.getpid()  # of the process that imported this
_settled = 0  # of the process that settled in last
KEPT = 2  # jobs that a worker keeps; one surface is one job


class Job(NamedTuple):
    """What makes a surface's points computable elsewhere.

    Attributes:
        key: Names the content, so that a worker knows whether it has it.
        payload: Problem, center and directions, as torch.save writes them.
    """

    key: str
    payload: bytes


class Failure(NamedTuple):
    """What a model raised on a worker.

    Attributes:
        pickled: The exception itself, where it survives the way.
        said: Its type, message and point, in words.
        traceback: As the worker would have printed it.
    """

    pickled: bytes | None
    said: str
    traceback: str


class Answer(NamedTuple):
    """What a worker answers: values; or a failure; or, with neither, that it does not have the job.

    Attributes:
        worker: Machine and process.
        values: (P, 1 + metrics).
        seconds: What computing took.
        unreadable: Why the job cannot be unpacked there.
    """

    worker: str
    values: Floats | None = None
    seconds: float = 0.0
    failure: Failure | None = None
    unreadable: str = ""


def pack(problem: Problem, center: Tensors, directions: Sequence[Tensors]) -> Job:
    """Make a job of a problem and its plane.

    Raises:
        SurfaceError: Something of it cannot be pickled.
    """
    file = io.BytesIO()
    try:
        torch.save((problem, dict(center), tuple(map(dict, directions))), file, pickle_module=_pickler())
    except Exception as error:  # pickling calls code of the model's own, which may raise anything
        raise SurfaceError(
            f"{_culprit(problem)} cannot be sent to other processes ({type(error).__name__}: {error}): write lambdas "
            "and local classes as functions and classes of a module (or pip install cloudpickle), leave locks and "
            "open files out, or evaluate here, without executor="
        ) from error
    payload = file.getvalue()
    return Job(hashlib.sha256(payload).hexdigest(), payload)


def work(key: str, points: Floats, payload: bytes | None) -> Answer:
    """Compute points (P, D) of a job, on a worker."""
    worker = f"{socket.gethostname()}:{os.getpid()}"
    _settle_in()
    try:
        unpacked = _shelf.find(key, payload)
    except Exception as error:
        return Answer(worker, unreadable=f"{type(error).__name__}: {error}")
    if unpacked is None:
        return Answer(worker)
    began = time.perf_counter()
    try:
        with _one_draws if unpacked.draws else nullcontext():
            values = evaluated(unpacked.evaluator, points)
    except Exception as error:
        return Answer(worker, failure=failure_of(error))
    return Answer(worker, values, time.perf_counter() - began)


def _settle_in() -> None:
    """Let a forked process do without the threads that torch had where it was forked: they did not come along."""
    global _settled
    if os.getpid() != _settled:
        if os.getpid() != _home or getattr(multiprocessing.current_process(), "_start_method", "") == "fork":
            torch.set_num_threads(1)  # or it would wait for them for ever
        _settled = os.getpid()


def forget(key: str) -> None:
    """Drop a job where the workers are threads of this very process."""
    _shelf.drop(key)


def failure_of(error: Exception) -> Failure:
    """Describe what a model raised, so that another process can raise it again."""
    point = "; ".join(getattr(error, "__notes__", []))
    said = f"{type(error).__name__}: {error}" + (f", {point}" if point else "")
    text = "".join(traceback.format_exception(error))
    try:
        pickled = pickle.dumps(error)
        pickle.loads(pickled)  # noqa: S301 - one's own; some exceptions cannot be made again, which would break a pool
    except Exception:
        return Failure(None, said, text)
    return Failure(pickled, said, text)


def raise_again(failure: Failure, where: str) -> NoReturn:
    """Raise what a model raised on a worker, as itself where that can be."""
    if failure.pickled is not None:
        error: Exception = pickle.loads(failure.pickled)  # noqa: S301 - what our own worker sent
    else:
        error = SurfaceError(f"the model failed: {failure.said}")
    error.add_note(f"on the worker {where}:\n{failure.traceback}")
    raise error


class _Unpacked(NamedTuple):
    evaluator: Evaluator
    draws: bool  # in train mode a model may draw random numbers, which are the whole process's


class _Shelf:
    """The last few jobs of this process.

    Each thread has a model of its own: evaluating changes a module for a moment, which two threads must not do to one.
    """

    def __init__(self) -> None:
        self._own = threading.local()
        self._payloads: OrderedDict[str, bytes] = OrderedDict()  # for the process's other threads

    def find(self, key: str, payload: bytes | None) -> _Unpacked | None:
        own: OrderedDict[str, _Unpacked] = self._own.__dict__.setdefault("jobs", OrderedDict())
        if key not in own:
            payload = payload or self._payloads.get(key)
            if payload is None:
                return None
            own[key] = _unpack(payload)
            _keep_few(own)
            if threading.current_thread() is not threading.main_thread():  # else there is nobody to share it with
                self._payloads[key] = payload
                _keep_few(self._payloads)
        own.move_to_end(key)
        return own[key]

    def drop(self, key: str) -> None:
        self._payloads.pop(key, None)


_shelf = _Shelf()
_one_draws = threading.Lock()


def _keep_few(shelf: OrderedDict[str, Any]) -> None:
    while len(shelf) > KEPT:
        shelf.popitem(last=False)


def _unpack(payload: bytes) -> _Unpacked:
    """Make an evaluator of a job, on this worker's current device where it was made for a GPU, and there is one."""
    device = f"cuda:{torch.cuda.current_device()}" if torch.cuda.is_available() else "cpu"

    def place(storage: Any, location: str) -> Any:
        if not location.startswith("cuda"):
            return None  # where it was
        return storage.cuda(device) if device != "cpu" else storage

    # weights_only=False: a model is code; it comes from who started these workers.
    problem, center, directions = torch.load(io.BytesIO(payload), map_location=place, weights_only=False)
    return _Unpacked(Evaluator(problem, center, directions), problem.training)


def _pickler() -> Any:
    """Return cloudpickle where it is installed (Dask brings it): it also sends what `__main__` defines."""
    try:
        return import_module("cloudpickle")
    except ModuleNotFoundError:
        return pickle


def _culprit(problem: Problem) -> str:
    """Name the part that cannot be pickled."""
    parts = {"the model": problem.model, "the criterion": problem.criterion, "the data": problem.batches}
    for name, part in (parts | {f"the metric {name!r}": each for name, each in problem.metrics.items()}).items():
        try:
            torch.save(part, io.BytesIO(), pickle_module=_pickler())
        except Exception:
            return f"{name} ({type(part).__name__})"
    return "the surface's model and data"
