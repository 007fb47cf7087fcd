"""Where films find what is more than one trace: several runs, surfaces, slices, sequences of surfaces."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from explainer.errors import TraceError
from explainer.surface import Slice, Surface, SurfaceSequence, open_surface, open_surface_sequence
from explainer.trace import Trace, open_trace

SURFACE = "EXPLAINER_SURFACE"  # the folder of a surface that is shown instead of the lesson's
SEQUENCE = "EXPLAINER_SEQUENCE"  # the folder of a sequence of surfaces that is shown instead of the lesson's


def find_runs(
    given: Mapping[str, Trace] | Trace | str | Path | None, lesson: str, film: str, least: int = 2
) -> dict[str, Trace]:
    """Return the runs that a film compares, by name.

    Args:
        given: The runs themselves, a single one, or a folder that holds a trace for each, or is itself the trace of
            the only one; the lesson's runs when omitted.
        lesson: The film's own lesson, recorded once and kept.
        least: How many runs the film needs.

    Raises:
        TraceError: The folder holds fewer traces than that.
    """
    if isinstance(given, Mapping):
        return dict(given)
    if isinstance(given, Trace):
        return _named([given])
    if not given:
        return lesson_runs(lesson)
    folder = Path(given)
    if least == 1 and not _holds_several(folder):
        return _named([open_trace(folder)])
    folders = sorted(path.parent for path in folder.glob("*/trace.json"))
    if len(folders) < least:
        raise TraceError(
            f"{film} compares several runs, and {given} does not hold a trace for each: name the folder in which the "
            f"traces of yours lie side by side; the lesson's are recorded with\n    explainer record {lesson} -o FOLDER"
        )
    return _named([open_trace(each) for each in folders])


def _holds_several(folder: Path) -> bool:
    """Say whether a folder holds traces without being one; the ranks of one run are one."""
    one = (folder / "trace.json").exists() or (folder / "rank0").exists()
    return not one and any(folder.glob("*/trace.json"))


def lesson_runs(lesson: str) -> dict[str, Trace]:
    """Return all runs of a lesson, by name; each is recorded once and kept."""
    from explainer.lessons import record_runs

    return record_runs(lesson)


def find_slice(trace: Trace, span: tuple[float, float], resolution: int) -> Slice:
    """Return the loss along the only weight of a lesson's trace."""
    from explainer.lessons import lesson_slice

    return lesson_slice(trace, span=span, resolution=resolution)


def find_surface(of: Trace | Mapping[str, Trace], **choice: Any) -> Surface:
    """Return the folder's that EXPLAINER_SURFACE names, else that of lessons' traces, computed once and kept."""
    folder = os.environ.get(SURFACE)
    if folder:
        return open_surface(folder)
    for trace in [of] if isinstance(of, Trace) else of.values():
        line = f"    explainer surface {trace.folder or 'RUN'} --model FILE.py:FUNCTION -o FOLDER"
        _check_lesson(trace, line, f"--surface FOLDER, or {SURFACE}=FOLDER")
    from explainer.lessons import lesson_surface

    return lesson_surface(of, **choice)


def find_sequence(trace: Trace, **choice: Any) -> SurfaceSequence:
    """Return the folder's that EXPLAINER_SEQUENCE names, else that of a lesson's trace, computed once and kept."""
    folder = os.environ.get(SEQUENCE)
    if folder:
        return open_surface_sequence(folder)
    line = "    explainer.surface_sequence(trace, model, criterion, data).save(FOLDER)"
    _check_lesson(trace, line, f"{SEQUENCE}=FOLDER")
    from explainer.lessons import lesson_sequence

    return lesson_sequence(trace, **choice)


def _check_lesson(trace: Trace, line: str, name: str) -> None:
    if "lesson" not in trace.notes:
        raise TraceError(
            f"{trace.folder or 'this trace'} is of no lesson, so that its model and data are not known here; compute "
            f"the surface with\n{line}\nand name it: {name}"
        )


def _named(traces: Sequence[Trace]) -> dict[str, Trace]:
    """Call runs after their learning rates where those tell them apart, else as their lesson does, else by folder.

    A single run needs no telling apart.
    """
    rates = [trace.scalars.get("learning_rate", np.empty(0)) for trace in traces]
    ways = (
        [f"α = {float(each[0])}" if len(each) else "" for each in rates],
        [str(trace.notes.get("run") or "") for trace in traces],
        [trace.folder.name if trace.folder is not None else "" for trace in traces],
    )
    told = (way for way in ways[len(traces) < 2 :] if all(way) and len(set(way)) == len(way))
    names = next(told, [f"run {place}" for place in range(1, len(traces) + 1)])
    return dict(zip(names, traces, strict=True))
