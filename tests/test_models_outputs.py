"""Models whose layers return, take or share something unusual."""

from __future__ import annotations

import warnings
from collections import OrderedDict, namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

import explainer
from explainer import verify
from explainer.errors import RecordingError
from explainer.recorder.about import About
from explainer.recorder.eye import Eye
from explainer.recorder.views import Views
from tests.referee import judge
from tests.zoo import loss_of, noise

Pair = namedtuple("Pair", "first second")


@dataclass(frozen=True)
class Answer:
    logits: torch.Tensor
    hidden: tuple[torch.Tensor, ...] = ()
    note: str = "nothing to record"
    extra: torch.Tensor | None = None


class Gives(nn.Module):
    """A layer with one weight, which returns what a function makes of weight and input."""

    def __init__(self, give: Callable[[torch.Tensor, torch.Tensor], Any]) -> None:
        super().__init__()
        self.weight = nn.Parameter(noise(4, 4))
        self.give = give

    def forward(self, x: torch.Tensor) -> Any:
        return self.give(self.weight, x)


class Around(nn.Module):
    """A linear layer, what it feeds, and a function over that."""

    def __init__(self, inner: nn.Module, after: Callable[[Any], Any] = lambda output: output) -> None:
        super().__init__()
        self.before, self.inner, self.after = nn.Linear(4, 4), inner, after

    def forward(self, *args: torch.Tensor) -> Any:
        return self.after(self.inner(self.before(args[0]), *args[1:]))


def verdict_of(model: nn.Module, *args: Any, **options: Any) -> Any:
    torch.manual_seed(1)
    verdict = judge(model, lambda recorded: loss_of(recorded(*args)), **options)
    assert verdict.faults == []
    return verdict


# The referee finds what is wrong


def test_the_referee_finds_a_gradient_that_is_only_a_part() -> None:
    model = Around(nn.Linear(4, 4), lambda y: y * 3 + y.relu_())
    with mock.patch.object(Views, "way_to", lambda self, name, view, module: (view, lambda gradient: gradient)):
        verdict = judge(model, lambda recorded: loss_of(recorded(noise(3, 2, 4))))
    assert verdict.faults == ["inner: another gradient"]


def test_the_referee_finds_what_is_silently_absent() -> None:
    model = Around(nn.Linear(4, 4), lambda y: y.relu_())
    with (
        mock.patch.object(Views, "way_to", lambda self, name, view, module: (view, lambda gradient: gradient)),
        mock.patch.object(About, "_missing", return_value={}),
    ):
        verdict = judge(model, lambda recorded: loss_of(recorded(noise(3, 2, 4))))
    assert verdict.faults == ["inner: its gradient is silently absent"]


def test_the_referee_finds_activations_that_were_not_copied_and_training_that_was_changed() -> None:
    def spoil(self: Eye, kind: str, tensor: torch.Tensor, **options: Any) -> Any:
        tensor.detach().mul_(2)
        return seen(self, kind, tensor, **options)

    seen, model = Eye.see, Around(nn.Linear(4, 4))
    with mock.patch.object(Eye, "see", spoil):
        verdict = judge(model, lambda recorded: loss_of(recorded(noise(3, 4))))
    assert "training: loss is another" in verdict.faults
    assert "inner: another activation" in verdict.faults


# Structures


@pytest.mark.parametrize(
    ("give", "outputs"),
    [
        (lambda w, x: (x @ w, x * 2), ["inner", "inner[1]"]),
        (lambda w, x: [x @ w, (x * 2, [x * 3])], ["inner", "inner[1][0]", "inner[1][1][0]"]),
        (lambda w, x: {"a": x @ w, "b": {"c": x * 2}}, ["inner", "inner[b][c]"]),
        (lambda w, x: OrderedDict(a=x @ w, b=x * 2), ["inner", "inner[b]"]),
        (lambda w, x: Pair(x @ w, Pair(x * 2, x * 3)), ["inner", "inner[second][first]", "inner[second][second]"]),
        (lambda w, x: Answer(x @ w, (x * 2, x * 3)), ["inner", "inner[hidden][0]", "inner[hidden][1]"]),
        (lambda w, x: {"none": None, "answer": Answer(x @ w)}, ["inner"]),
        (lambda w, x: torch.max(x @ w, dim=1), ["inner", "inner[1]"]),
    ],
    ids=[
        "tuple",
        "nested list",
        "nested dict",
        "ordered dict",
        "named tuple",
        "dataclass",
        "none first",
        "torch's own",
    ],
)
def test_tensors_are_found_in_whatever_structure_a_layer_returns(give: Any, outputs: list[str]) -> None:
    verdict = verdict_of(Around(Gives(give)), noise(3, 4))
    assert list(verdict.trace.layers) == ["before", *outputs]
    whole_numbers = {"inner[1]"} if "Max" in verdict.trace.model.layers["inner"].type else set()
    differentiable = [n for n in verdict.trace.layers if verdict.trace.activations[n][0].dtype.kind == "f"]
    assert verdict.equal == differentiable
    assert whole_numbers <= {*verdict.trace.missing}


@pytest.mark.parametrize(
    "layer",
    [
        nn.RNN(4, 3, num_layers=2),
        nn.LSTM(4, 3, bidirectional=True),
        nn.LSTM(4, 3, num_layers=2, batch_first=True),
        nn.GRU(4, 3, num_layers=2, dropout=0.5, batch_first=True),
        nn.LSTMCell(4, 3),
    ],
    ids=repr,
)
def test_recurrent_layers_are_recorded_with_all_they_return(layer: nn.Module) -> None:
    inputs = noise(5, 4) if isinstance(layer, nn.LSTMCell) else noise(5, 2, 4)
    verdict = verdict_of(Around(layer), inputs)
    states = ["inner[1][0]", "inner[1][1]"] if isinstance(layer, nn.LSTM) else ["inner[1]"]
    read_inside = ["inner[1]"] if isinstance(layer, nn.LSTMCell) else []  # h is computed from c
    assert [name for name in verdict.trace.layers if name not in verdict.equal] == read_inside
    assert list(verdict.trace.layers) == ["before", "inner", *states]


class Packing(nn.Module):
    """Sequences of several lengths, packed before the recurrent layer and after it."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.recur, self.head = nn.Embedding(9, 4), nn.GRU(4, 5), nn.Linear(5, 2)

    def forward(self, words: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        packed, _ = self.recur(pack_padded_sequence(self.embed(words), lengths, enforce_sorted=False))
        assert isinstance(packed, PackedSequence)
        return self.head(pad_packed_sequence(packed)[0])


def test_of_a_packed_sequence_the_data_is_recorded() -> None:
    words = torch.arange(12).reshape(4, 3) % 9
    verdict = verdict_of(Packing(), words, torch.tensor([2, 4, 3]))
    assert verdict.trace.activations["recur"][0].shape == (9, 5)  # (words of all examples, feature)
    assert {"embed", "recur", "head"} <= {*verdict.equal}


@pytest.mark.parametrize("batch_first", [True, False])
def test_attention_is_a_layer_with_its_output_and_its_weights(batch_first: bool) -> None:
    class Attends(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.key, self.attention = nn.Linear(4, 4), nn.MultiheadAttention(4, 2, batch_first=batch_first)

        def forward(self, x: torch.Tensor) -> Any:
            return self.attention(query=x, key=self.key(x), value=x)

    verdict = verdict_of(Attends(), noise(3, 2, 4))
    assert verdict.equal == ["key", "attention", "attention[1]"]
    described = verdict.trace.model.layers["attention"]
    assert "attention.out_proj.weight" in described.parameters and "attention.in_proj_weight" in described.parameters
    assert described.fed_by == ("key", "input")


@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True:UserWarning")  # torch, of its own default
@pytest.mark.parametrize("norm_first", [True, False])
def test_a_transformer_is_recorded_as_zero_probes_see_it(norm_first: bool) -> None:
    model = nn.Transformer(4, 2, 2, 2, dim_feedforward=6, norm_first=norm_first, batch_first=True)
    verdict = verdict_of(model, noise(2, 3, 4), noise(2, 5, 4))
    assert len(verdict.equal) >= len(verdict.trace.layers) - len(verdict.trace.aliases)
    assert not [why for why in verdict.trace.missing.values() if why.startswith("no gradient arrived")]


def test_validation_inside_a_recording_takes_the_same_fast_path_as_without() -> None:
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2, enable_nested_tensor=False)
    inputs = noise(3, 5, 8)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    fused = torch._transformer_encoder_layer_fwd

    def evaluated() -> torch.Tensor:
        model.eval()
        with torch.no_grad(), mock.patch.object(torch, "_transformer_encoder_layer_fwd", wraps=fused) as fast:
            output = model(inputs)
        model.train()
        assert fast.call_count == 2  # a hook on any layer inside would switch it off
        return output

    expected = evaluated()
    with explainer.record(model, optimizer=optimizer) as recorder:
        for _ in range(2):
            recorder.log(loss=(loss := loss_of(model(inputs))))
            loss.backward()
            optimizer.step()
            assert torch.equal(evaluated(), expected)
    assert len(recorder.trace) == 2
    assert len(recorder.trace.gradients["layers.0.linear1"]) == 2


def test_a_layer_that_returns_no_tensor_is_named_so() -> None:
    class Counts(nn.Module):
        def forward(self, x: torch.Tensor) -> int:
            return len(x)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.count, self.head = Counts(), nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(x) * self.count(x)

    assert verdict_of(Model(), noise(3, 4)).trace.missing["count"] == "no activation: the layer returned no tensor"


# Views


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(4, 4), (3, 2, 4)),
        (nn.Linear(4, 4, bias=False), (3, 2, 4)),
        (nn.MaxPool1d(2), (3, 2, 4)),
        (nn.InstanceNorm1d(2), (3, 2, 4)),
    ],
    ids=repr,
)
@pytest.mark.parametrize("change", [lambda y: y.relu_(), lambda y: y.mul_(2).add_(1), lambda y: y * 3 + y.relu_()])
def test_the_gradient_of_a_view_that_is_changed_in_place_is_recorded_whole(
    layer: nn.Module, shape: tuple[int, ...], change: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    assert "inner" in verdict_of(Around(layer, change), noise(*shape)).equal


def test_in_place_activations_and_dropout_after_a_view_are_recorded_too() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.4, inplace=True), nn.ReLU(inplace=True), nn.Linear(4, 2))
    verdict = verdict_of(model, noise(3, 2, 4))
    assert verdict.equal == ["0", "1", "2", "3"]
    assert [verdict.trace.model.layers[name].fed_by for name in "0123"] == [("input",), ("0",), ("1",), ("2",)]


def summed(output: torch.Tensor) -> torch.Tensor:
    output.mul_(2)
    return output.sum()


def test_a_gradient_that_is_one_number_seen_many_times_is_read_through_the_view() -> None:
    assert "inner" in verdict_of(Around(nn.Linear(4, 4), summed), noise(3, 2, 4)).equal


@pytest.mark.parametrize(
    "give",
    [
        lambda w, x: (x @ w)[:, :2],
        lambda w, x: x.view(-1),
        lambda w, x: (x @ w).unsqueeze(0).expand(1, 3, 4).squeeze(0),
        lambda w, x: ((x @ w)[:, :2], (x @ w)[:, 2:]),
    ],
    ids=["slice", "of the input", "expanded", "two"],
)
def test_views_that_are_not_changed_are_recorded(give: Any) -> None:
    verdict = verdict_of(Around(Gives(give)), noise(3, 4))
    assert verdict.equal == list(verdict.trace.layers)


@pytest.mark.parametrize(
    ("inner", "after"),
    [
        (nn.Flatten(0), lambda y: y.relu_()),
        (Gives(lambda w, x: (x @ w).view(-1)), lambda y: y * 3 + y.relu_()),
        (nn.Unflatten(1, (2, 2)), lambda y: y.mul_(2)),
    ],
    ids=["of what another layer made", "in a layer of one's own", "unflattened"],
)
def test_where_others_may_read_the_memory_of_a_changed_view_the_gradient_is_missing_with_its_reason(
    inner: nn.Module, after: Callable[[Any], Any]
) -> None:
    verdict = verdict_of(Around(inner, after), noise(3, 4))
    assert "inner" not in verdict.trace.gradients
    assert "before" in verdict.equal
    assert verdict.trace.missing["inner"].startswith("no gradient: the output is a view that was changed in place")


def test_two_views_of_one_memory_are_missing_when_one_is_changed_for_the_probes_cannot_share_it() -> None:
    def halves(w: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        made = x @ w
        return made[:, :3], made[:, 1:]

    model = Around(Gives(halves), lambda y: (y[0].relu_(), y[1] * 2))
    with explainer.record(model) as recorder:
        loss = loss_of(model(noise(3, 4)))
        loss.backward()
        recorder.step(loss)
    trace = recorder.trace
    assert list(trace.gradients) == ["before"]
    assert {name for name, why in trace.missing.items() if "changed in place" in why} == {"inner", "inner[1]"}


# Outputs that are something else as well


def test_an_output_that_is_the_input_is_an_alias_and_one_changed_in_place_is_not() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Identity(), nn.ReLU(inplace=True), nn.Dropout(0.0))
    assert verdict_of(model, noise(3, 4)).trace.aliases == {"1": "0", "3": "2"}
    model.requires_grad_(False)
    model.append(nn.Linear(4, 4))
    assert verdict_of(model, noise(3, 4)).trace.aliases == {"1": "0", "3": "2"}


def test_an_alias_of_what_no_module_made_names_the_function() -> None:
    assert verdict_of(Adds(), noise(3, 4)).trace.aliases == {"same": "AddBackward0"}


class Adds(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.same, self.head = nn.Linear(4, 4), nn.Identity(), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.same(self.one(x) + x).mean(dim=0))


def test_functions_that_no_module_sees_are_named_where_they_stand() -> None:
    layers = verdict_of(Adds(), noise(3, 4)).trace.model.layers
    assert layers["one"].unseen == ()
    assert layers["same"].unseen == ("AddBackward0",)
    assert layers["head"].unseen == ("MeanBackward1",)
    assert layers["head"].fed_by == ("same",)


def test_functions_between_the_last_layer_and_the_criterion_are_named() -> None:
    model, criterion = Around(nn.Tanh(), lambda y: y.flatten(1) * 2), nn.MSELoss()
    with explainer.record(model, criterion=criterion) as recorder:
        criterion(model(noise(3, 2, 2, 4)), torch.zeros(3, 16)).backward()
        recorder.step()
    judged = recorder.trace.model.criterion
    assert judged is not None and judged.fed_by == ("inner",)
    assert judged.unseen == ("ViewBackward0", "MulBackward0")


def test_a_parameter_that_a_layer_returns_gets_no_hook_and_is_named() -> None:
    model = Around(Gives(lambda w, x: (w, x @ w)))
    weight = model.inner.weight
    with explainer.record(model) as recorder:
        for _ in range(5):
            model.zero_grad()
            loss = loss_of(model(noise(3, 4)))
            loss.backward()
            assert not weight._backward_hooks
            recorder.step(loss)
    trace = recorder.trace
    assert "parameter" in trace.missing["inner"] and "inner" not in trace.gradients
    assert len(trace.parameter_gradients["inner.weight"]) == 5


def test_an_output_that_the_layer_itself_reads_for_another_is_named() -> None:
    def routed(w: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits = x @ w
        return logits, logits.softmax(dim=1)

    model = Around(Gives(routed))
    verdict = verdict_of(model, noise(3, 4))
    assert "the whole tensor's" in verdict.trace.missing["inner"]
    assert verdict.equal == ["before", "inner[1]"]
    report = verify.captures(model, loss_of, ((noise(3, 4),), None))  # the library's judge takes the reason too
    assert [row.name for row in report.rows if row.what == "gradient" and row.state == "missing"] == ["inner"]


# Parameters


def test_tied_weights_are_recorded_once_and_both_names_are_told() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Embedding(6, 4), nn.Linear(4, 6, bias=False)
            self.head.weight = self.embed.weight

        def forward(self, words: torch.Tensor) -> torch.Tensor:
            return self.head(self.embed(words))

    trace = verdict_of(Tied(), torch.arange(5), keep=None).trace
    assert trace.model.tied == {"head.weight": "embed.weight"}
    assert list(trace.parameters) == ["embed.weight"]
    assert trace.model.layers["head"].parameters == {"embed.weight": (6, 4)}


def test_frozen_and_unused_parameters_are_named() -> None:
    model = Around(nn.Linear(4, 4))
    model.before.requires_grad_(False)
    model.spare = nn.Parameter(noise(2))
    trace = verdict_of(model, noise(3, 4)).trace
    assert trace.missing["before.weight"] == "no parameter gradient: it is frozen"
    assert trace.missing["spare"] == "no parameter gradient: none arrived"
    assert trace.missing["before"] == "no gradient: the output does not require one"


def test_a_lazy_model_is_asked_to_run_once_and_then_records() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch says that lazy modules may change
        model = nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.LazyLinear(2))
    with pytest.raises(RecordingError, match=r"'0\.weight' has no shape yet: run the lazy model once"):
        explainer.record(model)
    model(noise(3, 5))
    assert verdict_of(model, noise(3, 5)).equal == ["0", "1", "2"]


# Numbers of other kinds, and batches of other sizes


class Spectrum(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.wave = Gives(lambda w, x: torch.fft.fft(x @ w))
        self.mix = nn.Linear(4, 3, dtype=torch.complex64)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.mix(self.wave(x)).abs()


def test_complex_numbers_are_recorded_as_real_and_imaginary_part() -> None:
    verdict = verdict_of(Spectrum(), noise(3, 4), keep=None)
    trace = verdict.trace
    assert verdict.equal == ["wave", "mix"]
    assert trace.activations["mix"][0].shape == (3, 3, 2)
    assert trace.model.layers["mix"].dtype == "complex64"
    assert trace.parameters["mix.weight"][0].shape == trace.parameter_gradients["mix.weight"][0].shape == (3, 4, 2)
    values = trace.activations["mix"][0]
    norm = np.linalg.norm(values[..., 0] + 1j * values[..., 1])
    assert trace.statistics["activations"]["mix"]["norm"][0] == pytest.approx(norm)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64])
def test_whole_numbers_are_recorded_and_named_as_without_gradient(dtype: torch.dtype) -> None:
    model = Around(Gives(lambda w, x: ((x @ w).gt(0).to(dtype), x @ w)))
    trace = verdict_of(model, noise(3, 4)).trace
    assert trace.activations["inner"][0].dtype == np.dtype(str(dtype).removeprefix("torch."))
    assert trace.missing["inner"] == "no gradient: the output does not require one"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_floats_are_recorded(dtype: torch.dtype) -> None:
    model = Around(nn.Linear(4, 4)).to(dtype)
    verdict = verdict_of(model, noise(3, 2, 4).to(dtype), keep=None)
    assert verdict.equal == ["before", "inner"]
    assert verdict.trace.model.layers["inner"].dtype == str(dtype).removeprefix("torch.")


@pytest.mark.parametrize("after", [lambda y: y, lambda y: y.sum()], ids=["(0, 4)", "()"])
def test_empty_batches_are_recorded(after: Callable[[torch.Tensor], torch.Tensor]) -> None:
    verdict = verdict_of(Around(nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 4)), after), torch.zeros(0, 4))
    assert verdict.trace.activations["inner.1"][0].shape == (0, 4)
    assert verdict.equal == ["before", "inner.0", "inner.1"]
    assert verdict.trace.model.layers["inner.1"].fed_by == ("inner.0",)


def test_single_numbers_are_recorded() -> None:
    verdict = verdict_of(Around(Gives(lambda w, x: (x @ w).sum())), noise(3, 4))
    assert verdict.trace.activations["inner"][0].shape == ()
    assert verdict.equal == ["before", "inner"]


def test_batches_of_several_sizes_are_recorded_each_as_it_is() -> None:
    model = Around(nn.Linear(4, 4))
    with explainer.record(model, examples=None) as recorder:
        for size in (4, 4, 0, 1):
            loss = loss_of(model(noise(size, 2, 4)))
            loss.backward()
            recorder.step(loss)
    activations = recorder.trace.activations["inner"]
    assert [activations[step].shape for step in range(4)] == [(4, 2, 4), (4, 2, 4), (0, 2, 4), (1, 2, 4)]
