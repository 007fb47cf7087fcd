"""Recorded runs whose walks are drawn: which of their steps, and the weights that were recorded at each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from explainer.errors import SurfaceError, TraceError
from explainer.recorder.wrappers import named_parameters
from explainer.recordings import StepTensors
from explainer.sampler.weights import Tensors, listed
from explainer.trace import Trace


@dataclass(frozen=True)
class Run:
    """A trace, and those of its steps that are drawn.

    Attributes:
        indices: Where these steps stand among the recorded.
        parameters: The trace's, by name, in the model's order; looked up once, for a long run looks long.
    """

    name: str
    trace: Trace
    indices: tuple[int, ...]
    parameters: Mapping[str, StepTensors]

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def steps(self) -> NDArray[np.int64]:
        """(S,) their numbers."""
        found: NDArray[np.int64] = self.trace.steps[list(self.indices)]
        return found

    @property
    def losses(self) -> NDArray[np.float64]:
        """(S,) the losses as recorded, NaN where there is none."""
        if "loss" not in self.trace.scalars:
            return np.full(len(self), np.nan)
        return np.asarray(self.trace.scalars["loss"], np.float64)[list(self.indices)]

    def array(self, name: str, place: int) -> NDArray[Any]:
        """Return one parameter of the step at a place among those that are drawn."""
        return self.parameters[name][self.indices[place]]

    def weights(self, model: nn.Module, place: int) -> Tensors:
        """Return the weights of the step at a place, as the model would hold them."""
        return _weights(self.parameters, model, self.indices[place])


def read_runs(model: nn.Module, trace: Any, walk_steps: int | None) -> tuple[Run, ...]:
    """Return the runs of a trace, or of several by name.

    Args:
        walk_steps: The most steps that are drawn of each, evenly chosen, the first and the last among them; None: all.

    Raises:
        SurfaceError: A trace is none, holds no weights, or is of another model.
    """
    if walk_steps is not None and (type(walk_steps) is not int or walk_steps < 2):
        raise SurfaceError(f"walk_steps is {walk_steps!r}: give a number from 2 on, or None for all steps")
    if trace is None:
        return ()
    traces = {"walk": trace} if not isinstance(trace, Mapping) else dict(trace)
    if not traces:
        raise SurfaceError("trace is a mapping without a trace: give name → trace, or leave it out")
    for name, each in traces.items():
        if not isinstance(each, Trace):
            raise SurfaceError(
                f"trace {name!r} is of type {type(each).__name__}: give recorder.trace, or explainer.open_trace(folder)"
            )
    return tuple(_run(str(name), each, model, walk_steps) for name, each in traces.items())


def recorded_weights(trace: Trace, model: nn.Module, index: int) -> Tensors:
    """Return the weights of a recorded step, as the model would hold them.

    Raises:
        SurfaceError: The trace is of another model, or holds no weights; the parameter that differs is named.
    """
    return _weights(_parameters(trace, model), model, index)


def last_finite(run: Run, model: nn.Module) -> tuple[int, Tensors]:
    """Return the last of a run's steps whose weights are all finite, as its place, and these weights.

    Raises:
        SurfaceError: There is none.
    """
    for place in reversed(range(len(run))):
        weights = run.weights(model, place)
        if all(bool(torch.isfinite(tensor).all()) for tensor in weights.values()):
            return place, weights
    raise SurfaceError(f"no step of the trace {run.name!r} has finite weights, so there is no center: give center=…")


def _run(name: str, trace: Trace, model: nn.Module, walk_steps: int | None) -> Run:
    if not len(trace):
        raise SurfaceError(
            f"the trace {name!r} holds no step: {trace.missing.get('loss', 'nothing was recorded')}; record a run first"
        )
    parameters = _parameters(trace, model)
    smallest = min(model.named_parameters(), key=lambda item: item[1].numel())[0]
    kept = [index for index in range(len(trace)) if _is_kept(parameters[smallest], index)]
    if not kept:
        raise SurfaceError(f"the trace {name!r} keeps the weights of no step: record with a larger max_bytes")
    _weights(parameters, model, kept[0])  # says which parameter is another's, before long work begins
    if walk_steps is not None and len(kept) > walk_steps:
        kept = [kept[place] for place in np.linspace(0, len(kept) - 1, walk_steps).round().astype(int).tolist()]
    return Run(name, trace, tuple(kept), parameters)


def recorded_names(model: nn.Module) -> dict[str, str]:
    """Return by each parameter's name the one that a recorder gives it, which leaves out what torch wrapped around."""
    return dict(zip((name for name, _ in model.named_parameters()), named_parameters(model), strict=True))


def _parameters(trace: Trace, model: nn.Module) -> dict[str, StepTensors]:
    names = recorded_names(model)
    recorded, own = list(trace.parameters), list(names.values())
    if not recorded:
        raise SurfaceError('the trace keeps no weights: record with keep=("parameters", …), or leave keep out')
    missing, extra = [n for n in own if n not in recorded], [n for n in recorded if n not in own]
    if missing:
        raise SurfaceError(
            f"the trace holds no parameter {listed(missing)}, which the model has: it is of another model, or was "
            "recorded of some layers only (layers=…)"
        )
    if extra:
        raise SurfaceError(f"the trace holds {listed(extra)}, which the model has not: the trace is of another model")
    return {name: trace.parameters[given] for name, given in names.items()}


def _weights(parameters: Mapping[str, StepTensors], model: nn.Module, index: int) -> Tensors:
    found = {}
    for name, parameter in model.named_parameters():
        try:
            values = parameters[name][index]
        except TraceError as error:
            raise SurfaceError(f"{error}; choose another step") from error
        if values.shape != tuple(parameter.shape):
            raise SurfaceError(
                f"{name!r} is {values.shape} in the trace and {tuple(parameter.shape)} in the model: "
                "the trace is of another model"
            )
        found[name] = torch.from_numpy(np.array(values)).to(parameter)
    return found


def _is_kept(tensors: StepTensors, index: int) -> bool:
    try:
        return tensors[index] is not None
    except TraceError:
        return False
