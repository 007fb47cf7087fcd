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
from explainer.recorder.backward import BackwardWatch
from explainer.recorder.changes import Structure
from explainer.recorder.compiled import Uncompiled
from explainer.recorder.distributed import own_rank, take_place
from explainer.recorder.guard import GuardedHook, stay_in_this_process
from explainer.recorder.optimizing import together
from explainer.recorder.options import Options, check_modules, read_options, select
from explainer.recorder.parameters import ParameterWatch
from explainer.recorder.passes import Listener
from explainer.recorder.probe import Probe
from explainer.recorder.steps import Steps
from explainer.recorder.tensors import array_of
from explainer.recorder.wrappers import unwrapped
from explainer.trace import Trace, open_trace
from explainer.writer import TraceWriter

__all__ = ["Recorder", "record"]


def record(
    model: nn.Module,
    path: str | Path | None = None,
    *,
    criterion: nn.Module | None = None,
    optimizer: torch.optim.Optimizer | Iterable[torch.optim.Optimizer] | None = None,
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
        model: What is trained; training is bitwise what it is without a recorder. Where `torch.compile` compiled it,
            or a part, it runs uncompiled meanwhile, which is said.
        path: The trace's folder, written while the run goes on; without it the trace stays in memory. Where several
            processes train together, each records into its own `rank0`, `rank1`, … inside.
        criterion: The loss module; its call gives the loss, the targets and ∂loss/∂(its input). Where it is called
            several times in a step, the loss is what backward went through: the sum, each call with its own factor.
            With a functional loss call `recorder.log(loss=loss)` instead.
        optimizer: Each of its steps closes a recorded step and gives learning rates and updates; of several, the last
            that moves before the next forward pass. Without it call `recorder.step(loss)` after `loss.backward()`.
        every: Each k-th step is recorded, or those for which a function of the step number says so. The steps
            between cost almost nothing.
        examples: How many first examples of a batch are kept of activations, gradients, inputs and targets; None for
            all. Statistics are over the whole batch; micro-batches of one step count as one batch.
        layers: Names or globs ("layer1.*") of the layers to record; all when omitted.
        keep: Which of "activations", "gradients", "parameters", "parameter_gradients", "updates", "inputs" and
            "targets" are kept in full; all when omitted, none for `()`. Statistics of every kind are always kept.
        probe: (inputs, targets) shown to the model at every recorded step, in evaluation mode, training untouched.
        max_bytes: When the trace would outgrow it, tensors are no longer kept; statistics go on.
        overwrite: Whether a trace at `path` may be replaced.

    Returns:
        A context manager; after it, or while it goes on, `recorder.trace` is what was recorded.

    Raises:
        RecordingError: An argument is not what it can be; an unknown layer is named with the nearest.
    """
    check_modules(model, criterion, optimizer)
    inner = unwrapped(model)
    chosen, parameters = select(inner, layers)
    return Recorder(
        inner,
        None if path is None else Path(path),
        criterion=criterion,
        optimizer=together(optimizer),
        options=read_options(every, examples, keep, max_bytes),
        layers=chosen,
        parameters=parameters,
        select=lambda: select(inner, layers),
        probe=None if probe is None else Probe(inner, chosen, criterion, probe),
        overwrite=overwrite,
        uncompiled=Uncompiled(model),
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
        select: Callable[[], tuple[dict[str, nn.Module], dict[str, nn.Parameter]]],
        probe: Probe | None,
        overwrite: bool,
        uncompiled: Uncompiled,
    ) -> None:
        self.failure: Exception | None = None
        self._path, self._overwrite = path, overwrite
        self._model, self._layers, self._uncompiled = model, layers, uncompiled
        self._optimizer, self._options, self._parameters, self._probe = optimizer, options, parameters, probe
        self._select, self._structure = select, Structure(model, parameters, optimizer)
        self._about = About(model, layers, parameters, criterion, optimizer, options)
        self._criterion = criterion
        self._handles: list[RemovableHandle] = []
        self._state = "new"  # then "running", then "over"

    # The life of a recording

    def __enter__(self) -> "Recorder":
        if self._state != "new":
            raise RecordingError("this recorder was used already: call explainer.record again for another run")
        self._about.rank = rank = own_rank()
        if self._path is not None:
            self._path = take_place(self._path, rank, overwrite=self._overwrite)
        self._writer = TraceWriter(self._path, overwrite=self._overwrite)
        watch = ParameterWatch(self._parameters, self._writer, self._options.keep)
        backward = BackwardWatch(self._parameters.values(), self._guard)
        self._steps = Steps(self._options, self._writer, watch, backward, self._about, self._probe, self._uncompiled)
        self._steps.structure, self._steps.renew = self._structure, self._renew
        self._listener = self._steps.listener = Listener(
            self._model,
            self._layers,
            self._criterion,
            self._options,
            backward=backward,
            guard=self._guard,
            begin=self._steps.begin_pass,
        )
        if self._probe is not None:
            self._writer.keep_constant("probe.inputs", array_of(self._probe.inputs))
            if self._probe.targets is not None:
                self._writer.keep_constant("probe.targets", array_of(self._probe.targets))
        self._writer.describe(self._about.to_json())
        self._state = "running"
        stay_in_this_process(self)
        try:
            self._put_hooks_on()
        except BaseException:
            self._take_hooks_off()
            self._state = "over"
            self._writer.close()
            raise
        return self

    def _put_hooks_on(self) -> None:
        self._handles = [self._listener.follow()]
        self._uncompiled.watch([self._model, *self._layers.values()], self._guard)
        if self._optimizer is not None:
            self._handles += self._steps.follow(self._optimizer, self._guard)
        else:
            self._handles += self._steps.overhear(self._guard)
        self._guard(self._steps.look_ahead)()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        running = self._state == "running"
        try:
            self._guard(self._steps.end)()
            self._take_hooks_off()
            self._guard(self._finish)()
        finally:
            self._state = "over"
            self._writer.close()
        if running and error is None and self.failure is None and not self._about.backward_seen:
            warnings.warn(self._about.nothing(), ExplainerWarning, stacklevel=2)

    def _finish(self) -> None:
        self._steps.finish()
        self._writer.drain()
        self._writer.describe(self._about.to_json(), finished=True)

    def _renew(self) -> None:
        """Follow a model that is made of something else than before."""
        layers, parameters = self._select()
        backward = BackwardWatch(parameters.values(), self._guard)
        watch = ParameterWatch(parameters, self._writer, self._listener.eye.keep)
        self._steps.use(watch, backward, Structure(self._model, parameters, self._optimizer))
        self._about.renew(self._steps.number, layers, parameters)
        self._listener.renew(layers, backward)
        if self._probe is not None:
            self._probe.layers = layers

    def _take_hooks_off(self) -> None:
        self._uncompiled.release()
        self._listener.detach()
        self._listener.forget()
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def leave(self) -> None:
        """Do what the end of the `with` does, if it has not come: called when the interpreter ends."""
        if self._state == "running":
            self.__exit__(None, None, None)

    def abandon(self) -> None:
        """Record no more, and finish nothing: what a forked process does with its copy of a recorder."""
        self._state = "over"
        self._uncompiled.release()

    def _guard(self, function: Callable[..., Any]) -> GuardedHook:
        """Keep a failure of the recorder away from the training."""
        return GuardedHook(function, self._is_active, self._fail)

    def _is_active(self) -> bool:
        return self._state == "running" and self.failure is None

    def _fail(self, error: Exception) -> None:
        self.failure = error
        self._about.failure = f"the recording ended in step {self._steps.number}: {type(error).__name__}: {error}"
        self._take_hooks_off()
        with contextlib.suppress(Exception):  # the disk may be full; what stands there opens all the same
            self._writer.describe(self._about.to_json())
        kept = "" if self._path is None else f" What was finished before stays in {self._path}."
        warnings.warn(
            f"the recording ended in step {self._steps.number}; training goes on. "
            f"{type(error).__name__}: {error}.{kept}",
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
            self._guard(self._steps.pause)()
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
            if self._state == "running":
                self._steps.log(name, number)

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
        self._guard(self._steps.close)(by_hand=True)
