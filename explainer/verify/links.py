"""What may stand between layers, where no module sees it: a sum with a shortcut, a reshape, a function of torch.

A trace says which layers feed a layer, not how. Each link here is a guess, and only one that turns what was recorded of
the feeders into what was recorded of the layer is believed.
"""

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F  # noqa: N812 - its usual name

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Link:
    """A way from the feeders' outputs to a layer's input."""

    words: str  # "" where the one feeder's output is the input itself
    make: Callable[..., torch.Tensor]

    def __call__(self, feeders: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the layer's input, (example, …)."""
        return self.make(*feeders)


def links(feeders: Sequence[Shape], wanted: Shape | None) -> Iterator[Link]:
    """Guess, the likeliest first.

    Args:
        feeders: The shapes of the feeders' outputs.
        wanted: The shape of the layer's input; None where it is not known.
    """
    for words, make in _of_one() if len(feeders) == 1 else _of_several(feeders):
        found = _shape(make, feeders)
        if found is None:
            continue
        if wanted is None or found == wanted:
            yield Link(words, make)
        elif math.prod(found) == math.prod(wanted):
            yield Link(", ".join(filter(None, [words, "reshaped"])), _then_reshaped(make, wanted))


def _of_one() -> Iterator[tuple[str, Callable[..., torch.Tensor]]]:
    yield "", lambda x: x
    functions: dict[str, Callable[..., torch.Tensor]] = {
        "relu": F.relu, "gelu": F.gelu, "silu": F.silu, "tanh": torch.tanh, "sigmoid": torch.sigmoid,
        "leaky_relu": F.leaky_relu, "elu": F.elu, "relu6": F.relu6, "hardswish": F.hardswish,
    }  # fmt: skip
    yield from tuple(functions.items())
    for dim in (1, -1):
        yield f"log_softmax(dim={dim})", lambda x, dim=dim: F.log_softmax(x, dim)
        yield f"softmax(dim={dim})", lambda x, dim=dim: F.softmax(x, dim)
    for words, after in (("", lambda x: x), ("relu, ", F.relu)):
        for dims in ((2, 3), (1,), (2,), (-1,), (2, 3, 4)):
            yield f"{words}mean over {dims}", lambda x, dims=dims, after=after: after(x).mean(dims)
        yield f"{words}max_pool2d(2)", lambda x, after=after: F.max_pool2d(after(x), 2)
        yield f"{words}avg_pool2d(2)", lambda x, after=after: F.avg_pool2d(after(x), 2)
    yield "[:, -1]", lambda x: x[:, -1]
    yield "[:, 0]", lambda x: x[:, 0]
    yield "[-1]", lambda x: x[-1]
    for rank in (2, 3, 4):
        for order in itertools.permutations(range(rank)):
            if order != tuple(range(rank)):
                yield f"permuted {order}", lambda x, order=order: x.permute(order)


def _of_several(feeders: Sequence[Shape]) -> Iterator[tuple[str, Callable[..., torch.Tensor]]]:
    together: list[tuple[str, Callable[..., torch.Tensor]]] = [
        ("sum", lambda *xs: functools.reduce(torch.add, xs)),
        ("product", lambda *xs: functools.reduce(torch.mul, xs)),
    ]
    for dim in range(1, len(feeders[0])):
        together.append((f"cat(dim={dim})", _cat(range(len(feeders)), dim)))
        if len(feeders) in (2, 3):
            orders = list(itertools.permutations(range(len(feeders))))[1:]
            together += [(f"cat of {order} (dim={dim})", _cat(order, dim)) for order in orders]
    yield from together
    for words, make in together:
        for more, after in list(_of_one())[1:]:
            yield f"{words}, {more}", _one_after_the_other(make, after)


def _one_after_the_other(
    make: Callable[..., torch.Tensor], after: Callable[..., torch.Tensor]
) -> Callable[..., torch.Tensor]:
    return lambda *xs: after(make(*xs))


def _cat(order: Sequence[int], dim: int) -> Callable[..., torch.Tensor]:
    return lambda *xs: torch.cat([xs[place] for place in order], dim)


def _then_reshaped(make: Callable[..., torch.Tensor], wanted: Shape) -> Callable[..., torch.Tensor]:
    sizes = (-1, *wanted[1:]) if math.prod(wanted) else wanted  # the last batch may be a smaller one
    return lambda *xs: make(*xs).reshape(sizes if wanted else ())


def _shape(make: Callable[..., torch.Tensor], feeders: Sequence[Shape]) -> Shape | None:
    """Return the shape that a guess gives, tried on batches of no examples where that is possible; None if it fails."""
    starts = {shape[:1] for shape in feeders}
    if len(starts) == 1 and starts != {()}:
        try:
            made = make(*(torch.empty(0, *shape[1:]) for shape in feeders))
            return tuple(feeders[0][0] if size == 0 else size for size in made.shape)
        except (RuntimeError, IndexError, ValueError):
            pass  # it looks at the examples themselves
    try:
        return tuple(make(*(torch.empty(shape, device="meta") for shape in feeders)).shape)
    except (RuntimeError, IndexError, ValueError):
        return None
