"""Running statistics of normalisation layers, estimated again at other weights than those they were gathered at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from explainer.errors import SurfaceError
from explainer.sampler.problem import Problem, call_with


def running_norms(model: nn.Module) -> dict[str, _NormBase]:
    """Return the layers that keep running statistics, by name: batch norms, and instance norms that were asked to."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, _NormBase) and module.track_running_stats and module.running_mean is not None
    }


def re_estimated_buffers(problem: Problem, weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the model's buffers by name, with running statistics that belong to these weights.

    All the data run through the model once, its norms in train mode, all else as it is: the statistics are the batches'
    own, averaged over examples, as `torch.optim.swa_utils.update_bn` averages them over batches. The model must be in
    its mode already; what it holds is not changed. A variance is the mean of the batches' variances, so that it depends
    on how the data are divided.

    Raises:
        SurfaceError: A batch is too small to have a variance.
    """
    buffers = {name: buffer.clone() for name, buffer in problem.model.named_buffers()}
    norms = running_norms(problem.model)
    for name in norms:
        prefix = f"{name}." if name else ""
        buffers[f"{prefix}running_mean"].zero_()  # a NaN in them would stay
        buffers[f"{prefix}running_var"].fill_(1)
    with torch.no_grad(), estimating(norms):
        for inputs, _ in problem.batches if norms else ():
            try:
                call_with(problem, weights, inputs, buffers)
            except ValueError as error:
                if "more than 1 value per channel" not in str(error):
                    raise
                raise SurfaceError(
                    "a batch of one example has no variance to re-estimate: give larger batches, or choose "
                    "batch_norm='as is'"
                ) from error
    return buffers


@contextmanager
def estimating(norms: Mapping[str, _NormBase]) -> Iterator[dict[str, int]]:
    """Let norms gather the mean of what they see, over examples; yields how many examples each has seen."""
    seen = dict.fromkeys(norms, 0)

    def weigh(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def hook(norm: Any, args: tuple[Any, ...]) -> None:
            seen[name] += len(args[0])
            norm.momentum = len(args[0]) / seen[name]

        return hook

    before = [(norm, norm.momentum, norm.training) for norm in norms.values()]
    handles = [norm.register_forward_pre_hook(weigh(name)) for name, norm in norms.items()]
    try:
        for norm in norms.values():
            norm.training = True
        yield seen
    finally:
        for handle in handles:
            handle.remove()
        for norm, momentum, training in before:
            norm.momentum, norm.training = momentum, training


def statistics_differ(model: nn.Module, given: Any) -> bool:
    """Tell whether a model or a state dict has running statistics that are others than a model's own."""
    theirs = dict(given.named_buffers()) if isinstance(given, nn.Module) else given
    own = dict(model.named_buffers())
    names = [f"{name}.{each}".lstrip(".") for name in running_norms(model) for each in ("running_mean", "running_var")]
    return any(
        name in theirs and not torch.equal(torch.as_tensor(theirs[name]).detach().to(own[name]), own[name])
        for name in names
    )
