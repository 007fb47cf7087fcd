"""The doctor finds what is here, and says how to get what is not."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import pytest
import torch

from explainer import doctor
from explainer.doctor import Check


def check(name: str) -> Check:
    return next(check for check in doctor.checks() if check.name == name)


def test_every_check_says_what_it_is_for_and_how_to_get_it() -> None:
    extras = {"everything", "films", "lessons", "mnist", "dataframe"}
    found = doctor.checks()
    assert {check.needed_for for check in found} == extras
    assert all(check.install for check in found)
    assert len({check.name for check in found}) == len(found)


def test_versions_are_those_installed() -> None:
    assert check("NumPy").found == metadata.version("numpy")
    assert check("Python").found == ".".join(map(str, sys.version_info[:3]))


def test_torch_says_whether_it_computes_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert check("PyTorch").found == f"{torch.__version__}, CPU"


def test_a_package_that_is_missing_is_not_found_and_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cairo", None)
    cairo = check("cairo")
    assert cairo.found is None
    assert cairo.problem == ""
    assert "cairo" in cairo.install
    assert "pip install 'explainer[films]'" in cairo.install


def test_a_package_that_does_not_load_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> str:
        raise ImportError("libcairo.so.2: cannot open shared object file\nand more")

    monkeypatch.setattr(doctor, "_cairo", broken)
    assert check("cairo").found is None
    assert check("cairo").problem == "ImportError: libcairo.so.2: cannot open shared object file"


def test_a_full_disk_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LEAST_FREE", 10**18)
    assert check("disk space").found is None


def test_the_font_of_films_comes_with_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    font = doctor.film_font()
    assert font is not None
    assert font.read_bytes()[:4] == b"\x00\x01\x00\x00"  # the signature of TrueType
    monkeypatch.setattr(Path, "is_file", lambda self: False)
    assert check("font").found is None
