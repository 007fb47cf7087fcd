"""Two directions through weights: which plane of all a surface is drawn on.

All but those of "random" and given ones are of length 1 and orthogonal, so that a distance on the plane is one between
weights. Their signs and their order are chosen by what is named here, so that a trace gives the same picture anywhere.

"pca"      in which the recorded weights vary most about the center (Li et al. 2018, section 7; Lipton 2016), the first
           most; the walk starts at u ≥ 0, and its step farthest along the second lies at v > 0. Of all runs together.
"ends"     from the walk's last weights to its first, and the one in which the rest varies most; signs as for "pca". Of
           several runs the first one's ends.
"random"   two normal draws, each filter as long as the weights' own (Li et al. 2018, section 4), biases and norms at
           rest: 1 along one is about as far as the weights are from zero.
"hessian"  in which the loss curves upwards most at the center, the first most; the largest entry of each is positive.
           `notes["curvatures"]` has the two curvatures, ∂²loss/∂u² and ∂²loss/∂v².

Where the walk of "pca" or "ends" is one straight line, the second direction is a random one of length 1 beside it, and
`notes` say so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from explainer.errors import SurfaceError, unknown
from explainer.sampler.curvature import sharpest_directions
from explainer.sampler.problem import Problem
from explainer.sampler.runs import Run, recorded_weights
from explainer.sampler.walked import walked_directions
from explainer.sampler.weights import Tensors, check_names, combined, dot, length, like, numbers, own_weights, scaled

PLANES = ("pca", "random", "ends", "hessian")
_PARALLEL = 1e-9  # of 1 − cos² between two directions, below which they make no plane in float32
_NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.LocalResponseNorm)


@dataclass(frozen=True)
class Plane:
    """A center and its directions, by parameter name.

    Attributes:
        name: One of `PLANES`, or "given"; of a line, what `loss_slice` calls it.
        notes: What else is to be said of the directions.
    """

    name: str
    center: Tensors
    directions: tuple[Tensors, ...]
    notes: Mapping[str, Any] = field(default_factory=dict)


def find_plane(
    problem: Problem,
    plane: str | Sequence[Any],
    runs: Sequence[Run],
    center: Tensors,
    seed: int = 0,
    *,
    shown: bool = False,
) -> Plane:
    """Return the plane that a user asks for.

    Args:
        shown: Whether to show how far a long search is, if somebody looks.

    Raises:
        SurfaceError: There is no such plane, it needs a trace, the walk does not move, or the directions make none.
    """
    if sum(tensor.numel() for tensor in center.values()) < 2:
        raise SurfaceError("the model has one weight, and a plane needs two: take explainer.loss_slice")
    if not isinstance(plane, str):
        return Plane("given", center, given_directions(plane, center))
    if plane not in PLANES:
        raise SurfaceError(f"{unknown('plane', plane, PLANES)} Or give two directions.")
    if plane == "random":
        return Plane(plane, center, random_directions(problem.model, center, seed), {"seed": seed})
    if plane == "hessian":
        directions, curvatures = sharpest_directions(problem, center, shown=shown)
        return Plane(plane, center, directions, {"curvatures": curvatures})
    if not runs:
        raise SurfaceError(f"the plane {plane!r} is made of recorded weights: give trace=…, or plane='random'")
    directions = walked_directions(plane, runs, center)
    if len(directions) == 2:
        return Plane(plane, center, directions)
    beside = beside_line(problem.model, directions[0], center, seed)
    note = "the walk is one straight line; v is a random direction (filter-normalised, made orthogonal, of length 1)"
    return Plane(plane, center, (directions[0], beside), {"second direction": note, "seed": seed})


def random_directions(model: nn.Module, center: Tensors, seed: int, count: int = 2) -> tuple[Tensors, ...]:
    """Return random directions, filter-normalised (Li et al. 2018, section 4).

    Normal draws; each filter (each row of a weight, along its first axis) as long as the weight's own. Biases and the
    scales of norms get none, as in the paper's code. The draws are the same on every device.

    Raises:
        SurfaceError: Nothing but biases and norms is left, or all weights are zero.
    """
    generator = torch.Generator("cpu").manual_seed(seed)
    still = _without_filters(model, center)
    found = tuple(
        {
            name: torch.zeros_like(tensor) if name in still else _filter_normalised(tensor, generator)
            for name, tensor in center.items()
        }
        for _ in range(count)
    )
    if any(length(direction) == 0 for direction in found):
        raise SurfaceError(
            "a filter-normalised random direction is as long as the weights, and these are all zero, biases or norms: "
            "give two directions of your own"
        )
    if count == 2:
        _check_two(found)
    return found


def given_directions(plane: Any, center: Tensors) -> tuple[Tensors, ...]:
    """Return two directions as a user gives them.

    Raises:
        SurfaceError: They are not two, do not fit the model, are zero, or parallel.
    """
    if isinstance(plane, Mapping) or not hasattr(plane, "__len__") or len(plane) != 2:
        count = f"{len(plane)} of them" if hasattr(plane, "__len__") and not isinstance(plane, Mapping) else "one"
        raise SurfaceError(f"a plane is two directions, or one of {', '.join(map(repr, PLANES))}; this is {count}")
    found = tuple(given_direction(each, center, f"direction {place}") for place, each in enumerate(plane))
    _check_two(found)
    return found


def given_direction(given: Any, center: Tensors, what: str = "the direction") -> Tensors:
    """Return one direction as a user gives it.

    Parameter name → array, or in the order of `model.parameters()` a list of arrays or one flat vector. A parameter
    that a mapping leaves out does not move.

    Raises:
        SurfaceError: It does not fit the model, is zero, or is not finite.
    """
    if isinstance(given, Mapping):
        check_names(given, center, what)
        found = {
            name: like(tensor, given[name], f"{what}: {name!r}") if name in given else torch.zeros_like(tensor)
            for name, tensor in center.items()
        }
    elif isinstance(given, str):
        raise SurfaceError(f"{what} is {given!r}: give parameter name → array, or a flat vector")
    elif isinstance(given, list | tuple) and any(getattr(each, "ndim", 0) for each in given):
        found = _from_list(given, center, what)
    else:
        found = _from_flat(given, center, what)
    size = length(found)
    if not np.isfinite(size):
        raise SurfaceError(f"{what} is not finite everywhere")
    if size == 0:
        raise SurfaceError(f"{what} is zero: it leads nowhere")
    return found


def beside_line(model: nn.Module, line: Tensors, center: Tensors, seed: int) -> Tensors:
    """Return a random direction of length 1 orthogonal to one of length 1."""
    try:
        (draw,) = random_directions(model, center, seed, count=1)
        rest = combined(draw, line, -dot(draw, line))
    except SurfaceError:  # nothing to take a length from
        rest = scaled(line, 0.0)
    if length(rest) < 1e-3 * length(line):  # so few weights that the two are one: any other direction will do
        generator = torch.Generator("cpu").manual_seed(seed)
        draw = {
            name: torch.randn(each.shape, generator=generator, dtype=torch.float64, device="cpu").to(each)
            for name, each in center.items()
        }
        rest = combined(draw, line, -dot(draw, line))
    rest = scaled(rest, 1 / length(rest))
    rest = combined(rest, line, -dot(rest, line))  # once more: the first was rounded in the weights' own precision
    return scaled(rest, 1 / length(rest))


def _without_filters(model: nn.Module, center: Tensors) -> set[str]:
    norms = {
        id(parameter) for module in model.modules() if isinstance(module, _NORMS) for parameter in module.parameters()
    }
    return {
        name
        for name, parameter in model.named_parameters()
        if parameter.ndim < 2 or id(parameter) in norms or name.rpartition(".")[2] == "bias"
    }


def _filter_normalised(weight: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    draw = torch.randn(weight.shape, generator=generator, dtype=torch.float64, device="cpu")
    own, rows = weight.cpu().double(), tuple(range(1, weight.ndim))
    norm = torch.linalg.vector_norm  # Tensor.norm is a matrix norm for two dimensions, and an error for three
    scale = norm(own, dim=rows, keepdim=True) / norm(draw, dim=rows, keepdim=True).clamp_min(1e-10)
    found: torch.Tensor = (draw * scale).to(weight)
    return found


def _from_list(given: Sequence[Any], center: Tensors, what: str) -> Tensors:
    if len(given) != len(center):
        raise SurfaceError(
            f"{what} is a list of {len(given)}, and the model has {len(center)} parameters: give one array for each, "
            "in the order of model.parameters(), or parameter name → array"
        )
    named = zip(center.items(), given, strict=True)
    return {name: like(tensor, each, f"{what}: {name!r}") for (name, tensor), each in named}


def _from_flat(given: Any, center: Tensors, what: str) -> Tensors:
    flat = numbers(given, what)
    sizes = [tensor.numel() for tensor in center.values()]
    if flat.shape != (sum(sizes),):
        raise SurfaceError(
            f"{what} has the shape {tuple(flat.shape)}, and the model has {sum(sizes):,} weights: give a flat vector "
            "of so many in the order of model.parameters(), or parameter name → array"
        )
    parts = flat.split(sizes)
    return {name: part.reshape(each.shape).to(each) for (name, each), part in zip(center.items(), parts, strict=True)}


def _check_two(directions: Sequence[Tensors]) -> None:
    first, second = directions
    cosine = dot(first, second) / (length(first) * length(second))
    if 1 - cosine**2 < _PARALLEL:
        raise SurfaceError("the two directions are parallel, and make no plane: give two that differ")


__all__ = ["Plane", "find_plane", "own_weights", "recorded_weights"]
