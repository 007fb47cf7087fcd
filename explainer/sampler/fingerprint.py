"""What decides a surface, as digests: two calls with the same fingerprint compute the same numbers.

Directions and axes are worked out anew by each call, and may come out with another last digit on other cores or a GPU:
they are told by numbers, which may differ that much.
"""

from __future__ import annotations

import functools
import hashlib
import types
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from explainer.sampler.gathering import Floats
from explainer.sampler.planes import Plane
from explainer.sampler.problem import Problem
from explainer.surface import Walk

_DEEPEST = 8  # levels of a value that are looked into
_SHADOWS = 8  # of a direction, on random ones: enough to tell any two apart
_CLOSE = 1e-4  # of the largest number: how far apart they may be

Told = str | list[float]


def fingerprint(
    problem: Problem, plane: Plane, axes: tuple[Floats, Floats], walks: Mapping[str, Walk], tolerance: float | None
) -> dict[str, Told]:
    """Return what decides a surface, by name, each as a digest or as numbers."""
    return {
        **of_problem(problem),
        "the buffers": digest(dict(problem.model.named_buffers())),
        "the plane": digest(plane.name),
        "the center": digest(plane.center),
        "the directions": [x for direction in plane.directions for x in _shadows(direction)],
        "the axes": [*axes[0].tolist(), *axes[1].tolist()],
        "the walks": digest(
            {name: [walk.steps, walk.losses, bool(np.isnan(walk.slopes).all())] for name, walk in walks.items()}
        ),
        "the tolerance": digest(tolerance),
    }


def of_problem(problem: Problem) -> dict[str, Told]:
    """Return what decides a surface beside its weights and buffers, by name."""
    modules = [(name, type(module).__qualname__, _settings(module)) for name, module in problem.model.named_modules()]
    shapes = {name: tuple(parameter.shape) for name, parameter in problem.model.named_parameters()}
    return {
        "the model": digest([modules, shapes]),
        "the criterion": digest(problem.criterion),
        "the data": digest(problem.batches),
        "the metrics": digest(problem.metrics),
        "the batch norm": digest(problem.batch_norm),
        "the mode": digest(problem.training),
    }


def differing(there: Any, here: Mapping[str, Told]) -> list[str]:
    """Return the names of what is not the same in two fingerprints, the first of which may be a stranger's."""
    found = there if isinstance(there, Mapping) else {}
    return [name for name, told in here.items() if not _same(found.get(name), told)]


def digest(value: Any) -> str:
    """Name a value by its content, in sixteen characters."""
    hashed = hashlib.sha256()
    _feed(hashed, value, _DEEPEST)
    return hashed.hexdigest()[:16]


def _feed(hashed: Any, value: Any, deep: int) -> None:
    """Feed a value's content to a digest: arrays by their bytes, code by name and bytes, objects by what they hold."""
    hashed.update(f"{type(value).__module__}.{type(value).__qualname__}(".encode())
    if isinstance(value, torch.Tensor):
        _feed_tensor(hashed, value)
    elif isinstance(value, np.ndarray):
        hashed.update(f"{value.dtype}{value.shape}".encode())
        hashed.update(np.ascontiguousarray(value).data if value.dtype != object else repr(value).encode())
    elif value is None or isinstance(value, str | bytes | int | float | complex | torch.dtype | torch.device | type):
        hashed.update(repr(value).encode())
    elif deep > 0:
        for part in _parts(value):
            _feed(hashed, part, deep - 1)
    hashed.update(b")")


def _parts(value: Any) -> list[Any]:
    """Return what makes a value, beside its type."""
    if isinstance(value, Mapping):
        return [part for item in value.items() for part in item]
    if isinstance(value, list | tuple):
        return list(value)
    if isinstance(value, set | frozenset):
        return sorted(value, key=repr)
    if isinstance(value, functools.partial):
        return [value.func, value.args, value.keywords]
    if isinstance(value, types.MethodType):
        return [value.__func__, value.__self__]
    if isinstance(value, types.FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or () if _filled(cell)]
        return [value.__qualname__, value.__code__, value.__defaults__, value.__kwdefaults__, cells]
    if isinstance(value, types.CodeType):
        return [value.co_code, value.co_names, [each for each in value.co_consts if not isinstance(each, str)]]
    if isinstance(value, nn.Module):
        return [_settings(value), dict(value.state_dict()), dict(value.named_children())]
    return [getattr(value, "__qualname__", ""), getattr(value, "__dict__", {})]


def _settings(module: nn.Module) -> dict[str, Any]:
    """Return a module's own plain settings, such as eps, stride or reduction."""
    return {
        name: value
        for name, value in sorted(vars(module).items())
        if not name.startswith("_") and name != "training" and isinstance(value, str | int | float | tuple | None)
    }


def _feed_tensor(hashed: Any, tensor: torch.Tensor) -> None:
    hashed.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
    plain = tensor.detach().cpu().contiguous().reshape(-1)
    if plain.numel():
        hashed.update(plain.view(torch.uint8).numpy().data)


def _filled(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False


def _shadows(direction: Mapping[str, torch.Tensor]) -> list[float]:
    """Return a direction's length, and its products with random signs."""
    found = np.zeros(1 + _SHADOWS)
    for place, tensor in enumerate(direction.values()):
        values = tensor.detach().double().cpu().numpy().ravel()
        signs = np.random.default_rng(place).integers(0, 2, (_SHADOWS, 1024)) * 2.0 - 1
        whole = np.resize(values, (-(-len(values) // 1024), 1024)) if len(values) else np.zeros((1, 1024))
        whole.reshape(-1)[len(values) :] = 0
        # Each row has a sign of its own, so that rows do not merely add up.
        rows = np.random.default_rng(~place & 0xFFFF).integers(0, 2, len(whole)) * 2.0 - 1
        found += np.array([values @ values, *(signs @ (rows @ whole))])
    return [float(np.sqrt(found[0])), *found[1:].tolist()]


def _same(there: Any, here: Told) -> bool:
    if isinstance(here, str):
        return bool(there == here)
    if not isinstance(there, list) or len(there) != len(here) or not all(isinstance(x, int | float) for x in there):
        return False
    return bool(np.allclose(there, here, rtol=0, atol=_CLOSE * max(map(abs, here), default=0), equal_nan=True))
