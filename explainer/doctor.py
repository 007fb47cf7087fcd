"""What of explainer's surroundings is here, which version, and how to get the rest."""

from __future__ import annotations

import importlib
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

LEAST_FREE = 1_000_000_000  # bytes; a demo's traces and films take a tenth of it


@dataclass(frozen=True)
class Check:
    """One thing that explainer uses.

    Attributes:
        name: What is looked for.
        found: Its version, with what else is worth knowing; None when it is missing or does not load.
        needed_for: "everything", or the extra it belongs to: "films", "lessons", "mnist", "dataframe".
        install: What to type or do to get it.
        problem: Why it does not load although it is installed, in its own words; empty otherwise.
    """

    name: str
    found: str | None
    needed_for: str
    install: str
    problem: str = ""


def checks() -> list[Check]:
    """Look for everything that explainer uses; takes seconds, because what may fail to load is loaded."""
    base, films = "pip install explainer", _films_install()
    return [
        _check("Python", _python, "everything", "install Python 3.11 or newer"),
        _check("NumPy", _version("numpy"), "everything", base),
        _check("PyTorch", _torch, "everything", base),
        _check("safetensors", _version("safetensors"), "everything", base),
        _check("matplotlib", _version("matplotlib"), "everything", base),
        _check("disk space", _disk, "everything", f"free {LEAST_FREE / 1e9:.0f} GB for traces and films"),
        _check("manim", _version("manim"), "films", films),
        _check("cairo", _cairo, "films", films),
        _check("Pango", _pango, "films", films),
        _check("Typst", _version("typst"), "films", films),
        _check("font", _font, "films", "pip install --force-reinstall matplotlib"),
        _check("scikit-learn", _version("scikit-learn"), "lessons", "pip install 'explainer[lessons]'"),
        _check("torchvision", _torchvision, "mnist", "pip install 'explainer[mnist]'"),
        _check("pandas", _version("pandas"), "dataframe", "pip install 'explainer[dataframe]'"),
    ]


def film_font() -> Path | None:
    """Find the font of films: matplotlib's own DejaVu Sans, so that text looks the same here and on any machine."""
    matplotlib = find_spec("matplotlib")  # finds it without loading it
    if matplotlib is None or matplotlib.origin is None:
        return None
    font = Path(matplotlib.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
    return font if font.is_file() else None


def _check(name: str, find: Callable[[], str | None], needed_for: str, install: str) -> Check:
    try:
        return Check(name, find(), needed_for, install)
    except (metadata.PackageNotFoundError, ModuleNotFoundError):
        return Check(name, None, needed_for, install)
    except Exception as error:  # a broken package may raise anything at all, and to say so is what a doctor is for
        return Check(name, None, needed_for, install, problem=f"{type(error).__name__}: {error}".splitlines()[0])


def _version(package: str) -> Callable[[], str]:
    return lambda: metadata.version(package)


def _python() -> str | None:
    return platform.python_version() if sys.version_info >= (3, 11) else None


def _torch() -> str:
    import torch

    if torch.cuda.is_available():
        return f"{torch.__version__}, CUDA {torch.version.cuda} on {torch.cuda.get_device_name()}"
    if torch.backends.mps.is_available():
        return f"{torch.__version__}, CPU and Apple GPU"
    return f"{torch.__version__}, CPU"


def _torchvision() -> str | None:
    version = metadata.version("torchvision")
    from explainer.lessons import vision

    vision.torchvision()
    return version if vision.operators_load() else f"{version}, without its compiled operators (not needed)"


def _cairo() -> str:
    return str(importlib.import_module("cairo").cairo_version_string())


def _pango() -> str:
    return str(importlib.import_module("manimpango").pango_version())


def _font() -> str | None:
    font = film_font()
    return f"DejaVu Sans, {font.name} of matplotlib" if font else None


def _disk() -> str | None:
    free = shutil.disk_usage(Path.cwd()).free  # bytes
    return f"{free / 1e9:.0f} GB free" if free >= LEAST_FREE else None


def _films_install() -> str:
    """Name the system packages first: without them pip cannot build pycairo and manimpango."""
    pip = "pip install 'explainer[films]'"
    if sys.platform == "darwin":
        return f"brew install cairo pkg-config && {pip}"
    if shutil.which("dnf"):
        return f"sudo dnf install gcc pkgconf-pkg-config cairo-devel pango-devel python3-devel && {pip}"
    if shutil.which("pacman"):
        return f"sudo pacman -S --needed gcc pkgconf cairo pango && {pip}"
    return f"sudo apt-get install gcc libc6-dev pkg-config libcairo2-dev libpango1.0-dev python3-dev && {pip}"
