"""`explainer surface`: the loss over a plane through a run's weights, computed and saved."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from explainer.cli import speech
from explainer.cli.crews import Crew, own_rank
from explainer.cli.problems import FORM, problem_from
from explainer.cli.surface_told import duration, show, summary
from explainer.cli.traces import trace_of

if TYPE_CHECKING:
    from explainer.cli.speech import Advance
    from explainer.surface import Surface
    from explainer.trace import Trace

_EXAMPLES = """\b
Examples:
  explainer surface digits -o surfaces/digits
  explainer surface digits -o surfaces/fine --resolution 101 --tolerance 0.005
  explainer surface runs/mine -o surfaces/mine --model mine.py:problem --workers 4
  explainer surface runs/mine -o surfaces/mine --model mine.py:problem --scheduler tcp://10.0.0.1:8786
  torchrun --nproc-per-node 8 -m explainer surface runs/mine -o surfaces/mine --model mine.py:problem
"""


def _resolution(context: click.Context, parameter: click.Parameter, value: str) -> int | tuple[int, int]:
    try:
        counts = [int(each) for each in value.lower().replace("×", "x").split("x")]
    except ValueError:
        counts = []
    if len(counts) not in (1, 2) or min(counts) < 2:
        raise click.BadParameter(f"{value!r} is no resolution: give 51, or 61x41 (along u, along v), each at least 2")
    return counts[0] if len(counts) == 1 else (counts[0], counts[1])


def _span(context: click.Context, parameter: click.Parameter, value: str | None) -> Any:
    if value is None:
        return None
    try:
        found = [tuple(float(end) for end in axis.split(":")) for axis in value.split(",")]
        fits = len(found) in (1, 2) and all(len(axis) in (1, 2) and all(map(math.isfinite, axis)) for axis in found)
    except ValueError:
        fits = False
    if not fits or (len(found) == 1 and len(found[0]) == 2):
        raise click.BadParameter(f"{value!r} is no span: give 1.5 (to all sides), 2,1 (along u, along v) or -1:3,-2:2")
    axes = [axis[0] if len(axis) == 1 else axis for axis in found]
    return axes[0] if len(axes) == 1 else tuple(axes)


@click.command("surface", epilog=_EXAMPLES, short_help="Compute the loss over a plane through a run's weights.")
@click.argument("run")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The folder of the surface.")
@click.option("--plane", help="pca, random, ends or hessian; pca by default.")
@click.option("--resolution", default="51", show_default=True, callback=_resolution, help="Points an axis, or 61x41.")
@click.option("--span", callback=_span, help="Half a side, or 2,1, or -1:3,-2:2; by default the walk's own.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of a random plane.")
@click.option("--tolerance", type=click.FloatRange(0, 1, min_open=True), help="May interpolate to this relative error.")
@click.option("--batch-norm", type=click.Choice(["as is", "re-estimated"]), default="as is", show_default=True)
@click.option("--mode", type=click.Choice(["eval", "train"]), default="eval", show_default=True)
@click.option("--model", "where", metavar=FORM, help="Returns (model, criterion, data), for a run that is no lesson.")
@click.option("--workers", type=click.IntRange(1), help="So many processes on this machine share the points.")
@click.option("--scheduler", metavar="ADDRESS", help="The workers of this Dask scheduler do: tcp://host:8786.")
@click.option("--again", is_flag=True, help="Begin anew, whatever surface the folder holds.")
@speech.quiet_option
@speech.json_option
def compute_surface(
    run: str,
    output: Path,
    where: str | None,
    workers: int | None,
    scheduler: str | None,
    again: bool,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Compute the loss over a plane through the weights of RUN, and save it, with the recorded walk beside it.

    RUN is a lesson, or the folder of a trace. A trace of your own says nothing of its model and data: --model does.
    Where FOLDER holds a part of this very surface, that is gone on with. Under torchrun the ranks share the points.
    """
    if workers and scheduler:
        raise click.UsageError("either --workers or --scheduler", click.get_current_context())
    rank = own_rank()
    if rank is not None and (workers or scheduler):
        raise click.UsageError(
            "under torchrun the ranks share the points: leave --workers and --scheduler out",
            click.get_current_context(),
        )
    if again and not rank:
        from explainer.sampler.resuming import clear

        clear(output)
    options = {name: value for name, value in options.items() if value is not None}
    with speech.progress(quiet=quiet or bool(rank)) as advance:
        clock = _Clock(advance)
        try:
            surface = _computed(run, where, output, options, clock, Crew(workers, scheduler, rank))
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"{clock.done:,} points lie in {output}: the same command goes on" if clock.done else "nothing was done"
            ) from None
    if rank:
        return
    about = {"folder": str(output), **summary(surface), **clock.told(surface)}
    if as_json:
        speech.say_json(about)
    elif quiet:
        speech.say(str(output))
    else:
        show(about)


class _Clock:
    """Shows how far the points are, and takes their time."""

    def __init__(self, advance: Advance) -> None:
        self.advance, self._began = advance, time.monotonic()
        self._marks: list[tuple[float, int]] = []  # when, and how many were done: the first and the last

    @property
    def done(self) -> int:
        return self._marks[-1][1] if self._marks else 0

    def begin(self) -> None:
        """Forget what opening or recording the run took."""
        self._began = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        self._marks = [*self._marks[:1], (time.monotonic(), done)]
        speed = self.speed(done)
        word = f"{done:,} of {total:,} points"
        if speed:
            word += f", {speed:,.3g} points/s, {duration((total - done) / speed)} left"
        self.advance("surface", done / total, word)

    def speed(self, evaluated: int) -> float | None:
        """Return the points a second since the first piece, which may have been found rather than computed."""
        (began, before), (now, done) = self._marks[0], self._marks[-1]
        computed = min(done, evaluated) - before
        return computed / (now - began) if computed > 0 and now > began else None

    def told(self, surface: Surface) -> dict[str, Any]:
        """Return what the computation took."""
        speed = self.speed(int(surface.evaluated.sum())) if self._marks else None
        return {
            "computed_now": bool(self._marks),
            "seconds": round(time.monotonic() - self._began, 3),
            "points_per_second": speed,
        }


def _computed(
    run: str,
    where: str | None,
    folder: Path,
    options: dict[str, Any],
    clock: _Clock,
    crew: Crew,
) -> Surface:
    """Compute the surface of a lesson, or of a trace whose model and data are given; the other ranks help rank 0."""
    from explainer.sampler import loss_surface

    traces = _traces(run, clock.advance)
    first = next(iter(traces.values()))
    if where is not None:
        problem, module = problem_from(where)
    else:
        from explainer.lessons.surfaces import problem_of

        problem, module = problem_of(first), None
    if crew.rank:  # rank 0 says what is computed, and keeps it
        return loss_surface(*problem, progress=False)
    clock.begin()
    with crew.executor(module) as executor:
        chosen = {**options, "folder": folder, "executor": executor, "progress": clock}
        if where is not None:
            return loss_surface(*problem, trace=traces if len(traces) > 1 else first, **chosen)
        from explainer.lessons.surfaces import lesson_surface

        surface = lesson_surface(traces if len(traces) > 1 else first, again=True, **chosen)
        return _saved(surface, folder)


def _saved(surface: Surface, folder: Path) -> Surface:
    """Write down what a lesson says of its surface, beside what `loss_surface` saved there."""
    from explainer.surface import open_surface

    if open_surface(folder).notes != surface.notes:
        surface.save(folder)
    return surface


def _traces(run: str, advance: Advance) -> dict[str, Trace]:
    """Open a trace, or the runs of a lesson, which are recorded if they have not been yet."""
    from explainer import lessons

    if Path(run).exists() or run not in lessons.LESSONS or not lessons.LESSONS[run].runs:
        return {"walk": trace_of(run, advance)}
    what = f"lesson {run}"
    return lessons.record_runs(run, progress=lambda done, total: advance(what, done / total, f"step {done:,}"))
