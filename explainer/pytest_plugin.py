"""The pytest plugin: the fixture `record_trace`, and a summary of the trace under a test that failed.

Every suite of an environment loads this file, so it imports nothing that pytest has not loaded already; torch and
numpy are first touched when a test calls `record_trace(…)`.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from torch import nn

    from explainer.recorder import Recorder


class RecordTrace:
    """What the fixture `record_trace` is: `with record_trace(model, criterion=…, optimizer=…) as recorder:`.

    Args:
        folder: Of the test, for traces on disk.
        spare: Where traces lie that were asked for in memory, when those of failed tests are to be kept.
        keep: Where the traces of a failed test are copied to, and under which name.
    """

    def __init__(self, folder: Path, spare: Path | None, keep: Path | None) -> None:
        self._folder, self._spare, self._keep = folder, spare, keep
        self._recorders: list[Recorder] = []
        self._told = False

    def __call__(self, model: nn.Module, path: str | Path | bool | None = None, **options: Any) -> Recorder:
        """Return a recorder of `model`, as `explainer.record` does, that is looked after until the test is over.

        Args:
            path: Where the trace lies: in memory when omitted; in the test's own `tmp_path` for True, or for a relative
                path; or any folder.
            options: What else `explainer.record` takes: criterion=, optimizer=, every=, examples=, layers=, keep=, ….
        """
        import explainer

        if path is True:
            path = self._free(self._folder)
        elif path is None or path is False:
            path = None if self._spare is None else self._free(self._spare)
        recorder = explainer.record(model, None if path is None else self._folder / path, **options)
        self._recorders.append(recorder)
        return recorder

    def _free(self, folder: Path) -> Path:
        count = len(self._recorders) + 1
        return folder / ("trace" if count == 1 else f"trace-{count}")

    def close(self) -> None:
        """Take all hooks off; a recording that is over already stays as it is."""
        for recorder in self._recorders:
            if not _never_began(recorder):
                recorder.__exit__(None, None, None)

    def faults(self) -> Iterator[str]:
        """Say what went wrong with the recordings, of which the test itself may know nothing."""
        for recorder in self._recorders:
            if recorder.failure is not None:
                kind = type(recorder.failure).__name__
                yield f"record_trace: the recording failed, so that its trace is not whole: {kind}: {recorder.failure}"
            elif why := _never_began(recorder):
                yield f"record_trace(…) was called in this test, but {why}"

    def sections(self) -> Iterator[tuple[str, str]]:
        """Tell of each trace what stands in it, and keep it where that was asked for; once."""
        if self._told:
            return
        self._told = True
        self.close()
        for number, recorder in enumerate(self._recorders, start=1):
            yield f"explainer trace{f' {number}' if len(self._recorders) > 1 else ''}", self._tell(recorder, number)

    def _tell(self, recorder: Recorder, number: int) -> str:
        from explainer.errors import ExplainerError
        from explainer.testing.summary import summarise

        lines = [f"the recording failed: {recorder.failure!r}"] if recorder.failure is not None else []
        try:
            trace = recorder.trace
            lines.append(summarise(trace))
            if self._keep is not None and trace.folder is not None:
                target = self._keep if number == 1 else self._keep.with_name(f"{self._keep.name}-{number}")
                lines.append(_kept(trace.folder, target))
        except ExplainerError as error:
            lines.append(f"no trace to show: {error}")
        return "\n".join(lines)


def _never_began(recorder: Recorder) -> str:
    """Say that a recording was made ready and never entered; nothing where it was."""
    from explainer.errors import ExplainerError, RecordingError

    try:
        _ = recorder.trace
    except RecordingError as error:
        return str(error)
    except ExplainerError:
        pass  # it began, and its folder cannot be read any more
    return ""


def _kept(source: Path, target: Path) -> str:
    """Copy a trace, in place of the one that the same test left before."""
    try:
        if (target / "trace.json").is_file():
            shutil.rmtree(target)
        shutil.copytree(source, target)
    except OSError as error:
        return f"the trace could not be kept in {target}: {error}"
    return f"kept in {target}: look at it with   explainer info {target}"


def _folder_name(nodeid: str) -> str:
    """Make one folder's name of a test's: short, and another for every test."""
    name = re.sub(r"[^\w.]+", "-", nodeid).strip("-.")
    plain = re.fullmatch(r"[\w./:\[\]]*", nodeid) and len(name) <= 120
    return name if plain else f"{name[:100]}-{hashlib.sha256(nodeid.encode()).hexdigest()[:8]}"


_RECORDINGS = pytest.StashKey[RecordTrace]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the one option."""
    parser.getgroup("explainer").addoption(
        "--explainer-traces",
        metavar="DIR",
        help="keep what record_trace recorded in tests that failed, a folder each: explainer info DIR/…",
    )


@pytest.fixture
def record_trace(
    request: pytest.FixtureRequest, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RecordTrace]:
    """Record what a test trains, and look after the recording until the test is over.

    Write: with record_trace(model, criterion=criterion, optimizer=optimizer) as recorder: …, then ask recorder.trace.
    It takes what explainer.record takes; path=True writes the trace into tmp_path. When the test is over, hooks are
    off; a recording that failed, or never began, fails the test; a failed test shows what its trace holds.
    """
    chosen = request.config.getoption("--explainer-traces")
    keep = request.config.invocation_params.dir / chosen / _folder_name(request.node.nodeid) if chosen else None
    recordings = RecordTrace(tmp_path, tmp_path_factory.mktemp("explainer") if chosen else None, keep)
    request.node.stash[_RECORDINGS] = recordings
    yield recordings
    recordings.close()


@pytest.hookimpl(trylast=True)  # after the test itself, if that passed
def pytest_runtest_call(item: pytest.Item) -> None:
    """Fail a test whose recording went wrong: what it asserted may be about half a run."""
    recordings = item.stash.get(_RECORDINGS, None)
    if recordings is not None:
        recordings.close()
        if faults := list(recordings.faults()):
            pytest.fail("\n".join(faults), pytrace=False)


@pytest.hookimpl(hookwrapper=True)  # the older form, which every pytest knows
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    """Show what was recorded under a test that failed."""
    outcome = yield
    recordings = item.stash.get(_RECORDINGS, None)
    if recordings is not None and (report := outcome.get_result()).failed:
        report.sections.extend(recordings.sections())
