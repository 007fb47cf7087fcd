"""Values named by their content, code included: what a function does, and the globals that it reads.

A digest is made of the digests of a value's parts, so that each object is looked at once. Of what is installed, only
names count; of a user's own functions and classes, their code. What C code hides, such as an iterator's state, is not
seen.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import sys
import sysconfig
import types
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import torch
from torch import nn

from explainer.recorder.guard import GuardedHook

_DEEPEST = 40  # levels of a value that are looked into
_PLAIN = (str, bytes, int, float, complex, torch.dtype, torch.Size, types.NoneType, enum.Enum)
_INSTALLED = {Path(path).resolve() for key, path in sysconfig.get_paths().items() if "lib" in key}
_INSTALLED.add(Path(__file__).resolve().parents[1])
_HOOKS = ("_forward_hooks", "_forward_pre_hooks")
_OPAQUE = {"logging", "threading", "multiprocessing", "concurrent", "weakref", "io"}  # their objects are the process's
_OF_SLOTS = ("__dict__", "__weakref__")
_OF_CLASSES = (types.FunctionType, staticmethod, classmethod, property, functools.cached_property, tuple, *_PLAIN)


def digest(value: Any, names: Mapping[int, str] | None = None) -> str:
    """Name a value by its content, in sixteen characters.

    Args:
        names: By the id of an object, what stands for its content.
    """
    return _Digests(names or {}).of(value, _DEEPEST)[:16]


def settings(module: nn.Module) -> dict[str, Any]:
    """Return what a module is beside its class: all its attributes, and the hooks that others hung on it."""
    found = {
        name: value
        for name, value in vars(module).items()
        if name != "training" and not (name.startswith("_") and "hooks" in name) and not _is_private(name, value)
    }
    for name in _HOOKS:
        found[name] = [hook for hook in getattr(module, name).values() if not isinstance(hook, GuardedHook)]
    return dict(sorted(found.items()))


def _is_private(name: str, value: Any) -> bool:
    """Tell objects that a framework hangs on a module, such as its trainer, from settings."""
    return name.startswith("_") and not (
        callable(value) or isinstance(value, (*_PLAIN, torch.Tensor, np.ndarray, list, tuple, set, frozenset, Mapping))
    )


class _Digests:
    """Digests of objects, each made once."""

    def __init__(self, names: Mapping[int, str]) -> None:
        self._found = dict(names)
        self._held: list[Any] = []  # or another object could come to have the same id

    def of(self, value: Any, deep: int) -> str:
        key = id(value)
        if key in self._found:
            return self._found[key]
        hashed = hashlib.sha256(f"{type(value).__module__}.{type(value).__qualname__}(".encode())
        if isinstance(value, torch.device):
            value = value.type  # each of several processes has a GPU of its own
        if isinstance(value, (*_PLAIN, PurePath)):
            hashed.update(repr(value).encode())
            return hashed.hexdigest()
        self._held.append(value)
        self._found[key] = "one that it is part of"
        if isinstance(value, torch.Tensor):
            _feed_tensor(hashed, value)
        elif isinstance(value, np.ndarray) and value.dtype != object:
            hashed.update(f"{value.dtype}{value.shape}".encode())
            hashed.update(np.ascontiguousarray(value).data)
        elif deep > 0:
            parts = [self.of(part, deep - 1) for part in _parts(value)]
            hashed.update(" ".join(sorted(parts) if isinstance(value, set | frozenset) else parts).encode())
        self._found[key] = hashed.hexdigest()
        return self._found[key]


def _parts(value: Any) -> list[Any]:
    """Return what makes a value, beside its type."""
    if isinstance(value, Mapping):
        return [part for item in value.items() for part in item]
    if isinstance(value, list | tuple | set | frozenset):
        return list(value)
    if isinstance(value, np.ndarray):
        return value.ravel().tolist()
    if isinstance(value, type):
        return _parts_of_class(value)
    if isinstance(value, functools.partial):
        return [value.func, value.args, value.keywords]
    if isinstance(value, types.MethodType):
        return [value.__func__, value.__self__]
    if isinstance(value, types.FunctionType):
        return _parts_of_function(value)
    if isinstance(value, types.CodeType):
        return [value.co_code, value.co_names, value.co_varnames, value.co_consts]
    if isinstance(value, types.ModuleType):
        return [value.__name__]
    if isinstance(value, staticmethod | classmethod):
        return [value.__func__]
    if isinstance(value, property):
        return [value.fget]
    if isinstance(value, nn.Module):
        return [type(value), settings(value)]
    return [getattr(value, "__qualname__", ""), type(value), _held_by(value)]


def _parts_of_function(function: types.FunctionType) -> list[Any]:
    if _is_installed(function.__module__, function.__globals__.get("__file__")):
        return [function.__module__, function.__qualname__, function.__defaults__, _cells(function)]
    code = function.__code__
    if code.co_consts[:1] == (function.__doc__,):
        code = code.replace(co_consts=(None, *code.co_consts[1:]))
    there = function.__globals__
    read = {name: there[name] for name in sorted(_names_in(code)) if name in there}
    beyond = {  # what it reads of a module of the user's own
        f"{module}.{name}": vars(each)[name]
        for module, each in read.items()
        if isinstance(each, types.ModuleType) and not _is_installed(each.__name__, getattr(each, "__file__", None))
        for name in sorted(_names_in(code))
        if name in vars(each)
    }
    return [function.__qualname__, code, function.__defaults__, function.__kwdefaults__, _cells(function), read, beyond]


def _parts_of_class(kind: type) -> list[Any]:
    module = sys.modules.get(kind.__module__)
    if _is_installed(kind.__module__, getattr(module, "__file__", None)):
        return [kind.__module__, kind.__qualname__]
    own = {
        name: value
        for name, value in vars(kind).items()
        if isinstance(value, _OF_CLASSES) and (not name.startswith("__") or callable(value))
    }
    return [kind.__qualname__, own, list(kind.__bases__)]


def _held_by(value: Any) -> dict[str, Any]:
    """Return an object's attributes, those in slots too."""
    if type(value).__module__.partition(".")[0] in _OPAQUE:
        return {}
    slots = [name for kind in type(value).__mro__ for name in _listed(vars(kind).get("__slots__", ()))]
    found = {name: getattr(value, name) for name in slots if name not in _OF_SLOTS and hasattr(value, name)}
    return {**found, **getattr(value, "__dict__", {})}


def _listed(slots: Any) -> list[str]:
    return [slots] if isinstance(slots, str) else list(slots)


def _names_in(code: types.CodeType) -> set[str]:
    """Return the names that code looks up, and the code inside it."""
    inner = [each for each in code.co_consts if isinstance(each, types.CodeType)]
    return set(code.co_names).union(*map(_names_in, inner))


@functools.cache
def _is_installed(name: str | None, file: str | None) -> bool:
    """Tell whether a module is not a user's own: built in, or installed."""
    if file is None:
        return name in sys.builtin_module_names
    return not _INSTALLED.isdisjoint(Path(file).resolve().parents)


def _cells(function: types.FunctionType) -> list[Any]:
    found = []
    for cell in function.__closure__ or ():
        try:
            found.append(cell.cell_contents)
        except ValueError:  # nothing is in it yet
            continue
    return found


def _feed_tensor(hashed: Any, tensor: torch.Tensor) -> None:
    hashed.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
    if tensor.is_meta:
        return
    dense = tensor.detach() if tensor.layout == torch.strided else tensor.detach().to_dense()
    plain = dense.cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
    if plain.numel():
        hashed.update(plain.view(torch.uint8).numpy().data)
