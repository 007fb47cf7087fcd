"""Whatever a figure is given that it cannot use, it says so in one sentence of its own."""

from __future__ import annotations

import inspect
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from test_plots import record_classifier, subject

from explainer import plots
from explainer.errors import ExplainerError, TraceError
from explainer.trace import Trace

ODD: tuple[Any, ...] = (5, 1.5, "x", [], [5], {}, object(), -99)


@pytest.fixture(scope="module")
def trace() -> Trace:
    return record_classifier()


def choices(name: str) -> list[str]:
    """Return what can be chosen of a figure by name, but for what every figure has."""
    parameters = inspect.signature(plots.FIGURES[name].draw).parameters.values()
    return [each.name for each in parameters
            if each.kind is each.KEYWORD_ONLY and each.name not in ("ax", "theme", "style")]  # fmt: skip


@pytest.mark.parametrize("name", [name for name in plots.FIGURES if choices(name)])
def test_an_odd_choice_is_refused_by_a_sentence_or_means_something(name: str, trace: Trace) -> None:
    of, draw = subject(name, trace), plots.FIGURES[name].draw
    said: list[str] = []
    for choice in choices(name):
        for odd in ODD:
            try:
                draw(of, ax=plt.figure().add_subplot(), **{choice: odd})
            except ExplainerError as error:
                said.append(str(error))
            plt.close("all")
    assert all(said) and "\n" not in "".join(said)


@pytest.mark.parametrize("name", plots.FIGURES)
def test_what_is_no_trace_is_refused(name: str) -> None:
    for odd in (None, 5, [], {}, [None]):
        with pytest.raises(ExplainerError, match=r"trace|surface|explainer\."):
            plots.FIGURES[name].draw(odd)


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        ({"style": 5}, "no style is called 5. There is: 'slide', 'paper', 'notebook'"),
        ({"style": []}, r"no style is called \[\]"),
        ({"theme": 5}, "a theme is 'light', 'dark' or an explainer.theme.Theme, and not 5"),
        ({"step": None}, "a step is a whole number, and not None"),
        ({"measure": 5}, "no measure of a gradient is called 5"),
    ],
)
def test_the_sentence_says_what_was_given_and_what_there_is(odd: dict[str, Any], message: str, trace: Trace) -> None:
    with pytest.raises(TraceError, match=message):
        plots.gradient_flow(trace, **odd)


def test_layers_are_chosen_by_names(trace: Trace) -> None:
    for odd in (5, [5], [None]):
        with pytest.raises(TraceError, match=r"chosen by names and globs, such as \['0'\], and not by (5|None)"):
            plots.activations(trace, layers=odd)


@pytest.mark.parametrize("kind", ["polar", "3d"])
def test_axes_that_are_not_flat_are_refused(kind: str, trace: Trace) -> None:
    with pytest.raises(TraceError, match=f"drawn on flat axes.* not on a {kind} projection"):
        plots.loss(trace, ax=plt.figure().add_subplot(projection=kind))


def test_what_is_no_axes_is_refused(trace: Trace) -> None:
    figure, several = plt.subplots(2)
    for odd, said in ((figure, "a Figure"), (several, "a ndarray"), (5, "a int")):
        with pytest.raises(TraceError, match=f"not on {said}: give such ones, one of them where there are several"):
            plots.loss(trace, ax=odd)


@pytest.mark.parametrize("step", [np.int64(3), torch.tensor(3), 3.0])
def test_whole_numbers_of_other_packages_are_steps(step: Any, trace: Trace) -> None:
    assert trace.index_of(step) == 3 and type(trace.index_of(step)) is int
