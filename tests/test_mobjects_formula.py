"""Formulas, part by part."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("manim")

from explainer.mobjects.chain_formula import FAINT, ChainFormula
from explainer.mobjects.formula import Formula
from explainer.theme import GRADIENT, LIGHT, LOCAL, contrast

PRODUCT = "{{ W_1 : w }} = {{ frac(a, b) : first }} dot {{ c : second }}"


def test_a_formula_has_its_named_parts_in_order_and_the_rest() -> None:
    formula = Formula(PRODUCT, colours={"w": GRADIENT})
    assert set(formula.names) == {"w", "first", "second", "rest"}
    assert formula.select("w").get_fill_color().to_hex() == GRADIENT
    assert formula.select("w").get_right()[0] < formula.select("first").get_left()[0]
    assert formula.select("first").get_right()[0] < formula.select("second").get_left()[0]


def test_naming_parts_moves_nothing() -> None:
    plain = Formula("W_1 = frac(a, b) dot c")
    assert Formula(PRODUCT).width == pytest.approx(plain.width)
    assert Formula(PRODUCT).height == pytest.approx(plain.height)


def test_a_part_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(KeyError, match="no part 'third'; it has w, rest, first, second"):
        Formula(PRODUCT).select("third")


def test_a_fraction_has_its_bar() -> None:
    bar = Formula("frac(a, a)").submobjects[0].points
    widest = [curve for curve in bar.reshape(-1, 4, 3) if np.ptp(curve[:, 0]) > 0.9 * np.ptp(bar[:, 0])]
    assert len(widest) == 2  # its upper and lower edge


def test_the_factors_of_the_chain_rule_are_faint_until_they_are_lit() -> None:
    formula = ChainFormula("W_1", [("ell", "L_2"), ("L_2", "S"), ("S", "W_1")])
    assert [formula.select(f"f{at}").get_fill_opacity() for at in range(3)] == [FAINT] * 3
    assert formula.select("sought").get_fill_opacity() == 1

    for animation in formula.light_next():
        animation.begin()
        animation.finish()
    assert [formula.select(f"f{at}").get_fill_opacity() for at in range(3)] == [1, FAINT, FAINT]


def test_the_gradients_colour_is_not_the_local_derivatives() -> None:
    formula = ChainFormula("W_1", [("ell", "L_2"), ("L_2", "W_1")])
    assert (
        formula.select("f0").get_fill_color().to_hex() == formula.select("sought").get_fill_color().to_hex() == GRADIENT
    )
    assert formula.select("f1").get_fill_color().to_hex() == LOCAL


def test_on_white_the_letters_are_dark_enough_to_read() -> None:
    formula = ChainFormula("W_1", [("ell", "L_2"), ("L_2", "W_1")], theme=LIGHT)
    for part in ("f0", "f1", "sought"):
        assert contrast(formula.select(part).get_fill_color().to_hex(), LIGHT.background) >= 4.5
