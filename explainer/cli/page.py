"""`explainer page`: a run as one HTML file to scrub through in a browser."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from explainer.cli import speech
from explainer.cli.subjects import SUBJECTS
from explainer.errors import ExplainerError, SurfaceError, TraceError

if TYPE_CHECKING:
    from explainer.cli.speech import Advance
    from explainer.page import Page
    from explainer.surface import Surface
    from explainer.trace import Trace

_EXAMPLES = """\b
Examples:
  explainer page digits -o lesson.html
  explainer page two-layer -o backprop.html --language de
  explainer page learning-rates -o rates.html --film renders/LearningRates.mp4
  explainer page runs/mine -o mine.html --surface surfaces/mine
"""


@click.command("page", epilog=_EXAMPLES, short_help="Write a run as one HTML page to scrub through.")
@click.argument("traces", metavar="TRACE...", nargs=-1, required=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="FILE.html.")
@click.option("--surface", metavar="FOLDER", help="The loss around the run's walk, as explainer surface saved it.")
@click.option("--no-surface", is_flag=True, help="Leave it out: a lesson's is computed else, which takes a while.")
@click.option("--language", default="en", show_default=True, help="Of the sentences: en or de.")
@click.option("--title", help="Of the page.")
@click.option("--film", "films", multiple=True, help="A film that the page links to; can be given again.")
@speech.quiet_option
@speech.json_option
def write_page(
    traces: tuple[str, ...],
    output: Path,
    surface: str | None,
    no_surface: bool,
    language: str,
    title: str | None,
    films: tuple[str, ...],
    quiet: bool,
    as_json: bool,
) -> None:
    """Write TRACE as one HTML file that needs no server and no network: every picture follows one slider.

    TRACE is a lesson, of which all runs are on the page, or the folder of a trace; several are several runs between
    which one can choose.
    """
    from explainer.page import make_page
    from explainer.page.texts import texts

    if surface and no_surface:
        raise click.UsageError("either --surface or --no-surface", click.get_current_context())
    if output.suffix.lower() not in (".html", ".htm"):
        better = output.with_suffix(".html") if output.name else output / "page.html"
        raise ExplainerError(f"a page is an HTML file, and {output} is called otherwise: -o {better}")
    texts(language)  # before long work begins
    with speech.progress(quiet=quiet) as advance:
        runs: dict[str, Trace] = SUBJECTS["traces"].get(traces, advance)
        around = None if no_surface else surface_of(runs, surface, advance)
        advance("page", 0.0, "reading the trace")
        page = make_page(
            runs if len(runs) > 1 else next(iter(runs.values())),
            surface=around,
            title=title,
            language=language,
            films=films,
            beside=output.parent,
        )
        page.save(output)
        advance("page", 1.0, "")
    _tell(page, output, as_json)


def surface_of(runs: Mapping[str, Trace], folder: str | None, advance: Advance) -> Surface | None:
    """Return the saved surface, or a lesson's own; None where they have none: of no lesson, or of several models."""
    if folder is not None:
        from explainer.page.relief import check_walk, walks_of
        from explainer.surface import open_surface

        found = open_surface(folder)
        for name, walk in walks_of(found, runs).items():
            check_walk(walk, runs[name], folder)
        return found
    from explainer import lessons

    if any(trace.notes.get("lesson") not in lessons.LESSONS for trace in runs.values()):
        return None
    named = {run if len(runs) > 1 else "walk": trace for run, trace in runs.items()}
    try:
        return lessons.lesson_surface(
            named if len(named) > 1 else next(iter(named.values())),
            progress=lambda done, total: advance("surface", done / total, f"{done:,} of {total:,} points"),
        )
    except (SurfaceError, TraceError):  # a lesson of one weight; or runs of different models, which share no surface
        return None


def _tell(page: Page, output: Path, as_json: bool) -> None:
    if as_json:
        speech.say_json({"file": str(output), "bytes": output.stat().st_size, "title": page.title})
    else:
        speech.say(str(output))
