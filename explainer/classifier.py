"""What a classifier says of the probe's examples, one recorded step at a time, whatever the examples are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from explainer.errors import TraceError
from explainer.operations import sigmoid
from explainer.recordings import StepTensors
from explainer.scores import softmax
from explainer.trace import Trace

Array = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]

PROBE_LINE = (
    "with explainer.record(model, path, criterion=criterion, optimizer=optimizer, probe=(inputs, labels)) as recorder:"
)
UNKNOWN = -1  # the answer where a probability is no number
# What may stand between the last layer and the loss without making other classes of its output: autograd's names.
_PASSING = (
    "LogSoftmax", "Softmax", "Sigmoid", "View", "UnsafeView", "ReshapeAlias", "Squeeze", "Unsqueeze", "Alias", "Clone",
    "ToCopy", "Select", "Expand",
)  # fmt: skip


@dataclass(frozen=True)
class Classifier:
    """The probe's examples that have a class, and what the network gives their classes.

    Attributes:
        places: (example,) which of the probe's examples have a class: those whose target is not below 0.
        targets: (example,) the right class's index.
        classes: The classes' names, in the order of their index.
        layer: Whose recorded output the probabilities come from.
        how: How they come from it, in words.
    """

    trace: Trace
    places: Whole
    targets: Whole
    classes: tuple[str, ...]
    layer: str
    how: str
    outputs: StepTensors

    def probabilities(self, index: int) -> Array:
        """Return the probability of each class, (example, class), at the step at a place among the recorded."""
        return probabilities_of(self.trace, self.layer, self.outputs[index][self.places])[0]

    def answers(self, index: int) -> Whole:
        """Return the class with the highest probability, (example,); UNKNOWN where one is no number."""
        return answers_of(self.probabilities(index))

    def counts(self, index: int) -> Whole:
        """Return how many examples of each class got each answer, (right class, answer); unknown ones are in none."""
        return confusion(self.targets, self.answers(index), len(self.classes))


def read_classifier(trace: Trace, name: str = "") -> Classifier:
    """Read which examples of the probe have a class, and where their probabilities are recorded.

    Args:
        name: What messages call the trace; "the trace" when omitted.

    Raises:
        TraceError: There is no probe, it has no class numbers, or the model's output is no classification.
    """
    called, probe = f"the trace {name!r}" if name else "the trace", trace.probe
    if probe is None or probe.inputs is None or probe.targets is None:
        raise TraceError(
            f"{called} holds no probe, the examples with labels that are seen at every step: record with\n"
            f"    {PROBE_LINE}"
        )
    if not len(trace):
        raise TraceError(f"{called} holds no step: nothing was recorded")
    layer, raw = probe_layer(trace), np.asarray(probe.targets)
    if layer not in probe.activations:
        raise TraceError(
            f"{called} has a probe, but what the network made of the probe was not kept: record with "
            'keep=("activations",) or more'
        )
    check_judged(trace, layer, called)
    outputs = probe.activations[layer]
    first = outputs[0]
    targets = class_numbers(raw, first.shape)
    if targets is None:
        raise TraceError(
            f"the probe's targets of {called} are {raw.dtype} of shape {raw.shape}, not one class number for each "
            f"example: choose the trace of a classifier, or record with labels of dtype int64, shape ({len(raw)},)"
        )
    p, how = probabilities_of(trace, layer, first)
    if p.ndim != 2 or len(p) != len(targets) or p.shape[1] <= targets.max(initial=0):
        raise TraceError(
            f"the output of layer {layer!r} of {called} has the shape {first.shape} for {len(targets)} targets: class "
            f"probabilities need (example, class), a target for each example, and more than {targets.max(initial=0)} "
            "classes"
        )
    places = np.flatnonzero(targets >= 0)
    if not len(places):
        raise TraceError(f"no example of the probe of {called} has a class: its labels are all below 0")
    names = trace.notes.get("classes") or range(p.shape[1])
    return Classifier(trace, places, targets[places], tuple(map(str, names)), layer, how, outputs)


def class_numbers(targets: npt.NDArray[Any], shape: tuple[int, ...]) -> Whole | None:
    """Return targets as one class number for each example, or None where they are none.

    Args:
        targets: (example,) whole numbers; or 0 and 1 of any dtype, (example,) or (example, 1), of a single output.
        shape: Of the output, (example, …).
    """
    whole = targets.dtype.kind in "iu"
    if whole and targets.ndim == 1:
        return np.asarray(targets, np.int64)
    single = shape[1:] in ((), (1,)) and targets.shape[1:] in ((), (1,)) and targets.dtype.kind in "iubf"
    if single and np.isin(targets, (0, 1)).all():
        return np.asarray(targets.reshape(len(targets)), np.int64)
    return None


def probe_layer(trace: Trace) -> str:
    """Return the layer that the loss reads, else the last one that ran, among those that the probe saw."""
    feeding = trace.model.criterion.fed_by if trace.model.criterion else ()
    seen = trace.probe.activations if trace.probe else {}
    return next((name for name in (*feeding, *reversed(trace.layers)) if name in seen), trace.layers[-1])


def check_judged(trace: Trace, layer: str, called: str) -> None:
    """Refuse a layer that the loss reads only through something else, such as a sum: its output is not the answer.

    Raises:
        TraceError: So it is; what stands between is named.
    """
    criterion = trace.model.criterion
    if criterion is None or not criterion.fed_by:
        return
    between = [name for name in criterion.unseen if name.partition("Backward")[0] not in _PASSING]
    if between or criterion.fed_by != (layer,):
        what = ", ".join(between) or " and ".join(criterion.fed_by)
        raise TraceError(
            f"the loss of {called} reads layer {layer!r} only through {what}, so that its output is not the classes' "
            "scores: let the model end in a layer, such as nn.Identity() applied to its output, and record all layers"
        )


def probabilities_of(trace: Trace, layer: str, outputs: npt.NDArray[Any]) -> tuple[Array, str]:
    """Return the probability of each class, (…, class), that a layer's outputs stand for, and how, in words.

    Args:
        outputs: (…, class); or of a single number for two classes, (example,) or (example, 1).

    Raises:
        TraceError: They are the output of a softmax, but do not sum to 1 over the classes.
    """
    outputs = np.asarray(outputs, np.float64)
    kind = trace.model.layers[layer].type if layer in trace.model.layers else ""
    judge = trace.model.criterion
    criterion, unseen = (judge.type, "SigmoidBackward0" in judge.unseen) if judge else ("", False)
    if outputs.ndim == 1 or outputs.shape[-1] == 1:
        single = outputs if outputs.ndim == 1 else outputs[..., 0]
        if kind == "Sigmoid" or (criterion == "BCELoss" and not unseen):
            return np.stack([1 - single, single], axis=-1), "probability of class 1 as recorded"
        p = sigmoid(single).output
        return np.stack([1 - p, p], axis=-1), "sigmoid of the recorded score"
    if kind == "LogSoftmax":
        with np.errstate(over="ignore"):
            found = np.exp(outputs)
        how = "exp of the recorded log-probabilities"
    elif kind == "Softmax":
        found, how = outputs, "probabilities as recorded"
    else:
        with np.errstate(invalid="ignore"):  # a run that diverged has no probabilities
            return softmax(outputs), "softmax of the recorded scores"
    sums = found.sum(axis=-1)
    off = np.nan_to_num(np.abs(sums - 1))  # a run that diverged has no sums
    if off.max() > 1e-3:
        worst = sums.flat[off.argmax()]
        raise TraceError(
            f"the probabilities of layer {layer!r} ({kind}) sum to {worst:.3f} over the classes instead of 1: is its "
            f"dim 1?"
        )
    return found, how


def answers_of(probabilities: Array) -> Whole:
    """Return the class with the highest of (example, class) probabilities; UNKNOWN where one is no number."""
    known = np.isfinite(probabilities).all(axis=-1)
    return np.where(known, np.nan_to_num(probabilities).argmax(axis=-1), UNKNOWN)


def confusion(targets: Whole, answers: Whole, classes: int) -> Whole:
    """Return how many examples of each class got each answer, (right class, answer); unknown ones are in none."""
    known = answers != UNKNOWN
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (targets[known], answers[known]), 1)
    return counts
