"""Where things stand: named regions of the frame, the same in every film and in every shape of frame.

The picture is always 128/9 by 8 units, in the middle. A frame that is higher than 16:9 has more room above and below:
there captions are larger, and a title stands above. So nothing is cut off, whatever the shape, and a film is laid out
once.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from manim import Camera, Mobject, config
from numpy.typing import NDArray

Seen = TypeVar("Seen", bound=Mobject)

MARGIN = 0.3  # frame units that stay free at every edge
HEADER = 0.45  # height of the line that says where the numbers are from
CAPTION = 1.0  # two lines
FORMULA = 1.1
WIDE, HIGH = 128 / 9, 8.0  # of the picture, in frame units
LINES = 3.0  # of a caption's own height: how high its region is at most, where there is room


@dataclass(frozen=True)
class Region:
    """A rectangle of the frame, in frame units."""

    left: float
    bottom: float
    right: float
    top: float

    @property
    def width(self) -> float:
        """From left to right."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """From bottom to top."""
        return self.top - self.bottom

    @property
    def center(self) -> NDArray[np.float64]:
        """(3,) its middle."""
        return np.array([(self.left + self.right) / 2, (self.bottom + self.top) / 2, 0.0])

    def place(self, mobject: Seen, across: float = 0.0, up: float = 0.0) -> Seen:
        """Put a mobject into the region, shrunk if it is too large, and return it.

        Args:
            across: −1 at the left edge, 0 in the middle, 1 at the right edge; `up` alike.
        """
        self.fit(mobject)
        free = np.array([self.width - mobject.width, self.height - mobject.height, 0.0]) / 2
        mobject.move_to(self.center + free * np.array([across, up, 0.0]))
        return mobject

    def fit(self, mobject: Seen) -> Seen:
        """Shrink a mobject that is too large for the region, and return it."""
        share = min(self.width / max(mobject.width, 1e-9), self.height / max(mobject.height, 1e-9))
        if share < 1:
            mobject.scale(share)
        return mobject

    def contains(self, mobject: Mobject, slack: float = 1e-6) -> bool:
        """Say whether no part of a mobject's box is outside."""
        low, high = mobject.get_corner(np.array([-1, -1, 0])), mobject.get_corner(np.array([1, 1, 0]))
        return bool(
            low[0] >= self.left - slack
            and low[1] >= self.bottom - slack
            and high[0] <= self.right + slack
            and high[1] <= self.top + slack
        )

    def columns(self, *shares: float, gap: float = 0.3) -> tuple["Region", ...]:
        """Divide into columns whose widths are as these shares, from the left."""
        free, left, found = self.width - gap * (len(shares) - 1), self.left, []
        for share in shares:
            right = left + free * share / sum(shares)
            found.append(Region(left, self.bottom, right, self.top))
            left = right + gap
        return tuple(found)

    def rows(self, *shares: float, gap: float = 0.2) -> tuple["Region", ...]:
        """Divide into rows whose heights are as these shares, from the top."""
        free, top, found = self.height - gap * (len(shares) - 1), self.top, []
        for share in shares:
            bottom = top - free * share / sum(shares)
            found.append(Region(self.left, bottom, self.right, top))
            top = bottom - gap
        return tuple(found)


@dataclass(frozen=True)
class Layout:
    """The regions of a frame, from the top: header, stage, formula line, caption.

    Attributes:
        frame: All that is seen; the others keep a margin to it.
        stage: Where the picture stands, above the formula line.
        whole_stage: The stage and the formula line, for films without formulas.
        larger: How many times as large as at 16:9 captions are.
        title: Where a title stands above the picture; None where there is no room for one.
    """

    frame: Region
    header: Region
    stage: Region
    formula: Region
    caption: Region
    larger: float = 1.0
    title: Region | None = None

    @property
    def whole_stage(self) -> Region:
        """The stage and the formula line together."""
        return Region(self.stage.left, self.formula.bottom, self.stage.right, self.stage.top)


def fit_frame(camera: Camera) -> None:
    """Make the camera's frame, and manim's own, wide enough for the picture, whatever the shape of the pixels.

    manim keeps a frame 8 units high, so that in a frame higher than wide the picture would be cut off.
    """
    if float(config.frame_width) < WIDE - 1e-6:
        config.frame_width, config.frame_height = WIDE, WIDE * config.pixel_height / config.pixel_width
        camera.frame_width, camera.frame_height = config.frame_width, config.frame_height


def layout() -> Layout:
    """Return the regions for the frame that manim is set to."""
    across, edge = float(config.frame_width) / 2, float(config.frame_height) / 2
    up = min(edge, HIGH / 2)
    left, right = -across + MARGIN, across - MARGIN
    top, bottom = up - MARGIN, -up + MARGIN
    caption, formula = bottom + CAPTION, bottom + CAPTION + FORMULA
    larger = min(1 + 0.2 * (edge - up), 2.0)
    lowest = max(-edge + MARGIN, caption - LINES * CAPTION * larger) if edge > up else bottom
    room = edge - MARGIN - up
    return Layout(
        frame=Region(-across, -edge, across, edge),
        header=Region(left, top - HEADER, right, top),
        stage=Region(left, formula, right, top - HEADER),
        formula=Region(left, caption, right, formula),
        caption=Region(left, lowest, right, caption),
        larger=larger,
        title=Region(left, up + MARGIN, right, up + min(room, LINES * 2)) if room > 2 else None,
    )
