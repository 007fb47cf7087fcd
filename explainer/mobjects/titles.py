"""A film's title: large on a card before it begins, and above the picture where the frame is higher than wide."""

from __future__ import annotations

from manim import DOWN, VGroup

from explainer.mobjects.words import BODY, TITLE, Words
from explainer.theme import Theme


def title_card(title: str, says: str, number: str, *, theme: Theme, width: float) -> VGroup:
    """Return a card: which film it is of how many, its title, and what it says in a sentence.

    Args:
        number: Such as "6 of 11"; empty where it is one by itself.
        width: In frame units, in which lines are broken.
    """
    lines = VGroup()
    if number:
        lines.add(Words(number, size=BODY, colour=theme.quiet))
    lines.add(Words(title, size=2 * TITLE, colour=theme.text, bold=True, width=width))
    if says:
        lines.add(Words(says, size=1.2 * BODY, colour=theme.quiet, width=0.72 * width))
    return lines.arrange(DOWN, buff=0.45)


def heading(title: str, says: str, *, theme: Theme, width: float) -> VGroup:
    """Return a title to stand above the picture, with its sentence under it."""
    lines = VGroup(Words(title, size=2.4 * TITLE, colour=theme.text, bold=True, width=width))
    if says:
        lines.add(Words(says, size=2 * BODY, colour=theme.quiet, width=width))
    return lines.arrange(DOWN, buff=0.5)
