"""Something goes wrong in the middle of a step, and training goes on: what is recorded is what the optimizer used."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import explainer
from tests.networks import batch_for, mlp, seeded
from tests.training import Referee, compare

criterion = nn.CrossEntropyLoss()


class Breaking(nn.Sequential):
    """A network in whose forward or backward pass something goes wrong when it is armed."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 3))
        self.armed: tuple[str, type[BaseException]] | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for index, layer in enumerate(self):
            x = layer(x)
            if index == 2 and self.armed is not None:
                where, kind = self.armed
                if where == "forward":
                    raise kind("wrong")
                if where == "backward":
                    x.register_hook(self._fail)
        return x

    def _fail(self, gradient: torch.Tensor) -> None:
        assert self.armed is not None
        raise self.armed[1]("wrong")


class Moody(torch.optim.SGD):
    """An optimizer that fails when it is armed, before or after it has evaluated a closure."""

    armed: type[BaseException] | None = None

    def step(self, closure: Any = None) -> Any:
        if self.armed is not None:
            if closure is not None:
                with torch.enable_grad():
                    closure()
            raise self.armed("wrong")
        return super().step(closure)


def run(model: Any, optimizer: Moody, judge: Any, where: str, kind: type[BaseException], closure: bool) -> None:
    for step in range(6):
        inputs, targets = batch_for(model, step)
        broken = step in (0, 2, 3)
        model.armed = (where, kind) if broken else None
        optimizer.armed = kind if broken and where == "optimizer" else None
        judge.begin(model)

        def evaluate(inputs: torch.Tensor = inputs, targets: torch.Tensor = targets) -> torch.Tensor:
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            return loss

        try:
            if closure:
                optimizer.step(evaluate)
            else:
                evaluate()
                optimizer.step()
        except kind:
            assert broken
        else:
            judge.end(model, [lambda m, x=inputs, y=targets: criterion(m(x), y)])


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("closure", [False, True], ids=["", "closure"])
@pytest.mark.parametrize("where", ["forward", "backward", "optimizer"])
def test_a_step_that_broke_leaves_no_mark_on_those_that_follow(
    where: str, closure: bool, kind: type[BaseException]
) -> None:
    bare, referee = seeded(Breaking), Referee(Breaking)
    run(bare, Moody(bare.parameters(), lr=0.1, momentum=0.9), referee, where, kind, closure)
    model = seeded(Breaking)
    optimizer = Moody(model.parameters(), lr=0.1, momentum=0.9)
    with explainer.record(model, criterion=criterion, optimizer=optimizer, examples=None) as recorder:
        run(model, optimizer, Referee(Breaking), where, kind, closure)
    assert all(torch.equal(a, b) for a, b in zip(bare.parameters(), model.parameters(), strict=True))
    compare(recorder.trace, referee.steps)
    assert recorder.trace.missing == {}
    assert recorder.trace.layers == ("0", "1", "2", "3", "4")


def through_its_parts(model: Any, x: torch.Tensor, narrow: bool) -> torch.Tensor:
    x = model[1](model[0](x))
    return model[4](model[3](model[2](x[:, :5] if narrow else x)))


def test_parts_of_a_model_that_broke_are_counted_anew() -> None:
    model = seeded(Breaking)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    inputs, targets = batch_for(model, 0)
    with explainer.record(model, criterion=criterion, optimizer=optimizer, examples=None) as recorder:
        for narrow in (False, True, False):
            optimizer.zero_grad()
            try:
                criterion(through_its_parts(model, inputs, narrow), targets).backward()
            except RuntimeError:
                continue
            optimizer.step()
    assert recorder.trace.layers == ("0", "1", "2", "3", "4")
    assert recorder.trace.missing == {}


def test_a_second_update_after_one_forward_pass_is_a_step_without_activations() -> None:
    model, seen = seeded(mlp), []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with explainer.record(model, criterion=criterion, optimizer=optimizer) as recorder:
        for step in range(2):
            inputs, targets = batch_for(model, step)
            optimizer.zero_grad()
            criterion(model(inputs), targets).backward()
            for _ in range(2):
                seen.append(model[0].weight.detach().clone())
                optimizer.step()
    seen.append(model[0].weight.detach().clone())
    trace = recorder.trace
    assert len(trace) == 4
    for step in range(4):
        np.testing.assert_array_equal(trace.parameters["0.weight"][step], seen[step].numpy())
        np.testing.assert_array_equal(trace.updates["0.weight"][step], (seen[step + 1] - seen[step]).numpy())
        np.testing.assert_array_equal(
            trace.parameter_gradients["0.weight"][step], trace.parameter_gradients["0.weight"][step // 2 * 2]
        )
    assert trace.missing["0"] == "no activation: the layer was not called (2 of 4 steps, first in step 1)"
