"""Heat maps and pictures: every cell has the colour of its number, wherever the map stands."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

manim = pytest.importorskip("manim", reason="films are not installed")

from manim import DEGREES, LEFT, UP, Camera  # noqa: E402

from explainer.mobjects import shades  # noqa: E402
from explainer.mobjects.heat_map import HeatMap, Picture, Pixels  # noqa: E402
from explainer.theme import DARK, LIGHT, NEGATIVE, POSITIVE, Theme, colour_of  # noqa: E402


def painted(pixels: Pixels) -> npt.NDArray[np.int64]:
    """Return the colours that a camera sees in the middles of the cells, (row, column, 3)."""
    camera = Camera(pixel_width=320, pixel_height=180, frame_width=16, frame_height=9)
    camera.capture_mobjects([pixels])
    places = camera.points_to_pixel_coords(pixels, pixels.cells().reshape(-1, 3))
    colours = camera.pixel_array[places[:, 1], places[:, 0], :3]
    return np.asarray(colours.reshape(*pixels.values.shape[:2], 3), np.int64)


def hexadecimal(rgb: npt.NDArray[np.float64]) -> str:
    return "#" + "".join(f"{round(channel * 255):02X}" for channel in rgb)


@pytest.mark.parametrize("theme", [DARK, LIGHT])
@pytest.mark.parametrize("value", [0.0, 1e-9, 0.3, -0.3, 1.0, -1.0, 7.0, -7.0, float("nan")])
def test_the_colour_of_a_number_in_an_array_is_that_of_the_number(value: float, theme: Theme) -> None:
    np.testing.assert_allclose(
        shades.signed(value, 1.0, theme), shades.rgb(colour_of(value, 1.0, theme)), atol=0.6 / 255
    )


def test_without_any_size_everything_has_the_colour_of_zero() -> None:
    assert hexadecimal(HeatMap(np.zeros((2, 2))).colours()[0, 0]) == DARK.zero


def test_the_cells_on_screen_have_the_colours_of_their_numbers() -> None:
    values = np.array([[1.0, -1.0, 0.5], [0.0, -0.25, 2.0]])
    heat = HeatMap(values, height=4, largest=2, stroke_width=0)
    np.testing.assert_allclose(painted(heat), np.rint(heat.colours() * 255), atol=1)
    assert hexadecimal(heat.colours()[1, 2]) == POSITIVE
    assert hexadecimal(HeatMap([[-3.0]]).colours()[0, 0]) == NEGATIVE


def test_moved_scaled_and_turned_cells_keep_their_numbers() -> None:
    heat = HeatMap(np.linspace(-1, 1, 12).reshape(3, 4), height=3, stroke_width=0)
    heat.shift(2 * LEFT + UP).scale(1.2).rotate(30 * DEGREES)
    np.testing.assert_allclose(painted(heat), np.rint(heat.colours() * 255), atol=1)


def test_the_first_row_is_on_top_and_the_first_column_on_the_left() -> None:
    heat = HeatMap(np.zeros((2, 3)), height=2)
    np.testing.assert_allclose(heat.cell(0, 0), (-1, 0.5, 0))
    np.testing.assert_allclose(heat.cell(1, 2), (1, -0.5, 0))


def test_its_box_is_as_wide_as_its_square_cells_need() -> None:
    heat = HeatMap(np.zeros((4, 2)), height=3)
    assert (heat.width, heat.height) == pytest.approx((1.5, 3))


def test_a_vector_is_a_column() -> None:
    assert HeatMap([1.0, 2.0, 3.0]).values.shape == (3, 1)


def test_the_scale_stays_when_the_numbers_change() -> None:
    heat = HeatMap([[4.0, -1.0]]).set_values([[1.0, 1.0]])
    assert heat.largest == 4
    assert hexadecimal(heat.colours()[0, 0]) == colour_of(1.0, 4.0)


def test_a_picture_is_black_at_its_smallest_and_white_at_its_largest_number() -> None:
    picture = Picture([[-1.0, 0.0], [0.5, 1.0]], height=4, stroke_width=0)
    np.testing.assert_array_equal(painted(picture)[..., 0], [[0, 128], [191, 255]])


def test_pictures_with_the_same_limits_can_be_compared() -> None:
    assert hexadecimal(Picture([[0.0, 0.5]], low=-1, high=1).colours()[0, 1]) == "#BFBFBF"


def test_a_colour_image_has_its_own_colours() -> None:
    picture = Picture([[[1.0, 0.0, 0.0], [0.0, 0.5, 1.0]]], low=0, high=1, height=3, stroke_width=0)
    np.testing.assert_array_equal(painted(picture), [[[255, 0, 0], [0, 128, 255]]])


def test_gaps_are_drawn_between_cells_and_not_through_them() -> None:
    heat = HeatMap([[1.0, 1.0], [1.0, 1.0]], height=4, gap=0.1, stroke_color="#FFFFFF", stroke_width=0)
    camera = Camera(pixel_width=320, pixel_height=180, frame_width=16, frame_height=9)
    camera.capture_mobjects([heat])
    np.testing.assert_array_equal(camera.pixel_array[90, 160, :3], [255, 255, 255])
    np.testing.assert_allclose(painted(heat), np.rint(heat.colours() * 255), atol=1)
