"""`explainer surface`: what it computes, keeps, goes on with and answers; nothing is left running."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

import explainer
from explainer import cli
from explainer.cli.surface_told import duration
from explainer.sampler.resuming import POINTS, unfinished_in

# Dask's own: its loop and comms end in threads that outlive what Python sees as their owner.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")

MINE = """
import os
import time

import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, inputs):
        time.sleep(float(os.environ.get("SLOW", "0")))
        return self.two(torch.sigmoid(self.one(inputs)))


def problem():
    torch.manual_seed(0)
    return Net(), nn.MSELoss(), (torch.randn(6, 3), torch.zeros(6, 2))


def number():
    return 3


def pair():
    return 1, 2
"""


class Answer(NamedTuple):
    """What a command answered."""

    code: int
    out: str
    err: str


Call = Callable[..., Answer]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Run `explainer surface` in this process."""

    def run(*arguments: object) -> Answer:
        with pytest.raises(SystemExit) as end:
            cli.main(["surface", *map(str, arguments)])
        assert isinstance(end.value.code, int)
        return Answer(end.value.code, *capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that makes a problem, and beside it the trace of a run of it."""
    folder = tmp_path_factory.mktemp("mine")
    (folder / "a_problem_of_mine.py").write_text(MINE)
    made: dict[str, Any] = {}
    exec(compile(MINE, "a_problem_of_mine.py", "exec"), made)
    model, criterion, (inputs, targets) = made["problem"]()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    with explainer.record(model, folder / "run", criterion=criterion, optimizer=optimizer):
        for _ in range(5):
            optimizer.zero_grad()
            criterion(model(inputs), targets).backward()
            optimizer.step()
    return folder


def start(*arguments: object, before: tuple[str, ...] = (), **environment: str) -> subprocess.Popen[str]:
    command = [*(before or (sys.executable,)), "-m", "explainer", "surface", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, text=True, env=os.environ | environment, start_new_session=True, **pipes)


# What it computes


def test_a_lessons_surface_is_computed_told_and_opened_again(call: Call, tmp_path: Path) -> None:
    options = ["two-layer", "-o", tmp_path / "surface", "--resolution", "5x4"]
    code, out, _ = call(*options)
    surface = explainer.open_surface(tmp_path / "surface")
    assert code == 0 and surface.losses.shape == (4, 5) and surface.plane == "pca"
    first, *rows = out.splitlines()
    assert first.startswith(f"{tmp_path / 'surface'}  (5×4 points, computed in ")
    told = "\n".join(rows)
    lowest = f"{surface.losses.min():.4g}"
    for word in ("pca, u ", f"{lowest} at (", f"{surface.captured:.1%} of it lies in the plane", "200 steps"):
        assert word in told
    again = call(*options)
    assert again.code == 0 and "computed before" in again.out
    code, out, err = call(*options[:-1], "6")
    assert code == 2 and "holds another surface: the axes differ" in err and "--again" in err
    assert call(*options[:-1], "3", "--again", "-q").out == f"{tmp_path / 'surface'}\n"
    assert explainer.open_surface(tmp_path / "surface").losses.shape == (3, 3)


def test_as_json_it_tells_the_numbers_of_the_surface(call: Call, tmp_path: Path, mine: Path) -> None:
    where = f"{mine / 'a_problem_of_mine.py'}:problem"
    options = ["--plane", "random", "--seed", "3", "--span", "-1:2,0.5", "--resolution", "4", "--mode", "train"]
    code, out, _ = call(mine / "run", "-o", tmp_path / "s", "--model", where, "--json", *options)
    about, surface = json.loads(out), explainer.open_surface(tmp_path / "s")
    assert code == 0
    assert (about["u"], about["v"]) == ([-1, 2], [-0.5, 0.5])
    assert about["points"] == {"u": 4, "v": 4, "evaluated": 16}
    assert about["minimum"]["loss"] == surface.losses.min()
    row, column = np.unravel_index(surface.losses.argmin(), (4, 4))
    assert (about["minimum"]["u"], about["minimum"]["v"]) == (surface.u[column], surface.v[row])
    walk, true = about["walks"]["walk"], surface.walk
    assert walk["captured"] == true.captured and walk["true_loss"] == [true.true_losses[0], true.true_losses[-1]]
    worst = int(np.abs(true.gap).argmax())
    assert walk["largest_gap"] == {"step": true.steps[worst], "gap": true.gap[worst]}
    assert about["computed_now"] and about["notes"]["mode"] == "train"


# Bad input: one sentence and an exit code


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--resolution", "1"], "give 51, or 61x41"),
        (["--resolution", "many"], "'many' is no resolution"),
        (["--span", "0:1"], "is no span"),
        (["--span", "1,2,3"], "is no span"),
        (["--span", "wide"], "is no span"),
        (["--span", "nan"], "is no span"),
        (["--tolerance", "0"], "--tolerance"),
        (["--plane", "pcb"], "Did you mean 'pca'"),
        (["--batch-norm", "new"], "--batch-norm"),
        (["--workers", "0"], "--workers"),
        (["--workers", "2", "--scheduler", "tcp://here:1"], "either --workers or --scheduler"),
        (["--scheduler", "here"], "no Dask scheduler answers at here"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else None,
)
def test_a_wrong_option_is_answered_with_a_sentence(options: list[str], said: str, call: Call, tmp_path: Path) -> None:
    code, _, err = call("two-layer", "-o", tmp_path / "s", *options)
    assert code == 2 and said in err and "Traceback" not in err
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("problem", "give FILE.py:FUNCTION or MODULE:FUNCTION"),
        ("nowhere.py:problem", "there is no file nowhere.py"),
        ("nowhere:problem", "there is no module 'nowhere'"),
        ("{mine}:problm", "Did you mean 'problem'"),
        ("{mine}:number", "returned int; return (model, criterion, data)"),
        ("{mine}:pair", "returned a tuple of 2"),
        ("{json}:problem", "a module called 'json' is loaded already"),
    ],
)
def test_a_model_that_cannot_be_had_is_answered_with_a_sentence(
    where: str, said: str, call: Call, tmp_path: Path, mine: Path
) -> None:
    (tmp_path / "json.py").write_text(MINE)
    named = where.format(mine=mine / "a_problem_of_mine.py", json=tmp_path / "json.py")
    code, _, err = call(mine / "run", "-o", tmp_path / "s", "--model", named)
    assert code == 2 and said in err and "Traceback" not in err


def test_a_trace_of_ones_own_needs_its_model(call: Call, tmp_path: Path, mine: Path) -> None:
    code, _, err = call(mine / "run", "-o", tmp_path / "s")
    assert code == 2 and "is of no lesson" in err and "--model FILE.py:FUNCTION" in err


def test_without_dask_it_says_what_to_install(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    code, _, err = call("two-layer", "-o", tmp_path / "s", "--scheduler", "tcp://127.0.0.1:8786")
    assert code == 3 and "pip install 'explainer[dask]'" in err


def test_ranks_take_no_other_workers(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    code, _, err = call("two-layer", "-o", tmp_path / "s", "--workers", "2")
    assert code == 2 and "the ranks share the points" in err


@pytest.mark.slow
def test_a_scheduler_that_does_not_answer_is_given_up_within_ten_seconds(call: Call, tmp_path: Path) -> None:
    with socket.socket() as deaf:  # takes connections, and says nothing
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        address = f"tcp://127.0.0.1:{deaf.getsockname()[1]}"
        began = time.monotonic()
        code, _, err = call("two-layer", "-o", tmp_path / "s", "--scheduler", address)
    assert code == 2 and f"no Dask scheduler answers at {address}" in err
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.84, "0.8 s"), (12.3, "12 s"), (185, "3:05 min"), (7800, "2:10 h"), (360_000, "100:00 h")]
)
def test_a_duration_is_written_for_the_eye(seconds: float, said: str) -> None:
    assert duration(seconds) == said


# Workers


def children_of(process: int) -> set[int]:
    """Every process below one, from the system's own list."""
    listed = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = {int(pid): int(parent) for pid, parent in (line.split() for line in listed.splitlines())}
    found = {pid for pid, parent in parents.items() if parent == process}
    return found.union(*map(children_of, found)) if found else found


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{process}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="lists processes as Linux does")
def test_stopped_by_ctrl_c_or_killed_it_leaves_no_process_and_goes_on(call: Call, tmp_path: Path, mine: Path) -> None:
    folder = tmp_path / "surface"
    options = [mine / "run", "-o", folder, "--model", f"{mine / 'a_problem_of_mine.py'}:problem", "--resolution", "15"]
    kept = 0
    for stop in (signal.SIGINT, signal.SIGKILL):
        process = start(*options, "--workers", "2", SLOW="0.02")
        wait_for_points(folder, kept + 200, process)
        workers = children_of(process.pid)
        assert len(workers) >= 2
        process.send_signal(stop)
        _, err = process.communicate(timeout=30)
        if stop is signal.SIGINT:
            assert process.returncode == 130 and "the same command goes on" in err and "Traceback" not in err
        deadline = time.monotonic() + 10
        while any(map(alive, workers)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert [pid for pid in workers if alive(pid)] == []
        assert unfinished_in(folder)
        kept = (folder / POINTS).stat().st_size
    assert call(*options).code == 0
    assert call(*options[:2], tmp_path / "whole", *options[3:]).code == 0
    found, expected = explainer.open_surface(folder), explainer.open_surface(tmp_path / "whole")
    np.testing.assert_allclose(found.losses, expected.losses, rtol=1e-6)


def wait_for_points(folder: Path, size: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not (folder / POINTS).exists() or (folder / POINTS).stat().st_size < size:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
def test_a_dask_cluster_computes_it_without_having_the_models_file(call: Call, tmp_path: Path, mine: Path) -> None:
    from distributed import LocalCluster

    options = [mine / "run", "--model", f"{mine / 'a_problem_of_mine.py'}:problem", "--resolution", "6", "-q"]
    assert call(*options, "-o", tmp_path / "here").code == 0
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None, processes=True) as cluster:
        code, _, err = call(*options, "-o", tmp_path / "there", "--scheduler", cluster.scheduler_address)
    assert (code, err) == (0, "")
    here, there = explainer.open_surface(tmp_path / "here"), explainer.open_surface(tmp_path / "there")
    np.testing.assert_allclose(there.losses, here.losses, rtol=1e-6)


@pytest.mark.slow
def test_under_torchrun_the_ranks_make_one_surface(call: Call, tmp_path: Path, mine: Path) -> None:
    options = [mine / "run", "--model", f"{mine / 'a_problem_of_mine.py'}:problem", "--resolution", "6", "-q"]
    assert call(*options, "-o", tmp_path / "here").code == 0
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    ranks = start(*options, "-o", tmp_path / "there", before=torchrun)
    out, err = ranks.communicate(timeout=120)
    assert ranks.returncode == 0, err
    assert out == f"{tmp_path / 'there'}\n"
    here, there = explainer.open_surface(tmp_path / "here"), explainer.open_surface(tmp_path / "there")
    np.testing.assert_allclose(there.losses, here.losses, rtol=1e-6)
