"""Words and numbers on screen."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("manim")

from manim import RIGHT, UP

from explainer.errors import ExplainerError
from explainer.mobjects.typesetting import quoted, typeset
from explainer.mobjects.words import MINIMUM, Words, number


@pytest.mark.parametrize(
    ("value", "decimals", "written"),
    [
        (0.0, 3, "0.000"),
        (4.40787, 3, "4.408"),
        (-0.6593, 3, "−0.659"),  # a real minus sign
        (-2.0, 0, "−2"),
        (2.776e-17, 3, "2.8·10⁻¹⁷"),
        (-0.0004, 3, "−4.0·10⁻⁴"),
        (0.0005, 3, "0.001"),
        (1234567.0, 1, "1.2·10⁶"),
        (float("inf"), 3, "∞"),
        (float("-inf"), 3, "−∞"),
        (float("nan"), 3, "nan"),
        (np.float32(0.25), 2, "0.25"),
    ],
)
def test_a_number_is_rounded_for_the_eye_and_never_to_a_false_zero(value: float, decimals: int, written: str) -> None:
    assert number(value, decimals) == written


def test_in_a_column_of_larger_numbers_a_small_one_may_round_to_zero() -> None:
    assert number(-0.0004, tiny=False) == "−0.000"


def test_a_sign_is_written_where_it_is_asked_for() -> None:
    assert number(0.5, signed=True) == "+0.500"
    assert number(0.0, signed=True) == "0.000"


def test_digits_are_all_of_one_width() -> None:
    assert len({round(Words("0" + digit + "0").width, 9) for digit in "0123456789"}) == 1


def test_words_know_their_em_also_after_scaling() -> None:
    words = Words("layer", size=0.3)
    assert words.em == pytest.approx(0.3)
    assert words.scale(0.5).em == pytest.approx(0.15)


def test_words_stand_on_one_baseline_whatever_letters_they_have() -> None:
    high, low = Words("ell", size=0.5).at_baseline(1.0), Words("gyp", size=0.5).at_baseline(1.0)
    assert high.get_bottom()[1] == pytest.approx(1.0, abs=0.01)
    assert low.get_bottom()[1] < 0.92
    assert low.shift(UP).baseline == pytest.approx(2.0)


@pytest.mark.parametrize("width", [4.0, 6.0, 9.0])
def test_long_words_are_broken_evenly_and_never_wider_than_asked(width: float) -> None:
    sentence = "At every operation: multiply what arrives by the operation’s own gradient, and pass it on."
    words = Words(sentence, size=0.3, width=width)
    assert 0.5 * width < words.width <= width + 0.01
    assert words.height > Words(sentence, size=0.3).height * 1.5


def test_words_that_need_a_line_more_leave_no_single_word_on_it() -> None:
    sentence = "Who knows nothing has a loss of ln 10 = 2.30; it is 0.02 after 460 steps."
    words, alone = Words(sentence, size=0.68, width=12.3), Words(sentence, size=0.68)
    assert alone.width < 2 * 12.3  # two lines would do, were it not for long words
    assert words.width < 1.2 * alone.width / 3


def test_words_that_nobody_could_read_at_480p_are_refused() -> None:
    with pytest.raises(ValueError, match=f"cannot be read at 480p: use at least {MINIMUM}"):
        Words("fine print", size=0.1)


@pytest.mark.parametrize(
    "words", ['"quoted"', "back\\slash", "#let x = 1", "$ x $", "*bold* _it_ @ref <label>", "a // b"]
)
def test_nothing_in_plain_words_is_markup(words: str) -> None:
    marks = sum(len(run.points) for run in typeset(f"#text({quoted(words)})"))
    alone = sum(len(run.points) for letter in words for run in typeset(f"#text({quoted(letter)})"))
    assert marks == alone


def test_empty_words_take_no_room() -> None:
    assert len(Words("").points) == 0


def test_words_are_placed_as_any_mobject() -> None:
    words = Words("right").next_to(np.zeros(3), RIGHT, buff=0.5)
    assert words.get_left()[0] == pytest.approx(0.5)


def test_markup_that_is_not_typst_says_so() -> None:
    with pytest.raises(ExplainerError, match="Typst cannot set this: unclosed delimiter"):
        typeset("#text(")
