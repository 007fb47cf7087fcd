"""Every figure says in words what it shows, and its files carry the words."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from surfaces import make_sequence, make_slice, make_surface
from test_plots import record_classifier

from explainer import plots
from explainer.errors import TraceError
from explainer.plots.style import STYLES, number
from explainer.trace import Trace


@pytest.fixture(scope="module")
def trace() -> Trace:
    return record_classifier()


def test_the_loss_is_told_with_its_first_and_its_last_value(trace: Trace) -> None:
    losses = trace.scalars["loss"]
    said = plots.describe(plots.loss(trace))
    assert said.startswith("Does it learn? ")
    assert f"{number(losses[0])} at step 0, {number(losses[-1])} at step 5" in said
    assert "1.0986, the loss of who knows nothing" in said


def test_several_losses_are_told_by_name(trace: Trace) -> None:
    said = plots.describe(plots.loss({"one": trace, "other": trace}))
    assert "The losses of 2 runs" in said
    assert f"one: {number(trace.scalars['loss'][0])} at step 0" in said
    assert f"other: {number(trace.scalars['loss'][0])} at step 0" in said


def test_the_gradient_flow_is_told_from_the_first_layer_to_the_last(trace: Trace) -> None:
    norms = [trace.statistics["gradients"][layer]["norm"][2] for layer in trace.layers if layer != "0"]
    said = plots.describe(plots.gradient_flow(trace, step=2))
    assert f"{number(norms[0])} at the first, 1, and {number(norms[-1])} at the last, 3" in said


def test_a_surface_is_told_with_its_range_and_each_walks_ends() -> None:
    surface = make_surface()
    for draw in (plots.surface, plots.mountain):
        said = plots.describe(draw(surface))
        assert f"between {number(surface.losses.min())} and {number(surface.losses.max())}" in said
        assert "steps goes from" in said


def test_a_slice_is_told_with_its_lowest_place() -> None:
    slice_ = make_slice()
    assert f"lowest, {number(slice_.losses.min())}" in plots.describe(plots.slice(slice_))


def test_a_sequence_is_told_step_by_step() -> None:
    sequence = make_sequence()
    said = plots.describe(plots.surface_sequence(sequence))
    for step in sequence.steps:
        assert f"Step {step}: " in said


def test_an_image_is_told_with_its_likeliest_and_its_right_class(trace: Trace) -> None:
    said = plots.describe(plots.classification(trace))
    assert "At step 0 the likeliest class is" in said
    assert "At step 5 the likeliest class is" in said


def test_a_whole_matplotlib_figure_is_told_one_axes_after_the_other(trace: Trace) -> None:
    figure = Figure()
    left, right = figure.subplots(1, 2)
    plots.loss(trace, ax=left)
    plots.gradient_flow(trace, ax=right)
    said = plots.describe(figure)
    assert said.index("Does it learn?") < said.index("How much gradient reaches each layer?")


def test_what_no_figure_drew_has_no_words() -> None:
    with pytest.raises(TraceError, match="so there are no words for it"):
        plots.describe(Figure().add_subplot())


def test_an_svg_says_its_words_to_screen_readers_and_in_its_metadata(trace: Trace, tmp_path: Path) -> None:
    axes = plots.loss(trace)
    root = ElementTree.parse(plots.save(axes, tmp_path / "loss.svg")).getroot()
    assert root.get("role") == "img"
    assert root.get("aria-label") == plots.describe(axes)
    text = " ".join(element.text or "" for element in root.iter())
    assert "Does it learn?" in text
    assert plots.describe(axes) in text


def test_a_png_and_a_pdf_carry_the_words(trace: Trace, tmp_path: Path) -> None:
    axes = plots.loss(trace)
    with Image.open(plots.save(axes, tmp_path / "loss.png", dpi=40)) as image:
        assert image.info["Description"] == plots.describe(axes)
        assert image.info["Title"] == "Does it learn?"
    assert b"/Subject" in plots.save(axes, tmp_path / "loss.pdf").read_bytes()


@pytest.mark.parametrize("name", STYLES)
def test_a_style_is_a_size_of_the_figure_and_of_its_text_and_rcparams_stay(name: str, trace: Trace) -> None:
    before = mpl.rcParams.copy()
    axes = plots.loss(trace, style=name)
    style = STYLES[name]
    assert np.allclose(axes.figure.get_size_inches(), (style.width, style.height))
    assert axes.xaxis.label.get_fontsize() == pytest.approx(1.15 * style.font)
    assert mpl.rcParams == before


def test_an_unknown_style_is_refused_with_the_nearest(trace: Trace) -> None:
    with pytest.raises(TraceError, match="paper"):
        plots.loss(trace, style="papper")
