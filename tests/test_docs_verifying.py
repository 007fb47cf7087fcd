from __future__ import annotations

import re
from pathlib import Path

import pytest

from explainer import verify

PAGE = (Path(__file__).parent.parent / "docs" / "verifying.md").read_text(encoding="utf-8")


def test_the_code_of_the_page_runs_and_prints_three_tables(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(block, "docs/verifying.md", "exec"), {})
    printed = capsys.readouterr().out
    for title in ("captures: ", "chain rule: ", "updates: "):
        assert title in printed
    assert "not judged" not in printed and "DIFFERS" not in printed


def test_every_check_is_on_the_page() -> None:
    asked = {name for name in verify.__all__ if name.islower()}
    assert asked == set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
