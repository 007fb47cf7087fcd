"""The diagram: units are filled by activations, edges drawn by weights, and the pass runs from left to right."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

manim = pytest.importorskip("manim", reason="films are not installed")

from explainer.mobjects import edges, shades  # noqa: E402
from explainer.mobjects.edges import Edges  # noqa: E402
from explainer.mobjects.heat_map import Picture  # noqa: E402
from explainer.mobjects.network_diagram import Column, Maps, NetworkDiagram, evenly  # noqa: E402
from explainer.mobjects.painted import source  # noqa: E402
from explainer.mobjects.pixel_flight import PixelFlight  # noqa: E402
from explainer.theme import DARK, NEGATIVE, POSITIVE  # noqa: E402

GENERATOR = np.random.default_rng(0)
SIZES = (100, 40, 3)
VALUES = [GENERATOR.normal(size=size) for size in SIZES]
WEIGHTS = [GENERATOR.normal(size=(after, before)) for before, after in pairwise(SIZES)]


def diagram(**options: object) -> NetworkDiagram:
    columns = [Column(values, name) for values, name in zip(VALUES, ("pixels", "ReLU", "classes"), strict=True)]
    return NetworkDiagram(columns, WEIGHTS, **options)


def test_at_most_sixteen_units_are_drawn_evenly_chosen_from_all() -> None:
    assert evenly(3).tolist() == [0, 1, 2]
    assert evenly(16).tolist() == list(range(16))
    chosen = evenly(784)
    assert len(chosen) == 16 and (chosen[0], chosen[-1]) == (0, 783)
    assert np.ptp(np.diff(chosen)) <= 1


def test_a_label_says_how_many_units_there_are_and_how_many_are_drawn() -> None:
    words = [[line.words for line in label] for label in diagram().labels]
    assert words == [["16 of 100", "pixels"], ["16 of 40", "ReLU"], ["3", "classes"]]


def test_between_narrow_columns_labels_say_less_and_do_not_touch() -> None:
    columns = [Column(np.ones(1000), "BatchNorm1d") for _ in range(7)]
    labels = NetworkDiagram(columns, [np.ones((1000, 1000))] * 6, width=4.5).labels
    assert [label[0].words for label in labels] == ["1000"] * 7
    assert all(one.get_right()[0] < other.get_left()[0] for one, other in pairwise(labels))


def test_the_fill_of_a_unit_is_its_activation() -> None:
    net = diagram()
    for units, values in zip(net.units, VALUES, strict=True):
        shown = values[evenly(len(values))]
        np.testing.assert_array_equal(units.values, shown)
        np.testing.assert_allclose(units.colours(), shades.signed(shown, np.abs(values).max()))


def test_units_that_are_pixels_are_grey() -> None:
    column = Column(np.array([-1.0, 0.0, 1.0]), "pixels", image=(-1, 1))
    np.testing.assert_allclose(NetworkDiagram([column], []).units[0].colours(), [[0, 0, 0], [0.5, 0.5, 0.5], [1, 1, 1]])


def test_an_edge_leads_from_its_unit_to_its_unit() -> None:
    net = diagram()
    starts, ends = net.units[0].middles(), net.units[1].middles()
    points = net.edges[0].points.reshape(16, 16, 4, 3)  # (end, start, point of the line)
    np.testing.assert_allclose(points[5, 2, 0], starts[2])
    np.testing.assert_allclose(points[5, 2, 3], ends[5])


def test_the_width_of_an_edge_is_the_size_of_its_weight() -> None:
    net = diagram(widest=0.05)
    drawn = WEIGHTS[0][np.ix_(evenly(40), evenly(100))]
    np.testing.assert_array_equal(net.edges[0].weights, drawn)
    np.testing.assert_allclose(net.edges[0].widths(), np.abs(drawn) / np.abs(drawn).max() * 0.05)


@pytest.mark.parametrize(("weight", "colour"), [(2.0, POSITIVE), (-2.0, NEGATIVE)])
def test_the_colour_of_an_edge_is_the_sign_of_its_weight(weight: float, colour: str) -> None:
    columns = [Column(np.ones(1), ""), Column(np.ones(1), "")]
    net = NetworkDiagram(columns, [[[weight]]], width=8, unit=0.2, widest=1.0)
    camera = manim.Camera(pixel_width=160, pixel_height=90, frame_width=16, frame_height=9, background_color="#000000")
    camera.capture_mobjects([net.edges[0]])
    share = 0.8  # of the widest edge's colour; the rest is the black behind it
    np.testing.assert_allclose(camera.pixel_array[45, 80, :3] / 255, shades.rgb(colour) * share, atol=0.01)


def pixels(net: NetworkDiagram) -> np.ndarray:
    camera = manim.Camera(pixel_width=320, pixel_height=180, frame_width=16, frame_height=9, background_color="#000000")
    camera.capture_mobjects([net])
    return np.asarray(camera.pixel_array[..., :3], np.int64)


def test_edges_that_stand_still_are_painted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    net, painted = diagram(), []
    strokes = Edges._strokes
    monkeypatch.setattr(Edges, "_strokes", lambda edges, pen: painted.append(edges) or strokes(edges, pen))
    first = pixels(net)
    again = pixels(net.set_values([np.zeros(size) for size in SIZES]))
    assert painted == net.edges and (first != again).any()
    other = pixels(net.set_weights([WEIGHTS[0], -WEIGHTS[1]]))
    assert painted == [*net.edges, net.edges[1]] and (other != again).any()
    moved = pixels(net.shift(manim.RIGHT))
    assert painted == [*net.edges, net.edges[1], *net.edges]
    assert np.abs(moved[:, 20:] - other[:, :-20]).max() <= 3


@pytest.mark.parametrize("opacity", [1.0, 0.5])
def test_edges_from_memory_look_as_if_painted_edge_by_edge(opacity: float, monkeypatch: pytest.MonkeyPatch) -> None:
    # Where two edges cross, half of both together is not half of each: what fades may differ there, and only there.
    columns = [Column(np.ones(3), ""), Column(np.ones(3), "")]
    net = NetworkDiagram(columns, [np.diag([1.0, -0.6, 0.3])], width=8).set_opacity(opacity)
    net.set_updates([np.diag([0.2, 0.5, -1.0])]).set_changing(0.7)
    remembered = pixels(net)

    def anew(pen: Any, box: Any, key: Any, paint: Callable[[], None], alpha: float) -> None:
        monkeypatch.setattr(edges, "source", lambda pen, rgb, own: source(pen, rgb, own * alpha))
        paint()

    monkeypatch.setattr(edges, "paint_once", anew)
    assert np.abs(remembered - pixels(net)).max() <= 2


def test_scales_stay_when_weights_and_activations_change() -> None:
    net = diagram(largest=[10.0, 10.0], widest=0.05)
    net.set_weights([np.full((40, 100), 5.0), np.full((3, 40), -20.0)])
    net.set_values([np.ones(100), np.ones(40), np.full(3, 0.5)])
    np.testing.assert_allclose(net.edges[0].widths(), 0.025)
    np.testing.assert_allclose(net.edges[1].widths(), 0.05)
    np.testing.assert_array_equal(net.units[2].values, [0.5, 0.5, 0.5])
    np.testing.assert_array_equal(net.edges[0].signal, np.ones(16))


def test_whole_matrices_and_their_drawn_part_are_drawn_alike() -> None:
    part = [weights[np.ix_(evenly(len(weights)), evenly(weights.shape[1]))] for weights in WEIGHTS]
    whole, drawn = diagram(), diagram().set_weights(part)
    for one, other in zip(whole.edges, drawn.edges, strict=True):
        np.testing.assert_array_equal(one.weights, other.weights)


def test_the_forward_pass_reaches_one_column_after_the_other() -> None:
    net = diagram()
    seen = []
    for position in (-1, 0, 0.5, 1, 1.5, 2, 2.4):
        net.set_pass(position)
        seen.append(([units.reached[0] == 1 for units in net.units], [edges.flash for edges in net.edges]))
    assert [reached for reached, _ in seen] == [
        [False, False, False], [True, False, False], [True, False, False], [True, True, False], [True, True, False],
        [True, True, True], [True, True, True],
    ]  # fmt: skip
    assert [flash for _, flash in seen] == [
        [None, None], [None, None], [0.5, None], [1, None], [None, 0.5], [None, 1], [None, None],
    ]  # fmt: skip


def test_a_unit_that_the_pass_has_not_reached_shows_nothing() -> None:
    net = diagram().set_pass(0)
    np.testing.assert_allclose(net.units[1].colours(), np.broadcast_to(shades.rgb(DARK.panel), (16, 3)))


def test_the_animation_of_the_pass_takes_its_seconds_for_each_layer_and_ends_with_all_lit() -> None:
    net = diagram().set_pass(-1)
    forward = net.forward(seconds=0.5)
    assert forward.run_time == 1.0
    forward.begin()
    forward.interpolate(1)
    assert all((units.reached == 1).all() for units in net.units)
    assert [edges.flash for edges in net.edges] == [None, None]


def test_its_box_holds_all_that_is_drawn() -> None:
    net = diagram(width=6, height=4)
    assert net.width >= 6.2 and net.height >= 4.2
    np.testing.assert_allclose(net.middle, (0, 0, 0), atol=1e-9)
    net.scale(0.5)
    np.testing.assert_allclose(net.units[0].sizes(), 0.1)


def test_its_middle_is_between_its_columns_also_where_nothing_was_kept_of_the_input() -> None:
    columns = [Maps(np.zeros((0, 1, 1)), "input"), Column(np.ones(3), "hidden"), Column(np.ones(2), "output")]
    net = NetworkDiagram(columns, [True, True], width=6).shift((2, 1, 0))
    np.testing.assert_allclose(net.middle, (2, 1, 0), atol=1e-9)


def test_a_name_that_is_too_long_for_its_column_keeps_its_end() -> None:
    columns = [Column(np.ones(2), name) for name in ("input", "a_name_that_somebody_chose_to_be_understood")]
    amount, name = NetworkDiagram(columns, [True], width=2).labels[1]
    assert amount.words == "2" and name.words.startswith("…") and name.words.endswith("understood")
    assert name.width <= 2


def test_the_pixels_fly_from_their_cells_to_their_places() -> None:
    picture = Picture(np.arange(12.0).reshape(3, 4), height=3)
    ends = np.stack([np.full(12, 5.0), np.linspace(2, -2, 12), np.zeros(12)], axis=1)
    flight = PixelFlight(picture, ends)
    np.testing.assert_allclose(flight.middles(), picture.cells().reshape(-1, 3))
    np.testing.assert_allclose(flight.colours(), picture.colours().reshape(-1, 3))
    np.testing.assert_allclose(flight.set_progress(1).middles(), ends)
    assert flight.sizes().max() == pytest.approx(0)


def test_the_first_pixels_leave_first() -> None:
    picture = Picture(np.arange(12.0).reshape(3, 4), height=3)
    flight = PixelFlight(picture, np.full((12, 3), 5.0)).set_progress(0.3)
    gone = np.linalg.norm(flight.middles() - picture.cells().reshape(-1, 3), axis=1)
    assert gone[0] > 0.5 and gone[-1] == 0


def test_of_a_large_image_a_thousand_pixels_fly() -> None:
    assert len(PixelFlight(Picture(np.zeros((64, 64))), np.zeros((4096, 3))).values) == 1024
