"""What the chain rule multiplies, drawn under the graph of the forward pass, from the loss on the right to the left."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from explainer.architecture import Model
from explainer.factors import Array, Factors, Link
from explainer.plots.mathematics import derivative_of, fraction, mathtext
from explainer.plots.sheet import ROW, Block, Card, Sheet, numbers, short, spelled
from explainer.symbols import symbols
from explainer.theme import GRADIENT, LAYER, LOCAL, LOSS, Theme, ink

ROWS, COLUMNS = 6, 4  # of a matrix whose numbers are written
NODES = 8  # of the graph that are drawn
_RADIUS, _SMALL = 1.55, 1.1  # of a node, of a parameter, in em
_SIGN, _LABEL = 1.5, 3.0  # the width of a sign between two factors, the height of what stands above them
_OF_LOSS = 2.3  # half the width of the loss's and the target's numbers
_FOOT = 5.2  # the height of parameters and their arrows


@dataclass(frozen=True)
class Hop:
    """From one drawn node back to the one before it: one operation, or several where layers are left out.

    Attributes:
        start, end: The nodes' names.
    """

    start: str
    end: str
    links: tuple[Link, ...]

    @property
    def kept(self) -> float:
        """By what the gradient's norm is multiplied."""
        return math.prod(link.kept for link in self.links)


class FactorsInARow:
    """One example's chain rule, to be drawn on a sheet.

    Attributes:
        nodes: The names of those that are drawn, in forward order.
        input, loss: The first's, and the last's.
        left_out: How many layers are not, between the first and the others.
        hops: From the loss back, as far as gradients go; the last one ends at a parameter where there is one.
        symbol: What each node and parameter is called, in Typst.
        written: Whether all numbers are small enough to be written; else shapes and norms are.
    """

    def __init__(self, model: Model, layers: Sequence[str], found: Factors, width: float, theme: Theme) -> None:
        """Choose what is drawn.

        Args:
            layers: In forward order.
            width: How much room there is, in em.
        """
        self.model, self.found, self.theme = model, found, theme
        self.symbol = symbols(model)
        self.input, self.loss = model.input_name, model.loss_name
        whole = [self.input, *layers, self.loss]
        self.left_out = max(0, len(whole) - NODES)
        self.nodes = whole[:2] + whole[2 + self.left_out :]
        self.hops = self._hops()
        self.written = not self.left_out and self._small()
        self.across = self._across(width)
        if self.written and self.across[-1] + _OF_LOSS > width + 1e-6:
            self.written = False
            self.across = self._across(width)

    # ── what is drawn ────────────────────────────────────────────────────────────────────────────────────────────

    def _hops(self) -> list[Hop]:
        found: list[Hop] = []
        passed: list[Link] = []
        for link in self.found.links:
            passed.append(link)
            if link.parameter or link.to in self.nodes:
                found.append(Hop(passed[0].operation.name, link.to, tuple(passed)))
                passed = []
        return found

    def _small(self) -> bool:
        shown = list(self.found.values.values())
        for link in self.found.links:
            shown += [link.outgoing] if link.parameter else [link.local, link.outgoing]
        return all(
            each.ndim <= 2 and 0 < (each.shape or (1,))[0] <= ROWS and (each.ndim < 2 or each.shape[1] <= COLUMNS)
            for each in shown
        )

    def block(self, values: Array) -> Block:
        """Return how a matrix is drawn: by its numbers, or by its shape and norm."""
        if self.written:
            return numbers(values)
        shape = "×".join(map(str, values.shape)) or "1"
        return Card((shape, spelled(float(np.linalg.norm(values)), 2)))

    def _gradients(self) -> dict[str, Block]:
        """Return what stands below each node: ∂ℓ/∂node, or under the first layer's input that of its weights."""
        found: dict[str, Block] = {self.loss: Card(("1",))}
        for hop in self.hops:
            found[self._below(hop)] = self.block(hop.links[-1].outgoing)
        return found

    def _below(self, hop: Hop) -> str:
        return self.nodes[self.nodes.index(hop.start) - 1]

    # ── where ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _across(self, width: float) -> list[float]:
        """Return where each node stands: as far apart as what is between them needs, the rest shared out."""
        if not self.written:
            ends = 2.6
            return [float(x) for x in np.linspace(ends, width - ends, len(self.nodes))]
        below = self._gradients()
        half = [max(_RADIUS, below[name].width / 2 if name in below else 0.0) for name in self.nodes]
        half[-1] = _OF_LOSS
        hops = {self._below(hop): hop for hop in self.hops}
        gaps = [
            half[at] + half[at + 1] + (2 * _SIGN + self.block(hops[name].links[0].local).width if name in hops else 2.0)
            for at, name in enumerate(self.nodes[:-1])
        ]
        spare = max(0.0, (width - half[0] - half[-1] - sum(gaps)) / len(gaps))
        return [float(half[0] + x) for x in np.cumsum([0.0, *(gap + spare for gap in gaps)])]

    def draw(self, sheet: Sheet, arrow: dict[str, Any]) -> None:
        """Draw the graph, the values above it, and the factors below it."""
        self.across = self._across(sheet.width)  # legend and title may have moved the edges
        below = self._gradients()
        values = {name: self.block(values) for name, values in self.found.values.items() if name in self.nodes}
        tall = max(block.height for block in values.values())
        factors = [*below.values(), *(self.block(hop.links[0].local) for hop in self.hops if self.written)]
        deep = max(block.height for block in factors)
        spare = sheet.height - tall - 2 * _RADIUS - _LABEL - deep - _FOOT - 0.6
        up = sheet.height - tall - 0.4 - _RADIUS - 0.15 * max(spare, 0)
        middle = up - _RADIUS - _LABEL - 0.35 * max(spare, 0) - deep / 2
        self._edges(sheet, up, arrow)
        for name, x in zip(self.nodes, self.across, strict=True):
            self._node(sheet, name, x, up)
            if name in values:
                sheet.put(values[name], x, up + _RADIUS + 0.4 + values[name].height / 2, self.theme.line)
            if name in below:
                sheet.put(below[name], x, middle, GRADIENT)
        for hop in self.hops:
            self._factor(sheet, hop, below, up, middle)
        self._parameters(sheet, middle, middle - deep / 2, below, arrow)

    def _node(self, sheet: Sheet, name: str, x: float, up: float) -> None:
        colour = LOSS if name == self.loss else self.theme.quiet if name == self.input else LAYER
        sheet.ring(x, up, _RADIUS, mathtext(self.symbol[name]), colour)
        if name == self.loss:
            words = spelled(self.found.loss, 4)
            high = up - _RADIUS - (0.9 if self.written else 2.7)
            sheet.write(x, high, words, size=1.1, color=ink(LOSS, self.theme), fontweight="bold")
            self._target(sheet, x, up)

    def _target(self, sheet: Sheet, x: float, up: float) -> None:
        target = np.atleast_1d(self.found.target)
        high = up + _RADIUS + 2.2
        sheet.line([(x, high - _SMALL), (x, up + _RADIUS)], self.theme.line)
        sheet.ring(x, high, _SMALL, mathtext(self.symbol[self.model.target_name]), self.theme.quiet)
        whole = target.dtype.kind in "iu"
        words = (
            (str(target[0]) if whole else spelled(float(target[0]))) if target.size == 1 else f"{target.size} numbers"
        )
        sheet.write(x, high + _SMALL + 0.8, words)

    # ── edges and factors ────────────────────────────────────────────────────────────────────────────────────────

    def _edges(self, sheet: Sheet, up: float, arrow: dict[str, Any]) -> None:
        back = {self._below(hop) for hop in self.hops if not hop.links[-1].parameter}
        for at, (left, right) in enumerate(zip(self.across, self.across[1:], strict=False)):
            start, end = left + _RADIUS, right - _RADIUS
            sheet.line([(start, up), (end, up)], self.theme.line)
            if self.nodes[at] in back:
                sheet.arrow((end - 0.1, up), (start + 0.1, up), GRADIENT, **arrow)
            if self.left_out and at == 1:
                sheet.write((left + right) / 2, up + 0.9, "⋯", size=1.3, color=self.theme.quiet)

    def _factor(self, sheet: Sheet, hop: Hop, below: dict[str, Block], up: float, middle: float) -> None:
        """Write what arrives × the operation's own = what is passed on, from the right to the left."""
        link, end = hop.links[0], self._below(hop)
        left, right = (self.across[self.nodes.index(name)] for name in (end, hop.start))
        orange, blue = ink(GRADIENT, self.theme), ink(LOCAL, self.theme)
        level = middle + max(below[end].height, ROW if self.written else 0) / 2 + 1.6
        level = up - _RADIUS - 1.55 if not self.written else level
        passed_on = fraction(self.symbol[hop.end])
        sheet.write(left, level, passed_on, size=1.55, color=orange)
        inner_left, inner_right = left + below[end].width / 2, right - below[hop.start].width / 2
        between = (inner_left + inner_right) / 2
        if not self.written:
            between = (left + right) / 2
            own = (
                self._own(link, sheet, right - left - 2.6)
                if len(hop.links) == 1
                else self._skipped(sheet, right - left)
            )
            sheet.write(between, up - 1.35, own, size=1.3 if "frac" in own else 0.95, color=blue)
            sheet.write(between, up - 3.0, f"×{spelled(hop.kept, 2)}")
            return
        local = self.block(link.local)
        sheet.put(local, between, middle, LOCAL)
        own = self._own(link, sheet, inner_right - inner_left)
        sheet.write(between, middle + local.height / 2 + 1.1, own, size=1.1, color=blue)
        sign = r"$\odot$" if link.elementwise and link.incoming.size > 1 else "×"
        sheet.write((between + local.width / 2 + inner_right) / 2, middle, sign, size=1.3)
        sheet.write((inner_left + between - local.width / 2) / 2, middle, "=", size=1.3)

    def _skipped(self, sheet: Sheet, room: float) -> str:
        words = f"{self.left_out} layers"
        return words if sheet.extent(words) <= room - 2.6 else f"({self.left_out})"

    def _own(self, link: Link, sheet: Sheet, room: float) -> str:
        """Return the formula of what an operation multiplies with; where it is wider than so many em, what it is."""
        before = self.nodes[self.nodes.index(link.operation.name) - 1]
        if link.parameter:
            return f"${mathtext(self.symbol[before])}^T$"
        name = link.operation.name
        output = before if name == self.loss else name  # a loss is written of the prediction and the target
        weights = next((self.symbol[each] for each in self._parameters_of(name) if each.endswith("weight")), "W")
        called = {"x": self.symbol[before], "y": self.symbol[output], "t": "y", "W": weights}
        formula = derivative_of(link.operation.local, called)
        if sheet.extent(formula, 1.1) <= room:
            return formula
        return fraction(self.symbol[before]).replace(r"\ell", mathtext(self.symbol[name]))

    # ── parameters ───────────────────────────────────────────────────────────────────────────────────────────────

    def _parameters_of(self, name: str) -> list[str]:
        return list(self.model.layers[name].parameters) if name in self.model.layers else []

    def _parameters(
        self, sheet: Sheet, middle: float, bottom: float, below: dict[str, Block], arrow: dict[str, Any]
    ) -> None:
        """Draw below each layer its parameters, and how large their gradients are."""
        for name, x in zip(self.nodes, self.across, strict=True):
            own = [each for each in self._parameters_of(name) if each in self.found.parameter_gradients]
            if name not in below or not own:
                continue
            apart = 1.75 if not self.written else 2.3
            for place, each in enumerate(own):
                at = x + apart * (2 * place - len(own) + 1)
                high = bottom - 1.5 - _SMALL
                start = (x + 0.25 * (at - x), middle - below[name].height / 2 - 0.2)
                sheet.arrow(start, (x + 0.85 * (at - x), high + _SMALL), GRADIENT, **arrow)
                sheet.ring(at, high, _SMALL, mathtext(self.symbol[each]), self.theme.quiet)
                G = self.found.parameter_gradients[each]
                words = short(float(G.reshape(-1)[0]) if G.size == 1 else float(np.linalg.norm(G)))
                sheet.write(at, high - _SMALL - 0.8, words, color=ink(GRADIENT, self.theme))
