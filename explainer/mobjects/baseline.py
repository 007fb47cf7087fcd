"""Things set on a line: they know their size and where their baseline is, however they were moved or scaled."""

from typing import Self

from manim import UP, VMobject


class OnBaseline(VMobject):  # type: ignore[misc, unused-ignore]
    """A mobject of letters.

    A class of it calls `_lay_baseline` once its letters stand where Typst put them, baseline at height 0.
    """

    def _lay_baseline(self, size: float, *, empty: bool = False) -> None:
        self._size = size
        self._across = max(self.width, 1e-9)
        self._baseline = 0.0 if empty else float(-self.get_bottom()[1])

    @property
    def em(self) -> float:
        """The height of the em in frame units, after all scaling."""
        return self._size * self.width / self._across

    @property
    def baseline(self) -> float:
        """The height in the frame of the (first line's) baseline."""
        return float(self.get_bottom()[1]) + self._baseline * self.width / self._across

    def at_baseline(self, height: float) -> Self:
        """Move up or down until the baseline is at `height`, and return itself."""
        return self.shift(UP * (height - self.baseline))
