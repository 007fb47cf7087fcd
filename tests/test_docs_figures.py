"""docs/figures.md: its lines run, and say and write what the page says they do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from explainer import plots

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).parent.parent / "docs" / "figures.md").read_text(encoding="utf-8")


def test_the_code_of_the_page_runs_and_writes_what_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):  # each goes on from the one before
        exec(compile(block, "docs/figures.md", "exec"), names)
    assert all((tmp_path / name).stat().st_size for name in ("flow.svg", "two.pdf", "flow.gif"))
    assert "How much gradient reaches each layer?" in capsys.readouterr().out


def test_every_figure_that_the_page_names_is_one() -> None:
    for name in re.findall(r"explainer plot ([a-z][a-z-]+)", PAGE):
        assert plots.find(name)
