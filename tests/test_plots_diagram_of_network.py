"""The network's figure draws what was recorded: fills, edges, images, classes, and what skips."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.patches import FancyBboxPatch
from matplotlib.text import Text
from torch import nn

import explainer
from explainer import plots
from explainer.errors import TraceError
from explainer.plots.stages_in_a_row import rounded, shades
from explainer.portrait import portrait
from explainer.theme import LIGHT
from explainer.trace import Trace


def record(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor, **options: Any) -> Trace:
    criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=0.5)
    with explainer.record(model, criterion=criterion, optimizer=optimizer, **options) as recorder:
        recorder.note(image_shape=[4, 6], classes=["cat", "dog", "owl"])
        criterion(model(inputs), targets).backward()
        optimizer.step()
    return recorder.trace


@pytest.fixture(scope="module")
def trace() -> Trace:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(24, 5), nn.Tanh(), nn.Linear(5, 3))
    return record(model, torch.randn(4, 24), torch.tensor([2, 1, 0, 2]))


def words(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.findobj(Text) if text.get_text()]


def rows_of_units(axes: Axes) -> list[PatchCollection]:
    return [each for each in axes.collections if isinstance(each, PatchCollection)]


def test_a_units_fill_is_its_activation(trace: Trace) -> None:
    _, hidden, last = rows_of_units(plots.network(trace, example=1, theme="light"))
    values = np.asarray(trace.activations["1"][0][1], np.float64)
    np.testing.assert_allclose(np.asarray(hidden.get_facecolor()), shades(values, np.abs(values).max(), LIGHT))
    red, blue = np.asarray(hidden.get_facecolor())[:, [0, 2]].T
    assert ((blue > red) == (values > 0)).all()
    outputs = torch.from_numpy(trace.activations["2"][0][1]).softmax(dim=0).double().numpy()
    np.testing.assert_allclose(np.asarray(last.get_facecolor()), shades(outputs, 1.0, LIGHT), atol=1e-6)


def test_negative_units_wear_a_minus(trace: Trace) -> None:
    axes = plots.network(trace, example=1)
    x = np.unique([np.mean(each.get_extents().intervalx) for each in rows_of_units(axes)[1].get_paths()])
    minus = [
        path for each in axes.collections if isinstance(each, LineCollection) for path in each.get_segments()
        if np.ptp(path[:, 1]) == 0 and abs(path[:, 0].mean() - x.mean()) < 1e-9
    ]  # fmt: skip
    assert len(minus) == int((trace.activations["1"][0][1] < 0).sum()) > 0


def test_an_edges_colour_is_the_weights_sign_and_its_width_its_size(trace: Trace) -> None:
    axes = plots.network(trace)
    (edges,) = (
        each for each in axes.collections if isinstance(each, LineCollection) and len(each.get_segments()) == 15
    )
    weights = np.abs(trace.parameters["2.weight"][0]).ravel()
    np.testing.assert_allclose(
        np.asarray(edges.get_linewidth()), np.maximum(2.8 * np.sort(weights) / weights.max(), 0.15), rtol=1e-6
    )
    red, blue = np.asarray(edges.get_colors())[:, [0, 2]].T
    assert int((blue > red).sum()) == int((trace.parameters["2.weight"][0] > 0).sum())


def test_the_input_is_shown_as_the_picture_that_it_is(trace: Trace) -> None:
    (image,) = plots.network(trace, example=2).get_images()
    expected = trace.inputs[0][2].reshape(4, 6)
    drawn = np.asarray(image.get_array())[..., 0]
    np.testing.assert_allclose(drawn, (expected - expected.min()) / np.ptp(expected), rtol=1e-5)


def test_classes_are_named_and_the_right_one_is_marked(trace: Trace) -> None:
    written = words(plots.network(trace, example=1))
    assert {"cat", "owl"} <= {word.split("  ")[0] for word in written}
    assert any(word.startswith("▶ dog  0.") for word in written)
    assert "last: probability of each class" in "\n".join(written)


def test_below_a_stage_stand_its_count_its_name_and_what_it_learns(trace: Trace) -> None:
    written = words(plots.network(trace))
    assert {"16 of 24", "5", "3", "4×6", "input", "125 θ", "18 θ"} <= set(written)
    assert "Sequential, 143 parameters θ" in "\n".join(written)


def test_maps_are_drawn_as_images() -> None:
    model = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(24, 3))
    trace = record(model, torch.randn(2, 1, 4, 4), torch.tensor([0, 1]))
    axes = plots.network(trace, theme="light")
    picture, *maps = axes.get_images()
    assert np.asarray(picture.get_array()).shape == (4, 4, 3)
    shown = portrait(trace)[1].values
    assert shown is not None and len(maps) == 4
    for image, values in zip(maps, shown, strict=True):
        np.testing.assert_allclose(np.asarray(image.get_array()), shades(values, np.abs(shown).max(), LIGHT))


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.tanh(self.two(torch.relu(self.one(x))))


def test_two_hundred_layers_are_put_together_in_frames_and_arrows_skip_them() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), *(nn.Sequential(*(Residual(8) for _ in range(20))) for _ in range(5)))
    trace = record(nn.Sequential(model, nn.Linear(8, 3)), torch.randn(2, 6), torch.tensor([0, 1]))
    assert len(trace.layers) > 200
    axes = plots.network(trace)
    assert len([each for each in axes.patches if isinstance(each, FancyBboxPatch)]) >= 5
    assert len(portrait(trace, most=10)) <= 10
    assert "arrows skip stages" in plots.describe(axes)


def test_a_transformer_and_an_lstm_are_drawn() -> None:
    class Reader(nn.Module):
        def __init__(self, body: nn.Module) -> None:
            super().__init__()
            self.embed, self.body, self.head = nn.Embedding(9, 8), body, nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            read = self.body(self.embed(x))
            found: torch.Tensor = self.head((read[0] if isinstance(read, tuple) else read).mean(1))
            return found

    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    for body in (nn.LSTM(8, 8, batch_first=True), nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)):
        axes = plots.network(record(Reader(body), torch.tensor([[1, 2, 3], [4, 5, 6]]), torch.tensor([0, 1])))
        assert {"embed", "head", "3×8"} <= set(words(axes))
        assert len(axes.get_images()) >= 2


def test_stages_without_numbers_are_hatched_with_what_to_record() -> None:
    model = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 3))
    axes = plots.network(record(model, torch.randn(2, 6), torch.tensor([0, 1]), keep=()))
    assert all(each.get_hatch() for each in rows_of_units(axes))
    assert 'hatched: input, Linear, Linear: not kept: record with keep=("inputs", …)' in "\n".join(words(axes))


def test_numbers_that_are_not_finite_are_marked_and_counted() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    trace = record(model, torch.tensor([[1.0, torch.nan]]), torch.tensor([0]))
    written = words(plots.network(trace))
    assert written.count("?") == 3
    assert "? 3 numbers are infinite or NaN" in "\n".join(written)


def test_it_is_told_in_words(trace: Trace) -> None:
    told = plots.describe(plots.network(trace, example=1))
    assert "A diagram of 3 stages from left to right: input (24), Linear (5), Linear (3)." in told
    assert "The right one is dog." in told


def test_nothing_that_is_written_is_cut_off(trace: Trace) -> None:
    for style in ("slide", "paper"):
        axes = plots.network(trace, style=style)
        axes.figure.draw_without_rendering()  # type: ignore[union-attr]
        page = axes.figure.bbox
        boxes = [text.get_window_extent() for text in axes.texts]
        assert all(page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 <= page.y1 for box in boxes)


def test_an_example_that_was_not_kept_is_an_error(trace: Trace) -> None:
    with pytest.raises(TraceError, match="step 0 keeps no example 4: there are 4, from 0 to 3"):
        plots.network(trace, example=4)


@pytest.mark.parametrize(("count", "text"), [(17, "17"), (73_984, "74k"), (11_689_512, "11.7M"), (2 * 10**9, "2B")])
def test_large_counts_are_short(count: int, text: str) -> None:
    assert rounded(count) == text
