"""Writing a figure: SVG whose text is text, PDF with TrueType fonts, PNG; the same figure is the same bytes."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from explainer.errors import TraceError

_UNDATED: dict[str, dict[str, None]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}


def kind_of(path: str | Path) -> str:
    """Return "svg", "pdf" or "png".

    Raises:
        TraceError: The file's name ends otherwise.
    """
    kind = Path(path).suffix.lower().removeprefix(".")
    if kind not in _UNDATED:
        raise TraceError(f"{path}: a figure is written as .svg, .pdf or .png; name the file with one of these endings")
    return kind


def save(drawn: Axes | Figure, path: str | Path, *, dpi: float = 240) -> Path:
    """Write the figure of axes to a file.

    Args:
        path: Ends in .svg, .pdf or .png; a folder that is not there is made.
        dpi: Pixels per inch of a PNG; 240 makes 1920×1080 of a figure of slide size.

    Returns:
        The path.

    Raises:
        TraceError: The name has another ending, or the file cannot be written.
    """
    path, kind = Path(path), kind_of(path)
    figure: Any = drawn.figure if isinstance(drawn, Axes) else drawn
    temporary = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "explainer", "pdf.fonttype": 42}):
            figure.savefig(temporary, format=kind, dpi=dpi, metadata=_UNDATED[kind])
        os.replace(temporary, path)
    except OSError as error:
        raise TraceError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink()
    return path
