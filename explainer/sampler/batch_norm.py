"""Running statistics of normalisation layers, estimated again at other weights than those they were gathered at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _NormBase

from explainer.sampler.problem import Problem, call, size_of


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
    """
    buffers = {name: buffer.clone() for name, buffer in problem.model.named_buffers()}
    norms = running_norms(problem.model)
    for name in norms:
        prefix = f"{name}." if name else ""
        buffers[f"{prefix}running_mean"].zero_()  # a NaN in them would stay
        buffers[f"{prefix}running_var"].fill_(1)
    count = 0
    with torch.no_grad(), _estimating(norms):
        for inputs, targets in problem.batches:
            size = size_of(targets)
            count += size
            for norm in norms.values():
                norm.momentum = size / count  # so that what is gathered is the mean over examples
            call(lambda *args, **kwargs: functional_call(problem.model, {**weights, **buffers}, args, kwargs), inputs)
    return buffers


@contextmanager
def _estimating(norms: Mapping[str, _NormBase]) -> Iterator[None]:
    before = [(norm, norm.momentum, norm.training) for norm in norms.values()]
    try:
        for norm in norms.values():
            norm.training = True
        yield
    finally:
        for norm, momentum, training in before:
            norm.momentum, norm.training = momentum, training
