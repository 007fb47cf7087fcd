"""Where films find what is more than one trace: several runs, surfaces, slices, sequences of surfaces."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from explainer.errors import TraceError
from explainer.surface import Slice, Surface, SurfaceSequence, open_surface, open_surface_sequence
from explainer.trace import Trace, open_trace

SURFACE = "EXPLAINER_SURFACE"  # the folder of a surface that is shown instead of the lesson's
SEQUENCE = "EXPLAINER_SEQUENCE"  # the folder of a sequence of surfaces that is shown instead of the lesson's


def find_runs(given: Mapping[str, Trace] | str | Path | None, lesson: str, film: str) -> dict[str, Trace]:
    """Return the runs that a film compares, by name.

    Args:
        given: The runs themselves, or a folder that holds a trace for each; the lesson's runs when omitted.
        lesson: The film's own lesson, recorded once and kept.

    Raises:
        TraceError: The folder holds fewer than two traces.
    """
    if isinstance(given, Mapping):
        return dict(given)
    if not given:
        return lesson_runs(lesson)
    folders = sorted(path.parent for path in Path(given).glob("*/trace.json"))
    if len(folders) < 2:
        raise TraceError(
            f"{film} compares several runs, and {given} does not hold a trace for each; record them with\n"
            f"    explainer record {lesson} -o FOLDER"
        )
    return {_name(trace): trace for trace in map(open_trace, folders)}


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
        _check_lesson(
            trace, f"    explainer surface {trace.folder or 'RUN'} --model FILE.py:FUNCTION -o FOLDER", SURFACE
        )
    from explainer.lessons import lesson_surface

    return lesson_surface(of, **choice)


def find_sequence(trace: Trace, **choice: Any) -> SurfaceSequence:
    """Return the folder's that EXPLAINER_SEQUENCE names, else that of a lesson's trace, computed once and kept."""
    folder = os.environ.get(SEQUENCE)
    if folder:
        return open_surface_sequence(folder)
    _check_lesson(trace, "    explainer.surface_sequence(trace, model, criterion, data).save(FOLDER)", SEQUENCE)
    from explainer.lessons import lesson_sequence

    return lesson_sequence(trace, **choice)


def _check_lesson(trace: Trace, line: str, variable: str) -> None:
    if "lesson" not in trace.notes:
        raise TraceError(
            f"{trace.folder or 'this trace'} is of no lesson, so that its model and data are not known here; compute "
            f"the surface with\n{line}\nand name it: {variable}=FOLDER"
        )


def _name(trace: Trace) -> str:
    """Call a run after its learning rate, where one was recorded, else after its folder."""
    rates = trace.scalars.get("learning_rate")
    if rates is not None and len(rates):
        return f"α = {float(rates[0])}"
    return trace.folder.name if trace.folder is not None else "run"
