"""What a figure is drawn of, from what is typed: a trace, several, a surface, a slice, or a sequence of surfaces.

Each is a folder, or a lesson, whose run is recorded and whose surface is computed if they have not been yet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explainer.cli.traces import runs_of, trace_of
from explainer.errors import TraceError

if TYPE_CHECKING:
    from explainer.cli.speech import Advance
    from explainer.surface import Slice, Surface, SurfaceSequence
    from explainer.trace import Trace


@dataclass(frozen=True)
class Subject:
    """One kind of thing that figures are drawn of.

    Attributes:
        get: Opens or makes one from names and options.
        takes: The options that choose what is made.
        called: What it is, for a complaint.
    """

    get: Callable[..., Any]
    called: str
    takes: tuple[str, ...] = ()


def _one_trace(names: Sequence[str], advance: Advance) -> Trace:
    return trace_of(_only(names, "a trace"), advance)


def _traces(names: Sequence[str], advance: Advance) -> dict[str, Trace]:
    found: dict[str, Trace] = {}
    for name in names:
        for run, trace in runs_of(name, advance).items():
            found[run if run not in found else f"{run} ({name})"] = trace
    return found


def _runs(names: Sequence[str], advance: Advance) -> Trace | dict[str, Trace]:
    """Return one trace where the names stand for one run, and all by name where they stand for several."""
    found = _traces(names, advance)
    return found if len(found) > 1 else next(iter(found.values()))


def _surface(names: Sequence[str], advance: Advance, **options: Any) -> Surface:
    from explainer import lessons
    from explainer.surface import open_surface

    if _saved(names, "surface", options):
        return open_surface(names[0])
    traces = _traces(names, advance)
    of = traces if len(traces) > 1 else next(iter(traces.values()))
    return lessons.lesson_surface(of, progress=_points("surface", advance), **options)


def _slice(names: Sequence[str], advance: Advance, **options: Any) -> Slice:
    from explainer import lessons
    from explainer.surface import open_slice

    if _saved(names, "slice", options):
        return open_slice(names[0])
    return lessons.lesson_slice(_one_trace(names, advance), **options)


def _sequence(names: Sequence[str], advance: Advance, **options: Any) -> SurfaceSequence:
    from explainer import lessons
    from explainer.surface import open_surface_sequence

    if _saved(names, "sequence", options):
        return open_surface_sequence(names[0])
    trace = _one_trace(names, advance)
    return lessons.lesson_sequence(trace, progress=_points("surfaces", advance), **options)


SUBJECTS = {
    "trace": Subject(_one_trace, "a trace"),
    "runs": Subject(_runs, "a trace, or several"),
    "traces": Subject(_traces, "traces"),
    "surface": Subject(_surface, "a surface", ("plane", "resolution")),
    "slice": Subject(_slice, "a slice", ("step", "resolution")),
    "sequence": Subject(_sequence, "a sequence of surfaces", ("plane", "resolution")),
}


def _only(names: Sequence[str], called: str) -> str:
    """Return the only name.

    Raises:
        TraceError: There are several.
    """
    if len(names) > 1:
        raise TraceError(f"this figure is drawn of {called}, and these are {len(names)}: {', '.join(names)}")
    return names[0]


def _saved(names: Sequence[str], kind: str, options: dict[str, Any]) -> bool:
    """Return whether a name is the folder of something saved of this kind.

    Raises:
        TraceError: It is the folder of another kind, or is to be made in a way that was chosen before it was saved.
    """
    for name in names:
        held = next(
            (each for each in ("surface", "slice", "sequence") if (Path(name) / f"{each}.json").is_file()), None
        )
        if held is None:
            continue
        if held != kind:
            raise TraceError(
                f"{name} holds {SUBJECTS[held].called}, and this figure is drawn of {SUBJECTS[kind].called}"
            )
        if options:
            chosen = ", ".join(f"--{option}" for option in options)
            raise TraceError(f"{name} holds {SUBJECTS[kind].called} already: {chosen} cannot change it any more")
        return bool(_only(names, SUBJECTS[kind].called))
    return False


def _points(what: str, advance: Advance) -> Callable[[int, int], None]:
    return lambda done, total: advance(what, done / total, f"{done:,} of {total:,} points")
