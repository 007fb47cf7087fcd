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
from explainer.lessons.walking import Problem, optimizer_called, walk

SAYS = "ℓ = w²: one weight, one example, float64"


class Trough(nn.Module):
    """ŷ = w·x with one weight, whose square is the loss."""

    def __init__(self, start: float) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([start], dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ŷ of x, (example, 1)."""
        return self.w * x

    @torch.no_grad()
    def gradient(self, x: torch.Tensor, y: torch.Tensor) -> tuple[float]:
        """Return dℓ/dw of ℓ = mean (ŷ − y)², by hand: 2w."""
        return (float((2 * (self(x) - y) * x).mean()),)


def problem(*, start: float, **_: Any) -> Problem:
    """Return the weight at its start, squared error, and the one example."""
    x = torch.ones(1, 1, dtype=torch.float64)
    return Trough(start), nn.MSELoss(), (x, torch.zeros_like(x))


def run(
    folder: Path, *, about: Mapping[str, Any], learning_rate: float, start: float, steps: int, progress: Progress
) -> None:
    """Walk down by gradient descent, every step recorded."""
    optimizing = optimizer_called("SGD", learning_rate)
    walk(problem(start=start), optimizing, steps, folder=folder, notes={**about, "data": SAYS}, progress=progress)
