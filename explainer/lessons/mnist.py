"""MNIST through torchvision, from a folder or downloaded."""

import gzip
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch

from explainer.errors import LessonError
from explainer.lessons.digits import Images
from explainer.lessons.vision import torchvision

_PARTS = {"train": "train", "test": "t10k"}


def mnist(data_dir: str | Path | None, *, download: bool) -> Images:
    """Read MNIST; where only its 10,000 test images lie, they are divided into 8,000 to learn from and 2,000 to test.

    Args:
        data_dir: As torchvision lays it out: `MNIST/raw/*-ubyte` below it, gzipped or not.
        download: Whether torchvision may download what is not there.

    Raises:
        LessonError: The files are not there, and may not be downloaded.
        MissingDependency: torchvision is not installed.
    """
    if data_dir is None:
        raise LessonError("lesson 'digits' with data='mnist' needs data_dir, the folder that holds MNIST/raw")
    folder = Path(data_dir)
    datasets = torchvision().datasets
    if download:
        datasets.MNIST(str(folder), download=True)
    with tempfile.TemporaryDirectory() as unpacked:
        found = {part for part, prefix in _PARTS.items() if _unpack(folder, prefix, Path(unpacked))}
        if "test" not in found:
            raise LessonError(f"{folder} holds no MNIST/raw/t10k-images-idx3-ubyte: give its folder, or download=True")
        sets = {part: datasets.MNIST(unpacked, train=part == "train", download=False) for part in sorted(found)}
        pixels = {part: _pixels(each) for part, each in sets.items()}
    test, test_digits = pixels["test"]
    if "train" in pixels:
        return Images(*pixels["train"], test, test_digits, "MNIST: 60,000 images to learn from, 10,000 to test")
    caption = "MNIST's 10,000 test images: 8,000 to learn from, 2,000 to test"
    return Images(test[:8000], test_digits[:8000], test[8000:], test_digits[8000:], caption)


def _unpack(folder: Path, prefix: str, target: Path) -> bool:
    """Lay a part of MNIST where torchvision reads it without a checksum; returns whether it is there."""
    names = [f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"]
    raw = target / "MNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for name in names:
        plain, packed = folder / "MNIST" / "raw" / name, folder / "MNIST" / "raw" / f"{name}.gz"
        if plain.is_file():
            shutil.copyfile(plain, raw / name)
        elif packed.is_file():
            with gzip.open(packed) as source, open(raw / name, "wb") as sink:
                shutil.copyfileobj(source, sink)
        else:
            (raw / name).touch()  # torchvision reads no part before all four files are there
    return all((raw / name).stat().st_size > 0 for name in names)


def _pixels(images: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (image, 784) between −1 and 1, as Normalize(0.5, 0.5) makes them, and (image,) digits."""
    return (images.data.float() / 255 * 2 - 1).flatten(1), images.targets.clone()
