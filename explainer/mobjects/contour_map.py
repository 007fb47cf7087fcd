"""A loss surface from above: colours and contour lines, painted as one."""

from __future__ import annotations

from typing import Any

import cairo
import numpy as np
import numpy.typing as npt
from manim import Camera

from explainer.mobjects import shades
from explainer.mobjects.height_scale import HeightScale, colours_of
from explainer.mobjects.level_lines import level_lines
from explainer.mobjects.painted import Array, Painted, source
from explainer.surface import Surface
from explainer.theme import DARK, Theme

FINE = 240  # pixels of the painted image along the longer side, at least
MOST = 12  # levels
LINE = 0.014  # frame units
HATCH = 0.16  # frame units between two strokes where there is no loss


class ContourMap(Painted):
    """A surface's losses over its plane: height is colour, and lines run where it is the same.

    Its points are its corners, so that it moves and scales as any mobject. Where a loss is not a finite number, the
    ground is bare and hatched, and nothing is interpolated over it.

    Attributes:
        u: (U,) `v` (V,) and `losses` (V, U), as on the surface.
        height_scale: Which loss has which colour.
        levels: (level,) the losses of the lines.
    """

    def __init__(
        self,
        surface: Surface,
        *,
        theme: Theme = DARK,
        width: float = 5.0,
        height: float = 5.0,
        scale: HeightScale | None = None,
        equal: bool = False,
        **style: Any,
    ) -> None:
        """Draw a surface.

        Args:
            width: In frame units; `height` alike.
            scale: Of the colours; from the lowest to the highest finite loss when omitted.
            equal: One unit is as long along u as along v: the map is made narrower or lower.
        """
        super().__init__(**{"fill_opacity": 1, "stroke_width": 1.5, "stroke_color": theme.line, **style})
        self.u, self.v, self.losses = (np.asarray(each, float) for each in (surface.u, surface.v, surface.losses))
        self.theme, self.height_scale = theme, HeightScale.of(self.losses) if scale is None else scale
        self.levels = self.height_scale.levels(MOST)
        if equal:
            sides = np.array([np.ptp(self.u), np.ptp(self.v)])
            width, height = (sides * min(width / sides[0], height / sides[1])).tolist()
        box = [(-width, height), (width, height), (width, -height), (-width, -height), (-width, height)]
        self.set_points_as_corners([(x / 2, y / 2, 0) for x, y in box])
        self._image = self._picture()
        self._strokes = np.concatenate([np.empty((0, 2, 2)), *(self.strokes(level) for level in self.levels)])

    def strokes(self, level: float) -> Array:
        """Return the line of a loss as strokes, (stroke, 2, 2), each end u and v."""
        # On the scale's own heights, so that lines lie where the colours between the points say.
        return level_lines(self.u, self.v, self.height_scale.share(self.losses), float(self.height_scale.share(level)))

    def at(self, u: npt.ArrayLike, v: npt.ArrayLike) -> Array:
        """Return where points of the plane stand now, (…, 3)."""
        corner, right, up = self._axes()
        return self._placed(corner, right, up, np.stack(np.broadcast_arrays(u, v), axis=-1).astype(float))

    def shares(self, u: npt.ArrayLike, v: npt.ArrayLike) -> Array:
        """Return where points of the plane are, (…, 2), in shares of the map: across and up."""
        across = (np.asarray(u, float) - self.u[0]) / (self.u[-1] - self.u[0])
        return np.stack([across, (np.asarray(v, float) - self.v[0]) / (self.v[-1] - self.v[0])], axis=-1)

    def corners(self) -> Array:
        """Return the lower left, lower right and upper left corner, (3, 3)."""
        return np.asarray(self.points[[12, 8, 0]])

    def colours(self) -> Array:
        """Return the painted colours, (row, column, 3), from the upper left; NaN where there is no loss."""
        rows, columns = (max(2, -(-FINE // (count - 1)) * (count - 1)) for count in self.losses.shape)
        across, up = np.meshgrid(
            (np.arange(columns) + 0.5) / columns * (len(self.u) - 1),
            (np.arange(rows)[::-1] + 0.5) / rows * (len(self.v) - 1),
        )
        left, low = across.astype(int), up.astype(int)
        right_by, up_by = across - left, up - low
        shares = self.height_scale.share(self.losses)
        below = (1 - right_by) * shares[low, left] + right_by * shares[low, left + 1]
        above = (1 - right_by) * shares[low + 1, left] + right_by * shares[low + 1, left + 1]
        return colours_of((1 - up_by) * below + up_by * above)

    def paint(self, pen: cairo.Context[Any], camera: Camera) -> None:
        """Paint the image, the lines, and the outline."""
        opacity = float(self.get_fill_opacity())
        corner, right, up = self._axes(camera)
        camera.set_cairo_context_path(pen, self)
        pen.save()
        pen.clip()
        self._hatch(pen, corner, right, up, opacity)
        pen.save()
        rows, columns = self._image.shape[:2]
        top = corner + up
        pen.transform(
            cairo.Matrix(right[0] / columns, right[1] / columns, -up[0] / rows, -up[1] / rows, top[0], top[1])
        )
        image = cairo.ImageSurface.create_for_data(self._image.data, cairo.FORMAT_ARGB32, columns, rows)
        pattern = cairo.SurfacePattern(image)
        pattern.set_filter(cairo.FILTER_GOOD)
        pattern.set_extend(cairo.EXTEND_PAD)
        pen.set_source(pattern)
        pen.paint_with_alpha(opacity)
        pen.restore()
        for begin, end in self._placed(corner, right, up, self._strokes).tolist():
            pen.move_to(*begin[:2])
            pen.line_to(*end[:2])
        source(pen, shades.rgb(DARK.background), 0.45 * opacity)
        pen.set_line_width(LINE)
        pen.stroke()
        pen.restore()
        camera.set_cairo_context_path(pen, self)
        camera.apply_stroke(pen, self)

    def _hatch(self, pen: cairo.Context[Any], corner: Array, right: Array, up: Array, opacity: float) -> None:
        """Paint bare ground, which shows where there is no loss."""
        if np.isfinite(self.losses).all():
            return
        source(pen, shades.rgb(self.theme.panel), opacity)
        pen.paint()
        width, height = float(np.linalg.norm(right)), float(np.linalg.norm(up))
        for reach in np.arange(0, width + height, HATCH):
            pen.move_to(*(corner + right * reach / width)[:2])
            pen.line_to(*(corner + up * reach / height)[:2])
        source(pen, shades.rgb(self.theme.quiet), opacity)
        pen.set_line_width(LINE)
        pen.stroke()

    def _picture(self) -> npt.NDArray[np.uint8]:
        """Return the image in cairo's own form, (row, column, 4): transparent where there is no loss."""
        colours = self.colours()
        known = np.isfinite(colours).all(axis=-1)
        rgba = np.zeros((*known.shape, 4), np.uint8)  # in the camera's order of bytes
        rgba[known, :3] = np.rint(colours[known] * 255)
        rgba[known, 3] = 255
        return np.ascontiguousarray(rgba)

    def _placed(self, corner: Array, right: Array, up: Array, points: Array) -> Array:
        across = (points[..., :1] - self.u[0]) / (self.u[-1] - self.u[0])
        along = (points[..., 1:] - self.v[0]) / (self.v[-1] - self.v[0])
        return np.asarray(corner + across * right + along * up)

    def _axes(self, camera: Camera | None = None) -> tuple[Array, Array, Array]:
        """Return the lower left corner, and what leads from it to the lower right and to the upper left."""
        points = self.points if camera is None else camera.transform_points_pre_display(self, self.points)
        upper_left, lower_right, lower_left = points[0], points[8], points[12]
        return lower_left, lower_right - lower_left, upper_left - lower_left
