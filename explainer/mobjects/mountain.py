"""A loss surface as a mountain: all faces in one cairo pass, with the walk on it, turned by data in a flat scene."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import cairo
import numpy as np
import numpy.typing as npt
from manim import Camera

from explainer.mobjects import mountain_axes, mountain_things, shades
from explainer.mobjects.height_scale import colours_of
from explainer.mobjects.level_lines import level_lines, round_levels
from explainer.mobjects.mountain_brush import Brush, Faces, Screen
from explainer.mobjects.mountain_cover import paint_things
from explainer.mobjects.mountain_view import Array, Ground, View
from explainer.mobjects.painted import Painted
from explainer.surface import Surface, Walk
from explainer.theme import DARK, Theme

SHADE = 0.22  # how much darker a face that is turned from the light is, at most
LIGHT = np.array([-0.35, -0.5, 0.79])  # where the light is from, whichever way the camera looks
LARGEST = 0.25  # frame units: larger cells are divided, so that colours run smoothly
LINES_LIFT = 0.03  # frame units: how much nearer to the viewer contour lines are than the ground
FLATTEST = 3.0  # how many times longer than the other an axis is drawn at most


class Mountain(Painted):
    """A grid of losses as a height field; its points are the corners of the room that it is fitted into.

    Space is measured in shares of the longer side of the plane; u and v have one scale, so that directions are those
    of the plane, unless one side is more than three times the other. Heights grow from `floor` to `ceiling`, and
    colours alike; both stay when another surface is shown. What is higher than the ceiling is cut off there. Nothing is
    painted outside the room.

    Attributes:
        u: (U,), `v` (V,) and `heights` (V, U): the losses that are drawn. A cell with a corner that is not a finite
            number is a hole: it is hatched, and nothing is drawn in its place.
        azimuth: Where the camera stands, in degrees from the u axis anticlockwise; −90 has u to the right.
        elevation: How high it stands, in degrees: 90 is a map.
        zoom: How many frame units are one unit of space; `focus` (3,) the point of space in the middle.
        rise: How far the mountain has risen out of its plane, from 0 to 1, and taken on its colours.
        path: (S, 3) the walk's steps, each u, v and loss; `below` (S,) the loss on the plane under (or over) each.
        position: How far the walk has come: k is its k-th step, k + ½ half-way to the next; −1 draws nothing.
        stems: How much of the stems between the walk and the plane is drawn, from 0 to 1.
        spot: (3,) u, v and loss of a ball that stands somewhere; NaN without one.
        origin: (2,) u and v where the arrows start; `ways` (arrow, 2) how far each leads; `grown` (arrow,) how much of
            it is drawn: −1 points the other way; `clear` (arrow,) their opacity.
        lines: Opacity of the contour lines; `frame` that of the axes, `trail` that of the path.
    """

    data = (
        "heights", "u", "v", "azimuth", "elevation", "zoom", "focus", "rise", "path", "below", "position", "stems",
        "spot", "origin", "ways", "grown", "clear", "lines", "frame", "trail",
    )  # fmt: skip

    def __init__(
        self,
        surface: Surface,
        *,
        theme: Theme = DARK,
        width: float = 12.0,
        height: float = 5.0,
        azimuth: float = -120.0,
        elevation: float = 30.0,
        tall: float = 0.38,
        floor: float | None = None,
        ceiling: float | None = None,
        levels: npt.ArrayLike | None = None,
        names: tuple[str, str, str] = ("u", "v", "loss"),
        aside: float = 0.0,
        walk: Walk | None = None,
        **style: Any,
    ) -> None:
        """Draw a surface, fitted into a room of the frame.

        Args:
            width: Of the room, in frame units; `height` alike.
            tall: How high the ceiling is, as a share of the longer side of the plane.
            floor: The loss at which heights begin; 0, or the lowest if that is below zero, when omitted.
            ceiling: The loss at the top, where the colours end; the highest finite one when omitted.
            levels: (level,) the losses of the contour lines; round numbers when omitted.
            names: What the three axes are called.
            aside: How much of the room stays free on the left and on the right, in frame units, where all is shown.
            walk: The one that is drawn; the surface's first when omitted.
        """
        super().__init__(**{"fill_opacity": 1, "stroke_width": 0, **style})
        self.theme, self.tall = theme, tall
        self.u, self.v, self.heights = (np.array(each, float) for each in (surface.u, surface.v, surface.losses))
        finite = self.heights[np.isfinite(self.heights)]
        self.floor = min(0.0, float(finite.min(initial=0.0))) if floor is None else floor
        self.ceiling = float(finite.max(initial=self.floor)) if ceiling is None else ceiling
        self.ceiling = self.ceiling if self.ceiling > self.floor else self.floor + 1.0
        self.levels = round_levels(self.floor, self.ceiling) if levels is None else np.asarray(levels, float)
        self.room, self.aside = np.array([width, height]), aside
        corners = [(-width, height), (width, height), (width, -height), (-width, -height), (-width, height)]
        self.set_points_as_corners([(x / 2, y / 2, 0) for x, y in corners])
        self.labels = mountain_axes.labels(self, names)
        self.rise, self.stems, self.lines, self.frame, self.trail = (
            np.array(each) for each in (1.0, 0.0, 0.6, 1.0, 1.0)
        )
        self.azimuth, self.elevation = np.array(azimuth, float), np.array(elevation, float)
        self.zoom, self.focus = self.fitting(azimuth, elevation)
        self.spot = np.full(3, np.nan)
        self.set_arrows(0.0, 0.0, np.empty((0, 2)), colours=())
        self.path, self.below, self.position = np.empty((0, 3)), np.empty(0), np.array(-1.0)
        if walk is not None or surface.walks:
            self.set_walk(walk if walk is not None else surface.walk)

    # ── what is shown ────────────────────────────────────────────────────────────────────────────────────────────

    def show(self, surface: Surface) -> Self:  # type: ignore[override]  # Mobject.show opens a window
        """Show another surface, on the same scale; `.animate.show(…)` bends one into the other."""
        self.u, self.v, self.heights = (np.array(each, float) for each in (surface.u, surface.v, surface.losses))
        return self

    def set_walk(self, walk: Walk) -> Self:
        """Draw a walk at its true losses: those of the recorded weights, which are not on the plane."""
        self.path = np.column_stack([walk.path[:, :2], walk.true_losses])
        self.below = np.array(walk.plane_losses, float)
        return self

    def walk_to(self, position: float) -> Self:
        """Draw the walk as far as this: k is its k-th step."""
        self.position = np.array(position, float)
        return self

    def set_ball(self, u: float, v: float, loss: float) -> Self:
        """Put a ball somewhere, besides that of the walk."""
        self.spot = np.array([u, v, loss], float)
        return self

    def set_arrows(
        self,
        u: float,
        v: float,
        ways: npt.ArrayLike,
        *,
        colours: Sequence[str],
        widths: npt.ArrayLike = mountain_things.ARROW,
        grown: npt.ArrayLike = 1.0,
    ) -> Self:
        """Lay arrows on the ground.

        Args:
            u: Where they start; `v` alike.
            ways: (arrow, 2) how far each leads, in u and v.
            colours: One for each.
            widths: (arrow,) in frame units; the heads grow with them.
            grown: (arrow,) how much of it is drawn; negative points the other way.
        """
        self.origin, self.ways = np.array([u, v], float), np.asarray(ways, float).reshape(-1, 2)
        self.arrow_colours = np.array([shades.rgb(each) for each in colours]).reshape(-1, 3)
        self.arrow_widths, self.clear = self._of_arrows(widths), self._of_arrows(1.0)
        return self.grow(grown)

    def grow(self, grown: npt.ArrayLike, clear: npt.ArrayLike | None = None) -> Self:
        """Draw so much of each arrow, and so clearly: (arrow,) each, or one number for all."""
        self.grown = self._of_arrows(grown)
        self.clear = self.clear if clear is None else self._of_arrows(clear)
        return self

    def _of_arrows(self, values: npt.ArrayLike) -> Array:
        return np.array(np.broadcast_to(np.asarray(values, float), len(self.ways)))

    def set_opacities(
        self, *, lines: float | None = None, frame: float | None = None, trail: float | None = None
    ) -> Self:
        """Change the opacity of the contour lines, the axes or the path."""
        self.lines, self.frame, self.trail = (
            now if new is None else np.array(float(new))
            for now, new in ((self.lines, lines), (self.frame, frame), (self.trail, trail))
        )
        return self

    def set_rise(self, rise: float) -> Self:
        """Let it rise out of its plane: 0 is flat, 1 as high as the losses are."""
        self.rise = np.array(rise, float)
        return self

    def set_stems(self, stems: float) -> Self:
        """Draw so much of the stems between the walk and the plane."""
        self.stems = np.array(stems, float)
        return self

    # ── the camera ───────────────────────────────────────────────────────────────────────────────────────────────

    def turn(
        self,
        azimuth: float | None = None,
        elevation: float | None = None,
        *,
        zoom: float = 1.0,
        onto: npt.ArrayLike | None = None,
    ) -> Self:
        """Look from elsewhere.

        Args:
            azimuth: In degrees; as now when omitted, and `elevation` alike.
            zoom: How many times larger than where the whole mountain fills the room.
            onto: (3,) u, v and loss of what is to stand in the middle; the whole mountain when omitted.
        """
        self.azimuth = self.azimuth if azimuth is None else np.array(azimuth, float)
        self.elevation = self.elevation if elevation is None else np.array(elevation, float)
        fitted, focus = self.fitting(float(self.azimuth), float(self.elevation))
        self.zoom = np.array(fitted * zoom)
        self.focus = focus if onto is None else self.space(np.asarray(onto, float))
        return self

    @property
    def view(self) -> View:
        """From where the mountain is seen now."""
        return View(float(self.azimuth), float(np.clip(self.elevation, 0.0, 90.0)))

    def fitting(self, azimuth: float, elevation: float) -> tuple[Array, Array]:
        """Return the zoom and the focus with which all of it, and its labels, fill the room from there."""
        view = View(azimuth, elevation)
        upright = self.space(mountain_axes.upright(self, view), rise=1.0)
        seen = view.project(np.concatenate([self.outer(), upright]))
        low, high = seen[:, :2].min(axis=0), seen[:, :2].max(axis=0)
        rim_low, rim_high = mountain_axes.margins(self, view)
        free = self.room - np.array([2 * self.aside, 0.0]) - rim_low - rim_high
        zoom = float(np.min(free / np.maximum(high - low, 1e-9)))
        aim = (low + high) / 2 + (rim_high - rim_low) / 2 / zoom
        depth = float(seen[:, 2].mean())
        return np.array(zoom), np.asarray(np.array([*aim, depth]) @ view.axes)

    def screen(self, camera: Camera | None = None) -> Screen:
        """Return where the view puts things in the frame."""
        points = self.points if camera is None else camera.transform_points_pre_display(self, self.points)
        right, up = (points[4] - points[0])[:2] / self.room[0], (points[4] - points[8])[:2] / self.room[1]
        pixel = 0.0 if camera is None else float(camera.frame_width) / float(camera.pixel_width)
        middle = ((points[0] + points[8]) / 2)[:2]
        return Screen(self.view, self.focus, middle, right * float(self.zoom), up * float(self.zoom), pixel)

    def at(self, u: npt.ArrayLike, v: npt.ArrayLike, loss: npt.ArrayLike) -> Array:
        """Return where points of u, v and loss stand in the frame now, (…, 3)."""
        flat = self.screen().place(self.space(np.stack(np.broadcast_arrays(u, v, loss), axis=-1)))
        return np.concatenate([flat, np.zeros((*flat.shape[:-1], 1))], axis=-1)

    # ── space ────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def scales(self) -> Array:
        """(3,) how long a unit of u, of v and of the loss is in space, once the mountain has risen."""
        sides = np.array([np.ptp(self.u), np.ptp(self.v)])
        plane = np.maximum(1 / sides.max(), 1 / (sides * FLATTEST))
        return np.array([*plane, self.tall / (self.ceiling - self.floor)])

    def space(self, points: npt.ArrayLike, rise: float | None = None) -> Array:
        """Return points of u, v and loss, (…, 3), in space, with the mountain risen as far as now or as given."""
        zero = np.array([(self.u[0] + self.u[-1]) / 2, (self.v[0] + self.v[-1]) / 2, self.floor])
        risen = np.array([1.0, 1.0, float(self.rise) if rise is None else rise])
        return np.asarray((np.asarray(points, float) - zero) * self.scales * risen)

    @property
    def cut(self) -> Array:
        """(V, U) the losses as they are drawn: cut off at the ceiling; NaN where they are not finite."""
        return np.where(np.isfinite(self.heights), np.minimum(self.heights, self.ceiling), np.nan)

    def outer(self) -> Array:
        """Return the surface and the plane below it, once it has risen, in space, (point, 3)."""
        u, v = np.meshgrid(self.u, self.v)
        losses = np.maximum(np.nan_to_num(self.cut, nan=self.floor), self.floor)
        surface = np.stack([u, v, losses], axis=-1).reshape(-1, 3)
        rims = np.array([(u, v, self.floor) for u in self.u[[0, -1]] for v in self.v[[0, -1]]])
        return self.space(np.concatenate([surface, rims]), rise=1.0)

    def ground(self) -> Ground:
        """Return the height field in space."""
        u, v = np.meshgrid(self.u, self.v)
        points = self.space(np.stack([u, v, self.cut], axis=-1))
        return Ground(points[0, :, 0], points[:, 0, 1], points[..., 2])

    # ── painting ─────────────────────────────────────────────────────────────────────────────────────────────────

    def paint(self, pen: cairo.Context[Any], camera: Camera) -> None:
        """Paint everything from the farthest to the nearest."""
        opacity = float(self.get_fill_opacity())
        if opacity < 1:
            pen.push_group()
        self._paint_whole(pen, camera)
        if opacity < 1:
            pen.pop_group_to_source()
            pen.paint_with_alpha(opacity)

    def _paint_whole(self, pen: cairo.Context[Any], camera: Camera) -> None:
        brush, ground = Brush(pen, self.screen(camera)), self.ground()
        brush.keep_within(np.array(camera.transform_points_pre_display(self, self.points))[[0, 4, 8, 12], :2])
        mountain_axes.paint_behind(self, brush)
        mountain_things.paint_holes(self, brush, ground)
        faces = self.faces(ground, brush.screen)
        brush.fill(faces)
        walls = mountain_things.walls(self, ground)
        brush.fill(walls)
        self._paint_lines(brush, ground)
        mountain_things.paint_rims(brush, ground)
        everything = Faces(
            np.concatenate([faces.corners, walls.corners]), np.concatenate([faces.colours, walls.colours])
        )
        paint_things(brush, ground, everything, mountain_things.strokes(self), mountain_things.balls(self))
        mountain_axes.paint_before(self, brush)

    def faces(self, ground: Ground, screen: Screen) -> Faces:
        """Return the cells that are whole, from the farthest to the nearest, with their colours.

        Cells that are large on the screen are divided, and those outside the room are left out.
        """
        fine = ground.finer(
            int(np.clip(np.ceil(ground.cell * screen.unit / LARGEST), 1, 8)), self._window(ground, screen)
        )
        rows, columns = fine.z.shape
        order = self.view.order(rows - 1, columns - 1)
        order = order[(fine.whole & self._window(fine, screen).ravel())[order]]
        corners = fine.corners[order]
        middles = np.moveaxis(corners[..., :2].mean(axis=1), -1, 0)
        shade = Ground(ground.x, ground.y, self._shade(ground)).height(*middles)
        losses = Ground(ground.x, ground.y, self.cut).height(*middles)
        colour, bare = self.colours_of(losses), shades.rgb(self.theme.zero)
        return Faces(corners, (bare + float(self.rise) * (colour - bare)) * shade[:, None])

    def _shade(self, ground: Ground) -> Array:
        """Return how bright the ground is at its points, (V, U): 1 where it faces the light, else a little less."""
        along_y, along_x = np.gradient(np.nan_to_num(ground.z), ground.y, ground.x)
        normal = np.stack([-along_x, -along_y, np.ones_like(along_x)], axis=-1)
        light = normal @ LIGHT / (np.linalg.norm(normal, axis=-1) * np.linalg.norm(LIGHT))
        return np.asarray(1 - SHADE * (1 - np.clip(light, 0, 1)))

    def _window(self, ground: Ground, screen: Screen) -> npt.NDArray[np.bool_]:
        """Return which cells can be seen in the room, (V − 1, U − 1)."""
        flat = screen.place(ground.corners) - screen.middle
        half = self._half()
        inside = ((flat.min(axis=1) < half) & (flat.max(axis=1) > -half)).all(axis=1)
        return np.asarray(inside.reshape(len(ground.y) - 1, len(ground.x) - 1))

    def _half(self) -> Array:
        """Return half the room's width and height in the frame, (2,)."""
        return np.asarray(np.abs(self.points[:, :2] - self.points[:, :2].mean(axis=0)).max(axis=0))

    def colours_of(self, losses: npt.ArrayLike) -> Array:
        """Return the colours of losses (…), (…, 3), as `theme.height_colour` has them."""
        return colours_of((np.asarray(losses, float) - self.floor) / (self.ceiling - self.floor))

    def _paint_lines(self, brush: Brush, ground: Ground) -> None:
        """Paint the contour lines where nothing stands before them."""
        if float(self.lines) <= 0:
            return
        strokes = [self._level(level) for level in self.levels]
        points = np.concatenate([np.empty((0, 2, 3)), *strokes])
        flat = brush.screen.place(points)
        inside = np.any(np.all(np.abs(flat - brush.screen.middle) < self._half(), axis=2), axis=1)
        points, flat = points[inside], flat[inside]
        lift = LINES_LIFT / brush.screen.unit * self.view.toward
        seen = ~ground.hidden(points.mean(axis=1) + lift, self.view)
        brush.lines(flat[seen], shades.rgb(DARK.background), 0.016, float(self.lines * self.rise))

    def _level(self, level: float) -> Array:
        flat = level_lines(self.u, self.v, self.heights, level)
        return self.space(np.concatenate([flat, np.full((*flat.shape[:-1], 1), level)], axis=-1))
