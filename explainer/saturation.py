"""Layers that squash: how much of what they say lies at an end of their range, where their derivative is nearly 0.

A Sigmoid is saturated within 5 % of its range from 0 or 1, where its derivative is under a fifth of its largest; a Tanh
likewise beyond ±0.9. A Softmax is saturated for an example whose largest probability is over 0.95. A ReLU has one such
end, 0, of which a trace's statistics know the share in the whole batch.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from explainer.architecture import Layer
    from explainer.trace import Trace

NEAR = 0.05  # of a range, within which its ends begin; and a Softmax's largest probability is 1 but for that

_RANGES = {"Sigmoid": (0.0, 1.0), "Hardsigmoid": (0.0, 1.0), "Tanh": (-1.0, 1.0), "Softsign": (-1.0, 1.0)}
_SOFTMAX = ("Softmax", "LogSoftmax", "Softmax2d")
_ZEROING = ("ReLU", "ReLU6", "ReLUSquaredActivation", "Threshold", "Hardshrink", "Softshrink")
_OTHERS = ("LeakyReLU", "PReLU", "RReLU", "ELU", "CELU", "SELU", "GELU", "SiLU", "SiLUActivation", "Mish", "Hardswish",
           "Hardtanh", "Tanhshrink", "Softplus", "LogSigmoid", "GLU", "GELUActivation", "NewGELUActivation",
           "FastGELUActivation", "QuickGELUActivation", "PytorchGELUTanh")  # fmt: skip


def layer_of(trace: Trace, output: str) -> Layer | None:
    """Return the layer that an output is of: "lstm" for "lstm:1[1]"; None where the model has none of the name."""
    name = re.sub(r"(:\d+)?(\[.*\])?$", "", output)
    return trace.model.layers.get(output) or trace.model.layers.get(name)


def kind_of(trace: Trace, output: str) -> str:
    """Return the class of the layer that an output is of; empty where it is not known."""
    found = layer_of(trace, output)
    return found.type if found else ""


def is_activation_function(trace: Trace, output: str) -> bool:
    """Whether a layer applies one of torch's or transformers' activation functions, number by number."""
    return kind_of(trace, output) in (*_RANGES, *_ZEROING, *_OTHERS)


def zeroes(trace: Trace, output: str) -> bool:
    """Whether a layer makes 0 of a whole range of inputs, as a ReLU does."""
    return kind_of(trace, output) in _ZEROING


def ends(trace: Trace, output: str) -> tuple[float, float] | None:
    """Return between which values a layer squashes all there is; None where it does not."""
    layer = layer_of(trace, output)
    if layer is None:
        return None
    if layer.type == "Hardtanh":
        low, high = layer.settings.get("min_val", -1.0), layer.settings.get("max_val", 1.0)
        return (float(low), float(high))
    return _RANGES.get(layer.type)


def saturated_zones(trace: Trace, output: str) -> tuple[float, float] | None:
    """Return below and above which values a layer is saturated; None where no single value tells."""
    found = ends(trace, output)
    if found is None:
        return None
    low, high = found
    return low + NEAR * (high - low), high - NEAR * (high - low)


def saturated_share(trace: Trace, output: str, values: npt.ArrayLike) -> float:
    """Return which share of a layer's values, of a Softmax's examples, is saturated.

    Args:
        values: (example, …) what the layer returned in one step.

    Returns:
        From 0 to 1; NaN where the layer cannot saturate, and where it returned nothing or no finite number.
    """
    array = np.asarray(values, np.float64)
    if kind_of(trace, output) in _SOFTMAX:
        return _sure_share(trace, output, array)
    zones = saturated_zones(trace, output)
    known = array[np.isfinite(array)]
    if zones is None or not known.size:
        return float("nan")
    return float(np.mean((known < zones[0]) | (known > zones[1])))


def _sure_share(trace: Trace, output: str, values: npt.NDArray[np.float64]) -> float:
    """Return for which share of examples, and of positions, the largest probability is nearly 1."""
    layer = layer_of(trace, output)
    if layer is None or not values.size or not values.ndim:
        return float("nan")
    dim = layer.settings.get("dim")
    if dim is None:  # as torch chooses it
        dim = -3 if layer.type == "Softmax2d" else 0 if values.ndim in (1, 3) else 1
    if not -values.ndim <= dim < values.ndim:
        return float("nan")
    largest = values.max(axis=dim)
    largest = largest[np.isfinite(largest)]
    sure = np.exp(largest) if layer.type == "LogSoftmax" else largest
    return float(np.mean(sure > 1 - NEAR)) if sure.size else float("nan")
