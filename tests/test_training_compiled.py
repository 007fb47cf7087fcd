"""Models that torch.compile has compiled: recorded as if they were not, and never silently nothing."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import explainer
from explainer.errors import ExplainerWarning, RecordingError
from tests.networks import batch_for, mlp, seeded, train

LAYERS = ("0", "1", "2")
PARAMETERS = ["0.weight", "0.bias", "2.weight", "2.bias"]


class Compiler:
    """A backend of torch.compile that counts how often what it compiled runs."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, graph: Any, inputs: Any) -> Callable[..., Any]:
        def run(*args: Any) -> Any:
            self.runs += 1
            return graph.forward(*args)

        return run


@pytest.fixture
def compiler() -> Iterator[Compiler]:
    torch.compiler.reset()
    yield Compiler()
    torch.compiler.reset()
    assert stance() == "default"


def stance() -> str:
    return str(torch._dynamo.eval_frame._stance.stance)


def in_place(model: nn.Module, compiler: Compiler) -> nn.Module:
    model.compile(backend=compiler)
    return model


def a_part(model: nn.Sequential, compiler: Compiler) -> nn.Module:
    model[0] = torch.compile(model[0], backend=compiler)
    return model


def a_function_in_it(model: nn.Sequential, compiler: Compiler) -> nn.Module:
    model[2].forward = torch.compile(model[2].forward, backend=compiler)
    return model


def whole(model: nn.Module, compiler: Compiler) -> Any:
    return torch.compile(model, backend=compiler)


WAYS: dict[str, Callable[[Any, Compiler], Any]] = {
    "the whole model": whole,
    "in place": in_place,
    "a part": a_part,
    "a part's forward": a_function_in_it,
}


def by_hand(model: nn.Sequential) -> dict[str, torch.Tensor]:
    """Work out the first step with torch alone."""
    inputs, targets = batch_for(model, 0)
    first, second = [each.detach().clone().requires_grad_() for each in (model[0].weight, model[2].weight)]
    hidden = nn.functional.linear(inputs, first, model[0].bias)
    output = nn.functional.linear(hidden.relu(), second, model[2].bias)
    gradient, at_weight = torch.autograd.grad(nn.functional.cross_entropy(output, targets), [hidden, first])
    return {"hidden": hidden.detach(), "output": output.detach(), "gradient": gradient, "at_weight": at_weight}


def recorded(given: nn.Module, trained: nn.Module, **options: Any) -> explainer.Trace:
    criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(trained.parameters(), lr=0.1)
    with explainer.record(given, criterion=criterion, optimizer=optimizer, examples=None, **options) as recorder:
        train(trained, criterion, optimizer, steps=3)
    assert recorder.failure is None
    return recorder.trace


# the compiler looks at .grad of whatever it meets, and torch warns of that
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.parametrize("called_before", [False, True], ids=["fresh", "called before"])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("given", ["compiled", "original"])
def test_a_compiled_model_is_recorded_as_if_it_were_not(
    compiler: Compiler, way: Callable[..., Any], called_before: bool, given: str
) -> None:
    model = seeded(mlp)
    expected = by_hand(model)
    trained = way(model, compiler)
    if called_before:
        trained(batch_for(model, 0)[0]).sum().backward()
    with pytest.warns(ExplainerWarning, match="ran uncompiled while it was recorded") as said:
        trace = recorded(trained if given == "compiled" else model, trained)
    assert len(said) == 1
    assert "uncompiled" in trace.notes["torch.compile"]
    assert trace.layers == LAYERS and list(trace.parameters) == PARAMETERS and trace.missing == {}
    assert list(trace.model.layers["0"].parameters) == ["0.weight", "0.bias"]
    np.testing.assert_array_equal(trace.activations["2"][0], expected["output"])
    np.testing.assert_allclose(trace.gradients["0"][0], expected["gradient"], rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(trace.parameter_gradients["0.weight"][0], expected["at_weight"], rtol=1e-5, atol=1e-8)


def test_compiling_inside_the_recording_changes_nothing(compiler: Compiler) -> None:
    model = seeded(mlp)
    criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=0.1)
    recording = explainer.record(model, criterion=criterion, optimizer=optimizer)
    with warnings.catch_warnings(action="ignore"), recording as recorder:
        train(model, criterion, optimizer, steps=2)
        compiled = torch.compile(model, backend=compiler)
        train(compiled, criterion, optimizer, steps=2)
    assert recorder.trace.steps.tolist() == [0, 1, 2, 3]
    assert recorder.trace.missing == {} and compiler.runs == 0


def test_a_whole_compiled_step_is_recorded(compiler: Compiler) -> None:
    model = seeded(mlp)
    inputs, targets = batch_for(model, 0)
    criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=0.1)

    @torch.compile(backend=compiler)
    def loss_of(batch: torch.Tensor) -> torch.Tensor:
        return criterion(model(batch), targets)

    loss_of(inputs).backward()
    before = compiler.runs
    recording = explainer.record(model, criterion=criterion, optimizer=optimizer)
    with warnings.catch_warnings(action="ignore"), recording as recorder:
        loss_of(inputs).backward()
        optimizer.step()
    assert "torch.compile" in recorder.trace.notes
    assert recorder.trace.missing == {} and recorder.trace.layers == LAYERS
    assert 0 < before == compiler.runs


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt])
def test_compiled_code_runs_again_after_the_recording_whatever_happened(compiler: Compiler, error: Any) -> None:
    model = seeded(mlp)
    compiled = torch.compile(model, backend=compiler)
    inputs, _ = batch_for(model, 0)
    compiled(inputs)
    expected = contextlib.nullcontext() if error is None else pytest.raises(error)
    with expected, warnings.catch_warnings(action="ignore"), explainer.record(model):
        compiled(inputs)
        assert compiler.runs == 1 and stance() == "force_eager"
        if error is not None:
            raise error
    compiled(inputs)
    assert compiler.runs == 2


def test_compiled_code_runs_again_once_the_last_of_several_recordings_is_over(compiler: Compiler) -> None:
    model = seeded(mlp)
    first, second = explainer.record(model), explainer.record(model)
    with warnings.catch_warnings(action="ignore"):
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert stance() == "force_eager"
        second.__exit__(None, None, None)
    assert stance() == "default"


def test_a_recorder_that_was_never_left_does_not_keep_the_compiler_off() -> None:
    recorder = explainer.record(seeded(mlp))
    recorder.__enter__()
    assert stance() == "force_eager"
    recorder._take_hooks_off()
    assert stance() == "default"


def test_a_stance_of_the_users_own_is_put_back() -> None:
    with torch.compiler.set_stance("eager_on_recompile"):
        with warnings.catch_warnings(action="ignore"), explainer.record(seeded(mlp)):
            assert stance() == "force_eager"
        assert stance() == "eager_on_recompile"


def test_a_model_that_nobody_compiled_is_recorded_without_a_word() -> None:
    model = seeded(mlp)
    assert "torch.compile" not in recorded(model, model).notes


@pytest.mark.slow
def test_compiling_is_not_loaded_by_a_recording_and_held_off_once_it_is(tmp_path: Path) -> None:
    script = """
import sys, warnings, torch, explainer
from torch import nn

model = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3))
criterion = nn.CrossEntropyLoss()
inputs, targets = torch.randn(8, 5), torch.arange(8) % 3

def train(trained, recorder):
    for _ in range(3):
        loss = criterion(trained(inputs), targets)
        loss.backward()
        recorder.step(loss)
        with torch.no_grad():
            for each in model.parameters():
                each -= 0.1 * each.grad
                each.grad = None

with explainer.record(model, sys.argv[1], criterion=criterion) as recorder:
    train(model, recorder)
assert "torch._dynamo" not in sys.modules
warnings.simplefilter("ignore")
with explainer.record(model, sys.argv[1], criterion=criterion, overwrite=True) as recorder:
    train(torch.compile(model, backend="eager"), recorder)
assert recorder.failure is None, recorder.failure
assert torch._dynamo.eval_frame._stance.stance == "default"
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "run")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    trace = explainer.open_trace(tmp_path / "run")
    assert trace.steps.tolist() == [0, 1, 2]
    assert trace.missing == {} and "torch.compile" in trace.notes


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_a_model_in_which_hooks_are_not_called_is_refused() -> None:
    model = seeded(mlp)
    with pytest.raises(RecordingError, match=r"compiled by torch\.jit and calls no hooks; record the model it was"):
        explainer.record(torch.jit.trace(model, batch_for(model, 0)[0]))
