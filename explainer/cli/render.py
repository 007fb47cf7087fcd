"""`explainer render`: scenes become films, several at once."""

from __future__ import annotations

import time
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from explainer import render as studio
from explainer.cli import speech
from explainer.cli.films import as_data, complain, minutes, shoot, tell
from explainer.errors import ExplainerError

if TYPE_CHECKING:
    from explainer.cli.speech import Advance
    from explainer.render import Film, SceneFile, Settings
    from explainer.render.lecture import Lecture

_QUALITIES = "; ".join(f"{name}: {quality} ({quality.says})" for name, quality in studio.QUALITIES.items())
LECTURE = "lecture"

_EXAMPLES = """\b
Examples:
  explainer render --list
  explainer render ChainRule DigitLearning
  explainer render GradientFlow --trace runs/mine --quality high
  explainer render lecture
  explainer render ChainRule --aspect 9:16 --captions off --theme light
"""


@click.command("render", epilog=_EXAMPLES, short_help="Make films, several at once; or the whole lecture.")
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
@click.option("--aspect", default="16:9", show_default=True, help="The frame's shape: 16:9, 4:3 or 9:16 (a phone's).")
@click.option("--speed", type=float, default=1.0, show_default=True, help="The pace: 1.25 is a quarter faster.")
@click.option(
    "--captions",
    default="on",
    show_default=True,
    metavar="on|off|FILE.srt|FOLDER",
    help="off: in the subtitles only. A file: a film's own .srt with its sentences translated, one by one.",
)
@click.option("--stills", is_flag=True, help="The last frame of each film too, as NAME.png.")
@click.option("--slides", is_flag=True, help="A deck too that stops at every beat: slides.html and slides.pptx.")
@click.option("--jobs", type=click.IntRange(1), help="How many at once; by default as many as there are processors.")
@click.option("--again", is_flag=True, help="Make films anew of which nothing has changed.")
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
    aspect: str,
    speed: float,
    captions: str,
    stills: bool,
    slides: bool,
    jobs: int | None,
    again: bool,
    trace: str | None,
    surface: Path | None,
    theme: str,
    listing: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Make films of SCENEs, each in a process of its own, with their subtitles beside them.

    A SCENE is one of the lecture's, or of a file of your own: film.py:MyScene, or film.py for all that it defines.
    `lecture` is all of them in order, with title cards, chapters and one subtitle file. A film of which nothing has
    changed since it was made is left as it is.
    """
    if listing:
        _list(as_json)
        return
    if not scenes:
        known = ", ".join(studio.find_scenes())
        raise click.UsageError(f"which scene? There is: {known}.", click.get_current_context())
    form = form or ("mov" if transparent else "mp4")
    settings = studio.Settings(quality, form, transparent, None, theme, surface, aspect, speed, captions)
    whole = LECTURE in scenes
    if whole and len(scenes) > 1:
        raise click.UsageError("lecture is all of the films: render it by itself", click.get_current_context())
    if misspelt := [name for name in scenes if name != LECTURE and get_close_matches(name.lower(), [LECTURE], 1, 0.8)]:
        told = f"no scene is called {misspelt[0]!r}. Did you mean {LECTURE!r}?"
        raise click.UsageError(told, click.get_current_context())
    chosen = _lecture_scenes(form) if whole else studio.choose(scenes)
    studio.check_manim()
    if slides:
        _check_slides(form)
    started = time.monotonic()
    with speech.progress(quiet=quiet) as advance:
        films = shoot(chosen, output / LECTURE if whole else output, settings, trace, jobs, advance, again=again)
        more = _more(films, output, settings, stills, slides, advance)
        lecture = _assemble(films, output, advance) if whole and all(film.path for film in films) else None
    _report(films, lecture, more, time.monotonic() - started, quiet, as_json)
    code = complain(films)
    if code:
        raise SystemExit(code)


def _lecture_scenes(form: str) -> list[SceneFile]:
    from explainer.render.lecture import lecture_scenes

    if form == "gif":
        raise ExplainerError("GIFs cannot be joined: render the lecture as mp4, webm or mov")
    return lecture_scenes()


def _check_slides(form: str) -> None:
    """Say before anything is rendered what a deck lacks."""
    from importlib.util import find_spec

    from explainer.errors import MissingDependency

    if form != "mp4":
        raise ExplainerError(f"slides are made of MP4s, not of {form}: leave out --format and --transparent")
    if find_spec("manim_slides") is None:
        raise MissingDependency("manim-slides", "A deck of slides", "slides")


def _assemble(films: list[Film], output: Path, advance: Advance) -> Lecture:
    from explainer.render.lecture import assemble

    advance("joining", 0.0, "")
    made = assemble(films, output)
    advance("joining", 1.0, f"{minutes(made.seconds)} of film")
    return made


def _more(
    films: list[Film], output: Path, settings: Settings, stills: bool, slides: bool, advance: Advance
) -> list[Path]:
    """Make what is asked for beside the films, of those that were made; returns the files."""
    made = [film for film in films if film.path is not None]
    files = []
    if stills:
        from explainer.render.joining import last_frame

        files += [last_frame(film.path, film.path.with_suffix(".png")) for film in made if film.path]
    if slides and made:
        from explainer.render.slides import make_deck

        advance("slides", 0.0, "")
        files += make_deck(made, output, "slides", studio.QUALITIES[settings.quality].pixels(settings.aspect))
        advance("slides", 1.0, f"{sum(len(film.beats) for film in made)} slides")
    return files


def _report(
    films: list[Film], lecture: Lecture | None, more: list[Path], took: float, quiet: bool, as_json: bool
) -> None:
    if as_json:
        made = {"films": [as_data(film) for film in films], "more": [str(file) for file in more]}
        if lecture is not None:
            speech.say_json({**made, "lecture": _lecture_as_data(lecture, took)})
        else:
            speech.say_json(made if more else made["films"])
        return
    tell(films, quiet)
    for file in more:
        speech.say(str(file))
    if lecture is None:
        return
    size = speech.size_of(lecture.path.stat().st_size)
    about = f"  ({minutes(lecture.seconds)}, {len(lecture.chapters)} chapters, {size}, made in {took:.0f} s)"
    speech.say(str(lecture.path) + ("" if quiet else about))
    for each in (lecture.srt, lecture.vtt, lecture.poster):
        speech.say(str(each))


def _lecture_as_data(lecture: Lecture, took: float) -> dict[str, Any]:
    return {
        "file": str(lecture.path),
        "subtitles": [str(lecture.srt), str(lecture.vtt)],
        "poster": str(lecture.poster),
        "film_seconds": round(lecture.seconds, 3),
        "seconds": round(took, 3),
        "chapters": [{"title": each.title, "second": round(each.start, 3)} for each in lecture.chapters],
    }


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
    speech.say(f"{LECTURE:<{width}}   All of them in the lecture's order, joined.")
