"""Following an optimizer: what stands when its step begins, which evaluation of a closure counts, when it is done.

An optimizer that is given a closure evaluates it inside its step, LBFGS many times, each at other weights. Recorded is
the first evaluation: it is made at the weights that the step starts from. The update is that of the whole step.
"""

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import torch
from torch.utils.hooks import RemovableHandle

from explainer.recorder.callers import steps_above


class Steps(Protocol):
    """What is told of an optimizer's step."""

    def before_update(self, by: "OptimizerWatch") -> bool:
        """See the weights as they are; returns whether the step is recorded."""

    def first_evaluation(self) -> None:
        """See the passes and gradients of a closure's first evaluation, which has just ended."""

    def heed(self, heed: bool) -> None:
        """Say whether the passes that follow are to be recorded."""

    def after_update(self, by: "OptimizerWatch") -> None:
        """See the step done."""


class Together(torch.optim.Optimizer):
    """Several optimizers that move one model, to be described as one; it moves nothing itself."""

    def __init__(self, members: Iterable[torch.optim.Optimizer]) -> None:
        self.members = tuple(members)

    @property
    def param_groups(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The groups of all, one after the other."""
        return [group for each in self.members for group in each.param_groups]


def together(optimizer: Any) -> torch.optim.Optimizer | None:
    """Return what stands for an optimizer, or for several."""
    return optimizer if optimizer is None or isinstance(optimizer, torch.optim.Optimizer) else Together(optimizer)


def members(optimizer: torch.optim.Optimizer) -> tuple[torch.optim.Optimizer, ...]:
    """Return the optimizers that an optimizer stands for."""
    return optimizer.members if isinstance(optimizer, Together) else (optimizer,)


class OptimizerWatch:
    """Follows one optimizer.

    Attributes:
        scale: What a `GradScaler` multiplied the loss of this step with.
        evaluations: How often the closure of this step was evaluated; 0 where there is none.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, steps: Steps, guard: Callable[..., Any]) -> None:
        self.rest()
        self._optimizer, self._steps, self._guard = optimizer, steps, guard
        self._inner = 0  # how many steps of its own the step that is going on has called, and not yet ended

    @property
    def parameters(self) -> set[int]:
        """What the optimizer moves, by identity."""
        return {id(each) for group in self._optimizer.param_groups for each in group["params"]}

    def rest(self) -> None:
        """Be ready for another step."""
        self.scale, self.evaluations = 1.0, 0

    def follow(self) -> list[RemovableHandle]:
        """Put hooks on the optimizer."""
        return [
            self._optimizer.register_step_pre_hook(self._guard(self._before)),
            self._optimizer.register_step_post_hook(self._guard(self._after)),
        ]

    def _before(self, optimizer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        step = steps_above(optimizer)
        self._inner = self._inner + 1 if step.inner else 0
        if step.inner or not self._steps.before_update(self):
            return None
        self.scale, self.evaluations = step.scale, 0  # a step before may have broken off
        if args[1:] and callable(args[1]):
            return (args[0], self._watched(args[1]), *args[2:]), kwargs
        if callable(kwargs.get("closure")):
            return args, kwargs | {"closure": self._watched(kwargs["closure"])}
        return None

    def _watched(self, closure: Callable[..., Any]) -> Callable[..., Any]:
        heed, see = self._guard(self._steps.heed), self._guard(self._steps.first_evaluation)

        def evaluate(*args: Any, **kwargs: Any) -> Any:
            self.evaluations += 1
            if self.evaluations == 1:
                value = closure(*args, **kwargs)
                see()
                return value
            heed(False)
            try:
                return closure(*args, **kwargs)
            finally:
                heed(True)

        return evaluate

    def _after(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        if self._inner:
            self._inner -= 1
        else:
            self._steps.after_update(self)
