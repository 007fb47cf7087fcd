"""What `trace.json` says of a run: the model, what was asked for, and what is missing with its reason."""

import datetime
import platform
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from explainer import __version__
from explainer.architecture import LOSS, Model, apart
from explainer.recorder.changes import LENT
from explainer.recorder.distributed import Rank
from explainer.recorder.options import KINDS, Options
from explainer.recorder.seen import Pass
from explainer.recorder.wiring import Wiring, describe

_IN_PARTS = "several backward passes went through this output, and the statistics of their sum are not known"
_TOUCHED = "another hook on this output may change its gradient: recorded is what arrived, before it"
_UNSEEN = "no gradient arrived: the loss does not depend on this output"


class About:
    """Keeps the account of a recording."""

    def __init__(
        self,
        model: nn.Module,
        layers: Mapping[str, nn.Module],
        parameters: Mapping[str, torch.Tensor],
        criterion: nn.Module | None,
        optimizer: torch.optim.Optimizer | None,
        options: Options,
    ) -> None:
        self.notes: dict[str, Any] = {}
        self.steps = 0
        self.forward_seen = self.backward_seen = self.loss_seen = False
        self.failure: str | None = None
        self.rank: Rank | None = None
        self.discarded = 0  # backward passes whose gradients were thrown away
        self.full_at: int | None = None  # the step in which max_bytes was reached
        self._model, self._layers, self._parameters = model, layers, parameters
        self._criterion, self._optimizer, self._options = criterion, optimizer, options
        self._wiring: Wiring | None = None
        self._order: dict[str, None] = {}
        self._part_time: dict[str, str] = {}  # name -> when it was no part of the model
        self._lacks: dict[str, tuple[str, int, int]] = {}  # name -> reason, how often, first step
        self._model_known: tuple[Model, dict[str, Any]] | None = None  # it does not change once the wiring is known
        self._probe_lost: str | None = None
        self._created = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")

    def renew(self, step: int, layers: Mapping[str, nn.Module], parameters: Mapping[str, torch.Tensor]) -> None:
        """Take note that the model, or what the optimizer does with it, is another from a step on."""
        before: dict[str, Any] = {**self._layers, **self._parameters}
        now: dict[str, Any] = {**layers, **parameters}
        groups = {
            "replaced": [name for name in now if name in before and now[name] is not before[name]],
            "gone": [name for name in before if name not in now],
            "new": [name for name in now if name not in before],
        }
        told = [f"{what}: {', '.join(names)}" for what, names in groups.items() if names]
        said = "; ".join(told) or "the form of parameters, or the optimizer's groups"
        self.notes.setdefault("changes", []).append(f"before step {step}: {said}")
        self._part_time |= dict.fromkeys(groups["new"], f"not part of the model before step {step}")
        self._part_time |= dict.fromkeys(groups["gone"], f"not part of the model from step {step} on")
        self._layers, self._parameters = layers, parameters
        self._wiring = self._model_known = None

    def take_step(
        self,
        step: int,
        passes: Iterable[Pass],
        without_gradient: Iterable[str],
        *,
        lent: Iterable[str],
        idle: Collection[str],
    ) -> None:
        """Take note of what a step showed, and of what it did not.

        Args:
            without_gradient: The parameters that have none.
            lent: Those in whose place others stood.
            idle: Those whose optimizer did not move.
        """
        for name in lent:
            self._lack(step, name, LENT)
        without_gradient = [name for name in without_gradient if name not in lent]
        passes = list(passes)
        self.steps += 1
        answered = any(each.answered for each in passes)
        self.backward_seen |= answered
        activations = {name: None for each in passes for name in each.seen.get("activations", ())}
        gradients = {name for each in passes for name in each.seen.get("gradients", ())}
        reasons = {name: reason for each in passes for name, reason in each.no_gradient.items()}
        called = {name for each in passes for name in each.calls}
        self._order.update(activations)
        for layer in self._layers:
            if layer not in called:
                self._lack(step, layer, "no activation: the layer was not called")
            elif layer not in activations:
                self._lack(step, layer, "no activation: the layer returned no tensor")
        for name in activations:
            if name in gradients:
                continue
            if not answered:
                self._lack(step, name, "no gradient: no backward pass was seen")
            else:
                self._lack(step, name, reasons.get(name, _UNSEEN))
        for name in {name for each in passes for name in each.repeated}:
            self._lack(step, name, _IN_PARTS)
        for name in {name for each in passes for name in each.touched}:
            self._lack(step, name, _TOUCHED)
        for name in without_gradient:
            reason = "none arrived" if self._parameters[name].requires_grad else "it is frozen"
            self._lack(step, name, f"no parameter gradient: {'its optimizer made no step' if name in idle else reason}")
        seen = [each.wiring for each in passes if each.wiring is not None]
        if self._wiring is None and seen:
            self._wiring = next((each for each in seen if each.criterion), seen[0])
            self._wiring.release()

    @property
    def describing(self) -> bool:
        """Whether the wiring of the model is still to be seen."""
        return self._wiring is None

    def nothing(self) -> str:
        """Say in one sentence why no gradient was recorded."""
        if self.failure:
            return self.failure
        if self.steps:
            return f"no backward pass was seen in {self.steps} recorded steps: call loss.backward() before the step"
        if not self.forward_seen:
            return "no step was recorded: the model was never called with gradients on, inside the recording"
        closing = "optimizer.step()" if self._optimizer else "recorder.step(loss)"
        return f"no step was recorded: forward passes ran, but {closing} never closed a step after a backward pass"

    def to_json(self) -> dict[str, Any]:
        """Return what `trace.json` says, all but the number of shards."""
        model, model_json = self._model_known or self._describe()
        return {
            "created": self._created,
            "versions": {
                "explainer": __version__,
                "torch": torch.__version__,
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
            "keep": [kind for kind in KINDS if kind in self._options.keep],
            "examples": self._options.examples,
            "model": model_json,
            "layers": list(self._order),
            "missing": self._missing(model),
            "aliases": dict(self._wiring.aliases) if self._wiring else {},
            "notes": self._all_notes(),
            "failure": self.failure,
            "full_at": self.full_at,
            "rank": {"rank": self.rank.number, "of": self.rank.of} if self.rank else None,
        }

    def _describe(self) -> tuple[Model, dict[str, Any]]:
        model = describe(self._model, self._layers, self._wiring, self._criterion, self._optimizer)
        found = model, model.to_json()
        self._model_known = found if self._wiring else None
        return found

    def _all_notes(self) -> dict[str, Any]:
        if not self.discarded:
            return dict(self.notes)
        said = f"{self.discarded} backward passes are not recorded: their gradients were thrown away before a step"
        return {"discarded": said} | self.notes

    def _missing(self, model: Model) -> dict[str, str]:
        if not self.steps:
            return dict.fromkeys((*self._layers, LOSS, model.loss_name), self.nothing())
        found = {}
        for name, (reason, times, first) in self._lacks.items():
            always = times == self.steps
            found[name] = reason if always else f"{reason} ({times} of {self.steps} steps, first in step {first})"
        found |= self._part_time
        for name, reader in self._wiring.read_within.items() if self._wiring else ():
            found.setdefault(name, f"the gradient is the whole tensor's: inside its layer {reader} is computed from it")
        if self._probe_lost:
            found[apart("probe", self._layers)] = self._probe_lost
        if not self.loss_seen:
            found[model.loss_name] = (
                "no backward pass came through a criterion, and no loss was logged with recorder.log(loss=loss)"
            )
        return found

    def lose_probe(self, step: int, error: Exception) -> str:
        """Take note that the probe could not be run; returns the sentence that says so."""
        said = f"{type(error).__name__}: {error}"
        self._probe_lost = f"the probe could not be run in step {step}, and is left out from there on: {said}"
        return self._probe_lost

    def _lack(self, step: int, name: str, reason: str) -> None:
        before, times, first = self._lacks.get(name, (reason, 0, step))
        self._lacks[name] = (before, times + 1, first)
