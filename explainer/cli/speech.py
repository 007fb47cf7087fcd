"""How the command line speaks: results on stdout, progress and complaints on stderr."""

from __future__ import annotations

import json
import math
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

import click

from explainer.errors import ExplainerWarning

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import TaskID
    from rich.table import Table

WIDE = 240  # columns where nobody looks: what reads a pipe wants whole lines
CALM = 10.0  # seconds between two lines of progress where no bar can be drawn

quiet_option = click.option("-q", "--quiet", is_flag=True, help="Show no progress, and print only what was made.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


def console(stream: TextIO | None = None) -> Console:
    """Return a console for a stream (stdout when omitted); NO_COLOR, TERM and COLUMNS are rich's to heed."""
    from rich.console import Console

    class Plain(Console):
        def on_broken_pipe(self) -> None:  # rich would exit with 1
            raise BrokenPipeError

    stream = stream or sys.stdout
    width = None if stream.isatty() or os.environ.get("COLUMNS", "").isdigit() else WIDE
    return Plain(file=stream, width=width, highlight=False, markup=False, emoji=False)


def say(text: str = "") -> None:
    """Print a line of a result."""
    click.echo(text)


def say_on_error(text: str, speaker: str = "explainer") -> None:
    """Print a sentence on stderr."""
    click.echo(f"{speaker}: {text}", err=True)


def say_json(result: Any) -> None:
    """Print a result as JSON; what is no finite number is null, as JSON has no NaN."""
    click.echo(json.dumps(_plain(result), indent=2, ensure_ascii=False))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """Return a table without lines; the columns named in `right` hold numbers."""
    from rich.table import Table

    made = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", no_wrap=column in right)
    return made


def size_of(count: float) -> str:
    """Write a number of bytes for the eye."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit == "bytes" or count >= 100 else f"{count:.1f} {unit}"


# ── Progress ─────────────────────────────────────────────────────────────────────────────────────────────────────

Advance = Callable[[str, float, str], None]  # what is going on, the share that is done, a word about it


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[Advance]:
    """Show how far things are: bars on a terminal, else a calm line now and then, nothing when quiet.

    Yields:
        A function to be called with what is going on, the share of it that is done, and a word about it; from any
        thread, as often as one likes.
    """
    with _warnings_in_a_line():
        if quiet:
            yield lambda what, share, word: None
        elif sys.stderr.isatty():
            yield from _bars()
        else:
            yield _lines()


def _bars() -> Iterator[Advance]:
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=28),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[word]}", markup=False),
    )
    with Progress(*columns, console=console(sys.stderr), transient=True, refresh_per_second=8) as bars:
        tasks: dict[str, TaskID] = {}
        drawn: dict[str, float] = {}

        def advance(what: str, share: float, word: str) -> None:
            now = time.monotonic()
            if now - drawn.get(what, 0.0) < 0.05 and share < 1:
                return
            drawn[what] = now
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=1.0, word="")
            bars.update(tasks[what], completed=share, word=word)

        yield advance


def _lines() -> Advance:
    said: dict[str, float] = {}

    def advance(what: str, share: float, word: str) -> None:
        now = time.monotonic()
        if now - said.setdefault(what, now) >= CALM and share < 1:
            said[what] = now
            say_on_error(f"{what}: {share:.0%}{', ' * bool(word)}{word}")

    return advance


@contextmanager
def _warnings_in_a_line() -> Iterator[None]:
    """Show explainer's own warnings as sentences, without the line of code that Python adds."""
    with warnings.catch_warnings():
        shown = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
            if issubclass(category, ExplainerWarning):
                say_on_error(f"note: {message}")
            else:
                shown(message, category, *rest, **more)

        warnings.showwarning = show
        yield
