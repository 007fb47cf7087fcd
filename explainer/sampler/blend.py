"""Tensors that are linear in a point's coordinates, written into one place, point after point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from explainer.sampler.weights import precise

Tensors = Mapping[str, torch.Tensor]
_SMALL = 1 << 16  # elements; moving a tensor of fewer costs less than the call that moves it


def weights_at(center: Tensors, directions: Sequence[Tensors], point: Sequence[float]) -> dict[str, torch.Tensor]:
    """Return the weights at a point (D,), in new tensors: center + Σ coordinate · direction, written plainly.

    Those of half precision are rounded once, as `Surface.weights_at` rounds them.
    """
    return {
        name: _moved(tensor, [(x, each[name]) for x, each in zip(point, directions, strict=True) if name in each])
        for name, tensor in center.items()
    }


def _moved(center: torch.Tensor, moves: Sequence[tuple[float, torch.Tensor]]) -> torch.Tensor:
    half = center.dtype in (torch.float16, torch.bfloat16)
    found = precise(center) if half else center.clone()
    for x, direction in moves:
        found += x * (precise(direction) if half else direction)
    if center.dtype == torch.bfloat16:
        found = found.float()  # numpy has no bfloat16: who checks a point has float32, and rounds that
    return found.to(center) if half else found


class Blend:
    """center + u·first + v·second + …, at one point after another.

    What the later coordinates add is kept while they stay the same: along a row of a grid, a point is one addition.
    The value depends on the point alone, to the last bit, not on the points before it.

    Attributes:
        value: The tensor at the last point moved to; the next move writes over it.
    """

    def __init__(self, center: torch.Tensor, directions: Sequence[torch.Tensor]) -> None:
        self.value = torch.empty_like(center)
        self._center, self._directions = center, directions
        self._row: list[float] | None = None  # the later coordinates that `_base` is for
        self._base = center if len(directions) < 2 else torch.empty_like(center)

    def move(self, point: Sequence[float]) -> torch.Tensor:
        """Return the tensor at a point (D,), D at least 1."""
        first, *row = point
        if row and row != self._row:
            base = self._center
            for x, direction in zip(row, self._directions[1:], strict=True):
                base = torch.add(base, direction, alpha=x, out=self._base)
            self._row = row
        return torch.add(self._base, self._directions[0], alpha=first, out=self.value)


class MovingWeights:
    """A model's weights at one point of a plane after another, always in the same tensors.

    Small ones stand together in one tensor, so that moving them is one call. Large ones are not copied.

    Attributes:
        tensors: By parameter name; what they hold changes with every move.
    """

    def __init__(self, center: Tensors, directions: Sequence[Tensors]) -> None:
        self.tensors = dict(center)
        packs: dict[object, list[str]] = {}
        for name, tensor in center.items():
            together = (tensor.dtype, tensor.device) if tensor.numel() < _SMALL else name
            packs.setdefault(together, []).append(name)
        self._blends = [self._pack(names, center, directions) for names in packs.values()]

    def _pack(self, names: Sequence[str], center: Tensors, directions: Sequence[Tensors]) -> Blend:
        if len(names) == 1:
            (name,) = names
            blend = Blend(center[name], [direction[name] for direction in directions])
            self.tensors[name] = blend.value
            return blend

        def joined(weights: Tensors) -> torch.Tensor:
            return torch.cat([weights[name].reshape(-1) for name in names])

        blend = Blend(joined(center), [joined(direction) for direction in directions])
        parts = blend.value.split([center[name].numel() for name in names])
        self.tensors |= {name: part.view(center[name].shape) for name, part in zip(names, parts, strict=True)}
        return blend

    def move(self, point: Sequence[float]) -> None:
        """Let the tensors hold the weights at a point (D,)."""
        for blend in self._blends:
            blend.move(point)
