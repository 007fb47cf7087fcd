"""What is said of a surface in words: the names of its axes, and how far the picture can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from explainer.errors import TraceError
from explainer.plots.style import number
from explainer.surface import Sampled, Surface, Walk

if TYPE_CHECKING:
    from explainer.surface import Weights

_NAMES = {
    "pca": ("1st principal direction", "2nd principal direction"),
    "random": ("1st random direction", "2nd random direction"),
    "ends": ("from the first weights to the last", "main direction beside it"),
    "hessian": ("sharpest direction", "second sharpest direction"),
    "given": ("1st direction", "2nd direction"),
}
TRUE, RECORDED = "true", "recorded"
LOSSES = {TRUE: "true loss at the recorded weights", RECORDED: "loss as recorded, each of its own batch"}


def check(surface: Any, kind: type, getting: str) -> None:
    """Refuse what is not the thing that a figure draws.

    Raises:
        TraceError: It is something else; the message shows how to get the right thing.
    """
    if isinstance(surface, kind):
        return
    given = type(surface).__name__
    raise TraceError(f"this figure draws a {kind.__name__}, not a {given}. Get one: {getting}")


def axis_names(sampled: Sampled) -> list[str]:
    """Return what stands at each axis: the direction, and the unit that its numbers count in."""
    return [_axis_name(sampled, place) for place in range(len(sampled.directions))]


def _axis_name(sampled: Sampled, place: int) -> str:
    direction = sampled.directions[place]
    weight = one_weight(direction)
    if weight is not None:
        name, index, step = weight
        shape = np.shape(direction[name])
        called = name + (f"[{', '.join(map(str, index))}]" if np.prod(shape, dtype=int) > 1 else "")
        at = float(np.asarray(sampled.center[name])[index])
        if step == 1:
            return called if at == 0 else f"{called}, from {number(at)}"
    names = _NAMES.get(sampled.plane, _NAMES["given"])
    return f"{names[place]}  ({unit(sampled, place)})"


def unit(sampled: Sampled, place: int) -> str:
    """Return the unit in which one axis counts."""
    if sampled.plane == "random":
        return "in filter norms"
    parts = (np.linalg.norm(np.ravel(np.asarray(part, np.float64))) for part in sampled.directions[place].values())
    length = float(np.linalg.norm(list(parts)))
    return "distance in weights" if abs(length - 1) < 1e-3 else f"in steps of length {number(length)}"


def one_weight(direction: Weights) -> tuple[str, tuple[int, ...], float] | None:
    """Return the name, index and component of the only weight that a direction moves; None where it moves several."""
    moved = [(name, part) for name, part in direction.items() if np.any(part)]
    if len(moved) != 1:
        return None
    name, part = moved[0]
    places = np.argwhere(np.asarray(part))
    if len(places) != 1:
        return None
    index = tuple(map(int, places[0]))
    return name, index, float(np.asarray(part)[index])


def losses_of(walk: Walk, which: str) -> NDArray[np.float64]:
    """Return a walk's own losses, (S,): the true ones or those recorded.

    Raises:
        TraceError: There are no such losses.
    """
    if which not in LOSSES:
        raise TraceError(f"a walk has no {which!r} losses; take losses='true' or 'recorded'")
    return walk.true_losses if which == TRUE else walk.losses


def remarks(sampled: Sampled, losses: str) -> list[str]:
    """Say how much of the walks the picture holds, what the loss is of, and what was not evaluated."""
    walks = sampled.walks
    said = []
    if walks:
        said = [captured(sampled), largest_gap(walks), *_beyond(sampled), f"dots: {LOSSES[losses]}"]
    said += [f"loss of {sampled.data}" if sampled.data else "", _batch_norm(sampled)]
    if isinstance(sampled, Surface):
        said += [_interpolated(sampled)]
    return [each for each in said if each]


def captured(sampled: Sampled) -> str:
    """Say which share of the walks' distance from the centre lies in the plane, or on the line."""
    shares = [walk.captured for walk in sampled.walks.values() if np.isfinite(walk.captured)]
    if not shares:
        return "the walk does not move"
    low, high = percent(min(shares)), percent(max(shares))
    share = low if low == high else f"{low} to {high}"
    where = "plane" if len(sampled.directions) == 2 else "line"
    return f"the {where} holds {share} of the walk{'s' * (len(shares) > 1)}"


def percent(share: float) -> str:
    """Write a share with the digits that count, and never as all or nothing where it is not."""
    hundredths = 100 * share
    if 99.95 <= hundredths < 100:
        return ">99.9%"
    if 0 < hundredths < 0.001:
        return "<0.001%"
    digits = 0 if hundredths in (0, 100) else 1 if hundredths >= 1 else 3
    return f"{hundredths:.{digits}f}%"


def largest_gap(walks: Mapping[str, Walk]) -> str:
    """Say where the plane is furthest from the true loss, and by how much."""
    found: tuple[float, int, str] | None = None
    for name, walk in walks.items():
        gap = np.where(np.isfinite(walk.gap), walk.gap, 0.0)
        index = int(np.argmax(np.abs(gap)))
        if np.isfinite(walk.gap).any() and (found is None or abs(gap[index]) > abs(found[0])):
            found = float(gap[index]), int(walk.steps[index]), name
    if found is None:
        return ""
    gap, step, name = found
    where = f"step {step}" + (f" of {name}" if len(walks) > 1 else "")
    return f"largest gap, drawn − true loss: {'+' if gap > 0 else ''}{number(gap, 2)} at {where}"


def _beyond(sampled: Sampled) -> list[str]:
    """Say how many steps lie outside the picture, and how many have no place at all."""
    outside = lost = total = 0
    for walk in sampled.walks.values():
        placed = np.isfinite(walk.path).all(axis=1)
        outside += int(np.count_nonzero(placed & ~inside(sampled, walk)))
        lost += int(np.count_nonzero(~placed))
        total += len(walk)
    said = [f"{outside} of {total} steps lie outside the map"] if outside else []
    return said + ([f"{lost} of {total} steps have weights that are not finite"] if lost else [])


def inside(sampled: Sampled, walk: Walk) -> NDArray[np.bool_]:
    """Return for each step whether its shadow lies on the grid, (S,)."""
    axes = [getattr(sampled, name) for name in (("u", "v") if isinstance(sampled, Surface) else ("t",))]
    within = [(along >= axis[0]) & (along <= axis[-1]) for along, axis in zip(walk.path.T, axes, strict=True)]
    found: NDArray[np.bool_] = np.logical_and.reduce(within)
    return found


def _batch_norm(sampled: Sampled) -> str:
    treated = {"as is": "running averages as they are", "re-estimated": "running averages re-estimated at every point"}
    return f"BatchNorm: {treated.get(sampled.batch_norm, sampled.batch_norm)}" * (sampled.batch_norm != "none")


def _interpolated(surface: Surface) -> str:
    if surface.tolerance is None:
        return ""
    share = 1 - float(np.mean(surface.evaluated))
    return f"{percent(share)} of the points interpolated, checked: worst error {percent(surface.worst)}"
