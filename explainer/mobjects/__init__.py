"""Building blocks of films, one file per thing seen; bound when first used, so that naming one loads only its own file.

from explainer.mobjects import TraceScene, Words, Formula
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from explainer.mobjects.formula import Formula as Formula
    from explainer.mobjects.layout import Layout as Layout
    from explainer.mobjects.layout import Region as Region
    from explainer.mobjects.trace_scene import TraceScene as TraceScene
    from explainer.mobjects.words import Words as Words
    from explainer.mobjects.words import number as number

_HOMES = {
    "Formula": "formula",
    "Layout": "layout",
    "Region": "layout",
    "TraceScene": "trace_scene",
    "Words": "words",
    "number": "words",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'explainer.mobjects' has no attribute {name!r}")
    value = getattr(import_module(f"explainer.mobjects.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
