"""The surface under a run's walk: its heights, the levels of its map, and what was recorded on the way."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from explainer.errors import TraceError
from explainer.page.arrays import limits
from explainer.theme import HEIGHTS

if TYPE_CHECKING:
    from explainer.page.arrays import Array
    from explainer.page.shown import Shown
    from explainer.surface import Surface
    from explainer.trace import Trace
    from explainer.walk import Walk

LEVELS = 12  # lines of equal loss
SPREAD = 20.0  # from so many times the lowest loss on, the scale is logarithmic


def relief(surface: Surface, runs: Mapping[str, Shown]) -> dict[str, Any]:
    """Return a surface with the walks of the runs that are on the page.

    A run's walk is the one of its name; a single run's is the first.

    Returns:
        `losses` (V, U), `u`, `v`, the `levels` of lines of equal loss, whether the scale is logarithmic, what the plane
        is, and per run its walk at the shown steps, NaN at steps that the surface does not know.
    """
    low, high = limits(surface.losses)
    log = low > 0 and high > SPREAD * low
    spaced = np.geomspace if log else np.linspace
    return {
        "losses": surface.losses, "u": surface.u, "v": surface.v, "low": low, "high": high, "log": log,
        "levels": spaced(low, high, LEVELS + 2)[1:-1] if high > low else np.empty(0),
        "plane": surface.plane, "axes": _axes(surface), "data": surface.data, "batch_norm": surface.batch_norm,
        "evaluated": int(surface.evaluated.sum()), "points": int(surface.evaluated.size), "worst": surface.worst,
        "walks": {name: _walk(walk, runs[name]) for name, walk in walks_of(surface, runs).items()},
        "heights": list(HEIGHTS),
    }  # fmt: skip


def _axes(surface: Surface) -> list[str] | None:
    """Return the names of the two weights that the axes are, where they are two weights themselves."""
    named = surface.notes.get("axes")
    return [str(each) for each in named] if isinstance(named, list) and len(named) == 2 else None


def check_walk(walk: Walk, trace: Trace, folder: str) -> None:
    """Refuse a surface whose walk is another run's: the recorded losses of the steps that both know must be the same.

    Raises:
        TraceError: They are not, or there is no such step.
    """
    _, here, there = np.intersect1d(trace.steps, walk.steps, return_indices=True)
    own = np.asarray(trace.scalars["loss"], np.float64)[here] if "loss" in trace.scalars else np.full(len(here), np.nan)
    known = np.isfinite(own) & np.isfinite(walk.losses[there])
    if not len(here) or not np.allclose(own[known], walk.losses[there][known], rtol=1e-6):
        raise TraceError(
            f"the walk on the surface of {folder} is another run's: its recorded losses are not this trace's. Make the "
            "surface of this run, explainer surface TRACE -o FOLDER"
        )


def walks_of(surface: Surface, runs: Collection[str]) -> dict[str, Walk]:
    """Return each run's walk on a surface, by the run's name; a single run's is the first where none is named so."""
    if len(runs) == 1 and surface.walks:
        return {name: surface.walks.get(name, surface.walk) for name in runs}
    return {name: surface.walks[name] for name in runs if name in surface.walks}


def _walk(walk: Walk, shown: Shown) -> dict[str, Any]:
    place = {int(step): index for index, step in enumerate(walk.steps)}
    found = np.array([place.get(int(step), -1) for step in shown.steps])

    def at(values: Array) -> Array:
        if not len(values):
            return np.full(len(found), np.nan)
        return np.where(found >= 0, values[found], np.nan)

    return {
        "u": at(walk.path[:, 0]),
        "v": at(walk.path[:, 1]),
        "loss": at(walk.true_losses),
        "plane": at(walk.plane_losses),
        "recorded": at(walk.losses),
        "gap": at(walk.gap),
        "off": at(walk.off_plane),
        "captured": walk.captured,
    }
