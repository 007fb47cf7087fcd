from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from explainer.cli import explainer
from explainer.page.texts import texts

PAGE = (Path(__file__).parent.parent / "docs" / "page.md").read_text(encoding="utf-8")


def test_the_code_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(block, "docs/page.md", "exec"), {})
    assert "<title>Mine</title>" in (tmp_path / "mine.html").read_text(encoding="utf-8")


def test_every_view_is_on_the_page_by_its_title() -> None:
    titles = {sentence for key, sentence in texts("en").items() if key.endswith(".title")}
    assert titles == set(re.findall(r"^\| ([A-Z][^|]+\?) \|", PAGE, re.MULTILINE))


def test_every_option_of_the_page_is_one() -> None:
    told = CliRunner().invoke(explainer, ["page", "--help"]).output
    assert set(re.findall(r"--[a-z]+(?:-[a-z]+)*", PAGE)) <= set(re.findall(r"--[a-z]+(?:-[a-z]+)*", told))
