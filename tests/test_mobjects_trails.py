"""Trails, curves and labels of several runs: through the recorded points, cut off in the open, told apart by shape."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

manim = pytest.importorskip("manim", reason="films are not installed")

from manim import RIGHT, Camera  # noqa: E402

from explainer.mobjects.curves import Curves  # noqa: E402
from explainer.mobjects.end_labels import EndLabels, spread  # noqa: E402
from explainer.mobjects.formula import boxes_overlap  # noqa: E402
from explainer.mobjects.run_table import RunTable  # noqa: E402
from explainer.mobjects.shades import rgb  # noqa: E402
from explainer.mobjects.trails import (  # noqa: E402
    ROUND,
    SQUARE,
    Trails,
    TrailStyle,
    outline,
    pieces_within,
    trail_styles,
)
from explainer.theme import DARK, LIGHT, Theme, contrast  # noqa: E402

CORNERS = [(-4.0, -2.0, 0.0), (4.0, -2.0, 0.0), (-4.0, 2.0, 0.0)]
STEPS = {"a": [0, 1, 2, 4], "b": [0, 2, 4]}
WAYS = {"a": [(0, 0), (0.5, 0), (0.5, 1), (1, 1)], "b": [(0, 1), (0.5, 0.5), (1.5, 0.5)]}


def trails(**changed: object) -> Trails:
    return Trails(CORNERS, STEPS, {**WAYS, **changed})


@pytest.mark.parametrize(
    ("step", "drawn"),
    [
        (0, [(-4, -2)]),
        (1, [(-4, -2), (0, -2)]),
        (1.25, [(-4, -2), (0, -2), (0, -1)]),
        (9, [(-4, -2), (0, -2), (0, 2), (4, 2)]),
    ],
)
def test_a_trail_goes_through_the_recorded_points_as_far_as_the_step(
    step: float, drawn: list[tuple[float, float]]
) -> None:
    np.testing.assert_allclose(trails().set_step(step).drawn("a")[:, :2], drawn, atol=1e-12)


def test_runs_recorded_at_different_steps_share_one_clock() -> None:
    found = trails().set_step(3)
    np.testing.assert_allclose(found.head("a"), (2, 2, 0), atol=1e-12)
    np.testing.assert_allclose(found.head("b"), (4, 0, 0), atol=1e-12)


def test_a_moved_and_scaled_trail_stays_in_its_box() -> None:
    found = trails().set_step(1).scale(0.5).shift(RIGHT)
    np.testing.assert_allclose(found.head("a"), (1, -1, 0), atol=1e-12)


def test_beyond_the_box_a_head_is_said_to_be_outside_and_nothing_is_painted_there() -> None:
    found = trails().set_step(4)
    assert found.inside("a") and not found.inside("b")
    camera = Camera(pixel_width=160, pixel_height=90, frame_width=16, frame_height=9, background_color="#000000")
    camera.capture_mobjects([found])
    assert camera.pixel_array[:, 125:, :3].max() == 0  # the wedge at the edge ends before
    assert camera.pixel_array[45, 119:123, :3].max() > 0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_where_a_run_has_no_number_any_more_its_trail_ends(bad: float) -> None:
    found = trails(b=[(0, 1), (0.5, bad), (1, 0.5)])
    assert not found.set_step(1.0).lost("b")
    found.set_step(4)
    assert found.lost("b") and not found.lost("a")
    np.testing.assert_allclose(found.drawn("b"), [(-4, 2, 0)])
    camera = Camera(pixel_width=160, pixel_height=90, frame_width=16, frame_height=9)
    camera.capture_mobjects([found])  # paints the cross


@pytest.mark.parametrize("theme", [DARK, LIGHT], ids=["dark", "light"])
def test_four_runs_are_told_apart_by_line_and_mark_and_can_be_seen(theme: Theme) -> None:
    styles = trail_styles(theme)
    for kind in ("colour", "dash", "mark"):
        assert len({getattr(style, kind) for style in styles}) == 4
    assert min(contrast(style.colour, theme.background) for style in styles) >= 4.5
    shapes = [outline(style.mark) for style in styles]
    assert len({shape.tobytes() for shape in shapes}) == 4


def test_a_trail_is_painted_in_its_own_colour() -> None:
    found = Trails(CORNERS, {"a": [0, 1]}, {"a": [(0, 0.5), (1, 0.5)]}).set_step(1)
    camera = Camera(pixel_width=1600, pixel_height=900, frame_width=16, frame_height=9, background_color="#000000")
    camera.capture_mobjects([found])
    np.testing.assert_allclose(camera.pixel_array[450, 800, :3] / 255, rgb(DARK.text), atol=0.02)


LOSSES = {"slow": [2.0, 1.5, 1.0], "wild": [2.0, 6.0, 0.5]}


def test_below_a_dashed_run_a_whole_one_in_the_same_place_is_seen_and_so_is_its_mark() -> None:
    styles = [TrailStyle("#0000FF", (0.5, 0.5), SQUARE), TrailStyle("#FFFFFF", (), ROUND)]  # the first is painted last
    way = [[0.0, 0.5], [0.5, 0.5]]
    steps, ways = {"dashed": [0, 1], "whole": [0, 1]}, {"dashed": way, "whole": way}
    found = Trails(CORNERS, steps, ways, styles=styles, width=0.2).set_step(1)
    camera = Camera(pixel_width=1600, pixel_height=900, frame_width=16, frame_height=9, background_color="#000000")
    camera.capture_mobjects([found])
    for place in (camera.pixel_array[450, 450:750], camera.pixel_array[430:470, 780:820].reshape(-1, 4)):
        assert {(0, 0, 255), (255, 255, 255)} <= set(map(tuple, place[:, :3].tolist()))


def curves(**chosen: object) -> Curves:
    steps = {run: [0, 5, 10] for run in LOSSES}
    return Curves(steps, LOSSES, title="loss", width=5, height=3, **chosen)  # type: ignore[arg-type]


def test_curves_stand_at_their_steps_and_values() -> None:
    found = curves().set_step(10)
    for run, losses in LOSSES.items():
        np.testing.assert_allclose(found.trails.drawn(run), found.at([0, 5, 10], losses), atol=1e-9)
    assert found.largest == pytest.approx(1.08 * 6)
    assert not found.peaks


def test_what_is_higher_than_the_axes_is_cut_off_and_its_height_is_written_there() -> None:
    found = curves(largest=3.0)
    assert [(run, words.words) for run, words in found.peaks.items()] == [("wild", "↑ 6.0")]
    words = found.peaks["wild"]
    assert words.get_x() == pytest.approx(float(found.at(5, 0)[0]), abs=1e-6)
    assert words.get_bottom()[1] > found.upright.get_end()[1]
    assert not boxes_overlap(words, found.title)
    assert words.get_fill_opacity() == 0 and found.set_step(5).peaks["wild"].get_fill_opacity() == 1
    assert found.trails.head("wild")[1] > found.upright.get_end()[1]  # its true place: only the painting is cut off
    assert not found.trails.inside("wild") and found.trails.inside("slow")


def test_a_run_that_diverges_to_no_number_ends_there() -> None:
    steps = {"a": [0, 1, 2, 3]}
    found = Curves(steps, {"a": [2.0, 50.0, np.inf, np.nan]}, title="loss", largest=3).set_step(3)
    assert found.trails.lost("a")
    assert found.peaks["a"].words == "↑ 50.0"
    np.testing.assert_allclose(found.trails.shares("a"), [(0, 2 / 3), (1 / 3, 50 / 3)])


@pytest.mark.parametrize("places", [[2.0, 1.9, 1.8, -1.0], [2.7, 2.7, 2.7, 2.7], [-1.5, -1.5, -1.5], [0.0]])
def test_labels_are_moved_apart_in_their_order_and_stay_within(places: list[float]) -> None:
    found = spread(places, low=-1.55, high=2.75)
    assert all(upper - lower >= 1.08 - 1e-9 for upper, lower in pairwise(found))
    assert found[-1] >= -1.55 - 1e-9 and found[0] <= 2.75 + 1e-9


def test_labels_stand_at_their_curves_from_the_highest_down() -> None:
    found = curves(largest=3.0).set_step(10)
    labels = EndLabels(found.trails, dict.fromkeys(LOSSES, ("x", "y")), low=-2, high=2)
    assert list(labels.labels) == ["slow", "wild"]
    for run, lead in labels.leads.items():
        assert lead.get_start()[1] == pytest.approx(float(found.trails.head(run)[1]))
        assert lead.get_end()[1] == pytest.approx(labels.labels[run].get_y(), abs=0.2)
        assert labels.labels[run][0].words == run
    assert not boxes_overlap(*labels.labels.values())


def test_a_table_has_a_row_for_each_run_with_its_numbers() -> None:
    table = RunTable(["a", "b"], ("turned", "loss"), trail_styles())
    table.set_values("b", 119, 1.4302)
    assert (table.counts["b"].words, table.values["b"].words) == ("119", "1.43")
    assert (table.counts["a"].words, table.values["a"].words) == ("0", "0.00")
    assert table.counts["a"].get_y() > table.counts["b"].get_y()
    ends = [table.counts[run].get_right()[0] for run in "ab"]
    assert ends[0] == pytest.approx(ends[1])


@pytest.mark.parametrize(
    ("way", "pieces"),
    [
        ([(0, 0), (0.5, 0.5), (1, 0)], [[(0, 0), (0.5, 0.5), (1, 0)]]),
        ([(0.5, 0.5), (0.5, 2.5), (0.6, 2.5), (0.6, 0.5)], [[(0.5, 0.5), (0.5, 1.2)], [(0.6, 1.2), (0.6, 0.5)]]),
        ([(-1, 0.5), (3, 0.5)], [[(-0.2, 0.5), (1.2, 0.5)]]),
        ([(2, 0), (2, 1)], []),
        ([(-1, 1), (1, 3)], []),
        ([(0.2, 0.2), (0.2, 0.2)], [[(0.2, 0.2), (0.2, 0.2)]]),
        ([(0.5, 0.5), (0.5, 1e30)], [[(0.5, 0.5), (0.5, 1.2)]]),
        ([(0.5, 0.5)], []),
    ],
)
def test_only_what_is_in_or_near_the_box_is_drawn(
    way: list[tuple[float, float]], pieces: list[list[tuple[float, float]]]
) -> None:
    found = pieces_within(np.array(way, float))
    assert len(found) == len(pieces)
    for piece, expected in zip(found, pieces, strict=True):
        np.testing.assert_allclose(piece, expected, atol=1e-9)


def test_a_run_that_flies_out_is_painted_as_soon_as_any_other() -> None:
    """With dashes counted to the end, this one line would take more than all memory."""
    wild = Trails(CORNERS, {"a": [0, 1], "b": [0, 1]}, {"a": [(0, 0), (1, 1)], "b": [(0, 0), (1e30, -1e30)]}).set_step(
        1
    )
    camera = Camera(pixel_width=160, pixel_height=90, frame_width=16, frame_height=9)
    camera.capture_mobjects([wild])
    assert not wild.inside("b")
