"""The graph of a computation, as it was recorded: input, layers, parameters, target and loss, and who feeds whom."""

from typing import Any

import numpy as np
from manim import DOWN, LEFT, RIGHT, UP, Arrow, Circle, Line, VGroup
from numpy.typing import NDArray

from explainer.architecture import Model
from explainer.mobjects import shades
from explainer.mobjects.formula import Formula
from explainer.mobjects.grid import Grid
from explainer.mobjects.layout import Region
from explainer.mobjects.network_diagram import MOST, Units
from explainer.mobjects.symbols import computed, partial, symbols
from explainer.mobjects.words import Words, number
from explainer.theme import DARK, GRADIENT, LAYER, LOSS, Theme, ink

LARGE, SMALL = 0.42, 0.3  # radii, in frame units
ASIDE = 0.58  # from a layer's middle to its parameters', across
ABOVE = 1.3  # the same, up


class Node(VGroup):
    """A quantity: a ring with its symbol.

    Attributes:
        name: The layer's or parameter's name, or "input", "target", "loss" (`Model.input_name`, …).
    """

    def __init__(self, name: str, symbol: str, radius: float, ring: str, theme: Theme, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.name, self.radius = name, radius
        self.ring = Circle(radius, color=ring, stroke_width=3.5, fill_color=theme.panel, fill_opacity=1)
        self.symbol = Formula(symbol, size=0.48 if radius == LARGE else 0.34, colour=theme.text)
        self.add(self.ring, self.symbol)

    def border_towards(self, point: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return where the ring meets the way to a point."""
        way = point - self.ring.get_center()
        return np.asarray(self.ring.get_center() + way / np.linalg.norm(way) * self.ring.width / 2)


class ComputationGraph(VGroup):
    """A recorded model of layers one after the other, from its input to its loss.

    Attributes:
        nodes: By name.
        edges: By the names of who feeds and who is fed.
        spine: The names from the input to the loss, in forward order.
        input, loss: The first and the last of these names.
        height_of_spine: Where in the frame, up.
    """

    def __init__(self, model: Model, layers: tuple[str, ...], region: Region, theme: Theme = DARK) -> None:
        """Place the nodes in a region: the spine from left to right, what else a layer needs above it."""
        super().__init__()
        self.theme, self.model, self.symbols = theme, model, symbols(model)
        self.input, self.loss = model.input_name, model.loss_name
        self.layers, self.spine = layers, (self.input, *layers, self.loss)
        self.nodes: dict[str, Node] = {}
        self.edges: dict[tuple[str, str], Line] = {}
        self.left, self.right = region.left, region.right
        spread = region.width - 2 * LARGE - 1.5
        middle, self.height_of_spine = float(region.center[0]), region.top - SMALL - ABOVE - 0.05
        across = np.linspace(middle - spread / 2, middle + spread / 2, len(self.spine))
        for name, x in zip(self.spine, across, strict=True):
            own = tuple(model.layers[name].parameters) if name in layers else ()
            above = (model.target_name,) if name == self.loss else own
            self._place(name, LARGE, float(x), self.height_of_spine)
            shifts = np.array([0.0]) if len(above) == 1 else np.linspace(-ASIDE, ASIDE, max(len(above), 1))
            for feeder, shift in zip(above, shifts, strict=False):
                self._place(feeder, SMALL, float(x + shift), self.height_of_spine + ABOVE)
                self._join(feeder, name)
        for name in layers:
            for feeder in model.layers[name].fed_by:
                self._join(feeder, name)
        for feeder in model.criterion.fed_by if model.criterion else ():
            self._join(feeder, self.loss)
        self.add(*self.edges.values(), *self.nodes.values())

    def feeders(self, name: str) -> list[str]:
        """Return the names of the nodes that feed a node."""
        return [feeder for feeder, fed in self.edges if fed == name]

    def computations(self, line: Region) -> dict[str, Formula]:
        """Return what each layer and the loss compute, as formulas in a line under their nodes, if they fit there."""
        kinds = {name: self.model.layers[name].type for name in self.layers}
        kinds[self.loss] = self.model.criterion.type if self.model.criterion else ""
        before = dict(zip(self.spine[1:], self.spine, strict=False))
        formulas = {
            name: Formula(written, size=0.36, colour=self.theme.text)
            for name, kind in kinds.items()
            if (written := computed(name, before[name], kind, self.symbols, self.feeders(name)))
        }
        room = self.nodes[self.spine[1]].get_x() - self.nodes[self.spine[0]].get_x() - 0.2
        if max((formula.width for formula in formulas.values()), default=0) > room:
            return {}
        for name, formula in formulas.items():
            x = min(float(self.nodes[name].get_x()), line.right - formula.width / 2)
            formula.move_to((x, line.center[1], 0.0))
        return formulas

    def middle(self, feeder: str, fed: str) -> NDArray[np.float64]:
        """Return the middle of an edge, (3,)."""
        return np.asarray(self.edges[feeder, fed].get_center())

    def arrow_back(self, fed: str, feeder: str) -> Arrow:
        """Return the arrow of a gradient: against an edge, in the gradient's colour."""
        edge = self.edges[feeder, fed]
        return Arrow(
            edge.get_end(), edge.get_start(), buff=0.05, color=GRADIENT, stroke_width=6, tip_length=0.22,
            max_stroke_width_to_length_ratio=20, max_tip_length_to_length_ratio=0.4,
        )  # fmt: skip

    def target_beside(self, values: NDArray[Any]) -> Words:
        """Return the recorded target beside its node's edge, if it is a single number."""
        text = number(float(values.item()), 0 if values.dtype.kind in "iu" else 3) if values.size == 1 else ""
        edge = self.middle(self.model.target_name, self.loss)
        return Words(text, size=0.24, colour=self.theme.text).next_to(edge, RIGHT, buff=0.1)

    def gradient_at_edge(self, fed: str, feeder: str, values: NDArray[np.float64]) -> VGroup:
        """Return what stands at an edge of the spine: ∂ℓ/∂feeder above it; below it the number, or its norm."""
        colour, middle = ink(GRADIENT, self.theme), self.middle(feeder, fed)
        text = number(float(values.item())) if values.size == 1 else f"‖·‖ {number(float(np.linalg.norm(values)))}"
        above = Formula(partial("ell", self.symbols[feeder]), size=0.36, colour=colour).move_to(middle + 0.53 * UP)
        below = Words(text, size=0.24, colour=colour).move_to(middle + 0.3 * DOWN)
        fits = below.width < self.edges[feeder, fed].get_length()  # else the card alone says it
        return VGroup(above, below if fits else VGroup())

    def gradient_at_parameter(self, name: str, values: NDArray[np.float64]) -> VGroup:
        """Return what stands beside a parameter's node: its gradient as a heat map, named; a vector is a column.

        Where there is less room the name is left out, then the map.
        """
        bias, node = values.ndim == 1, self.nodes[name]
        side, room = (RIGHT, self._room(node, 1)) if bias else (LEFT, self._room(node, -1))
        label = Formula(partial("ell", self.symbols[name]), size=0.3, colour=ink(GRADIENT, self.theme))
        wide = min(0.6, room - label.width - 0.3)
        named = wide > 0.2
        wide = wide if named else min(0.6, room - 0.2)
        if wide < 0.1:
            return VGroup()
        matrix = values[:, None] if bias else values
        cells = Grid(matrix, theme=self.theme, outline=GRADIENT, height=0.6, width=wide, numbers=False)
        return VGroup(*([label] if named else []), cells).arrange(-side, buff=0.12).next_to(node, side, buff=0.12)

    def _room(self, node: Node, side: int) -> float:
        """Return how much of the way to the next node at the same height, or to the edge, a node may use."""
        reach = float(node.ring.get_x()) * side + node.radius
        others = [other for other in self.nodes.values() if other.radius == SMALL]
        gaps = [(float(other.ring.get_x()) * side - other.radius - reach, other.name) for other in others]
        gaps = [(gap, name) for gap, name in gaps if gap > -SMALL]
        if not gaps:
            return max(self.right, -self.left) - reach
        gap, name = min(gaps)
        return gap - 0.05 if name == self.model.target_name else gap / 2 - 0.05

    def units(self, name: str, values: NDArray[np.float64]) -> Units:
        """Return a row of units under a node, filled by the first example's activations, (unit, example)."""
        shown = np.asarray(values, float)[:MOST, 0]
        apart = min(0.2, 1.6 / len(shown))
        x, y = float(self.nodes[name].get_x()), float(self.nodes[name].get_bottom()[1]) - 0.2
        across = x + apart * (np.arange(len(shown)) - (len(shown) - 1) / 2)
        middles = np.stack([across, np.full_like(across, y), np.zeros_like(across)], axis=1)
        largest = float(np.abs(shown).max(initial=0.0))
        return Units(
            middles, shown, 0.8 * apart, lambda each: shades.signed(each, largest, self.theme), theme=self.theme
        )

    def _place(self, name: str, radius: float, x: float, y: float) -> None:
        ring = LOSS if name == self.loss else LAYER if name in self.layers else self.theme.quiet
        node = Node(name, self.symbols[name], radius, ring, self.theme)
        self.nodes[name] = node.move_to((x, y, 0.0))

    def _join(self, feeder: str, fed: str) -> None:
        first, second = self.nodes[feeder], self.nodes[fed]
        start, end = first.ring.get_center(), second.ring.get_center()
        self.edges[feeder, fed] = Line(
            first.border_towards(end), second.border_towards(start), color=self.theme.line, stroke_width=3
        )
