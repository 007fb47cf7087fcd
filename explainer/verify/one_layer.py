"""One layer of one recorded step, worked out again: its output, and what it sends back to its feeders."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from explainer.verify.comparing import Array, differences
from explainer.verify.links import Link
from explainer.verify.operations_again import REFUSALS, Unjudged, tensor_of

ROUNDINGS = 5  # how many times the rounding that was measured is allowed
_DTYPES = {"float64": torch.float64, "float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}

# (input, parameters) → outputs
Operation = Callable[[torch.Tensor, Mapping[str, torch.Tensor]], Sequence[torch.Tensor]]


@dataclass(frozen=True)
class Again:
    """A number worked out in float64, and how far from it rounding may lead.

    Attributes:
        values: As expected, shaped like what was recorded.
        allowed: For every number of it.
    """

    values: Array
    allowed: float


@dataclass(frozen=True)
class Worked:
    """What an operation makes and sends back.

    Attributes:
        outputs: Per output.
        to_feeders: Per feeder ∂loss/∂(its output) through this operation alone; None where nothing is sent back.
        to_parameters: Per parameter ∂loss/∂parameter through this call alone.
    """

    outputs: tuple[Again, ...]
    to_feeders: tuple[Again | None, ...] = ()
    to_parameters: dict[str, Again] = field(default_factory=dict)


@dataclass(frozen=True)
class Given:
    """What was recorded of an operation.

    Attributes:
        feeders: (example, …) the outputs that it reads.
        parameters: By their names in the layer.
        incoming: ∂loss/∂(each output); None where none arrived.
        dtype: In which the run computed it.
        tolerance: Instead of the measured rounding, as a share of the largest number.
    """

    feeders: tuple[Array, ...]
    parameters: Mapping[str, Array]
    incoming: tuple[Array | None, ...]
    dtype: str
    tolerance: float | None = None


def work_out(operation: Operation, link: Link, given: Given) -> Worked:
    """Apply link and operation to what was recorded, and their derivative to the incoming gradients.

    Everything is done in float64. How much rounding there is, is measured: the same once more in the run's own
    precision, and backward from gradients that are shaken by as much as that precision rounds (a sum in which much
    cancels shows it). Five times the larger is allowed, and five units in the last place of the largest number.

    Raises:
        Unjudged: The operation does not take this input.
    """
    rough_dtype = _DTYPES.get(given.dtype, torch.float32)
    unit = float(torch.finfo(rough_dtype).eps)
    exact, shaken = _run(operation, link, given, torch.float64, shaken_by=unit)
    try:
        rough, _ = _run(operation, link, given, rough_dtype)
    except Unjudged:  # the CPU does not know this operation in that precision
        rough = exact
    again = [
        None if fine is None else _again(fine, fine if coarse is None else coarse, shift, unit, given.tolerance)
        for fine, coarse, shift in zip(exact, rough, shaken, strict=True)
    ]
    outputs, feeders = len(given.incoming), len(given.feeders)
    made = tuple(each for each in again[:outputs] if each is not None)
    sent = zip(given.parameters, again[outputs + feeders :], strict=True)
    return Worked(
        made, tuple(again[outputs : outputs + feeders]), {name: each for name, each in sent if each is not None}
    )


def _run(
    operation: Operation, link: Link, given: Given, dtype: torch.dtype, shaken_by: float = 0.0
) -> tuple[list[Array | None], list[float]]:
    """Return the outputs, what goes to each feeder, and what goes to each parameter; and how far each was shaken."""
    feeders = [tensor_of(each, dtype) for each in given.feeders]
    parameters = {name: tensor_of(each, dtype) for name, each in given.parameters.items()}
    leaves = [*feeders, *parameters.values()]
    for leaf in leaves:
        leaf.requires_grad_(leaf.is_floating_point())
    incoming = [None if each is None else tensor_of(each, dtype) for each in given.incoming]
    with torch.enable_grad():
        try:
            outputs = operation(link(feeders), parameters)
            if len(outputs) != len(incoming):
                raise Unjudged(f"it makes {len(outputs)} tensors of its input, and {len(incoming)} were recorded")
            back = _backward(outputs, leaves, incoming)
            others = [_backward(outputs, leaves, each) for each in _shaken(incoming, shaken_by)]
        except REFUSALS as error:
            raise Unjudged(f"its input does not fit: {error}") from error
    found = [_values(each) for each in (*outputs, *back)]
    shifts = [max((_largest(each[place], still) for each in others), default=0.0) for place, still in enumerate(back)]
    return found, [0.0] * len(outputs) + shifts


def _shaken(incoming: Sequence[torch.Tensor | None], by: float) -> Iterator[list[torch.Tensor | None]]:
    numbers = torch.Generator().manual_seed(0)  # the user's random numbers are not touched
    for _ in range(2 if by else 0):
        yield [
            None if each is None else each * (1 + by * (2 * torch.rand(each.shape, generator=numbers) - 1))
            for each in incoming
        ]


def _backward(
    outputs: Sequence[torch.Tensor], leaves: Sequence[torch.Tensor], incoming: Sequence[torch.Tensor | None]
) -> list[torch.Tensor | None]:
    pairs = [
        (output, gradient)
        for output, gradient in zip(outputs, incoming, strict=True)
        if gradient is not None and output.requires_grad and output.shape == gradient.shape
    ]
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    if not pairs or not wanted:
        return [None] * len(leaves)
    ys, gs = zip(*pairs, strict=True)
    found = torch.autograd.grad(ys, wanted, gs, allow_unused=True, retain_graph=True)
    by_leaf = {id(leaf): gradient for leaf, gradient in zip(wanted, found, strict=True)}
    return [by_leaf.get(id(leaf)) for leaf in leaves]


def _largest(left: torch.Tensor | None, right: torch.Tensor | None) -> float:
    if left is None or right is None or not left.numel():
        return 0.0
    return float((left - right).abs().nan_to_num(0.0, 0.0, 0.0).max())


def _again(exact: Array, rough: Array, shaken: float, unit: float, tolerance: float | None) -> Again:
    expected = np.where(np.isfinite(rough), exact, rough)  # what is too large for the run's precision is infinite there
    largest = float(np.abs(expected[np.isfinite(expected)]).max(initial=0))
    if tolerance is not None:
        return Again(expected, tolerance * largest)
    apart = differences(rough, expected)
    rounding = float(apart[np.isfinite(apart)].max(initial=0))
    return Again(expected, ROUNDINGS * (max(rounding, shaken) + unit * largest))


def agreement(recorded: Array, again: Again) -> float:
    """Return the share of numbers that are as expected; 0 where the shapes differ."""
    if recorded.shape != again.values.shape:
        return 0.0
    return float((differences(recorded, again.values) <= again.allowed).mean()) if recorded.size else 1.0


def _values(tensor: torch.Tensor | None) -> Any:
    return None if tensor is None else tensor.detach().to(torch.float64).numpy()
