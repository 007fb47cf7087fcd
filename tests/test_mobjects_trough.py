"""The trough: curve, ball, tangent and arrow stand where the recorded numbers say."""

from __future__ import annotations

import numpy as np
import pytest

manim = pytest.importorskip("manim", reason="films are not installed")

from manim import UP, Camera  # noqa: E402

from explainer.mobjects.shades import rgb  # noqa: E402
from explainer.mobjects.step_rule import StepRule  # noqa: E402
from explainer.mobjects.trough import Trough  # noqa: E402
from explainer.theme import DARK  # noqa: E402

ACROSS = np.linspace(-2, 2, 81)


def trough(rate: float, steps: int = 6) -> Trough:
    """ℓ = w² from w = 1."""
    weights = (1 - 2 * rate) ** np.arange(steps)
    return Trough(ACROSS, ACROSS**2, weights=weights, losses=weights**2, slopes=2 * weights, width=8, height=4)


def data(found: Trough, points: np.ndarray) -> np.ndarray:
    """Return weights and losses of points in the frame, (point, 2)."""
    origin, unit = found.at(0, 0), found.at(1, 1) - found.at(0, 0)
    return ((points - origin) / np.where(unit == 0, 1, unit))[..., :2]


def test_the_curve_goes_through_the_evaluated_points() -> None:
    found = trough(0.1)
    ends = np.concatenate([found.curve.points[::4], found.curve.points[-1:]])
    np.testing.assert_allclose(data(found, ends), np.stack([ACROSS, ACROSS**2], axis=1), atol=1e-9)


def test_a_step_goes_sideways_to_the_new_weight_and_then_onto_the_curve() -> None:
    found = trough(0.9).shift(UP)
    np.testing.assert_allclose(
        data(found, found.set_position(1.5).ball.way()), [(1, 1), (-0.8, 1), (-0.8, 0.64), (0.64, 0.64)]
    )
    np.testing.assert_allclose(data(found, found.set_position(0.25).ball.way())[-1], (0.1, 1), atol=1e-12)
    np.testing.assert_allclose(data(found, found.set_position(0.75).ball.way())[-1], (-0.8, 0.82), atol=1e-12)


@pytest.mark.parametrize("index", [0, 1, 3])
def test_the_tangent_has_the_recorded_slope_and_touches_at_the_ball(index: int) -> None:
    found = trough(0.1)
    line = data(found, np.array([found.tangent(index).get_start(), found.tangent(index).get_end()]))
    weight = 0.8**index
    assert np.ptp(line[:, 1]) / np.ptp(line[:, 0]) == pytest.approx(2 * weight)
    np.testing.assert_allclose(line.mean(axis=0), (weight, weight**2), atol=1e-9)


@pytest.mark.parametrize(("share", "end"), [(1.0, -1.0), (0.1, 0.8), (0.9, -0.8)])
def test_the_arrow_goes_against_the_slope_and_its_share_ends_at_the_next_weight(share: float, end: float) -> None:
    found = trough(0.1)
    arrow = found.arrow(0, share)
    np.testing.assert_allclose(
        data(found, np.array([arrow.get_start(), arrow.get_end()])), [(1, 1), (end, 1)], atol=1e-6
    )


def test_what_leaves_the_picture_is_known_and_a_wedge_says_where() -> None:
    found = trough(1.1)
    assert [found.inside(index) for index in range(6)] == [True, True, True, True, False, False]
    assert found.last_inside == 3
    assert trough(1.0).last_inside == 5
    found.set_position(4)
    camera = Camera(pixel_width=160, pixel_height=90, frame_width=16, frame_height=9, background_color="#000000")
    camera.capture_mobjects([found.ball])
    lit = camera.pixel_array[..., :3].max(axis=(0, 2)) > 0
    assert lit[119:121].any() and not lit[125:].any()


def test_the_ball_is_painted_where_it_stands() -> None:
    found = trough(0.1).set_position(2)
    camera = Camera(pixel_width=1600, pixel_height=900, frame_width=16, frame_height=9, background_color="#000000")
    camera.capture_mobjects([found])
    x, y, _ = found.at(0.64, 0.64**2)
    np.testing.assert_allclose(
        camera.pixel_array[int((4.5 - y) * 100), int((x + 8) * 100), :3] / 255, rgb(DARK.text), atol=0.02
    )


def test_higher_than_the_axis_the_curve_is_cut_off() -> None:
    found = Trough(ACROSS, ACROSS**2, weights=[1], losses=[1], slopes=[2], largest=1.0)
    assert found.curve.get_top()[1] <= found.upright.get_end()[1] + 1e-9


def test_the_rule_of_a_step_shows_its_numbers() -> None:
    rule = StepRule(1.0, 2.0, 0.1, -0.2)
    assert (rule.weight.words, rule.slope.words, rule.moved.words) == ("1.000", "2.000", "−0.200")
    right = rule.weight.get_right()[0]
    rule.set_values(0.8, 1.6, -0.16)
    assert (rule.weight.words, rule.slope.words, rule.moved.words) == ("0.800", "1.600", "−0.160")
    assert rule.moved.get_right()[0] == pytest.approx(right)
