"""The lecture's three warnings as figures: softmax's dimension, a softmax too many, and where float32 ends."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.text import Text
from torch import nn

import explainer
from explainer import plots
from explainer.errors import TraceError
from explainer.plots.sums_along_dims import losses_along, near
from explainer.scores import read_scores
from explainer.trace import Trace


def record(*, classes: int = 10, log_softmax: bool = False, steps: int = 5, rate: float = 5.0) -> Trace:
    """Train a classifier on noise, of whose batches of 24 eight examples are kept."""
    generator = torch.Generator().manual_seed(0)
    inputs, labels = torch.randn(24, 6, generator=generator), torch.randint(classes, (24,), generator=generator)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, classes), *([nn.LogSoftmax(dim=1)] if log_softmax else []))
    with torch.no_grad():
        model[0].weight.mul_(0.1)
    criterion: nn.Module = nn.NLLLoss() if log_softmax else nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    with explainer.record(model, criterion=criterion, optimizer=optimizer) as recorder:
        for _ in range(steps):
            optimizer.zero_grad()
            criterion(model(inputs), labels).backward()
            optimizer.step()
    return recorder.trace


@pytest.fixture(scope="module", params=[False, True], ids=["scores", "log-probabilities"])
def trace(request: pytest.FixtureRequest) -> Trace:
    return record(log_softmax=request.param)


def recorded(trace: Trace, index: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the scores of the examples kept, (example, class), and their right classes."""
    return torch.tensor(trace.activations["0"][index]), torch.tensor(trace.targets[index])


def written(axes: Axes) -> str:
    return "\n".join(text.get_text() for text in axes.findobj(Text) if text.get_text())


# softmax_dim


def test_the_matrices_are_torch_s_softmax_along_either_dimension(trace: Trace) -> None:
    axes = plots.softmax_dim(trace, step=3)
    for inside, dim in zip(axes.child_axes, (1, 0), strict=True):
        expected = recorded(trace, 3)[0].softmax(dim=dim)
        np.testing.assert_allclose(inside.get_images()[0].get_array(), expected, rtol=1e-4)
        sums = [float(text.get_text()) for text in inside.texts]
        assert sums == [1.0] * (8 if dim else 10)


def test_the_right_classes_have_a_frame(trace: Trace) -> None:
    for inside in plots.softmax_dim(trace, step=-1).child_axes:
        framed = [(round(box.get_y() + 0.46), round(box.get_x() + 0.46)) for box in inside.patches]
        assert framed == list(enumerate(recorded(trace, -1)[1].tolist()))


def test_both_losses_are_torch_s_and_begin_at_the_logarithm_of_how_many_share(trace: Trace) -> None:
    axes = plots.softmax_dim(trace, step=2)
    seen = read_scores(trace, [0, 2])
    for dim, many, what in ((1, 10, "classes"), (0, 8, "examples")):
        for place, index in ((0, 0), (1, 2)):
            scores, targets = recorded(trace, index)
            expected = nn.functional.nll_loss(scores.double().log_softmax(dim=dim), targets)
            assert losses_along(seen, place, dim) == pytest.approx(float(expected), rel=1e-6)
        assert f"≈ ln {many} ({what}) = {math.log(many):.2f}" in written(axes)
    assert "of the whole batch dim=0 would begin near ln 24 = 3.18" in written(axes)
    assert "8 of the batch's 24 examples × 10 of 10 classes" in written(axes)


def test_of_a_logarithm_is_spoken_only_where_the_loss_is_near_it() -> None:
    seen = read_scores(record(steps=1))
    assert near(math.log(10) + 0.2, seen, 1) == ""
    assert near(math.log(10) - 0.05, seen, 1) == " ≈ ln 10 (classes) = 2.30"


def test_of_many_classes_ten_are_drawn_and_that_is_said() -> None:
    axes = plots.softmax_dim(record(classes=40))
    assert axes.child_axes[0].get_images()[0].get_array().shape == (8, 10)
    assert "× 10 of 40 classes" in written(axes)


# loss_mistakes


def test_both_curves_are_torch_s_cross_entropy_of_scores_and_of_probabilities(trace: Trace) -> None:
    right, mistaken = (np.asarray(line.get_ydata()) for line in plots.loss_mistakes(trace).get_lines())
    for index in range(len(trace)):
        scores, targets = recorded(trace, index)
        assert right[index] == pytest.approx(float(nn.functional.cross_entropy(scores, targets)), rel=1e-5)
        twice = nn.functional.cross_entropy(scores.softmax(dim=1), targets)
        assert mistaken[index] == pytest.approx(float(twice), rel=1e-5)


def test_the_band_for_ten_classes_is_the_lecture_s(trace: Trace) -> None:
    axes = plots.loss_mistakes(trace)
    (band,) = axes.patches
    assert band.get_y() == pytest.approx(1.4612, abs=5e-5)
    assert band.get_y() + band.get_height() == pytest.approx(2.4612, abs=5e-5)
    assert "1.4612: never below" in written(axes)
    assert "2.4612: never above" in written(axes)
    mistaken = np.asarray(axes.get_lines()[1].get_ydata())
    assert (mistaken >= band.get_y()).all()


@pytest.mark.parametrize("style", ["slide", "paper"])
def test_the_names_of_curves_that_end_together_do_not_lie_over_each_other(style: str) -> None:
    axes = plots.loss_mistakes(record(steps=2, rate=0.1), style=style)
    axes.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in axes.texts if text.get_text()]
    assert not any(a.padded(-1).overlaps(b.padded(-1)) for place, a in enumerate(boxes) for b in boxes[place + 1 :])
    assert max(box.x1 for box in boxes) <= axes.figure.bbox.x1


@pytest.mark.parametrize("rate", [0.1, 2000.0])
def test_no_words_of_the_gap_lie_over_each_other(rate: float) -> None:
    axes = plots.log_softmax_range(record(rate=rate))
    axes.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in axes.texts if text.get_text()]
    assert not any(a.padded(-1).overlaps(b.padded(-1)) for place, a in enumerate(boxes) for b in boxes[place + 1 :])


def test_of_a_long_run_some_steps_are_drawn_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = record(steps=40)
    monkeypatch.setattr("explainer.plots.curves_of_mistakes._COLUMNS", 10)
    monkeypatch.setattr("explainer.plots.curves_of_gap._READ", 10)
    axes = plots.loss_mistakes(trace)
    assert np.asarray(axes.get_lines()[0].get_xdata()).tolist() == [*range(0, 40, 4), 39]
    assert "11 of 40 recorded steps" in written(axes)
    assert "in 10 of 40 steps" in written(plots.log_softmax_range(trace))


# log_softmax_range


def test_one_road_goes_on_and_the_other_ends_where_torch_s_float32_does(trace: Trace) -> None:
    axes = plots.log_softmax_range(trace)
    through, broken = (np.asarray(line.get_xydata()) for line in axes.get_lines()[:2])
    for gap in (10, 90, 103, 104, 150, 200):
        scores = torch.tensor([[0.0, -float(gap)]])
        whole = float(-scores.log_softmax(dim=1)[0, 1])
        assert through[through[:, 0] == gap, 1] == pytest.approx(whole)
        loss = float(-scores.softmax(dim=1).log()[0, 1])
        assert (gap in broken[:, 0]) == np.isfinite(loss)
        if np.isfinite(loss):
            assert broken[broken[:, 0] == gap, 1] == pytest.approx(loss, rel=1e-5)
    assert "log(softmax(x)): ends at 104\nloss ∞, gradient no number" in written(axes)
    assert "loss 200, gradient (1, −1)" in written(axes)


def test_the_mark_is_the_largest_gap_of_two_scores_in_any_step(trace: Trace) -> None:
    axes = plots.log_softmax_range(trace)
    largest = max(float(np.ptp(trace.activations["0"][index], axis=1).max()) for index in range(len(trace)))
    (mark,) = (line for line in axes.get_lines() if line.get_marker() == "^")
    assert np.asarray(mark.get_xdata()).tolist() == [largest]
    assert f"recorded here: up to {largest:.1f}" in written(axes)
    assert f"The largest gap that was recorded in the run is {largest:.1f}." in plots.describe(axes)


def test_a_run_whose_gap_is_larger_than_the_axis_makes_it_longer() -> None:
    axes = plots.log_softmax_range(record(rate=2000.0))
    (mark,) = (line for line in axes.get_lines() if line.get_marker() == "^")
    own = float(np.asarray(mark.get_xdata())[0])
    assert own > 200
    assert axes.get_xlim()[1] > own


@pytest.mark.parametrize("name", ["softmax_dim", "loss_mistakes", "log_softmax_range"])
def test_another_loss_is_refused_in_a_sentence(name: str) -> None:
    model, criterion = nn.Linear(3, 2), nn.MSELoss()
    with explainer.record(model, criterion=criterion) as recorder:
        loss = criterion(model(torch.ones(4, 3)), torch.zeros(4, 2))
        loss.backward()
        recorder.step(loss)
    with pytest.raises(TraceError, match=r"has a MSELoss: record a classifier with criterion=criterion"):
        plots.FIGURES[name].draw(recorder.trace)


@pytest.mark.parametrize("name", ["softmax_dim", "loss_mistakes", "log_softmax_range"])
@pytest.mark.parametrize("keep", [(), ("activations",)])
def test_what_was_not_kept_is_said_with_the_line_that_keeps_it(name: str, keep: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    model, criterion = nn.Linear(3, 2), nn.CrossEntropyLoss()
    with explainer.record(model, criterion=criterion, keep=keep) as recorder:
        loss = criterion(model(torch.ones(4, 3)), torch.zeros(4, dtype=torch.long))
        loss.backward()
        recorder.step(loss)
    with pytest.raises(TraceError, match=r'record with keep=\("activations", "targets"\) or more'):
        plots.FIGURES[name].draw(recorder.trace)
