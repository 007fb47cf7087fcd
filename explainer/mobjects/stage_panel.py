"""The box around a block of a network: its outline says whether the pass has reached it, and the gradient too."""

from __future__ import annotations

from typing import Any

import cairo
import numpy as np
import numpy.typing as npt
from manim import Camera

from explainer.mobjects import shades
from explainer.mobjects.painted import Array, Painted, source
from explainer.theme import DARK, GRADIENT, LAYER, Theme

CORNER = 0.1  # radius


class Panel(Painted):
    """A box with round corners.

    Attributes:
        reached: How far the forward pass has come to it, from 0 to 1: then its outline has the layers' colour.
        returned: How far the gradient has: then it has the gradient's.
    """

    data = ("reached", "returned")

    def __init__(self, across: float, size: npt.ArrayLike, *, theme: Theme = DARK) -> None:
        """Draw a box of (width, height) whose middle stands at this height 0."""
        super().__init__(fill_opacity=1, stroke_width=2)
        self.reached: Any = 1.0
        self.returned: Any = 0.0
        self.theme = theme
        width, height = np.asarray(size, float) / 2
        box = [(-width, height), (width, height), (width, -height), (-width, -height), (-width, height)]
        self.set_points_as_corners([(across + x, y, 0) for x, y in box])

    def outline_colour(self) -> Array:
        """Return the outline's colour, (3,)."""
        quiet, layer, gradient = (shades.rgb(each) for each in (self.theme.line, LAYER, GRADIENT))
        forward = quiet + (layer - quiet) * float(self.reached)
        return np.asarray(forward + (gradient - forward) * float(self.returned))

    def paint(self, pen: cairo.Context[Any], camera: Camera) -> None:
        """Paint the box and its outline."""
        (left, top), (right, bottom) = self.points[0, :2], self.points[8, :2]
        opacity = float(self.get_fill_opacity())
        for x, y, start in (
            (right - CORNER, top - CORNER, 0.0), (left + CORNER, top - CORNER, 0.5),
            (left + CORNER, bottom + CORNER, 1.0), (right - CORNER, bottom + CORNER, 1.5),
        ):  # fmt: skip
            pen.arc(x, y, CORNER, start * np.pi, (start + 0.5) * np.pi)
        pen.close_path()
        source(pen, shades.rgb(self.theme.panel), opacity)
        pen.fill_preserve()
        source(pen, self.outline_colour(), opacity)
        pen.set_line_width(self.get_stroke_width() * camera.cairo_line_width_multiple)
        pen.stroke()
