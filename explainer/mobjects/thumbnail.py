"""An example of any kind, small: its image, or where it is none its number in a frame."""

import numpy as np
import numpy.typing as npt
from manim import RoundedRectangle, VGroup, VMobject

from explainer.mobjects.heat_map import Picture
from explainer.mobjects.words import MINIMUM, Words
from explainer.theme import DARK, Theme


def draw_thumbnail(images: npt.NDArray[np.float64] | None, index: int, size: float, theme: Theme = DARK) -> VMobject:
    """Return one of several examples.

    Args:
        images: (example, row, column[, 3]), all on the scale of their lowest and highest number; None for no images.
        size: Its height in frame units.
    """
    if images is not None:
        return Picture(images[index], theme=theme, height=size, low=float(images.min()), high=float(images.max()))
    frame = RoundedRectangle(
        width=size, height=size, corner_radius=0.1, color=theme.line, fill_color=theme.panel, fill_opacity=1,
        stroke_width=2,
    )  # fmt: skip
    return VGroup(frame, Words(str(index + 1), size=max(MINIMUM, 0.4 * size), colour=theme.text).move_to(frame))
