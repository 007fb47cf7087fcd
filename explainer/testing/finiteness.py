"""Where did the first NaN or infinity come from?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from explainer.testing.choice import Layers, Steps, choose_calls, choose_steps, module_of, type_of
from explainer.testing.complaint import complaint, number

if TYPE_CHECKING:
    from explainer.trace import Trace


def assert_finite(trace: Trace, *, layers: Layers = None, steps: Steps = None) -> None:
    """Assert that losses, activations, gradients, parameters and updates hold no NaN and no infinity.

    Read from statistics, which are over the whole batch whatever else was kept. Inputs and targets may hold what they
    like (a mask may be −inf).

    Args:
        layers: Names or globs of the layers to look at; all when omitted. The loss is always looked at.
        steps: Recorded step numbers, negative ones counted from the last; all when omitted.

    Raises:
        AssertionError: Something is not finite. What came first is named: the first such step and, in it, the first in
            the order in which things happen: parameters, activations in forward order, the loss, gradients in backward
            order, parameter gradients, updates. Or the trace holds no loss or no gradient, so that none can be judged.
        UnknownName: A name or glob fits no layer; the nearest are named.
        TraceError: A step was not recorded.
    """
    __tracebackhide__ = True
    indices = choose_steps(trace, steps)
    calls = choose_calls(trace, layers)
    if lacking := _lacking(trace):
        raise AssertionError(lacking)
    columns = list(_columns(trace, calls, everything=layers is None))
    for index in indices:
        if any(column.is_broken(index) for column in columns):
            raise AssertionError(_tell(trace, *_beginning(columns, index)))


@dataclass(frozen=True)
class Column:
    """One tensor, or the loss, over the recorded steps, in the order in which a step computes them.

    Attributes:
        layer: The layer's name; "" for the loss.
        nonfinite: (S,) how many values are not finite; for the loss its value.
    """

    kind: str  # as the trace calls it
    name: str
    layer: str
    nonfinite: Any

    def is_broken(self, index: int) -> bool:
        """Whether it is not finite in a step."""
        value = float(self.nonfinite[index])
        return not math.isfinite(value) if self.kind == "loss" else value > 0  # NaN: not seen in that step


def _lacking(trace: Trace) -> str:
    """Say what the trace must hold for the assertion to mean anything, and does not."""
    if "loss" not in trace.scalars:
        reason = trace.missing.get(trace.model.loss_name, "none was recorded")
        return f"the trace holds no loss, so that it cannot be said to be finite: {reason}"
    if not trace.statistics.get("gradients"):
        reasons = dict.fromkeys(trace.missing[layer] for layer in trace.layers if layer in trace.missing)
        return f"the trace holds no gradient, so that none can be said to be finite: {'; '.join(reasons)}"
    return ""


def _columns(trace: Trace, calls: dict[str, list[str]], *, everything: bool) -> Iterator[Column]:
    owners = {name: layer for layer, each in trace.model.layers.items() for name in each.parameters}
    chosen = {module_of(call) for call in calls}
    forward = [output for outputs in calls.values() for output in outputs]

    def of_parameters(kind: str) -> Iterator[Column]:
        recorded: dict[str, Any] = trace.statistics.get(kind, {})
        order = [name for name in owners if name in recorded] + [name for name in recorded if name not in owners]
        for name in order:
            owner = owners.get(name, "")
            if everything or owner in chosen:
                yield Column(kind, name, owner, recorded[name]["nonfinite"])

    def of_outputs(kind: str, names: list[str]) -> Iterator[Column]:
        recorded: dict[str, Any] = trace.statistics.get(kind, {})
        yield from (Column(kind, name, name, recorded[name]["nonfinite"]) for name in names if name in recorded)

    yield from of_parameters("parameters")
    yield from of_outputs("activations", forward)
    yield Column("loss", "loss", "", trace.scalars["loss"])
    yield from of_outputs("gradients", forward[::-1])
    yield from list(of_parameters("parameter_gradients"))[::-1]
    yield from of_parameters("updates")


def _beginning(columns: list[Column], index: int) -> tuple[Column, int]:
    """Go back from a broken step to the first of the broken steps that follow each other."""
    while index > 0 and any(column.is_broken(index - 1) for column in columns):
        index -= 1
    return next(column for column in columns if column.is_broken(index)), index


# ── What is said ─────────────────────────────────────────────────────────────────────────────────────────────────

_LOOK = {
    "parameters": "what changed the weights since the step before: its update, a checkpoint that was loaded, or their "
    "initialisation if this is the first step",
    "activations": "what this layer computes from finite numbers: log(0), a division by zero, exp or fp16 beyond its "
    "range; and the learning rate, if losses and activations grew before",
    "loss": "the loss function: log(0) (take log_softmax or a …WithLogits loss), a division by zero, targets out of "
    "range, or no loss logged in this step; and the learning rate, if activations are huge",
    "gradients": "the derivative of what follows this layer: sqrt or norm at 0, log near 0, a where() whose unused "
    "branch is infinite, fp16 without a GradScaler",
    "parameter_gradients": "the derivative inside this layer, and the size of its input; clip_grad_norm_ of an "
    "infinite norm",
    "updates": "the optimizer: the learning rate, an epsilon of 0, or a weight decay that overflows",
}
_SAID = {"parameters": "parameter", "activations": "activation", "gradients": "gradient",
         "parameter_gradients": "parameter gradient", "updates": "update"}  # fmt: skip


def _tell(trace: Trace, column: Column, index: int) -> str:
    step = int(trace.steps[index])
    kind = type_of(trace, column.layer) if column.layer else ""
    layer = f"layer {column.layer!r} ({kind})" if column.layer else ""
    if column.kind == "loss":
        where, found = f"the loss, step {step}", f"it is {number(column.nonfinite[index])}, wanted a finite number"
        where += f", computed from layer {_last_layer(trace)!r}" if _last_layer(trace) else ""
    else:
        count = int(column.nonfinite[index])
        of_whom = "" if column.name == column.layer else f" {column.name!r}"
        where = f"{layer or 'outside of all layers'}, step {step}"
        found = f"{count} value{'s' * (count > 1)} of the {_SAID[column.kind]}{of_whom} "
        found += f"{'is' if count == 1 else 'are'} not finite, wanted 0"
    sentence = f"{where}: {found}. It began here{_since(trace, index)}.{_history(trace, index)}"
    rows = _activations_at(trace, index)
    about = next((at for at, row in enumerate(rows) if row[0] == column.layer), len(rows) - 1)
    title = f"largest activations in step {step}, in forward order:"
    return complaint(sentence, _LOOK[column.kind], title, rows, row=about)


def _last_layer(trace: Trace) -> str:
    criterion = trace.model.criterion
    return criterion.fed_by[0] if criterion and criterion.fed_by else trace.layers[-1] if trace.layers else ""


def _since(trace: Trace, index: int) -> str:
    if index == 0:
        return ": the first recorded step"
    before, step = int(trace.steps[index - 1]), int(trace.steps[index])
    return "" if before == step - 1 else f", or after step {before}, the last recorded before"


def _activations_at(trace: Trace, index: int) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for kind, names in (("inputs", trace.statistics.get("inputs", {})), ("activations", trace.layers)):
        recorded: dict[str, Any] = trace.statistics.get(kind, {})
        for name in names:
            if name not in recorded or math.isnan(count := float(recorded[name]["nonfinite"][index])):
                continue
            rows.append((
                name,
                type_of(trace, name) if kind == "activations" else "",
                number(float(recorded[name]["max_abs"][index])),
                f"{int(count)} not finite" if count else "",
            ))  # fmt: skip
    return rows


def _history(trace: Trace, index: int) -> str:
    """Tell the losses before: numbers that grow say that the learning rate is too large."""
    before = [number(float(loss)) for loss in trace.scalars["loss"][max(0, index - 3) : index]]
    return f" The losses before: {', '.join(before)}." if before else ""
