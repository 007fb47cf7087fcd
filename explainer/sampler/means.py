"""By what means the points of a surface are evaluated, as a user chose: where, kept in which folder, told to whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from explainer.sampler.evaluation import Evaluator
from explainer.sampler.fingerprint import fingerprint
from explainer.sampler.gathering import Floats, Here, Progress, Source
from explainer.sampler.jobs import pack
from explainer.sampler.planes import Plane
from explainer.sampler.problem import Problem, same_chance
from explainer.sampler.ranked import Ranks
from explainer.sampler.resuming import Unfinished, open_finished
from explainer.sampler.spreading import Spread
from explainer.sampler.telling import telling
from explainer.surface import Surface, Walk


@dataclass(frozen=True)
class Means:
    """By what means points are evaluated.

    Attributes:
        executor: Whose workers compute them; None: this process.
        folder: Where they are kept as they come, and where the finished surface is saved.
        progress: Whether to show it, or what is told of it.
        ranks: The processes that share the points under torchrun; None: this one is alone.
    """

    executor: Executor | None = None
    folder: str | Path | None = None
    progress: bool | Progress = True
    ranks: Ranks | None = None


class Gathered:
    """Evaluates points of a surface, wherever that is done; called with points (P, D), returns (P, 1 + metrics).

    Attributes:
        axes: The coordinates along u and v; those of the call that began, where this one goes on.
        finished: The surface, where the folder holds it already.
    """

    def __init__(self, source: Source, columns: int, axes: tuple[Floats, Floats], tell: Progress) -> None:
        self._source, self._columns, self._tell = source, columns, tell
        self._unfinished: Unfinished | None = None
        self._done = 0
        self.axes = axes
        self.finished: Surface | None = None

    def __call__(self, points: Floats) -> Floats:
        """Return what is measured at points (P, D), as (P, 1 + metrics)."""
        if self._unfinished is None:
            known, values = np.zeros(len(points), np.bool_), np.full((len(points), self._columns), np.nan)
        else:
            known, values = self._unfinished.find(points)
        self._count(int(known.sum()))
        wanted = np.flatnonzero(~known)
        for chosen, found in self._source(points[wanted]) if len(wanted) else ():
            values[wanted[chosen]] = found
            if self._unfinished is not None:
                self._unfinished.add(points[wanted[chosen]], found)
            self._count(len(chosen))
        return values

    def keep(self, surface: Surface) -> Surface:
        """Save the finished surface, if it has a folder; what was not evaluated was interpolated."""
        self._count(self._total - self._done)
        return surface if self._unfinished is None else self._unfinished.finish(surface)

    def go_on_from(self, unfinished: Unfinished) -> None:
        """Look points up in a folder, and keep there what is computed."""
        self._unfinished = unfinished
        u, v = np.split(np.array(unfinished.axes), [len(self.axes[0])])
        self.axes = (u, v)

    @property
    def _total(self) -> int:
        return len(self.axes[0]) * len(self.axes[1])

    def _count(self, points: int) -> None:
        if points > 0:
            self._done = min(self._total, self._done + points)
            self._tell(self._done, self._total)


@contextmanager
def gathering(
    problem: Problem,
    plane: Plane,
    axes: tuple[Floats, Floats],
    means: Means,
    *,
    walks: Mapping[str, Walk],
    tolerance: float | None,
    spanned: bool,
) -> Iterator[Gathered]:
    """Evaluate points of a plane by the means that a user chose.

    Yields:
        What evaluates them.

    Raises:
        SurfaceError: The folder holds another surface; the model cannot be sent to workers, or they are set up wrongly.
    """
    with ExitStack() as stack:
        here = Here(Evaluator(problem, plane.center, plane.directions))
        source: Source = here
        if means.executor is not None:
            stack.enter_context(same_chance())  # workers may be threads of this process
            source = spread = Spread(means.executor, pack(problem, plane.center, plane.directions), here)
            stack.callback(spread.close)
        elif means.ranks is not None:
            source = means.ranks.source(problem, plane)
        tell = stack.enter_context(telling(means.progress))
        gathered = Gathered(source, len(problem.names), axes, tell)
        if means.folder is not None:
            made_of = fingerprint(problem, plane, axes, walks, tolerance, spanned=spanned)
            gathered.finished = open_finished(Path(means.folder), made_of)
            if gathered.finished is None:
                unfinished = Unfinished(Path(means.folder), made_of, len(plane.directions), len(problem.names))
                stack.callback(unfinished.close)
                gathered.go_on_from(unfinished)
        yield gathered
