"""Cards: the answer is the recorded one, and a frame says that it is right."""

from __future__ import annotations

import numpy as np
import pytest

manim = pytest.importorskip("manim", reason="films are not installed")

from explainer.mobjects.example_card import ExampleCard  # noqa: E402
from explainer.mobjects.words import MINIMUM, Words  # noqa: E402

CLASSES = ("cat", "dog", "grasshopper")


def card(probabilities: list[float], target: int = 1) -> ExampleCard:
    return ExampleCard(np.eye(4), probabilities, classes=CLASSES, target=target)


def test_the_answer_is_the_class_with_the_highest_probability() -> None:
    shown = card([0.5, 0.3, 0.2])
    assert shown.said == "cat"
    assert shown.probability.words == "0.500"
    np.testing.assert_allclose(shown.answer.points.shape, Words("cat", bold=True).points.shape)


def test_a_frame_is_drawn_around_a_right_answer_only() -> None:
    shown = card([0.5, 0.3, 0.2])
    assert not shown.right and shown.frame.get_stroke_opacity() == 0
    shown.set_probabilities([0.2, 0.7, 0.1])
    assert shown.right and shown.frame.get_stroke_opacity() == 1


def test_what_is_printed_is_the_recorded_step_while_bars_glide() -> None:
    shown = card([0.5, 0.3, 0.2]).set_probabilities([0.4, 0.5, 0.1], printed=[0.6, 0.3, 0.1])
    assert (shown.said, shown.probability.words, shown.right) == ("cat", "0.600", False)
    np.testing.assert_allclose(shown.bars.shares(shown.bars.values), [0.4, 0.5, 0.1])


def test_an_answer_without_a_bar_of_its_own_can_be_given() -> None:
    shown = card([0.1, 0.1, 0.2]).set_probabilities([0.1, 0.1, 0.2], said=("horse", 0.6))
    assert (shown.said, shown.probability.words, shown.right) == ("horse", "0.600", False)


def test_a_long_name_is_cut_where_it_could_not_be_read() -> None:
    shown = card([0.1, 0.1, 0.8], target=2)
    assert shown.answer.get_left()[0] >= shown.picture.get_right()[0]
    assert shown.answer.get_right()[0] <= shown.bars.get_right()[0] + 1e-6
    assert shown.answer.height >= 0.5 * MINIMUM
    assert shown.said == "grasshopper" and shown.right


def test_all_of_it_is_inside_the_frame_and_nothing_overlaps() -> None:
    shown = card([0.2, 0.7, 0.1])
    low, high = shown.frame.get_corner(manim.DL), shown.frame.get_corner(manim.UR)
    parts = [shown.picture, shown.bars, shown.says, shown.answer, shown.probability]
    for index, part in enumerate(parts):
        assert (part.get_corner(manim.DL)[:2] > low[:2]).all() and (part.get_corner(manim.UR)[:2] < high[:2]).all()
        for other in parts[index + 1 :]:
            apart = (part.get_corner(manim.DL) >= other.get_corner(manim.UR) - 1e-6)[:2].any()
            apart |= (other.get_corner(manim.DL) >= part.get_corner(manim.UR) - 1e-6)[:2].any()
            assert apart
