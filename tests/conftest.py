"""What every test stands on: no window opens, and nothing is written beside the developer's own work."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from browser import Visit

pytest.register_assert_rewrite("filmed", "tests.filmed")  # what it checks of films is told as in a test
pytest_plugins = ["pytester"]  # runs small suites of its own: how the plugin is tested

# Before anything imports matplotlib, in this process and in those that tests start.
os.environ["MPLBACKEND"] = "Agg"

# Each of several workers has its share of the cores. torch's threads wait for each other by spinning: those of two
# workers on two cores take five times the processor time of one each, and are slower.
if "PYTEST_XDIST_WORKER" in os.environ:
    workers = int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--thorough",
        action="store_true",
        help="also every size of torchvision's models, 10,000 mutated traces and 200 killed runs",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is more of the same, unless it is asked for; begin with what takes long."""
    if "PYTEST_XDIST_WORKER" in os.environ:  # no core ends with a slow file while the others have nothing left to do
        sizes = Counter(item.path for item in items)
        slow = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: (item.path not in slow, -sizes[item.path]))
    if not config.getoption("--thorough"):
        left_out = pytest.mark.skip(reason="more of the same: tested by `pytest --thorough`")
        for item in items:
            if item.get_closest_marker("thorough"):
                item.add_marker(left_out)


@pytest.fixture(scope="session")
def thorough(pytestconfig: pytest.Config) -> bool:
    """Tell whether more of the same was asked for."""
    return bool(pytestconfig.getoption("--thorough"))


@pytest.fixture(scope="session", autouse=True)
def runs_of_lessons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the lessons' traces and surfaces in a folder of this session, made once and shared by all its workers."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXPLAINER_RUNS", str(shared / "runs-of-lessons"))
        yield


@pytest.fixture(autouse=True)
def closed_figures() -> Iterator[None]:
    """Close the figures that a test has opened, where it has drawn at all."""
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Start a browser for a file's tests."""
    from browser import browser

    with browser() as started:
        yield started


@pytest.fixture
def opened(chromium: Any) -> Iterator[Callable[..., Visit]]:
    """Open pages in windows of their own, with a browser context's options."""
    from browser import Visit

    found: list[Visit] = []

    def visiting(file: Path, **options: Any) -> Visit:
        found.append(Visit(chromium, file, **options))
        return found[-1]

    yield visiting
    for each in found:
        each.close()
