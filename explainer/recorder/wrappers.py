"""What is put around a model, or a part of it, without being a layer: names and hooks belong to what is inside."""

import torch
from torch import nn

from explainer.errors import RecordingError

_INSIDE = {  # torch's classes, and the attribute that holds what they wrap
    "OptimizedModule": "_orig_mod",  # torch.compile
    "DistributedDataParallel": "module",
    "DataParallel": "module",
    "CheckpointWrapper": "_checkpoint_wrapped_module",
}
_SHARDING = ("FullyShardedDataParallel", "FSDPModule")


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model inside its wrappers.

    Raises:
        RecordingError: The model runs where no hook can follow it.
    """
    for name, module in model.named_modules():
        if len(getattr(module, "device_ids", None) or ()) > 1 and _is_torchs(module, "DataParallel"):
            raise RecordingError(
                "model: nn.DataParallel runs copies of the model in threads, whose layers are not the model's; use "
                "torch.nn.parallel.DistributedDataParallel, one process a device"
            )
        if any(_is_torchs(module, sharding) for sharding in _SHARDING):
            raise RecordingError(
                f"model: {name or 'it'} is sharded by FSDP, so that no process holds whole parameters; record it "
                "unsharded, or with DistributedDataParallel"
            )
    model = inside(model)
    if isinstance(model, torch.jit.ScriptModule):
        raise RecordingError("model: it was compiled by torch.jit and calls no hooks; record the model it was made of")
    return model


def inside(module: nn.Module) -> nn.Module:
    """Return what a module wraps; the module itself where it is no wrapper."""
    while attribute := _attribute(module):
        module = getattr(module, attribute)
    return module


def named_parameters(model: nn.Module, *, remove_duplicate: bool = True) -> dict[str, nn.Parameter]:
    """Return the parameters by the names that they have without wrappers."""
    wrapped = {
        f"{name}.{attribute}".removeprefix(".")
        for name, module in model.named_modules()
        if (attribute := _attribute(module))
    }
    named = model.named_parameters(remove_duplicate=remove_duplicate)
    return {_plain(name, wrapped): parameter for name, parameter in named}


def _attribute(module: nn.Module) -> str | None:
    return next((_INSIDE[name] for name in _INSIDE if _is_torchs(module, name)), None)


def _is_torchs(module: nn.Module, name: str) -> bool:
    """Ask by name: a class whose file was never loaded has no instances, and loading it can take seconds."""
    return any(each.__name__ == name and each.__module__.startswith("torch.") for each in type(module).__mro__)


def _plain(name: str, wrapped: set[str]) -> str:
    if not wrapped:
        return name
    parts = name.split(".")
    return ".".join(part for index, part in enumerate(parts) if ".".join(parts[: index + 1]) not in wrapped)
