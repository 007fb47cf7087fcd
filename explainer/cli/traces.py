"""What TRACE stands for on the command line: a folder, the name of a lesson, or LESSON/RUN."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from explainer.errors import TraceError, unknown

if TYPE_CHECKING:
    from explainer.cli.speech import Advance
    from explainer.trace import Trace


def trace_of(name: str, advance: Advance) -> Trace:
    """Open a folder, or a lesson's trace, which is recorded if it has not been yet.

    Args:
        name: A folder; a lesson, whose first run it is where it has several; or a run of it, such as depth/relu.

    Raises:
        TraceError: It is none of these, or the trace is damaged.
        LessonError: The lesson has no such run.
    """
    from explainer.trace import open_trace

    lesson, run = _lesson_and_run(name)
    if lesson is not None:
        return record(lesson, advance, run=run)[0]
    if inside := traces_in(Path(name)):
        raise TraceError(f"{name} holds the traces of several runs, of which one is wanted: {', '.join(inside)}")
    return open_trace(name)


def runs_of(name: str, advance: Advance) -> dict[str, Trace]:
    """Open all runs that a name stands for, by their names.

    Args:
        name: A lesson, whose runs are recorded if they have not been yet; a folder that holds a folder for each run;
            or what `trace_of` takes, which is one run.

    Raises:
        TraceError: It is none of these, or a trace is damaged.
        LessonError: The lesson has no such run.
    """
    from explainer import lessons
    from explainer.trace import open_trace

    lesson, run = _lesson_and_run(name)
    if lesson is not None and run is None and lessons.LESSONS[lesson].runs:
        return {each: record(lesson, advance, run=each)[0] for each in lessons.LESSONS[lesson].runs}
    inside = traces_in(Path(name)) if lesson is None else []
    traces = {path: open_trace(path) for path in inside} or {name: trace_of(name, advance)}
    return {str(trace.notes.get("run") or Path(path).name): trace for path, trace in traces.items()}


def record(
    name: str, advance: Advance, path: Path | None = None, *, run: str | None = None, **settings: Any
) -> tuple[Trace, bool]:
    """Record one run of a lesson and show how far it is; returns whether it was recorded now, not found again."""
    from explainer import lessons

    what, now = f"lesson {name}" if run is None else f"lesson {name}, {run}", False

    def progress(done: int, total: int) -> None:
        nonlocal now
        now = True
        advance(what, done / total, f"step {done:,} of {total:,}")

    advance(what, 0.0, "")
    trace = lessons.record_lesson(name, path, run=run, progress=progress, **settings)
    advance(what, 1.0, "recorded" if now else "recorded before")
    return trace, now


def _lesson_and_run(name: str) -> tuple[str | None, str | None]:
    """Return the lesson that a name stands for, and which of its runs; none where it is a folder."""
    from explainer import lessons

    first, slash, run = name.partition("/")
    if not Path(name).exists() and first in lessons.LESSONS:
        return first, lessons.LESSONS[first].run_called(run) if slash else None
    if not Path(name).exists() and not slash and len(Path(name).parts) == 1:
        raise TraceError(
            f"there is no folder {name!r} that would be a trace, and {unknown('lesson', name, lessons.LESSONS)}"
        )
    return None, None


def traces_in(folder: Path) -> list[str]:
    """Return the traces of runs that lie in a folder which is no trace itself; ranks of one run are one."""
    if not folder.is_dir() or (folder / "trace.json").exists() or (folder / "rank0").exists():
        return []
    return [str(path.parent) for path in sorted(folder.glob("*/trace.json"))]
