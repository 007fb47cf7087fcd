"""Surfaces, slices and sequences made by hand: each number in them is known, and no model is needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explainer.surface import Slice, Surface, SurfaceSequence, Walk

Loss = Callable[[Any, Any], Any]


def bowl(u: Any, v: Any) -> Any:
    """Return a loss from 0.5 at (0, 0) on: 0.5 + u² + 2v²."""
    return 0.5 + u * u + 2 * v * v


def bowl_slopes(path: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ∂bowl/∂u and ∂bowl/∂v along a path (S, 2)."""
    return np.column_stack([2 * path[:, 0], 4 * path[:, 1]])


def make_walk(path: Any = None, *, gap: Any = 0.0, loss: Loss = bowl, captured: float = 0.876) -> Walk:
    """Make a walk whose true loss is the plane's minus `gap`, recorded losses 0.1 above the true ones."""
    path = np.array([(1.5, 0.8), (1.0, -0.5), (0.6, 0.3), (0.3, -0.1), (0.0, 0.0)] if path is None else path, float)
    plane = np.asarray(loss(path[:, 0], path[:, 1]), float)
    true = plane - np.broadcast_to(gap, len(path))
    return Walk(
        steps=np.arange(len(path)) * 10,
        path=path,
        losses=true + 0.1,
        true_losses=true,
        plane_losses=plane,
        off_plane=np.zeros(len(path)),
        slopes=bowl_slopes(path),
        captured=captured,
    )


def make_surface(
    walks: Mapping[str, Walk] | None = None,
    *,
    loss: Loss = bowl,
    shape: tuple[int, int] = (17, 21),
    lost: Any = None,
    **about: Any,
) -> Surface:
    """Make a surface of (V, U) points over u in ±2 and v in ±1; where `lost` (V, U) is true the loss is NaN."""
    u, v = np.linspace(-2, 2, shape[1]), np.linspace(-1, 1, shape[0])
    losses = np.asarray(loss(*np.meshgrid(u, v)), float)
    if lost is not None:
        losses = np.where(lost, np.nan, losses)
    weights = {"w": np.array([0.25, -0.5, 1.0], np.float32)}
    directions = ({"w": np.array([0.6, 0.8, 0.0], np.float32)}, {"w": np.array([-0.8, 0.6, 0.0], np.float32)})
    told: dict[str, Any] = {"plane": "pca", "data": "12 examples", "center": weights, "directions": directions}
    told |= {"walks": {"walk": make_walk(loss=loss)} if walks is None else walks, **about}
    return Surface(losses=losses, u=u, v=v, evaluated=np.isfinite(losses) | True, **told)


def make_slice(*, slope: float = 1.5, walk: bool = True, lost: Any = None, **about: Any) -> Slice:
    """Make a slice of 0.5 + slope·t + t² over t in ±1."""
    t = np.linspace(-1, 1, 41)
    losses = 0.5 + slope * t + t * t
    if lost is not None:
        losses = np.where(lost, np.inf, losses)
    path = np.array([[0.9], [0.4], [0.0], [-0.3]])
    plane = 0.5 + slope * path[:, 0] + path[:, 0] ** 2
    steps = Walk(np.arange(4), path, plane + 0.3, plane + 0.2, plane, np.ones(4), np.full((4, 1), slope), 0.31)
    told: dict[str, Any] = {
        "plane": "gradient",
        "data": "12 examples",
        "center": {"w": np.zeros(2, np.float32)},
        "directions": ({"w": np.array([0.6, 0.8], np.float32)},),
        "walks": {"walk": steps} if walk else {},
        "step": 2,
        "notes": {"center": "step 2"},
    }
    return Slice(losses=losses, t=t, loss=0.5, slope=slope, **(told | about))


def make_sequence() -> SurfaceSequence:
    """Make three surfaces that sink from a plain at 2.3 into the bowl; their centers are at 2.3, 1.4 and 0.5."""
    shares = (0.0, 0.5, 1.0)
    surfaces = tuple(
        make_surface({}, loss=lambda u, v, s=share: 2.3 * (1 - s) + s * bowl(u, v), plane="random", shape=(9, 9))
        for share in shares
    )
    return SurfaceSequence(np.array([0, 20, 400]), surfaces, np.array([2.3 * (1 - s) + 0.5 * s for s in shares]))
