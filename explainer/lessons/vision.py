"""torchvision, also where its compiled operators do not fit the installed torch.

PyPI has torchvision only for the GPU build of torch. Beside a CPU build its operators (`nms`, `roi_align`, …) do not
load, and its import fails while it describes them to torch. Its data sets, transforms and models need none of them.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch

from explainer.errors import MissingDependency


def torchvision() -> ModuleType:
    """Import torchvision, without its compiled operators where they do not load.

    Raises:
        MissingDependency: torchvision is not installed.
    """
    try:
        return importlib.import_module("torchvision")
    except ModuleNotFoundError as error:
        if error.name != "torchvision":
            raise
        raise MissingDependency("torchvision", "MNIST", "mnist") from error
    except RuntimeError as error:
        if "operator torchvision::" not in str(error):
            raise
    _forget_torchvision()
    with _descriptions_ignored():
        return importlib.import_module("torchvision")


def operators_load() -> bool:
    """Tell whether torchvision's compiled operators are there: detection models need them, nothing here does."""
    torchvision()
    return hasattr(torch.ops.torchvision, "nms")


def _forget_torchvision() -> None:
    """Drop what the failed import left behind: submodules whose parent never came to be."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]


@contextmanager
def _descriptions_ignored() -> Iterator[None]:
    """Let `torch.library.register_fake` do nothing, for one import only."""
    original = torch.library.register_fake

    def ignore(*_: Any, **__: Any) -> Callable[[Any], Any]:
        return lambda function: function

    torch.library.register_fake = ignore
    try:
        yield
    finally:
        torch.library.register_fake = original
