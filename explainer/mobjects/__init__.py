"""Building blocks of films, one file per thing seen; bound when first used, so that naming one loads only its own file.

from explainer.mobjects import TraceScene, Words, Formula
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from explainer.mobjects.bars import Bars as Bars
    from explainer.mobjects.chain_formula import ChainFormula as ChainFormula
    from explainer.mobjects.computation_graph import ComputationGraph as ComputationGraph
    from explainer.mobjects.counter import Counter as Counter
    from explainer.mobjects.curve import Curve as Curve
    from explainer.mobjects.example_card import ExampleCard as ExampleCard
    from explainer.mobjects.factors import Card as Card
    from explainer.mobjects.factors import Equation as Equation
    from explainer.mobjects.factors import Factor as Factor
    from explainer.mobjects.factors import OperationEquation as OperationEquation
    from explainer.mobjects.formula import Formula as Formula
    from explainer.mobjects.grid import Grid as Grid
    from explainer.mobjects.heat_map import HeatMap as HeatMap
    from explainer.mobjects.heat_map import Picture as Picture
    from explainer.mobjects.layout import Layout as Layout
    from explainer.mobjects.layout import Region as Region
    from explainer.mobjects.loss_bars import LossBars as LossBars
    from explainer.mobjects.mountain import Mountain as Mountain
    from explainer.mobjects.network_diagram import NetworkDiagram as NetworkDiagram
    from explainer.mobjects.painted import Painted as Painted
    from explainer.mobjects.pixel_flight import PixelFlight as PixelFlight
    from explainer.mobjects.trace_scene import TraceScene as TraceScene
    from explainer.mobjects.words import Words as Words
    from explainer.mobjects.words import number as number

_HOMES = {
    "Bars": "bars",
    "Card": "factors",
    "ChainFormula": "chain_formula",
    "ComputationGraph": "computation_graph",
    "Counter": "counter",
    "Curve": "curve",
    "Equation": "factors",
    "ExampleCard": "example_card",
    "Factor": "factors",
    "Formula": "formula",
    "Grid": "grid",
    "HeatMap": "heat_map",
    "Layout": "layout",
    "LossBars": "loss_bars",
    "Mountain": "mountain",
    "NetworkDiagram": "network_diagram",
    "OperationEquation": "factors",
    "Painted": "painted",
    "Picture": "heat_map",
    "PixelFlight": "pixel_flight",
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
