"""Surfaces that need no projection: lessons of one or two weights, walked by any optimizer of torch.

The axes are the weights themselves, so the walk lies in the picture whole: off_plane is 0, captured 1, and the path is
the recorded weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from explainer.errors import LessonError
from explainer.lessons.catalogue import LESSONS, find
from explainer.lessons.own_axes import axes_of, own_line, own_plane, said, shown
from explainer.lessons.walking import Optimizing, Problem, walk
from explainer.sampler import loss_slice, loss_surface
from explainer.surface import Slice, Surface
from explainer.trace import Trace


def teaching_surface(
    name: str,
    *,
    optimizer: Optimizing | None = None,
    start: Sequence[float] | None = None,
    steps: int = 50,
    resolution: int | tuple[int, int] = 51,
    **options: Any,
) -> Surface:
    """Walk down the loss of a lesson of two weights, and return its surface in those weights, with the walk.

    Args:
        name: "line", "ravine" or "two-weights".
        optimizer: Makes one of parameters: `lambda parameters: torch.optim.Adam(parameters, lr=0.1)`; plain gradient
            descent at the lesson's learning rate when omitted.
        start: Both weights; the lesson's when omitted.
        steps: How many; every one is recorded.
        options: What else `loss_surface` takes; without span the lesson's own view, and as far as the walk goes.

    Raises:
        LessonError: The lesson is not one of two weights, or `start` is not two numbers.
        SurfaceError: As `loss_surface`.
    """
    problem, trace = _walked(name, 2, optimizer, start, steps)
    chosen = {"span": shown(trace), "progress": False, **own_plane(trace), **options}
    found = loss_surface(*problem, trace=trace, resolution=resolution, **chosen)
    return replace(found, notes={**found.notes, **said(trace), "axes": axes_of(trace)})


def teaching_slice(
    name: str = "trough",
    *,
    optimizer: Optimizing | None = None,
    start: Sequence[float] | None = None,
    steps: int = 20,
    resolution: int = 101,
    **options: Any,
) -> Slice:
    """Walk down the loss of a lesson of one weight, and return it over that weight, with the walk.

    Args:
        name: "trough".
        optimizer: As for `teaching_surface`, and so are `steps` and `options`.
        start: The weight, as a sequence of one.

    Raises:
        LessonError: The lesson is not one of one weight, or `start` is not one number.
        SurfaceError: As `loss_slice`.
    """
    problem, trace = _walked(name, 1, optimizer, start, steps)
    chosen = {"span": shown(trace)[0], "slopes": True, **own_line(trace), **options}
    found = loss_slice(*problem, trace=trace, resolution=resolution, **chosen)
    return replace(found, notes={**found.notes, **said(trace), "axes": axes_of(trace)})


def _walked(
    name: str, count: int, optimizer: Optimizing | None, start: Sequence[float] | None, steps: int
) -> tuple[Problem, Trace]:
    from explainer.lessons import room

    lesson = find(name)
    if len(lesson.view) != count:
        fitting = [each.name for each in LESSONS.values() if len(each.view) == count]
        raise LessonError(f"lesson {name!r} is not one of {count} weights, which {' and '.join(fitting)} are")
    if start is not None and len(start) != count:
        raise LessonError(f"start={start!r}: lesson {name!r} has {count} weights, and as many numbers are wanted")
    settings = lesson.with_settings()
    problem: Problem = room(name).problem(**settings)
    for parameter, value in zip(problem[0].parameters(), start or (), strict=False):
        nn.init.constant_(parameter, value)

    def plain(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, lr=settings["learning_rate"])

    return problem, walk(problem, optimizer or plain, steps, notes={"lesson": name, "data": room(name).SAYS})
