"""∂loss/∂weights at some weights, over all the data, one batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.instancenorm import _InstanceNorm

from explainer.errors import SurfaceError
from explainer.sampler.batch_norm import estimating, re_estimated_buffers, running_norms
from explainer.sampler.problem import Problem, call_with, kept, size_of, start_chance
from explainer.sampler.weights import Tensors

Statistics = dict[str, tuple[torch.Tensor, torch.Tensor]]  # by norm: mean and variance, (channel,) each


def gradient(problem: Problem, weights: Mapping[str, torch.Tensor]) -> tuple[float, Tensors]:
    """Return the loss at some weights, and ∂loss/∂weights by autograd.

    It costs about three evaluations of the loss. Statistics that are re-estimated depend on the weights as well, and
    their share is in the gradient: that costs as much again.

    Raises:
        SurfaceError: The loss has no gradient.
    """
    leaves = {name: tensor.detach().clone().requires_grad_() for name, tensor in weights.items()}
    with kept(problem.model, training=problem.training), torch.enable_grad():
        start_chance()
        norms = running_norms(problem.model) if problem.batch_norm == "re-estimated" else {}
        if not norms:
            return _of_batches(problem, leaves, {}, None)
        buffers = re_estimated_buffers(problem, weights)
        statistics: Statistics = {}
        for name in norms:
            prefix = f"{name}." if name else ""
            mean, variance = buffers[f"{prefix}running_mean"], buffers[f"{prefix}running_var"]
            statistics[name] = mean.detach().clone().requires_grad_(), variance.detach().clone().requires_grad_()
        start_chance()
        with _normalising(norms, statistics):
            loss, found = _of_batches(problem, leaves, statistics, buffers)
        return loss, _through_statistics(problem, leaves, norms, statistics, found)


def batch_gradients(
    problem: Problem,
    leaves: Mapping[str, torch.Tensor],
    buffers: Mapping[str, torch.Tensor] | None = None,
    *,
    create_graph: bool = False,
    wanted: tuple[torch.Tensor, ...] | None = None,
) -> Iterator[tuple[float, float, tuple[torch.Tensor, ...]]]:
    """Yield each batch's share of all examples, its loss, and the gradients with respect to what is wanted.

    Raises:
        SurfaceError: The loss has no gradient.
    """
    wanted = tuple(leaves.values()) if wanted is None else wanted
    for inputs, targets in problem.batches:
        loss = problem.criterion(call_with(problem, leaves, inputs, buffers), problem.given(targets))
        if not isinstance(loss, torch.Tensor) or not loss.requires_grad:
            raise SurfaceError(
                "the loss has no gradient: the criterion returns a plain number, or something between the weights and "
                "it is not differentiable (argmax, .item(), .detach(), no_grad)"
            )
        found = torch.autograd.grad(
            loss.reshape(()), wanted, create_graph=create_graph, allow_unused=True, materialize_grads=True
        )
        yield size_of(targets) / problem.examples, float(loss.detach()), found


def _of_batches(
    problem: Problem,
    leaves: Mapping[str, torch.Tensor],
    statistics: Statistics,
    buffers: Mapping[str, torch.Tensor] | None,
) -> tuple[float, Tensors]:
    """Return the loss and its gradient; that of the statistics is left in their `.grad`."""
    beside = tuple(each for pair in statistics.values() for each in pair)
    wanted = (*leaves.values(), *beside)
    total, sums = 0.0, [torch.zeros_like(each) for each in wanted]
    for share, loss, found in batch_gradients(problem, leaves, buffers, wanted=wanted):
        total += share * loss
        for mean, each in zip(sums, found, strict=True):
            mean += share * each
    for each, mean in zip(beside, sums[len(leaves) :], strict=True):
        each.grad = mean
    return total, dict(zip(leaves, sums, strict=False))


def _through_statistics(
    problem: Problem,
    leaves: Mapping[str, torch.Tensor],
    norms: Mapping[str, Any],
    statistics: Statistics,
    direct: Tensors,
) -> Tensors:
    """Add what reaches the loss from the weights by way of the statistics."""
    found = {name: tensor.clone() for name, tensor in direct.items()}
    totals = _examples_seen(problem, leaves, norms)
    terms: list[torch.Tensor] = []

    def gather(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def hook(norm: nn.Module, args: tuple[Any, ...]) -> None:
            share = len(args[0]) / totals[name]
            for each, seen in zip(statistics[name], _statistics_of(norm, args[0]), strict=True):
                terms.append(share * (torch.as_tensor(each.grad) * seen).sum())

        return hook

    start_chance()
    for inputs, _ in problem.batches:
        terms.clear()
        handles = [norm.register_forward_pre_hook(gather(name)) for name, norm in norms.items()]
        try:
            with estimating(norms):
                call_with(problem, leaves, inputs)
        finally:
            for handle in handles:
                handle.remove()
        parts = torch.autograd.grad(
            torch.stack(terms).sum(), tuple(leaves.values()), allow_unused=True, materialize_grads=True
        )
        for name, part in zip(found, parts, strict=True):
            found[name] += part
    return found


def _examples_seen(problem: Problem, leaves: Mapping[str, torch.Tensor], norms: Mapping[str, Any]) -> dict[str, int]:
    with torch.no_grad(), estimating(norms) as seen:
        for inputs, _ in problem.batches:
            call_with(problem, leaves, inputs)
    return dict(seen)


def _statistics_of(norm: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mean and the variance, (channel,) each, that a norm in train mode takes from (example, channel, …)."""
    if isinstance(norm, _InstanceNorm):  # a variance for each example, and their mean
        return x.mean((0, *range(2, x.ndim))), x.var(tuple(range(2, x.ndim))).mean(0)
    over = (0, *range(2, x.ndim))
    return x.mean(over), x.var(over)


@contextmanager
def _normalising(norms: Mapping[str, Any], statistics: Statistics) -> Iterator[None]:
    """Let norms in eval mode take statistics that autograd can follow, which torch's own running ones are not."""

    def by(name: str) -> Callable[[Any, tuple[Any, ...], torch.Tensor], torch.Tensor]:
        def hook(norm: Any, args: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
            shape = (1, -1, *(1,) * (args[0].ndim - 2))
            mean, variance = (each.reshape(shape) for each in statistics[name])
            found: torch.Tensor = (args[0] - mean) / torch.sqrt(variance + norm.eps)
            return found if norm.weight is None else found * norm.weight.reshape(shape) + norm.bias.reshape(shape)

        return hook

    handles = [norm.register_forward_hook(by(name)) for name, norm in norms.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
