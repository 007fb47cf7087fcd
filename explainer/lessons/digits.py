"""The lesson `digits`: the lecture's network learns to read handwritten digits.

The notebook's model (784→128→64→10, ReLU, log-softmax) and loss (NLLLoss), on scikit-learn's real scans, which need no
download, or on MNIST.
"""

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from explainer.errors import LessonError, MissingDependency
from explainer.lessons import Progress
from explainer.lessons.walking import Problem
from explainer.recorder import record


@dataclass(frozen=True)
class Images:
    """Images between −1 and 1, (image, 784), and their digits, (image,)."""

    train: torch.Tensor
    train_digits: torch.Tensor
    test: torch.Tensor
    test_digits: torch.Tensor
    caption: str  # what they are, as it stands under a picture


def model(seed: int) -> nn.Sequential:
    """Return the notebook's network, untrained: 109,386 parameters."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10), nn.LogSoftmax(dim=1)
    )


def images(data: str = "sklearn", data_dir: str | Path | None = None, download: bool = False) -> Images:
    """Return the images of a data set.

    Args:
        data: "sklearn" (1,797 scans of 8×8, enlarged) or "mnist".
        data_dir: The folder that holds or will hold MNIST, as torchvision lays it out.
        download: Whether MNIST may be downloaded.

    Raises:
        LessonError: There is no such data set, or MNIST does not lie in `data_dir`.
        MissingDependency: scikit-learn or torchvision is not installed.
    """
    if data == "sklearn":
        return _scans()
    if data == "mnist":
        from explainer.lessons.mnist import mnist

        return mnist(data_dir, download=download)
    raise LessonError(f"lesson 'digits' has no data {data!r}: it is 'sklearn' or 'mnist'")


def problem(*, data: str, data_dir: str | Path | None, seed: int, **_: Any) -> Problem:
    """Return the network, untrained, its criterion, and the images it learns from, (image, 784), with their digits.

    Downloads nothing, whatever the settings say: they may be those of a stranger's trace.
    """
    digits = images(data, data_dir)
    return model(seed), nn.NLLLoss(), (digits.train, digits.train_digits)


def run(
    folder: Path,
    *,
    about: Mapping[str, Any],
    data: str,
    data_dir: str | Path | None,
    download: bool,
    learning_rate: float,
    batch_size: int,
    epochs: int,
    steps: int | None,
    seed: int,
    progress: Progress,
) -> None:
    """Train and record; the probe is one test image of each digit."""
    digits = images(data, data_dir, download)
    network, criterion = model(seed), nn.NLLLoss()
    optimizer = torch.optim.SGD(network.parameters(), lr=learning_rate)
    epoch = -(-len(digits.train) // batch_size)  # steps in an epoch
    steps = epochs * epoch if steps is None else steps
    chosen = sparse(steps, epoch)
    firsts = torch.stack([(digits.test_digits == digit).nonzero()[0, 0] for digit in range(10)])
    probe = (digits.test[firsts], digits.test_digits[firsts])
    with record(
        network, folder, criterion=criterion, optimizer=optimizer, every=chosen, probe=probe, overwrite=True
    ) as recorder:
        recorder.note(
            **about,
            data=digits.caption,
            image_shape=[28, 28],
            classes=[str(digit) for digit in range(10)],
            train_images=len(digits.train),
            test_images=len(digits.test),
            batch_size=batch_size,
            steps=steps,
            steps_per_epoch=epoch,
            accumulation=accumulation(network, criterion, next(batches(digits, batch_size, 1, seed))),
        )
        for step, (inputs, targets) in enumerate(batches(digits, batch_size, steps, seed)):
            optimizer.zero_grad()
            loss = criterion(network(inputs), targets)
            loss.backward()
            optimizer.step()
            if chosen(step) and ((step + 1) % epoch == 0 or step + 1 == steps):
                recorder.log(test_accuracy=accuracy(network, digits.test, digits.test_digits))
            progress(step + 1, steps)


def batches(digits: Images, batch_size: int, steps: int, seed: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield a run's batches, in another order in every epoch."""
    generator = torch.Generator().manual_seed(seed)
    done = 0
    while True:
        order = torch.randperm(len(digits.train), generator=generator)
        for indices in order.split(batch_size):
            if done == steps:
                return
            yield digits.train[indices], digits.train_digits[indices]
            done += 1


def accumulation(
    network: nn.Module, criterion: nn.Module, batch: tuple[torch.Tensor, torch.Tensor]
) -> dict[str, float]:
    """Return how long the gradient of all parameters is after one backward pass, and after a second without zero_grad.

    Run on a copy: the network, its gradients and the random numbers stay as they are.
    """
    copied, lengths = copy.deepcopy(network), []
    for _ in range(2):
        criterion(copied(batch[0]), batch[1]).backward()
        gradients = [each.grad.double() for each in copied.parameters() if each.grad is not None]
        lengths.append(math.sqrt(sum(float((each * each).sum()) for each in gradients)))
    return {"once": lengths[0], "twice": lengths[1]}


@torch.no_grad()
def accuracy(network: nn.Module, inputs: torch.Tensor, digits: torch.Tensor) -> float:
    """Return the share of images whose digit the network gives the highest score."""
    return float((network(inputs).argmax(dim=1) == digits).float().mean())


def sparse(steps: int, epoch: int) -> Callable[[int], bool]:
    """Choose the steps to record: the first, where most happens, then every so often, ends of epochs, and the last."""
    stride = max(1, steps // 40)
    few_epochs = steps <= 30 * epoch

    def chosen(step: int) -> bool:
        ends_epoch = few_epochs and (step + 1) % epoch == 0
        return step < 20 or step % stride == 0 or ends_epoch or step == steps - 1

    return chosen


def _scans() -> Images:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingDependency("scikit-learn", "the lesson 'digits' without MNIST", "lessons") from error
    scans = load_digits()
    small = torch.tensor(scans.images, dtype=torch.float32)[:, None] / 16  # (image, 1, 8, 8) between 0 and 1
    large = nn.functional.interpolate(small, size=(28, 28), mode="bilinear").clamp(0, 1)
    pixels, digits = (large * 2 - 1).flatten(1), torch.tensor(scans.target)
    order = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(0))
    train, test = order[:1437], order[1437:]
    caption = "1,797 real 8×8 scans, enlarged to 28×28"
    return Images(pixels[train], digits[train], pixels[test], digits[test], caption)
