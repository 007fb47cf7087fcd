"""The weights that a gradient was computed at, that gradient, and the update that followed.

The weights of a step are copied once: what stands there after the update is, as long as nobody else changes it, what
the next step starts from. Whether somebody did is checked; then the update is stored by itself.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from explainer.moments import moments_of, moments_of_pieces, same_bits
from explainer.recorder.devices import is_far
from explainer.recorder.tensors import array_of, held, held_shape, numpy_dtype
from explainer.statistics import Moments
from explainer.storage import Array
from explainer.writer import TraceWriter

_LARGE = 1 << 16  # elements from which torch shares the work among its threads
Table = dict[str, Moments]  # by parameter


class Group:
    """Tensors of one dtype on one device, and where each lies when they are copied side by side."""

    def __init__(self, named: Sequence[tuple[str, torch.Tensor]], dtype: np.dtype[Any], device: torch.device) -> None:
        self.dtype, self.device = dtype, device
        self.shapes = {name: held_shape(tensor) for name, tensor in named}
        ends = np.cumsum([math.prod(shape) for shape in self.shapes.values()])
        self.edges = np.stack([np.concatenate([[0], ends[:-1]]), ends], axis=1)  # (tensor, 2)
        self.bounds = dict(zip(self.shapes, map(tuple, self.edges.tolist()), strict=True))
        self.size = int(ends[-1])
        self.far = any(is_far(tensor) for _, tensor in named)

    def fill(self, flat: Array, tensors: Mapping[str, torch.Tensor]) -> None:
        """Copy tensors into a flat array; those on a GPU are carried over together, with one wait for all."""
        if self.far:
            flat[:] = array_of(torch.cat([held(tensors[name].detach()).reshape(-1) for name in self.shapes]))
            return
        for name, (start, stop) in self.bounds.items():
            _copy(_flat(tensors[name]), flat[start:stop])


@dataclass
class Snapshot:
    """What tensors were at a step: one flat array per group."""

    step: int
    flats: list[Array]


class ParameterWatch:
    """Follows the parameters through the steps.

    Args:
        parameters: By qualified name.
        writer: Where what is kept goes.
        keep: The kinds kept in full; may shrink while the run goes on.
    """

    def __init__(self, parameters: Mapping[str, torch.Tensor], writer: TraceWriter, keep: frozenset[str]) -> None:
        self.keep = keep
        self._parameters, self._writer = parameters, writer
        self._groups = _alike(list(parameters.items()))
        self._gradient_groups: tuple[tuple[str, ...], list[Group]] = ((), [])
        self._scratch: dict[tuple[str, np.dtype[Any], torch.device], Array] = {}
        self._views: dict[str, tuple[int, Array]] = {}  # of the parameters' own memory, and where it lies
        self._before: Snapshot | None = None  # the weights of this step
        self._after: Snapshot | None = None  # what its update left, stored as the next step's weights
        self._implied: tuple[Snapshot, Snapshot] | None = None  # the weights that alone tell the last update

    def begin(self, step: int) -> bool:
        """Take the weights that the coming forward pass will see.

        Returns:
            Whether they may be others than those taken before.
        """
        if self._after is not None and self._after.step == step:
            self._before, self._after = self._after, None
            if not self._unchanged_since(self._before):
                self._store_update_apart()
                self._copy_weights(self._before)
            return True
        if self._before is None or self._before.step != step:
            self._before = Snapshot(step, [self._room("parameters", step, group) for group in self._groups])
            self._copy_weights(self._before)
            return True
        if self._unchanged_since(self._before):
            return False
        self._copy_weights(self._before)
        return True

    def weights(self, step: int) -> Table:
        """Return the moments of a step's weights; none where no forward pass showed them."""
        if self._before is None or self._before.step != step:
            return {}
        return self._moments(self._before.flats, self._groups)

    def gradients(self, step: int, of: Collection[int] | None = None) -> tuple[Table, list[str]]:
        """Take the parameters' gradients as they stand.

        Args:
            of: The parameters, by identity; all of them when omitted.

        Returns:
            Their moments, and the names of the parameters that have none.
        """
        asked = {name: each for name, each in self._parameters.items() if of is None or id(each) in of}
        found = {name: each.grad for name, each in asked.items() if each.grad is not None}
        without = [name for name in asked if name not in found]
        if "parameter_gradients" not in self.keep and not any(map(is_far, found.values())):
            return {name: moments_of(_flat(each)) for name, each in found.items()}, without
        if self._gradient_groups[0] != tuple(found):
            self._gradient_groups = tuple(found), _alike(list(found.items()))
        groups = self._gradient_groups[1]
        flats = [self._room("parameter_gradients", step, group) for group in groups]
        for flat, group in zip(flats, groups, strict=True):
            group.fill(flat, found)
        return self._moments(flats, groups), without

    def names(self, of: Collection[int]) -> list[str]:
        """Return the names of parameters that are given by identity."""
        return [name for name, each in self._parameters.items() if id(each) in of]

    def without(self, table: Table) -> list[str]:
        """Return the parameters that a table does not hold."""
        return [name for name in self._parameters if name not in table]

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
        implied = continues and {"parameters", "updates"} <= self.keep
        updates = [
            self._scratch_of("updates", group) if implied else self._room("updates", step, group)
            for group in self._groups
        ]
        if implied:
            after = Snapshot(step + 1, [self._room("parameters", step + 1, group) for group in self._groups])
            self._after, self._implied = after, (before, after)
            self._copy_weights(after)
            _subtract_all(after, before, updates)
        else:
            self._subtract_from_weights(before, updates)
        return self._moments(updates, self._groups)

    def finish(self, step: int) -> None:
        """Put away what was prepared for a step that does not come, or was not closed.

        Args:
            step: The first step that was not closed.
        """
        if self._implied is not None:
            before, after = self._implied
            _subtract_all(after, before, after.flats)
            self._writer.rename("parameters", after.step, "updates", before.step)
        elif self._before is not None and self._before.step == step and "parameters" in self.keep:
            self._writer.drop("parameters", step)
        self._before = self._after = self._implied = None

    def _store_update_apart(self) -> None:
        """Somebody else changed the weights since the update: the next step's do not tell it any more."""
        if self._implied is not None:
            before, after = self._implied
            _subtract_all(after, before, [self._room("updates", before.step, group) for group in self._groups])
            self._implied = None

    def _unchanged_since(self, snapshot: Snapshot) -> bool:
        """Compare bit by bit."""
        for flat, group in zip(snapshot.flats, self._groups, strict=True):
            if group.far:
                now = self._scratch_of("now", group)
                group.fill(now, self._parameters)
                if not same_bits(now, flat):
                    return False
            elif not all(same_bits(self._live(name), flat[a:b]) for name, (a, b) in group.bounds.items()):
                return False
        return True

    def _copy_weights(self, snapshot: Snapshot) -> None:
        for flat, group in zip(snapshot.flats, self._groups, strict=True):
            if group.far:
                group.fill(flat, self._parameters)
                continue
            for name, (start, stop) in group.bounds.items():
                _copy(self._live(name), flat[start:stop])

    def _subtract_from_weights(self, before: Snapshot, updates: list[Array]) -> None:
        for flat, update, group in zip(before.flats, updates, self._groups, strict=True):
            if group.far:
                group.fill(update, self._parameters)
                _subtract(update, flat, update)
                continue
            for name, (start, stop) in group.bounds.items():
                _subtract(self._live(name), flat[start:stop], update[start:stop])

    def _live(self, name: str) -> Array:
        """Return a parameter as it stands, flat; a view of its memory where that can be."""
        parameter = self._parameters[name]
        place, known = self._views.get(name, (0, None))
        if known is None or parameter.data_ptr() != place or parameter.numel() != len(known):
            known = array_of(parameter).reshape(-1)
            if known.ctypes.data == parameter.data_ptr():  # else it is a copy, and old by the next time
                self._views[name] = parameter.data_ptr(), known
        return known

    def _room(self, kind: str, step: int, group: Group) -> Array:
        if kind in self.keep:
            return self._writer.reserve(kind, step, group.shapes, group.dtype)
        return self._scratch_of(kind, group)

    def _moments(self, flats: list[Array], groups: list[Group]) -> Table:
        table: Table = {}
        for flat, group in zip(flats, groups, strict=True):
            table.update(zip(group.bounds, moments_of_pieces(flat, group.edges), strict=True))
        return table

    def _scratch_of(self, purpose: str, group: Group) -> Array:
        key = purpose, group.dtype, group.device
        scratch = self._scratch.get(key)
        if scratch is None or len(scratch) < group.size:
            scratch = self._scratch[key] = np.empty(group.size, group.dtype)
        return scratch[: group.size]


def _alike(named: Sequence[tuple[str, torch.Tensor]]) -> list[Group]:
    groups: dict[tuple[np.dtype[Any], torch.device], list[tuple[str, torch.Tensor]]] = {}
    for name, tensor in named:
        groups.setdefault((numpy_dtype(tensor), tensor.device), []).append((name, tensor))
    return [Group(members, *alike) for alike, members in groups.items()]


def _flat(tensor: torch.Tensor) -> Array:
    return array_of(tensor.to_dense() if tensor.is_sparse else tensor).reshape(-1)


def _copy(values: Array, out: Array) -> None:
    """Copy one flat array to another; torch takes all its threads for a large one."""
    if len(values) < _LARGE:
        out[:] = values
    else:
        torch.from_numpy(out).copy_(torch.from_numpy(values))


def _subtract(after: Array, before: Array, out: Array) -> None:
    """Subtract flat arrays; weights that are infinite are to be recorded, not warned of."""
    if len(after) < _LARGE or after.dtype.kind != "f":
        with np.errstate(all="ignore"):
            np.subtract(after, before, out=out)
    else:
        torch.sub(torch.from_numpy(after), torch.from_numpy(before), out=torch.from_numpy(out))


def _subtract_all(after: Snapshot, before: Snapshot, out: list[Array]) -> None:
    for new, old, difference in zip(after.flats, before.flats, out, strict=True):
        _subtract(new, old, difference)
