"""Small images one above the other: feature maps of a convolution, a sequence's tokens by their features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cairo
import numpy as np
import numpy.typing as npt
from manim import Camera

from explainer.mobjects.bars import outline
from explainer.mobjects.painted import Array, source
from explainer.mobjects.units import Filled
from explainer.theme import DARK, Theme


class Plates(Filled):
    """Images filled by numbers, (plate, row, column), or (plate, row, column, 3) of a colour image."""

    def __init__(
        self,
        corners: npt.ArrayLike,
        values: npt.ArrayLike,
        shade: Callable[[Array], Array],
        *,
        theme: Theme = DARK,
        **style: Any,
    ) -> None:
        """Draw images.

        Args:
            corners: (plate, 4, 3) upper left, upper right, lower right, lower left.
            values: (plate, row, column) or (plate, row, column, 3).
            shade: From numbers to colours.
        """
        super().__init__(values, shade, theme=theme, **style)
        self.set_points(outline(np.asarray(corners, float)))

    def landing(self, count: int) -> Array:
        """Return the middles of the first image's pixels, as many as are needed."""
        rows, columns = self.values.shape[1:3]
        upper_left, upper_right, _, lower_left = self.corners()[0]
        down, right = ((np.arange(each) + 0.5) / each for each in (rows, columns))
        cells = upper_left + down[:, None, None] * (lower_left - upper_left) + right[None, :, None] * (
            upper_right - upper_left
        )
        return np.asarray(cells.reshape(-1, 3)[np.arange(count) % (rows * columns)])

    def paint(self, pen: cairo.Context[Any], camera: Camera) -> None:
        """Paint each image without smoothing, and its outline."""
        opacity, (line, line_opacity) = float(self.get_fill_opacity()), self.outline_colour()
        width = self.get_stroke_width() * camera.cairo_line_width_multiple
        for box, colours in zip(self.corners(), self.colours(), strict=True):
            upper_left, upper_right, lower_left = box[0, :2], box[1, :2], box[3, :2]
            right, down = upper_right - upper_left, lower_left - upper_left
            rows, columns = colours.shape[:2]
            rgba = np.full((rows, columns, 4), 255, np.uint8)  # in the camera's order of bytes
            rgba[..., :3] = np.rint(np.clip(colours, 0, 1) * 255)
            image = cairo.ImageSurface.create_for_data(rgba.data, cairo.FORMAT_ARGB32, columns, rows)
            pattern = cairo.SurfacePattern(image)
            pattern.set_filter(cairo.FILTER_NEAREST)
            pattern.set_extend(cairo.EXTEND_PAD)
            pen.save()
            pen.transform(cairo.Matrix(*(right / columns), *(down / rows), *upper_left))
            pen.rectangle(0, 0, columns, rows)
            pen.clip()
            pen.set_source(pattern)
            pen.paint_with_alpha(opacity)
            pen.restore()
            pen.move_to(*upper_left)
            for corner in box[1:, :2]:
                pen.line_to(*corner)
            pen.close_path()
            source(pen, line, line_opacity * opacity)
            pen.set_line_width(width)
            pen.stroke()
