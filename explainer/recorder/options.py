"""What a user asked to be recorded, checked before the first step."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from explainer.errors import RecordingError, unknown
from explainer.recorder.wrappers import inside, named_parameters

KINDS = ("activations", "gradients", "parameters", "parameter_gradients", "updates", "inputs", "targets")


@dataclass(frozen=True)
class Options:
    """The settings of a recording."""

    every: Callable[[int], bool]
    examples: int | None
    keep: frozenset[str]
    max_bytes: int


def read_options(
    every: int | Callable[[int], bool], examples: int | None, keep: Iterable[str] | None, max_bytes: int
) -> Options:
    """Check the settings of `explainer.record` and give them one form.

    Raises:
        RecordingError: One of them is not what it can be.
    """
    if not callable(every):
        if not _counts(every):
            raise RecordingError(f"every={every!r}: it is a whole number from 1, or a function from step to bool")
        every = _each(every)
    if examples is not None and not _counts(examples):
        raise RecordingError(f"examples={examples!r}: it is a whole number from 1, or None for the whole batch")
    if max_bytes < 0:
        raise RecordingError(f"max_bytes={max_bytes!r}: it is a number of bytes, such as 2 * 1024**3")
    kinds = KINDS if keep is None else (keep,) if isinstance(keep, str) else tuple(keep)
    for kind in kinds:
        if kind not in KINDS:
            raise RecordingError(f"keep: {unknown('kind of tensor', kind, KINDS)}")
    return Options(every, examples, frozenset(kinds), max_bytes)


def _counts(value: object) -> bool:
    return isinstance(value, int) and value >= 1


def _each(stride: int) -> Callable[[int], bool]:
    return lambda step: step % stride == 0


def check_modules(model: object, criterion: object, optimizer: object) -> None:
    """Check that the three are what their names say, and that the model has its shapes.

    Raises:
        RecordingError: One of them is not, or it has not.
    """
    if not isinstance(model, nn.Module):
        raise RecordingError(f"model: {type(model).__name__} is no torch.nn.Module")
    for name, parameter in model.named_parameters():
        if isinstance(parameter, nn.parameter.UninitializedParameter):
            raise RecordingError(
                f"the parameter {name!r} has no shape yet: run the lazy model once, as in model(inputs), then record"
            )
    if criterion is not None and not isinstance(criterion, nn.Module):
        raise RecordingError(
            f"criterion: {type(criterion).__name__} is no torch.nn.Module; give nn.CrossEntropyLoss() and the like, or "
            "leave it out and call recorder.log(loss=loss) in the loop"
        )
    if isinstance(optimizer, (list, tuple)) and not optimizer:
        raise RecordingError("optimizer: the list is empty; leave it out and call recorder.step(loss) in the loop")
    for each in optimizer if isinstance(optimizer, (list, tuple)) else [optimizer] if optimizer is not None else []:
        if not isinstance(each, torch.optim.Optimizer):
            raise RecordingError(f"optimizer: {type(each).__name__} is no torch.optim.Optimizer")


def select_layers(model: nn.Module, layers: str | Iterable[str] | None) -> dict[str, nn.Module]:
    """Return the layers that names or globs choose, by qualified name.

    A layer is a module without modules inside. So is attention: it uses what is inside without calling it.

    Raises:
        RecordingError: A name or glob matches no layer; the nearest are named.
    """
    leaves = dict(_leaves(model))
    if layers is None:
        return leaves
    chosen: dict[str, nn.Module] = {}
    for pattern in (layers,) if isinstance(layers, str) else layers:
        matching = {name: module for name, module in leaves.items() if fnmatchcase(name, pattern)}
        if not matching:
            inside = [name for name in leaves if name.startswith(f"{pattern}.")]
            hint = f"{pattern!r} contains layers: write '{pattern}.*'" if inside else unknown("layer", pattern, leaves)
            raise RecordingError(f"layers: {hint}")
        chosen.update(matching)
    return {name: module for name, module in leaves.items() if name in chosen}


def select(
    model: nn.Module, layers: str | Iterable[str] | None
) -> tuple[dict[str, nn.Module], dict[str, nn.Parameter]]:
    """Return the layers that names or globs choose, and the parameters inside them; None chooses the whole model.

    Raises:
        RecordingError: A layer is not there, or calls no hooks.
    """
    chosen = select_layers(model, layers)
    if not chosen:
        raise RecordingError("layers: none is chosen; leave it out to record all, or name some")
    scripted = [name for name, each in chosen.items() if isinstance(each, torch.jit.ScriptModule)]
    if scripted:
        raise RecordingError(
            f"layers: {scripted[0]!r} was compiled by torch.jit and calls no hooks; record the module it was made of, "
            "or choose the others with layers="
        )
    inside_chosen = {id(parameter) for layer in chosen.values() for parameter in layer.parameters()}
    named = named_parameters(model).items()
    return chosen, {name: each for name, each in named if layers is None or id(each) in inside_chosen}


def fusible(model: nn.Module, layers: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """Return the layers that torch fuses into one call in evaluation, as long as they have no hooks."""
    blocks = [each for each in model.modules() if isinstance(each, nn.TransformerEncoderLayer) and each is not model]
    inside_block = {id(module) for block in blocks for module in block.modules()}
    return {name: layer for name, layer in layers.items() if id(layer) in inside_block}


def _leaves(module: nn.Module, name: str = "", known: set[int] | None = None) -> Iterator[tuple[str, nn.Module]]:
    known = set() if known is None else known
    module = inside(module)
    if id(module) in known:
        return  # the same module under a second name
    known.add(id(module))
    children = [] if type(module) is nn.MultiheadAttention else list(_children(module))
    for child_name, child in children:
        yield from _leaves(child, f"{name}.{child_name}" if name else child_name, known)
    if not children:
        yield name or "model", module


def _children(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield what a module has inside, save what computes its weights: weight_norm, spectral_norm and the like."""
    for name, child in module.named_children():
        if not (name == "parametrizations" and is_parametrized(module)):
            yield name, child
