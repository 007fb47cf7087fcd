"""One recorded number of several runs over the steps, on one pair of axes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from manim import RIGHT, UP, VGroup

from explainer import theme as colours
from explainer.mobjects.plot_frame import Array, PlotFrame
from explainer.mobjects.trails import Trails, TrailStyle
from explainer.mobjects.words import MINIMUM, Words, number
from explainer.theme import DARK, Theme


class Curves(PlotFrame):
    """A line for each run through its recorded points, which grow together; nothing is smoothed.

    What is higher than the axes is cut off there, and the highest number is written where it left.

    Attributes:
        steps: By run (S,), and `values` (S,), as recorded; not a number where a run has none.
        trails: The lines and their heads.
        peaks: By run the highest value, where it does not fit, as words at the upper edge.
    """

    def __init__(
        self,
        steps: Mapping[str, npt.ArrayLike],
        values: Mapping[str, npt.ArrayLike],
        *,
        title: str,
        largest: float | None = None,
        theme: Theme = DARK,
        colour: str = colours.LOSS,
        styles: tuple[TrailStyle, ...] = (),
        width: float = 4.0,
        height: float = 2.6,
        across: str = "step",
    ) -> None:
        """Draw axes from zero, and each curve's first point.

        Args:
            largest: The top of the vertical axis; a little more than the largest finite value when omitted.
            styles: Of the runs; those of `trail_styles` when omitted.
            width: Of the axes in frame units; `height` alike.
        """
        self.steps = {run: np.asarray(each, float) for run, each in steps.items()}
        self.values = {run: np.asarray(each, float) for run, each in values.items()}
        numbers = np.concatenate(list(self.values.values()))
        if largest is None:
            largest = 1.08 * float(np.max(numbers[np.isfinite(numbers)], initial=0.0))
        super().__init__(
            float(min(each[0] for each in self.steps.values())), float(max(each[-1] for each in self.steps.values())),
            largest, title=title, colour=colour, theme=theme, width=width, height=height, across=across,
        )  # fmt: skip
        corner, right, top = self.axis.get_start(), self.axis.get_end(), self.upright.get_end()
        self.trails = Trails([corner, right, top], self.steps, self._ways(), styles=styles, theme=theme)
        self.peaks = {run: words for run in self.values if (words := self._peak(run)) is not None}
        if self.peaks:
            self.title.shift(0.32 * UP)
        self.add(self.trails, *self.peaks.values())
        self.set_step(self.first)

    @property
    def step(self) -> float:
        """How far the curves are drawn."""
        return float(self.trails.step)

    def set_step(self, step: float) -> Curves:
        """Draw the curves as far as this step."""
        self.trails.set_step(step)
        for run, words in self.peaks.items():
            words.set_opacity(float(step >= self.steps[run][self._highest(run)]))
        return self

    def whole_paths(self) -> list[Array]:
        """Return all that is drawn in the end, a path (point, 3) for each run."""
        return [self.at(self.steps[run], self.values[run])[np.isfinite(self.values[run])] for run in self.values]

    def scale_marks(self, *values: float) -> VGroup:
        """Write numbers at the vertical axis, with a short stroke each, and return them."""
        marks = VGroup()
        for value in values:
            words = Words(number(value, 0 if value == round(value) else 1), size=MINIMUM, colour=self.theme.quiet)
            marks.add(words.next_to(self.at(self.first, value), -RIGHT, buff=0.12))
        self.add(marks)
        return marks

    def _ways(self) -> dict[str, Array]:
        span = max(self.last - self.first, 1e-9)
        return {
            run: np.column_stack([(self.steps[run] - self.first) / span, self.values[run] / self.largest])
            for run in self.values
        }

    def _highest(self, run: str) -> int:
        return int(np.argmax(np.where(np.isfinite(self.values[run]), self.values[run], -np.inf)))

    def _peak(self, run: str) -> Words | None:
        """Return the highest value of a run that does not fit, above where it leaves the axes."""
        highest = self._highest(run)
        value = float(self.values[run][highest])
        if not np.isfinite(value) or value <= self.largest:
            return None
        words = Words(f"↑ {number(value, 1)}", size=MINIMUM, colour=self.trails.styles[run].colour)
        place = self.at(self.steps[run][highest], self.largest)
        words.next_to(place, UP, buff=0.06)
        words.shift(RIGHT * min(0.0, float(self.axis.get_end()[0]) - words.get_right()[0]))
        return words
