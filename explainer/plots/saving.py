"""Writing a figure: SVG whose text is text, PDF with TrueType fonts, PNG; the same figure is the same bytes.

Each file also says in words what it shows, so that a screen reader can read it out.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from explainer.errors import TraceError
from explainer.plots.describing import describe, title_of

_UNDATED: dict[str, dict[str, None]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}
_WORDS = {"svg": ("Title", "Description"), "pdf": ("Title", "Subject"), "png": ("Title", "Description")}


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
            figure.savefig(temporary, format=kind, dpi=dpi, metadata={**_UNDATED[kind], **_words(drawn, kind)})
        if kind == "svg":
            _name_for_readers(temporary, drawn)
        os.replace(temporary, path)
    except OSError as error:
        raise TraceError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink()
    return path


def _words(drawn: Axes | Figure, kind: str) -> dict[str, str]:
    """Return a figure's question and its alternative text under the names that a kind of file has for them."""
    title = title_of(drawn)
    return dict(zip(_WORDS[kind], (title, describe(drawn)), strict=True)) if title else {}


def _name_for_readers(path: Path, drawn: Axes | Figure) -> None:
    """Say to screen readers that an SVG is one picture, and what it shows: they leave its metadata out."""
    if title_of(drawn):
        named = f'<svg role="img" aria-label={quoteattr(describe(drawn))} '
        path.write_text(path.read_text(encoding="utf-8").replace("<svg ", named, 1), encoding="utf-8")
