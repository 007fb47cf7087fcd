"""Colours with a meaning, the same in every figure, film and page. Data, and one function from number to colour.

Okabe and Ito's palette (2008), which people with the common colour blindnesses tell apart. Colour never stands alone:
sign, shape or a label says the same.
"""

from dataclasses import dataclass

POSITIVE = "#0072B2"  # blue: a value above zero
NEGATIVE = "#D55E00"  # vermilion: a value below zero
GRADIENT = "#E69F00"  # orange: ∂loss/∂anything, arriving or passed on
LOCAL = "#56B4E9"  # sky blue: an operation's own derivative, and the layers themselves
LAYER = "#56B4E9"
LOSS = "#CC79A7"  # reddish purple: the loss
RIGHT = "#009E73"  # bluish green: the right answer


@dataclass(frozen=True)
class Theme:
    """The colours that depend on whether the room is dark."""

    name: str
    background: str
    panel: str  # behind a card
    text: str
    quiet: str  # what is said in passing; still legible from the last row
    line: str  # axes, edges
    zero: str  # the value zero in a heat map


DARK = Theme("dark", "#10131A", "#1C212C", "#F2F2F2", "#A8B0BF", "#5B6475", "#232938")
LIGHT = Theme("light", "#FFFFFF", "#F3F5F8", "#16191F", "#4E5665", "#9AA3B2", "#EEF0F4")
THEMES = {theme.name: theme for theme in (DARK, LIGHT)}

# How high the loss of a surface is, from low to high: viridis (van der Walt and Smith 2015), whose lightness grows
# evenly, so that it reads as height without colours too; it stands apart from both backgrounds.
HEIGHTS = (
    "#440154", "#48186A", "#472D7B", "#424086", "#3B528B", "#33638D", "#2C728E", "#26828E", "#21918C",
    "#1FA088", "#28AE80", "#3FBC73", "#5EC962", "#84D44B", "#ADDC30", "#D8E219", "#FDE725",
)  # fmt: skip


def colour_of(value: float, largest: float, theme: Theme = DARK) -> str:
    """Return the colour of a signed number: blue above zero, vermilion below, fainter the nearer it is to zero.

    Args:
        value: What is to be shown.
        largest: The magnitude that gets the full colour; larger ones are shown as it.
    """
    if largest <= 0 or value != value:  # NaN has no colour
        return theme.zero
    share = min(1.0, abs(value) / largest)
    return blend(theme.zero, POSITIVE if value > 0 else NEGATIVE, share)


def height_colour(share: float) -> str:
    """Return the colour of a height: 0 is the lowest of a surface, 1 the highest; what is beyond is shown as these."""
    place = min(1.0, max(0.0, share)) * (len(HEIGHTS) - 1)
    below = min(int(place), len(HEIGHTS) - 2)
    return blend(HEIGHTS[below], HEIGHTS[below + 1], place - below)


def blend(first: str, second: str, share: float) -> str:
    """Return the colour `share` of the way from one to another, both as "#RRGGBB"."""
    pairs = ((int(first[at : at + 2], 16), int(second[at : at + 2], 16)) for at in (1, 3, 5))
    return "#" + "".join(f"{round(a + (b - a) * share):02X}" for a, b in pairs)


def ink(colour: str, theme: Theme = DARK) -> str:
    """Return a colour fit for letters and thin lines: moved towards the theme's text until it can be read (WCAG's 4.5).

    On dark ground the meaningful colours are bright enough and stay as they are; on white, orange becomes brown.
    """
    steps = (blend(colour, theme.text, tenths / 10) for tenths in range(11))
    return next((inked for inked in steps if contrast(inked, theme.background) >= 4.5), theme.text)


def contrast(first: str, second: str) -> float:
    """Return how well two colours stand apart, from 1 to 21, by WCAG's measure."""
    darker, lighter = sorted((_luminance(first), _luminance(second)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    channels = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(share * c for share, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
