"""By which share of itself each parameter moves in a step: ‖update‖ / ‖parameter‖, over whole tensors.

About 1e-3 is what people who train networks look for: much less is hardly learning, much more is thrashing about. It
is a rule of thumb and no law.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from explainer.errors import TraceError, is_one_of, unknown
from explainer.thinning import bins

if TYPE_CHECKING:
    from explainer.trace import Trace

Floats = npt.NDArray[np.float64]

GUIDE = 1e-3  # the rule of thumb
PER = ("layer", "parameter", "model")


@dataclass(frozen=True)
class Ratios:
    """How far parameters move in each step, as a share of their own size.

    Attributes:
        names: Of layers, of parameters, or of the model; in the model's order.
        values: (name, step); NaN where there was no update, and where the parameters' norm is 0 or no finite number.
        still: Names of what no step moved, such as frozen ones; they have no row.
    """

    names: tuple[str, ...]
    values: Floats
    still: tuple[str, ...] = field(default=())


def update_ratios(trace: Trace, per: str = "layer") -> Ratios:
    """Return ‖update‖ / ‖parameter‖ at every recorded step.

    What has several parameters, such as a layer's weight and bias, is taken as one long vector.

    Args:
        per: "layer", "parameter", or "model" for one row of all parameters.

    Raises:
        TraceError: There is no such choice, or no updates were recorded.
    """
    if not is_one_of(per, PER):
        raise TraceError(unknown("choice of what a ratio is of", per, PER))
    parameters: dict[str, Any] = trace.statistics.get("parameters", {})
    updates: dict[str, Any] = trace.statistics.get("updates", {})
    if not parameters or not updates:
        raise TraceError(
            f"the trace holds no {'updates' if parameters else 'parameters'}, so that nothing is known of their size: "
            "record a model that has some, with explainer.record(model, criterion=criterion, optimizer=optimizer)"
        )
    groups: dict[str, list[str]] = {}
    for name in parameters:
        groups.setdefault(_owner(trace, name, per), []).append(name)
    moved = {owner: [name for name in names if _moves(updates, name)] for owner, names in groups.items()}
    rows = [_ratio(parameters, updates, names) for names in moved.values() if names]
    return Ratios(
        tuple(owner for owner, names in moved.items() if names),
        np.array(rows, np.float64).reshape(len(rows), len(trace)),
        tuple(owner for owner, names in moved.items() if not names),
    )


def _moves(updates: dict[str, Any], name: str) -> bool:
    """Whether some step changed a parameter, be it to no finite number."""
    if name not in updates:
        return False
    columns = updates[name]
    return bool((np.nan_to_num(columns["norm"]) > 0).any() or (np.nan_to_num(columns["nonfinite"]) > 0).any())


def stretched(steps: npt.ArrayLike, values: Floats, most: int) -> tuple[Floats, Floats]:
    """Return at most so many stretches of a long run, with what is usual in each and how far it goes.

    Args:
        steps: (step,) and `values` (step,) of one row, of which those that are not above 0 do not count.

    Returns:
        (stretch,) the middle step of each, and (3, stretch) its lowest, its median and its highest ratio; NaN where a
        stretch has none.
    """
    places, found = [], []
    for part in bins(len(values), most):
        known = values[part][values[part] > 0]
        places.append(float(np.mean(np.asarray(steps)[part][[0, -1]])))
        found.append(np.quantile(known, (0, 0.5, 1)) if len(known) else np.full(3, np.nan))
    return np.array(places), np.array(found).reshape(-1, 3).T


def _owner(trace: Trace, parameter: str, per: str) -> str:
    if per == "model":
        return trace.model.type or "model"
    return parameter if per == "parameter" else parameter.rpartition(".")[0] or parameter


def _ratio(parameters: dict[str, Any], updates: dict[str, Any], names: list[str]) -> Floats:
    size = np.sqrt(sum(np.asarray(parameters[name]["norm"], np.float64) ** 2 for name in names))
    moved = np.sqrt(sum(np.asarray(updates[name]["norm"], np.float64) ** 2 for name in names))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = moved / size
    return np.where(np.isfinite(ratio) & np.isfinite(size), ratio, np.nan)
