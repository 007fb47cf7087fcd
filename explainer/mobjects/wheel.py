"""A wheel of verbs: what happens again and again, in its order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from manim import Arc, Dot, VGroup, VMobject

from explainer.mobjects.painted import Array
from explainer.mobjects.words import BODY, Words
from explainer.theme import DARK, Theme

GAP = 0.16  # between a word and the arc beside it, in frame units


class Wheel(VGroup):
    """Verbs around a ring, clockwise from the top, and a dot that shows where in the lap it is.

    Attributes:
        words: The verbs; `arcs` the arrows from each to the next.
        turn: Where it is: 0 is at the first verb, 1 at the second, and so on round; None is nowhere.
    """

    def __init__(
        self,
        verbs: Sequence[str],
        colours: Sequence[str],
        *,
        theme: Theme = DARK,
        width: float = 3.0,
        height: float = 2.4,
        size: float = BODY,
    ) -> None:
        """Draw a wheel.

        Args:
            verbs: In their order; `colours` are those of the verbs that are lit.
            width: Of the ring on which the verbs' middles stand; `height` alike.
        """
        super().__init__()
        self.verbs, self.colours, self.theme = tuple(verbs), tuple(colours), theme
        self.radii = np.array([width, height]) / 2
        self.turn: float | None = None
        self.words = VGroup(*(Words(verb, size=size, colour=theme.quiet, bold=True) for verb in verbs))
        self.hub = Dot(radius=0.001, fill_opacity=0, stroke_opacity=0)
        for place, word in enumerate(self.words):
            word.move_to(self.at(place))
        self.arcs = VGroup(*(self._arc(place) for place in range(len(self.verbs))))
        self.dot = Dot(radius=0.1, color=theme.text, fill_opacity=0)
        self.add(self.hub, self.arcs, self.words, self.dot)

    def at(self, turn: float) -> Array:
        """Return where on the ring a moment of the lap stands, (3,)."""
        angle = np.pi / 2 - 2 * np.pi * turn / len(self.verbs)
        return np.asarray(self.hub.get_center() + np.array([*(self.radii * (np.cos(angle), np.sin(angle))), 0.0]))

    def set_turn(self, turn: float | None) -> Wheel:
        """Show where in the lap it is: the verb is lit that began last, and the dot runs on to the next."""
        self.turn = turn
        now = None if turn is None else int(turn) % len(self.verbs)
        for place, (word, colour) in enumerate(zip(self.words, self.colours, strict=True)):
            word.set_fill(colour if place == now else self.theme.quiet)
        there = self.at(turn or 0.0)
        beside = turn is not None and all(_clear(there, word) for word in self.words)
        self.dot.set_fill(self.theme.text if now is None else self.colours[now], opacity=float(beside))
        self.dot.move_to(there)
        return self

    def light_all(self) -> Wheel:
        """Give each verb its colour: the whole lap is meant."""
        self.set_turn(None)
        for word, colour in zip(self.words, self.colours, strict=True):
            word.set_fill(colour)
        return self

    def _arc(self, place: int) -> VMobject:
        """Return the arrow from a verb to the next, beside both words."""
        turns = np.linspace(place, place + 1, 200)
        path = np.array([self.at(turn) for turn in turns])
        ends = self.words[place], self.words[(place + 1) % len(self.verbs)]
        free = [all(_clear(point, word) for word in ends) for point in path]
        path = path[free]
        arc: VMobject = Arc(stroke_color=self.theme.line, stroke_width=3)
        if len(path) > 12:
            arc.set_points_smoothly(path[:: max(len(path) // 12, 1)])
            arc.add_tip(tip_length=0.16, tip_width=0.15)
        return arc


def _clear(point: Array, word: VMobject) -> bool:
    reach = np.array([word.width, word.height]) / 2 + GAP
    return bool((np.abs(point - word.get_center())[:2] > reach).any())
