"""The lesson `learning-rates`: one network from one start, trained with several learning rates.

The network and the images of the lesson `digits`, all 1,437 of them in every step, so that no chance of the batch is in
the walk: what goes up or turns back does so for its learning rate alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from explainer.lessons import Progress, digits
from explainer.recorder import record


def problem(*, seed: int, **_: Any) -> tuple[nn.Module, nn.Module, tuple[torch.Tensor, torch.Tensor]]:
    """Return the network, untrained, its criterion, and all images of the training set with their digits."""
    scans = digits.images()
    return digits.model(seed), nn.NLLLoss(), (scans.train, scans.train_digits)


def run(
    folder: Path, *, about: Mapping[str, Any], learning_rate: float, steps: int, seed: int, progress: Progress
) -> None:
    """Train on all images at once, every step recorded; of tensors only the weights are kept, and where they went."""
    network, criterion, (inputs, targets) = problem(seed=seed)
    optimizer = torch.optim.SGD(network.parameters(), lr=learning_rate)
    keep = ("parameters", "updates")  # an update is the next step's weights less these: almost no room
    with record(network, folder, criterion=criterion, optimizer=optimizer, keep=keep, overwrite=True) as recorder:
        recorder.note(**about, data=f"{digits.images().caption}; all {len(inputs):,} in every step")
        for step in range(steps):
            optimizer.zero_grad()
            criterion(network(inputs), targets).backward()
            optimizer.step()
            progress(step + 1, steps)
