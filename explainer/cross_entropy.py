"""What cross-entropy makes of a classifier's answers, example by example: −log of what the right class was given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from explainer.errors import TraceError
from explainer.predictions import PROBE_LINE, read_predictions
from explainer.regression import output_layer
from explainer.scores import log_softmax
from explainer.trace import Trace

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class CrossEntropy:
    """Examples, and the log-probabilities that a classifier gives to their classes.

    Attributes:
        log_probabilities: (S, example, class).
        targets: (example,) the right class's index.
        classes: The classes' names.
        recorded: (S,) the recorded loss of the probe, or of a batch, of which these may be a part only; NaN where none
            was recorded.
        images: (example, row, column[, 3]); None where the examples are no images.
        steps: (S,) the recorded step numbers: all of them for a probe; one for a batch, whose examples change.
        probed: Whether the examples are the probe's.
    """

    log_probabilities: Array
    targets: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    recorded: Array
    images: Array | None
    steps: npt.NDArray[np.int64]
    probed: bool

    @property
    def probabilities(self) -> Array:
        """(S, example, class)."""
        return np.asarray(np.exp(self.log_probabilities))

    @property
    def losses(self) -> Array:
        """(S, example) −log p of the right class."""
        return np.asarray(-self.log_probabilities[:, np.arange(len(self.targets)), self.targets]) + 0.0

    @property
    def means(self) -> Array:
        """(S,) their mean: the cross-entropy loss."""
        return np.asarray(self.losses.mean(axis=1))

    def turn(self, example: int) -> int:
        """Return the first place in `steps` at which an example's right class has more than half, else the last."""
        given = np.exp(-self.losses[:, example])
        return int((given > 0.5).argmax()) if (given > 0.5).any() else len(given) - 1

    @property
    def is_recorded(self) -> bool:
        """Whether that mean is the loss that was recorded."""
        return bool(np.allclose(self.means, self.recorded, rtol=1e-3, atol=1e-6))


def read_cross_entropy(trace: Trace, name: str = "") -> CrossEntropy:
    """Read what the right classes were given: of the probe's examples, else of those kept of the last batch.

    Args:
        name: What messages call the trace; its folder when omitted.

    Raises:
        TraceError: The trace holds no outputs with class numbers to them.
    """
    name = name or str(trace.folder or "the trace")
    layer = output_layer(trace)
    probed = trace.probe is not None and trace.probe.targets is not None and layer in trace.probe.activations
    if trace.probe is not None and probed:
        targets, steps = np.asarray(trace.probe.targets), np.asarray(trace.steps)
        outputs = np.asarray(trace.probe.activations[layer], np.float64)
        recorded = trace.scalars.get("probe_loss")
    else:
        targets, outputs, steps, recorded = _last_batch(trace, layer, name)
    if targets.ndim != 1 or not np.issubdtype(targets.dtype, np.integer):
        raise TraceError(f"the targets of {name} are {targets.dtype} of shape {targets.shape}, not a class number for "
                         "each example: choose a trace of a classifier")  # fmt: skip
    if outputs.ndim != 3 or outputs.shape[2] < 2 or outputs.shape[2] <= targets.max(initial=0) or targets.min() < 0:
        raise TraceError(f"the output of layer {layer!r} of {name} has the shape {outputs.shape[1:]}: a probability "
                         f"for each class needs (example, class) with more than {targets.max()} classes")  # fmt: skip
    names = trace.notes.get("classes") or range(outputs.shape[2])
    return CrossEntropy(
        log_probabilities=log_probabilities(outputs, trace.model.layers[layer].type),
        targets=targets.astype(np.int64), classes=tuple(str(each) for each in names),
        recorded=np.full(len(steps), np.nan) if recorded is None else np.asarray(recorded, np.float64),
        images=_images(trace) if probed else None, steps=steps, probed=probed,
    )  # fmt: skip


def classifies(trace: Trace) -> bool:
    """Say whether a trace's targets are class numbers, one for each example."""
    probed = trace.probe is not None and trace.probe.targets is not None
    targets = np.asarray(trace.probe.targets) if trace.probe is not None and probed else _kept_targets(trace)
    return bool(targets.ndim == 1 and np.issubdtype(targets.dtype, np.integer))


def log_probabilities(outputs: Array, kind: str) -> Array:
    """Return the log-probabilities of a layer's outputs (…, class): as they are, their log, or their log-softmax."""
    if kind == "LogSoftmax":
        return outputs
    if kind == "Softmax":
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(outputs))
    return log_softmax(outputs)


def _last_batch(trace: Trace, layer: str, name: str) -> tuple[Any, Array, Any, Array | None]:
    """Return the targets and outputs that were kept of the last recorded step, and that step."""
    targets = _kept_targets(trace)
    if not len(targets) or layer not in trace.activations:
        raise TraceError(
            f"{name} holds neither a probe nor its outputs and targets, of which cross-entropy is made: record with\n"
            f"    {PROBE_LINE}"
        )
    loss = trace.scalars.get("loss")
    outputs = np.asarray(trace.activations[layer][-1], np.float64)[None]
    return targets, outputs, np.asarray(trace.steps)[-1:], None if loss is None else loss[-1:]


def _kept_targets(trace: Trace) -> npt.NDArray[Any]:
    """Return the targets that were kept of the last recorded step, (example, …); empty where none were."""
    try:
        return np.asarray(trace.targets[-1]) if len(trace.targets) else np.empty(0)
    except TraceError:
        return np.empty(0)


def _images(trace: Trace) -> Array | None:
    try:
        return read_predictions(trace).images
    except TraceError:  # examples of another kind
        return None
