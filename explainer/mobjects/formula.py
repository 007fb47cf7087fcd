"""Formulas in Typst, part by part: each part has its colour, and is one outline that can fade and move alone."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from manim import VGroup, VMobject

from explainer.mobjects.baseline import OnBaseline
from explainer.mobjects.typesetting import GROUP, strut, typeset
from explainer.mobjects.words import BODY, check_size
from explainer.theme import DARK

REST = "rest"  # the name of what stands in no part


class Formula(OnBaseline, VGroup):
    """A formula, one submobject per named part and one for the rest.

    Attributes:
        markup: The Typst that was set.
    """

    def __init__(
        self,
        markup: str,
        *,
        size: float = BODY,
        colour: str = DARK.text,
        colours: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        """Set `markup`, Typst's mathematics without the dollars, in which `{{ W_1 : w }}` makes a part called "w".

        Args:
            size: Height of the em in frame units; an index is 0.7 of it.
            colours: Per part; the others have `colour`.
        """
        check_size(size)
        super().__init__(**kwargs)
        self.markup = markup
        names = list(dict.fromkeys(name for _, name in GROUP.findall(markup)))
        tags = {f"#{number + 1:06X}": name for number, name in enumerate(names)}
        tag_of = {name: tag for tag, name in tags.items()}
        coloured = GROUP.sub(lambda part: f'#text(fill: rgb("{tag_of[part[2]]}"))[${part[1].strip()}$]', markup)
        self._parts: dict[str, VMobject] = {}
        for run in typeset(f"#{{ show math.equation: set align(left); $ {strut()} {coloured} $ }}"):
            name = tags.get(run.colour, REST)
            fill = (colours or {}).get(name, colour)
            part = VMobject(color=fill, fill_color=fill, fill_opacity=1, stroke_width=0)
            part.set_points(run.points * size)
            self._parts[name] = part
            self.add(part)
        self._lay_baseline(size)
        self.center()

    def select(self, name: str) -> VMobject:
        """Return the part of this name.

        Raises:
            KeyError: There is no such part.
        """
        if name not in self._parts:
            raise KeyError(f"the formula has no part {name!r}; it has {', '.join(self._parts)}")
        return self._parts[name]

    @property
    def names(self) -> Iterator[str]:
        """The parts' names, in the order in which they stand."""
        return iter(self._parts)


def boxes_overlap(first: VMobject, second: VMobject, slack: float = 0.0) -> bool:
    """Say whether two mobjects' boxes have more than `slack` frame units in common, across and up."""
    low = np.maximum(first.get_corner(np.array([-1, -1, 0])), second.get_corner(np.array([-1, -1, 0])))
    high = np.minimum(first.get_corner(np.array([1, 1, 0])), second.get_corner(np.array([1, 1, 0])))
    return bool(np.all((high - low)[:2] > slack))
