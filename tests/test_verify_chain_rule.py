"""The chain rule judged from the trace alone: every kind of layer passes, and every single wrong number is found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - its usual name

import explainer
from explainer import verify
from explainer.errors import TraceError, VerifyError
from explainer.lessons import record_lesson
from tests.altered import AlteredTrace, altered, with_altered_loss_gradient
from tests.networks import Residual, batch_for, mlp, seeded


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Tiny operations wait for each other's threads longer than they work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def recorded(
    model: nn.Module,
    criterion: Any,
    batch: tuple[Any, torch.Tensor],
    *,
    steps: int = 2,
    before_step: Callable[[], Any] = lambda: None,
    loss_of: Callable[[Any], Any] = lambda loss: loss,
    **options: Any,
) -> explainer.Trace:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    options = {"examples": None, **options}
    with explainer.record(model, criterion=criterion, optimizer=optimizer, **options) as recorder:
        for _ in range(steps):
            optimizer.zero_grad()
            loss_of(criterion(model(batch[0]), batch[1])).backward()
            before_step()
            optimizer.step()
    assert recorder.failure is None
    return recorder.trace


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def classes(count: int, among: int = 3) -> torch.Tensor:
    return torch.randint(among, (count,), generator=torch.Generator().manual_seed(1))


def states(report: verify.Report, name: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for row in report.rows:
        if row.name == name:
            found.setdefault(row.what, set()).add(row.state)
    return found


HELD = ({"equal"}, {"close"}, {"equal", "close"})

# ── Every kind of layer ──────────────────────────────────────────────────────────────────────────────────────────

ELEMENTWISE = [
    nn.ReLU(), nn.ReLU(inplace=True), nn.ReLU6(), nn.LeakyReLU(0.2), nn.ELU(), nn.SELU(), nn.CELU(), nn.GELU(),
    nn.GELU(approximate="tanh"), nn.SiLU(), nn.Hardswish(), nn.Hardtanh(), nn.Sigmoid(), nn.Tanh(), nn.Softplus(),
    nn.Hardsigmoid(), nn.LogSigmoid(), nn.Mish(), nn.PReLU(), nn.Softsign(), nn.Threshold(0.1, 0.2), nn.Dropout(0.4),
    nn.Identity(), nn.Softmax(dim=1), nn.LogSoftmax(dim=1), nn.LayerNorm(6), nn.RMSNorm(6), nn.BatchNorm1d(6),
    nn.Linear(6, 6, bias=False), nn.GLU(), nn.Unflatten(1, (2, 3)), nn.BatchNorm1d(6, affine=False),
]  # fmt: skip
OF_IMAGES = [
    nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2), nn.Conv2d(4, 4, 3, dilation=2, padding="same", bias=False),
    nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), nn.ConvTranspose2d(4, 3, 3, stride=2, output_padding=1),
    nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.InstanceNorm2d(4, affine=True), nn.LocalResponseNorm(3),
    nn.MaxPool2d(2), nn.MaxPool2d(3, stride=2, padding=1), nn.AvgPool2d(2, ceil_mode=True), nn.AdaptiveAvgPool2d(2),
    nn.AdaptiveAvgPool2d((None, 1)), nn.AdaptiveMaxPool2d(2), nn.Dropout2d(0.4), nn.Flatten(), nn.Softmax2d(),
    nn.PixelShuffle(2), nn.Upsample(scale_factor=2, mode="bilinear"), nn.ZeroPad2d(1), nn.LayerNorm((4, 5, 5)),
    nn.PReLU(4),
]  # fmt: skip
OF_LINES = [
    nn.Conv1d(4, 4, 3), nn.ConvTranspose1d(4, 4, 2, stride=2), nn.BatchNorm1d(4), nn.MaxPool1d(2), nn.AvgPool1d(2),
    nn.LSTM(5, 4, batch_first=True), nn.GRU(5, 4, 2, bidirectional=True), nn.RNN(5, 4, nonlinearity="relu"),
]  # fmt: skip
OF_VOLUMES = [nn.Conv3d(4, 4, 2), nn.BatchNorm3d(4), nn.MaxPool3d(2), nn.AdaptiveAvgPool3d(1)]


class Between(nn.Module):
    """A first layer, the one in question, and a head of whatever size it takes."""

    def __init__(self, first: nn.Module, layer: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.first, self.layer = first, layer
        self.head = nn.Linear(self._shown(torch.zeros(2, *shape)).shape[1], 3)

    def _shown(self, x: torch.Tensor) -> torch.Tensor:
        x = self.layer(self.first(x))
        return (x[0] if isinstance(x, tuple) else x).flatten(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self._shown(x))


def shown(layer: nn.Module) -> str:
    return repr(layer).replace(" ", "")


CASES = [
    *((layer, lambda: nn.Linear(5, 6), (5,)) for layer in ELEMENTWISE),
    *((layer, lambda: nn.Conv2d(2, 4, 2), (2, 6, 6)) for layer in OF_IMAGES),
    *((layer, lambda: nn.Conv1d(2, 4, 2), (2, 6)) for layer in OF_LINES),
    *((layer, lambda: nn.Conv3d(2, 4, 2), (2, 4, 4, 4)) for layer in OF_VOLUMES),
]


@pytest.mark.parametrize(("layer", "first", "shape"), CASES, ids=[shown(layer) for layer, _, _ in CASES])
def test_each_kind_of_layer_sends_back_what_was_recorded_and_a_thousandth_more_is_found(
    layer: nn.Module, first: Callable[[], nn.Module], shape: tuple[int, ...]
) -> None:
    torch.manual_seed(3)
    model = Between(first(), layer, shape)
    trace = recorded(model, nn.CrossEntropyLoss(), (normal(6, *shape), classes(6)))

    report = verify.chain_rule(trace)
    assert states(report, "first")["gradient"] in HELD
    assert states(report, "layer")["activation"] in HELD
    for name in trace.parameters:
        assert states(report, name)["parameter gradient"] in HELD

    with pytest.raises(VerifyError, match=r"gradient of 'first' \(\w+\), step 1: recorded") as error:
        verify.chain_rule(altered(trace, "gradients", "first", 1))
    assert error.value.report is not None
    assert {row.step for row in error.value.report.failures} == {1}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_other_precisions_are_judged_by_their_own_rounding(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3)).to(dtype)
    trace = recorded(model, nn.CrossEntropyLoss(), (normal(6, 5).to(dtype), classes(6)))
    assert verify.chain_rule(trace).judged == 2 * 13
    factor = 1.001 if dtype == torch.float64 else 1.5
    with pytest.raises(VerifyError, match="gradient of '1'"):
        verify.chain_rule(altered(trace, "gradients", "1", factor=factor))


def test_an_embeddings_rows_get_the_gradients_of_the_words() -> None:
    model = nn.Sequential(nn.Embedding(7, 4, padding_idx=0), nn.Flatten(), nn.Linear(12, 3))
    trace = recorded(model, nn.CrossEntropyLoss(), (classes(15, 7).reshape(5, 3), classes(5)))
    assert states(verify.chain_rule(trace), "0.weight")["parameter gradient"] in HELD
    with pytest.raises(VerifyError, match=r"parameter gradient of '0.weight', step 0"):
        verify.chain_rule(altered(trace, "parameter_gradients", "0.weight"))


# ── Every kind of loss ───────────────────────────────────────────────────────────────────────────────────────────

LOSSES = [
    (nn.MSELoss(), normal(6, 3)), (nn.MSELoss(reduction="sum"), normal(6, 3)), (nn.L1Loss(), normal(6, 3)),
    (nn.SmoothL1Loss(beta=0.3), normal(6, 3)), (nn.HuberLoss(delta=0.3), normal(6, 3)),
    (nn.CrossEntropyLoss(), classes(6)), (nn.CrossEntropyLoss(label_smoothing=0.1), classes(6)),
    (nn.CrossEntropyLoss(ignore_index=1), classes(6)), (nn.CrossEntropyLoss(), torch.softmax(normal(6, 3), 1)),
    (nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 5.0])), classes(6)), (nn.NLLLoss(), classes(6)),
    (nn.BCEWithLogitsLoss(), torch.sigmoid(normal(6, 3))), (nn.KLDivLoss(reduction="batchmean"), normal(6, 3).abs()),
    (nn.PoissonNLLLoss(), normal(6, 3).abs()), (nn.SoftMarginLoss(), normal(6, 3).sign()),
    (nn.MultiMarginLoss(), classes(6)),
]  # fmt: skip


@pytest.mark.parametrize(("criterion", "target"), LOSSES, ids=[shown(criterion) for criterion, _ in LOSSES])
def test_each_kind_of_loss_sends_back_what_was_recorded_and_a_thousandth_more_is_found(
    criterion: nn.Module, target: torch.Tensor
) -> None:
    torch.manual_seed(0)
    trace = recorded(nn.Sequential(nn.Linear(5, 3)), criterion, (normal(6, 5), target))
    assert states(verify.chain_rule(trace), "loss")["gradient"] in HELD
    with pytest.raises(VerifyError, match=r"gradient of 'loss' \(\w+\), step 0: recorded"):
        verify.chain_rule(with_altered_loss_gradient(trace))


def test_the_value_of_the_loss_is_judged_too() -> None:
    trace = recorded(mlp(), nn.CrossEntropyLoss(), batch_for(mlp(), 0))
    wrong = AlteredTrace(trace, scalars={**trace.scalars, "loss": np.asarray(trace.scalars["loss"]) * [1, 1.001]})
    with pytest.raises(VerifyError, match=r"value of 'loss' \(CrossEntropyLoss\), step 1: recorded \d"):
        verify.chain_rule(wrong)


@pytest.mark.parametrize("examples", [None, 4])
def test_a_loss_that_backward_weights_is_judged_up_to_that_weight(examples: int | None) -> None:
    trace = recorded(
        mlp(), nn.CrossEntropyLoss(), batch_for(mlp(), 0), loss_of=lambda loss: 512 * loss, examples=examples
    )
    report = verify.chain_rule(trace)
    assert states(report, "loss")["gradient"] in HELD
    assert ("512 times this loss" if examples is None else "up to one factor") in str(report)
    with pytest.raises(VerifyError, match="gradient of 'loss'"):
        verify.chain_rule(with_altered_loss_gradient(trace))


# ── How layers stand together ────────────────────────────────────────────────────────────────────────────────────


class Net(nn.Module):
    """Layers a to d and a forward of one line."""

    def __init__(self, forward: Callable[[Any, torch.Tensor], torch.Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self._forward = forward
        for name, layer in {"a": nn.Linear(5, 5), "b": nn.Linear(5, 5), "c": nn.Linear(5, 3), **layers}.items():
            self.add_module(name, layer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._forward(self, x)


def in_place_shortcut(n: Any, x: torch.Tensor) -> torch.Tensor:
    y = n.a(x)
    z = n.b(y)
    z += y
    return n.c(z)


TOGETHER = {
    "a shortcut": lambda n, x: n.c(n.b(y := n.a(x)) + y),
    "a shortcut in place": in_place_shortcut,
    "relu of a sum": lambda n, x: n.c(F.relu(n.b(y := n.a(x)) + y)),
    "a gate": lambda n, x: n.c(n.b(y := n.a(x)) * y),
    "functions": lambda n, x: n.c(F.gelu(n.b(F.relu(n.a(x))))),
    "one layer twice": lambda n, x: n.c(n.a(n.a(x))),
    "a function after the last": lambda n, x: F.log_softmax(n.c(n.b(n.a(x))), 1),
    "a detached branch": lambda n, x: n.c(n.a(x) + n.b(n.a(x).detach())),
    "an alias": lambda n, x: n.c(n.i(n.b(n.a(x)))),
    "an alias with a shortcut": lambda n, x: n.c(n.b(n.i(y := n.a(x))) + y),
}


@pytest.mark.parametrize("forward", TOGETHER.values(), ids=TOGETHER)
def test_gradients_add_up_where_layers_share_an_output(forward: Callable[..., torch.Tensor]) -> None:
    torch.manual_seed(0)
    model = Net(forward, i=nn.Identity())
    criterion = nn.NLLLoss() if forward is TOGETHER["a function after the last"] else nn.CrossEntropyLoss()
    trace = recorded(model, criterion, (normal(6, 5), classes(6)))
    report = verify.chain_rule(trace)
    assert states(report, "a")["gradient"] in HELD
    assert states(report, "a.weight")["parameter gradient"] in HELD
    with pytest.raises(VerifyError, match="gradient of 'a'"):
        verify.chain_rule(altered(trace, "gradients", "a"))


def test_a_residual_network_with_batch_norm_is_judged_to_the_last_number() -> None:
    trace = recorded(seeded(Residual), nn.CrossEntropyLoss(), batch_for(Residual(), 0))
    report = verify.chain_rule(trace)
    assert {row.state for row in report.rows} == {"equal", "close"}
    assert {row.name for row in report.rows} == {*trace.layers, *trace.parameters, "loss"}


def test_concatenated_outputs_are_taken_apart() -> None:
    model = Net(lambda n, x: n.d(torch.cat([n.a(x), n.b(x)], 1)), d=nn.Linear(10, 3))
    report = verify.chain_rule(recorded(model, nn.CrossEntropyLoss(), (normal(6, 5), classes(6))))
    assert "cat(dim=1)" in str(report)
    assert states(report, "a")["gradient"] in HELD


class Places(nn.Module):
    """A transformer of words and places, as small as it gets."""

    def __init__(self, causal: bool, dropout: float = 0.0) -> None:
        super().__init__()
        self.words, self.places, self.causal = nn.Embedding(9, 4), nn.Embedding(5, 4), causal
        self.block = nn.TransformerEncoderLayer(4, 2, 8, dropout, batch_first=True, norm_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(5) if self.causal else None
        x = self.words(x) + self.places(torch.arange(5))
        return self.head(self.block(x, src_mask=mask, is_causal=self.causal).mean(1))


@pytest.mark.parametrize("causal", [False, True])
def test_a_transformer_is_judged_from_the_loss_to_its_words(causal: bool) -> None:
    torch.manual_seed(0)
    trace = recorded(Places(causal), nn.CrossEntropyLoss(), (classes(30, 9).reshape(6, 5), classes(6)))
    report = verify.chain_rule(trace)
    assert {row.name for row in report.rows if row.state == "cannot"} == {"places", "places.weight"}  # fed by no layer
    for name in ("block.norm1", "block.self_attn"):
        with pytest.raises(VerifyError, match=f"gradient of '{name}'"):
            verify.chain_rule(altered(trace, "gradients", name))
    with pytest.raises(VerifyError, match=r"parameter gradient of 'block\.self_attn\.out_proj\.weight'"):
        verify.chain_rule(altered(trace, "parameter_gradients", "block.self_attn.out_proj.weight"))


def test_attention_that_drops_weights_out_is_not_judged_and_says_why() -> None:
    trace = recorded(Places(False, 0.2), nn.CrossEntropyLoss(), (classes(30, 9).reshape(6, 5), classes(6)))
    assert "attention that drops weights out: which ones is not in the trace" in str(verify.chain_rule(trace))


def test_batch_norm_in_evaluation_mode_is_read_off_its_input_and_output() -> None:
    model = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    model(normal(20, 5, seed=9))
    model[1].eval()
    trace = recorded(model, nn.CrossEntropyLoss(), (normal(6, 5), classes(6)))
    report = verify.chain_rule(trace)
    assert {row.state for row in report.rows} == {"equal", "close"}
    with pytest.raises(VerifyError, match="gradient of '0'"):
        verify.chain_rule(altered(trace, "gradients", "0"))


def test_dropout_after_a_relu_leaves_out_the_places_where_its_mask_does_not_show() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))
    trace = recorded(model, nn.CrossEntropyLoss(), (normal(6, 5), classes(6)))
    report = verify.chain_rule(trace)
    assert states(report, "1")["gradient"] in HELD
    assert "left out: places where a dropout's input is 0" in str(report)
    with pytest.raises(VerifyError, match=r"gradient of '2' \(Dropout\)"):
        verify.chain_rule(altered(trace, "gradients", "2"))


# ── Every kind of wrong number ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("step", [0, 1])
@pytest.mark.parametrize(
    ("kind", "name", "complaint"),
    [
        ("activations", "0", r"activation of '0' \(Linear\)"),
        ("activations", "2", r"activation of '2' \(Linear\)"),
        ("gradients", "0", r"gradient of '0' \(Linear\)"),
        ("gradients", "2", r"gradient of '2' \(Linear\)"),
        ("parameters", "2.weight", r"activation of '2' \(Linear\)"),
        ("parameter_gradients", "0.weight", r"parameter gradient of '0.weight'"),
        ("parameter_gradients", "2.bias", r"parameter gradient of '2.bias'"),
    ],
)
def test_one_number_a_thousandth_larger_is_named_with_its_step(kind: str, name: str, complaint: str, step: int) -> None:
    trace = recorded(seeded(mlp), nn.CrossEntropyLoss(), batch_for(mlp(), 0))
    verify.chain_rule(trace)
    with pytest.raises(VerifyError, match=rf"{complaint}, step {step}: recorded -?\d\S* at \[.*expected") as error:
        verify.chain_rule(altered(trace, kind, name, step))
    assert error.value.report is not None
    assert {row.step for row in error.value.report.failures} == {step}


def test_a_single_step_is_judged_too() -> None:
    trace = recorded(seeded(mlp), nn.CrossEntropyLoss(), batch_for(mlp(), 0), steps=1)
    with pytest.raises(VerifyError, match="activation of '0'"):
        verify.chain_rule(altered(trace, "activations", "0"))


def test_an_output_that_was_overwritten_after_it_was_recorded_is_found() -> None:
    trace = recorded(seeded(mlp), nn.CrossEntropyLoss(), batch_for(mlp(), 0))
    wrong = AlteredTrace(trace, activations={**trace.activations, "0": trace.activations["1"]})  # as by a ReLU in place
    with pytest.raises(VerifyError, match=r"activation of '0' \(Linear\), step 0"):
        verify.chain_rule(wrong)


# ── Between backward and the step ────────────────────────────────────────────────────────────────────────────────


def test_clipping_and_penalties_are_recognised_and_said() -> None:
    model = seeded(mlp)
    clip_norm = recorded(
        model, nn.CrossEntropyLoss(), batch_for(model, 0),
        before_step=lambda: nn.utils.clip_grad_norm_(model.parameters(), 0.01),
    )  # fmt: skip
    assert "all were clipped or rescaled before the step" in str(verify.chain_rule(clip_norm))
    with pytest.raises(VerifyError, match=r"parameter gradient of '0\.weight', step 0"):
        verify.chain_rule(altered(clip_norm, "parameter_gradients", "0.weight"))

    clip_value = recorded(
        model, nn.CrossEntropyLoss(), batch_for(model, 0),
        before_step=lambda: nn.utils.clip_grad_value_(model.parameters(), 0.01),
    )  # fmt: skip
    assert "clipped by value before the step" in str(verify.chain_rule(clip_value))

    def penalise(loss: torch.Tensor) -> torch.Tensor:
        return loss + 0.5 * model[0].weight.square().sum()

    penalty = recorded(model, nn.CrossEntropyLoss(), batch_for(model, 0), loss_of=penalise)
    assert "1 times the weight was added: a penalty on the weights" in str(verify.chain_rule(penalty))


def test_a_gradient_that_nothing_explains_differs() -> None:
    model = seeded(mlp)

    def spoil() -> None:
        model[0].weight.grad += normal(6, 5)

    with pytest.raises(VerifyError, match=r"parameter gradient of '0\.weight', step 0"):
        verify.chain_rule(recorded(model, nn.CrossEntropyLoss(), batch_for(model, 0), before_step=spoil))


# ── What cannot be judged is named ───────────────────────────────────────────────────────────────────────────────


class Doubled(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * x


def pooled_with_places(n: Any, x: torch.Tensor) -> torch.Tensor:
    values, _ = n.p(n.a(x).unsqueeze(1))
    return n.c(values.flatten(1))


@pytest.mark.parametrize(
    ("model", "options", "name", "reason"),
    [
        (nn.Sequential(nn.Linear(5, 3), Doubled()), {}, "1", "the derivative of a Doubled is not worked out here"),
        (nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3)), {"examples": 4}, "1", "record with examples=None"),
        (Net(lambda n, x: n.c(torch.sin(n.a(x)))), {}, "c", "its recorded output is not what it makes of 'a'"),
        (Net(pooled_with_places, p=nn.MaxPool1d(1, return_indices=True)), {}, "p", "not what it makes of 'a'"),
        (nn.Sequential(nn.Linear(5, 3)), {"examples": 4}, "0.weight", "record with examples=None"),
        (nn.Sequential(nn.Linear(5, 3)), {"keep": ("activations", "gradients", "inputs")}, "0", "no parameters"),
    ],
    ids=["unknown layer", "part of a batch", "unseen function", "more outputs", "part of a sum", "not kept"],
)
def test_what_cannot_be_judged_is_named_with_its_reason(
    model: nn.Module, options: dict[str, Any], name: str, reason: str
) -> None:
    trace = recorded(model, nn.CrossEntropyLoss(), (normal(6, 5), classes(6)), **options)
    report = verify.chain_rule(trace, raises=False)
    assert [row.reason for row in report.rows if row.name == name and row.state == "cannot" and reason in row.reason]
    assert reason in str(report)


def test_nothing_judged_is_not_ok() -> None:
    trace = recorded(mlp(), nn.CrossEntropyLoss(), batch_for(mlp(), 0), keep=())
    report = verify.chain_rule(trace, raises=False)
    assert not report.ok
    assert "NOTHING COULD BE JUDGED" in str(report)
    with pytest.raises(VerifyError, match=r"nothing could be judged. .*keep="):
        verify.chain_rule(trace)


def test_a_step_that_was_not_recorded_is_wrong_use() -> None:
    trace = recorded(mlp(), nn.CrossEntropyLoss(), batch_for(mlp(), 0))
    with pytest.raises(TraceError, match="step 7 was not recorded; the nearest is 1"):
        verify.chain_rule(trace, step=7)


def test_micro_batches_are_judged_layer_by_layer() -> None:
    model, criterion = seeded(mlp), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with explainer.record(model, criterion=criterion, optimizer=optimizer, examples=None) as recorder:
        for part in range(3):
            inputs, targets = batch_for(model, part)
            criterion(model(inputs), targets).backward()
        optimizer.step()
    report = verify.chain_rule(recorder.trace)
    assert states(report, "0")["gradient"] in HELD
    assert states(report, "0.weight")["parameter gradient"] in HELD
    assert states(report, "loss")["gradient"] == {"cannot"}


def test_the_joined_trace_of_two_processes_is_judged_as_their_average() -> None:
    model = seeded(mlp)  # two ranks: each gradient is of the mean over half the batch, and parameters' are averaged

    def halve() -> None:
        for parameter in model.parameters():
            parameter.grad /= 2

    twice = recorded(
        model, nn.CrossEntropyLoss(), batch_for(model, 0), loss_of=lambda loss: 2 * loss, before_step=halve
    )
    joined = AlteredTrace(twice, ranks=2, scalars={"loss": np.asarray(twice.scalars["loss"]) / 2})
    report = verify.chain_rule(joined)
    assert {row.state for row in report.rows} == {"equal", "close"}
    assert "to know" not in str(report)


@pytest.mark.parametrize("lesson", ["two-layer", "digits"])
def test_the_lessons_are_true(lesson: str) -> None:
    trace = record_lesson(lesson, **({"steps": 23} if lesson == "digits" else {}))
    report = verify.chain_rule(trace)
    judged = {row.name for row in report.rows if row.state in ("equal", "close")}
    assert judged >= {*trace.layers, "loss"}
    assert verify.updates(trace).judged >= len(trace)


def test_a_tolerance_of_ones_own_is_a_share_of_the_largest_number() -> None:
    trace = recorded(seeded(mlp), nn.CrossEntropyLoss(), batch_for(mlp(), 0))
    wrong = altered(trace, "gradients", "0")
    assert verify.chain_rule(wrong, tolerance=0.01).ok
    with pytest.raises(VerifyError, match="gradient of '0'"):
        verify.chain_rule(wrong, tolerance=0.0001)
