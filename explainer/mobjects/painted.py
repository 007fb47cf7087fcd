"""What draws itself in one cairo pass.

Hundreds of stock mobjects are slow: 784 squares take 73 ms a frame, one image of 784 pixels 3 ms. A `Painted` stands
in a scene like any other `VMobject` (its points are its box, so that it moves, scales, fades and is measured), and is
asked by the camera to paint instead of being stroked and filled.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Any, Self

import cairo
import numpy as np
import numpy.typing as npt
from manim import Camera, VMobject

Array = npt.NDArray[np.float64]

_MANY = 64  # points from which on an outline is remembered: those of two letters
_KEPT = 1024  # outlines, of some 10 kB each
_paths: dict[tuple[Any, ...], Any] = {}  # by points and matrix, the longest unused first
_HELD = 100_000_000  # bytes of pictures: a dozen that fill a frame of 1080p
_pictures: dict[tuple[Any, ...], tuple[cairo.Pattern, int]] = {}  # with their bytes, the longest unused first


class Painted(VMobject):  # type: ignore[misc, unused-ignore]
    """A mobject that paints itself; its fill opacity is the opacity of all that it paints.

    `data` names the attributes that are arrays of numbers: they are interpolated by animations, as points and colours
    are (`map.animate.set_values(…)`). Two that differ in shape change at once, at the end.
    """

    data: tuple[str, ...] = ()

    def paint(self, pen: cairo.Context[Any], camera: Camera) -> None:
        """Draw with cairo, in the scene's units; the camera's bytes are RGBA, cairo's BGRA (see `source`)."""
        raise NotImplementedError

    def interpolate_color(self, mobject1: Any, mobject2: Any, alpha: float) -> Self:
        """Interpolate the arrays named in `data` beside the colours."""
        super().interpolate_color(mobject1, mobject2, alpha)
        for name in self.data:
            first, second = getattr(mobject1, name, None), getattr(mobject2, name, None)
            if second is None:
                continue
            if first is None or np.shape(first) != np.shape(second):
                mixed = second if alpha >= 1 or first is None else first
            else:
                with np.errstate(invalid="ignore"):  # between an infinite number and another there is none: NaN
                    mixed = second if alpha == 1 else (1 - alpha) * first + alpha * second
            setattr(self, name, np.array(mixed))
        return self


def source(pen: cairo.Context[Any], rgb: npt.ArrayLike, opacity: float) -> None:
    """Choose a colour to paint with, (3,) red, green, blue between 0 and 1."""
    red, green, blue = np.asarray(rgb, float)
    pen.set_source_rgba(blue, green, red, opacity)


def paint_once(
    pen: cairo.Context[Any], box: tuple[float, float, float, float], key: tuple[Any, ...],
    paint: Callable[[], None], opacity: float,
) -> None:  # fmt: skip
    """Paint many strokes as one picture, which is remembered: what stands still is not painted anew in every frame.

    Args:
        box: What is painted lies in it: left, low, width and height, in the scene's units.
        key: All that decides what the picture looks like, arrays too; where it is on screen is asked of the pen.
        paint: Paints with the pen, at full opacity.
        opacity: That of the whole picture.
    """
    at, target = pen.get_matrix(), pen.get_target()
    size = (target.get_width(), target.get_height()) if isinstance(target, cairo.ImageSurface) else ()
    told = [blake2b(each.tobytes(), digest_size=16).digest() if isinstance(each, np.ndarray) else each for each in key]
    whole = (*told, *box, *size, at.xx, at.yx, at.xy, at.yy, at.x0, at.y0)
    pen.save()
    rim = max(map(abs, pen.device_to_user_distance(2, 2)))  # a clip is blurred where it ends between two pixels
    pen.rectangle(box[0] - rim, box[1] - rim, box[2] + 2 * rim, box[3] + 2 * rim)
    pen.clip()
    if (known := _pictures.pop(whole, None)) is None:
        across, up = pen.user_to_device_distance(box[2], box[3])
        pen.push_group()
        paint()
        known = pen.pop_group(), int(4 * min(abs(across) * abs(up), size[0] * size[1] if size else np.inf))
        known[0].set_filter(cairo.FILTER_NEAREST)
    _pictures[whole] = known  # the last in line to go
    pen.set_source(known[0])
    pen.paint_with_alpha(opacity)
    pen.restore()
    while sum(each for _, each in _pictures.values()) > _HELD:
        del _pictures[next(iter(_pictures))]


def _display(camera: Camera, vmobject: VMobject, pen: cairo.Context[Any]) -> Camera:
    if not isinstance(vmobject, Painted):
        return _display_stock(camera, vmobject, pen)
    if len(vmobject.points) and vmobject.get_fill_opacity() > 0:
        pen.new_path()  # the mobject drawn before leaves its own
        pen.save()
        vmobject.paint(pen, camera)
        pen.restore()
        pen.new_path()
    return camera


def _set_path(camera: Camera, pen: cairo.Context[Any], vmobject: VMobject) -> Camera:
    """Lay an outline down, from cairo's own memory where the same points were laid down before."""
    points = vmobject.points
    flat = type(camera).transform_points_pre_display is Camera.transform_points_pre_display
    if len(points) < _MANY or not flat:
        return _set_stock_path(camera, pen, vmobject)
    at = pen.get_matrix()
    key = (blake2b(points.tobytes(), digest_size=16).digest(), at.xx, at.yx, at.xy, at.yy, at.x0, at.y0)
    if (known := _paths.pop(key, None)) is None:
        _set_stock_path(camera, pen, vmobject)
        known = pen.copy_path()
    else:
        pen.new_path()
        pen.append_path(known)
    _paths[key] = known  # the last in line to go
    if len(_paths) > _KEPT:
        del _paths[next(iter(_paths))]
    return camera


# manim hands its cairo context to nobody: this is the one place where every camera, also a moving or a
# three-dimensional one, draws a VMobject. What is not `Painted` is drawn as before.
_display_stock = Camera.display_vectorized
Camera.display_vectorized = _display  # type: ignore[method-assign, assignment, unused-ignore]
# manim lays an outline down curve by curve in Python, in every frame anew: most of a film's time goes into letters that
# stand still or fade.
_set_stock_path = Camera.set_cairo_context_path
Camera.set_cairo_context_path = _set_path  # type: ignore[method-assign, assignment, unused-ignore]
