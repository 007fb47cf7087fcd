"""Runs of a lesson on the command line: all at once, one of them, and by the name LESSON/RUN."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import explainer
from explainer import lessons
from explainer.cli.record import record_one
from explainer.cli.traces import runs_of, trace_of
from explainer.errors import ExplainerError, LessonError, TraceError


def record(*arguments: object) -> Result:
    return CliRunner().invoke(record_one, list(map(str, arguments)))


def quietly(what: str, share: float, word: str) -> None:
    """Show no progress."""


def test_all_runs_are_recorded_each_into_a_folder_of_its_own(tmp_path: Path) -> None:
    done = record("trough", "-o", tmp_path / "trough", "--steps", 5)
    assert done.exit_code == 0
    folders = sorted(path.name for path in (tmp_path / "trough").iterdir())
    assert folders == ["0.1", "0.9", "1.0", "1.1"]
    assert f"{tmp_path / 'trough' / '0.9'}  (α = 0.9: recorded in" in done.output
    traces = runs_of(str(tmp_path / "trough"), quietly)
    assert list(traces) == ["α = 0.1", "α = 0.9", "α = 1.0", "α = 1.1"]
    assert [trace.scalars["learning_rate"][0] for trace in traces.values()] == [0.1, 0.9, 1.0, 1.1]
    with pytest.raises(TraceError, match=r"holds the traces of several runs, of which one is wanted: .*0\.1, .*1\.1$"):
        trace_of(str(tmp_path / "trough"), quietly)


def test_one_run_is_recorded_by_its_word_or_its_name(tmp_path: Path) -> None:
    for number, name in enumerate(("to-the-left", "to the left")):
        done = record("two-weights", "--run", name, "-o", tmp_path / str(number), "--steps", 3, "--json")
        told = json.loads(done.output)
        assert told["folder"] == str(tmp_path / str(number))
        assert told["notes"]["run"] == "to the left"
        assert told["notes"]["settings"]["w1"] == -0.7


def test_json_tells_of_all_runs_by_their_names() -> None:
    told = json.loads(record("two-weights", "--steps", 3, "--json").output)
    assert list(told["runs"]) == ["to the right", "to the left"]
    assert told["runs"]["to the left"]["steps"]["count"] == 3


def test_a_setting_in_which_runs_differ_makes_one_run(tmp_path: Path) -> None:
    told = json.loads(record("trough", "--learning-rate", 0.25, "--steps", 3, "-o", tmp_path / "one", "--json").output)
    assert told["notes"]["settings"] == {"learning_rate": 0.25, "start": 1.0, "steps": 3}
    assert told["notes"]["run"] is None
    with pytest.raises(LessonError, match="its runs differ in 'learning_rate', which cannot be chosen for all of them"):
        lessons.record_runs("trough", learning_rate=0.25)


def test_further_settings_are_read_in_the_kind_of_their_default(tmp_path: Path) -> None:
    options = ("--set", "optimizer=Adam", "--set", "w1=-3", "--steps", 3, "-o", tmp_path / "run", "--json")
    settings = json.loads(record("ravine", *options).output)["notes"]["settings"]
    assert (settings["optimizer"], settings["w1"]) == ("Adam", -3.0)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("ravine --set w1=deep", "w1=deep is no finite number; the default is -4.0"),
        ("ravine --set w1=inf", "w1=inf is no finite number"),
        ("sine --set width=2.5", "width=2.5 is no whole number; the default is 64"),
        ("ravine --set optimiser=Adam", "no setting is called 'optimiser'. Did you mean 'optimizer'"),
        ("ravine --set learning_rate=1", "'learning_rate' has an option of its own: --learning-rate 1"),
        ("depth --run gelu", "no run is called 'gelu'"),
        ("digits --run first", "lesson 'digits': no run is called 'first'. There is: none"),
    ],
)
def test_what_cannot_be_chosen_is_said(arguments: str, complaint: str) -> None:
    answer = record(*arguments.split())
    assert isinstance(answer.exception, ExplainerError)
    assert complaint in str(answer.exception)


def test_a_setting_without_a_value_is_wrong_use() -> None:
    answer = record("ravine", "--set", "w1")
    assert answer.exit_code == 2
    assert "'w1' gives no value: it is NAME=VALUE" in answer.output


def test_a_trace_is_named_by_its_lesson_and_run() -> None:
    left = trace_of("two-weights/to-the-left", quietly)
    assert left.notes["run"] == "to the left"
    assert trace_of("two-weights", quietly).notes["run"] == "to the right"
    assert list(runs_of("two-weights", quietly)) == ["to the right", "to the left"]
    assert list(runs_of("two-weights/to-the-left", quietly)) == ["to the left"]
    with pytest.raises(LessonError, match=r"no run is called 'up'\. There is: 'to-the-right', 'to-the-left'"):
        trace_of("two-weights/up", quietly)


def test_a_folder_goes_before_a_lesson_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lessons.record_lesson("two-layer", tmp_path / "trough", steps=2)
    assert trace_of("trough", quietly).notes["lesson"] == "two-layer"


def test_the_first_run_is_that_of_the_default_settings() -> None:
    for lesson in lessons.LESSONS.values():
        runs = list(lesson.runs)
        assert lesson.run_of(lesson.settings) == (runs[0] if runs else None)
        assert len({lessons.word_of(run) for run in runs}) == len(runs)
        for run in runs:
            assert lesson.run_called(lessons.word_of(run)) == run
            assert lesson.run_of(lesson.with_settings(run=run)) == run


def test_runs_recorded_into_a_folder_are_those_of_record_runs(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    traces = lessons.record_runs(
        "two-weights", tmp_path / "runs", steps=2, progress=lambda done, total: told.append((done, total))
    )
    assert [trace.folder for trace in traces.values()] == [
        tmp_path / "runs" / word for word in ("to-the-right", "to-the-left")
    ]
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert list(lessons.record_runs("two-layer", steps=2)) == ["two-layer"]
    assert isinstance(next(iter(traces.values())), explainer.Trace)
