"""The page on paper: light, without buttons, and nothing wider than the sheet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from browser import Visit
from surfaces import make_surface, make_walk

from explainer import lessons
from explainer.page import make_page

SHEET = 690  # CSS pixels between the margins of A4

INSIDE = """() => [...document.querySelectorAll('.view')].flatMap(view => {
  const room = view.getBoundingClientRect();
  return [...view.querySelectorAll('svg, canvas')].filter(each => {
    const box = each.getBoundingClientRect();
    return box.left < room.left - 1 || box.right > room.right + 1 || box.bottom > room.bottom + 1;
  }).map(each => `${view.id}: ${each.outerHTML.slice(0, 90)}`);
})"""

TOGETHER = """() => [...document.querySelectorAll('.stack')].map(stack => {
  const [first, ...others] = [...stack.children].filter(each => !each.matches('.picture-of'))
    .map(each => each.getBoundingClientRect());
  return others.every(each => Math.abs(each.width - first.width) < 1 && Math.abs(each.height - first.height) < 1);
})"""


@pytest.fixture
def printed(opened: Callable[..., Visit], tmp_path: Path) -> Visit:
    """A page as it goes to paper from a dark room."""
    trace = lessons.record_lesson("digits", steps=16)
    page = make_page(trace, surface=make_surface({"walk": make_walk()})).save(tmp_path / "digits.html")
    found = opened(page, color_scheme="dark")
    found.show(3)
    found.page.emulate_media(media="print")
    found.page.set_viewport_size({"width": SHEET, "height": 980})
    found.settle()
    return found


def test_it_is_printed_in_light_colours_without_buttons(printed: Visit) -> None:
    assert printed.page.evaluate("() => getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not printed.page.locator(".play").is_visible()


def test_the_step_stands_at_the_top_of_the_first_sheet(printed: Visit) -> None:
    box = printed.page.locator(".clock .step").bounding_box()
    assert box is not None
    assert box["y"] < 150
    assert printed.page.locator(".clock .step").is_visible()


def test_every_picture_is_as_wide_as_the_paper_lets_it_be(printed: Visit) -> None:
    assert printed.page.evaluate(INSIDE) == []
    assert printed.page.evaluate("() => document.documentElement.scrollWidth") == SHEET


def test_what_lies_over_one_another_does_so_on_paper_too(printed: Visit) -> None:
    together = printed.page.evaluate(TOGETHER)
    assert len(together) == 4
    assert all(together)


def test_the_map_is_not_blank(printed: Visit) -> None:
    assert printed.page.evaluate(
        "() => document.querySelector('.map canvas').getContext('2d').getImageData(60, 20, 99, 99).data"
        ".some(each => each > 0 && each < 255)"
    )
    assert len(printed.page.pdf()) > 20_000
