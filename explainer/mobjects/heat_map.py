"""Arrays as pixels: weights, activations and gradients by sign and size, images as they are."""

from __future__ import annotations

from typing import Any

import cairo
import numpy as np
import numpy.typing as npt
from manim import Camera

from explainer.mobjects import shades
from explainer.mobjects.painted import Array, Painted, source
from explainer.theme import DARK, Theme


class Pixels(Painted):
    """A rectangle of cells, painted as one image; what a cell's colour says is up to the two classes below.

    Its points are its four corners, so that it can be moved, scaled and turned. `values` (row, column) may be changed
    at any time, also by an animation.
    """

    data = ("values",)

    def __init__(self, values: npt.ArrayLike, *, height: float, line: str, gap: float = 0.0, **style: Any) -> None:
        super().__init__(**{"fill_opacity": 1, "stroke_width": 1.5, "stroke_color": line, **style})
        self.values = np.array(values, float)
        rows, columns = self.values.shape[:2]
        self.gap = gap
        width = height * columns / rows
        box = [(-width, height), (width, height), (width, -height), (-width, -height), (-width, height)]
        self.set_points_as_corners([(x / 2, y / 2, 0) for x, y in box])

    def colours(self) -> Array:
        """Return the cells' colours, (row, column, 3) between 0 and 1."""
        raise NotImplementedError

    def set_values(self, values: npt.ArrayLike) -> Pixels:
        """Show other numbers in the same cells."""
        self.values = np.array(values, float).reshape(self.values.shape)
        return self

    def cell(self, row: int, column: int) -> Array:
        """Return the middle of a cell, (3,)."""
        return np.asarray(self.cells()[row, column])

    def cells(self) -> Array:
        """Return the middles of all cells, (row, column, 3)."""
        corner, right, down = self._axes()
        rows, columns = self.values.shape[:2]
        down_by = ((np.arange(rows) + 0.5) / rows)[:, None, None] * down
        right_by = ((np.arange(columns) + 0.5) / columns)[None, :, None] * right
        return np.asarray(corner + down_by + right_by)

    def paint(self, pen: cairo.Context[Any], camera: Camera) -> None:
        """Paint one image without smoothing, and the outline."""
        rows, columns = self.values.shape[:2]
        corner, right, down = self._axes(camera)
        pen.save()
        pen.transform(
            cairo.Matrix(right[0] / columns, right[1] / columns, down[0] / rows, down[1] / rows, corner[0], corner[1])
        )
        pen.rectangle(0, 0, columns, rows)
        pen.clip()
        rgba = np.full((rows, columns, 4), 255, np.uint8)  # in the camera's order of bytes
        rgba[..., :3] = np.rint(self.colours() * 255)
        image = cairo.ImageSurface.create_for_data(rgba.data, cairo.FORMAT_ARGB32, columns, rows)
        pattern = cairo.SurfacePattern(image)
        pattern.set_filter(cairo.FILTER_NEAREST)
        pattern.set_extend(cairo.EXTEND_PAD)
        pen.set_source(pattern)
        pen.paint_with_alpha(float(self.get_fill_opacity()))
        pen.restore()
        if self.gap:
            self._rule(pen, corner, right, down)
        camera.set_cairo_context_path(pen, self)
        camera.apply_stroke(pen, self)

    def _rule(self, pen: cairo.Context[Any], corner: Array, right: Array, down: Array) -> None:
        """Draw the gaps between cells, in the colour of the outline."""
        rows, columns = self.values.shape[:2]
        for start, along, across, count in ((corner, right, down, rows), (corner, down, right, columns)):
            for share in np.arange(1, count) / count:
                begin, end = start + share * across, start + share * across + along
                pen.move_to(*begin[:2])
                pen.line_to(*end[:2])
        source(pen, self.get_stroke_rgbas()[0, :3], float(self.get_stroke_opacity()))
        pen.set_line_width(self.gap)
        pen.stroke()

    def _axes(self, camera: Camera | None = None) -> tuple[Array, Array, Array]:
        """Return the upper left corner, and what leads from it to the upper right and to the lower left."""
        points = self.points if camera is None else camera.transform_points_pre_display(self, self.points)
        upper_left, upper_right, lower_right = points[0], points[4], points[8]
        return upper_left, upper_right - upper_left, lower_right - upper_right


class HeatMap(Pixels):
    """Signed numbers: blue above zero, vermilion below, fainter the nearer to zero.

    Args:
        values: (row, column); a vector (n,) is shown as a column.
        largest: The magnitude that gets the full colour; the largest of `values` when omitted. It stays when the
            values change, so that colours of different steps can be compared.
        height: In the scene's units; the cells are square.
        gap: The width of the lines between cells.
    """

    def __init__(
        self,
        values: npt.ArrayLike,
        *,
        theme: Theme = DARK,
        height: float = 2.0,
        largest: float | None = None,
        gap: float = 0.0,
        **style: Any,
    ) -> None:
        numbers = np.asarray(values, float)
        if numbers.ndim == 1:
            numbers = numbers[:, None]
        super().__init__(numbers, height=height, line=theme.line, gap=gap, **style)
        self.theme = theme
        finite = np.abs(numbers[np.isfinite(numbers)])
        self.largest = float(finite.max(initial=0.0)) if largest is None else largest

    def colours(self) -> Array:
        """Return blue above zero, vermilion below, (row, column, 3)."""
        return shades.signed(self.values, self.largest, self.theme)


class Picture(Pixels):
    """An image, as the network sees it: the smallest number black, the largest white.

    Args:
        values: (row, column), or (row, column, 3) for a colour image.
        low: The number that is black; the smallest of `values` when omitted.
        high: The number that is white; the largest of `values` when omitted.
        height: In the scene's units; the pixels are square.
    """

    def __init__(
        self,
        values: npt.ArrayLike,
        *,
        theme: Theme = DARK,
        height: float = 2.0,
        low: float | None = None,
        high: float | None = None,
        **style: Any,
    ) -> None:
        super().__init__(values, height=height, line=theme.line, **style)
        self.low = float(self.values.min()) if low is None else low
        self.high = float(self.values.max()) if high is None else high

    def colours(self) -> Array:
        """Return the pixels' greys, or their own colours, (row, column, 3)."""
        if self.values.ndim == 3:
            return shades.grey(self.values, self.low, self.high)[..., 0]
        return shades.grey(self.values, self.low, self.high)
