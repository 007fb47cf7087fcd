"""The page of findings writes what `diagnosis` found, draws six figures, and says which cannot be drawn."""

from __future__ import annotations

from typing import Any, cast

import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.text import Text
from torch import nn

import explainer
from explainer import plots
from explainer.diagnosis import findings, verdict
from explainer.errors import ExplainerWarning, TraceError
from explainer.trace import Trace


def record(layers: list[nn.Module], steps: int = 12, **options: Any) -> Trace:
    torch.manual_seed(0)
    model, criterion = nn.Sequential(*layers), nn.CrossEntropyLoss()
    inputs = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    with explainer.record(model, criterion=criterion, optimizer=optimizer, **options) as recorder:
        for _ in range(steps):
            optimizer.zero_grad()
            criterion(model(inputs), (inputs[:, 0] > 0).long()).backward()
            optimizer.step()
    return recorder.trace


@pytest.fixture(scope="module")
def trace() -> Trace:
    layers = [each for _ in range(6) for each in (nn.Linear(4, 4), nn.Sigmoid())]
    return record([*layers, nn.Linear(4, 2)])


@pytest.fixture(scope="module")
def page(trace: Trace) -> Axes:
    axes: Axes = plots.diagnosis(trace, theme="light")
    return axes


def words(axes: Axes) -> str:
    return "\n".join(text.get_text() for text in axes.findobj(Text) if text.get_text())


def test_every_finding_is_written_with_its_mark(page: Axes, trace: Trace) -> None:
    answers, *_ = page.child_axes
    texts = [text.get_text() for text in answers.texts]
    marks = {"severe": "✖", "mild": "▲", "fine": "✔", "unknown": "?"}
    for at, finding in enumerate(findings(trace)):
        mark, kind, said = texts[3 * at : 3 * at + 3]
        assert (mark, kind) == (marks[finding.severity], finding.kind)
        assert " ".join(said.split()).casefold() == f"{finding.words}.".casefold()
    assert verdict(findings(trace)) in words(page)


def test_six_figures_are_drawn_with_small_titles_and_their_own_words_left_out(page: Axes) -> None:
    _, *six = cast("list[Axes]", page.child_axes)
    assert [" ".join(inside.get_title(loc="left").split()) for inside in six] == [
        "Does it learn?",
        "How far does a step move the weights?",
        "Do all units do something?",
        "Does the gradient reach every layer?",
        "How large are the values of the gradient?",
        "How do activations spread, and do they saturate?",
    ]
    assert "12 steps recorded" not in words(page)


def test_no_legend_lies_over_a_small_figures_curves() -> None:
    probe = torch.randn(3, 4), torch.tensor([0, 1, 0])
    axes = plots.diagnosis(record([nn.Linear(4, 2)], probe=probe))
    learns = cast("list[Axes]", axes.child_axes)[1]
    assert learns.get_legend() is None
    assert learns.get_xlabel() == "step  ·  dashed: loss of the probe"


def test_it_is_told_in_words(page: Axes, trace: Trace) -> None:
    told = plots.describe(page)
    assert told.startswith(f"What is wrong with this run? {verdict(findings(trace))}")
    assert "Vanishing: severe; the gradient at layer 0 is " in told
    assert (
        "Figures below: loss, update_ratios, dead_units, gradient_history, gradient_distribution, activations." in told
    )


def test_what_cannot_be_drawn_is_said_in_its_place_and_in_words() -> None:
    axes = plots.diagnosis(record([nn.Linear(4, 2)], keep=()))
    assert "activations: cannot be drawn" in words(axes)
    assert "dead units cannot be drawn: the trace keeps no activations" in plots.describe(axes)


def test_a_page_is_larger_than_a_slide_and_fits_into_axes_that_are_given(page: Axes, trace: Trace) -> None:
    assert page.figure.get_size_inches().tolist() == pytest.approx([11, 8.1])  # type: ignore[union-attr]
    figure, (left, right) = plt.subplots(1, 2)
    plots.diagnosis(trace, ax=right)
    figure.canvas.draw()
    box = right.get_window_extent()
    for inside in right.child_axes:
        assert box.x0 - 1 <= inside.get_window_extent().x0 and inside.get_window_extent().x1 <= box.x1 + 1
    assert not left.child_axes


def test_answers_and_figures_do_not_lie_upon_each_other(page: Axes) -> None:
    page.figure.draw_without_rendering()  # type: ignore[union-attr]
    answers, *six = page.child_axes
    lowest = min(text.get_window_extent().y0 for text in answers.texts)
    assert all(inside.title.get_window_extent().y1 < lowest + 2 for inside in six)
    boxes = [text.get_window_extent() for text in answers.texts]
    for place, box in enumerate(boxes):
        assert not any(box.shrunk(0.9, 0.7).overlaps(other.shrunk(0.9, 0.7)) for other in boxes[place + 1 :])


def test_a_trace_without_steps_is_an_error() -> None:
    model = nn.Linear(1, 1)
    with pytest.warns(ExplainerWarning, match="no step was recorded"), explainer.record(model) as recorder:
        pass
    with pytest.raises(TraceError, match="holds no step"):
        plots.diagnosis(recorder.trace)
