"""What the passes of a step showed, and how several of them make one."""

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.utils.hooks import RemovableHandle

from explainer.recorder.views import Views
from explainer.recorder.wiring import Wiring
from explainer.statistics import Moments, merged
from explainer.storage import Array


@dataclass(slots=True)
class Seen:
    """One tensor as it passed by: a copy of its first examples, if kept, and the moments of all of it, if wanted."""

    kept: Array | None  # (example, …)
    moments: Moments | None = None
    coming: torch.Tensor | None = None  # the moments (8,), while they are on their way from a GPU


@dataclass
class Judgement:
    """One call of the criterion."""

    value: torch.Tensor
    event: int  # where it stands among the events of its pass
    seen: dict[str, dict[str, Seen]] = field(default_factory=dict)  # "targets" and "criterion"
    terms: dict[int, list[Any]] = field(default_factory=dict)  # by backward pass: value × each weight it brought


@dataclass
class Pass:
    """What one forward pass, and the backward passes that answered it, showed."""

    seen: dict[str, dict[str, Seen]] = field(default_factory=dict)  # kind -> name -> tensor
    judgements: list[Judgement] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)  # of each judgement, times what backward weighted it with
    calls: dict[str, int] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    no_gradient: dict[str, str] = field(default_factory=dict)  # outputs of which none can be had, and the reason
    views: Views = field(default_factory=Views)
    repeated: set[str] = field(default_factory=set)  # outputs whose gradients came in parts, statistics of no sum
    whole: dict[str, torch.Tensor] = field(default_factory=dict)  # gradients of which another part may come
    touched: set[str] = field(default_factory=set)  # outputs whose gradients hooks of somebody else's may change
    handles: list[RemovableHandle] = field(default_factory=list)  # of the hooks on its tensors
    tasks: set[int] = field(default_factory=set)  # the backward passes whose gradients came back to layers
    output: Any = None  # a weak reference to what the model returned
    waiting: list[weakref.ref[Any]] = field(default_factory=list)  # for gradients; they die with autograd's graph
    wiring: Wiring | None = None

    def put(self, kind: str, name: str, seen: Seen) -> None:
        """Keep what was seen under its kind and name."""
        self.seen.setdefault(kind, {})[name] = seen

    @property
    def answered(self) -> bool:
        """Whether a gradient came back."""
        return bool(self.tasks)

    @property
    def pending(self) -> bool:
        """Whether a gradient came back or may still come."""
        return self.answered or any(each() is not None for each in self.waiting)

    def discard(self) -> None:
        """Forget the gradients that came back: nobody used them."""
        self.tasks.clear()
        self.seen.pop("gradients", None)
        self.whole.clear()
        self.repeated.clear()
        self.events = [each for each in self.events if not each.startswith("backward ")]
        for each in self.judgements:
            each.terms.clear()
            each.seen["criterion"].pop("gradient", None)

    def conclude(self, tasks: set[int]) -> None:
        """Take from the criterion's calls what belongs to this pass.

        Args:
            tasks: The backward passes that the step counts. The criterion may serve another model too, whose loss has
                nothing to do with this one.
        """
        counted = [each for each in self.judgements if tasks & each.terms.keys()]
        for each in self.judgements if not tasks else counted:
            for kind, found in each.seen.items():
                self.seen.setdefault(kind, {}).update(found)
        self.losses = [
            sum(float(term) for task in tasks & each.terms.keys() for term in each.terms[task]) for each in counted
        ]
        if tasks:
            for each in reversed([each for each in self.judgements if each not in counted]):
                del self.events[each.event]


def union(passes: Sequence[Pass], kind: str, examples: int | None) -> dict[str, Seen]:
    """Join what several passes of one step showed, as if their batches had been one.

    Returns:
        Per name the first `examples` examples over all passes, and the moments of all examples.
    """
    if len(passes) == 1:
        return passes[0].seen.get(kind, {})
    joined: dict[str, Seen] = {}
    for each in passes:
        for name, seen in each.seen.get(kind, {}).items():
            before = joined.get(name)
            joined[name] = seen if before is None else _append(before, seen, examples)
    return joined


def _append(first: Seen, second: Seen, examples: int | None) -> Seen:
    kept = first.kept
    if kept is not None and second.kept is not None and kept.ndim and kept.shape[1:] == second.kept.shape[1:]:
        room = None if examples is None else examples - len(kept)
        kept = kept if room == 0 else np.concatenate([kept, second.kept[:room]])
    both = merged(first.moments, second.moments) if first.moments and second.moments else None
    return Seen(kept, both)
