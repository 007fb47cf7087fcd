"""Small runs whose loss is drawn as a surface, and the plain loop that every surface is held to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.func import functional_call

import explainer


class Hill(NamedTuple):
    """A trained model, what it was trained on, and the trace of its run."""

    model: nn.Module
    criterion: nn.Module
    data: tuple[torch.Tensor, torch.Tensor]
    trace: explainer.Trace


def full_batch_run(steps: int = 12, dtype: torch.dtype = torch.float32, seed: int = 0, **options: Any) -> Hill:
    """Train 4 → 5 → 3 on 20 examples, all of them in every step."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).to(dtype)
    data = torch.randn(20, 4, dtype=dtype), torch.randint(0, 3, (20,))
    return recorded(model, nn.CrossEntropyLoss(), data, steps, **options)


def recorded(
    model: nn.Module,
    criterion: nn.Module,
    data: tuple[torch.Tensor, torch.Tensor],
    steps: int,
    learning_rate: float = 0.5,
    **options: Any,
) -> Hill:
    """Train by plain gradient descent on all the data, and record it."""
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate)
    with explainer.record(model, criterion=criterion, optimizer=optimizer, **options) as recorder:
        for _ in range(steps):
            optimizer.zero_grad()
            criterion(model(data[0]), data[1]).backward()
            optimizer.step()
    return Hill(model, criterion, data, recorder.trace)


def surface_of(hill: Hill, **options: Any) -> explainer.Surface:
    """Return a small surface of a run, without telling anybody."""
    chosen = {"trace": hill.trace, "resolution": (7, 4), "progress": False, **options}
    return explainer.loss_surface(hill.model, hill.criterion, hill.data, **chosen)


def loss_at(hill: Hill, weights: Mapping[str, Any]) -> float:
    """Return what a plain call gives at some weights."""
    tensors = {
        name: each if isinstance(each, torch.Tensor) else torch.tensor(np.array(each)) for name, each in weights.items()
    }
    with torch.no_grad():
        return float(hill.criterion(functional_call(hill.model, tensors, (hill.data[0],)), hill.data[1]))


def plain_loop(surface: explainer.Surface, loss: Callable[[dict[str, torch.Tensor]], float]) -> np.ndarray[Any, Any]:
    """Return the losses (V, U) of a loop over the grid, written without any of the library's arithmetic."""
    first, second = surface.directions
    rows = []
    for v in surface.v:
        row = []
        for u in surface.u:
            weights = {
                name: torch.tensor(center)
                + float(u) * torch.tensor(first[name])
                + float(v) * torch.tensor(second[name])
                for name, center in surface.center.items()
            }
            row.append(loss(weights))
        rows.append(row)
    return np.array(rows)


def flat(weights: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    """Return all weights side by side, in float64."""
    return np.concatenate([np.asarray(values, np.float64).ravel() for values in weights.values()])


def offsets(hill: Hill, surface: explainer.Surface) -> np.ndarray[Any, Any]:
    """Return (S, n) the recorded weights less the surface's center."""
    stacked = [
        np.asarray(hill.trace.parameters[name], np.float64).reshape(len(hill.trace), -1) for name in surface.center
    ]
    return np.concatenate(stacked, axis=1) - flat(surface.center)
