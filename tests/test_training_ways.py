"""Every way to train: the training is what it is without a recorder, and what is recorded is what happened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

import explainer
from tests.networks import batch_for, mlp, seeded
from tests.training import Forward, Referee, compare

STEPS = 3
criterion = nn.CrossEntropyLoss()


class Watcher:
    """Stands in for the referee where nobody looks."""

    def begin(self, model: nn.Module) -> None: ...

    def backward_is_done(self, model: nn.Module, scale: float = 1.0) -> None: ...

    def end(self, model: nn.Module, passes: Any, scale: float = 1.0, **known: Any) -> None: ...


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


def adamw(**options: Any) -> Callable[[nn.Module], torch.optim.Optimizer]:
    return lambda model: torch.optim.AdamW(model.parameters(), lr=0.01, **options)


def loss_on(inputs: torch.Tensor, targets: torch.Tensor, parts: int = 1) -> Forward:
    """Return a forward pass that gives the loss of a batch."""
    return lambda model: criterion(model(inputs), targets) / parts


def two_losses_on(inputs: torch.Tensor, targets: torch.Tensor) -> Forward:
    def passing(model: nn.Module) -> list[torch.Tensor]:
        output = model(inputs)
        return [criterion(output, targets), 0.5 * criterion(2 * output, targets)]

    return passing


def penalised_loss_on(inputs: torch.Tensor, targets: torch.Tensor) -> Forward:
    def passing(model: nn.Module) -> torch.Tensor:
        watched = inputs.clone().requires_grad_()
        loss = criterion(model(watched), targets)
        (slope,) = torch.autograd.grad(loss, watched, create_graph=True)
        return loss + slope.square().sum()

    return passing


def cast_loss_on(inputs: torch.Tensor, targets: torch.Tensor, dtype: torch.dtype, parts: int = 1) -> Forward:
    def passing(model: nn.Module) -> torch.Tensor:
        with torch.autocast("cpu", dtype):
            return criterion(model(inputs), targets) / parts

    return passing


# The ways: each trains some steps, and tells the referee what it did


def plainly(model: nn.Module, optimizer: torch.optim.Optimizer, judge: Any) -> None:
    for step in range(STEPS):
        inputs, targets = batch_for(model, step)
        judge.begin(model)
        optimizer.zero_grad()
        criterion(model(inputs), targets).backward()
        judge.backward_is_done(model)
        optimizer.step()
        judge.end(model, [loss_on(inputs, targets)])


def accumulating(model: nn.Module, optimizer: torch.optim.Optimizer, judge: Any) -> None:
    for step in range(STEPS):
        parts = [batch_for(model, 3 * step + part, 4) for part in range(3)]
        judge.begin(model)
        optimizer.zero_grad()
        for inputs, targets in parts:
            (criterion(model(inputs), targets) / 3).backward()
        judge.backward_is_done(model)
        optimizer.step()
        judge.end(model, [loss_on(x, y, 3) for x, y in parts])


def clipping(clip: Callable[..., Any], limit: float) -> Callable[..., None]:
    def train(model: nn.Module, optimizer: torch.optim.Optimizer, judge: Any) -> None:
        for step in range(STEPS):
            inputs, targets = batch_for(model, step)
            judge.begin(model)
            optimizer.zero_grad()
            criterion(model(inputs), targets).backward()
            judge.backward_is_done(model)
            clip(model.parameters(), limit)
            optimizer.step()
            judge.end(model, [loss_on(inputs, targets)])

    return train


def with_a_closure(model: nn.Module, optimizer: torch.optim.Optimizer, judge: Any) -> None:
    for step in range(STEPS):
        inputs, targets = batch_for(model, step)
        judge.begin(model)
        first: list[Any] = []

        def closure(inputs: Any = inputs, targets: Any = targets, first: list[Any] = first) -> torch.Tensor:
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            if not first:
                judge.backward_is_done(model)
                first.append({name: each.grad.clone() for name, each in model.named_parameters()})
            return loss

        optimizer.step(closure)
        judge.end(model, [loss_on(inputs, targets)], parameter_gradients=first[0])


def two_losses_in_two_backward_passes(model: nn.Module, optimizer: torch.optim.Optimizer, judge: Any) -> None:
    for step in range(STEPS):
        inputs, targets = batch_for(model, step)
        judge.begin(model)
        optimizer.zero_grad()
        output = model(inputs)
        criterion(output, targets).backward(retain_graph=True)
        (0.5 * criterion(2 * output, targets)).backward()
        optimizer.step()

        judge.end(model, [two_losses_on(inputs, targets)])


def two_losses_in_one_backward_pass(model: nn.Module, optimizer: torch.optim.Optimizer, judge: Any) -> None:
    for step in range(STEPS):
        inputs, targets = batch_for(model, step)
        judge.begin(model)
        optimizer.zero_grad()
        sum(two_losses_on(inputs, targets)(model)).backward()
        optimizer.step()
        judge.end(model, [lambda m, x=inputs, y=targets: sum(two_losses_on(x, y)(m))])


def looking_at_gradients_first(model: nn.Module, optimizer: torch.optim.Optimizer, judge: Any) -> None:
    for step in range(STEPS):
        inputs, targets = batch_for(model, step)
        watched = inputs.clone().requires_grad_()
        judge.begin(model)
        optimizer.zero_grad()
        torch.autograd.grad(model(watched).sum(), watched)
        loss = criterion(model(inputs), targets)
        torch.autograd.grad(loss, list(model.parameters())[:2], retain_graph=True)
        loss.backward()
        torch.autograd.grad(model(watched).sum(), watched)
        optimizer.step()
        judge.end(model, [loss_on(inputs, targets)])


def throwing_gradients_away(set_to_none: bool) -> Callable[..., None]:
    def train(model: nn.Module, optimizer: torch.optim.Optimizer, judge: Any) -> None:
        for step in range(STEPS):
            inputs, targets = batch_for(model, step)
            other = batch_for(model, 50 + step)
            judge.begin(model)
            criterion(model(other[0]), other[1]).backward()
            loss = criterion(model(inputs), targets)
            optimizer.zero_grad(set_to_none=set_to_none)
            loss.backward()
            optimizer.step()
            judge.end(model, [loss_on(inputs, targets)])
            optimizer.zero_grad(set_to_none=set_to_none)

    return train


def naming_the_parameters_that_backward_is_for(model: nn.Module, optimizer: Any, judge: Any) -> None:
    for step in range(STEPS):
        inputs, targets = batch_for(model, step)
        judge.begin(model)
        optimizer.zero_grad()
        criterion(model(inputs), targets).backward(inputs=list(model.parameters()))
        optimizer.step()
        judge.end(model, [loss_on(inputs, targets)])


def penalising_the_gradient(model: nn.Module, optimizer: torch.optim.Optimizer, judge: Any) -> None:
    for step in range(STEPS):
        inputs, targets = batch_for(model, step)
        judge.begin(model)
        optimizer.zero_grad()
        judged = criterion(model(inputs), targets).item()  # the penalty is no criterion's
        penalised_loss_on(inputs, targets)(model).backward()
        optimizer.step()
        judge.end(model, [penalised_loss_on(inputs, targets)], loss=judged)


def in_autocast(dtype: torch.dtype) -> Callable[..., None]:
    def train(model: nn.Module, optimizer: torch.optim.Optimizer, judge: Any) -> None:
        for step in range(STEPS):
            inputs, targets = batch_for(model, step)
            judge.begin(model)
            optimizer.zero_grad()
            cast_loss_on(inputs, targets, dtype)(model).backward()
            optimizer.step()
            judge.end(model, [cast_loss_on(inputs, targets, dtype)])

    return train


def scaling(*, unscale: bool = False, parts: int = 1, overflow_in: int = -1) -> Callable[..., None]:
    def train(model: nn.Module, optimizer: torch.optim.Optimizer, judge: Any) -> None:
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=2)
        for step in range(STEPS + (overflow_in >= 0)):
            batches = [batch_for(model, 3 * step + part, 4) for part in range(parts)]
            passes = [cast_loss_on(x, y, torch.float16, parts) for x, y in batches]
            judge.begin(model)
            optimizer.zero_grad()
            scale = 0.0
            for passing in passes:
                scaled = scaler.scale(passing(model))
                scale = scaler.get_scale()
                (scaled * float("inf") if step == overflow_in else scaled).backward()
            judge.backward_is_done(model, scale)
            if unscale:
                scaler.unscale_(optimizer)
                nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            scaler.step(optimizer)
            scaler.update()
            if step != overflow_in:
                judge.end(model, passes, scale)

    return train


class Deep(nn.Module):
    """Layers that a checkpoint of some kind is put around, or none."""

    def __init__(self, around: str = "nothing", reentrant: bool | None = None) -> None:
        super().__init__()
        self.around, self.reentrant = around, reentrant
        self.stem = nn.Linear(5, 6)
        self.body = nn.Sequential(nn.Linear(6, 6), nn.ReLU(inplace=True), nn.Dropout(0.3), nn.Linear(6, 6))
        self.more = nn.Sequential(nn.Linear(6, 6), nn.Tanh())
        self.head = nn.Linear(6, 3)

    def _run(self, layers: Callable[..., torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        return layers(x) if self.reentrant is None else checkpoint(layers, x, use_reentrant=self.reentrant)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        if self.around == "parts":
            x = self._run(self.more, self._run(self.body, x))
        elif self.around == "twice":
            x = self._run(self.body, self._run(self.body, x))
            x = self._run(lambda x: self.more(self.more(x)), x)
        elif self.around == "nested":
            x = self._run(lambda x: self.more(self._run(self.body, self.more(x))), x)
        elif self.around == "sequence" and self.reentrant is not None:
            x = checkpoint_sequential([*self.body, *self.more], 3, x, use_reentrant=self.reentrant)
        else:
            x = self.more(self.body(x))
        return self.head(x)


def checkpointing(around: str, reentrant: bool) -> tuple[Any, ...]:
    """Return a row of the table; what is checkpointed is compared with what is not."""

    def train(model: nn.Module, optimizer: torch.optim.Optimizer, judge: Any) -> None:
        for step in range(STEPS):
            inputs, targets = batch_for(model, step)
            judge.begin(model)
            optimizer.zero_grad()
            if around == "the model":
                output = checkpoint(model, inputs.clone().requires_grad_(), use_reentrant=reentrant)
            else:
                output = model(inputs)
            criterion(output, targets).backward()
            judge.backward_is_done(model)
            optimizer.step()
            judge.end(model, [loss_on(inputs, targets)])

    return train, sgd, lambda: Deep(around, reentrant), lambda: Deep(around)


WAYS: dict[str, tuple[Any, ...]] = {  # how it is trained, by which optimizer, which model, and the referee's
    "plain": (plainly, sgd),
    "AdamW": (plainly, adamw()),
    "AdamW, fused": (plainly, adamw(fused=True)),
    "AdamW, foreach, amsgrad": (plainly, adamw(foreach=True, amsgrad=True)),
    "accumulation": (accumulating, sgd),
    "accumulation, fused": (accumulating, adamw(fused=True)),
    "norm clipped": (clipping(nn.utils.clip_grad_norm_, 0.1), sgd),
    "values clipped": (clipping(nn.utils.clip_grad_value_, 0.01), sgd),
    "SGD with a closure": (with_a_closure, sgd),
    "LBFGS": (with_a_closure, lambda model: torch.optim.LBFGS(model.parameters(), max_iter=4)),
    "LBFGS, strong Wolfe": (
        with_a_closure,
        lambda model: torch.optim.LBFGS(model.parameters(), max_iter=4, line_search_fn="strong_wolfe"),
    ),
    "two backward passes": (two_losses_in_two_backward_passes, sgd),
    "two losses": (two_losses_in_one_backward_pass, sgd),
    "autograd.grad beside backward": (looking_at_gradients_first, sgd),
    "gradients thrown away": (throwing_gradients_away(True), sgd),
    "gradients zeroed": (throwing_gradients_away(False), sgd),
    "backward(inputs=…)": (naming_the_parameters_that_backward_is_for, sgd),
    "gradient penalty": (penalising_the_gradient, sgd),
    "bfloat16": (in_autocast(torch.bfloat16), sgd),
    "float16": (in_autocast(torch.float16), sgd),
    "scaler": (scaling(), sgd),
    "scaler, fused": (scaling(), adamw(fused=True)),
    "scaler, clipped": (scaling(unscale=True), sgd),
    "scaler, clipped, fused": (scaling(unscale=True), adamw(fused=True)),
    "scaler, accumulation": (scaling(parts=3), sgd),
    "scaler, a step skipped": (scaling(overflow_in=1), sgd),
    **{
        f"checkpoint around {around}, {'' if reentrant else 'not '}reentrant": checkpointing(around, reentrant)
        for around in ("parts", "twice", "nested", "sequence", "the model")
        for reentrant in (False, True)
    },
}


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")  # torch's, of checkpoints in checkpoints
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_way_to_train_is_left_alone_and_recorded_as_it_happened(way: tuple[Any, ...]) -> None:
    train, optimizer, make, plain = (*way, mlp, mlp)[:4]
    bare = seeded(make)
    train(bare, optimizer(bare), Watcher())
    random_numbers = torch.get_rng_state()
    model, referee = seeded(make), Referee(plain)
    moving = optimizer(model)
    with explainer.record(model, criterion=criterion, optimizer=moving, examples=None) as recorder:
        train(model, moving, Watcher())
    assert recorder.failure is None
    assert torch.equal(torch.get_rng_state(), random_numbers)
    for (name, expected), actual in zip(bare.state_dict().items(), model.state_dict().values(), strict=True):
        assert torch.equal(expected, actual), name
    again = seeded(make)
    train(again, optimizer(again), referee)
    compare(recorder.trace, referee.steps)
    assert recorder.trace.missing == {}
