"""What a frame of a film costs, beside the stock way to draw the same; and how many frames a second that is.

python tests/benchmarks/film.py                       all races
python tests/benchmarks/film.py mountain network      some
python tests/benchmarks/film.py --frames 5 --size 1920x1080 --grid 51
python tests/benchmarks/film.py films --quality draft      every film of the lecture: frames a second, and memory
python tests/benchmarks/film.py lecture --quality draft    the whole lecture: from nothing, and when nothing changed
python tests/benchmarks/film.py stock                      three films at 1080p, ours beside the same drawn stock

In a race frames of both kinds are drawn in turn, in one process, so that whatever else the machine does meets both;
medians. Films and the lecture are rendered by `explainer render` into a folder of their own; lessons and surfaces are
recorded before the clock starts.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from manim import (
    DEGREES,
    Camera,
    Circle,
    Line,
    ManimColor,
    Square,
    Surface,
    ThreeDAxes,
    ThreeDCamera,
    VGroup,
    tempconfig,
)  # fmt: skip

from explainer import render as studio
from explainer.mobjects import shades
from explainer.mobjects.heat_map import HeatMap
from explainer.mobjects.mountain import Mountain
from explainer.mobjects.network_diagram import Column, NetworkDiagram
from explainer.surface import Surface as LossSurface
from explainer.surface import Walk
from explainer.theme import NEGATIVE, POSITIVE

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


def network(_: int) -> Race:
    """The lecture's network as examples pass, 16 units a layer, beside stock circles and lines: its weights stay."""
    return _network(learns=False)


def learning(_: int) -> Race:
    """The same as it learns: in every frame other weights too, so that no edge is as it was."""
    return _network(learns=True)


def _network(learns: bool) -> Race:
    random = np.random.default_rng(0)
    columns = [Column(random.normal(size=count), "") for count in (784, 128, 64, 10)]
    weights = [random.normal(size=(len(end.drawn), len(start.drawn))) for start, end in pairwise(columns)]
    ours = NetworkDiagram(columns, weights, width=9, height=5)
    camera = Camera(background_color="#10131A")

    def our_frame() -> None:
        ours.set_values([random.normal(size=len(each.values)) for each in columns])
        if learns:
            ours.set_weights([random.normal(size=each.shape) for each in weights])
        camera.reset()
        camera.capture_mobjects([ours])

    circles = VGroup(*(Circle(0.1, fill_opacity=1).move_to(at) for units in ours.units for at in units.middles()))
    lines = VGroup(
        *(
            Line(start, end, stroke_width=2)
            for before, after in pairwise(ours.units)
            for start in before.middles()
            for end in after.middles()
        )
    )
    stage = Camera(background_color="#10131A")

    def stock_frame() -> None:
        for circle, colour in zip(circles, shades.signed(random.normal(size=len(circles)), 2), strict=True):
            circle.set_fill(ManimColor(tuple(colour)))
        for line, weight in zip(lines, random.normal(size=len(lines) * learns), strict=learns):
            line.set_stroke(POSITIVE if weight > 0 else NEGATIVE, width=2 * abs(weight))
        stage.reset()
        stage.capture_mobjects([lines, circles, ours.labels])

    what = f"network of 4 layers, 58 units and 672 edges, new activations{' and weights' * learns}"
    return Race(what, our_frame, stock_frame, target=1.2 if learns else 4.0)


def heat_map(_: int) -> Race:
    """The gradient of 28×28 weights as one image, beside 784 squares."""
    random = np.random.default_rng(0)
    ours, camera = HeatMap(random.normal(size=(28, 28)), height=5), Camera(background_color="#10131A")

    def our_frame() -> None:
        ours.set_values(random.normal(size=(28, 28)))
        camera.reset()
        camera.capture_mobjects([ours])

    squares = VGroup(*(Square(5 / 28, stroke_width=0, fill_opacity=1) for _ in range(784)))
    squares.arrange_in_grid(28, 28, buff=0)
    stage = Camera(background_color="#10131A")

    def stock_frame() -> None:
        for square, colour in zip(squares, shades.signed(random.normal(size=784), 2), strict=True):
            square.set_fill(ManimColor(tuple(colour)))
        stage.reset()
        stage.capture_mobjects([squares])

    return Race("heat map of 28×28 numbers, new numbers", our_frame, stock_frame, target=8.0)


RACES: dict[str, Callable[[int], Race]] = {
    "mountain": mountain, "network": network, "learning": learning, "heat-map": heat_map,
}  # fmt: skip


# ── Whole films ──────────────────────────────────────────────────────────────────────────────────────────────────


def rendered(*words: str) -> tuple[float, dict[str, object]]:
    """Run `explainer render`, and return its seconds and what it says of the films."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "explainer", "render", *words, "--json", "-q"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    return time.perf_counter() - started, told if isinstance(told, dict) else {"films": told}


def prepare() -> None:
    """Record what the films show, and compute their surfaces."""
    from explainer.cli.films import prepare as recorded

    recorded(list(studio.find_scenes().values()), studio.Settings(), None, lambda what, share, word: None)


def films(quality: str) -> None:
    """Render every film by itself, on one core."""
    rate = studio.QUALITIES[quality].rate
    with tempfile.TemporaryDirectory() as folder:
        for name in studio.find_scenes():
            seconds, told = rendered(name, "--quality", quality, "-o", folder, "--jobs", "1")
            (film,) = told["films"]  # type: ignore[misc]
            frames = film["film_seconds"] * rate
            memory = film["memory"] / 1e6 if film["memory"] else float("nan")
            print(
                f"  {name:22} {film['film_seconds']:5.1f} s of film in {seconds:6.1f} s   "
                f"{frames / seconds:6.1f} frames a second   at most {memory:5.0f} MB"
            )


def lecture(quality: str) -> None:
    """Render the lecture from nothing, then again."""
    with tempfile.TemporaryDirectory() as folder:
        words = "lecture", "--quality", quality, "-o", folder
        first, told = rendered(*words)
        second, _ = rendered(*words)
        alone = sum(film["seconds"] for film in told["films"])  # type: ignore[attr-defined]
        length = told["lecture"]["film_seconds"]  # type: ignore[index]
        size = Path(told["lecture"]["file"]).stat().st_size / 1e6  # type: ignore[index]
    print(f"  the lecture, {quality}: {length / 60:.1f} minutes, {size:.0f} MB, {studio.cores()} cores")
    print(f"  from nothing {first:7.1f} s ({alone / first:.2f} films at once), target under 300 s for draft")
    print(f"  unchanged    {second:7.1f} s, target under 20 s")


def stock(_: str, rates: tuple[int, int] = (1, 3)) -> None:
    """Render three films at 1080p as ours and, by `stock.py`, with manim's own mobjects.

    What a further frame costs is what a film costs at 60 frames a second, where little else counts: each film is
    rendered at two rates, and the difference counted. It is in processor seconds, which other work on the machine
    hardly changes. What several films at once bring comes on top: `lecture` prints it.
    """
    ratios = []
    for name in ("TrainingLoop", "GradientFlow", "DigitLearning"):
        each = {}
        for how in ("ours", "stock"):
            few, many = (_drawn(name, how, rate) for rate in rates)
            each[how] = (many["processor"] - few["processor"]) / (many["frames"] - few["frames"])
            minutes = (many["processor"] + each[how] * many["frames"] * (60 / rates[1] - 1)) / 60
            print(
                f"  {name:14} {how:6} {1000 * each[how]:6.0f} ms of processor a frame, {minutes:5.1f} minutes at 60 a "
                "second", flush=True,
            )  # fmt: skip
        ratios.append(each["stock"] / each["ours"])
    print(f"  {', '.join(f'{ratio:.1f}' for ratio in ratios)} × less than stock; target 3 ×, with the films at once")


def _drawn(name: str, how: str, rate: int) -> dict[str, float]:
    command = [sys.executable, str(Path(__file__).with_name("stock.py")), name, how, str(rate)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])  # after what manim prints
    return told


WHOLE: dict[str, Callable[[str], None]] = {"films": films, "lecture": lecture, "stock": stock}


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
    known = ", ".join([*RACES, *WHOLE])
    parser.add_argument("races", nargs="*", metavar="WHAT", help=f"of {known}; all races when omitted")
    parser.add_argument("--quality", default="draft", help="of films and lecture")
    parser.add_argument("--frames", type=int, default=5)
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--grid", type=int, default=51, help="points along each side of a surface")
    chosen = parser.parse_args()
    unknown = set(chosen.races) - set(RACES) - set(WHOLE)
    if unknown:
        parser.error(f"there is no {', '.join(sorted(unknown))}; there is {known}")
    whole = [name for name in chosen.races if name in WHOLE]
    if whole:
        prepare()
    for name in whole:
        WHOLE[name](chosen.quality)
    width, height = map(int, chosen.size.split("x"))
    with tempconfig({"pixel_width": width, "pixel_height": height}):
        for name in [name for name in chosen.races if name in RACES] if chosen.races else RACES:
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
