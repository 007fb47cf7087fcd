"""Which layers and which steps of a trace an assertion is about."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np

from explainer.errors import UnknownName, unknown

if TYPE_CHECKING:
    from explainer.trace import Trace

Layers = str | Iterable[str] | None
Steps = int | Iterable[int] | None


def choose_steps(trace: Trace, steps: Steps) -> list[int]:
    """Return where the chosen steps stand among the recorded, in their order.

    Args:
        steps: Recorded step numbers, negative ones counted from the last; all when None.

    Raises:
        AssertionError: No step was recorded, or none was chosen: an assertion must not pass on nothing.
        TraceError: A step was not recorded; the nearest that was is named.
    """
    __tracebackhide__ = True  # pytest then points at the test's own line
    if not len(trace):
        reason = trace.missing.get("loss", "nothing was recorded")
        raise AssertionError(f"the trace holds no step, so that nothing can be asserted: {reason}")
    if steps is None:
        return list(range(len(trace)))
    chosen = [steps] if isinstance(steps, (int, np.integer)) else list(steps)
    if not chosen:
        raise AssertionError("steps= chooses no step, so that nothing can be asserted")
    return sorted({trace.index_of(int(step)) for step in chosen})


def choose_calls(trace: Trace, layers: Layers) -> dict[str, list[str]]:
    """Return the chosen calls of layers in forward order, each with the names of its outputs.

    A layer that was never called stands at the end, with no outputs. A layer's name stands for all its calls and all
    their outputs, `name:1` for its second call, `name[1]` for one output.

    Args:
        layers: Names or globs ("layer1.*"); all when None.

    Raises:
        UnknownName: A name or glob fits no layer; the nearest are named.
        AssertionError: No layer was recorded or chosen.
    """
    __tracebackhide__ = True
    calls: dict[str, list[str]] = {}
    for output in trace.layers:
        calls.setdefault(call_of(output), []).append(output)
    for layer in trace.model.layers:
        calls.setdefault(layer, [])
    if layers is None:
        chosen = calls
    else:
        chosen = {}
        for pattern in (layers,) if isinstance(layers, str) else layers:
            for call, outputs in _fitting(calls, pattern).items():
                chosen[call] = list(dict.fromkeys([*chosen.get(call, []), *outputs]))
    if not chosen:
        raise AssertionError("no layer was recorded or chosen, so that nothing can be asserted")
    return {call: chosen[call] for call in calls if call in chosen}


def _fitting(calls: dict[str, list[str]], pattern: str) -> dict[str, list[str]]:
    for call, outputs in calls.items():
        if pattern in outputs and pattern != call:
            return {call: [pattern]}
    found = {
        call: outputs
        for call, outputs in calls.items()
        if pattern == call or fnmatchcase(call, pattern) or fnmatchcase(module_of(call), pattern)
    }
    if not found:
        inside = any(call.startswith(f"{pattern}.") for call in calls)
        hint = f"{pattern!r} contains layers: write '{pattern}.*'" if inside else unknown("layer", pattern, calls)
        raise UnknownName(f"layers: {hint}")
    return found


def call_of(output: str) -> str:
    """Return the call that an output is of: "lstm:1" for "lstm:1[1]"."""
    return re.sub(r"\[.*\]$", "", output)


def module_of(call: str) -> str:
    """Return the layer that a call is of: "lstm" for "lstm:1"."""
    return re.sub(r":\d+$", "", call)


def type_of(trace: Trace, name: str) -> str:
    """Return the class of the layer that a call or an output is of."""
    layer = trace.model.layers.get(module_of(call_of(name)))
    return layer.type if layer else ""


def reshapes_the_input(trace: Trace, call: str) -> bool:
    """Whether a layer was called with nothing trainable in it or before it, so that no gradient is due."""
    if call_of(call) not in map(call_of, trace.layers):
        return False
    gradients: dict[str, Any] = trace.statistics.get("gradients", {})
    seen: set[str] = set()
    ahead = [call]
    while ahead:
        here = call_of(ahead.pop())
        layer = trace.model.layers.get(here)
        if here in seen or layer is None:  # the model's own input is no layer
            continue
        seen.add(here)
        module = trace.model.layers.get(module_of(here), layer)
        if module.parameters or any(call_of(name) == here for name in gradients):
            return False
        ahead += layer.fed_by
    return True
