"""Which lessons there are, what can be chosen in each, and of which runs it is made."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from explainer.errors import LessonError, unknown

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Lesson:
    """Runs made for teaching: one, or several that are to be compared.

    Attributes:
        settings: What can be chosen, with its default.
        presets: Named choices of several settings.
        runs: By name the settings in which the runs of a comparison differ; empty where there is one run only.
    """

    name: str
    says: str
    settings: Settings
    presets: Mapping[str, Settings] = field(default_factory=dict)
    runs: Mapping[str, Settings] = field(default_factory=dict)

    def with_settings(self, preset: str | None = None, run: str | None = None, **chosen: Any) -> dict[str, Any]:
        """Return all settings: the defaults, then the preset's, then the run's, then those chosen.

        Raises:
            LessonError: There is no such preset, run or setting.
        """
        if preset is not None and preset not in self.presets:
            raise LessonError(f"lesson {self.name!r}: {unknown('preset', preset, self.presets)}")
        for name in chosen:
            if name not in self.settings:
                raise LessonError(f"lesson {self.name!r}: {unknown('setting', name, self.settings)}")
        of_run = self.runs[self.run_called(run)] if run is not None else {}
        return {**self.settings, **(self.presets[preset] if preset else {}), **of_run, **chosen}

    def run_called(self, name: str) -> str:
        """Return a run's name by itself or by its word.

        Raises:
            LessonError: There is no such run.
        """
        words = {word_of(run): run for run in self.runs}
        if name in self.runs:
            return name
        if name in words:
            return words[name]
        raise LessonError(f"lesson {self.name!r}: {unknown('run', name, words)}")


def word_of(run: str) -> str:
    """Return what one types for a run, and how its folder is called: "0.05" for "α = 0.05"."""
    return re.sub(r"[^a-z0-9.]+", "-", run.lower()).strip("-")


def _rates(*rates: float) -> dict[str, Settings]:
    return {f"α = {rate}": {"learning_rate": rate} for rate in rates}


LESSONS = {
    lesson.name: lesson
    for lesson in (
        Lesson(
            "digits",
            "A 784→128→64→10 network learns to read handwritten digits, as in the lecture's notebook.",
            {
                "data": "sklearn",  # or "mnist"
                "data_dir": None,
                "download": False,
                "learning_rate": 0.05,
                "batch_size": 64,
                "epochs": 20,
                "steps": None,  # instead of epochs
                "seed": 3,
            },
            {"lecture": {"learning_rate": 0.003, "steps": 4690}},  # the notebook's: 5 epochs of 60,000 images
        ),
        Lesson(
            "two-layer",
            "x → linear → sigmoid → linear → loss in float64, small enough to follow every number.",
            {"learning_rate": 0.1, "steps": 200, "seed": 0},
        ),
        Lesson(
            "trough",
            "ℓ = w², one weight in a trough: it arrives, bounces in, bounces for ever, flies out.",
            {"learning_rate": 0.1, "start": 1.0, "steps": 20},
            runs=_rates(0.1, 0.9, 1.0, 1.1),
        ),
        Lesson(
            "learning-rates",
            "The network of digits from one start with several learning rates, all images in every step.",
            {"learning_rate": 0.05, "steps": 150, "seed": 3},
            runs=_rates(0.05, 0.003, 0.1, 0.3, 0.5),  # the one that arrives first: pictures are centred on its end
        ),
    )
}


def find(name: str) -> Lesson:
    """Return a lesson by its name.

    Raises:
        LessonError: There is none; the nearest is named.
    """
    if name not in LESSONS:
        raise LessonError(unknown("lesson", name, LESSONS))
    return LESSONS[name]
