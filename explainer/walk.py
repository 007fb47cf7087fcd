"""A recorded walk beside a plane or a line, and what keeps arrays as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explainer.errors import SurfaceError

Floats = NDArray[np.float64]


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

    def __post_init__(self) -> None:
        seal(self, "steps", "path", "losses", "true_losses", "plane_losses", "off_plane", "slopes")
        count = len(self.steps) if self.steps.ndim == 1 else -1
        check(self.path.ndim == 2 and len(self.path) == count, f"the path of {count} steps is {self.path.shape}")
        check(self.slopes.shape == self.path.shape, f"slopes are {self.slopes.shape}, the path is {self.path.shape}")
        for name in ("losses", "true_losses", "plane_losses", "off_plane"):
            check(getattr(self, name).shape == (count,), f"{name} of {count} steps is {getattr(self, name).shape}")

    @property
    def gap(self) -> Floats:
        """(S,) by how much the plane's loss differs from the true one: plane_losses − true_losses."""
        return self.plane_losses - self.true_losses

    def __len__(self) -> int:
        return len(self.steps)

    def __repr__(self) -> str:
        steps = f"steps {self.steps[0]} to {self.steps[-1]}" if len(self) else "no step"
        return f"<Walk of {len(self)} steps, {steps}, {share(self.captured)} captured>"


def sealed(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return views of arrays through which nothing can be written; whoever made them keeps theirs as they were."""
    found = {name: np.asarray(values).view() for name, values in arrays.items()}
    for view in found.values():
        view.flags.writeable = False
    return found


def seal(owner: Any, *names: str) -> None:
    """Let attributes that are arrays be read only."""
    for name, view in sealed({name: getattr(owner, name) for name in names}).items():
        object.__setattr__(owner, name, view)


def check(holds: bool, message: str) -> None:
    """Refuse what does not hold together.

    Raises:
        SurfaceError: It does not.
    """
    if not holds:
        raise SurfaceError(message)


def check_axis(name: str, values: Floats) -> None:
    """Refuse coordinates that are no axis.

    Raises:
        SurfaceError: They do not rise, or are fewer than two.
    """
    rising = values.ndim == 1 and len(values) > 1 and bool(np.isfinite(values).all() and (np.diff(values) > 0).all())
    check(rising, f"{name} is no rising row of at least two numbers")


def share(captured: float) -> str:
    """Return a share for people: "99.7%"."""
    if np.isnan(captured):
        return "no share"
    return f"{captured:.1%}" if captured >= 0.001 or captured <= 0 else f"{100 * captured:.1g}%"
