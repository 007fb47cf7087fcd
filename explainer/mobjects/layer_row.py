"""A network's layers in a row, each a block with its name, and the loss behind the last one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from manim import DOWN, RIGHT, Arrow, Line, RoundedRectangle, VGroup

from explainer.mobjects.words import MINIMUM, SMALL, Words
from explainer.reach import Bar
from explainer.theme import DARK, GRADIENT, LAYER, LOSS, Theme, ink

Array = npt.NDArray[np.float64]
LOSS_WIDE = 1.35  # frame units
AWAY = 0.3  # frame units, from a base line to the axis: the number over the first bar needs room
REST, LIT = 2.0, 5.0  # widths of a block's outline


class LayerRow(VGroup):
    """Blocks from left to right; passes light them up.

    Attributes:
        blocks: The layers' outlines, in forward order; the loss's is the last.
        labels: Their names; `loss` is the loss's, and the number under it.
    """

    def __init__(
        self,
        names: Sequence[str],
        places: npt.ArrayLike,
        *,
        loss: str = "",
        theme: Theme = DARK,
        height: float = 0.72,
    ) -> None:
        """Draw the row.

        Args:
            names: (layer,) as `bar_names` writes them.
            places: (layer, 3) the blocks' middles.
            loss: The loss's number in words; "" where none is known.
        """
        super().__init__()
        middles = np.asarray(places, float)
        pitch = float(middles[1, 0] - middles[0, 0]) if len(middles) > 1 else 1.6
        self.blocks, self.labels, self.links = VGroup(), VGroup(), VGroup()
        width = 0.84 * pitch
        for place, lines in zip(middles, fitted(names, width - 0.08, MINIMUM), strict=True):
            self.blocks.add(self._block(width, height, LAYER, theme).move_to(place))
            self.labels.add(stacked(lines, MINIMUM, theme.text).move_to(place))
        end = middles[-1] + RIGHT * (pitch / 2 + 0.2 + LOSS_WIDE / 2)
        self.blocks.add(self._block(LOSS_WIDE, height, LOSS, theme).move_to(end))
        said = [Words("loss", size=SMALL, colour=ink(LOSS, theme))]
        said += [Words(loss, size=SMALL, colour=theme.text)] if loss else []
        self.loss = VGroup(*said).arrange(DOWN, buff=0.08).move_to(end)
        for left, right in zip(self.blocks, self.blocks[1:], strict=False):
            link = Arrow(
                left.get_right(), right.get_left(), buff=0.03, stroke_width=2, color=theme.quiet,
                tip_length=0.1, max_tip_length_to_length_ratio=0.6,
            )  # fmt: skip
            self.links.add(link)
        self.add(self.blocks, self.labels, self.links, self.loss)

    def light(self, position: float, *, backward: bool = False) -> LayerRow:
        """Light up the block that a pass has come to: 0 is where it begins, one more at each block."""
        count = len(self.blocks)
        at = count - 1 - position if backward else position
        for index, block in enumerate(self.blocks):
            near = max(0.0, 1 - abs(index - at))
            colour = GRADIENT if backward and near > 0 else LOSS if index == count - 1 else LAYER
            block.set_stroke(colour, width=REST + (LIT - REST) * near).set_fill(colour, opacity=0.08 + 0.5 * near)
        return self

    def _block(self, width: float, height: float, colour: str, theme: Theme) -> RoundedRectangle:
        return RoundedRectangle(
            width=width, height=height, corner_radius=0.1, stroke_width=REST, stroke_color=colour, fill_color=colour,
            fill_opacity=0.08,
        )  # fmt: skip


def backward_arrow(left: Array, right: Array, theme: Theme = DARK) -> VGroup:
    """Return the arrow along which the backward pass runs, from the right to the left end, with its words above."""
    line = Arrow(right, left, buff=0, color=GRADIENT, stroke_width=5, tip_length=0.2)
    words = Words("the backward pass", size=SMALL, colour=ink(GRADIENT, theme))
    return VGroup(line, words.next_to(line, -DOWN, buff=0.06))


def ruled_axis(base: Line, height: float, ticks: Sequence[tuple[float, str]], theme: Theme = DARK) -> VGroup:
    """Return an upright axis, a little to the left of a base line, with words at shares of its height."""
    foot = base.get_start() - RIGHT * AWAY
    axis = VGroup(Line(foot, foot - DOWN * height, color=theme.line, stroke_width=2))
    for share, words in ticks:
        at = foot - DOWN * share * height
        axis.add(Line(at, at - RIGHT * 0.1, color=theme.line, stroke_width=2))
        axis.add(Words(words, size=MINIMUM, colour=theme.quiet).next_to(at - RIGHT * 0.1, -RIGHT, buff=0.06))
    return axis


# ── names that fit ────────────────────────────────────────────────────────────────────────────────────────────────────


def bar_names(bars: Sequence[Bar]) -> list[str]:
    """Return what bars are called on screen: by qualified names, or counted where those are numbers only.

    One that stands for several layers does not pass for one of them, nor one called "loss" for the loss.
    """
    if any(letter.isalpha() for bar in bars for letter in bar.name):
        return [bar.name if bar.name != "loss" else f"loss ({bar.type or 'layers'})" for bar in bars]
    types = {bar.type for bar in bars}
    if len(types) == 1:
        unit = "layer" if types.pop() else "stage"
        return [f"{unit} {place}" for place in range(1, len(bars) + 1)]
    return [f"{bar.type or 'layers'} {bar.name}" for bar in bars]


def fitted(names: Sequence[str], room: float, size: float, most: int = 2) -> list[list[str]]:
    """Break names into lines no wider than the room, (name, line); what is too long loses its outer modules.

    Args:
        room: In frame units.
        most: How many lines a name may have.
    """
    outer = _shared(names)
    return [_lines(name, outer, lambda line: Words(line, size=size).width <= room, most) for name in names]


def _shared(names: Sequence[str]) -> int:
    """Return how many outer modules can be left out of each name that has so many more, with all still different."""
    paths = [name.split(".") for name in names]
    for left_out in range(max(map(len, paths)) - 1, 0, -1):
        short = [".".join(path[min(left_out, len(path) - 1) :]) for path in paths]
        if len(set(short)) == len(short):
            return left_out
    return 0


def _lines(name: str, outer: int, fits: Callable[[str], bool], most: int) -> list[str]:
    parts = name.replace(" ", ". ").split(".")
    for left_out in range(min(outer, len(parts) - 1) + 1):
        kept = parts[left_out:]
        for cut in range(len(kept), 0, -1) if most > 1 else [len(kept)]:
            first, second = ".".join(kept[:cut]), ".".join(["", *kept[cut:]])  # the dot stays in sight
            lines = [each.replace(". ", " ").strip() for each in (first, second) if each]
            if all(map(fits, lines)):
                return lines
    whole = (start for start in range(1, len(name)) if not name[start - 1 : start + 1].isdigit())  # no number is cut
    cut = next((start for start in whole if fits("…" + name[start:])), len(name) - 1)
    return ["…" + name[cut:]]  # ends tell names apart better than beginnings


def stacked(lines: Sequence[str], size: float, colour: str) -> VGroup:
    """Return short lines one under the other, on even baselines."""
    words = VGroup(*(Words(line, size=size, colour=colour) for line in lines))
    for place, line in enumerate(words):
        line.set_x(0).at_baseline(-1.25 * size * place)
    return words
