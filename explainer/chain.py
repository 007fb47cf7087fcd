"""The chain rule by hand: at each operation of a recorded step, incoming × local = outgoing.

`work_out` walks a recorded step backwards from the loss, with what was recorded of the forward pass as the only input:
autograd's own gradients are for comparison. The operations and their derivatives are those of `operations`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explainer.errors import TraceError
from explainer.operations import LAYERS, LOSSES, Applied, Local
from explainer.trace import Trace

Array = NDArray[Any]


@dataclass(frozen=True)
class Operation:
    """One operation of a recorded step, worked out.

    Attributes:
        name: The layer's name, or "loss" (`Model.loss_name`).
        type: Its class, such as "Linear".
        input: (example, …) as recorded.
        output: (example, …) worked out from the input; () for the loss.
        incoming: ∂ℓ/∂output, shaped as the output; 1 for the loss.
        local: ∂output/∂input.
        outgoing: ∂ℓ/∂input = incoming × local, shaped as the input.
        parameter_gradients: Per qualified parameter ∂ℓ/∂parameter, shaped as it.
    """

    name: str
    type: str
    input: Array
    output: Array
    incoming: Array
    local: Local
    outgoing: Array
    parameter_gradients: Mapping[str, Array]

    @property
    def is_loss(self) -> bool:
        """Whether it is the loss, at which the backward pass begins; a layer may be called "loss" too."""
        return self.incoming.ndim == 0


@dataclass(frozen=True)
class Chain:
    """A recorded step, worked out by hand from the loss back to the input.

    Attributes:
        step: The recorded step's number.
        operations: In forward order, the loss last.
        whole: Whether all examples of the batch were kept; if not, there are no parameter gradients and no loss.
    """

    step: int
    operations: tuple[Operation, ...]
    whole: bool

    def __getitem__(self, name: str) -> Operation:
        """Return an operation by its layer's name; "loss" is the loss unless a layer is called so."""
        return next(operation for operation in self.operations if operation.name == name)

    def __iter__(self) -> Iterator[Operation]:
        """Walk in the order of the backward pass, from the loss."""
        return reversed(self.operations)

    @property
    def loss(self) -> Operation:
        """The last operation."""
        return self.operations[-1]

    @property
    def gradients(self) -> dict[str, Array]:
        """Per layer ∂ℓ/∂(its output), (example, …), in forward order."""
        return {operation.name: operation.incoming for operation in self.operations[:-1]}

    @property
    def parameter_gradients(self) -> dict[str, Array]:
        """Per parameter ∂ℓ/∂parameter, in forward order."""
        return {name: G for operation in self.operations for name, G in operation.parameter_gradients.items()}


def work_out(trace: Trace, step: int = -1) -> Chain:
    """Work the chain rule of a recorded step out by hand, from the loss back to the input.

    Args:
        trace: A recorded run of layers one after the other; reads inputs, targets, parameters and activations.
        step: Which recorded step; negative counts from the end.

    Raises:
        TraceError: The trace lacks what is needed, or has an operation that is not one of LAYERS and LOSSES; the
            layer and its type are named.
    """
    index = trace.index_of(step)
    inputs = _inputs(trace, index)
    prediction, target, n = _judged(trace, index)
    applied = {layer: _apply(trace, index, layer, x) for layer, x in inputs.items()}
    kind = trace.model.criterion.type if trace.model.criterion else ""
    loss = LOSSES[kind](prediction, target, n)
    whole = not _cut(trace)
    incoming = np.array(1.0)
    outgoing = loss.local.times(incoming)
    found = [Operation(trace.model.loss_name, kind, prediction, loss.output, incoming, loss.local, outgoing, {})]
    for layer in reversed(trace.layers):
        here, incoming = applied[layer], outgoing
        outgoing = here.local.times(incoming)
        names = _parameter_names(trace, layer)
        gradients = {names[own]: reach(incoming) for own, reach in here.parameters.items() if whole}
        kind = trace.model.layers[layer].type
        found.append(Operation(layer, kind, inputs[layer], here.output, incoming, here.local, outgoing, gradients))
    return Chain(int(trace.steps[index]), tuple(reversed(found)), whole)


def loss_after(trace: Trace, step: int = -1) -> float:
    """Return the loss of a step's own examples once its update is made.

    Where the probe holds the examples and the next step was recorded, their outputs are those that were recorded there;
    else they are worked out forwards with the new parameters.

    Raises:
        TraceError: As `work_out`; or the trace does not keep updates, or not all examples of the batch.
    """
    index = trace.index_of(step)
    if _cut(trace):
        raise TraceError(f"step {trace.steps[index]} keeps a part of its batch only: record with examples=None")
    _, target, n = _judged(trace, index)
    prediction = _probed(trace, index)
    if prediction is None:
        prediction = trace.inputs[index].astype(np.float64)
        for layer in trace.layers:
            names = _parameter_names(trace, layer)
            new = {own: trace.parameters[name][index] + trace.updates[name][index] for own, name in names.items()}
            prediction = LAYERS[trace.model.layers[layer].type](prediction, **new).output
    criterion = trace.model.criterion
    return float(LOSSES[criterion.type if criterion else ""](prediction, target, n).output)


def _probed(trace: Trace, index: int) -> Array | None:
    """Return what the probe saw of a step's own examples at the step after it, (example, …)."""
    probe, last = trace.probe, trace.layers[-1]
    follows = index + 1 < len(trace) and trace.steps[index + 1] == trace.steps[index] + 1
    if probe is None or probe.inputs is None or not follows or last not in probe.activations:
        return None
    own = trace.inputs[index]
    places = [np.flatnonzero((probe.inputs == each).reshape(len(probe.inputs), -1).all(axis=1)) for each in own]
    if not all(map(len, places)):
        return None
    return np.asarray(probe.activations[last][index + 1][[place[0] for place in places]], np.float64)


def _inputs(trace: Trace, index: int) -> dict[str, Array]:
    """Return what each layer was given, (example, …) in float64, for layers that stand one after the other."""
    own = before = trace.model.input_name
    found = {}
    for layer in trace.layers:
        described = trace.model.layers[layer]
        if described.type not in LAYERS:
            raise TraceError(
                f"layer {layer!r} is a {described.type}, whose derivative is not worked out by hand here; "
                f"those of {', '.join(LAYERS)} are"
            )
        if described.fed_by != (before,):
            fed_by = " and ".join(described.fed_by) or "nothing that was recorded"
            raise TraceError(
                f"layer {layer!r} ({described.type}) is fed by {fed_by}, not by {before} alone; "
                "the chain rule is worked out for layers that stand one after the other"
            )
        x = trace.inputs[index] if before == own else trace.activations[before][index]
        found[layer], before = x.astype(np.float64), layer
    return found


def _apply(trace: Trace, index: int, layer: str, x: Array) -> Applied:
    """Apply a layer to what it was given, and check that it gives what was recorded."""
    described = trace.model.layers[layer]
    dim = described.settings.get("dim", -1)
    if dim not in (-1, x.ndim - 1) and not (dim is None and x.ndim == 2):
        raise TraceError(f"layer {layer!r} ({described.type}) is over dimension {dim}; only the last is worked out")
    names = _parameter_names(trace, layer)
    parameters = {own: trace.parameters[name][index].astype(np.float64) for own, name in names.items()}
    recorded, slack = trace.activations[layer][index], _rounding(described.dtype)
    try:
        applied = LAYERS[described.type](x, **parameters)
        agrees = np.allclose(applied.output, recorded, rtol=slack, atol=slack, equal_nan=True)
    except (TypeError, ValueError):  # shapes that do not fit, or a parameter that its class does not have
        agrees = False
    if not agrees:
        raise TraceError(
            f"layer {layer!r} ({described.type}) did not make its recorded output of {described.fed_by[0]} alone: "
            "a function that is no module stands between them, or the layer is not torch's own"
        )
    return applied


def _judged(trace: Trace, index: int) -> tuple[Array, Array, float]:
    """Return the prediction (example, …), the target, and the n that the loss is divided by."""
    criterion, seen = trace.model.criterion, trace.criterion
    if criterion is None or seen is None:
        raise TraceError("the trace has no loss module: record with criterion=criterion")
    if criterion.type not in LOSSES:
        raise TraceError(
            f"the loss is a {criterion.type}, whose derivative is not worked out by hand here; "
            f"those of {', '.join(LOSSES)} are"
        )
    if criterion.fed_by != (trace.layers[-1],):
        raise TraceError(f"the loss ({criterion.type}) is fed by {criterion.fed_by}, not by {trace.layers[-1]} alone")
    prediction, target = seen.inputs[index].astype(np.float64), trace.targets[index]
    by_class = criterion.type != "MSELoss"
    fits = target.shape == (prediction.shape[:-1] if by_class else prediction.shape)
    if not fits or (by_class and (target.dtype.kind not in "iu" or prediction.ndim != 2)):
        raise TraceError(
            f"the loss ({criterion.type}) compares {prediction.shape} with targets {target.shape} of {target.dtype}; "
            "only (example, class) with class numbers is worked out, and for MSELoss two of one shape"
        )
    if criterion.settings.get("label_smoothing") or (by_class and (target < 0).any()):
        raise TraceError(f"the loss ({criterion.type}) smooths or ignores labels, which is not worked out by hand here")
    n = _divisor(trace, index, 1.0 if by_class else float(np.prod(prediction.shape[1:])))
    return prediction, target, n


def _divisor(trace: Trace, index: int, each: float) -> float:
    """Return what the loss is divided by: 1 for a sum, else the batch's size times the numbers of each example."""
    criterion = trace.model.criterion
    reduction = criterion.settings.get("reduction", "mean") if criterion else "mean"
    if reduction not in ("mean", "sum"):
        raise TraceError(f"the loss has reduction={reduction!r}; only 'mean' and 'sum' give one number")
    return 1.0 if reduction == "sum" else each * _batch(trace, index)


def _cut(trace: Trace) -> bool:
    """Whether only the first examples of a batch were kept."""
    shape = trace.model.layers[trace.layers[0]].input_shape
    return shape is not None and len(trace.inputs[0]) < shape[0]


def _batch(trace: Trace, index: int) -> int:
    """Return how many examples the step's batch had.

    Where not all were kept, the size of the recorded gradient of the loss tells: a mean over N is a sum's N-th part.
    """
    if not _cut(trace):
        return len(trace.inputs[index])
    criterion, seen = trace.model.criterion, trace.criterion
    if criterion is None or seen is None:
        raise TraceError("the trace has no loss module: record with criterion=criterion")
    prediction, recorded = seen.inputs[index].astype(np.float64), seen.gradients[index].astype(np.float64)
    each = float(np.prod(prediction.shape[1:])) if criterion.type == "MSELoss" else 1.0
    alone = LOSSES[criterion.type](prediction, trace.targets[index], each).local.values
    share = float((alone * recorded).sum() / max((recorded * recorded).sum(), 1e-300))
    if not np.isfinite(share):
        raise TraceError(
            f"step {trace.steps[index]} has a prediction or a gradient of the loss that is not finite, and keeps "
            f"{len(prediction)} examples of a larger batch, whose size only they tell: ask for an earlier step"
        )
    if round(share) < len(prediction) or abs(share - round(share)) > 0.01:
        raise TraceError(
            f"step {trace.steps[index]} keeps {len(prediction)} examples of a larger batch, and the loss is no plain "
            "mean over it: record with examples=None"
        )
    return round(share)


def _parameter_names(trace: Trace, layer: str) -> dict[str, str]:
    """Per parameter its name in the layer, such as "weight", and in the model, such as "L1.weight"."""
    return {name.rpartition(".")[2]: name for name in trace.model.layers[layer].parameters}


def _rounding(dtype: str | None) -> float:
    """How far apart the same sum may be when it is worked out in another order, as a share."""
    return {"float64": 1e-9, "float32": 1e-4, "float16": 1e-2}.get(dtype or "", 5e-2)
