"""Films joined without encoding them again, with a chapter mark for each; and single frames of a film as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from explainer.errors import ExplainerError

_TICKS = Fraction(1, 1000)  # seconds: of the chapters' times


@dataclass(frozen=True)
class Chapter:
    """A film within a longer one.

    Attributes:
        start: Second of the whole at which it begins; `end` alike.
    """

    title: str
    start: float
    end: float


def join(films: Sequence[tuple[str, Path]], path: Path) -> list[Chapter]:
    """Join films into one, each a chapter with a title; what was encoded stays as it is, bit by bit.

    Args:
        films: Title and file of each, in order; all of one size, rate and encoder.
        path: The whole; where there is a file already, it is replaced when all is written.

    Raises:
        ExplainerError: Films differ in what has to be the same, or cannot be read.
    """
    import av

    temporary = path.with_name(f".{path.name}")
    options = {"movflags": "+faststart"} if path.suffix in (".mp4", ".mov") else {}
    chapters, begin = [], Fraction(0)
    try:
        with av.open(str(temporary), "w", options=options) as whole:
            stream = None
            kind: Any = None
            for title, file in films:
                with av.open(str(file)) as part:
                    source = part.streams.video[0]
                    if stream is None:
                        stream = whole.add_stream_from_template(source)
                        kind = _kind(source)
                        _set_chapters(whole, _planned(films))
                    if _kind(source) != kind:
                        raise ExplainerError(f"{file} is encoded otherwise than {films[0][1]}: render both again alike")
                    end = _copy(part, source, whole, stream, begin)
                chapters.append(Chapter(title, float(begin), float(end)))
                begin = end
        temporary.replace(path)
    except (OSError, av.error.FFmpegError) as error:
        raise ExplainerError(f"the films cannot be joined into {path}: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)
    return chapters


def last_frame(film: Path, picture: Path) -> Path:
    """Write the last frame of a film as a picture, with its transparency where it has one, and return the file."""
    import av
    from PIL import Image

    with av.open(str(film)) as container:
        stream, last = container.streams.video[0], None
        if stream.duration and stream.codec.name != "gif":
            container.seek(max(0, (stream.start_time or 0) + stream.duration - 1), stream=stream)
        for frame in container.decode(stream):
            last = frame
        if last is None:
            raise ExplainerError(f"{film} has no frame")
        clear = any(component.is_alpha for component in last.format.components)
        Image.fromarray(last.to_ndarray(format="rgba" if clear else "rgb24")).save(picture)
    return picture


def length(film: Path) -> Fraction:
    """Return how many seconds a film lasts."""
    import av

    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        if stream.duration is None or stream.time_base is None:  # WebM keeps it for the whole only
            return Fraction(container.duration or 0, av.time_base)
        return stream.duration * stream.time_base


def _planned(films: Sequence[tuple[str, Path]]) -> list[Chapter]:
    """Return the chapters as the films' own lengths have them: they are written before the first frame."""
    planned, begin = [], Fraction(0)
    for title, file in films:
        end = begin + length(file)
        planned.append(Chapter(title, float(begin), float(end)))
        begin = end
    return planned


def _kind(stream: Any) -> tuple[Any, ...]:
    """Return what has to be the same for two films to be one stream."""
    context = stream.codec_context
    return stream.codec.name, stream.width, stream.height, stream.time_base, stream.pix_fmt, context.extradata


def _copy(part: Any, source: Any, whole: Any, stream: Any, begin: Fraction) -> Fraction:
    """Copy all packets to `begin` seconds of the whole; returns the second at which they end."""
    shift, end = round(begin / source.time_base), begin
    frame = 1 / Fraction(source.average_rate)
    for packet in part.demux(source):
        if packet.dts is None:  # the end of the stream
            continue
        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
        lasts = packet.duration * source.time_base if packet.duration else frame
        end = max(end, packet.pts * source.time_base + lasts)
        packet.stream = stream
        whole.mux(packet)
    return end


def _set_chapters(whole: Any, chapters: Sequence[Chapter]) -> None:
    whole.set_chapters(
        [
            {
                "id": number,
                "start": round(each.start / _TICKS),
                "end": round(each.end / _TICKS),
                "time_base": _TICKS,
                "metadata": {"title": each.title},
            }
            for number, each in enumerate(chapters)
        ]
    )
