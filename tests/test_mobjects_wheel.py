"""The wheel and the code: what is lit is what runs, and nothing stands on anything else."""

from __future__ import annotations

import numpy as np
import pytest

manim = pytest.importorskip("manim", reason="films are not installed")

from explainer.mobjects.code_card import CodeCard  # noqa: E402
from explainer.mobjects.wheel import Wheel  # noqa: E402
from explainer.theme import DARK, GRADIENT, LAYER, LOSS  # noqa: E402

VERBS = ("forward", "loss", "backward", "update")
COLOURS = (LAYER, LOSS, GRADIENT, DARK.text)
LINES = ("zero()", "output = model(inputs)", "loss.backward()")


def fills(words: manim.VGroup) -> list[str]:
    return [word.get_fill_color().to_hex().upper() for word in words]


def test_verbs_stand_clockwise_from_the_top() -> None:
    wheel = Wheel(VERBS, COLOURS, width=4, height=2)
    middles = [word.get_center()[:2] for word in wheel.words]
    np.testing.assert_allclose(middles, [(0, 1), (2, 0), (0, -1), (-2, 0)], atol=1e-9)
    np.testing.assert_allclose(wheel.at(4), wheel.at(0), atol=1e-9)


@pytest.mark.parametrize(("turn", "lit"), [(0, 0), (0.9, 0), (1, 1), (2.5, 2), (3.99, 3), (4.2, 0)])
def test_the_verb_that_began_last_is_lit(turn: float, lit: int) -> None:
    wheel = Wheel(VERBS, COLOURS).set_turn(turn)
    assert fills(wheel.words) == [COLOURS[at].upper() if at == lit else DARK.quiet.upper() for at in range(4)]


def test_the_dot_is_seen_between_verbs_only() -> None:
    wheel = Wheel(VERBS, COLOURS)
    assert [wheel.set_turn(turn).dot.get_fill_opacity() for turn in (None, 0, 0.5, 1, 2.5)] == [0, 0, 1, 0, 1]
    np.testing.assert_allclose(wheel.dot.get_center(), wheel.at(2.5), atol=1e-9)


def test_arrows_lead_from_each_verb_to_the_next_and_touch_none() -> None:
    wheel = Wheel(VERBS, COLOURS, width=4, height=2.6)
    for place, arc in enumerate(wheel.arcs):
        ends = [wheel.words[place].get_center(), wheel.words[(place + 1) % 4].get_center()]
        assert np.linalg.norm(arc.get_start() - ends[0]) < np.linalg.norm(arc.get_start() - ends[1])
        assert np.linalg.norm(arc.get_end() - ends[1]) < np.linalg.norm(arc.get_end() - ends[0])
        for word in wheel.words:
            reach = np.array([word.width, word.height]) / 2
            assert (np.abs(arc.points[:, :2] - word.get_center()[:2]) > reach).any(axis=1).all()


def test_a_wheel_that_is_moved_turns_where_it_is() -> None:
    wheel = Wheel(VERBS, COLOURS).shift((3, 1, 0))
    np.testing.assert_allclose(wheel.at(0), (3, 2.2, 0), atol=1e-9)


def test_all_verbs_may_be_lit() -> None:
    assert fills(Wheel(VERBS, COLOURS).light_all().words) == [colour.upper() for colour in COLOURS]


def test_the_line_that_runs_is_bright_with_a_bar_behind_it() -> None:
    card = CodeCard(LINES)
    card.light(2, GRADIENT)
    assert fills(card.lines) == [DARK.quiet.upper(), DARK.quiet.upper(), DARK.text.upper()]
    assert card.mark.get_fill_opacity() > 0 and card.mark.get_fill_color().to_hex().upper() == GRADIENT
    assert card.mark.get_bottom()[1] < card.lines[2].get_bottom()[1]
    assert card.lines[2].get_top()[1] < card.mark.get_top()[1]
    card.light(None)
    assert fills(card.lines) == [DARK.text.upper()] * 3 and card.mark.get_fill_opacity() == 0


def test_lines_begin_below_each_other_inside_the_card() -> None:
    card = CodeCard(LINES)
    baselines = [line.baseline for line in card.lines]
    np.testing.assert_allclose(np.diff(baselines), np.diff(baselines)[0])
    assert card.card.width > card.lines.width and card.card.height > card.lines.height
    stroke = card.strike(1, LOSS)
    line = card.lines[1]
    assert stroke.get_start()[0] < line.get_left()[0] and line.get_right()[0] < stroke.get_end()[0]
    assert line.get_bottom()[1] < stroke.get_center()[1] < line.get_top()[1]
