"""Boundaries and bent planes: fills, lines, points and grids against what was recorded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from torch import nn

import explainer
from explainer import plots
from explainer.errors import TraceError
from explainer.theme import GRADIENT, LIGHT, NEGATIVE, POSITIVE, RIGHT
from explainer.trace import Trace

GENERATOR = torch.Generator().manual_seed(3)
POINTS = torch.randn(40, 2, generator=GENERATOR)
GRID = torch.cartesian_prod(torch.linspace(-3, 3, 13), torch.linspace(-2, 2, 9))


def record(
    *, classes: int = 2, grid: bool = True, bend: type[nn.Module] = nn.Tanh, steps: int = 30, **options: Any
) -> Trace:
    """Tell points apart by how far they are from the middle; the last hidden layer has two units."""
    torch.manual_seed(0)
    labels = POINTS.norm(dim=1).argsort().argsort() * classes // 40
    model = nn.Sequential(nn.Linear(2, 6), bend(), nn.Linear(6, 2), nn.Linear(2, classes))
    criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.Adam(model.parameters(), lr=0.1)
    inputs = torch.cat([POINTS, GRID]) if grid else POINTS
    targets = torch.cat([labels, torch.full((len(GRID),), -100)]) if grid else labels
    options = {"every": lambda step: step in (0, steps - 1), "probe": (inputs, targets), **options}
    with explainer.record(model, criterion=criterion, optimizer=optimizer, **options) as recorder:
        for _ in range(steps):
            optimizer.zero_grad()
            criterion(model(POINTS), labels).backward()
            optimizer.step()
    return recorder.trace


@pytest.fixture(scope="module")
def trace() -> Trace:
    return record()


@pytest.fixture(scope="module")
def without_grid() -> Trace:
    return record(grid=False)


def written(axes: Axes) -> str:
    return "\n".join(text.get_text() for text in axes.findobj(Text) if text.get_text())


def scores(trace: Trace, index: int) -> torch.Tensor:
    assert trace.probe is not None
    return torch.tensor(trace.probe.activations["3"][index])


def points(axes: Axes) -> dict[tuple[int, bool], np.ndarray]:
    """Return the points by their number of corners and whether they have the rim of a wrong answer."""
    drawn = [each for each in axes.collections if isinstance(each, PathCollection)]
    kinds = [(len(each.get_paths()[0]), float(each.get_linewidth()[0]) > 1) for each in drawn]
    return {kind: np.asarray(each.get_offsets()) for kind, each in zip(kinds, drawn, strict=True)}


def boundary(axes: Axes) -> np.ndarray:
    """Return the points of the thick line, (point, 2)."""
    thick = [each for each in axes.collections if np.ravel(each.get_linewidth())[:1] == 2.4]
    return np.concatenate([path.vertices for each in thick for path in each.get_paths() if len(path.vertices)])


@pytest.mark.parametrize("step", [0, -1])
def test_the_points_are_the_probe_s_by_class_and_those_answered_wrongly_have_a_rim(trace: Trace, step: int) -> None:
    assert trace.probe is not None
    drawn = points(plots.decision_boundary(trace, step=step).child_axes[0])
    answers, targets = scores(trace, step)[:40].argmax(dim=1).numpy(), trace.probe.targets[:40]
    corners = sorted({each for each, _ in drawn}, reverse=True)  # a circle has more than a triangle
    for (many, wrong), found in drawn.items():
        own = (targets == corners.index(many)) & ((answers != targets) == wrong)
        np.testing.assert_allclose(np.sort(found, axis=0), np.sort(trace.probe.inputs[:40][own], axis=0), rtol=1e-6)
    assert sum(map(len, drawn.values())) == 40
    assert f"{(answers != targets).sum()} of 40 points of the probe on the wrong side" in written(
        plots.decision_boundary(trace, step=step)
    )


def test_along_the_line_two_classes_are_equally_likely_to_the_grid_s_step(trace: Trace) -> None:
    along = boundary(plots.decision_boundary(trace).child_axes[0])
    lead = (scores(trace, -1)[40:, 1] - scores(trace, -1)[40:, 0]).numpy().reshape(13, 9)
    columns, rows = (along[:, 0] + 3) / 0.5, (along[:, 1] + 2) / 0.5
    left, low = np.minimum(columns.astype(int), 11), np.minimum(rows.astype(int), 7)
    corners = np.stack([lead[left + a, low + b] for a in (0, 1) for b in (0, 1)])
    assert len(along) > 10
    assert (corners.min(axis=0) <= 1e-5).all()
    assert (corners.max(axis=0) >= -1e-5).all()


def test_the_fill_is_blue_where_the_second_class_is_likelier_and_vermilion_where_the_first_is(trace: Trace) -> None:
    axes = plots.decision_boundary(trace, theme="light")
    (fill,) = (each for each in axes.child_axes[0].collections if getattr(each, "filled", False))
    low, high = fill.get_facecolor()[0], fill.get_facecolor()[-1]
    assert low[0] > low[2]
    assert high[2] > high[0]
    p = torch.softmax(scores(trace, -1)[40:].double(), dim=1)[:, 1].numpy()
    np.testing.assert_allclose(1 / (1 + np.exp(-np.asarray(fill.levels)[1:-1])), np.arange(1, 10) / 10)
    assert fill.zmin == pytest.approx(np.log(p / (1 - p)).min(), rel=1e-4)


def test_without_a_grid_it_is_worked_out_and_that_is_said(without_grid: Trace) -> None:
    for figure in (plots.decision_boundary, plots.feature_space):
        assert "worked out from the parameters; points agree with the recorded to" in written(figure(without_grid))


def test_more_classes_have_a_colour_and_a_mark_each() -> None:
    trace = record(classes=4)
    axes = plots.decision_boundary(trace, theme="light")
    assert [entry.get_text() for entry in axes.get_legend().get_texts()][:5] == ["0", "1", "2", "3", "equally likely"]
    p = scores(trace, -1)[40:].softmax(dim=1).numpy().reshape(13, 9, 4).swapaxes(0, 1)
    strength = 0.62 * (p.max(axis=-1, keepdims=True) - 0.25) / 0.75
    full = np.array([to_rgb(each) for each in (NEGATIVE, POSITIVE, RIGHT, GRADIENT)])[p.argmax(axis=-1)]
    drawn = np.asarray(axes.child_axes[0].collections[0].get_array()).reshape(9, 13, 3)
    np.testing.assert_allclose(drawn, np.array(to_rgb(LIGHT.zero)) * (1 - strength) + full * strength, atol=1e-4)
    with pytest.raises(TraceError, match=r"colours for 5 classes, and the network has 7"):
        plots.decision_boundary(record(classes=7, steps=1))


def test_runs_stand_side_by_side_on_one_plane(trace: Trace) -> None:
    straight = record(bend=nn.Identity)
    axes = plots.decision_boundary({"tanh": trace, "identity": straight})
    left, right, _ = axes.child_axes
    assert left.get_xlim() == right.get_xlim() == (-3, 3)
    for inside, name, run in ((left, "tanh", trace), (right, "identity", straight)):
        wrong = (scores(run, -1)[:40].argmax(dim=1).numpy() != run.probe.targets[:40]).sum()  # type: ignore[union-attr]
        assert inside.get_title(loc="left") == f"{name}: {wrong} wrong"
    with pytest.raises(TraceError, match=r"runs with the same classes, and these differ"):
        plots.decision_boundary({"a": trace, "b": record(classes=3)})


def test_networks_of_other_inputs_are_refused_with_a_lesson_that_fits() -> None:
    model, criterion = nn.Conv2d(1, 2, 4), nn.CrossEntropyLoss()
    images, labels = torch.ones(2, 1, 4, 4), torch.zeros(2, 1, 1, dtype=torch.long)
    with explainer.record(model, criterion=criterion) as recorder:
        loss = criterion(model(images), labels)
        loss.backward()
        recorder.step(loss)
    for figure in (plots.decision_boundary, plots.feature_space):
        with pytest.raises(TraceError, match=r"shape \(1, 4, 4\), and a plane is that of two numbers.*'moons'"):
            figure(recorder.trace)


# feature_space


def lines(axes: Axes) -> list[np.ndarray]:
    return [segment for each in axes.collections if isinstance(each, LineCollection) for segment in each.get_segments()]


@pytest.mark.parametrize(("step", "name"), [(0, "2"), (-1, "2"), (-1, "3")])
def test_the_grid_is_what_the_layer_gave_for_it_and_so_are_the_points(trace: Trace, step: int, name: str) -> None:
    assert trace.probe is not None
    _, space = plots.feature_space(trace, layer=name, step=step).child_axes
    recorded = trace.probe.activations[name][step]
    bent = recorded[40:].reshape(13, 9, 2)
    drawn = lines(space)
    assert len(drawn) == 13 + 9
    for segment, expected in zip(drawn, [*bent.swapaxes(0, 1), *bent], strict=True):
        np.testing.assert_allclose(segment, expected, rtol=1e-6)
    at = np.concatenate(list(points(space).values()))
    np.testing.assert_allclose(np.sort(at, axis=0), np.sort(recorded[:40], axis=0), rtol=1e-6)


def test_the_line_in_the_space_is_the_straight_one_of_the_last_layer_s_weights(trace: Trace) -> None:
    _, space = plots.feature_space(trace).child_axes
    weight, bias = trace.parameters["3.weight"][-1], trace.parameters["3.bias"][-1]
    along = boundary(space)
    leads = along @ (weight[1] - weight[0]) + (bias[1] - bias[0])
    np.testing.assert_allclose(leads, 0, atol=1e-3 * np.abs(along).max())


def test_of_several_runs_each_one_s_space_is_drawn(trace: Trace) -> None:
    straight = record(bend=nn.Identity)
    spaces = plots.feature_space({"tanh": trace, "identity": straight}).child_axes
    assert len(spaces) == 2
    flat = np.array([np.ptp(np.diff(segment, axis=0), axis=0).max() for segment in lines(spaces[1])])
    assert flat.max() < 1e-5  # a plane that is not bent keeps its lines straight and evenly spaced
    assert max(np.ptp(np.diff(segment, axis=0), axis=0).max() for segment in lines(spaces[0])) > 1e-2


def test_where_the_rest_cannot_be_worked_out_the_space_is_drawn_without_its_answer() -> None:
    trace = record(keep=("activations",))
    axes = plots.feature_space(trace)
    assert "what the layers after it answer cannot be worked out, and is not drawn" in written(axes)
    assert len(lines(axes.child_axes[1])) == 22


def test_a_layer_that_has_not_two_units_is_refused(trace: Trace) -> None:
    with pytest.raises(TraceError, match=r"layer '0' gives each example \(6,\) numbers, not two"):
        plots.feature_space(trace, layer="0")
    with pytest.raises(TraceError, match=r"no layer is called '9'"):
        plots.feature_space(trace, layer="9")
    torch.manual_seed(0)
    model, criterion = nn.Sequential(nn.Linear(2, 5), nn.Tanh(), nn.Linear(5, 2)), nn.CrossEntropyLoss()
    with explainer.record(model, criterion=criterion) as recorder:
        loss = criterion(model(POINTS), (POINTS[:, 0] > 0).long())
        loss.backward()
        recorder.step(loss)
    with pytest.raises(TraceError, match=r"no layer before the scores has two units.*nn\.Linear\(16, 2\)"):
        plots.feature_space(recorder.trace)
