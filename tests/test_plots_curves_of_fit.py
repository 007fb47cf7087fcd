"""The function that a network is: lines and dots against the recorded outputs and targets."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.text import Text
from torch import nn

import explainer
from explainer import plots
from explainer.errors import TraceError
from explainer.plots.curves_of_fit import telling_steps
from explainer.regression import read_regression
from explainer.trace import Trace

X = torch.linspace(-1, 1, 9)[torch.randperm(9, generator=torch.Generator().manual_seed(0))][:, None]


def record(*, bend: type[nn.Module] = nn.Tanh, steps: int = 6, probe: bool = True, count: int = 9) -> Trace:
    """Fit x² at points that are given in no order."""
    x = X if count == 9 else torch.linspace(-1, 1, count)[:, None]
    torch.manual_seed(0)
    model, criterion = nn.Sequential(nn.Linear(1, 5), bend(), nn.Linear(5, 1)), nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    seen = (x, x**2) if probe else None
    with explainer.record(model, criterion=criterion, optimizer=optimizer, probe=seen, examples=None) as recorder:
        for _ in range(steps):
            optimizer.zero_grad()
            criterion(model(x), x**2).backward()
            optimizer.step()
    return recorder.trace


@pytest.fixture(scope="module")
def trace() -> Trace:
    return record()


def parts(axes: Axes) -> tuple[Line2D, list[Line2D]]:
    """Return the dots, and the lines in the order of their steps."""
    dots, *lines = axes.get_lines()
    return dots, lines


def written(axes: Axes) -> str:
    return "\n".join(text.get_text() for text in axes.findobj(Text) if text.get_text())


@pytest.mark.parametrize("probe", [True, False])
@pytest.mark.parametrize("bend", [nn.Tanh, nn.ReLU])
def test_each_line_is_the_recorded_output_over_the_inputs_in_their_order(bend: type[nn.Module], probe: bool) -> None:
    trace = record(bend=bend, probe=probe)
    axes = plots.function_fit(trace, steps=(0, 2, 5))
    dots, lines = parts(axes)
    order = X[:, 0].argsort()
    np.testing.assert_array_equal(np.asarray(dots.get_xdata()), X[order, 0])
    np.testing.assert_array_equal(np.asarray(dots.get_ydata()), X[order, 0] ** 2)
    for line, step in zip(lines, (0, 2, 5), strict=True):
        seen = trace.probe.activations["2"][step] if trace.probe else trace.activations["2"][step]
        np.testing.assert_array_equal(np.asarray(line.get_ydata()), seen[order, 0])
    assert [entry.get_text() for entry in axes.get_legend().get_texts()] == ["known", "step 0", "step 2", "step 5"]
    assert f"9 examples of {'the probe' if probe else 'every batch'}" in written(axes)


def test_the_steps_between_are_chosen_by_even_factors_and_shared_by_all_runs() -> None:
    steps = np.array([0, 1, 3, 10, 30, 100, 300, 1000])
    assert telling_steps([steps]) == [0, 30, 300, 1000]  # √1001 is 32, and 1001^¾ is 178
    assert telling_steps([steps, steps[::7]]) == [0, 1000]
    assert telling_steps([np.array([4])]) == [4]
    with pytest.raises(TraceError, match="no recorded step in common"):
        telling_steps([steps, steps + 2000])


def test_the_last_line_is_the_strongest_and_the_only_whole_one(trace: Trace) -> None:
    _, lines = parts(plots.function_fit(trace))
    assert len(lines) == 4
    assert [line.get_linestyle() for line in lines] == ["--"] * 3 + ["-"]
    assert lines[-1].get_linewidth() > max(line.get_linewidth() for line in lines[:-1])


def test_a_straight_network_is_said_to_be_one_and_a_bent_one_is_not(trace: Trace) -> None:
    straight = plots.function_fit(record(bend=nn.Identity))
    assert "a straight line at each step" in written(straight)
    assert plots.describe(straight).endswith("in the end it is a straight line.")
    assert "straight" not in plots.describe(plots.function_fit(trace))


def test_runs_stand_side_by_side_on_one_scale_each_with_its_loss(trace: Trace) -> None:
    runs = {"tanh": trace, "identity": record(bend=nn.Identity)}
    axes = plots.function_fit(runs)
    left, right = axes.child_axes
    assert left.get_ylim() == right.get_ylim()
    for inside, run in zip((left, right), runs.values(), strict=True):
        loss = float(run.scalars["probe_loss"][-1])
        (said,) = (text.get_text() for text in inside.texts if text.get_text().startswith("loss"))
        assert float(said.split()[1]) == pytest.approx(loss, rel=0.06)
    assert "always a straight line: “identity”" in written(axes)


def test_of_many_examples_one_in_so_many_is_a_dot_and_of_many_steps_only_those_drawn_are_read() -> None:
    trace = record(count=400, steps=3)
    axes = plots.function_fit(trace)
    dots, lines = parts(axes)
    assert len(dots.get_xdata()) == 80
    assert len(lines[0].get_xdata()) == 400
    assert "400 examples of the probe, of which one in 5 is drawn as a dot" in written(axes)
    assert read_regression(trace, places=[2]).outputs.shape == (1, 400)


def test_what_cannot_be_drawn_says_why(trace: Trace) -> None:
    with pytest.raises(TraceError, match=r"this figure draws 1 to 4 steps, and these are 5"):
        plots.function_fit(trace, steps=range(5))
    with pytest.raises(TraceError, match=r"step 70 was not recorded; the nearest is 5"):
        plots.function_fit(trace, steps=(70,))
    model, criterion = nn.Linear(3, 2), nn.MSELoss()
    with explainer.record(model, criterion=criterion) as recorder:
        loss = criterion(model(torch.ones(4, 3)), torch.zeros(4, 2))
        loss.backward()
        recorder.step(loss)
    with pytest.raises(TraceError, match=r"of shape \(3,\), and a function is drawn of one input and one output"):
        plots.function_fit(recorder.trace)
    with pytest.warns(explainer.ExplainerWarning), explainer.record(model) as recorder:
        pass
    with pytest.raises(TraceError, match="the trace holds no step"):
        plots.function_fit(recorder.trace)
