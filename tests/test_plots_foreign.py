"""Of other people's models each figure is drawn, or one sentence says what the trace lacks."""

from __future__ import annotations

import foreign
import pytest

from explainer import plots
from explainer.errors import TraceError
from explainer.trace import Trace

MODELS = ("ResNet-18", "LSTM", "transformer")
OF_TRACES = [name for name, figure in plots.FIGURES.items() if figure.of in ("trace", "runs")]
# What these models and their data are not made for; everything else is drawn of all of them.
REFUSED = {
    ("classification", "LSTM"): "no images that could be drawn",
    ("classification", "transformer"): "no images that could be drawn",
    ("weights", "ResNet-18"): "keep",
    **{
        (name, model): "each input of"
        for name in ("function_fit", "decision_boundary", "feature_space")
        for model in ("ResNet-18", "LSTM", "transformer")
    },
    ("chain_rule", "ResNet-18"): "derivative is not worked out by hand",
    ("chain_rule", "LSTM"): "derivative is not worked out by hand",
    ("chain_rule", "transformer"): "derivative is not worked out by hand",
}


@pytest.fixture(scope="module")
def traces() -> dict[str, Trace]:
    return {name: foreign.record(name) for name in MODELS}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", OF_TRACES)
def test_a_figure_is_drawn_of_it_or_says_in_a_sentence_what_is_lacking(
    name: str, model: str, traces: dict[str, Trace]
) -> None:
    draw = plots.FIGURES[name].draw
    if (name, model) in REFUSED:
        with pytest.raises(TraceError, match=REFUSED[name, model]):
            draw(traces[model])
        return
    axes = draw(traces[model])
    axes.figure.canvas.draw()
    assert plots.describe(axes)


@pytest.mark.parametrize("name", [name for name in OF_TRACES if plots.FIGURES[name].of == "runs"])
def test_several_foreign_runs_are_compared_or_refused_in_a_sentence(name: str, traces: dict[str, Trace]) -> None:
    two = {"LSTM": traces["LSTM"], "transformer": traces["transformer"]}
    if (name, "LSTM") in REFUSED:
        with pytest.raises(TraceError, match=REFUSED[name, "LSTM"]):
            plots.FIGURES[name].draw(two)
        return
    axes = plots.FIGURES[name].draw(two)
    axes.figure.canvas.draw()
    said = plots.describe(axes)
    assert "LSTM" in said and "transformer" in said
