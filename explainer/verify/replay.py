"""The optimizer's own rule, fed with the recorded weights and gradients: does it make the recorded updates?"""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from explainer.errors import TraceError
from explainer.trace import Trace
from explainer.verify.comparing import Array, bitwise, differences, within
from explainer.verify.report import Report, Row

ADVICE = (
    "what else changes the weights or their gradients: between backward and optimizer.step(), or after it; and whether "
    "another optimizer moves the same parameters"
)
_NOT_ALONE = {
    "LBFGS": "LBFGS looks at the loss several times in a step",
    "SparseAdam": "SparseAdam moves single rows, and a trace holds whole gradients",
}
_RULE, _DIFFERENCE = "update, by the optimizer's rule", "update, from weight to weight"


def verify_updates(trace: Trace) -> Report:
    """Compare each recorded update with the weights around it, and with what the optimizer makes of the gradient."""
    replayed = list(_replayed(trace))
    right = {(row.name, row.step) for row in replayed if row.state in ("equal", "close")}
    rows = [_moved_after(row) if (row.name, row.step) in right else row for row in _differences(trace)] + replayed
    title = f"updates: {len(trace)} recorded steps of {trace.model.optimizer or 'a run without an optimizer'}"
    return Report(title, tuple(rows), ADVICE)


def _moved_after(row: Row) -> Row:
    """Excuse an update that the optimizer's rule makes, although the next weights lie elsewhere."""
    if row.state != "differs":
        return row
    reason = (
        "the update is what the optimizer's rule makes, and then something else moved the weights (a clamp, a decay)"
    )
    return Row(row.name, row.step, row.what, "cannot", reason=reason)


def _differences(trace: Trace) -> Iterator[Row]:
    """Compare: new − old must be the next step's parameter − this one's; the recorder may have stored no other."""
    steps = trace.steps.tolist()
    for index, step in enumerate(steps[:-1]):
        if steps[index + 1] != step + 1:
            continue
        for name in trace.parameters:
            before, after, update = (
                _at(trace.parameters, name, index),
                _at(trace.parameters, name, index + 1),
                _at(trace.updates, name, index),
            )
            if before is not None and after is not None and update is not None:
                with np.errstate(all="ignore"):
                    yield bitwise(name, step, _DIFFERENCE, update, after - before)


# ── The optimizer's rule ─────────────────────────────────────────────────────────────────────────────────────────


def _replayed(trace: Trace) -> Iterator[Row]:
    reason = _why_not(trace)
    if reason:
        yield Row("update", 0, _RULE, "cannot", reason=reason)
        return
    moved = {name for group in trace.model.parameter_groups for name in group.parameters}
    for name in trace.parameters:
        if name not in moved:
            yield Row(name, 0, _RULE, "cannot", reason="the optimizer that was recorded does not have it")
    if not len(trace):
        yield Row("update", 0, _RULE, "cannot", reason=trace.missing.get("loss", "the trace holds no step"))
        return
    try:
        replay = Replay(trace)
    except (TraceError, TypeError, ValueError, RuntimeError) as error:
        reason = f"its recorded settings and weights do not make a {trace.model.optimizer}: {error}"
        yield Row("update", 0, _RULE, "cannot", reason=reason)
        return
    steps = trace.steps.tolist()
    for index, step in enumerate(steps):
        if replay.remembers and step != index:
            reason = f"{trace.model.optimizer} remembers earlier steps, and step {index} was not recorded"
            yield Row("update", step, _RULE, "cannot", reason=f"{reason}: record with every=1 from the first step")
            return
        rows = list(replay.step(index, step))
        if index == 0 and replay.remembers and rows and replay.astray > 0.5:
            reason = f"{trace.model.optimizer} had made steps before the recording began, and what it remembers of them"
            yield Row("update", step, _RULE, "cannot", reason=f"{reason} is not in the trace")
            return
        yield from rows


def _why_not(trace: Trace) -> str:
    name = trace.model.optimizer
    if name is None:
        return "no optimizer was recorded: record with optimizer=optimizer"
    if name in _NOT_ALONE:
        return _NOT_ALONE[name]
    if not trace.model.parameter_groups:
        return "the trace is of an older version, without the optimizer's settings: record again"
    made = getattr(torch.optim, name, None)
    if not (isinstance(made, type) and issubclass(made, torch.optim.Optimizer)):
        return f"{name} is not one of torch's own optimizers"
    lacking = [kind for kind in ("parameters", "parameter_gradients", "updates") if not len(getattr(trace, kind))]
    if lacking:
        return f"the trace keeps no {' and no '.join(lacking)} in full: record with keep={(*lacking, '…')}"
    if any("max_momentum" in group.settings for group in trace.model.parameter_groups):
        return "a scheduler changed the momentum too, and a trace holds only learning rates"
    return ""


class Replay:
    """The run's optimizer over again, on copies of the recorded weights.

    Attributes:
        remembers: Whether an update depends on earlier steps.
        astray: The share of the last step's numbers that were not what the rule makes.
    """

    def __init__(self, trace: Trace) -> None:
        self._trace, self.astray = trace, 0.0
        groups = trace.model.parameter_groups
        self._weights: list[dict[str, torch.Tensor]] = [
            {
                name: torch.tensor(trace.parameters[name][0]).to(_precision(trace, name))
                for name in group.parameters
                if name in trace.parameters
            }
            for group in groups
        ]
        settings = [_settings(group.settings) for group in groups]
        parts = [
            {"params": list(weights.values()), **chosen}
            for weights, chosen in zip(self._weights, settings, strict=True)
        ]
        name = trace.model.optimizer or ""
        make = getattr(torch.optim, name)
        known = {key: value for key, value in settings[0].items() if key in inspect.signature(make).parameters}
        self._optimizer = make([part for part in parts if part["params"]], **known)
        self.remembers = name != "SGD" or any(chosen.get("momentum") for chosen in settings)

    def step(self, index: int, step: int) -> Iterator[Row]:
        """Make the update of a recorded step, and compare."""
        trace = self._trace
        befores: dict[str, Array] = {}
        for name, weight in self._named():
            before, gradient = _at(trace.parameters, name, index), _at(trace.parameter_gradients, name, index)
            if before is not None:
                befores[name] = before
                weight.copy_(torch.tensor(before))
            weight.grad = None if gradient is None or before is None else torch.tensor(gradient).to(weight.dtype)
        self._set_rates(index)
        self._optimizer.step()
        wrong = total = 0
        for name, weight in self._named():
            update = _at(trace.updates, name, index)
            if name not in befores or update is None:
                continue
            with np.errstate(all="ignore"):
                expected = _array(weight) - befores[name]
            row = self._compared(name, step, update, expected, befores[name], weight.dtype)
            wrong += int((differences(update, expected) > (row.allowed or 0)).sum())
            total += update.size
            yield row
        self.astray = wrong / max(total, 1)

    def _compared(self, name: str, step: int, update: Array, expected: Array, before: Array, dtype: torch.dtype) -> Row:
        """Allow eight roundings of the largest weight: torch may add in another order on another machine.

        In bfloat16 only one, for eight are larger than most updates.
        """
        roundings = 1 if dtype == torch.bfloat16 else 8
        precision = torch.finfo(dtype).eps if dtype.is_floating_point else 0.0
        allowed = roundings * precision * float(np.abs(before).max(initial=0) + np.abs(expected).max(initial=0))
        return within(name, step, _RULE, update, expected, allowed)

    def _named(self) -> Iterator[tuple[str, torch.Tensor]]:
        return (each for group in self._weights for each in group.items())

    def _set_rates(self, index: int) -> None:
        places = [place for place, weights in enumerate(self._weights) if weights]
        for place, group in zip(places, self._optimizer.param_groups, strict=True):
            name = f"learning_rate[{place}]" if place else "learning_rate"
            if name in self._trace.scalars:
                group["lr"] = float(self._trace.scalars[name][index])


def _settings(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Return a group's settings as torch's constructors take them; the replay runs on the CPU."""
    settings = {key: tuple(value) if isinstance(value, list) else value for key, value in recorded.items()}
    return {**settings, "capturable": False} if "capturable" in settings else settings


def _precision(trace: Trace, name: str) -> torch.dtype:
    """Return in which precision a parameter was kept: an array holds bfloat16 in float32, without the lower half."""
    first, last, update = (_at(*each) for each in (
        (trace.parameters, name, 0), (trace.parameters, name, -1), (trace.updates, name, -1),
    ))  # fmt: skip
    known = [each for each in (first, last, _at(trace.parameter_gradients, name, 0)) if each is not None]
    if len(trace) == 1 and last is not None and update is not None:
        known.append(last + update)  # zeros at first say nothing
    values = [torch.tensor(each) for each in known]
    somewhere = any(layer.dtype == "bfloat16" for layer in trace.model.layers.values())
    if somewhere and all(each.dtype == torch.float32 and torch.equal(each.bfloat16().float(), each) for each in values):
        return torch.bfloat16
    return values[0].dtype


def _array(weight: torch.Tensor) -> Array:
    return (weight.float() if weight.dtype == torch.bfloat16 else weight).numpy()


def _at(kind: Any, name: str, index: int) -> Array | None:
    """Return a tensor of a step, or None where it was not kept."""
    try:
        return np.asarray(kind[name][index])
    except TraceError:
        return None
