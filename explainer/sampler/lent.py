"""A model lent other weights, for many points in one go."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import torch
from torch import nn

from explainer.sampler.blend import MovingWeights, Tensors
from explainer.sampler.chunks import LargestActivation, joined, pieces, tensors_of
from explainer.sampler.first_layer import FirstLayers
from explainer.sampler.lending import lent
from explainer.sampler.problem import Problem, call, call_with, size_of, start_chance

T = TypeVar("T")
Points = Sequence[Sequence[float]]  # (P, D)


class Shortcuts(NamedTuple):
    """What is done differently from a plain loop; whoever wants them proves them.

    Attributes:
        chunked: Batches go through in pieces, for models that treat each example by itself.
        shared: The first layer's products are computed once for all points.
        channels_last: … and lie in memory as convolutions and poolings like them.
    """

    chunked: bool = False
    shared: bool = False
    channels_last: bool = False


class LentModel:
    """Runs the user's own model at one point after another, in tensors that it is lent once for all of them.

    Args:
        center: The weights at the origin.
        directions: D of them, D at least 1.
        how: The shortcuts taken.

    Attributes:
        how: The same.
    """

    def __init__(self, problem: Problem, center: Tensors, directions: Sequence[Tensors], how: Shortcuts) -> None:
        self._model, self._given, self.how = problem.model, problem.given, how
        self._weights = MovingWeights(center, directions)
        self._buffers = [_Buffer.of(self._model, name) for name, _ in self._model.named_buffers()]
        self._batches = [[inputs] for inputs, _ in problem.batches]  # each in pieces
        if how.chunked:
            self._batches = [_in_pieces(problem, center, *batch) for batch in problem.batches]
        inputs = [piece for batch in self._batches for piece in batch]
        self._first = FirstLayers(
            self._model,
            center,
            directions,
            tensors_of(inputs) if how.shared else [],
            channels_last=how.channels_last,
        )
        with self._first.learning():
            for piece in inputs if how.shared else []:
                call_with(problem, center, piece)

    def visit(self, points: Points, receive: Callable[[Iterator[Any]], T]) -> list[T]:
        """Return what `receive` makes of the outputs of each batch in turn, at each point; they do not last longer."""
        found: list[T] = []
        tensors = self._weights.tensors | {buffer.name: buffer.lent for buffer in self._buffers}
        with self._first.answering(), lent(self._model, tensors):
            for point in points:
                start_chance()
                self._weights.move(point)
                self._first.move(point)
                found.append(receive(map(self._output, self._batches)))
                for buffer in self._buffers:
                    buffer.restore()
        return found

    def _output(self, batch: Sequence[Any]) -> Any:
        outputs = [call(self._model, self._given(piece)) for piece in batch]
        for buffer in self._buffers:
            buffer.put_back()
        return joined(outputs)


@dataclass
class _Buffer:
    """A buffer as the model has it, and the copy that it is lent, which a pass may change."""

    owner: nn.Module
    key: str
    name: str
    own: torch.Tensor
    lent: torch.Tensor
    version: int

    @classmethod
    def of(cls, model: nn.Module, name: str) -> _Buffer:
        owner, _, key = name.rpartition(".")
        own = model.get_buffer(name)
        lent = own.clone()
        return cls(model.get_submodule(owner), key, name, own, lent, lent._version)

    def restore(self) -> None:
        """Make the copy what it was, where passes have changed it."""
        if self.lent._version != self.version:
            self.lent.copy_(self.own)
            self.version = self.lent._version

    def put_back(self) -> None:
        """Let the model have the copy again, where a pass has put another tensor in its place."""
        if self.owner._buffers[self.key] is not self.lent:
            self.owner._buffers[self.key] = self.lent


def _in_pieces(problem: Problem, center: Tensors, inputs: Any, targets: Any) -> list[Any]:
    with LargestActivation() as largest:
        call_with(problem, center, inputs)
    weights = sum(tensor.numel() * tensor.element_size() for tensor in center.values())
    return pieces(inputs, size_of(targets), largest.bytes, weights)
