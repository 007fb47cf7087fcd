"""LossMountain of a surface whose losses are about alike: a mountain all the same, not a slab."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

manim = pytest.importorskip("manim", reason="films are not installed")

from explainer.surface import Surface, Walk  # noqa: E402
from scenes.loss_mountain import LossMountain  # noqa: E402


def read(lowest: float, monkeypatch: pytest.MonkeyPatch) -> LossMountain:
    """Return the film of a slope from this loss up by 0.04, as far as it has read its surface."""
    u, v = np.linspace(0, 4, 9), np.linspace(-1, 1, 5)
    losses = lowest + 0.01 * np.broadcast_to(u, (5, 9))
    flat = Surface(losses, {"w": np.zeros(2)}, ({"w": np.eye(2)[0]}, {"w": np.eye(2)[1]}), "random", u=u, v=v,
                   evaluated=np.isfinite(losses), data="50 examples")  # fmt: skip
    path = np.array([(3.5, 0.0), (0.5, 0.0)])
    planes, slopes = np.array([flat.height(*point) for point in path]), np.tile([0.01, 0.0], (2, 1))
    walk = Walk(np.arange(2), path, planes, planes, planes, np.zeros(2), slopes, 1.0)
    surface = replace(flat, walks={"walk": walk})
    monkeypatch.setattr("explainer.mobjects.trace_sources.open_surface", lambda folder: surface)
    monkeypatch.setenv("EXPLAINER_SURFACE", "given")
    with manim.tempconfig({"dry_run": True, "verbosity": "ERROR"}):
        film = LossMountain()
        film.setup()
        film.read()
    return film


def test_losses_that_are_about_alike_fill_the_height_of_the_mountain(monkeypatch: pytest.MonkeyPatch) -> None:
    film = read(0.63, monkeypatch)
    assert 0.62 < film.floor < 0.63 and film.ceiling == pytest.approx(0.67)


def test_losses_that_come_near_to_zero_are_seen_from_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(0.01, monkeypatch).floor == 0.0
