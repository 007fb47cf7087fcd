"""Do all units do something?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from explainer.testing.choice import (
    Layers,
    Steps,
    choose_calls,
    choose_steps,
    reshapes_the_input,
    type_of,
)
from explainer.testing.complaint import complaint, number

if TYPE_CHECKING:
    from explainer.trace import Trace
    from explainer.units import Units


_BY_CHANCE = ("Dropout", "DropPath", "StochasticDepth")  # in the names of classes whose zeros say nothing of a unit


def assert_no_dead_units(
    trace: Trace, *, layers: Layers = None, steps: Steps = None, maximum: float = 0.0, axis: int | None = None
) -> None:
    """Assert that no unit, channel or feature is zero, or any other constant, for every example of the chosen steps.

    A unit is judged by the examples that were kept (`record(…, examples=8)`; None keeps all). One that moves in any of
    them is certainly alive. One that does not may still answer to an example that was not kept: the message says how
    many were. Where the statistics, which are over whole batches, rule out that a unit is zero, it passes.

    Args:
        layers: Names or globs. All when omitted, but for those with nothing trainable in them or before them, those
            that drop units by chance, and further outputs of a layer (`name[1]`).
        steps: Recorded step numbers, negative ones counted from the last; all when omitted.
        maximum: The share of a layer's units that may be dead, from 0 to 1.
        axis: The axis of the activation along which units lie, where its layer's class does not tell: after examples,
            but the last one after Linear, LayerNorm, Embedding and recurrent layers.

    Raises:
        AssertionError: Units are dead; the first such layer in forward order is named. Or nothing can be said: the
            activations were not kept, or only one example.
        UnknownName: A name or glob fits no layer; the nearest are named.
        TraceError: A step was not recorded.
    """
    __tracebackhide__ = True
    indices = choose_steps(trace, steps)
    chosen = _choose_outputs(trace, layers)
    found = _look(trace, chosen, indices, axis)
    bad = [name for name, units in found.items() if len(units.dead) > maximum * units.count]
    if bad:
        raise AssertionError(_tell(trace, found, bad, indices, maximum))


def _choose_outputs(trace: Trace, layers: Layers) -> list[str]:
    """Return the outputs to look at: without a choice those of which a dead unit can be told."""
    __tracebackhide__ = True
    calls = choose_calls(trace, layers)
    if not len(trace.activations):
        raise AssertionError("the trace keeps no activations, and statistics tell no unit from another: "
                             'record with keep=("activations", …)')  # fmt: skip
    chosen = [output for call, outputs in calls.items() for output in (outputs if layers is not None else outputs[:1])
              if layers is not None or _is_of_units(trace, call, outputs)]  # fmt: skip
    for call, outputs in calls.items():
        if layers is not None and not outputs:
            raise AssertionError(f"layer {call!r}: {trace.missing.get(call, 'it was not called')}")
    for output in chosen:
        if output not in trace.activations:
            raise AssertionError(f"layer {output!r}: {trace.missing.get(output, 'its activation was not kept')}")
    if not chosen:
        raise AssertionError("no layer has units to look at, so that nothing can be asserted; name them with layers=")
    return chosen


def _is_of_units(trace: Trace, call: str, outputs: list[str]) -> bool:
    if not outputs or outputs[0] not in trace.activations or reshapes_the_input(trace, call):
        return False
    if any(word in type_of(trace, call) for word in _BY_CHANCE):
        return False
    return trace.activations[outputs[0]].ndim > 2  # (step, example, unit, …)


def _look(trace: Trace, outputs: list[str], indices: list[int], axis: int | None) -> dict[str, Units]:
    __tracebackhide__ = True
    from explainer.errors import TraceError
    from explainer.units import dead_units

    try:
        return {output: dead_units(trace, output, indices, axis) for output in outputs}
    except TraceError as error:
        raise AssertionError(str(error)) from None


# ── What is said ─────────────────────────────────────────────────────────────────────────────────────────────────


def _tell(trace: Trace, found: dict[str, Units], bad: list[str], indices: list[int], maximum: float) -> str:
    layer = bad[0]
    units = found[layer]
    numbers = trace.steps[indices]
    span = f"steps {numbers[0]} to {numbers[-1]} ({len(indices)} recorded)"
    when = span if len(indices) > 1 else f"step {numbers[0]}"
    allowed = math.floor(maximum * units.count)
    sentence = (
        f"layer {layer!r} ({type_of(trace, layer)}), {when}: {len(units.dead)} of {units.count} units are dead, wanted "
        f"at most {allowed}: {_which(units)}.\n{_ground(units)}"
    )
    rows = [(name, type_of(trace, name), f"{len(each.dead)} of {each.count} dead") for name, each in found.items()]
    zero = not any(units.dead.values())
    return complaint(sentence, _LOOK[zero], "dead units, in forward order:", rows, row=list(found).index(layer))


def _which(units: Units) -> str:
    """Name some dead units and what they say."""
    zero = [unit for unit, value in units.dead.items() if value == 0]
    stuck = [f"{unit} (always {number(value)})" for unit, value in units.dead.items() if value != 0]
    parts = [f"always zero: {_some(list(map(str, zero)))}"] * bool(zero) + [_some(stuck)] * bool(stuck)
    return "; ".join(parts)


def _some(names: list[str], shown: int = 8) -> str:
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")


def _ground(units: Units) -> str:
    """Say what the verdict stands on."""
    axis = f"Units lie along axis {units.axis} of {'×'.join(map(str, units.shape))}."
    if units.whole:
        return f"All {units.examples} examples were looked at. {axis}"
    of = "" if math.isnan(units.batch_examples) else f" of {int(units.batch_examples)}"
    zeros = sum(value == 0 for value in units.dead.values())
    bound = f", where at most {units.zero_at_most} can be zero throughout" if units.zero_at_most < zeros else ""
    return (
        f"Only the {units.examples}{of} examples that were kept were looked at{bound}: record with examples=None to be "
        f"sure. {axis}"
    )


_LOOK = {
    True: "the learning rate (one large update pushes a ReLU below zero for good), the bias and its initialisation, "
    "normalisation before the activation, or LeakyReLU or GELU",
    False: "activation functions that saturate (sigmoid, tanh) on inputs that are too large: initialisation, "
    "normalisation, learning rate; or dead units in the layer before",
}
