"""How far a surface is: a bar on a terminal with points a second and the time left, or what a caller is told."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from explainer.sampler.gathering import Progress


@contextmanager
def telling(progress: bool | Progress, what: str = "surface", unit: str = "points") -> Iterator[Progress]:
    """Show how far things are, if that was asked for and somebody looks.

    Yields:
        A function to be called with the points done and the points in all; in all 0 where nobody knows.
    """
    if callable(progress):
        yield progress
    elif progress and sys.stderr is not None and sys.stderr.isatty():
        with _bar(what, unit) as tell:
            yield tell
    else:
        yield lambda done, total: None


@contextmanager
def _bar(what: str, unit: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Speed(ProgressColumn):
        """How many a second."""

        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(f"{speed:,.3g} {unit}/s" if speed else "")

    columns = (TextColumn(what), BarColumn(28), MofNCompleteColumn(), Speed(), TimeRemainingColumn())
    with Progress(*columns, console=Console(file=sys.stderr), transient=True, refresh_per_second=8) as bars:
        task = bars.add_task(what, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total or None)
