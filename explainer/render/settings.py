"""How films are made: how large, how smooth, in which shape, colours, pace and language."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from explainer.errors import ExplainerError, unknown
from explainer.render.finding import SceneFile
from explainer.theme import THEMES

FORMATS = ("mp4", "gif", "webm", "mov")
ASPECTS = {"16:9": 9 / 16, "4:3": 3 / 4, "9:16": 16 / 9}  # height over width
WIDE = 128 / 9  # frame units across, in every shape: 8 high at 16:9, and what is higher is room for words
SLOWEST, FASTEST = 0.25, 4.0


@dataclass(frozen=True)
class Quality:
    """How large and how smooth a film is, at 16:9."""

    width: int  # pixels
    height: int
    rate: int  # frames a second
    says: str

    def __str__(self) -> str:
        return f"{self.width}×{self.height}, {self.rate} frames a second"

    def pixels(self, aspect: str) -> tuple[int, int]:
        """Return width and height in a shape: as wide in 4:3, and in 9:16 as wide as 16:9 is high."""
        if aspect == "16:9":
            return self.width, self.height
        width = self.height if aspect == "9:16" else self.width
        return width, 2 * round(width * ASPECTS[aspect] / 2)  # encoders want even numbers


QUALITIES = {
    "draft": Quality(854, 480, 15, "to see at once what one gets; the encoder hurries"),
    "low": Quality(854, 480, 30, "small and smooth, for a message"),
    "medium": Quality(1280, 720, 30, "for a web page"),
    "high": Quality(1920, 1080, 60, "for the lecture hall"),
    "4k": Quality(3840, 2160, 60, "for a wall of screens"),
}


@dataclass(frozen=True)
class Settings:
    """How films are made.

    Attributes:
        trace: The folder of the trace to show; None for the scene's own lesson.
        theme: "dark" or "light".
        surface: The folder of the surface to show; None for the lesson's.
        aspect: The frame's shape, of ASPECTS.
        speed: How many times as fast as at normal pace, captions too.
        captions: "on"; "off", for subtitles only; or an .srt whose sentences take the place of the film's own, one by
            one; or a folder that holds one for each film, `NAME.srt`.

    Raises:
        ExplainerError: There is no such quality, format, theme, shape, pace or file, or the format cannot be
            transparent.
    """

    quality: str = "draft"
    format: str = "mp4"
    transparent: bool = False
    trace: Path | None = None
    theme: str = "dark"
    surface: Path | None = None
    aspect: str = "16:9"
    speed: float = 1.0
    captions: str = "on"

    def __post_init__(self) -> None:
        if self.quality not in QUALITIES:
            raise ExplainerError(unknown("quality", self.quality, QUALITIES))
        if self.format not in FORMATS:
            raise ExplainerError(unknown("format", self.format, FORMATS))
        if self.theme not in THEMES:
            raise ExplainerError(unknown("theme", self.theme, THEMES))
        if self.aspect not in ASPECTS:
            raise ExplainerError(unknown("shape of a frame", self.aspect, ASPECTS))
        if not (math.isfinite(self.speed) and SLOWEST <= self.speed <= FASTEST):
            raise ExplainerError(f"the speed is {self.speed:g}, and can be {SLOWEST:g} to {FASTEST:g} (1 is normal)")
        if self.transparent and self.format == "mp4":
            raise ExplainerError("an MP4 cannot be transparent: choose the format mov or webm")
        if self.captions not in ("on", "off") and not Path(self.captions).exists():
            raise ExplainerError(
                f"captions can be on, off, an .srt file or a folder of them; {self.captions!r} is not there"
            )

    def for_manim(self, scene: SceneFile, folder: Path) -> dict[str, Any]:
        """Return manim's settings, with all that it writes below `folder`."""
        quality = QUALITIES[self.quality]
        width, height = quality.pixels(self.aspect)
        return {
            "pixel_width": width,
            "pixel_height": height,
            "frame_width": WIDE,
            "frame_height": WIDE * height / width,
            "frame_rate": quality.rate / self.speed,  # `explainer.filming` plays them at `rate`
            "format": self.format,
            "transparent": self.transparent,
            "media_dir": str(folder),
            "output_file": scene.name,
            "disable_caching": True,  # its hashes take longer than most frames, and miss what updaters change
            "max_inflight_encoders": 4,
            "video_encoder_options": self._encoder(),
            "progress_bar": "none",
            "verbosity": "WARNING",
        }

    def captions_of(self, scene: SceneFile) -> str:
        """Return "on", "off", or the file that holds a film's captions.

        Raises:
            ExplainerError: The folder holds none for it.
        """
        if self.captions in ("on", "off"):
            return self.captions
        path = Path(self.captions)
        if path.is_dir():
            path /= f"{scene.name}.srt"
        if not path.is_file():
            raise ExplainerError(f"{self.captions} holds no captions for {scene.name}: {path.name} is not there")
        return str(path.absolute())

    def _encoder(self) -> dict[str, str]:
        if self.quality != "draft" or self.transparent:
            return {}
        return {"deadline": "realtime", "cpu-used": "8"} if self.format == "webm" else {"preset": "veryfast"}
