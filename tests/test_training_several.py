"""Several models, losses and optimizers in one loop: each recorder tells what is its model's own."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
import torch
from torch import nn

import explainer
from tests.networks import batch_for, seeded
from tests.training import Referee, compare

bce = nn.BCEWithLogitsLoss()
ONES, ZEROS = torch.ones(4, 1), torch.zeros(4, 1)


def generator() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 6), nn.ReLU(inplace=True), nn.Linear(6, 5))


def discriminator() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 6), nn.LeakyReLU(0.2), nn.Linear(6, 1))


class Game:
    """A generator and a discriminator, their optimizers, and who watches them."""

    def __init__(self, watched: bool) -> None:
        self.g, self.d = seeded(generator), seeded(discriminator)
        self.g_optimizer = torch.optim.Adam(self.g.parameters(), lr=0.01)
        self.d_optimizer = torch.optim.SGD(self.d.parameters(), lr=0.05)
        self.g_judge, self.d_judge = Referee(generator), Referee(discriminator)
        self.watched = watched
        self.scaler: torch.amp.GradScaler | None = None
        self.scale = 1.0  # of the last loss

    def noise(self, step: int) -> torch.Tensor:
        return torch.randn(4, 3, generator=torch.Generator().manual_seed(step))

    def real(self, step: int) -> torch.Tensor:
        return torch.randn(4, 5, generator=torch.Generator().manual_seed(1000 + step)) + 1

    def backward(self, loss: torch.Tensor) -> None:
        if self.scaler is not None:
            loss = self.scaler.scale(loss)
            self.scale = self.scaler.get_scale()
        loss.backward()

    def move(self, optimizer: torch.optim.Optimizer) -> None:
        if self.scaler is None:
            optimizer.step()
        else:
            self.scaler.step(optimizer)
            self.scaler.update()

    def d_is_done(self, real: torch.Tensor, fake: torch.Tensor) -> None:
        if self.watched:
            passes = [lambda d: bce(d(real), ONES), lambda d: bce(d(fake), ZEROS)]
            self.d_judge.end(self.d, passes, self.scale)

    def g_is_done(self, noise: torch.Tensor) -> None:
        if self.watched:
            opponent = discriminator()
            opponent.load_state_dict(self.d.state_dict())
            self.g_judge.end(self.g, [lambda g: bce(opponent(g(noise)), ONES)], self.scale)


def discriminator_first(game: Game, step: int) -> None:
    """Play as in DCGAN: the same fake images serve both."""
    real, noise = game.real(step), game.noise(step)
    game.d_judge.begin(game.d)
    game.g_judge.begin(game.g)
    game.d_optimizer.zero_grad()
    game.backward(bce(game.d(real), ONES))
    fake = game.g(noise)
    game.backward(bce(game.d(fake.detach()), ZEROS))
    game.move(game.d_optimizer)
    game.d_is_done(real, fake.detach())
    game.g_optimizer.zero_grad()
    game.backward(bce(game.d(fake), ONES))
    game.move(game.g_optimizer)
    game.g_is_done(noise)


def generator_first(game: Game, step: int) -> None:
    """The gradients that the generator's loss leaves in the discriminator are zeroed late, after the forward passes."""
    real, noise = game.real(step), game.noise(step)
    game.g_judge.begin(game.g)
    game.g_optimizer.zero_grad()
    game.backward(bce(game.d(game.g(noise)), ONES))
    game.move(game.g_optimizer)
    game.g_is_done(noise)
    game.d_judge.begin(game.d)
    fake = game.g(noise).detach()
    real_loss, fake_loss = bce(game.d(real), ONES), bce(game.d(fake), ZEROS)
    game.d_optimizer.zero_grad(set_to_none=False)
    game.backward(real_loss + fake_loss)
    game.move(game.d_optimizer)
    game.d_is_done(real, fake)


def critic_thrice(game: Game, step: int) -> None:
    """The discriminator moves three times before the generator does; its fakes are made without gradients."""
    for turn in range(3):
        real, noise = game.real(3 * step + turn), game.noise(100 + 3 * step + turn)
        game.d_judge.begin(game.d)
        with torch.no_grad():
            fake = game.g(noise)
        game.d_optimizer.zero_grad()
        game.backward(bce(game.d(real), ONES) + bce(game.d(fake), ZEROS))
        game.move(game.d_optimizer)
        game.d_is_done(real, fake)
    noise = game.noise(step)
    game.g_judge.begin(game.g)
    game.g_optimizer.zero_grad()
    game.backward(bce(game.d(game.g(noise)), ONES))
    game.move(game.g_optimizer)
    game.g_is_done(noise)


def play(turn: Callable[[Game, int], None], *, watched: bool = False, scaled: bool = False) -> Game:
    game = Game(watched)
    play_on(game, turn, scaled)
    return game


def play_on(game: Game, turn: Callable[[Game, int], None], scaled: bool) -> None:
    game.scaler = torch.amp.GradScaler("cpu", init_scale=512.0, growth_interval=1) if scaled else None
    for step in range(3):
        turn(game, step)


@pytest.mark.parametrize("scaled", [False, True], ids=["", "scaled"])
@pytest.mark.parametrize("who", ["g", "d", "gd"])
@pytest.mark.parametrize("turn", [discriminator_first, generator_first, critic_thrice])
def test_two_models_with_one_criterion_are_recorded_each_for_itself(
    turn: Callable[[Game, int], None], who: str, scaled: bool
) -> None:
    bare = play(turn, scaled=scaled)
    game = Game(watched=False)
    recorders: dict[str, Any] = {}
    with ExitStack() as recording:
        for name in who:
            options = {"criterion": bce, "optimizer": getattr(game, f"{name}_optimizer"), "examples": None}
            recorders[name] = recording.enter_context(explainer.record(getattr(game, name), **options))
        play_on(game, turn, scaled)
    for left, right in ((bare.g, game.g), (bare.d, game.d)):
        assert all(torch.equal(a, b) for a, b in zip(left.parameters(), right.parameters(), strict=True))
    truth = play(turn, watched=True, scaled=scaled)
    for name, recorder in recorders.items():
        assert recorder.failure is None
        compare(recorder.trace, getattr(truth, f"{name}_judge").steps)
        assert recorder.trace.missing == {}


# Several optimizers that move one model


class Two(nn.Module):
    """A trunk and two heads."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.left, self.right = nn.Linear(5, 6), nn.Linear(6, 3), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor, heads: str = "both") -> torch.Tensor:
        x = torch.tanh(self.trunk(x))
        parts = {"left": self.left, "right": self.right}
        return sum(head(x) for name, head in parts.items() if heads in (name, "both"))


criterion = nn.CrossEntropyLoss()


def optimizers_of(model: Any) -> list[torch.optim.Optimizer]:
    trunk = torch.optim.SGD(model.trunk.parameters(), lr=0.1, momentum=0.9)
    return [trunk, torch.optim.AdamW([*model.left.parameters(), *model.right.parameters()], lr=0.01)]


def all_at_once(model: nn.Module, optimizers: list[Any], judge: Referee) -> None:
    """Move the model by several optimizers after one backward pass, as Muon and AdamW are used together."""
    for step in range(3):
        inputs, targets = batch_for(model, step)
        judge.begin(model)
        model.zero_grad()
        criterion(model(inputs), targets).backward()
        judge.backward_is_done(model)
        for each in optimizers:
            each.step()
        judge.end(model, [lambda m, x=inputs, y=targets: criterion(m(x), y)])


def in_turns(model: Any, optimizers: list[Any], judge: Referee) -> None:
    """Each optimizer has forward and backward passes of its own; a step is what lies between two forward passes."""
    for step in range(4):
        inputs, targets = batch_for(model, step)
        optimizer = optimizers[step % 2]
        judge.begin(model)
        model.zero_grad()
        criterion(model(inputs), targets).backward()
        optimizer.step()
        moved = {id(each) for group in optimizer.param_groups for each in group["params"]}
        used = {name: each.grad.clone() for name, each in model.named_parameters() if id(each) in moved}
        judge.end(model, [lambda m, x=inputs, y=targets: criterion(m(x), y)], parameter_gradients=used)


@pytest.mark.parametrize("train", [all_at_once, in_turns])
def test_several_optimizers_of_one_model_make_one_step_between_two_forward_passes(train: Callable[..., None]) -> None:
    bare, referee = seeded(Two), Referee(Two)
    train(bare, optimizers_of(bare), referee)
    model = seeded(Two)
    moving = optimizers_of(model)
    with explainer.record(model, criterion=criterion, optimizer=moving, examples=None) as recorder:
        train(model, moving, Referee(Two))
    assert recorder.failure is None
    assert all(torch.equal(a, b) for a, b in zip(bare.parameters(), model.parameters(), strict=True))
    trace = recorder.trace
    compare(trace, referee.steps)
    idle = "no parameter gradient: its optimizer made no step"
    assert {reason.partition(" (")[0] for reason in trace.missing.values()} == ({idle} if train is in_turns else set())
    assert trace.model.optimizer == "SGD + AdamW"
    assert [len(group.parameters) for group in trace.model.parameter_groups] == [2, 4]
    assert trace.scalars["learning_rate"][0] == 0.1
    assert trace.scalars["learning_rate[1]"][0] == 0.01


def test_an_empty_list_of_optimizers_is_refused() -> None:
    with pytest.raises(explainer.RecordingError, match="optimizer: the list is empty"):
        explainer.record(Two(), optimizer=[])
