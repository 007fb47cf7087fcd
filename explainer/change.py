"""A small change of one weight, followed through the network to the loss.

The recorded operations of one step are run forward twice from the recorded inputs and parameters, in float64: as they
were, and with one weight larger by ε. What differs is the change, operation by operation. Δℓ/ε is the slope of the loss
in that weight, which autograd recorded as its gradient.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explainer import chain
from explainer.chain import Chain
from explainer.errors import TraceError
from explainer.operations import LAYERS, LOSSES
from explainer.trace import Trace

Array = NDArray[Any]

EPSILON = 1e-6  # far above float64's rounding of a loss, far below where a loss bends
MOST = 16  # rows and columns of a weight matrix that pictures show


@dataclass(frozen=True)
class Change:
    """What one weight's change by `epsilon` changes.

    Attributes:
        step: The recorded step's number.
        parameter: Whose entry `entry` is changed: (output, input).
        weight: What the entry was.
        values: Per layer its output as it was, (example, …), in forward order.
        changes: Per layer Δoutput, (example, …).
        loss: As it was; `loss_change` is Δℓ.
        recorded: What autograd recorded of ∂ℓ/∂weight.
    """

    step: int
    parameter: str
    entry: tuple[int, ...]
    epsilon: float
    weight: float
    values: Mapping[str, Array]
    changes: Mapping[str, Array]
    loss: float
    loss_change: float
    recorded: float

    @property
    def ratio(self) -> float:
        """Δℓ/ε."""
        return self.loss_change / self.epsilon

    @property
    def difference(self) -> float:
        """How far Δℓ/ε is from the recorded gradient."""
        return abs(self.ratio - self.recorded)


def follow(trace: Trace, step: int = -1, *, epsilon: float = EPSILON) -> Change:
    """Make one weight of the first layer that has any larger by ε, and follow what changes.

    It is the weight with the largest recorded gradient, among the first 16 × 16.

    Args:
        trace: A recorded run of layers one after the other; reads inputs, targets, parameters, their gradients and
            activations.
        step: Which recorded step; negative counts from the end.

    Raises:
        TraceError: As `chain.work_out`; or the trace keeps a part of its batch only, or has no layer with weights.
    """
    worked, name = chain.work_out(trace, step), trace.folder or "this trace"
    if not worked.whole:
        raise TraceError(f"the loss is that of a whole batch; {name} keeps a part of it: record with examples=None")
    if not worked.parameter_gradients:
        raise TraceError(f"a weight is changed and followed to the loss; {name} has no layer with weights")
    index, parameter = trace.index_of(step), _first_weight(trace, worked)
    gradient = np.asarray(trace.parameter_gradients[parameter][index], np.float64)
    seen = np.nan_to_num(np.abs(gradient[tuple(slice(MOST) for _ in gradient.shape)]))
    entry = tuple(int(place) for place in np.unravel_index(int(seen.argmax()), seen.shape))
    before, loss = _forward(trace, index, {})
    weights = np.asarray(trace.parameters[parameter][index], np.float64).copy()
    weight = float(weights[entry])
    weights[entry] += epsilon
    after, loss_after = _forward(trace, index, {parameter: weights})
    changes = {layer: after[layer] - before[layer] for layer in trace.layers}
    return Change(
        worked.step, parameter, entry, epsilon, weight, before, changes, loss, loss_after - loss,
        float(gradient[entry]),
    )  # fmt: skip


def _first_weight(trace: Trace, worked: Chain) -> str:
    """Return the first parameter of the first layer that has any."""
    return next(name for layer in trace.layers for name in worked[layer].parameter_gradients)


def _forward(trace: Trace, index: int, changed: Mapping[str, Array]) -> tuple[dict[str, Array], float]:
    """Run a step forward in float64 with some parameters changed, and return each layer's output, and the loss."""
    x, found = trace.inputs[index].astype(np.float64), dict[str, Array]()
    for layer in trace.layers:
        described = trace.model.layers[layer]
        own = {
            name.rpartition(".")[2]: changed.get(name, trace.parameters[name][index].astype(np.float64))
            for name in described.parameters
        }
        found[layer] = x = LAYERS[described.type](x, **own).output
    criterion = trace.model.criterion
    kind = criterion.type if criterion else ""
    summed = criterion is not None and criterion.settings.get("reduction") == "sum"
    n = 1 if summed else x.size if kind == "MSELoss" else len(x)
    return found, float(LOSSES[kind](x, trace.targets[index], float(n)).output)
