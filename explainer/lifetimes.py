"""Which share of each layer's units is dead as a run goes on: the definition of `units.py`, stretch by stretch.

Several steps that follow each other are one stretch: a unit is dead in it that is so in each of its steps, which is
surer than one step's few kept examples.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from explainer.choosing import chosen
from explainer.errors import TraceError
from explainer.saturation import is_activation_function, kind_of, layer_of
from explainer.thinning import bins
from explainer.units import dead_units, unit_axis

if TYPE_CHECKING:
    from explainer.trace import Trace

Floats = npt.NDArray[np.float64]

_MOST = 40  # stretches
_READS = 4000  # tensors read for all layers together
_ELEMENTS = 60_000_000  # of them
_EACH = 8  # steps of a stretch that are looked at, at most
_BY_CHANCE = ("Dropout", "DropPath", "StochasticDepth")  # in the names of classes whose zeros say nothing of a unit


@dataclass(frozen=True)
class Lifetimes:
    """How many of a layer's units are dead, stretch by stretch.

    Attributes:
        units: How many units the layer has.
        dead: (stretch,) units with one value for every example looked at; NaN where nothing can be said.
        zero: (stretch,) those of them whose value is 0.
        fewest: The smallest number of examples that a stretch was judged by; 0 where none was.
        missing: Why nothing can be said; empty where something can.
    """

    layer: str
    units: int
    dead: Floats
    zero: Floats
    fewest: int = 0
    missing: str = ""

    @property
    def share(self) -> Floats:
        """(stretch,) of the units that are dead."""
        return self.dead / self.units if self.units else np.full(len(self.dead), np.nan)


def stretches(trace: Trace) -> list[slice]:
    """Return which recorded steps are judged together: one alone in a short run, several in a long one."""
    count = len(trace)
    return bins(count, min(_MOST, max(min(count, 12), count // 4)))


def lifetimes(trace: Trace, layers: str | Iterable[str] | None = None) -> list[Lifetimes]:
    """Return for each layer how many of its units are dead in each stretch of `stretches(trace)`.

    The examples looked at are those that were kept of each batch; where activations were not kept, the probe's.

    Args:
        layers: Names or globs. When omitted the activation functions, or without any all that have units, but for
            those that drop units by chance.

    Raises:
        UnknownName: A name or glob fits no layer.
        TraceError: Neither activations nor a probe's were kept, or no layer has units.
    """
    if not len(trace):
        raise TraceError(f"the trace holds no step: {trace.missing.get('loss', 'nothing was recorded')}")
    of_probe = not len(trace.activations)
    seen = trace.probe.activations if of_probe and trace.probe else trace.activations
    if not len(seen):
        raise TraceError(
            "the trace keeps no activations, and statistics tell no unit from another: record with "
            'keep=("activations", …), or without keep='
        )
    names = list(chosen(layers, trace.layers)) if layers is not None else _with_units(trace, seen)
    if not names:
        raise TraceError("no layer has units that could be dead: name layers with layers=")
    steps = _looked_at(trace, names, seen)
    judge = _judge_probe if of_probe else _judge_kept
    return [judge(trace, layer, steps) for layer in names]


def _with_units(trace: Trace, seen: Any) -> list[str]:
    """Return the layers that are looked at without a choice."""
    found = [name for name in trace.layers if name in seen and len(_shape(trace, seen, name)) > 1]
    found = [name for name in found if name in _first_outputs(trace)]
    found = [name for name in found if not any(word in kind_of(trace, name) for word in _BY_CHANCE)]
    return [name for name in found if is_activation_function(trace, name)] or found


def _first_outputs(trace: Trace) -> set[str]:
    """Return of each call its first output: a recurrent layer's further ones, its states, have units elsewhere."""
    firsts: dict[str, str] = {}
    for name in trace.layers:
        firsts.setdefault(name.partition("[")[0], name)
    return set(firsts.values())


def _shape(trace: Trace, seen: Any, layer: str) -> tuple[int, ...]:
    """Return the shape of what was kept of a layer in the first step that has it, or else of its first output."""
    try:
        shape: tuple[int, ...] = seen[layer].shape_at([0])
    except TraceError:
        found = layer_of(trace, layer)
        return (found.output_shape if found else None) or ()
    return shape


def _looked_at(trace: Trace, names: Sequence[str], seen: Any) -> list[list[int]]:
    """Return at which recorded steps each stretch is judged: all of them, or a few of a long one, evenly spread."""
    parts = stretches(trace)
    size = sum(math.prod(_shape(trace, seen, name)) for name in names if name in seen)
    reads = min(_READS / len(names), _ELEMENTS / max(size, 1)) / len(parts)
    each = int(np.clip(reads, 1, _EACH))
    return [
        sorted({int(place) for place in np.linspace(part.start, part.stop - 1, min(each, part.stop - part.start))})
        for part in parts
    ]


def _judge_kept(trace: Trace, layer: str, steps: list[list[int]]) -> Lifetimes:
    if layer not in trace.activations:
        return _nothing(layer, len(steps), trace.missing.get(layer, "its activation was not kept"))
    statistics: dict[str, Any] = trace.statistics["activations"][layer]
    nonfinite = np.asarray(statistics["nonfinite"])
    dead, zero = np.full((2, len(steps)), np.nan)
    units, fewest, why = 0, [], ""
    for place, indices in enumerate(steps):
        finite = [index for index in indices if nonfinite[index] == 0]
        if not finite:
            why = why or "values that are infinite or NaN, or it was not called"
            continue
        try:
            found = dead_units(trace, layer, finite, statistics=statistics)
        except TraceError as error:
            why = why or str(error)
            continue
        units = max(units, found.count)
        dead[place], zero[place] = len(found.dead), sum(not value for value in found.dead.values())
        fewest.append(found.examples)
    return Lifetimes(layer, units, dead, zero, min(fewest, default=0), "" if fewest else why)


def _judge_probe(trace: Trace, layer: str, steps: list[list[int]]) -> Lifetimes:
    seen = trace.probe.activations if trace.probe else {}
    if layer not in seen:
        return _nothing(layer, len(steps), trace.missing.get(layer, "the probe did not reach it"))
    shape = _shape(trace, seen, layer)
    if len(shape) < 2 or shape[0] < 2:
        return _nothing(layer, len(steps), "it has no units, or the probe is one example")
    axis = unit_axis(trace, layer, len(shape))
    dead, zero = np.full((2, len(steps)), np.nan)
    for place, indices in enumerate(steps):
        values = [np.moveaxis(np.asarray(seen[layer][i], np.float64), axis, -1) for i in indices]
        rows = [each.reshape(-1, each.shape[-1]) for each in values if np.isfinite(each).all()]
        if rows:
            constant = np.all([each.min(axis=0) == each.max(axis=0) for each in rows], axis=0)
            dead[place], zero[place] = constant.sum(), (constant & (rows[-1][0] == 0)).sum()
    why = "" if np.isfinite(dead).any() else "values that are infinite or NaN"
    return Lifetimes(layer, shape[axis], dead, zero, shape[0] if not why else 0, why)


def _nothing(layer: str, count: int, why: str) -> Lifetimes:
    nothing = np.full(count, np.nan)
    return Lifetimes(layer, 0, nothing, nothing, missing=why)
