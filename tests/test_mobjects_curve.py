"""Curves: they go through the recorded points and through nothing else, as far as the film has come."""

from __future__ import annotations

import numpy as np
import pytest

manim = pytest.importorskip("manim", reason="films are not installed")

from manim import LEFT  # noqa: E402

from explainer.mobjects.curve import Curve  # noqa: E402

STEPS, LOSSES = np.array([0, 1, 2, 10, 20]), np.array([2.3, 2.0, 1.0, 0.25, 0.5])


def corners(curve: Curve) -> np.ndarray:
    """Return the drawn corners in the data's own units, (point, 2)."""
    points = np.concatenate([curve.line.points[::4], curve.line.points[-1:]])
    across = (points[:, 0] - curve.axis.get_start()[0]) / curve.axis.get_length() * (STEPS[-1] - STEPS[0]) + STEPS[0]
    up = (points[:, 1] - curve.axis.get_start()[1]) / curve.upright.get_length() * curve.largest
    return np.stack([across, up], axis=1)


def test_at_the_end_all_recorded_points_are_joined() -> None:
    curve = Curve(STEPS, LOSSES, title="loss").set_position(4)
    np.testing.assert_allclose(corners(curve), np.stack([STEPS, LOSSES], axis=1), atol=1e-12)


def test_at_a_recorded_step_it_ends_there() -> None:
    curve = Curve(STEPS, LOSSES, title="loss").set_position(2)
    np.testing.assert_allclose(corners(curve)[-1], (2, 1.0))
    np.testing.assert_allclose(curve.dot.get_center(), curve.at(2, 1.0), atol=1e-9)


def test_between_two_steps_its_head_is_on_the_way() -> None:
    curve = Curve(STEPS, LOSSES, title="loss").set_position(2.5)
    np.testing.assert_allclose(corners(curve)[-2:], [(2, 1.0), (6, 0.625)])


def test_a_moved_and_scaled_curve_is_the_same_curve() -> None:
    curve = Curve(STEPS, LOSSES, title="loss").shift(LEFT).scale(0.5).set_position(4)
    np.testing.assert_allclose(corners(curve), np.stack([STEPS, LOSSES], axis=1), atol=1e-12)


def test_steps_without_a_number_are_left_out_and_the_clock_still_counts_them() -> None:
    curve = Curve(STEPS, [2.3, np.nan, 1.0, np.nan, 0.5], title="loss").set_position(2)
    np.testing.assert_allclose(corners(curve), [(0, 2.3), (2, 1.0)])


def test_the_axis_counts_all_steps_also_where_the_last_have_no_number() -> None:
    curve = Curve(STEPS, [2.3, 2.0, np.nan, np.inf, np.nan], title="loss").set_position(4)
    assert [words.words for words in curve.ends] == ["0", "step 20"]
    np.testing.assert_allclose(corners(curve)[-1], (1, 2.0))


def test_a_run_without_any_finite_loss_has_axes_and_no_curve() -> None:
    curve = Curve(STEPS, np.full(5, np.nan), title="loss").set_position(4)
    curve.guide(2.3, "ln 10 = 2.30: knows nothing")
    assert not len(curve.line.points) and curve.dot.get_fill_opacity() == 0


def test_one_recorded_step_is_a_dot() -> None:
    curve = Curve([3], [1.5], title="loss").set_position(0)
    np.testing.assert_allclose(curve.dot.get_center(), curve.at(3, 1.5), atol=1e-9)


def test_a_guide_stands_at_its_value() -> None:
    curve = Curve(STEPS, LOSSES, title="loss")
    line = curve.guide(2.0, "knows nothing")[0]
    assert line.get_y() == pytest.approx(curve.at(0, 2.0)[1])


@pytest.mark.parametrize("losses", [LOSSES, LOSSES[::-1], np.full(5, 2.2), [2.3, 2.29, 2.2, 2.0, 0.1]])
def test_the_words_of_a_guide_stand_where_the_curve_does_not_go(losses: list[float]) -> None:
    curve = Curve(STEPS, losses, title="loss", width=3, height=2)
    words = curve.guide(2.3, "ln 10 = 2.30: knows nothing")[1]
    path = curve.points_until(4)
    path = np.concatenate([path[:-1] + share * np.diff(path, axis=0) for share in np.linspace(0, 1, 50)])
    inside = np.abs(path - words.get_center())[:, :2] < np.array([words.width, words.height]) / 2
    assert not inside.all(axis=1).any()
