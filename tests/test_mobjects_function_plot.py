"""A function's plot: dots and line stand where their numbers are, round marks, and nothing outside the axes."""

from __future__ import annotations

import numpy as np
import pytest

manim = pytest.importorskip("manim", reason="films are not installed")

from manim import Camera, tempconfig  # noqa: E402

from explainer.mobjects.function_plot import FunctionPlot, limits_of, power_of, ticks  # noqa: E402
from explainer.mobjects.words import Words  # noqa: E402


def plot(y: np.ndarray, up: tuple[float, float] = (-1.0, 1.0)) -> FunctionPlot:
    x = np.linspace(0, 1, len(y))
    return FunctionPlot(x, np.zeros(len(y)), y, across=(0.0, 1.0), up=up, width=4.0, height=2.0)


def test_dots_and_line_stand_at_their_numbers_wherever_the_plot_is() -> None:
    made = plot(np.array([0.5, -0.5, 1.0])).shift(np.array([1.0, 2.0, 0.0]))
    np.testing.assert_allclose(made.curve.drawn(), [[-1, 2.5, 0], [1, 1.5, 0], [3, 3, 0]], atol=1e-9)
    np.testing.assert_allclose(made.dots.drawn(), [[-1, 2, 0], [1, 2, 0], [3, 2, 0]], atol=1e-9)
    assert made.unit == pytest.approx(1.0)


def test_what_leaves_the_axes_or_is_no_number_is_not_painted() -> None:
    with tempconfig({"pixel_width": 160, "pixel_height": 90, "background_color": "#000000"}):
        for y in (np.full(5, 1e300), np.full(5, np.nan), np.full(5, -np.inf), np.full(5, 3.0)):
            camera = Camera()
            camera.capture_mobjects([plot(y).curve])
            assert camera.pixel_array[:, :, :3].max() == 0
        camera = Camera()
        camera.capture_mobjects([plot(np.zeros(5)).curve])
        assert camera.pixel_array[:, :, :3].max() > 50


@pytest.mark.parametrize(
    ("limits", "wanted"),
    [
        ((0.0, 1.0), [0, 0.5, 1]),
        ((-3.1, 3.1), [-2, 0, 2]),
        ((0.0, 0.03), [0, 0.01, 0.02, 0.03]),
        ((90, 310), [100, 200, 300]),
    ],
)
def test_marks_are_round_and_few(limits: tuple[float, float], wanted: list[float]) -> None:
    np.testing.assert_allclose(ticks(*limits), wanted, atol=1e-12)


@pytest.mark.parametrize(("limits", "power"), [((-3.0, 3.0), 0), ((0.0, 14000.0), 3), ((0.0, 2e-5), -6), ((40, 45), 0)])
def test_long_numbers_are_written_in_units_of_a_power_of_ten(limits: tuple[float, float], power: int) -> None:
    assert power_of(limits) == power
    words = [part.words for part in plot(np.zeros(3), up=limits).about if isinstance(part, Words)]
    assert max(map(len, words)) <= 4 and len(set(words)) > 3


def test_limits_leave_a_margin_and_pass_over_what_is_no_number() -> None:
    assert limits_of([0.0, 10.0], [np.nan, np.inf], margin=0.1) == (-1.0, 11.0)
    assert limits_of([2.0]) == (1.0, 3.0)
