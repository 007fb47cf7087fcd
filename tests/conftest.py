"""What every test stands on: no window opens, and nothing is written beside the developer's own work."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

pytest_plugins = ["pytester"]  # runs small suites of its own: how the plugin is tested

# Before anything imports matplotlib, in this process and in those that tests start.
os.environ["MPLBACKEND"] = "Agg"


@pytest.fixture(scope="session", autouse=True)
def runs_of_lessons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the lessons' traces in a folder of this session, recorded once and shared by all its tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXPLAINER_RUNS", str(tmp_path_factory.mktemp("runs")))
        yield
