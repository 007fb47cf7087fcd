"""Which lessons there are, what can be chosen in each, and of which runs it is made."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from explainer.errors import LessonError, unknown

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Lesson:
    """Runs made for teaching: one, or several that are to be compared.

    Attributes:
        settings: What can be chosen, with its default.
        presets: Named choices of several settings.
        runs: By name the settings in which the runs of a comparison differ; empty where there is one run only. The
            first is that of the default settings.
        view: Where the weights' own plane or line is looked at: (from, to) of each weight; empty where there are more.
    """

    name: str
    says: str
    settings: Settings
    presets: Mapping[str, Settings] = field(default_factory=dict)
    runs: Mapping[str, Settings] = field(default_factory=dict)
    view: tuple[tuple[float, float], ...] = ()

    def with_settings(self, preset: str | None = None, run: str | None = None, **chosen: Any) -> dict[str, Any]:
        """Return all settings: the defaults, then the preset's, then the run's, then those chosen.

        Raises:
            LessonError: There is no such preset, run or setting, or a setting is of another kind than its default.
        """
        if preset is not None and preset not in self.presets:
            raise LessonError(f"lesson {self.name!r}: {unknown('preset', preset, self.presets)}")
        for name in chosen:
            if name not in self.settings:
                raise LessonError(f"lesson {self.name!r}: {unknown('setting', name, self.settings)}")
            if not _of_kind(chosen[name], self.settings[name]):
                raise LessonError(
                    f"lesson {self.name!r}: {name}={chosen[name]!r} is of another kind than its default, "
                    f"{self.settings[name]!r}"
                )
        of_run = self.runs[self.run_called(run)] if run is not None else {}
        return {**self.settings, **(self.presets[preset] if preset else {}), **of_run, **chosen}

    def run_of(self, settings: Settings) -> str | None:
        """Return which run has these settings, or None where they are of none of them."""
        for run, of_run in self.runs.items():
            if all(
                settings[name] == value for name, value in {**self.settings, **of_run}.items() if name in self.differs
            ):
                return run
        return None

    @property
    def differs(self) -> frozenset[str]:
        """The settings in which the runs differ."""
        return frozenset(name for of_run in self.runs.values() for name in of_run)

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


def _of_kind(value: object, default: object) -> bool:
    if isinstance(value, bool) or isinstance(default, bool):
        return type(value) is type(default)
    if default is None:  # a folder, or a number of steps
        return value is None or isinstance(value, str | Path | int)
    if isinstance(default, float):
        return isinstance(value, int | float) and math.isfinite(value)
    return isinstance(value, type(default))


def word_of(run: str) -> str:
    """Return what one types for a run, and how its folder is called: "0.05" for "α = 0.05"."""
    return re.sub(r"[^a-z0-9.]+", "-", run.lower()).strip("-")


def _rates(*rates: float) -> dict[str, Settings]:
    return {f"α = {rate}": {"learning_rate": rate} for rate in rates}


_SGD: Settings = {"optimizer": "SGD", "momentum": 0.0}  # any optimizer of torch by its name

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
            "line",
            "A straight line through points with noise, by mean squared error; two weights, the loss is a bowl.",
            {**_SGD, "learning_rate": 0.1, "w": -1.0, "b": 2.0, "steps": 80},
            view=((-2.0, 3.0), (-1.5, 3.0)),
        ),
        Lesson(
            "trough",
            "ℓ = w², one weight in a trough: it arrives, bounces in, bounces for ever, flies out.",
            {"learning_rate": 0.1, "start": 1.0, "steps": 20},
            runs=_rates(0.1, 0.9, 1.0, 1.1),
            view=((-1.5, 1.5),),
        ),
        Lesson(
            "ravine",
            "ℓ = ½ (w1² + 20·w2²), steep across and flat along, for three optimizers.",
            {**_SGD, "learning_rate": 0.09, "w1": -4.0, "w2": 1.0, "steps": 60},
            runs={
                "SGD": {},
                "momentum": {"momentum": 0.9, "learning_rate": 0.02},
                "Adam": {"optimizer": "Adam", "learning_rate": 0.3},
            },
            view=((-5.0, 5.0), (-2.0, 2.0)),
        ),
        Lesson(
            "two-weights",
            "The smallest network, x → w1 → tanh → w2 → ŷ: two valleys, and the start decides in which one ends.",
            {**_SGD, "learning_rate": 0.1, "w1": -0.6, "w2": 0.8, "steps": 80},
            runs={"to the right": {"w1": -0.6}, "to the left": {"w1": -0.7}},
            view=((-2.5, 2.5), (-2.0, 2.0)),
        ),
        Lesson(
            "learning-rates",
            "The network of digits from one start with several learning rates, all images in every step.",
            {"learning_rate": 0.05, "steps": 150, "seed": 5},
            runs=_rates(0.05, 0.003, 0.1, 0.3, 0.5),  # the one that arrives first: pictures are centred on its end
        ),
        Lesson(
            "sine",
            "A network with one hidden layer becomes sin 2x, unless its activation is linear.",
            {"activation": "ReLU", "width": 64, "learning_rate": 0.003, "steps": 3000, "seed": 0},
            runs={
                "ReLU": {"activation": "ReLU"},
                "tanh": {"activation": "tanh"},
                "identity": {"activation": "identity"},
                "identity, 4 wide": {"activation": "identity", "width": 4},
            },
        ),
        Lesson(
            "moons",
            "Two crescents that no straight line tells apart: a network bends the plane until one does.",
            {"activation": "tanh", "width": 8, "learning_rate": 0.5, "steps": 300, "seed": 5},
            runs={
                "tanh": {"activation": "tanh"},
                "ReLU": {"activation": "ReLU"},
                "identity": {"activation": "identity"},
            },
        ),
        Lesson(
            "depth",
            "Eight layers of 32 read digits, or do not: how much of the gradient reaches the first layer.",
            {
                "activation": "sigmoid",
                "initialisation": "Xavier",
                "learning_rate": 0.1,
                "batch_size": 64,
                "epochs": 20,
                "seed": 42,
            },
            runs={
                "sigmoid": {"activation": "sigmoid", "initialisation": "Xavier"},
                "ReLU": {"activation": "ReLU", "initialisation": "torch"},
                "He ReLU": {"activation": "ReLU", "initialisation": "He"},
            },
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
