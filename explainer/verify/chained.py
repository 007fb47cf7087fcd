"""The chain rule over a recorded run: each gradient again from the next one, by the operation's own derivative."""

from collections.abc import Iterator, Sequence

import numpy as np

from explainer.errors import TraceError
from explainer.trace import Trace
from explainer.verify.after_backward import explained
from explainer.verify.calls import Caller, Moment
from explainer.verify.comparing import Array, within
from explainer.verify.losses import work_out_loss
from explainer.verify.one_layer import Again, Worked, agreement
from explainer.verify.operations_again import DROPOUTS, Unjudged
from explainer.verify.report import Report, Row

ADVICE = (
    "whether something changes this gradient or output outside of modules (a function of torch, a hook, a term of the "
    "loss that is no module); verify.captures(model, criterion, batch) shows whether the recorder is wrong"
)
OTHERS_CALLED = "other layers were called than in the first recorded step, of which alone is known who feeds whom"

MOSTLY = 0.9  # of the numbers: where fewer agree, a part of the sum may be none


def verify_chain_rule(trace: Trace, steps: Sequence[int], tolerance: float | None) -> Report:
    """Check the recorded steps at these places."""
    caller = Caller(trace, steps, tolerance)
    rows = [row for index in steps for row in OneStep(caller, index).rows()]
    if not steps:
        rows = [Row("", 0, "gradient", "cannot", reason=trace.missing.get(caller.loss, "the trace holds no step"))]
    count = f"{len(steps)} of {len(trace)}" if len(steps) < len(trace) else f"{len(trace)}"
    title = f"chain rule: {trace.model.type}, {count} recorded steps; each gradient worked out from the next one"
    return Report(title, tuple(rows), ADVICE)


def some(trace: Trace, count: int = 5) -> list[int]:
    """Return the places of a few recorded steps, spread over the run, the first and the last among them."""
    spread = np.linspace(0, len(trace) - 1, min(count, len(trace)))
    return [int(place) for place in np.unique(spread.round())]


class OneStep:
    """Works one recorded step out."""

    def __init__(self, caller: Caller, index: int) -> None:
        self.caller, self.trace = caller, caller.trace
        self.moment = Moment(caller, index)
        self.index, self.step = index, self.moment.step
        self._worked: dict[str, Worked | str] = {}  # per call; the reason where it could not be

    def rows(self) -> Iterator[Row]:
        """Walk forward through the activations, then backward through the gradients."""
        for call in self.caller.fed_by:
            try:
                self._worked[call] = self.moment.work_out(call)
            except (Unjudged, TraceError) as reason:
                self._worked[call] = str(reason)
        for call in self.caller.fed_by:
            yield from self._outputs(call)
        yield from self._loss()
        for name in reversed(self.trace.layers):
            yield self._gradient(name)
        yield from self._parameters()

    def _row(self, name: str, what: str, recorded: Array, again: Again, reason: str = "") -> Row:
        kind = self._type(name)
        row = within(name, self.step, what, recorded, again.values, again.allowed, type=kind, reason=reason)
        if row.state == "differs" and not self.moment.as_first and (name != self.caller.loss or what == "its input"):
            return self._unjudged(name, what, OTHERS_CALLED)
        return row

    def _unjudged(self, name: str, what: str, reason: object, state: str = "cannot") -> Row:
        return Row(name, self.step, what, state, self._type(name), reason=str(reason))

    def _type(self, name: str) -> str:
        criterion = self.trace.model.criterion
        if name == self.caller.loss:
            return criterion.type if criterion else ""
        layer = self.trace.model.layers.get(name.partition("[")[0])
        return layer.type if layer else ""

    # Forward

    def _outputs(self, call: str) -> Iterator[Row]:
        worked, what = self._worked[call], "its input" if call == self.caller.loss else "activation"
        if isinstance(worked, str):
            yield self._unjudged(call, what, worked)
            return
        try:
            outputs = self.moment.recorded_outputs(call)
        except TraceError as error:  # skipped in this step, while its feeders were not
            reason = self.trace.missing.get(call, str(error))
            yield self._unjudged(call, what, reason, "missing")
            return
        link = self.caller.way(call).link.words
        reason = f"reads {link} of {', '.join(map(repr, self.caller.fed_by[call]))}" if link else ""
        names = (call,) if call == self.caller.loss else self.caller.outputs(call)
        for name, recorded, again in zip(names, outputs, worked.outputs, strict=True):
            yield self._row(name, what, recorded, again, reason)

    def _loss(self) -> Iterator[Row]:
        if self.trace.model.criterion is None:
            return
        name = self.caller.loss
        try:
            judged = work_out_loss(self.moment)
        except (Unjudged, TraceError) as reason:
            yield self._unjudged(name, "gradient", reason)
            return
        if judged.value is not None and "loss" in self.trace.scalars:
            recorded = np.asarray(self.trace.scalars["loss"][self.index], np.float64)
            yield self._row(name, "value", recorded, judged.value, judged.reason)
        seen = self.trace.criterion
        if seen is not None:
            yield self._row(name, "gradient", np.asarray(seen.gradients[self.index]), judged.gradient, judged.reason)

    # Backward

    def _gradient(self, name: str) -> Row:
        try:
            recorded = self.moment.tensor("gradients", name)
        except TraceError as error:
            return self._unjudged(name, "gradient", self.trace.missing.get(name, error), "missing")
        try:
            parts = self._sent_back(name)
        except Unjudged as why:
            return self._unjudged(name, "gradient", why)
        expected = _sum(list(parts.values()))
        expected, reason = self._where_dropout_shows(recorded, expected, parts)
        if agreement(recorded, expected) < MOSTLY and len(parts) > 1:
            for left_out in parts:
                rest = _sum([part for reader, part in parts.items() if reader != left_out])
                if agreement(recorded, rest) == 1:
                    reason = f"nothing comes back from {left_out!r}: it reads a detached copy"
                    return self._row(name, "gradient", recorded, rest, reason)
        row = self._row(name, "gradient", recorded, expected, reason)
        source = self.trace.aliases.get(name)
        if row.state == "differs" and source is not None and source not in self.trace.layers:
            reason = (
                "its output is a tensor that it was given and that others may read: the gradient is the whole one's"
            )
            return self._unjudged(name, "gradient", reason, "alias")
        return row

    def _sent_back(self, name: str) -> dict[str, Again]:
        """Return what each reader of a tensor sends back to it."""
        same = self._same_tensor(name)
        parts: dict[str, Again] = {}
        readers = [reader for each in same for reader in self.caller.readers(each.partition("[")[0])]
        for reader in dict.fromkeys(readers):
            if reader in same:
                continue
            worked = self._worked[reader]
            if isinstance(worked, str):
                raise Unjudged(f"it feeds {reader!r}, which is not judged")
            sources = self.caller.way(reader).sources
            for source, sent in zip(sources, worked.to_feeders, strict=True):
                if source in same and sent is not None:
                    parts[reader] = sent if reader not in parts else _sum([parts[reader], sent])
                elif source in same and not _sends_nothing(self.trace.missing.get(reader, "")):
                    raise Unjudged(f"it feeds {reader!r}, whose own gradient is missing")
        if not parts:
            raise Unjudged("nothing that was recorded reads it and sends a gradient back")
        return parts

    def _same_tensor(self, name: str) -> tuple[str, ...]:
        """Return the names that one tensor has: a layer's that passes its input on is also its feeder's."""
        aliases = {own: source for own, source in self.trace.aliases.items() if source in self.trace.layers}
        same: dict[str, None] = {name: None}
        while True:
            more = [a for a in aliases if aliases[a] in same] + [aliases[a] for a in same if a in aliases]
            if all(each in same for each in more):
                return tuple(same)
            same |= dict.fromkeys(more)

    def _where_dropout_shows(self, recorded: Array, expected: Again, parts: dict[str, Again]) -> tuple[Again, str]:
        """Leave out the places where a dropout's mask cannot be seen, because its input is 0."""
        if not any(self._type(reader) in DROPOUTS for reader in parts) or recorded.shape != expected.values.shape:
            return expected, ""
        hidden = np.isnan(expected.values)
        if not hidden.any():
            return expected, ""
        reason = "left out: places where a dropout's input is 0, so that its mask does not show"
        return Again(np.where(hidden, recorded, expected.values), expected.allowed), reason

    def _parameters(self) -> Iterator[Row]:
        judged: list[tuple[str, Array, Again]] = []
        for name in self.trace.parameters:
            try:
                recorded = self.moment.tensor("parameter_gradients", name)
            except TraceError as error:
                yield self._unjudged(name, "parameter gradient", self.trace.missing.get(name, error), "missing")
                continue
            try:
                judged.append((name, recorded, self._to_parameter(name)))
            except Unjudged as why:
                yield self._unjudged(name, "parameter gradient", why)
        weights = {name: self.moment.tensor("parameters", name) for name, _, _ in judged}
        for name, recorded, again, reason in explained(judged, weights):
            yield self._row(name, "parameter gradient", recorded, again, reason)

    def _to_parameter(self, name: str) -> Again:
        if not self.moment.whole:
            raise Unjudged("a sum over the whole batch, of which the trace keeps a part: record with examples=None")
        parts = []
        for call in self.caller.calls:
            for own, qualified in self.caller.parameters(call).items():
                if qualified != name:
                    continue
                worked = self._worked[call]
                if isinstance(worked, str):
                    raise Unjudged(worked)
                if own in worked.to_parameters:
                    parts.append(worked.to_parameters[own])
        if not parts:
            raise Unjudged("no recorded layer has it and sends it a gradient")
        total, ranks = _sum(parts), self.trace.ranks  # several processes average their gradients
        return Again(total.values / ranks, total.allowed / ranks)


def _sends_nothing(reason: str) -> bool:
    """Whether an output without a gradient has none because the loss does not change with it."""
    return any(why in reason for why in ("does not require one", "does not depend on this output"))


def _sum(parts: Sequence[Again]) -> Again:
    """Add what comes back through several readers; what each may be off adds up too."""
    total = sum((part.values for part in parts[1:]), parts[0].values)
    return Again(total, sum(part.allowed for part in parts))
