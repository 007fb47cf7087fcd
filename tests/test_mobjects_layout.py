"""Regions of the frame."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

pytest.importorskip("manim")

from manim import Camera, Square, config, tempconfig

from explainer.mobjects.layout import Region, fit_frame, layout

SHAPES = {"16:9": (128 / 9, 8.0), "4:3": (128 / 9, 32 / 3), "9:16": (128 / 9, 2048 / 81)}


@pytest.mark.parametrize("frame", [*SHAPES.values(), (10.667, 8.0)], ids=[*SHAPES, "narrower than the picture"])
def test_regions_lie_in_the_frame_one_under_the_other(frame: tuple[float, float]) -> None:
    with tempconfig({"frame_width": frame[0], "frame_height": frame[1]}):
        found = layout()
    regions = [found.header, found.stage, found.formula, found.caption]
    for region in regions:
        assert region.width > 0
        assert region.height > 0
        assert found.frame.left < region.left < region.right < found.frame.right
    for above, below in itertools.pairwise(regions):
        assert below.top <= above.bottom + 1e-9
    assert found.frame.bottom < found.caption.bottom
    assert found.whole_stage.bottom == found.formula.bottom


@pytest.mark.parametrize("shape", ["4:3", "9:16"])
def test_the_picture_is_the_same_in_every_shape_and_words_have_the_room_that_is_left(shape: str) -> None:
    found = {}
    for name in ("16:9", shape):
        with tempconfig(dict(zip(("frame_width", "frame_height"), SHAPES[name], strict=True))):
            found[name] = layout()
    wide, high = found["16:9"], found[shape]
    for region in ("header", "stage", "formula"):
        there, here = getattr(high, region), getattr(wide, region)
        assert [there.left, there.bottom, there.right, there.top] == pytest.approx(
            [here.left, here.bottom, here.right, here.top]
        )
    assert high.caption.height > 2 * wide.caption.height
    assert high.larger > wide.larger == 1
    assert wide.title is None
    if high.title is not None:
        assert high.header.top < high.title.bottom < high.title.top < high.frame.top
    assert (high.title is not None) == (shape == "9:16")


def test_a_frame_that_manim_makes_too_narrow_becomes_as_wide_as_the_picture() -> None:
    with tempconfig({"pixel_width": 1080, "pixel_height": 1920, "frame_width": 4.5, "frame_height": 8.0}):
        camera = Camera()
        fit_frame(camera)
        assert (config.frame_width, config.frame_height) == pytest.approx(SHAPES["9:16"])
        assert (camera.frame_width, camera.frame_height) == pytest.approx(SHAPES["9:16"])


def test_what_is_too_large_is_shrunk_into_its_region() -> None:
    region = Region(0, 0, 4, 2)
    square = region.place(Square(8))
    assert square.width == pytest.approx(2)
    assert region.contains(square)
    assert not region.contains(Square(3).move_to(region.center))


def test_what_fits_keeps_its_size_and_goes_where_it_is_put() -> None:
    square = Region(0, 0, 4, 2).place(Square(1), across=1, up=-1)
    np.testing.assert_allclose(square.get_center(), [3.5, 0.5, 0])


def test_columns_and_rows_divide_by_shares() -> None:
    left, right = Region(0, 0, 4.3, 2).columns(1, 3, gap=0.3)
    assert (left.left, left.right) == pytest.approx((0, 1))
    assert (right.left, right.right) == pytest.approx((1.3, 4.3))
    top, bottom = Region(0, 0, 4, 2.2).rows(1, 1, gap=0.2)
    assert (top.top, top.bottom) == pytest.approx((2.2, 1.2))
    assert (bottom.top, bottom.bottom) == pytest.approx((1.0, 0.0))
