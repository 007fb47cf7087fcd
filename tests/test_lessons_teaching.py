"""Surfaces without projection: the walk is the weights, the slopes are the gradient worked by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import explainer
from explainer import flow, lessons
from explainer.lessons import room

Making = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]

OPTIMIZERS: dict[str, Making] = {
    "SGD": lambda parameters: torch.optim.SGD(parameters, lr=0.05),
    "momentum": lambda parameters: torch.optim.SGD(parameters, lr=0.02, momentum=0.9),
    "Adam": lambda parameters: torch.optim.Adam(parameters, lr=0.1),
    "RMSprop": lambda parameters: torch.optim.RMSprop(parameters, lr=0.05),
    "LBFGS": lambda parameters: torch.optim.LBFGS(parameters, lr=0.5, max_iter=4),
}
TWO = ("line", "ravine", "two-weights")


def loss_by_numpy(name: str, w: Any, x: Any, y: Any) -> Any:
    """Return the loss at weights w (2,), written anew and in numpy."""
    if name == "line":
        return np.mean((w[0] * x[:, 0] + w[1] - y[:, 0]) ** 2)
    if name == "ravine":
        return (w[0] ** 2 + 20 * w[1] ** 2) / 2
    return np.mean((w[1] * np.tanh(w[0] * x[:, 0]) - y[:, 0]) ** 2)


def walked_plainly(name: str, optimizer: Making, start: tuple[float, float], steps: int) -> Any:
    """Return (step, weight): the same training, in which nothing records."""
    model, criterion, (inputs, targets) = room(name).problem(**lessons.LESSONS[name].with_settings())
    for parameter, value in zip(model.parameters(), start, strict=True):
        nn.init.constant_(parameter, value)
    moving, seen = optimizer(model.parameters()), []
    for _ in range(steps):
        seen.append([float(parameter.detach()) for parameter in model.parameters()])

        def loss() -> Any:
            moving.zero_grad()
            now = criterion(model(inputs), targets)
            now.backward()
            return now

        moving.step(loss)
    return np.array(seen)


@pytest.mark.parametrize("name", TWO)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_path_is_the_weights_and_the_plane_holds_all_of_it(name: str, optimizer: str) -> None:
    start, steps = (0.7, -1.3), 8
    surface = lessons.teaching_surface(
        name, optimizer=OPTIMIZERS[optimizer], start=start, steps=steps, resolution=(4, 3)
    )
    np.testing.assert_array_equal(surface.path, walked_plainly(name, OPTIMIZERS[optimizer], start, steps))
    assert (surface.off_plane == 0).all()
    assert surface.captured == 1
    np.testing.assert_allclose(surface.walk.gap, 0, atol=1e-15)
    np.testing.assert_allclose(surface.walk.true_losses, surface.path_losses, rtol=1e-14)
    _, _, (x, y) = room(name).problem(**lessons.LESSONS[name].with_settings())
    expected = [loss_by_numpy(name, w, x.numpy(), y.numpy()) for w in surface.path]
    np.testing.assert_allclose(surface.path_losses, expected, rtol=1e-12)
    grid = [[loss_by_numpy(name, (u, v), x.numpy(), y.numpy()) for u in surface.u] for v in surface.v]
    np.testing.assert_allclose(surface.losses, grid, rtol=1e-12)


@pytest.mark.parametrize("name", TWO)
def test_the_slopes_are_the_gradient_worked_by_hand_and_by_differences(name: str) -> None:
    surface = lessons.teaching_surface(name, start=(1.1, -0.4), steps=6, resolution=2)
    model, _, (x, y) = room(name).problem(**lessons.LESSONS[name].with_settings())
    for w, slope in zip(surface.path, surface.walk.slopes, strict=True):
        for parameter, value in zip(model.parameters(), w, strict=True):
            nn.init.constant_(parameter, value)
        np.testing.assert_allclose(slope, model.gradient(x, y), rtol=1e-12, atol=1e-14)
        for axis, ahead in enumerate(1e-6 * np.eye(2)):
            rise = loss_by_numpy(name, w + ahead, x.numpy(), y.numpy()) - loss_by_numpy(
                name, w - ahead, x.numpy(), y.numpy()
            )
            assert slope[axis] == pytest.approx(rise / 2e-6, rel=1e-7, abs=1e-9)


def test_the_ravines_walk_is_its_closed_form() -> None:
    """Gradient descent shrinks w1 by 1 − α and w2 by 1 − 20α in every step."""
    surface = lessons.lesson_surface(lessons.record_lesson("ravine"), resolution=2)
    steps = np.arange(60)
    np.testing.assert_allclose(surface.path[:, 0], -4 * 0.91**steps, rtol=1e-12)
    np.testing.assert_allclose(surface.path[:, 1], (-0.8) ** steps, rtol=1e-12)
    assert surface.notes["axes"] == ["w1", "w2"]


def test_the_line_ends_near_the_best_one_and_its_surface_is_lowest_there() -> None:
    trace = lessons.record_lesson("line", steps=400)
    x, y = (array.numpy()[:, 0] for array in lessons.problem_of(trace)[2])
    best, residual, *_ = np.linalg.lstsq(np.stack([x, np.ones(20)], axis=1), y, rcond=None)
    surface = lessons.lesson_surface(trace, resolution=31)
    np.testing.assert_allclose(surface.path[-1], best, atol=1e-4)
    assert surface.path_losses[-1] == pytest.approx(residual[0] / 20, rel=1e-6)
    assert surface.losses.min() >= residual[0] / 20
    assert not flow.steps_up(trace).any()


def test_two_starts_that_almost_agree_end_in_the_two_valleys_of_two_weights() -> None:
    right, left = lessons.record_runs("two-weights").values()
    ends = [[float(trace.parameters[name][-1][0]) for name in ("w1", "w2")] for trace in (right, left)]
    assert min(ends[0]) > 0.9
    assert max(ends[1]) < -0.9
    surface = lessons.lesson_surface({"right": right, "left": left}, resolution=21)
    np.testing.assert_allclose(surface.losses, surface.losses[::-1, ::-1], rtol=1e-9)  # (w1, w2) is (−w1, −w2)


def test_optimizers_turn_the_ravine_into_different_walks() -> None:
    runs = lessons.record_runs("ravine")
    assert list(runs) == ["SGD", "momentum", "Adam"]
    assert {trace.model.optimizer for trace in runs.values()} == {"SGD", "Adam"}
    assert flow.bounces(runs["SGD"]).any()
    surface = lessons.lesson_surface(runs, resolution=2)
    assert [walk.captured for walk in surface.walks.values()] == [1.0] * 3


@pytest.mark.parametrize("rate", [0.1, 0.9, 1.0, 1.1])
def test_the_troughs_walk_is_its_closed_form(rate: float) -> None:
    trace = lessons.record_runs("trough")[f"α = {rate}"]
    expected = (1 - 2 * rate) ** np.arange(20)
    np.testing.assert_allclose(np.asarray(trace.parameters["w"])[:, 0], expected, rtol=1e-13)
    np.testing.assert_allclose(trace.scalars["loss"], expected**2, rtol=1e-12)
    slice_ = lessons.lesson_slice(trace)
    np.testing.assert_allclose(slice_.path, expected, rtol=1e-13)
    np.testing.assert_allclose(slice_.walk.slopes[:, 0], 2 * expected, rtol=1e-12)
    np.testing.assert_allclose(slice_.losses, slice_.t**2, atol=1e-14)
    model, _, (x, y) = lessons.problem_of(trace)
    assert model.gradient(x, y) == (2.0,)  # at the start, w = 1
    assert slice_.t[0] <= slice_.path.min()
    assert slice_.t[-1] >= slice_.path.max()
    assert (slice_.off_plane == 0).all()


def test_the_trough_arrives_bounces_in_bounces_for_ever_and_flies_out() -> None:
    runs = lessons.record_runs("trough")
    assert [float(flow.bounces(trace).mean()) for trace in runs.values()] == [0, 1, 1, 1]
    losses = {name: trace.scalars["loss"] for name, trace in runs.items()}
    assert losses["α = 0.1"][-1] < 1e-3
    assert (np.diff(losses["α = 0.9"]) < 0).all()
    np.testing.assert_array_equal(losses["α = 1.0"], np.ones(20))
    assert (np.diff(losses["α = 1.1"]) > 0).all()


def test_a_slice_shows_the_walk_of_any_optimizer_in_the_trough() -> None:
    slice_ = lessons.teaching_slice(optimizer=OPTIMIZERS["momentum"], start=(-1.2,), steps=30)
    w, speed = -1.2, 0.0
    for at in slice_.path:
        assert at == pytest.approx(w, abs=1e-13)
        speed = 0.9 * speed + 2 * w
        w -= 0.02 * speed
    np.testing.assert_allclose(slice_.path_losses, slice_.path**2, rtol=1e-12)
    assert (slice_.t[0], slice_.t[-1]) == (-1.5, 1.5)


def test_a_walk_that_leaves_the_lessons_view_is_shown_whole() -> None:
    surface = lessons.teaching_surface("ravine", start=(-40.0, 1.0), steps=3, resolution=2)
    assert surface.u[0] < -40
    assert (surface.u[-1], surface.v[0], surface.v[-1]) == (5, -2, 2)


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: lessons.teaching_surface("digits"), "'digits' is not one of 2 weights, which line and ravine and two"),
        (lambda: lessons.teaching_surface("trough"), "lesson 'trough' is not one of 2 weights"),
        (lambda: lessons.teaching_slice("line"), "lesson 'line' is not one of 1 weights, which trough are"),
        (lambda: lessons.teaching_surface("line", start=(1.0,)), r"start=\(1.0,\): lesson 'line' has 2 weights"),
        (lambda: lessons.teaching_surface("line", steps=0), "steps=0: a walk has at least one"),
        (lambda: lessons.teaching_surface("lime"), r"no lesson is called 'lime'. Did you mean 'line'"),
        (lambda: lessons.record_lesson("line", optimizer="Sgd"), "no optimizer of torch is called 'Sgd'"),
        (
            lambda: lessons.record_lesson("line", optimizer="Adam", momentum=0.9),
            "torch.optim.Adam does not take lr=0.1, momentum=0.9 for this model",
        ),
        (lambda: lessons.record_lesson("sine", activation="relu"), "no activation is called 'relu'"),
        (lambda: lessons.record_lesson("sine", width=0), "width=0 leaves no hidden layer"),
        (lambda: lessons.record_lesson("depth", initialisation="xavier"), "no initialisation is called 'xavier'"),
    ],
)
def test_what_a_lesson_cannot_do_is_said(call: Callable[[], object], complaint: str) -> None:
    with pytest.raises(explainer.LessonError, match=complaint):
        call()
