"""From a lesson to its surfaces: what a trace of a lesson was trained on is made again, and a surface is kept.

Finding a surface that was computed before loads no torch.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from explainer.errors import SurfaceError, TraceError
from explainer.lessons import LESSONS, Progress, _digest, move, record_runs, room, runs_folder
from explainer.lessons.own_axes import axes_of, own_line, own_plane, said, shown
from explainer.surface import Slice, Surface, SurfaceSequence, open_slice, open_surface, open_surface_sequence
from explainer.trace import Trace

if TYPE_CHECKING:
    import torch
    from torch import nn

Source = Trace | str | Mapping[str, Trace]  # a lesson's trace, several by name, or the lesson's name
_OF_THE_COMPUTATION = ("executor", "folder", "workers")  # what changes no number


def problem_of(trace: Trace) -> tuple[nn.Module, nn.Module, tuple[torch.Tensor, torch.Tensor]]:
    """Make again what a trace of a lesson was trained with.

    Returns:
        The model, untrained; its criterion; and (inputs, targets) of the whole training set, (example, …).

    Raises:
        TraceError: The trace is not of a lesson.
        LessonError: Its settings are none of the lesson's, or its data do not lie where they did.
    """
    name, settings = _origin(trace)
    made: tuple[Any, Any, Any] = room(name).problem(**settings)
    return made


def lesson_surface(
    of: Source,
    *,
    plane: str | Sequence[Any] | None = None,
    resolution: int | tuple[int, int] = 51,
    progress: Progress | None = None,
    again: bool = False,
    **options: Any,
) -> Surface:
    """Return the surface of a lesson's loss with its walk, or open it if it was computed before.

    Args:
        of: A trace of a lesson; several by name, whose walks are drawn on one surface; or a lesson's name.
        plane: As in `loss_surface`, or "weights", the two weights themselves where the model has two. By default those,
            else "pca".
        progress: Called with the points done and the points in all.
        again: Compute it even if it was computed before.
        options: What else `loss_surface` takes.

    Raises:
        TraceError: A trace is not of a lesson, or the traces are of different problems.
        SurfaceError: The model has one weight, which makes no plane; or as `loss_surface`.
    """
    traces = _traces(of)
    first = next(iter(traces.values()))
    weights = len(LESSONS[_origin(first)[0]].view)
    if weights == 1:
        raise SurfaceError(f"lesson {_origin(first)[0]!r} has one weight, which makes no surface: see lesson_slice")
    if plane is None:
        plane = "weights" if weights == 2 else "pca"
    if plane == "weights" and weights != 2:
        raise SurfaceError(f"plane='weights' is for models of two, not for those of lesson {_origin(first)[0]!r}")
    asked = {"plane": plane, "resolution": resolution, **options}

    def compute() -> Surface:
        from explainer.sampler import loss_surface

        chosen = {"plane": plane, **options}
        problem = _common_problem(traces)
        if plane == "weights":
            chosen = {"span": shown(*traces.values()), **options, **own_plane(first)}
        found = loss_surface(
            *problem,
            trace=traces if len(traces) > 1 else first,
            resolution=resolution,
            progress=progress if progress is not None else False,
            **chosen,
        )
        axes = {"axes": axes_of(first)} if plane == "weights" else {}
        return replace(found, notes={**found.notes, **said(first), **axes})

    surface: Surface = _kept("surface", traces, asked, compute, open_surface, again=again)
    return surface


def lesson_sequence(
    of: Trace | str, *, progress: Progress | None = None, again: bool = False, **options: Any
) -> SurfaceSequence:
    """Return the surfaces around a lesson's weights at several steps, or open them if they were computed before.

    Args:
        of: A trace of a lesson, or a lesson's name.
        progress: Called with the points done and the points in all, if `surface_sequence` tells them.
        options: What `surface_sequence` takes: steps, plane, resolution, span, seed, …

    Raises:
        TraceError: The trace is not of a lesson.
        SurfaceError: As `surface_sequence`.
    """
    traces = _traces(of)
    first = _only(traces)

    def compute() -> SurfaceSequence:
        from explainer.sampler import surface_sequence

        told = progress if progress is not None else False
        return surface_sequence(first, *problem_of(first), progress=told, **options)

    sequence: SurfaceSequence = _kept("sequence", {"walk": first}, options, compute, open_surface_sequence, again=again)
    return sequence


def lesson_slice(of: Trace | str, *, again: bool = False, **options: Any) -> Slice:
    """Return a lesson's loss along a line, with the walk beside it, or open it if it was computed before.

    Where the model has one weight, the line is that weight itself, and the slopes along the walk are taken too.

    Args:
        of: A trace of a lesson, or a lesson's name.
        again: Compute it even if it was computed before.
        options: What `loss_slice` takes: step, direction, to, resolution, span, …

    Raises:
        TraceError: The trace is not of a lesson.
        SurfaceError: As `loss_slice`.
    """
    traces = _traces(of)
    first = _only(traces)
    own = len(LESSONS[_origin(first)[0]].view) == 1 and not options.keys() & {"direction", "to"}

    def compute() -> Slice:
        from explainer.sampler import loss_slice

        chosen = {"span": shown(first)[0], "slopes": True, **own_line(first), **options} if own else options
        found = loss_slice(*problem_of(first), trace=first, **chosen)
        axes = {"axes": axes_of(first)} if own else {}
        return replace(found, notes={**found.notes, **said(first), **axes})

    slice_: Slice = _kept("slice", {"walk": first}, options, compute, open_slice, again=again)
    return slice_


def _traces(of: Source) -> dict[str, Trace]:
    if isinstance(of, str):
        return record_runs(of)
    traces = {"walk": of} if isinstance(of, Trace) else dict(of)
    if not traces:
        raise TraceError("no trace was given: give one of a lesson, several by name, or the lesson's name")
    return traces


def _only(traces: Mapping[str, Trace]) -> Trace:
    """Return the first run: that of the lesson's default settings."""
    return next(iter(traces.values()))


def _origin(trace: Trace) -> tuple[str, dict[str, Any]]:
    """Return of which lesson a trace is, and with which settings.

    Raises:
        TraceError: It is of none.
    """
    name, settings = trace.notes.get("lesson"), trace.notes.get("settings")
    if not isinstance(name, str) or name not in LESSONS or not isinstance(settings, dict):
        raise TraceError(
            f"{trace.folder or 'the trace'} is of no lesson, so that its model and data cannot be made again; give "
            "them: explainer.loss_surface(model, criterion, data, trace=trace), or explainer surface --model "
            "FILE.py:FUNCTION"
        )
    return name, LESSONS[name].with_settings(None, None, **settings)


def _common_problem(traces: Mapping[str, Trace]) -> tuple[Any, Any, Any]:
    """Return the problem of all traces.

    Raises:
        TraceError: They are of different problems.
    """
    (first, trace), *others = traces.items()
    model, criterion, data = problem_of(trace)
    for run, other in others:
        of_other = problem_of(other)
        differ = [
            what
            for what, same in (
                ("model", repr(of_other[0]) == repr(model)),
                ("criterion", repr(of_other[1]) == repr(criterion)),
                ("data", all(one.equal(another) for one, another in zip(of_other[2], data, strict=True))),
            )
            if not same
        ]
        if differ:
            raise TraceError(
                f"the runs {first!r} and {run!r} differ in their {' and '.join(differ)}, so that they have no surface "
                "in common; draw one for each"
            )
    return model, criterion, data


def _kept(
    kind: str,
    traces: Mapping[str, Trace],
    asked: Mapping[str, Any],
    compute: Callable[[], Any],
    opened: Callable[[Path], Any],
    *,
    again: bool,
) -> Any:
    """Return what was computed before, else compute it and write it whole into a folder of its own."""
    if _holds_function(asked):
        return compute()  # two functions of one name may differ: nothing tells whether this was computed before
    name, _ = _origin(next(iter(traces.values())))
    walks = {
        run: [*_origin(trace), trace.steps.tolist(), trace.scalars["loss"].tolist()] for run, trace in traces.items()
    }
    numbers = {option: value for option, value in asked.items() if option not in _OF_THE_COMPUTATION}
    folder = runs_folder() / "surfaces" / f"{name}-{kind}-{_digest({'walks': walks, **_plain(numbers)})}"
    instead = again
    if not again and folder.is_dir():
        try:
            return opened(folder)
        except SurfaceError:
            instead = True  # damaged or of another version: computed again
    try:  # before long work begins
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise SurfaceError(f"{folder.parent} cannot be written: {error.strerror}; set EXPLAINER_RUNS") from error
    try:
        found = compute()
        found.save(scratch / "whole")
        if instead or not folder.is_dir():  # somebody else may have computed the same meanwhile
            move(scratch / "whole", folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return opened(folder)


def _plain(value: Any) -> Any:
    """Return options in JSON's types, arrays by their digest, so that equal options have equal names."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    array = np.asarray(value)
    return [str(array.dtype), list(array.shape), hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()]


def _holds_function(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_holds_function, value.values()))
    return callable(value)
