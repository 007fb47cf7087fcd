"""The rule of gradient descent, with the numbers of one recorded step."""

from __future__ import annotations

from manim import DOWN, VGroup

from explainer.mobjects.counter import Counter
from explainer.mobjects.formula import Formula
from explainer.theme import DARK, GRADIENT, Theme, ink

SLOPE = "{{ partial ell slash partial w : slope }}"


class StepRule(VGroup):
    """w' = w − α ∂ℓ/∂w, and under it w, the slope, α and the step as numbers.

    Attributes:
        rule: The formula.
        weight: The weight's number, `slope` that of ∂ℓ/∂w, `moved` that of −α ∂ℓ/∂w: as recorded.
    """

    def __init__(
        self, weight: float, slope: float, rate: float, update: float, *, theme: Theme = DARK, width: float = 3.6
    ) -> None:
        """Write a step; the numbers end `width` frame units from where their names begin."""
        super().__init__()
        orange, text, size = ink(GRADIENT, theme), theme.text, 0.36
        fraction = "{{ frac(partial ell, partial w) : slope }}"
        self.rule = Formula(f"w' = w - alpha dot {fraction}", size=0.44, colour=text, colours={"slope": orange})
        self.weight = Counter(weight, size=size, colour=text)
        self.slope = Counter(slope, size=size, colour=orange)
        self.moved = Counter(update, size=size, colour=text)
        rows = VGroup()
        for place, (markup, number) in enumerate(
            (("w", self.weight), (SLOPE, self.slope), (f"alpha = {rate:g}", None), (f"-alpha dot {SLOPE}", self.moved))
        ):
            name = Formula(markup, size=size, colour=text, colours={"slope": orange})
            rows.add(name.move_to((name.width / 2, 0, 0)).at_baseline(-0.62 * place))
            if number is not None:
                number.shift((width - number.get_right()[0], -0.62 * place - float(number.points[0, 1]), 0))
                rows.add(number)
        self.add(self.rule, rows.next_to(self.rule, DOWN, buff=0.5))

    def set_values(self, weight: float, slope: float, update: float) -> StepRule:
        """Show the numbers of another recorded step."""
        self.weight.set_value(weight)
        self.slope.set_value(slope)
        self.moved.set_value(update)
        return self
