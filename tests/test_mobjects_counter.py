"""Counters: the number that is said is the one that is drawn, and nothing shakes while it changes."""

from __future__ import annotations

import numpy as np
import pytest

manim = pytest.importorskip("manim", reason="films are not installed")

from manim import LEFT, UP  # noqa: E402

from explainer.mobjects.counter import Counter, StepCounter, advance, written  # noqa: E402
from explainer.mobjects.words import Words  # noqa: E402


@pytest.mark.parametrize(
    ("value", "decimals", "words"),
    [
        (0.99846, 3, "0.998"),
        (0.9996, 3, "1.000"),
        (-0.5, 2, "−0.50"),
        (-1e-9, 3, "0.000"),
        (459, 0, "459"),
        (np.nan, 1, "nan"),
        (-np.inf, 3, "−∞"),
        (1.04e12, 3, "1.0·10¹²"),
        (12_345_678, 0, "12345678"),
    ],
)
def test_a_number_is_written_with_fixed_decimals_and_a_real_minus(value: float, decimals: int, words: str) -> None:
    assert written(value, decimals) == words
    assert Counter(value, decimals=decimals).words == words


@pytest.mark.parametrize("words", ["12.345", "0.007", "1111", "888"])
def test_the_digits_stand_as_in_a_typeset_line(words: str) -> None:
    counter = Counter(float(words), decimals=len(words.partition(".")[2]), size=1)
    typeset = Words(words, size=1)
    glyphs = counter.points[8:]  # behind the two dots at its ends
    assert glyphs.shape == typeset.points.shape
    np.testing.assert_allclose(glyphs - glyphs[0], typeset.points - typeset.points[0], atol=0.02)


def test_all_digits_are_of_one_width() -> None:
    assert {round(advance(digit), 6) for digit in "0123456789"} == {round(advance("0"), 6)}


@pytest.mark.parametrize(("edge", "place"), [(manim.RIGHT, 4), (LEFT, 0)])
def test_one_edge_stays_where_it_is_when_the_number_gets_longer(edge: np.ndarray, place: int) -> None:
    counter = Counter(7, decimals=0, edge=edge).shift(UP + LEFT).scale(1.5)
    before = counter.points[place].copy()
    counter.set_value(12345)
    np.testing.assert_allclose(counter.points[place], before)
    np.testing.assert_allclose(np.ptp(counter.points[[0, 4], 0]), advance("12345") * 0.3 * 1.5)


def test_the_same_digits_are_not_drawn_anew_but_the_value_is_kept() -> None:
    counter = Counter(0.5)
    points = counter.points
    assert counter.set_value(0.5000001).points is points
    assert counter.value == 0.5000001


def test_the_words_around_a_step_leave_no_gap() -> None:
    counter = StepCounter(459, "of 460 · recorded", largest=459)
    right = counter[2].get_left()[0]
    for step in (0, 33, 459):
        counter.set_step(step)
        assert counter.counter.words == str(step)
        assert counter[2].get_left()[0] == right
        assert counter.before.get_right()[0] == pytest.approx(counter.counter.points[0, 0] - 0.12)
        assert counter.before.baseline == pytest.approx(counter.baseline)
