"""The theme's colours as custom properties of the style sheet: a page's colours are those of figures and films."""

from __future__ import annotations

from dataclasses import replace

from explainer import theme
from explainer.theme import DARK, LIGHT, Theme, ink

_MEANINGS = ("positive", "negative", "gradient", "local", "layer", "loss", "right")


def colours() -> str:
    """Return the colours for light rooms, for dark ones, and for paper, as CSS."""
    return (
        f":root {{ color-scheme: light dark; {_properties(LIGHT)} }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root:not([data-theme=light]) {{ {_properties(DARK)} }} }}\n"
        f":root[data-theme=dark] {{ color-scheme: dark; {_properties(DARK)} }}\n"
        f":root[data-theme=light] {{ color-scheme: light }}\n"
        f"@media print {{ :root, :root:not([data-theme=light]) {{ color-scheme: light; {_properties(LIGHT)} }} }}\n"
    )


def _properties(room: Theme) -> str:
    own = {name: getattr(room, name) for name in ("background", "panel", "text", "quiet", "line", "zero")}
    meant = {name: getattr(theme, name.upper()) for name in _MEANINGS}
    card = replace(room, background=room.panel)  # where most of the page's words stand
    inked = {f"{name}-ink": ink(colour, card) for name, colour in meant.items()}
    return " ".join(f"--{name}: {colour};" for name, colour in {**own, **meant, **inked}.items())
