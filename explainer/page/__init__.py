"""The lesson as a page: one HTML file with a trace's own numbers, to scrub through in a browser, without a network."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from explainer.errors import ExplainerError, TraceError
from explainer.page.document import document
from explainer.page.lesson import lesson
from explainer.page.texts import languages, texts

if TYPE_CHECKING:
    from explainer.surface import Surface
    from explainer.trace import Trace

MOST_BYTES = 4_600_000  # of the numbers on a page, which is to stay below 5 MB

__all__ = ["Page", "languages", "make_page"]


@dataclass(frozen=True)
class Page:
    """A whole page; a notebook shows it in its place.

    Attributes:
        html: The file's text.
        title: What its window is called.
    """

    html: str
    title: str

    def save(self, path: str | Path) -> Path:
        """Write the page into a file.

        Raises:
            ExplainerError: It cannot be written.
        """
        file = Path(path)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(self.html, encoding="utf-8")
        except OSError as error:
            raise ExplainerError(f"{file} cannot be written: {error.strerror}; choose another path") from error
        return file

    def _repr_html_(self) -> str:
        """Return the page in a frame that may run its script and nothing else, for a notebook."""
        return (
            f'<iframe title="{html.escape(self.title)}" sandbox="allow-scripts" width="100%" height="760" '
            f'style="border: 0" srcdoc="{html.escape(self.html)}"></iframe>'
        )

    def __repr__(self) -> str:
        return f"<Page {self.title!r}, {len(self.html.encode()):,} bytes>"


def make_page(
    traces: Trace | Mapping[str, Trace],
    *,
    surface: Surface | None = None,
    title: str | None = None,
    language: str = "en",
    films: Sequence[str | Path] = (),
    beside: str | Path | None = None,
    most_bytes: int = MOST_BYTES,
) -> Page:
    """Make a page of a recorded run, or of several between which one can choose.

    Args:
        traces: A trace, or several by name.
        surface: The loss around the runs' walks; see `explainer.loss_surface`.
        title: Of the page; the model's and its data's when omitted.
        language: Of its sentences: "en", "de".
        films: Files or addresses that the page links to.
        beside: The folder that the page will lie in, from which links to films lead; the current one when omitted.
        most_bytes: How much room its numbers may take: of longer runs every n-th recorded step is shown.

    Raises:
        TraceError: There is no trace, or one holds no step.
        ExplainerError: There is no such language, or a film's address is none that a page may lead to.
    """
    runs = {"": traces} if not isinstance(traces, Mapping) else dict(traces)
    if not runs:
        raise TraceError("a page is made of a trace, or of several by name, and none was given")
    sentences = texts(language)
    tree, blob = lesson(runs, surface, most_bytes)
    named = title or _title(runs, sentences)
    about = {
        "title": named,
        "language": language,
        "texts": sentences,
        "films": [_link(film, Path(beside or ".")) for film in films],
    }
    return Page(document({**about, **tree}, blob, title=named, language=language), named)


def _title(runs: Mapping[str, Trace], sentences: Mapping[str, str]) -> str:
    """Return a lesson's own title, else the model's name and how many runs there are."""
    trace = next(iter(runs.values()))
    lesson_name = trace.notes.get("lesson")
    name = lesson_name if isinstance(lesson_name, str) and lesson_name else trace.model.type
    general = sentences["title_several" if len(runs) > 1 else "title"]
    return sentences.get(f"title_{name}", general.replace("{model}", str(name)).replace("{count}", str(len(runs))))


def _link(film: str | Path, beside: Path) -> dict[str, str]:
    """Return the address of a film, as it is seen from the page's folder, and its name."""
    try:
        address = urlsplit(str(film))
    except ValueError as error:  # brackets that are no address
        raise ExplainerError(f"film {str(film)!r} is no address: {error}; name a file, or write https://…") from error
    if address.scheme in ("http", "https"):
        return {"href": str(film), "name": Path(address.path).name or address.netloc}
    path = Path(film)
    if not path.is_file():
        raise ExplainerError(f"there is no film {str(film)!r}: name a file, or an address that begins with https://")
    relative = os.path.relpath(path.resolve(), beside.resolve())
    return {"href": quote(Path(relative).as_posix()), "name": path.name}
