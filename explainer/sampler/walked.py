"""The directions in which recorded weights walked, from the products of their offsets from the center.

Two passes over the trace, one parameter at a time and never more than `_ROOM` bytes of it: the first for the products
of all offsets, (step, step), the second for the directions, which are sums of offsets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from explainer.errors import SurfaceError
from explainer.sampler.runs import Run
from explainer.sampler.weights import Tensors, length

Floats = NDArray[np.float64]
_ROOM = 1024**3  # bytes of recorded weights that are held at once
_BLOCK = 64 * 1024**2  # bytes of offsets in float64
_TINY = 1e-9  # of the largest coordinate: below it a sign says nothing


def walked_directions(plane: str, runs: Sequence[Run], center: Tensors) -> tuple[Tensors, ...]:
    """Return orthogonal directions of length 1, two of them or, where the walk is one straight line, one.

    "pca": those in which the weights vary most about the center, the first most. "ends": from the first run's last
    weights to its first, and the main one of what is left of all. Of the first direction that sign is taken by which
    the walk starts at u ≥ 0, of the second that by which the step farthest from 0 lies at v > 0.

    Raises:
        SurfaceError: The walk does not move, or, for "ends", ends where it started.
    """
    gram = gram_matrix(runs, center)
    finite = np.isfinite(np.diag(gram))  # a run that diverged has its last steps at NaN
    if not finite.any():
        raise SurfaceError("no recorded step has finite weights: nothing can be drawn around them")
    gram = np.where(finite[:, None] & finite[None, :], gram, 0.0)
    noise = _rounding(center) * len(gram)
    spread = np.diag(gram)[finite] + gram[finite][0, finite][0] - 2 * gram[finite][0, finite]  # from the first
    if not spread.max() > max(noise / len(gram), 1e-14 * gram.max()):
        raise SurfaceError(
            "the walk does not move: all recorded weights are the same; record a run that trains, or choose 'random'"
        )
    mixes = _main(gram, noise) if plane == "pca" else _ends(gram, noise, len(runs[0]), finite)
    return _sums_of_offsets(np.stack([_turned(mix, gram, place) for place, mix in enumerate(mixes)]), runs, center)


def gram_matrix(runs: Sequence[Run], center: Tensors) -> Floats:
    """Return the products of all offsets from the center, (step, step) over all runs' steps."""
    steps = sum(map(len, runs))
    gram = np.zeros((steps, steps))
    with np.errstate(all="ignore"):
        for _, _, block in _offsets(runs, center):
            gram += block @ block.T
    return gram


def _main(gram: Floats, noise: float) -> list[Floats]:
    """Return how much of each offset makes the main directions: two of (step,), or one where there is one."""
    values, vectors = np.linalg.eigh(gram)
    found = [vectors[:, place] / np.sqrt(values[place]) for place in (-1, -2) if len(values) >= -place]
    least = max(noise, 1e-14 * values[-1])
    return [mix for mix, value in zip(found, values[::-1], strict=False) if value > least]


def _ends(gram: Floats, noise: float, steps: int, finite: NDArray[np.bool_]) -> list[Floats]:
    """Return the like for the direction between the ends, and the main one of what is left."""
    last = int(np.flatnonzero(finite[:steps])[-1])
    across = np.zeros(len(gram))
    across[0], across[last] = 1.0, -1.0 if last else 0.0
    distance = np.sqrt(max(float(across @ gram @ across), 0.0))
    if not distance**2 > noise / len(gram):
        raise SurfaceError("the walk ends where it started, so there is no line between its ends; take plane='pca'")
    across /= distance
    along = gram @ across  # (step,) each offset's coordinate on it
    rest = _main(gram - np.outer(along, along), noise)[:1]
    return [across, *(mix - (mix @ along) * across for mix in rest)]


def _turned(mix: Floats, gram: Floats, place: int) -> Floats:
    """Return a direction or its opposite, by the sign that is promised."""
    along = gram @ mix
    telling = along[0] if place == 0 and abs(along[0]) > _TINY * np.abs(along).max() else along[np.abs(along).argmax()]
    return -mix if telling < 0 else mix


def _sums_of_offsets(mixes: Floats, runs: Sequence[Run], center: Tensors) -> tuple[Tensors, ...]:
    """Return directions (D, step) of offsets as directions of weights, their lengths made exactly 1."""
    flat = {name: np.zeros((len(mixes), tensor.numel())) for name, tensor in center.items()}
    for name, start, block in _offsets(runs, center):
        flat[name][:, start : start + block.shape[1]] = mixes @ np.nan_to_num(block, nan=0.0, posinf=0.0, neginf=0.0)
    norms = np.sqrt(sum(np.square(rows).sum(axis=1) for rows in flat.values()))
    return tuple(
        {n: torch.from_numpy(flat[n][place] / norms[place]).reshape(each.shape).to(each) for n, each in center.items()}
        for place in range(len(mixes))
    )


def _offsets(runs: Sequence[Run], center: Tensors) -> Iterator[tuple[str, int, Floats]]:
    """Yield a parameter's name, where a part of it begins, and the offsets of that part at all steps (step, part)."""
    steps = sum(map(len, runs))
    width = max(1, _BLOCK // (8 * steps))
    for name, tensor in center.items():
        origin = tensor.detach().cpu().double().numpy().ravel()
        for begin, rows in _rows(runs, name, len(origin), steps):
            for start in range(0, len(rows[0]), width):
                block = np.stack([row[start : start + width] for row in rows]).astype(np.float64)
                block -= origin[begin + start : begin + start + block.shape[1]]
                yield name, begin + start, block


def _rows(runs: Sequence[Run], name: str, size: int, steps: int) -> Iterator[tuple[int, list[NDArray[Any]]]]:
    """Yield where a part of a parameter begins, and it at every step; a part is all that there is room for."""
    each = runs[0].array(name, 0).itemsize
    width = max(1, _ROOM // (each * steps))
    for begin in range(0, size, width):
        part = slice(begin, begin + width)
        found = (run.array(name, place).reshape(-1) for run in runs for place in range(len(run)))
        yield begin, [row if width >= size else row[part].copy() for row in found]  # a view would hold the whole


def _rounding(center: Tensors) -> float:
    """Return the square of how far weights are moved by rounding alone, with some room."""
    eps = max(torch.finfo(tensor.dtype).eps for tensor in center.values())
    return float((eps * length(center)) ** 2)
