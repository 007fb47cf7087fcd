"""The lesson `line`: a straight line ŷ = w·x + b is laid through points with noise, by the mean of squared errors.

Two weights, so that the loss is a surface that can be seen whole: a bowl, whose lowest point is the best line.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from explainer.lessons import Progress
from explainer.lessons.walking import Problem, optimizer_called, walk

SAYS = "20 points of y = 1.2·x + 0.4 with noise of 0.3; made for this lesson"


class Line(nn.Module):
    """ŷ = w·x + b."""

    def __init__(self, w: float, b: float) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([w], dtype=torch.float64))
        self.b = nn.Parameter(torch.tensor([b], dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ŷ of x, (example, 1)."""
        return self.w * x + self.b

    @torch.no_grad()
    def gradient(self, x: torch.Tensor, y: torch.Tensor) -> tuple[float, float]:
        """Return ∂ℓ/∂w and ∂ℓ/∂b of ℓ = mean (ŷ − y)², by hand."""
        dŷ = 2 * (self(x) - y) / len(x)  # ∂ℓ/∂ŷ of each example
        return float((dŷ * x).sum()), float(dŷ.sum())


def examples() -> tuple[torch.Tensor, torch.Tensor]:
    """Return x and y, (example, 1) each."""
    generator = torch.Generator().manual_seed(0)
    x = torch.linspace(0, 2, 20, dtype=torch.float64)[:, None]
    return x, 1.2 * x + 0.4 + 0.3 * torch.randn(x.shape, generator=generator, dtype=torch.float64)


def problem(*, w: float, b: float, **_: Any) -> Problem:
    """Return the line at its start, its criterion, and all points."""
    return Line(w, b), nn.MSELoss(), examples()


def run(
    folder: Path,
    *,
    about: Mapping[str, Any],
    optimizer: str,
    learning_rate: float,
    momentum: float,
    w: float,
    b: float,
    steps: int,
    progress: Progress,
) -> None:
    """Lay the line, every step recorded."""
    optimizing = optimizer_called(optimizer, learning_rate, momentum)
    notes = {**about, "data": SAYS}
    walk(problem(w=w, b=b), optimizing, steps, folder=folder, notes=notes, progress=progress)
