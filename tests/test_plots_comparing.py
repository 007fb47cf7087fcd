"""Several runs in one figure: each line and panel is its own run's, all on one scale, and told apart without colour."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

import explainer
from explainer import plots, theme
from explainer.errors import TraceError
from explainer.plots.comparing import panels, runs_of, share, style_of
from explainer.trace import Trace


def record(activation: nn.Module, rate: float = 0.1, hidden: int = 1) -> Trace:
    torch.manual_seed(0)
    inner: list[nn.Module] = []
    for _ in range(hidden):
        inner += [nn.Linear(4, 4), activation]
    model = nn.Sequential(*inner, nn.Linear(4, 3))
    criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=rate)
    inputs, targets = torch.randn(12, 4, generator=torch.Generator().manual_seed(1)), torch.arange(12) % 3
    with explainer.record(model, criterion=criterion, optimizer=optimizer) as recorder:
        for _ in range(5):
            optimizer.zero_grad()
            criterion(model(inputs), targets).backward()
            optimizer.step()
    return recorder.trace


@pytest.fixture(scope="module")
def runs() -> dict[str, Trace]:
    return {"sigmoid": record(nn.Sigmoid()), "relu": record(nn.ReLU())}


def lines(axes: Any) -> dict[str, Any]:
    return {line.get_label(): line for line in axes.get_lines() if not line.get_label().startswith("_")}


def test_each_line_of_losses_is_its_own_runs(runs: dict[str, Trace]) -> None:
    axes = plots.loss(runs)
    drawn = lines(axes)
    for name, trace in runs.items():
        assert drawn[name].get_ydata() == pytest.approx(trace.scalars["loss"])
        assert drawn[name].get_xdata() == pytest.approx(trace.steps)


def test_runs_with_the_same_loss_of_who_knows_nothing_share_its_line(runs: dict[str, Trace]) -> None:
    assert "knows nothing: ln 3 = 1.0986" in lines(plots.loss(runs))


def test_each_line_of_gradients_is_its_own_runs_and_names_its_layers(runs: dict[str, Trace]) -> None:
    axes = plots.gradient_flow(runs, step=2)
    for name, trace in runs.items():
        norms = [trace.statistics["gradients"][layer]["norm"][2] for layer in trace.layers]
        assert lines(axes)[name].get_ydata() == pytest.approx(norms)
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0", "1", "2"]


def test_runs_of_different_depth_are_counted_from_zero(runs: dict[str, Trace]) -> None:
    axes = plots.gradient_flow({"shallow": runs["relu"], "deep": record(nn.ReLU(), hidden=3)})
    assert len(lines(axes)["deep"].get_ydata()) == 7
    assert "counted from 0" in axes.get_xlabel()


def test_runs_differ_in_colour_dashes_and_marker(runs: dict[str, Trace]) -> None:
    drawn = lines(plots.gradient_flow(runs)).values()
    for what in ("get_color", "get_linestyle", "get_marker"):
        assert len({str(getattr(line, what)()) for line in drawn}) == 2
    assert len({style_of(place, theme.LIGHT)[1:] for place in range(6)}) == 6


def test_a_list_of_runs_is_named_by_their_learning_rates() -> None:
    slow, fast = record(nn.ReLU(), 0.01), record(nn.ReLU(), 0.5)
    assert list(runs_of([slow, fast])) == ["α = 0.01", "α = 0.5"]


def test_one_run_has_no_name(runs: dict[str, Trace]) -> None:
    assert list(runs_of(runs["relu"])) == [""]


@pytest.mark.parametrize(
    ("given", "says"),
    [({}, "no trace was given"), (3, "not of a int"), ({"a": 3}, "'a' is no trace but a int")],
)
def test_what_is_no_trace_is_refused(given: Any, says: str) -> None:
    with pytest.raises(TraceError, match=says):
        runs_of(given)


def test_more_runs_than_can_be_told_apart_are_refused(runs: dict[str, Trace]) -> None:
    with pytest.raises(TraceError, match="tells 6 traces apart, and these are 7"):
        runs_of({str(place): runs["relu"] for place in range(7)})


def test_panels_stand_side_by_side_inside_the_axes_with_their_names(runs: dict[str, Trace]) -> None:
    frame = Figure(figsize=(8, 4.5)).add_subplot()
    left, right = panels(frame, runs, theme.LIGHT)
    assert [panel.ax.get_title(loc="left") for panel in (left, right)] == ["sigmoid", "relu"]
    frame.figure.canvas.draw()
    assert left.ax.get_position().x1 < right.ax.get_position().x0
    assert left.outer and not right.outer


def test_shared_panels_have_the_widest_limits_of_all_also_where_they_fall(runs: dict[str, Trace]) -> None:
    found = panels(Figure().add_subplot(), runs, theme.LIGHT)
    found[0].ax.set(xlim=(0, 5), ylim=(3, -1))
    found[1].ax.set(xlim=(-2, 4), ylim=(9, 0))
    share(found, "xy")
    for panel in found:
        assert np.allclose(panel.ax.get_xlim(), (-2, 5))
        assert np.allclose(panel.ax.get_ylim(), (9, -1))
