"""`explainer plot`: one figure of a trace, several, or a surface, as a file."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from explainer.cli import speech
from explainer.cli.subjects import SUBJECTS
from explainer.errors import ExplainerError

if TYPE_CHECKING:
    from explainer.plots import Figure


# Options that only some figures take.
_DRAWING = ("step", "example", "measure", "layer", "over", "per", "losses", "scale", "elev", "azim")
_EXAMPLES = """\b
Examples:
  explainer plot --list
  explainer plot loss runs/mine -o loss.svg
  explainer plot gradient-flow digits --step 0 --theme dark -o flow.png -o flow.pdf
  explainer plot surface digits -o surface.png
  explainer plot mountain surfaces/mine --azim -60 -o mountain.png
  explainer plot learning-rates runs/a runs/b runs/c -o rates.svg
  explainer plot gradient-flow depth/sigmoid depth/relu --style paper -o flow.pdf
  explainer plot loss runs/mine --follow -o loss.png
  explainer plot gradient-flow runs/mine --animate flow.mp4
"""


@click.command("plot", epilog=_EXAMPLES, short_help="Draw a figure of a trace or a surface into a file.")
@click.argument("figure", required=False)
@click.argument("traces", metavar="[TRACE]...", nargs=-1)
@click.option(
    "-o",
    "--output",
    "outputs",
    type=click.Path(path_type=Path),
    multiple=True,
    help="FILE.svg, .pdf or .png; can be given again.",
)
@click.option("--step", type=int, help="A recorded step; -1 is the last.")
@click.option("--example", type=int, help="Which example, from 0: of the probe for classification, else of those kept.")
@click.option("--measure", help="For gradient-flow and gradient-history: norm, mean or max.")
@click.option("--layer", help="A layer by its name, for figures of one.")
@click.option("--over", help="For gradient-distribution: layers or steps.")
@click.option("--per", help="For update-ratios: layer, parameter or model.")
@click.option("--plane", help="For a lesson's surface: pca, random, ends or hessian.")
@click.option("--resolution", type=click.IntRange(2), help="For a lesson's surface: points along each axis.")
@click.option("--losses", help="For a walk's dots: true (on the surface's data) or recorded (each of its batch).")
@click.option("--scale", help="Of losses: linear or log; by default what fits them.")
@click.option("--elev", type=float, help="For mountain: how high the eye stands, in degrees.")
@click.option("--azim", type=float, help="For mountain: from which side it looks, in degrees.")
@click.option("--theme", default="light", show_default=True, help="light or dark.")
@click.option(
    "--style",
    type=click.Choice(["slide", "paper", "notebook"]),
    default="slide",
    show_default=True,
    help="What the figure is made for: its size, and that of its text.",
)
@click.option(
    "--dpi",
    type=click.FloatRange(10, 2400),
    default=240,
    show_default=True,
    help="Pixels per inch of a PNG; 240 is 1920×1080.",
)
@click.option(
    "--follow", is_flag=True, help="Draw again whenever the run has gone on; in a window where no file is named."
)
@click.option(
    "--animate",
    "moving",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="A picture of each recorded step in a row: FILE.mp4, .gif or .html.",
)
@click.option("--list", "listing", is_flag=True, help="List the figures, and the question that each answers.")
@speech.quiet_option
@speech.json_option
def plot_figure(
    figure: str | None,
    traces: tuple[str, ...],
    outputs: tuple[Path, ...],
    theme: str,
    style: str,
    dpi: float,
    follow: bool,
    moving: tuple[Path, ...],
    listing: bool,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Draw FIGURE of TRACE into a file.

    For surface, mountain, slice and surface-sequence TRACE is a lesson, or the folder of what was computed and saved;
    learning-rates takes several, or a lesson of several runs.
    """
    from explainer import plots

    if listing:
        _list(as_json)
        return
    context = click.get_current_context()
    if figure is None or not traces:
        raise click.UsageError(
            f"which FIGURE of which TRACE? Figures: {', '.join(map(_dashed, plots.FIGURES))}.", context
        )
    found = plots.find(figure)
    if not outputs and not moving and not follow:
        raise click.UsageError(f"where to? Name a file: -o {_dashed(found.name)}.svg", context)
    making, drawing = _sorted(found, {name: value for name, value in options.items() if value is not None})
    look = {"theme": theme, "style": style, **drawing}
    with speech.progress(quiet=quiet) as advance:
        if follow:
            from explainer.cli.following import follow_run

            follow_run(found, traces, outputs, advance, dpi=dpi, **look)
            return
        subject = SUBJECTS[found.of].get(traces, advance, **making)
        files = draw(found, subject, outputs, dpi=dpi, **look) if outputs else []
        files += [_move(found, subject, path, advance, **look) for path in moving]
    if as_json:
        speech.say_json(
            {"figure": found.name, "files": [{"file": str(file), "bytes": file.stat().st_size} for file in files]}
        )
    else:
        for file in files:
            speech.say(str(file))


def _move(figure: Figure, subject: Any, path: Path, advance: speech.Advance, **look: Any) -> Path:
    import matplotlib as mpl

    from explainer.plots import animate

    def progress(done: int, total: int) -> None:
        advance(path.name, done / total, f"{done} of {total} pictures")

    with mpl.rc_context():
        mpl.rcdefaults()
        return animate(figure.draw, subject, path, progress=progress, **look)


def _sorted(figure: Figure, options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return which options choose what the figure is drawn of, and which how it is drawn.

    Raises:
        ExplainerError: The figure does not take one.
    """
    making = SUBJECTS[figure.of].takes
    drawing = [name for name in _DRAWING if name in inspect.signature(figure.draw).parameters]
    for name in options:
        if name not in (*making, *drawing):
            allowed = ", ".join(f"--{name}" for name in (*making, *drawing)) or "none of these options"
            raise ExplainerError(f"the figure {_dashed(figure.name)} takes no --{name}; it takes {allowed}")
    chosen = {name: options[name] for name in making if name in options}
    return chosen, {name: value for name, value in options.items() if name not in chosen}


def draw(
    figure: Figure, subject: Any, outputs: tuple[Path, ...], *, dpi: float = 240, style: str = "slide", **options: Any
) -> list[Path]:
    """Draw a figure once and save it to several files, in matplotlib's own settings rather than the user's.

    Args:
        subject: What it is drawn of: a trace, several by name, a surface, a slice, or a sequence of surfaces.

    Raises:
        ExplainerError: A file cannot be written, or the subject lacks something.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure as Canvas

    from explainer.plots.saving import kind_of, save
    from explainer.plots.style import STYLES, layout

    for output in outputs:
        kind_of(output)
    with mpl.rc_context():
        mpl.rcdefaults()
        size = STYLES[style]
        wide, high = size.width * figure.times[0], size.height * figure.times[1]
        canvas = Canvas(figsize=(wide, high), layout=layout())
        axes = figure.draw(subject, ax=canvas.add_subplot(), style=style, **options)
        return [save(axes, output, dpi=dpi) for output in outputs]


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _list(as_json: bool) -> None:
    from explainer.plots import FIGURES

    if as_json:
        speech.say_json([{"name": _dashed(each.name), "question": each.question} for each in FIGURES.values()])
        return
    width = max(map(len, FIGURES))
    for each in FIGURES.values():
        speech.say(f"{_dashed(each.name):<{width}}   {each.question}")
