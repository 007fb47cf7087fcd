"""The lecture's runs: each is recorded once, and found again by its settings. Listing them needs no torch."""

import hashlib
import importlib.metadata
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from explainer import __version__
from explainer.errors import LessonError, TraceError, unknown
from explainer.trace import Trace, open_trace

Progress = Callable[[int, int], None]  # called with the steps done and the steps in all


@dataclass(frozen=True)
class Lesson:
    """A run made for teaching.

    Attributes:
        settings: What can be chosen, with its default.
        presets: Named choices of several settings.
    """

    name: str
    says: str
    settings: Mapping[str, Any]
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def with_settings(self, preset: str | None = None, **chosen: Any) -> dict[str, Any]:
        """Return all settings: the defaults, then the preset's, then those chosen.

        Raises:
            LessonError: There is no such preset or setting.
        """
        if preset is not None and preset not in self.presets:
            raise LessonError(f"lesson {self.name!r}: {unknown('preset', preset, self.presets)}")
        for name in chosen:
            if name not in self.settings:
                raise LessonError(f"lesson {self.name!r}: {unknown('setting', name, self.settings)}")
        return {**self.settings, **(self.presets[preset] if preset else {}), **chosen}


LESSONS = {
    lesson.name: lesson
    for lesson in (
        Lesson(
            "digits",
            "A 784→128→64→10 network learns to read handwritten digits, as in the lecture's notebook.",
            {
                "data": "sklearn",  # or "mnist"
                "data_dir": None,
                "download": False,
                "learning_rate": 0.05,
                "batch_size": 64,
                "epochs": 20,
                "steps": None,  # instead of epochs
                "seed": 3,
            },
            {"lecture": {"learning_rate": 0.003, "steps": 4690}},  # the notebook's: 5 epochs of 60,000 images
        ),
        Lesson(
            "two-layer",
            "x → linear → sigmoid → linear → loss in float64, small enough to follow every number.",
            {"learning_rate": 0.1, "steps": 200, "seed": 0},
        ),
    )
}


def find(name: str) -> Lesson:
    """Return a lesson by its name.

    Raises:
        LessonError: There is none; the nearest is named.
    """
    if name not in LESSONS:
        raise LessonError(unknown("lesson", name, LESSONS))
    return LESSONS[name]


def runs_folder() -> Path:
    """Return where the lessons' traces are kept: EXPLAINER_RUNS, else `runs` in the current folder."""
    return Path(os.environ.get("EXPLAINER_RUNS", "runs"))


def record_lesson(
    name: str,
    path: str | Path | None = None,
    *,
    preset: str | None = None,
    again: bool = False,
    progress: Progress | None = None,
    **settings: Any,
) -> Trace:
    """Record a lesson, or open its trace if it was recorded with these settings before.

    Args:
        path: Where the trace lies; a folder of the settings' own below `runs_folder()` when omitted.
        preset: A named choice of settings, such as "lecture".
        again: Record it even if it was recorded before.
        progress: Called with the steps done and the steps in all.
        settings: The lesson's settings that are not the default.

    Raises:
        LessonError: There is no such lesson, preset, setting or data, or `path` is taken.
        KeyboardInterrupt: By Ctrl-C; what was recorded until then lies beside, and the exception says where.
    """
    lesson = find(name)
    chosen = lesson.with_settings(preset, **settings)
    folder = Path(path) if path is not None else runs_folder() / f"{name}-{_digest(chosen)}"
    if not again and path is None and (folder / "trace.json").is_file():
        trace = open_trace(folder)
        if trace.finished:
            return trace
    _check_room(folder, again=again or path is None)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise LessonError(f"{folder} cannot be made: {error.strerror}; choose another path") from error
    unfinished = scratch / "trace"  # scratch is for its owner's eyes only; a trace is as open as its folder
    try:
        run = import_module(f"explainer.lessons.{name.replace('-', '_')}").run
        run(unfinished, progress=progress or (lambda done, total: None), **chosen)
        _move(unfinished, folder)
    except KeyboardInterrupt:
        if len(steps := _steps_in(unfinished)):
            kept = folder.with_name(f"{folder.name}-interrupted")  # never found again as if it were whole
            _move(unfinished, kept)
            raise KeyboardInterrupt(f"the trace of steps {steps[0]} to {steps[-1]} lies in {kept}") from None
        raise KeyboardInterrupt("nothing was recorded yet") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return open_trace(folder)


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


def _move(unfinished: Path, folder: Path) -> None:
    """Put a whole trace in its place; somebody else may have recorded the same meanwhile, and may be reading it."""
    if folder.exists():
        os.replace(folder, unfinished.with_name("replaced"))
    os.replace(unfinished, folder)


def _digest(settings: Mapping[str, Any]) -> str:
    """Name settings, and the versions that decide what comes of them, in eight characters."""
    versions = [__version__, importlib.metadata.version("torch")]
    text = json.dumps([settings, versions], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]
