"""What a figure draws is what was recorded: points, heights, pixels and words against the trace."""

from __future__ import annotations

import doctest
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from surfaces import make_sequence, make_slice, make_surface
from torch import nn

import explainer
from explainer import lessons, plots, theme
from explainer.errors import TraceError
from explainer.plots.image_and_classes import probability
from explainer.plots.style import number, tick
from explainer.trace import Trace


def record_classifier(
    *, steps: Any = range(6), classes: int = 3, probe: bool = True, log_softmax: bool = False
) -> Trace:
    """Train on 4×4 images; the steps named are recorded."""
    generator = torch.Generator().manual_seed(0)
    images, labels = torch.randn(20, 1, 4, 4, generator=generator), torch.arange(20) % classes
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, classes)]
    model = nn.Sequential(*layers, *([nn.LogSoftmax(dim=1)] if log_softmax else []))
    criterion: nn.Module = nn.NLLLoss() if log_softmax else nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    with explainer.record(
        model,
        criterion=criterion,
        optimizer=optimizer,
        every=lambda step: step in steps,
        probe=(images[:4], labels[:4]) if probe else None,
    ) as recorder:
        recorder.note(data="20 images of noise")
        for _ in range(max(steps) + 1):
            optimizer.zero_grad()
            criterion(model(images), labels).backward()
            optimizer.step()
    return recorder.trace


@pytest.fixture(scope="module")
def trace() -> Trace:
    return record_classifier()


def subject(name: str, trace: Trace) -> Any:
    """Return something that a figure can be drawn of."""
    if name == "chain_rule":
        return lessons.record_lesson("two-layer", steps=5)  # of layers that are worked out by hand
    of_lessons = {"function_fit": "sine", "decision_boundary": "moons", "feature_space": "moons"}
    if name in of_lessons:
        return lessons.record_lesson(of_lessons[name], steps=5)
    kinds = {
        "trace": lambda: trace,
        "runs": lambda: trace,
        "traces": lambda: {"α = 0.5": trace, "α = 0.7": trace},
        "surface": make_surface,
        "slice": make_slice,
        "sequence": make_sequence,
    }
    return kinds[plots.FIGURES[name].of]()


def words(axes: Axes) -> list[str]:
    """Return everything that is written on axes, and on the axes inside them."""
    return [text.get_text() for text in axes.findobj(Text) if text.get_text()]


def written(axes: Axes) -> str:
    return "\n".join(words(axes))


# Every figure


@pytest.mark.parametrize("name", plots.FIGURES)
def test_a_figure_draws_on_the_axes_given_and_leaves_everything_else_alone(name: str, trace: Trace) -> None:
    before = mpl.rcParams.copy()
    figure, (left, right) = plt.subplots(1, 2)
    assert plots.FIGURES[name].draw(subject(name, trace), ax=right) is right
    assert left.findobj(Text) and not [text for text in words(left) if not text[0].isdigit()]
    assert plt.get_fignums() == [figure.number]
    assert mpl.rcParams == before


@pytest.mark.parametrize("name", plots.FIGURES)
def test_without_axes_a_figure_of_slide_size_is_made(name: str, trace: Trace) -> None:
    axes = plots.FIGURES[name].draw(subject(name, trace))
    assert isinstance(axes.figure, Figure)
    wide, high = plots.FIGURES[name].times
    assert axes.figure.get_size_inches().tolist() == pytest.approx([8 * wide, 4.5 * high])


@pytest.mark.parametrize("name", plots.FIGURES)
def test_a_theme_colours_the_background_and_all_that_is_written(name: str, trace: Trace) -> None:
    axes = plots.FIGURES[name].draw(subject(name, trace), theme="dark")
    assert to_hex(axes.figure.get_facecolor()).upper() == theme.DARK.background
    assert brightness_of_title(axes) > 0.8
    light = plots.FIGURES[name].draw(subject(name, trace), theme=theme.LIGHT)
    assert brightness_of_title(light) < 0.2


@pytest.mark.parametrize("name", plots.FIGURES)
def test_without_a_theme_the_words_are_legible_on_the_background_that_is_there(name: str, trace: Trace) -> None:
    axes = plots.FIGURES[name].draw(subject(name, trace), ax=plt.figure(facecolor="black").add_subplot())
    assert to_hex(axes.figure.get_facecolor()) == "#000000"
    assert brightness_of_title(axes) > 0.8
    inside = plt.figure(facecolor="black").subfigures().add_subplot()  # itself transparent
    assert brightness_of_title(plots.FIGURES[name].draw(subject(name, trace), ax=inside)) > 0.8


def brightness_of_title(axes: Axes) -> float:
    (title,) = (
        text for text in axes.findobj(Text) if text.get_text() and text.get_text() == axes.get_title(loc="left")
    )
    return float(np.mean(to_rgb(title.get_color())))


@pytest.mark.parametrize("name", plots.FIGURES)
def test_an_unknown_theme_names_those_there_are(name: str, trace: Trace) -> None:
    with pytest.raises(TraceError, match=r"no theme is called 'drak'. Did you mean 'dark'"):
        plots.FIGURES[name].draw(subject(name, trace), theme="drak")


@pytest.mark.parametrize("name", plots.FIGURES)
def test_the_example_in_a_figures_docstring_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = lessons.runs_folder()
    monkeypatch.setenv("EXPLAINER_RUNS", str(runs.resolve()))
    monkeypatch.chdir(tmp_path)
    (example,) = doctest.DocTestFinder().find(plots.FIGURES[name].draw, name, globs={})
    results = doctest.DocTestRunner().run(example)
    assert (results.failed, results.attempted) == (0, 3)
    assert len(list(tmp_path.iterdir())) == 1


def test_listing_the_figures_loads_no_matplotlib() -> None:
    listing = "import sys; from explainer import plots; plots.FIGURES; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", listing], check=True)


def test_a_figure_is_found_with_either_dash_and_a_misspelt_one_is_named() -> None:
    assert plots.find("gradient-flow") is plots.FIGURES["gradient_flow"]
    with pytest.raises(TraceError, match=r"no figure is called 'gradient_flaw'. Did you mean 'gradient_flow'"):
        plots.find("gradient-flaw")


# loss


def curve(axes: Axes, label: str) -> tuple[np.ndarray, np.ndarray]:
    (line,) = (line for line in axes.get_lines() if str(line.get_label()).startswith(label))
    return np.asarray(line.get_xdata()), np.asarray(line.get_ydata())


def test_the_curve_is_the_recorded_losses_over_the_recorded_steps() -> None:
    trace = record_classifier(steps=(0, 1, 5, 11))
    axes = plots.loss(trace)
    steps, losses = curve(axes, "loss of each recorded batch")
    assert steps.tolist() == [0, 1, 5, 11]
    assert losses.tolist() == trace.scalars["loss"].tolist()
    assert "4 of 12 steps recorded" in written(axes)


def test_the_line_of_who_knows_nothing_is_the_logarithm_of_the_number_of_classes(trace: Trace) -> None:
    axes = plots.loss(trace)
    (nothing,) = (line for line in axes.get_lines() if set(line.get_xdata()) == {0, 1})
    assert set(nothing.get_ydata()) == {math.log(3)}
    assert "knows nothing: ln 3 = 1.0986" in words(axes)
    low, high = axes.get_ylim()
    assert low < math.log(3) < high


def test_a_regression_has_no_such_line() -> None:
    assert "knows nothing" not in written(plots.loss(lessons.record_lesson("two-layer", steps=5)))


def test_the_loss_of_the_probe_is_drawn_beside_it(trace: Trace) -> None:
    axes = plots.loss(trace)
    assert curve(axes, "loss of the probe, 4 examples")[1].tolist() == trace.scalars["probe_loss"].tolist()


def test_one_recorded_step_is_a_dot() -> None:
    axes = plots.loss(record_classifier(steps=(3,), probe=False))
    (line,) = (line for line in axes.get_lines() if line.get_marker() == "o")
    assert np.asarray(line.get_xdata()).tolist() == [3]
    low, high = axes.get_xlim()
    assert low < 3 < high


def test_losses_that_are_no_number_leave_a_gap_and_are_counted() -> None:
    model, criterion = nn.Linear(1, 1), nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e30)
    with explainer.record(model, criterion=criterion, optimizer=optimizer) as recorder:
        for _ in range(4):
            optimizer.zero_grad()
            criterion(model(torch.ones(2, 1)), torch.full((2, 1), 2.0)).backward()
            optimizer.step()
    trace = recorder.trace
    lost = int(np.count_nonzero(~np.isfinite(trace.scalars["loss"])))
    assert lost > 0
    axes = plots.loss(trace)
    assert f"{lost} not a finite number" in written(axes)
    assert all(np.isfinite(axes.get_ylim()))


def test_an_accuracy_that_was_logged_is_said() -> None:
    model = nn.Linear(2, 2)
    with explainer.record(model) as recorder:
        for step in range(3):
            loss = model(torch.ones(1, 2)).sum()
            loss.backward()
            recorder.log(test_accuracy=step / 4)
            recorder.step(loss)
    assert "test accuracy 0.500" in written(plots.loss(recorder.trace))


def test_a_trace_without_a_loss_says_why() -> None:
    model = nn.Linear(2, 2)
    with explainer.record(model) as recorder:
        model(torch.ones(1, 2)).sum().backward()
        recorder.step()
    with pytest.raises(
        TraceError, match="holds no loss: no backward pass came through a criterion, and no loss was logged"
    ):
        plots.loss(recorder.trace)


def test_what_is_passed_on_reaches_the_curve(trace: Trace) -> None:
    (line,) = (line for line in plots.loss(trace, linestyle=":").get_lines() if line.get_linestyle() == ":")
    assert line.get_linewidth() == 2.4


# gradient_flow


def bars(axes: Axes) -> list[tuple[float, float]]:
    """Return each bar's middle and its height."""
    return [(bar.get_x() + bar.get_width() / 2, bar.get_height()) for bar in axes.containers[0]]


@pytest.mark.parametrize("step", [0, 3, -1])
@pytest.mark.parametrize(("measure", "statistic"), [("norm", "norm"), ("mean", "abs_mean"), ("max", "max_abs")])
def test_the_bars_are_the_gradients_of_the_layers_in_forward_order(
    trace: Trace, step: int, measure: str, statistic: str
) -> None:
    axes = plots.gradient_flow(trace, step=step, measure=measure)
    recorded = trace.statistics["gradients"]
    drawn = bars(axes)
    assert [height for _, height in drawn] == [recorded[layer][statistic][step] for layer in trace.layers[1:]]
    np.testing.assert_allclose([middle for middle, _ in drawn], range(1, len(trace.layers)))
    names = [label.get_text().splitlines()[0] for label in axes.get_xticklabels()]
    assert names == ["0", "1", "2", "3"]
    assert axes.get_yscale() == "log"
    assert "log scale" in axes.get_ylabel()


def test_a_layer_without_a_gradient_is_shown_with_its_reason(trace: Trace) -> None:
    assert trace.missing["0"] == "no gradient: the output does not require one"  # Flatten reads the images themselves
    axes = plots.gradient_flow(trace)
    (hatched,) = (patch for patch in axes.patches if patch.get_hatch())
    assert hatched.get_x() + hatched.get_width() / 2 == pytest.approx(0)
    assert "no gradient" in words(axes)
    assert "0: no gradient: the output does not require one" in written(axes)


def test_each_factor_is_the_ratio_of_the_bars_beside_it(trace: Trace) -> None:
    axes = plots.gradient_flow(trace)
    heights = dict(bars(axes))
    factors = {text.get_position()[0]: text.get_text() for text in axes.texts if text.get_text().startswith("×")}
    places = sorted(heights)
    assert sorted(factors) == [place + 0.5 for place in places[:-1]]
    for place in places[:-1]:
        assert float(factors[place + 0.5][1:]) == pytest.approx(heights[place] / heights[place + 1], rel=0.06)


def test_the_arrow_runs_from_the_loss_on_the_right_to_the_first_layer(trace: Trace) -> None:
    axes = plots.gradient_flow(trace)
    (arrow,) = (text for text in axes.texts if getattr(text, "arrow_patch", None) is not None)
    assert arrow.xy[0] < 0 < len(trace.layers) - 1 < arrow.xyann[0]
    (loss,) = (text for text in axes.texts if text.get_text().strip() == "loss")
    assert loss.get_position()[0] == arrow.xyann[0]


def test_a_gradient_of_zero_is_said_and_not_dropped() -> None:
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))
    with torch.no_grad():
        model[0].weight.zero_()
        model[0].bias.fill_(-1)  # every unit is dead
    criterion, optimizer = nn.MSELoss(), torch.optim.SGD(model.parameters(), lr=0.1)
    with explainer.record(model, criterion=criterion, optimizer=optimizer) as recorder:
        criterion(model(torch.ones(3, 4)), torch.ones(3, 2)).backward()
        optimizer.step()
    axes = plots.gradient_flow(recorder.trace)
    assert [middle for middle, _ in bars(axes)] == pytest.approx([1, 2])
    (zero,) = (text for text in axes.texts if text.get_text() == "0")
    assert zero.xy[0] == 0
    assert "0: the gradient is exactly 0" in written(axes)


def test_a_gradient_that_is_not_finite_is_said() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    with explainer.record(model) as recorder:
        hidden = model[0](torch.ones(1, 2))
        (model[1](hidden).sum() * torch.inf).backward()
        recorder.step()
    axes = plots.gradient_flow(recorder.trace)
    assert words(axes).count("not finite") == 2
    assert "0, 1: values that are infinite or NaN" in written(axes)
    assert not bars(axes)


def test_of_very_many_layers_only_some_are_named_and_that_is_said() -> None:
    model = nn.Sequential(*(nn.Tanh() for _ in range(100)))
    inputs = torch.ones(1, 3, requires_grad=True)
    with explainer.record(model) as recorder:
        model(inputs).sum().backward()
        recorder.step()
    axes = plots.gradient_flow(recorder.trace)
    assert len(bars(axes)) == 100
    assert "one in 4 is named" in axes.get_xlabel()
    assert [label.get_text() for label in axes.get_xticklabels()] == [str(layer) for layer in range(0, 100, 4)]


def test_a_step_that_was_not_recorded_names_the_nearest(trace: Trace) -> None:
    with pytest.raises(TraceError, match="step 40 was not recorded; the nearest is 5"):
        plots.gradient_flow(trace, step=40)


def test_an_option_of_bars_is_passed_on(trace: Trace) -> None:
    axes = plots.gradient_flow(trace, color="black")
    assert {to_hex(bar.get_facecolor()) for bar in axes.containers[0]} == {"#000000"}


# classification


def test_the_image_is_the_probes_pixel_by_pixel(trace: Trace) -> None:
    image, *_ = plots.classification(trace, example=2).child_axes
    assert trace.probe is not None
    np.testing.assert_array_equal(image.get_images()[0].get_array(), trace.probe.inputs[2, 0])


@pytest.mark.parametrize("log_softmax", [False, True])
def test_the_bars_are_the_probabilities_that_torch_makes_of_the_recorded_outputs(log_softmax: bool) -> None:
    trace = record_classifier(log_softmax=log_softmax)
    assert trace.probe is not None
    _, before, after = plots.classification(trace, example=1).child_axes
    for axes, index in ((before, 0), (after, -1)):
        outputs = torch.from_numpy(trace.probe.activations[trace.layers[-1]][index][1])
        expected = outputs.exp() if log_softmax else outputs.softmax(dim=0)
        widths = [bar.get_width() for bar in axes.containers[0]]
        np.testing.assert_allclose(widths, expected, rtol=1e-5)
        assert sum(widths) == pytest.approx(1, abs=1e-6)
    assert before.get_title() == "before, step 0"
    assert after.get_title() == "after, step 5"


def test_the_right_answer_is_marked_by_a_triangle_and_a_frame_beside_its_colour(trace: Trace) -> None:
    axes = plots.classification(trace, example=1)
    for inside in axes.child_axes[1:]:
        assert [label.get_text() for label in inside.get_yticklabels()] == ["0", "▶ 1", "2"]
        colours = [to_hex(bar.get_facecolor()).upper() for bar in inside.containers[0]]
        assert colours == [theme.LAYER, theme.RIGHT, theme.LAYER]
        framed = [patch for patch in inside.patches if patch not in list(inside.containers[0])]
        assert [patch.get_y() + patch.get_height() / 2 for patch in framed] == [pytest.approx(1)]
    assert "▶ the right answer: 1" in written(axes)


def test_the_caption_says_what_the_data_are(trace: Trace) -> None:
    assert "20 images of noise" in written(plots.classification(trace))


def test_the_step_that_is_after_can_be_chosen(trace: Trace) -> None:
    titles = [axes.get_title() for axes in plots.classification(trace, step=2).child_axes]
    assert titles == ["", "before, step 0", "after, step 2"]
    titles = [axes.get_title() for axes in plots.classification(trace, step=0).child_axes]
    assert titles == ["", "before, step 0", "the same, step 0"]  # where a film begins, all stands where it will stand
    alone = record_classifier(steps=[3])
    assert [axes.get_title() for axes in plots.classification(alone).child_axes] == ["", "as recorded, step 3"]


def test_of_many_classes_the_likeliest_and_the_right_one_are_shown() -> None:
    trace = record_classifier(classes=20, steps=(0,))
    for example in range(4):
        axes = plots.classification(trace, example=example)
        names = [label.get_text() for label in axes.child_axes[1].get_yticklabels()]
        assert len(names) == 10
        assert f"▶ {example}" in names
        assert "10 of 20" in written(axes)


def test_a_trace_without_a_probe_says_what_to_record() -> None:
    with pytest.raises(TraceError, match=r"(?s)no probe.*probe="):
        plots.classification(record_classifier(probe=False))


def test_an_example_that_the_probe_lacks_says_what_there_is(trace: Trace) -> None:
    with pytest.raises(TraceError, match="no example 4: there are 4, from 0 to 3"):
        plots.classification(trace, example=4)


@pytest.mark.parametrize(
    ("value", "text"), [(0.99996, ">0.999"), (1.0, "1.000"), (0.00001, "<0.001"), (0.0, "0.000"), (0.1234, "0.123")]
)
def test_a_probability_is_never_rounded_to_certainty(value: float, text: str) -> None:
    assert probability(value) == text


# Saving


@pytest.mark.parametrize("ending", ["svg", "pdf", "png"])
@pytest.mark.parametrize("name", plots.FIGURES)
def test_the_same_figure_is_the_same_bytes(name: str, ending: str, trace: Trace, tmp_path: Path) -> None:
    first, second = (
        plots.save(plots.FIGURES[name].draw(subject(name, trace)), tmp_path / f"{n}.{ending}") for n in (1, 2)
    )
    assert first.read_bytes() == second.read_bytes()


def test_text_in_an_svg_is_text_and_no_date_is_in_it(trace: Trace, tmp_path: Path) -> None:
    svg = plots.save(plots.loss(trace), tmp_path / "loss.svg").read_text(encoding="utf-8")
    assert ">knows nothing: ln 3 = 1.0986</text>" in svg
    assert "dc:date" not in svg


def test_fonts_in_a_pdf_are_truetype(trace: Trace, tmp_path: Path) -> None:
    pdf = plots.save(plots.gradient_flow(trace), tmp_path / "flow.pdf").read_bytes()
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf
    assert b"/CreationDate" not in pdf


def test_a_png_of_slide_size_has_the_pixels_of_a_projector(trace: Trace, tmp_path: Path) -> None:
    image = plt.imread(plots.save(plots.loss(trace), tmp_path / "loss.png"))
    assert image.shape[:2] == (1080, 1920)


def test_saving_makes_the_folder_and_leaves_nothing_else(trace: Trace, tmp_path: Path) -> None:
    plots.save(plots.loss(trace), tmp_path / "new" / "loss.svg")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["loss.svg"]


def test_another_ending_says_which_there_are(trace: Trace, tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"written as .svg, .pdf or .png"):
        plots.save(plots.loss(trace), tmp_path / "loss.jpeg")


def test_a_file_that_cannot_be_written_is_one_sentence(trace: Trace, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(TraceError, match=r"loss\.svg cannot be written: "):
        plots.save(plots.loss(trace), tmp_path / "taken" / "loss.svg")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.011, "0.0110"),
        (-2.5, "−2.50"),
        (123.4, "123"),
        (4e-6, "4.0×10⁻⁶"),
        (1234.5, "1234"),
        (6e7, "6.0×10⁷"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
        (math.nan, "NaN"),
    ],
)
def test_numbers_are_written_for_the_eye(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.02, "0.02"), (1, "1"), (1e-5, "10⁻⁵"), (2e-7, "2×10⁻⁷"), (5e5, "5×10⁵")]
)
def test_ticks_of_a_logarithmic_scale_are_short(value: float, text: str) -> None:
    assert tick(value) == text
    assert tick(100, powers=True) == "10²"
