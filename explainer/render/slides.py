"""A film as a deck of slides that stops at every beat, in HTML and for PowerPoint; manim-slides makes them.

Every animation of a film is encoded by itself, so that a beat begins with a whole picture: films are cut there
without encoding them again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import redirect_stderr
from fractions import Fraction
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

from explainer.errors import ExplainerError, MissingDependency
from explainer.render.crew import Film
from explainer.subtitles import read_srt

_ROUNDED = Fraction(1, 100)  # seconds before a beat at which its first frame may stand: a beat's second is rounded
_SOON = Fraction(1, 10)  # seconds after it: a frame and a half of a draft


def cut(film: Path, seconds: Sequence[float], folder: Path) -> list[Path]:
    """Cut a film at the beginnings of its beats, into a file for each beat.

    Args:
        seconds: When each beat begins; what comes before the first goes with it.

    Raises:
        ExplainerError: No picture of its own stands at the beginning of a beat.
    """
    import av

    folder.mkdir(parents=True, exist_ok=True)
    made = [folder / f"{film.stem}-{number:02d}{film.suffix}" for number in range(1, len(seconds) + 1)]
    with av.open(str(film)) as whole:
        source = whole.streams.video[0]
        packets = [packet for packet in whole.demux(source) if packet.dts is not None]
        base = source.time_base or Fraction(1)
        starts = [0, *(_start_of(packets, second, base, film) for second in seconds[1:]), len(packets)]
        for path, (first, end) in zip(made, pairwise(starts), strict=True):
            _write(path, packets[first:end], source)
    return made


def make_deck(films: Sequence[Film], output: Path, name: str, size: tuple[int, int]) -> list[Path]:
    """Make a deck of films: a slide for each beat, with what is said in it as the speaker's notes.

    Args:
        output: The folder that gets `NAME.pptx`, and `NAME.html` with its videos in `NAME_assets`; the page loads
            reveal.js from the network.
        size: Width and height of the films, pixels.

    Raises:
        MissingDependency: manim-slides is not installed.
        ExplainerError: A film has no beats, or is no MP4.
    """
    try:
        from manim_slides.config import PresentationConfig, SlideConfig
        from manim_slides.convert import PowerPoint, RevealJS
    except ImportError as error:
        raise MissingDependency("manim-slides", "A deck of slides", "slides") from error
    pptx, html = output / f"{name}.pptx", output / f"{name}.html"
    with tempfile.TemporaryDirectory() as folder, redirect_stderr(StringIO()):  # its bars would run through our own
        decks = []
        for film in films:
            parts = zip(_files(film, Path(folder)), notes_of(film), strict=True)
            slides = [SlideConfig(file=file, rev_file=file, notes=notes) for file, notes in parts]
            decks.append(PresentationConfig(slides=slides, resolution=size))
        shown = {"presentation_configs": decks}
        PowerPoint.model_validate({**shown, "width": size[0], "height": size[1]}).convert_to(pptx)
        RevealJS.model_validate({**shown, "title": name}).convert_to(html)
    return [pptx, html]


def notes_of(film: Film) -> list[str]:
    """Return what is said in each beat of a film, a sentence a line."""
    said = [] if film.subtitles is None else read_srt(film.subtitles)
    begins = [second for _, second in film.beats]
    ends = [*begins[1:], float("inf")]
    return [
        "\n".join(
            each.content.replace("\n", " ")
            for each in said
            if (begin if number else 0.0) - 0.01 <= each.start.total_seconds() < end - 0.01
        )
        for number, (begin, end) in enumerate(zip(begins, ends, strict=True))
    ]


def _files(film: Film, folder: Path) -> list[Path]:
    if film.path is None or film.path.suffix != ".mp4":
        raise ExplainerError(f"slides are made of MP4s, and there is none of {film.scene.name}")
    if not film.beats:
        raise ExplainerError(f"{film.scene.name} has no beats to stop at: let it call self.beat(name) where one begins")
    return cut(film.path, [second for _, second in film.beats], folder)


def _start_of(packets: Sequence[Any], second: float, base: Fraction, film: Path) -> int:
    """Return the first packet at or after a second, which has to hold a whole picture."""
    for number, packet in enumerate(packets):
        if packet.is_keyframe and packet.pts * base >= Fraction(second) - _ROUNDED:
            if packet.pts * base > Fraction(second) + _SOON:
                break
            return number
    raise ExplainerError(f"{film} cannot be cut at second {second:.2f}: no picture begins there")


def _write(path: Path, packets: Sequence[Any], source: Any) -> None:
    import av

    with av.open(str(path), "w") as part:
        stream = part.add_stream_from_template(source)
        shift = min(packet.pts for packet in packets)
        for packet in packets:
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            packet.stream = stream
            part.mux(packet)
