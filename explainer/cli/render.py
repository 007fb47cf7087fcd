"""`explainer render`: scenes become films, several at once."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from explainer import render as studio
from explainer.cli import speech
from explainer.cli.traces import record, runs_of, trace_of, traces_in

if TYPE_CHECKING:
    from explainer.cli.speech import Advance
    from explainer.render import Film, SceneFile, Settings

_QUALITIES = "; ".join(f"{name}: {quality} ({quality.says})" for name, quality in studio.QUALITIES.items())


_EXAMPLES = """\b
Examples:
  explainer render --list
  explainer render ChainRule DigitLearning
  explainer render ChainRule --trace runs/mine --quality high
"""


@click.command("render", epilog=_EXAMPLES, short_help="Make films, several at once.")
@click.argument("scenes", nargs=-1, metavar="SCENE...")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("renders"),
    show_default=True,
    help="The folder for films.",
)
@click.option("--quality", default="draft", show_default=True, help=f"{_QUALITIES}.")
@click.option(
    "--format", "form", default=None, help="mp4 (the default), gif, webm or mov (the default with --transparent)."
)
@click.option("--transparent", is_flag=True, help="Without a background, to lie over a slide; mov, webm or gif.")
@click.option("--jobs", type=click.IntRange(1), help="How many at once; by default as many as there are processors.")
@click.option("--trace", help="The folder of a recorded run to show, or a lesson; by default each scene's own lesson.")
@click.option(
    "--surface",
    type=click.Path(path_type=Path),
    help="The folder of a loss surface to show (explainer surface makes one); by default the lesson's.",
)
@click.option("--theme", default="dark", show_default=True, help="dark or light.")
@click.option("--list", "listing", is_flag=True, help="List the lecture's scenes.")
@speech.quiet_option
@speech.json_option
def render_scenes(
    scenes: tuple[str, ...],
    output: Path,
    quality: str,
    form: str | None,
    transparent: bool,
    jobs: int | None,
    trace: str | None,
    surface: Path | None,
    theme: str,
    listing: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Make films of SCENEs, each in a process of its own, with their subtitles beside them.

    A SCENE is one of the lecture's, or of a file of your own: film.py:MyScene, or film.py for all that it defines.
    """
    if listing:
        _list(as_json)
        return
    if not scenes:
        known = ", ".join(studio.find_scenes())
        raise click.UsageError(f"which scene? There is: {known}.", click.get_current_context())
    chosen = studio.choose(scenes)
    settings = studio.Settings(quality, form or ("mov" if transparent else "mp4"), transparent, None, theme, surface)
    studio.check_manim()
    with speech.progress(quiet=quiet) as advance:
        films = shoot(chosen, output, settings, trace, jobs, advance)
    if as_json:
        speech.say_json([as_data(film) for film in films])
    else:
        _show(films, quiet)
    code = complain(films)
    if code:
        raise SystemExit(code)


def shoot(
    scenes: list[SceneFile], output: Path, settings: Settings, trace: str | None, jobs: int | None, advance: Advance
) -> list[Film]:
    """Record what the scenes need before they start, then render them, showing how far each is."""
    from dataclasses import replace

    from explainer.surface import open_surface

    if settings.surface is not None:
        open_surface(settings.surface)  # what is wrong with it is said before anything is made
    if trace is not None:
        settings = replace(settings, trace=folder_of(trace, scenes, advance))
    else:
        given = settings.surface is not None
        needed = [scene for scene in scenes if scene.lesson and not (given and scene.surfaces)]
        for lesson, several in dict.fromkeys((scene.lesson, scene.compares) for scene in needed):
            (runs_of if several else record)(lesson, advance)
        if settings.surface is None:
            compute_surfaces(scenes, advance)
    for scene in scenes:
        advance(scene.name, 0.0, "waits")

    def follow(scene: SceneFile, share: float, seconds: float) -> None:
        advance(scene.name, share, f"{minutes(seconds)} of film")

    finished: list[Film] = []

    def done(film: Film) -> None:
        finished.append(film)
        advance(film.scene.name, 1.0, f"{minutes(film.seconds)} of film" if film.path else "failed")

    try:
        return studio.render(scenes, output, settings, jobs=jobs, progress=follow, done=done)
    except KeyboardInterrupt:
        made = [str(film.path) for film in finished if film.path]
        raise KeyboardInterrupt(f"finished before: {', '.join(made)}" if made else "no film was finished") from None


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
        speech.say_on_error(f"{film.scene.name}: {film.failure}")
        worth = 3 if film.kind == "MissingDependency" else 2 if film.kind else 1
        code = max(code, worth)
    return code


def _show(films: list[Film], quiet: bool) -> None:
    for film in films:
        if film.path is None:
            continue
        about = f"  ({minutes(film.seconds)}, {speech.size_of(film.path.stat().st_size)}, made in {film.took:.0f} s)"
        speech.say(str(film.path) + ("" if quiet else about))


def _list(as_json: bool) -> None:
    scenes = studio.find_scenes().values()
    if as_json:
        speech.say_json(
            [{"name": each.name, "says": each.says, "lesson": each.lesson, "file": str(each.file)} for each in scenes]
        )
        return
    width = max((len(each.name) for each in scenes), default=0)
    for each in scenes:
        speech.say(f"{each.name:<{width}}   {each.says}" + (f" (lesson {each.lesson})" if each.lesson else ""))
