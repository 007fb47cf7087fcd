"""Names of other people's layers and runs are text, whatever letters they hold."""

from __future__ import annotations

import pytest
import torch
from matplotlib.text import Text
from torch import nn

import explainer
from explainer import plots
from explainer.plots.naming import plain, short
from explainer.trace import Trace


@pytest.fixture(scope="module")
def trace() -> Trace:
    model = nn.Sequential()
    model.add_module("$\\foo$", nn.Linear(3, 4))
    model.add_module("$x_1$", nn.Tanh())
    with explainer.record(model) as recorder:
        loss = model(torch.ones(2, 3)).sum()
        loss.backward()
        recorder.step(loss)
    return recorder.trace


@pytest.mark.parametrize("name", ["gradient_flow", "gradient_history", "activations"])
def test_a_dollar_in_a_layers_name_is_a_dollar_and_no_mathematics(name: str, trace: Trace) -> None:
    axes = plots.FIGURES[name].draw(trace)
    axes.figure.canvas.draw()  # "\foo" between two dollars is no mathematics that there is: it would fail here
    named = [text for text in axes.findobj(Text) if "x_1" in text.get_text()]
    assert named
    assert {text._preprocess_math(text.get_text())[1] for text in named} == {False}


def test_a_diagram_sets_no_name_as_mathematics(trace: Trace) -> None:
    axes = plots.network(trace)
    axes.figure.canvas.draw()
    named = [text for text in axes.findobj(Text) if "$" in text.get_text()]
    assert {text._preprocess_math(text.get_text())[1] for text in named} <= {False}


def test_a_name_is_cut_before_its_dollars_are_told_from_mathematics() -> None:
    assert short("a" * 30 + "$b$") == plain("…" + "a" * 18 + "$b$")
    assert plain("$b$") == r"\$b\$"
