"""Small arrays on screen."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("manim")

from explainer.mobjects.grid import MOST, Grid, shape_words
from explainer.mobjects.words import MINIMUM
from explainer.theme import DARK, LIGHT, NEGATIVE, POSITIVE, Theme, colour_of, contrast

W = np.array([[-0.031, 0.4454], [-0.5921, -0.488], [0.0, 0.0001]])


def test_a_grid_writes_every_number_in_its_cell() -> None:
    grid = Grid(W)
    assert grid.texts == [["−0.031", "0.445"], ["−0.592", "−0.488"], ["0.000", "0.000"]]
    np.testing.assert_array_equal(grid.values, W)
    np.testing.assert_array_equal(grid.cells.values, W)


def test_decimal_points_stand_one_under_the_other() -> None:
    numbers = Grid(np.array([[1.5], [-0.25], [0.125]])).submobjects[1]
    right_edges = [Grid(np.array([[value]])).submobjects[1].get_right()[0] for value in (1.5, -0.25, 0.125)]
    assert np.ptp(right_edges) < 0.02  # but for the shape of the last digit
    assert numbers.get_right()[0] == pytest.approx(max(right_edges), abs=0.02)


@pytest.mark.parametrize("theme", [DARK, LIGHT])
def test_a_cells_colour_is_the_themes_for_its_number(theme: Theme) -> None:
    grid = Grid(W, theme=theme)
    colours = np.rint(grid.cells.colours() * 255).astype(int)
    for row, column in np.ndindex(W.shape):
        written = "#" + "".join(f"{channel:02X}" for channel in colours[row, column])
        assert written == colour_of(W[row, column], np.abs(W).max(), theme)


@pytest.mark.parametrize("theme", [DARK, LIGHT])
@pytest.mark.parametrize(("value", "fill"), [(1.0, POSITIVE), (-1.0, NEGATIVE), (0.0, None)])
def test_a_number_can_be_read_on_its_cell(theme: Theme, value: float, fill: str | None) -> None:
    grid = Grid(np.array([[value]]), theme=theme, largest=1.0)
    written = grid.submobjects[1].get_fill_color().to_hex()
    assert contrast(written, fill or theme.zero) >= 3


def test_numbers_on_one_colour_have_one_ink_in_both_themes_and_none_is_black_on_the_darker_blues() -> None:
    for value, ink in ((1.0, DARK.text), (0.85, DARK.text), (-0.4, LIGHT.text), (0.1, LIGHT.text)):
        light = Grid(np.array([[value]]), theme=LIGHT, largest=1.0)
        assert light.submobjects[1].get_fill_color().to_hex() == ink


def test_one_scale_for_several_grids_makes_their_colours_comparable() -> None:
    small = Grid(np.array([[0.1]]), largest=1.0)
    assert small.cells.largest == 1.0


@pytest.mark.parametrize(
    ("values", "text"),
    [(np.array([[0.0042]]), "0.0042"), (np.array([[0.00042]]), "0.00042"), (np.array([[42.0]]), "42.000")],
)
def test_there_are_as_many_decimals_as_the_largest_number_needs(values: np.ndarray, text: str) -> None:
    assert Grid(values).texts == [[text]]


def test_a_large_array_is_cut_and_shows_dots_where() -> None:
    grid = Grid(np.arange(40.0).reshape(20, 2), height=2.0)
    assert grid.values.shape == (20, 2)
    assert grid.cells.values.shape == (MOST, 2)
    assert grid.texts == []  # cells too small to be written in
    dots = grid.submobjects[-1]
    assert getattr(dots, "words", None) == "⋮"
    assert dots.get_top()[1] < grid.cells.get_bottom()[1]
    assert shape_words(grid.values) == "20×2"


@pytest.mark.parametrize("rows", [1, 4, 5, 6, 7, 16])
@pytest.mark.parametrize("columns", [1, 2, 5, 16])
def test_numbers_are_written_only_where_they_can_be_read_and_cells_keep_their_bounds(rows: int, columns: int) -> None:
    grid = Grid(np.linspace(-1, 1, rows * columns).reshape(rows, columns), height=1.7, width=3.0)
    assert grid.em >= MINIMUM - 1e-9
    assert grid.cells.width <= 3.0 + 1e-6
    assert grid.cells.height <= 1.7 + 1e-6
    if grid.texts:
        assert grid.submobjects[1].width < grid.cells.width


def test_a_frame_stands_around_a_row() -> None:
    grid = Grid(np.arange(4.0)[:, None])
    for row in range(4):
        frame, middle = grid.row(row), grid.cells.cell(row, 0)
        np.testing.assert_allclose(frame.get_center(), middle, atol=1e-9)
        assert frame.width > grid.cells.width
