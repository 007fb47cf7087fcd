"""What `--model` stands for on the command line: a function that returns (model, criterion, data)."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from explainer.errors import SurfaceError, unknown

FORM = "FILE.py:FUNCTION or MODULE:FUNCTION"


def problem_from(where: str) -> tuple[tuple[Any, Any, Any], ModuleType | None]:
    """Call the function that `--model` names.

    Returns:
        (model, criterion, data), and the file's module, which other machines do not have; None for an installed one.

    Raises:
        SurfaceError: There is no such file, module or function, or it returns something else.
    """
    module, function, is_file = _find(where)
    made = function()
    if not isinstance(made, tuple) or len(made) != 3:
        returned = f"a tuple of {len(made)}" if isinstance(made, tuple) else f"{type(made).__name__}"
        raise SurfaceError(f"--model {where}: the function returned {returned}; return (model, criterion, data)")
    model, criterion, data = made
    return (model, criterion, data), module if is_file else None


def _find(where: str) -> tuple[ModuleType, Callable[[], Any], bool]:
    place, colon, name = where.rpartition(":")
    if not colon or not place or not name:
        raise SurfaceError(f"--model {where}: give {FORM}; the function returns (model, criterion, data)")
    is_file = place.endswith(".py")
    module = _from_file(Path(place)) if is_file else _installed(place)
    function = getattr(module, name, None)
    if not callable(function):
        known = [each for each, value in vars(module).items() if callable(value) and not each.startswith("_")]
        raise SurfaceError(f"--model {where}: {unknown('function', name, known)}")
    return module, function, is_file


def _from_file(path: Path) -> ModuleType:
    """Import a file by its own name, its folder first on the path, so that processes started from here find it too."""
    if not path.is_file():
        raise SurfaceError(f"--model: there is no file {path}")
    path = path.resolve()
    loaded = sys.modules.get(path.stem)
    if loaded is not None and Path(getattr(loaded, "__file__", None) or "").resolve() != path:
        raise SurfaceError(f"--model: a module called {path.stem!r} is loaded already; give {path.name} another name")
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    return importlib.import_module(path.stem)


def _installed(name: str) -> ModuleType:
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)  # as `python -m` does
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise  # what the module itself imports is missing: its traceback says where
        raise SurfaceError(f"--model: there is no module {name!r} here; give {FORM}") from error
