"""The weights that a gradient was computed at, that gradient, and the update that followed.

The weights of a step are copied once: what stands there after the update is, as long as nobody else changes it, what
the next step starts from. Whether somebody did is checked; then the update is stored by itself.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from explainer.recorder.tensors import flat_array, numpy_dtype
from explainer.statistics import Moments
from explainer.storage import Array
from explainer.writer import TraceWriter

Named = Sequence[tuple[str, torch.Tensor]]
Table = dict[str, Array]  # name -> (8,) moments


class Snapshot:
    """Tensors copied side by side: one flat array per dtype, and a view for each tensor."""

    def __init__(self, step: int, flats: list[Array], groups: list[Named]) -> None:
        self.step, self.flats = step, flats
        self.views: dict[str, torch.Tensor] = {}
        for flat, group in zip(flats, groups, strict=True):
            pieces = torch.from_numpy(flat).split([tensor.numel() for _, tensor in group])
            for (name, tensor), piece in zip(group, pieces, strict=True):
                self.views[name] = piece.view(tensor.shape)


class ParameterWatch:
    """Follows the parameters through the steps.

    Args:
        parameters: By qualified name.
        writer: Where what is kept goes.
        keep: The kinds kept in full; may shrink while the run goes on.
        moments: Computes the statistics.
    """

    def __init__(
        self, parameters: Mapping[str, torch.Tensor], writer: TraceWriter, keep: frozenset[str], moments: Moments
    ) -> None:
        self.keep = keep
        self._writer, self._moments = writer, moments
        self._parameters = parameters
        self._groups = _by_dtype([(name, parameter.detach()) for name, parameter in parameters.items()])
        self._scratch: dict[tuple[str, np.dtype[Any]], Array] = {}
        self._before: Snapshot | None = None  # the weights of this step
        self._after: Snapshot | None = None  # what its update left, stored as the next step's weights
        self._implied: tuple[Snapshot, Snapshot] | None = None  # the weights that alone tell the last update

    def begin(self, step: int) -> bool:
        """Take the weights that the coming forward pass will see.

        Returns:
            Whether they are others than those taken before.
        """
        if self._after is not None and self._after.step == step:
            self._before, self._after = self._after, None
            if not self._unchanged_since(self._before):
                self._store_update_apart()
                self._copy_live(self._before)
            return True
        if self._before is None or self._before.step != step:
            self._before = self._room("parameters", step, self._groups)
            self._copy_live(self._before)
            return True
        if self._unchanged_since(self._before):
            return False
        self._copy_live(self._before)
        return True

    def weights(self, step: int) -> Table:
        """Return the moments of a step's weights; none where no forward pass showed them."""
        return (
            {}
            if self._before is None or self._before.step != step
            else self._moments_of(self._before.flats, self._groups)
        )

    def gradients(self, step: int) -> tuple[Table, list[str]]:
        """Take the parameters' gradients as they stand.

        Returns:
            Their moments, and the names of the parameters that have none.
        """
        found = [(name, each.grad.detach()) for name, each in self._parameters.items() if each.grad is not None]
        dense = [(name, gradient.to_dense() if gradient.is_sparse else gradient) for name, gradient in found]
        groups = _by_dtype(dense)
        have = {name for name, _ in found}
        without = [name for name in self._parameters if name not in have]
        if "parameter_gradients" not in self.keep:
            return {name: self._moments.of(flat_array(gradient))[0] for name, gradient in dense}, without
        snapshot = self._room("parameter_gradients", step, groups)
        for name, gradient in dense:
            snapshot.views[name].copy_(gradient)
        return self._moments_of(snapshot.flats, groups), without

    def close(self, step: int, *, continues: bool) -> Table:
        """Take the update that has just been made.

        Args:
            continues: Whether the next step is recorded too, in the same shard: then its weights tell the update.

        Returns:
            The update's moments; none where the weights before were not seen.
        """
        self._implied = None
        before = self._before
        if before is None or before.step != step:
            return {}
        if continues and {"parameters", "updates"} <= self.keep:
            self._after = after = self._room("parameters", step + 1, self._groups)
            self._implied = before, after
            self._copy_live(after)
            flats = [self._scratch_of("updates", flat.dtype, len(flat)) for flat in after.flats]
        else:
            after = self._room("updates", step, self._groups)
            self._copy_live(after)
            flats = after.flats
        for new, old, out in zip(after.flats, before.flats, flats, strict=True):
            np.subtract(new, old, out=out)
        return self._moments_of(flats, self._groups)

    def finish(self, step: int) -> None:
        """Put away what was prepared for a step that does not come, or was not closed.

        Args:
            step: The first step that was not closed.
        """
        if self._implied is not None:
            before, after = self._implied
            for new, old in zip(after.flats, before.flats, strict=True):
                np.subtract(new, old, out=new)
            for name in after.views:
                self._writer.rename(("parameters", name, after.step), ("updates", name, before.step))
        elif self._before is not None and self._before.step == step and "parameters" in self.keep:
            for name in self._before.views:
                self._writer.drop("parameters", name, step)
        self._before = self._after = self._implied = None

    def _store_update_apart(self) -> None:
        """Somebody else changed the weights since the update: the next step's do not tell it any more."""
        if self._implied is not None:
            before, after = self._implied
            apart = self._room("updates", before.step, self._groups)
            for out, new, old in zip(apart.flats, after.flats, before.flats, strict=True):
                np.subtract(new, old, out=out)
            self._implied = None

    def _unchanged_since(self, snapshot: Snapshot) -> bool:
        return all(_same(flat_array(live), flat_array(snapshot.views[name])) for name, live in self._parameters.items())

    def _copy_live(self, snapshot: Snapshot) -> None:
        for name, live in self._parameters.items():
            snapshot.views[name].copy_(live.detach())

    def _room(self, kind: str, step: int, groups: list[Named]) -> Snapshot:
        flats = []
        for group in groups:
            dtype = numpy_dtype(group[0][1])
            if kind in self.keep:
                named = [(name, tuple(tensor.shape)) for name, tensor in group]
                flats.append(self._writer.reserve(kind, step, named, dtype))
            else:
                flats.append(self._scratch_of(kind, dtype, sum(tensor.numel() for _, tensor in group)))
        return Snapshot(step, flats, groups)

    def _moments_of(self, flats: list[Array], groups: list[Named]) -> Table:
        table: Table = {}
        for flat, group in zip(flats, groups, strict=True):
            rows = self._moments.of(flat, [tensor.numel() for _, tensor in group])
            table.update(zip((name for name, _ in group), rows, strict=True))
        return table

    def _scratch_like(self, purpose: str, like: Array) -> Array:
        return self._scratch_of(purpose, like.dtype, len(like))

    def _scratch_of(self, purpose: str, dtype: np.dtype[Any], length: int) -> Array:
        scratch = self._scratch.get((purpose, dtype))
        if scratch is None or len(scratch) < length:
            scratch = self._scratch[purpose, dtype] = np.empty(length, dtype)
        return scratch[:length]


def _by_dtype(named: Named) -> list[Named]:
    groups: dict[np.dtype[Any], list[tuple[str, torch.Tensor]]] = {}
    for name, tensor in named:
        groups.setdefault(numpy_dtype(tensor), []).append((name, tensor))
    return list(groups.values())


def _same(live: NDArray[Any], copy: NDArray[Any]) -> bool:
    """Compare bit by bit: NaN equals itself, and −0 is not 0."""
    words = {4: np.int32, 8: np.int64}.get(live.dtype.itemsize)
    if words is None or live.dtype != copy.dtype:
        return bool(np.array_equal(live, copy))
    return bool((live.view(words) == copy.view(words)).all())
