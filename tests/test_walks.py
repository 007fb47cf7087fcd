"""The walk beside the plane: its three losses, its slopes, and how far it is off."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hills import Hill, full_batch_run, loss_at, offsets, surface_of
from networks import Residual, batch_for, seeded
from torch import nn

import explainer
from explainer.sampler.gradients import gradient
from explainer.sampler.problem import pose
from explainer.sampler.weights import own_weights


@pytest.fixture(scope="module")
def hill() -> Hill:
    return full_batch_run(dtype=torch.float64)


def test_the_true_losses_of_a_full_batch_run_are_those_that_were_recorded(hill: Hill) -> None:
    """The proof that weights, data and loss belong together, and that no step is shifted against another."""
    walk = surface_of(hill).walk
    assert walk.true_losses == pytest.approx(walk.losses, abs=1e-12)
    assert len(np.unique(walk.losses.round(9))) == len(walk)


@pytest.mark.slow
def test_so_are_those_of_a_lessons_network_in_float32() -> None:
    from explainer.lessons import digits

    images = digits.images()
    model, criterion = digits.model(3), nn.NLLLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    with explainer.record(model, criterion=criterion, optimizer=optimizer, keep=("parameters",)) as recorder:
        for _ in range(15):
            optimizer.zero_grad()
            criterion(model(images.train), images.train_digits).backward()
            optimizer.step()
    surface = explainer.loss_surface(
        model, criterion, (images.train, images.train_digits), trace=recorder.trace, resolution=2, progress=False
    )
    assert surface.walk.true_losses == pytest.approx(surface.walk.losses, abs=1e-6)
    assert (np.diff(surface.walk.true_losses) < 0).all()  # the lecture's row 15


def test_the_planes_losses_are_those_at_the_shadows(hill: Hill) -> None:
    surface = surface_of(hill, plane="ends")
    wanted = [loss_at(hill, surface.weights_at(*point)) for point in surface.path]
    assert surface.plane_losses == pytest.approx(wanted, rel=1e-9)
    assert surface.walk.gap == pytest.approx(np.array(wanted) - surface.walk.losses, abs=1e-9)
    assert surface.walk.gap[[0, -1]] == pytest.approx([0, 0], abs=1e-9)  # both ends lie on it
    assert np.abs(surface.walk.gap).max() > 1e-6


def test_captured_is_the_share_of_the_squared_distances_from_the_center(hill: Hill) -> None:
    surface = surface_of(hill, plane="random")
    table = offsets(hill, surface)
    assert surface.captured == pytest.approx(1 - np.square(surface.off_plane).sum() / np.square(table).sum())
    assert 0 < surface.captured < 0.5


@pytest.mark.parametrize("form", ["tensor", "batches", "tuple", "dict"])
def test_slopes_are_the_finite_differences_of_the_planes_loss(hill: Hill, form: str) -> None:
    (x, y) = hill.data
    data: Any = {
        "tensor": (x, y),
        "batches": [(x[:6], y[:6]), (x[6:], y[6:])],
        "tuple": ((x,), y),
        "dict": ({"input": x}, y),
    }[form]
    surface = surface_of(hill._replace(data=data), resolution=2)
    step = 1e-5
    for point, slopes in zip(surface.path, surface.walk.slopes, strict=True):
        for axis in range(2):
            ahead, behind = (point + sign * step * np.eye(2)[axis] for sign in (1, -1))
            rise = loss_at(hill, surface.weights_at(*ahead)) - loss_at(hill, surface.weights_at(*behind))
            assert slopes[axis] == pytest.approx(rise / (2 * step), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("norm", [nn.BatchNorm2d(4), nn.BatchNorm2d(4, affine=False),
                                  nn.InstanceNorm2d(4, track_running_stats=True, affine=True)])  # fmt: skip
def test_slopes_with_re_estimated_norms_know_that_the_statistics_move_too(norm: nn.Module) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), norm, nn.Tanh(), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 3)
    ).double()
    batches = [(x.double(), y) for x, y in (batch_for(Residual(), 0, 9), batch_for(Residual(), 1, 5))]
    chosen: dict[str, Any] = {"plane": "random", "batch_norm": "re-estimated", "resolution": 2, "progress": False}
    problem = pose(model, nn.CrossEntropyLoss(), batches, None, "re-estimated", "eval")
    weights = own_weights(model)
    loss, slope = gradient(problem, weights)
    generator = torch.Generator().manual_seed(1)
    along = {name: torch.randn(each.shape, generator=generator).double() for name, each in weights.items()}
    line = explainer.loss_surface(
        model, nn.CrossEntropyLoss(), batches, **{**chosen, "plane": (along, own_weights(model)), "span": 1e-5,
                                                  "resolution": 3}
    ).losses[1]  # fmt: skip
    assert loss == pytest.approx(line[1], rel=1e-9)
    rise = sum(float((slope[name] * along[name]).sum()) for name in slope)
    assert rise == pytest.approx((line[2] - line[0]) / 2e-5, rel=1e-5)


def test_slopes_can_be_left_out_and_a_loss_without_a_gradient_has_none(hill: Hill) -> None:
    assert np.isnan(surface_of(hill, slopes=False).walk.slopes).all()

    def share_wrong(outputs: torch.Tensor, targets: torch.Tensor) -> float:
        return float((outputs.argmax(1) != targets).double().mean())

    surface = surface_of(hill._replace(criterion=share_wrong))
    assert np.isnan(surface.walk.slopes).all()
    assert np.isfinite(surface.losses).all()


@pytest.mark.parametrize(
    ("walk_steps", "wanted"), [(None, list(range(12))), (3, [0, 6, 11]), (2, [0, 11]), (200, list(range(12)))]
)
def test_a_long_walk_is_thinned_evenly_and_keeps_its_ends(hill: Hill, walk_steps: Any, wanted: list[int]) -> None:
    surface = surface_of(hill, walk_steps=walk_steps, plane="random", resolution=2)
    assert surface.walk.steps.tolist() == wanted
    assert surface.path_losses.tolist() == hill.trace.scalars["loss"][wanted].tolist()
    assert surface.off_plane == pytest.approx(surface_of(hill, plane="random", resolution=2).off_plane[wanted])


def test_several_walks_stand_by_their_names_and_the_first_speaks_for_all(hill: Hill) -> None:
    other = full_batch_run(5, dtype=torch.float64, seed=2)
    surface = surface_of(hill, trace={"α = 0.5": hill.trace, "β": other.trace})
    assert list(surface.walks) == ["α = 0.5", "β"]
    assert surface.walk is surface.walks["α = 0.5"]
    assert len(surface.walks["β"]) == 5
    low, high = surface.u[[0, -1]]
    assert all(low < point < high for walk in surface.walks.values() for point in walk.path[:, 0])


def test_a_trace_without_losses_has_a_walk_all_the_same() -> None:
    model = seeded(lambda: nn.Linear(4, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    data = torch.randn(8, 4), torch.randint(0, 3, (8,))
    with explainer.record(model, optimizer=optimizer) as recorder:
        for _ in range(4):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(data[0]), data[1]).backward()
            optimizer.step()
    surface = explainer.loss_surface(
        model, nn.CrossEntropyLoss(), data, trace=recorder.trace, resolution=2, progress=False
    )
    assert np.isnan(surface.path_losses).all()
    assert np.isfinite(surface.walk.true_losses).all()
