"""`explainer plot --follow`: a figure that is drawn again whenever its run has gone on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explainer.cli import speech
from explainer.errors import ExplainerError, TraceError

if TYPE_CHECKING:
    from explainer.plots import Figure
    from explainer.trace import Trace

_EVERY = 1.0  # seconds between two looks at the folder


def follow_run(
    figure: Figure, names: tuple[str, ...], outputs: tuple[Path, ...], advance: speech.Advance, **look: Any
) -> None:
    """Draw a figure of runs that go on, into files until they are finished, or into a window until it is closed.

    Raises:
        ExplainerError: The figure is of something that does not go on, a folder holds no trace, or there is no window.
    """
    if figure.of not in ("trace", "runs", "traces"):
        raise ExplainerError(f"--follow is for figures of a trace, and {figure.name} is drawn of a {figure.of}")
    show, wait = _into_files(figure, outputs, look) if outputs else _into_a_window(figure, look)
    try:
        _follow(figure, names, outputs, advance, show, wait)
        while not outputs:  # the run is finished, and its last picture stays
            wait(_EVERY)
    except _WindowClosed:
        return


class _WindowClosed(Exception):
    """Who looked has seen enough."""


def _follow(
    figure: Figure,
    names: tuple[str, ...],
    outputs: tuple[Path, ...],
    advance: speech.Advance,
    show: Callable[[Any], None],
    wait: Callable[[float], None],
) -> None:
    drawn = 0
    for traces in _growing(names, advance, wait):
        subject = traces if len(traces) > 1 or figure.of == "traces" else next(iter(traces.values()))
        try:
            show(subject)
        except TraceError as error:
            advance(figure.name, 0.0, f"nothing to draw yet: {error}")
            continue
        drawn += 1
        if outputs and drawn == 1:
            for path in outputs:
                speech.say(str(path))
    if not drawn:
        raise ExplainerError(f"the run has ended, and {figure.name} had nothing to draw of it")


def _growing(
    names: tuple[str, ...], advance: speech.Advance, wait: Callable[[float], None]
) -> Iterator[dict[str, Trace]]:
    """Give the traces whenever one has new steps, until all are finished."""
    traces = {name: _opened(name, advance, wait) for name in names}
    seen = -1
    while True:
        finished = all(trace.finished for trace in traces.values())
        steps = sum(map(len, traces.values()))
        if steps != seen and steps:
            seen = steps
            last = max(int(trace.steps[-1]) for trace in traces.values() if len(trace))
            advance("following", 0.0, f"step {last:,}")
            yield traces
        if finished:
            advance("following", 1.0, "the run is finished")
            return
        wait(_EVERY)
        for trace in traces.values():
            trace.refresh()


def _opened(name: str, advance: speech.Advance, wait: Callable[[float], None]) -> Trace:
    """Open a folder; one in which the run is about to begin is waited for.

    Raises:
        TraceError: It is no folder in which a run could begin.
    """
    from explainer.lessons import LESSONS
    from explainer.trace import open_trace

    if name.partition("/")[0] in LESSONS and not Path(name).exists():
        raise TraceError(f"--follow watches the folder of a run that goes on, and {name} is a lesson: record it into "
                         f"one, and follow that: explainer record {name} -o runs/mine")  # fmt: skip
    while not (Path(name) / "trace.json").exists() and not (Path(name) / "rank0").exists():
        if not Path(name).absolute().parent.is_dir():
            raise TraceError(f"{name}: its folder {Path(name).absolute().parent} is not there: is the name right?")
        advance("following", 0.0, f"waiting for {name} to begin")
        wait(_EVERY)
    return open_trace(name)


def _into_files(
    figure: Figure, outputs: tuple[Path, ...], look: dict[str, Any]
) -> tuple[Callable[[Any], None], Callable[[float], None]]:
    from explainer.cli.plot import draw

    def show(subject: Any) -> None:
        draw(figure, subject, outputs, **look)

    return show, time.sleep


def _into_a_window(
    figure: Figure, look: dict[str, Any]
) -> tuple[Callable[[Any], None], Callable[[float], None]]:
    """Open a window, and give what draws into it and what waits while it stays alive.

    Raises:
        ExplainerError: No window can be opened here.
    """
    import matplotlib as mpl
    import matplotlib.pyplot as plt
    from matplotlib.backends.registry import BackendFilter, backend_registry

    from explainer.plots.style import STYLES, layout

    windows = backend_registry.list_builtin(BackendFilter.INTERACTIVE)
    if mpl.get_backend().lower() not in map(str.lower, windows):
        raise ExplainerError(
            f"no window can be opened here (matplotlib draws by {mpl.get_backend()}): name a file that is drawn again, "
            f"such as -o {figure.name.replace('_', '-')}.png"
        )
    look = {name: value for name, value in look.items() if name != "dpi"}
    size = STYLES[look["style"]]
    window = plt.figure(figsize=(size.width, size.height), layout=layout())

    def show(subject: Any) -> None:
        window.clear()
        figure.draw(subject, ax=window.add_subplot(), **look)

    def wait(seconds: float) -> None:
        if not plt.fignum_exists(window.number):
            raise _WindowClosed
        plt.pause(seconds)

    return show, wait
