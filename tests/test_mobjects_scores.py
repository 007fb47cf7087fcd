"""What LogitsToLoss is built of: bars to both sides of zero, dials, roads, a matrix with sums, a table of verdicts."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("manim")

from manim import LEFT, Arrow, Succession

from explainer import theme
from explainer.mobjects.batch_matrix import BatchMatrix
from explainer.mobjects.dial import Dial
from explainer.mobjects.gap_plot import GapPlot
from explainer.mobjects.roads import Roads
from explainer.mobjects.signed_bars import SignedBars
from explainer.mobjects.verdicts import Verdicts, mark

VALUES = [2.5, -1.0, 0.0, -4.0]


def test_bars_go_to_the_right_above_zero_and_to_the_left_below_also_once_they_were_moved_and_scaled() -> None:
    bars = SignedBars(VALUES, labels="abcd", right=3)
    np.testing.assert_allclose(bars.lengths(), VALUES, atol=1e-9)
    bars.scale(1.7).shift(2 * LEFT)
    np.testing.assert_allclose(bars.lengths(), VALUES, atol=1e-9)
    zero = bars.zero.get_x()
    assert bars.above.get_left()[0] == pytest.approx(zero)
    assert bars.below.get_right()[0] == pytest.approx(zero)
    assert bars.chosen.get_right()[0] == pytest.approx(zero)
    assert bars.chosen.width == pytest.approx(4 / 6.5 * 2.4 * 1.7)


def test_the_right_bar_has_its_colour_and_its_label_a_frame_the_others_that_of_their_sign() -> None:
    bars = SignedBars(VALUES, labels="abcd", right=0)
    colours = [each.get_fill_color().to_hex().upper() for each in (bars.above, bars.below, bars.chosen)]
    assert colours == [theme.POSITIVE, theme.NEGATIVE, theme.RIGHT]
    np.testing.assert_allclose(bars.mark[0].get_center(), bars.labels[0].get_center(), atol=1e-6)
    assert [word.words for word in bars.numbers] == ["2.50", "−1.00", "0.00", "−4.00"]
    edges = [word.get_right()[0] for word in bars.numbers]
    np.testing.assert_allclose(edges, edges[0], atol=0.02)


def test_numbers_of_one_sign_only_have_zero_at_their_end() -> None:
    below, above = SignedBars([-1.0, -3.0]), SignedBars([0.2, 0.8], high=1.0)
    assert below.zero.get_x() == pytest.approx(below.rule.get_end()[0])
    assert above.zero.get_x() == pytest.approx(above.rule.get_start()[0])
    assert above.above.width == pytest.approx(0.8 * 2.4)


@pytest.mark.parametrize("value", [0.0, 0.75, 1.5, 2.9, 3.0])
def test_the_needle_points_at_its_value_wherever_the_dial_stands(value: float) -> None:
    dial = Dial(1.0, 3, title="loss", colour=theme.LOSS)
    assert dial.shift(3 * LEFT).set_value(value, 1.234).angle == pytest.approx(value, abs=1e-6)
    assert dial.counter.words == "1.234"
    way = dial.at(value) - dial.hub.get_center()
    tip = dial.needle.get_end() - dial.hub.get_center()
    np.testing.assert_allclose(tip / np.linalg.norm(tip), way / np.linalg.norm(way), atol=1e-6)


def test_a_needle_beyond_the_scale_stops_at_its_end() -> None:
    assert Dial(7.0, 3, title="loss", colour=theme.LOSS).angle == pytest.approx(3)


def test_the_band_of_a_dial_runs_between_its_two_values() -> None:
    dial = Dial(1.0, 3, title="loss", colour=theme.LOSS).shift(LEFT)
    arc, low, high = dial.mark(1.46, 2.46)
    np.testing.assert_allclose(arc.get_start(), dial.at(1.46), atol=1e-6)
    np.testing.assert_allclose(arc.get_end(), dial.at(2.46), atol=1e-6)
    assert (low.words, high.words) == ("1.46", "2.46")


def test_a_number_of_the_scale_makes_room_for_the_end_of_a_band() -> None:
    dial = Dial(1.0, 4, title="loss", colour=theme.LOSS)
    dial.mark(2.08, 3.08)
    assert [words.get_fill_opacity() for words in dial.marks[1::2]] == [1, 1, 0, 0, 1]


def test_the_plot_breaks_off_where_the_loss_becomes_infinite() -> None:
    gaps = np.arange(5.0)
    plot = GapPlot(gaps, gaps, [0, 1, 2, np.inf, np.inf]).shift(LEFT)
    through, breaking, (arrow, words) = plot.lines()
    assert plot.edge == 3
    np.testing.assert_allclose(through.get_end(), plot.at(4, 4), atol=1e-6)
    np.testing.assert_allclose(breaking.get_end(), plot.at(2, 2), atol=1e-6)
    np.testing.assert_allclose(arrow.get_start(), plot.at(3, 2), atol=1e-6)
    np.testing.assert_allclose(arrow.get_end(), plot.at(3, 4), atol=1e-6)
    assert words.words == "∞ from a gap of 3"
    assert plot.tick(1, "here")[0].get_x() == pytest.approx(plot.at(1, 0)[0])


def test_roads_show_both_matrices_and_end_at_their_losses() -> None:
    x, log_p = np.arange(40.0).reshape(2, 20), -np.ones((2, 20))
    roads = Roads(x, log_p, ("0.5", "0.6"))
    np.testing.assert_array_equal(roads.scores.values, x[:, :16])
    np.testing.assert_array_equal(roads.logs.values, log_p[:, :16])
    assert [road[-1].words for road in (roads.upper, roads.lower)] == ["0.5", "0.6"]
    assert roads.source[2].words == "2×20"
    for road in (roads.upper, roads.lower):
        assert isinstance(roads.go(road), Succession)
        ends = [(part.get_left()[0], part.get_right()[0]) for part in road if isinstance(part, Arrow)]
        assert all(left < right for left, right in ends)
        assert ends == sorted(ends)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("shape", [(8, 10), (3, 2), (40, 30)])
def test_sums_stand_beside_the_rows_or_under_the_columns_that_they_are_of(axis: int, shape: tuple[int, int]) -> None:
    p = np.random.default_rng(0).random(shape)
    targets = np.arange(shape[0]) % shape[1]
    matrix = BatchMatrix(p, targets, [str(each) for each in range(shape[1])], axis=axis, about="all").shift(LEFT)
    cells, place = matrix.grid.cells.cells(), 1 if axis == 1 else 0
    assert [word.words for word in matrix.sums] == [f"{total:.2f}" for total in p.sum(axis=axis)[:16]]
    for at, word in enumerate(matrix.sums):
        assert word.get_center()[place] == pytest.approx((cells[at, 0] if axis == 1 else cells[0, at])[place], abs=1e-6)
        assert matrix.middle(at)[place] == pytest.approx(word.get_center()[place], abs=1e-6)
    np.testing.assert_allclose(matrix.frame(1).get_center(), matrix.middle(1), atol=1e-6)
    seen = [(row, target) for row, target in enumerate(targets[:16]) if target < cells.shape[1]]
    middles = matrix.picks.points.reshape(len(seen), 16, 3).mean(axis=1)
    np.testing.assert_allclose(middles, np.stack([cells[at] for at in seen]), atol=1e-6)


def test_verdicts_mark_right_and_wrong_by_shape_too() -> None:
    rows = [("scores", "CrossEntropyLoss", True, "0.5"), ("softmax", "NLLLoss", False, "−0.5: below zero")]
    table = Verdicts(rows, ("output", "loss", "mean"))
    assert [[word.words for word in line[:3]] for line in table.lines[1:]] == [[*row[:2], row[3]] for row in rows]
    tick, cross = (line[3] for line in table.lines[1:])
    assert len(tick.get_subpaths()) == len(mark(True).get_subpaths()) == 1
    assert len(cross.get_subpaths()) == len(mark(False).get_subpaths()) == 2
    for line in table.lines[1:]:
        assert line[3].get_x() < line[0].get_left()[0]
