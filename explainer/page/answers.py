"""What the network says of the probe's images, at the steps that are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from explainer.page.arrays import by_step, limits, tones
from explainer.predictions import read_predictions

if TYPE_CHECKING:
    from explainer.page.shown import Shown
    from explainer.trace import Trace

MOST_IMAGES = 10
MOST_CLASSES = 10
MOST_PIXELS = 96  # rows and columns: a larger image is shown by every n-th


def answers(trace: Trace, shown: Shown) -> dict[str, Any]:
    """Return the probe's images, one of each class where there are many, and the probabilities given to their classes.

    Returns:
        `images` (example, row, column[, 3]) in 256 tones between the darkest and the brightest; `probabilities`
        (example, class, T); `targets` (example,) as places in `classes`; and where the probabilities come from.

    Raises:
        TraceError: There is no probe of images with labels, or the model's output is no classification.
    """
    read = read_predictions(trace)
    examples = _of_each_class(read.targets)
    classes = _telling(read.probabilities[:, examples], read.targets[examples])
    place = {int(index): at for at, index in enumerate(classes)}
    images = read.images[examples]
    stride = max(1, -(-max(images.shape[1:3]) // MOST_PIXELS))
    images = images[:, ::stride, ::stride]
    return {
        "examples": examples,
        "images": tones(images, *limits(images)),
        "probabilities": by_step(read.probabilities[shown.indices][:, examples][:, :, classes]),
        "targets": [place.get(int(read.targets[each])) for each in examples],
        "classes": [read.classes[index] for index in classes],
        "class_count": len(read.classes),
        "layer": read.layer,
        "how": read.how,
    }


def _telling(probabilities: Any, targets: Any) -> Any:
    """Return at most MOST_CLASSES to show, in their order: the right ones, then those that were ever likely."""
    peaks = np.nan_to_num(probabilities).max(axis=(0, 1))
    peaks[targets] += 2  # before any other, whose probability is 1 at most
    return np.sort(np.argsort(-peaks, kind="stable")[:MOST_CLASSES])


def _of_each_class(targets: Any) -> Any:
    """Return the first example of each class, then others, at most MOST_IMAGES of them."""
    firsts = np.unique(targets, return_index=True)[1]
    rest = np.setdiff1d(np.arange(len(targets)), firsts)
    chosen = firsts[np.argsort(targets[firsts])][:MOST_IMAGES]
    return np.concatenate([chosen, rest[: MOST_IMAGES - len(chosen)]])
