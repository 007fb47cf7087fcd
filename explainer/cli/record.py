"""`explainer record`: a lesson becomes a trace, or several that are to be compared."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from explainer.cli import speech
from explainer.cli.info import summary
from explainer.cli.traces import record as record_lesson
from explainer.errors import LessonError, unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from explainer.lessons import Lesson
    from explainer.trace import Trace

_EXAMPLES = """\b
Examples:
  explainer record --list
  explainer record digits
  explainer record digits --learning-rate 0.5 -o runs/too-fast
  explainer record digits --data mnist --data-dir data --download
  explainer record depth
  explainer record depth --run sigmoid
  explainer record ravine --set optimizer=LBFGS --learning-rate 1
"""
# Settings that have an option of their own; the others are given by --set.
_OPTIONS = ("learning_rate", "epochs", "steps", "batch_size", "seed", "data", "data_dir", "download")


def _check_number(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    """Refuse NaN, which is in every range."""
    if value is not None and math.isnan(value):
        raise click.BadParameter("nan is not a finite number")
    return value


def _pairs(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Return --set NAME=VALUE as a mapping."""
    pairs = [value.partition("=") for value in values]
    for name, equals, _ in pairs:
        if not equals or not name:
            raise click.BadParameter(f"{name!r} gives no value: it is NAME=VALUE, such as w1=-0.5")
    return {name.strip().replace("-", "_"): value.strip() for name, _, value in pairs}


@click.command("record", epilog=_EXAMPLES, short_help="Train the networks of a lesson, and record them.")
@click.argument("lesson", required=False)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The folder of the trace, or of all runs'.")
@click.option("--run", help="One run of a lesson that compares several: --run sigmoid.")
@click.option("--preset", help="Named settings, such as the lecture's own: --preset lecture.")
@click.option("--learning-rate", type=click.FloatRange(0, 1e6), callback=_check_number)
@click.option("--epochs", type=click.IntRange(1))
@click.option("--steps", type=click.IntRange(1))
@click.option("--batch-size", type=click.IntRange(1))
@click.option("--seed", type=click.IntRange(0))
@click.option("--data", help="For digits: sklearn (needs no download) or mnist.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="The folder that holds MNIST/raw.")
@click.option("--download", is_flag=True, default=None, help="Download MNIST into --data-dir.")
@click.option("--set", "further", metavar="NAME=VALUE", multiple=True, callback=_pairs, help="Any other setting.")
@click.option("--again", is_flag=True, help="Record it even if it was recorded with these settings before.")
@click.option("--list", "listing", is_flag=True, help="List the lessons with their settings.")
@speech.quiet_option
@speech.json_option
def record_one(
    lesson: str | None,
    output: Path | None,
    run: str | None,
    preset: str | None,
    further: dict[str, str],
    again: bool,
    listing: bool,
    quiet: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Train the networks of LESSON and record them, or find them again if that was done before.

    Of a lesson that compares several runs all are recorded, each into a folder of its own in FOLDER; one of them with
    --run, or with a setting in which they differ.
    """
    from explainer import lessons

    if listing:
        _list(as_json)
        return
    if lesson is None:
        raise click.UsageError(f"which lesson? There is: {', '.join(lessons.LESSONS)}.", click.get_current_context())
    found = lessons.find(lesson)
    chosen = {
        name: str(value) if isinstance(value, Path) else value for name, value in settings.items() if value is not None
    }
    chosen |= {name: _read(found, name, value) for name, value in further.items()}
    found.with_settings(preset, run, **chosen)  # complains before anything heavy is loaded
    several = bool(found.runs) and run is None and not found.differs & chosen.keys()
    runs: list[str | None] = [*found.runs] if several else [None if run is None else found.run_called(run)]
    done: list[tuple[Trace, bool, float]] = []
    with speech.progress(quiet=quiet) as advance:
        for each in runs:
            started = time.monotonic()
            folder = output / lessons.word_of(str(each)) if output is not None and several else output
            trace, now = record_lesson(lesson, advance, folder, run=each, preset=preset, again=again, **chosen)
            done.append((trace, now, time.monotonic() - started))
    _tell(done, runs if several else [], quiet=quiet, as_json=as_json)


def _read(lesson: Lesson, name: str, value: str) -> Any:
    """Return a setting's value in the kind that its default has.

    Raises:
        LessonError: There is no such setting, or the value is of another kind.
    """
    if name not in lesson.settings:
        raise LessonError(f"lesson {lesson.name!r}: {unknown('setting', name, lesson.settings)}")
    default = lesson.settings[name]
    if name in _OPTIONS:
        raise LessonError(f"{name!r} has an option of its own: --{name.replace('_', '-')} {value}")
    try:
        read = type(default)(value)
    except ValueError:
        read = math.nan
    if isinstance(read, float) and not math.isfinite(read):
        kind = "whole number" if isinstance(default, int) else "finite number"
        raise LessonError(f"lesson {lesson.name!r}: {name}={value} is no {kind}; the default is {default}")
    return read


def _tell(done: list[tuple[Trace, bool, float]], runs: list[str | None], *, quiet: bool, as_json: bool) -> None:
    """Say what was recorded: one trace, or one for each run."""
    if as_json:
        told = [{**summary(trace), "recorded_now": now, "seconds": round(took, 3)} for trace, now, took in done]
        speech.say_json({"runs": dict(zip(runs, told, strict=True))} if runs else told[0])
        return
    for place, (trace, now, took) in enumerate(done):
        how = f"recorded in {took:.1f} s" if now else "recorded before"
        name = f"{runs[place]}: " if runs else ""
        speech.say(str(trace.folder) if quiet else f"{trace.folder}  ({name}{how}: {_told(trace)})")


def _told(trace: Trace) -> str:
    losses = trace.scalars["loss"]
    size = speech.size_of(summary(trace)["bytes"])
    return f"{len(trace)} steps, loss {losses[0]:.3g} → {losses[-1]:.3g}, {size}"


def _list(as_json: bool) -> None:
    from explainer.lessons import LESSONS, word_of

    if as_json:
        keys = ("name", "says", "settings", "presets", "runs")
        speech.say_json([{key: getattr(lesson, key) for key in keys} for lesson in LESSONS.values()])
        return
    for lesson in LESSONS.values():
        speech.say(f"{lesson.name}: {lesson.says}")
        defaults = {
            name: "" if value is None or value is False else str(value) for name, value in lesson.settings.items()
        }
        rows = [
            (f"--{name.replace('_', '-')}", value) if name in _OPTIONS else (f"--set {name}={value}", "")
            for name, value in defaults.items()
        ]
        rows += [(f"--preset {preset}", _meaning(values)) for preset, values in lesson.presets.items()]
        rows += [(f"--run {word_of(run)}", _meaning(values) or "as above") for run, values in lesson.runs.items()]
        for option, value in rows:
            speech.say(f"    {option:<22} {value}".rstrip())


def _meaning(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in settings.items())
