"""Looking at one tensor as it passes by: a copy of its first examples, and the moments of all of it."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from explainer.moments import moments_of
from explainer.recorder.devices import Ferry, is_far, moments_there
from explainer.recorder.options import Options
from explainer.recorder.seen import Pass, Seen
from explainer.recorder.tensors import array_of, held
from explainer.statistics import Moments


class Eye:
    """Sees tensors where they lie: those of a GPU are on their way until `settle`.

    Attributes:
        keep: The kinds of tensors kept in full; may shrink while the run goes on.
    """

    def __init__(self, options: Options) -> None:
        self.keep = options.keep
        self._examples = options.examples
        self._ferry = Ferry()

    def see(self, kind: str, tensor: torch.Tensor, *, summarised: bool = True) -> Seen:
        """Copy what is kept of a tensor, so that nothing later can reach it, and summarise it if wanted."""
        if is_far(tensor):
            return self._see_far(kind, held(tensor.detach()), summarised)
        values = array_of(tensor)
        kept = None
        if kind in self.keep:
            kept = np.array(values[: self._examples] if values.ndim else values)
        return Seen(kept, moments_of(values.reshape(-1)) if summarised else None)

    def _see_far(self, kind: str, tensor: torch.Tensor, summarised: bool) -> Seen:
        kept = None
        if kind in self.keep:
            kept = self._ferry.bring(tensor[: self._examples] if tensor.ndim else tensor).numpy()
        return Seen(kept, None, self._ferry.bring(moments_there(tensor)) if summarised else None)

    def number(self, tensor: torch.Tensor) -> Any:
        """Take one number, which `float` gives, of a GPU's once it is settled."""
        return self._ferry.bring(tensor) if is_far(tensor) else float(tensor)

    def wait(self) -> None:
        """Wait for what is on its way: what was seen can be read."""
        self._ferry.wait()

    def settle(self, passes: Iterable[Pass]) -> None:
        """Wait, and give the tensors of passes their moments."""
        self.wait()
        for one in passes:
            kinds = [*one.seen.values(), *(each for judgement in one.judgements for each in judgement.seen.values())]
            for seen in (each for kind in kinds for each in kind.values()):
                if seen.coming is not None:
                    seen.moments, seen.coming = Moments(*seen.coming.tolist()), None
