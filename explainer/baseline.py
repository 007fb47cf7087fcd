"""What the loss would be of somebody who knows nothing: the line that a loss curve has to leave."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from explainer.errors import TraceError

if TYPE_CHECKING:
    from explainer.trace import Trace

CLASSIFYING = ("NLLLoss", "CrossEntropyLoss")  # losses that are −ln p(the right class)


def knowing_nothing(trace: Trace) -> float | None:
    """Return the loss of who gives every class the same probability, ln C; None where that has no meaning.

    It has one where the loss is a mean of −ln p(the right class) over examples, with or without smoothed labels.
    """
    criterion, count = trace.model.criterion, class_count(trace)
    if criterion is None or count is None or count < 2 or criterion.settings.get("reduction") != "mean":
        return None
    return math.log(count)


def class_count(trace: Trace) -> int | None:
    """Return the number of classes that the loss chooses between; None where the trace does not tell.

    Such a loss is given (example, class, …), so the shape of what it was given says how many there are.
    """
    criterion = trace.model.criterion
    if criterion is None or criterion.type not in CLASSIFYING:
        return None
    try:
        given = trace.criterion.inputs[0].shape if trace.criterion and len(trace) else ()
    except TraceError:  # it was not kept in full
        given = ()
    if given:
        return int(given[1] if len(given) > 1 else given[0])
    feeding = trace.model.layers.get(criterion.fed_by[-1]) if criterion.fed_by else None
    shape = feeding.output_shape if feeding else None
    return int(shape[1]) if shape and len(shape) == 2 else None  # of more dimensions any may be the classes'
