from __future__ import annotations

import copy
import gc
import io
import math
import random
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import explainer
from explainer.errors import ExplainerWarning, RecordingError
from tests.networks import Residual, batch_for, mlp, seeded, train

OPTIMIZERS: dict[str, Callable[[nn.Module], torch.optim.Optimizer]] = {
    "sgd": lambda model: torch.optim.SGD(model.parameters(), lr=0.1),
    "momentum": lambda model: torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01),
    "adam": lambda model: torch.optim.Adam(model.parameters(), lr=0.01),
    "fused adam": lambda model: torch.optim.Adam(model.parameters(), lr=0.01, fused=True),
    "fused sgd": lambda model: torch.optim.SGD(model.parameters(), lr=0.1, fused=True),
    "foreach adamw": lambda model: torch.optim.AdamW(model.parameters(), lr=0.01, foreach=True),
    "groups": lambda model: torch.optim.SGD(
        [{"params": list(model.parameters())[:2], "lr": 0.2}, {"params": list(model.parameters())[2:], "lr": 0.05}]
    ),
}
MODELS: dict[str, Callable[[], nn.Module]] = {"mlp": mlp, "residual cnn": Residual}


def recorded_run(model: nn.Module, optimizer: torch.optim.Optimizer, path: Path | None = None, **options: Any) -> Any:
    loop = {key: options.pop(key) for key in ("steps", "micro_batches", "after_step", "size") if key in options}
    criterion = nn.CrossEntropyLoss()
    with explainer.record(model, path, criterion=criterion, optimizer=optimizer, **options) as recorder:
        losses = train(model, criterion, optimizer, **loop)
    assert recorder.failure is None
    return recorder.trace, losses


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return OPTIMIZERS["sgd"](model)


# Training is what it is without a recorder


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
@pytest.mark.parametrize("micro_batches", [1, 3])
def test_training_is_bitwise_the_same_with_and_without_a_recorder(
    make: Callable[[], nn.Module], optimizer: Callable[..., torch.optim.Optimizer], micro_batches: int
) -> None:
    bare = seeded(make)
    bare_losses = train(bare, nn.CrossEntropyLoss(), optimizer(bare), micro_batches=micro_batches)
    random_numbers = torch.get_rng_state()
    model = seeded(make)
    _, losses = recorded_run(
        model, optimizer(model), micro_batches=micro_batches, every=lambda step: step != 2, probe=batch_for(model, 99)
    )
    assert losses == bare_losses
    assert torch.equal(torch.get_rng_state(), random_numbers)
    for (name, expected), actual in zip(bare.state_dict().items(), model.state_dict().values(), strict=True):
        assert torch.equal(expected, actual), name
    for expected, actual in zip(bare.parameters(), model.parameters(), strict=True):
        assert torch.equal(expected.grad, actual.grad)


# What was recorded is true


def zero_probes(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> dict[str, tuple[Any, Any]]:
    """The referee: add a zero leaf to every layer's output and read its gradient. None of our hooks is involved."""
    found: dict[str, tuple[Any, Any]] = {}

    def add_zero(name: str) -> Callable[..., torch.Tensor]:
        def hook(module: nn.Module, args: Any, output: torch.Tensor) -> torch.Tensor:
            zero = torch.zeros_like(output, requires_grad=True)
            found[name] = (output.detach().clone(), zero)
            return output + zero

        return hook

    handles = [
        layer.register_forward_hook(add_zero(name)) for name, layer in model.named_modules() if not [*layer.children()]
    ]
    nn.CrossEntropyLoss()(model(inputs), targets).backward()
    for handle in handles:
        handle.remove()
    return {name: (output.numpy(), zero.grad.numpy()) for name, (output, zero) in found.items()}


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_activations_and_gradients_equal_those_of_zero_probes_bitwise(make: Callable[[], nn.Module]) -> None:
    expected = zero_probes(model := seeded(make), *batch_for(model, 0))
    model = seeded(make)
    trace, _ = recorded_run(model, sgd(model), steps=1, examples=None)
    assert list(trace.layers) == list(expected)
    for name, (activation, gradient) in expected.items():
        np.testing.assert_array_equal(trace.activations[name][0], activation, err_msg=name)
        np.testing.assert_array_equal(trace.gradients[name][0], gradient, err_msg=name)
    assert trace.missing == {}


def test_in_place_relu_does_not_alter_what_was_recorded() -> None:
    model = seeded(mlp)
    trace, _ = recorded_run(model, sgd(model), steps=1)
    before, after = trace.activations["0"][0], trace.activations["1"][0]
    assert (before < 0).any()
    np.testing.assert_array_equal(after, np.maximum(before, 0))


def test_what_comes_after_a_step_cannot_change_what_was_recorded(tmp_path: Path) -> None:
    model = seeded(mlp)

    def spoil(step: int) -> None:
        for parameter in model.parameters():
            parameter.grad.fill_(math.nan)

    trace, _ = recorded_run(model, sgd(model), after_step=spoil)
    assert np.isfinite(np.asarray(trace.parameter_gradients["0.weight"])).all()


@pytest.mark.parametrize("every", [1, 2, lambda step: step in (0, 1, 4)], ids=["each", "second", "chosen"])
@pytest.mark.parametrize("keep", [None, ("updates",), ("parameters", "parameter_gradients", "updates")])
def test_updates_are_the_new_parameters_less_the_old(every: Any, keep: Any) -> None:
    model = seeded(mlp)
    seen = [model[0].weight.detach().clone()]
    trace, _ = recorded_run(
        model, sgd(model), every=every, keep=keep, after_step=lambda step: seen.append(model[0].weight.detach().clone())
    )
    for index, step in enumerate(trace.steps):
        np.testing.assert_array_equal(trace.updates["0.weight"][index], (seen[step + 1] - seen[step]).numpy())
        norm = trace.statistics["updates"]["0.weight"]["norm"][index]
        assert norm == pytest.approx((seen[step + 1] - seen[step]).norm().item(), rel=1e-5)


def test_plain_sgd_is_new_equals_old_minus_rate_times_gradient_as_torch_rounds_it() -> None:
    model = seeded(mlp)
    trace, _ = recorded_run(model, sgd(model))
    weights, gradients = trace.parameters["0.weight"], trace.parameter_gradients["0.weight"]
    for index in range(len(trace) - 1):
        new = torch.add(torch.tensor(weights[index]), torch.tensor(gradients[index]), alpha=-0.1)
        np.testing.assert_array_equal(weights[index + 1], new.numpy())


def test_weights_that_somebody_else_changes_between_steps_do_not_falsify_the_update() -> None:
    model = seeded(mlp)
    before = {0: model[0].weight.detach().clone()}
    after = {}

    def clamp(step: int) -> None:
        after[step] = model[0].weight.detach().clone()
        model[0].weight.data.clamp_(-0.1, 0.1)
        before[step + 1] = model[0].weight.detach().clone()

    trace, _ = recorded_run(model, sgd(model), after_step=clamp)
    for step in range(6):
        np.testing.assert_array_equal(trace.parameters["0.weight"][step], before[step].numpy())
        np.testing.assert_array_equal(trace.updates["0.weight"][step], (after[step] - before[step]).numpy())


@pytest.mark.parametrize("early", [True, False], ids=["step before the update", "step after the update"])
def test_without_an_optimizer_weights_are_those_the_gradient_was_computed_at(early: bool) -> None:
    model = seeded(mlp)
    criterion = nn.CrossEntropyLoss()
    seen = []
    with explainer.record(model, every=2) as recorder:
        for step in range(5):
            inputs, targets = batch_for(model, step)
            seen.append(model[0].weight.detach().clone())
            model.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            if early:
                recorder.step(loss)
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter -= 0.1 * parameter.grad
            if not early:
                recorder.step(loss)
    seen.append(model[0].weight.detach().clone())
    trace = recorder.trace
    assert trace.steps.tolist() == [0, 2, 4]
    assert np.isfinite(trace.scalars["loss"]).all()
    for index, step in enumerate(trace.steps):
        np.testing.assert_array_equal(trace.parameters["0.weight"][index], seen[step].numpy())
        np.testing.assert_array_equal(trace.updates["0.weight"][index], (seen[step + 1] - seen[step]).numpy())


def test_statistics_are_over_the_whole_batch_and_equal_torch() -> None:
    model = seeded(mlp)
    trace, _ = recorded_run(model, sgd(model), steps=1, examples=2)
    inputs, _ = batch_for(model, 0)
    output = nn.functional.relu(nn.functional.linear(inputs, *seeded_weights()))
    assert trace.activations["1"].shape == (1, 2, 6)
    assert {name: row[0] for name, row in trace.statistics["activations"]["1"].items()} == pytest.approx(
        {
            "mean": output.mean().item(),
            "std": output.std(correction=0).item(),
            "abs_mean": output.abs().mean().item(),
            "norm": output.norm().item(),
            "max_abs": output.abs().max().item(),
            "zero_fraction": (output == 0).float().mean().item(),
            "nonfinite": 0,
        },
        rel=1e-5,
    )
    assert set(trace.statistics) == {
        "activations",
        "gradients",
        "parameters",
        "parameter_gradients",
        "updates",
        "inputs",
        "targets",
    }


def seeded_weights() -> tuple[torch.Tensor, torch.Tensor]:
    first = seeded(mlp)[0]
    return first.weight.detach(), first.bias.detach()


def test_the_loss_the_targets_and_the_gradient_come_from_the_criterion() -> None:
    model = seeded(mlp)
    trace, losses = recorded_run(model, sgd(model))
    np.testing.assert_array_equal(trace.scalars["loss"], np.float32(losses))
    np.testing.assert_array_equal(trace.targets[3], batch_for(model, 3)[1][:8])
    np.testing.assert_array_equal(trace.inputs[3], batch_for(model, 3)[0][:8])
    np.testing.assert_array_equal(trace.criterion.inputs[2], trace.activations["2"][2])
    np.testing.assert_array_equal(trace.criterion.gradients[2], trace.gradients["2"][2])
    assert trace.scalars["learning_rate"].tolist() == [0.1] * 6


def test_each_parameter_group_gives_its_learning_rate() -> None:
    model = seeded(mlp)
    trace, _ = recorded_run(model, OPTIMIZERS["groups"](model), steps=2)
    assert trace.scalars["learning_rate"].tolist() == [0.2, 0.2]
    assert trace.scalars["learning_rate[1]"].tolist() == [0.05, 0.05]


def test_accumulated_micro_batches_count_as_one_batch() -> None:
    model = seeded(mlp)
    trace, losses = recorded_run(model, sgd(model), steps=1, micro_batches=3, examples=None)
    whole = seeded(mlp)
    inputs, targets = batch_for(whole, 0)
    nn.CrossEntropyLoss()(whole(inputs), targets).backward()
    assert trace.inputs.shape == (1, 12, 5)
    np.testing.assert_array_equal(trace.inputs[0], inputs)
    np.testing.assert_allclose(trace.parameter_gradients["0.weight"][0], whole[0].weight.grad, rtol=1e-5, atol=1e-7)
    assert trace.scalars["loss"][0] == pytest.approx(sum(losses), rel=1e-5)
    assert trace.statistics["inputs"]["inputs"]["std"][0] == pytest.approx(inputs.std(correction=0).item(), rel=1e-5)


@pytest.mark.parametrize("gradients_on", [True, False], ids=["gradients left on", "no_grad"])
def test_a_validation_pass_between_steps_leaves_no_mark(gradients_on: bool) -> None:
    model = seeded(mlp)

    def validate(step: int) -> None:
        with torch.set_grad_enabled(gradients_on):
            nn.CrossEntropyLoss()(model(torch.full((3, 5), 50.0)), torch.zeros(3, dtype=torch.long))

    trace, losses = recorded_run(model, sgd(model), after_step=validate)
    for step in range(6):
        np.testing.assert_array_equal(trace.inputs[step], batch_for(model, step)[0][:8])
    np.testing.assert_array_equal(trace.scalars["loss"], np.float32(losses))


def test_many_forward_passes_may_share_one_backward_pass() -> None:
    model = seeded(mlp)
    criterion, optimizer = nn.CrossEntropyLoss(), sgd(model)
    inputs, targets = batch_for(model, 0, 30)
    with explainer.record(model, criterion=criterion, optimizer=optimizer, examples=None) as recorder:
        losses = [criterion(model(inputs[at : at + 1]), targets[at : at + 1]) for at in range(30)]
        sum(losses).backward()
        optimizer.step()
    np.testing.assert_array_equal(recorder.trace.inputs[0], inputs)
    assert recorder.trace.gradients["0"].shape == (1, 30, 6)


def test_passes_that_bring_no_gradient_are_let_go_with_their_graph() -> None:
    model = seeded(mlp)
    with explainer.record(model, optimizer=sgd(model)) as recorder:
        for step in range(50):  # a validation that forgot no_grad
            model(batch_for(model, step)[0])
        assert len(recorder._listener._passes) == 1
        model(batch_for(model, 0)[0]).sum().backward()
        recorder._optimizer.step()
    np.testing.assert_array_equal(recorder.trace.inputs[0], batch_for(model, 0)[0][:8])


def test_a_part_that_runs_without_gradients_inside_a_pass_is_recorded() -> None:
    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.Linear(5, 4), nn.Linear(4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():
                x = self.body(x)
            return self.head(x)

    model = seeded(Half)
    trace, _ = recorded_run(model, sgd(model), steps=1)
    assert trace.layers == ("body", "head")
    assert trace.missing["body"] == "no gradient: the output does not require one"
    np.testing.assert_array_equal(trace.activations["body"][0], model.body(batch_for(model, 0)[0][:8]).detach())


def test_events_tell_the_order_of_every_step() -> None:
    model = seeded(mlp)
    trace, _ = recorded_run(model, sgd(model), steps=2)
    forward = ["forward 0", "forward 1", "forward 2", "loss"]
    assert trace.events == [[*forward, "backward 2", "backward 1", "backward 0", "update"]] * 2


def test_a_run_that_explodes_is_recorded_without_a_word() -> None:
    model = seeded(mlp)
    with np.errstate(all="raise"):
        trace, _ = recorded_run(model, torch.optim.SGD(model.parameters(), lr=1e38), steps=5)
    assert trace.statistics["updates"]["0.weight"]["nonfinite"][-1] > 0
    assert not np.isfinite(trace.updates["0.weight"][3]).all()


def test_a_hook_of_somebody_elses_that_may_change_a_gradient_is_told() -> None:
    class Flipping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(5, 4), nn.Linear(4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            between = self.first(x)
            between.register_hook(lambda gradient: -gradient)
            return self.second(between)

    model = seeded(Flipping)
    trace, _ = recorded_run(model, sgd(model), steps=2)
    assert trace.missing == {
        "first": "another hook on this output may change its gradient: recorded is what arrived, before it"
    }


def test_tensors_that_the_user_keeps_hold_nothing_of_the_recorder() -> None:
    model, criterion = seeded(mlp), nn.CrossEntropyLoss()
    optimizer = sgd(model)
    inputs, targets = batch_for(model, 0)
    with explainer.record(model, criterion=criterion, optimizer=optimizer):
        output = model(inputs)
        loss = criterion(output, targets)
        loss.backward()
        optimizer.step()
    assert not output._backward_hooks
    assert not loss._backward_hooks


# The probe


def test_the_probe_sees_the_weights_of_its_step_in_evaluation_mode() -> None:
    model = seeded(Residual)
    inputs, targets = batch_for(model, 99)
    expected = []

    class Watch(nn.CrossEntropyLoss):
        pass

    def reference(step: int) -> None:
        model.eval()
        with torch.no_grad():
            expected.append(model(inputs).numpy())
        model.train()

    reference(-1)
    trace, _ = recorded_run(model, sgd(model), probe=(inputs, targets), after_step=reference)
    for step in range(6):
        np.testing.assert_array_equal(trace.probe.activations["head"][step], expected[step])
    np.testing.assert_array_equal(trace.probe.inputs, inputs)
    np.testing.assert_array_equal(trace.probe.targets, targets)
    loss = nn.CrossEntropyLoss()(torch.tensor(expected[2]), targets).item()
    assert trace.scalars["probe_loss"][2] == pytest.approx(loss, rel=1e-6)


def test_without_a_probe_there_is_none() -> None:
    model = seeded(mlp)
    assert recorded_run(model, sgd(model))[0].probe is None


class Dropping(nn.Module):
    """Skips its second layer by chance, Python's and numpy's."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        if random.random() < 0.5:
            x = x + self.second(x)
        return self.third(x * np.random.rand())  # noqa: NPY002


def test_the_probe_leaves_pythons_and_numpys_random_numbers_alone() -> None:
    weights = []
    for options in ({}, {"probe": (torch.ones(2, 5), None)}):
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002
        model = seeded(Dropping)
        recorded_run(model, sgd(model), **options)
        weights.append([each.detach().clone() for each in model.parameters()])
    assert all(torch.equal(first, second) for first, second in zip(*weights, strict=True))


def test_a_probe_that_cannot_be_run_costs_the_probe_alone() -> None:
    model = seeded(mlp)
    with pytest.warns(ExplainerWarning, match="the probe could not be run in step 0, and is left out .* shapes"):
        trace, _ = recorded_run(model, sgd(model), probe=(torch.ones(2, 9), None))
    assert len(trace) == 6
    assert trace.missing["probe"].startswith("the probe could not be run in step 0")
    assert np.isfinite(np.asarray(trace.gradients["0"])).all()


# What is chosen


def test_layers_are_chosen_by_name_and_glob() -> None:
    model = seeded(Residual)
    trace, _ = recorded_run(model, sgd(model), layers=["stem", "act*"])
    assert trace.layers == ("stem", "act", "act2")
    assert list(trace.parameters) == ["stem.weight", "stem.bias"]


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ("sten", "no layer is called 'sten'. Did you mean 'stem'?"),
        (["stem", "blok"], "no layer is called 'blok'. Did you mean 'block'?"),
        ("inner", r"'inner' contains layers: write 'inner\.\*'"),
    ],
)
def test_a_misspelt_layer_names_the_nearest(layers: Any, message: str) -> None:
    model = Residual()
    model.inner = nn.Sequential(nn.Linear(2, 2))
    with pytest.raises(RecordingError, match=message):
        explainer.record(model, layers=layers)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": 0}, "every=0: it is a whole number from 1"),
        ({"examples": 0}, "examples=0: it is a whole number from 1, or None"),
        ({"keep": ("activation",)}, "no kind of tensor is called 'activation'. Did you mean 'activations'?"),
        ({"max_bytes": -1}, "max_bytes=-1: it is a number of bytes"),
        ({"criterion": nn.functional.cross_entropy}, r"criterion: function is no torch.nn.Module; .* recorder.log"),
        ({"optimizer": "sgd"}, "optimizer: str is no torch.optim.Optimizer"),
        ({"probe": torch.zeros(2)}, r"probe: it is a pair \(inputs, targets\)"),
    ],
)
def test_wrong_arguments_are_told_before_the_first_step(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecordingError, match=message):
        explainer.record(mlp(), **options)


def test_a_layer_that_calls_no_hooks_is_refused_and_leaves_none_behind() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit is on its way out
        model = nn.Sequential(nn.Linear(4, 4), torch.jit.script(nn.Linear(4, 4)))
    with pytest.raises(
        RecordingError, match=r"layers: '1' was compiled by torch\.jit .* choose the others with layers="
    ):
        explainer.record(model)
    with pytest.raises(RecordingError, match="layers: none is chosen"):
        explainer.record(model, layers=[])
    with explainer.record(model, layers="0") as recorder:
        loss = model(torch.ones(2, 4)).sum()
        loss.backward()
        recorder.step(loss)
    assert recorder.trace.layers == ("0",)
    assert not any(each._forward_pre_hooks or each._forward_hooks for each in (model, model[0]))


def test_keep_nothing_keeps_every_statistic() -> None:
    model = seeded(mlp)
    everything, _ = recorded_run(model, sgd(model))
    model = seeded(mlp)
    trace, _ = recorded_run(model, sgd(model), keep=())
    assert list(trace.activations) == list(trace.parameters) == list(trace.updates) == []
    with pytest.raises(explainer.TraceError, match=r'keeps no gradients in full; record with keep=\("gradients", …\)'):
        trace.gradients["0"]
    for kind, names in everything.statistics.items():
        for name, columns in names.items():
            for which, values in columns.items():
                np.testing.assert_allclose(trace.statistics[kind][name][which], values, rtol=1e-6, atol=1e-9)


def test_a_trace_that_reaches_max_bytes_goes_on_with_statistics_and_warns_once() -> None:
    model = seeded(mlp)
    with pytest.warns(ExplainerWarning, match="reaches max_bytes=6,000 .* every=, examples=") as caught:
        trace, _ = recorded_run(model, sgd(model), steps=20, max_bytes=6000)
    assert len(caught) == 1
    assert len(trace) == 20
    assert np.isfinite(trace.statistics["updates"]["0.weight"]["norm"]).all()
    kept = [step for step in range(20) if is_kept(trace.updates["0.weight"], step)]
    assert kept == [step for step in range(20) if is_kept(trace.parameters["0.weight"], step)] == list(range(len(kept)))
    assert 1 <= len(kept) < 19
    with pytest.raises(explainer.TraceError, match=r"was not kept at step 19: max_bytes was reached in step \d"):
        trace.activations["0"][-1]


# What is not there is told


def is_kept(tensors: Any, index: int) -> bool:
    try:
        return tensors[index] is not None
    except explainer.TraceError:
        return False


class Odd(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used, self.frozen, self.never, self.unused = (nn.Linear(5, 5) for _ in range(4))
        self.same = nn.Identity()
        self.frozen.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.frozen(x)
        self.unused(x)
        return self.same(self.used(self.used(x)))


def test_missing_names_each_layer_and_its_reason_and_calls_have_numbers() -> None:
    model = seeded(Odd)
    trace, _ = recorded_run(model, torch.optim.SGD([*model.used.parameters()], lr=0.1))
    assert trace.layers == ("frozen", "unused", "used", "used:1", "same")
    assert trace.missing == {
        "never": "no activation: the layer was not called",
        "frozen": "no gradient: the output does not require one",
        "unused": "no gradient arrived: the loss does not depend on this output",
        "frozen.weight": "no parameter gradient: it is frozen",
        "frozen.bias": "no parameter gradient: it is frozen",
        "never.weight": "no parameter gradient: none arrived",
        "never.bias": "no parameter gradient: none arrived",
        "unused.weight": "no parameter gradient: none arrived",
        "unused.bias": "no parameter gradient: none arrived",
    }
    assert trace.aliases == {"same": "used:1"}


def test_the_model_is_described_with_who_feeds_whom() -> None:
    model = seeded(Residual)
    trace, _ = recorded_run(model, sgd(model), steps=1)
    layers = trace.model.layers
    assert {name: layer.fed_by for name, layer in layers.items()} == {
        "stem": ("input",),
        "norm": ("stem",),
        "act": ("norm",),
        "block": ("act",),
        "act2": ("block", "act"),
        "pool": ("act2",),
        "flat": ("pool",),
        "drop": ("flat",),
        "head": ("drop",),
    }
    assert trace.model.criterion.type == "CrossEntropyLoss"
    assert trace.model.criterion.fed_by == ("head",)
    assert layers["stem"].type == "Conv2d"
    assert layers["stem"].output_shape == (12, 4, 6, 6)
    assert layers["stem"].parameters == {"stem.weight": (4, 1, 3, 3), "stem.bias": (4,)}
    assert layers["stem"].parameter_count == 40
    assert layers["stem"].settings["padding"] == [1, 1]
    assert trace.model.parameter_count == sum(parameter.numel() for parameter in model.parameters())


def test_a_model_that_is_one_layer_is_called_model() -> None:
    model = seeded(lambda: nn.Linear(5, 3))
    trace, _ = recorded_run(model, sgd(model), steps=1)
    assert trace.layers == ("model",)
    assert list(trace.parameters) == ["weight", "bias"]


def test_outputs_of_several_tensors_are_named_by_their_place() -> None:
    class Two(nn.Module):
        def forward(self, x: torch.Tensor) -> Any:
            return {"double": 2 * x, "parts": (x + 1, x + 2)}

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.two = nn.Linear(5, 3), Two()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found = self.two(self.first(x))
            return found["double"] + found["parts"][0] + found["parts"][1]

    model = seeded(Net)
    trace, _ = recorded_run(model, sgd(model), steps=1)
    assert trace.layers == ("first", "two", "two[parts][0]", "two[parts][1]")
    np.testing.assert_array_equal(trace.activations["two"][0], 2 * trace.activations["first"][0])


def test_a_recording_without_a_backward_pass_says_so() -> None:
    model = mlp()
    with (
        pytest.warns(ExplainerWarning, match="never called with gradients on"),
        explainer.record(model) as recorder,
        torch.no_grad(),
    ):
        model(torch.zeros(2, 5))
    assert len(recorder.trace) == 0
    assert "no step was recorded" in recorder.trace.missing["0"]
    with pytest.raises(explainer.TraceError, match="holds no step: no step was recorded"):
        recorder.trace.index_of(-1)
    with (
        pytest.warns(ExplainerWarning, match=r"forward passes ran, but recorder\.step\(loss\) never closed a step"),
        explainer.record(model),
    ):
        model(torch.zeros(2, 5))
    with (
        pytest.warns(ExplainerWarning, match="no backward pass was seen in 1 recorded steps"),
        explainer.record(model) as recorder,
    ):
        recorder.step(model(torch.zeros(2, 5)).sum())
    assert recorder.trace.missing["1"] == "no gradient: no backward pass was seen"


# Numbers of one's own


def test_logged_numbers_belong_to_the_step_that_is_going_on_or_was_just_closed() -> None:
    model = seeded(mlp)
    optimizer = sgd(model)
    criterion = nn.functional.cross_entropy
    with explainer.record(model, optimizer=optimizer, every=2) as recorder:
        for step in range(5):
            inputs, targets = batch_for(model, step)
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            recorder.log(loss=loss, before=step)
            optimizer.step()
            recorder.log(after=step)
    scalars = recorder.trace.scalars
    assert recorder.trace.steps.tolist() == [0, 2, 4]
    assert scalars["before"].tolist() == scalars["after"].tolist() == [0, 2, 4]
    assert np.isfinite(scalars["loss"]).all()
    assert "loss" not in recorder.trace.missing


def test_a_loss_that_nobody_told_is_missing_with_its_reason() -> None:
    model = seeded(mlp)
    optimizer = sgd(model)
    with explainer.record(model, optimizer=optimizer) as recorder:
        train(model, nn.CrossEntropyLoss(), optimizer, steps=1)
    assert "recorder.log(loss=loss)" in recorder.trace.missing["loss"]
    with pytest.raises(explainer.TraceError, match="no scalar is called 'loss'"):
        recorder.trace.scalars["loss"]


def test_wrong_calls_of_a_recorder_are_told() -> None:
    model = seeded(mlp)
    recorder = explainer.record(model, optimizer=sgd(model))
    with pytest.raises(RecordingError, match="nothing is recorded yet"):
        _ = recorder.trace
    with warnings.catch_warnings(), recorder:
        warnings.simplefilter("ignore", ExplainerWarning)
        with pytest.raises(RecordingError, match="optimizer given to record closes each step"):
            recorder.step(torch.tensor(1.0))
        with pytest.raises(RecordingError, match=r"log\(image=…\): Tensor is not one number"):
            recorder.log(image=torch.zeros(3))
    with pytest.raises(RecordingError, match="used already"):
        recorder.__enter__()


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_loss_of_several_criterion_calls_is_what_backward_went_through(reduction: str) -> None:
    model, criterion = seeded(mlp), nn.CrossEntropyLoss(reduction=reduction)
    optimizer = sgd(model)
    inputs, targets = batch_for(model, 0)
    with explainer.record(model, criterion=criterion, optimizer=optimizer) as recorder:
        output = model(inputs)
        criterion(output, targets)  # looked at, and not trained on
        loss = criterion(output, targets) + 0.25 * criterion(output * 2, targets)
        loss.backward()
        optimizer.step()
    assert recorder.trace.scalars["loss"][0] == pytest.approx(loss.item(), rel=1e-6)


def test_a_loss_for_each_example_counts_as_it_was_reduced() -> None:
    model, criterion = seeded(mlp), nn.CrossEntropyLoss(reduction="none")
    optimizer = sgd(model)
    with explainer.record(model, criterion=criterion, optimizer=optimizer) as recorder:
        loss = criterion(model(batch_for(model, 0)[0]), batch_for(model, 0)[1]).mean()
        loss.backward()
        optimizer.step()
    assert recorder.trace.scalars["loss"][0] == pytest.approx(loss.item(), rel=1e-6)


def test_a_sum_of_gradients_whose_statistics_nobody_knows_is_told() -> None:
    class Shifted(nn.Module):  # addition needs nothing for backward: it may come again without a word
        def __init__(self) -> None:
            super().__init__()
            self.shift = nn.Parameter(torch.zeros(5))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.shift

    model = seeded(Shifted)
    optimizer = sgd(model)
    with explainer.record(model, optimizer=optimizer) as recorder:
        loss = model(batch_for(model, 0)[0]).sum()
        loss.backward()
        loss.backward()
        optimizer.step()
    np.testing.assert_array_equal(recorder.trace.gradients["model"][0], np.full((8, 5), 2))
    assert recorder.trace.missing["model"].startswith("several backward passes went through this output")
    assert "model" not in recorder.trace.statistics.get("gradients", {})


# Whatever happens


def test_a_model_can_be_copied_and_saved_inside_a_recording() -> None:
    model, criterion = seeded(mlp), nn.CrossEntropyLoss()
    optimizer = sgd(model)
    with explainer.record(model, criterion=criterion, optimizer=optimizer) as recorder:
        train(model, criterion, optimizer, steps=1)
        twin = copy.deepcopy(model)
        torch.save(model, file := io.BytesIO())
        file.seek(0)
        again = torch.load(file, weights_only=False)
        for other in (twin, again):
            train(other, nn.CrossEntropyLoss(), sgd(other), steps=3)
        train(model, criterion, optimizer, steps=1)
    assert len(recorder.trace) == 2
    assert recorder.failure is None
    np.testing.assert_array_equal(recorder.trace.inputs[1], batch_for(model, 0)[0][:8])
    torch.save(twin, io.BytesIO())


def test_after_a_failure_the_trace_says_what_it_was(tmp_path: Path) -> None:
    model = seeded(mlp)
    with (
        pytest.warns(ExplainerWarning, match="training goes on"),
        explainer.record(model, tmp_path / "t", optimizer=sgd(model), every=lambda step: 1 // (1 - step)) as recorder,
    ):
        train(model, nn.CrossEntropyLoss(), recorder._optimizer, steps=3)
    assert "ZeroDivisionError" in recorder.trace.missing["0"]
    assert "ZeroDivisionError" in explainer.open_trace(tmp_path / "t").missing["0"]


def hook_counts(model: nn.Module, criterion: nn.Module, optimizer: torch.optim.Optimizer) -> list[int]:
    modules = [*model.modules(), criterion]
    return [len(each._forward_hooks) + len(each._forward_pre_hooks) for each in modules] + [
        len(optimizer._optimizer_step_post_hooks)
    ]


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt])
def test_hooks_are_gone_afterwards_whatever_happened(error: Any) -> None:
    model, criterion = seeded(mlp), nn.CrossEntropyLoss()
    optimizer = sgd(model)

    def interrupt(step: int) -> None:
        if step == 3 and error is not None:
            raise error

    try:
        with explainer.record(model, criterion=criterion, optimizer=optimizer) as recorder:
            train(model, criterion, optimizer, after_step=interrupt)
    except (ValueError, KeyboardInterrupt):
        pass
    assert set(hook_counts(model, criterion, optimizer)) == {0}
    assert len(recorder.trace) == (6 if error is None else 4)
    assert np.isfinite(np.asarray(recorder.trace.updates["0.weight"])).all()


def test_an_exception_in_the_middle_of_a_forward_pass_does_not_shift_what_comes_after() -> None:
    model, criterion = seeded(mlp), nn.CrossEntropyLoss()
    optimizer = sgd(model)
    with explainer.record(model, criterion=criterion, optimizer=optimizer) as recorder:
        train(model, criterion, optimizer, steps=1)
        with pytest.raises(RuntimeError):
            model[1:](torch.zeros(3, 17))
        train(model, criterion, optimizer, steps=2)
    assert recorder.trace.layers == ("0", "1", "2")
    np.testing.assert_array_equal(recorder.trace.inputs[1], batch_for(model, 0)[0][:8])


def test_a_failure_of_the_recorder_does_not_stop_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = seeded(mlp)
    train(bare, nn.CrossEntropyLoss(), sgd(bare))
    model, criterion = seeded(mlp), nn.CrossEntropyLoss()
    optimizer = sgd(model)

    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("explainer.arena._write_all", full)
    monkeypatch.setattr("explainer.writer._SHARD_BYTES", 1)  # a shard a step
    with (
        pytest.warns(ExplainerWarning, match=r"training goes on\. OSError: .*No space left on device") as caught,
        explainer.record(model, tmp_path / "t", criterion=criterion, optimizer=optimizer) as recorder,
    ):
        train(model, criterion, optimizer)
    assert len(caught) == 1
    assert isinstance(recorder.failure, OSError)
    assert all(torch.equal(a, b) for a, b in zip(bare.parameters(), model.parameters(), strict=True))
    assert len(recorder.trace) == 0
    assert not recorder.trace.finished
    assert sorted(path.name for path in (tmp_path / "t").iterdir()) == ["trace.json"]


def test_a_model_can_be_collected_after_its_recorder_is_gone() -> None:
    model = seeded(mlp)
    trace, _ = recorded_run(model, sgd(model), steps=2)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
    assert len(trace) == 2
