"""Bars: lengths and numbers are the data, on the scale that is named, wherever the bars stand."""

from __future__ import annotations

import numpy as np
import pytest

manim = pytest.importorskip("manim", reason="films are not installed")

from manim import LEFT, UP, Rectangle  # noqa: E402

from explainer import theme as colours  # noqa: E402
from explainer.mobjects.bars import Bars, outline  # noqa: E402

PROBABILITIES = np.array([0.1, 0.65, 0.0, 0.25])


def test_lengths_are_the_values_times_the_full_length() -> None:
    np.testing.assert_allclose(Bars(PROBABILITIES, length=3).lengths(), PROBABILITIES * 3)


def test_what_is_drawn_is_as_long_as_it_is_said_to_be() -> None:
    bars = Bars(PROBABILITIES, length=3, right=1)
    ends = bars.others.points.reshape(3, 16, 3)[..., 0]  # (other bar, point)
    np.testing.assert_allclose(np.ptp(ends, axis=1), np.delete(PROBABILITIES, 1) * 3)
    np.testing.assert_allclose(np.ptp(bars.chosen.points[:, 0]), 0.65 * 3)


@pytest.mark.parametrize("upright", [False, True])
def test_moved_and_scaled_bars_keep_their_proportions_when_values_change(upright: bool) -> None:
    bars = Bars(PROBABILITIES, length=3, upright=upright).shift(LEFT + UP).scale(0.5)
    np.testing.assert_allclose(bars.set_values(PROBABILITIES[::-1]).lengths(), PROBABILITIES[::-1] * 1.5)


def test_upright_bars_grow_upwards_and_stand_side_by_side_from_the_left() -> None:
    boxes = Bars(PROBABILITIES, upright=True).boxes()
    assert (np.diff(boxes[:, 0, 0]) > 0).all()
    assert (boxes[[0, 1, 3], 1, 1] > boxes[[0, 1, 3], 0, 1]).all()


def test_the_first_bar_is_on_top() -> None:
    assert (np.diff(Bars(PROBABILITIES).boxes()[:, 0, 1]) < 0).all()


def test_values_beyond_the_scale_end_at_it_and_negative_ones_and_nan_have_no_length() -> None:
    np.testing.assert_allclose(Bars([2.0, -1.0, np.nan], length=3).lengths(), [3, 0, 0])


def test_on_a_log_scale_each_power_of_ten_adds_the_same_length() -> None:
    bars = Bars([1.0, 0.1, 1e-3, 1e-6], length=3, floor=1e-3)
    np.testing.assert_allclose(bars.lengths(), [3, 2, 0, 0], atol=1e-12)


def test_the_scale_is_named() -> None:
    assert Bars([1.0]).scale_name == "linear scale, 0 to 1"
    assert Bars([1.0], floor=0.001).scale_name == "log scale, 1.0·10⁻³ to 1"


def test_the_numbers_are_the_values_with_fixed_decimals() -> None:
    bars = Bars(PROBABILITIES, decimals=2)
    assert [counter.words for counter in bars.counters] == ["0.10", "0.65", "0.00", "0.25"]


def test_while_bars_glide_the_numbers_are_the_ones_given() -> None:
    bars = Bars(PROBABILITIES, length=3, decimals=3)
    bars.set_values([0.2, 0.3, 0.4, 0.1], printed=[0.1, 0.2, 0.5, 0.2])
    assert [counter.words for counter in bars.counters] == ["0.100", "0.200", "0.500", "0.200"]
    np.testing.assert_allclose(bars.lengths(), [0.6, 0.9, 1.2, 0.3])


def test_the_right_answer_is_marked_by_colour_and_by_a_frame_around_its_label() -> None:
    bars = Bars(PROBABILITIES, labels=["a", "b", "c", "d"], right=1)
    assert str(bars.chosen.get_fill_color().to_hex()).upper() == colours.RIGHT
    frame, label = bars.mark[0], bars.labels[1]
    np.testing.assert_allclose(frame.get_center(), label.get_center(), atol=1e-9)
    assert frame.width > label.width and frame.height > label.height


def test_without_labels_a_wedge_points_at_the_right_answer() -> None:
    bars = Bars(PROBABILITIES, upright=True, right=2)
    wedge = bars.mark[0]
    assert wedge.get_top()[1] < bars.foot(2)[1]
    assert wedge.get_center()[0] == pytest.approx(bars.foot(2)[0])


def test_labels_stand_at_the_feet_and_numbers_behind_the_scale() -> None:
    bars = Bars(PROBABILITIES, labels=["a", "b", "c", "d"], decimals=3, length=3)
    for index in range(4):
        assert bars.labels[index].get_right()[0] < bars.foot(index)[0]
        assert bars.counters[index].get_left()[0] > bars.foot(index)[0] + 3
        assert bars.labels[index].get_y() == pytest.approx(bars.foot(index)[1])


def test_ticks_stand_where_other_values_would_end() -> None:
    bars = Bars(PROBABILITIES, length=3)
    earlier = np.array([0.25, 0.25, 0.25, 1.0])
    across = bars.ticks(earlier).points[::4, 0] - bars.foot(0)[0]
    np.testing.assert_allclose(across, earlier * 3)


def test_many_boxes_are_one_outline_of_closed_rectangles() -> None:
    box = Rectangle(width=2, height=1)
    corners = np.array([box.get_vertices(), box.get_vertices() + 3.0])
    curves = outline(corners).reshape(2, 4, 4, 3)
    np.testing.assert_allclose(curves[:, :, 0], corners)
    np.testing.assert_allclose(curves[:, :, 3], np.roll(corners, -1, axis=1))
