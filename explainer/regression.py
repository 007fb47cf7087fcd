"""What a network of one input and one output says of its examples, step by step: a function, and how far it is off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from explainer.errors import TraceError
from explainer.trace import Trace

Array = npt.NDArray[np.float64]

PROBE_LINE = (
    "with explainer.record(model, path, criterion=criterion, optimizer=optimizer, probe=(x, y)) as recorder:"
)
STRAIGHT = 1e-5  # how far a straight line may be off the best one, as a share of its extent: float32 leaves 1e-7


@dataclass(frozen=True)
class Regression:
    """The same examples at every recorded step: what is known of the function, and what the network makes of it.

    Attributes:
        x: (example,) ascending.
        targets: (example,) what is known.
        outputs: (S, example) the network's; S is of the steps that were read.
        losses: (S,) the recorded loss of these examples; NaN where none was recorded.
        layer: Whose recorded output it is.
        probed: Whether the examples are the probe's; else they are the batch, the same in every step.
        measure: The criterion's type, such as "MSELoss"; empty where none was recorded.
    """

    x: Array
    targets: Array
    outputs: Array
    losses: Array
    layer: str
    probed: bool
    measure: str = ""

    @property
    def residuals(self) -> Array:
        """(S, example) output − target."""
        return np.asarray(self.outputs - self.targets)

    @property
    def mean_squares(self) -> Array:
        """(S,) the mean of the squared residuals, not half of it."""
        return np.asarray(np.mean(self.residuals**2, axis=1))

    @property
    def is_mean_square(self) -> bool:
        """Whether the recorded loss is that mean."""
        known = np.isfinite(self.losses)
        return bool(known.any() and np.allclose(self.losses[known], self.mean_squares[known], rtol=1e-3, atol=1e-9))

    @property
    def straight(self) -> npt.NDArray[np.bool_]:
        """(S,) whether the network's function is a straight line, to rounding."""
        known = np.asarray(np.isfinite(self.outputs).all(axis=1))
        outputs = np.where(known[:, None], self.outputs, 0.0)
        off = np.abs(outputs - best_lines(self.x, outputs)).max(axis=1)
        extent = np.maximum(np.ptp(outputs, axis=1), np.ptp(self.targets))
        return np.asarray(known & (off <= STRAIGHT * extent))

    @property
    def best_straight(self) -> float:
        """The mean square of the best straight line through the targets: no straight line has less."""
        return float(np.mean((best_lines(self.x, self.targets[None])[0] - self.targets) ** 2))


def best_lines(x: Array, values: Array) -> Array:
    """Return the straight line nearest to each row of values (row, example), by least squares, at x (example,)."""
    away = x - x.mean()
    spread = float(away @ away)
    slopes = values @ away / spread if spread else np.zeros(len(values))
    return np.asarray(values.mean(axis=1, keepdims=True) + slopes[:, None] * away)


def read_regression(trace: Trace, name: str = "", places: Sequence[int] | None = None) -> Regression:
    """Read the network's function at every recorded step: at the probe's examples, else at those of every batch.

    Args:
        name: What messages call the trace; its folder when omitted.
        places: Which of the recorded steps are read, by their place; all when omitted.

    Raises:
        TraceError: The trace holds no examples that are the same in every step, or more than one input or output.
    """
    name = name or str(trace.folder or "the trace")
    layer, read = output_layer(trace), slice(None) if places is None else list(places)
    probed = trace.probe is not None and trace.probe.targets is not None
    if trace.probe is not None and probed:
        inputs, targets = np.asarray(trace.probe.inputs), np.asarray(trace.probe.targets)
        outputs = np.asarray(trace.probe.activations[layer][read], np.float64)
    else:
        inputs, targets, outputs = _batches(trace, layer, name, read)
    losses = trace.scalars.get("probe_loss" if probed else "loss", np.full(len(trace), np.nan))
    flat = {what: _one_each(kind, name, what) for what, kind in (("input", inputs), ("target", targets))}
    curves = _one_each(outputs, name, "output", steps=True)
    order = np.argsort(flat["input"], kind="stable")
    return Regression(
        x=flat["input"][order], targets=flat["target"][order], outputs=curves[:, order],
        losses=np.asarray(losses, np.float64)[read], layer=layer, probed=probed,
        measure=trace.model.criterion.type if trace.model.criterion else "",
    )  # fmt: skip


def output_layer(trace: Trace) -> str:
    """Return the layer that the loss reads, else the last one that ran."""
    feeding = trace.model.criterion.fed_by if trace.model.criterion else ()
    return next((name for name in feeding if name in trace.layers), trace.layers[-1])


def _batches(trace: Trace, layer: str, name: str, read: slice | list[int]) -> tuple[Any, Any, Array]:
    """Return the inputs and targets of every batch, (example, …), and the outputs, (S, example, …)."""
    line = f"record with\n    {PROBE_LINE}"
    try:
        inputs, targets = trace.inputs[read], trace.targets[read]
    except TraceError:  # not kept
        inputs = targets = np.empty(0)
    if not len(inputs) or not len(targets) or layer not in trace.activations:
        raise TraceError(f"{name} holds no probe, the examples that are seen at every step: {line}")
    if (inputs != inputs[:1]).any() or (targets != targets[:1]).any():
        raise TraceError(f"the examples of {name} change from step to step, so that none can be followed: {line}")
    return inputs[0], targets[0], np.asarray(trace.activations[layer][read], np.float64)


def _one_each(values: Any, name: str, what: str, *, steps: bool = False) -> Array:
    """Return one number for each example, (example,), or (S, example) with `steps`."""
    values = np.asarray(values)
    own = values.shape[1 + steps :]
    if values.ndim < 1 + steps or int(np.prod(own)) != 1 or np.issubdtype(values.dtype, np.complexfloating):
        raise TraceError(
            f"each {what} of {name} is of shape {own}, and a function is drawn of one input and one output: choose a "
            "trace of a network that has these"
        )
    return np.asarray(values.reshape(values.shape[: 1 + steps]), np.float64)
