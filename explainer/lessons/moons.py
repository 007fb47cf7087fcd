"""The lesson `moons`: two crescents in the plane, which no straight line tells apart, unless the plane is bent first.

The last hidden layer has two units, so that it can be drawn: where it takes each point of the plane. The last layer can
only cut along a straight line there. With the identity for an activation nothing bends, and the line stays straight.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from explainer.errors import MissingDependency
from explainer.lessons import Progress
from explainer.lessons.hidden_layer import hidden_layer
from explainer.lessons.walking import Problem
from explainer.recorder import record

SAYS = "scikit-learn's two moons: 200 points, noise 0.15"
ACROSS, UP = (-2.0, 3.0), (-1.5, 2.0)  # of the plane that the probe's grid covers, with room around the moons
LINES = 41  # of the grid, along each axis
NO_CLASS = -100  # the target of a grid's point: what CrossEntropyLoss leaves out of its mean


def model(activation: str, width: int, seed: int) -> nn.Sequential:
    """Return the untrained network: 2 → width → 2 → 2.

    Raises:
        LessonError: There is no such activation, or a layer would be empty.
    """
    torch.manual_seed(seed)
    return nn.Sequential(*hidden_layer("moons", 2, width, activation), nn.Linear(width, 2), nn.Linear(2, 2))


def examples() -> tuple[torch.Tensor, torch.Tensor]:
    """Return points (example, 2) and which moon each is of, (example,).

    Raises:
        MissingDependency: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import make_moons
    except ImportError as error:
        raise MissingDependency("scikit-learn", "the lesson 'moons'", "lessons") from error
    points, moons = make_moons(200, noise=0.15, random_state=0)
    return torch.tensor(points, dtype=torch.float32), torch.tensor(moons)


def grid() -> torch.Tensor:
    """Return the grid that covers the plane, (line across × line up, 2)."""
    return torch.cartesian_prod(torch.linspace(*ACROSS, LINES), torch.linspace(*UP, LINES))


def problem(*, activation: str, width: int, seed: int, **_: Any) -> Problem:
    """Return the untrained network, its criterion, and all points with their moons."""
    return model(activation, width, seed), nn.CrossEntropyLoss(ignore_index=NO_CLASS), examples()


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
    """Train on all points in every step; the probe is the points, then a grid, whose outputs are the map."""
    network, criterion, (points, moons) = problem(activation=activation, width=width, seed=seed)
    optimizer = torch.optim.SGD(network.parameters(), lr=learning_rate, momentum=0.9)
    plane = grid()
    probe = torch.cat([points, plane]), torch.cat([moons, torch.full((len(plane),), NO_CLASS)])
    with record(
        network,
        folder,
        criterion=criterion,
        optimizer=optimizer,
        every=lambda step: sparsely(step, steps),
        probe=probe,
        overwrite=True,
    ) as recorder:
        recorder.note(**about, data=SAYS, classes=["upper moon", "lower moon"])
        for step in range(steps):
            optimizer.zero_grad()
            criterion(network(points), moons).backward()
            optimizer.step()
            progress(step + 1, steps)


def sparsely(step: int, steps: int) -> bool:
    """Choose the steps to record: the first, then one in 5, later one in 25, and the last."""
    return step < 5 or (step < 50 and step % 5 == 0) or step % 25 == 0 or step == steps - 1
