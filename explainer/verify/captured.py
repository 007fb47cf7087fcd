"""Is what the hooks recorded of one training step true? Zero probes and a bare run of the same step judge."""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from explainer.errors import ExplainerWarning, RecordingError
from explainer.recorder import record
from explainer.trace import Trace
from explainer.verify.comparing import Array, bitwise, within
from explainer.verify.report import Report, Row
from explainer.verify.untouched import Trial, left_as_it_was
from explainer.verify.zero_probes import Probe, Probes, base_of, values_of

ADVICE = (
    "trace.missing and trace.aliases of this layer; whether its output, or a view of it, is changed in place by what "
    "follows; and whether the model computes the same twice from the same random numbers"
)
_UNLIKE = "the zero probes changed what the model computes, so that bits cannot be compared"


@dataclass(frozen=True)
class Outcome:
    """What a training step left behind."""

    loss: Array
    gradients: dict[str, Array | None]
    buffers: dict[str, Array]

    def same_as(self, other: "Outcome") -> bool:
        """Whether loss and parameter gradients are bitwise those of another run."""
        return not [row for row in self.rows(other) if row.state != "equal" and not row.what.startswith("buffer")]

    def rows(self, other: "Outcome") -> Iterator[Row]:
        """Compare with another run, which is the expected one."""
        yield bitwise("loss", 0, "loss beside the recorder", self.loss, other.loss)
        for name, expected in other.gradients.items():
            found = self.gradients[name]
            if found is not None and expected is not None:
                yield bitwise(name, 0, "gradient that the recorder leaves", found, expected)
            elif found is not expected:
                reason = "there is one only with the recorder" if expected is None else "the recorder prevents it"
                yield Row(name, 0, "gradient that the recorder leaves", "differs", reason=reason)
        for name, expected in other.buffers.items():
            yield bitwise(name, 0, "buffer that the recorder leaves", self.buffers[name], expected)


def verify_captures(trial: Trial, **options: Any) -> Report:
    """Run one training step three times, bare, recorded and with zero probes, and compare."""
    with left_as_it_was(trial) as put_back:
        bare = _outcome(trial, lambda: _step(trial))
        put_back()
        recorded_step = RecordedStep(trial, options)
        recorded = _outcome(trial, recorded_step)
        put_back()
        layers = _to_probe(trial.model, recorded_step.trace, options)
        probes = Probes(layers)
        probed = _outcome(trial, lambda: probes.run(trial.model, trial.loss))
        if not probed.same_as(bare):
            put_back()
            sparing = Probes(layers, sparing_views=True)
            again = _outcome(trial, lambda: sparing.run(trial.model, trial.loss))
            probes, probed = (sparing, again) if again.same_as(bare) else (probes, probed)
        exact = probed.same_as(bare)
    trace = recorded_step.trace
    rows = [*_losses(trace, bare), *_layers(trace, probes, exact), *_parameters(trace, bare, options)]
    title = f"captures: one training step of {type(trial.model).__name__}, what was recorded against zero probes"
    return Report(title, (*rows, *_undisturbed(recorded, bare)), ADVICE)


def _to_probe(model: nn.Module, trace: Trace, options: dict[str, Any]) -> set[str]:
    """Return the layers that were recorded, and the leaf modules that should have been."""
    recorded = {base_of(name) for name in trace.model.layers}
    if options:
        return recorded
    leaves = {name or "model" for name, module in model.named_modules() if not any(module.children())}
    return recorded | {leaf for leaf in leaves if not any(leaf.startswith(f"{name}.") for name in recorded)}


def _undisturbed(recorded: Outcome, bare: Outcome) -> list[Row]:
    """Compare the training itself with and without the recorder: a line for all where all is equal."""
    rows = list(recorded.rows(bare))
    wrong = [row for row in rows if row.state != "equal"]
    what = "unchanged by the recorder"
    return wrong or [Row("training", 0, what, "equal", difference=0.0, allowed=0.0)]


def _step(trial: Trial) -> torch.Tensor:
    loss = trial.loss()
    loss.backward()
    return loss.detach()


class RecordedStep:
    """A training step under the recorder, in memory, with every example kept."""

    def __init__(self, trial: Trial, options: dict[str, Any]) -> None:
        self.trial, self.options = trial, options

    def __call__(self) -> torch.Tensor:
        """Make the step; the trace is in `trace` after it. Returns the loss."""
        module = self.trial.criterion if isinstance(self.trial.criterion, nn.Module) else None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExplainerWarning)  # what it warns of is raised, or stands in the report
            with record(self.trial.model, criterion=module, examples=None, max_bytes=1 << 62, **self.options) as seen:
                loss = _step(self.trial)
                seen.step(None if module is not None else loss)
        if seen.failure is not None:
            kind = type(seen.failure).__name__
            raise RecordingError(f"the recording failed: {kind}: {seen.failure}") from seen.failure
        self.trace = seen.trace
        return loss


def _outcome(trial: Trial, run: Callable[[], torch.Tensor]) -> Outcome:
    with torch.enable_grad():
        loss = run()
    model = trial.model
    return Outcome(
        values_of(loss).reshape(()),
        {name: None if each.grad is None else values_of(each.grad) for name, each in model.named_parameters()},
        {name: values_of(each) for name, each in model.named_buffers()},
    )


def _losses(trace: Trace, bare: Outcome) -> Iterator[Row]:
    name, recorded = trace.model.loss_name, trace.scalars["loss"] if "loss" in trace.scalars else np.empty(0)
    if len(recorded):
        yield bitwise(name, 0, "value", np.asarray(recorded[-1], np.float64), bare.loss.astype(np.float64))
    else:
        yield _absent(trace, name, "value", "")


def _parameters(trace: Trace, bare: Outcome, options: dict[str, Any]) -> Iterator[Row]:
    for name, expected in bare.gradients.items():
        found = _recorded(trace.parameter_gradients, name)
        if found is not None and expected is not None:
            yield bitwise(name, 0, "parameter gradient", found, expected)
        elif expected is not None and not options.get("layers"):
            yield _absent(trace, name, "parameter gradient", "")
        elif found is not None:
            yield Row(name, 0, "parameter gradient", "differs", reason="recorded, although the bare step leaves none")


# ── Layers ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _layers(trace: Trace, probes: Probes, exact: bool) -> Iterator[Row]:
    for name, probe in probes.found.items():
        kind = probes.types[name]
        yield _activation(trace, name, probe, kind)
        yield _gradient(trace, probes, name, kind, exact)
    for name in trace.layers:
        if name not in probes.found:
            reason = "the zero probes met no such tensor: it is of a kind that they cannot be added to"
            yield Row(name, 0, "activation and gradient", "cannot", reason=reason)


def _activation(trace: Trace, name: str, probe: Probe, kind: str) -> Row:
    found = _recorded(trace.activations, name)
    if found is None:
        return _absent(trace, name, "activation", kind)
    return bitwise(name, 0, "activation", found, probe.activation, type=kind)


def _gradient(trace: Trace, probes: Probes, name: str, kind: str, exact: bool) -> Row:
    probe, found = probes.found[name], _recorded(trace.gradients, name)
    expected = probe.gradient
    if found is None:
        if expected is None and not trace.missing.get(name):
            return Row(name, 0, "gradient", "missing", kind, reason=probe.reason or "none arrives at the probe either")
        return _absent(trace, name, "gradient", kind)
    if name in trace.aliases:
        return _of_alias(trace, probes, name, kind, found)
    if probe.zero is None:
        return Row(name, 0, "gradient", "cannot", kind, reason=probe.reason)
    if expected is None:
        return Row(name, 0, "gradient", "differs", kind, reason="recorded, although none arrives at the zero probe")
    if name in trace.missing and not np.array_equal(found, expected):
        return _absent(trace, name, "gradient", kind)  # the trace itself says that it is another gradient, and which
    if exact:
        return bitwise(name, 0, "gradient", found, expected, type=kind)
    allowed = 1e-3 * float(np.abs(expected).max(initial=0))
    row = within(name, 0, "gradient", found, expected, allowed, type=kind, reason=_UNLIKE)
    if row.state == "differs":
        return Row(name, 0, "gradient", "cannot", kind, reason=_UNLIKE)
    return row


def _of_alias(trace: Trace, probes: Probes, name: str, kind: str, found: Array) -> Row:
    """Judge an output that is its input: the recorded gradient is the whole tensor's, which the one before has too."""
    own = probes.found[name].gradient
    if own is not None and bitwise(name, 0, "gradient", found, own).state == "equal":
        return bitwise(name, 0, "gradient", found, own, type=kind)
    source = name
    while source in trace.aliases:
        source = trace.aliases[source]
    expected = probes.found[source].gradient if source in probes.found else None
    if expected is None:
        reason = "its output is a tensor that it was given, and its gradient the whole tensor's"
        return Row(name, 0, "gradient", "alias", kind, reason=reason)
    row = bitwise(name, 0, "gradient", found, expected, type=kind)
    reason = f"its output is that of {source!r}, and its gradient that whole tensor's, bitwise"
    return row if row.state == "differs" else Row(name, 0, "gradient", "alias", kind, reason=reason)


def _absent(trace: Trace, name: str, what: str, kind: str) -> Row:
    """Say why the trace has none; to have none without a reason is a mistake."""
    reason = trace.missing.get(name)
    if reason is None:
        reason = "not recorded, and trace.missing gives no reason"
        return Row(name, 0, what, "differs", kind, reason=reason)
    return Row(name, 0, what, "missing", kind, reason=reason)


def _recorded(kind: Any, name: str) -> Array | None:
    return np.asarray(kind[name][0]) if name in kind else None
