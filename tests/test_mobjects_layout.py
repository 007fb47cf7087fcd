"""Regions of the frame."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

pytest.importorskip("manim")

from manim import Square, tempconfig

from explainer.mobjects.layout import Region, layout


@pytest.mark.parametrize("frame", [(14.222, 8.0), (10.667, 8.0), (4.5, 8.0)], ids=["16:9", "4:3", "9:16"])
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
