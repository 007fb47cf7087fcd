"""What is said of a surface in words: the names of its axes, and how far the picture can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from explainer.errors import TraceError, is_one_of
from explainer.plots.style import number
from explainer.surface import Sampled, Surface, Walk

if TYPE_CHECKING:
    from explainer.surface import Weights

TRUE, RECORDED = "true", "recorded"
BETWEEN = "line"  # what a slice between two models is called

_NAMES = {
    "pca": ("1st principal direction", "2nd principal direction"),
    "random": ("1st random direction", "2nd random direction"),
    "ends": ("from the last weights to the first", "main direction beside it"),
    "hessian": ("sharpest direction", "2nd sharpest direction"),
}
_LINES = {
    "gradient": "along the gradient",
    "recorded gradient": "along the recorded gradient",
    "update": "along the step's update",
    "random": "along a random direction",
    BETWEEN: "from one model to the other",
}
_UNITS = {"random": "in filter norms", "update": "in updates", BETWEEN: "as a share of the way"}
_NORMS = {
    "as is": "running statistics as they are",
    "re-estimated": "statistics re-estimated at every point",
    "of each batch": "each batch's own statistics",
}
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
    """Return what stands at each axis: the direction, and in brackets the unit that its numbers count in."""
    weights = sampled.notes.get("axes")  # where the axes are two weights themselves
    if isinstance(weights, list) and len(weights) == len(sampled.directions):
        return [str(weight) for weight in weights]
    return [_axis_name(sampled, place) for place in range(len(sampled.directions))]


def _axis_name(sampled: Sampled, place: int) -> str:
    weight = one_weight(sampled.directions[place])
    if weight is not None and weight[2] == 1:
        name, index, _ = weight
        center = np.asarray(sampled.center[name])
        called = name + (f"[{', '.join(map(str, index))}]" if center.size > 1 else "")
        at = float(center[index])
        return called if at == 0 else f"{called} − {number(at)}".replace("− −", "+ ")
    if len(sampled.directions) == 1:
        return f"t, {_LINES.get(sampled.plane, 'along the given direction')}  ({unit(sampled, place)})"
    names = _NAMES.get(sampled.plane, ("1st given direction", "2nd given direction"))
    called = "a random direction beside it" if place and "second direction" in sampled.notes else names[place]
    return f"{called}  ({unit(sampled, place)})"


def unit(sampled: Sampled, place: int) -> str:
    """Return the unit in which one axis counts."""
    if sampled.plane in _UNITS:
        return _UNITS[sampled.plane]
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
    if not is_one_of(which, LOSSES):
        raise TraceError(f"a walk has no {which!r} losses; take losses='true' or 'recorded'")
    return walk.true_losses if which == TRUE else walk.losses


def remarks(sampled: Sampled, losses: str) -> list[str]:
    """Say how much of the walks the picture holds, what the loss is of, and what was not evaluated."""
    walks = sampled.walks
    said = []
    if walks:
        said = [captured(sampled), largest_gap(walks), *_beyond(sampled, losses), f"dots: {LOSSES[losses]}"]
    said.append(f"loss of {sampled.data}" if sampled.data else "")
    if sampled.batch_norm != "none":
        said.append(f"BatchNorm: {_NORMS.get(sampled.batch_norm, sampled.batch_norm)}")
    if sampled.notes.get("mode") == "train":
        said.append("the model in train mode")
    if isinstance(sampled, Surface) and sampled.tolerance is not None:
        share = percent(1 - float(np.mean(sampled.evaluated)))
        said.append(f"{share} of the points interpolated, checked: worst error {percent(sampled.worst)}")
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
        with np.errstate(invalid="ignore"):  # of two infinite losses
            known = np.isfinite(walk.gap)
            gap = np.where(known, walk.gap, 0.0)
        if not known.any():
            continue
        index = int(np.argmax(np.abs(gap)))
        if found is None or abs(gap[index]) > abs(found[0]):
            found = float(gap[index]), int(walk.steps[index]), name
    if found is None:
        return ""
    most, step, name = found
    if most == 0:
        return "the drawn loss is the true one at every step"
    where = f"step {step}" + (f" of {name}" if len(walks) > 1 else "")
    return f"largest gap, drawn − true loss: {'+' if most > 0 else ''}{number(most, 2)} at {where}"


def _beyond(sampled: Sampled, losses: str) -> list[str]:
    """Say how many steps lie outside the picture, and how many have no place at all."""
    outside = lost = blind = total = 0
    for walk in sampled.walks.values():
        placed = np.isfinite(walk.path).all(axis=1)
        outside += int(np.count_nonzero(placed & ~inside(sampled, walk)))
        lost += int(np.count_nonzero(~placed))
        blind += int(np.count_nonzero(placed & ~np.isfinite(losses_of(walk, losses))))
        total += len(walk)
    counts = {
        "lie outside the map" if len(sampled.directions) == 2 else "lie beyond the ends": outside,
        "have weights that are not finite": lost,
        "have a loss that is not finite (×)": blind,
    }
    return [f"{count} of {total} steps {what}" for what, count in counts.items() if count]


def inside(sampled: Sampled, walk: Walk) -> NDArray[np.bool_]:
    """Return for each step whether its shadow lies on the grid, (S,)."""
    axes = [getattr(sampled, name) for name in (("u", "v") if isinstance(sampled, Surface) else ("t",))]
    within = [(along >= axis[0]) & (along <= axis[-1]) for along, axis in zip(walk.path.T, axes, strict=True)]
    found: NDArray[np.bool_] = np.logical_and.reduce(within)
    return found


def told(surface: Surface, own: Mapping[str, NDArray[np.float64]], drawn: str) -> list[str]:
    """Say a surface in sentences for who cannot see it: what is drawn, its range, and each walk's first and last loss.

    Args:
        own: By the walks' names the losses that are drawn, (S,).
        drawn: What the figure is, such as "A map of bands and contours of the loss".
    """
    across, up = axis_names(surface)
    said = [f"{drawn} over {across} and {up}; {_range(surface.losses)}."]
    for name, losses in own.items():
        known = losses[np.isfinite(losses)]
        if known.size:
            who = f"The walk {name}" if len(own) > 1 else "The walk"
            said.append(f"{who} of {len(losses)} steps goes from {number(known[0])} to {number(known[-1])}.")
    return said


def _range(losses: NDArray[np.float64]) -> str:
    known = losses[np.isfinite(losses)]
    if not known.size:
        return "no loss on it is a finite number"
    lost = losses.size - known.size
    return f"the loss lies between {number(known.min())} and {number(known.max())}" + (
        f", and is no finite number at {lost} of {losses.size} points" if lost else ""
    )
