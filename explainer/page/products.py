"""The chain rule with recorded numbers, at the steps that are shown: incoming × local, added up, is what goes out.

Incoming is the recorded gradient at an operation's output, local the operation's own derivative at the recorded values
(`chain.work_out`), and beside the sum of their products stands what autograd recorded there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from explainer import chain
from explainer.architecture import LOSS
from explainer.chain import Chain, Operation
from explainer.errors import TraceError
from explainer.operations import Elementwise, Jacobian
from explainer.page.arrays import Array, by_step
from explainer.page.shown import evenly, fewer, finite

if TYPE_CHECKING:
    from explainer.page.shown import Shown
    from explainer.trace import Trace

FEW = 10  # numbers of which all are shown; of more, MOST_ROWS: those with the largest gradients
MOST_ROWS = 6
MOST_TERMS = 4  # of each sum: its largest
MOST_OPERATIONS = 24
MOST_NUMBERS = 52_000  # on a page: of a network with more in a step, every n-th step is shown
SAMPLED = 8  # steps that decide which these are


def products(trace: Trace, shown: Shown) -> dict[str, Any]:
    """Return each operation's products for the first example of the step's batch, from the loss to the input.

    Returns:
        `operations` in forward order, the loss last. Each has a table for all that it passes its gradient on to, with a
        row for each number there: its terms' `incoming`, `local` and `product` (row, term, T), the sum of all products
        `total` (row, T), that of those not shown `rest`, how many there are of both `count` (T,), autograd's `recorded`
        (row, T), and the largest `difference` of total and recorded. `steps` are those that there was room for: not all
        where a step has many products, and none with numbers that are not finite.

    Raises:
        TraceError: As `chain.work_out`; or no gradients were kept.
    """
    if not len(trace.gradients):
        raise TraceError(
            f"{trace.folder or 'the trace'} keeps no gradients, which the chain rule multiplies: record with "
            'keep=("activations", "gradients", "parameters", "inputs", "targets"), or without keep='
        )
    if len(trace.layers) > MOST_OPERATIONS:
        raise TraceError(
            f"the model has {len(trace.layers)} layers; products are shown of models of {MOST_OPERATIONS} at most"
        )
    shown = finite(trace, shown)
    every = [chain.work_out(trace, int(step)) for step in shown.steps[evenly(len(shown), SAMPLED)]]
    names = [operation.name for operation in every[0].operations]
    tables = [(name, table) for name in names for table in _tables(trace, every, name)]
    shown = fewer(shown, MOST_NUMBERS // sum(3 * table.of.size + 3 * len(table.rows) for _, table in tables))
    held: list[list[dict[str, Array]]] = [[] for _ in tables]
    for index, step in zip(shown.indices, shown.steps, strict=True):
        worked = chain.work_out(trace, int(step))
        for (name, table), numbers in zip(tables, held, strict=True):
            numbers.append(table.read(trace, int(index), worked[name]))
    operations = [
        _operation(trace, every[0][name], [pair for pair in zip(tables, held, strict=True) if pair[0][0] == name])
        for name in names
    ]
    return {"operations": operations, "whole": every[0].whole, "steps": shown.steps, "stride": shown.stride}


def _operation(trace: Trace, worked: Operation, held: Sequence[Any]) -> dict[str, Any]:
    return {
        "name": LOSS if worked.is_loss else worked.name,
        "is_loss": worked.is_loss,
        "type": worked.type,
        "formula": worked.local.formula,
        "inputs": int(worked.input[0].size),
        "before": _before(trace, worked),
        "tables": [_table(table, numbers) for (_, table), numbers in held],
    }  # fmt: skip


def _before(trace: Trace, worked: Operation) -> str:
    """Return the layer whose output an operation is given; "" for the first."""
    place = len(trace.layers) if worked.is_loss else trace.layers.index(worked.name)
    return ("", *trace.layers)[place]


def _table(table: Table, numbers: Sequence[dict[str, Array]]) -> dict[str, Any]:
    found = {name: by_step(np.stack([step[name] for step in numbers])) for name in numbers[0]}
    apart = np.abs(found["total"] - found["recorded"])
    known = apart[np.isfinite(apart)]
    return {**table.about(), **found, "difference": float(known.max()) if known.size else None}


def _tables(trace: Trace, every: Sequence[Chain], name: str) -> list[Table]:
    """Return what an operation passes a gradient on to: its input, and the parameters where the batch is whole."""
    worked = [each[name] for each in every]
    if worked[0].input.ndim != 2:
        shape = "×".join(map(str, worked[0].input.shape))
        raise TraceError(f"layer {name!r} is given {shape} numbers; products are shown for (example, unit) alone")
    return [ToInput(trace, worked), *(ToParameter(worked, each) for each in worked[0].parameter_gradients)]


class Table:
    """What an operation passes a gradient on to, and in which products.

    Attributes:
        rows: (row, axis) which numbers get a gradient.
        of: (row, term) over which of the operation's outputs, or examples, the shown products are.
    """

    to = parameter = ""
    rows: Array
    of: Array

    def _terms(self, worked: Operation, incoming: Array) -> tuple[Array, Array]:
        """Return incoming and local of every product, (row, term)."""
        raise TypeError(f"{type(self).__name__} has no terms")

    def _recorded(self, trace: Trace, index: int) -> Array:
        """Return what autograd recorded, (row,); NaN where it was not kept."""
        return np.full(len(self.rows), np.nan)

    def _choose(self, worked: Sequence[Operation]) -> None:
        """Choose the products that are shown: those that are largest over the steps."""
        sizes = [np.abs(np.multiply(*self._terms(each, each.incoming))) for each in worked]
        most = max(each.shape[1] for each in sizes)  # a smaller batch has fewer examples
        mean = np.mean([np.pad(each, ((0, 0), (0, most - each.shape[1]))) for each in sizes], axis=0)
        self.of = np.stack([_largest(row, MOST_TERMS, MOST_TERMS) for row in mean])

    def _incoming(self, trace: Trace, index: int, worked: Operation) -> Array:
        if worked.is_loss:
            return worked.incoming
        return np.asarray(trace.gradients[worked.name][index], np.float64)

    def read(self, trace: Trace, index: int, worked: Operation) -> dict[str, Array]:
        """Return one step's numbers: (row, term), NaN for a term that it has not, (row,), and how many terms it has."""
        arriving, local = self._terms(worked, self._incoming(trace, index, worked))
        every = {"incoming": arriving, "local": local, "product": arriving * local}
        count = arriving.shape[1]
        there = self.of < count
        place = np.where(there, self.of, 0)
        shown = {name: np.where(there, np.take_along_axis(each, place, axis=1), np.nan) for name, each in every.items()}
        total = every["product"].sum(axis=1)
        rest = total - np.nansum(shown["product"], axis=1)
        return {
            **shown,
            "total": total,
            "rest": np.where(there.sum(axis=1) == count, 0.0, rest),
            "recorded": self._recorded(trace, index),
            "count": np.array(count),
        }

    def about(self) -> dict[str, Any]:
        """Return what the rows and the terms are of."""
        return {"to": self.to, "parameter": self.parameter, "rows": self.rows, "of": self.of}


class ToInput(Table):
    """The way from an operation's output to its input: a row for each unit of the input."""

    to = "input"

    def __init__(self, trace: Trace, worked: Sequence[Operation]) -> None:
        self.before = _before(trace, worked[0])  # whose gradient was recorded
        self.rows = _largest(np.mean([np.abs(each.outgoing[0]) for each in worked], axis=0), MOST_ROWS)[:, None]
        self._choose(worked)

    def _terms(self, worked: Operation, incoming: Array) -> tuple[Array, Array]:
        units, local = self.rows[:, 0], worked.local.values
        arriving = incoming[0] if incoming.ndim else np.ones(worked.input.shape[1])  # the loss hands on 1 to each
        if isinstance(worked.local, Elementwise):
            return arriving[units][:, None], local[0][units][:, None]
        matrix = local[0] if isinstance(worked.local, Jacobian) else local  # (output, input)
        return np.broadcast_to(arriving, (len(units), len(arriving))), matrix.T[units]

    def _recorded(self, trace: Trace, index: int) -> Array:
        if not self.before:
            return super()._recorded(trace, index)
        return np.asarray(trace.gradients[self.before][index][0])[self.rows[:, 0]]


class ToParameter(Table):
    """The way from an operation's output to a parameter: a row for each shown entry, a term for each example."""

    to = "parameter"

    def __init__(self, worked: Sequence[Operation], parameter: str) -> None:
        self.parameter = parameter
        sizes = np.mean([np.abs(each.parameter_gradients[parameter]) for each in worked], axis=0)
        self.rows = np.stack(np.unravel_index(_largest(sizes.ravel(), MOST_ROWS), sizes.shape), axis=1)
        self._choose(worked)

    def _terms(self, worked: Operation, incoming: Array) -> tuple[Array, Array]:
        arriving = incoming[:, self.rows[:, 0]].T
        of_weight = self.rows.shape[1] > 1
        return arriving, worked.input[:, self.rows[:, 1]].T if of_weight else np.ones_like(arriving)

    def _recorded(self, trace: Trace, index: int) -> Array:
        if self.parameter not in trace.parameter_gradients:
            return super()._recorded(trace, index)
        recorded: Array = np.asarray(trace.parameter_gradients[self.parameter][index])
        return np.asarray(recorded[tuple(self.rows.T)])


def _largest(sizes: Array, most: int, few: int = FEW) -> Array:
    """Return the places of all numbers where they are few, else of the largest, in their order."""
    if len(sizes) <= few:
        return np.arange(len(sizes))
    return np.sort(np.argsort(-np.nan_to_num(sizes), kind="stable")[:most])
