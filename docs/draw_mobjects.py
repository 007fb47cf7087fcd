"""Draw the pictures of mobjects.md: its blocks are run in their order, and what each calls `shown` is drawn.

python docs/draw_mobjects.py            # all of them, into renders/gallery/mobjects
python docs/draw_mobjects.py Bars Grid  # some of them
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from manim import Camera, Mobject
from PIL import Image

from explainer.theme import DARK

PAGE = Path(__file__).with_name("mobjects.md")
PICTURES = PAGE.parent.parent / "renders" / "gallery" / "mobjects"
WIDTH = 480  # pixels
SCALE = 60  # pixels to a frame unit, as in a film of 480p
HIGHEST = 300  # pixels
MARGIN = 0.25  # frame units, around what is shown
LARGEST = 24_000  # bytes


@dataclass(frozen=True)
class Section:
    """A name's part of the page.

    Attributes:
        says: What stands under the heading, before the block and the picture.
        code: Its block; empty where there is none.
        drawn: Whether the page links a picture.
    """

    name: str
    says: str
    code: str
    drawn: bool


def read_page() -> tuple[str, list[Section]]:
    """Return the block that all others go on from, and the page's sections in their order."""
    head, *parts = re.split(r"^### `(\w+)`\n", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    sections = [
        Section(name, re.split(r"^(?:```|!\[)", text, maxsplit=1, flags=re.MULTILINE)[0].strip(), _block(text),
                f"](../renders/gallery/mobjects/{name}.png)" in text)
        for name, text in zip(parts[::2], parts[1::2], strict=True)
    ]  # fmt: skip
    return _block(head), sections


def run_page() -> Iterator[tuple[Section, Mobject | None]]:
    """Run the page's blocks in their order, and give for each section what it shows."""
    setup, sections = read_page()
    names: dict[str, Any] = {"__name__": "mobjects"}
    exec(compile(setup, PAGE.name, "exec"), names)
    for section in sections:
        names.pop("shown", None)
        exec(compile(section.code, f"{PAGE.name}, {section.name}", "exec"), names)
        yield section, names.get("shown")


def draw(shown: Mobject) -> Image.Image:
    """Return a picture of a mobject in the middle of a dark ground, made smaller if it would not fit."""
    across, up = float(shown.width) + 2 * MARGIN, float(shown.height) + 2 * MARGIN
    pixels = min(SCALE, WIDTH / across, HIGHEST / up)  # to a frame unit
    height = 10 * int(np.ceil(up * pixels / 10 - 1e-6))
    camera = Camera(
        pixel_width=WIDTH, pixel_height=height, frame_width=WIDTH / pixels, frame_height=height / pixels,
        frame_center=shown.get_center(), background_color=DARK.background,
    )  # fmt: skip
    camera.capture_mobjects([shown])
    return Image.fromarray(camera.pixel_array[..., :3])


def packed(picture: Image.Image) -> bytes:
    """Return a picture as a PNG with a palette, of as many colours as it may have without being too large."""
    for colours in (256, 128, 64, 32, 16):
        file = io.BytesIO()
        few = picture.quantize(colours, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        few.save(file, "PNG", optimize=True)
        if file.tell() <= LARGEST:
            break
    return file.getvalue()


def main(*wanted: str) -> None:
    """Draw the pictures of these names; all of them, where none is given."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    for section, shown in run_page():
        if section.drawn and shown is not None and section.name in (wanted or [section.name]):
            file = PICTURES / f"{section.name}.png"
            file.write_bytes(packed(draw(shown)))


def _block(text: str) -> str:
    return next(iter(re.findall(r"```python\n(.*?)```", text, re.DOTALL)), "")


if __name__ == "__main__":
    main(*sys.argv[1:])
