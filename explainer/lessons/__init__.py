"""The lecture's runs: each is recorded once, and found again by its settings. Listing them needs no torch."""

import errno
import hashlib
import importlib.metadata
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explainer import __version__
from explainer.errors import LessonError, TraceError
from explainer.lessons.catalogue import LESSONS as LESSONS
from explainer.lessons.catalogue import Lesson as Lesson
from explainer.lessons.catalogue import find as find
from explainer.lessons.catalogue import word_of as word_of
from explainer.trace import Trace, open_trace

if TYPE_CHECKING:
    from explainer.lessons.surfaces import lesson_sequence as lesson_sequence
    from explainer.lessons.surfaces import lesson_slice as lesson_slice
    from explainer.lessons.surfaces import lesson_surface as lesson_surface
    from explainer.lessons.surfaces import problem_of as problem_of
    from explainer.lessons.teaching import teaching_slice as teaching_slice
    from explainer.lessons.teaching import teaching_surface as teaching_surface

Progress = Callable[[int, int], None]  # called with the steps done and the steps in all

_RECIPE = 5  # raised whenever all lessons come out otherwise than before with the same settings
_RECIPES = {"digits": 1}  # the same for one of them
_HOMES = {  # bound when they are first used: listing lessons needs none of them
    "lesson_sequence": "surfaces",
    "lesson_slice": "surfaces",
    "lesson_surface": "surfaces",
    "problem_of": "surfaces",
    "teaching_slice": "teaching",
    "teaching_surface": "teaching",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"explainer.lessons.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'explainer.lessons' has no attribute {name!r}")


def runs_folder() -> Path:
    """Return where the lessons' traces are kept: EXPLAINER_RUNS, else `runs` in the current folder."""
    return Path(os.environ.get("EXPLAINER_RUNS", "runs"))


def record_lesson(
    name: str,
    path: str | Path | None = None,
    *,
    preset: str | None = None,
    run: str | None = None,
    again: bool = False,
    progress: Progress | None = None,
    **settings: Any,
) -> Trace:
    """Record one run of a lesson, or open its trace if it was recorded with these settings before.

    Args:
        path: Where the trace lies; a folder of the settings' own below `runs_folder()` when omitted.
        preset: A named choice of settings, such as "lecture".
        run: Which of a lesson's runs, by its name or word; without it the lesson's default settings.
        again: Record it even if it was recorded before.
        progress: Called with the steps done and the steps in all.
        settings: The lesson's settings that are not the default.

    Raises:
        LessonError: There is no such lesson, preset, run, setting or data, or `path` is taken.
        KeyboardInterrupt: By Ctrl-C; what was recorded until then lies beside, and the exception says where.
    """
    lesson = find(name)
    chosen = lesson.with_settings(preset, run, **settings)
    folder = Path(path) if path is not None else runs_folder() / f"{name}-{_digest(chosen, name)}"
    if not again and path is None and _whole(folder):
        return open_trace(folder)
    _check_room(folder, again=again or path is None)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise LessonError(f"{folder} cannot be made: {error.strerror}; choose another path") from error
    unfinished = scratch / "trace"  # scratch is for its owner's eyes only; a trace is as open as its folder
    try:
        about = {"lesson": name, "settings": json.loads(json.dumps(chosen, default=str)), "run": lesson.run_of(chosen)}
        room(name).run(unfinished, about=about, progress=progress or (lambda done, total: None), **chosen)
        if again or path is not None or not _whole(folder):  # somebody else may have recorded the same meanwhile
            move(unfinished, folder)
    except KeyboardInterrupt:
        if len(steps := _steps_in(unfinished)):
            kept = folder.with_name(f"{folder.name}-interrupted")  # never found again as if it were whole
            move(unfinished, kept)
            raise KeyboardInterrupt(f"the trace of steps {steps[0]} to {steps[-1]} lies in {kept}") from None
        raise KeyboardInterrupt("nothing was recorded yet") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return open_trace(folder)


def record_runs(
    name: str,
    path: str | Path | None = None,
    *,
    preset: str | None = None,
    again: bool = False,
    progress: Progress | None = None,
    **settings: Any,
) -> dict[str, Trace]:
    """Record all runs of a lesson, or open those that were recorded before; a lesson of one run has its own name's.

    Args:
        path: A folder that gets one for each run, called by its word; see `word_of`.
        settings: What all runs share.

    Returns:
        By the run's name ("α = 0.05") its trace, the lesson's default run first.

    Raises:
        LessonError: As `record_lesson`, or a setting was given in which the runs differ.
    """
    lesson = find(name)
    for setting in settings:
        if setting in lesson.differs:
            raise LessonError(
                f"lesson {name!r}: its runs differ in {setting!r}, which cannot be chosen for all of them; "
                "record one run with it: record_lesson, or --run"
            )
    traces: dict[str, Trace] = {}
    runs: list[str | None] = [*lesson.runs] or [None]
    for place, run in enumerate(runs):

        def told(done: int, total: int, place: int = place) -> None:
            if progress is not None:
                progress(place * total + done, len(runs) * total)

        folder = Path(path) / word_of(run) if path is not None and run is not None else path
        traces[run or name] = record_lesson(
            name, folder, preset=preset, run=run, again=again, progress=told, **settings
        )
    return traces


def room(name: str) -> Any:
    """Import the module that holds a lesson: its `problem` and its `run`; loads torch."""
    return import_module(f"explainer.lessons.{name.replace('-', '_')}")


def _check_room(folder: Path, *, again: bool) -> None:
    """Refuse before the training what could not be written after it."""
    if folder.exists() and not folder.is_dir():
        raise LessonError(f"{folder} is a file; a trace is a folder: choose another path")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not (folder / "trace.json").is_file():
        raise LessonError(f"{folder} holds something that is not a trace: choose a new or empty folder")
    if not again:
        raise LessonError(f"{folder} holds a trace already: choose another folder, or replace it: again=True, --again")


def _steps_in(folder: Path) -> list[int]:
    try:
        return [int(step) for step in open_trace(folder).steps]
    except TraceError:
        return []


def _whole(folder: Path) -> bool:
    return (folder / "trace.json").is_file() and open_trace(folder).finished


def move(whole: Path, folder: Path) -> None:
    """Put a whole folder in its place, in place of what is there; what comes there at the same moment may stay."""
    with suppress(FileNotFoundError):
        os.replace(folder, whole.with_name("replaced"))
    try:
        os.replace(whole, folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def _digest(settings: Mapping[str, Any], lesson: str = "") -> str:
    """Name settings, and the versions that decide what comes of them, in eight characters."""
    versions = [__version__, importlib.metadata.version("torch"), _RECIPE, *filter(None, [_RECIPES.get(lesson)])]
    text = json.dumps([settings, versions], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]
