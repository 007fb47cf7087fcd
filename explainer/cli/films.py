"""What `explainer render` and `explainer demo` share: record what films need, make them, say what became of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from explainer import render as studio
from explainer.cli import speech
from explainer.cli.traces import record, runs_of, trace_of, traces_in

if TYPE_CHECKING:
    from explainer.cli.speech import Advance
    from explainer.render import Film, SceneFile, Settings


def shoot(
    scenes: list[SceneFile],
    output: Path,
    settings: Settings,
    trace: str | None,
    jobs: int | None,
    advance: Advance,
    *,
    again: bool = False,
) -> list[Film]:
    """Record what the scenes need before they start, then render them, showing how far each is."""
    settings = prepare(scenes, settings, trace, advance)
    for scene in scenes:
        advance(scene.name, 0.0, "waits")

    def follow(scene: SceneFile, share: float, seconds: float) -> None:
        advance(scene.name, share, f"{minutes(seconds)} of film")

    finished: list[Film] = []

    def done(film: Film) -> None:
        finished.append(film)
        word = "unchanged" if film.unchanged else f"{minutes(film.seconds)} of film" if film.path else "failed"
        advance(film.scene.name, 1.0, word)

    try:
        return studio.render(scenes, output, settings, jobs=jobs, again=again, progress=follow, done=done)
    except KeyboardInterrupt:
        made = [str(film.path) for film in finished if film.path]
        raise KeyboardInterrupt(f"finished before: {', '.join(made)}" if made else "no film was finished") from None


def prepare(scenes: list[SceneFile], settings: Settings, trace: str | None, advance: Advance) -> Settings:
    """Record the lessons and compute the surfaces that scenes need, each once; return the settings with the trace."""
    from explainer.surface import open_surface

    if settings.surface is not None:
        open_surface(settings.surface)  # what is wrong with it is said before anything is made
    if trace is not None:
        return replace(settings, trace=folder_of(trace, scenes, advance))
    given = settings.surface is not None
    needed = [scene for scene in scenes if scene.lesson and not (given and scene.surfaces)]
    for lesson, several in dict.fromkeys((scene.lesson, scene.compares) for scene in needed):
        (runs_of if several else record)(lesson, advance)
    if not given:
        compute_surfaces(scenes, advance)
    return settings


def folder_of(name: str, scenes: Iterable[SceneFile], advance: Advance) -> Path | None:
    """Return the folder of what is to be shown: a trace, or for scenes that compare runs also a trace for each.

    None for the lesson that all the scenes are made for, if they show its runs: they find those themselves.
    """
    if all(scene.compares for scene in scenes):
        if all(scene.lesson == name for scene in scenes) and not Path(name).exists():
            runs_of(name, advance)
            return None
        if traces_in(Path(name)):
            runs_of(name, advance)  # what is wrong with one is said before anything is made
            return Path(name)
    return trace_of(name, advance).folder


def compute_surfaces(scenes: Iterable[SceneFile], advance: Advance) -> None:
    """Compute the surfaces that scenes draw of their lessons, each once, showing how far it is."""
    from explainer.lessons import lesson_surface, record_lesson, record_runs

    for scene in scenes:
        for choice in scene.surfaces:
            of = record_runs(scene.lesson) if scene.compares else record_lesson(scene.lesson)
            what = f"surface for {scene.name}"

            def progress(done: int, total: int, what: str = what) -> None:
                advance(what, done / total, f"point {done:,} of {total:,}")

            advance(what, 0.0, "")
            lesson_surface(of, progress=progress, **choice)
            advance(what, 1.0, "computed")


def minutes(seconds: float) -> str:
    """Write a length of film, such as 1:05."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def as_data(film: Film) -> dict[str, Any]:
    """Return a film in JSON's types."""
    return {
        "scene": film.scene.name,
        "file": film.path and str(film.path),
        "subtitles": film.subtitles and str(film.subtitles),
        "film_seconds": round(film.seconds, 3),
        "seconds": round(film.took, 3),
        "bytes": film.path.stat().st_size if film.path else None,
        "memory": film.memory,
        "unchanged": film.unchanged,
        "beats": [{"name": name, "second": round(second, 3)} for name, second in film.beats],
        "failure": film.failure or None,
    }


def complain(films: Iterable[Film]) -> int:
    """Say on stderr which films failed and why; returns the exit code."""
    code = 0
    for film in films:
        if not film.failure:
            continue
        if film.log:
            click.echo(film.log.rstrip(), err=True)
        speech.say_on_error(f"{film.scene.name}: {film.failure.removeprefix(f'{film.scene.name} ')}")
        worth = 3 if film.kind == "MissingDependency" else 2 if film.kind else 1
        code = max(code, worth)
    return code


def tell(films: list[Film], quiet: bool) -> None:
    """Say which films there are now, a line each."""
    for film in films:
        if film.path is None:
            continue
        how = "unchanged" if film.unchanged else f"made in {film.took:.0f} s"
        about = f"  ({minutes(film.seconds)}, {speech.size_of(film.path.stat().st_size)}, {how})"
        speech.say(str(film.path) + ("" if quiet else about))
