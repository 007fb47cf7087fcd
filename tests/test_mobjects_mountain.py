"""The mountain: heights and colours are the surface's, and from every side what is nearer hides what is behind."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest

manim = pytest.importorskip("manim", reason="films are not installed")

from manim import Camera, Transform  # noqa: E402

from explainer import theme  # noqa: E402
from explainer.mobjects import mountain_axes, mountain_things, shades  # noqa: E402
from explainer.mobjects.level_lines import level_lines, round_levels  # noqa: E402
from explainer.mobjects.mountain import SHADE, Mountain  # noqa: E402
from explainer.mobjects.mountain_brush import LIFT, Brush, Faces  # noqa: E402
from explainer.mobjects.mountain_cover import Cut, hide  # noqa: E402
from explainer.mobjects.mountain_view import View  # noqa: E402
from explainer.surface import Surface, Walk  # noqa: E402
from tests.depth_buffer import DepthBuffer, turned  # noqa: E402

SIDES = [*itertools.product(range(-175, 180, 50), (4, 25, 50, 75)), (-90, 90), (-90, 0), (0, 30), (180, 30)]
WIDE, HIGH = 16.0, 9.0  # frame units


def hills(columns: int = 15, rows: int = 12, seed: int = 0) -> Surface:
    """Return a plane with several hills on it, and a walk across them."""
    u, v = np.linspace(-2, 3, columns), np.linspace(-1, 2.5, rows)
    random, (x, y) = np.random.default_rng(seed), np.meshgrid(u, v)
    losses = 0.4 + 0.1 * random.uniform(size=(rows, columns))
    for _ in range(6):
        across, along = random.uniform(-2, 3), random.uniform(-1, 2.5)
        losses += random.uniform(0.5, 2) * np.exp(-((x - across) ** 2 + (y - along) ** 2) / random.uniform(0.1, 0.6))
    ground = Surface(losses, {}, ({}, {}), "given", u=u, v=v, evaluated=np.ones_like(losses, bool), data="9 examples")
    steps = np.arange(12)
    path = np.column_stack([np.linspace(-1.8, 2.7, 12), 0.75 + np.sin(steps / 2)])
    planes = np.array([ground.height(*point) for point in path])
    true = planes + 0.08 * np.cos(3 * steps)
    walk = Walk(steps, path, true + 0.2, true, planes, np.ones(12), np.ones((12, 2)), 0.9)
    return dataclasses.replace(ground, walks={"walk": walk})


def mountain(surface: Surface | None = None, **options: Any) -> Mountain:
    return Mountain(hills() if surface is None else surface, **{"width": 14.0, "height": 8.0, **options})


def camera(pixels: int = 40) -> Camera:
    """Return a camera with so many pixels a frame unit."""
    return Camera(
        pixel_width=int(WIDE * pixels), pixel_height=int(HIGH * pixels), frame_width=WIDE, frame_height=HIGH,
        background_color="#000000",
    )  # fmt: skip


def seen(shown: Mountain, pixels: int = 40) -> np.ndarray:
    """Return what a camera sees, (row, column, 3) between 0 and 1."""
    eye = camera(pixels)
    eye.capture_mobjects([shown])
    return eye.pixel_array[..., :3] / 255


def everything(shown: Mountain) -> Faces:
    """Return all that is painted of the ground: its cells and the sides of the block."""
    faces, walls = shown.faces(shown.ground(), shown.screen()), mountain_things.walls(shown, shown.ground())
    return Faces(np.concatenate([faces.corners, walls.corners]), np.concatenate([faces.colours, walls.colours]))


def referee(shown: Mountain, faces: Faces) -> DepthBuffer:
    return DepthBuffer(faces.corners, float(shown.azimuth), float(shown.elevation))


def spread(shown: Mountain, faces: Faces, count: int) -> np.ndarray:
    """Return points of the screen all over the faces, in space's unit, (count, 2)."""
    flat = turned(faces.corners, float(shown.azimuth), float(shown.elevation))[..., :2].reshape(-1, 2)
    return np.random.default_rng(1).uniform(flat.min(axis=0), flat.max(axis=0), size=(count, 2))


@pytest.fixture(autouse=True)
def undivided(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave large cells whole, so that the referee has less to do."""
    monkeypatch.setattr("explainer.mobjects.mountain.LARGEST", 99.0)


@pytest.mark.parametrize(("azimuth", "elevation"), SIDES)
def test_the_face_that_is_painted_last_is_the_nearest(azimuth: float, elevation: float) -> None:
    shown = mountain(azimuth=azimuth, elevation=elevation)
    faces = everything(shown)
    depths = referee(shown, faces).depths(spread(shown, faces, 600))
    there = np.isfinite(depths)
    covered = there.any(axis=1)
    painted = len(faces.corners) - 1 - there[covered][:, ::-1].argmax(axis=1)
    nearest = depths[covered].max(axis=1)
    assert covered.sum() > 200
    np.testing.assert_allclose(depths[covered, :][np.arange(covered.sum()), painted], nearest, atol=1e-9)


@pytest.mark.parametrize(("azimuth", "elevation"), SIDES[1::3])
def test_every_pixel_has_the_colour_of_what_is_nearest_there(azimuth: float, elevation: float) -> None:
    shown = mountain(azimuth=azimuth, elevation=elevation).set_opacities(lines=0, frame=0)
    faces, picture, pixels = everything(shown), seen(shown), 40
    random = np.random.default_rng(2)
    places = random.integers([60, 60], [int(HIGH * pixels) - 60, int(WIDE * pixels) - 60], size=(1200, 2))
    buffer, owners = referee(shown, faces), []
    for down, right in ((0, 0), (2, 2), (2, -2), (-2, 2), (-2, -2)):  # away from edges, which are smoothed
        depths = buffer.depths(on_screen(shown, places + np.array([down, right]), pixels))
        owners.append(np.where(np.isfinite(depths).any(axis=1), depths.argmax(axis=1), -1))
    inside = (np.array(owners) == owners[0]).all(axis=0) & (owners[0] >= 0)
    assert inside.sum() > 100
    expected = faces.colours[owners[0][inside]]
    np.testing.assert_allclose(picture[places[inside, 0], places[inside, 1]], expected, atol=1.5 / 255)


def on_screen(shown: Mountain, places: np.ndarray, pixels: int) -> np.ndarray:
    """Return the middles of pixels (P, 2), rows and columns, as the referee counts: right and up, in space's unit."""
    frame = np.column_stack([(places[:, 1] + 0.5) / pixels - WIDE / 2, HIGH / 2 - (places[:, 0] + 0.5) / pixels])
    focus = turned(shown.focus, float(shown.azimuth), float(shown.elevation))[:2]
    return np.asarray(frame / float(shown.zoom) + focus)


def test_the_ball_is_hidden_where_something_is_nearer_and_only_there() -> None:
    pixels, outcomes = 60, {True: 0, False: 0}
    for azimuth, elevation, step in itertools.product((-160, -70, 20, 110), (6, 20, 45), (1, 4, 6, 9)):
        shown = mountain(azimuth=azimuth, elevation=elevation).set_opacities(lines=0, frame=0)
        u, v, loss = shown.path[step]
        shown.set_ball(u, v, max(loss, shown.below[step])).set_opacities(trail=0)
        (ball,) = mountain_things.balls(shown)
        middle, depth = shown.screen().place(ball.middle(shown.screen())), ball.nearest(shown.screen())
        turns, shares = np.meshgrid(np.linspace(0, 6, 9), (0.2, 0.5, 0.8))
        reach = ball.radius * shares.ravel()[:, None]
        frame = middle + reach * np.column_stack([np.cos(turns.ravel()), np.sin(turns.ravel())])
        places = np.column_stack([(HIGH / 2 - frame[:, 1]) * pixels, (frame[:, 0] + WIDE / 2) * pixels]).astype(int)
        around = [on_screen(shown, places + move, pixels) for move in ([0, 0], [2, 0], [-2, 0], [0, 2], [0, -2])]
        before = np.array([referee(shown, everything(shown)).depths(each).max(axis=1) - depth for each in around])
        clear = (np.abs(before) > 1e-3).all(axis=0) & ((before > 0) == (before[0] > 0)).all(axis=0)
        bright = np.abs(seen(shown, pixels)[places[:, 0], places[:, 1]] - ball.colour).max(axis=1) < 0.02
        np.testing.assert_array_equal(bright[clear], before[0, clear] < 0)
        for hidden in before[0, clear] > 0:
            outcomes[bool(hidden)] += 1
    assert min(outcomes.values()) > 50


def test_the_path_stems_and_arrows_are_cut_where_something_is_nearer() -> None:
    outcomes = {True: 0, False: 0}
    for azimuth, elevation in SIDES:
        shown = mountain(azimuth=azimuth, elevation=elevation).walk_to(11).set_stems(1)
        shown.set_arrows(0.4, 0.7, [(0.8, 0.3), (-0.6, 0.5)], colours=["#FFFFFF", "#E69F00"])
        buffer, brush = referee(shown, everything(shown)), Brush(None, shown.screen())  # type: ignore[arg-type]
        for stroke in mountain_things.strokes(shown):
            cut = Cut(stroke, brush, [])
            hide([cut], brush, shown.ground())
            middles = turned((cut.points[1:] + cut.points[:-1]) / 2, azimuth, elevation)
            own = middles[:, 2] + LIFT * stroke.width / float(shown.zoom)
            moves = np.array([(0, 0), (0, 0.015), (0, -0.015), (0.01, 0), (-0.01, 0)])
            around = np.array([buffer.depths(middles[:, :2] + move).max(axis=1) - own for move in moves])
            # Where the bilinear ground and its two flat triangles cannot disagree, also not at the edge of a ridge.
            over, lift = around[0], LIFT * stroke.width / float(shown.zoom)
            clear = (around > 0.04).all(axis=0) | (around < -0.3 * lift).all(axis=0)
            np.testing.assert_array_equal(cut.seen[clear], over[clear] < 0)
            for hidden in over[clear] > 0:
                outcomes[bool(hidden)] += 1
    assert min(outcomes.values()) > 300


def test_the_balls_own_path_passes_before_it_or_behind_it() -> None:
    shown = mountain(azimuth=-90, elevation=20).set_walk(hills().walk)
    shown.heights = np.zeros_like(shown.heights)  # nothing else hides anything
    (u, v), brush = (0.5, 0.75), Brush(None, shown.screen())  # type: ignore[arg-type]
    (ball,) = mountain_things.balls(shown.set_ball(u, v, 1.0).walk_to(-1))
    for nearer, expected in ((0.2, 1), (-0.2, 0)):
        point = ball.middle(brush.screen) + nearer * shown.view.toward
        shown.path = np.array([point, point + np.array([0.01, 0, 0])]) / shown.scales + [0.5, 0.75, shown.floor]
        cut = Cut(mountain_things.strokes(shown.walk_to(1))[0], brush, [ball])
        hide([cut], brush, shown.ground())
        assert set(cut.after) == {expected}


def test_heights_are_the_surfaces_losses() -> None:
    surface = hills()
    shown = mountain(surface, azimuth=-90, elevation=0)
    tops = shown.at(*np.meshgrid(surface.u, surface.v), surface.losses)
    foot, peak = shown.at(0, 0, shown.floor)[1], shown.at(0, 0, shown.ceiling)[1]
    np.testing.assert_allclose((tops[..., 1] - foot) / (peak - foot), surface.losses / surface.losses.max(), atol=1e-9)
    assert (shown.floor, shown.ceiling) == (0.0, surface.losses.max())


def test_colours_are_the_themes_for_the_loss_with_a_weak_shade() -> None:
    shown = mountain(width=3.0, azimuth=-90, elevation=90)  # so small that no cell is divided
    rows, columns = shown.heights.shape
    faces = shown.faces(shown.ground(), shown.screen())
    cells = shown.view.order(rows - 1, columns - 1)
    around = np.stack([shown.heights[:-1, :-1], shown.heights[:-1, 1:], shown.heights[1:, :-1], shown.heights[1:, 1:]])
    losses = around.mean(axis=0).ravel()[cells]
    plain = np.array([shades.rgb(theme.height_colour(loss / shown.ceiling)) for loss in losses])
    shade = faces.colours.max(axis=1) / plain.max(axis=1)
    np.testing.assert_allclose(faces.colours, plain * shade[:, None], atol=3 / 255)
    assert shade.min() >= 1 - SHADE - 0.02 and shade.max() <= 1.02
    assert SHADE < 0.25


def test_seen_from_straight_above_it_is_a_map() -> None:
    surface = hills()
    shown = mountain(surface, azimuth=-90, elevation=90)
    low, high = shown.at(-2, -1, 0.0), shown.at(3, 2.5, 5.0)
    across = (high[0] - low[0]) / 5
    assert (high[1] - low[1]) / 3.5 == pytest.approx(across)
    np.testing.assert_allclose(shown.at(1.0, 0.0, [0.0, 3.0, 9.0])[:, :2], [low[:2] + across * np.array([3, 1])] * 3)


def test_contour_lines_are_those_of_contourpy() -> None:
    contourpy = pytest.importorskip("contourpy")
    surface = hills(columns=23, rows=17, seed=4)
    losses = surface.losses.copy()
    losses[3, 4], losses[10:12, 8] = np.nan, np.inf
    judge = contourpy.contour_generator(
        surface.u, surface.v, np.ma.masked_invalid(losses), corner_mask=False, line_type="Separate"
    )
    levels = mountain(surface).levels
    assert sum(len(level_lines(surface.u, surface.v, losses, level)) > 20 for level in levels) > 5
    for level in levels:
        strokes = [pair for line in judge.lines(level) for pair in itertools.pairwise(line.round(9).tolist())]
        ours = level_lines(surface.u, surface.v, losses, level).round(9).tolist()
        assert sorted(sorted(stroke) for stroke in strokes) == sorted(sorted(stroke) for stroke in ours)


@pytest.mark.parametrize(
    ("low", "high", "most", "expected"),
    [(0, 2.3, 5, [0, 0.5, 1, 1.5, 2]), (-1, 1, 4, [-1, -0.5, 0, 0.5, 1]), (2.29, 2.3, 3, [2.29, 2.295, 2.3])],
)
def test_levels_are_round_numbers(low: float, high: float, most: int, expected: list[float]) -> None:
    np.testing.assert_allclose(round_levels(low, high, most), expected, atol=1e-12)
    assert len(round_levels(1.0, 1.0)) == 0


def test_where_no_loss_is_finite_there_is_a_hole_and_nothing_in_its_place() -> None:
    surface = hills()
    losses = surface.losses.copy()
    losses[4, 5], losses[8, 11], losses[0, 0] = np.nan, np.inf, -np.inf
    shown = mountain(dataclasses.replace(surface, losses=losses), width=3.0, azimuth=-90, elevation=90)
    faces = shown.faces(shown.ground(), shown.screen())
    assert len(faces.corners) == 14 * 11 - 4 - 4 - 1
    assert np.isfinite(faces.corners).all() and np.isfinite(faces.colours).all()
    middle = shown.at((surface.u[5] + surface.u[6]) / 2, (surface.v[4] + surface.v[5]) / 2, 0)[:2]
    inside = np.abs(faces.corners.mean(axis=1)[:, :2] * float(shown.zoom) + shown.at(0.5, 0.75, 0)[:2] - middle)
    assert inside.max(axis=1).min() > 0.05
    assert np.isfinite(shown.focus).all() and shown.ceiling == losses[np.isfinite(losses)].max()
    seen(shown)  # the hatching is painted, without a warning


def test_what_is_higher_than_the_ceiling_is_cut_off_there() -> None:
    shown = mountain(ceiling=1.0)
    assert shown.ground().top == pytest.approx(shown.tall)
    assert np.nanmax(shown.cut) == 1.0 and shown.heights.max() > 1.5


def test_the_walk_stands_at_its_true_losses() -> None:
    surface = hills()
    shown = mountain(surface)
    for step in (0, 5, 11):
        (ball,) = mountain_things.balls(shown.walk_to(step))
        expected = shown.space([*surface.path[step], surface.walk.true_losses[step]])
        np.testing.assert_allclose(ball.foot, expected)
    shown.walk_to(5.25)
    half = 0.75 * shown.path[5] + 0.25 * shown.path[6]
    np.testing.assert_allclose(mountain_things.walked(shown)[-1], half)
    assert len(mountain_things.walked(shown)) == 7
    assert mountain_things.balls(shown.walk_to(-1)) == []


def test_stems_lead_from_the_plane_to_the_walk() -> None:
    surface = hills()
    shown = mountain(surface).walk_to(4).set_stems(1)
    stems = mountain_things.stems(shown)
    assert len(stems) == 5
    for step, stem in enumerate(stems):
        below, above = stem.points[:, 2] / shown.scales[2]
        assert (below, above) == pytest.approx((surface.plane_losses[step], surface.walk.true_losses[step]))
    half = mountain_things.stems(shown.set_stems(0.5))[2].points[:, 2] / shown.scales[2]
    assert half[1] - half[0] == pytest.approx(-surface.walk.gap[2] / 2)


def test_an_arrow_lies_on_the_ground_and_can_point_the_other_way() -> None:
    surface = hills()
    shown = mountain(surface).set_arrows(0.5, 0.5, [(0.6, 0.2)], colours=["#FFFFFF"])
    (arrow,) = mountain_things.arrows(shown)
    plane = arrow.points[:, :2] / shown.scales[:2] + [0.5, 0.75]
    losses = [surface.height(u, v) for u, v in plane]
    np.testing.assert_allclose(arrow.points[:, 2], np.array(losses) * shown.scales[2])
    np.testing.assert_allclose(plane[-1], [1.1, 0.7])
    np.testing.assert_allclose(
        mountain_things.arrows(shown.grow(-1))[0].points[-1, :2] / shown.scales[:2], [-0.6, -0.45], atol=1e-9
    )


def test_it_turns_rises_and_changes_by_its_numbers() -> None:
    first, second = hills(seed=0), hills(seed=1)
    shown = mountain(first, azimuth=-120, elevation=20)
    change = Transform(shown, shown.copy().show(second).turn(-100, 40))
    change.begin()
    change.interpolate(0.5)
    half = change.rate_func(0.5)
    np.testing.assert_allclose(shown.heights, (1 - half) * first.losses + half * second.losses)
    assert (float(shown.azimuth), float(shown.elevation)) == pytest.approx((-110, 30))
    change.interpolate(1)
    np.testing.assert_array_equal(shown.heights, second.losses)
    assert np.ptp(shown.copy().set_rise(0).ground().z) == 0


def test_a_hole_stays_a_hole_while_one_surface_becomes_another() -> None:
    first = hills()
    losses = first.losses.copy()
    losses[2, 3] = np.nan
    shown = mountain(first)
    change = Transform(shown, shown.copy().show(dataclasses.replace(first, losses=losses)))
    change.begin()
    change.interpolate(0.5)
    assert np.isnan(shown.heights[2, 3]) and np.isnan(shown.heights).sum() == 1


@pytest.mark.parametrize(("azimuth", "elevation"), SIDES)
def test_all_of_it_and_every_label_is_in_its_room(azimuth: float, elevation: float) -> None:
    shown = mountain(width=9.0, height=5.0).turn(azimuth, elevation)
    low, high = np.array([-4.5, -2.5]), np.array([4.5, 2.5])
    flat = shown.screen().place(shown.outer())
    assert (flat.min(axis=0) >= low).all() and (flat.max(axis=0) <= high).all()
    boxes = []
    for axis in mountain_axes.axes(shown, Brush(None, shown.screen())):  # type: ignore[arg-type]
        if axis.opacity < 0.05:
            continue
        for label, _, middle in axis.places:
            half = np.array([label.words.width, label.words.height]) / 2
            assert (middle - half >= low).all() and (middle + half <= high).all(), label.words.words
            boxes.append((label.words.words, middle - half, middle + half))
    assert len(boxes) > 8


@pytest.mark.parametrize(("azimuth", "elevation"), SIDES)
def test_the_name_of_the_losses_axis_stands_left_of_it_where_no_ground_is(azimuth: float, elevation: float) -> None:
    shown = mountain(azimuth=azimuth, elevation=elevation)
    for axis in mountain_axes.axes(shown, Brush(None, shown.screen())):  # type: ignore[arg-type]
        for label, foot, middle in axis.places:
            if label.value is None and label.words.words == "loss":
                assert middle[0] + label.words.width / 2 <= foot[0] + 1e-9


def test_nothing_is_painted_outside_the_room() -> None:
    close = mountain(width=6.0, height=4.0).turn(-120, 30, zoom=4, onto=(0.5, 0.5, 1.0))
    picture = seen(close)
    rows, columns = np.nonzero(picture.max(axis=2) > 0)
    assert columns.min() >= (WIDE / 2 - 3) * 40 - 1 and columns.max() <= (WIDE / 2 + 3) * 40
    assert rows.min() >= (HIGH / 2 - 2) * 40 - 1 and rows.max() <= (HIGH / 2 + 2) * 40
    assert len(rows) > 10_000


def test_close_up_cells_are_divided_and_their_colours_run_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("explainer.mobjects.mountain.LARGEST", 0.25)
    close = mountain().turn(-90, 90, zoom=3, onto=(0.5, 0.5, 1.0))
    faces = close.faces(close.ground(), close.screen())
    sides = np.linalg.norm(np.diff(close.screen().place(faces.corners[:, :2]), axis=1), axis=-1)
    assert sides.max() < 0.3 < np.linalg.norm(np.diff(close.at(close.u[:2], [0, 0], 0), axis=0))


def test_the_height_of_the_ground_is_the_surfaces() -> None:
    surface = hills()
    ground = mountain(surface).ground()
    points = np.random.default_rng(0).uniform([-2, -1], [3, 2.5], size=(40, 2))
    shown = mountain(surface)
    space = shown.space(np.column_stack([points, np.zeros(40)]))
    expected = [surface.height(*point) * shown.scales[2] for point in points]
    np.testing.assert_allclose(ground.height(space[:, 0], space[:, 1]), expected)
    assert np.isnan(ground.height(9.0, 0.0))


@pytest.mark.parametrize(("azimuth", "elevation"), SIDES)
def test_the_projection_is_two_rotations(azimuth: float, elevation: float) -> None:
    points = np.random.default_rng(0).normal(size=(10, 3))
    np.testing.assert_allclose(View(azimuth, elevation).project(points), turned(points, azimuth, elevation), atol=1e-12)
