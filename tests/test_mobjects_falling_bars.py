"""Falling bars: as long as their losses, the marks where a probability ends, the mean where it is."""

from __future__ import annotations

import numpy as np
import pytest

manim = pytest.importorskip("manim", reason="films are not installed")

from manim import VGroup  # noqa: E402

from explainer.mobjects.falling_bars import FallingBars  # noqa: E402
from explainer.mobjects.heat_map import Picture  # noqa: E402
from explainer.mobjects.thumbnail import draw_thumbnail  # noqa: E402
from explainer.mobjects.words import Words  # noqa: E402


def test_bars_hang_from_zero_and_are_as_long_as_their_losses() -> None:
    losses = -np.log([1.0, 0.5, 0.1])
    bars = FallingBars(losses, deepest=4.0, length=2.0)
    np.testing.assert_allclose(bars.lengths(), losses / 2, atol=1e-12)
    assert (bars.boxes()[:, 0, 1] == bars.base.get_y()).all() and (bars.boxes()[:, 1, 1] <= bars.base.get_y()).all()


def test_a_bar_that_is_too_long_or_infinite_ends_at_the_foot() -> None:
    bars = FallingBars([9.0, np.inf, np.nan], deepest=3.0, length=2.0)
    np.testing.assert_allclose(bars.lengths(), 2.0)


def test_probabilities_stand_where_a_bar_of_theirs_ends_and_not_too_near() -> None:
    bars = FallingBars([1.0], deepest=8.0, length=3.0, apart=0.45)
    marks = [part for part in bars.marks if isinstance(part, Words)]
    assert [mark.words for mark in marks] == ["p = 1", "p = 0.1", "p = 0.01", "p = 0.001"]
    for mark in marks:
        depth = -np.log(float(mark.words[4:]))
        assert mark.get_center()[1] == pytest.approx(bars.at(0, depth)[1], abs=0.02)
    heights = [mark.get_y() for mark in marks]
    assert min(-np.diff(heights)) > 0.4


def test_the_fall_begins_at_zero_and_ends_at_the_losses() -> None:
    bars = FallingBars([1.0, 2.0], deepest=2.0, length=2.0)
    falling = bars.fall(seconds=1)
    np.testing.assert_allclose(bars.lengths(), 0)
    falling.begin()
    falling.interpolate(1.0)
    np.testing.assert_allclose(bars.lengths(), [1, 2])


def test_the_mean_is_drawn_and_printed() -> None:
    bars = FallingBars([1.0, 2.0], deepest=2.0, length=2.0)
    line, value = bars.draw_mean()
    assert line.get_y() == pytest.approx(bars.at(0, 1.5)[1]) and value.words == "1.500"


def test_an_example_is_its_image_or_else_its_number() -> None:
    images = np.arange(24.0).reshape(2, 3, 4)
    picture = draw_thumbnail(images, 1, 0.9)
    assert isinstance(picture, Picture) and picture.height == pytest.approx(0.9)
    framed = draw_thumbnail(None, 1, 0.9)
    assert isinstance(framed, VGroup) and framed[1].words == "2"
