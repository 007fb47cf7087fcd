"""A notebook shows what was recorded, and what it shows again is what was recorded since."""

from __future__ import annotations

import base64
import re
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from test_plots import record_classifier
from torch import nn

import explainer
from explainer.errors import ExplainerWarning, TraceError
from explainer.integrations import jupyter
from explainer.trace import Trace


@pytest.fixture(scope="module")
def trace() -> Trace:
    return record_classifier()


def test_the_summary_shows_each_layer_its_last_gradient_and_two_pictures(trace: Trace) -> None:
    html = trace._repr_html_()
    for layer in ("1", "2", "3"):
        assert f"{trace.statistics['gradients'][layer]['norm'][-1]:.3g}" in html
    assert f"loss {trace.scalars['loss'][0]:.4g} → {trace.scalars['loss'][-1]:.4g}" in html
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    assert [base64.b64decode(each)[:4] for each in pictures] == [b"\x89PNG"] * 2
    assert 'alt="Does it learn?' in html


def test_the_summary_says_what_is_missing_and_why(trace: Trace) -> None:
    html = trace._repr_html_()
    for name in trace.missing:
        assert name in html


def test_a_layers_name_is_text_and_never_markup() -> None:
    model = nn.Sequential()
    model.add_module("<img src=x onerror=alert(1)>", nn.Linear(2, 1))
    with explainer.record(model) as recorder:
        loss = model(torch.ones(1, 2)).sum()
        loss.backward()
        recorder.step(loss)
    assert "<img src=x" not in recorder.trace._repr_html_()


def test_a_trace_without_a_step_is_summarised_too() -> None:
    with pytest.warns(ExplainerWarning, match="no step was recorded"), explainer.record(nn.Linear(2, 1)) as recorder:
        pass
    assert "no recorded step yet" in recorder.trace._repr_html_()


class Shown:
    """What a notebook's cell shows."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.changed = threading.Event()

    def update(self, html: Any) -> None:
        self.texts.append(html.data)
        self.changed.set()


def test_a_run_that_goes_on_is_drawn_again_until_it_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = Shown()
    monkeypatch.setattr("IPython.display.display", lambda *objects, **more: shown)
    model = nn.Linear(2, 1)
    watching = explainer.watch(tmp_path / "run", "loss", every=0.01)
    with explainer.record(model, tmp_path / "run") as recorder:
        for _ in range(3):
            loss = (model(torch.ones(4, 2)) ** 2).mean()
            loss.backward()
            recorder.step(loss)
    watching._thread.join(60)
    assert not watching._thread.is_alive()
    assert "3 recorded steps, 0 to 2" in shown.texts[-1]
    assert "data:image/png;base64," in shown.texts[-1]


def test_watching_can_be_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("IPython.display.display", lambda *objects, **more: Shown())
    watching = explainer.watch(tmp_path / "never")
    watching.stop()
    assert not watching._thread.is_alive()


def test_a_figure_of_a_surface_cannot_be_watched(trace: Trace) -> None:
    with pytest.raises(TraceError, match="mountain is drawn of a surface"):
        explainer.watch(trace, "mountain")


def test_a_figure_that_there_is_not_is_refused_with_the_nearest(trace: Trace) -> None:
    with pytest.raises(TraceError, match="Did you mean 'loss'"):
        jupyter.watch(trace, "los")
