"""`loss_surface`: exact at every point, honest about what it cannot use, and gone without a trace."""

from __future__ import annotations

import copy
import random
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hills import Hill, flat, full_batch_run, loss_at, plain_loop, recorded, surface_of
from networks import Residual, batch_for, mlp, seeded
from torch import nn
from torch.func import functional_call
from torch.optim.swa_utils import update_bn

import explainer
from explainer.sampler.batch_norm import re_estimated_buffers
from explainer.sampler.problem import kept, pose


@pytest.fixture(scope="module")
def hill() -> Hill:
    return full_batch_run()


# The grid


@pytest.mark.parametrize("resolution", [(7, 4), (4, 7), 5])
def test_each_point_is_what_a_plain_loop_gives_and_no_row_is_shifted(hill: Hill, resolution: Any) -> None:
    surface = surface_of(hill, resolution=resolution, span=((-1.0, 3.0), (-2.0, 1.0)))
    wanted = plain_loop(surface, lambda weights: loss_at(hill, weights))
    assert surface.losses.shape == wanted.shape == (len(surface.v), len(surface.u))
    assert surface.losses == pytest.approx(wanted, rel=1e-5)
    assert len(np.unique(wanted.round(6))) == wanted.size  # so that no point could stand for another


def test_the_weights_of_a_point_loaded_into_the_model_have_the_points_loss(hill: Hill) -> None:
    surface = surface_of(hill)
    model = copy.deepcopy(hill.model)
    for row, column in ((0, 0), (3, 6), (2, 1)):
        weights = surface.weights_at(surface.u[column], surface.v[row])
        model.load_state_dict({name: torch.from_numpy(values) for name, values in weights.items()})
        with torch.no_grad():
            assert float(hill.criterion(model(hill.data[0]), hill.data[1])) == pytest.approx(
                surface.losses[row, column], rel=1e-5
            )


def test_the_axes_lie_around_the_walk_or_where_they_are_told(hill: Hill) -> None:
    surface = surface_of(hill)
    for axis, along in ((surface.u, surface.path[:, 0]), (surface.v, surface.path[:, 1])):
        low, high = min(along.min(), 0), max(along.max(), 0)
        assert axis[[0, -1]] == pytest.approx([low - 0.25 * (high - low), high + 0.25 * (high - low)])
        assert np.diff(axis) == pytest.approx(np.full(len(axis) - 1, axis[1] - axis[0]))
    for span, u, v in (
        (2, [-2, 2], [-2, 2]),
        ((2, 0.5), [-2, 2], [-0.5, 0.5]),
        (((-1, 3), (0, 1)), [-1, 3], [0, 1]),
        ((2.0, (0, 1)), [-2, 2], [0, 1]),
    ):
        given = surface_of(hill, span=span, resolution=2)
        assert (given.u.tolist(), given.v.tolist()) == (u, v)
    aside = surface_of(hill, plane="random", resolution=2)
    assert (aside.u[0], aside.u[-1], aside.v[0], aside.v[-1]) == (-1, 1, -1, 1)  # the walk's shadow is far smaller
    assert 0.0 in surface_of(hill, span=1.1, resolution=51).u


def test_metrics_are_averaged_over_examples_on_the_same_grid(hill: Hill) -> None:
    (x, y), half = hill.data, 13
    batches = [(x[:half], y[:half]), (x[half:], y[half:])]

    def wrong(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return (outputs.argmax(1) != targets).float().mean()

    surface = explainer.loss_surface(
        hill.model, hill.criterion, batches, trace=hill.trace, metrics={"wrong": wrong}, resolution=(4, 3), span=4.0,
        progress=False,
    )  # fmt: skip
    with torch.no_grad():
        counted = plain_loop(surface, lambda weights: float(wrong(functional_call(hill.model, weights, (x,)), y)))
    assert surface.metrics["wrong"] == pytest.approx(counted, abs=1e-6)
    assert surface.losses == pytest.approx(plain_loop(surface, lambda weights: loss_at(hill, weights)), rel=1e-5)
    assert surface.data == "20 examples"


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(3, 2), nn.Linear(2, 2)

    def forward(self, left: torch.Tensor, right: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
        return self.one(left) + scale * self.other(right)


@pytest.mark.parametrize("cell", [nn.LSTM, nn.GRU, nn.RNN])
def test_recurrent_layers_take_the_weights_of_a_point_and_keep_their_own(cell: type[nn.RNNBase]) -> None:
    """They hold their weights in a list of their own."""

    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.head = cell(3, 5, batch_first=True), nn.Linear(5, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.cell(x)[0][:, -1])

    torch.manual_seed(0)
    model, (x, y) = Reader(), (torch.randn(6, 4, 3), torch.randint(0, 2, (6,)))
    surface = explainer.loss_surface(
        model, (criterion := nn.CrossEntropyLoss()), (x, y), plane="random", resolution=3, progress=False
    )
    twin = copy.deepcopy(model)
    for row, column in ((0, 0), (2, 1)):
        weights = surface.weights_at(surface.u[column], surface.v[row])
        twin.load_state_dict({name: torch.from_numpy(values) for name, values in weights.items()})
        with torch.no_grad():
            assert surface.losses[row, column] == pytest.approx(float(criterion(twin(x), y)), rel=1e-5)
    assert np.ptp(surface.losses) > 0.01
    assert all(held is own for held, own in zip(model.cell._flat_weights, model.cell.parameters(), strict=True))


@pytest.mark.parametrize("form", ["tuple", "dict"])
def test_a_model_of_several_inputs_takes_a_tuple_or_a_dict(form: str) -> None:
    torch.manual_seed(0)
    model, left, right, y = Two(), torch.randn(6, 3), torch.randn(6, 2), torch.randn(6, 2)
    inputs: Any = (left, right, 2.0) if form == "tuple" else {"left": left, "right": right, "scale": 2.0}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with explainer.record(model, criterion=(criterion := nn.MSELoss()), optimizer=optimizer) as recorder:
        for _ in range(4):
            optimizer.zero_grad()
            criterion(model(left, right, 2.0), y).backward()
            optimizer.step()
    surface = explainer.loss_surface(
        model, criterion, (inputs, y), trace=recorder.trace, resolution=(3, 2), progress=False
    )
    with torch.no_grad():
        wanted = plain_loop(
            surface, lambda weights: float(criterion(functional_call(model, weights, (left, right, 2.0)), y))
        )
    assert surface.losses == pytest.approx(wanted, rel=1e-5)
    assert surface.walk.true_losses == pytest.approx(surface.walk.losses, abs=1e-6)
    assert np.isfinite(surface.walk.slopes).all()


# What is left behind


def state_of(model: nn.Module) -> list[Any]:
    """All that a user could find changed, bit by bit."""
    return [
        [(name, each.clone(), each.requires_grad, each.grad, id(each)) for name, each in model.named_parameters()],
        [(name, each.clone(), id(each)) for name, each in model.named_buffers()],
        [(name, each.training, sorted(each.__dict__)) for name, each in model.named_modules()],
        [getattr(model, "own_count", 0), model.stem.__dict__.get("scaled")],
        [(name, len(each._forward_hooks), len(each._forward_pre_hooks)) for name, each in model.named_modules()],
        [getattr(each, "momentum", None) for each in model.modules()],
        (torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()),  # noqa: NPY002
        (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
    ]


def same(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor):
        return isinstance(second, torch.Tensor) and torch.equal(first, second)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return first == second


class Restless(Residual):
    """Draws from every source of chance there is, and may fail."""

    calls, fails_at = 0, 10**9

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.__class__.calls += 1
        self.own_count = getattr(self, "own_count", 0) + 1
        self.stem.scaled = self.stem.weight * 2.0  # as torch's older weight_norm leaves what it computed
        if self.calls == self.fails_at:
            raise KeyboardInterrupt
        x = x + 1e-3 * (torch.rand(()) + random.random() + np.random.rand())  # noqa: NPY002
        return super().forward(x)


def an_unusual_model() -> nn.Module:
    model = seeded(Restless)
    model.train()
    model.block.eval()  # one layer is frozen
    model.stem.bias.requires_grad_(False)
    model.head.weight.grad = torch.ones_like(model.head.weight)
    model.stem.scaled = torch.ones(3)
    return model


@pytest.mark.parametrize("batch_norm", ["as is", "re-estimated"])
@pytest.mark.parametrize("fails_at", [10**9, 1, 7, 30])
@pytest.mark.parametrize("plane", ["random", "hessian"])
def test_the_model_is_left_exactly_as_it_was_also_when_it_fails(plane: str, fails_at: int, batch_norm: str) -> None:
    model = an_unusual_model()
    Restless.calls, Restless.fails_at = 0, fails_at
    before = copy.copy(state_of(model))
    data = [batch_for(model, step) for step in range(2)]
    try:
        explainer.loss_surface(
            model, nn.CrossEntropyLoss(), data, plane=plane, batch_norm=batch_norm, resolution=4, progress=False
        )
        assert fails_at == 10**9
    except KeyboardInterrupt:
        assert Restless.calls >= fails_at
    finally:
        Restless.fails_at = 10**9
    assert same(state_of(model), before)


class Twice(nn.Module):
    """One Linear and one norm, each under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.first = self.again = nn.Linear(4, 4)
        self.norm = self.norm_again = nn.BatchNorm1d(4)
        self.head = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.tanh(self.norm(self.first(x)))
        return self.head(self.norm_again(self.again(x)))


def a_chain_that_repeats() -> nn.Module:
    layer = nn.Linear(4, 4)
    return nn.Sequential(layer, nn.Tanh(), layer, nn.Linear(4, 3))


@pytest.mark.parametrize("make", [Twice, a_chain_that_repeats])
@pytest.mark.parametrize("how", [{}, {"batch_norm": "re-estimated"}, {"mode": "train"}, {"plane": "hessian"}, "slice"])
def test_a_module_under_two_names_keeps_its_very_weights_and_has_each_points_own(
    make: Callable[[], nn.Module], how: Any
) -> None:
    model, criterion = seeded(make), nn.CrossEntropyLoss()
    data = torch.randn(40, 4), torch.randint(0, 3, (40,))
    held = [(name, each, each.clone()) for name, each in model.state_dict(keep_vars=True).items()]
    if how == "slice":
        explainer.loss_slice(model, criterion, data, resolution=5)
    else:
        options = {"plane": "random", "resolution": 4, "progress": False, **how}
        surface = explainer.loss_surface(model, criterion, data, **options)
    for (name, own, before), now in zip(held, model.state_dict(keep_vars=True).values(), strict=True):
        assert now is own and torch.equal(now, before), name
    if how == {}:
        twin = copy.deepcopy(model).eval()
        for place in ((0, 0), (3, 1)):
            own_names = surface.weights_at(surface.u[place[1]], surface.v[place[0]]).items()
            twin.load_state_dict({name: torch.from_numpy(values) for name, values in own_names}, strict=False)
            with torch.no_grad():
                assert surface.losses[place] == pytest.approx(float(criterion(twin(data[0]), data[1])), rel=1e-5)


def test_a_buffer_that_a_model_makes_when_it_is_called_is_gone_afterwards() -> None:
    class Lazy(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.register_buffer("seen", x.mean())
            return super().forward(x)

    model = Lazy(4, 3)
    explainer.loss_slice(model, nn.CrossEntropyLoss(), (torch.randn(9, 4), torch.randint(0, 3, (9,))), resolution=3)
    assert list(model.state_dict()) == ["weight", "bias"]


def test_a_shuffling_loader_moves_no_random_number_and_is_read_once(hill: Hill) -> None:
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*hill.data), batch_size=8, shuffle=True)
    before = torch.get_rng_state()
    surface = surface_of(hill._replace(data=loader))
    assert torch.equal(torch.get_rng_state(), before)
    assert surface.losses == pytest.approx(plain_loop(surface, lambda weights: loss_at(hill, weights)), rel=1e-5)
    assert surface.walk.true_losses == pytest.approx(hill.trace.scalars["loss"], abs=1e-5)


def test_a_loader_with_a_generator_of_its_own_draws_from_it_afterwards_as_if_nothing_had_been() -> None:
    own = torch.Generator().manual_seed(5)
    data = torch.utils.data.TensorDataset(torch.randn(20, 4), torch.randint(0, 3, (20,)))
    sampler = torch.utils.data.RandomSampler(data, generator=torch.Generator().manual_seed(6))
    for loader in (
        torch.utils.data.DataLoader(data, batch_size=8, shuffle=True, generator=own),
        torch.utils.data.DataLoader(data, batch_size=8, sampler=sampler),
    ):
        before = (loader.sampler.generator.get_state(), own.get_state())
        explainer.loss_slice(nn.Linear(4, 3), nn.CrossEntropyLoss(), loader, resolution=3)
        assert same((loader.sampler.generator.get_state(), own.get_state()), before)


def test_a_surface_taken_while_a_recorder_runs_leaves_nothing_in_its_trace() -> None:
    def run(look: Callable[[nn.Module, nn.Module], None]) -> explainer.Trace:
        model = seeded(mlp)
        criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=0.1)
        with explainer.record(model, criterion=criterion, optimizer=optimizer) as recorder:
            for step in range(3):
                x, y = batch_for(model, step)
                optimizer.zero_grad()
                loss = criterion(model(x), y)
                look(model, criterion)
                loss.backward()
                look(model, criterion)
                optimizer.step()
                look(model, criterion)
        return recorder.trace

    def take(model: nn.Module, criterion: nn.Module) -> None:  # the very objects that are recorded
        data = batch_for(model, 50)
        for plane in ("random", "hessian"):
            explainer.loss_surface(model, criterion, data, plane=plane, resolution=2, progress=False)
        explainer.loss_slice(model, criterion, data, resolution=3)

    quiet, looked = run(lambda model, criterion: None), run(take)
    assert looked.events == quiet.events
    assert looked.scalars["loss"].tolist() == quiet.scalars["loss"].tolist()
    for kind in ("activations", "gradients", "parameters", "parameter_gradients", "updates"):
        of_quiet, of_looked = getattr(quiet, kind), getattr(looked, kind)
        assert list(of_quiet) == list(of_looked)
        assert all(np.array_equal(np.asarray(of_quiet[name]), np.asarray(of_looked[name])) for name in of_quiet)


def test_a_recorders_hooks_do_nothing_meanwhile() -> None:
    from explainer.recorder.guard import GuardedHook

    model, heard = seeded(mlp), list[str]()
    model.register_forward_hook(GuardedHook(lambda *_: heard.append("forward"), lambda: True, pytest.fail))
    for plane in ("random", "hessian"):
        explainer.loss_surface(
            model, nn.CrossEntropyLoss(), batch_for(model, 0), plane=plane, resolution=2, progress=False
        )
    assert heard == []
    model(batch_for(model, 0)[0])
    assert heard == ["forward"]


def test_wrappers_are_taken_off_a_model(hill: Hill) -> None:
    compiled = torch.compile(hill.model, backend="eager")
    surface = surface_of(hill._replace(model=compiled))
    assert np.array_equal(surface.losses, surface_of(hill).losses)
    assert "0.weight" in surface.center


def test_a_wrapped_layer_goes_by_the_name_that_its_recorder_gave_it() -> None:
    from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

    torch.manual_seed(0)
    model = nn.Sequential(checkpoint_wrapper(nn.Linear(4, 5)), nn.Tanh(), nn.Linear(5, 3))
    hill = recorded(model, nn.CrossEntropyLoss(), (torch.randn(9, 4), torch.randint(0, 3, (9,))), 4)
    assert "0.weight" in hill.trace.parameters
    surface = surface_of(hill)
    assert surface.walk.true_losses == pytest.approx(surface.path_losses, abs=1e-6)
    line = explainer.loss_slice(
        model, hill.criterion, hill.data, trace=hill.trace, step=1, direction="update", span=(0.0, 1.0), resolution=2
    )
    assert line.losses == pytest.approx(surface.path_losses[1:3], abs=1e-6)


def test_dropout_in_train_mode_draws_the_same_at_every_point() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 50), nn.Dropout(0.5), nn.Linear(50, 3))
    data = torch.randn(8, 4), torch.randint(0, 3, (8,))
    still = {"2.bias": np.array([0.0, 0.0, 1e-12])}, {"2.bias": np.array([0.0, 1e-12, 0.0])}  # a plane that is flat
    chosen: dict[str, Any] = {"plane": still, "resolution": 3, "progress": False}
    trained = explainer.loss_surface(model, nn.CrossEntropyLoss(), data, mode="train", **chosen)
    assert np.ptp(trained.losses) < 1e-6
    assert trained.notes["mode"] == "train"
    assert (
        abs(trained.losses[0, 0] - explainer.loss_surface(model, nn.CrossEntropyLoss(), data, **chosen).losses[0, 0])
        > 1e-3
    )


# Norms


@pytest.mark.parametrize("sizes", [(12, 12), (12, 8, 4)])
def test_re_estimated_statistics_are_torchs_own_update_of_them(sizes: tuple[int, ...]) -> None:
    model = seeded(Residual).eval()
    batches = [batch_for(model, step, size) for step, size in enumerate(sizes)]
    problem = pose(model, nn.CrossEntropyLoss(), batches, None, "re-estimated", "eval")
    with kept(model, training=False):
        found = re_estimated_buffers(problem, dict(model.named_parameters()))
    if len(set(sizes)) == 1:
        twin = copy.deepcopy(model)
        update_bn([(inputs,) for inputs, _ in batches], twin)  # each batch counts the same
        wanted = dict(twin.named_buffers())
    else:
        seen = [model.stem(inputs).detach() for inputs, _ in batches]  # each example counts the same
        share = [size / sum(sizes) for size in sizes]
        wanted = {
            "norm.running_mean": sum(s * each.mean((0, 2, 3)) for s, each in zip(share, seen, strict=True)),
            "norm.running_var": sum(s * each.var((0, 2, 3)) for s, each in zip(share, seen, strict=True)),
        }
    for name, values in wanted.items():
        assert torch.allclose(found[name].double(), values.double(), rtol=1e-5, atol=1e-7), name


def test_a_grid_with_re_estimated_norms_is_a_loop_over_update_bn() -> None:
    model = seeded(Residual).eval()
    (x, y) = batch_for(model, 0, 30)
    criterion = nn.CrossEntropyLoss()
    chosen: dict[str, Any] = {"plane": "random", "resolution": (4, 3), "progress": False}
    surface = explainer.loss_surface(model, criterion, (x, y), batch_norm="re-estimated", **chosen)

    def loss(weights: dict[str, torch.Tensor]) -> float:
        twin = copy.deepcopy(model)
        twin.load_state_dict(weights, strict=False)
        twin.drop.p = 0.0  # update_bn runs the whole model in train mode
        update_bn([(x,)], twin)
        with torch.no_grad():
            return float(criterion(twin.eval()(x), y))

    assert surface.losses == pytest.approx(plain_loop(surface, loss), rel=1e-5)
    assert surface.batch_norm == "re-estimated"
    as_is = explainer.loss_surface(model, criterion, (x, y), **chosen)
    assert as_is.batch_norm == "as is"
    assert np.abs(as_is.losses / surface.losses - 1).max() > 0.01  # so that it makes a difference to be told


def test_which_statistics_norms_had_is_told_by_the_model_and_not_by_names(hill: Hill) -> None:
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5, track_running_stats=False), nn.Linear(5, 3))
    chosen: dict[str, Any] = {"plane": "random", "resolution": 2, "progress": False}
    assert explainer.loss_surface(model, hill.criterion, hill.data, **chosen).batch_norm == "none"
    model[1] = nn.BatchNorm1d(5)
    assert explainer.loss_surface(model, hill.criterion, hill.data, **chosen).batch_norm == "as is"
    assert (
        explainer.loss_surface(model, hill.criterion, hill.data, mode="train", **chosen).batch_norm == "of each batch"
    )


def test_a_center_with_statistics_of_its_own_is_warned_of() -> None:
    model, other = seeded(Residual), seeded(Residual)
    other.norm.running_mean += 1
    chosen: dict[str, Any] = {"plane": "random", "resolution": 2, "progress": False}
    data = batch_for(model, 0)
    with pytest.warns(explainer.ExplainerWarning, match="center has running statistics of its own"):
        explainer.loss_surface(model, nn.CrossEntropyLoss(), data, center=other, **chosen)
    explainer.loss_surface(model, nn.CrossEntropyLoss(), data, center=seeded(Residual), **chosen)
    explainer.loss_surface(model, nn.CrossEntropyLoss(), data, center=other, batch_norm="re-estimated", **chosen)


# The center


def test_a_center_is_a_model_a_state_dict_or_a_mapping(hill: Hill) -> None:
    other = full_batch_run(2, seed=9).model
    forms = (other, other.state_dict(), {name: each.detach().numpy() for name, each in other.named_parameters()})
    for center in forms:
        surface = surface_of(hill, center=center, plane="random", trace=None, span=1.0, resolution=3)
        assert flat(surface.center) == pytest.approx(flat({n: p.detach().numpy() for n, p in other.named_parameters()}))
        assert surface.losses[1, 1] == pytest.approx(loss_at(hill, surface.center), rel=1e-5)


def test_without_a_trace_the_center_is_the_models_own_weights(hill: Hill) -> None:
    surface = surface_of(hill, trace=None, plane="random")
    assert flat(surface.center) == pytest.approx(flat({n: p.detach() for n, p in hill.model.named_parameters()}))
    with pytest.raises(explainer.SurfaceError, match="the surface has no walk: give loss_surface the trace"):
        surface.path_losses  # noqa: B018


def test_a_run_that_diverged_has_its_center_where_it_was_last_finite() -> None:
    torch.manual_seed(0)
    data = torch.randn(6, 3), torch.randn(6, 2)
    hill = recorded(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)), nn.MSELoss(), data, 12, learning_rate=50.0)
    finite = [all(np.isfinite(hill.trace.parameters[n][k]).all() for n in hill.trace.parameters) for k in range(12)]
    last = int(np.flatnonzero(finite)[-1])
    assert 1 < last < 11
    told = pytest.warns(explainer.ExplainerWarning, match=f"not finite: the center is step {last}, its last")
    with told, pytest.warns(explainer.ExplainerWarning, match="finite at no point"):  # so near to infinity
        surface = surface_of(hill, span=1.0)
    assert np.isfinite(surface.path[: last + 1]).all()
    assert np.isnan(surface.path[last + 1 :]).all()


def test_points_without_a_finite_loss_stay_what_they_are(hill: Hill) -> None:
    def criterion(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return torch.log(outputs.sum() - outputs.sum().detach() + 1.0) + torch.log(outputs[:, 0].mean())

    surface = surface_of(hill._replace(criterion=criterion), span=6.0, resolution=9, slopes=False)
    wanted = plain_loop(surface, lambda weights: loss_at(hill._replace(criterion=criterion), weights))
    assert 0 < np.isnan(wanted).sum() < wanted.size
    assert np.array_equal(np.isnan(surface.losses), np.isnan(wanted))
    with pytest.warns(explainer.ExplainerWarning, match="the loss is finite at no point of the surface"):
        surface_of(hill._replace(criterion=lambda outputs, _: outputs.mean() / 0.0 - outputs.mean() / 0.0))


# What cannot be used


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resolution": 1}, "resolution is 1: give a whole number of points along an axis, from 2 to 10,000"),
        ({"resolution": (5, 1)}, "resolution is 1: give"),
        ({"resolution": 5.0}, "resolution is 5.0: give"),
        ({"resolution": True}, "resolution is True: give"),
        ({"resolution": (3, 3, 3)}, r"resolution is \(3, 3, 3\): give one number, or"),
        ({"span": 0}, "span is 0: give half a side as a number above 0"),
        ({"span": float("nan")}, "span is nan: give"),
        ({"span": (1.0, -1.0)}, r"span is \(1.0, -1.0\): give"),
        ({"span": ((2, 1), (0, 1))}, r"span is \(\(2, 1\), \(0, 1\)\): give"),
        ({"span": ((0, 1, 2), (0, 1))}, "span is "),
        ({"span": "wide"}, "span is 'wide': give"),
        ({"span": (1, 2, 3)}, r"span is \(1, 2, 3\): give"),
        ({"batch_norm": "asis"}, "no treatment of batch norm is called 'asis'. Did you mean 'as is'"),
        ({"mode": "evaluate"}, "no mode of a model is called 'evaluate'"),
        ({"mode": "train", "batch_norm": "re-estimated"}, "in train mode a norm takes each batch's own statistics"),
        ({"plane": "pca", "trace": None}, "the plane 'pca' is made of recorded weights: give trace=…"),
        ({"trace": "runs/digits"}, "trace 'walk' is of type str: give recorder.trace, or explainer.open_trace"),
        ({"trace": {}}, "trace is a mapping without a trace"),
        ({"walk_steps": 1}, "walk_steps is 1: give a number from 2 on"),
        ({"center": {"0.weight": np.ones((5, 4))}}, "center lacks '0.bias', '2.weight', '2.bias': give"),
        ({"center": 3}, "center is of type int: give a model, a state dict, or name → array"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_told_before_any_work(hill: Hill, options: dict[str, Any], message: str) -> None:
    with pytest.raises(explainer.SurfaceError, match=message):
        surface_of(hill, **options)


def test_a_center_that_is_another_models_is_told(hill: Hill) -> None:
    weights = {name: each.detach().numpy().copy() for name, each in hill.model.named_parameters()}
    for changed, message in (
        ({"0.wieght": np.ones(3)}, "center: no parameter of the model is called '0.wieght'. Did you mean '0.weight'"),
        ({"0.weight": np.ones((4, 5))}, r"center: '0.weight' has the shape \(4, 5\), and the model's has \(5, 4\)"),
        ({"2.bias": np.full(3, np.inf)}, "center: '2.bias' is not finite everywhere"),
    ):
        with pytest.raises(explainer.SurfaceError, match=message):
            surface_of(hill, center={**weights, **changed})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "the data are empty: there is no batch"),
        ((torch.ones(0, 4), torch.ones(0)), "batch 0 of the data is empty: it has no example"),
        (torch.ones(3, 4), r"the data are one array of shape \(3, 4\); give \(inputs, targets\) as a tuple"),
        ([torch.ones(3, 4)], r"batch 0 of the data is one array of shape \(3, 4\), no pair"),
        ((torch.ones(3, 4),), "batch 0 of the data is a tuple of 1, no pair"),
        ((torch.ones(3, 4), None), "the targets of batch 0 are a NoneType, and do not say how many examples it has"),
        (None, "the data are a NoneType"),
        (torch.utils.data.TensorDataset(torch.ones(3, 4), torch.ones(3)), r"give DataLoader\(data, batch_size=…\)"),
    ],
)  # fmt: skip
def test_data_that_are_none_are_told(hill: Hill, data: Any, message: str) -> None:
    with pytest.raises(explainer.SurfaceError, match=message):
        surface_of(hill._replace(data=data))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.ReLU(), "ReLU has no parameters, so its loss is one number and no surface"),
        (nn.Linear(4, 3, dtype=torch.complex64), "'weight' is of torch.complex64, and only real numbers"),
        (nn.LazyLinear(3), "'weight' has no shape yet: run one batch through the model first"),
    ],
)
def test_models_without_weights_are_told(hill: Hill, model: nn.Module, message: str) -> None:
    with pytest.raises(explainer.SurfaceError, match=message):
        explainer.loss_surface(model, hill.criterion, hill.data, plane="random", progress=False)


def test_no_grad_around_it_changes_nothing_and_inference_mode_is_told(hill: Hill) -> None:
    with torch.no_grad():
        around = surface_of(hill)
    assert np.array_equal(around.losses, surface_of(hill).losses)
    assert np.isfinite(around.walk.slopes).all()
    with torch.inference_mode(), pytest.raises(explainer.SurfaceError, match="nothing has a gradient"):
        surface_of(hill)


def test_a_criterion_that_gives_no_single_number_is_told(hill: Hill) -> None:
    with pytest.raises(
        explainer.SurfaceError, match=r"the criterion gives \(20,\) numbers .*; choose reduction='mean'"
    ):
        surface_of(hill._replace(criterion=nn.CrossEntropyLoss(reduction="none")))
    with pytest.raises(explainer.SurfaceError, match=r"right gives \(20,\) numbers"):
        surface_of(hill, metrics={"right": lambda outputs, targets: outputs.argmax(1) == targets})
    with pytest.raises(explainer.SurfaceError, match="the criterion sums over examples"):
        surface_of(hill._replace(criterion=nn.CrossEntropyLoss(reduction="sum"), data=[hill.data, hill.data]))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)),
            r"'0.weight' is \(5, 4\) in the trace and \(6, 4\)",
        ),
        (nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 5), nn.Linear(5, 3)), "no parameter '1.weight', '1.bias', which"),
        (nn.Sequential(nn.Linear(4, 3)), "holds '2.weight', '2.bias', which the model has not"),
    ],
)
def test_a_trace_of_another_model_is_told_by_the_parameter(hill: Hill, model: nn.Module, message: str) -> None:
    with pytest.raises(explainer.SurfaceError, match=message):
        surface_of(hill._replace(model=model))


def test_a_trace_without_weights_or_steps_is_told() -> None:
    bare = full_batch_run(3, keep=())
    with pytest.raises(
        explainer.SurfaceError, match=re.escape('the trace keeps no weights: record with keep=("parameters"')
    ):
        surface_of(bare)
    with pytest.warns(explainer.ExplainerWarning, match="no step was recorded"):
        empty = full_batch_run(0)
    with pytest.raises(explainer.SurfaceError, match="the trace 'walk' holds no step"):
        surface_of(empty)


def test_steps_whose_weights_were_no_longer_kept_are_not_drawn() -> None:
    with pytest.warns(explainer.ExplainerWarning, match="max_bytes"):
        hill = full_batch_run(40, max_bytes=24_000)
    surface = surface_of(hill)
    assert 2 < len(surface.walk) < 40
    assert surface.walk.steps.tolist() == list(range(len(surface.walk)))


def test_a_small_batch_that_has_no_variance_is_told() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))
    with pytest.raises(explainer.SurfaceError, match="a batch of one example has no variance to re-estimate"):
        explainer.loss_surface(
            model, nn.MSELoss(), (torch.ones(1, 2), torch.ones(1, 1)), plane="random", batch_norm="re-estimated",
            progress=False,
        )  # fmt: skip
