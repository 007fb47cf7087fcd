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
from explainer.walk import Floats, Walk, check, check_axis, seal, sealed, share

Weights = Mapping[str, NDArray[Any]]  # by parameter name


@dataclass(frozen=True)
class Sampled:
    """What a `Surface` (two directions) and a `Slice` (one) have in common. Its arrays can be read only.

    Attributes:
        losses: On the grid; NaN and infinite where the model's loss is.
        center: The weights at the origin, by parameter name.
        directions: One or two, each by parameter name, in the unit that the axes count in.
        plane: Which directions these are: "pca", "random", "ends", "hessian", "given", "gradient", "line", …
        walks: By name; the first is the one that `path` and the like speak of.
        metrics: By name, on the same grid as the losses.
        data: What the loss is the loss of, in words: "1,437 examples".
        batch_norm: Which statistics the norms had that keep running ones: "as is" (the model's), "re-estimated" (at
            every point), "of each batch" (in train mode), or "none" where there are no such norms.
        notes: What else was said: "model", "criterion", "mode", "center", and what is to be said of the directions.
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

    def __post_init__(self) -> None:
        seal(self, "losses")
        object.__setattr__(self, "center", sealed(self.center))
        object.__setattr__(self, "directions", tuple(sealed(each) for each in self.directions))
        object.__setattr__(self, "metrics", sealed(self.metrics))
        for place, direction in enumerate(self.directions):
            check(set(direction) == set(self.center), f"direction {place} is of other parameters than the center")
            for name, center in self.center.items():
                found = direction[name].shape
                check(found == center.shape, f"{name!r} is {found} in direction {place}, and {center.shape} in all")
        for name, walk in self.walks.items():
            found = walk.path.shape[1]
            check(found == len(self.directions), f"the path of the walk {name!r} has {found} coordinates")
        for name, values in self.metrics.items():
            check(values.shape == self.losses.shape, f"{name!r} is {values.shape}, and losses {self.losses.shape}")

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
        tolerance: The relative error that interpolation had to keep at points held out; None where there was none.
        worst: The largest relative error at the points held out to check it; 0 where nothing was interpolated. Beside
            them it can be larger.
    """

    u: Floats = field(default_factory=lambda: np.empty(0))
    v: Floats = field(default_factory=lambda: np.empty(0))
    evaluated: NDArray[np.bool_] = field(default_factory=lambda: np.empty((0, 0), np.bool_))
    tolerance: float | None = None
    worst: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.evaluated.size:
            object.__setattr__(self, "evaluated", np.ones(self.losses.shape, np.bool_))
        seal(self, "u", "v", "evaluated")
        check(len(self.directions) == 2, f"a plane has two directions, and there are {len(self.directions)}")
        check_axis("u", self.u)
        check_axis("v", self.v)
        for name in ("losses", "evaluated"):
            found, wanted = getattr(self, name).shape, (len(self.v), len(self.u))
            check(found == wanted, f"{name} of {wanted[1]} points along u and {wanted[0]} along v are {found}")

    @property
    def path(self) -> Floats:
        """(S, 2) where the first walk's shadow falls on the plane."""
        return self.walk.path

    def weights_at(self, u: float, v: float) -> dict[str, NDArray[Any]]:
        """Return the weights at a point of the plane, by parameter name, in its dtypes; float32 for bfloat16."""
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

    def summary(self) -> str:
        """Return what the surface is and how far it can be trusted, in a few lines of text."""
        found = self.losses[np.isfinite(self.losses)]
        heights = f"{found.min():.4g} to {found.max():.4g}" if found.size else "nowhere finite"
        missing = self.losses.size - found.size
        lost = f", {missing} of {self.losses.size} points not finite" if found.size and missing else ""
        lines = [
            f"plane {self.plane!r}: {len(self.u)}×{len(self.v)} points, u {self.u[0]:.4g} to {self.u[-1]:.4g}, "
            f"v {self.v[0]:.4g} to {self.v[-1]:.4g}",
            f"loss {heights}{lost}; {self.data or 'data unknown'}; running statistics of norms: {self.batch_norm}",
            f"evaluated {int(self.evaluated.sum())} of {self.evaluated.size} points"
            + (
                ""
                if self.tolerance is None
                else f"; the others interpolated: {self.worst:.2%} off at worst where that was checked, "
                f"{self.tolerance:.2%} allowed"
            ),
        ]
        for name, walk in self.walks.items():
            text = f"{name}: {len(walk)} steps, {share(walk.captured)} of their variance in the plane"
            if np.isfinite(walk.gap).any():
                place = int(np.nanargmax(np.abs(walk.gap)))
                text += (
                    f"; at most {np.nanmax(walk.off_plane):.4g} off it; largest gap between the plane's loss and the "
                    f"true one {walk.gap[place]:+.4g} at step {walk.steps[place]}"
                )
            lines.append(text)
        return "\n".join(lines)

    def __repr__(self) -> str:
        walks = "".join(f", {name}: {share(walk.captured)} captured" for name, walk in self.walks.items())
        return f"<Surface {len(self.u)}×{len(self.v)}, plane {self.plane!r}, {self.data}{walks}>"


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

    def __post_init__(self) -> None:
        super().__post_init__()
        seal(self, "t")
        check(len(self.directions) == 1, f"a line has one direction, and there are {len(self.directions)}")
        check_axis("t", self.t)
        check(self.losses.shape == self.t.shape, f"losses are {self.losses.shape}, and t is {self.t.shape}")

    @property
    def path(self) -> Floats:
        """(S,) where the first walk's shadow falls on the line."""
        return self.walk.path[:, 0]

    def weights_at(self, t: float) -> dict[str, NDArray[Any]]:
        """Return the weights at a point of the line, by parameter name, in its dtypes; float32 for bfloat16."""
        return self._weights_at(t)

    def save(self, folder: str | Path) -> Path:
        """Write the slice into a folder of its own: slice.json and slice.safetensors.

        Raises:
            SurfaceError: The folder holds something else, or cannot be written.
        """
        from explainer.surface_folder import write_slice

        return write_slice(self, Path(folder))

    def __repr__(self) -> str:
        return (
            f"<Slice {self.plane!r}, {len(self.t)} points from {self.t[0]:.3g} to {self.t[-1]:.3g}, {self.data}, "
            f"loss {self.loss:.4g} and slope {self.slope:.4g} at 0>"
        )


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

    def __post_init__(self) -> None:
        seal(self, "steps", "step_losses")
        counts = {len(self.surfaces), *self.steps.shape, *self.step_losses.shape}
        check(len(counts) == 1 and 0 not in counts, "a sequence has a step and a loss for each of its surfaces")

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


def open_slice(folder: str | Path) -> Slice:
    """Open a slice that was saved.

    Raises:
        SurfaceError: There is none, it is damaged, or of a newer format.
    """
    from explainer.surface_folder import read_slice

    return read_slice(Path(folder))


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


__all__ = [
    "Sampled", "Slice", "Surface", "SurfaceSequence", "Walk", "open_slice", "open_surface", "open_surface_sequence",
]  # fmt: skip
