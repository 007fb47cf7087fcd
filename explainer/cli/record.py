"""`explainer record`: a lesson becomes a trace."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from explainer.cli import speech
from explainer.cli.info import summary
from explainer.cli.traces import record as record_lesson

if TYPE_CHECKING:
    from explainer.trace import Trace

_EXAMPLES = """\b
Examples:
  explainer record --list
  explainer record digits
  explainer record digits --learning-rate 0.5 -o runs/too-fast
  explainer record digits --data mnist --data-dir data --download
"""


def _check_number(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    """Refuse NaN, which is in every range."""
    if value is not None and math.isnan(value):
        raise click.BadParameter("nan is not a finite number")
    return value


@click.command("record", epilog=_EXAMPLES, short_help="Train the network of a lesson, and record it.")
@click.argument("lesson", required=False)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The folder of the trace.")
@click.option("--preset", help="Named settings, such as the lecture's own: --preset lecture.")
@click.option("--learning-rate", type=click.FloatRange(0, 1e6), callback=_check_number)
@click.option("--epochs", type=click.IntRange(1))
@click.option("--steps", type=click.IntRange(1))
@click.option("--batch-size", type=click.IntRange(1))
@click.option("--seed", type=click.IntRange(0))
@click.option("--data", help="For digits: sklearn (needs no download) or mnist.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="The folder that holds MNIST/raw.")
@click.option("--download", is_flag=True, default=None, help="Download MNIST into --data-dir.")
@click.option("--again", is_flag=True, help="Record it even if it was recorded with these settings before.")
@click.option("--list", "listing", is_flag=True, help="List the lessons with their settings.")
@speech.quiet_option
@speech.json_option
def record_one(
    lesson: str | None,
    output: Path | None,
    preset: str | None,
    again: bool,
    listing: bool,
    quiet: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Train the network of LESSON and record it, or find it again if that was done before."""
    from explainer import lessons

    if listing:
        _list(as_json)
        return
    if lesson is None:
        raise click.UsageError(f"which lesson? There is: {', '.join(lessons.LESSONS)}.", click.get_current_context())
    chosen = {
        name: str(value) if isinstance(value, Path) else value for name, value in settings.items() if value is not None
    }
    lessons.find(lesson).with_settings(preset, **chosen)  # complains before anything heavy is loaded
    started = time.monotonic()
    with speech.progress(quiet=quiet) as advance:
        trace, now = record_lesson(lesson, advance, output, preset=preset, again=again, **chosen)
    took = time.monotonic() - started
    if as_json:
        speech.say_json({**summary(trace), "recorded_now": now, "seconds": round(took, 3)})
    elif quiet:
        speech.say(str(trace.folder))
    else:
        how = f"recorded in {took:.1f} s" if now else "recorded before"
        speech.say(f"{trace.folder}  ({how}: {_told(trace)})")


def _told(trace: Trace) -> str:
    losses = trace.scalars["loss"]
    size = speech.size_of(summary(trace)["bytes"])
    return f"{len(trace)} steps, loss {losses[0]:.3g} → {losses[-1]:.3g}, {size}"


def _list(as_json: bool) -> None:
    from explainer.lessons import LESSONS

    if as_json:
        keys = ("name", "says", "settings", "presets")
        speech.say_json([{key: getattr(lesson, key) for key in keys} for lesson in LESSONS.values()])
        return
    for lesson in LESSONS.values():
        speech.say(f"{lesson.name}: {lesson.says}")
        for name, value in lesson.settings.items():
            default = "" if value is None or value is False else value
            speech.say(f"    --{name.replace('_', '-'):<15} {default}".rstrip())
        for name, values in lesson.presets.items():
            meaning = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in values.items())
            speech.say(f"    --preset {name:<8} {meaning}")
