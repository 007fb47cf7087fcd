"""Subtitles, read back by the library that manim writes them with, and as the standard for web pages has them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from explainer.errors import ExplainerError
from explainer.subtitles import moved, read_srt, write_srt, write_vtt

srt = pytest.importorskip("srt")

TEXT = """1
00:00:01,000 --> 00:00:02,500
A loss & its <gradient>.

2
01:00:03,000 --> 01:00:04,000
Two
lines.
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "film.srt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_subtitles_are_read_moved_and_hastened(file: Path) -> None:
    first, second = moved(read_srt(file), 10.0, speed=2.0)
    assert (first.start, first.end) == (timedelta(seconds=10.5), timedelta(seconds=11.25))
    assert second.start == timedelta(seconds=10 + 3603 / 2)
    assert [first.content, second.content] == ["A loss & its <gradient>.", "Two\nlines."]


def test_subtitles_of_several_films_are_numbered_anew(file: Path, tmp_path: Path) -> None:
    both = [*read_srt(file), *moved(read_srt(file), 7200.0)]
    written = write_srt(both, tmp_path / "whole.srt")
    assert [each.index for each in srt.parse(written.read_text(encoding="utf-8"))] == [1, 2, 3, 4]


def test_a_web_page_gets_its_own_form_with_nothing_that_could_be_markup(file: Path, tmp_path: Path) -> None:
    written = write_vtt(read_srt(file), tmp_path / "film.vtt").read_text(encoding="utf-8")
    assert written == (
        "WEBVTT\n\n"
        "00:00:01.000 --> 00:00:02.500\nA loss &amp; its &lt;gradient&gt;.\n\n"
        "01:00:03.000 --> 01:00:04.000\nTwo\nlines.\n"
    )


def test_what_is_no_srt_is_told(tmp_path: Path) -> None:
    with pytest.raises(ExplainerError, match=r"nowhere\.srt cannot be read: No such file"):
        read_srt(tmp_path / "nowhere.srt")
    (tmp_path / "no.srt").write_text("these are just words\n")
    with pytest.raises(ExplainerError, match=r"no\.srt is no \.srt: "):
        read_srt(tmp_path / "no.srt")
