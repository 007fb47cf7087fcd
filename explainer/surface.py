"""A surface: the loss over a plane through weights, and the recorded walks beside it. Read without torch.

A point (u, v) of the plane is the weights `center + u·directions[0] + v·directions[1]`: anyone can check it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explainer.errors import SurfaceError

Floats = NDArray[np.float64]
Weights = Mapping[str, NDArray[Any]]  # by parameter name


@dataclass(frozen=True)
class Walk:
    """The recorded walk of one run, beside a plane of two directions or a line of one.

    Three losses stand at each step, and where they differ, the picture is not the walk. Recorded: of that step's batch.
    True: of the recorded weights, on the surface's data. On the plane: of the nearest point of the plane.

    Attributes:
        steps: (S,) the recorded step numbers.
        path: (S, D) where the walk's shadow falls on the plane: the nearest point to each step's weights.
        losses: (S,) as recorded, each on its own batch; NaN where a step has none.
        true_losses: (S,) at the recorded weights, on the surface's data.
        plane_losses: (S,) at the shadow, on the surface's data.
        off_plane: (S,) distance of the recorded weights from the plane, in the weights' own unit.
        slopes: (S, D) ∂loss/∂u and ∂loss/∂v at the shadow, by autograd; NaN where they were not asked for.
        captured: The share of Σ‖w − center‖² that lies in the plane; NaN for a walk that does not move.
    """

    steps: NDArray[np.int64]
    path: Floats
    losses: Floats
    true_losses: Floats
    plane_losses: Floats
    off_plane: Floats
    slopes: Floats
    captured: float

    @property
    def gap(self) -> Floats:
        """(S,) by how much the plane's loss differs from the true one: plane_losses − true_losses."""
        return self.plane_losses - self.true_losses

    def __len__(self) -> int:
        return len(self.steps)


@dataclass(frozen=True)
class Sampled:
    """What a `Surface` (two directions) and a `Slice` (one) have in common.

    Attributes:
        losses: On the grid; NaN and infinite where the model's loss is.
        center: The weights at the origin, by parameter name.
        directions: One or two, each by parameter name, in the unit that the axes count in.
        plane: Which directions these are: "pca", "random", "ends", "hessian", "given", "gradient", "line", …
        walks: By name; the first is the one that `path` and the like speak of.
        metrics: By name, on the same grid as the losses.
        data: What the loss is the loss of, in words: "1,437 examples".
        batch_norm: How buffers of normalisation were treated: "as is", "re-estimated", or "none" where there are none.
        notes: What else was said of the model and the data, such as {"model": "Sequential", "criterion": "NLLLoss"}.
    """

    losses: Floats
    center: Weights
    directions: tuple[Weights, ...]
    plane: str
    walks: Mapping[str, Walk] = field(default_factory=dict)
    metrics: Mapping[str, Floats] = field(default_factory=dict)
    data: str = ""
    batch_norm: str = "none"
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def walk(self) -> Walk:
        """The first walk.

        Raises:
            SurfaceError: The surface has none.
        """
        if not self.walks:
            raise SurfaceError("the surface has no walk: give loss_surface the trace of a run, trace=…")
        return next(iter(self.walks.values()))

    @property
    def path_losses(self) -> Floats:
        """(S,) the first walk's losses, as recorded."""
        return self.walk.losses

    @property
    def plane_losses(self) -> Floats:
        """(S,) the loss on the plane at each point of the first walk's path."""
        return self.walk.plane_losses

    @property
    def off_plane(self) -> Floats:
        """(S,) how far the first walk is from the plane, in the weights' own unit."""
        return self.walk.off_plane

    @property
    def captured(self) -> float:
        """The share of the first walk's variance about the center that the plane holds."""
        return self.walk.captured

    def shadow(self, weights: Weights) -> tuple[Floats, float]:
        """Return the nearest point of the plane to some weights, (D,), and how far they are from it.

        Raises:
            SurfaceError: A parameter is missing or has another shape.
        """
        offset = self._flat(weights) - self._flat(self.center)
        point: Floats = np.linalg.solve(self._gram, np.array([offset @ each for each in self._axes]))
        rest = offset - sum(x * axis for x, axis in zip(point, self._axes, strict=True))
        return point, float(np.linalg.norm(rest))

    def _weights_at(self, *point: float) -> dict[str, NDArray[Any]]:
        found = {}
        for name, center in self.center.items():
            moved = np.asarray(center, np.float64)
            for x, direction in zip(point, self.directions, strict=True):
                moved = moved + x * np.asarray(direction[name], np.float64)
            found[name] = moved.astype(center.dtype)
        return found

    @cached_property
    def _axes(self) -> list[Floats]:
        return [self._flat(direction) for direction in self.directions]

    @cached_property
    def _gram(self) -> Floats:
        return np.array([[first @ second for second in self._axes] for first in self._axes])

    def _flat(self, weights: Weights) -> Floats:
        for name, center in self.center.items():
            if name not in weights:
                raise SurfaceError(f"the weights lack {name!r}, which the surface's model has")
            if weights[name].shape != center.shape:
                raise SurfaceError(f"{name!r} is {weights[name].shape}, and the surface's model has {center.shape}")
        return np.concatenate([np.asarray(weights[name], np.float64).ravel() for name in self.center])


@dataclass(frozen=True)
class Surface(Sampled):
    """The loss over a plane through weights; get one from `explainer.loss_surface` or `explainer.open_surface`.

    Attributes:
        losses: (V, U) the loss at (u[j], v[i]) in row i and column j.
        u: (U,) along the first direction.
        v: (V,) along the second.
        evaluated: (V, U) whether a point's loss was evaluated; the others were interpolated from them.
        tolerance: The relative error that interpolation had to keep; None where nothing was interpolated.
        worst: The largest relative error at the points held out to check it; 0 where nothing was interpolated.
    """

    u: Floats = field(default_factory=lambda: np.empty(0))
    v: Floats = field(default_factory=lambda: np.empty(0))
    evaluated: NDArray[np.bool_] = field(default_factory=lambda: np.empty((0, 0), np.bool_))
    tolerance: float | None = None
    worst: float = 0.0

    @property
    def path(self) -> Floats:
        """(S, 2) where the first walk's shadow falls on the plane."""
        return self.walk.path

    def weights_at(self, u: float, v: float) -> dict[str, NDArray[Any]]:
        """Return the weights at a point of the plane, by parameter name, in the model's own dtypes."""
        return self._weights_at(u, v)

    def height(self, u: float, v: float) -> float:
        """Return the loss as the grid is drawn: between four points, bilinear; NaN off the grid.

        For drawing only: what a picture shows between evaluated points. A loss is in `losses` and `plane_losses`.
        """
        if not (self.u[0] <= u <= self.u[-1] and self.v[0] <= v <= self.v[-1]):
            return float("nan")
        column = min(int(np.searchsorted(self.u, u, "right")) - 1, len(self.u) - 2)
        row = min(int(np.searchsorted(self.v, v, "right")) - 1, len(self.v) - 2)
        across = (u - self.u[column]) / (self.u[column + 1] - self.u[column])
        up = (v - self.v[row]) / (self.v[row + 1] - self.v[row])
        low, high = self.losses[row : row + 2, column : column + 2]
        return float(
            (1 - up) * ((1 - across) * low[0] + across * low[1]) + up * ((1 - across) * high[0] + across * high[1])
        )

    def save(self, folder: str | Path) -> Path:
        """Write the surface into a folder of its own: surface.json and surface.safetensors.

        Raises:
            SurfaceError: The folder holds something else, or cannot be written.
        """
        from explainer.surface_folder import write

        return write(self, Path(folder))

    def __repr__(self) -> str:
        return f"<Surface {self.losses.shape[1]}×{self.losses.shape[0]}, plane {self.plane!r}, {self.data}>"


@dataclass(frozen=True)
class Slice(Sampled):
    """The loss along a line through weights; get one from `explainer.loss_slice`.

    Attributes:
        losses: (T,).
        t: (T,) along the line; 0 is `center`.
        loss: At t = 0.
        slope: d loss / d t at t = 0: the gradient, by autograd, times the direction.
        step: The recorded step whose weights are the center; None without a trace.
    """

    t: Floats = field(default_factory=lambda: np.empty(0))
    loss: float = float("nan")
    slope: float = float("nan")
    step: int | None = None

    @property
    def path(self) -> Floats:
        """(S,) where the first walk's shadow falls on the line."""
        return self.walk.path[:, 0]

    def weights_at(self, t: float) -> dict[str, NDArray[Any]]:
        """Return the weights at a point of the line, by parameter name, in the model's own dtypes."""
        return self._weights_at(t)


@dataclass(frozen=True)
class SurfaceSequence(Sequence[Surface]):
    """The surface around the current weights at several recorded steps; one pair of directions, one scale.

    Attributes:
        steps: (N,) the recorded steps.
        surfaces: One each; the weights of its step stand at (0, 0).
        step_losses: (N,) the loss at each center, on the surfaces' data.
    """

    steps: NDArray[np.int64]
    surfaces: tuple[Surface, ...]
    step_losses: Floats

    @property
    def lowest(self) -> float:
        """The smallest finite loss on any of them: where the common scale begins."""
        return float(min(np.min(each.losses[np.isfinite(each.losses)], initial=np.inf) for each in self.surfaces))

    @property
    def highest(self) -> float:
        """The largest finite loss on any of them: where the common scale ends."""
        return float(max(np.max(each.losses[np.isfinite(each.losses)], initial=-np.inf) for each in self.surfaces))

    def __len__(self) -> int:
        return len(self.surfaces)

    def __getitem__(self, index: Any) -> Any:
        return self.surfaces[index]

    def __iter__(self) -> Iterator[Surface]:
        return iter(self.surfaces)

    def save(self, folder: str | Path) -> Path:
        """Write the sequence into a folder of its own: a folder for each surface, and sequence.json.

        Raises:
            SurfaceError: The folder holds something else, or cannot be written.
        """
        from explainer.surface_folder import write_sequence

        return write_sequence(self, Path(folder))


def open_surface(folder: str | Path) -> Surface:
    """Open a surface that was saved.

    Raises:
        SurfaceError: There is none, it is damaged, or of a newer format.
    """
    from explainer.surface_folder import read

    return read(Path(folder))


def open_surface_sequence(folder: str | Path) -> SurfaceSequence:
    """Open a sequence of surfaces that was saved.

    Raises:
        SurfaceError: There is none, it is damaged, or of a newer format.
    """
    from explainer.surface_folder import read_sequence

    return read_sequence(Path(folder))
