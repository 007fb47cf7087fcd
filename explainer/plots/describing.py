"""Figures in words, for who cannot see them: alternative text, also written into the files."""

from __future__ import annotations

from collections.abc import Sequence
from weakref import WeakKeyDictionary

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from explainer.errors import TraceError

_TOLD: WeakKeyDictionary[Axes, tuple[str, str]] = WeakKeyDictionary()  # title, and what is said below it


def tell(ax: Axes, title: str, sentences: Sequence[str]) -> None:
    """Keep what is to be said of axes: the question in their title, and sentences that answer it."""
    _TOLD[ax] = (title, " ".join(_whole(each) for each in sentences if each))


def describe(drawn: Axes | Figure) -> str:
    """Return alternative text for a figure: its question, what is drawn, and the numbers that answer it.

    Args:
        drawn: The axes that a figure of `explainer.plots` returned, or a whole matplotlib figure that holds such axes.

    Returns:
        Sentences, those of several axes one after the other.

    Raises:
        TraceError: No figure of `explainer.plots` was drawn there.
    """
    said = " ".join(f"{_whole(title)} {text}".strip() for title, text in _held(drawn))
    if not said:
        raise TraceError(
            "no figure of explainer.plots was drawn there, so there are no words for it: give the axes that such a "
            "figure returned, or their matplotlib figure"
        )
    return said


def title_of(drawn: Axes | Figure) -> str:
    """Return the question that a figure asks; empty where it is no figure of ours."""
    return next((title for title, _ in _held(drawn)), "")


def _held(drawn: Axes | Figure) -> list[tuple[str, str]]:
    return [_TOLD[ax] for ax in ([drawn] if isinstance(drawn, Axes) else drawn.get_axes()) if ax in _TOLD]


def _whole(sentence: str) -> str:
    """Return a remark as a sentence: remarks joined by dots become a list, with a full stop at its end."""
    plain = sentence.replace("\n", " ").replace("  ·  ", "; ").strip()
    return plain if plain.endswith((".", "?", "!")) else f"{plain}."
