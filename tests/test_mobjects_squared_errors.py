"""Squared errors: square, on the scale of the axis, within their room, and their column's area is the mean."""

from __future__ import annotations

import numpy as np
import pytest

manim = pytest.importorskip("manim", reason="films are not installed")

from explainer.mobjects.squared_errors import SquaredErrors, column_width, decimals_of, ways_off  # noqa: E402


def made(scale: float, outputs: np.ndarray | None = None) -> SquaredErrors:
    rng = np.random.default_rng(3)
    x = np.sort(rng.uniform(size=15))
    targets = scale * (x + rng.normal(size=15) / 5)
    return SquaredErrors(x, targets, scale * np.stack([1 - x, x]) if outputs is None else outputs)


@pytest.mark.parametrize("scale", [0.003, 1.0, 7.0, 5e4])
def test_squares_are_within_the_plot_and_the_column_is_no_higher_than_it(scale: float) -> None:
    picture = made(scale)
    box = picture.plot.dots
    for outputs in (scale * (1 - picture.x), scale * picture.x):
        picture.set_outputs(outputs)
        left, bottom, width, height = picture.squares.drawn().T
        np.testing.assert_allclose(width, height)
        assert left.min() >= box.get_left()[0] - 1e-9 and (left + width).max() <= box.get_right()[0] + 1e-9
        assert bottom.min() >= box.get_bottom()[1] - 1e-9 and (bottom + height).max() <= box.get_top()[1] + 1e-9
        slabs = picture.slabs.drawn()
        assert (slabs[:, 1] + slabs[:, 3]).max() <= box.get_top()[1] + 1e-9
        mean = np.mean((outputs - picture.targets) ** 2)
        unit = picture.plot.unit
        assert slabs[:, 3].sum() / unit * picture.wide == pytest.approx(mean)
        assert (slabs[:, 2] * slabs[:, 3]).sum() / unit**2 == pytest.approx(mean)
    assert picture.width < 13.4


def test_squares_go_to_the_side_where_a_straight_curve_leaves_room() -> None:
    x = np.array([0.0, 1.0])
    assert ways_off(x, np.array([2.0, 0.0]), np.array([1.0, 1.0])).tolist() == [-1, 1]  # falling
    assert ways_off(x, np.array([0.0, 2.0]), np.array([1.0, 1.0])).tolist() == [-1, 1]  # rising


def test_errors_grow_as_lines_from_the_curve_then_into_squares() -> None:
    picture = made(1.0)
    whole = picture.squares.drawn().copy()
    picture.grow(0.5)
    np.testing.assert_allclose(picture.squares.drawn()[:, 2], 0, atol=1e-12)
    np.testing.assert_allclose(picture.squares.drawn()[:, 3], whole[:, 3])
    picture.grow(1.0)
    np.testing.assert_allclose(picture.squares.drawn(), whole, atol=1e-12)


def test_the_way_into_the_column_ends_in_the_column() -> None:
    picture = made(1.0)
    wanted = picture.slabs.drawn().copy()
    picture.slide(0.0)
    assert not len(picture.slabs.drawn())
    picture.slide(1.0)
    np.testing.assert_allclose(picture.slabs.drawn(), wanted, atol=1e-9)


def test_a_perfect_fit_has_no_squares_and_an_empty_column() -> None:
    x = np.linspace(0, 1, 4)
    picture = SquaredErrors(x, x, np.stack([x, x]))
    assert picture.slabs.drawn()[:, 3].sum() == 0 and picture.mean.words == "0.000"


@pytest.mark.parametrize(("mean", "extent", "wide"), [(2.409, 3.5, 1.0), (0.01, 3.0, 0.5), (4e6, 6000.0, 1000.0)])
def test_the_column_s_width_is_round_and_its_height_fits(mean: float, extent: float, wide: float) -> None:
    assert column_width(mean, extent) == pytest.approx(wide)
    assert mean / wide <= extent


@pytest.mark.parametrize(("mean", "decimals"), [(2.4, 3), (0.5, 3), (0.004, 5), (150.0, 1), (3e6, 0), (0.0, 3)])
def test_large_means_are_written_with_fewer_decimals_and_small_ones_with_more(mean: float, decimals: int) -> None:
    assert decimals_of(mean) == decimals
