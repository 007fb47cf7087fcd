"""Every model of torchvision: recorded right, named where nothing can be recorded, and trained as if nobody looked."""

from __future__ import annotations

import gc
from collections.abc import Iterator

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
NOT_ASKED = "no activation: the layer was not called", "no gradient: the output does not require one"


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


def test_there_are_80_classifiers() -> None:
    assert len(zoo.names()) == 80


@pytest.mark.parametrize("name", zoo.names())
def test_a_classifier_is_recorded_as_zero_probes_see_it_and_trained_as_without(name: str) -> None:
    verdict = judged(*zoo.classifier(name))
    assert verdict.faults == []
    assert absent(verdict) == {}
    assert len(verdict.equal) >= len(verdict.trace.layers) - len(verdict.trace.aliases) > 5


@pytest.mark.parametrize("name", zoo.names("segmentation"))
def test_a_segmenter_is_recorded_as_zero_probes_see_it_and_trained_as_without(name: str) -> None:
    verdict = judged(*zoo.segmenter(name))
    assert verdict.faults == []
    assert absent(verdict) == {}
    assert verdict.equal == list(verdict.trace.layers)


@pytest.mark.parametrize("name", zoo.names("video"))
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
