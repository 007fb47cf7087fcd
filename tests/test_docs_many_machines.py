"""The page about many machines is true: its code runs, its commands exist, its arithmetic is right."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

import explainer

PAGE = (Path(__file__).parent.parent / "docs" / "many-machines.md").read_text(encoding="utf-8")

# Dask's own: its loop and comms end in threads that outlive what Python sees as their owner.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


@pytest.mark.slow
def test_the_code_of_the_page_runs_and_both_ways_give_one_surface(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    run = [block for block in blocks if not block.startswith("# mine.py")]
    assert len(blocks) == 4 and len(run) == 2
    for block in blocks:
        compile(block, "docs/many-machines.md", "exec")
    names: dict[str, object] = {"__name__": "__main__"}
    for block in run:
        exec(compile(block, "docs/many-machines.md", "exec"), names)
    saved = explainer.open_surface(tmp_path / "surfaces" / "small")
    np.testing.assert_allclose(names["surface"].losses, saved.losses, rtol=1e-6)


def test_every_option_of_the_page_is_one_of_the_command() -> None:
    from explainer.cli.surface import compute_surface

    known = {option for parameter in compute_surface.params for option in parameter.opts}
    commands = [
        shlex.split(line.partition("explainer surface")[2])
        for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
        for line in block.replace("\\\n", " ").splitlines()
        if "explainer surface" in line
    ]
    assert len(commands) == 3
    for command in commands:
        assert {each for each in command if each.startswith("-")} <= known
        compute_surface.make_context("surface", command)  # parses


def test_the_arithmetic_of_the_page_is_right() -> None:
    point = 2.6 * 1000 / 32
    whole = 101**2 * point
    assert f"= {point:.0f} s |" in PAGE
    assert f"{101**2:,} · {point:.0f} s = {whole / 86400:.1f} days" in PAGE
    assert f"16 cores | {whole / 16 / 3600:.0f} hours" in PAGE
    assert f"{whole / 16 / 12 / 3600:.1f} hours |" in PAGE
