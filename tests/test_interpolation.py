"""A grid interpolated within a tolerance keeps it at every point, or evaluates them all."""

from __future__ import annotations

from typing import Any

import networks
import numpy as np
import pytest
import torch
from torch import nn

import explainer
from explainer.errors import SurfaceError
from explainer.sampler.interpolation import Interpolated, whole_grid

TOLERANCE = 0.005


def grid_of(surface: Any, shape: tuple[int, int] = (51, 51)) -> tuple[Interpolated, np.ndarray, list[int]]:
    """Interpolate a function of (u, v) over −1…1; returns also its exact values and the sizes of the calls."""
    v, u = np.linspace(-1, 1, shape[0]), np.linspace(-1, 1, shape[1])
    calls: list[int] = []

    def evaluate(points: np.ndarray) -> np.ndarray:
        calls.append(len(points))
        return np.asarray(surface(points[:, 0], points[:, 1])).reshape(len(points), -1)

    exact = np.asarray(surface(*np.meshgrid(u, v)))
    return whole_grid(u, v, evaluate, TOLERANCE), exact, calls


def bowl(u: Any, v: Any) -> Any:
    return u**2 + 3 * v**2 + 0.2


def valley(u: Any, v: Any) -> Any:
    return 100 * (v - u**2) ** 2 + (1 - u) ** 2 + 0.5


def along_a_column(u: Any, v: Any) -> Any:
    return bowl(u, v) + 5 * (np.abs(u - 0.24) < 1e-9)


def along_a_row(u: Any, v: Any) -> Any:
    return bowl(u, v) + 5 * (np.abs(v + 0.56) < 1e-9)


def across(u: Any, v: Any) -> Any:
    return bowl(u, v) + 3 * np.exp(-(((v - u) / 0.03) ** 2))


def rough(u: Any, v: Any) -> Any:
    return 2 + np.sin(70 * u) * np.cos(60 * v)


SURFACES = {
    "a bowl": (bowl, (51, 51), 0.25),
    "a bowl on a finer grid": (bowl, (101, 81), 0.25),
    "a bent valley": (valley, (51, 51), 0.8),
    "below zero": (lambda u, v: bowl(u, v) - 2.5, (51, 51), 1.0),
    "nothing happens": (lambda u, v: 0 * u, (51, 51), 0.15),
    "a ridge one point wide along a column": (along_a_column, (51, 51), 1.0),
    "a ridge one point wide along a row": (along_a_row, (51, 51), 1.0),
    "a sharp ridge across": (across, (51, 51), 1.0),
    "rough everywhere": (rough, (51, 51), 1.0),
    "few points": (rough, (7, 12), 1.0),
    "two points": (rough, (2, 2), 1.0),
    "few rows of many columns": (bowl, (9, 61), 1.0),
}


@pytest.mark.parametrize("name", SURFACES)
def test_the_tolerance_is_kept_at_every_point(name: str) -> None:
    surface, shape, share = SURFACES[name]
    found, exact, calls = grid_of(surface, shape)
    np.testing.assert_allclose(found.values[..., 0], exact, rtol=TOLERANCE)
    assert np.array_equal(found.values[found.evaluated][:, 0], exact[found.evaluated])
    assert sum(calls) == found.evaluated.sum() <= share * exact.size  # no point twice
    assert found.worst <= TOLERANCE / 2
    assert found.evaluated.all() or found.worst > 0 or np.ptp(exact) == 0


@pytest.mark.parametrize("side", [51, 101])
def test_a_ridge_one_point_wide_is_seen_wherever_it_stands(side: int) -> None:
    axis = np.linspace(-1, 1, side)
    for place in axis[::7]:
        for ridge in (
            lambda u, v, place=place: bowl(u, v) + (np.abs(u - place) < 1e-9),
            lambda u, v, place=place: bowl(u, v) + (np.abs(v - place) < 1e-9),
        ):
            found, exact, _ = grid_of(ridge, (side, side))
            np.testing.assert_allclose(found.values[..., 0], exact, rtol=TOLERANCE)


def test_a_point_that_is_not_finite_is_never_interpolated_over() -> None:
    for lost in (np.nan, np.inf):
        found, exact, _ = grid_of(lambda u, v, lost=lost: np.where(u + v > 1.2, lost, bowl(u, v)))
        assert found.evaluated.all()
        assert np.array_equal(found.values[..., 0], exact, equal_nan=True)


def test_a_hole_found_late_is_not_interpolated_over() -> None:
    rounds = []
    for place in np.linspace(-1, 1, 51):  # on a ridge, whose cells are suspect

        def surface(u: Any, v: Any, place: float = place) -> Any:
            return np.where((np.abs(u - 0.24) < 1e-9) & (np.abs(v - place) < 1e-9), np.nan, along_a_column(u, v))

        found, exact, calls = grid_of(surface)
        rounds.append(len(calls))
        assert found.evaluated.all()
        assert np.isnan(found.values).sum() == np.isnan(exact).sum() == 1
    assert max(rounds) > 3 > min(rounds)  # found among the first points, and only when whole cells were evaluated


def test_metrics_keep_the_tolerance_too() -> None:
    def surface(u: Any, v: Any) -> Any:
        return np.stack([bowl(u, v), np.round(1 - bowl(u, v) / 8, 2)], axis=-1)

    found, exact, _ = grid_of(surface)
    np.testing.assert_allclose(found.values, exact, rtol=TOLERANCE)
    alone, _, _ = grid_of(bowl)
    assert found.evaluated.sum() > alone.evaluated.sum()  # steps are not smooth


@pytest.mark.parametrize("tolerance", [0, -0.1, 1, 2.5, float("nan"), float("inf"), "0.005", True])
def test_a_bad_tolerance_is_refused_before_long_work(tolerance: Any) -> None:
    model = networks.seeded(networks.mlp)
    data = torch.randn(8, 5), torch.randint(0, 3, (8,))

    def criterion(outputs: Any, targets: Any) -> Any:
        raise AssertionError("work began")

    with pytest.raises(SurfaceError, match="relative error between 0 and 1"):
        explainer.loss_surface(model, criterion, data, plane="random", tolerance=tolerance, progress=False)


def trained(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor, steps: int) -> nn.Module:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(steps):
        chosen = torch.randint(0, len(inputs), (64,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs[chosen]), targets[chosen]).backward()
        optimizer.step()
    return model


def digits(images: bool) -> tuple[torch.Tensor, torch.Tensor]:
    datasets = pytest.importorskip("sklearn.datasets")
    found = datasets.load_digits()
    inputs = torch.tensor(found.data[:600] / 16, dtype=torch.float32)
    return inputs.reshape(-1, 1, 8, 8) if images else inputs, torch.tensor(found.target[:600])


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 10)
    )


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(("make", "steps"), [(perceptron, 120), (convolutional, 30)])
def test_a_networks_surface_is_what_it_is_without_a_tolerance(make: Any, steps: int, seed: int) -> None:
    data = digits(images=make is convolutional)
    torch.manual_seed(3)
    model = trained(make(), *data, steps)
    options: dict[str, Any] = {"plane": "random", "seed": seed, "progress": False}
    exact = explainer.loss_surface(model, nn.CrossEntropyLoss(), data, **options)
    near = explainer.loss_surface(model, nn.CrossEntropyLoss(), data, **options, tolerance=TOLERANCE)
    assert exact.evaluated.all()
    assert (exact.tolerance, exact.worst) == (None, 0.0)
    np.testing.assert_allclose(near.losses, exact.losses, rtol=TOLERANCE)
    np.testing.assert_array_equal(near.losses[near.evaluated], exact.losses[near.evaluated])
    assert near.evaluated.mean() < 0.7
    assert near.tolerance == TOLERANCE
    assert 0 < near.worst < TOLERANCE


@pytest.mark.parametrize("shape", [(51, 2), (2, 51), (3, 3), (51, 3), (2, 2)])
def test_where_an_axis_has_too_few_points_for_a_cubic_all_are_evaluated(shape: tuple[int, int]) -> None:
    found, exact, _ = grid_of(bowl, shape)
    assert found.evaluated.all() and np.array_equal(found.values[..., 0], exact)


def test_one_evaluated_point_that_is_not_finite_has_all_others_evaluated() -> None:
    found, exact, _ = grid_of(lambda u, v: np.where(np.hypot(u, v) < 0.3, np.nan, bowl(u, v)))
    assert found.evaluated.all() and np.array_equal(found.values[..., 0], exact, equal_nan=True)
