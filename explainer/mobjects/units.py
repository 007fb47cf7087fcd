"""Numbers as fills: what a layer passes on, and the gradient that comes back to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cairo
import numpy as np
import numpy.typing as npt
from manim import Camera

from explainer.mobjects import shades
from explainer.mobjects.bars import outline
from explainer.mobjects.painted import Array, Painted, source
from explainer.theme import DARK, GRADIENT, Theme

MOST = 16  # units of a column that are drawn


def evenly(count: int, most: int = MOST) -> npt.NDArray[np.int64]:
    """Return at most `most` indices, evenly chosen from all, the first and the last among them."""
    return np.unique(np.rint(np.linspace(0, count - 1, min(count, most))).astype(np.int64))


class Filled(Painted):
    """Things side by side, each filled by numbers; its points are the boxes around them.

    Attributes:
        values: (thing, …) what the fills say, once they have been `reached` (thing,) from 0 to 1.
        gradients: (thing, …) what they say once the gradient has `returned`, from 0 to 1: then the outline has the
            gradient's colour.
        largest: The magnitude of a gradient that gets the full colour.
    """

    data = ("values", "reached", "gradients", "returned")

    def __init__(
        self, values: npt.ArrayLike, shade: Callable[[Array], Array], *, theme: Theme = DARK, **style: Any
    ) -> None:
        super().__init__(**{"fill_opacity": 1, "stroke_width": 1.5, "stroke_color": theme.line, **style})
        self.values = np.asarray(values, float)
        self.reached = np.ones(len(self.values))
        self.gradients = np.zeros_like(self.values)
        self.returned = np.zeros(())
        self.largest = 0.0
        self.shade, self.theme, self.empty = shade, theme, shades.rgb(theme.panel)

    def set_gradients(self, gradients: npt.ArrayLike, largest: float | None = None) -> Filled:
        """Take the gradient at each value, in the values' shape; the largest of them gets the full colour."""
        self.gradients = np.asarray(gradients, float).reshape(self.values.shape)
        finite = np.abs(self.gradients[np.isfinite(self.gradients)])
        self.largest = float(finite.max(initial=0.0)) if largest is None else largest
        return self

    def colours(self) -> Array:
        """Return the fills, (thing, …, 3)."""
        shown = self.shade(self.values)
        reached = self.reached.reshape(-1, *[1] * (shown.ndim - 1))
        filled = self.empty + (shown - self.empty) * reached
        if self.returned > 0:
            gradients = shades.signed(self.gradients, self.largest, self.theme)
            gradients = gradients.mean(axis=-2) if gradients.ndim > filled.ndim else gradients  # of a colour image
            filled = filled + (gradients - filled) * float(self.returned)
        return np.asarray(filled)

    def outline_colour(self) -> tuple[Array, float]:
        """Return the outline's colour, (3,), and its opacity."""
        line = self.get_stroke_rgbas()[0]
        return line[:3] + (shades.rgb(GRADIENT) - line[:3]) * float(self.returned), float(line[3])

    def corners(self) -> Array:
        """Return the boxes around the things now, (thing, 4, 3): upper left, upper right, lower right, lower left."""
        return np.asarray(self.points.reshape(len(self.values), 4, 4, 3)[:, :, 0])

    def middles(self) -> Array:
        """Return where the things stand now, (thing, 3)."""
        return np.asarray(self.corners().mean(axis=1))

    def landing(self, count: int) -> Array:
        """Return where so many numbers go that come in, (number, 3)."""
        raise NotImplementedError


class Units(Filled):
    """Discs (or squares) filled by numbers, (unit,)."""

    def __init__(
        self,
        middles: npt.ArrayLike,
        values: npt.ArrayLike,
        size: float,
        shade: Callable[[Array], Array],
        *,
        theme: Theme = DARK,
        square: bool = False,
        **style: Any,
    ) -> None:
        super().__init__(values, shade, theme=theme, **style)
        self.square = square
        self.place(middles, size)

    def place(self, middles: npt.ArrayLike, size: npt.ArrayLike) -> Units:
        """Put the units elsewhere: (unit, 3) middles, and one diameter or (unit,) of them."""
        corners = np.array([(-1, 1, 0), (1, 1, 0), (1, -1, 0), (-1, -1, 0)]) / 2
        sizes = np.broadcast_to(np.asarray(size, float), (len(self.values),))
        self.set_points(outline(np.asarray(middles, float)[:, None] + corners * sizes[:, None, None]))
        return self

    def sizes(self) -> Array:
        """Return the units' diameters now, (unit,)."""
        corners = self.corners()
        return np.asarray(np.linalg.norm(corners[:, 1] - corners[:, 0], axis=-1))

    def landing(self, count: int) -> Array:
        """Return places between the first and the last unit."""
        first, *_, last = self.middles()[[0, -1]]
        return np.asarray(first + np.linspace(0, 1, count)[:, None] * (last - first))

    def paint(self, pen: cairo.Context[Any], camera: Camera) -> None:
        """Paint each unit: its fill, then its outline."""
        opacity, (line, line_opacity) = float(self.get_fill_opacity()), self.outline_colour()
        pen.set_line_width(self.get_stroke_width() * camera.cairo_line_width_multiple)
        for (x, y, _), size, fill in zip(self.middles(), self.sizes(), self.colours(), strict=True):
            if self.square:
                pen.rectangle(x - size / 2, y - size / 2, size, size)
            else:
                pen.new_sub_path()
                pen.arc(x, y, size / 2, 0, 2 * np.pi)
            source(pen, fill, opacity)
            if self.get_stroke_width() == 0:
                pen.fill()
                continue
            pen.fill_preserve()
            source(pen, line, line_opacity)
            pen.stroke()
