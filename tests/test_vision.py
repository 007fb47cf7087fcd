"""torchvision is there for its data, transforms and models, whether its compiled operators load or not."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from explainer.errors import MissingDependency
from explainer.lessons import vision

installed = pytest.mark.skipif(
    find_spec("torchvision") is None, reason="torchvision is not installed: pip install 'explainer[mnist]'"
)


@installed
def test_a_model_of_torchvision_runs() -> None:
    model = vision.torchvision().models.resnet18().eval()
    with torch.no_grad():
        assert model(torch.rand(1, 3, 64, 64)).shape == (1, 1000)


@installed
def test_transforms_and_data_sets_of_torchvision_work() -> None:
    torchvision = vision.torchvision()
    images = torchvision.datasets.FakeData(size=1, image_size=(3, 8, 8), transform=torchvision.transforms.ToTensor())
    image, _ = images[0]
    assert image.shape == (3, 8, 8)
    assert torchvision.datasets.MNIST


@pytest.fixture
def unfit_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A torchvision that describes an operator which did not load, as the real one does beside a CPU torch."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "half.py").write_text("")
    (package / "__init__.py").write_text(
        "import torch\n"
        "from torchvision import half\n"
        "@torch.library.register_fake('torchvision::not_loaded')\n"
        "def describe(): ...\n"
        "models = 'the models'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield package
    for name in ("torchvision", "torchvision.half"):
        sys.modules.pop(name, None)


def test_a_torchvision_whose_operators_do_not_load_is_imported_without_them(unfit_torchvision: Path) -> None:
    register_fake = torch.library.register_fake
    assert vision.torchvision().models == "the models"
    assert sys.modules["torchvision.half"] is vision.torchvision().half
    assert torch.library.register_fake is register_fake


def test_torch_is_as_before_when_the_second_import_fails_too(unfit_torchvision: Path) -> None:
    (unfit_torchvision / "half.py").write_text(
        "import torch\nif torch.library.register_fake.__module__ != 'torch.library': raise OSError('truly broken')\n"
    )
    register_fake = torch.library.register_fake
    with pytest.raises(OSError, match="truly broken"):
        vision.torchvision()
    assert torch.library.register_fake is register_fake


def test_another_failure_of_torchvision_is_not_hidden(unfit_torchvision: Path) -> None:
    (unfit_torchvision / "half.py").write_text("raise RuntimeError('something else')\n")
    with pytest.raises(RuntimeError, match="something else"):
        vision.torchvision()


def test_a_missing_torchvision_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(MissingDependency, match=r"MNIST needs torchvision.*pip install 'explainer\[mnist\]'"):
        vision.torchvision()
