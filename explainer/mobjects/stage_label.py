"""What stands under a column of a network: how many units it has and what they are, as fully as there is room."""

from __future__ import annotations

from collections.abc import Sequence

from manim import VGroup

from explainer.mobjects.layer_row import fitted
from explainer.mobjects.words import MINIMUM, Words
from explainer.theme import DARK, Theme


class StageLabel(VGroup):
    """One or two lines under each other: an amount, and a name."""

    def __init__(
        self,
        amounts: Sequence[str],
        names: Sequence[str],
        room: float,
        *,
        theme: Theme = DARK,
        name_first: bool = False,
    ) -> None:
        """Write as much as fits into `room` frame units.

        Args:
            amounts: How many there are, in more and in fewer words; `names` alike.
            name_first: Whether the name stands above the amount.
        """
        super().__init__()
        amount = _fitting(amounts, room, theme.text)
        short = [line for lines in fitted(names[-1:], room, MINIMUM, most=1) for line in lines] if names else []
        name = _fitting([*names, *short], room, theme.text if name_first else theme.quiet)
        if name_first and amount is not None:
            amount.set_fill(theme.quiet)
        if amount is None and not name_first:  # the number is said, whatever the room
            amount = Words(amounts[-1], size=MINIMUM, colour=theme.text) if amounts else None
        lines = (name, amount) if name_first else (amount, name)
        self.add(*(line for line in lines if line is not None))
        for place, line in enumerate(self):
            line.at_baseline(-0.3 * place).set_x(0)


def _fitting(choices: Sequence[str], room: float, colour: str) -> Words | None:
    """Return the first of the choices that is not too wide."""
    for words in choices:
        line = Words(words, size=MINIMUM, colour=colour)
        if words and line.width <= room:
            return line
    return None
