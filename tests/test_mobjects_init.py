"""The names that `explainer.mobjects` gives."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("manim")

from explainer import mobjects


def test_every_public_name_is_there_and_is_what_its_file_calls_so() -> None:
    for name in mobjects.__all__:
        assert getattr(mobjects, name).__name__ == name
    assert dir(mobjects) == sorted(mobjects.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"module 'explainer\.mobjects' has no attribute 'Matrix'"):
        _ = mobjects.Matrix


def test_the_package_itself_loads_neither_manim_nor_numpy() -> None:
    code = "import sys, explainer.mobjects; assert not {'manim', 'numpy', 'torch', 'matplotlib'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
