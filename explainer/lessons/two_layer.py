"""The lesson `two-layer`: x → L1 → S → L2 → loss, the lecture's diagram, small enough to follow every number.

Two numbers go in, their difference is to come out. One example a step, in float64, so that a chain rule worked by hand
agrees to the last digits.
"""

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from explainer.lessons import Progress
from explainer.lessons.walking import Problem
from explainer.recorder import record


def model(seed: int) -> nn.Sequential:
    """Return the untrained network: 2 → 4 → 1."""
    torch.manual_seed(seed)
    layers = OrderedDict(L1=nn.Linear(2, 4), S=nn.Sigmoid(), L2=nn.Linear(4, 1))
    return nn.Sequential(layers).double()


def examples(count: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    """Return inputs (example, 2) between −1 and 1, and the first less the second (example, 1)."""
    generator = torch.Generator().manual_seed(1)
    inputs = torch.rand(count, 2, generator=generator, dtype=torch.float64) * 2 - 1
    return inputs, inputs[:, :1] - inputs[:, 1:]


def problem(*, seed: int, **_: Any) -> Problem:
    """Return the untrained network, its criterion, and all examples."""
    return model(seed), nn.MSELoss(), examples()


def run(
    folder: Path, *, about: Mapping[str, Any], learning_rate: float, steps: int, seed: int, progress: Progress
) -> None:
    """Train and record; the probe is the data of every step, so that a loss can be seen before and after."""
    network, criterion = model(seed), nn.MSELoss()
    optimizer = torch.optim.SGD(network.parameters(), lr=learning_rate)
    inputs, targets = examples()
    with record(
        network, folder, criterion=criterion, optimizer=optimizer, probe=(inputs, targets), overwrite=True
    ) as recorder:
        recorder.note(**about, data="two numbers and their difference", learning_rate=learning_rate)
        for step in range(steps):
            example = slice(step % len(inputs), step % len(inputs) + 1)
            optimizer.zero_grad()
            loss = criterion(network(inputs[example]), targets[example])
            loss.backward()
            optimizer.step()
            progress(step + 1, steps)
