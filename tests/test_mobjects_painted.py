"""What paints itself: it is drawn among stock mobjects, alone and unharmed, and its numbers can be animated."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

manim = pytest.importorskip("manim", reason="films are not installed")

from manim import BLUE, RIGHT, Camera, Circle, Square, Transform  # noqa: E402

from explainer.mobjects import painted  # noqa: E402
from explainer.mobjects.edges import Edges  # noqa: E402
from explainer.mobjects.heat_map import HeatMap, Picture  # noqa: E402
from explainer.mobjects.painted import _display_stock, _set_stock_path  # noqa: E402
from explainer.mobjects.words import Words  # noqa: E402


def seen(*mobjects: manim.Mobject) -> npt.NDArray[np.int64]:
    """What a camera of 160 × 90 pixels sees, ten pixels to a frame unit, (row, column, 3)."""
    camera = Camera(pixel_width=160, pixel_height=90, frame_width=16, frame_height=9, background_color="#000000")
    camera.capture_mobjects(mobjects)
    return np.asarray(camera.pixel_array[..., :3], np.int64)


def test_what_was_drawn_before_leaves_no_trace_in_what_paints_itself() -> None:
    square = Square(2, fill_opacity=1, color=BLUE).shift(4 * RIGHT)
    picture = Picture([[1.0]], low=0, high=1, height=2, stroke_width=0)
    both, alone = seen(square, picture), seen(picture)
    np.testing.assert_array_equal(both[:, :100], alone[:, :100])
    assert (both[45, 80] == 255).all() and not (both[45, 120] == 255).all()


def test_what_is_drawn_after_it_is_not_changed_by_it() -> None:
    circle = Circle(1, fill_opacity=0.7, color=BLUE).shift(4 * RIGHT)
    np.testing.assert_array_equal(seen(Picture([[1.0, 0.0]], height=2), circle)[:, 105:], seen(circle)[:, 105:])


@pytest.mark.parametrize("moved", [0.0, 0.013])
def test_letters_whose_outline_is_remembered_are_drawn_as_manim_draws_them(
    moved: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = Words("∂ℓ/∂w: remembered", size=1).shift(moved * RIGHT)
    faded = words.copy().set_fill(opacity=0.4).set_stroke(BLUE, 2)
    first, again, other = seen(words), seen(words), seen(faded)
    monkeypatch.setattr(Camera, "set_cairo_context_path", _set_stock_path)
    np.testing.assert_array_equal(first, seen(words))
    np.testing.assert_array_equal(again, first)
    np.testing.assert_array_equal(other, seen(faded))
    assert first.any() and (other != first).any()


def test_stock_mobjects_are_drawn_as_manim_draws_them(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = [Circle(2, color=BLUE, fill_opacity=0.5), Square(3).shift(RIGHT)]
    ours = seen(*shapes)
    monkeypatch.setattr(Camera, "display_vectorized", _display_stock)
    np.testing.assert_array_equal(ours, seen(*shapes))


def test_an_animation_passes_through_the_numbers_between() -> None:
    heat = HeatMap([[1.0, -2.0]], largest=2)
    change = Transform(heat, heat.copy().set_values([[3.0, 2.0]]))
    change.begin()
    change.interpolate(0.5)
    np.testing.assert_allclose(heat.values, [[2.0, 0.0]])
    change.interpolate(1)
    np.testing.assert_array_equal(heat.values, [[3.0, 2.0]])


def test_becoming_another_takes_over_its_numbers() -> None:
    heat = HeatMap([[1.0, -2.0]])
    heat.become(HeatMap([[5.0, 6.0]], height=1))
    np.testing.assert_array_equal(heat.values, [[5.0, 6.0]])
    assert heat.height == pytest.approx(1)


def test_a_copy_changes_alone() -> None:
    heat = HeatMap([[1.0, -2.0]])
    heat.copy().set_values([[9.0, 9.0]])
    np.testing.assert_array_equal(heat.values, [[1.0, -2.0]])


@pytest.mark.parametrize(("opacity", "brightness"), [(0, 0), (0.5, 128), (1, 255)])
def test_its_fill_opacity_is_that_of_all_it_paints(opacity: float, brightness: int) -> None:
    picture = Picture([[1.0]], low=0, high=1, height=4, stroke_width=0)
    assert abs(seen(picture.set_opacity(opacity))[45, 80, 0] - brightness) <= 1


def test_pictures_that_are_remembered_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(painted, "_pictures", {})
    monkeypatch.setattr(painted, "_HELD", 100_000)
    for seed in range(8):  # each of 160 × 90 pixels at most
        weights = np.random.default_rng(seed).normal(size=(4, 4))
        column = np.stack([np.zeros(4), np.linspace(-3, 3, 4), np.zeros(4)], axis=1)
        seen(Edges(column - 6 * RIGHT, column + 6 * RIGHT, weights, largest=3, widest=0.1))
    held = painted._pictures.values()
    assert 1 <= len(held) < 8 and sum(size for _, size in held) <= 100_000


def test_what_is_painted_once_may_lie_outside_the_frame() -> None:
    column = np.stack([np.zeros(4), np.linspace(-3, 3, 4), np.zeros(4)], axis=1)
    edges = Edges(column - 6 * RIGHT, column + 6 * RIGHT, np.ones((4, 4)), largest=1, widest=0.1)
    assert not seen(edges.shift(40 * RIGHT)).any()
    assert seen(edges.shift(-40 * RIGHT)).any()  # and what was not seen is not remembered as nothing
