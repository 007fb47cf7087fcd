"""The lesson `depth`: eight layers on handwritten digits, and how much of the gradient reaches the first.

A sigmoid passes on a quarter at every layer, and torch's own initialisation of a ReLU network less than a half: neither
learns. The same ReLU network with weights drawn as He et al. (2015) say passes on all of it, and reads digits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import nn

from explainer.errors import LessonError, MissingDependency, unknown
from explainer.lessons import Progress, digits
from explainer.lessons.walking import Problem
from explainer.recorder import record

WIDTHS = (64, *[32] * 7, 10)  # eight layers with weights
ACTIVATIONS = {"sigmoid": nn.Sigmoid, "ReLU": nn.ReLU}
INITIALISATIONS: dict[str, Callable[[torch.Tensor], object]] = {
    "torch": lambda weight: weight,  # as nn.Linear drew it
    "Xavier": nn.init.xavier_uniform_,
    "He": lambda weight: nn.init.kaiming_uniform_(weight, nonlinearity="relu"),
}


def model(activation: str, initialisation: str, seed: int) -> nn.Sequential:
    """Return the untrained network: 64 → 32 → … → 32 → 10.

    Raises:
        LessonError: There is no such activation or initialisation.
    """
    if activation not in ACTIVATIONS:
        raise LessonError(f"lesson 'depth': {unknown('activation', activation, ACTIVATIONS)}")
    if initialisation not in INITIALISATIONS:
        raise LessonError(f"lesson 'depth': {unknown('initialisation', initialisation, INITIALISATIONS)}")
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for wide, narrow in pairwise(WIDTHS):
        layers += [nn.Linear(wide, narrow), ACTIVATIONS[activation]()]
        INITIALISATIONS[initialisation](layers[-2].weight)  # type: ignore[arg-type]
    return nn.Sequential(*layers[:-1])


def images() -> digits.Images:
    """Return the scans as they are, (image, 64) between −1 and 1.

    Raises:
        MissingDependency: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingDependency("scikit-learn", "the lesson 'depth'", "lessons") from error
    scans = load_digits()
    pixels, targets = torch.tensor(scans.data, dtype=torch.float32) / 8 - 1, torch.tensor(scans.target)
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(0))
    train, test = order[:1437], order[1437:]
    return digits.Images(pixels[train], targets[train], pixels[test], targets[test], "1,797 real scans of 8×8 pixels")


def problem(*, activation: str, initialisation: str, seed: int, **_: Any) -> Problem:
    """Return the untrained network, its criterion, and the images it learns from, (image, 64), with their digits."""
    scans = images()
    return model(activation, initialisation, seed), nn.CrossEntropyLoss(), (scans.train, scans.train_digits)


def run(
    folder: Path,
    *,
    about: Mapping[str, Any],
    activation: str,
    initialisation: str,
    learning_rate: float,
    batch_size: int,
    epochs: int,
    seed: int,
    progress: Progress,
) -> None:
    """Train and record; norms are over whole batches, and of 8 examples everything is kept."""
    scans, network, criterion = images(), model(activation, initialisation, seed), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(network.parameters(), lr=learning_rate)
    epoch = -(-len(scans.train) // batch_size)  # steps in an epoch
    steps = epochs * epoch
    chosen = digits.sparse(steps, epoch)
    with record(network, folder, criterion=criterion, optimizer=optimizer, every=chosen, overwrite=True) as recorder:
        recorder.note(
            **about,
            data=scans.caption,
            image_shape=[8, 8],
            classes=[str(digit) for digit in range(10)],
            train_images=len(scans.train),
            test_images=len(scans.test),
            batch_size=batch_size,
            steps=steps,
            steps_per_epoch=epoch,
        )
        for step, (inputs, targets) in enumerate(digits.batches(scans, batch_size, steps, seed=0)):
            optimizer.zero_grad()
            criterion(network(inputs), targets).backward()
            optimizer.step()
            if chosen(step) and ((step + 1) % epoch == 0 or step + 1 == steps):
                recorder.log(test_accuracy=digits.accuracy(network, scans.test, scans.test_digits))
            progress(step + 1, steps)
