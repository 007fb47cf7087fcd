"""The lesson `two-weights`: the smallest network, x → w1 → tanh → w2 → ŷ, and the whole of its loss.

Two weights and a non-linear activation already make a landscape: two valleys, since (w1, w2) and (−w1, −w2) are the
same function, and a saddle between them at the origin. Where one starts decides where one ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from explainer.lessons import Progress
from explainer.lessons.walking import Problem, optimizer_called, walk

SAYS = "21 points of y = tanh(1.5·x) with noise of 0.1; made for this lesson"


class TwoWeights(nn.Module):
    """ŷ = w2·tanh(w1·x)."""

    def __init__(self, w1: float, w2: float) -> None:
        super().__init__()
        self.w1 = nn.Parameter(torch.tensor([w1], dtype=torch.float64))
        self.w2 = nn.Parameter(torch.tensor([w2], dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ŷ of x, (example, 1)."""
        S = torch.tanh(self.w1 * x)
        return self.w2 * S

    @torch.no_grad()
    def gradient(self, x: torch.Tensor, y: torch.Tensor) -> tuple[float, float]:
        """Return ∂ℓ/∂w1 and ∂ℓ/∂w2 of ℓ = mean (ŷ − y)², by the chain rule."""
        S = torch.tanh(self.w1 * x)
        dŷ = 2 * (self.w2 * S - y) / len(x)  # ∂ℓ/∂ŷ of each example
        dS = dŷ * self.w2
        return float((dS * (1 - S**2) * x).sum()), float((dŷ * S).sum())


def examples() -> tuple[torch.Tensor, torch.Tensor]:
    """Return x and y, (example, 1) each."""
    generator = torch.Generator().manual_seed(0)
    x = torch.linspace(-2, 2, 21, dtype=torch.float64)[:, None]
    return x, torch.tanh(1.5 * x) + 0.1 * torch.randn(x.shape, generator=generator, dtype=torch.float64)


def problem(*, w1: float, w2: float, **_: Any) -> Problem:
    """Return the network at its start, its criterion, and all points."""
    return TwoWeights(w1, w2), nn.MSELoss(), examples()


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
    """Train the network, every step recorded."""
    optimizing = optimizer_called(optimizer, learning_rate, momentum)
    notes = {**about, "data": SAYS}
    walk(problem(w1=w1, w2=w2), optimizing, steps, folder=folder, notes=notes, progress=progress)
