"""Does the loss reach every layer?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from explainer.testing.choice import (
    Layers,
    Steps,
    choose_calls,
    choose_steps,
    module_of,
    reshapes_the_input,
    type_of,
)
from explainer.testing.complaint import complaint, number

if TYPE_CHECKING:
    from explainer.trace import Trace

MINIMUM = 1e-8  # below this size Adam's epsilon swallows a gradient


def assert_gradients_flow(
    trace: Trace, *, minimum: float = MINIMUM, layers: Layers = None, steps: Steps = None
) -> None:
    """Assert that the gradient at every layer's output is there, finite, and of norm `minimum` at least.

    The norm is ‖∂loss/∂activation‖ over the whole batch; of a layer with several outputs, over all that got one. A
    layer that is never called, because its parameters are used by a function, is judged by their gradients.

    Args:
        minimum: The smallest norm that passes.
        layers: Names or globs. All when omitted, but for those to which no gradient is due: layers that pass their
            input on (the tensor is judged at the layer that made it), and layers with nothing trainable in them or
            before them.
        steps: Recorded step numbers, negative ones counted from the last; all when omitted.

    Raises:
        AssertionError: A gradient is missing, not finite or too small. Of the first such step, the layer nearest to the
            loss is named, which is where the backward pass met the trouble first.
        UnknownName: A name or glob fits no layer; the nearest are named.
        TraceError: A step was not recorded.
    """
    __tracebackhide__ = True
    indices = choose_steps(trace, steps)
    calls = choose_calls(trace, layers)
    if layers is None:
        calls = {call: outputs for call, outputs in calls.items() if _is_due(trace, call)} or calls
    for index in indices:
        found = [_arrived(trace, call, outputs, index) for call, outputs in calls.items()]
        if bad := [each for each in found if each.trouble(minimum)]:
            raise AssertionError(_tell(found, bad, int(trace.steps[index]), minimum))


@dataclass(frozen=True)
class Arrived:
    """The gradient that arrived at one call of a layer in one step.

    Attributes:
        norm: Over all outputs that got one; NaN where none did.
        missing: Why there is none; empty where there is one.
        note: What a reader should know of the number.
    """

    call: str
    type: str
    norm: float
    nonfinite: int = 0
    missing: str = ""
    note: str = ""

    def trouble(self, minimum: float) -> str:
        """Say in a word what is wrong; nothing where all is well."""
        if self.missing:
            return "missing"
        if self.nonfinite or not math.isfinite(self.norm):
            return "not finite"
        if self.norm < minimum:
            return "too small" if self.norm else "zero"
        return ""


def _is_due(trace: Trace, call: str) -> bool:
    """Whether a gradient should arrive at a layer of which nobody says so."""
    if call in trace.aliases or reshapes_the_input(trace, call):
        return False
    called = call in trace.layers
    return called or bool(trace.model.layers[call].parameters)  # a layer without either has nothing to learn


def _arrived(trace: Trace, call: str, outputs: Sequence[str], index: int) -> Arrived:
    kind = type_of(trace, call)
    if not outputs:
        return _of_parameters(trace, call, index)
    source = trace.aliases.get(call)
    note = f"passes on what {source!r} gave" if source else ""
    seen = _at(trace, "gradients", outputs, index)
    if not seen and source:
        seen = _at(trace, "gradients", [source], index)
    if not seen:
        step = int(trace.steps[index])
        return Arrived(call, kind, math.nan, missing=_why(trace, outputs, step), note=note)
    return Arrived(call, kind, _joint(seen), _nonfinite(seen), note=note)


def _of_parameters(trace: Trace, call: str, index: int) -> Arrived:
    """Judge a layer that was never called by the gradients of its parameters, which a function may use."""
    layer = trace.model.layers[module_of(call)]
    seen = _at(trace, "parameter_gradients", list(layer.parameters), index)
    if not seen:
        return Arrived(call, layer.type, math.nan, missing=trace.missing.get(call, "the layer was not called"))
    return Arrived(call, layer.type, _joint(seen), _nonfinite(seen), note="of its parameters: it was not called")


def _at(trace: Trace, kind: str, names: Sequence[str], index: int) -> list[tuple[float, float]]:
    """Return (norm, nonfinite) of those tensors that one step has."""
    columns: dict[str, Any] = trace.statistics.get(kind, {})
    rows = [(float(columns[name]["norm"][index]), float(columns[name]["nonfinite"][index])) for name in names
            if name in columns]  # fmt: skip
    return [row for row in rows if not math.isnan(row[1])]  # NaN: not seen in that step


def _joint(seen: Sequence[tuple[float, float]]) -> float:
    return float(np.sqrt(sum(norm**2 for norm, _ in seen)))


def _nonfinite(seen: Sequence[tuple[float, float]]) -> int:
    return int(sum(count for _, count in seen))


def _why(trace: Trace, outputs: Sequence[str], step: int) -> str:
    reasons = dict.fromkeys(trace.missing[name] for name in outputs if name in trace.missing)
    return "; ".join(reasons) or f"no gradient was seen at step {step}"


# ── What is said ─────────────────────────────────────────────────────────────────────────────────────────────────

_LOOK = {
    "missing": "the reason given; layers= chooses the layers that the assertion is about",
    "not finite": "explainer.testing.assert_finite(trace), which names the step and the layer where it began",
    "zero": "what stands between this layer and the loss: dead units (assert_no_dead_units), a detach(), weights of "
    "zero, or a result that the loss does not use",
    "too small": "initialisation, activation functions that saturate (sigmoid, tanh), normalisation, or a shortcut "
    "around the layers where the norms shrink",
}


def _tell(found: Sequence[Arrived], bad: Sequence[Arrived], step: int, minimum: float) -> str:
    numbered = [each for each in bad if not each.missing]
    worst = (numbered or bad)[-1]
    trouble = worst.trouble(minimum)
    where = f"layer {worst.call!r} ({worst.type}), step {step}"
    what = f"the gradient's norm is {number(worst.norm)}"
    wanted = f"wanted at least {number(minimum)}"
    sentence = {
        "missing": f"{where}: there is no gradient, {wanted} as its norm: {worst.missing}",
        "not finite": f"{where}: {worst.nonfinite} values of the gradient are not finite (its norm is "
        f"{number(worst.norm)}), wanted 0",
        "zero": f"{where}: the gradient is exactly zero everywhere: its norm is 0, {wanted}",
        "too small": f"{where}: {what}, {wanted}",
    }[trouble]
    others = len(bad) - 1
    sentence += f" ({others} other layer{'s' * (others > 1)} too)" if others else ""
    rows = [
        (each.call, each.type, "none" if each.missing else number(each.norm), each.trouble(minimum), each.note)
        for each in found
    ]
    title = f"‖gradient‖ in step {step}, in forward order:"
    return complaint(sentence, _LOOK[trouble], title, rows, row=list(found).index(worst))
