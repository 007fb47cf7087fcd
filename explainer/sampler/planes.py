"""Two directions through weights: which plane of all a surface is drawn on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from explainer.errors import SurfaceError, unknown
from explainer.trace import Trace

PLANES = ("pca", "random", "ends", "hessian")
Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Plane:
    """A center and its directions, by parameter name."""

    name: str
    center: Tensors
    directions: tuple[Tensors, ...]


def recorded_weights(trace: Trace, model: nn.Module, index: int) -> Tensors:
    """Return the weights of a recorded step, as the model would hold them.

    Raises:
        SurfaceError: The trace is of another model, or holds no weights; the parameter that differs is named.
    """
    found = {}
    for name, parameter in model.named_parameters():
        if name not in trace.parameters:
            raise SurfaceError(
                f"the trace holds no parameter {name!r}, which the model has: it is of another model, or was recorded "
                f'without keep=("parameters", …)'
            )
        values = trace.parameters[name][index]
        if values.shape != tuple(parameter.shape):
            raise SurfaceError(
                f"{name!r} is {values.shape} in the trace and {tuple(parameter.shape)} in the model: "
                "the trace is of another model"
            )
        found[name] = torch.from_numpy(np.array(values)).to(parameter)
    return found


def own_weights(model: nn.Module) -> Tensors:
    """Return a copy of the weights that a model has now."""
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def find_plane(
    model: nn.Module, plane: str | Sequence[Any], traces: Sequence[Trace], center: Tensors, seed: int
) -> Plane:
    """Return the plane that a user asks for.

    Raises:
        SurfaceError: There is no such plane, or it needs a trace, or the walk does not move.
    """
    if not isinstance(plane, str):
        return Plane("given", center, tuple(_given(direction, center) for direction in plane))
    if plane not in PLANES:
        raise SurfaceError(unknown("plane", plane, PLANES))
    if plane == "random":
        return Plane(plane, center, random_directions(center, seed))
    if not traces:
        raise SurfaceError(f"the plane {plane!r} is made of recorded weights: give trace=…, or plane='random'")
    return Plane(plane, center, pca_directions(model, traces, center))


def random_directions(center: Tensors, seed: int, count: int = 2) -> tuple[Tensors, ...]:
    """Return random directions, filter-normalised (Li et al. 2018, section 4).

    Normal draws; each filter (each row of a weight) as long as the weight's own; biases and norms' scales get none.
    """
    generator = torch.Generator().manual_seed(seed)
    return tuple({name: _filter_normalised(tensor, generator) for name, tensor in center.items()} for _ in range(count))


def _filter_normalised(weight: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    draw = torch.randn(weight.shape, generator=generator, dtype=torch.float64).to(weight)
    if weight.ndim < 2:
        return torch.zeros_like(weight)
    rows = tuple(range(1, weight.ndim))
    scale: torch.Tensor = weight.norm(dim=rows, keepdim=True) / draw.norm(dim=rows, keepdim=True).clamp_min(1e-10)
    return draw * scale


def pca_directions(model: nn.Module, traces: Sequence[Trace], center: Tensors, count: int = 2) -> tuple[Tensors, ...]:
    """Return the unit directions in which the recorded weights vary most about the center.

    By the Gram matrix of the offsets (step, step), one parameter at a time, so that no copy of all weights is held.

    Raises:
        SurfaceError: The walk does not move, or along one line only.
    """
    steps = sum(map(len, traces))
    gram = np.zeros((steps, steps))
    for name in center:
        block = _offsets(traces, name, center[name])
        gram += block @ block.T
    values, vectors = np.linalg.eigh(gram)
    if values[-1] <= 0:
        raise SurfaceError("the walk does not move: all recorded weights are the last; take plane='random'")
    if values[-count] <= 1e-12 * values[-1]:
        raise SurfaceError("the walk is a straight line, which makes no plane; take plane='random'")
    mixes = [vectors[:, -1 - place] / np.sqrt(values[-1 - place]) for place in range(count)]
    found: list[Tensors] = [{} for _ in mixes]
    for name in center:
        block = _offsets(traces, name, center[name])
        for direction, mix in zip(found, mixes, strict=True):
            direction[name] = torch.from_numpy(mix @ block).reshape(center[name].shape).to(center[name])
    return tuple(found)


def _offsets(traces: Sequence[Trace], name: str, center: torch.Tensor) -> NDArray[np.float64]:
    last = center.detach().cpu().double().numpy().ravel()
    rows = [np.asarray(trace.parameters[name], np.float64).reshape(len(trace), -1) for trace in traces]
    offsets: NDArray[np.float64] = np.concatenate(rows) - last
    return offsets


def _given(direction: Any, center: Tensors) -> Tensors:
    if isinstance(direction, Mapping):
        return {name: torch.as_tensor(np.array(direction[name])).to(tensor) for name, tensor in center.items()}
    flat = torch.as_tensor(np.array(direction)).ravel()
    sizes = [tensor.numel() for tensor in center.values()]
    if len(flat) != sum(sizes):
        raise SurfaceError(f"a direction has {len(flat):,} numbers, and the model {sum(sizes):,} parameters")
    parts = flat.split(sizes)
    return {
        name: part.reshape(tensor.shape).to(tensor) for (name, tensor), part in zip(center.items(), parts, strict=True)
    }
