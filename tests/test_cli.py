"""The command line does what it says, ends with the code that it promises, and answers bad input with a sentence."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from surfaces import make_sequence, make_slice, make_surface
from torch import nn

import explainer
from explainer import cli, diagnosis, doctor, lessons
from explainer import render as studio
from explainer.cli import demo, speech
from explainer.cli.info import sparkline
from explainer.cli.render import complain
from explainer.render import Film, SceneFile
from explainer.trace import Trace

needs_manim = pytest.mark.skipif(
    find_spec("manim") is None, reason="manim is not installed: pip install 'explainer[films]'"
)


class Answer(NamedTuple):
    """What a command answered."""

    code: int
    out: str
    err: str


Call = Callable[..., Answer]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Run the command line in this process."""

    def run(*arguments: object) -> Answer:
        with pytest.raises(SystemExit) as end:
            cli.main([str(argument) for argument in arguments])
        assert isinstance(end.value.code, int)
        return Answer(end.value.code, *capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def trace() -> Trace:
    return lessons.record_lesson("two-layer")


def start(*arguments: object, code: str = "", **options: Any) -> subprocess.Popen[str]:
    """Start the command line as a process, after some Python of the test's own."""
    program = f"{code}\nfrom explainer.cli import main\nmain({[str(argument) for argument in arguments]!r})"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen([sys.executable, "-c", program], text=True, **pipes)


# The whole


def test_without_arguments_it_says_what_there_is(call: Call) -> None:
    code, out, err = call()
    assert (code, err) == (0, "")
    commands = re.findall(r"^  (\w+) {2,}\S", out.partition("Commands:")[2], re.MULTILINE)
    assert commands == ["demo", "record", "info", "plot", "surface", "render", "page", "verify", "doctor"]


@pytest.mark.parametrize("command", [(), *((name,) for name in cli.explainer.commands)])
def test_every_command_has_help(command: tuple[str, ...], call: Call) -> None:
    code, out, _ = call(*command, "--help")
    assert code == 0
    assert out.startswith("Usage: explainer")


def test_its_version_is_the_packages(call: Call) -> None:
    assert explainer.__version__ in call("--version").out


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [(["--help"], set()), (["plot", "--list"], set()), (["render", "--list"], set()), (["info", "{trace}"], {"numpy"})],
)
def test_what_needs_no_heavy_package_loads_none(arguments: list[str], allowed: set[str], trace: Trace) -> None:
    after = "import atexit, sys; atexit.register(lambda: print(*{name.partition('.')[0] for name in sys.modules}))"
    out, err = start(*(argument.format(trace=trace.folder) for argument in arguments), code=after).communicate()
    assert err == ""
    heavy = {"torch", "matplotlib", "manim", "numpy", "pandas", "sklearn"}
    assert set(out.splitlines()[-1].split()) & heavy == allowed


# Bad input: one sentence and an exit code


def record_small(folder: Path, **options: Any) -> Path:
    model, criterion = nn.Sequential(nn.Linear(3, 4), nn.Sigmoid(), nn.Linear(4, 2)), nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with explainer.record(model, folder, criterion=criterion, optimizer=optimizer, **options):
        for _ in range(3):
            optimizer.zero_grad()
            criterion(model(torch.ones(5, 3)), torch.zeros(5, 2)).backward()
            optimizer.step()
    return folder


def without_shard(folder: Path) -> None:
    (folder / "000000.safetensors").unlink()


def truncated(folder: Path) -> None:
    shard = folder / "000000.safetensors"
    shard.write_bytes(shard.read_bytes()[:-100])


def altered(folder: Path) -> None:
    shard = folder / "000000.safetensors"
    whole = bytearray(shard.read_bytes())
    whole[len(whole) // 2 :: 997] = bytes(byte ^ 1 for byte in whole[len(whole) // 2 :: 997])
    shard.write_bytes(whole)


def newer(folder: Path) -> None:
    about = json.loads((folder / "trace.json").read_text())
    (folder / "trace.json").write_text(json.dumps({**about, "format": 99}))


def emptied(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def replaced(folder: Path) -> None:
    emptied(folder)
    (folder / "notes.txt").write_text("not a trace")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (without_shard, "shard 000000 is missing; restore it from a copy, or record again"),
        (truncated, "cannot be read; the file is truncated or altered"),
        (altered, "altered|are not those that were written|truncated"),
        (newer, "is a trace of format 99; this version reads up to"),
        (emptied, "is empty, so it is not a trace"),
        (replaced, "holds no trace.json, so it is not a trace"),
        (shutil.rmtree, "there is no such folder"),
    ],
)
@pytest.mark.parametrize("command", [("info", "{}"), ("plot", "loss", "{}", "-o", "x.svg")])
def test_a_damaged_trace_gets_a_sentence(
    command: tuple[str, ...], damage: Callable[[Path], None], sentence: str, call: Call, tmp_path: Path
) -> None:
    folder = record_small(tmp_path / "run")
    damage(folder)
    code, out, err = call(*(each.format(folder) for each in command))
    assert (code, out) == (2, "")
    assert re.fullmatch(rf"explainer: .*({sentence}).*\n", err)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("plto", r"explainer: no command is called 'plto'\. Did you mean 'plot'\?"),
        ("record", r"explainer record: which lesson\? There is: digits, two-layer, "),
        ("record dgits", r"no lesson is called 'dgits'\. Did you mean 'digits'\?"),
        ("record digits --preset lectur", r"no preset is called 'lectur'\. Did you mean 'lecture'\?"),
        ("record two-layer --epochs 3", r"lesson 'two-layer': no setting is called 'epochs'"),
        ("record two-layer --steps many", r"explainer record: .*'many' is not a valid integer"),
        ("record two-layer --wrong", r"explainer record: No such option '?--wrong"),
        ("record digits --data cifar", r"lesson 'digits' has no data 'cifar': it is 'sklearn' or 'mnist'"),
        ("info", r"explainer info: Missing argument 'TRACE'"),
        ("info two-lawyer", r"no folder 'two-lawyer' that would be a trace.* Did you mean 'two-layer'"),
        ("info no/where", r"no/where: there is no such folder"),
        ("plot", r"explainer plot: which FIGURE of which TRACE\? Figures: loss, gradient-flow, gradient-history, "),
        ("plot loss two-layer", r"explainer plot: where to\? Name a file: -o loss\.svg"),
        ("plot los two-layer -o x.svg", r"no figure is called 'los'\. Did you mean 'loss'\?"),
        ("plot loss two-layer -o x.jpg", r"x\.jpg: a figure is written as \.svg, \.pdf or \.png"),
        ("plot loss two-layer -o x.svg --step 1", r"the figure loss takes no --step; it takes none of these options"),
        ("plot gradient-flow two-layer -o x.svg --example 1", r"takes no --example; it takes --step, --measure"),
        ("plot gradient-flow two-layer -o x.svg --step 500", r"step 500 was not recorded; the nearest is 199"),
        ("plot gradient-flow two-layer -o x.svg --measure mien", r"Did you mean 'mean'"),
        ("plot loss two-layer -o x.svg --theme drak", r"no theme is called 'drak'\. Did you mean 'dark'\?"),
        ("plot classification two-layer -o x.svg", r"the probe's targets are float64"),
        ("render", r"explainer render: which scene\? There is: .*ChainRule"),
        ("render ChainRul", r"no scene is called 'ChainRul'\. Did you mean 'ChainRule'\?"),
        ("render ChainRule --quality hgih", r"no quality is called 'hgih'\. Did you mean 'high'\?"),
        ("render ChainRule --format mp3", r"no format is called 'mp3'\. Did you mean 'mp4'"),
        ("render ChainRule --format mp4 --transparent", r"an MP4 cannot be transparent"),
        ("demo --quality hgih", r"no quality is called 'hgih'\. Did you mean 'high'\?"),
    ],
)  # fmt: skip
def test_wrong_use_gets_a_sentence_with_the_nearest_right_word(
    arguments: str, sentence: str, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trace: Trace
) -> None:
    assert trace.folder is not None
    monkeypatch.setenv("EXPLAINER_RUNS", str(trace.folder.parent.resolve()))
    monkeypatch.chdir(tmp_path)
    code, out, err = call(*arguments.split())
    assert (code, out) == (2, "")
    assert re.search(sentence, err)
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_unforeseen_exception_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "checks", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli.main(["doctor"])


# record


def test_a_lesson_is_recorded_and_found_again(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPLAINER_RUNS", str(tmp_path))
    code, out, err = call("record", "two-layer", "--steps", 5)
    (folder,) = tmp_path.iterdir()
    assert (code, err) == (0, "")
    assert re.fullmatch(rf"{folder}  \(recorded in \d+\.\d s: 5 steps, loss \S+ → \S+, \d.*B\)\n", out)
    assert f"{folder}  (recorded before: 5 steps" in call("record", "two-layer", "--steps", 5).out
    assert call("record", "two-layer", "--steps", 5, "--quiet") == (0, f"{folder}\n", "")
    assert "recorded in" in call("record", "two-layer", "--steps", 5, "--again").out


def test_settings_reach_the_lesson_and_json_tells_what_came_of_it(call: Call, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    told = json.loads(call("record", "two-layer", "--steps", 4, "--learning-rate", 0.5, "-o", folder, "--json").out)
    recorded = explainer.open_trace(folder)
    assert told["folder"] == str(folder)
    assert told["recorded_now"] is True
    assert told["steps"] == {"count": 4, "first": 0, "last": 3}
    assert told["scalars"]["loss"]["last"] == recorded.scalars["loss"][-1]
    assert recorded.scalars["learning_rate"].tolist() == [0.5] * 4


def test_a_folder_that_is_taken_is_refused_before_anything_is_trained(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = record_small(tmp_path / "run")
    before = (folder / "trace.json").read_bytes()
    monkeypatch.setattr(lessons, "import_module", lambda name: pytest.fail(f"{name} was loaded to train"))
    answer = call("record", "two-layer", "-o", folder)
    assert answer == (
        2,
        "",
        f"explainer: {folder} holds a trace already: choose another folder, or replace it: again=True, --again\n",
    )
    assert (folder / "trace.json").read_bytes() == before
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("dear")
    assert (
        "holds something that is not a trace" in call("record", "two-layer", "-o", tmp_path / "letters", "--again").err
    )


def test_a_trace_is_replaced_when_that_is_asked_for(call: Call, tmp_path: Path) -> None:
    folder = record_small(tmp_path / "run")
    assert call("record", "two-layer", "--steps", 2, "-o", folder, "--again", "-q") == (0, f"{folder}\n", "")
    assert explainer.open_trace(folder).layers == ("L1", "S", "L2")


def test_the_lessons_are_listed_with_settings_and_presets(call: Call) -> None:
    out = call("record", "--list").out
    assert all(f"{lesson.name}: {lesson.says}" in out for lesson in lessons.LESSONS.values())
    assert re.search(r"--seed +0\n", out)
    assert re.search(r"--preset lecture +learning rate 0.003, steps 4690\n", out)
    told = {lesson["name"]: lesson["settings"] for lesson in json.loads(call("record", "--list", "--json").out)}
    assert told["digits"]["learning_rate"] == 0.05


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_keeps_what_was_recorded_and_says_where(number: signal.Signals, tmp_path: Path) -> None:
    """The signal is sent from within the training, at step 20, so that no clock decides the outcome."""
    interrupting = f"""
import os
from explainer.cli import traces
from explainer import lessons
record = lessons.record_lesson
def interrupted(*given, progress, **settings):
    return record(*given, progress=lambda done, total: done == 20 and os.kill(os.getpid(), {int(number)}), **settings)
lessons.record_lesson = interrupted
"""
    out, err = (process := start("record", "two-layer", "-o", tmp_path / "run", code=interrupting)).communicate()
    kept = tmp_path / "run-interrupted"
    assert (process.returncode, out) == (128 + number, "")
    assert err.strip() == f"explainer: interrupted; the trace of steps 0 to 19 lies in {kept}"
    trace = explainer.open_trace(kept)
    assert np.isfinite(np.asarray(trace.activations["L1"])).all()
    assert [path.name for path in tmp_path.iterdir()] == ["run-interrupted"]


# info


def test_info_says_what_the_trace_holds(call: Call, trace: Trace) -> None:
    code, out, err = call("info", trace.folder)
    assert (code, err) == (0, "")
    assert "Sequential, 17 parameters, trained on MSELoss with SGD" in out
    assert "200 recorded steps, 0 to 199" in out
    for name, kind, shape, parameters in (
        ("L1", "Linear", "1×4", "12"),
        ("S", "Sigmoid", "1×4", ""),
        ("L2", "Linear", "1×1", "5"),
    ):
        norm = trace.statistics["gradients"][name]["norm"][-1]
        assert re.search(rf"^{name} +{kind} +{shape} +{parameters} +{norm:.3g}$", out, re.MULTILINE)
    assert re.search(r"^learning_rate +0\.1 +0\.1 +always the same", out, re.MULTILINE)
    assert "a probe of 64 examples" in out
    assert "bouncing" not in out


def test_info_says_what_is_wrong_with_a_run_when_asked(call: Call, trace: Trace) -> None:
    code, out, err = call("info", "--diagnose", trace.folder)
    assert (code, err) == (0, "")
    for found in diagnosis.findings(trace):
        assert f"{found.kind}: {found.severity}: {found.words}" in " ".join(out.split())
    told = json.loads(call("info", "--diagnose", "--json", trace.folder).out)["findings"]
    assert [each["kind"] for each in told] == list(diagnosis.KINDS)


def test_info_as_json_is_the_trace(call: Call, trace: Trace) -> None:
    told = json.loads(call("info", trace.folder, "--json").out)
    assert [layer["name"] for layer in told["layers"]] == list(trace.layers)
    assert [layer["output_shape"] for layer in told["layers"]] == [[1, 4], [1, 4], [1, 1]]
    losses = trace.scalars["loss"]
    assert told["scalars"]["loss"] == {
        "first": losses[0],
        "last": losses[-1],
        "smallest": losses.min(),
        "largest": losses.max(),
    }
    assert told["bytes"] == sum(path.stat().st_size for path in Path(told["folder"]).iterdir())
    assert told["finished"] is True


def test_info_says_what_is_missing_and_why(call: Call, tmp_path: Path) -> None:
    model = nn.ModuleDict({"used": nn.Linear(2, 2), "spare": nn.Linear(2, 2)})
    model.forward = lambda inputs: model["used"](inputs)  # type: ignore[method-assign]
    with explainer.record(model, tmp_path / "run") as recorder:
        model(torch.ones(1, 2)).sum().backward()
        recorder.step()
    out = call("info", tmp_path / "run").out
    assert "spare: no activation: the layer was not called" in out
    assert "loss: no backward pass came through a criterion" in out
    assert re.search(r"^spare +Linear +not called +6 +none$", out, re.MULTILINE)


def test_info_says_which_functions_no_module_sees_and_which_names_are_tied(call: Call, tmp_path: Path) -> None:
    model = nn.ModuleDict({"one": nn.Linear(2, 2), "two": nn.Linear(2, 2), "three": nn.Linear(2, 2)})
    model["three"].weight = model["one"].weight
    model.forward = lambda inputs: model["three"](  # type: ignore[method-assign]
        model["two"](model["one"](inputs).exp()).exp()
    )
    with explainer.record(model, tmp_path / "run") as recorder:
        model(torch.ones(1, 2)).sum().backward()
        recorder.step()
    out = call("info", tmp_path / "run").out
    assert "ExpBackward0: before two and 1 more" in out
    assert "three.weight: one.weight" in out
    told = json.loads(call("info", tmp_path / "run", "--json").out)
    assert told["tied"] == {"three.weight": "one.weight"}
    assert [layer["unseen"] for layer in told["layers"]] == [[], ["ExpBackward0"], ["ExpBackward0"]]


def test_info_of_a_run_that_goes_on_says_so(call: Call, tmp_path: Path) -> None:
    folder = record_small(tmp_path / "run")
    about = json.loads((folder / "trace.json").read_text())
    (folder / "trace.json").write_text(json.dumps({**about, "finished": False, "shards": None}))
    assert "not finished: the run goes on, or was stopped" in call("info", folder).out


def test_a_trace_may_be_named_by_its_lesson(call: Call, trace: Trace) -> None:
    assert call("info", "two-layer").out.startswith(f"{trace.folder}\n")


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ([0, 1, 2, 3, 4, 5, 6, 7], "▁▂▃▄▅▆▇█"),
        ([5, 5, 5], "▁▁▁"),
        ([1, float("nan"), 0, float("inf")], "█ ▁ "),
        ([], ""),
        ([float("nan")], " "),
        ([0] * 40 + [7] * 40, "▁" * 20 + "█" * 20),
    ],
)  # fmt: skip
def test_a_sparkline_is_as_high_as_its_numbers(values: list[float], line: str) -> None:
    assert sparkline(values) == line


# plot


def test_a_figure_is_written_to_each_file_named(call: Call, trace: Trace, tmp_path: Path) -> None:
    files = [tmp_path / "new" / name for name in ("flow.svg", "flow.pdf", "flow.png")]
    outputs = [word for file in files for word in ("-o", file)]
    assert call("plot", "gradient-flow", trace.folder, *outputs, "--step", 3) == (
        0,
        "".join(f"{file}\n" for file in files),
        "",
    )
    assert [file.read_bytes()[:5] for file in files] == [b"<?xml", b"%PDF-", b"\x89PNG\r"]
    assert ">step 3 (recorded: 0 to 199)" in files[0].read_text(encoding="utf-8")


def test_json_names_the_files(call: Call, trace: Trace, tmp_path: Path) -> None:
    file = tmp_path / "loss.svg"
    told = json.loads(call("plot", "loss", trace.folder, "-o", file, "--json").out)
    assert told == {"figure": "loss", "files": [{"file": str(file), "bytes": file.stat().st_size}]}


def test_the_figure_is_the_same_whatever_the_users_matplotlib_looks_like(
    call: Call, trace: Trace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import matplotlib as mpl

    call("plot", "loss", trace.folder, "-o", tmp_path / "plain.svg")
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red", "font.family": "serif"}):
        call("plot", "loss", trace.folder, "-o", tmp_path / "gaudy.svg")
        assert mpl.rcParams["font.size"] == 30
    assert (tmp_path / "plain.svg").read_bytes() == (tmp_path / "gaudy.svg").read_bytes()


def test_the_figures_are_listed_with_their_questions(call: Call) -> None:
    from explainer.plots import FIGURES

    listed = call("plot", "--list").out.splitlines()
    assert re.search("(?m)^gradient-flow +How much of the gradient reaches each layer[?]$", "\n".join(listed))
    assert len({re.search(" {3,}", line + "   ").end() for line in listed}) == 1  # questions stand below each other
    names = [name.replace("_", "-") for name in FIGURES]
    assert [each["name"] for each in json.loads(call("plot", "--list", "--json").out)] == names


def test_options_that_only_some_figures_take_reach_them(call: Call, trace: Trace, tmp_path: Path) -> None:
    file = tmp_path / "it.svg"
    for figure, options, said in [
        ("gradient-distribution", ("--over", "steps", "--layer", "L2"), "layer L2  Linear"),
        ("update-ratios", ("--per", "parameter"), "a curve for each of 4 parameters"),
        ("weights", ("--layer", "L2", "--step", 0), "L2.weight"),
    ]:
        assert call("plot", figure, trace.folder, *options, "-o", file).code == 0
        assert said in file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("figure", "made", "title"),
    [
        ("surface", make_surface, "Where did training walk?"),
        ("mountain", make_surface, "Which way is up, and which way did it go?"),
        ("slice", make_slice, "What does one step see?"),
        ("surface-sequence", make_sequence, "What does each step see?"),
    ],
)
def test_a_surface_that_was_saved_is_drawn_from_its_folder(
    figure: str, made: Any, title: str, call: Call, tmp_path: Path
) -> None:
    made().save(tmp_path / "saved")
    code, out, err = call("plot", figure, tmp_path / "saved", "-o", tmp_path / "it.svg")
    assert (code, out, err) == (0, f"{tmp_path / 'it.svg'}\n", "")
    assert f">{title}</text>" in (tmp_path / "it.svg").read_text(encoding="utf-8")


def test_a_lessons_surface_is_computed_once_and_drawn(
    call: Call, trace: Trace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXPLAINER_RUNS", str(tmp_path))
    words = ("plot", "surface", "two-layer", "--resolution", 5, "--losses", "recorded", "-o", tmp_path / "it.svg")
    assert call(*words).code == 0
    assert ">dots: loss as recorded, each of its own batch" in (tmp_path / "it.svg").read_text(encoding="utf-8")
    (kept,) = (tmp_path / "surfaces").glob("two-layer-*/surface.safetensors")
    before = kept.stat().st_mtime_ns
    assert "points" not in call(*words).err
    assert kept.stat().st_mtime_ns == before


def test_several_runs_are_compared_whether_they_are_a_lesson_or_folders(
    call: Call, trace: Trace, tmp_path: Path
) -> None:
    assert call("plot", "learning-rates", "trough", "-o", tmp_path / "lesson.svg").code == 0
    drawn = (tmp_path / "lesson.svg").read_text(encoding="utf-8")
    assert ">α = 0.9</text>" in drawn
    assert ">19 of 19 steps turn back</text>" in drawn
    assert call("plot", "learning-rates", trace.folder, "trough/0.1", "-o", tmp_path / "both.svg").code == 0
    assert ">2 runs, the loss as recorded at each step" in (tmp_path / "both.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("slice {saved} -o x.svg", r"holds a surface, and this figure is drawn of a slice"),
        ("surface {saved} --resolution 9 -o x.svg", r"holds a surface already: --resolution cannot change it any more"),
        ("surface {trace} -o x.svg", r"is of no lesson.*loss_surface\(model, criterion, data, trace=trace\)"),
        ("classification {trace} {trace} -o x.svg", r"this figure is drawn of a trace, and these are 2"),
        ("surface {saved} --step 3 -o x.svg", r"takes no --step; it takes --plane, --resolution, --losses, --scale"),
        ("mountain {saved} --scale logg -o x.svg", r"no scale is called 'logg'\. Did you mean 'log'\?"),
    ],
)
def test_what_a_figure_cannot_be_drawn_of_is_said(words: str, complaint: str, call: Call, tmp_path: Path) -> None:
    make_surface().save(tmp_path / "saved")
    folder = record_small(tmp_path / "mine")
    given = words.format(saved=tmp_path / "saved", trace=folder).split()
    code, out, err = call("plot", *given)
    assert (code, out) == (2, "")
    assert re.search(complaint, err)


# render


def test_the_scenes_are_listed(call: Call) -> None:
    scenes = studio.find_scenes()
    out = call("render", "--list").out
    assert all(re.search(rf"^{scene.name} +{re.escape(scene.says)}", out, re.MULTILINE) for scene in scenes.values())
    assert [each["name"] for each in json.loads(call("render", "--list", "--json").out)] == list(scenes)


def test_without_manim_render_ends_with_3_and_says_what_to_install(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studio.crew, "find_spec", lambda name: None)
    code, out, err = call("render", "ChainRule")
    assert (code, out) == (3, "")
    assert err == "explainer: a film needs manim, which is not installed: pip install 'explainer[films]'\n"


@needs_manim
def test_a_scene_on_a_trace_that_lacks_what_it_draws_says_what_to_record(call: Call, tmp_path: Path) -> None:
    folder = record_small(tmp_path / "run", keep=())
    code, out, err = call("render", "ChainRule", "--trace", folder, "-o", tmp_path / "out", "-q")
    assert (code, out) == (2, "")
    assert err.startswith("explainer: ChainRule: ")
    assert "record" in err
    assert "Traceback" not in err
    assert list((tmp_path / "out").iterdir()) == []


@needs_manim
def test_a_film_is_made_where_it_was_wished_and_json_tells_about_it(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text("from manim import *\nclass Own(Scene):\n    def construct(self): self.wait(1)\n")
    (told,) = json.loads(call("render", f"{file}:Own", "-o", tmp_path / "out", "--json").out)
    made = tmp_path / "out" / "Own.mp4"
    assert (told["scene"], told["file"], told["subtitles"], told["failure"]) == ("Own", str(made), None, None)
    assert told["film_seconds"] == pytest.approx(1)
    assert told["bytes"] == made.stat().st_size


@pytest.mark.parametrize(
    ("kinds", "code"), [([], 0), ([""], 1), (["TraceError"], 2), (["MissingDependency"], 3), (["", "TraceError"], 2)]
)
def test_the_exit_code_tells_mistakes_of_scenes_from_wrong_use(
    kinds: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = SceneFile("Some", Path("some.py"))
    assert complain([Film(scene, Path("some.mp4")), *(Film(scene, failure="why", kind=kind) for kind in kinds)]) == code
    assert capsys.readouterr().err == "explainer: Some: why\n" * len(kinds)


# doctor


def test_the_doctor_lists_what_is_here_and_what_to_type_for_the_rest(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [
        doctor.Check("Python", "3.12", "everything", "install Python"),
        doctor.Check("manim", None, "films", "pip install 'explainer[films]'"),
        doctor.Check("cairo", None, "films", "pip install 'explainer[films]'", problem="ImportError: [libcairo.so.2]"),
    ]
    monkeypatch.setattr(doctor, "checks", lambda: found)
    code, out, _ = call("doctor")
    assert code == 0  # films are an extra
    assert re.search(r"^✓ +Python +3\.12 +everything", out, re.MULTILINE)
    assert re.search(r"^✗ +cairo +ImportError: \[libcairo\.so\.2\] +films", out, re.MULTILINE)
    assert "for manim, cairo:\n    pip install 'explainer[films]'" in out
    assert [check["name"] for check in json.loads(call("doctor", "--json").out)] == ["Python", "manim", "cairo"]


def test_something_missing_that_everything_needs_ends_with_3(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        doctor, "checks", lambda: [doctor.Check("PyTorch", None, "everything", "pip install explainer")]
    )
    assert call("doctor").code == 3
    assert call("doctor", "--json").code == 3


# demo


def test_without_manim_the_demo_draws_and_says_which_films_it_left_out(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(studio.crew, "find_spec", lambda name: None)
    code, out, err = call("demo", "-o", tmp_path)
    assert code == 0
    assert "left out the films ChainRule, DigitLearning, GradientFlow: a film needs manim" in err
    assert "./do setup" in err
    assert f"Look first at {tmp_path / 'loss.png'}" in out
    expected = {
        f"{name}{ending}"
        for name in ("loss", "gradient_flow", "classification")
        for ending in (".png", ".svg", ".pdf", "-dark.png")
    }
    assert {path.name for path in tmp_path.iterdir()} == expected | {f"{name}.html" for name in demo.PAGES}


def test_with_manim_the_demo_makes_all_its_films_at_once(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[Any] = []

    def render(scenes: list[SceneFile], output: Path, settings: studio.Settings, **more: Any) -> list[Film]:
        asked.append((settings.quality, [(scene.name, scene.file.is_file()) for scene in scenes]))
        (output / "ChainRule.mp4").write_bytes(b"film")
        made = Film(scenes[0], output / "ChainRule.mp4", seconds=64, took=20)
        return [made, Film(scenes[1], failure="its process ended with exit code 1")]

    monkeypatch.setattr(studio.crew, "find_spec", lambda name: object())
    monkeypatch.setattr(studio, "render", render)
    monkeypatch.setattr(demo, "DRAWINGS", demo.DRAWINGS[:1])  # the others are drawn in the test above
    code, out, err = call("demo", "-o", tmp_path)
    assert asked == [("draft", [(name, True) for name in demo.FILMS])]
    assert f"Look first at {tmp_path / 'ChainRule.mp4'}" in out
    assert "(1:04)" in out
    complaint = err.splitlines()[-1]  # after progress, where a slow machine has it to tell
    assert (code, complaint) == (1, "explainer: DigitLearning: its process ended with exit code 1")


def test_the_demo_names_its_films_and_figures_by_what_there_is() -> None:
    assert set(demo.FILMS) <= set(studio.find_scenes())
    from explainer.plots import FIGURES

    assert {drawing.figure for drawing in demo.DRAWINGS} <= set(FIGURES)


# Manners


def test_a_broken_pipe_is_no_error(trace: Trace) -> None:
    for command in (("info", trace.folder), ("info", trace.folder, "--json"), ("record", "--list")):
        reading, writing = os.pipe()
        os.close(reading)  # who reads has gone already
        process = start(*command, stdout=writing)
        os.close(writing)
        assert process.communicate()[1] == ""
        assert process.returncode == 141


@contextmanager
def terminal() -> Iterator[tuple[int, Callable[[], str]]]:
    """Open a terminal; yields its end for a process, and a function that reads all that came."""
    ours, theirs = pty.openpty()

    def read() -> str:
        os.close(theirs)
        came = b""
        while True:
            try:
                came += os.read(ours, 1 << 16)
            except OSError:  # nobody holds the other end any more
                return came.decode()

    try:
        yield theirs, read
    finally:
        os.close(ours)


def on_a_terminal(*arguments: object, **environment: str) -> str:
    with terminal() as (theirs, read):
        variables = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR")}
        process = start(*arguments, stderr=theirs, env={**variables, "TERM": "xterm-256color", **environment})
        came = read()
        assert process.communicate()[0].strip()
        assert process.returncode == 0
        return came


def test_on_a_terminal_a_bar_shows_how_far_recording_is(tmp_path: Path) -> None:
    came = on_a_terminal("record", "two-layer", "-o", tmp_path / "run")
    assert "lesson two-layer" in came
    assert "━" in came
    assert re.search(r"\x1b\[[0-9;]*38;", came)  # in colour


def test_no_color_is_heeded_and_quiet_shows_nothing(tmp_path: Path) -> None:
    plain = on_a_terminal("record", "two-layer", "-o", tmp_path / "plain", NO_COLOR="1")
    assert "━" in plain
    assert not re.search(r"\x1b\[[0-9;]*(?:3[0-7]|38)[;m]", plain)
    assert on_a_terminal("record", "two-layer", "-o", tmp_path / "quiet", "--quiet") == ""


def test_where_no_bar_can_be_drawn_a_calm_line_comes_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 100.0
    monkeypatch.setattr(speech.time, "monotonic", lambda: now)
    with speech.progress() as advance:
        for second in range(35):
            now = 100.0 + second
            advance("recording", second / 40, f"step {second}")
        advance("recording", 1.0, "step 40")
    assert capsys.readouterr().err.splitlines() == [
        "explainer: recording: 25%, step 10",
        "explainer: recording: 50%, step 20",
        "explainer: recording: 75%, step 30",
    ]


def test_a_warning_of_explainers_own_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    import warnings

    with speech.progress(quiet=True), warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("the trace reaches max_bytes", explainer.ExplainerWarning, stacklevel=1)
    assert capsys.readouterr().err == "explainer: note: the trace reaches max_bytes\n"


@pytest.mark.parametrize(
    ("count", "text"), [(12, "12 bytes"), (1500, "1.5 kB"), (234_567_890, "235 MB"), (5e12, "5000 GB")]
)
def test_sizes_are_written_for_the_eye(count: float, text: str) -> None:
    assert speech.size_of(count) == text


def test_json_has_no_nan(capsys: pytest.CaptureFixture[str]) -> None:
    speech.say_json({"a": [float("nan"), 1.5, float("inf")], "b": (Path("x"), None, True)})
    assert json.loads(capsys.readouterr().out) == {"a": [None, 1.5, None], "b": ["x", None, True]}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("record", "two-layer", "--learning-rate", "-1"), "-1.0 is not in the range 0<=x<=1000000.0"),
        (("record", "two-layer", "--learning-rate", "nan"), "nan is not a finite number"),
        (("record", "two-layer", "--seed", "-5"), "-5 is not in the range x>=0"),
    ],
)
def test_settings_that_make_no_sense_are_wrong_use(call: Call, words: tuple[str, ...], sentence: str) -> None:
    answer = call(*words)
    assert answer.code == 2
    assert sentence in answer.err


def test_a_folder_that_cannot_be_made_is_one_sentence(call: Call, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    answer = call("record", "two-layer", "--steps", 1, "-o", tmp_path / "file" / "run")
    assert answer.code == 2
    assert answer.err.endswith("cannot be made: File exists; choose another path\n")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_an_output_that_is_full_is_one_sentence(unbuffered: str, tmp_path: Path) -> None:
    folder = record_small(tmp_path / "run")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "explainer", "info", folder],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )
    assert done.returncode == 2
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == 1
