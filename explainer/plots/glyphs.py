"""Letters that the figures' font lacks: which font of the system has them, and what is written where none has.

Names of layers, runs and classes are other people's, in any script. A figure never shows a box for a letter: another
installed font lends it, and where there is none its code stands there, [U+4E2D].
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.artist import Artist
from matplotlib.cbook import is_math_text
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

_ANYWAY = "DejaVu Sans"  # matplotlib carries it
_NO_TEXT = ("Last Resort", ".Last Resort", "LastResort", "cm", "STIX", "DejaVu Sans Display", "DejaVu Serif Display")


def written(name: str) -> str:
    """Return a name in which the code stands for each letter that no font has: [U+4E2D]; of an invisible one nothing.

    Several that follow each other are one code with their number, such as [U+4E2D +3].
    """
    missing = _missing(name, _families())
    lost = missing.difference(*(_letters_of(family) for family in _lenders(missing)))
    if not lost:
        return name
    said, place = "", 0
    while place < len(name):
        end = place
        while end < len(name) and name[end] in lost:
            end += 1
        seen = [letter for letter in name[place:end] if unicodedata.category(letter) not in ("Cf", "Mn")]
        if seen:
            said += f"[U+{ord(seen[0]):04X}{f' +{len(seen) - 1}' if len(seen) > 1 else ''}]"
        said += name[end : end + 1]
        place = end + 1
    return said


def lend_letters(drawn: Artist) -> None:
    """Let other fonts lend each text in a figure the letters that its own lacks, or write their codes."""
    for text in drawn.findobj(Text):
        words = text.get_text()
        if words.isascii() or (text.get_parse_math() and is_math_text(words)):
            continue
        own = text.get_fontfamily()
        missing = _missing(words, own)
        if missing:
            lenders = _lenders(missing)
            text.set_fontfamily([*own, *lenders])
            if not all(_has_weight(family, text.get_fontweight()) for family in lenders):
                text.set_fontweight("normal")
            text.set_text(written(words))


def width(name: str) -> int:
    """Return how many letters' room a name takes: Chinese, Japanese and Korean ones take that of two."""
    return sum(1 + (unicodedata.east_asian_width(letter) in "WF") for letter in name)


def _families() -> list[str]:
    return list(mpl.rcParams["font.family"])


def _missing(words: str, families: Sequence[str]) -> set[str]:
    """Return the letters that none of some families has."""
    if words.isascii():
        return set()
    return {letter for letter in words if letter != "\n"}.difference(*(_letters_of(family) for family in families))


def _lenders(missing: Iterable[str]) -> list[str]:
    """Return families that together have of some letters all that any family has."""
    found: list[str] = []
    wanted = set(missing)
    for family in _installed() if wanted else ():
        has = wanted & _letters_of(family)
        if has:
            found.append(family)
            wanted -= has
        if not wanted:
            break
    return found


@cache
def _installed() -> tuple[str, ...]:
    """Return the families that text can be set in, upright and in the usual weight.

    Fonts that were installed after matplotlib last looked are made known to it.
    """
    known = {entry.fname for entry in font_manager.fontManager.ttflist}
    for file in sorted(set(font_manager.findSystemFonts()) - known):
        try:
            font_manager.fontManager.addfont(file)
        except (OSError, RuntimeError, ValueError):  # a file that is no font, or one that cannot be scaled
            continue
    usual = [entry for entry in font_manager.fontManager.ttflist if _weight(entry.weight) == 400]
    names = {each.name for each in usual if each.style == "normal" and not each.name.startswith(_NO_TEXT)}
    return tuple(sorted(names, key=lambda name: (name != _ANYWAY, "Sans" not in name, name)))


@cache
def _letters_of(family: str) -> frozenset[str]:
    """Return the letters of the upright font of a family, none of one whose letters are pictures of a fixed size."""
    upright = [entry for entry in font_manager.fontManager.ttflist if entry.name == family and entry.style == "normal"]
    if upright:
        file = min(upright, key=lambda entry: abs(_weight(entry.weight) - 400)).fname
    else:  # "sans-serif", "serif": whichever of several is installed
        file = font_manager.findfont(font_manager.FontProperties(family=[family]))
    try:
        font = FT2Font(file)
    except (OSError, RuntimeError):
        return frozenset()
    return frozenset(map(chr, font.get_charmap())) if font.scalable else frozenset()


def _has_weight(family: str, weight: str | float) -> bool:
    """Whether a family has a font of a weight: where it has none, matplotlib would say so at each figure."""
    there = {_weight(entry.weight) for entry in font_manager.fontManager.ttflist if entry.name == family}
    return _weight(weight) in there


def _weight(weight: str | float) -> float:
    return font_manager.weight_dict.get(weight, 400) if isinstance(weight, str) else float(weight)
