"""The lesson `trough`: ℓ = w², the smallest thing that can be minimised, for one ball and a learning rate.

One example, input 1 and target 0: the prediction is ŷ = w·1, and its squared error ℓ = w². One step of gradient descent
is w' = w − α·2w = (1 − 2α)·w: it arrives for α < ½, bounces from wall to wall and in for α < 1, for ever at α = 1, and
out for α > 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from explainer.lessons import Progress
from explainer.recorder import record

SAYS = "ℓ = w²: one weight, one example, float64"


class Trough(nn.Module):
    """ŷ = w·x with one weight, whose square is the loss."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([start], dtype=torch.float64))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return w·x of inputs (example, 1)."""
        return self.w * inputs


def loss(w: float) -> float:
    """Return ℓ = w²."""
    return w * w


def gradient(w: float) -> float:
    """Return dℓ/dw = 2w."""
    return 2 * w


def problem(*, start: float, **_: Any) -> tuple[Trough, nn.Module, tuple[torch.Tensor, torch.Tensor]]:
    """Return the weight at its start, squared error, and the one example."""
    inputs = torch.ones(1, 1, dtype=torch.float64)
    return Trough(start), nn.MSELoss(), (inputs, torch.zeros_like(inputs))


def run(
    folder: Path, *, about: Mapping[str, Any], learning_rate: float, start: float, steps: int, progress: Progress
) -> None:
    """Walk down by gradient descent, every step recorded."""
    model, criterion, (inputs, targets) = problem(start=start)
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate)
    with record(model, folder, criterion=criterion, optimizer=optimizer, overwrite=True) as recorder:
        recorder.note(**about, data=SAYS)
        for step in range(steps):
            optimizer.zero_grad()
            criterion(model(inputs), targets).backward()
            optimizer.step()
            progress(step + 1, steps)
