"""Answers as figures: the matrix of a step, and the probability of the right class over the steps, as of torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from torch import nn

import explainer
from explainer import plots
from explainer.classifier import confusion, read_classifier
from explainer.errors import TraceError
from explainer.theme import LIGHT, NEGATIVE, RIGHT
from explainer.trace import Trace


def record(
    *,
    classes: int = 3,
    probe: int | None = 9,
    steps: int = 4,
    names: Sequence[str] = (),
    rate: float = 0.5,
    keep: Sequence[str] = ("activations",),
) -> Trace:
    """Train on 4 inputs each; the probe's examples are ordered by chance."""
    generator = torch.Generator().manual_seed(1)
    inputs, labels = torch.randn(30, 4, generator=generator), torch.randint(classes, (30,), generator=generator)
    torch.manual_seed(0)
    model, criterion = nn.Linear(4, classes), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    seen = (inputs[:probe], labels[:probe]) if probe else None
    with explainer.record(model, criterion=criterion, optimizer=optimizer, probe=seen, keep=keep) as recorder:
        if names:
            recorder.note(classes=list(names))
        for _ in range(steps):
            optimizer.zero_grad()
            criterion(model(inputs), labels).backward()
            optimizer.step()
    return recorder.trace


@pytest.fixture(scope="module")
def trace() -> Trace:
    return record()


@pytest.fixture(scope="module")
def other() -> Trace:
    return record(classes=4, probe=7, names=["ant", "bee", "cat", "dog"])


def written(axes: Axes) -> str:
    return "\n".join(text.get_text() for text in axes.findobj(Text) if text.get_text())


def outputs(trace: Trace, index: int) -> torch.Tensor:
    assert trace.probe is not None
    return torch.tensor(trace.probe.activations[trace.layers[-1]][index])


def by_hand(trace: Trace, index: int) -> np.ndarray:
    """Return how often each class got each answer, (right class, answer), counted one by one."""
    assert trace.probe is not None
    classes = outputs(trace, index).shape[1]
    counts = np.zeros((classes, classes), int)
    for target, answer in zip(trace.probe.targets, outputs(trace, index).argmax(dim=1), strict=True):
        counts[target, answer] += 1
    return counts


# confusion


def cells(axes: Axes) -> dict[tuple[int, int], int]:
    """Return the counts that are written, by (row, column)."""
    found = {}
    for text in axes.texts:
        if text.get_text().isdigit():
            column, row = text.get_position()
            found[round(row), round(column)] = int(text.get_text())
    return found


@pytest.mark.parametrize("step", [0, -1])
def test_the_counts_are_those_of_the_recorded_answers(trace: Trace, other: Trace, step: int) -> None:
    for each in (trace, other):
        (inside,) = plots.confusion(each, step=step).child_axes
        counts = by_hand(each, step)
        assert cells(inside) == {(row, column): counts[row, column] for row, column in np.argwhere(counts)}
        np.testing.assert_array_equal(read_classifier(each).counts(step), counts)


def test_each_cell_is_as_strong_as_its_share_of_the_row(trace: Trace) -> None:
    (inside,) = plots.confusion(trace, theme="light").child_axes
    counts = by_hand(trace, -1)
    shares = counts / counts.sum(axis=1, keepdims=True)
    drawn = np.asarray(inside.get_images()[0].get_array())
    for row, column in np.ndindex(*counts.shape):
        full = np.array(to_rgb(RIGHT if row == column else NEGATIVE))
        expected = np.array(to_rgb(LIGHT.zero)) * (1 - shares[row, column]) + full * shares[row, column]
        np.testing.assert_allclose(drawn[row, column], expected, atol=1e-6)
        if row == column:
            assert f"{shares[row, row]:.0%} right" in written(inside)


def test_the_number_of_right_answers_is_said_and_told(trace: Trace) -> None:
    axes = plots.confusion(trace)
    right = int(np.trace(by_hand(trace, -1)))
    assert f"{right} of 9 right in the probe" in written(axes)
    assert f"{right} of 9 are on its diagonal" in plots.describe(axes)


def test_runs_stand_side_by_side_each_with_its_own_counts(trace: Trace) -> None:
    later = record(steps=30)
    axes = plots.confusion({"early": trace, "late": later})
    for inside, each in zip(axes.child_axes, (trace, later), strict=True):
        counts = by_hand(each, -1)
        assert cells(inside) == {(row, column): counts[row, column] for row, column in np.argwhere(counts)}
    titles = [inside.get_title(loc="left") for inside in axes.child_axes]
    rights = [int(np.trace(by_hand(each, -1))) for each in (trace, later)]
    assert titles == [f"early: {rights[0]} right", f"late: {rights[1]} right"]


def test_of_very_many_classes_the_most_confused_are_shown_and_that_is_said() -> None:
    trace = record(classes=100, probe=30)
    axes = plots.confusion(trace)
    (inside,) = axes.child_axes
    shown = [int(label.get_text()) for label in inside.get_yticklabels()]
    counts = by_hand(trace, -1)
    wrong = counts - np.diag(np.diag(counts))
    both = wrong.sum(axis=0) + wrong.sum(axis=1)
    assert len(shown) == 20
    assert both[shown].min() >= np.sort(both)[-20]
    mistakes = wrong[np.ix_(shown, shown)].sum()
    assert f"20 of 100 classes shown, with {mistakes} of {wrong.sum()} mistakes" in written(axes)


def test_names_of_classes_are_those_noted_and_long_ones_are_cut() -> None:
    axes = plots.confusion(record(classes=3, names=["a", "b", "a very long name indeed"]))
    assert [label.get_text() for label in axes.child_axes[0].get_yticklabels()] == ["a", "b", "a very lo…"]


def test_answers_that_are_no_number_are_counted_and_none_at_all_is_said() -> None:
    trace = record(rate=np.inf, steps=6)
    assert not torch.isfinite(outputs(trace, -1)).any()
    with pytest.raises(TraceError, match=r"at step 5 no output of the trace is a finite number"):
        plots.confusion(trace)
    counts = confusion(np.array([0, 1, 1]), np.array([0, -1, 0]), 2)
    assert counts.tolist() == [[1, 0], [1, 0]]


def test_what_is_no_classifier_is_refused_in_a_sentence(trace: Trace) -> None:
    with pytest.raises(TraceError, match=r"(?s)holds no probe.*probe=\(inputs, labels\)"):
        plots.confusion(record(probe=None))
    with pytest.raises(TraceError, match=r"made of the probe was not kept: .*keep=\(\"activations\",\)"):
        plots.predictions(record(keep=()))
    with pytest.raises(TraceError, match=r"step 9 was not recorded"):
        plots.confusion(trace, step=9)
    with pytest.raises(TraceError, match=r"this figure tells 3 traces apart, and these are 4"):
        plots.confusion([trace] * 4)
    model, criterion = nn.LSTM(3, 2, batch_first=True), nn.MSELoss()
    sequences = torch.ones(2, 5, 3), torch.zeros(2, 5, 2)
    with explainer.record(model, probe=sequences) as recorder:
        loss = criterion(model(sequences[0])[0], sequences[1])
        loss.backward()
        recorder.step(loss)
    for figure in (plots.confusion, plots.predictions):
        with pytest.raises(TraceError, match=r"float32 of shape \(2, 5, 2\), not one class number for each example"):
            figure(recorder.trace)


# predictions


def heat(axes: Axes) -> np.ndarray:
    """Return the probabilities that are drawn, (row, step)."""
    mesh = axes.child_axes[0].child_axes[0].collections[0]
    return np.ma.getdata(mesh.get_array())


def likely(trace: Trace) -> np.ndarray:
    """Return torch's probability of the right class, (example, step), by class and then the surest in the end first."""
    assert trace.probe is not None
    right = np.stack([outputs(trace, index).softmax(dim=1).numpy() for index in range(len(trace))], axis=-1)
    right = right[np.arange(len(right)), trace.probe.targets]
    return right[np.lexsort((-right[:, -1], trace.probe.targets))]


def test_each_row_is_an_example_s_probability_of_its_right_class(trace: Trace, other: Trace) -> None:
    for each in (trace, other):
        axes = plots.predictions(each)
        np.testing.assert_allclose(heat(axes), likely(each), rtol=1e-5)


def test_below_stands_the_share_that_is_right(trace: Trace) -> None:
    (line,) = plots.predictions(trace).child_axes[0].child_axes[1].get_lines()
    expected = [np.trace(by_hand(trace, index)) / 9 for index in range(4)]
    np.testing.assert_allclose(line.get_ydata(), expected)
    assert np.asarray(line.get_xdata()).tolist() == [0, 1, 2, 3]


def test_few_examples_are_lines() -> None:
    trace = record(probe=4)
    axes = plots.predictions(trace)
    lines = axes.child_axes[0].child_axes[0].get_lines()
    drawn = sorted(np.asarray(line.get_ydata()).tolist() for line in lines)
    np.testing.assert_allclose(drawn, sorted(likely(trace).tolist()), rtol=1e-5)
    assert len({line.get_marker() for line in lines}) == 4


def test_in_every_run_an_example_has_the_same_line() -> None:
    runs = {"short": record(probe=4), "long": record(probe=4, steps=30)}
    axes = plots.predictions(runs)
    assert runs["short"].probe is not None
    targets = runs["short"].probe.targets
    for panel, run in zip(axes.child_axes, runs.values(), strict=True):
        for line in panel.child_axes[0].get_lines():
            name = str(line.get_label())
            example = int(name.split("no. ")[1].rstrip(")")) if "no. " in name else targets.tolist().index(int(name))
            p = outputs(run, -1).softmax(dim=1)[example, targets[example]]
            assert np.asarray(line.get_ydata())[-1] == pytest.approx(float(p), rel=1e-5)
    styles = [[line.get_marker() for line in panel.child_axes[0].get_lines()] for panel in axes.child_axes]
    assert styles[0] == styles[1]


def test_several_runs_share_the_scale_of_probabilities(trace: Trace) -> None:
    axes = plots.predictions({"a": trace, "b": record(steps=8)})
    maps = [axes.child_axes[place].child_axes[0].collections[0] for place in (0, 1)]
    assert {each.get_clim() for each in maps} == {(0, 1)}
    assert [inside.get_title(loc="left") for inside in axes.child_axes[:2]] == ["a", "b"]


class Long:
    """A run of 100,000 steps and 1,000 examples whose outputs are made when they are asked for."""

    def __init__(self, model: Trace) -> None:
        self.model, self.layers, self.missing, self.notes = model.model, model.layers, {}, {}
        self.steps, self.scalars, self.statistics, self.read = np.arange(100_000), {}, {}, list[int]()
        self.targets = np.arange(1_000) % 3
        self.probe = self
        self.inputs = np.zeros((1_000, 4))
        self.activations = {self.layers[-1]: self}

    def __len__(self) -> int:
        return 100_000

    def __getitem__(self, index: int) -> np.ndarray:
        self.read.append(index)
        return np.eye(3)[self.targets] * index / 50_000


def test_of_a_long_run_some_steps_are_read_and_of_many_examples_means_are_drawn(trace: Trace) -> None:
    long: Any = Long(trace)
    axes = plots.predictions(long)
    drawn = heat(axes)
    assert drawn.shape == (200, len(set(long.read)))
    assert 300 <= len(set(long.read)) <= 301
    assert {0, 99_999} <= set(long.read)
    peak = np.exp(99_999 / 50_000)
    np.testing.assert_allclose(drawn[:, -1], peak / (peak + 2), rtol=1e-6)
    assert "301 of 100,000 recorded steps" in written(axes)
    assert "200 rows, each the mean of up to 5 examples" in written(axes)


def test_probabilities_that_are_no_number_are_left_empty() -> None:
    trace = record(rate=np.inf, steps=6)
    axes = plots.predictions(trace)
    assert np.isnan(heat(axes)[:, -1]).all()
    assert "empty where it is no number" in written(axes)
    assert "At the last step no probability is a number." in plots.describe(axes)
