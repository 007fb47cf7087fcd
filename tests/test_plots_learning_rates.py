"""Several runs on one scale: the recorded losses, how often each turns back, and what became of those that flew out."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from torch import nn

import explainer
from explainer import flow, plots
from explainer.errors import TraceError
from explainer.trace import Trace


def walk_down(
    rate: float, *, steps: int = 12, every: int = 1, keep: tuple[str, ...] = ("parameters", "updates")
) -> Trace:
    """Walk down ℓ = w² from w = 1, in float32 so that what flies out becomes infinite."""
    model = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(1.0)
    criterion, optimizer = nn.MSELoss(), torch.optim.SGD(model.parameters(), lr=rate)
    with explainer.record(model, criterion=criterion, optimizer=optimizer, every=every, keep=keep) as recorder:
        for _ in range(steps):
            optimizer.zero_grad()
            criterion(model(torch.ones(1, 1)), torch.zeros(1, 1)).backward()
            optimizer.step()
    return recorder.trace


def classify(rate: float) -> Trace:
    torch.manual_seed(0)
    model = nn.Linear(3, 4)
    inputs, labels = torch.randn(8, 3), torch.arange(8) % 4
    criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=rate)
    with explainer.record(model, criterion=criterion, optimizer=optimizer) as recorder:
        for _ in range(5):
            optimizer.zero_grad()
            criterion(model(inputs), labels).backward()
            optimizer.step()
    return recorder.trace


def curves(axes: Axes) -> list[tuple[list[float], list[float]]]:
    """Return the curves of the runs, in their order."""
    drawn = [line for line in axes.get_lines() if line.get_linewidth() == 2]
    return [(np.asarray(line.get_xdata()).tolist(), np.asarray(line.get_ydata()).tolist()) for line in drawn]


def words(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_each_curve_is_its_runs_recorded_losses() -> None:
    runs = {"small": walk_down(0.1), "large": walk_down(0.9, steps=7)}
    axes = plots.learning_rates(runs)
    assert curves(axes) == [(run.steps.tolist(), run.scalars["loss"].tolist()) for run in runs.values()]
    assert axes.get_ylabel() == "loss (MSELoss)"


def test_beside_each_curve_stands_how_many_of_its_steps_turn_back() -> None:
    runs = {"small": walk_down(0.1), "large": walk_down(0.9)}
    said = words(plots.learning_rates(runs))
    for name, count in (("small", 0), ("large", 11)):
        assert flow.bounces(runs[name]).sum() == count  # (1 − 2α) is negative for 0.9 only
        assert said[said.index(name) + 1] == f"{count} of 11 steps turn back"


def test_runs_without_names_are_called_after_their_recorded_learning_rates() -> None:
    said = words(plots.learning_rates([walk_down(0.1), walk_down(0.9), walk_down(0.1)]))
    assert {"α = 0.1", "α = 0.9", "α = 0.1 (3)"} <= set(said)


def test_curves_differ_in_line_and_marker_beside_their_colour() -> None:
    runs = {str(rate): walk_down(rate, steps=3) for rate in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)}
    drawn = [line for line in plots.learning_rates(runs).get_lines() if line.get_linewidth() == 2]
    assert len({line.get_marker() for line in drawn}) == 6
    assert len({to_hex(line.get_color()) for line in drawn}) == 6
    assert len({repr(line._dash_pattern) for line in drawn}) == 6


def test_a_run_that_flies_out_ends_in_a_cross_at_its_last_finite_loss_and_the_step_is_said() -> None:
    trace = walk_down(1e6, steps=6)
    losses = trace.scalars["loss"]
    last = int(np.flatnonzero(np.isfinite(losses))[-1])
    assert last < len(losses) - 1
    axes = plots.learning_rates({"wild": trace, "tame": walk_down(0.1, steps=6)})
    (cross,) = (line for line in axes.get_lines() if line.get_marker() == "X")
    assert cross.get_xydata().tolist() == [[last, losses[last]]]
    assert f"flown out after step {last}" in "\n".join(words(axes))
    assert np.isfinite(axes.get_ylim()).all()
    assert axes.get_yscale() == "log"
    assert axes.get_ylabel() == "loss (MSELoss), log scale"


def test_who_knows_nothing_is_a_line_only_where_all_runs_choose_between_as_many_classes() -> None:
    axes = plots.learning_rates([classify(0.1), classify(0.5)])
    assert f"ln 4 = {math.log(4):.4f}" in words(axes)
    (nothing,) = (line for line in axes.get_lines() if set(np.asarray(line.get_ydata()).tolist()) == {math.log(4)})
    assert nothing.get_linestyle() == "--"
    assert "knows nothing" not in words(plots.learning_rates([classify(0.1), walk_down(0.1)]))


@pytest.mark.parametrize(
    ("trace", "said"),
    [
        (lambda: walk_down(0.9, every=2), "not every step was recorded"),
        (lambda: walk_down(0.9, keep=("parameters",)), "no updates were recorded"),
        (lambda: walk_down(0.9, steps=1), "one step recorded"),
    ],
)
def test_where_it_cannot_be_told_who_turns_back_that_is_said(trace: object, said: str) -> None:
    assert callable(trace)
    assert said in words(plots.learning_rates([trace()]))


def test_labels_never_lie_over_each_other_and_stand_in_the_order_of_the_ends() -> None:
    runs = {f"run {number}": walk_down(0.3 + 0.001 * number) for number in range(6)}
    axes = plots.learning_rates(runs)
    axes.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in axes.texts]
    assert not any(a.padded(-1).overlaps(b.padded(-1)) for i, a in enumerate(boxes) for b in boxes[i + 1 :])
    ends = {name: run.scalars["loss"][-1] for name, run in runs.items()}
    names = sorted(
        (text for text in axes.texts if text.get_text() in runs), key=lambda text: -text.get_window_extent().y0
    )
    assert [text.get_text() for text in names] == sorted(ends, key=lambda name: -ends[name])


@pytest.mark.parametrize(
    ("traces", "complaint"),
    [({}, "no trace was given"), ("one", "compares traces: give them by name or in a list, not one Trace")],
)
def test_what_cannot_be_compared_is_refused(traces: object, complaint: str) -> None:
    with pytest.raises(TraceError, match=complaint):
        plots.learning_rates(walk_down(0.1) if traces == "one" else traces)  # type: ignore[arg-type]


def test_a_run_without_a_loss_is_named() -> None:
    model = nn.Linear(2, 2)
    with explainer.record(model) as recorder:
        model(torch.ones(1, 2)).sum().backward()
        recorder.step()
    with pytest.raises(TraceError, match="the trace 'b' holds no loss: no backward pass came through a criterion"):
        plots.learning_rates({"a": walk_down(0.1), "b": recorder.trace})
