from __future__ import annotations

import re
from pathlib import Path

import pytest

import explainer
from explainer.sampler.planes import PLANES

PAGE = (Path(__file__).parent.parent / "docs" / "surfaces.md").read_text(encoding="utf-8")


def test_the_code_of_the_page_runs_and_prints_what_it_is_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 4
    names: dict[str, object] = {}
    for block in blocks:  # each goes on from the one before
        assert len(block.splitlines()) < 40
        exec(compile(block, "docs/surfaces.md", "exec"), names)
    printed = capsys.readouterr().out
    for words in (
        "plane 'pca': 15×15 points",
        "of their variance in the plane",
        "captured ",
        "step 59: ",
        "<Slice 'line'",
    ):
        assert words in printed
    assert isinstance(names["surface"], explainer.Surface)


def test_every_plane_is_on_the_page() -> None:
    assert set(PLANES) == set(re.findall(r'^\| `"(\w+)"` \|', PAGE, re.MULTILINE))
