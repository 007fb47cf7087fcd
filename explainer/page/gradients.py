"""How large the gradient is at each layer, at the steps that are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from explainer import flow
from explainer.errors import TraceError

if TYPE_CHECKING:
    from explainer.page.shown import Shown
    from explainer.trace import Trace


def gradients(trace: Trace, shown: Shown) -> dict[str, Any]:
    """Return ‖∂loss/∂activation‖ of every layer over the whole batch, in forward order, none left out.

    Returns:
        `layers` with name and type, and the reason where one has no gradient; `norms` and `nonfinite` (layer, T); the
        first layer's `share` of the last one's (T,); and `low` and `high`, the limits of one logarithmic scale for all
        layers and steps.

    Raises:
        TraceError: No layer has a gradient.
    """
    norms, nonfinite = shown.of(flow.gradient_norms(trace)), shown.of(flow.gradient_nonfinite(trace))
    if not np.isfinite(nonfinite).any():
        reasons = ", ".join(dict.fromkeys(trace.missing.values())) or "no backward pass was seen"
        raise TraceError(f"{trace.folder or 'the trace'} holds no gradient: {reasons}")
    with np.errstate(invalid="ignore"):  # a run that diverges: infinity by infinity is no number
        share = norms[0] / np.where(norms[-1] > 0, norms[-1], np.nan)
    drawable = norms[np.isfinite(norms) & (norms > 0)]
    return {
        "layers": [
            {"name": name, "type": trace.model.layers[name].type if name in trace.model.layers else "",
             "missing": trace.missing.get(name, "")}
            for name in trace.layers
        ],
        "norms": norms,
        "nonfinite": nonfinite,
        "share": share,
        "low": float(drawable.min()) if drawable.size else None,
        "high": float(drawable.max()) if drawable.size else None,
    }  # fmt: skip
