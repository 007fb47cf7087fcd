"""Chains of Linear and elementwise layers, run with one example a column: each layer is W·X + b, into memory it owns.

So a bias goes along rows, the softmax of a cross-entropy along memory, and nothing is allocated from point to point.
As no user's module is called, threads can share the points, each with memory of its own. For products this small that
is nearly twice as quick as two threads that share each product, and no slower when others use the machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import current_thread, main_thread
from typing import Any, NamedTuple, TypeVar

import torch
from torch import nn
from torch.nn import functional

from explainer.sampler.blend import Blend, MovingWeights, Tensors
from explainer.sampler.problem import Problem

Points = Sequence[Sequence[float]]  # (P, D)
T = TypeVar("T")
Work = Callable[[torch.Tensor], torch.Tensor]  # (unit, example) to (unit, example)
_BYTES = 512 << 20  # of the first layer's blends; more may not fit beside all else

# What works number by number, in place where it can.
_ELEMENTWISE: dict[type[nn.Module], Callable[[Any], Work]] = {
    nn.ReLU: lambda layer: torch.relu_,
    nn.Tanh: lambda layer: torch.tanh_,
    nn.Sigmoid: lambda layer: torch.sigmoid_,
    nn.LeakyReLU: lambda layer: lambda x: functional.leaky_relu_(x, layer.negative_slope),
    nn.ELU: lambda layer: lambda x: functional.elu_(x, layer.alpha),
    nn.SiLU: lambda layer: lambda x: functional.silu(x, inplace=True),
    nn.GELU: lambda layer: layer.forward,
    nn.Softplus: lambda layer: layer.forward,
}
_LOSSES = nn.MSELoss.__module__
_MOST_THREADS = 8  # beyond, they mostly wait for Python, which serves one at a time
_NOTHING = (nn.Identity, nn.Dropout)  # in eval mode


class Columns:
    """Runs a chain of layers at one point after another.

    Args:
        layers: What `chain` found.
        center: The weights at the origin.
        directions: D of them, D at least 1.
    """

    def __init__(
        self, problem: Problem, layers: Sequence[nn.Module], center: Tensors, directions: Sequence[Tensors]
    ) -> None:
        self._layers = [_Named.of(layer, problem.model) for layer in layers]
        self._center, self._directions = center, directions
        first, *_ = self._layers
        inputs = [batch.flatten(1).t() for batch, _ in problem.batches]
        self._products = [[first.apply(weights, x) for weights in (center, *directions)] for x in inputs]
        criterion: Any = problem.criterion
        self._several = type(criterion).__module__ == _LOSSES and _is_itself(criterion) and not problem.metrics
        self._rooms: list[_Room] = []

    def visit(self, points: Points, receive: Callable[[Iterator[Any]], T]) -> list[T]:
        """Return what `receive` makes of the outputs of each batch in turn, at each point.

        Where the criterion is torch's own, unheard, and nothing else is called, threads share the points.
        """
        with _one_thread_each() as threads:
            count = max(1, min(threads, len(points), _MOST_THREADS)) if self._several else 1
            while len(self._rooms) < count:
                self._rooms.append(_Room(self._layers, self._center, self._directions, self._products))
            if count == 1:
                return self._rooms[0].visit(points, receive)
            length = -(-len(points) // count)
            parts = [points[start : start + length] for start in range(0, len(points), length)]
            with ThreadPoolExecutor(count) as pool:
                found = pool.map(lambda room, part: room.visit(part, receive), self._rooms, parts)
                return [each for part in found for each in part]


class _Named(NamedTuple):
    """A layer, and what its weights are called."""

    layer: Any
    weight: str = ""
    bias: str | None = None

    @classmethod
    def of(cls, layer: nn.Module, model: nn.Module) -> _Named:
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        weight, bias = (layer._parameters.get(key) for key in ("weight", "bias"))
        return cls(layer, names.get(id(weight), ""), names.get(id(bias)))

    def apply(self, weights: Tensors, x: torch.Tensor) -> torch.Tensor:
        """Return W·X + b in new memory."""
        return self.work(weights, x.shape[1])(x)

    def work(self, weights: Tensors, examples: int) -> Work:
        """Return what the layer does to a batch of so many examples, at whatever these weights hold then."""
        if type(self.layer) is nn.LogSoftmax:
            return lambda x: torch.log_softmax(x, dim=0)
        if type(self.layer) is not nn.Linear:
            return _ELEMENTWISE[type(self.layer)](self.layer)
        return self.product(weights, weights[self.weight].new_empty(self.layer.out_features, examples))

    def product(self, weights: Tensors, room: torch.Tensor) -> Work:
        """Return the way from X to W·X + b, written into a room of its own."""
        weight = weights[self.weight]
        if self.bias is None:
            return lambda x: torch.mm(weight, x, out=room)
        bias = weights[self.bias][:, None]
        return lambda x: torch.addmm(bias, weight, x, out=room)


@contextmanager
def _one_thread_each() -> Iterator[int]:
    """Let each product be one thread's inside the `with`; yields how many there may be.

    The number is the whole process's: a thread that is itself one of several, of an executor say, leaves it alone.
    """
    if current_thread() is not main_thread():
        yield 1
        return
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        yield threads
    finally:
        torch.set_num_threads(threads)


class _Room:
    """The memory of one thread, and the layers at work in it."""

    def __init__(
        self,
        layers: Sequence[_Named],
        center: Tensors,
        directions: Sequence[Tensors],
        products: Sequence[Sequence[torch.Tensor]],
    ) -> None:
        self._weights = MovingWeights(center, directions)
        self._firsts = [Blend(product, moves) for product, *moves in products]
        self._works = [
            [layer.work(self._weights.tensors, first.value.shape[1]) for layer in layers[1:]] for first in self._firsts
        ]

    def visit(self, points: Points, receive: Callable[[Iterator[Any]], T]) -> list[T]:
        found = []
        with torch.no_grad():  # each thread has a mode of its own
            for point in points:
                self._weights.move(point)
                found.append(receive(self._outputs(point)))
        return found

    def _outputs(self, point: Sequence[float]) -> Iterator[torch.Tensor]:
        for first, works in zip(self._firsts, self._works, strict=True):
            x = first.move(point)
            for work in works:
                x = work(x)
            yield x.t()


def chain(problem: Problem) -> list[nn.Module] | None:
    """Return the layers of a model that is a chain, the first a Linear that sees the input; None where it is none."""
    if problem.training or not all(_is_table(batch) for batch, _ in problem.batches):
        return None
    layers = _unrolled(problem.model)
    if not all(map(_is_itself, layers)):
        return None
    while layers and type(layers[0]) is nn.Flatten and (layers[0].start_dim, layers[0].end_dim) == (1, -1):
        layers = layers[1:]
    layers = [layer for layer in layers if type(layer) not in _NOTHING]
    if not layers or type(layers[0]) is not nn.Linear or not all(map(_is_known, layers)):
        return None
    outputs = layers[0].out_features * sum(len(batch) for batch, _ in problem.batches)
    return layers if 5 * 8 * outputs <= _BYTES else None


def _unrolled(module: nn.Module) -> list[nn.Module]:
    if type(module) is not nn.Sequential or not _is_itself(module):
        return [module]
    return [layer for child in module for layer in _unrolled(child)]


def _is_table(batch: Any) -> bool:
    return isinstance(batch, torch.Tensor) and batch.ndim >= 2 and batch.is_floating_point()


def _is_itself(layer: nn.Module) -> bool:
    """Whether a call of a layer is what its class says, and nobody listens to it."""
    return not (layer._forward_hooks or layer._forward_pre_hooks or "forward" in vars(layer))


def _is_known(layer: Any) -> bool:
    if type(layer) is nn.Linear:
        plain = set(layer._parameters) == {"weight", "bias"} and layer.weight is layer._parameters["weight"]
        return plain and layer.weight.device.type == "cpu"
    return type(layer) in _ELEMENTWISE or (type(layer) is nn.LogSoftmax and layer.dim in (1, -1))
