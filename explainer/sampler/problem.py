"""What a surface is the loss of: a model, a criterion and data, which evaluating leaves exactly as they were."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils._pytree import tree_leaves, tree_map

from explainer.errors import SurfaceError, unknown
from explainer.recorder.guard import unheard
from explainer.recorder.wrappers import inside
from explainer.sampler.lending import Held, lent

Metric = Callable[[Any, Any], Any]  # outputs and targets of a batch to a number
Criterion = Callable[[Any, Any], Any]  # outputs and targets of a batch to its loss
BATCH_NORM = ("as is", "re-estimated")
MODES = ("eval", "train")


@dataclass(frozen=True)
class Problem:
    """A model, its criterion, and batches that are the same at every point.

    Attributes:
        batches: (inputs, targets) each; inputs are what the model is called with: a tensor, a tuple or a dict of them.
        metrics: By name what else is measured, averaged over examples.
        batch_norm: "as is" takes the buffers that the model has; "re-estimated" runs the data through it first, at
            every point.
        training: Whether the model is evaluated in train mode, rather than in eval mode.
        spoiling: Whether inputs or targets are written into, so that each call is given copies.
    """

    model: nn.Module
    criterion: Callable[[Any, Any], Any]
    batches: tuple[tuple[Any, Any], ...]
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    batch_norm: str = "as is"
    training: bool = False
    spoiling: bool = False

    def given(self, batch: Any) -> Any:
        """Return what a call is given of a batch's inputs or targets: them, or a copy of their tensors."""
        return copied(batch) if self.spoiling else batch

    @property
    def examples(self) -> int:
        """How many examples the loss is the mean over."""
        return sum(size_of(targets) for _, targets in self.batches)

    @property
    def names(self) -> tuple[str, ...]:
        """What is measured at a point: "loss", then the metrics."""
        return ("loss", *self.metrics)


def pose(
    model: nn.Module,
    criterion: Callable[[Any, Any], Any],
    data: Any,
    metrics: Mapping[str, Metric] | None,
    batch_norm: str,
    mode: str,
) -> Problem:
    """Make a problem of what a user gives.

    Args:
        model: What torch wraps around it (compiled, DistributedDataParallel) is taken off.
        data: (inputs, targets), or an iterable of such batches, such as a loader; it is read once and kept.

    Raises:
        SurfaceError: There is no data, or it is no pair of inputs and targets; there is no such choice; the model has
            no parameters, or they have no values yet.
    """
    if batch_norm not in BATCH_NORM:
        raise SurfaceError(unknown("treatment of batch norm", batch_norm, BATCH_NORM))
    if mode not in MODES:
        raise SurfaceError(unknown("mode of a model", mode, MODES))
    if batch_norm == "re-estimated" and mode == "train":
        raise SurfaceError(
            "in train mode a norm takes each batch's own statistics, so none can be re-estimated: choose mode='eval', "
            "or batch_norm='as is'"
        )
    if torch.is_inference_mode_enabled():
        raise SurfaceError("inside torch.inference_mode() nothing has a gradient: call this outside of it")
    model = inside(model)
    _check_model(model)
    batches = _read(data)
    if getattr(criterion, "reduction", "mean") == "sum" and len(batches) > 1:
        raise SurfaceError(
            "the criterion sums over examples, and the data are several batches whose losses are averaged: give one "
            "batch, or a criterion with reduction='mean'"
        )
    return Problem(model, criterion, batches, dict(metrics or {}), batch_norm, mode == "train")


def try_out(problem: Problem, weights: Mapping[str, torch.Tensor]) -> Problem:
    """Run one batch, so that what cannot work is said before long work begins.

    Returns:
        The problem, with what was seen of it: whether it spoils its data.

    Raises:
        SurfaceError: The criterion, or a metric, gives no single number.
    """
    inputs, targets = copied(problem.batches[0])
    before = _versions((inputs, targets))
    with kept(problem.model, training=problem.training), torch.no_grad():
        outputs = call_with(problem, weights, inputs)
        for name, function in {"the criterion": problem.criterion, **problem.metrics}.items():
            value = function(outputs, targets)
            if isinstance(value, torch.Tensor) and value.numel() != 1:
                hint = "; choose reduction='mean'" if getattr(function, "reduction", "") == "none" else ""
                raise SurfaceError(
                    f"{name} gives {tuple(value.shape)} numbers for a batch, and a surface needs one: their mean over "
                    f"examples{hint}"
                )
    return replace(problem, spoiling=_versions((inputs, targets)) != before)


def copied(batch: Any) -> Any:
    """Return a batch's inputs or targets with copies of their tensors."""
    return tree_map(lambda leaf: leaf.clone() if isinstance(leaf, torch.Tensor) else leaf, batch)


def _versions(batch: Any) -> list[int]:
    """Return how often each tensor was written into; those of inference mode cannot be."""
    leaves = tree_leaves(batch)
    return [leaf._version for leaf in leaves if isinstance(leaf, torch.Tensor) and not leaf.is_inference()]


def size_of(batch: Any) -> int:
    """Return how many examples a batch's inputs or targets are."""
    if isinstance(batch, torch.Tensor):
        return len(batch) if batch.ndim else 1
    inside_it: Iterable[Any] = batch.values() if isinstance(batch, Mapping) else batch
    return size_of(next(iter(inside_it)))


def call(model: Callable[..., Any], inputs: Any) -> Any:
    """Call a model with what a batch has for it."""
    if isinstance(inputs, Mapping):
        return model(**inputs)
    if isinstance(inputs, list | tuple):
        return model(*inputs)
    return model(inputs)


def call_with(
    problem: Problem,
    weights: Mapping[str, torch.Tensor],
    inputs: Any,
    buffers: Mapping[str, torch.Tensor] | None = None,
) -> Any:
    """Call the model at other weights, and with other buffers or copies of its own: it writes into no tensor it has."""
    if buffers is None:
        buffers = {name: buffer.clone() for name, buffer in problem.model.named_buffers()}
    with lent(problem.model, {**weights, **buffers}):
        return call(problem.model, problem.given(inputs))


@contextmanager
def kept(model: nn.Module, *, training: bool) -> Iterator[None]:
    """Put every module in eval or train mode; afterwards modes, other attributes and random numbers are what they were.

    Weights and buffers are never written to: the model is lent others. A recorder that is running does not listen. What
    stands inside an attribute, such as a list that a model appends to, is the model's own affair. Two threads must not
    be inside with one model.
    """
    before = Held(model)
    with unheard(), same_chance():
        try:
            for module in model.modules():
                module.training = training  # not .eval(): some models merge their weights in it
            yield
        finally:
            before.restore()


@contextmanager
def same_chance() -> Iterator[None]:
    """Leave the random numbers of torch, numpy and Python as they are."""
    chance, numpys_chance = random.getstate(), np.random.get_state()  # noqa: NPY002  (the user's own)
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices):
        try:
            yield
        finally:
            random.setstate(chance)
            np.random.set_state(numpys_chance)  # noqa: NPY002


def start_chance() -> None:
    """Start random numbers anew, inside `kept`, so that a model that draws some draws the same at every point."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    torch.default_generator.manual_seed(0)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(0)


def _check_model(model: nn.Module) -> None:
    if isinstance(model, torch.jit.ScriptModule):
        raise SurfaceError("the model was compiled by torch.jit, and cannot be given other weights: give its source")
    for name, parameter in model.named_parameters():
        if isinstance(parameter, torch.nn.parameter.UninitializedParameter):
            raise SurfaceError(f"{name!r} has no shape yet: run one batch through the model first, as lazy modules ask")
        if not parameter.is_floating_point():
            raise SurfaceError(
                f"{name!r} is of {parameter.dtype}, and only real numbers can be moved along a direction"
            )
    if not any(parameter.numel() for parameter in model.parameters()):
        raise SurfaceError(f"{type(model).__name__} has no parameters, so its loss is one number and no surface")


def _read(data: Any) -> tuple[tuple[Any, Any], ...]:
    """Return the batches of what a user gives, without moving the random numbers that a loader draws from."""
    if isinstance(data, torch.utils.data.Dataset) and not isinstance(data, torch.utils.data.IterableDataset):
        raise SurfaceError("the data are a data set of single examples: give DataLoader(data, batch_size=…)")
    if isinstance(data, tuple):
        batches: tuple[Any, ...] = (data,)
    elif isinstance(data, Iterable) and not isinstance(data, torch.Tensor | np.ndarray | Mapping | str):
        with same_chance(), _same_generators(data):
            batches = tuple(data)
    else:
        raise SurfaceError(f"the data are {_said(data)}; {_WANTED}")
    if not batches:
        raise SurfaceError(f"the data are empty: there is no batch; {_WANTED}")
    for number, batch in enumerate(batches):
        if not isinstance(batch, list | tuple) or len(batch) != 2:
            raise SurfaceError(f"batch {number} of the data is {_said(batch)}, no pair; {_WANTED}")
        try:
            size = size_of(batch[1])
        except (TypeError, StopIteration, RecursionError) as error:
            raise SurfaceError(
                f"the targets of batch {number} are {_said(batch[1])}, and do not say how many examples it has: give a "
                "tensor, or a tuple or dict of tensors"
            ) from error
        if size == 0:
            raise SurfaceError(f"batch {number} of the data is empty: it has no example")
    return tuple((inputs, targets) for inputs, targets in batches)


@contextmanager
def _same_generators(data: Any) -> Iterator[None]:
    """Leave the random numbers as they are that a loader draws from generators of its own."""
    parts = [data, *(getattr(data, name, None) for name in ("sampler", "batch_sampler", "dataset"))]
    parts.append(getattr(parts[2], "sampler", None))
    held = [value for part in parts for value in getattr(part, "__dict__", {}).values()]
    torchs = [(each, each.get_state()) for each in held if isinstance(each, torch.Generator)]
    numpys = [(each.bit_generator, each.bit_generator.state) for each in held if isinstance(each, np.random.Generator)]
    pythons = [(each, each.getstate()) for each in held if isinstance(each, random.Random)]
    try:
        yield
    finally:
        for generator, state in torchs:
            generator.set_state(state)
        for bits, there in numpys:
            bits.state = there
        for chance, then in pythons:
            chance.setstate(then)


_WANTED = "give (inputs, targets) as a tuple, or batches of them as a list or a loader"


def _said(value: Any) -> str:
    if isinstance(value, torch.Tensor | np.ndarray):
        return f"one array of shape {tuple(value.shape)}"
    if isinstance(value, list | tuple):
        return f"a {type(value).__name__} of {len(value)}"
    return f"{'an' if type(value).__name__[0] in 'aeiouAEIOU' else 'a'} {type(value).__name__}"
