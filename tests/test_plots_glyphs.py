"""Names in any script are legible: another font lends the letters that the figures' own lacks, or a code says them."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.text import Text
from test_plots import record_classifier
from torch import nn

import explainer
from explainer import plots
from explainer.plots import glyphs
from explainer.plots.glyphs import width, written
from explainer.plots.naming import cut
from explainer.trace import Trace

NAMES = ("层一", "レイヤー", "한국어", "طبقة", "🚀", "a$b$c")
LATIN = {"DejaVu Sans": frozenset(map(chr, range(32, 0x2800))), "sans-serif": frozenset(map(chr, range(32, 0x250)))}


@pytest.fixture
def fonts(monkeypatch: pytest.MonkeyPatch) -> dict[str, frozenset[str]]:
    """Let the system have these fonts, whatever it has."""
    there = {**LATIN, "Han": frozenset("层一中")}
    monkeypatch.setattr(glyphs, "_letters_of", lambda family: there.get(family, frozenset()))
    monkeypatch.setattr(glyphs, "_installed", lambda: ("DejaVu Sans", "Han"))
    return there


@pytest.fixture(scope="module")
def trace() -> Trace:
    model = nn.Sequential()
    for name in NAMES:
        model.add_module(name, nn.Linear(3, 3))
    with explainer.record(model) as recorder:
        for _ in range(3):
            loss = model(torch.ones(2, 3)).sum()
            loss.backward()
            recorder.step(loss)
    return recorder.trace


def test_a_letter_that_no_font_has_is_its_code_and_several_are_one(fonts: dict[str, Any]) -> None:
    assert written("plain ∂") == "plain ∂"
    assert written("层 x") == "层 x"  # Han has it
    assert written("한국어 x") == "[U+D55C +2] x"
    assert written("a한b") == "a[U+D55C]b"
    assert written("a\u200db") == "a\u200db"  # within DejaVu's
    assert written("a\U000e0001b") == "ab"  # invisible, and in no font


def test_a_text_is_lent_the_font_that_has_its_letters_and_keeps_its_own(fonts: dict[str, Any]) -> None:
    _, ax = plt.subplots()
    ax.set_title("层", fontweight="bold")
    ax.set_xlabel("plain")
    glyphs.lend_letters(ax)
    assert ax.title.get_fontfamily() == ["sans-serif", "Han"]
    assert ax.title.get_fontweight() == "normal"  # Han has no bold one, of which matplotlib would complain
    assert ax.xaxis.label.get_fontfamily() == ["sans-serif"]


@pytest.mark.parametrize("name", ["gradient_flow", "gradient_history", "activations", "network", "weights", "loss"])
def test_no_figure_shows_a_box_or_warns_whatever_letters_names_have(
    name: str, trace: Trace, caplog: pytest.LogCaptureFixture
) -> None:
    for drawn_of in (trace, dict.fromkeys(NAMES[:4], trace)):
        if name == "network" and drawn_of is not trace:
            continue
        before = dict(mpl.rcParams)
        axes = plots.FIGURES[name].draw(drawn_of)
        assert dict(mpl.rcParams) == before
        with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
            warnings.simplefilter("error")
            axes.figure.canvas.draw()  # matplotlib warns of each letter that it draws as a box
        assert not [record for record in caplog.records if record.name.startswith("matplotlib")]


OF_POINTS = ("function_fit", "decision_boundary", "feature_space")  # which a classifier of images has none of


@pytest.mark.parametrize(
    "name", [name for name, each in plots.FIGURES.items() if each.of == "runs" and name not in OF_POINTS]
)
def test_a_runs_name_with_two_dollars_is_no_mathematics(name: str) -> None:
    runs = {"$\\foo$ a": record_classifier(), "$\\foo$ b": record_classifier()}
    axes = plots.FIGURES[name].draw(runs)
    axes.figure.canvas.draw()  # "\foo" is no mathematics that there is: it would fail here
    named = [text for text in axes.findobj(Text) if "foo" in text.get_text()]
    assert {text._preprocess_math(text.get_text())[1] for text in named} == {False}


def test_a_name_is_cut_by_the_room_it_takes() -> None:
    assert width("ab层") == 4
    assert cut("a" * 30) == "…" + "a" * 21
    assert cut("0.weight … 8.some.layer.weight", 22).count(" … ") == 1


def test_wide_letters_take_the_room_of_two(fonts: dict[str, Any]) -> None:
    assert cut("层" * 30, 11) == "…" + "层" * 5
