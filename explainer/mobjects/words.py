"""Words and numbers on screen: one function for text, one for the digits of a number."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from manim import DOWN, LEFT, RIGHT

from explainer.mobjects.baseline import OnBaseline
from explainer.mobjects.typesetting import quoted, strut, typeset
from explainer.theme import DARK

# Sizes are heights of the em in units of the frame, which is 8 units high: 0.22 is 13 pixels at 480p.
MINIMUM = 0.22
SMALL = 0.24
BODY = 0.30
CAPTION = 0.34
TITLE = 0.46

MINUS = "−"
LONG = 1e6  # from here on a number is written with a power of ten
_RAISED = str.maketrans("0123456789−", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


class Words(OnBaseline):
    """A line of text, or several, as one filled outline: quick to draw, to fade and to move.

    Attributes:
        words: What it says.
    """

    def __init__(
        self,
        words: str,
        *,
        size: float = BODY,
        colour: str = DARK.text,
        bold: bool = False,
        width: float | None = None,
        **kwargs: Any,
    ) -> None:
        """Set the words.

        Args:
            size: Height of the em in frame units, at least MINIMUM.
            width: Break lines so that none is wider, as evenly as can be; centred.
        """
        check_size(size)
        super().__init__(color=colour, fill_color=colour, fill_opacity=1, stroke_width=0, **kwargs)
        self.words = words
        set_text = f'#text(weight: "bold", {quoted(words)})' if bold else f"#text({quoted(words)})"
        runs = typeset(strut() + set_text)
        if width is not None and runs and (extent := float(np.ptp(runs[0].points[:, 0]) * size)) > width:
            runs = _broken(set_text, extent / size, width / size)
        if runs:
            self.set_points(np.concatenate([run.points for run in runs]) * size)
        self._lay_baseline(size, empty=not runs)
        self.center()


def _broken(set_text: str, extent: float, width: float) -> Any:
    """Break a line of `extent` em into as few lines as fit `width`, about equally long."""
    least = math.ceil(extent / width)
    for lines in (least, least + 1):  # long words may need one more
        for even in np.linspace(extent / lines, width, 12):
            runs = typeset(f"#align(center)[{strut()}#h(-0.592em){set_text}]", float(even) + 0.02)
            heights = np.concatenate([run.points[:, 1] for run in runs])
            if np.ptp(heights) < 1.25 * lines:  # they are about 1.3 em apart, and the last has no descender to speak of
                return runs
    return runs


def check_size(size: float) -> None:
    """Refuse a size that nobody could read at 480p."""
    if size < MINIMUM - 1e-9:
        raise ValueError(f"text of size {size} cannot be read at 480p: use at least {MINIMUM} (frame units)")


def number(value: float, decimals: int = 3, *, signed: bool = False, tiny: bool = True) -> str:
    """Return a number as it is written on screen: a real minus sign, fixed decimals.

    One too long to read is written with a power of ten, and so is one that would round to zero without being zero.

    Args:
        signed: Write the plus sign too.
        tiny: False to let small numbers round to zero, as in a column of larger ones.
    """
    value = float(value)
    if math.isnan(value):
        return "nan"
    sign = MINUS if value < 0 else "+" if signed and value > 0 else ""
    size = abs(value)
    if math.isinf(size):
        return sign + "∞"
    if (tiny and 0 < size < 0.5 * 10**-decimals) or size >= LONG:
        digits, _, power = f"{size:.1e}".partition("e")
        return f"{sign}{digits}·10{str(int(power)).replace('-', MINUS).translate(_RAISED)}"
    return f"{sign}{size:.{decimals}f}"


def column(values: Iterable[float], *, decimals: int = 3, **words: Any) -> list[Words]:
    """Return numbers as words whose decimal points stand one under the other once each is placed by its right edge."""
    return [Words(number(value, decimals), **words) for value in values]


def beside(first: Words, second: Words, gap: float = 0.12) -> Words:
    """Put the second to the right of the first, on the same baseline, and return it."""
    second.next_to(first, RIGHT, buff=gap)
    return second.at_baseline(first.baseline)


__all__ = [
    "BODY", "CAPTION", "DOWN", "LEFT", "MINIMUM", "SMALL", "TITLE", "Words", "beside", "check_size", "column", "number",
]  # fmt: skip
