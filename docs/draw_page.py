"""Draw the gallery's picture of a page: the run of digits as a page, in chromium, in the middle of its run.

python docs/draw_page.py
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

import numpy as np
from draw_gallery import GALLERY
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from browser import Visit, browser

from explainer import lessons
from explainer.page import make_page

FOUR = 4  # of the watched images, the one that is shown
STEP = 60  # the loss falls, and nothing is certain yet
SIZE = {"width": 1280, "height": 1222}


def main() -> None:
    """Make the page, open it, and keep what one sees."""
    trace = lessons.record_lesson("digits")
    with tempfile.TemporaryDirectory() as folder, browser() as chromium:
        file = make_page(trace).save(Path(folder) / "lesson.html")
        visit = Visit(chromium, file, viewport=SIZE)
        visit.show(int(np.abs(trace.steps - STEP).argmin()))
        visit.page.evaluate("image => { lessonStore.set({ image }); lessonStore.rest(); }", FOUR)
        with Image.open(io.BytesIO(visit.page.screenshot())) as seen:
            seen.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(GALLERY / "page.png", optimize=True)
        visit.close()
    sys.stdout.write(f"{GALLERY / 'page.png'}\n")


if __name__ == "__main__":
    main()
