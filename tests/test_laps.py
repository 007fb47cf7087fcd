"""The order of a step, and what zero_grad is for, as recorded."""

from __future__ import annotations

from collections.abc import Callable

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

import explainer  # noqa: E402
from explainer import laps  # noqa: E402
from explainer.errors import TraceError  # noqa: E402


def recorded(step: Callable[[nn.Module, nn.Module], None], *, criterion: nn.Module | None = None) -> explainer.Trace:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loss = criterion or nn.CrossEntropyLoss()
    with explainer.record(model, optimizer=optimizer, criterion=loss if criterion is None else None) as recorder:
        for _ in range(3):
            optimizer.zero_grad()
            step(model, loss)
            optimizer.step()
    return recorder.trace


def once(model: nn.Module, criterion: nn.Module) -> None:
    criterion(model(torch.randn(6, 5)), torch.arange(6) % 3).backward()


def three_times(model: nn.Module, criterion: nn.Module) -> None:
    for _ in range(3):
        once(model, criterion)


def test_a_step_is_forward_loss_backward_update_in_the_order_of_its_events() -> None:
    trace = recorded(once)
    assert laps.lap(trace).verbs == ("forward", "loss", "backward", "update")
    assert laps.lap(trace).passes == 1
    assert trace.events[0] == [
        "forward 0", "forward 1", "forward 2", "loss", "backward 2", "backward 1", "backward 0", "update",
    ]  # fmt: skip
    assert laps.alike(trace) == 3


def test_parts_of_a_batch_are_counted() -> None:
    assert laps.lap(recorded(three_times)).passes == 3


def test_a_loss_that_no_module_computes_is_no_verb() -> None:
    assert laps.lap(recorded(once, criterion=nn.CrossEntropyLoss())).verbs == ("forward", "backward", "update")


def test_a_step_of_another_order_is_counted_as_such() -> None:
    trace = recorded(once)
    trace._steps.shards[0].events = lambda: [["update"], *[["forward 0", "update"]] * 2]  # type: ignore[method-assign]
    assert laps.alike(trace) == 1
    with pytest.raises(TraceError, match="no forward pass was recorded at step 0"):
        laps.lap(trace, 0)


def test_what_two_backward_passes_gave_is_read_from_the_notes() -> None:
    trace = recorded(once)
    assert laps.accumulation(trace) is None
    trace.notes["accumulation"] = {"once": 0.5, "twice": 1.0}
    found = laps.accumulation(trace)
    assert found is not None and found.ratio == 2


@pytest.mark.parametrize("note", [3, {"once": "x", "twice": 1}, {"once": 0, "twice": 0}, {"once": 1.0}, None])
def test_a_note_that_says_something_else_is_none(note: object) -> None:
    trace = recorded(once)
    trace.notes["accumulation"] = note
    assert laps.accumulation(trace) is None
