"""docs/films.md: its film runs and draws recorded numbers, and its commands and tables are true."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("manim")

from click.testing import CliRunner
from filmed import boxes, outside, overlaps, run

import explainer
from explainer import flow, render
from explainer.cli import explainer as command
from explainer.lessons import record_lesson
from explainer.mobjects.bars import Bars
from explainer.mobjects.trace_scene import TraceScene

PAGE = (Path(__file__).parent.parent / "docs" / "films.md").read_text(encoding="utf-8")
(FILM,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_pages_film_is_short_and_draws_what_was_recorded() -> None:
    assert len(FILM.partition("class ")[2].splitlines()) <= 25
    names: dict[str, object] = {"__name__": "film"}
    exec(compile(FILM, "docs/films.md", "exec"), names)
    kind = names["WhereItLearns"]
    assert isinstance(kind, type) and issubclass(kind, TraceScene)
    trace = record_lesson("digits")
    film = run(kind, trace=trace)
    bars = next(part for each in film.mobjects for part in each.get_family() if isinstance(part, Bars))
    np.testing.assert_array_equal(bars.values, flow.gradient_norms(trace)[:, -1])
    assert [name for name, _ in film.beats] == ["first step", "training"]
    assert (outside(film, boxes(film)), list(overlaps(boxes(film)))) == ([], [])


def test_the_pages_film_stays_in_the_frame_for_a_network_of_many_layers() -> None:
    names: dict[str, object] = {"__name__": "film"}
    exec(compile(FILM, "docs/films.md", "exec"), names)
    kind = names["WhereItLearns"]
    assert isinstance(kind, type) and issubclass(kind, TraceScene)
    model = nn.Sequential(*[layer for _ in range(12) for layer in (nn.Linear(4, 4), nn.Tanh())])
    optimizer, criterion = torch.optim.SGD(model.parameters(), lr=0.1), nn.MSELoss()
    with explainer.record(model, criterion=criterion, optimizer=optimizer) as recorder:
        criterion(model(torch.ones(2, 4)), torch.zeros(2, 4)).backward()
        optimizer.step()
    film = run(kind, rate=1, trace=recorder.trace)
    assert (outside(film, boxes(film)), list(overlaps(boxes(film)))) == ([], [])


def test_the_pages_film_is_found_by_explainer_render(tmp_path: Path) -> None:
    (tmp_path / "film.py").write_text(FILM, encoding="utf-8")
    assert [(each.name, each.lesson) for each in render.scenes_of(tmp_path / "film.py")] == [
        ("WhereItLearns", "digits")
    ]


def test_every_command_of_the_page_has_options_that_there_are() -> None:
    lines = re.findall(r"^explainer (render .*?)(?:  +#.*)?$", PAGE, re.MULTILINE)
    assert len(lines) >= 7
    told = CliRunner().invoke(command, ["render", "--help"]).output
    for line in lines:
        assert [word for word in shlex.split(line) if word.startswith("--") and word not in told] == []


def test_every_film_of_the_lecture_is_in_the_table_of_what_it_shows() -> None:
    table = PAGE.partition("Which films show which runs")[2].partition("## A film")[0]
    assert set(re.findall(r"`([A-Z]\w+)`", table)) == set(render.find_scenes())
