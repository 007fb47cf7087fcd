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
    classes = read.telling(MOST_CLASSES, examples)
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


def _of_each_class(targets: Any) -> Any:
    """Return the first example of each class, then others, at most MOST_IMAGES of them."""
    firsts = np.unique(targets, return_index=True)[1]
    rest = np.setdiff1d(np.arange(len(targets)), firsts)
    chosen = firsts[np.argsort(targets[firsts])][:MOST_IMAGES]
    return np.concatenate([chosen, rest[: MOST_IMAGES - len(chosen)]])
