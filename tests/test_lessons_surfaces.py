"""A lesson's surfaces: its problem is made again from its trace alone, and what was computed is found again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call

import explainer
from explainer import lessons
from explainer.lessons import surfaces

pytestmark = pytest.mark.slow


@pytest.fixture
def own_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EXPLAINER_RUNS", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", sorted(lessons.LESSONS))
def test_a_trace_says_what_made_it_and_its_problem_can_be_made_again(name: str) -> None:
    """At the first recorded weights, the problem's loss is the one recorded: where all data are in each step."""
    few: dict[str, Any] = {"epochs": 1} if "epochs" in lessons.LESSONS[name].settings else {"steps": 2}
    trace = lessons.record_lesson(name, **few)
    assert trace.notes["lesson"] == name
    assert trace.notes["settings"] == {**lessons.LESSONS[name].settings, **few}
    assert trace.notes["data"]
    model, criterion, (inputs, targets) = lessons.problem_of(trace)
    weights = {parameter: torch.from_numpy(values[0]) for parameter, values in trace.parameters.items()}
    for parameter, start in model.named_parameters():
        assert torch.equal(start, weights[parameter]), "the model is the untrained one"
    whole_set = name not in ("digits", "two-layer", "depth")
    seen = (inputs, targets) if whole_set else first_batch(name, trace, (inputs, targets))
    loss = criterion(functional_call(model, weights, (seen[0],)), seen[1])
    assert float(loss) == pytest.approx(trace.scalars["loss"][0], rel=1e-6)
    assert len(inputs) == len(targets)


def first_batch(name: str, trace: explainer.Trace, data: tuple[torch.Tensor, torch.Tensor]) -> Any:
    if name == "two-layer":
        return data[0][:1], data[1][:1]
    seed = {"digits": 3, "depth": 0}[name]
    order = torch.randperm(len(data[0]), generator=torch.Generator().manual_seed(seed))[:64]
    return data[0][order], data[1][order]


def test_a_trace_of_no_lesson_says_what_to_do() -> None:
    model, criterion = nn.Linear(2, 1), nn.MSELoss()
    with explainer.record(model, criterion=criterion) as recorder:
        criterion(model(torch.ones(3, 2)), torch.zeros(3, 1)).backward()
        recorder.step()
    for ask in (lessons.problem_of, lessons.lesson_surface, lessons.lesson_slice, lessons.lesson_sequence):
        with pytest.raises(explainer.TraceError, match=r"of no lesson.*loss_surface\(model, criterion, data.*--model"):
            ask(recorder.trace)


def test_a_lessons_surface_is_that_of_a_plain_loop() -> None:
    trace = lessons.record_lesson("two-layer", steps=30)
    surface = lessons.lesson_surface(trace, resolution=(5, 4))
    assert (surface.plane, surface.losses.shape) == ("pca", (4, 5))
    model, criterion, (inputs, targets) = lessons.problem_of(trace)
    for row, v in enumerate(surface.v):
        for column, u in enumerate(surface.u):
            weights = {name: torch.from_numpy(values) for name, values in surface.weights_at(u, v).items()}
            loss = criterion(functional_call(model, weights, (inputs,)), targets)
            assert surface.losses[row, column] == pytest.approx(float(loss), rel=1e-12)
    assert surface.notes["lesson"] == "two-layer"
    assert surface.notes["examples"] == "two numbers and their difference"


def test_a_surface_is_computed_once_and_found_again_by_its_settings(
    own_runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = lessons.record_lesson("two-layer", steps=10)
    first = lessons.lesson_surface(trace, resolution=3)
    (folder,) = (own_runs / "surfaces").iterdir()
    assert folder.name.startswith("two-layer-surface-")
    monkeypatch.setattr(surfaces, "_common_problem", lambda traces: pytest.fail("it was computed again"))
    again = lessons.lesson_surface(lessons.record_lesson("two-layer", steps=10), resolution=3)
    np.testing.assert_array_equal(again.losses, first.losses)
    np.testing.assert_array_equal(again.walk.true_losses, first.walk.true_losses)
    monkeypatch.undo()
    monkeypatch.setenv("EXPLAINER_RUNS", str(own_runs))
    changed: list[dict[str, Any]] = [
        {"resolution": 4},
        {"plane": "random"},
        {"plane": "random", "seed": 1},
        {"span": 2.0},
        {"plane": [np.eye(1, 17)[0], np.eye(1, 17, 1)[0]]},
        {"plane": [np.eye(1, 17)[0], np.eye(1, 17, 2)[0]]},
    ]
    found = [lessons.lesson_surface(trace, **{"resolution": 3, **each}) for each in changed]
    found.append(lessons.lesson_surface(lessons.record_lesson("two-layer", steps=11), resolution=3))
    assert len(list((own_runs / "surfaces").iterdir())) == 1 + len(found)
    assert not np.array_equal(found[4].losses, found[5].losses)


def test_a_surface_with_a_metric_is_computed_each_time_since_two_functions_may_share_a_name(own_runs: Path) -> None:
    trace = lessons.record_lesson("two-layer", steps=10)
    ones, twos = (
        lessons.lesson_surface(trace, resolution=3, metrics={"constant": lambda outputs, targets, n=n: n})
        for n in (1.0, 2.0)
    )
    assert (ones.metrics["constant"] == 1).all()
    assert (twos.metrics["constant"] == 2).all()
    assert not list(own_runs.glob("surfaces/*"))


def test_an_interrupted_run_of_the_same_settings_has_a_surface_of_its_own(own_runs: Path) -> None:
    whole, part = (lessons.record_lesson("two-layer", steps=steps) for steps in (12, 10))
    part.notes["settings"] = whole.notes["settings"]
    assert [len(lessons.lesson_surface(trace, resolution=3).walk) for trace in (whole, part)] == [12, 10]


def test_a_damaged_surface_is_computed_again(own_runs: Path) -> None:
    trace = lessons.record_lesson("two-layer", steps=10)
    first = lessons.lesson_surface(trace, resolution=3)
    (folder,) = (own_runs / "surfaces").iterdir()
    (folder / "surface.safetensors").write_bytes(b"gone")
    np.testing.assert_array_equal(lessons.lesson_surface(trace, resolution=3).losses, first.losses)
    assert [path.name for path in (own_runs / "surfaces").iterdir()] == [folder.name]


def test_an_interrupted_computation_leaves_nothing_that_would_be_found(own_runs: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    trace = lessons.record_lesson("two-layer", steps=10)
    with pytest.raises(KeyboardInterrupt):
        lessons.lesson_surface(trace, resolution=3, progress=interrupt)
    assert not list(own_runs.glob("surfaces/*"))
    assert lessons.lesson_surface(trace, resolution=3).losses.shape == (3, 3)


def test_finding_a_surface_loads_no_torch() -> None:
    lessons.lesson_surface("two-layer", resolution=3)
    lessons.lesson_sequence("two-layer", resolution=3, steps=2)
    lessons.lesson_slice("trough")
    code = (
        "import sys; from explainer import lessons;"
        "lessons.lesson_surface('two-layer', resolution=3);"
        "lessons.lesson_sequence('two-layer', resolution=3, steps=2);"
        "lessons.lesson_slice('trough');"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_sequence_holds_the_surface_around_the_weights_of_each_step() -> None:
    trace = lessons.record_lesson("two-layer")
    sequence = lessons.lesson_sequence(trace, resolution=3, steps=[0, 100, 199])
    assert sequence.steps.tolist() == [0, 100, 199]
    for surface, step in zip(sequence, sequence.steps, strict=True):
        for name, values in surface.weights_at(0, 0).items():
            np.testing.assert_array_equal(values, trace.parameters[name][trace.index_of(int(step))])
    np.testing.assert_allclose(sequence.step_losses, [trace.scalars["probe_loss"][step] for step in (0, 100, 199)])


def test_a_slice_of_a_lesson_goes_through_the_weights_of_its_step() -> None:
    trace = lessons.record_lesson("two-layer")
    found = lessons.lesson_slice(trace, step=7, resolution=5)
    assert found.loss == pytest.approx(trace.scalars["probe_loss"][7])
    assert found.step == 7


def test_runs_of_one_lesson_share_a_surface_and_runs_of_different_models_do_not() -> None:
    runs = lessons.record_runs("two-weights")
    surface = lessons.lesson_surface(runs, resolution=3)
    assert list(surface.walks) == ["to the right", "to the left"]
    one, other = (lessons.record_lesson("sine", run=run, steps=2) for run in ("tanh", "relu"))
    with pytest.raises(explainer.TraceError, match="'one' and 'other' differ in their model, so that they have no"):
        lessons.lesson_surface({"one": one, "other": other}, resolution=3)
    mixed = {"right": runs["to the right"], "line": lessons.record_lesson("line")}
    with pytest.raises(explainer.TraceError, match="differ in their model and data"):
        lessons.lesson_surface(mixed, resolution=3)
    with pytest.raises(explainer.TraceError, match="no trace was given"):
        lessons.lesson_surface({})


def test_a_plane_that_a_lesson_cannot_have_is_refused() -> None:
    with pytest.raises(explainer.SurfaceError, match="lesson 'trough' has one weight, which makes no surface"):
        lessons.lesson_surface(lessons.record_lesson("trough"))
    with pytest.raises(explainer.SurfaceError, match=r"plane='weights' is for models of two, not for .* 'two-layer'"):
        lessons.lesson_surface("two-layer", plane="weights")


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_computed(
    own_runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = lessons.record_lesson("two-layer", steps=10)
    (own_runs / "surfaces").write_text("a file where a folder should be")
    monkeypatch.setattr(surfaces, "_common_problem", lambda traces: pytest.fail("it was computed"))
    with pytest.raises(explainer.SurfaceError, match=r"surfaces cannot be written: .*; set EXPLAINER_RUNS"):
        lessons.lesson_surface(trace, resolution=3)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"steps": 2, "hidden": 4}, "no setting is called 'hidden'"),
        ({"seed": "four"}, "seed='four' is of another kind than its default, 0"),
        ({"seed": True}, "seed=True is of another kind"),
        ({"learning_rate": float("nan")}, "learning_rate=nan is of another kind than its default, 0.1"),
    ],
)
def test_a_trace_whose_settings_are_none_of_the_lessons_makes_no_problem(
    settings: dict[str, Any], complaint: str
) -> None:
    trace = lessons.record_lesson("two-layer", steps=2)
    trace.notes["settings"] = settings
    with pytest.raises(explainer.LessonError, match=complaint):
        lessons.problem_of(trace)


def test_making_a_problem_again_downloads_nothing(tmp_path: Path) -> None:
    trace = lessons.record_lesson("digits", steps=1)
    trace.notes["settings"] = {"data": "mnist", "data_dir": str(tmp_path / "empty"), "download": True}
    with pytest.raises(explainer.LessonError, match="holds no MNIST/raw"):
        lessons.problem_of(trace)
    assert not (tmp_path / "empty").exists()
