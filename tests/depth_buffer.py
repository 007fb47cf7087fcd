"""The referee of what hides what: every triangle's depth at every point asked for, in plain numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def turned(points: np.ndarray, azimuth: float, elevation: float) -> np.ndarray:
    """Return points (…, 3) as a camera sees them: right, up, towards it; by two rotation matrices."""
    spin, tip = np.radians(-(azimuth + 90)), np.radians(elevation - 90)
    about_z = np.array([[np.cos(spin), -np.sin(spin), 0], [np.sin(spin), np.cos(spin), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(tip), -np.sin(tip)], [0, np.sin(tip), np.cos(tip)]])
    return points @ (about_x @ about_z).T


@dataclass
class DepthBuffer:
    """Four-cornered faces (face, 4, 3), each as two triangles, seen from somewhere."""

    faces: np.ndarray
    azimuth: float
    elevation: float

    def depths(self, flat: np.ndarray) -> np.ndarray:
        """Return how near each face is at points of the screen (P, 2), (P, face); −inf where it is not."""
        seen = turned(self.faces, self.azimuth, self.elevation)
        found = np.full((len(flat), len(seen)), -np.inf)
        for corners in ((0, 1, 2), (0, 2, 3)):
            a, b, c = (seen[:, corner] for corner in corners)
            e, f = b - a, c - a
            area = e[:, 0] * f[:, 1] - e[:, 1] * f[:, 0]
            to = flat[:, None, :] - a[None, :, :2]
            with np.errstate(divide="ignore", invalid="ignore"):
                s = (to[..., 0] * f[:, 1] - to[..., 1] * f[:, 0]) / area
                t = (e[:, 0] * to[..., 1] - e[:, 1] * to[..., 0]) / area
                depth = a[:, 2] + s * e[:, 2] + t * f[:, 2]
                inside = (s >= 0) & (t >= 0) & (s + t <= 1) & (np.abs(area) > 1e-12)
            found = np.where(inside, np.maximum(found, np.nan_to_num(depth, nan=-np.inf)), found)
        return found
