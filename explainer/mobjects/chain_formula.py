"""The product that backpropagation is, written factor by factor."""

from collections.abc import Sequence

from manim import Animation, Transform

from explainer.mobjects.formula import Formula
from explainer.mobjects.symbols import partial
from explainer.theme import DARK, GRADIENT, LOCAL, Theme, ink

FAINT = 0.35  # opacity of a factor that is still to come


class ChainFormula(Formula):
    """∂ℓ/∂W = ∂ℓ/∂L₂ · ∂L₂/∂S · …: what is looked for, and its factors, at first faint.

    Attributes:
        factors: Per factor the symbols above and below.
        lit: How many factors have been lit.
    """

    def __init__(
        self, sought: str, factors: Sequence[tuple[str, str]], size: float = 0.42, theme: Theme = DARK
    ) -> None:
        """Write it.

        Args:
            sought: The symbol of the parameter.
            factors: (above, below) of each, from the loss on.
        """
        self.factors, self.lit = list(factors), 0
        written = [f"{{{{ {partial(*factor)} : f{at} }}}}" for at, factor in enumerate(factors)]
        written[1:] = [f"{{{{ dot : d{at} }}}} {factor}" for at, factor in enumerate(written[1:], 1)]
        colours = {f"f{at}": ink(LOCAL if at else GRADIENT, theme) for at in range(len(factors))}
        super().__init__(
            f"{{{{ {partial('ell', sought)} : sought }}}} = {' '.join(written)}",
            size=size,
            colour=theme.text,
            colours={"sought": ink(GRADIENT, theme), **colours},
        )
        for at in range(len(factors)):
            for part in self._of_factor(at):
                self.select(part).set_opacity(FAINT)

    def light_next(self) -> list[Animation]:
        """Return what lights the next factor."""
        names = self._of_factor(self.lit)
        self.lit += 1
        parts = [self.select(name) for name in names]
        return [Transform(part, part.copy().set_opacity(1)) for part in parts]

    def _of_factor(self, at: int) -> list[str]:
        return [f"f{at}", f"d{at}"] if at else ["f0"]
