"""What a frame of a film costs, beside the stock way to draw the same; and how many frames a second that is.

python tests/benchmarks/film.py                 all of them
python tests/benchmarks/film.py mountain        one
python tests/benchmarks/film.py --frames 5 --size 1920x1080 --grid 51

Frames of both kinds are drawn in turn, in one process, so that whatever else the machine does meets both; medians.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from manim import DEGREES, Camera, Surface, ThreeDAxes, ThreeDCamera, tempconfig

from explainer.mobjects.mountain import Mountain
from explainer.surface import Surface as LossSurface
from explainer.surface import Walk

Frame = Callable[[], None]  # draws the next frame


@dataclass(frozen=True)
class Race:
    """The same picture, drawn in two ways.

    Attributes:
        target: How many times faster ours is to be.
    """

    what: str
    ours: Frame
    stock: Frame
    target: float


def hill(grid: int) -> LossSurface:
    """Return a bowl with a ridge, and a walk into it, at `grid` × `grid` points."""
    along = np.linspace(-3, 3, grid)
    walk = np.column_stack([np.linspace(2.5, 0, 78), 2 * np.sin(np.linspace(2.5, 0, 78))])
    losses, height = _height(*np.meshgrid(along, along)), _height(walk[:, 0], walk[:, 1])
    path = Walk(np.arange(78), walk, height, height, height, np.zeros(78), np.zeros((78, 2)), 1.0)
    whole = np.ones_like(losses, bool)
    return LossSurface(losses, {}, ({}, {}), "given", {"walk": path}, u=along, v=along, evaluated=whole)


def _height(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.asarray(0.1 * (u**2 + v**2) + 0.6 * np.exp(-((u - v) ** 2)))


def mountain(grid: int) -> Race:
    """The turning mountain, its axes and the walk on it, beside `Surface` and `ThreeDAxes`, which show no walk."""
    ours = Mountain(hill(grid), width=13, height=7).walk_to(60)
    camera = Camera(background_color="#10131A")
    turns = iter(np.linspace(-170, 170, 10_000))

    def our_frame() -> None:
        camera.reset()
        camera.capture_mobjects([ours.turn(float(next(turns)), 30)])

    axes = ThreeDAxes(x_range=(-3, 3), y_range=(-3, 3), z_range=(0, 3))
    stock = Surface(
        lambda u, v: axes.c2p(u, v, float(_height(np.array(u), np.array(v)))),
        u_range=(-3, 3), v_range=(-3, 3), resolution=(grid - 1, grid - 1),
    )  # fmt: skip
    space = ThreeDCamera(background_color="#10131A")
    angles = iter(np.linspace(0, 360, 10_000))

    def stock_frame() -> None:
        space.set_phi(60 * DEGREES)
        space.set_theta(float(next(angles)) * DEGREES)
        space.reset()
        space.capture_mobjects([axes, stock])

    return Race(f"mountain, {grid}×{grid} points, axes, camera turning", our_frame, stock_frame, target=8.0)


RACES: dict[str, Callable[[int], Race]] = {"mountain": mountain}


def run(race: Race, frames: int) -> Iterator[tuple[float, float]]:
    """Draw frames in turn, the first of each kind unmeasured, and yield their seconds."""
    race.ours()
    race.stock()
    for _ in range(frames):
        yield _seconds(race.ours), _seconds(race.stock)


def _seconds(draw: Frame) -> float:
    start = time.perf_counter()
    draw()
    return time.perf_counter() - start


def main() -> None:
    """Race, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("races", nargs="*", metavar="RACE", help=f"of {', '.join(RACES)}; all when omitted")
    parser.add_argument("--frames", type=int, default=5)
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--grid", type=int, default=51, help="points along each side of a surface")
    chosen = parser.parse_args()
    unknown = set(chosen.races) - set(RACES)
    if unknown:
        parser.error(f"there is no race {', '.join(sorted(unknown))}; there is {', '.join(RACES)}")
    width, height = map(int, chosen.size.split("x"))
    with tempconfig({"pixel_width": width, "pixel_height": height}):
        for name in chosen.races or RACES:
            race = RACES[name](chosen.grid)
            times = list(run(race, chosen.frames))
            ours, stock = (statistics.median(each) for each in zip(*times, strict=True))
            ratio = statistics.median(slow / fast for fast, slow in times)
            print(race.what, f"({width}×{height})")
            print(f"  ours   {1000 * ours:8.1f} ms a frame   {1 / ours:6.1f} frames a second")
            print(f"  stock  {1000 * stock:8.1f} ms a frame   {1 / stock:6.1f} frames a second")
            print(f"  {ratio:.1f} × faster (median of {len(times)} pairs; target {race.target:g} ×)")


if __name__ == "__main__":
    main()
