"""`explainer plot`: one figure of one trace, as a file."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from explainer.cli import speech
from explainer.cli.traces import trace_of
from explainer.errors import ExplainerError

if TYPE_CHECKING:
    from explainer.plots import Figure
    from explainer.trace import Trace


_OPTIONS = ("step", "example", "measure")  # that only some figures take
_EXAMPLES = """\b
Examples:
  explainer plot --list
  explainer plot loss runs/mine -o loss.svg
  explainer plot gradient-flow digits --step 0 --theme dark -o flow.png -o flow.pdf
"""


@click.command("plot", epilog=_EXAMPLES, short_help="Draw a figure of a trace into a file.")
@click.argument("figure", required=False)
@click.argument("trace", required=False)
@click.option(
    "-o",
    "--output",
    "outputs",
    type=click.Path(path_type=Path),
    multiple=True,
    help="FILE.svg, .pdf or .png; can be given again.",
)
@click.option("--step", type=int, help="A recorded step; -1 is the last.")
@click.option("--example", type=int, help="For classification: which example of the probe, from 0.")
@click.option("--measure", help="For gradient-flow: norm, mean or max.")
@click.option("--theme", default="light", show_default=True, help="light or dark.")
@click.option(
    "--dpi",
    type=click.FloatRange(10, 2400),
    default=240,
    show_default=True,
    help="Pixels per inch of a PNG; 240 is 1920×1080.",
)
@click.option("--list", "listing", is_flag=True, help="List the figures, and the question that each answers.")
@speech.quiet_option
@speech.json_option
def plot_figure(
    figure: str | None,
    trace: str | None,
    outputs: tuple[Path, ...],
    theme: str,
    dpi: float,
    listing: bool,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Draw FIGURE of TRACE into a file."""
    from explainer import plots

    if listing:
        _list(as_json)
        return
    context = click.get_current_context()
    if figure is None or trace is None:
        raise click.UsageError(
            f"which FIGURE of which TRACE? Figures: {', '.join(map(_dashed, plots.FIGURES))}.", context
        )
    found = plots.find(figure)
    if not outputs:
        raise click.UsageError(f"where to? Name a file: -o {_dashed(found.name)}.svg", context)
    with speech.progress(quiet=quiet) as advance:
        opened = trace_of(trace, advance)
    files = draw(
        found,
        opened,
        outputs,
        theme=theme,
        dpi=dpi,
        **{name: value for name, value in options.items() if value is not None},
    )
    if as_json:
        speech.say_json(
            {"figure": found.name, "files": [{"file": str(file), "bytes": file.stat().st_size} for file in files]}
        )
    else:
        for file in files:
            speech.say(str(file))


def draw(figure: Figure, trace: Trace, outputs: tuple[Path, ...], *, dpi: float = 240, **options: Any) -> list[Path]:
    """Draw a figure once and save it to several files, in matplotlib's own settings rather than the user's.

    Raises:
        ExplainerError: The figure does not take an option, a file cannot be written, or the trace lacks something.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure as Canvas
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    from explainer.plots.saving import kind_of, save
    from explainer.plots.style import HEIGHT, WIDTH

    for output in outputs:
        kind_of(output)
    takes = [name for name in _OPTIONS if name in inspect.signature(figure.draw).parameters]
    for name in options:
        if name in _OPTIONS and name not in takes:
            allowed = ", ".join(f"--{name}" for name in takes) or "none of these options"
            raise ExplainerError(f"the figure {_dashed(figure.name)} takes no --{name}; it takes {allowed}")
    with mpl.rc_context():
        mpl.rcdefaults()
        canvas = Canvas(figsize=(WIDTH, HEIGHT), layout=ConstrainedLayoutEngine(w_pad=0.14, h_pad=0.12))
        axes = figure.draw(trace, ax=canvas.add_subplot(), **options)
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
