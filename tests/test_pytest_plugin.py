"""The plugin in small suites of their own: what costs nothing, what is cleaned up, what a failed test shows."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import torch

import explainer
from explainer.testing.summary import summarise

SUITE = """
import pytest
import torch
from torch import nn

import explainer

model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
unused = nn.ModuleDict({"net": model, "idle": nn.Linear(2, 2)})
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)


def train(steps=3):
    for _ in range(steps):
        optimizer.zero_grad()
        criterion(model(torch.ones(5, 4)), torch.tensor([0, 1, 2, 0, 1])).backward()
        optimizer.step()


def hooks():
    return [each for layer in model.modules() for each in (layer._forward_hooks, layer._forward_pre_hooks) if each]
"""


@pytest.fixture(scope="module", autouse=True)
def everything_loaded(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Load all that a recording loads: an inner run forgets what it imported, and compiled modules load only once."""
    model, criterion = torch.nn.Linear(2, 2), torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    folder = tmp_path_factory.mktemp("run")
    with explainer.record(model, folder, criterion=criterion, optimizer=optimizer):
        criterion(model(torch.ones(1, 2)), torch.zeros(1).long()).backward()
        optimizer.step()
    summarise(explainer.open_trace(folder))


@pytest.fixture(autouse=True)
def other_plugins_stay_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Load the plugin alone, by its name: others take seconds. tests/test_docs_testing.py finds it by itself."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


ALONE = ("-p", "explainer.pytest_plugin", "-p", "no:cacheprovider")


def run(pytester: pytest.Pytester, tests: str, *arguments: str) -> pytest.RunResult:
    """Run tests that stand below SUITE."""
    pytester.makepyfile(test_user=f"{SUITE}\n{tests}")
    return pytester.runpytest_inprocess(*ALONE, *arguments)


def test_a_suite_that_does_not_use_the_plugin_loads_nothing_of_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")  # it comes by its entry point
    pytester.makepyfile("""
        import sys

        def test_nothing_heavy():
            tops = {name.partition(".")[0] for name in sys.modules}
            assert not tops & {"torch", "numpy", "safetensors", "numba", "rich", "click", "matplotlib", "manim"}
            ours = {name for name in sys.modules if name.split(".")[0] == "explainer"}
            assert ours == {"explainer", "explainer.pytest_plugin"}
    """)
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-W", "error")
    done.assert_outcomes(passed=1)


def test_importing_the_plugin_loads_the_standard_library_and_pytest_only(pytester: pytest.Pytester) -> None:
    done = pytester.run(
        sys.executable,
        "-c",
        "import sys, pytest; before = set(sys.modules); import explainer.pytest_plugin; "
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}; "
        "print(sorted(new - set(sys.stdlib_module_names)))",
    )
    assert done.outlines == ["['explainer']"]


def test_a_recording_in_memory_is_asked_like_any_other(pytester: pytest.Pytester) -> None:
    done = run(
        pytester,
        """
def test_it(record_trace, tmp_path):
    with record_trace(model, criterion=criterion, optimizer=optimizer, examples=2) as recorder:
        train()
    assert len(recorder.trace) == 3
    assert recorder.trace.activations["0"].shape == (3, 2, 6)
    assert recorder.trace.folder is None
    assert list(tmp_path.iterdir()) == []
""",
    )
    done.assert_outcomes(passed=1)
    assert "explainer trace" not in done.stdout.str()


def test_a_path_lies_in_the_folder_of_the_test(pytester: pytest.Pytester) -> None:
    done = run(
        pytester,
        """
def test_it(record_trace, tmp_path):
    folders = []
    for path in True, True, "run", tmp_path / "other":
        with record_trace(model, path, criterion=criterion, optimizer=optimizer) as recorder:
            train()
        folders.append(recorder.trace.folder)
    assert folders == [tmp_path / name for name in ("trace", "trace-2", "run", "other")]
    assert all(len(explainer.open_trace(folder)) == 3 for folder in folders)
""",
    )
    done.assert_outcomes(passed=1)


def test_a_wrong_option_is_said_as_by_record(pytester: pytest.Pytester) -> None:
    done = run(pytester, "def test_it(record_trace):\n    record_trace(model, layers='1O')\n")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*RecordingError: layers: no layer is called '1O'*"])


def test_hooks_are_off_when_the_test_is_over_whatever_it_forgot_or_broke(pytester: pytest.Pytester) -> None:
    done = run(
        pytester,
        """
def test_forgets_to_end_it(record_trace):
    record_trace(model, criterion=criterion, optimizer=optimizer).__enter__()
    train()
    assert hooks()

def test_after_that():
    assert not hooks()

def test_breaks(record_trace):
    record_trace(model, criterion=criterion, optimizer=optimizer).__enter__()
    train()
    raise ValueError("broken")

def test_after_this():
    assert not hooks()

@pytest.fixture
def recorder(record_trace):
    with record_trace(model, criterion=criterion, optimizer=optimizer) as recorder:
        yield recorder

def test_with_a_fixture_around_it(recorder):
    train(5)
    assert len(recorder.trace) == 5

def test_after_the_fixture():
    assert not hooks()
""",
    )
    done.assert_outcomes(passed=5, failed=1)
    assert "ValueError: broken" in done.stdout.str()


def test_a_failed_test_shows_what_its_trace_holds(pytester: pytest.Pytester) -> None:
    done = run(
        pytester,
        """
def test_passes(record_trace):
    with record_trace(model, criterion=criterion, optimizer=optimizer):
        train()

def test_fails(record_trace):
    with record_trace(model, criterion=criterion, optimizer=optimizer) as recorder:
        train(7)
    assert recorder.trace.scalars["loss"][-1] > 1000

def test_fails_inside(record_trace):
    with record_trace(unused, criterion=criterion, optimizer=optimizer):
        train(2)
        raise ValueError("inside")
""",
    )
    done.assert_outcomes(passed=1, failed=2)
    said = done.stdout.str()
    assert said.count("explainer trace") == 2
    done.stdout.fnmatch_lines(
        [
            "*test_fails*",
            "*- explainer trace -*",
            "Sequential: 7 recorded steps, 0 to 6",
            "loss: * → *",
            "‖gradient‖ in the last step, in forward order:",
            "  0  Linear  *",
            "*test_fails_inside*",
            "*- explainer trace -*",
        ]
    )
    assert re.search(r"  2  Linear  0\.\d+", said)


def test_two_traces_of_a_failed_test_are_told_apart_and_missing_layers_named(pytester: pytest.Pytester) -> None:
    done = run(
        pytester,
        """
class Lazy(nn.Module):
    def __init__(self):
        super().__init__()
        self.used, self.idle = model, nn.Linear(2, 2)

    def forward(self, inputs):
        return self.used(inputs)

def test_fails(record_trace):
    whole = Lazy()
    with record_trace(model, criterion=criterion, optimizer=optimizer), record_trace(nn.Linear(2, 1)):
        train()
    with record_trace(whole, criterion=criterion, optimizer=optimizer):
        criterion(whole(torch.ones(5, 4)), torch.zeros(5).long()).backward()
        optimizer.step()
    assert False
""",
        "-W",
        "ignore::explainer.ExplainerWarning",
    )
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(
        [
            "*- explainer trace 1 -*",
            "Sequential: 3 recorded steps*",
            "*- explainer trace 2 -*",
            "Linear: no step was recorded: *",
            "*- explainer trace 3 -*",
            "Lazy: 1 recorded step, 0 to 0",
            "missing: idle: no activation: the layer was not called",
        ]
    )


def test_a_recording_that_failed_fails_the_test_although_training_went_on(pytester: pytest.Pytester) -> None:
    done = run(
        pytester,
        """
import shutil

def test_it(record_trace, tmp_path):
    with record_trace(model, path=True, criterion=criterion, optimizer=optimizer):
        train()
        shutil.rmtree(tmp_path / "trace")
        train()
""",
        "-W",
        "ignore::explainer.ExplainerWarning",
    )
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["record_trace: the recording failed, so that its trace is not whole: *"])


def test_a_recording_that_never_began_fails_the_test(pytester: pytest.Pytester) -> None:
    done = run(pytester, "def test_it(record_trace):\n    record_trace(model)\n    train()\n")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["record_trace(…) was called in this test, but nothing is recorded yet: *with*"])


def test_a_skipped_test_is_skipped(pytester: pytest.Pytester) -> None:
    run(pytester, "def test_it(record_trace):\n    record_trace(model)\n    pytest.skip()\n").assert_outcomes(skipped=1)


FAILING = """
@pytest.mark.parametrize("rate", ["low/high", "low high"])
def test_fails(record_trace, rate):
    with record_trace(model, criterion=criterion, optimizer=optimizer) as recorder:
        train(4)
    assert not len(recorder.trace)

def test_passes(record_trace):
    with record_trace(model, criterion=criterion, optimizer=optimizer) as recorder:
        train()
    assert recorder.trace
"""


def test_traces_of_failed_tests_are_kept_where_the_command_line_says(pytester: pytest.Pytester) -> None:
    for _ in range(2):  # the second time they replace the first
        done = run(pytester, FAILING, "--explainer-traces", "kept")
        done.assert_outcomes(passed=1, failed=2)
    folders = sorted((pytester.path / "kept").iterdir())
    assert len(folders) == 2
    for folder in folders:
        assert re.match(r"test_user\.py-test_fails-low-high", folder.name)
        assert len(explainer.open_trace(folder)) == 4
        done.stdout.fnmatch_lines([f"kept in {folder}: look at it with   explainer info {folder}"])


def test_a_folder_that_is_no_trace_is_not_replaced(pytester: pytest.Pytester) -> None:
    kept = pytester.path / "kept" / "test_user.py-test_it"
    kept.mkdir(parents=True)
    (kept / "precious.txt").write_text("mine")
    done = run(
        pytester,
        """
def test_it(record_trace):
    with record_trace(model, criterion=criterion, optimizer=optimizer):
        train()
    assert False
""",
        f"--explainer-traces={kept.parent}",
    )
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines([f"the trace could not be kept in {kept}: *"])
    assert [each.name for each in kept.iterdir()] == ["precious.txt"]


def test_the_option_and_the_fixture_are_told_by_pytests_help(pytester: pytest.Pytester) -> None:
    pytester.runpytest_inprocess(*ALONE, "--help").stdout.fnmatch_lines(["explainer:", "*--explainer-traces=DIR*"])
    pytester.runpytest_inprocess(*ALONE, "--fixtures").stdout.fnmatch_lines(
        [f"record_trace -- *{Path('pytest_plugin.py')}*", "    Record what a test trains*"]
    )
