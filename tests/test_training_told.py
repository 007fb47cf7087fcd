"""What a way to train adds to a trace: scalars, notes, and the reason where something cannot be known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import explainer
from explainer.errors import ExplainerWarning
from tests.networks import batch_for, mlp, seeded
from tests.test_training_ways import WAYS, Watcher
from tests.training import Referee, compare

criterion = nn.CrossEntropyLoss()


def recorded(way: str, **options: Any) -> Any:
    """Return the trace of a way to train."""
    train, make_optimizer, make, _ = (*WAYS[way], mlp, mlp)[:4]
    model = seeded(make)
    optimizer = make_optimizer(model)
    with explainer.record(model, criterion=criterion, optimizer=optimizer, **options) as recorder:
        train(model, optimizer, Watcher())
    assert recorder.failure is None
    return recorder.trace


def test_how_often_a_closure_was_evaluated_is_told() -> None:
    evaluations = []
    model = seeded(mlp)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=4)
    with explainer.record(model, criterion=criterion, optimizer=optimizer) as recorder:
        for step in range(3):
            inputs, targets = batch_for(model, step)
            count = 0

            def closure(inputs: torch.Tensor = inputs, targets: torch.Tensor = targets) -> torch.Tensor:
                nonlocal count
                count += 1
                optimizer.zero_grad()
                loss = criterion(model(inputs), targets)
                loss.backward()
                return loss

            optimizer.step(closure)
            evaluations.append(count)
    assert recorder.trace.scalars["evaluations"].tolist() == evaluations
    assert max(evaluations) > 1
    assert recorder.trace.events[0].count("forward 0") == 1


def test_the_scale_is_told_and_float16_gradients_have_room_without_it() -> None:
    trace = recorded("scaler")
    assert trace.scalars["loss_scale"].tolist() == [1024, 1024, 2048]
    assert trace.notes["GradScaler"].startswith("gradients and losses are recorded without the scale")
    assert trace.activations["0"][0].dtype == np.float16
    assert trace.gradients["0"][0].dtype == np.float32


def test_statistics_of_scaled_gradients_are_those_of_the_gradients_without_the_scale() -> None:
    trace = recorded("scaler", examples=None)
    for name in trace.layers:
        values = np.asarray(trace.gradients[name], np.float64)
        numbers = trace.statistics["gradients"][name]
        axes = tuple(range(1, values.ndim))
        np.testing.assert_allclose(numbers["mean"], values.mean(axes), rtol=1e-4, atol=1e-9)
        np.testing.assert_allclose(numbers["std"], values.std(axes), rtol=1e-4)
        np.testing.assert_allclose(numbers["abs_mean"], abs(values).mean(axes), rtol=1e-5)
        np.testing.assert_allclose(numbers["max_abs"], abs(values).max(axes), rtol=1e-6)
        np.testing.assert_allclose(numbers["zero_fraction"], (values == 0).mean(axes))


def test_a_disabled_scaler_is_none() -> None:
    model = seeded(mlp)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    with explainer.record(model, criterion=criterion, optimizer=optimizer) as recorder:
        inputs, targets = batch_for(model, 0)
        loss = criterion(model(inputs), targets)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
    assert recorder.trace.scalars["loss"][0] == pytest.approx(loss.item())
    assert "loss_scale" not in recorder.trace.scalars
    assert "GradScaler" not in recorder.trace.notes


def closing_by_hand() -> Any:
    model = seeded(mlp)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu")
    with explainer.record(model) as recorder:
        for step in range(2):
            inputs, targets = batch_for(model, step)
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            scaler.scale(loss).backward()
            recorder.step(loss)
            scaler.step(optimizer)
            scaler.update()
    return recorder.trace


def test_a_scale_that_steps_closed_by_hand_hide_is_told() -> None:
    with pytest.warns(ExplainerWarning, match=r"give the optimizer to explainer\.record") as caught:
        trace = closing_by_hand()
    assert len(caught) == 1
    assert trace.notes["GradScaler"].startswith("gradients and losses hold the scale")


@pytest.mark.parametrize(("way", "count"), [("scaler, a step skipped", 1), ("gradients thrown away", 3)])
def test_backward_passes_whose_gradients_nobody_used_are_counted(way: str, count: int) -> None:
    assert recorded(way).notes["discarded"].startswith(f"{count} backward pass")


def test_the_norm_before_clipping_stands_beside_the_gradients_after_it() -> None:
    trace = recorded("norm clipped")
    used = np.sqrt(sum(trace.statistics["parameter_gradients"][name]["norm"] ** 2 for name in trace.parameters))
    np.testing.assert_allclose(used, 0.1, rtol=1e-4)
    assert (trace.scalars["gradient_norm"] > 0.2).all()


# Checkpoints in odd places


class Odd(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.body, self.head = nn.Linear(5, 6), nn.Sequential(nn.Linear(6, 6), nn.Tanh()), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor, reentrant: bool | None) -> torch.Tensor:
        x = self.stem(x)
        x = self.body(x) if reentrant is None else checkpoint(self.body, x, use_reentrant=reentrant)
        return self.head(x)


@pytest.mark.parametrize("reentrant", [False, True])
def test_two_backward_passes_through_a_checkpoint_are_summed(reentrant: bool) -> None:
    model, referee = seeded(Odd), Referee(Odd)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with explainer.record(model, criterion=criterion, optimizer=optimizer, examples=None) as recorder:
        for step in range(2):
            inputs, targets = batch_for(model, step)
            referee.begin(model)
            optimizer.zero_grad()
            output = model(inputs, reentrant)
            first, second = criterion(output, targets), criterion(-output, targets)
            first.backward(retain_graph=True)
            second.backward()
            optimizer.step()

            def passing(m: nn.Module, x: torch.Tensor = inputs, y: torch.Tensor = targets) -> list[torch.Tensor]:
                output = m(x, None)
                return [criterion(output, y), criterion(-output, y)]

            referee.end(model, [passing])
    compare(recorder.trace, referee.steps)
    assert recorder.trace.missing == {}


@pytest.mark.parametrize("reentrant", [False, True])
def test_a_criterion_inside_a_checkpoint_gives_its_loss(reentrant: bool) -> None:
    model, referee = seeded(mlp), Referee(mlp)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with explainer.record(model, criterion=criterion, optimizer=optimizer, examples=None) as recorder:
        for step in range(2):
            inputs, targets = batch_for(model, step)
            referee.begin(model)
            optimizer.zero_grad()
            (0.5 * checkpoint(criterion, model(inputs), targets, use_reentrant=reentrant)).backward()
            optimizer.step()
            referee.end(model, [lambda m, x=inputs, y=targets: 0.5 * criterion(m(x), y)])
    compare(recorder.trace, referee.steps)
    np.testing.assert_array_equal(recorder.trace.targets[1], batch_for(model, 1)[1])
    np.testing.assert_array_equal(recorder.trace.criterion.gradients[1], recorder.trace.gradients["2"][1])


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("reentrant", [False, True])
def test_validation_with_checkpoints_leaves_no_mark(reentrant: bool) -> None:
    model, referee = seeded(Odd), Referee(Odd)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with explainer.record(model, criterion=criterion, optimizer=optimizer, examples=None) as recorder:
        for step in range(2):
            inputs, targets = batch_for(model, step)
            referee.begin(model)
            with torch.no_grad():
                model(inputs + 50, reentrant)
            optimizer.zero_grad()
            criterion(model(inputs, reentrant), targets).backward()
            with torch.no_grad():
                criterion(model(inputs + 50, reentrant), targets)
            optimizer.step()
            referee.end(model, [lambda m, x=inputs, y=targets: criterion(m(x, None), y)])
    compare(recorder.trace, referee.steps)
    assert recorder.trace.missing == {}


def test_layers_called_by_a_function_of_ones_own_that_repeats_them_are_recorded() -> None:
    class Again(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
            ctx.layer = layer
            ctx.save_for_backward(x)
            with torch.no_grad():
                return layer(x)

        @staticmethod
        def backward(ctx: Any, gradient: torch.Tensor) -> Any:  # type: ignore[override]
            (x,) = ctx.saved_tensors
            with torch.enable_grad():
                x = x.detach().requires_grad_()
                torch.autograd.backward(ctx.layer(x), gradient)
            return None, x.grad

    class Reversible(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.body, self.head = nn.Linear(5, 6), nn.Linear(6, 6), nn.Linear(6, 3)
            self.again = True

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.stem(x)
            return self.head(Again.apply(self.body, x) if self.again else self.body(x))

    def plain(m: Any) -> torch.Tensor:
        m.again = False
        return criterion(m(inputs), targets)

    model, referee = seeded(Reversible), Referee(Reversible)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with explainer.record(model, criterion=criterion, optimizer=optimizer, examples=None) as recorder:
        inputs, targets = batch_for(model, 0)
        referee.begin(model)
        criterion(model(inputs), targets).backward()
        optimizer.step()
        referee.end(model, [plain])
    compare(recorder.trace, referee.steps)
    assert recorder.trace.missing == {}
