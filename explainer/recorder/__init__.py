"""`explainer.record`: a training run, recorded through hooks, not one line of it changed."""

import contextlib
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from explainer.errors import ExplainerWarning, RecordingError
from explainer.recorder.about import About
from explainer.recorder.guard import GuardedHook
from explainer.recorder.options import Options, check_modules, read_options, select_layers
from explainer.recorder.parameters import ParameterWatch
from explainer.recorder.passes import Listener, Pass, union
from explainer.recorder.probe import Probe
from explainer.recorder.tensors import array_of
from explainer.trace import Trace, open_trace
from explainer.writer import StepRecord, TraceWriter

__all__ = ["Recorder", "record"]


def record(
    model: nn.Module,
    path: str | Path | None = None,
    *,
    criterion: nn.Module | None = None,
    optimizer: torch.optim.Optimizer | None = None,
    every: int | Callable[[int], bool] = 1,
    examples: int | None = 8,
    layers: str | Iterable[str] | None = None,
    keep: Iterable[str] | None = None,
    probe: tuple[Any, torch.Tensor | None] | None = None,
    max_bytes: int = 2 * 1024**3,
    overwrite: bool = False,
) -> "Recorder":
    """Record a training run: `with explainer.record(model, "runs/digits", …) as recorder:` around your loop.

    Args:
        model: What is trained; training is bitwise what it is without a recorder.
        path: The trace's folder, written while the run goes on; without it the trace stays in memory.
        criterion: The loss module; its call gives the loss, the targets and ∂loss/∂(its input). Where it is called
            several times in a step, the loss is what backward went through: the sum, each call with its own factor.
            With a functional loss call `recorder.log(loss=loss)` instead.
        optimizer: Each of its steps closes a recorded step and gives learning rates and updates. Without it call
            `recorder.step(loss)` after `loss.backward()`.
        every: Each k-th step is recorded, or those for which a function of the step number says so. The steps
            between cost almost nothing.
        examples: How many first examples of a batch are kept of activations, gradients, inputs and targets; None for
            all. Statistics are over the whole batch; micro-batches of one step count as one batch.
        layers: Names or globs ("layer1.*") of the layers to record; all when omitted.
        keep: Which of "activations", "gradients", "parameters", "parameter_gradients", "updates", "inputs" and
            "targets" are kept in full; all when omitted, none for `()`. Statistics of every kind are always kept.
        probe: (inputs, targets) that are run through the model at every recorded step, in evaluation mode, without
            touching the training.
        max_bytes: When the trace would outgrow it, tensors are no longer kept; statistics go on.
        overwrite: Whether a trace at `path` may be replaced.

    Returns:
        A context manager; after it, or while it goes on, `recorder.trace` is what was recorded.

    Raises:
        RecordingError: An argument is not what it can be; an unknown layer is named with the nearest.
    """
    options = read_options(every, examples, keep, max_bytes)
    check_modules(model, criterion, optimizer)
    chosen = select_layers(model, layers)
    inside = {id(parameter) for layer in chosen.values() for parameter in layer.parameters()}
    return Recorder(
        model,
        None if path is None else Path(path),
        criterion=criterion,
        optimizer=optimizer,
        options=options,
        layers=chosen,
        parameters={name: each for name, each in model.named_parameters() if layers is None or id(each) in inside},
        probe=None if probe is None else Probe(model, chosen, criterion, probe),
        overwrite=overwrite,
    )


class Recorder:
    """Follows one training run; made by `explainer.record`.

    Attributes:
        failure: The error that ended the recording early, or None. Training is never stopped by it.
    """

    def __init__(
        self,
        model: nn.Module,
        path: Path | None,
        *,
        criterion: nn.Module | None,
        optimizer: torch.optim.Optimizer | None,
        options: Options,
        layers: dict[str, nn.Module],
        parameters: dict[str, nn.Parameter],
        probe: Probe | None,
        overwrite: bool,
    ) -> None:
        self.failure: Exception | None = None
        self._path, self._overwrite = path, overwrite
        self._optimizer, self._options, self._parameters, self._probe = optimizer, options, parameters, probe
        self._about = About(model, layers, parameters, criterion, optimizer, options)
        self._listener = Listener(model, layers, criterion, options, guard=self._guard, begin=self._begin_pass)
        self._handles: list[RemovableHandle] = []
        self._state = "new"  # then "running", then "over"
        self._step = 0  # the step that is going on
        self._recording = False  # whether it is recorded
        self._begun = False  # whether its first forward pass has begun
        self._logged: dict[str, float] = {}  # in it
        self._probed: tuple[dict[str, torch.Tensor], float | None] = ({}, None)  # what the probe showed before it
        self._owed: StepRecord | None = None  # a step closed by hand, whose update is still to be seen
        self._due = False  # whether the open shard is to be finished before the next step

    # The life of a recording

    def __enter__(self) -> "Recorder":
        if self._state != "new":
            raise RecordingError("this recorder was used already: call explainer.record again for another run")
        self._writer = TraceWriter(self._path, overwrite=self._overwrite)
        self._watch = ParameterWatch(self._parameters, self._writer, self._options.keep)
        if self._probe is not None:
            self._writer.keep_constant("probe.inputs", array_of(self._probe.inputs))
            if self._probe.targets is not None:
                self._writer.keep_constant("probe.targets", array_of(self._probe.targets))
        self._writer.describe(self._about.to_json())
        self._state = "running"
        self._handles = [self._listener.follow()]
        if self._optimizer is not None:
            self._handles.append(self._optimizer.register_step_post_hook(self._guard(self._after_optimizer)))
        self._guard(self._look_ahead)()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._take_hooks_off()
        if self._state == "running":
            self._guard(self._finish)()
            self._state = "over"
            self._writer.close()
            if error is None and self.failure is None and not self._about.backward_seen:
                warnings.warn(self._about.nothing(), ExplainerWarning, stacklevel=2)

    def _finish(self) -> None:
        self._settle()
        self._watch.finish(self._step)
        self._flush()
        self._writer.drain()
        self._writer.describe(self._about.to_json(), finished=True)

    def _take_hooks_off(self) -> None:
        self._listener.detach()
        self._listener.forget()
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _guard(self, function: Callable[..., Any]) -> GuardedHook:
        """Keep a failure of the recorder away from the training."""
        return GuardedHook(function, self._is_active, self._fail)

    def _is_active(self) -> bool:
        return self._state == "running" and self.failure is None

    def _fail(self, error: Exception) -> None:
        self.failure = error
        self._about.failure = f"the recording ended in step {self._step}: {type(error).__name__}: {error}"
        self._take_hooks_off()
        with contextlib.suppress(OSError):  # the disk may be full; what stands there opens all the same
            self._writer.describe(self._about.to_json())
        kept = "" if self._path is None else f" What was finished before stays in {self._path}."
        warnings.warn(
            f"the recording ended in step {self._step}; training goes on. {type(error).__name__}: {error}.{kept}",
            ExplainerWarning,
            stacklevel=3,
        )

    # What a user may call

    @property
    def trace(self) -> Trace:
        """What was recorded; while the run goes on, what was recorded so far.

        Raises:
            RecordingError: The recording has not begun.
        """
        if self._state == "new":
            raise RecordingError("nothing is recorded yet: the recording begins with `with explainer.record(…)`")
        if self._state == "running":
            if not self._begun:
                self._guard(self._pause)()
            self._guard(self._writer.drain)()
        if self._path is not None:
            return open_trace(self._path)
        return Trace(list(self._writer.shards), self._writer.about)

    def log(self, **scalars: Any) -> None:
        """Keep numbers of the step that is going on, or of the one just closed if the next has not begun.

        Numbers of a step that is not recorded (see `every`) are not kept.

        Raises:
            RecordingError: A value is not one number.
        """
        for name, value in scalars.items():
            try:
                number = float(value.detach() if isinstance(value, torch.Tensor) else value)
            except (TypeError, ValueError, RuntimeError) as error:
                raise RecordingError(f"log({name}=…): {type(value).__name__} is not one number") from error
            self._about.loss_seen |= name == "loss"
            if self._begun or self._step == 0:
                self._logged[name] = number
            elif self._state == "running" and (last := self._writer.last) and last.step == self._step - 1:
                last.scalars[name] = number

    def note(self, **facts: Any) -> None:
        """Keep facts about the run with the trace, in JSON's types: `trace.notes`."""
        self._about.notes.update(facts)

    def step(self, loss: Any = None) -> None:
        """Close a step where no optimizer was given: call it after `loss.backward()`.

        Raises:
            RecordingError: An optimizer was given, which closes the steps itself.
        """
        if self._optimizer is not None:
            raise RecordingError("recorder.step: the optimizer given to record closes each step; leave this call out")
        if loss is not None:
            self.log(loss=loss)
        self._guard(self._close)(by_hand=True)

    # Steps

    def _begin_pass(self) -> bool:
        """Get ready for a forward pass; returns whether it is recorded."""
        self._begun = self._about.forward_seen = True
        self._settle()
        if not self._recording:
            return False
        if self._due:
            self._flush()
        if self._watch.begin(self._step) and self._probe is not None:
            self._probed = self._probe.run()
        return True

    def _after_optimizer(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        self._close(by_hand=False)

    def _close(self, *, by_hand: bool) -> None:
        follows = bool(self._options.every(self._step + 1))
        if self._recording:
            self._close_recorded(by_hand=by_hand, follows=follows)
        elif self._due and self._owed is None:
            self._flush()
        self._step += 1
        self._begun = False
        self._logged = {}
        self._look_ahead(follows)

    def _look_ahead(self, follows: bool | None = None) -> None:
        self._recording = bool(self._options.every(self._step)) if follows is None else follows
        if self._recording:
            self._listener.describing = self._about.describing
            self._listener.attach()
        else:
            self._listener.detach()

    def _close_recorded(self, *, by_hand: bool, follows: bool) -> None:
        passes = self._listener.take()
        record = StepRecord(self._step)
        before = self._writer.nbytes
        self._store_passes(record, passes)
        self._store_probe(record)
        record.moments["parameters"] = self._watch.weights(self._step)
        record.moments["parameter_gradients"], without = self._watch.gradients(self._step)
        record.scalars.update(self._scalars(passes))
        record.events = [event for each in passes for event in each.events] + ["update"]
        self._about.take_step(self._step, passes, without)
        self._due = self._writer.due
        if by_hand:
            self._owed = record
        else:
            full = self._outgrows(2 * (self._writer.nbytes - before))  # the update may come, and the next step
            continues = follows and not full and not self._due
            record.moments["updates"] = self._watch.close(self._step, continues=continues)
            if full:
                self._keep_no_more()
        self._writer.close_step(record)

    def _settle(self) -> None:
        """See the update of a step that was closed by hand."""
        if self._owed is not None:
            self._owed.moments["updates"] = self._watch.close(self._owed.step, continues=False)
            self._owed = None
            if self._outgrows(0):
                self._keep_no_more()

    def _outgrows(self, more: int) -> bool:
        return bool(self._listener.keep) and self._writer.nbytes + more > self._options.max_bytes

    def _keep_no_more(self) -> None:
        self._listener.keep = self._watch.keep = frozenset()
        self._about.full_at = self._step
        warnings.warn(
            f"the trace reaches max_bytes={self._options.max_bytes:,} in step {self._step}: from here on only "
            "statistics are kept; every=, examples=, layers= and keep= make a trace smaller, max_bytes= allows more",
            ExplainerWarning,
            stacklevel=2,
        )

    def _flush(self) -> None:
        self._writer.describe(self._about.to_json())
        self._writer.flush()
        self._due = False

    def _pause(self) -> None:
        """Finish the open shard between two steps, for somebody who looks."""
        if self._owed is None:
            self._watch.finish(self._step)
            self._flush()

    # What a step showed

    def _store_passes(self, record: StepRecord, passes: list[Pass]) -> None:
        for kind in ("inputs", "activations", "gradients", "targets", "criterion"):
            seen = union(passes, kind, self._options.examples)
            record.moments[kind] = {name: each.moments for name, each in seen.items() if each.moments is not None}
            kept = {name: each.kept for name, each in seen.items() if each.kept is not None}
            self._writer.keep(kind, self._step, kept)

    def _store_probe(self, record: StepRecord) -> None:
        activations, loss = self._probed
        if self._listener.keep:
            self._writer.keep("probe", self._step, {name: array_of(each) for name, each in activations.items()})
        if loss is not None:
            record.scalars["probe_loss"] = loss
        self._probed = ({}, None)

    def _scalars(self, passes: list[Pass]) -> dict[str, float]:
        losses = [loss for each in passes for loss in each.losses]
        found = {"loss": sum(losses)} if losses else {}
        self._about.loss_seen |= bool(losses)
        for index, group in enumerate(self._optimizer.param_groups if self._optimizer else ()):
            found[f"learning_rate[{index}]" if index else "learning_rate"] = float(group["lr"])
        return found | self._logged
