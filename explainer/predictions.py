"""What a classifier says of the probe's images, step by step: the numbers behind `plots.classification` and films."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from explainer.classifier import probabilities_of, probe_layer
from explainer.errors import TraceError
from explainer.trace import Trace

Array = npt.NDArray[np.float64]

PROBE_LINE = (
    "with explainer.record(model, path, criterion=criterion, optimizer=optimizer, probe=(images, labels)) as recorder:"
)
SHAPE_LINE = "recorder.note(image_shape=[28, 28])"


@dataclass(frozen=True)
class Predictions:
    """The probe's images and the probabilities given to their classes.

    Attributes:
        images: (example, row, column), or (example, row, column, 3) for colour.
        probabilities: (S, example, class); each example's sum to 1.
        targets: (example,) the right class's index.
        classes: The classes' names, in the order of their index.
        layer: Whose recorded output the probabilities come from.
        how: How they come from it, in words.
    """

    images: Array
    probabilities: Array
    targets: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    layer: str
    how: str

    @property
    def answers(self) -> npt.NDArray[np.int64]:
        """(S, example) the class with the highest probability."""
        return np.asarray(self.probabilities.argmax(axis=-1))

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """(S, example) whether that class is the right one."""
        return np.asarray(self.answers == self.targets)

    def telling(self, most: int, examples: Any = slice(None)) -> npt.NDArray[np.int64]:
        """Return at most so many classes to draw, in their order: the right ones, then those that were ever likely.

        Args:
            examples: (example,) of which this is asked; all when omitted.
        """
        peaks = np.nan_to_num(self.probabilities[:, examples]).max(axis=(0, 1))
        peaks[self.targets[examples]] += 2  # before any other, whose probability is 1 at most
        return np.sort(np.argsort(-peaks, kind="stable")[:most])

    def first_of(self, name: str) -> int:
        """Return the first example of a class, or the first of all where the probe holds none."""
        wanted = [index for index, target in enumerate(self.targets) if self.classes[target] == name]
        return wanted[0] if wanted else 0


def read_predictions(trace: Trace) -> Predictions:
    """Read the class probabilities of the probe's images at every recorded step.

    Raises:
        TraceError: There is no probe, it holds no images or no labels, or the model's output is no classification.
    """
    probe = trace.probe
    if probe is None or probe.inputs is None or probe.targets is None:
        raise TraceError(
            "the trace holds no probe, the images with labels that are seen at every step: record with\n"
            f"    {PROBE_LINE}"
        )
    targets = np.asarray(probe.targets)
    if targets.ndim != 1 or not np.issubdtype(targets.dtype, np.integer):
        raise TraceError(
            f"the probe's targets are {targets.dtype} of shape {targets.shape}, not one class number for each image: "
            f"record with labels of dtype int64, shape ({len(targets)},)"
        )
    layer = probe_layer(trace)
    outputs = np.asarray(probe.activations[layer], np.float64)  # (S, example, class)
    if outputs.ndim != 3 or outputs.shape[2] <= targets.max():
        raise TraceError(
            f"the output of layer {layer!r} has the shape {outputs.shape[1:]}: class probabilities need "
            f"(example, class) with more than {targets.max()} classes"
        )
    probabilities, how = probabilities_of(trace, layer, outputs)
    names = trace.notes.get("classes") or range(outputs.shape[2])
    return Predictions(
        images=_as_images(np.asarray(probe.inputs, np.float64), trace.notes.get("image_shape")),
        probabilities=probabilities,
        targets=targets.astype(np.int64),
        classes=tuple(str(name) for name in names),
        layer=layer,
        how=how,
    )


def _as_images(inputs: Array, shape: Any) -> Array:
    """Return (example, row, column) or (example, row, column, 3)."""
    if shape is not None and math.prod(shape) == inputs[0].size:
        inputs = inputs.reshape(len(inputs), *shape)
    elif inputs.ndim == 2 and math.isqrt(inputs.shape[1]) ** 2 == inputs.shape[1]:
        inputs = inputs.reshape(len(inputs), math.isqrt(inputs.shape[1]), -1)
    if inputs.ndim == 4 and inputs.shape[1] == 1:
        return inputs[:, 0]
    if inputs.ndim == 4 and inputs.shape[1] == 3:
        return np.moveaxis(inputs, 1, -1)
    if inputs.ndim == 3 or (inputs.ndim == 4 and inputs.shape[-1] == 3):
        return inputs
    raise TraceError(
        f"the probe's inputs of shape {inputs.shape} are no images that could be drawn: say their rows and columns "
        f"with\n    {SHAPE_LINE}"
    )
