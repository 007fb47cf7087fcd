"""The chain rule's factors as one example multiplies them: incoming × local = outgoing, from the loss down.

Gradients are columns, and a matrix stands where it multiplies a column: what `chain` works out for whole batches, one
example at a time, and at the first layer with weights what this example adds to their gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from explainer import chain
from explainer.chain import Chain, Operation
from explainer.errors import place_of
from explainer.operations import Elementwise, Jacobian

if TYPE_CHECKING:
    from explainer.trace import Trace

Array = NDArray[Any]


@dataclass(frozen=True)
class Link:
    """One operation of the backward pass, for one example.

    Attributes:
        operation: As `chain` worked it out, for the whole batch.
        to: Who gets the outgoing gradient: the layer before, "input" (`Model.input_name`), or a parameter.
        incoming: ∂ℓ/∂output, (unit,) or of more dimensions; () of the loss.
        local: What it is multiplied by: (unit,) where each number has its own, else (input, output); the layer's input
            where the gradient goes to a parameter.
        outgoing: ∂ℓ/∂`to`; of a parameter what this example adds to it, (output, input).
        elementwise: Whether number meets number.
        parameter: Whether `to` is one.
    """

    operation: Operation
    to: str
    incoming: Array
    local: Array
    outgoing: Array
    elementwise: bool = False
    parameter: bool = False

    @property
    def kept(self) -> float:
        """By what the gradient's norm is multiplied; NaN where it was 0."""
        before = float(np.linalg.norm(self.incoming))
        return float(np.linalg.norm(self.outgoing)) / before if before else float("nan")


@dataclass(frozen=True)
class Factors:
    """One example's chain rule at a recorded step.

    Attributes:
        step: The recorded step's number.
        links: From the loss to the first layer with weights; where there is none, to the input.
        values: Per layer, and of "input" (`Model.input_name`), what was recorded for this example.
        loss: Of the whole batch, as recorded.
        target: What the example's answer should have been.
        parameter_gradients: Per parameter its gradient over the whole batch.
        by_hand: Whether those were worked out here; else they are autograd's, because only a part of the batch is kept.
        difference: How far gradients worked out here are from autograd's at most, as a share of the largest number of
            each; NaN where none were kept.
        examples: How many of the batch were kept.
    """

    step: int
    links: tuple[Link, ...]
    values: dict[str, Array]
    loss: float
    target: Array
    parameter_gradients: dict[str, Array]
    by_hand: bool
    difference: float
    examples: int


def of_example(trace: Trace, step: int = -1, example: int = 0) -> Factors:
    """Work one example's chain rule out, from the loss to the first weights.

    Args:
        trace: A recorded run of layers one after the other; reads inputs, targets, parameters and activations.
        step: Which recorded step; a negative one counts from the last.
        example: Which of the examples kept, from 0.

    Raises:
        TraceError: As `chain.work_out`; or there is no such example.
    """
    index = trace.index_of(step)
    worked = chain.work_out(trace, step)
    inputs = worked.operations[0].input
    example = place_of(example, len(inputs), f"step {worked.step} keeps")
    names = [trace.model.input_name, *(operation.name for operation in worked.operations[:-1])]
    values = {name: op.input[example] for name, op in zip(names, worked.operations, strict=True)}
    gradients = worked.parameter_gradients or _recorded(trace, index)
    return Factors(
        worked.step,
        _links(worked, names, example, _first_weights(trace)),
        values,
        float(trace.scalars["loss"][index]),
        np.asarray(trace.targets[index][example]),
        gradients,
        worked.whole,
        _difference(trace, index, worked),
        len(inputs),
    )


def _first_weights(trace: Trace) -> tuple[str, str]:
    """Return the first layer that has a matrix, and its matrix, by its qualified name; "" where none has."""
    for layer in trace.layers:
        for name in trace.model.layers[layer].parameters:
            if name.rpartition(".")[2] == "weight":
                return layer, name
    return "", ""


def _links(worked: Chain, before: list[str], example: int, first: tuple[str, str]) -> tuple[Link, ...]:
    """Return the operations in the order of the backward pass, down to the first with weights."""
    layer, weights = first
    found: list[Link] = []
    for operation, to in zip(reversed(worked.operations), reversed(before), strict=True):
        incoming = operation.incoming[example] if operation.incoming.ndim else operation.incoming
        if weights and operation.name == layer:
            return (*found, _to_weights(operation, weights, incoming, example))
        found.append(_to_input(operation, to, incoming, example))
    return tuple(found)


def _to_input(operation: Operation, to: str, incoming: Array, example: int) -> Link:
    values, derivative = operation.local.values, operation.local
    if isinstance(derivative, Elementwise):
        return Link(operation, to, incoming, values[example], operation.outgoing[example], elementwise=True)
    local = values[example] if isinstance(derivative, Jacobian) else values
    return Link(operation, to, incoming, np.swapaxes(local, -1, -2), operation.outgoing[example])


def _to_weights(operation: Operation, to: str, incoming: Array, example: int) -> Link:
    x, matrix = operation.input[example], operation.local.values
    share = incoming.reshape(-1, matrix.shape[0]).T @ x.reshape(-1, matrix.shape[1])
    return Link(operation, to, incoming, x, share, parameter=True)


def _recorded(trace: Trace, index: int) -> dict[str, Array]:
    kept = trace.parameter_gradients
    names = (name for layer in trace.layers for name in trace.model.layers[layer].parameters)
    return {name: np.asarray(kept[name][index], np.float64) for name in names if name in kept}


def _difference(trace: Trace, index: int, worked: Chain) -> float:
    """Return how far gradients by hand are from autograd's, the largest of all layers and parameters."""
    found = []
    for by_hand, recorded in (
        (worked.gradients, trace.gradients),
        (worked.parameter_gradients, trace.parameter_gradients),
    ):
        for name in (name for name in by_hand if name in recorded):
            autograd = np.asarray(recorded[name][index], np.float64)
            largest = float(np.abs(autograd).max(initial=0.0))
            found.append(float(np.abs(by_hand[name] - autograd).max(initial=0.0)) / (largest or 1.0))
    return max(found, default=float("nan"))
