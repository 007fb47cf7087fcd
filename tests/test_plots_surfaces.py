"""What figures of surfaces draw is what the surface holds: levels, dots, heights, stems, words, read back as data."""

from __future__ import annotations

import re
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.contour import QuadContourSet
from matplotlib.patches import PathPatch
from matplotlib.text import Text
from mpl_toolkits.mplot3d.art3d import Line3DCollection, Path3DCollection, Poly3DCollection
from surfaces import bowl, make_sequence, make_slice, make_surface, make_walk

from explainer import plots
from explainer.errors import TraceError
from explainer.plots.heights import heights_of
from explainer.plots.relief import relief_of
from explainer.plots.room_of_mountain import Arrow
from explainer.plots.surface_words import percent
from explainer.surface import Surface


def written(axes: Axes) -> str:
    return "\n".join(text.get_text() for text in axes.findobj(Text) if text.get_text())


def contours(axes: Axes) -> tuple[QuadContourSet, QuadContourSet]:
    """Return the filled bands and the lines between them."""
    filled, lines = (each for each in axes.collections if isinstance(each, QuadContourSet))
    return filled, lines


def dots(axes: Axes) -> PathCollection:
    (found,) = (each for each in axes.collections if isinstance(each, PathCollection))
    return found


# surface


def test_the_map_has_the_surfaces_extent_and_its_levels_enclose_all_losses() -> None:
    surface = make_surface()
    axes = plots.surface(surface)
    assert axes.get_xlim() == (-2, 2)
    assert axes.get_ylim() == (-1, 1)
    filled, lines = contours(axes)
    np.testing.assert_array_equal(filled.levels, lines.levels)
    assert filled.levels[0] <= surface.losses.min() < filled.levels[1]
    assert filled.levels[-2] < surface.losses.max() <= filled.levels[-1]


def test_along_a_contour_the_loss_is_its_level() -> None:
    _, lines = contours(plots.surface(make_surface(shape=(101, 101))))
    seen = 0
    for level, path in zip(lines.levels, lines.get_paths(), strict=True):
        if len(path.vertices):
            np.testing.assert_allclose(bowl(*path.vertices.T), level, atol=2e-3)
            seen += 1
    assert seen >= 8


def test_a_dot_stands_at_each_steps_shadow_in_the_colour_of_its_own_loss_not_of_the_map() -> None:
    walk = make_walk(gap=[0, 2.0, 0, -1.5, 0])
    surface = make_surface({"walk": walk})
    heights = heights_of(surface.losses, walk.true_losses)
    drawn = dots(plots.surface(surface))
    np.testing.assert_array_equal(drawn.get_offsets(), walk.path)
    np.testing.assert_array_equal(drawn.get_facecolors(), heights.colour_of(walk.true_losses))
    agrees = (drawn.get_facecolors() == heights.colour_of(walk.plane_losses)).all(axis=1)
    assert agrees.tolist() == [True, False, True, False, True]


@pytest.mark.parametrize(
    ("losses", "said"),
    [
        ("true", "dots: true loss at the recorded weights"),
        ("recorded", "dots: loss as recorded, each of its own batch"),
    ],
)
def test_which_loss_the_dots_have_is_chosen_and_said(losses: str, said: str) -> None:
    walk = make_walk(gap=[0, 2.0, 0, -1.5, 0])
    surface = make_surface({"walk": walk})
    axes = plots.surface(surface, losses=losses)
    own = walk.true_losses if losses == "true" else walk.losses
    colours = heights_of(surface.losses, own).colour_of(own)
    np.testing.assert_array_equal(dots(axes).get_facecolors(), colours)
    assert said in written(axes)


def test_start_and_end_are_marked_where_they_are() -> None:
    axes = plots.surface(make_surface())
    stars = [line.get_xydata() for line in axes.get_lines() if line.get_marker() == "*"]
    rings = [line.get_xydata() for line in axes.get_lines() if line.get_markerfacecolor() == "none"]
    assert [star.tolist() for star in stars] == [[[0.0, 0.0]]]
    assert {tuple(ring[0]) for ring in rings} == {(1.5, 0.8)}
    named = {text.get_text(): text.xy for text in axes.texts if text.get_text() in ("start", "end")}
    assert {name: tuple(at) for name, at in named.items()} == {"start": (1.5, 0.8), "end": (0.0, 0.0)}


def test_the_share_and_the_largest_gap_are_printed_with_their_step_and_sign() -> None:
    walk = make_walk(gap=[0, 0.31, 0, -0.42, 0], captured=0.876)
    said = written(plots.surface(make_surface({"walk": walk})))
    assert "the plane holds 87.6% of the walk" in said
    assert "largest gap, drawn − true loss: −0.42 at step 30" in said
    assert "loss of 12 examples" in said


def test_a_plane_that_hides_nothing_says_so() -> None:
    assert "the drawn loss is the true one at every step" in written(plots.surface(make_surface()))


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"batch_norm": "as is"}, "BatchNorm: running statistics as they are"),
        ({"batch_norm": "re-estimated"}, "BatchNorm: statistics re-estimated at every point"),
        ({"notes": {"mode": "train"}}, "the model in train mode"),
        ({"tolerance": 0.005, "worst": 0.0021}, "interpolated, checked: worst error 0.210%"),
    ],
)
def test_how_the_loss_was_taken_is_said(about: dict[str, Any], said: str) -> None:
    assert said in written(plots.surface(make_surface(**about)))
    assert said.split(":")[0] not in written(plots.surface(make_surface()))


@pytest.mark.parametrize(
    ("about", "names"),
    [
        ({}, ("1st principal direction  (distance in weights)", "2nd principal direction\n(distance in weights)")),
        ({"plane": "random"}, ("1st random direction  (in filter norms)", "2nd random direction\n(in filter norms)")),
        (
            {"plane": "given", "directions": ({"w": np.array([3.0, 4, 0])}, {"w": np.array([0.0, 0, 1])})},
            ("1st given direction  (in steps of length 5.00)", "w[2] − 1.00"),
        ),
        (
            {"plane": "given", "center": {"w": np.zeros(1), "b": np.zeros(1)}}
            | {"directions": ({"w": np.ones(1), "b": np.zeros(1)}, {"w": np.zeros(1), "b": np.ones(1)})},
            ("w", "b"),
        ),
        ({"notes": {"axes": ["slope", "offset"]}}, ("slope", "offset")),
    ],
)
def test_axes_are_named_after_the_plane_and_its_unit(about: dict[str, Any], names: tuple[str, str]) -> None:
    axes = plots.surface(make_surface(**about))
    assert (axes.get_xlabel(), axes.get_ylabel()) == names


def test_the_colour_bar_is_named_loss_and_its_ticks_are_levels() -> None:
    axes = plots.surface(make_surface())
    (bar,) = axes.child_axes
    assert bar.get_ylabel() == "loss"
    ticks = [float(label.get_text()) for label in bar.get_yticklabels()]
    levels = contours(axes)[0].levels
    assert ticks and all(np.isclose(levels, tick).any() for tick in ticks)


def test_losses_that_span_orders_get_a_logarithmic_scale_which_is_said() -> None:
    axes = plots.surface(make_surface(loss=lambda u, v: 10 ** (u + v)))
    assert axes.child_axes[0].get_ylabel() == "loss (log scale)"
    levels = contours(axes)[0].levels
    assert levels[0] > 0
    assert (levels[1:] / levels[:-1]).max() < 4
    even = plots.surface(make_surface(loss=lambda u, v: 10 ** (u + v)), scale="linear")
    assert even.child_axes[0].get_ylabel() == "loss"
    np.testing.assert_allclose(np.ptp(np.diff(contours(even)[0].levels)), 0, atol=1e-9)


def test_a_region_without_a_finite_loss_is_hatched_said_and_never_painted() -> None:
    lost = np.zeros((17, 21), bool)
    lost[10:, 15:] = True
    surface = make_surface(lost=lost)
    axes = plots.surface(surface)
    (hatched,) = (patch for patch in axes.patches if isinstance(patch, PathPatch) and patch.get_hatch())
    corners = hatched.get_path().vertices.reshape(-1, 5, 2)
    assert len(corners) == 7 * 6  # every cell with a lost corner
    assert corners[..., 0].min() == pytest.approx(surface.u[14])
    assert corners[..., 1].min() == pytest.approx(surface.v[9])
    filled, lines = contours(axes)
    inside = np.array([(surface.u[17], surface.v[13]), (surface.u[14] + 0.01, surface.v[9] + 0.01)])
    for path in filled.get_paths():
        assert not path.contains_points(inside).any()
    assert all(not ((p.vertices > inside[1]).all(axis=1)).any() for p in lines.get_paths() if len(p.vertices))
    assert "no finite loss" in [text.get_text() for text in axes.get_legend().get_texts()]


def test_a_surface_that_is_finite_nowhere_is_hatched_all_over() -> None:
    axes = plots.surface(make_surface({}, lost=np.ones((17, 21), bool)))
    (hatched,) = (patch for patch in axes.patches if patch.get_hatch())
    assert len(hatched.get_path().vertices) == 5 * 16 * 20


def test_several_walks_differ_in_line_and_marker_and_are_named() -> None:
    walks = {
        f"α = {rate}": make_walk(np.array([(1.5, 0.8), (0.1 * rate, 0.2)]), captured=share)
        for rate, share in ((1, 0.9), (3, 0.4))
    }
    axes = plots.surface(make_surface(walks))
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["α = 1", "α = 3"]
    first, second = axes.get_legend().get_lines()
    assert first.get_marker() != second.get_marker()
    assert first.get_linestyle() != second.get_linestyle()
    assert "the plane holds 40.0% to 90.0% of the walks" in written(axes)
    assert not [text for text in axes.texts if text.get_text() == "end"]


def test_a_walk_that_leaves_the_map_or_has_no_place_is_said() -> None:
    path = np.array([(5.0, 0.0), (1.0, 0.5), (np.nan, np.nan), (0.0, 0.0)])
    axes = plots.surface(make_surface({"walk": make_walk(path)}))
    assert "1 of 4 steps lie outside the map" in written(axes)
    assert "1 of 4 steps have weights that are not finite" in written(axes)
    assert axes.get_xlim() == (-2, 2)


def test_a_step_whose_loss_is_no_number_is_a_cross() -> None:
    walk = make_walk(gap=[0, 0, np.nan, 0, 0])
    axes = plots.surface(make_surface({"walk": walk}))
    places = [each.get_offsets().tolist() for each in axes.collections if isinstance(each, PathCollection)]
    assert [0.6, 0.3] in places[1]
    assert [0.6, 0.3] not in places[0]
    assert "1 of 5 steps have a loss that is not finite (×)" in written(axes)


@pytest.mark.parametrize(
    ("name", "kind", "way"),
    [
        ("surface", "Surface", r"explainer\.loss_surface\(model"),
        ("mountain", "Surface", r"lessons\.lesson_surface\('digits'\)"),
        ("slice", "Slice", r"explainer\.loss_slice\(model"),
        ("surface_sequence", "SurfaceSequence", r"explainer\.surface_sequence\(trace"),
    ],
)
def test_what_is_no_surface_is_answered_with_the_way_to_one(name: str, kind: str, way: str) -> None:
    with pytest.raises(TraceError, match=rf"draws a {kind}, not a dict\. Get one: .*{way}"):
        plots.FIGURES[name].draw({})


def test_an_unknown_scale_or_loss_names_those_there_are() -> None:
    with pytest.raises(TraceError, match=r"no scale is called 'logg'. Did you mean 'log'"):
        plots.surface(make_surface(), scale="logg")
    with pytest.raises(TraceError, match=r"take losses='true' or 'recorded'"):
        plots.surface(make_surface(), losses="right")
    with pytest.raises(TraceError, match=r"a loss of -0.5 has no place on a logarithmic scale"):
        plots.surface(make_surface(loss=lambda u, v: bowl(u, v) - 1), scale="log")


@pytest.mark.parametrize(
    ("share", "text"),
    [(1, "100%"), (0.99996, ">99.9%"), (0.5, "50.0%"), (0.0003, "0.030%"), (1e-7, "<0.001%"), (0, "0%")],
)
def test_a_share_is_never_rounded_to_all_or_nothing(share: float, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize("low", [1e-9, 0.003, 0.4, 70.0])
@pytest.mark.parametrize("ratio", [1.0, 1.7, 9.0, 400.0, 1e5])
@pytest.mark.parametrize("scale", ["linear", "log"])
def test_levels_are_round_few_rising_and_enclose_what_is_drawn(low: float, ratio: float, scale: str) -> None:
    heights = heights_of([low, low * ratio], scale=scale)
    assert 2 <= len(heights.levels) <= 18
    assert (np.diff(heights.levels) > 0).all()
    assert heights.levels[0] <= low * (1 + 1e-9)
    assert heights.levels[-1] >= low * ratio * (1 - 1e-9)
    places, names = heights.ticks()
    assert len(places) == len(names) == len(set(names)) >= 1


# mountain


def space_of(axes: Axes) -> Any:
    return axes.child_axes[0]


def test_the_mountains_faces_stand_on_the_grid_at_the_surfaces_losses() -> None:
    surface = make_surface()
    (sheet,) = (each for each in space_of(plots.mountain(surface)).collections if isinstance(each, Poly3DCollection))
    corners = np.asarray(sheet._faces)  # (face, 4, 3)
    assert corners.shape == (16 * 20, 4, 3)
    np.testing.assert_allclose(bowl(corners[..., 0], corners[..., 1]), corners[..., 2])


def test_a_mountains_colours_still_read_as_loss() -> None:
    surface = make_surface()
    heights = heights_of(surface.losses)
    sheet, _ = relief_of(surface, heights).faces()
    shades = relief_of(surface, heights).shades(sheet)
    assert shades.max() <= 1
    assert shades.min() >= 0.78


def test_a_hole_in_the_mountain_is_no_face_but_hatching_on_the_floor() -> None:
    lost = np.zeros((17, 21), bool)
    lost[8, 10] = True
    axes = plots.mountain(make_surface({}, lost=lost))
    floor, sheet = (each for each in space_of(axes).collections if isinstance(each, Poly3DCollection))
    assert len(sheet._faces) == 16 * 20 - 4
    assert floor.get_hatch()
    assert np.unique(np.asarray(floor._faces)[..., 2]).tolist() == [space_of(axes).get_zlim()[0]]
    assert "no finite loss" in [text.get_text() for text in axes.get_legend().get_texts()]


def test_a_hole_of_one_point_is_not_lost_where_a_large_grid_is_thinned() -> None:
    lost = np.zeros((201, 201), bool)
    lost[101, 101] = True
    surface = make_surface({}, shape=(201, 201), lost=lost)
    relief = relief_of(surface, heights_of(surface.losses))
    assert len(relief.u) == len(relief.v) == 61
    assert relief.lost.sum() >= 1


def test_steps_stand_at_their_own_loss_and_stems_lead_to_the_planes() -> None:
    walk = make_walk(gap=[0, 1.5, 0, -1.0, 0])
    space = space_of(plots.mountain(make_surface({"walk": walk}), elev=60))
    points = np.concatenate(
        [np.column_stack(each._offsets3d) for each in space.collections if isinstance(each, Path3DCollection)]
    )
    stood = np.column_stack([walk.path, walk.true_losses])
    assert sorted(map(tuple, points.round(9))) == sorted(map(tuple, stood.round(9)))
    stems = np.concatenate([each._segments3d for each in space.collections if each.get_label() == "stem"])
    assert {(round(a[0], 6), a[2].round(6), b[2].round(6)) for a, b in stems} == {
        (round(walk.path[i, 0], 6), walk.true_losses[i].round(6), walk.plane_losses[i].round(6)) for i in (1, 3)
    }


def test_arrows_start_on_the_mountain_and_point_uphill_along_the_recorded_slope() -> None:
    walk = make_walk()
    space = space_of(plots.mountain(make_surface({"walk": walk}), arrows=3))
    arrows = [artist for artist in space.get_children() if isinstance(artist, Arrow)]
    assert 2 <= len(arrows) <= 3
    relief = relief_of(make_surface({"walk": walk}), heights_of(make_surface().losses))
    lengths = []
    for arrow in arrows:
        foot, tip = arrow.ends
        assert foot[2] == pytest.approx(bowl(*foot[:2]))
        way = tip - foot
        slopes = np.array([2 * foot[0], 4 * foot[1]])
        np.testing.assert_allclose(way[:2] / np.linalg.norm(way[:2]), slopes / np.linalg.norm(slopes), atol=1e-6)
        assert way[2] == pytest.approx(float(way[:2] @ slopes))  # tangent, and so uphill
        lengths.append(np.linalg.norm(way * relief.scale))
    np.testing.assert_allclose(lengths, 0.2, rtol=1e-6)


def ridge(u: Any, v: Any) -> Any:
    """Return a wall along u = 0, as high as 3, on a plain of 1."""
    return 1 + 2 * np.exp(-((u / 0.2) ** 2)) + 0 * v


@pytest.mark.parametrize(("azim", "hidden"), [(0.0, [True, False]), (180.0, [False, True])])
def test_a_ridge_hides_what_is_behind_it_from_either_side(azim: float, hidden: list[bool]) -> None:
    surface = make_surface({}, loss=ridge, shape=(41, 81))
    relief = relief_of(surface, heights_of(surface.losses))
    points = np.array([(-0.6, 0.0, 1.0), (0.6, 0.0, 1.0)])
    assert relief.hidden(points, 15.0, azim).tolist() == hidden
    assert relief.hidden(points, 89.0, azim).tolist() == [False, False]


def test_what_is_under_the_mountain_is_hidden_from_above_and_seen_through_a_hole() -> None:
    lost = np.zeros((17, 21), bool)
    lost[6:11, 8:13] = True
    points = np.array([(0.0, 0.0, 0.51), (1.2, 0.0, 0.6)])  # under nothing, and 1.34 under the sheet
    whole, holed = make_surface({}), make_surface({}, lost=lost)
    heights = heights_of(whole.losses)
    under = points - [0, 0, 0.2]
    assert relief_of(whole, heights).hidden(under, 80.0, -60.0).tolist() == [True, True]
    assert relief_of(holed, heights).hidden(under, 80.0, -60.0).tolist() == [False, True]


def test_hidden_steps_are_drawn_fainter_rather_than_left_out() -> None:
    walk = make_walk(np.array([(-1.5, 0.0), (-0.6, 0.0), (0.6, 0.0), (1.5, 0.0)]), loss=ridge)
    axes = plots.mountain(make_surface({"walk": walk}, loss=ridge, shape=(41, 81)), elev=15.0, azim=1.0)
    drawn = [each for each in space_of(axes).collections if isinstance(each, Path3DCollection)]
    assert sum(len(each._offsets3d[0]) for each in drawn) == 4
    faint = [each for each in drawn if each.get_alpha() < 1]
    assert [len(each._offsets3d[0]) for each in faint if len(each._offsets3d[0])] == [2]
    assert "hidden by the mountain" in written(axes)
    lines = [each for each in space_of(axes).collections if isinstance(each, Line3DCollection) and each.get_alpha() < 1]
    assert lines


def test_the_side_of_a_mountain_is_chosen_so_that_the_walk_is_seen() -> None:
    walk = make_walk(np.array([(-1.8, -0.5), (-1.2, 0.0), (-0.6, 0.0)]), loss=ridge)
    space = space_of(plots.mountain(make_surface({"walk": walk}, loss=ridge, shape=(41, 81)), elev=15.0))
    assert np.cos(np.radians(space.azim)) < 0
    assert space.elev == 15.0


def test_start_and_end_are_named_on_the_mountain_even_beside_the_square_that_mplot3d_draws_into() -> None:
    path = np.array([(-1.95, -0.95), (1.0, -0.4), (1.9, 0.9)])
    axes = plots.mountain(make_surface({"walk": make_walk(path)}))
    axes.figure.canvas.draw()
    names = [text for text in space_of(axes).texts if text.get_text() in ("start", "end")]
    assert len(names) == 2
    assert all(text._check_xy() for text in names)


def test_a_walk_whose_losses_are_all_infinite_is_drawn_without_a_gap() -> None:
    walk = make_walk(loss=lambda u, v: np.full(np.shape(u), np.inf))
    assert "largest gap" not in written(plots.surface(make_surface({"walk": walk})))


def test_a_mountains_axes_are_labelled_in_losses() -> None:
    axes = plots.mountain(make_surface(loss=lambda u, v: 10 ** (1.5 * (u + v))))
    assert space_of(axes).get_zlabel() == "loss (log scale)"
    names = [label.get_text() for label in space_of(axes).get_zticklabels()]
    assert "10⁰" in names
    at = dict(zip(names, space_of(axes).get_zticks(), strict=True))
    assert at["10⁰"] == pytest.approx(0)
    assert "1st principal direction" in written(axes).replace("\n", " ")


# slice


def line(axes: Axes, label: str) -> tuple[np.ndarray, np.ndarray]:
    (found,) = (each for each in axes.get_lines() if each.get_label() == label)
    return np.asarray(found.get_xdata()), np.asarray(found.get_ydata())


@pytest.mark.parametrize("figure", [plots.surface, plots.mountain])
def test_a_walk_that_ends_where_it_started_has_one_label_for_both(figure: Any) -> None:
    axes = figure(make_surface({"walk": make_walk([(1.0, 0.5)] * 3)}))
    axes = space_of(axes) if figure is plots.mountain else axes
    assert [text.get_text() for text in axes.texts if re.match("start|end", text.get_text())] == ["start and end"]


@pytest.mark.parametrize("slope", [0.05, -0.05, 0.0, 1.5, -1.5])
def test_the_slope_and_the_loss_of_a_slice_are_not_written_over_each_other(slope: float) -> None:
    axes = plots.slice(make_slice(slope=slope))
    axes.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in axes.texts if re.match("slope|step 2: loss", text.get_text())]
    assert len(boxes) == 2 and not boxes[0].overlaps(boxes[1])
    assert all(axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1 for box in boxes)


@pytest.mark.parametrize("slope", [1.5, -0.7, 0.0])
def test_the_curve_is_the_slices_and_the_dashed_line_its_tangent(slope: float) -> None:
    slice_ = make_slice(slope=slope)
    axes = plots.slice(slice_)
    t, losses = line(axes, "loss on the line")
    np.testing.assert_array_equal(t, slice_.t)
    np.testing.assert_array_equal(losses, slice_.losses)
    (tangent,) = (each for each in axes.get_lines() if each.get_linewidth() == 2.2)
    x, y = (np.asarray(data, float) for data in (tangent.get_xdata(), tangent.get_ydata()))
    np.testing.assert_allclose(y, 0.5 + slope * x)
    assert x[0] < 0 < x[1]
    assert re.search({1.5: r"slope 1\.50", -0.7: r"slope −0\.700", 0.0: "slope 0$"}[slope], written(axes), re.MULTILINE)


def test_the_point_and_the_walk_stand_at_their_own_losses() -> None:
    slice_ = make_slice()
    axes = plots.slice(slice_)
    assert "step 2: loss 0.500" in written(axes)
    across, own = line(axes, "the walk's shadow, each step at its own loss")
    np.testing.assert_array_equal(across, slice_.path)
    np.testing.assert_array_equal(own, slice_.walk.true_losses)
    assert axes.get_xlabel() == "t, along the gradient  (distance in weights)"
    assert "the line holds 31.0% of the walk" in written(axes)


def test_both_ends_of_a_line_between_two_models_are_named_with_their_losses() -> None:
    axes = plots.slice(make_slice(walk=False, plane="line", slope=-1.2, notes={"center": "step 0"}))
    assert "step 0: loss 0.500" in written(axes)
    assert "the other weights: loss 0.300" in written(axes)
    assert "from one model to the other" in axes.get_xlabel()


def test_a_gap_of_a_slice_is_hatched_between_its_finite_neighbours() -> None:
    lost = np.zeros(41, bool)
    lost[30:33] = True
    axes = plots.slice(make_slice(walk=False, lost=lost))
    (hatched,) = (patch for patch in axes.patches if patch.get_hatch())
    assert (hatched.get_x(), hatched.get_x() + hatched.get_width()) == pytest.approx((0.45, 0.65))
    assert np.isfinite(axes.get_ylim()).all()
    assert "no finite loss" in written(axes)


# surface_sequence


def test_each_map_shows_its_steps_surface_on_one_scale_with_the_weights_in_the_middle() -> None:
    sequence = make_sequence()
    axes = plots.surface_sequence(sequence)
    *maps, _bar, ranges = axes.child_axes
    assert [each.get_title() for each in maps] == ["step 0", "step 20", "step 400"]
    levels = [contours(each)[0].levels.tolist() for each in maps]
    assert levels[0] == levels[1] == levels[2]
    assert levels[0][0] <= sequence.lowest
    assert levels[0][-1] >= sequence.highest
    for each in maps:
        assert [star.get_xydata().tolist() for star in each.get_lines()] == [[[0, 0]]]
    stars = [each.get_ydata()[0] for each in ranges.get_lines() if each.get_marker() == "*"]
    np.testing.assert_allclose(stars, sequence.step_losses)
    bars = [np.asarray(each.get_ydata()) for each in ranges.get_lines() if each.get_linewidth() == 9]
    expected = [(each.losses.min(), each.losses.max()) for each in sequence]
    np.testing.assert_allclose(bars, expected)
    said = written(axes)
    assert all(words in said for words in ("2.30", "lowest 2.30", "1.40", "0.500", "lowest 0.500"))


def test_the_maps_stand_above_what_is_said_of_them() -> None:
    *maps, _bar, ranges = plots.surface_sequence(make_sequence()).child_axes
    plt.gcf().canvas.draw()
    stars = [each for each in ranges.get_lines() if each.get_marker() == "*"]
    for each, star in zip(maps, stars, strict=True):
        middle = ranges.transData.transform(star.get_xydata())[0, 0]
        assert each.get_window_extent().x0 < middle < each.get_window_extent().x1


# Nothing that is written leaves the picture or lies over other words


FIGURES: dict[str, Any] = {
    "surface": make_surface,
    "several": lambda: make_surface({f"α = {rate}": make_walk() for rate in (0.003, 0.05, 0.1, 0.3, 0.5)}),
    "mountain": make_surface,
    "slice": make_slice,
    "surface_sequence": make_sequence,
}


@pytest.mark.parametrize("name", FIGURES)
def test_all_words_are_in_the_picture_and_apart(name: str) -> None:
    axes = plots.FIGURES.get(name, plots.FIGURES["surface"]).draw(FIGURES[name]())
    axes.figure.canvas.draw()
    frame = axes.figure.bbox
    shown = [text for text in axes.findobj(Text) if text.get_text().strip() and text.get_visible()]
    boxes = {id(text): text.get_window_extent() for text in shown}
    ticks = {id(label) for each in (axes, *axes.child_axes) for label in tick_labels(each)}
    apart = [text for text in shown if id(text) not in ticks]
    for text in apart:
        box = boxes[id(text)]
        assert frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1, text.get_text()
    for place, first in enumerate(apart):
        for second in apart[place + 1 :]:
            assert not boxes[id(first)].padded(-1).overlaps(boxes[id(second)].padded(-1)), (first, second)


def tick_labels(axes: Any) -> list[Text]:
    return [
        label
        for name in "xyz"
        if hasattr(axes, f"{name}axis")
        for label in getattr(axes, f"{name}axis").get_ticklabels()
    ]


def test_a_fine_surface_is_drawn_in_no_more_faces_than_can_be_seen() -> None:
    surface: Surface = make_surface(shape=(201, 201))
    (sheet,) = (each for each in space_of(plots.mountain(surface)).collections if isinstance(each, Poly3DCollection))
    corners = np.asarray(sheet._faces)
    assert len(corners) == 60 * 60
    np.testing.assert_allclose(bowl(corners[..., 0], corners[..., 1]), corners[..., 2])
