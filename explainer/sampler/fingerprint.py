"""What decides a surface, as digests: two calls with the same fingerprint compute the same numbers.

Directions and axes are worked out anew by each call, and may come out with another last digit on other cores or a GPU:
they are told by numbers, which may differ that much.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from explainer.sampler.digests import digest, settings
from explainer.sampler.gathering import Floats
from explainer.sampler.planes import Plane
from explainer.sampler.problem import Problem
from explainer.surface import Walk

_SHADOWS = 8  # of a direction, on random ones: enough to tell any two apart
_CLOSE = 1e-4  # of the largest number: how far apart they may be

Told = str | list[float]


def fingerprint(
    problem: Problem,
    plane: Plane,
    axes: tuple[Floats, Floats],
    walks: Mapping[str, Walk],
    tolerance: float | None,
    *,
    spanned: bool,
) -> dict[str, Told]:
    """Return what decides a surface, by name, each as a digest or as numbers.

    Args:
        spanned: Whether a user said how far the axes reach: then it is that to the last digit.
    """
    return {
        **of_problem(problem),
        "the buffers": digest(dict(problem.model.named_buffers())),
        "the plane": digest(plane.name),
        "the center": digest(plane.center),
        "the directions": [x for direction in plane.directions for x in _shadows(direction)],
        "the span": digest([axis[[0, -1]] for axis in axes] if spanned else None),
        "the axes": [*axes[0].tolist(), *axes[1].tolist()],
        "the walks": digest(
            {name: [walk.steps, walk.losses, bool(np.isnan(walk.slopes).all())] for name, walk in walks.items()}
        ),
        "the tolerance": digest(tolerance),
    }


def of_problem(problem: Problem) -> dict[str, Told]:
    """Return what decides a surface beside its weights and buffers, by name."""
    model = problem.model
    names = {id(each): f"parameter {name} {tuple(each.shape)}" for name, each in model.named_parameters()}
    names |= {id(each): f"buffer {name}" for name, each in model.named_buffers()}
    names |= {id(each): f"module {name}" for name, each in model.named_modules()}
    return {
        "the model": digest([[type(each), settings(each)] for each in model.modules()], names),
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
