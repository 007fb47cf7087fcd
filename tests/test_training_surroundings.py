"""What goes on around a training: other weights, new layers, several recorders, copies, threads and processes."""

from __future__ import annotations

import copy
import io
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune
from torch.utils.data import DataLoader, TensorDataset

import explainer
from explainer.errors import RecordingError
from explainer.writer import TraceWriter
from tests.networks import Residual, batch_for, mlp, seeded, train

NAMES = ["0.weight", "0.bias", "2.weight", "2.bias"]


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.1)


class Seen:
    """What the optimizer saw, noted beside the recorder: weights before, gradients, weights after, by name."""

    def __init__(self) -> None:
        self.steps: list[dict[str, tuple[np.ndarray, np.ndarray | None, np.ndarray]]] = []


def step_by_step(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int, change: Callable[[], None]) -> Seen:
    """Train, changing something after half of the steps, and note what a reader of the trace should find."""
    criterion, seen = nn.CrossEntropyLoss(), Seen()
    for step in range(steps):
        if step == steps // 2:
            change()
        inputs, targets = batch_for(model, step)
        optimizer.zero_grad()
        before = {name: each.detach().numpy().copy() for name, each in model.named_parameters()}
        criterion(model(inputs.to(next(model.parameters()).dtype)), targets).backward()
        gradients = {n: None if p.grad is None else p.grad.numpy().copy() for n, p in model.named_parameters()}
        optimizer.step()
        after = {name: each.detach().numpy().copy() for name, each in model.named_parameters()}
        seen.steps.append({name: (before[name], gradients[name], after[name]) for name in before})
    return seen


def new_head(model: nn.Sequential, optimizer: torch.optim.Optimizer) -> None:
    model[2] = nn.Linear(6, 3)
    optimizer.add_param_group({"params": list(model[2].parameters()), "lr": 0.02})


def deeper_head(model: nn.Sequential, optimizer: torch.optim.Optimizer) -> None:
    model[2] = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 3))
    optimizer.add_param_group({"params": list(model[2].parameters())})


def another_dtype(model: nn.Sequential, optimizer: torch.optim.Optimizer) -> None:
    model.double()


def other_data(model: nn.Sequential, optimizer: torch.optim.Optimizer) -> None:
    model[2].weight.data = torch.full((3, 6), 0.5)


def pruned(model: nn.Sequential, optimizer: torch.optim.Optimizer) -> None:
    prune.l1_unstructured(model[2], "weight", 0.5)


def normalised(model: nn.Sequential, optimizer: torch.optim.Optimizer) -> None:
    parametrizations.weight_norm(model[2])


def frozen(model: nn.Sequential, optimizer: torch.optim.Optimizer) -> None:
    model[0].requires_grad_(False)


CHANGES = [new_head, deeper_head, another_dtype, other_data, pruned, normalised, frozen]


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("change", CHANGES)
def test_a_model_that_changes_while_it_trains_is_followed(change: Callable[..., None], every: int) -> None:
    model = seeded(mlp)
    optimizer = sgd(model)
    with explainer.record(model, criterion=nn.CrossEntropyLoss(), optimizer=optimizer, every=every) as recorder:
        seen = step_by_step(model, optimizer, 8, lambda: change(model, optimizer))
    assert recorder.failure is None
    trace = recorder.trace
    assert trace.steps.tolist() == list(range(0, 8, every))
    for index, step in enumerate(trace.steps):
        for name, (before, gradient, after) in seen.steps[step].items():
            np.testing.assert_array_equal(trace.parameters[name][index], before, err_msg=f"{name} in step {step}")
            assert trace.parameters[name][index].dtype == before.dtype
            np.testing.assert_array_equal(trace.updates[name][index], after - before, err_msg=name)
            if gradient is not None:
                np.testing.assert_array_equal(trace.parameter_gradients[name][index], gradient, err_msg=name)
            else:
                assert name in trace.missing
    always = set.intersection(*(set(each) for each in seen.steps))
    for name in {name for each in seen.steps for name in each} - always:
        assert "not part of the model" in trace.missing[name]


def test_what_became_of_the_model_is_told() -> None:
    model = seeded(mlp)
    optimizer = sgd(model)
    with explainer.record(model, criterion=nn.CrossEntropyLoss(), optimizer=optimizer) as recorder:
        step_by_step(model, optimizer, 4, lambda: deeper_head(model, optimizer))
    trace = recorder.trace
    gone, new = "2, 2.weight, 2.bias", "2.0, 2.1, 2.0.weight, 2.0.bias, 2.1.weight, 2.1.bias"
    assert trace.notes["changes"] == [f"before step 2: gone: {gone}; new: {new}"]
    assert trace.missing["2.weight"] == "not part of the model from step 2 on"
    assert trace.missing["2.1"] == "not part of the model before step 2"
    assert [group.parameters for group in trace.model.parameter_groups][1:] == [
        ("2.0.weight", "2.0.bias", "2.1.weight", "2.1.bias")
    ]
    assert np.isnan(trace.scalars["learning_rate[1]"]).tolist() == [True, True, False, False]


def test_weights_that_were_lent_for_a_call_are_not_taken_for_the_models_own() -> None:
    model = seeded(mlp)
    criterion, optimizer = nn.CrossEntropyLoss(), sgd(model)
    with explainer.record(model, criterion=criterion, optimizer=optimizer) as recorder:
        for step in range(4):
            inputs, targets = batch_for(model, step)
            optimizer.zero_grad()
            lent = {name: 2 * each for name, each in model.named_parameters() if name != "2.bias"}
            output = torch.func.functional_call(model, lent, inputs) if step % 2 else model(inputs)
            criterion(output, targets).backward()
            optimizer.step()
    assert recorder.failure is None
    missing = recorder.trace.missing
    assert set(missing) == set(NAMES) - {"2.bias"}
    for reason in missing.values():
        assert reason.startswith("the forward pass ran with other weights (functional_call)")
        assert reason.endswith("(2 of 4 steps, first in step 1)")


@pytest.mark.parametrize("wrap", [parametrizations.weight_norm, parametrizations.spectral_norm])
def test_a_layer_with_a_computed_weight_is_a_layer(wrap: Callable[[nn.Module], nn.Module]) -> None:
    model = seeded(mlp)
    wrap(model[2])
    inputs, targets = batch_for(model, 0)
    expected = copy.deepcopy(model)(inputs).detach()
    criterion, optimizer = nn.CrossEntropyLoss(), sgd(model)
    with explainer.record(model, criterion=criterion, optimizer=optimizer, examples=None) as recorder:
        criterion(model(inputs), targets).backward()
        optimizer.step()
    assert recorder.trace.layers == ("0", "1", "2") and recorder.trace.missing == {}
    np.testing.assert_array_equal(recorder.trace.activations["2"][0], expected)
    assert all(name.startswith("2.parametrizations.weight.") for name in set(recorder.trace.parameters) - set(NAMES))


# Several recorders


def test_recorders_on_a_model_and_on_a_part_of_it_see_the_same() -> None:
    def one(model: nn.Module, **options: Any) -> Any:
        return explainer.record(model, criterion=criterion, optimizer=optimizer, examples=None, **options)

    criterion = nn.CrossEntropyLoss()
    model = seeded(lambda: nn.Sequential(mlp(), nn.Linear(3, 3)))
    optimizer = sgd(model)
    alone = copy.deepcopy(model)
    probe = (torch.ones(2, 5), None)
    with one(model, probe=probe) as outer, one(model[0], every=2, probe=probe) as part, one(model, every=3) as inner:
        train(model, criterion, optimizer, steps=6)
    train(alone, nn.CrossEntropyLoss(), sgd(alone), steps=6)
    for expected, actual in zip(alone.parameters(), model.parameters(), strict=True):
        assert torch.equal(expected, actual)
    whole = outer.trace
    for trace, prefix, stride in ((part.trace, "0.", 2), (inner.trace, "", 3)):
        assert trace.steps.tolist() == list(range(0, 6, stride)) and trace.missing == {}
        for kind in ("activations", "gradients", "parameters", "parameter_gradients", "updates"):
            of_kind = getattr(trace, kind)
            assert list(of_kind)
            for name in of_kind:
                expected = np.asarray(getattr(whole, kind)[prefix + name])[::stride]
                np.testing.assert_array_equal(np.asarray(of_kind[name]), expected, err_msg=f"{kind} {name}")


def test_a_recorder_inside_anothers_recording_ends_by_itself() -> None:
    model = seeded(mlp)
    criterion, optimizer = nn.CrossEntropyLoss(), sgd(model)
    with explainer.record(model, criterion=criterion, optimizer=optimizer) as outer:
        train(model, criterion, optimizer, steps=2)
        with explainer.record(model, criterion=criterion, optimizer=optimizer) as inner:
            train(model, criterion, optimizer, steps=2)
        train(model, criterion, optimizer, steps=2)
    assert outer.trace.steps.tolist() == list(range(6)) and outer.trace.missing == {}
    assert inner.trace.steps.tolist() == [0, 1] and inner.trace.missing == {}
    np.testing.assert_array_equal(inner.trace.activations["0"][1], outer.trace.activations["0"][3])


def test_a_recorder_that_is_entered_twice_refuses_and_the_first_goes_on() -> None:
    model = seeded(mlp)
    criterion, optimizer = nn.CrossEntropyLoss(), sgd(model)
    with explainer.record(model, criterion=criterion, optimizer=optimizer) as recorder:
        train(model, criterion, optimizer, steps=1)
        with pytest.raises(RecordingError, match="used already"):
            recorder.__enter__()
        train(model, criterion, optimizer, steps=1)
    assert recorder.trace.steps.tolist() == [0, 1]


# Copies and modes


def test_copies_of_the_model_inside_a_recording_train_unheard() -> None:
    model = seeded(mlp)
    criterion, optimizer = nn.CrossEntropyLoss(), sgd(model)
    with explainer.record(model, criterion=criterion, optimizer=optimizer) as recorder:
        train(model, criterion, optimizer, steps=1)
        file = io.BytesIO()
        torch.save(model, file)
        file.seek(0)
        for other in (copy.deepcopy(model), torch.load(file, weights_only=False)):
            train(other, nn.CrossEntropyLoss(), sgd(other), steps=2)
        train(model, criterion, optimizer, steps=1)
    assert recorder.failure is None and recorder.trace.steps.tolist() == [0, 1]
    assert recorder.trace.inputs.shape == (2, 8, 5) and recorder.trace.missing == {}


def test_training_in_evaluation_mode_is_recorded_as_it_is() -> None:
    model = seeded(Residual).eval()
    inputs, targets = batch_for(model, 0)
    expected = model(inputs).detach()
    criterion, optimizer = nn.CrossEntropyLoss(), sgd(model)
    with explainer.record(model, criterion=criterion, optimizer=optimizer, examples=None) as recorder:
        criterion(model(inputs), targets).backward()
        optimizer.step()
    np.testing.assert_array_equal(recorder.trace.activations["head"][0], expected)
    assert recorder.trace.missing == {} and not model.training


# Threads and processes


class Waiting(nn.Module):
    """A network that lets another thread run between its layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(5, 6), nn.Linear(6, 3)
        self.meanwhile: Callable[[], None] = lambda: None

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        hidden = self.first(inputs)
        self.meanwhile()
        return self.second(hidden)


@pytest.mark.parametrize("gradients", [False, True], ids=["no_grad", "with gradients"])
def test_inference_in_another_thread_does_not_mix_into_the_training(gradients: bool) -> None:
    model = seeded(Waiting)
    criterion, optimizer = nn.CrossEntropyLoss(), sgd(model)
    serving = threading.local()

    def infer() -> None:
        serving.here = True
        with torch.set_grad_enabled(gradients):
            model(torch.full((7, 5), 99.0))

    def meanwhile() -> None:
        if not hasattr(serving, "here"):
            thread = threading.Thread(target=infer)
            thread.start()
            thread.join()

    model.meanwhile = meanwhile
    with explainer.record(model, criterion=criterion, optimizer=optimizer, examples=None) as recorder:
        train(model, criterion, optimizer, steps=4)
    trace = recorder.trace
    assert trace.layers == ("first", "second") and trace.missing == {}
    assert trace.activations["first"].shape == (4, 12, 6)
    assert float(np.abs(np.asarray(trace.inputs)).max()) < 99
    assert ("threads" in trace.notes) is gradients


@pytest.mark.slow
@pytest.mark.parametrize(("method", "persistent"), [("fork", False), ("fork", True), ("spawn", False)])
def test_a_loaders_workers_do_not_disturb_the_recording(tmp_path: Path, method: str, persistent: bool) -> None:
    model = seeded(mlp)
    criterion, optimizer = nn.CrossEntropyLoss(), sgd(model)
    data = TensorDataset(torch.randn(24, 5), torch.arange(24) % 3)
    loader = DataLoader(data, 12, num_workers=1, multiprocessing_context=method, persistent_workers=persistent)
    with explainer.record(model, tmp_path / "run", criterion=criterion, optimizer=optimizer, examples=None) as recorder:
        for _ in range(1 if method == "spawn" else 2):
            for inputs, targets in loader:
                optimizer.zero_grad()
                criterion(model(inputs), targets).backward()
                optimizer.step()
                assert len(recorder.trace.steps)  # the writing thread is alive when the next workers are forked
    steps = 2 if method == "spawn" else 4
    assert recorder.trace.steps.tolist() == list(range(steps))
    np.testing.assert_array_equal(recorder.trace.inputs[1], data.tensors[0][12:])


class Asking(torch.utils.data.Dataset[torch.Tensor]):
    """Examples that a worker makes with the model that is being trained."""

    def __init__(self, *training: Any) -> None:
        self.training = training

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> torch.Tensor:
        torch.set_num_threads(1)
        train(*self.training, steps=2)
        return torch.ones(5)


def test_a_forked_process_that_trains_the_model_writes_nothing_into_the_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TraceWriter, "due", True)  # a shard a step
    model = seeded(mlp)
    criterion, optimizer = nn.CrossEntropyLoss(), sgd(model)
    asking = Asking(model, criterion, optimizer)
    with explainer.record(model, tmp_path / "run", criterion=criterion, optimizer=optimizer) as recorder:
        train(model, criterion, optimizer, steps=2)
        for batch in DataLoader(asking, 2, num_workers=1, multiprocessing_context="fork", timeout=20):
            assert batch.shape == (2, 5)
        train(model, criterion, optimizer, steps=1)
    assert recorder.failure is None
    assert recorder.trace.steps.tolist() == [0, 1, 2] and recorder.trace.missing == {}
