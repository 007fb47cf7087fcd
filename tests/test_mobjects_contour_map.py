"""Contour maps: each point of the plane stands where it should, in the colour of its loss; holes stay holes."""

from __future__ import annotations

import numpy as np
import pytest

manim = pytest.importorskip("manim", reason="films are not installed")

from manim import RIGHT, UP, Camera  # noqa: E402

from explainer.mobjects.contour_map import ContourMap  # noqa: E402
from explainer.mobjects.height_key import HeightKey  # noqa: E402
from explainer.mobjects.height_scale import HeightScale, colours_of  # noqa: E402
from explainer.mobjects.shades import rgb  # noqa: E402
from explainer.surface import Surface  # noqa: E402
from explainer.theme import DARK, HEIGHTS, height_colour  # noqa: E402

U, V = np.linspace(-1, 3, 9), np.linspace(0, 2, 5)


def surface(losses: np.ndarray | None = None) -> Surface:
    """A plane that rises with v, and a little with u."""
    grid = (V[:, None] + 0.25 * U[None, :]) if losses is None else losses
    return Surface(losses=grid, center={}, directions=({}, {}), plane="given", u=U, v=V)


def seen(map_: ContourMap, u: float, v: float) -> np.ndarray:
    """What a camera of ten pixels to a frame unit sees at a point of the plane, (3,) between 0 and 1."""
    camera = Camera(pixel_width=160, pixel_height=90, frame_width=16, frame_height=9, background_color="#FF00FF")
    camera.capture_mobjects([map_])
    across, up, _ = map_.at(u, v)
    return camera.pixel_array[int((4.5 - up) * 10), int((across + 8) * 10), :3] / 255


@pytest.mark.parametrize("point", [(-0.8, 0.2), (2.8, 1.8), (2.8, 0.2), (-0.8, 1.8), (1.0, 1.1)])
def test_a_point_is_painted_in_the_colour_of_its_loss(point: tuple[float, float]) -> None:
    map_ = ContourMap(surface(), width=8, height=6)
    map_.levels = np.empty(0)
    u, v = point
    share = (v + 0.25 * u + 0.25) / 3
    assert np.abs(seen(map_, u, v) - rgb(height_colour(share))).max() < 0.09


def test_a_moved_and_scaled_map_is_the_same_map() -> None:
    map_ = ContourMap(surface(), width=8, height=4)
    np.testing.assert_allclose(map_.at(U[0], V[0]), (-4, -2, 0), atol=1e-12)
    np.testing.assert_allclose(map_.at([U[-1], 1.0], [V[-1], 1.0]), [(4, 2, 0), (0, 0, 0)], atol=1e-12)
    map_.scale(0.5).shift(RIGHT + UP)
    np.testing.assert_allclose(map_.at(U[-1], V[-1]), (3, 2, 0), atol=1e-12)
    np.testing.assert_allclose(map_.shares([-1, 3], [0, 2]), [(0, 0), (1, 1)])
    np.testing.assert_allclose(map_.corners(), [(-1, 0, 0), (3, 0, 0), (-1, 2, 0)], atol=1e-12)


def test_lines_run_where_the_loss_is_theirs() -> None:
    map_ = ContourMap(surface())
    for level in (0.5, 1.0, 1.5):
        strokes = map_.strokes(level)
        assert len(strokes) > 4
        np.testing.assert_allclose(strokes[..., 1] + 0.25 * strokes[..., 0], level, atol=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_where_there_is_no_loss_the_ground_is_bare_and_nothing_is_interpolated_over_it(bad: float) -> None:
    losses = surface().losses.copy()
    losses[2, 4] = bad
    map_ = ContourMap(surface(losses), width=8, height=6)
    colours = map_.colours()
    rows, columns = colours.shape[:2]
    known = np.isfinite(colours).all(axis=-1).reshape(4, rows // 4, 8, columns // 8)
    assert not known[1:3, :, 3:5].any()
    assert known.sum() == rows * columns * 28 // 32
    assert map_.height_scale.high == pytest.approx(2.75)
    assert min(np.abs(seen(map_, 1.05, 1.05) - rgb(each)).max() for each in (DARK.panel, DARK.quiet)) < 0.3
    assert np.abs(seen(map_, 2.8, 1.8) - rgb(height_colour((1.8 + 0.95) / 3))).max() < 0.09


def test_equal_units_make_the_map_narrower_or_lower() -> None:
    map_ = ContourMap(surface(), width=6, height=6, equal=True)
    assert (map_.width, map_.height) == pytest.approx((6, 3))


def test_losses_that_differ_by_factors_get_a_logarithmic_scale() -> None:
    scale = HeightScale.of(np.geomspace(0.01, 100, 50))
    assert scale.log
    np.testing.assert_allclose(scale.share([0.01, 1, 100]), (0, 0.5, 1), atol=1e-12)
    np.testing.assert_allclose(scale.loss(scale.share([0.02, 7])), (0.02, 7))
    assert set(scale.levels(5)) <= {0.01, 0.1, 1, 10, 100}
    assert not HeightScale.of([0.5, 1, 2]).log
    assert not HeightScale.of([-1.0, 0.01, 500]).log


@pytest.mark.parametrize("losses", [[np.nan, np.inf], [2.0, 2.0], []])
def test_a_scale_of_nothing_or_of_one_loss_is_still_a_scale(losses: list[float]) -> None:
    scale = HeightScale.of(losses)
    assert scale.high > scale.low and not scale.log
    assert np.isnan(scale.share(np.inf)) and np.isnan(scale.colours([np.nan])).all()


def test_colours_are_the_themes_from_the_lowest_to_the_highest() -> None:
    shares = np.linspace(0, 1, len(HEIGHTS))
    np.testing.assert_allclose(colours_of(shares), [rgb(colour) for colour in HEIGHTS], atol=1e-12)
    np.testing.assert_array_equal(colours_of([-1, 2]), colours_of([0, 1]))


@pytest.mark.parametrize("log", [True, False])
def test_the_key_writes_each_loss_at_its_colour(log: bool) -> None:
    scale = HeightScale(0.05, 40, log=log)
    key = HeightKey(scale, height=4)
    assert len(key.labels) >= 3
    for label in key.labels:
        share = (label.get_y() - key.bar.get_bottom()[1]) / key.bar.height
        expected = (np.log if log else np.asarray)([0.05, 40, float(label.words)])
        assert share == pytest.approx((expected[2] - expected[0]) / (expected[1] - expected[0]), abs=0.01)
    np.testing.assert_allclose(key.bar.colours()[0, 0], rgb(HEIGHTS[-1]), atol=0.01)
    assert key.title.words == ("loss, log scale" if log else "loss")
