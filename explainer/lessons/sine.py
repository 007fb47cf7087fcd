"""The lesson `sine`: a network with one hidden layer becomes sin 2x, if its activation is not linear.

With the identity for an activation it is a straight line however wide it is, and ends at the best one's error.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from explainer.lessons import Progress
from explainer.lessons.hidden_layer import hidden_layer
from explainer.lessons.walking import Problem
from explainer.recorder import record

SAYS = "y = sin 2x at 200 points from −3 to 3"


def model(activation: str, width: int, seed: int) -> nn.Sequential:
    """Return the untrained network: 1 → width → 1.

    Raises:
        LessonError: There is no such activation, or the layer would be empty.
    """
    torch.manual_seed(seed)
    return nn.Sequential(*hidden_layer("sine", 1, width, activation), nn.Linear(width, 1))


def examples() -> tuple[torch.Tensor, torch.Tensor]:
    """Return x and y, (example, 1) each."""
    x = torch.linspace(-3, 3, 200)[:, None]
    return x, torch.sin(2 * x)


def problem(*, activation: str, width: int, seed: int, **_: Any) -> Problem:
    """Return the untrained network, its criterion, and all points."""
    return model(activation, width, seed), nn.MSELoss(), examples()


def run(
    folder: Path,
    *,
    about: Mapping[str, Any],
    activation: str,
    width: int,
    learning_rate: float,
    steps: int,
    seed: int,
    progress: Progress,
) -> None:
    """Train with Adam on all points in every step; the probe is the points, so that its output is the curve."""
    network, criterion, (x, y) = problem(activation=activation, width=width, seed=seed)
    # amsgrad: without it the loss leaps now and then near its end, and how a run ends would be left to chance
    optimizer = torch.optim.Adam(network.parameters(), lr=learning_rate, amsgrad=True)
    with record(
        network,
        folder,
        criterion=criterion,
        optimizer=optimizer,
        every=lambda step: sparsely(step, steps),
        probe=(x, y),
        overwrite=True,
    ) as recorder:
        recorder.note(**about, data=SAYS)
        for step in range(steps):
            optimizer.zero_grad()
            criterion(network(x), y).backward()
            optimizer.step()
            progress(step + 1, steps)


def sparsely(step: int, steps: int) -> bool:
    """Choose the steps to record: the first, where most happens, then one in 10, later one in 60, and the last."""
    return step < 20 or (step < 300 and step % 10 == 0) or step % 60 == 0 or step == steps - 1
