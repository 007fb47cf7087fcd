"""Names under an axis, and the line that says which step a figure shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes

from explainer.plots.glyphs import width, written
from explainer.plots.style import TICK, number, points
from explainer.theme import Theme

if TYPE_CHECKING:
    from explainer.trace import Trace

_NAMES = 32  # layers up to which each has its name under it
_LONGEST = 22  # letters of a layer's name


def name_layers(ax: Axes, layers: Sequence[str], theme: Theme, kinds: Sequence[str] | None = None) -> None:
    """Write layers' names under the places 0, 1, …; of very many only each k-th, which is said.

    Args:
        kinds: Their types, written below the names where there is room.
    """
    every = math.ceil(len(layers) / _NAMES)
    places = range(0, len(layers), every)
    names = [short(layers[place]) for place in places]
    room = ax.get_window_extent().width * 72 / ax.figure.dpi / len(layers)  # points for each
    upright = max(map(width, names)) * 0.62 * points(TICK) < 0.92 * room
    if upright and kinds and max(map(len, kinds)) * 0.6 * points(TICK) < 0.98 * room:
        names = [f"{name}\n{kind}" for name, kind in zip(names, kinds, strict=True)]
    tilt: dict[str, Any] = {} if upright else {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
    ax.set_xticks(list(places), names, color=theme.text, fontsize=points(TICK if upright else 0.9), **tilt)
    ax.tick_params(axis="x", length=0)
    if every > 1:
        ax.set_xlabel(f"{ax.get_xlabel()}; one in {every} is named")


def short(name: str, longest: int = _LONGEST) -> str:
    """Return a layer's name as text for matplotlib, cut by `cut` where it is long."""
    return plain(cut(name, longest))


def cut(name: str, longest: int = _LONGEST) -> str:
    """Return a name whose beginning gives way to "…" where it is long: what tells layers apart is the end.

    Of two names, "0 … 8.weight", both keep their ends.
    """
    name = written(name)
    if width(name) <= longest:
        return name
    first, between, last = name.partition(" … ")
    if between:
        return f"{cut(first, longest - 3 - min(width(last), longest // 2))} … {cut(last, longest // 2)}"
    kept = name
    while width(kept) > longest - 1:
        kept = kept[1:]
    return f"…{kept}"


def plain(name: str) -> str:
    """Return a name such that a "$" in it is a "$": between two, matplotlib would set mathematics."""
    return written(name).replace("$", r"\$")


def moment(trace: Trace, index: int) -> str:
    """Say which step is shown, of which that were recorded, and its loss."""
    said = f"step {trace.steps[index]}"
    if len(trace) > 1:
        said += f" (recorded: {trace.steps[0]} to {trace.steps[-1]})"
    loss = trace.scalars.get("loss")
    return said if loss is None or loss[index] != loss[index] else f"{said}  ·  loss {number(float(loss[index]))}"
