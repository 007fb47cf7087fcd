from __future__ import annotations

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def test_the_readmes_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert blocks
    names: dict[str, object] = {}
    for block in blocks:  # each goes on from the one before
        exec(compile(block, "README.md", "exec"), names)
    assert (tmp_path / "gradient_flow.svg").stat().st_size > 1000
    assert len(names["trace"]) == 100
    assert names["trace"].missing == {}


def test_every_picture_and_link_of_the_readme_is_there() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert links
    missing = [link for link in links if not (Path(__file__).parent.parent / link).exists()]
    assert missing == []


def test_every_command_of_the_readme_is_one(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from explainer.cli import explainer

    commands = set(re.findall(r"^explainer ([a-z]+)", README, re.MULTILINE))
    assert {"demo", "record", "info", "plot", "verify", "render", "doctor"} <= commands
    for command in commands:
        assert CliRunner().invoke(explainer, [command, "--help"]).exit_code == 0
