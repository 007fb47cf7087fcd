"""Building blocks of films, one file per thing seen; bound when first used, so that naming one loads only its own file.

from explainer.mobjects import TraceScene, Words, Formula
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from explainer.mobjects.bars import Bars as Bars
    from explainer.mobjects.batch_matrix import BatchMatrix as BatchMatrix
    from explainer.mobjects.chain_formula import ChainFormula as ChainFormula
    from explainer.mobjects.code_card import CodeCard as CodeCard
    from explainer.mobjects.computation_graph import ComputationGraph as ComputationGraph
    from explainer.mobjects.contour_map import ContourMap as ContourMap
    from explainer.mobjects.counter import Counter as Counter
    from explainer.mobjects.curve import Curve as Curve
    from explainer.mobjects.curves import Curves as Curves
    from explainer.mobjects.dial import Dial as Dial
    from explainer.mobjects.end_labels import EndLabels as EndLabels
    from explainer.mobjects.example_card import ExampleCard as ExampleCard
    from explainer.mobjects.factors import Card as Card
    from explainer.mobjects.factors import Equation as Equation
    from explainer.mobjects.factors import Factor as Factor
    from explainer.mobjects.factors import OperationEquation as OperationEquation
    from explainer.mobjects.falling_bars import FallingBars as FallingBars
    from explainer.mobjects.formula import Formula as Formula
    from explainer.mobjects.function_plot import FunctionPlot as FunctionPlot
    from explainer.mobjects.gap_plot import GapPlot as GapPlot
    from explainer.mobjects.gradient_bars import GradientBars as GradientBars
    from explainer.mobjects.gradient_map import GradientKey as GradientKey
    from explainer.mobjects.gradient_map import GradientMap as GradientMap
    from explainer.mobjects.gradient_scale import GradientScale as GradientScale
    from explainer.mobjects.grid import Grid as Grid
    from explainer.mobjects.heat_map import HeatMap as HeatMap
    from explainer.mobjects.heat_map import Picture as Picture
    from explainer.mobjects.height_key import HeightKey as HeightKey
    from explainer.mobjects.height_scale import HeightScale as HeightScale
    from explainer.mobjects.layer_row import LayerRow as LayerRow
    from explainer.mobjects.layout import Layout as Layout
    from explainer.mobjects.layout import Region as Region
    from explainer.mobjects.loss_bars import LossBars as LossBars
    from explainer.mobjects.mountain import Mountain as Mountain
    from explainer.mobjects.network_diagram import Maps as Maps
    from explainer.mobjects.network_diagram import NetworkDiagram as NetworkDiagram
    from explainer.mobjects.painted import Painted as Painted
    from explainer.mobjects.pixel_flight import PixelFlight as PixelFlight
    from explainer.mobjects.plates import Plates as Plates
    from explainer.mobjects.plot_frame import PlotFrame as PlotFrame
    from explainer.mobjects.roads import Roads as Roads
    from explainer.mobjects.run_table import RunTable as RunTable
    from explainer.mobjects.signed_bars import SignedBars as SignedBars
    from explainer.mobjects.squared_errors import SquaredErrors as SquaredErrors
    from explainer.mobjects.stage_history import StageHistory as StageHistory
    from explainer.mobjects.step_rule import StepRule as StepRule
    from explainer.mobjects.trace_scene import TraceScene as TraceScene
    from explainer.mobjects.trails import Trails as Trails
    from explainer.mobjects.trough import Trough as Trough
    from explainer.mobjects.verdicts import Verdicts as Verdicts
    from explainer.mobjects.wheel import Wheel as Wheel
    from explainer.mobjects.words import Words as Words
    from explainer.mobjects.words import number as number

_HOMES = {
    "Bars": "bars",
    "BatchMatrix": "batch_matrix",
    "Card": "factors",
    "ChainFormula": "chain_formula",
    "CodeCard": "code_card",
    "ComputationGraph": "computation_graph",
    "ContourMap": "contour_map",
    "Counter": "counter",
    "Curve": "curve",
    "Curves": "curves",
    "Dial": "dial",
    "EndLabels": "end_labels",
    "Equation": "factors",
    "ExampleCard": "example_card",
    "Factor": "factors",
    "FallingBars": "falling_bars",
    "Formula": "formula",
    "FunctionPlot": "function_plot",
    "GapPlot": "gap_plot",
    "GradientBars": "gradient_bars",
    "GradientKey": "gradient_map",
    "GradientMap": "gradient_map",
    "GradientScale": "gradient_scale",
    "Grid": "grid",
    "HeatMap": "heat_map",
    "HeightKey": "height_key",
    "HeightScale": "height_scale",
    "LayerRow": "layer_row",
    "Layout": "layout",
    "LossBars": "loss_bars",
    "Maps": "network_diagram",
    "Mountain": "mountain",
    "NetworkDiagram": "network_diagram",
    "OperationEquation": "factors",
    "Painted": "painted",
    "Picture": "heat_map",
    "PixelFlight": "pixel_flight",
    "Plates": "plates",
    "PlotFrame": "plot_frame",
    "Region": "layout",
    "Roads": "roads",
    "RunTable": "run_table",
    "SignedBars": "signed_bars",
    "SquaredErrors": "squared_errors",
    "StageHistory": "stage_history",
    "StepRule": "step_rule",
    "TraceScene": "trace_scene",
    "Trails": "trails",
    "Trough": "trough",
    "Verdicts": "verdicts",
    "Wheel": "wheel",
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
