"""The card of an operation: incoming × local = outgoing, as small matrices with their shapes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from manim import DOWN, RIGHT, Line, RoundedRectangle, VGroup, VMobject

from explainer.chain import Array, Operation
from explainer.mobjects.formula import Formula
from explainer.mobjects.grid import Grid, shape_words
from explainer.mobjects.layout import Region
from explainer.mobjects.symbols import derivative, partial
from explainer.mobjects.words import BODY, SMALL, Words
from explainer.operations import Elementwise, Jacobian
from explainer.theme import DARK, GRADIENT, LAYER, LOCAL, Theme, ink

WIDTHS = (4.5, 3.6, 3.0, 2.8, 2.6, 2.4, 2.2, 2.05, 1.9, 1.6, 1.3)  # of a matrix on a card, in frame units

Placed = TypeVar("Placed", bound=VGroup)


class Factor(VGroup):
    """One matrix of a card: its formula, what part it plays, its shape, its numbers.

    Attributes:
        label, role, shape, grid: Its parts.
    """

    def __init__(
        self, formula: str, role: str, values: npt.ArrayLike, *, colour: str, theme: Theme = DARK, **grid: Any
    ) -> None:
        super().__init__()
        self.grid = Grid(values, theme=theme, outline=colour, **grid)
        self.label = Formula(formula, size=0.4, colour=ink(colour, theme))
        self.role = Words(role, size=SMALL, colour=theme.quiet)
        self.shape = Words(shape_words(self.grid.values), size=SMALL, colour=theme.quiet)
        beside = VGroup(self.label, self.role, self.shape).arrange(DOWN, buff=0.12)
        self.add(beside, self.grid)
        self.arrange(RIGHT, buff=0.22)


class Equation(VGroup):
    """Factors with signs between them.

    Attributes:
        factors, signs: Its parts, from the left.
    """

    def __init__(self, factors: Sequence[VGroup], signs: Sequence[str], theme: Theme = DARK) -> None:
        super().__init__()
        self.factors: list[Any] = list(factors)
        self.signs = [Formula(sign, size=0.5, colour=theme.text) for sign in signs]
        parts = [self.factors[0]]
        for sign, factor in zip(self.signs, self.factors[1:], strict=True):
            parts += [sign, factor]
        self.add(*parts)
        self.arrange(RIGHT, buff=0.3)


class OperationEquation(Equation):
    """What an operation does in the backward pass: what arrives, times its own gradient, is passed on.

    Attributes:
        incoming, local, outgoing: Its three factors.
    """

    def __init__(
        self,
        operation: Operation,
        before: str,
        symbol: Mapping[str, str],
        theme: Theme = DARK,
        weight: str | None = None,
        width: float = WIDTHS[0],
    ) -> None:
        """Write it for an operation, with gradients as columns, one per example.

        Args:
            before: The node in front of the operation, whose value it was given.
            symbol: Typst for each name, as from `symbols`.
            weight: Pass on to this parameter of the operation, instead of the node in front.
            width: The most that a matrix may take, in frame units.
        """
        to = weight or before
        incoming, own = _columns(operation.incoming), _own(operation, weight)
        outgoing = operation.parameter_gradients[weight] if weight else _columns(operation.outgoing)
        formula = f"{symbol[before]}^T" if weight else _own_formula(operation, before, symbol)
        if width > WIDTHS[-1]:  # else there is no room for the name of the derivative
            formula = f"{partial(symbol[operation.name], symbol[to])} = {formula}"
        self.incoming, self.local, self.outgoing = (
            Factor(written, role, values, colour=colour, theme=theme, width=width)
            for written, role, values, colour in (
                (partial("ell", symbol[operation.name]), "arrives", incoming, GRADIENT),
                (formula, "its own", own, LOCAL),
                (partial("ell", symbol[to]), "passed on", outgoing, GRADIENT),
            )
        )
        elementwise = isinstance(operation.local, Elementwise) and not weight
        # A matrix stands to the left of the column that it turns; beside a single number that does not matter
        turned = not weight and not elementwise and len(incoming) > 1
        first, second = (self.local, self.incoming) if turned else (self.incoming, self.local)
        sign = "dot.o" if elementwise and incoming.size > 1 else "times"
        super().__init__([first, second, self.outgoing], [sign, "="], theme)
        self.rows = len(self.outgoing.grid.values)
        self._whole = [self.incoming] if turned else [self.local] if weight else []

    def row(self, at: int, colour: str) -> VGroup:
        """Return frames around the numbers of which one row of the product is made, and around that row."""
        frames = VGroup()
        for factor in self.factors:
            whole = factor in self._whole or len(factor.grid.values) == 1
            frames.add(
                *([factor.grid.row(i) for i in range(len(factor.grid.values))] if whole else [factor.grid.row(at)])
            )
        return frames.set_stroke(colour)


class Card(VGroup):
    """The panel that equations stand on."""

    def __init__(self, region: Region, theme: Theme = DARK) -> None:
        super().__init__()
        self.region = region
        self.panel = RoundedRectangle(
            width=region.width, height=region.height, corner_radius=0.15, color=LAYER, stroke_width=2.5,
            fill_color=theme.panel, fill_opacity=1,
        ).move_to(region.center)  # fmt: skip
        self.add(self.panel)

    def pointer(self, above: VMobject) -> Line:
        """Return the line from what stands above the card down to it."""
        x, bottom = float(above.get_center()[0]), float(above.get_bottom()[1]) - 0.05
        return Line((x, bottom, 0.0), (x, self.region.top, 0.0), color=LAYER, stroke_width=2.5)

    def place(self, equation: Placed) -> Placed:
        """Put an equation on the panel, with room around it."""
        return self._inner.place(equation)

    def place_widest(self, write: Callable[[float], Placed]) -> Placed:
        """Put on the panel what `write` makes of the largest matrix width of WIDTHS at which nothing must shrink."""
        for width in WIDTHS:
            written = write(width)
            if written.width <= self._inner.width:
                break
        return self.place(written)

    @property
    def _inner(self) -> Region:
        region = self.region
        return Region(region.left + 0.25, region.bottom + 0.12, region.right - 0.25, region.top - 0.12)


def verdict(value: str, about: str, colour: str, theme: Theme = DARK) -> VGroup:
    """Return a number and under it what it is, in place of a matrix."""
    large = Words(value, size=BODY * 1.3, colour=ink(colour, theme), bold=True)
    return VGroup(large, Words(about, size=SMALL, colour=theme.quiet)).arrange(DOWN, buff=0.15)


def _columns(values: Array) -> Array:
    """Turn (example, unit) into (unit, example): a vector is a column."""
    return np.asarray(values).reshape(len(values), -1).T if np.ndim(values) else np.reshape(values, (1, 1))


def _own(operation: Operation, weight: str | None) -> Array:
    """Return an operation's own gradient as it multiplies columns."""
    if weight:
        return _columns(operation.input).T
    if isinstance(operation.local, Jacobian):
        return np.asarray(operation.local.values[0].T)
    return np.asarray(operation.local.values.T)


def _own_formula(operation: Operation, before: str, symbol: Mapping[str, str]) -> str:
    weight = next((name for name in operation.parameter_gradients if name.endswith("weight")), "")
    output = before if operation.is_loss else operation.name  # a loss is written of the prediction and the target
    called = {"x": symbol[before], "y": symbol[output], "t": "y", "W": symbol.get(weight, "W")}
    return derivative(operation.local, called)
