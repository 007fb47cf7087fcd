"""Undoing the scale that a `GradScaler` puts on a loss, so that float16 can hold its gradients.

The scale is a power of two unless somebody asked for another: undoing it is exact in float32.
"""

from collections.abc import Iterable

import numpy as np

from explainer.recorder.seen import Pass, Seen
from explainer.storage import Array

NOTE = "gradients and losses are recorded without the scale of the GradScaler, which the scalar loss_scale keeps"

BY_HAND = (
    "gradients and losses hold the scale of the GradScaler: steps that recorder.step closes do not show it; give the "
    "optimizer to explainer.record instead"
)


def unscale(passes: Iterable[Pass], scale: float) -> None:
    """Divide the gradients and losses of passes by a scale; float16 becomes float32, which holds what comes out."""
    for each in passes:
        each.losses = [loss / scale for loss in each.losses]
        gradients = each.seen.get("gradients", {})
        for name, seen in gradients.items():
            gradients[name] = _unscaled(seen, scale)
        criterion = each.seen.get("criterion", {})
        if "gradient" in criterion:
            criterion["gradient"] = _unscaled(criterion["gradient"], scale)


def _unscaled(seen: Seen, scale: float) -> Seen:
    moments = seen.moments
    if moments is not None:
        moments = moments._replace(
            total=moments.total / scale,
            abs_total=moments.abs_total / scale,
            square_total=moments.square_total / scale**2,
            centred_square_total=moments.centred_square_total / scale**2,
            max_abs=moments.max_abs / scale,
        )
    return Seen(None if seen.kept is None else _divided(seen.kept, scale), moments)


def _divided(values: Array, scale: float) -> Array:
    wide = values.astype(np.float32) if values.dtype == np.float16 else values
    with np.errstate(all="ignore"):  # what overflowed is to be recorded, not warned of
        quotient: Array = wide / wide.real.dtype.type(scale)
    return quotient
