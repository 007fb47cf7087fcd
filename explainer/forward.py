"""Other inputs through a recorded network: worked out from its recorded parameters, one operation after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from explainer.errors import TraceError
from explainer.operations import LAYERS
from explainer.trace import Trace

Array = npt.NDArray[np.float64]


def forward(trace: Trace, index: int, inputs: npt.ArrayLike, *, after: str | None = None) -> dict[str, Array]:
    """Work out what each layer gives for inputs that were not recorded, by the parameters of a recorded step.

    Args:
        trace: A recorded run of layers one after the other; reads its parameters.
        index: The step's place among the recorded.
        inputs: (example, …)
        after: The layer of whose output the inputs stand for; the model's own input when omitted.

    Returns:
        Per layer its output, (example, …), in forward order and in float64.

    Raises:
        TraceError: A layer is not one of `operations.LAYERS`, or does not stand in a line, or no parameters were kept.
    """
    x, found = np.asarray(inputs, np.float64), dict[str, Array]()
    before, first = trace.model.input_name, 0
    if after is not None:
        before, first = after, trace.layers.index(after) + 1
    for layer in trace.layers[first:]:
        described = trace.model.layers.get(layer)
        if described is None or described.type not in LAYERS:
            kind = f"a {described.type}" if described else "called again"
            raise TraceError(f"layer {layer!r} is {kind}, which is not worked out here; {', '.join(LAYERS)} are")
        dim = described.settings.get("dim", -1)
        if described.fed_by != (before,) or dim not in (-1, None, x.ndim - 1):
            raise TraceError(f"layer {layer!r} ({described.type}) does not work on the output of {before} alone")
        parameters = {
            name.rpartition(".")[2]: np.asarray(_parameter(trace, name, index), np.float64)
            for name in described.parameters
        }
        try:
            x = LAYERS[described.type](x, **parameters).output
        except (TypeError, ValueError) as error:  # shapes that do not fit, or a parameter that its class does not have
            raise TraceError(f"layer {layer!r} ({described.type}) is not torch's own: {error}") from error
        found[layer], before = x, layer
    return found


def _parameter(trace: Trace, name: str, index: int) -> Any:
    return trace.parameters[trace.model.tied.get(name, name)][index]
