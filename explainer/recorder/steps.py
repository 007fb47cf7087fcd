"""The account of the steps: when one begins and ends, and what of it goes into the trace."""

import threading
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle

from explainer.errors import ExplainerWarning
from explainer.recorder import scaling
from explainer.recorder.about import About
from explainer.recorder.backward import BackwardWatch
from explainer.recorder.callers import steps_above
from explainer.recorder.changes import Structure
from explainer.recorder.compiled import NOTE, Uncompiled
from explainer.recorder.optimizing import OptimizerWatch, members
from explainer.recorder.options import Options
from explainer.recorder.parameters import ParameterWatch, Table
from explainer.recorder.passes import Listener
from explainer.recorder.probe import Probe
from explainer.recorder.seen import Pass, union
from explainer.recorder.tensors import array_of
from explainer.writer import StepRecord, TraceWriter

_OVERHEARD = "several threads ran the model with gradients on: recorded is the one that called the optimizer"


@dataclass
class Shown:
    """What the forward and backward passes of a step showed."""

    passes: list[Pass]
    gradients: tuple[Table, list[str]]  # of the parameters; and those that have none
    norm: float | None  # of the gradients as backward left them


@dataclass
class Going:
    """What is known of the step that is going on."""

    begun: bool = False  # whether its first forward pass has begun
    logged: dict[str, float] = field(default_factory=dict)
    probed: tuple[dict[str, torch.Tensor], float | None] = field(default_factory=lambda: ({}, None))
    lent: set[str] = field(default_factory=set)  # parameters in whose place others stood in a forward pass
    shown: Shown | None = None  # by the first evaluation of a closure
    moved: dict[OptimizerWatch, tuple[Table, list[str]]] = field(default_factory=dict)  # and the gradients it used


class Steps:
    """Opens and closes steps, and puts what they showed into the trace."""

    def __init__(
        self,
        options: Options,
        writer: TraceWriter,
        watch: ParameterWatch,
        backward: BackwardWatch,
        about: About,
        probe: Probe | None,
        uncompiled: Uncompiled,
    ) -> None:
        self.number = 0  # of the step that is going on
        self.listener: Listener
        self.structure: Structure
        self.renew: Callable[[], None]  # told that the model is made of something else
        self._optimizer: torch.optim.Optimizer | None = None
        self._optimizers: list[OptimizerWatch] = []
        self._options, self._writer, self._watch, self._backward = options, writer, watch, backward
        self._about, self._probe, self._uncompiled = about, probe, uncompiled
        self.recording = False  # whether the step that is going on is recorded
        self._now = Going()
        self._owed: StepRecord | None = None  # a step closed by hand, whose update is still to be seen
        self._due = False  # whether the open shard is to be finished before the next step

    def follow(self, optimizer: torch.optim.Optimizer, guard: Callable[..., Any]) -> list[RemovableHandle]:
        """Have an optimizer close the steps, or several that it stands for."""
        self._optimizer = optimizer
        self._optimizers = [OptimizerWatch(each, self, guard) for each in members(optimizer)]
        return [handle for each in self._optimizers for handle in each.follow()]

    def overhear(self, guard: Callable[..., Any]) -> list[RemovableHandle]:
        """Hear of a `GradScaler`, where steps are closed by hand."""
        return [register_optimizer_step_pre_hook(guard(self._hear_scale))]

    def _hear_scale(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        moved = {id(each) for group in optimizer.param_groups for each in group["params"]}
        if "GradScaler" not in self._about.notes and steps_above(optimizer).scale != 1 and self._watch.names(moved):
            self._about.notes["GradScaler"] = scaling.BY_HAND
            warnings.warn(scaling.BY_HAND, ExplainerWarning, stacklevel=2)

    # What happens in a step

    def begin_pass(self) -> bool:
        """Get ready for a forward pass; returns whether it is recorded."""
        self.end()
        self._now.begun = self._about.forward_seen = True
        self._settle()
        if not self.recording:
            return False
        self._uncompiled.look_up()
        if self.structure.is_changed():
            self._notice_changes()
        if self._due:
            self._flush()
        if self._watch.begin(self.number) and self._probe is not None:
            self._run_probe(self._probe)
        return True

    def _run_probe(self, probe: Probe) -> None:
        try:
            self._now.probed = probe.run()
        except Exception as error:  # such as of a wrong shape: what is recorded besides goes on
            self._probe = None
            warnings.warn(self._about.lose_probe(self.number, error), ExplainerWarning, stacklevel=2)

    def before_update(self, by: OptimizerWatch) -> bool:
        """See the weights, if no forward pass of this step has; returns whether the step is recorded."""
        if by in self._now.moved:
            self.close(by_hand=False)
        if not self.recording:
            return False
        self._now.shown = None
        if not self._now.begun:
            if self._due:
                self._flush()
            self._watch.begin(self.number)
        return True

    def first_evaluation(self) -> None:
        """Take what a closure's first evaluation showed: it was made at the weights that the step starts from."""
        self._now.shown = self._take()

    def heed(self, heed: bool) -> None:
        """Say whether the passes that follow are to be recorded."""
        self.listener.asleep = not heed

    def after_update(self, by: OptimizerWatch) -> None:
        """Close the step that an optimizer has made.

        Where there are several, the last to move closes it; so does the next forward pass, or one that moves again.
        """
        if len(self._optimizers) > 1:
            self._now.moved[by] = self._watch.gradients(self.number, by.parameters) if self.recording else ({}, [])
            if len(self._now.moved) < len(self._optimizers):
                return
        self.close(by_hand=False)

    def log(self, name: str, number: float) -> None:
        """Keep a number of the step that is going on, or of the one just closed if the next has not begun."""
        if self._now.begun or self.number == 0:
            self._now.logged[name] = number
        elif (last := self._writer.last) and last.step == self.number - 1:
            last.scalars[name] = number

    def _notice_changes(self) -> None:
        lent = self.structure.lent()
        if lent is None:
            self.renew()
        else:
            self._now.lent.update(lent)

    def use(self, watch: ParameterWatch, backward: BackwardWatch, structure: Structure) -> None:
        """Go on with another model; what was seen of the one before is put away."""
        self._watch.finish(self.number)
        self._flush()
        backward.discarded = self._backward.discarded
        self._watch, self._backward, self.structure = watch, backward, structure

    # Its end

    def close(self, *, by_hand: bool) -> None:
        """End the step that is going on.

        Args:
            by_hand: Whether its update may still be to come.
        """
        follows = bool(self._options.every(self.number + 1))
        if self.recording:
            self._close_recorded(by_hand=by_hand, follows=follows)
        elif self._due and self._owed is None:
            self._flush()
        self.number += 1
        self._now = Going()
        for each in self._optimizers:
            each.rest()
        self.look_ahead(follows)

    def end(self) -> None:
        """End the step that some of several optimizers have made, if there is one: the others did not move."""
        if self._now.moved:
            self.close(by_hand=False)

    def look_ahead(self, follows: bool | None = None) -> None:
        """Listen if the step that comes is to be recorded."""
        self._uncompiled.hold()
        self.recording = bool(self._options.every(self.number)) if follows is None else follows
        if self.recording:
            self.listener.describing = self._about.describing
            self.listener.attach()
        else:
            self.listener.detach()

    def _close_recorded(self, *, by_hand: bool, follows: bool) -> None:
        if self._uncompiled.seen and "torch.compile" not in self._about.notes:
            self._about.notes["torch.compile"] = NOTE
            warnings.warn(f"torch.compile: the model {NOTE}", ExplainerWarning, stacklevel=2)
        self.listener.home = threading.get_ident()
        if self.listener.overheard:
            self._about.notes["threads"] = _OVERHEARD
        before = self._writer.nbytes
        shown = self._now.shown or self._take()
        self.listener.forget()
        record = StepRecord(self.number)
        if (scale := self._scale) != 1:
            scaling.unscale(shown.passes, scale)
        self._store_passes(record, shown.passes)
        self._store_probe(record)
        record.moments["parameters"] = self._watch.weights(self.number)
        record.moments["parameter_gradients"], without = shown.gradients
        record.scalars.update(self._scalars(shown))
        record.events = [event for each in shown.passes for event in each.events] + ["update"]
        self._about.take_step(self.number, shown.passes, without, lent=self._now.lent, idle=self._idle())
        self._about.discarded = self._backward.discarded
        self._due = self._writer.due
        if by_hand:
            self._owed = record
        else:
            full = self._outgrows(2 * (self._writer.nbytes - before))  # the update may come, and the next step
            continues = follows and not full and not self._due
            record.moments["updates"] = self._watch.close(self.number, continues=continues)
            if full:
                self._keep_no_more()
        self._writer.close_step(record)

    def _take(self) -> Shown:
        norm = self._backward.norm()
        passes = self.listener.take()
        if not self._now.moved:
            return Shown(passes, self._watch.gradients(self.number), norm)
        tables = [table for table, _ in self._now.moved.values()]
        table = {name: moments for each in tables for name, moments in each.items()}
        return Shown(passes, (table, self._watch.without(table)), norm)

    def _idle(self) -> set[str]:
        """Return the parameters whose optimizer did not move, though another did."""
        idle = [each for each in self._optimizers if each not in self._now.moved] if self._now.moved else []
        return {name for each in idle for name in self._watch.names(each.parameters)}

    @property
    def _scale(self) -> float:
        """What a `GradScaler` multiplied the losses of the step with."""
        return next((each.scale for each in self._optimizers if each.scale != 1), 1.0)

    def _settle(self) -> None:
        """See the update of a step that was closed by hand."""
        if self._owed is not None:
            self._owed.moments["updates"] = self._watch.close(self._owed.step, continues=False)
            self._owed = None
            if self._outgrows(0):
                self._keep_no_more()

    def _outgrows(self, more: int) -> bool:
        return bool(self.listener.eye.keep) and self._writer.nbytes + more > self._options.max_bytes

    def _keep_no_more(self) -> None:
        self.listener.eye.keep = self._watch.keep = frozenset()
        self._about.full_at = self.number
        warnings.warn(
            f"the trace reaches max_bytes={self._options.max_bytes:,} in step {self.number}: from here on only "
            "statistics are kept; every=, examples=, layers= and keep= make a trace smaller, max_bytes= allows more",
            ExplainerWarning,
            stacklevel=2,
        )

    # Between the steps

    def pause(self) -> None:
        """Finish the open shard between two steps, for somebody who looks."""
        if not self._now.begun and self._owed is None:
            self._watch.finish(self.number)
            self._flush()

    def finish(self) -> None:
        """Put away what the last step left."""
        self._settle()
        self._watch.finish(self.number)
        self._flush()

    def _flush(self) -> None:
        self._writer.describe(self._about.to_json())
        self._writer.flush()
        self._due = False

    # What a step showed

    def _store_passes(self, record: StepRecord, passes: list[Pass]) -> None:
        for kind in ("inputs", "activations", "gradients", "targets", "criterion"):
            seen = union(passes, kind, self._options.examples)
            record.moments[kind] = {name: each.moments for name, each in seen.items() if each.moments is not None}
            kept = {name: each.kept for name, each in seen.items() if each.kept is not None}
            self._writer.keep(kind, self.number, kept)

    def _store_probe(self, record: StepRecord) -> None:
        activations, loss = self._now.probed
        if self.listener.eye.keep:
            self._writer.keep("probe", self.number, {name: array_of(each) for name, each in activations.items()})
        if loss is not None:
            record.scalars["probe_loss"] = loss

    def _scalars(self, shown: Shown) -> dict[str, float]:
        losses = [loss for each in shown.passes for loss in each.losses]
        found = {"loss": sum(losses)} if losses else {}
        self._about.loss_seen |= bool(losses)
        for index, group in enumerate(self._optimizer.param_groups if self._optimizer else ()):
            found[f"learning_rate[{index}]" if index else "learning_rate"] = float(group["lr"])
        if evaluations := sum(each.evaluations for each in self._optimizers):
            found["evaluations"] = float(evaluations)
        if (scale := self._scale) != 1:
            found["loss_scale"] = scale
            self._about.notes["GradScaler"] = scaling.NOTE
        if shown.norm is not None:
            found["gradient_norm"] = shown.norm / scale
        return found | self._now.logged
