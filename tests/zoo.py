"""torchvision's models, with inputs as small as they take: how each is made, and what it is fed."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import fields, is_dataclass
from types import ModuleType
from typing import Any
from unittest import mock

import torch
from torch import nn

from explainer.lessons.vision import torchvision

_PATTERN = 65_537  # a prime number of values is repeated all over
_RANDOM = (
    "uniform_", "normal_", "trunc_normal_", "xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "kaiming_normal_",
)  # fmt: skip


@contextmanager
def quick_weights() -> Iterator[None]:
    """Let `torch.nn.init` draw its numbers from a short pattern: a billion random ones take half a minute."""
    pattern = torch.randn(_PATTERN, generator=torch.Generator().manual_seed(5))
    drawn = 0

    def fill(tensor: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        nonlocal drawn
        drawn += 1
        scale = (tensor[0].numel() if tensor.ndim > 1 else tensor.numel()) ** -0.5
        values = pattern.roll(997 * drawn) * scale
        whole = tensor.numel() // _PATTERN
        with torch.no_grad():
            flat = tensor.view(-1)
            flat[: whole * _PATTERN].view(whole, _PATTERN).copy_(values.expand(whole, -1))
            flat[whole * _PATTERN :] = values[: tensor.numel() - whole * _PATTERN]
        return tensor

    originals = {name: getattr(nn.init, name) for name in _RANDOM}
    for name in _RANDOM:
        setattr(nn.init, name, fill)
    try:
        yield
    finally:
        for name, original in originals.items():
            setattr(nn.init, name, original)


@functools.cache
def models() -> ModuleType:
    found: ModuleType = torchvision().models
    return found


def names(family: str = "") -> list[str]:
    """Return the names of torchvision's classifiers, or of a family such as "segmentation"."""
    listed: list[str] = models().list_models(module=getattr(models(), family) if family else models())
    return listed


def made(name: str, **settings: Any) -> nn.Module:
    """Make one of torchvision's models without trained weights."""
    settings = {"weights": None, **settings}
    with quick_weights(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # googlenet and inception tell of their own initialisation
        model: nn.Module = models().get_model(name, **settings)
    if name.startswith("vit"):
        nn.init.normal_(model.heads.head.weight, std=0.02)  # they begin at 0, where no gradient passes
    return model


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


@contextmanager
def built_with(module: ModuleType, name: str, **settings: Any) -> Iterator[None]:
    """Let a class of torchvision's be built with other settings than those that a model's recipe gives it."""
    original = getattr(module, name)

    def build(*args: Any, **kwargs: Any) -> Any:
        given = inspect.signature(original).bind(*args, **kwargs)
        given.arguments |= settings
        return original(*given.args, **given.kwargs)

    with mock.patch.object(module, name, build):
        yield


# Classifiers: (example, 3, side, side)

_SIDES = {"alexnet": 64, "inception_v3": 299, "maxvit_t": 64, "vit_b_32": 64, "vit_l_32": 64, "vit_h_14": 28}


def classifier(name: str, *, narrow: bool = True) -> tuple[nn.Module, tuple[Any, ...]]:
    """Make one of torchvision's classifiers.

    Args:
        narrow: Whether those with the most weights (0.06 to 0.65 billion) are made a few times narrower: as deep, of
            the same modules.
    """
    side = _SIDES.get(name, 32)
    own = {"image_size": side} if name.startswith("vit") else {}
    with ExitStack() as settings:
        if narrow:
            for each in _narrower(name):
                settings.enter_context(each)
        if name == "maxvit_t":
            small = built_with(models().maxvit, "MaxVit", input_size=(side, side), partition_size=2)
            settings.enter_context(small)
        model = made(name, **own)
    if narrow and name.startswith(("alexnet", "vgg")):
        _narrow_head(model.classifier)
    return model, (noise(2 if name == "inception_v3" else 4, 3, side, side),)


def _narrower(name: str) -> Iterator[AbstractContextManager[None]]:
    if name in ("vit_h_14", "vit_l_16", "vit_l_32"):
        width = 320 if name == "vit_h_14" else 256
        transformer = models().vision_transformer
        yield built_with(transformer, "VisionTransformer", hidden_dim=width, mlp_dim=4 * width)
    if name == "regnet_y_128gf":
        blocks = models().regnet.BlockParams.from_init_params(27, 112, 40.2, 2.52, 64, se_ratio=0.25)
        yield built_with(models().regnet, "RegNet", block_params=blocks)
    if name == "convnext_large":
        widths = [64, 128, 256, 512, None]
        settings = [
            models().convnext.CNBlockConfig(*widths[stage : stage + 2], layers)
            for stage, layers in enumerate((3, 3, 27, 3))
        ]
        yield built_with(models().convnext, "ConvNeXt", block_setting=settings)


def _narrow_head(head: nn.Sequential) -> None:
    """Give 256 units to the two hidden layers of 4,096, which hold nine of ten weights of alexnet and vgg."""
    places = [place for place, layer in enumerate(head) if isinstance(layer, nn.Linear)]
    widths = [head[places[0]].in_features, 256, 256, head[places[-1]].out_features]
    with quick_weights():
        for place, before, after in zip(places, widths, widths[1:], strict=False):
            head[place] = nn.Linear(before, after)


# Segmentation, video, optical flow, detection


def segmenter(name: str) -> tuple[nn.Module, tuple[Any, ...]]:
    return made(name, weights_backbone=None, num_classes=5), (noise(3, 3, 48, 48),)


def video_classifier(name: str) -> tuple[nn.Module, tuple[Any, ...]]:
    if name.startswith("mvit"):
        with built_with(models().video.mvit, "MViT", spatial_size=(32, 32), temporal_size=4):
            return made(name), (noise(2, 3, 4, 32, 32),)
    model = made(name)
    if name == "s3d":
        model.avgpool = nn.AdaptiveAvgPool3d(1)  # its own wants 224 × 224
    return model, (noise(2, 3, 8, 32, 32),)


def flow_estimator(name: str) -> tuple[nn.Module, tuple[Any, ...]]:
    return made(name), (noise(1, 3, 128, 128), noise(1, 3, 128, 128).flip(-1), 2)


def detector(name: str) -> tuple[nn.Module, tuple[Any, ...]]:
    """Make a detector, with two images and what is to be found in them: it returns its losses."""
    small = {} if name.startswith("ssd") else {"min_size": 64, "max_size": 96}
    boxes = torch.tensor([[4.0, 6.0, 40.0, 44.0], [20.0, 10.0, 60.0, 50.0]])
    found = {"boxes": boxes, "labels": torch.tensor([1, 2])}
    images = [noise(3, 64, 80), noise(3, 72, 64)][: 1 if name == "ssd300_vgg16" else 2]
    return made(name, weights_backbone=None, num_classes=4, **small), (images, [dict(found) for _ in images])


# What is minimised


def loss_of(output: Any) -> torch.Tensor:
    """Return one number that depends on every number of an output, on each differently."""
    parts = []
    for tensor in tensors_in(output):
        if tensor.requires_grad:
            real = torch.view_as_real(tensor) if tensor.is_complex() else tensor
            parts.append((real * torch.linspace(-1, 2, real.numel(), dtype=real.dtype).view_as(real)).sum())
    return sum(parts[1:], start=parts[0])


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from tensors_in(list(value.values()))
    elif isinstance(value, tuple | list):
        for each in value:
            yield from tensors_in(each)
    elif is_dataclass(value):
        yield from tensors_in([getattr(value, each.name) for each in fields(value)])
