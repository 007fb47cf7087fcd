"""The axes of a small plot: something recorded over the steps, from zero upwards."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from manim import DOWN, LEFT, RIGHT, UP, DashedLine, Line, VGroup, VMobject

from explainer.mobjects.words import MINIMUM, SMALL, Words, number
from explainer.theme import DARK, Theme

Array = npt.NDArray[np.float64]


class PlotFrame(VGroup):
    """Axes with a title, and horizontal lines drawn for comparison; what is plotted is up to the classes above it.

    Attributes:
        first: What stands at the left end of the horizontal axis; `last` at its right end.
        largest: What stands at the top of the vertical axis; zero is at its foot.
        guides: The horizontal lines drawn for comparison, with their words.
    """

    def __init__(
        self,
        first: float,
        last: float,
        largest: float,
        *,
        title: str,
        colour: str,
        theme: Theme = DARK,
        width: float = 3.2,
        height: float = 1.8,
        across: str = "step",
    ) -> None:
        """Draw the axes.

        Args:
            title: What the values are, in `colour`.
            width: Of the axes in frame units; `height` alike.
            across: What the horizontal axis counts.
        """
        super().__init__()
        self.first, self.last, self.largest, self.theme = first, last, largest, theme
        corner = np.array([-width / 2, -height / 2, 0.0])
        self.axis = Line(corner, corner + RIGHT * width, color=theme.line, stroke_width=2)
        self.upright = Line(corner, corner + UP * height, color=theme.line, stroke_width=2)
        self.guides = VGroup()
        self.title = Words(title, size=SMALL, colour=colour)
        self.title.next_to(self.upright.get_end(), UP, buff=0.1).align_to(corner, LEFT)
        ends = VGroup(
            Words(number(first, 0), size=MINIMUM, colour=theme.quiet).next_to(corner, DOWN, buff=0.1),
            Words(f"{across} {number(last, 0)}", size=MINIMUM, colour=theme.quiet),
        )
        ends[1].next_to(self.axis.get_end(), DOWN, buff=0.1).align_to(self.axis.get_end(), RIGHT)
        ends[0].align_to(corner, LEFT)
        self.ends = ends
        self.add(self.axis, self.upright, ends, self.guides, self.title)

    @property
    def middle(self) -> Array:
        """(3,) the middle of the plot, without words."""
        return np.asarray((self.axis.get_end() + self.upright.get_end()) / 2)

    def at(self, steps: npt.ArrayLike, values: npt.ArrayLike) -> Array:
        """Return where a point of the plot stands now, (…, 3); one beyond the vertical axis at its end."""
        across = (np.asarray(steps, float) - self.first) / max(self.last - self.first, 1e-9)
        up = np.clip(np.asarray(values, float) / max(self.largest, 1e-9), 0, 1)
        corner = self.axis.get_start()
        right, top = self.axis.get_end() - corner, self.upright.get_end() - corner
        return np.asarray(corner + across[..., None] * right + up[..., None] * top)

    def guide(self, value: float, words: str) -> VMobject:
        """Draw a horizontal line at a value, and what it means where no curve will go; return both."""
        left, right = self.at(self.first, value), self.at(self.last, value)
        dashes = DashedLine(left, right, color=self.theme.quiet, stroke_width=2, dash_length=0.08)
        line = VMobject(stroke_color=self.theme.quiet, stroke_width=2)
        line.set_points(np.concatenate([dash.points for dash in dashes]))
        label = Words(words, size=MINIMUM, colour=self.theme.quiet, width=0.75 * self.axis.get_length())
        self._clear_of_curves(label, float(right[1]))
        self.guides.add(VGroup(line, label))
        return self.guides[-1]

    def whole_paths(self) -> list[Array]:
        """Return all that will be drawn in the end, a path (point, 3) for each curve."""
        return []

    def _clear_of_curves(self, label: Words, height: float) -> None:
        """Put a label under a height on the right if the curves leave that free, else where they do."""
        between = [
            path[:-1] + share * np.diff(path, axis=0) for path in self.whole_paths() for share in np.linspace(0, 1, 9)
        ]
        path = np.concatenate([np.empty((0, 3)), *between])
        left, right, floor = self.axis.get_start()[0], self.axis.get_end()[0], self.axis.get_start()[1]
        reach = np.array([label.width, label.height]) / 2
        ups = (height - 0.08 - reach[1], floor + 0.1 + reach[1], (height + floor) / 2)
        places = [(across, up) for up in ups for across in (right - reach[0], left + 0.12 + reach[0])]
        hits = [int(np.all(np.abs(path[:, :2] - place) < reach + 0.06, axis=1).sum()) for place in places]
        label.move_to((*places[int(np.argmin(hits))], 0))
