"""A figure that moves shows each recorded step, on one scale, in files that others can read."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from PIL import Image
from test_plots import record_classifier
from torch import nn

import explainer
from explainer import cli, plots
from explainer.cli import following
from explainer.errors import TraceError
from explainer.plots import animating
from explainer.trace import Trace


@pytest.fixture(scope="module")
def trace() -> Trace:
    return record_classifier(steps=(0, 2, 3, 5))


def watched(seen: list[Any]) -> Callable[..., Axes]:
    """Return a figure that keeps which step it was asked for, and its axes."""

    def draw(trace: Trace, *, step: int, **look: Any) -> Axes:
        axes = plots.gradient_flow(trace, step=step, **look)
        seen.append((step, axes))
        return axes

    return draw


def test_each_recorded_step_is_a_picture_on_the_scale_of_all(trace: Trace, tmp_path: Path) -> None:
    seen: list[Any] = []
    plots.animate(watched(seen), trace, tmp_path / "flow.gif", dpi=20)
    assert [step for step, _ in seen] == [0, 2, 3, 5] * 2
    alone = [axes.get_ylim() for _, axes in seen[:4]]
    together = {tuple(np.round(axes.get_ylim(), 12)) for _, axes in seen[4:]}
    assert len({tuple(np.round(each, 12)) for each in alone}) > 1
    assert together == {tuple(np.round((min(low for low, _ in alone), max(high for _, high in alone)), 12))}


def test_the_bars_are_each_steps_own_on_that_scale(trace: Trace, tmp_path: Path) -> None:
    seen: list[Any] = []
    plots.animate(watched(seen), trace, tmp_path / "flow.gif", dpi=20)
    for place, (_, axes) in enumerate(seen[4:]):
        heights = [bar.get_height() for bar in axes.containers[0]]
        norms = [trace.statistics["gradients"][layer]["norm"][place] for layer in trace.layers if layer != "0"]
        assert heights == pytest.approx(norms)


def test_a_long_run_shows_its_first_and_last_step_and_no_more_pictures_than_asked(
    trace: Trace, tmp_path: Path
) -> None:
    seen: list[Any] = []
    plots.animate(watched(seen), trace, tmp_path / "flow.gif", most=3, dpi=20)
    steps = [step for step, _ in seen[3:]]
    assert len(steps) == 3
    assert steps[0] == 0 and steps[-1] == 5


def test_a_gif_holds_its_last_picture_longer_and_starts_over(trace: Trace, tmp_path: Path) -> None:
    with Image.open(plots.animate(plots.gradient_flow, trace, tmp_path / "flow.gif", dpi=30)) as image:
        assert image.n_frames == 4
        assert image.info["loop"] == 0
        assert image.info["duration"] == 100
        image.seek(3)
        assert image.info["duration"] == 1600


def test_an_mp4_has_a_frame_for_each_step_and_a_second_and_a_half_of_the_last(trace: Trace, tmp_path: Path) -> None:
    path = plots.animate(plots.gradient_flow, trace, tmp_path / "flow.mp4", dpi=30)
    with av.open(str(path)) as film:
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert len(frames) == 4 + 15
    assert frames[0].shape == (134, 240, 3)  # of 135 rows, as the format wants even numbers


def test_a_page_holds_every_picture_its_step_and_its_words_and_asks_no_network(trace: Trace, tmp_path: Path) -> None:
    text = plots.animate(plots.gradient_flow, trace, tmp_path / "flow.html", dpi=30).read_text(encoding="utf-8")
    found = re.search(r"const data = (\{.*?\}), by", text)
    assert found
    data = json.loads(found[1])
    assert data["steps"] == ["step 0", "step 2", "step 3", "step 5"]
    assert len(data["images"]) == 4
    assert data["told"][3] == plots.describe(plots.gradient_flow(trace, step=5))
    assert "http" not in text.replace("http-equiv", "")
    assert "default-src 'none'" in text


def test_several_runs_are_shown_at_the_steps_that_all_have(trace: Trace, tmp_path: Path) -> None:
    other = record_classifier(steps=(0, 1, 3))
    seen: list[Any] = []
    plots.animate(watched(seen), {"one": trace, "other": other}, tmp_path / "flow.gif", dpi=20)
    assert [step for step, _ in seen[2:]] == [0, 3]


def test_a_figure_without_a_step_is_refused(trace: Trace, tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="the figure loss takes no step"):
        plots.animate(plots.loss, trace, tmp_path / "loss.gif")


def test_an_unknown_ending_is_refused_before_anything_is_drawn(trace: Trace, tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"\.mp4, \.gif, \.html"):
        plots.animate(plots.gradient_flow, trace, tmp_path / "flow.avi")


def test_nothing_unfinished_stays_where_drawing_fails(trace: Trace, tmp_path: Path) -> None:
    def draw(trace: Trace, *, step: int, **look: Any) -> Axes:
        if step == 3:
            raise TraceError("no third step")
        return plots.gradient_flow(trace, step=step, **look)

    with pytest.raises(TraceError, match="no third step"):
        plots.animate(draw, trace, tmp_path / "flow.gif", dpi=20)
    assert list(tmp_path.iterdir()) == []


def test_a_falling_axis_stays_a_falling_one() -> None:
    assert animating._hull([(10, 0), (12, 1)]) == (12, 0)
    assert animating._hull([(0, 10), (1, 12)]) == (0, 12)


# ── On the command line ──────────────────────────────────────────────────────────────────────────────────────────


def record(path: Path, steps: int) -> None:
    model = nn.Linear(2, 1)
    with explainer.record(model, path) as recorder:
        for _ in range(steps):
            loss = (model(torch.ones(4, 2)) ** 2).mean()
            loss.backward()
            recorder.step(loss)


def plot(*arguments: object) -> int:
    """Run `explainer plot`, and return its exit code."""
    with pytest.raises(SystemExit) as end:
        cli.main(["plot", *map(str, arguments)])
    assert isinstance(end.value.code, int)
    return end.value.code


def test_animate_writes_the_files_that_it_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(tmp_path / "run", 3)
    assert plot("gradient-flow", tmp_path / "run", "--animate", tmp_path / "flow.gif", "-q") == 0
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / "flow.gif")]
    assert (tmp_path / "flow.gif").exists()


def test_follow_waits_for_a_run_draws_it_and_ends_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            record(tmp_path / "run", 3)
        assert len(waits) < 20

    monkeypatch.setattr(time, "sleep", wait)
    drawn = tmp_path / "loss.png"
    assert plot("loss", tmp_path / "run", "--follow", "-o", drawn) == 0
    assert drawn.exists()
    assert len(waits) == 2


def test_follow_refreshes_what_it_has_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(tmp_path / "run", 2)
    lengths = iter((1, 1, 2))
    whole = explainer.open_trace(tmp_path / "run")

    class Going:
        finished = False
        steps = whole.steps

        def __len__(self) -> int:
            return self.length

        def refresh(self) -> None:
            self.length = next(lengths)
            self.finished = self.length == 2

        length = 0

    monkeypatch.setattr(following, "_opened", lambda *given: Going())
    seen = [len(traces["run"]) for traces in following._growing(("run",), lambda *told: None, lambda seconds: None)]
    assert seen == [1, 2]


def test_follow_refuses_a_lesson_which_does_not_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert plot("loss", "digits", "--follow", "-o", tmp_path / "loss.png") == 2
    assert "digits is a lesson" in capsys.readouterr().err


def test_follow_without_a_file_needs_a_window(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(tmp_path / "run", 1)
    assert plot("loss", tmp_path / "run", "--follow") == 2
    assert "name a file that is drawn again, such as -o loss.png" in capsys.readouterr().err
