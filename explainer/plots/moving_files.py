"""Files of pictures in a row: MP4, GIF, and a page with a slider. Each writer takes them one at a time."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from explainer.errors import MissingDependency

Pixels = NDArray[np.uint8]  # (row, column, RGB)
Add = Callable[[Pixels, str, str], None]  # a picture, which step it is, and what it shows in words


@contextmanager
def mp4(path: Path, frames_per_second: float, held: float) -> Iterator[Add]:
    """Write H.264 that every player and slide program shows; the last picture stays `held` seconds.

    Raises:
        MissingDependency: PyAV is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise MissingDependency("PyAV", "a figure as .mp4", "films") from error
    rate = Fraction(frames_per_second).limit_denominator(1000)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "18", "preset": "medium"})
        stream.pix_fmt = "yuv420p"

        def add(pixels: Pixels, step: str, words: str) -> None:
            even = np.ascontiguousarray(pixels[: len(pixels) // 2 * 2, : pixels.shape[1] // 2 * 2])
            if not last:  # only then is the size known
                stream.height, stream.width = even.shape[:2]
            last[:] = [even]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))

        last: list[Pixels] = []
        yield add
        for _ in range(round(held * rate) if last else 0):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(last[0], format="rgb24")))
        container.mux(stream.encode())


@contextmanager
def gif(path: Path, frames_per_second: float, held: float) -> Iterator[Add]:
    """Write a GIF that starts over; all pictures share one palette, so that still things do not flicker."""
    images: list[Image.Image] = []

    def add(pixels: Pixels, step: str, words: str) -> None:
        image = Image.fromarray(pixels)
        if not palette:
            palette.append(image.quantize(256, dither=Image.Dither.NONE))
        images.append(image.quantize(palette=palette[0], dither=Image.Dither.NONE))

    palette: list[Image.Image] = []
    yield add
    each = 1000 / frames_per_second
    lasting = [each] * (len(images) - 1) + [each + 1000 * held]
    images[0].save(path, "GIF", save_all=True, append_images=images[1:], duration=lasting, loop=0, optimize=True)


@contextmanager
def page(path: Path, frames_per_second: float, held: float) -> Iterator[Add]:
    """Write one HTML file with a slider over the steps, which asks no network for anything."""
    images: list[str] = []
    steps: list[str] = []
    told: list[str] = []

    def add(pixels: Pixels, step: str, words: str) -> None:
        held_in = io.BytesIO()
        Image.fromarray(pixels).quantize(256, dither=Image.Dither.NONE).save(held_in, "PNG", optimize=True)
        images.append(base64.b64encode(held_in.getvalue()).decode())
        steps.append(step)
        told.append(words)

    yield add
    data = json.dumps({"images": images, "steps": steps, "told": told, "pause": 1000 / frames_per_second})
    title = escape(told[0].partition("?")[0] + "?")
    path.write_text(_PAGE.replace("TITLE", title).replace("DATA", data.replace("<", "\\u003c")), encoding="utf-8")


WRITERS = {"mp4": mp4, "gif": gif, "html": page}

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>TITLE</title>
<style>
 body { margin: 1rem auto; max-width: 62rem; font: 1rem system-ui, sans-serif; color: #16191F; background: #FFFFFF }
 img { width: 100% } div { display: flex; gap: 1rem; align-items: center } input { flex: 1 } button { font: inherit }
</style></head><body>
<img id="picture" alt="">
<div><button id="play">Play</button><input id="step" type="range" min="0" value="0" aria-label="step">
<output id="name" for="step"></output></div>
<script>
 const data = DATA, by = id => document.getElementById(id);
 let timer = null;
 const show = at => {
   by("step").value = at; by("name").value = data.steps[at];
   by("picture").src = "data:image/png;base64," + data.images[at]; by("picture").alt = data.told[at];
 };
 const stop = () => { clearInterval(timer); timer = null; by("play").textContent = "Play"; };
 by("step").max = data.images.length - 1;
 by("step").addEventListener("input", () => { stop(); show(+by("step").value); });
 by("play").addEventListener("click", () => {
   if (timer) return stop();
   if (+by("step").value === data.images.length - 1) show(0);
   by("play").textContent = "Pause";
   timer = setInterval(() => {
     const next = +by("step").value + 1;
     if (next < data.images.length) show(next); else stop();
   }, data.pause);
 });
 show(0);
</script></body></html>
"""
