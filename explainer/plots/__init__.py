"""Figures, each of which answers one question: `plots.NOUN(trace, *, ax=None, …) -> Axes`, or of a surface instead.

They draw on the axes given, never show, never save, and leave rcParams alone. The functions are bound when they are
first used, so that listing the figures loads no matplotlib.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from explainer.errors import TraceError, unknown

if TYPE_CHECKING:
    from explainer.plots.animating import animate as animate
    from explainer.plots.bars_of_layers import gradient_flow as gradient_flow
    from explainer.plots.curve_of_loss import loss as loss
    from explainer.plots.curves_of_rates import learning_rates as learning_rates
    from explainer.plots.describing import describe as describe
    from explainer.plots.diagram_of_network import network as network
    from explainer.plots.graph_of_chain import chain_rule as chain_rule
    from explainer.plots.image_and_classes import classification as classification
    from explainer.plots.line_of_loss import slice as slice  # noqa: A004 – a figure, reached as plots.slice
    from explainer.plots.map_of_loss import surface as surface
    from explainer.plots.maps_in_a_row import surface_sequence as surface_sequence
    from explainer.plots.mountain_of_loss import mountain as mountain
    from explainer.plots.saving import save as save


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        question: What it answers, in one sentence.
        home: The module that draws it.
        of: What it is drawn of: "trace", "runs" (a trace, or several by name), "traces" (several), "surface", "slice"
            or "sequence".
    """

    name: str
    question: str
    home: str
    of: str = "trace"

    @property
    def draw(self) -> Callable[..., Any]:
        """The function that draws it; loads matplotlib."""
        function: Callable[..., Any] = getattr(import_module(f"explainer.plots.{self.home}"), self.name)
        return function


FIGURES = {
    figure.name: figure
    for figure in (
        Figure("loss", "Does the network learn, and is it better than knowing nothing?", "curve_of_loss", "runs"),
        Figure("gradient_flow", "How much of the gradient reaches each layer?", "bars_of_layers", "runs"),
        Figure("classification", "What did the network see in one image, before and after?", "image_and_classes"),
        Figure("learning_rates", "Does a learning rate crawl, arrive, bounce or fly out?", "curves_of_rates", "traces"),
        Figure("chain_rule", "How does the loss reach each weight, one factor at a time?", "graph_of_chain"),
        Figure("network", "What does one example become on its way through the network?", "diagram_of_network"),
        Figure("surface", "Where did training walk, seen from above?", "map_of_loss", "surface"),
        Figure("mountain", "Which way is up, and which way did training go?", "mountain_of_loss", "surface"),
        Figure(
            "slice", "What does one step see along a line, and what does its gradient know?", "line_of_loss", "slice"
        ),
        Figure(
            "surface_sequence", "How does what a step sees change as training goes on?", "maps_in_a_row", "sequence"
        ),
    )
}

_VERBS = {"animate": "animating", "describe": "describing", "save": "saving"}

__all__ = ["FIGURES", "Figure", "animate", "describe", "find", "save", *FIGURES]


def find(name: str) -> Figure:
    """Return a figure by its name, written with "_" or "-".

    Raises:
        TraceError: There is none; the nearest is named.
    """
    plain = name.replace("-", "_")
    if plain not in FIGURES:
        raise TraceError(unknown("figure", plain, FIGURES))
    return FIGURES[plain]


def __getattr__(name: str) -> Any:
    if name in _VERBS:
        value: Any = getattr(import_module(f"explainer.plots.{_VERBS[name]}"), name)
    elif name in FIGURES:
        value = FIGURES[name].draw
    else:
        raise AttributeError(f"module 'explainer.plots' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
