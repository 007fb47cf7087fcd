"""Weights by parameter name: the model's own, another model's, and what is computed with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from explainer.errors import SurfaceError, unknown
from explainer.recorder.wrappers import inside

Tensors = dict[str, torch.Tensor]


def own_weights(model: nn.Module) -> Tensors:
    """Return a copy of the weights that a model has now."""
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def given_weights(model: nn.Module, given: Any, what: str) -> Tensors:
    """Return weights that a user gives, in the model's dtypes and on its device; buffers among them are left out.

    Args:
        given: Another model, its state dict, or a mapping from parameter name to array.
        what: What they are given as, for the message: "center".

    Raises:
        SurfaceError: A parameter is missing, has another shape or no finite values, or is not the model's.
    """
    if isinstance(given, nn.Module):
        given = dict(inside(given).named_parameters())
    if not isinstance(given, Mapping):
        raise SurfaceError(f"{what} is of type {type(given).__name__}: give a model, a state dict, or name → array")
    own, others = own_weights(model), set(model.state_dict())
    check_names(given, [*own, *(others - set(own))], what)
    missing = [name for name in own if name not in given]
    if missing:
        raise SurfaceError(f"{what} lacks {listed(missing)}: give the weights of every parameter")
    found = {name: like(tensor, given[name], f"{what}: {name!r}") for name, tensor in own.items()}
    for name, tensor in found.items():
        if not bool(torch.isfinite(tensor).all()):
            raise SurfaceError(f"{what}: {name!r} is not finite everywhere, and no surface can be drawn around that")
    return found


def check_names(given: Mapping[str, Any], known: Iterable[str], what: str) -> None:
    """Refuse names that no parameter has.

    Raises:
        SurfaceError: There is one; the nearest is named.
    """
    known = list(known)
    for name in given:
        if name not in known:
            raise SurfaceError(f"{what}: {unknown('parameter of the model', str(name), known)}")


def like(tensor: torch.Tensor, given: Any, what: str) -> torch.Tensor:
    """Return a copy of values in a tensor's dtype and on its device.

    Raises:
        SurfaceError: They have another shape, or are no numbers.
    """
    values = numbers(given, what)
    if values.shape != tensor.shape:
        raise SurfaceError(f"{what} has the shape {tuple(values.shape)}, and the model's has {tuple(tensor.shape)}")
    return values.to(tensor)


def numbers(given: Any, what: str) -> torch.Tensor:
    """Return a copy of what a user gives as a tensor.

    Raises:
        SurfaceError: It holds no numbers.
    """
    try:
        if torch.is_complex(given) if isinstance(given, torch.Tensor) else np.iscomplexobj(given):
            raise TypeError("complex numbers, and weights move along real ones")
        if isinstance(given, torch.Tensor):
            return given.detach().clone()
        return torch.from_numpy(np.array(given, np.float64))
    except (TypeError, ValueError, RuntimeError) as error:
        raise SurfaceError(
            f"{what} is no array of numbers ({error}): give parameter name → array, or a flat vector"
        ) from error


def dot(first: Mapping[str, torch.Tensor], second: Mapping[str, torch.Tensor]) -> float:
    """Return Σ first·second over all parameters, summed in float64."""
    return sum(float(precise(first[name]).ravel() @ precise(each).ravel()) for name, each in second.items())


def precise(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor in float64, where it lies, or here where its device has no such numbers."""
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double()


def length(weights: Mapping[str, torch.Tensor]) -> float:
    """Return √Σ w² over all parameters, summed in float64."""
    return float(np.sqrt(dot(weights, weights)))


def scaled(weights: Mapping[str, torch.Tensor], factor: float) -> Tensors:
    """Return weights times a number."""
    return {name: tensor * factor for name, tensor in weights.items()}


def combined(first: Mapping[str, torch.Tensor], second: Mapping[str, torch.Tensor], factor: float) -> Tensors:
    """Return first + factor · second."""
    return {name: tensor + factor * second[name] for name, tensor in first.items()}


def to_array(tensor: torch.Tensor) -> NDArray[Any]:
    """Return a tensor's values in its own dtype; bfloat16, which numpy lacks, becomes float32."""
    tensor = tensor.detach().cpu()
    found: NDArray[Any] = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return found


def listed(names: Iterable[str]) -> str:
    """Return names for a message, the first few of many."""
    names = [repr(name) for name in names]
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
