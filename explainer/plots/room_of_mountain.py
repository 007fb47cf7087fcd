"""The room of a mountain: three labelled axes, as large as their frame allows, seen without perspective."""

from __future__ import annotations

from itertools import product
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch
from mpl_toolkits.mplot3d import Axes3D, proj3d
from numpy.typing import NDArray

from explainer.plots.heights import Heights
from explainer.plots.relief import Relief
from explainer.plots.style import LABEL, NOTE, TICK, points
from explainer.plots.surface_words import axis_names
from explainer.surface import Surface
from explainer.theme import Theme

Floats = NDArray[np.float64]
View = tuple[float, float]  # elev and azim, in degrees

_ROOM = (-0.02, 0.0, 0.93, 1.06)  # of the mountain in the frame, as shares of it


class Arrow(FancyArrowPatch):
    """An arrow in space, whose head is drawn in the picture's plane."""

    def __init__(self, ends: Floats, **style: Any) -> None:
        super().__init__((0, 0), (0, 0), **style)
        self.ends = ends  # (2, 3)

    def do_3d_projection(self, renderer: Any = None) -> float:
        """Put the arrow where it is seen; mplot3d asks for this before it draws."""
        space: Any = self.axes
        across, up, depth = proj3d.proj_transform(*self.ends.T, space.M)
        self.set_positions((across[0], up[0]), (across[1], up[1]))
        return float(np.min(depth))


def space_of(ax: Axes, surface: Surface, relief: Relief, heights: Heights, view: View, theme: Theme) -> Axes3D:
    """Make the axes in three dimensions: labelled, quiet, without perspective, so that heights can be compared."""
    space: Any = ax.inset_axes(_ROOM, projection="3d", computed_zorder=False)
    space.set_facecolor("none")
    for axis, low, high in zip("xyz", relief.low, relief.high, strict=True):
        getattr(space, f"set_{axis}lim")(low, high, auto=False, view_margin=0)
    space.set_in_layout(False)  # `_fit` sees to it that all is in the frame
    space.set_proj_type("ortho")
    space.view_init(*view)
    _fit(space, ax, relief)
    _name_axes(space, surface, relief, view, theme)
    space.set_zlabel(heights.name, color=theme.text, fontsize=points(LABEL), labelpad=6)
    for axis, side in zip("xy", relief.box, strict=False):
        space.locator_params(axis, nbins=max(3, round(6 * side)), steps=[1, 2, 5, 10])
    places, names = heights.ticks(6)
    space.set_zticks(heights.rise(places), names)
    for axis in (space.xaxis, space.yaxis, space.zaxis):
        axis.set_pane_color((0, 0, 0, 0))
        axis.line.set_color(theme.line)
        axis._axinfo["grid"].update(color=theme.line, linewidth=0.4)
        axis.set_tick_params(labelcolor=theme.quiet, labelsize=points(0.9), color=theme.line)
    found: Axes3D = space
    return found


def _name_axes(space: Any, surface: Surface, relief: Relief, view: View, theme: Theme) -> None:
    """Write the directions' names beside the floor's edges that face the eye, level, so that they can be read."""
    turn = np.radians(view[1])
    facing = np.where([np.cos(turn) > 0, np.sin(turn) > 0], relief.high[:2], relief.low[:2])
    middle = (relief.low + relief.high) / 2
    edges = np.array([[middle[0], facing[1], relief.low[2]], [facing[0], middle[1], relief.low[2]], middle])
    across, up, _ = proj3d.proj_transform(*edges.T, space.get_proj())
    flat = np.column_stack([across, up])
    for place, name in enumerate(axis_names(surface)):
        away = flat[place] - flat[2]
        away /= np.linalg.norm(away)
        side = abs(away[0]) > 0.6
        space.annotate(
            fill(name, 14) if side else name.replace("  (", "\n("),
            flat[place],
            away * (4.0 if side else 3.0) * points(TICK),
            textcoords="offset points",
            ha=("right" if away[0] < 0 else "left") if side else "center",
            va="center" if side else "top",
            color=theme.text,
            fontsize=points(NOTE),
            annotation_clip=False,
        )


def _fit(space: Any, ax: Axes, relief: Relief) -> None:
    """Draw the box as large as its room allows with its labels, where mplot3d leaves room for a cube."""
    space.set_box_aspect(relief.box.tolist())
    corners = np.array(list(product(*zip(relief.low, relief.high, strict=True))))
    across, up, _ = proj3d.proj_transform(*corners.T, space.get_proj())
    shown = np.array([np.ptp(across), np.ptp(up)]) / space.viewLim.width  # as shares of the square that is drawn into
    frame = ax.get_window_extent()
    room = np.array([_ROOM[2] * frame.width, _ROOM[3] * frame.height]) * 72 / ax.figure.dpi
    letters = np.array([9.5, 5.5]) * points(NOTE)  # what labels and ticks take, to the sides and below
    zoom = float(np.min((room - letters) / (shown * room.min())))
    space.set_box_aspect(relief.box.tolist(), zoom=max(zoom, 0.5))
