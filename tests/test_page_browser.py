"""The page in a real browser: its numbers are the trace's, it asks nobody for anything, and everybody can use it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from browser import Visit
from surfaces import make_surface, make_walk
from torch import nn

import explainer
from explainer import lessons, theme
from explainer.page import make_page
from explainer.stages import stages
from explainer.surface import Surface
from explainer.trace import Trace

pytestmark = pytest.mark.slow

STEPS = {"first": 0, "middle": 7, "last": -1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def digits() -> Trace:
    return lessons.record_lesson("digits", steps=16)


@pytest.fixture(scope="module")
def surface(digits: Trace) -> Surface:
    """A surface made by hand, whose walk has the trace's steps."""
    path = np.column_stack([np.linspace(1.5, 0, len(digits)), np.linspace(-0.7, 0.1, len(digits)) ** 2])
    walk = replace(make_walk(path, gap=path[:, 0] / 7), steps=digits.steps, off_plane=path[:, 1] / 3)
    return make_surface({"walk": walk})


@pytest.fixture(scope="module")
def small() -> Trace:
    return lessons.record_lesson("two-layer", steps=20)


@pytest.fixture(scope="module")
def digits_page(digits: Trace, surface: Surface, folder: Path) -> Path:
    return make_page(digits, surface=surface).save(folder / "digits.html")


@pytest.fixture(scope="module")
def small_page(small: Trace, folder: Path) -> Path:
    return make_page(small).save(folder / "small.html")


@pytest.fixture(scope="module")
def visit(chromium: Any, digits_page: Path) -> Iterator[Visit]:
    found = Visit(chromium, digits_page)
    yield found
    found.close()


@pytest.fixture(scope="module")
def small_visit(chromium: Any, small_page: Path) -> Iterator[Visit]:
    found = Visit(chromium, small_page)
    yield found
    found.close()


def place(trace: Trace, index: int) -> int:
    return index % len(trace)


# The numbers


@pytest.mark.parametrize("index", STEPS.values(), ids=STEPS)
def test_the_clock_and_the_loss_show_the_recorded_step(index: int, visit: Visit, digits: Trace) -> None:
    visit.show(place(digits, index))
    assert visit.numbers("clock") == {"clock.step": digits.steps[index], "clock.loss": digits.scalars["loss"][index]}
    shown = visit.numbers("loss")
    assert shown["loss.loss"] == digits.scalars["loss"][index]
    assert shown["loss.probe_loss"] == digits.scalars["probe_loss"][index]
    np.testing.assert_equal(shown["loss.test_accuracy"], digits.scalars["test_accuracy"][index])


@pytest.mark.parametrize("index", STEPS.values(), ids=STEPS)
def test_every_layers_gradient_is_the_recorded_norm(index: int, visit: Visit, digits: Trace) -> None:
    visit.show(place(digits, index))
    shown = visit.numbers("flow")
    norms = {layer: digits.statistics["gradients"][layer]["norm"][index] for layer in digits.layers}
    assert {layer: shown[f"flow.{layer}"] for layer in digits.layers} == norms
    assert shown["flow.share"] == norms["0"] / norms["5"]


@pytest.mark.parametrize("index", STEPS.values(), ids=STEPS)
def test_every_unit_has_its_recorded_activation_and_gradient(index: int, visit: Visit, digits: Trace) -> None:
    visit.show(place(digits, index))
    shown = visit.page.evaluate(
        "() => [...document.querySelectorAll('#network g[data-of]')]"
        ".map(e => [e.dataset.of, Number(e.dataset.value), Number(e.dataset.gradient)])"
    )
    seen = 0
    for stage in stages(digits.model)[1:]:
        values = np.asarray(digits.activations[stage.output][index][0])
        values = np.exp(values.astype(np.float64)) if stage.output == "5" else values
        gradients = digits.gradients[stage.output][index][0]
        for name, value, gradient in shown:
            layer, _, unit = name.removeprefix("network.").rpartition(".")
            if layer == stage.output:
                assert (value, gradient) == (values[int(unit)], gradients[int(unit)])
                seen += 1
    assert seen == len(shown) == 16 + 16 + 10
    assert visit.numbers("network")["network.loss"] == digits.scalars["loss"][index]


def test_a_fill_is_the_themes_colour_of_the_number_and_a_ring_as_wide_as_its_gradient(
    visit: Visit, digits: Trace
) -> None:
    visit.show(9)
    found = visit.page.evaluate(
        """() => [...document.querySelectorAll('#network g[data-of^="network.5."]')].map(unit => [
        getComputedStyle(unit.querySelector('.unit')).fill,
        parseFloat(getComputedStyle(unit.querySelector('.ring')).strokeWidth),
        getComputedStyle(unit.querySelector('.ring')).strokeDasharray])"""
    )
    values = np.exp(np.asarray(digits.activations["5"])[:, 0].astype(np.float64))
    gradients = digits.gradients["5"][9][0]
    for unit, (fill, width, dash) in enumerate(found):
        share = round(64 * values[9, unit] / values.max()) / 64
        wanted = theme.blend(theme.LIGHT.zero, theme.POSITIVE, share)
        assert np.allclose([int(part) for part in re.findall(r"\d+", fill)], theme_rgb(wanted), atol=1)
        size = abs(gradients[unit]) / np.abs(gradients).max()
        assert width == pytest.approx(0.4 + 3.4 * size if size else 0, abs=0.051)
        assert (dash != "none") == (gradients[unit] < 0)
    assert len({fill for fill, *_ in found}) > 3


def theme_rgb(colour: str) -> list[int]:
    return [int(colour[at : at + 2], 16) for at in (1, 3, 5)]


@pytest.mark.parametrize("index", STEPS.values(), ids=STEPS)
def test_a_unit_that_is_pointed_at_tells_its_numbers(index: int, visit: Visit, digits: Trace) -> None:
    visit.show(place(digits, index))
    visit.page.locator('#network g[data-of="network.3.0"]').dispatch_event("pointerenter")
    shown = visit.numbers("network")
    assert shown["network.value"] == digits.activations["3"][index][0][0]
    assert shown["network.gradient"] == digits.gradients["3"][index][0][0]


@pytest.mark.parametrize("index", STEPS.values(), ids=STEPS)
def test_a_digits_probabilities_are_those_that_torch_makes_of_the_recorded_scores(
    index: int, visit: Visit, digits: Trace
) -> None:
    visit.show(place(digits, index))
    visit.page.locator('#digit input[value="4"]').check(force=True)
    visit.settle()
    shown = visit.numbers("digit")
    assert digits.probe is not None
    log_probabilities = torch.tensor(np.asarray(digits.probe.activations["5"][index][4], np.float64))
    found = torch.tensor([shown[f"digit.{digit}"] for digit in range(10)], dtype=torch.float64)
    torch.testing.assert_close(found, log_probabilities.exp(), rtol=1e-15, atol=0)
    assert shown["digit.right"] == shown["digit.4"] == float(np.exp(np.float64(log_probabilities[4])))


@pytest.mark.parametrize("index", STEPS.values(), ids=STEPS)
def test_the_walk_on_the_map_tells_the_surfaces_own_losses(
    index: int, visit: Visit, digits: Trace, surface: Surface
) -> None:
    visit.show(place(digits, index))
    walk = surface.walk
    assert visit.numbers("surface") == {
        "surface.loss": walk.true_losses[index],
        "surface.plane": walk.plane_losses[index],
        "surface.gap": walk.gap[index],
        "surface.off": walk.off_plane[index],
    }
    where = visit.page.evaluate(
        "() => { const dot = document.querySelector('#surface .map .here');"
        " return [dot.getAttribute('cx'), dot.getAttribute('cy')].map(Number); }"
    )
    assert np.isfinite(where).all()


@pytest.mark.parametrize("index", STEPS.values(), ids=STEPS)
def test_incoming_times_local_is_what_the_next_layer_recorded(index: int, small_visit: Visit, small: Trace) -> None:
    small_visit.show(place(small, index))
    small_visit.page.locator(".operation", has_text="Sigmoid").click()
    small_visit.settle()
    shown = small_visit.numbers("chain")
    y = small.activations["S"][index][0]
    for unit in range(4):
        incoming, local = small.gradients["S"][index][0][unit], y[unit] * (1 - y[unit])
        assert shown[f"chain.{unit}.0.incoming"] == incoming
        assert shown[f"chain.{unit}.0.local"] == pytest.approx(local, rel=1e-15)
        assert shown[f"chain.{unit}.total"] == incoming * shown[f"chain.{unit}.0.local"]
        assert shown[f"chain.{unit}.recorded"] == small.gradients["L1"][index][0][unit]
        assert shown[f"chain.{unit}.total"] == pytest.approx(shown[f"chain.{unit}.recorded"], rel=1e-12)


@pytest.mark.parametrize("index", STEPS.values(), ids=STEPS)
def test_a_weights_gradient_is_incoming_times_what_the_layer_was_given(
    index: int, small_visit: Visit, small: Trace
) -> None:
    small_visit.show(place(small, index))
    small_visit.page.locator(".operation", has_text="L1").click()
    small_visit.page.get_by_label("to L1.weight").check(force=True)
    small_visit.settle()
    shown = small_visit.numbers("chain")
    rows = small_visit.page.locator("#chain tbody th").all_inner_texts()
    assert rows == [f"L1.weight[{row}, {column}]" for row in range(4) for column in range(2)]
    for at, (row, column) in enumerate(np.ndindex(4, 2)):
        assert shown[f"chain.{at}.0.incoming"] == small.gradients["L1"][index][0][row]
        assert shown[f"chain.{at}.0.local"] == small.inputs[index][0][column]
        assert shown[f"chain.{at}.recorded"] == small.parameter_gradients["L1.weight"][index][row, column]


def test_of_a_large_layer_the_largest_products_are_shown_and_the_rest_is_told(visit: Visit, digits: Trace) -> None:
    visit.show(0)
    visit.page.locator(".operation").nth(2).click()
    visit.settle()
    shown = visit.numbers("chain")
    W, incoming = digits.parameters["2.weight"][0].astype(float), digits.gradients["2"][0][0].astype(float)
    for row, text in enumerate(visit.page.locator("#chain tbody th").all_inner_texts()):
        unit = int(text.removeprefix("1[").removesuffix("]"))
        whole = sum(shown[f"chain.{row}.{term}.product"] for term in range(4)) + shown[f"chain.{row}.rest"]
        assert whole == pytest.approx(incoming @ W[:, unit], rel=1e-9, abs=1e-12)
        assert shown[f"chain.{row}.total"] == pytest.approx(digits.gradients["1"][0][0][unit], rel=1e-3, abs=1e-8)
    assert row == 5


def test_who_wants_all_digits_reads_them(opened: Callable[..., Visit], small_page: Path, small: Trace) -> None:
    found = opened(small_page)
    found.show(7)
    loss = found.page.locator('[data-of="clock.loss"]')
    assert len(loss.inner_text()) < 8
    found.page.get_by_role("button", name="All digits").click()
    assert float(loss.inner_text()) == small.scalars["loss"][7]
    found.show(8)
    assert float(loss.inner_text()) == small.scalars["loss"][8]
    loss.hover()
    assert loss.get_attribute("title") == repr(float(small.scalars["loss"][8]))
    found.page.get_by_role("button", name="All digits").click()
    assert len(loss.inner_text()) < 8


def test_a_number_of_float32_is_read_back_as_it_from_the_fewest_digits(visit: Visit, digits: Trace) -> None:
    visit.show(9)
    loss = visit.page.locator('[data-of="clock.loss"]')
    loss.hover()
    recorded = np.float32(digits.scalars["loss"][9])
    assert np.float32(loss.get_attribute("title")) == recorded
    assert len(str(loss.get_attribute("title"))) <= 11


# Nothing from outside


def test_no_request_leaves_and_nothing_complains(visit: Visit, small_visit: Visit) -> None:
    for each in visit, small_visit:
        assert each.requests == []
        assert each.complaints == []


def test_the_policy_forbids_what_a_page_could_ask_for(opened: Callable[..., Visit], small_page: Path) -> None:
    found = opened(small_page, offline=False)
    refused = found.page.evaluate(
        "() => fetch('https://example.com/').then(() => 'answered', error => error.constructor.name)"
    )
    assert refused == "TypeError"
    assert any("Content Security Policy" in said for said in found.complaints)


def test_a_layer_called_like_markup_stays_text(opened: Callable[..., Visit], folder: Path) -> None:
    evil = "</script><img src=x onerror=harmed=1>"
    model = nn.Sequential()
    model.add_module(evil, nn.Linear(3, 4))
    model.add_module("<!--", nn.Linear(4, 2))
    criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=0.1)
    with explainer.record(model, criterion=criterion, optimizer=optimizer) as recorder:
        recorder.note(data="<script>harmed=2</script>", classes=["<b>", "&amp;"], lesson=evil)
        for _ in range(3):
            optimizer.zero_grad()
            criterion(model(torch.ones(5, 3)), torch.tensor([0, 1, 0, 1, 0])).backward()
            optimizer.step()
    page = make_page(recorder.trace, title=evil).save(folder / "evil.html")
    found = opened(page)
    assert found.complaints == []
    assert found.page.evaluate("() => window.harmed") is None
    assert found.page.locator("img").count() == 0
    assert found.page.title() == evil
    assert found.page.locator("h1").inner_text() == evil
    assert evil in found.page.locator(".operation .symbol").all_inner_texts()


# For everybody


def test_with_the_keyboard_alone_one_plays_steps_and_chooses(opened: Callable[..., Visit], digits_page: Path) -> None:
    found = opened(digits_page)
    press, step = found.page.keyboard.press, lambda: found.page.locator("#slider").input_value()
    press("ArrowRight")
    press("ArrowRight")
    found.settle()
    assert step() == "2"
    press("End")
    found.settle()
    assert step() == found.page.locator("#slider").get_attribute("max")
    press("Home")
    press("Space")
    found.settle()
    assert found.page.locator(".play").get_attribute("aria-label") == "Pause"
    press("Space")
    reached = walk_by_tab(found)
    assert {
        "BUTTON scheme",
        "BUTTON play",
        "INPUT slider",
        "SELECT speed",
        "g column",
        "g layer",
        "INPUT turn",
    } <= reached
    assert {"INPUT image", "BUTTON operation"} <= reached


def walk_by_tab(visit: Visit) -> set[str]:
    """Go through all that has focus, each of which has a name for who does not see it."""
    reached: dict[str, None] = {}
    for _ in range(120):
        visit.page.keyboard.press("Tab")
        name, what, label = visit.page.evaluate(
            """() => { const e = document.activeElement;
            const of = [...(e.labels ?? [])].map(label => label.textContent);
            const labels = [e.getAttribute('aria-label'), e.textContent, ...of];
            return [e.tagName, e.id || e.name || e.classList[0] || '', labels.filter(Boolean).join(' ').trim()
              || (e.labels?.[0]?.querySelector('[aria-label]')?.getAttribute('aria-label') ?? '')]; }"""
        )
        if name == "BODY":
            break
        assert label, f"{name} {what} has focus and no name"
        reached[f"{name} {what}"] = None
    return set(reached)


def test_a_columns_units_are_told_by_arrow_keys(opened: Callable[..., Visit], digits_page: Path, digits: Trace) -> None:
    found = opened(digits_page)
    found.page.locator("#network .column").nth(3).focus()
    found.page.keyboard.press("ArrowDown")
    found.page.keyboard.press("ArrowDown")
    found.settle()
    assert found.numbers("network")["network.value"] == np.exp(np.float64(digits.activations["5"][0][0][1]))
    assert found.page.locator("#slider").input_value() == "0"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(scheme: str, opened: Callable[..., Visit], digits_page: Path, small_page: Path) -> None:
    from axe_playwright_python.sync_playwright import Axe

    for page in digits_page, small_page:
        found = opened(page, color_scheme=scheme)
        violations = Axe().run(found.page).response["violations"]
        assert [(each["id"], each["impact"], each["nodes"][0]["html"][:200]) for each in violations] == []


@pytest.mark.parametrize("width", [360, 740])
def test_on_a_phone_nothing_has_to_be_pushed_aside(width: int, opened: Callable[..., Visit], digits_page: Path) -> None:
    found = opened(digits_page, viewport={"width": width, "height": 740})
    assert found.page.evaluate("() => document.documentElement.scrollWidth") == width


def test_pointing_at_a_layer_lights_it_in_every_picture(visit: Visit) -> None:
    visit.page.locator("#flow .layer").nth(2).dispatch_event("pointerenter")
    visit.settle()
    assert visit.page.locator("#network .column.lit").count() == 1
    assert visit.page.locator("#flow .layer.lit").count() == 1
    assert visit.page.locator("#flow .values").inner_text().splitlines()[-1].startswith("2, Linear: 0.0")
    assert visit.page.locator("#chain .operation.lit .symbol").inner_text() == "2"
    visit.page.locator("#flow .layer").nth(2).dispatch_event("pointerleave")
    visit.settle()
    assert visit.page.locator(".lit").count() == 0


def test_a_click_on_a_layer_shows_its_chain_rule(opened: Callable[..., Visit], small_page: Path, small: Trace) -> None:
    found = opened(small_page)
    pressed = found.page.locator("#chain .operation[aria-pressed=true] .symbol")
    assert pressed.inner_text() == "ℓ"
    found.page.locator("#network .column").nth(2).locator("circle").first.click()
    found.settle()
    assert pressed.inner_text() == "L2"
    assert found.numbers("chain")["chain.0.0.incoming"] == small.gradients["L2"][0][0][0]
    found.page.locator("#flow .layer").nth(1).focus()
    found.page.keyboard.press("Enter")
    found.settle()
    assert pressed.inner_text() == "S"
    found.page.locator("#network .column.end").click()
    found.settle()
    assert pressed.inner_text() == "ℓ"


def test_one_pass_goes_forward_and_back_and_ends(opened: Callable[..., Visit], small_page: Path) -> None:
    found = opened(small_page, reduced_motion="reduce")
    found.page.get_by_role("button", name="Play one pass").click()
    found.settle()
    assert found.page.locator("#network .unreached").count() == 3
    assert found.page.evaluate(
        "() => document.querySelector('.flashes').getContext('2d')"
        ".getImageData(0, 0, 600, 300).data.every(each => each === 0)"
    ), "where motion is not wanted, nothing flies"
    found.page.wait_for_function("() => !document.querySelector('.unreturned')", timeout=15_000)


# Several runs, and what a trace lacks


def test_one_chooses_between_runs_and_every_picture_follows(opened: Callable[..., Visit], folder: Path) -> None:
    runs = {rate: lessons.record_lesson("two-layer", steps=6, learning_rate=float(rate)) for rate in ("0.1", "0.5")}
    found = opened(make_page(runs).save(folder / "runs.html"))
    found.show(3)
    assert found.numbers("runs")["runs.1.last"] == runs["0.5"].scalars["loss"][-1]
    found.page.get_by_label("Show the run 0.5").check()
    found.settle()
    assert found.numbers("clock") == {"clock.step": 3, "clock.loss": runs["0.5"].scalars["loss"][3]}
    assert found.numbers("flow")["flow.S"] == runs["0.5"].statistics["gradients"]["S"]["norm"][3]
    assert found.numbers("chain")["chain.0.recorded"] == runs["0.5"].gradients["L2"][3][0][0]
    assert found.complaints == []


def test_where_only_some_runs_have_something_to_show_the_others_say_so(
    opened: Callable[..., Visit], small: Trace, folder: Path
) -> None:
    found = opened(make_page({"bare": bare(), "whole": small}).save(folder / "some.html"))
    assert found.page.locator("#network .absent").is_visible()
    assert not found.page.locator("#network .scroller").is_visible()
    for run, absent in (("whole", False), ("bare", True), ("whole", False)):
        found.page.get_by_label(f"Show the run {run}").check()
        found.settle()
        for view in ("loss", "network", "chain"):
            assert found.page.locator(f"#{view} .absent").is_visible() == absent
    assert found.numbers("chain")["chain.0.recorded"] == small.gradients["L2"][0][0][0]
    assert found.page.locator("#network .column").count() == 4
    assert found.complaints == []


def bare() -> Trace:
    """Record a run of which nothing is kept but statistics, and no loss."""
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with explainer.record(model, optimizer=optimizer, keep=()) as recorder:
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.ones(5, 3)).sum().backward()
            optimizer.step()
    return recorder.trace


def test_what_a_trace_lacks_is_told_in_a_sentence_in_the_pages_language(
    opened: Callable[..., Visit], folder: Path
) -> None:
    found = opened(bare().page(language="de").save(folder / "bare.html"))
    told = dict(
        found.page.locator("[data-missing]").evaluate_all("all => all.map(e => [e.dataset.missing, e.innerText])")
    )
    assert set(told) == {"loss", "network", "digit", "chain", "surface"}
    assert "mit probe=(images, labels) aufzeichnen" in told["digit"]
    assert found.page.locator("#flow").is_visible()
    assert found.complaints == []


def test_in_a_notebook_it_is_a_frame_that_may_run_its_script_and_nothing_else(
    opened: Callable[..., Visit], small: Trace, folder: Path
) -> None:
    notebook = folder / "notebook.html"
    frame = small.page()._repr_html_()
    notebook.write_text(f"<!DOCTYPE html><html data-ready='1'><body>{frame}</body></html>", encoding="utf-8")
    found = opened(notebook)
    inside = found.page.frame_locator("iframe")
    inside.locator("#clock").wait_for()
    assert inside.locator('[data-of="clock.loss"]').get_attribute("data-value") == str(small.scalars["loss"][0])
    assert found.page.locator("iframe").get_attribute("sandbox") == "allow-scripts"
    assert found.complaints == []
