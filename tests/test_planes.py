"""The planes are the ones that they are called: by numpy's SVD, torch's Hessian, and norms by hand."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from hills import Hill, flat, full_batch_run, loss_at, offsets, recorded, surface_of
from torch import nn
from torch.func import functional_call

import explainer
from explainer.sampler import walked
from explainer.sampler.planes import random_directions
from explainer.sampler.weights import own_weights


@pytest.fixture(scope="module")
def hill() -> Hill:
    return full_batch_run()


def axes(surface: explainer.Surface) -> np.ndarray[Any, Any]:
    return np.stack([flat(direction) for direction in surface.directions])


# PCA


def test_pca_is_the_svd_of_the_offsets_from_the_last_weights(hill: Hill) -> None:
    surface = surface_of(hill)
    table = offsets(hill, surface)
    assert np.abs(table[-1]).max() == 0  # the center is the last
    _, spread, rows = np.linalg.svd(table, full_matrices=False)
    assert np.abs(np.sum(axes(surface) * rows[:2], axis=1)) == pytest.approx([1, 1], abs=1e-5)
    assert axes(surface) @ axes(surface).T == pytest.approx(np.eye(2), abs=1e-6)
    assert surface.captured == pytest.approx(np.square(spread[:2]).sum() / np.square(spread).sum(), abs=1e-6)
    assert surface.path == pytest.approx(table @ axes(surface).T, abs=1e-5)
    assert surface.off_plane == pytest.approx(np.linalg.norm(table - surface.path @ axes(surface), axis=1), abs=1e-5)


def test_pca_of_parameters_read_in_parts_is_the_same(hill: Hill, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = surface_of(hill, resolution=2)
    monkeypatch.setattr(walked, "_BLOCK", 8 * len(hill.trace) * 3)  # three numbers of each step at once
    for room in (1024**3, 4 * len(hill.trace) * 7):  # all are held, or seven of each step
        monkeypatch.setattr(walked, "_ROOM", room)
        parts = surface_of(hill, resolution=2)
        assert axes(parts) == pytest.approx(axes(whole), abs=1e-6)


@pytest.mark.parametrize("plane", ["pca", "ends"])
@pytest.mark.parametrize("seed", range(4))
def test_a_walk_starts_on_the_right_and_its_farthest_step_is_above(plane: str, seed: int) -> None:
    path = surface_of(full_batch_run(6, seed=seed), plane=plane, resolution=2).path
    assert path[0, 0] > 0
    assert path[np.abs(path[:, 1]).argmax(), 1] > 0


def test_pca_of_two_runs_is_of_both(hill: Hill) -> None:
    other = full_batch_run(seed=5)
    surface = surface_of(hill, trace={"one": hill.trace, "two": other.trace}, resolution=2)
    table = np.concatenate([offsets(hill, surface), offsets(other, surface)])
    _, _, rows = np.linalg.svd(table, full_matrices=False)
    assert np.abs(np.sum(axes(surface) * rows[:2], axis=1)) == pytest.approx([1, 1], abs=1e-5)
    assert list(surface.walks) == ["one", "two"]
    assert np.array_equal(flat(surface.center), flat({n: hill.trace.parameters[n][-1] for n in surface.center}))
    assert surface.walks["two"].path == pytest.approx(offsets(other, surface) @ axes(surface).T, abs=1e-5)


def test_a_random_walk_in_many_directions_has_76_percent_in_two(hill: Hill) -> None:
    """Facts: the share alone proves little. Antognini and Sohl-Dickstein (2018): 6/π² + 6/(4π²) about the mean."""
    steps, size = 300, 3000
    walk = np.cumsum(np.random.default_rng(0).standard_normal((steps, size)), axis=0)
    gram = (walk - walk.mean(0)) @ (walk - walk.mean(0)).T
    values = np.linalg.eigvalsh(gram)[::-1]
    assert values[:2].sum() / values.sum() == pytest.approx(7.5 / np.pi**2, abs=0.02)


# Ends


def test_ends_leads_from_the_last_weights_to_the_first_and_then_along_most_of_the_rest(hill: Hill) -> None:
    surface = surface_of(hill, plane="ends")
    table = offsets(hill, surface)
    line = table[0] / np.linalg.norm(table[0])
    rest = table - np.outer(table @ line, line)
    _, _, rows = np.linalg.svd(rest, full_matrices=False)
    assert axes(surface)[0] == pytest.approx(line, abs=1e-6)
    assert abs(axes(surface)[1] @ rows[0]) == pytest.approx(1, abs=1e-5)
    assert surface.path[0] == pytest.approx([np.linalg.norm(table[0]), 0], abs=1e-5)
    assert surface.path[-1] == pytest.approx([0, 0], abs=1e-6)


# Random


class Mixed(nn.Module):
    """A layer of each kind that is treated differently."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3)
        self.norm = nn.BatchNorm2d(3)
        self.wide_norm = nn.LayerNorm((3, 4, 4))  # its scale has three axes, and is a scale all the same
        self.head = nn.Linear(48, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.wide_norm(self.norm(self.conv(x))).flatten(1))


def test_random_directions_have_the_norm_of_each_filter_and_leave_biases_and_norms_at_rest() -> None:
    torch.manual_seed(0)
    model = Mixed()
    for direction in random_directions(model, own_weights(model), seed=1):
        for name in ("conv.bias", "norm.weight", "norm.bias", "wide_norm.weight", "wide_norm.bias", "head.bias"):
            assert not direction[name].any()
        for name, filters in {"conv.weight": 3, "head.weight": 5}.items():
            for row in range(filters):
                drawn, own = direction[name][row].numpy().ravel(), model.state_dict()[name][row].numpy().ravel()
                assert np.sqrt((drawn**2).sum()) == pytest.approx(np.sqrt((own**2).sum()), rel=1e-5)


def test_random_directions_are_drawn_from_a_normal_and_not_a_uniform_distribution() -> None:
    model = nn.Linear(20_000, 1)
    with torch.no_grad():
        model.weight.fill_(1.0)
    (direction, _) = random_directions(model, own_weights(model), seed=0)
    values = direction["weight"].numpy().ravel()  # of length √n, so that its entries have variance 1
    assert abs(values.mean()) < 0.03
    assert (values < 0).mean() == pytest.approx(0.5, abs=0.02)  # U[0, 1) has none
    assert np.mean(values**4) == pytest.approx(3.0, abs=0.2)  # a uniform one has 1.8


def test_a_seed_draws_the_same_directions_whatever_chance_stands_at() -> None:
    model = nn.Linear(6, 4)
    torch.manual_seed(1)
    first = random_directions(model, own_weights(model), seed=3)
    torch.manual_seed(2)
    again, other = (random_directions(model, own_weights(model), seed=seed) for seed in (3, 4))
    assert all(torch.equal(first[k]["weight"], again[k]["weight"]) for k in range(2))
    assert not torch.equal(first[0]["weight"], other[0]["weight"])
    assert not torch.equal(first[0]["weight"], first[1]["weight"])


# Hessian


def dense_hessian(hill: Hill) -> np.ndarray[Any, Any]:
    weights = {name: each.detach() for name, each in hill.model.named_parameters()}
    sizes, shapes = [each.numel() for each in weights.values()], [each.shape for each in weights.values()]

    def loss(vector: torch.Tensor) -> torch.Tensor:
        parts = [part.reshape(shape) for part, shape in zip(vector.split(sizes), shapes, strict=True)]
        outputs = functional_call(hill.model, dict(zip(weights, parts, strict=True)), (hill.data[0],))
        return hill.criterion(outputs, hill.data[1])

    start = torch.cat([each.reshape(-1) for each in weights.values()])
    return torch.autograd.functional.hessian(loss, start).numpy()


@pytest.mark.parametrize("width", [5, 2])  # 43 weights by Lanczos; 19 by the whole Hessian
def test_hessian_directions_are_the_eigenvectors_of_the_largest_eigenvalues(width: int) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Linear(width, 3)).double()
    data = torch.randn(20, 4, dtype=torch.float64), torch.randint(0, 3, (20,))
    hill = recorded(model, nn.CrossEntropyLoss(), data, 3)
    surface = surface_of(hill, plane="hessian", trace=None, resolution=2)
    values, vectors = np.linalg.eigh(dense_hessian(hill))
    assert surface.notes["curvatures"] == pytest.approx(values[[-1, -2]], rel=1e-6)
    for found, wanted in zip(axes(surface), vectors[:, [-1, -2]].T, strict=True):
        assert abs(found @ wanted) == pytest.approx(1, abs=1e-6)
        assert found[np.abs(found).argmax()] > 0
        assert np.linalg.norm(found) == pytest.approx(1)


def test_hessian_over_batches_is_that_of_all_the_data(hill: Hill) -> None:
    (x, y), half = hill.data, 7
    batches = [(x[:half], y[:half]), (x[half:], y[half:])]
    found = explainer.loss_surface(
        hill.model, hill.criterion, batches, plane="hessian", resolution=2, progress=False
    ).notes["curvatures"]
    assert found == pytest.approx(surface_of(hill, plane="hessian", trace=None).notes["curvatures"], rel=1e-4)


def test_a_transformer_has_a_hessian_although_its_fused_attention_has_not() -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = nn.Sequential(layer, nn.Flatten(), nn.Linear(24, 2))
    data = torch.randn(6, 3, 8), torch.randint(0, 2, (6,))
    surface = explainer.loss_surface(
        model, nn.CrossEntropyLoss(), data, plane="hessian", span=0.02, resolution=(3, 3), progress=False
    )
    first, _ = surface.notes["curvatures"]
    step = surface.u[2]
    bent = (surface.losses[1, 0] - 2 * surface.losses[1, 1] + surface.losses[1, 2]) / step**2
    assert bent == pytest.approx(first, rel=0.05)


class Once(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: torch.Tensor) -> torch.Tensor:
        return x * 2

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(context: Any, incoming: torch.Tensor) -> torch.Tensor:
        return incoming * 2


class Doubles(nn.Module):
    forward = staticmethod(Once.apply)


def test_a_model_without_a_second_derivative_is_told(hill: Hill) -> None:
    model = nn.Sequential(nn.Linear(4, 5), Doubles(), nn.Tanh(), nn.Linear(5, 3))
    with pytest.raises(explainer.SurfaceError, match="part of the model has no second derivative"):
        explainer.loss_surface(model, hill.criterion, hill.data, plane="hessian", progress=False)


def test_a_loss_that_is_linear_in_the_weights_has_no_sharpest_direction(hill: Hill) -> None:
    model = nn.Linear(4, 3)
    with pytest.raises(explainer.SurfaceError, match="its Hessian is zero"):
        explainer.loss_surface(model, lambda y, _: y.mean(), hill.data, plane="hessian", progress=False)


def test_sharpest_directions_that_cannot_be_told_apart_are_not_invented(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("explainer.sampler.curvature._MOST", 18)  # one round of Lanczos
    torch.manual_seed(0)
    model = nn.Linear(400, 1).double()
    data = torch.randn(900, 400, dtype=torch.float64), torch.zeros(900, 1, dtype=torch.float64)
    with pytest.raises(explainer.SurfaceError, match=r"were not found in 18 products with the Hessian"):
        explainer.loss_surface(model, nn.MSELoss(), data, plane="hessian", progress=False)


# Given


def test_given_directions_may_leave_parameters_at_rest_or_be_flat(hill: Hill) -> None:
    shape = hill.model[0].weight.shape
    size = sum(each.numel() for each in hill.model.parameters())
    flat_one = torch.arange(size, dtype=torch.float64)
    surface = surface_of(hill, plane=({"0.weight": np.ones(shape)}, flat_one), resolution=2)
    assert surface.plane == "given"
    assert surface.directions[0]["0.weight"].all()
    assert not any(values.any() for name, values in surface.directions[0].items() if name != "0.weight")
    assert flat(surface.directions[1]) == pytest.approx(np.arange(size))


def test_a_list_of_tensors_in_the_models_order_is_a_direction(hill: Hill) -> None:
    own = list(hill.model.parameters())
    surface = surface_of(hill, plane=[own, [torch.ones_like(each) for each in own]], resolution=2)
    assert flat(surface.directions[0]) == pytest.approx(np.concatenate([each.detach().numpy().ravel() for each in own]))
    assert all((values == 1).all() for values in surface.directions[1].values())


def test_directions_that_are_not_orthogonal_give_the_nearest_point(hill: Hill) -> None:
    generator = np.random.default_rng(0)
    size = sum(each.numel() for each in hill.model.parameters())
    first = generator.standard_normal(size)
    second = first + 0.3 * generator.standard_normal(size)
    surface = surface_of(hill, plane=(first, second), resolution=2)
    wanted, *_ = np.linalg.lstsq(axes(surface).T, offsets(hill, surface).T, rcond=None)
    assert surface.path == pytest.approx(wanted.T, abs=1e-5)
    place = 3
    point, distance = surface.shadow({name: hill.trace.parameters[name][place] for name in surface.center})
    assert point == pytest.approx(surface.path[place], abs=1e-6)
    assert distance == pytest.approx(surface.off_plane[place], abs=1e-6)


@pytest.mark.parametrize(
    ("plane", "message"),
    [
        (({"0.weight": np.ones((5, 3))}, {"2.bias": np.ones(3)}), r"0: '0.weight' has the shape \(5, 3\), .* \(5, 4\)"),
        (({"0.weigth": np.ones((5, 4))}, {"2.bias": np.ones(3)}), "0: no parameter .* Did you mean '0.weight'"),
        ((np.ones(43), np.ones(42)), r"direction 1 has the shape \(42,\), and the model has 43 weights"),
        ((np.ones(43), 2 * np.ones(43)), "the two directions are parallel"),
        ((np.ones(43), np.zeros(43)), "direction 1 is zero: it leads nowhere"),
        ((np.ones(43), np.full(43, np.nan)), "direction 1 is not finite everywhere"),
        ((np.ones(43), ["a"] * 43), "direction 1 is no array of numbers"),
        ((np.ones(43), "random"), "direction 1 is 'random': give parameter name → array"),
        (np.ones((3, 43)), "a plane is two directions, or one of 'pca', .*; this is 3 of them"),
        ({"2.bias": np.ones(3)}, "a plane is two directions, or one of 'pca', .*; this is one"),
        (7, "a plane is two directions"),
        (([np.ones(3)], np.ones(43)), "direction 0 is a list of 1, and the model has 4 parameters: give one array"),
        ((np.ones(43), np.ones(43) * 1j), "direction 1 is no array of numbers .complex numbers, and weights move"),
        ((torch.ones(43, dtype=torch.cfloat), np.ones(43)), "direction 0 is no array of numbers .complex numbers"),
        ("pac", "no plane is called 'pac'. Did you mean 'pca'"),
    ],
)  # fmt: skip
def test_a_plane_that_is_none_is_told(hill: Hill, plane: Any, message: str) -> None:
    with pytest.raises(explainer.SurfaceError, match=message):
        surface_of(hill, plane=plane)


# Walks that make no plane


def test_a_walk_along_one_line_gets_a_second_direction_and_says_so() -> None:
    """Least squares with one example: every gradient has the same direction."""
    torch.manual_seed(0)
    model = nn.Linear(6, 2)
    hill = recorded(model, nn.MSELoss(), (torch.ones(1, 6), torch.ones(1, 2)), 8, 0.05)
    for plane in ("pca", "ends"):
        surface = surface_of(hill, plane=plane)
        assert "the walk is one straight line" in surface.notes["second direction"]
        assert surface.captured == pytest.approx(1)
        assert axes(surface) @ axes(surface).T == pytest.approx(np.eye(2), abs=1e-6)
        assert surface.path[:, 1] == pytest.approx(np.zeros(8), abs=1e-6)
        assert np.ptp(surface.v) == pytest.approx(np.ptp(surface.u))  # a plane has a width
        assert surface.losses[2, 3] == pytest.approx(loss_at(hill, surface.weights_at(surface.u[3], surface.v[2])))


def test_two_weights_on_a_line_get_the_other_direction() -> None:
    model = nn.Linear(1, 1)
    hill = recorded(model, nn.MSELoss(), (torch.ones(1, 1), torch.zeros(1, 1)), 5, 0.1)
    surface = surface_of(hill, plane="pca")
    assert axes(surface) @ axes(surface).T == pytest.approx(np.eye(2), abs=1e-6)


@pytest.mark.parametrize("plane", ["pca", "ends"])
def test_a_walk_that_does_not_move_is_told(plane: str) -> None:
    torch.manual_seed(0)
    hill = recorded(nn.Linear(3, 2), nn.MSELoss(), (torch.randn(4, 3), torch.randn(4, 2)), 3, learning_rate=0.0)
    with pytest.raises(explainer.SurfaceError, match="the walk does not move: all recorded weights are the same"):
        surface_of(hill, plane=plane)
    still = surface_of(hill, plane="random")
    assert np.isnan(still.captured)
    assert still.path == pytest.approx(np.zeros((3, 2)))


def test_a_walk_of_one_step_does_not_move(hill: Hill) -> None:
    with pytest.raises(explainer.SurfaceError, match="the walk does not move"):
        surface_of(full_batch_run(1))


def test_one_weight_makes_no_plane() -> None:
    hill = recorded(nn.Linear(1, 1, bias=False), nn.MSELoss(), (torch.ones(2, 1), torch.zeros(2, 1)), 3, 0.1)
    with pytest.raises(explainer.SurfaceError, match=re.escape("take explainer.loss_slice")):
        surface_of(hill)


def test_weights_that_are_zero_have_no_filter_normalised_direction() -> None:
    model = nn.Linear(3, 2)
    nn.init.zeros_(model.weight)
    data = torch.ones(2, 3), torch.ones(2, 2)
    with pytest.raises(explainer.SurfaceError, match="these are all zero, biases or norms"):
        explainer.loss_surface(model, nn.MSELoss(), data, plane="random", progress=False)
