"""The pixels of an image on their way to where they are needed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from manim import Animation, UpdateFromAlphaFunc, linear, smooth

from explainer.mobjects import shades
from explainer.mobjects.heat_map import Picture
from explainer.mobjects.network_diagram import Units, evenly
from explainer.theme import DARK, Theme

MOST = 1024  # pixels that fly; of a larger image these are evenly chosen
LAG = 0.7  # how much later the last pixel starts, in the time of one flight


class PixelFlight(Units):
    """All pixels of an image fly, row by row, to one place each, and are gone when they arrive."""

    def __init__(self, picture: Picture, ends: npt.ArrayLike, *, size: float = 0.03, theme: Theme = DARK) -> None:
        """Take the pixels from where the picture stands.

        Args:
            ends: (pixel, 3) where each of the image's pixels goes, in the order of rows.
            size: Of a pixel that is about to arrive, in frame units.
        """
        rows, columns = picture.values.shape[:2]
        chosen = evenly(rows * columns, MOST)
        low, high = picture.low, picture.high
        grey = picture.values if picture.values.ndim == 2 else picture.values.mean(axis=-1)
        self.starts = picture.cells().reshape(-1, 3)[chosen]
        self.ends = np.asarray(ends, float)[chosen]
        self.large, self.small = picture.height / rows, size
        super().__init__(
            self.starts,
            grey.ravel()[chosen],
            self.large,
            lambda values: shades.grey(values, low, high),
            theme=theme,
            square=True,
            stroke_width=0,
        )

    def set_progress(self, progress: float) -> PixelFlight:
        """Show how far they have come: 0 all in the image, 1 all at their place."""
        delay = np.arange(len(self.starts)) / max(len(self.starts) - 1, 1) * LAG
        shares = np.clip(progress * (1 + LAG) - delay, 0, 1)
        flown = np.array([smooth(share) for share in shares])[:, None]
        middles = self.starts + flown * (self.ends - self.starts)
        sizes = self.large + (self.small - self.large) * flown[:, 0]
        self.place(middles, sizes * np.minimum((1 - flown[:, 0]) / 0.1, 1))  # who has arrived is gone
        return self

    def fly(self, seconds: float = 2.0) -> Animation:
        """Return the flight as an animation."""
        return UpdateFromAlphaFunc(
            self, lambda pixels, alpha: pixels.set_progress(alpha), run_time=seconds, rate_func=linear, remover=True
        )
