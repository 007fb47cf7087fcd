"""The lesson `learning-rates`: one network from one start, trained with several learning rates.

The network and the images of the lesson `digits`, all 1,437 of them in every step, so that no chance of the batch is in
the walk: what goes up or turns back does so for its learning rate alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from explainer.lessons import Progress, digits
from explainer.lessons.walking import Problem, optimizer_called, walk


def problem(*, seed: int, **_: Any) -> Problem:
    """Return the network, untrained, its criterion, and all images of the training set with their digits."""
    scans = digits.images()
    return digits.model(seed), nn.NLLLoss(), (scans.train, scans.train_digits)


def run(
    folder: Path, *, about: Mapping[str, Any], learning_rate: float, steps: int, seed: int, progress: Progress
) -> None:
    """Train on all images at once, every step recorded; of tensors only the weights are kept, and where they went."""
    images = digits.images()
    notes = {**about, "data": f"{images.caption}; all {len(images.train):,} in every step"}
    walk(
        problem(seed=seed),
        optimizer_called("SGD", learning_rate),
        steps,
        folder=folder,
        notes=notes,
        keep=("parameters", "updates"),  # an update is the next step's weights less these: almost no room
        progress=progress,
    )
