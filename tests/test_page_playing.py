"""The page while it plays: one clock and one pulse at a time, whatever is clicked, and views out of sight follow."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from browser import Visit
from torch import nn

import explainer
from explainer.page import make_page
from explainer.trace import Trace

Opened = Callable[..., Visit]
PASS = "#network .controls button"
# Call what is done in each frame for so many frames; frames come when the test says so, in a time of its own.
FRAMES = """([count, each]) => {
  const seen = [];
  for (let frame = 0; frame < count; frame++) {
    window.nowIs += each;
    const asked = window.asked;
    window.asked = [];
    for (const call of asked) call && call(window.nowIs);
    lessonStore.flush();
    seen.push(window.told());
  }
  return seen;
}"""
OWN_TIME = """() => {
  window.nowIs = performance.now();
  window.asked = [];
  performance.now = () => window.nowIs;
  window.requestAnimationFrame = call => window.asked.push(call);
  window.cancelAnimationFrame = id => { window.asked[id - 1] = null; };
  window.told = () => [lessonStore.state.pulse, lessonStore.state.step, window.asked.filter(Boolean).length];
}"""


def record(*sizes: int, steps: int = 30, probe: bool = False) -> Trace:
    torch.manual_seed(0)
    model = nn.Sequential(*(nn.Linear(*pair) for pair in pairwise(sizes)))
    inputs, targets = torch.rand(6, 16), torch.arange(6) % 3
    criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=0.1)
    seen = (inputs, targets) if probe else None
    with explainer.record(model, criterion=criterion, optimizer=optimizer, probe=seen) as recorder:
        recorder.note(image_shape=[4, 4])
        for _ in range(steps):
            optimizer.zero_grad()
            criterion(model(inputs), targets).backward()
            optimizer.step()
    return recorder.trace


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    traces = {"shallow": record(16, 3, probe=True), "constructor": record(16, 8, 8, 3, steps=20)}
    return make_page(traces).save(tmp_path_factory.mktemp("playing") / "runs.html")


@pytest.fixture
def found(runs: Path, opened: Opened) -> Visit:
    visit = opened(runs)
    visit.page.evaluate(OWN_TIME)
    return visit


def frames(visit: Visit, count: int, each: float = 100) -> list[list[float]]:
    told: list[list[float]] = visit.page.evaluate(FRAMES, [count, each])
    return told


def click(visit: Visit, selector: str) -> None:
    visit.page.evaluate("selector => document.querySelector(selector).click()", selector)


def test_a_pass_begun_again_begins_at_the_input_and_the_first_one_ends(found: Visit) -> None:
    click(found, PASS)
    before = [pulse for pulse, *_ in frames(found, 6)]
    assert before == sorted(before)
    assert before[-1] > 0.5
    click(found, PASS)
    after = frames(found, 6)
    assert [asked for *_, asked in after] == [1] * 6, "two passes went on beside each other"
    assert after[-1][0] < 1


def test_a_pass_ends_when_another_run_is_chosen_or_the_clock_begins(found: Visit) -> None:
    click(found, PASS)
    frames(found, 3)
    click(found, "#runs input[value='1']")
    assert [pulse for pulse, *_ in frames(found, 4)] == [None] * 4
    click(found, PASS)
    frames(found, 3)
    click(found, "#clock .play")
    assert [pulse for pulse, *_ in frames(found, 3)][-1] is None
    assert found.page.locator("#network .unreached, #network .unreturned").count() == 0


def test_stopped_and_begun_again_within_a_frame_the_clock_runs_once(found: Visit) -> None:
    click(found, "#clock .play")
    frames(found, 2)
    click(found, "#clock .play")
    click(found, "#clock .play")
    assert frames(found, 3)[-1][2] == 1, "one call for the next frame"


def test_a_window_out_of_sight_for_an_hour_goes_on_where_it_was(found: Visit) -> None:
    click(found, "#clock .play")
    (_, before, _), *_ = frames(found, 1)
    (_, after, _), *_ = frames(found, 1, 3_600_000)
    assert after - before < 3
    assert after < 29


def test_views_out_of_sight_follow_when_another_run_is_chosen_while_it_plays(runs: Path, opened: Opened) -> None:
    visit = opened(runs, viewport={"width": 700, "height": 260})
    page = visit.page
    page.wait_for_timeout(50)
    page.evaluate(
        """async () => {
        const frame = () => new Promise(requestAnimationFrame);
        for (let step = 1; step < 4; step++) { lessonStore.set({ step }); await frame(); }
        document.querySelector("#runs input[value='1']").click();
        await frame();
        lessonStore.rest();
        }"""
    )
    assert visit.complaints == []
    assert page.locator("#chain .operation").count() == 4
    assert page.locator("#digit .absent").is_visible()
    assert visit.numbers("network")["network.loss"] == visit.numbers("clock")["clock.loss"]


def test_a_student_who_asks_for_a_step_that_there_is_not_gets_the_nearest(opened: Opened, runs: Path) -> None:
    found = opened(runs)
    slider = found.page.locator("#slider")
    last = str(slider.get_attribute("max"))
    for wanted, shown in (("1e6", last), ("-3", "0"), ("1.4", "1"), ("NaN", "0")):
        found.page.evaluate(f"() => {{ lessonStore.set({{ step: {wanted} }}); lessonStore.rest(); }}")
        assert slider.input_value() == shown
    assert found.complaints == []
