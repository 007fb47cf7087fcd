"""What TRACE stands for on the command line: a folder, or the name of a lesson."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from explainer.errors import TraceError, unknown

if TYPE_CHECKING:
    from explainer.cli.speech import Advance
    from explainer.trace import Trace


def trace_of(name: str, advance: Advance) -> Trace:
    """Open a folder, or a lesson's trace, which is recorded if it has not been yet.

    Raises:
        TraceError: It is neither, or the trace is damaged.
    """
    from explainer import lessons
    from explainer.trace import open_trace

    if Path(name).exists() or name not in lessons.LESSONS:
        if not Path(name).exists() and len(Path(name).parts) == 1:
            raise TraceError(
                f"there is no folder {name!r} that would be a trace, and {unknown('lesson', name, lessons.LESSONS)}"
            )
        return open_trace(name)
    return record(name, advance)[0]


def record(name: str, advance: Advance, path: Path | None = None, **settings: Any) -> tuple[Trace, bool]:
    """Record a lesson and show how far it is; returns whether it was recorded now, rather than found again."""
    from explainer import lessons

    what, now = f"lesson {name}", False

    def progress(done: int, total: int) -> None:
        nonlocal now
        now = True
        advance(what, done / total, f"step {done:,} of {total:,}")

    advance(what, 0.0, "")
    trace = lessons.record_lesson(name, path, progress=progress, **settings)
    advance(what, 1.0, "recorded" if now else "recorded before")
    return trace, now
