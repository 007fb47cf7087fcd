"""The lecture: all films in the order in which they are told, each behind a title card, as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from explainer.errors import ExplainerError
from explainer.render.crew import Film
from explainer.render.finding import SceneFile, find_scenes
from explainer.render.joining import Chapter, join, last_frame
from explainer.subtitles import moved, read_srt, write_srt, write_vtt

NAME = "lecture"
ORDER = (
    "FunctionApproximation", "LossFunctions", "LossMountain", "LearningRates", "Ripple", "ChainRule", "TrainingLoop",
    "LogitsToLoss", "DigitLearning", "GradientFlow", "ShiftingSurface",
)  # fmt: skip
HEART = "ChainRule"  # whose last frame is the poster


@dataclass(frozen=True)
class Lecture:
    """The films as one.

    Attributes:
        poster: The picture that stands for it.
        chapters: One for each film.
    """

    path: Path
    srt: Path
    vtt: Path
    poster: Path
    chapters: tuple[Chapter, ...]

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.chapters[-1].end


def lecture_scenes() -> list[SceneFile]:
    """Return the lecture's scenes in order, each with what its title card says."""
    known = find_scenes()
    there = [known[name] for name in ORDER if name in known]
    return [replace(scene, card=f"{number} of {len(there)}") for number, scene in enumerate(there, 1)]


def assemble(films: Sequence[Film], output: Path) -> Lecture:
    """Join films into `lecture.mp4` with chapters, and write its subtitles and poster beside it.

    Raises:
        ExplainerError: There is none, one was not made, or they cannot be joined: a GIF cannot.
    """
    paths = {film.scene.name: film.path for film in films if film.path is not None}
    if not films or len(paths) < len(films):
        lost = ", ".join(film.scene.name for film in films if film.path is None) or "all of it"
        raise ExplainerError(f"the lecture cannot be joined: there is no film of {lost}")
    ending = next(iter(paths.values())).suffix
    if ending == ".gif":
        raise ExplainerError("GIFs cannot be joined: render the lecture as mp4, webm or mov")
    whole = output / f"{NAME}{ending}"
    chapters = join([(film.scene.title, paths[film.scene.name]) for film in films], whole)
    said = [
        subtitle
        for film, chapter in zip(films, chapters, strict=True)
        if film.subtitles is not None
        for subtitle in moved(read_srt(film.subtitles), chapter.start)
    ]
    poster = last_frame(paths.get(HEART, paths[films[-1].scene.name]), whole.with_suffix(".png"))
    return Lecture(
        whole,
        write_srt(said, whole.with_suffix(".srt")),
        write_vtt(said, whole.with_suffix(".vtt")),
        poster,
        tuple(chapters),
    )
