"""What a trace holds of each layer's call, gathered so that the call can be worked out again."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from explainer.architecture import Layer
from explainer.errors import TraceError
from explainer.trace import Trace
from explainer.verify.comparing import Array
from explainer.verify.links import Link, links
from explainer.verify.one_layer import Given, Operation, Worked, agreement, work_out
from explainer.verify.operations_again import (
    BY_BATCH,
    BY_EXAMPLE,
    DROPOUTS,
    Unjudged,
    applied,
    attended,
    dropped,
    operation,
)

FEW = 2  # numbers: so few do not follow because they are wrong, not because a function stands between


@dataclass(frozen=True)
class Way:
    """How a call makes its output: of which tensors, through which link, by which of its modes."""

    sources: tuple[str, ...]
    link: Link
    mode: str


class Caller:
    """The calls of a recorded model: who feeds whom, and how.

    Attributes:
        calls: In forward order.
        called: Per recorded step the layers that were called.
        input, loss: What stands for the model's own input, and for the loss, among the calls.
    """

    def __init__(self, trace: Trace, steps: Sequence[int], tolerance: float | None) -> None:
        self.trace, self.tolerance = trace, tolerance
        self.calls = tuple(name for name in trace.model.layers if name in trace.layers)
        self._steps = tuple(steps)
        self.called = [frozenset(event for event in row if event.startswith("forward ")) for row in trace.events]
        self._ways: dict[str, Way | str] = {}
        self._operations: dict[str, nn.Module] = {}
        self.wholes: dict[int, bool] = {}  # per recorded step whether every example was kept
        self.input, self.loss = trace.model.input_name, trace.model.loss_name
        criterion = trace.model.criterion
        fed = {name: trace.model.layers[name].fed_by for name in self.calls}
        fed |= {self.loss: criterion.fed_by} if criterion else {}
        self.fed_by: Mapping[str, tuple[str, ...]] = fed

    def layer(self, call: str) -> Layer:
        """Return what the trace says of the layer that is called."""
        return self.trace.model.layers[call]

    def parameters(self, call: str) -> dict[str, str]:
        """Per parameter its name in the layer, and in the model."""
        first = call if call in self.trace.model.layers and ":" not in call else call.rpartition(":")[0] or call
        names = self.trace.model.layers[first].parameters
        own = {name: name.removeprefix(f"{first}.") for name in names}  # a tied one has the name of another layer
        return {inner if inner != name else name.rpartition(".")[2]: name for name, inner in own.items()}

    def operation(self, call: str) -> nn.Module:
        """Return the layer over again, without values.

        Raises:
            Unjudged: Its settings do not make one.
        """
        if call not in self._operations:
            layer = self.layer(call)
            self._operations[call] = operation(layer.type, layer.settings, set(self.parameters(call)))
        return self._operations[call]

    def outputs(self, call: str) -> tuple[str, ...]:
        """Return the names of a call's output tensors, the first one first."""
        return tuple(name for name in self.trace.layers if name == call or name.startswith(f"{call}["))

    def readers(self, call: str) -> list[str]:
        """Return the calls, and perhaps the loss, that read a call's output."""
        return [name for name, feeders in self.fed_by.items() if call in feeders]

    def way(self, call: str) -> Way:
        """Find how a call makes its output; what holds at steps far apart is what should hold at all.

        Raises:
            Unjudged: None is found that makes what was recorded.
        """
        if call not in self._ways:
            self._ways[call] = self._search(call)
        found = self._ways[call]
        if isinstance(found, str):
            raise Unjudged(found)
        return found

    def _search(self, call: str) -> Way | str:
        """Try each way at two steps far apart: what is the same at first, a factor of 1 say, may come to differ."""
        tried: list[tuple[int, Way]] = []  # how many numbers of the output a way does not make
        reasons: dict[str, None] = {}
        for ends in self._ends(call):
            first, *last = (Moment(self, index) for index in ends)
            try:
                for way in first.ways(call):
                    missed = first.missed(call, way)
                    if missed <= FEW or not way.link.words:
                        there = sum(moment.missed(call, way) for moment in last)
                        if missed == 0 and there > FEW:
                            reasons[f"{self._no_way(call)}; what fits at step {first.step} does not at others"] = None
                        missed += there
                    if missed == 0 and self._changes_mode(call, way, [first, *last]):
                        return "in training mode at one step, in evaluation at another"
                    if missed == 0:
                        return way
                    tried.append((missed, way))
            except (Unjudged, TraceError) as reason:
                reasons[str(reason)] = None
        straight = [(missed, way) for missed, way in tried if not way.link.words and self._is_fed_straight(call)]
        missed, best = min(straight or tried, key=lambda each: each[0], default=(0, None))
        if best is not None and (straight or missed <= FEW):
            return best
        return next(iter(reasons), "") or self._no_way(call)

    def _ends(self, call: str) -> list[tuple[int, ...]]:
        """Return the first and last of the judged steps that tell how a call works, then those of the whole trace."""
        pairs = []
        for steps in (self._steps, (0, len(self.trace) - 1)):
            telling = [next((i for i in each if Moment(self, i).tells(call)), None) for each in (steps, steps[::-1])]
            pairs.append(tuple(dict.fromkeys(index for index in telling if index is not None)))
        return [ends for ends in dict.fromkeys(pairs) if ends] or [tuple(self._steps[:1])]

    def _changes_mode(self, call: str, way: Way, moments: Sequence["Moment"]) -> bool:
        """Whether a batch norm that could be in evaluation is in training at one of these moments."""
        training = replace(way, mode="training")
        return way.mode == "evaluation" and any(moment.missed(call, training) == 0 for moment in moments)

    def _is_fed_straight(self, call: str) -> bool:
        """Whether autograd saw one feeder and nothing between: then what does not fit is wrong."""
        feeders, inputs = self.fed_by[call], self.trace.statistics.get("inputs", {})
        known = [*self.trace.gradients, *[self.input] * (len(inputs) == 1)]
        if len(feeders) != 1 or feeders[0] not in known or self._unseen(call):
            return False
        return call == self.loss or self.layer(call).type in BY_EXAMPLE | DROPOUTS

    def _unseen(self, call: str) -> tuple[str, ...]:
        """Return autograd's names of the functions between a call and its feeders."""
        told = self.trace.model.criterion if call == self.loss else self.layer(call)
        return told.unseen if told else ()

    def _no_way(self, call: str) -> str:
        feeders = self.fed_by[call]
        named = " and ".join(map(repr, feeders)) if len(feeders) < 3 else f"its {len(feeders)} feeders"
        unseen = ", ".join(self._unseen(call)[:6])
        layer = None if call == self.loss else self.layer(call)
        if layer and layer.type == "MultiheadAttention" and layer.settings.get("dropout"):
            return "attention that drops weights out: which ones is not in the trace"
        joined = any(row.count(f"forward {call}") > 1 for row in self.trace.events)
        if joined and layer and layer.type.startswith("BatchNorm"):
            return "several batches were joined in one step, and each was normalised by itself"
        between = f"autograd saw {unseen} between" if unseen else "something that no module sees stands between"
        return f"its recorded output is not what it makes of {named}: {between}"


@dataclass
class Moment:
    """One recorded step of the calls."""

    caller: Caller
    index: int
    _read: dict[tuple[str, str], Array] = field(default_factory=dict)

    @property
    def step(self) -> int:
        """The step's number."""
        return int(self.caller.trace.steps[self.index])

    def tensor(self, kind: str, name: str) -> Array:
        """Return a recorded tensor of this step.

        Raises:
            TraceError: It was not kept.
        """
        trace = self.caller.trace
        if (kind, name) not in self._read:
            seen: Any = {
                "activations": trace.activations, "gradients": trace.gradients, "parameters": trace.parameters,
                "parameter_gradients": trace.parameter_gradients,
            }[kind]  # fmt: skip
            tensors = trace.inputs if name == self.caller.input else seen[name]
            self._read[kind, name] = np.asarray(tensors[self.index])
        return self._read[kind, name]

    def gradient(self, name: str) -> Array | None:
        """Return ∂loss/∂(an output), or None where none was recorded."""
        try:
            return self.tensor("gradients", name)
        except TraceError:
            return None

    @property
    def whole(self) -> bool:
        """Whether every example of the batch was kept: then the norms of what was kept are those of all."""
        if self.index not in self.caller.wholes:
            self.caller.wholes[self.index] = self._is_whole()
        return self.caller.wholes[self.index]

    def _is_whole(self) -> bool:
        for name, columns in self.caller.trace.statistics.get("activations", {}).items():
            norm = float(columns["norm"][self.index])
            if not np.isfinite(norm):
                continue  # not called in this step, or no longer a number
            try:
                kept = float(np.linalg.norm(self.tensor("activations", name).astype(np.float64)))
            except TraceError:
                return False
            if abs(kept - norm) > 2e-4 * norm:
                return False
        return True

    @property
    def as_first(self) -> bool:
        """Whether the layers of the first step were called: the trace holds who feeds whom in that one."""
        return self.caller.called[self.index] == self.caller.called[0]

    def tells(self, call: str) -> bool:
        """Whether this step holds what a call made, and what its feeders did."""
        try:
            self.recorded_outputs(call)
            for feeder in self.caller.fed_by[call]:
                self.tensor("activations", feeder)
        except TraceError:
            return False
        return self.as_first

    # How a call makes its output

    def ways(self, call: str) -> Iterator[Way]:
        """Guess how a call makes its output."""
        feeders = self.caller.fed_by[call]
        if not feeders:
            raise Unjudged("no recorded layer feeds it")
        modes = self._modes(call)
        wanted = self._wanted(call)
        choices = [(each,) if each == self.caller.input else self.caller.outputs(each) for each in feeders]
        for sources in itertools.islice(itertools.product(*choices), 8):
            shapes = [self.tensor("activations", name).shape for name in sources]
            for mode, link in itertools.product(modes, links(shapes, wanted)):
                yield Way(sources, link, mode)

    def _modes(self, call: str) -> tuple[str, ...]:
        if call == self.caller.loss or call in self.caller.trace.aliases:
            return ("passes on",)
        kind = self.caller.layer(call).type
        for name in self.caller.parameters(call).values():
            if "functional_call" in self.caller.trace.missing.get(name, ""):  # its weights were lent
                raise Unjudged(self.caller.trace.missing[name])
        if (self.caller.layer(call).dtype or "").startswith("complex"):
            raise Unjudged("complex numbers are not worked out here")
        if kind in BY_BATCH and not self.whole:
            raise Unjudged(f"a {kind} needs every example of the batch: record with examples=None")
        if kind.startswith("BatchNorm"):
            return "training", "evaluation"
        if kind in DROPOUTS:
            return ("mask",)
        if kind == "MultiheadAttention":
            return "", "causal"
        if kind not in BY_EXAMPLE | BY_BATCH:
            raise Unjudged(f"the derivative of a {kind} is not worked out here")
        return ("",)

    def _wanted(self, call: str) -> tuple[int, ...] | None:
        if call == self.caller.loss:
            return self.recorded_outputs(call)[0].shape
        shape, output = self.caller.layer(call).input_shape, self.recorded_outputs(call)[0]
        if shape is None or not output.ndim or not shape:
            return None
        if self.caller.layer(call).type in DROPOUTS or self.whole:
            return output.shape if self.caller.layer(call).type in DROPOUTS else (self._count(shape), *shape[1:])
        return (len(output), *shape[1:])

    def _count(self, shape: tuple[int, ...]) -> int:
        """Return the length of an input's first dimension: as first recorded, or this step's batch."""
        first = self.caller.layer(self.caller.calls[0]).input_shape
        batch = len(self.tensor("activations", self.caller.calls[0]))
        return batch if first and first[0] == shape[0] else shape[0]

    def missed(self, call: str, way: Way) -> int:
        """Count the numbers of a call's output that a way does not make."""
        recorded, again = self.recorded_outputs(call), self._operation(call, way)
        try:
            made = work_out(again, way.link, self._given(call, way, backward=False)).outputs
        except Unjudged:
            return sum(each.size for each in recorded)
        pairs = zip(recorded, made, strict=True)
        return sum(round((1 - agreement(found, expected)) * found.size) for found, expected in pairs)

    # Working it out

    def work_out(self, call: str) -> Worked:
        """Work a call out again.

        Raises:
            Unjudged: There is no way to.
        """
        way = self.caller.way(call)
        return work_out(self._operation(call, way), way.link, self._given(call, way, backward=True))

    def recorded_outputs(self, call: str) -> tuple[Array, ...]:
        """Return what a call returned; for the loss, what it was given."""
        if call == self.caller.loss:
            seen = self.caller.trace.criterion
            return (np.asarray(seen.inputs[self.index]),) if seen else ()
        return tuple(self.tensor("activations", name) for name in self.caller.outputs(call))

    def _given(self, call: str, way: Way, *, backward: bool) -> Given:
        trace = self.caller.trace
        if call == self.caller.loss:
            seen = trace.criterion
            sent = np.asarray(seen.gradients[self.index]) if seen and backward else None
            return Given(self._sources(way), {}, (sent,), self.loss_dtype(), self.caller.tolerance)
        layer, outputs = self.caller.layer(call), self.caller.outputs(call)
        dtype = layer.dtype or "float32"
        names = {} if way.mode in ("passes on", "mask") else self.caller.parameters(call)
        parameters = {own: self.tensor("parameters", name) for own, name in names.items()}
        incoming = [self.gradient(name) if backward else None for name in outputs]
        return Given(self._sources(way), parameters, tuple(incoming), dtype, self.caller.tolerance)

    def _sources(self, way: Way) -> tuple[Array, ...]:
        return tuple(self.tensor("activations", name) for name in way.sources)

    def loss_dtype(self) -> str:
        """Return the precision of the loss: that of the layer before it, which an array may hold in a wider one."""
        layers = self.caller.trace.model.layers
        before = [layers[name].dtype for name in self.caller.fed_by[self.caller.loss] if name in layers]
        return (before[-1] if before else None) or str(self.recorded_outputs(self.caller.loss)[0].dtype)

    def _operation(self, call: str, way: Way) -> Operation:
        if way.mode == "passes on":
            return lambda x, parameters: [x]
        layer = self.caller.layer(call)
        if way.mode == "mask":
            recorded = torch.from_numpy(self.recorded_outputs(call)[0].copy())
            return lambda x, parameters: [dropped(x, layer.settings, recorded)]
        if way.mode == "evaluation":
            recorded = torch.from_numpy(self.recorded_outputs(call)[0].copy())
            return lambda x, parameters: [normalised(x, parameters, recorded)]
        module = self.caller.operation(call)
        if layer.type == "MultiheadAttention":
            count = len(self.caller.outputs(call))  # the weights are no output where nobody asked for them
            causal = way.mode == "causal"
            return lambda x, parameters: attended(module, parameters, x, causal=causal)[:count]
        return lambda x, parameters: flattened(applied(module, parameters, x))


def flattened(output: Any) -> list[torch.Tensor]:
    """Return the tensors of a nested output, the first one first."""
    if isinstance(output, torch.Tensor):
        return [output]
    return [tensor for part in output for tensor in flattened(part)]


def normalised(x: torch.Tensor, parameters: Mapping[str, torch.Tensor], recorded: torch.Tensor) -> torch.Tensor:
    """Apply batch normalisation as in evaluation: per channel a scale and a shift, read off input and output.

    The running mean and variance are not in a trace; but two numbers that fit every example of a channel are the truth.
    """
    dims = [dim for dim in range(x.ndim) if dim != 1]
    if x.shape != recorded.shape or not dims:
        raise Unjudged("a function that no module sees stands before it")
    still, y = x.detach().double(), recorded.double()
    mean, level = still.mean(dims, keepdim=True), y.mean(dims, keepdim=True)
    spread = ((still - mean) ** 2).sum(dims, keepdim=True)
    scale = ((still - mean) * (y - level)).sum(dims, keepdim=True) / torch.where(spread == 0, 1, spread)
    made = (x - mean.to(x.dtype)) * scale.to(x.dtype) + level.to(x.dtype)
    shape = [1, -1, *[1] * (x.ndim - 2)]
    if "weight" in parameters and "bias" in parameters:  # else it is made of others, pruned say
        weight, bias = parameters["weight"].reshape(shape), parameters["bias"].reshape(shape)
        unit = ((y - bias.detach().double()) / weight.detach().double()).to(x.dtype)
        made = made + (weight - weight.detach()) * unit + (bias - bias.detach())
    return made
