"""The lesson `ravine`: a valley that is steep across and nearly flat along, ℓ = ½ (w1² + 20·w2²).

It is what features of unequal size make of a regression: ŷ = w1·x1 + w2·x2 on two examples, (1, 0) and (0, √20), whose
targets are 0. The step that is small enough for the steep way hardly moves along the flat one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from explainer.lessons import Progress
from explainer.lessons.walking import Problem, optimizer_called, walk

SAYS = "ℓ = ½ (w1² + 20·w2²): two examples, float64"
STEEP = 20.0


class Ravine(nn.Module):
    """ŷ = w1·x1 + w2·x2."""

    def __init__(self, w1: float, w2: float) -> None:
        super().__init__()
        self.w1 = nn.Parameter(torch.tensor([w1], dtype=torch.float64))
        self.w2 = nn.Parameter(torch.tensor([w2], dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ŷ of x (example, 2), as (example, 1)."""
        return self.w1 * x[:, :1] + self.w2 * x[:, 1:]

    @torch.no_grad()
    def gradient(self, x: torch.Tensor, y: torch.Tensor) -> tuple[float, float]:
        """Return ∂ℓ/∂w1 and ∂ℓ/∂w2 of ℓ = mean (ŷ − y)², by hand: w1 and 20·w2."""
        dŷ = 2 * (self(x) - y) / len(x)  # ∂ℓ/∂ŷ of each example
        return float((dŷ * x[:, :1]).sum()), float((dŷ * x[:, 1:]).sum())


def examples() -> tuple[torch.Tensor, torch.Tensor]:
    """Return x, (example, 2), and y, (example, 1)."""
    return torch.diag(torch.tensor([1.0, STEEP**0.5], dtype=torch.float64)), torch.zeros(2, 1, dtype=torch.float64)


def problem(*, w1: float, w2: float, **_: Any) -> Problem:
    """Return the model at its start, its criterion, and both examples."""
    return Ravine(w1, w2), nn.MSELoss(), examples()


def run(
    folder: Path,
    *,
    about: Mapping[str, Any],
    optimizer: str,
    learning_rate: float,
    momentum: float,
    w1: float,
    w2: float,
    steps: int,
    progress: Progress,
) -> None:
    """Walk down the ravine, every step recorded."""
    optimizing = optimizer_called(optimizer, learning_rate, momentum)
    notes = {**about, "data": SAYS}
    walk(problem(w1=w1, w2=w2), optimizing, steps, folder=folder, notes=notes, progress=progress)
