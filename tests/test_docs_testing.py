"""The page about tests is true: its examples pass, its faults are found, and its failures read as it says."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import pytest

from explainer import testing

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).parent.parent / "docs" / "testing.md").read_text(encoding="utf-8")
_NUMBER = re.compile(r"(?<![\w.])-?\d+\.?\d*(?:e[+-]\d+)?(?![\w])")


class Fault(NamedTuple):
    """A test file of the page with one line changed, and what the page says that pytest then says."""

    source: str
    said: str


def examples() -> list[str]:
    return re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def faults() -> list[Fault]:
    """Read the page from the top: a change is of the example above it, and what follows is its failure."""
    found, example, changed = [], "", ""
    for kind, block in re.findall(r"```(python|diff|text)\n(.*?)```", PAGE, re.DOTALL):
        if kind == "python":
            example = block
        elif kind == "diff":
            (old,) = re.findall(r"^- (.*)$", block, re.MULTILINE)
            (new,) = re.findall(r"^\+ (.*)$", block, re.MULTILINE)
            assert example.count(old) == 1, f"{old!r} must stand once in the example above it"
            changed = example.replace(old, new)
        else:
            found.append(Fault(changed, block))
    return found


@pytest.fixture(scope="module")
def failures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Run all examples and all faults as the test files of one suite; returns the lines of each one's failure."""
    folder = tmp_path_factory.mktemp("page")
    sources = {f"example_{number}": source for number, source in enumerate(examples())}
    sources |= {f"fault_{number}": fault.source for number, fault in enumerate(faults())}
    for name, source in sources.items():
        (folder / f"test_{name}.py").write_text(source, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "error", "--junitxml=report.xml"]
    done = subprocess.run([*command, "--rootdir=."], cwd=folder, capture_output=True, text=True, check=False)
    found: dict[str, list[str]] = {}
    for case in ElementTree.parse(folder / "report.xml").getroot().iter("testcase"):
        text = "".join(each.text or "" for each in case if each.tag in ("failure", "error"))
        lines = [line.removeprefix("E").strip() for line in text.splitlines() if re.match(r"E( |$)", line)]
        found[case.attrib["classname"].removeprefix("test_")] = lines
    assert set(found) == set(sources), done.stdout + done.stderr
    return found


def without_numbers(line: str) -> str:
    return re.sub(r"\s+", " ", _NUMBER.sub("#", line)).strip()


def numbers(line: str) -> list[float]:
    return [float(each) for each in _NUMBER.findall(line)]


def agree(said: str, found: str) -> bool:
    """Whether two lines have the same words, and numbers that differ by what another machine's roundings may do."""
    return without_numbers(said) == without_numbers(found) and all(
        math.isclose(here, there, rel_tol=0.05, abs_tol=1e-12)
        for here, there in zip(numbers(said), numbers(found), strict=True)
    )


@pytest.mark.parametrize("number", range(3))
def test_an_example_is_whole_short_and_passes(failures: dict[str, list[str]], number: int) -> None:
    assert len(examples()[number].splitlines()) < 30
    assert failures[f"example_{number}"] == []


@pytest.mark.parametrize("number", range(4))
def test_a_fault_is_found_and_reads_as_the_page_says(failures: dict[str, list[str]], number: int) -> None:
    found = failures[f"fault_{number}"]
    said = [line.strip() for line in faults()[number].said.splitlines()]
    assert len(said) >= 1
    start = next((at for at, line in enumerate(found) if agree(said[0], line)), None)
    assert start is not None, "\n".join(found)
    there = found[start : start + len(said)]
    assert [pair for pair in zip(said, there, strict=True) if not agree(*pair)] == []


def test_the_page_has_no_other_examples_and_names_every_assertion() -> None:
    assert (len(examples()), len(faults())) == (3, 4)
    assert set(re.findall(r"`(assert_\w+)\(", PAGE)) == set(testing.__all__)


@pytest.mark.parametrize(
    ("said", "found", "same"),
    [
        ("step 0: norm 1.00e-05", "step 0: norm 1.02e-05", True),
        ("step 0: norm 1.00e-05", "step 0: norm 1.20e-05", False),
        ("step 0: norm 1", "step 1: norm 1", False),
        ("layer '3' (ReLU)", "layer '4' (ReLU)", False),
        ("5 of 32 units are dead", "5 of 32 units are alive", False),
    ],
)
def test_the_comparison_can_fail(said: str, found: str, same: bool) -> None:
    assert agree(said, found) is same
