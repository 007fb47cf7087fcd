"""The page of runs that are not as a lecture's are: diverged, of one step, oddly named, with maps, in German."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from browser import Visit
from surfaces import make_surface, make_walk
from torch import nn

import explainer
from explainer import cli, lessons
from explainer.errors import TraceError
from explainer.page import make_page
from explainer.page.arrays import limits, tones
from explainer.page.lesson import or_why_not
from explainer.page.maps import feature_maps, has_maps
from explainer.page.shown import every, finite
from explainer.theme import LIGHT, POSITIVE
from explainer.trace import Trace

WHITE, BLUE = (np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) for colour in (LIGHT.zero, POSITIVE))
Opened = Callable[..., Visit]


def record(model: nn.Module, inputs: torch.Tensor, *, rate: float = 0.1, steps: int = 4) -> Trace:
    """Record some steps of classification into two classes."""
    criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=rate)
    targets = torch.arange(len(inputs)) % 2
    with explainer.record(model, criterion=criterion, optimizer=optimizer) as recorder:
        for _ in range(steps):
            optimizer.zero_grad()
            criterion(model(inputs), targets).backward()
            optimizer.step()
    return recorder.trace


def perceptron() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


@pytest.fixture(scope="module")
def diverged() -> Trace:
    trace = record(perceptron(), torch.linspace(-1e6, 1e6, 24).reshape(8, 3), rate=1e12)
    assert np.isfinite(trace.scalars["loss"]).tolist() == [True, False, False, False]
    return trace


# Runs that diverged


def test_of_a_run_that_diverged_the_last_finite_step_is_multiplied_out_and_the_page_says_which(
    diverged: Trace, opened: Opened, tmp_path: Path
) -> None:
    assert finite(diverged, every(diverged)).steps.tolist() == [0]
    found = opened(diverged.page().save(tmp_path / "diverged.html"))
    assert "no finite numbers" not in found.page.locator("#chain .note").inner_text()
    found.show(3)
    assert "Step 3 has no finite numbers to multiply: these are of step 0." in found.page.locator("#chain").inner_text()
    shown = found.numbers("chain")
    assert shown["chain.0.recorded"] == diverged.gradients["2"][0][0][0]
    assert found.complaints == []


def test_a_gradient_that_is_not_finite_has_a_bar_as_high_as_the_picture_and_no_share(
    diverged: Trace, opened: Opened, tmp_path: Path
) -> None:
    found = opened(diverged.page().save(tmp_path / "diverged.html"))
    share, bars = found.page.locator("#flow .values .quiet"), found.page.locator("#flow .bar")
    assert share.is_visible()
    assert found.page.locator("#flow .bar.lost").count() == 0
    found.show(2)
    assert not share.is_visible()
    assert found.page.locator("#flow .bar.lost").count() == bars.count() == 3
    assert found.page.locator("#flow .value").all_text_contents() == ["NaN"] * 3
    assert np.isnan(found.numbers("flow")["flow.2"])


def test_a_loss_that_stands_alone_is_a_dot_of_the_curve(diverged: Trace, opened: Opened, tmp_path: Path) -> None:
    found = opened(diverged.page().save(tmp_path / "diverged.html"))
    curve = found.page.locator("#loss .curve.chosen")
    assert re.fullmatch(r"M[\d.]+ [\d.]+h0", curve.get_attribute("d") or "")


def test_the_last_loss_of_a_run_that_diverged_is_written_beside_that_of_the_others(
    diverged: Trace, opened: Opened, tmp_path: Path
) -> None:
    found = opened(
        make_page({"fast": diverged, "slow": record(perceptron(), torch.ones(4, 3))}).save(tmp_path / "a.html")
    )
    assert np.isnan(found.numbers("runs")["runs.0.last"])
    assert found.page.locator("#runs tbody tr").first.locator("td").nth(1).inner_text() == "NaN"


def test_a_run_without_one_finite_step_says_so(tmp_path: Path) -> None:
    trace = record(perceptron(), torch.full((4, 3), torch.nan))
    with pytest.raises(TraceError, match="no recorded step has a finite loss"):
        finite(trace, every(trace))


# Names and several runs


def test_a_name_that_turns_the_direction_of_writing_is_shown_by_its_code(opened: Opened, tmp_path: Path) -> None:
    model = nn.Sequential()
    model.add_module("a\u202eb", nn.Linear(3, 2))
    page = record(model, torch.ones(4, 3)).page(title="x\u2066y")
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", page.html)
    found = opened(page.save(tmp_path / "turned.html"))
    assert found.page.title() == "x[U+2066]y"
    assert found.page.locator("#chain .symbol").all_inner_texts() == ["a[U+202E]b", "ℓ"]


def test_the_header_tells_of_the_run_that_is_chosen(opened: Opened, tmp_path: Path) -> None:
    inputs = torch.ones(4, 3)
    runs = {
        "": record(perceptron(), inputs, steps=1),
        "wide": record(nn.Sequential(nn.Linear(3, 90), nn.Linear(90, 2)), inputs, steps=5),
    }
    found = opened(make_page(runs).save(tmp_path / "runs.html"))
    about = found.page.locator(".about")
    assert about.inner_text() == (
        "Sequential with 26 parameters · trained on CrossEntropyLoss with SGD · one recorded step, 0"
    )
    assert found.page.locator("#runs th label").all_inner_texts() == ["run 1", "wide"]
    assert "learning rate" not in found.page.locator("#runs .words").inner_text(), "they are equal"
    found.page.get_by_label("Show the run wide").check()
    found.settle()
    assert about.inner_text() == (
        "Sequential with 542 parameters · trained on CrossEntropyLoss with SGD · 5 recorded steps, 0 to 4"
    )


def test_a_page_says_nothing_of_the_folders_of_who_made_it(tmp_path: Path) -> None:
    model = perceptron()
    with explainer.record(model, tmp_path / "secret", keep=()) as recorder:
        model(torch.ones(2, 3)).sum().backward()
        recorder.step()
    page = recorder.trace.page().html
    assert "the trace keeps no gradients" in page
    assert "secret" not in page


def test_a_reason_that_says_none_says_so_of_a_trace_in_memory() -> None:
    trace = record(perceptron(), torch.ones(2, 3))

    def refuse(*_: object) -> dict[str, object]:
        raise TraceError("its layer is None")

    assert or_why_not(refuse, trace, every(trace)) == {"missing": "its layer is None"}


def test_a_layer_called_loss_or_input_is_not_taken_for_the_loss_or_the_input(opened: Opened, tmp_path: Path) -> None:
    model = nn.Sequential()
    for name, layer in (("loss", nn.Linear(3, 4)), ("input", nn.Linear(4, 4)), ("out", nn.Linear(4, 2))):
        model.add_module(name, layer)
    trace = record(model, torch.ones(4, 3))
    found = opened(trace.page().save(tmp_path / "names.html"))
    titles = found.page.locator("#network .column:not(.end) .name").all_text_contents()
    assert titles[:3] == ["input", "loss (Linear)", "input (Linear)"]
    found.page.locator("#flow .layer").first.dispatch_event("pointerenter")
    found.settle()
    assert found.page.locator("#chain .operation.lit .type").all_inner_texts() == ["Linear"]
    found.page.locator("#network .column").nth(1).locator("circle").first.click()
    found.settle()
    assert found.numbers("chain")["chain.0.0.incoming"] == trace.gradients["loss"][0][0][0]


# Another language


def test_in_german_numbers_have_a_comma_and_are_the_same(opened: Opened, tmp_path: Path) -> None:
    trace = record(nn.Sequential(nn.Linear(3, 400), nn.Linear(400, 2)), torch.ones(4, 3))
    found = opened(trace.page(language="de").save(tmp_path / "de.html"), locale="en-US")
    assert found.numbers("clock")["clock.loss"] == trace.scalars["loss"][0]
    loss = found.page.locator("#clock .loss")
    assert re.fullmatch(r"\d,\d+", loss.inner_text())
    found.page.get_by_role("button", name="Alle Stellen").click()
    assert np.float32(loss.inner_text().replace(",", ".")) == np.float32(trace.scalars["loss"][0])
    assert "2.402 Parametern" in found.page.locator(".about").inner_text()
    assert not re.search(r"\d\.\d+(?!\d*\.)\b(?<!2\.402)", found.page.locator("#flow").inner_text())


# What is nowhere


def test_gradients_that_are_zero_in_every_step_have_bars_of_no_height(opened: Opened, tmp_path: Path) -> None:
    model = perceptron()
    with explainer.record(model) as recorder:
        for _ in range(2):
            loss = (model(torch.ones(2, 3)) * 0).sum()
            loss.backward()
            recorder.step(loss)
    found = opened(recorder.trace.page().save(tmp_path / "zero.html"))
    assert found.complaints == []
    assert found.numbers("flow")["flow.0"] == 0
    assert found.page.locator("#flow .bar").first.get_attribute("height") == "0"


def test_pixels_that_are_no_finite_numbers_are_dark_or_bright() -> None:
    image = np.array([[np.nan, -np.inf], [2.0, 4.0], [np.inf, 3.0]])
    assert limits(image) == (2.0, 4.0)
    assert tones(image, *limits(image)).tolist() == [[0, 0], [0, 255], [255, 128]]
    assert limits(np.full((2, 2), np.nan)) == (0.0, 1.0)


def test_the_page_of_a_run_on_images_that_are_nan_opens(opened: Opened, tmp_path: Path) -> None:
    trace = record(convolution(), torch.full((4, 1, 6, 6), torch.nan))
    found = opened(trace.page().save(tmp_path / "nan.html"))
    assert np.isnan(found.numbers("clock")["clock.loss"])
    assert found.complaints == []


def test_a_network_whose_probabilities_are_nan_is_not_said_to_be_right(opened: Opened, tmp_path: Path) -> None:
    model, images, labels = convolution(), torch.ones(2, 1, 6, 6), torch.tensor([0, 1])
    criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=float("inf"))
    with explainer.record(model, criterion=criterion, optimizer=optimizer, probe=(images, labels)) as recorder:
        for _ in range(2):
            optimizer.zero_grad()
            criterion(model(images), labels).backward()
            optimizer.step()
    found = opened(recorder.trace.page().save(tmp_path / "lost.html"))
    verdict = found.page.locator("#digit .verdict")
    assert verdict.inner_text() != ""
    found.show(1)
    assert np.isnan(found.numbers("digit")["digit.0"])
    assert verdict.inner_text() == ""


def test_activations_that_were_not_kept_are_a_dash_and_not_nan(opened: Opened, tmp_path: Path) -> None:
    trace = record(perceptron(), torch.ones(4, 3))
    model = perceptron()
    with explainer.record(model, keep=("activations",)) as recorder:
        loss = model(torch.ones(2, 3)).sum()
        loss.backward()
        recorder.step(loss)
    for each, wanted in ((trace, ["1", "1", "1"]), (recorder.trace, ["–", "–", "–"])):
        found = opened(each.page().save(tmp_path / "kept.html"))
        assert found.page.locator('#network [data-of^="network.input."] .inside').all_text_contents() == wanted


def test_the_name_of_the_dashed_line_keeps_away_from_a_curve_that_ends_below_it(opened: Opened, tmp_path: Path) -> None:
    model = perceptron()
    for parameter in model.parameters():
        nn.init.zeros_(parameter)  # it knows nothing
    found = opened(record(model, torch.ones(4, 3)).page().save(tmp_path / "flat.html"))
    line, name = found.page.locator("#loss .baseline"), found.page.locator("#loss .note")
    assert float(name.first.get_attribute("y") or "") < float(line.get_attribute("y1") or "")


# Notes of strangers


def test_notes_cannot_be_taken_for_arrays_of_the_page(opened: Opened, tmp_path: Path) -> None:
    model = perceptron()
    criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=0.1)
    with explainer.record(model, criterion=criterion, optimizer=optimizer) as recorder:
        recorder.note(settings={"array": ["Float64", 0, 0, 10**12]}, classes=["upper moon", "lower moon"])
        criterion(model(torch.ones(2, 3)), torch.tensor([0, 1])).backward()
        optimizer.step()
    found = opened(recorder.trace.page().save(tmp_path / "notes.html"))
    assert found.complaints == []
    names = found.page.locator('#network g[data-of^="network.2."] .name').all_text_contents()
    assert names == ["upper…", "lower…"], "they end alike"


def test_a_run_may_be_called_as_something_that_every_object_of_javascript_has(opened: Opened, tmp_path: Path) -> None:
    trace = record(perceptron(), torch.ones(4, 3))
    page = make_page({"constructor": trace, "__proto__": trace}, surface=make_surface({"__proto__": make_walk()}))
    found = opened(page.save(tmp_path / "named.html"))
    assert "not on the surface" in found.page.locator("#surface .values").inner_text()
    found.page.get_by_label("Show the run __proto__").check()
    found.settle()
    assert found.numbers("surface")["surface.plane"] == make_walk().plane_losses[0]
    assert found.complaints == []


# Feature maps


class SkippingOver(nn.Module):
    """What is at the beginning goes past the middle to the end."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.middle, self.end = nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 1), nn.Conv2d(4, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        early = self.first(x)
        scores: torch.Tensor = self.end(torch.cat([early, self.middle(early)], dim=1)).flatten(1)
        return scores


def test_the_way_past_layers_is_drawn_whole(opened: Opened, tmp_path: Path) -> None:
    found = opened(record(SkippingOver(), torch.rand(2, 1, 6, 4)).page().save(tmp_path / "skip.html"))
    ways = found.page.locator("#network .skip")
    assert ways.count() == 1
    assert ways.evaluate("way => way.getBBox().y") >= 1, "the picture is cut off above"


def convolution() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 12, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12 * 16, 2))


def test_a_convolutions_channels_are_drawn_as_the_recorded_maps(opened: Opened, tmp_path: Path) -> None:
    trace = record(convolution(), torch.linspace(-1, 1, 4 * 36).reshape(4, 1, 6, 6))
    found = opened(trace.page().save(tmp_path / "maps.html"))
    found.show(2)
    maps = found.page.locator("#network .picture-of")
    assert maps.count() == 1 + 8, "the input, and eight channels of twelve"
    drawn = [0, 2, 3, 5, 6, 8, 9, 11]
    recorded = np.stack([np.asarray(trace.activations["1"][step][0])[drawn] for step in range(len(trace))])
    for unit in range(8):
        pixels = json.loads(
            maps.nth(1 + unit).evaluate(
                "canvas => JSON.stringify([...canvas.getContext('2d').getImageData(0, 0, 4, 4).data])"
            )
        )
        share = recorded[2, unit][..., None] / np.abs(recorded).max()  # none is negative: this is behind a ReLU
        np.testing.assert_allclose(np.reshape(pixels, (4, 4, 4))[..., :3], WHITE + share * (BLUE - WHITE), atol=3)
    of_unit = found.page.locator('#network g[data-of="network.1.3"]')
    assert float(of_unit.get_attribute("data-value") or "") == recorded[2, 2].astype(np.float64).mean()
    assert found.complaints == []


def test_maps_keep_their_sign_and_share_one_scale() -> None:
    example = np.zeros((3, 2, 2))
    example[0, 0, 0], example[2, 1, 1] = 4.0, -2.0
    found = feature_maps([example, None], 0, np.array([0, 2]))
    assert found is not None
    assert (found["largest"], found["stride"]) == (4.0, 1)
    assert found["cells"].tolist() == [
        [[[255, 128], [128, 128]], [[128, 128], [128, 64]]],
        [[[128, 128], [128, 128]]] * 2,
    ]


def test_large_maps_are_shown_by_every_nth_cell_and_rows_of_numbers_are_none() -> None:
    found = feature_maps([np.ones((40, 25, 2))], 2, np.array([0, 1]))
    assert found is not None
    assert (found["stride"], found["cells"].shape) == (4, (1, 2, 10, 7))
    assert not has_maps((12, 1, 1))
    assert not has_maps((12, 40))
    assert feature_maps([None], 0, np.array([0])) is None
    assert feature_maps([np.ones((2, 3, 3)), np.ones((2, 4, 4))], 0, np.array([0])) is None


# Runs of different models


def test_a_lesson_whose_runs_are_of_different_models_has_a_page_without_a_surface(tmp_path: Path) -> None:
    runs = [lessons.record_lesson("moons", steps=2, activation=each).folder for each in ("tanh", "ReLU")]
    output = tmp_path / "moons.html"
    with pytest.raises(SystemExit) as end:
        cli.main(["page", *map(str, runs), "-o", str(output), "-q"])
    assert end.value.code == 0
    assert '"surface": {"missing": "", "shared": false}' in output.read_text(encoding="utf-8")


def test_of_different_models_the_page_says_that_they_share_no_surface(opened: Opened, tmp_path: Path) -> None:
    inputs = torch.ones(4, 3)
    runs = {"narrow": record(perceptron(), inputs), "one layer": record(nn.Sequential(nn.Linear(3, 2)), inputs)}
    found = opened(make_page(runs).save(tmp_path / "apart.html"))
    assert "no plane in common" in found.page.locator("[data-missing=surface]").inner_text()


# Many layers


def test_names_of_many_layers_stand_aslant_below_their_bars_apart_and_inside(opened: Opened, tmp_path: Path) -> None:
    model = nn.Sequential(*[nn.Sequential(nn.Linear(3, 3), nn.Tanh()) for _ in range(20)], nn.Linear(3, 2))
    found = opened(record(model, torch.ones(4, 3)).page().save(tmp_path / "deep.html"))
    names = found.page.locator("#flow .name.aslant")
    assert names.all_text_contents()[:3] == ["0.0", "0.1", "1.0"]
    assert names.count() == 41
    room = found.page.locator("#flow").bounding_box()
    history = found.page.locator("#flow .history").bounding_box()
    assert room is not None
    assert history is not None
    for place in (0, 20, 40):
        box = names.nth(place).bounding_box()
        assert box is not None
        assert room["x"] <= box["x"]
        assert box["x"] + box["width"] <= room["x"] + room["width"]
        assert box["y"] + box["height"] <= history["y"]
    few = opened(record(perceptron(), torch.ones(4, 3)).page().save(tmp_path / "few.html"))
    assert few.page.locator("#flow .name.aslant").count() == 0
