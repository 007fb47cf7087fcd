"""Every model of torchvision: recorded right, named where nothing can be recorded, and trained as if nobody looked.

Of models that are made of the same kinds of modules, one is tested by default; all of them are with `--thorough`.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from explainer.lessons.vision import operators_load
from tests import zoo
from tests.referee import Verdict, judge

pytestmark = pytest.mark.slow

NEED_OPERATORS = {  # nms and roi_align are compiled, and PyPI has them for the GPU build of torch only
    "fasterrcnn_mobilenet_v3_large_320_fpn", "fasterrcnn_mobilenet_v3_large_fpn", "fasterrcnn_resnet50_fpn",
    "fasterrcnn_resnet50_fpn_v2", "keypointrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2",
}  # fmt: skip
SIZES = {  # one of them: others that are of the same kinds of modules, and differ in how many and how wide these are
    "convnext_tiny": ["convnext_small", "convnext_base", "convnext_large"],
    "densenet121": ["densenet161", "densenet169", "densenet201"],
    "efficientnet_b0": [f"efficientnet_b{size}" for size in range(1, 8)],
    "efficientnet_v2_s": ["efficientnet_v2_m", "efficientnet_v2_l"],
    "mnasnet0_5": ["mnasnet0_75", "mnasnet1_0", "mnasnet1_3"],
    "regnet_x_400mf": [f"regnet_x_{size}" for size in ("800mf", "1_6gf", "3_2gf", "8gf", "16gf", "32gf")],
    "regnet_y_400mf": [f"regnet_y_{size}" for size in ("800mf", "1_6gf", "3_2gf", "8gf", "16gf", "32gf", "128gf")],
    "resnet18": ["resnet34"],
    "resnet50": ["resnet101", "resnet152", "wide_resnet50_2", "wide_resnet101_2"],
    "resnext50_32x4d": ["resnext101_32x8d", "resnext101_64x4d"],
    "shufflenet_v2_x0_5": ["shufflenet_v2_x1_0", "shufflenet_v2_x1_5", "shufflenet_v2_x2_0"],
    "swin_t": ["swin_s", "swin_b"],
    "swin_v2_t": ["swin_v2_s", "swin_v2_b"],
    "vgg11": ["vgg13", "vgg16", "vgg19"],
    "vgg11_bn": ["vgg13_bn", "vgg16_bn", "vgg19_bn"],
    "vit_l_32": ["vit_b_16", "vit_b_32", "vit_l_16", "vit_h_14"],
    "deeplabv3_resnet50": ["deeplabv3_resnet101"],
    "fcn_resnet50": ["fcn_resnet101"],
    "swin3d_t": ["swin3d_s", "swin3d_b"],
}
NOT_ASKED = "no activation: the layer was not called", "no gradient: the output does not require one"


def each(names: list[str]) -> list[Any]:
    """Return the names, with those marked that only a thorough run tests."""
    others = {name for same in SIZES.values() for name in same}
    return [pytest.param(name, marks=[pytest.mark.thorough] if name in others else []) for name in names]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small tensors are faster without a second thread; and what one model took is given back before the next."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    gc.collect()


def judged(model: torch.nn.Module, args: tuple[object, ...]) -> Verdict:
    return judge(model, lambda recorded: zoo.loss_of(recorded(*args)))


def absent(verdict: Verdict) -> dict[str, str]:
    """Return the layers without activation or gradient, but for those that are not called or train nothing."""
    missing = verdict.trace.missing.items()
    return {name: why for name, why in missing if not why.startswith(("no parameter gradient", *NOT_ASKED))}


def kinds(name: str) -> set[type]:
    family = {"segmenter": zoo.names("segmentation"), "video_classifier": zoo.names("video")}
    make = next((getattr(zoo, make) for make, names in family.items() if name in names), zoo.classifier)
    return {type(module) for module in make(name)[0].modules()}


def test_there_are_80_classifiers() -> None:
    assert len(zoo.names()) == 80


@pytest.mark.thorough
@pytest.mark.parametrize(("one", "others"), SIZES.items(), ids=SIZES)
def test_what_one_size_stands_for_is_of_the_same_kinds_of_modules(one: str, others: list[str]) -> None:
    expected = kinds(one)
    for other in others:
        assert kinds(other) == expected, other


@pytest.mark.parametrize("name", each(zoo.names()))
def test_a_classifier_is_recorded_as_zero_probes_see_it_and_trained_as_without(name: str) -> None:
    verdict = judged(*zoo.classifier(name))
    assert verdict.faults == []
    assert absent(verdict) == {}
    assert len(verdict.equal) >= len(verdict.trace.layers) - len(verdict.trace.aliases) > 5


@pytest.mark.parametrize("name", each(zoo.names("segmentation")))
def test_a_segmenter_is_recorded_as_zero_probes_see_it_and_trained_as_without(name: str) -> None:
    verdict = judged(*zoo.segmenter(name))
    assert verdict.faults == []
    assert absent(verdict) == {}
    assert verdict.equal == list(verdict.trace.layers)


@pytest.mark.parametrize("name", each(zoo.names("video")))
def test_a_video_model_is_recorded_as_zero_probes_see_it_and_trained_as_without(name: str) -> None:
    verdict = judged(*zoo.video_classifier(name))
    assert verdict.faults == []
    assert absent(verdict) == {}
    assert len(verdict.equal) >= len(verdict.trace.layers) - len(verdict.trace.aliases) > 5


@pytest.mark.parametrize("name", zoo.names("optical_flow"))
def test_an_optical_flow_model_is_recorded_as_zero_probes_see_it_and_trained_as_without(name: str) -> None:
    verdict = judged(*zoo.flow_estimator(name))
    assert verdict.faults == []
    assert absent(verdict) == {}
    assert any(":1" in layer for layer in verdict.trace.layers)  # it calls the same layers again and again


@pytest.mark.parametrize("name", sorted({*zoo.names("detection")} - NEED_OPERATORS))
def test_a_detector_is_recorded_as_zero_probes_see_it_and_trained_as_without(name: str) -> None:
    verdict = judged(*zoo.detector(name))
    assert verdict.faults == []
    assert absent(verdict) == {}
    assert len(verdict.equal) > 50


@pytest.mark.skipif(operators_load(), reason="torchvision's compiled operators are here: these models run")
@pytest.mark.parametrize("name", sorted(NEED_OPERATORS))
def test_a_detector_that_needs_compiled_operators_says_so_and_not_the_recorder(name: str) -> None:
    model, args = zoo.detector(name)
    with pytest.raises(RuntimeError, match="custom C\\+\\+ ops"):
        model(*args)
