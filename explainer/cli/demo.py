"""`explainer demo`: the main job, once, on real data."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from explainer import render as studio
from explainer.cli import speech
from explainer.cli.films import as_data, complain, minutes, shoot
from explainer.cli.traces import record
from explainer.errors import MissingDependency

if TYPE_CHECKING:
    from explainer.cli.speech import Advance
    from explainer.render import Film
    from explainer.trace import Trace

FILMS = {
    "ChainRule": "how a gradient gets from the loss to the first weights, factor by factor",
    "DigitLearning": "how the network learns to see a four",
    "GradientFlow": "how much of the gradient reaches the first layers, and what comes of it",
}
PAGES = {
    "lesson": "the run of digits to scrub through in a browser; open it from the disk",
    "backprop": "every number of the chain rule, step by step, in a browser",
}
_DRAWN = (".png", ".svg", ".pdf")


@dataclass(frozen=True)
class Drawing:
    """One figure that the demo draws.

    Attributes:
        says: What to see in it.
    """

    figure: str
    options: dict[str, Any]
    says: str


DRAWINGS = (
    Drawing("loss", {}, "the loss leaves the line of who knows nothing"),
    Drawing("gradient_flow", {"step": 0}, "how much gradient reaches each layer"),
    Drawing("classification", {"example": 4}, "a real four, before and after"),
)


@click.command("demo", short_help="Train, record, draw and film, once, on real data.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("renders"),
    show_default=True,
    help="The folder for all of it.",
)
@click.option("--quality", default="draft", show_default=True, help="Of the films: draft, low, medium, high or 4k.")
@click.option(
    "--jobs", type=click.IntRange(1), help="How many films at once; by default as many as there are processors."
)
@speech.quiet_option
@speech.json_option
def run_demo(output: Path, quality: str, jobs: int | None, quiet: bool, as_json: bool) -> None:
    """Train the lecture's network on real digits, record it, and draw, film and write a page of what was recorded.

    Takes a minute or two. Where manim is not installed the films are left out, and it is said how to get them.
    """
    started = time.monotonic()
    settings = studio.Settings(quality)
    with speech.progress(quiet=quiet) as advance:
        digits, _ = record("digits", advance)
        small, _ = record("two-layer", advance)
        figures = draw_figures(digits, output, advance)
        films, lacking = make_films(output, settings, jobs, advance)
        pages = write_pages((digits, small), output, films, advance)
    took = time.monotonic() - started
    if as_json:
        made = [{"file": str(file), "bytes": file.stat().st_size} for files in figures for file in files]
        speech.say_json(
            {
                "trace": str(digits.folder),
                "figures": made,
                "films": [*map(as_data, films)],
                "pages": [{"file": str(file), "bytes": file.stat().st_size} for file in pages],
                "left_out": lacking,
                "seconds": round(took, 3),
            }
        )
    elif quiet:
        drawn = [file for files in figures for file in files]
        for path in [*drawn, *(film.path for film in films if film.path), *pages]:
            speech.say(str(path))
    else:
        _show(digits, figures, films, pages, took)
    if lacking:
        speech.say_on_error(f"left out the films {', '.join(FILMS)}: {lacking}")
        speech.say_on_error(
            "in a clone `./do setup` installs what films need; elsewhere `explainer doctor` says what to type"
        )
    code = complain(films)
    if code:
        raise SystemExit(code)


def draw_figures(trace: Trace, output: Path, advance: Advance) -> list[list[Path]]:
    """Draw the demo's figures, light for paper in three formats and dark for the lecture hall."""
    from explainer.cli.plot import draw
    from explainer.plots import FIGURES

    made = []
    for index, drawing in enumerate(DRAWINGS):
        advance("drawing figures", index / len(DRAWINGS), drawing.figure)
        figure = FIGURES[drawing.figure]
        light = tuple(output / f"{figure.name}{ending}" for ending in _DRAWN)
        files = draw(figure, trace, light, theme="light", **drawing.options)
        made.append(files + draw(figure, trace, (output / f"{figure.name}-dark.png",), theme="dark", **drawing.options))
    advance("drawing figures", 1.0, "")
    return made


def make_films(output: Path, settings: studio.Settings, jobs: int | None, advance: Advance) -> tuple[list[Film], str]:
    """Make the demo's films; returns them, and what is lacking where they had to be left out."""
    try:
        studio.check_manim()
    except MissingDependency as error:
        return [], str(error)
    return shoot(studio.choose(FILMS), output, settings, None, jobs, advance), ""


def write_pages(traces: Sequence[Trace], output: Path, films: list[Film], advance: Advance) -> list[Path]:
    """Write the demo's pages, which link to its films; without surfaces, which take longer than all the rest."""
    from explainer.page import make_page

    made = []
    for index, (name, trace) in enumerate(zip(PAGES, traces, strict=True)):
        advance("writing pages", index / len(PAGES), name)
        paths = [film.path for film in films if film.path]
        made.append(make_page(trace, films=paths, beside=output).save(output / f"{name}.html"))
    advance("writing pages", 1.0, "")
    return made


def _show(trace: Trace, figures: list[list[Path]], films: list[Film], pages: list[Path], took: float) -> None:
    rows = speech.table("made", "size", "took", "what to see", right=("size", "took"))
    for film in films:
        if film.path:
            size = speech.size_of(film.path.stat().st_size)
            rows.add_row(
                str(film.path), size, f"{film.took:.0f} s", f"{FILMS[film.scene.name]} ({minutes(film.seconds)})"
            )
    for page, says in zip(pages, PAGES.values(), strict=True):
        rows.add_row(str(page), speech.size_of(page.stat().st_size), "", says)
    for files, drawing in zip(figures, DRAWINGS, strict=True):
        size = speech.size_of(sum(file.stat().st_size for file in files))
        rows.add_row(str(files[0]), size, "", f"{drawing.says} (also .svg, .pdf, -dark.png)")
    accuracy = trace.scalars["test_accuracy"][-1]
    first = next((film.path for film in films if film.path), figures[0][0])
    console = speech.console()
    console.print(rows)
    console.print(
        f"\nA network of {trace.model.parameter_count:,} parameters learned to read {accuracy:.1%} of digits that it "
        f"had never seen;\nthe figures show what was recorded of that in {trace.folder}. Took {took:.0f} s.\n"
        f"Look first at {first}. More: explainer --help",
        soft_wrap=True,
    )
