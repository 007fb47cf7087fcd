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
    from explainer.plots.areas_of_dead_units import dead_units as dead_units
    from explainer.plots.bars_of_layers import gradient_flow as gradient_flow
    from explainer.plots.bent_grid import feature_space as feature_space
    from explainer.plots.curve_of_loss import loss as loss
    from explainer.plots.curves_of_fit import function_fit as function_fit
    from explainer.plots.curves_of_gap import log_softmax_range as log_softmax_range
    from explainer.plots.curves_of_mistakes import loss_mistakes as loss_mistakes
    from explainer.plots.curves_of_rates import learning_rates as learning_rates
    from explainer.plots.curves_of_ratios import update_ratios as update_ratios
    from explainer.plots.describing import describe as describe
    from explainer.plots.diagram_of_network import network as network
    from explainer.plots.examples_over_steps import predictions as predictions
    from explainer.plots.graph_of_chain import chain_rule as chain_rule
    from explainer.plots.image_and_classes import classification as classification
    from explainer.plots.line_of_loss import slice as slice  # noqa: A004 – a figure, reached as plots.slice
    from explainer.plots.map_of_gradients import gradient_history as gradient_history
    from explainer.plots.map_of_loss import surface as surface
    from explainer.plots.maps_in_a_row import surface_sequence as surface_sequence
    from explainer.plots.matrix_of_answers import confusion as confusion
    from explainer.plots.mountain_of_loss import mountain as mountain
    from explainer.plots.page_of_findings import diagnosis as diagnosis
    from explainer.plots.pictures_of_weights import weights as weights
    from explainer.plots.plane_of_classes import decision_boundary as decision_boundary
    from explainer.plots.ridges_of_activations import activations as activations
    from explainer.plots.ridges_of_gradients import gradient_distribution as gradient_distribution
    from explainer.plots.saving import save as save
    from explainer.plots.sums_along_dims import softmax_dim as softmax_dim


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        question: What it answers, in one sentence.
        home: The module that draws it.
        of: What it is drawn of: "trace", "runs" (a trace, or several by name), "traces" (several), "surface", "slice"
            or "sequence".
        times: How much wider and higher than others a new figure of it is.
    """

    name: str
    question: str
    home: str
    of: str = "trace"
    times: tuple[float, float] = (1.0, 1.0)

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
        Figure("gradient_history", "Does the gradient reach every layer, at every step?", "map_of_gradients", "runs"),
        Figure("gradient_distribution", "How large are the values of each gradient?", "ridges_of_gradients", "runs"),
        Figure("activations", "How do activations spread, and do they saturate?", "ridges_of_activations", "runs"),
        Figure("dead_units", "Do all units do something?", "areas_of_dead_units", "runs"),
        Figure("update_ratios", "Is the learning rate right for every layer?", "curves_of_ratios", "runs"),
        Figure("weights", "What does each unit look for?", "pictures_of_weights", "runs"),
        Figure("classification", "What did the network see in one image, before and after?", "image_and_classes"),
        Figure("confusion", "Which class does the network take for which?", "matrix_of_answers", "runs"),
        Figure("predictions", "When is which example learned, and which is forgotten?", "examples_over_steps", "runs"),
        Figure("learning_rates", "Does a learning rate crawl, arrive, bounce or fly out?", "curves_of_rates", "traces"),
        Figure("chain_rule", "How does the loss reach each weight, one factor at a time?", "graph_of_chain"),
        Figure("network", "What does one example become on its way through the network?", "diagram_of_network"),
        Figure("diagnosis", "What is wrong with this run, if anything?", "page_of_findings", times=(1.375, 1.8)),
        Figure("surface", "Where did training walk, seen from above?", "map_of_loss", "surface"),
        Figure("mountain", "Which way is up, and which way did training go?", "mountain_of_loss", "surface"),
        Figure(
            "slice", "What does one step see along a line, and what does its gradient know?", "line_of_loss", "slice"
        ),
        Figure(
            "surface_sequence", "How does what a step sees change as training goes on?", "maps_in_a_row", "sequence"
        ),
        Figure("function_fit", "Does the network become the function that is known?", "curves_of_fit", "runs"),
        Figure("decision_boundary", "Where in the plane does the answer turn?", "plane_of_classes", "runs"),
        Figure("feature_space", "How does a layer bend the plane, so that a line will do?", "bent_grid", "runs"),
        Figure("softmax_dim", "Does softmax sum over the classes, or over the examples?", "sums_along_dims"),
        Figure("loss_mistakes", "Is there a softmax too many before the loss?", "curves_of_mistakes"),
        Figure("log_softmax_range", "Where does float32 end, and how near was the run?", "curves_of_gap"),
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
