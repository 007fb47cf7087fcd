"""Stages: any recorded model in a dozen at most, grouped by its own names, with who feeds whom and what skips."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from networks import Residual, mlp, seeded  # noqa: E402
from torch import nn  # noqa: E402
from zoo import classifier, loss_of  # noqa: E402

import explainer  # noqa: E402
from explainer.stages import BLOCK, MAPS, UNITS, Skip, Stage, stages  # noqa: E402


class Words(nn.Module):
    """Token numbers to a class, through what stands between an embedding and a linear head."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(20, 16), nn.Linear(16, 4)
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, norm_first=kind == "norms first")
        several = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
        self.encoder = nn.LSTM(16, 16, batch_first=True) if kind == "lstm" else several

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        output: Any = self.encoder(self.embed(tokens))
        return self.head((output if torch.is_tensor(output) else output[0]).mean(dim=1))


class UNet(nn.Module):
    """Down and up again; what was on the way down is laid beside what comes up."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.low, self.up = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1), nn.Upsample(8)
        self.wide = nn.Conv2d(4, 4, 3, padding=1)
        self.last = nn.Conv2d(8, 2, 3, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        down = self.down(image)
        up = self.wide(self.up(self.low(nn.functional.max_pool2d(down, 2))))
        return self.last(torch.cat([down, up], dim=1))


class Patches(nn.Module):
    """A convolution, then layers for which the channels are last, as in a Swin transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.cut, self.mix = nn.Conv2d(3, 12, 2, stride=2), nn.Linear(12, 24)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.mix(self.cut(image).permute(0, 2, 3, 1))


def cnn() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(400, 20), nn.ReLU(), nn.Dropout(0.2), nn.Linear(20, 3), nn.LogSoftmax(dim=1),
    )  # fmt: skip


def deep() -> nn.Sequential:
    return nn.Sequential(*[part for _ in range(30) for part in (nn.Linear(5, 5), nn.Tanh())])


MODELS = {
    "mlp": (lambda: seeded(mlp), (4, 5)),
    "cnn": (cnn, (4, 3, 16, 16)),
    "residual": (lambda: seeded(Residual), (4, 1, 6, 6)),
    "deep": (deep, (4, 5)),
    "unet": (UNet, (2, 1, 8, 8)),
    "encoder": (lambda: Words("encoder"), (4, 10)),
    "lstm": (lambda: Words("lstm"), (4, 10)),
    "resnet18": (lambda: classifier("resnet18")[0], (2, 3, 32, 32)),
    "norms first": (lambda: Words("norms first"), (4, 10)),
    "mobilenet_v2": (lambda: classifier("mobilenet_v2")[0], (2, 3, 32, 32)),
    "patches": (Patches, (2, 3, 8, 8)),
}


@cache
def recorded(name: str) -> explainer.Trace:
    """One step of a model, without its tensors."""
    make, shape = MODELS[name]
    model = make()
    inputs = torch.randint(0, 20, shape) if name in ("encoder", "norms first", "lstm") else torch.randn(shape)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with explainer.record(model, optimizer=optimizer, keep=(), examples=1) as recorder:
        loss_of(model(inputs)).backward()
        optimizer.step()
    return recorder.trace


def of(name: str, most: int = 12) -> tuple[Stage, ...]:
    return stages(recorded(name).model, most)


def test_a_dense_network_has_a_stage_for_each_weight_matrix_with_what_follows_it() -> None:
    found = of("mlp")
    assert [(stage.title, stage.kind, stage.shape, stage.members) for stage in found] == [
        ("input", UNITS, (5,), ()), ("Linear", UNITS, (6,), ("0", "1")), ("Linear", UNITS, (3,), ("2",)),
    ]  # fmt: skip
    assert [stage.parameter_count for stage in found] == [0, 36, 21]
    assert [stage.output for stage in found] == ["input", "1", "2"]


def test_a_convolution_has_maps_and_where_they_are_flattened_units_begin() -> None:
    assert [(stage.type, stage.kind, stage.count, stage.members) for stage in of("cnn")] == [
        ("", MAPS, 3, ()), ("Conv2d", MAPS, 8, ("0", "1", "2", "3")), ("Conv2d", MAPS, 16, ("4", "5")),
        ("Flatten", UNITS, 400, ("6",)), ("Linear", UNITS, 20, ("7", "8", "9")), ("Linear", UNITS, 3, ("10", "11")),
    ]  # fmt: skip


def test_a_resnet_becomes_its_eight_blocks_each_with_an_arrow_past_it() -> None:
    found = of("resnet18")
    assert len(recorded("resnet18").layers) == 60
    blocks = [f"layer{layer}.{block}" for layer in range(1, 5) for block in range(2)]
    assert [stage.name for stage in found] == ["input", "conv1", *blocks, "fc"]
    assert [stage.kind for stage in found] == [MAPS, MAPS, *[BLOCK] * 8, UNITS]
    assert [stage.skips for stage in found[2:10]] == [(Skip(at - 1, at, after=True),) for at in range(2, 10)]
    assert [stage.fed_by for stage in found] == [(), *((before,) for before in range(len(found) - 1))]
    assert found[4].members[0] == "layer2.0.conv1" and found[4].output == "layer2.0.relu:1"


def test_with_less_room_its_four_layers() -> None:
    assert [stage.name for stage in of("resnet18", 8)] == ["input", "conv1", *(f"layer{n}" for n in range(1, 5)), "fc"]


def test_a_transformers_sublayers_have_a_sum_around_each_half() -> None:
    found = of("encoder")
    assert [stage.name for stage in found[1:5]] == [
        "embed", "encoder.layers.0.self_attn", "encoder.layers.0.linear1", "encoder.layers.0.linear2",
    ]  # fmt: skip
    assert [stage.skips for stage in found[1:5]] == [(), (Skip(1, 2, after=True),), (), (Skip(2, 4, after=True),)]
    assert found[2].members == tuple(f"encoder.layers.0.{each}" for each in ("self_attn", "dropout1", "norm1"))
    blocks = of("encoder", 8)
    assert [stage.name for stage in blocks] == ["input", "embed", *(f"encoder.layers.{n}" for n in range(3)), "head"]
    assert [stage.skips for stage in blocks[2:5]] == [(Skip(at - 1, at, after=True),) for at in (2, 3, 4)]


def test_a_sum_that_no_module_sees_is_passed_on_once() -> None:
    """Each block that begins with its norm reads the sum of all blocks before it: one arrow, not one from each."""
    assert len(recorded("norms first").model.layers["encoder.layers.2.norm1"].fed_by) == 5
    skips = [stage.skips for stage in of("norms first", 8)]
    assert skips == [(), (), *((Skip(at - 1, at, after=True),) for at in (2, 3, 4)), ()]


def test_a_connection_over_several_stages_enters_where_it_is_read() -> None:
    found = of("unet")
    assert [stage.name for stage in found] == ["input", "down", "low", "wide", "last"]
    assert [stage.skips for stage in found] == [(), (), (), (), (Skip(1, 4, after=False),)]
    assert found[4].fed_by == (1, 3)


def test_a_sum_within_a_stage_goes_past_it() -> None:
    found = of("residual")
    assert [(stage.name, stage.kind) for stage in found[1:]] == [
        ("stem", MAPS), ("block", MAPS), ("flat", UNITS), ("head", UNITS),
    ]  # fmt: skip
    assert [stage.skips for stage in found] == [(), (), (Skip(1, 2, after=True),), (), ()]


def test_what_is_neither_units_nor_maps_is_a_block() -> None:
    assert [(stage.name, stage.kind, stage.shape) for stage in of("lstm")] == [
        ("input", UNITS, (10,)), ("embed", BLOCK, (10, 16)), ("encoder", BLOCK, (10, 16)), ("head", UNITS, (4,)),
    ]  # fmt: skip


def test_equal_layers_in_one_list_are_put_together_evenly() -> None:
    found = of("deep", 12)
    assert len(found) == 12
    lengths = [len(stage.weighted) for stage in found[1:]]
    assert sum(lengths) == 30 and max(lengths) - min(lengths) <= 1
    assert (found[1].name, found[-1].name) == ("0–4", "54–58")
    assert found[1].title == "layers 0–4"


def test_channels_that_stand_last_are_counted_there() -> None:
    _, cut, mix = of("patches")
    assert (cut.shape, cut.count, cut.channels_last) == ((12, 4, 4), 12, False)
    assert (mix.shape, mix.count, mix.channels_last, mix.kind) == ((4, 4, 24), 24, True, MAPS)


@pytest.mark.parametrize("most", [2, 3, 5, 8, 12, 40])
@pytest.mark.parametrize("name", MODELS)
def test_every_layer_is_in_one_stage_in_forward_order_and_there_are_not_too_many(name: str, most: int) -> None:
    found, trace = of(name, most), recorded(name)
    called = [layer for layer, about in trace.model.layers.items() if about.output_shape is not None]
    assert [member for stage in found for member in stage.members] == called
    assert len(found) <= most
    once = {key: shape for layer in trace.model.layers.values() for key, shape in layer.parameters.items()}
    assert sum(stage.parameter_count for stage in found) == sum(math.prod(shape) for shape in once.values())
    for place, stage in enumerate(found):
        assert all(before < place for before in stage.fed_by)
        assert all(skip.start < skip.end == place for skip in stage.skips)
        assert stage.shape == (trace.model.layers[stage.output].output_shape[1:] if place else stage.shape)
    assert len({stage.name for stage in found}) == len(found)

