"""What is said in films: .srt files read, moved in time and written, and the same as .vtt for web pages."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from explainer.errors import ExplainerError

if TYPE_CHECKING:
    from srt import Subtitle  # manim brings it


def read_srt(path: Path) -> list[Subtitle]:
    """Read an .srt.

    Raises:
        ExplainerError: It cannot be read, or is no .srt.
    """
    import srt

    try:
        return list(srt.parse(path.read_text(encoding="utf-8-sig")))
    except OSError as error:
        raise ExplainerError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ExplainerError(f"{path} is not written in UTF-8: save it so, and render again") from error
    except (ValueError, srt.SRTParseError) as error:
        raise ExplainerError(f"{path} is no .srt: {error}") from error


def read_sentences(path: Path) -> list[str]:
    """Read what an .srt says instead of a film's own sentences, each on one line.

    Raises:
        ExplainerError: It cannot be read, is no .srt, or one of its sentences is empty.
    """
    said = [" ".join(each.content.split()) for each in read_srt(path)]
    if empty := [number for number, sentence in enumerate(said, 1) if not sentence]:
        raise ExplainerError(
            f"{path} says nothing in number {empty[0]} of its {len(said)}: a film's sentences are replaced one by one, "
            "so write something there, an ellipsis perhaps"
        )
    return said


def moved(subtitles: Iterable[Subtitle], seconds: float, speed: float = 1.0) -> list[Subtitle]:
    """Return subtitles that come `speed` times as fast, and `seconds` later."""
    import srt

    later = timedelta(seconds=seconds)
    return [
        srt.Subtitle(each.index, each.start / speed + later, each.end / speed + later, each.content)
        for each in subtitles
    ]


def write_srt(subtitles: Iterable[Subtitle], path: Path) -> Path:
    """Write subtitles, numbered from one, and return the file."""
    import srt

    path.write_text(srt.compose(subtitles), encoding="utf-8")
    return path


def write_vtt(subtitles: Iterable[Subtitle], path: Path) -> Path:
    """Write subtitles as WebVTT (W3C 2019, section 4), and return the file."""
    cues = [f"{_time(each.start)} --> {_time(each.end)}\n{_escaped(each.content)}\n" for each in subtitles]
    path.write_text("\n".join(["WEBVTT\n", *cues]), encoding="utf-8")
    return path


def _time(moment: timedelta) -> str:
    milliseconds = round(moment.total_seconds() * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}.{rest % 1000:03d}"


def _escaped(words: str) -> str:
    return words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
