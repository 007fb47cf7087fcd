"""Bars and maps of gradients: every height and colour is a recorded size on one logarithmic scale."""

from __future__ import annotations

import numpy as np
import pytest

manim = pytest.importorskip("manim", reason="films are not installed")

from manim import LEFT, RIGHT  # noqa: E402

from explainer.flow import LayerGradient, factors  # noqa: E402
from explainer.mobjects.flow_words import RunTold, listed  # noqa: E402
from explainer.mobjects.gradient_bars import GradientBars, factor_words, hatching  # noqa: E402
from explainer.mobjects.gradient_map import FINE, GradientKey, GradientMap  # noqa: E402
from explainer.mobjects.gradient_scale import GradientScale, size_words, tick  # noqa: E402
from explainer.mobjects.layer_row import LayerRow, bar_names, fitted  # noqa: E402
from explainer.mobjects.words import MINIMUM, Words  # noqa: E402
from explainer.reach import Bar, Reach, Result  # noqa: E402
from explainer.theme import DARK, GRADIENT, LIGHT  # noqa: E402

SIZES = [1e-5, 1e-3, 1e-2, 0.5]


def made(*sizes: float, words: bool = True) -> GradientBars:
    gradients = [LayerGradient(str(place), size) for place, size in enumerate(sizes)]
    scale = GradientScale(1e-6, 1.0)
    return GradientBars(gradients, factors(gradients), scale, width=8, height=3, words=words)


def test_a_bar_is_as_long_as_its_sizes_logarithm_on_the_scale() -> None:
    bars = made(*SIZES)
    heights = bars.boxes()[:, 1, 1] - bars.boxes()[:, 0, 1]
    np.testing.assert_allclose(heights, 3 * (np.log10(SIZES) + 6) / 6, atol=1e-12)
    np.testing.assert_allclose(bars.bars.height, heights.max())
    np.testing.assert_allclose(bars.shift((1, 2, 0)).boxes()[:, 0, 1], 2)


def test_the_backward_pass_comes_from_the_right_and_factors_follow_it() -> None:
    bars = made(*SIZES)
    whole = bars.boxes()[:, 1, 1].copy()
    for position, there in ((0, 0), (1, 1), (2, 2), (4, 4)):
        heights = bars.arrive(position).boxes()[:, 1, 1]
        np.testing.assert_allclose(heights, np.where(np.arange(4) >= 4 - there, whole, 0), atol=1e-12)
        seen = [index for index, words in bars.factors.items() if words.get_fill_opacity() > 0]
        assert seen == [index for index in range(3) if index >= 4 - there]
    np.testing.assert_allclose(bars.arrive(1.5).grown(), [0, 0, 0.5, 1])


def test_factors_and_the_sizes_at_both_ends_are_written() -> None:
    bars = made(*SIZES)
    assert [words.words for words in bars.factors.values()] == ["×0.010", "×0.10", "×0.020"]
    assert {index: words.words for index, words in bars.ends.items()} == {0: "0.000010", 3: "0.50"}


def test_what_cannot_be_drawn_has_hatching_and_a_word() -> None:
    gradients = [
        LayerGradient("a", np.nan, missing="no gradient"), LayerGradient("b", np.inf, nonfinite=3),
        LayerGradient("c", 0.0), LayerGradient("d", 0.1),
    ]  # fmt: skip
    bars = GradientBars(gradients, factors(gradients), GradientScale(0.01, 1.0))
    assert {index: words.words for index, words in bars.instead.items()} == {0: "none", 1: "∞", 2: "0"}
    assert bars.factors == {} and list(bars.ends) == [3]
    for strokes, index in ((bars.gaps, 0), (bars.broken, 1)):
        assert abs(strokes.get_center()[0] - bars.foot(index)[0]) < 0.1
    healed = bars.set_gradients([LayerGradient(name, 0.1) for name in "abcd"])
    assert not len(healed.gaps.points) and not len(healed.broken.points)


def test_hatching_stays_in_its_box() -> None:
    points = hatching(np.array([[(0, 0, 0), (0, 1, 0), (2, 1, 0), (2, 0, 0)]], float))
    assert len(points) and points.min() >= -1e-12 and (points.max(axis=0) <= (2 + 1e-12, 1 + 1e-12, 0)).all()
    assert len(hatching(np.zeros((1, 4, 3)))) == 0


def test_a_scale_holds_what_must_be_told_apart_and_cuts_off_what_flies_out() -> None:
    scale = GradientScale.of([SIZES, [1e20, np.inf, np.nan, 0.0]], near=[SIZES])
    assert scale.low < 1e-5 and scale.high == pytest.approx(50.0)
    assert scale.cuts([[1e20]]) and not scale.cuts([SIZES])
    assert GradientScale.of([SIZES]).high == pytest.approx(0.5)
    assert GradientScale.of([[0.1, 0.1]]).decades >= 1 and GradientScale.of([[np.nan]]) == GradientScale(0.1, 1.0)
    np.testing.assert_array_equal(scale.share([0.0, np.nan, np.inf]), 0)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1e-6, 1.0, ["10⁻⁶", "10⁻⁴", "0.01", "1"]),
        (0.5, 2000.0, ["1", "10", "100", "1,000"]),
        (0.03, 0.4, ["0.05", "0.1", "0.2"]),
        (17_000.0, 180_000.0, ["2·10⁴", "5·10⁴", "10⁵"]),
        (1.7e-5, 1.8e-4, ["2·10⁻⁵", "5·10⁻⁵", "10⁻⁴"]),
    ],
)
def test_ticks_are_round_and_few(low: float, high: float, expected: list[str]) -> None:
    assert [tick(value) for value in GradientScale(low, high).ticks(4)] == expected


@pytest.mark.parametrize(
    ("size", "words"),
    [(6.94e-6, "0.0000069"), (0.1229, "0.12"), (7411.2, "7,411"), (45.0, "45"), (3e7, "3.0·10⁷"), (1e-9, "1.0·10⁻⁹"),
     (0.0, "0"), (np.inf, "∞")],
)  # fmt: skip
def test_sizes_are_written_with_two_digits_that_count(size: float, words: str) -> None:
    assert size_words(size) == words


def test_no_bar_is_beyond_the_ends_of_the_scale_as_they_are_printed() -> None:
    assert str(GradientScale.of([[0.022, 0.085]])) == "log scale, 0.0085 to 0.085"


@pytest.mark.parametrize("factor", [0.0053, 0.000053, 5.3e-9])
def test_factors_of_many_bars_do_not_touch(factor: float) -> None:
    bars = GradientBars([LayerGradient(str(at), 0.1) for at in range(12)], [factor] * 11, GradientScale(0.01, 1.0),
                        width=10.8)  # fmt: skip
    lefts, rights = ([words.get_corner(side)[0] for words in bars.factors.values()] for side in (LEFT, RIGHT))
    assert all(right < left for right, left in zip(rights, lefts[1:], strict=False))


def test_factors_are_written_so_that_a_small_one_is_not_zero() -> None:
    assert [factor_words(each) for each in (0.2208, 1.05, 0.0123, 42.0, 9.96)] == ["0.22", "1.05", "0.012", "42", "10"]


def test_a_cell_of_the_map_is_the_last_recorded_step_until_then() -> None:
    norms = np.array([[1e-4, 1e-3, 1e-2], [1e-1, 1e-1, 1e-1]])
    scale = GradientScale(1e-5, 1.0)
    map_ = GradientMap([0, 1, 9], norms, np.zeros((2, 3)), scale, width=4, height=1)
    colours = map_.colours()
    steps = (np.arange(FINE) + 0.5) / FINE * (9 + 4.5)  # the last one is as wide as the others are by the median
    for cell in (0, 20, 40, 200, FINE - 1):
        index = int(np.searchsorted([0, 1, 9], steps[cell], "right")) - 1
        np.testing.assert_allclose(colours[1, cell], scale.colours(norms[0, index]))  # the first layer is at the bottom
        np.testing.assert_allclose(colours[0, cell], scale.colours(norms[1, index]))
    assert (map_.width, map_.height) == (pytest.approx(4), pytest.approx(1))


def test_the_map_fills_in_from_the_left_and_a_run_that_ended_stays_empty() -> None:
    map_ = GradientMap([0, 5], np.ones((1, 2)), np.zeros((1, 2)), GradientScale(0.1, 1.0), last=10)
    empty = np.array([int(DARK.background[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    for step, filled in ((0, 0), (3, FINE // 5), (10, FINE * 2 // 3)):  # 5 steps wide each, until 15
        painted = (np.abs(map_.set_step(step).colours()[0] - empty) > 1e-9).any(axis=-1)
        assert painted.sum() == pytest.approx(filled, abs=1) and painted[: painted.sum()].all()


def test_missing_and_not_finite_cells_are_striped_each_in_its_colour() -> None:
    nan = np.nan
    map_ = GradientMap([0, 1], [[nan, nan], [nan, nan]], [[nan, nan], [2, 2]], GradientScale(0.1, 1.0))
    red, grey = (map_.colours()[row].max(axis=0) for row in (0, 1))
    assert red[0] > 0.8 and red[2] < 0.3 and np.ptp(grey) < 0.2


def test_colours_are_the_gradients_and_the_key_has_them_in_their_places() -> None:
    scale = GradientScale(1e-4, 1.0)
    full = np.array([int(GRADIENT[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    for theme in (DARK, LIGHT):
        np.testing.assert_allclose(scale.colours(1.0, theme), full)
        distances = np.linalg.norm(scale.colours(np.geomspace(1e-4, 1, 9), theme) - full, axis=-1)
        assert (np.diff(distances) < 0).all()
    key = GradientKey(scale, title="gradient", width=4)
    assert [words.words for words in key.labels] == ["10⁻⁴", "0.01", "1"]
    assert key.labels[1].get_x() == pytest.approx(key.bar.get_x(), abs=0.02)
    assert key.labels[2].get_x() == pytest.approx(key.bar.get_right()[0], abs=0.02)


def test_blocks_light_up_one_after_the_other_and_backwards_in_the_gradients_colour() -> None:
    row = LayerRow(["a", "b", "c"], [(0, 0, 0), (2, 0, 0), (4, 0, 0)], loss="0.5")
    for position in range(4):
        widths = [block.get_stroke_width() for block in row.light(position).blocks]
        assert int(np.argmax(widths)) == position
        row.light(position, backward=True)
        assert int(np.argmax([block.get_stroke_width() for block in row.blocks])) == 3 - position
        assert row.blocks[3 - position].get_stroke_color().to_hex() == GRADIENT


def test_bars_are_called_by_their_layers_or_counted_where_those_are_numbers() -> None:
    assert bar_names([Bar("conv1", "Conv2d", "conv1"), Bar("fc", "Linear", "fc")]) == ["conv1", "fc"]
    assert bar_names([Bar("0", "Linear", "0"), Bar("2", "Linear", "2")]) == ["layer 1", "layer 2"]
    assert bar_names([Bar("0", "Conv2d", "0"), Bar("9", "Linear", "9")]) == ["Conv2d 0", "Linear 9"]
    assert bar_names([Bar("0–14", "", "14", 16), Bar("16–32", "", "32", 18)]) == ["stage 1", "stage 2"]
    assert bar_names([Bar("0", "Conv2d", "0"), Bar("1–4", "", "4", 4)]) == ["Conv2d 0", "layers 1–4"]


@pytest.mark.parametrize(
    ("names", "room", "most", "expected"),
    [
        (["conv1", "layer1.0"], 0.8, 2, [["conv1"], ["layer1", ".0"]]),
        (["head", "encoder.layers.0", "encoder.layers.1"], 1.2, 2,
         [["head"], ["encoder", ".layers.0"], ["encoder", ".layers.1"]]),
        (["embed", "encoder.layers.0", "encoder.layers.1"], 1.2, 1, [["embed"], ["layers.0"], ["layers.1"]]),
        (["layer 1", "layer 2"], 2.0, 1, [["layer 1"], ["layer 2"]]),
        (["0–32", "100–132"], 0.8, 1, [["0–32"], ["…–132"]]),
    ],
)  # fmt: skip
def test_names_are_broken_or_shortened_to_fit(
    names: list[str], room: float, most: int, expected: list[list[str]]
) -> None:
    assert fitted(names, room, MINIMUM, most) == expected
    assert all(Words(line, size=MINIMUM).width <= room for lines in expected for line in lines)


def test_names_that_cannot_be_shortened_keep_their_ends() -> None:
    ((line,),) = fitted(["extraordinarily_long_name_7"], 0.9, MINIMUM)
    assert line.startswith("…") and line.endswith("e_7")


def told(norms: list[float], *, stages: bool = False) -> RunTold:
    bars = tuple(Bar(f"{2 * at}–{2 * at + 1}" if stages else str(at), "" if stages else "Linear", str(at))
                 for at in range(len(norms)))  # fmt: skip
    sizes = np.array(norms)[:, None]
    found = Reach(bars, stages, np.array([0]), sizes, np.zeros_like(sizes), {})
    return RunTold("α = 1", None, found, Result("", 0.0, "", None))  # type: ignore[arg-type]  # nothing of it is told


def test_what_is_said_of_stages_does_not_pass_for_layers() -> None:
    assert told([1e-6, 1e-3, 1.0], stages=True).factors() == "Each stage passes on ×0.0010."
    assert told([1e-6, 1e-3, 1.0], stages=True).ends() == "At the first, stage 1, 0.0000010 is left of 1.0."


def test_names_in_a_sentence_end_with_an_and() -> None:
    assert [listed(list("abcdef")[:count]) for count in (1, 2, 5)] == ["a", "a and b", "a, b, c and 2 more"]
