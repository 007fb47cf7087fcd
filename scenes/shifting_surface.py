"""Storyboard 11: the mountain is not what you think: what a step sees changes with every step.

manim scenes/shifting_surface.py ShiftingSurface
EXPLAINER_SEQUENCE=surfaces/mine manim scenes/shifting_surface.py ShiftingSurface      any saved sequence of surfaces
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from manim import *

from explainer.errors import SurfaceError, TraceError
from explainer.mobjects.counter import Counter, StepCounter
from explainer.mobjects.curve import Curve
from explainer.mobjects.height_key import HeightKey
from explainer.mobjects.height_scale import HeightScale
from explainer.mobjects.mountain import Mountain
from explainer.mobjects.network_history import between
from explainer.mobjects.trace_scene import TraceScene
from explainer.mobjects.words import BODY, MINIMUM, SMALL, Words
from explainer.theme import LOSS, ink

EPOCHS = (1, 2, 5, 20)  # after which the ground is looked at, besides the start
MOMENTS = 5  # where no epochs are known
AZIMUTH, ELEVATION = -118.0, 24.0
ROW: Any = {"tall": 0.9, "elevation": 38.0, "bare": True}  # how the slices stand in a row: seen from higher up
TALL = 0.6  # how high the scale is, as a share of a slice’s side
SIDES = 25  # points along each side of a slice


class ShiftingSurface(TraceScene):
    """The slice of the loss around the current weights at five recorded steps, in the same two random directions.

    Between the steps at which it was evaluated the ground glides, which is said on screen; the loss at the ball is
    printed of those steps only. The curve and the clock go through all recorded steps.
    """

    lesson = "digits"
    needs = ("parameters",)
    surfaces = ({"plane": "pca", "span": ((-1.4, 5.6), (-2.5, 2.5)), "resolution": 51},)  # film 3's

    def construct(self) -> None:
        self.read()
        self.build()

        # "We drew a mountain and a ball that rolls down it. That picture is a slice chosen after the fact."
        self.beat("a slice")
        self.say(
            "We drew a mountain and a ball that rolls down it. That picture is a slice chosen after the fact.",
            FadeIn(self.drawn, self.header),
        )  # fmt: skip
        self.play(self.walk_down(self.drawn, seconds=4.5))

        # "Here is one chosen before: two random directions at step 0. Loss 2.30 to 2.80."
        self.finish_reading()
        self.play(FadeOut(self.drawn), run_time=0.5)
        self.clock.set_step(int(self.trace.steps[0]))
        self.say(self.sentence_of_start(), FadeIn(self.ground, self.about, self.panel, self.curve))

        # "Where is the way down? Not in this plane: the network has 109,386 directions."
        self.say(self.sentence_of_way())

        # "Training runs. The ball never moves sideways: the ground sinks and bends around it."
        self.beat("training")
        self.say("Training runs. The ball never moves sideways: the ground sinks and bends around it.")
        for moment in range(1, len(self.slices)):
            self.play(self.glide(moment, seconds=2.2))
            self.arrive(moment)
            self.wait(0.9)

        # "At step 459 it stands at 0.084, in a bowl whose rim is 0.3 to 2.3 high."
        self.say(self.sentence_of_bowl())

        # "The walk can be seen only in a plane that was fitted to it afterwards."
        self.finish_reading()
        self.beat("the fitted plane")
        self.stand_aside()
        self.say(
            "The walk can be seen only in a plane that was fitted to it afterwards.",
            FadeIn(self.fitted, self.under_fitted),
        )  # fmt: skip
        self.play(self.walk_down(self.fitted, seconds=3))

        # "One training run, one pair of directions: what a step sees changes with every step."
        self.finish_reading()
        self.beat("five slices")
        self.line_up()
        self.say("One training run, one pair of directions: what a step sees changes with every step.")
        self.wait(1)

    # ── the numbers ──────────────────────────────────────────────────────────────────────────────────────────────

    def read(self) -> None:
        """Read the slices, the surface of film 3, and the recorded losses."""
        if "loss" not in self.trace.scalars:
            raise TraceError(
                "ShiftingSurface shows the loss, which this trace does not hold: record with criterion=criterion"
            )
        self.slices = self.surface_sequence(steps=self.moments(), resolution=SIDES)
        unknown = [int(step) for step in self.slices.steps if step not in self.trace.steps]
        if unknown or len(self.slices) < 2:
            raise SurfaceError(
                f"ShiftingSurface needs surfaces of two or more recorded steps of {self.trace.folder or 'its trace'}"
                + (f", and step {unknown[0]} was not recorded" if unknown else "")
                + "; compute them with\n    explainer.surface_sequence(trace, model, criterion, data).save(FOLDER)"
            )
        self.places = [self.trace.index_of(int(step)) for step in self.slices.steps]
        self.centers = np.asarray(self.slices.step_losses)
        self.fall = float(self.centers[0] - self.centers[-1])
        self.walked = self.surface()
        self.walk = self.walked.walk

    def moments(self) -> list[int]:
        """Return the recorded steps at which the ground is looked at: the start, and the ends of epochs."""
        steps = self.trace.steps
        epoch = self.trace.notes.get("steps_per_epoch")
        if not isinstance(epoch, int):
            return [int(steps[place]) for place in np.linspace(0, len(steps) - 1, MOMENTS).round().astype(int)]
        wanted = [0, *(min(count * epoch - 1, int(steps[-1])) for count in EPOCHS)]
        nearest = [int(steps[np.argmin(np.abs(steps - step))]) for step in wanted]
        return sorted(set(nearest))

    def captured(self) -> float:
        """Return which share of the recorded walk, seen from its last weights, lies in the slices' two directions."""
        last = self.slices[-1]
        inside = off = 0.0
        axes = [np.concatenate([np.ravel(part) for part in way.values()]).astype(float) for way in last.directions]
        gram = np.array([[first @ second for second in axes] for first in axes])
        for index in range(len(self.trace)):
            point, distance = last.shadow({name: each[index] for name, each in self.trace.parameters.items()})
            inside, off = inside + float(point @ gram @ point), off + distance**2
        return inside / (inside + off)

    def rim(self, moment: int) -> tuple[float, float]:
        """Return the lowest and the highest finite loss along the border of a slice."""
        losses = self.slices[moment].losses
        border = np.concatenate([losses[0], losses[-1], losses[1:-1, 0], losses[1:-1, -1]])
        border = border[np.isfinite(border)]
        return float(border.min(initial=np.inf)), float(border.max(initial=-np.inf))

    # ── what stands in several beats ─────────────────────────────────────────────────────────────────────────────

    def build(self) -> None:
        """Build the ground with its ball, the loss beside it, and where the numbers are from."""
        first = self.slices[0]
        self.drawn = self.make_fitted(11.0, 5.4).move_to((0, 0.4, 0)).walk_to(0)
        self.ground = self.make_ground(0, 8.7, 5.0).move_to((-2.35, 0.68, 0))
        self.header = self.source_line()
        steps = [f"{int(step):,}" for step in self.slices.steps]
        said = f"evaluated at steps {', '.join(steps[:-1])} and {steps[-1]}; in between it glides"
        self.about = VGroup(self.quiet("the plane: two random directions, always the same"), self.quiet(said))
        self.about.arrange(DOWN, buff=0.1).move_to((self.ground.get_x(), -2.22, 0))
        colour = ink(LOSS, self.theme)
        self.counter = Counter(self.centers[0], size=0.8, colour=colour)
        self.at_step = StepCounter(0, f"· {first.data}", largest=int(self.slices.steps[-1]), theme=self.theme)
        self.at_step.set_step(int(self.slices.steps[0]))
        title = self.words("loss at the ball", size=BODY)
        self.panel = VGroup(title, self.counter, self.at_step).arrange(DOWN, buff=0.2).move_to((4.75, 1.75, 0))
        self.curve = Curve(
            self.trace.steps, self.trace.scalars["loss"], title="batch loss", theme=self.theme, colour=colour,
            width=3.6, height=1.6,
        )  # fmt: skip
        self.curve.shift(np.array([4.75, -1.15, 0]) - self.curve.middle)

    def make_fitted(self, width: float, height: float) -> Mountain:
        """Return the surface of film 3, with its walk; what is much higher than the walk is cut off."""
        highest = 1.25 * float(np.nanmax([self.walk.true_losses, self.walk.plane_losses]))
        finite = self.walked.losses[np.isfinite(self.walked.losses)]
        return Mountain(
            self.walked, theme=self.theme, width=width, height=height, azimuth=AZIMUTH, elevation=32.0,
            ceiling=min(highest, float(finite.max())),
        )  # fmt: skip

    def make_ground(
        self, moment: int, width: float, height: float, *,
        tall: float = TALL, elevation: float = ELEVATION, bare: bool = False,
    ) -> Mountain:  # fmt: skip
        """Return a slice as a landscape, with the ball in its middle; camera and scale are the same for all slices.

        Args:
            tall: How high the scale is, as a share of a slice’s side.
            elevation: How high the camera stands, in degrees.
            bare: Without axes, filling its room.
        """
        highest = np.maximum.reduce([np.where(np.isfinite(each.losses), each.losses, -np.inf) for each in self.slices])
        ground = Mountain(
            replace(self.slices[0], losses=highest), theme=self.theme, width=width, height=height, azimuth=AZIMUTH,
            elevation=elevation, tall=tall, floor=min(0.0, self.slices.lowest), ceiling=self.slices.highest,
            names=("", "", "loss"),
        )  # fmt: skip
        if bare:
            ground.set_opacities(frame=0.0)
            seen = ground.view.project(ground.outer())
            low, high = seen.min(axis=0), seen.max(axis=0)
            ground.zoom = np.array(float(np.min(ground.room / (high - low)[:2])))
            ground.focus = (low + high) / 2 @ ground.view.axes
        return ground.show(self.slices[moment]).set_ball(0.0, 0.0, float(self.centers[moment]))

    def source_line(self) -> VGroup:
        """Say where the numbers are from: the data on the left, the step on the right."""
        last = int(self.trace.steps[-1])
        dtype = next((layer.dtype for layer in self.trace.model.layers.values() if layer.dtype), "float")
        self.clock = StepCounter(0, f"of {last + 1} · recorded, {dtype}", largest=last, theme=self.theme)
        self.layout.header.place(self.clock, across=1, up=1)
        self.clock.set_step(int(self.trace.steps[0]))
        data = self.quiet(str(self.trace.notes.get("data", self.slices[0].data)), SMALL)
        self.layout.header.place(data, across=-1).at_baseline(self.clock.baseline)
        return VGroup(data, self.clock)

    def quiet(self, words: str, size: float = MINIMUM) -> Words:
        return Words(words, size=size, colour=self.theme.quiet)

    # ── what is said ─────────────────────────────────────────────────────────────────────────────────────────────

    def sentence_of_start(self) -> str:
        losses = self.slices[0].losses[np.isfinite(self.slices[0].losses)]
        low, high = float(losses.min(initial=np.inf)), float(losses.max(initial=-np.inf))
        flat = ": almost flat" if high - low < 0.1 * abs(self.fall) else ""
        return (
            f"Here is one chosen before: two random directions at step {int(self.slices.steps[0])}. "
            f"Loss {low:.2f} to {high:.2f}{flat}."
        )

    def sentence_of_way(self) -> str:
        losses = self.slices[0].losses
        lowest = float(np.min(losses[np.isfinite(losses)], initial=np.inf))
        if self.centers[0] - lowest < 0.05 * self.fall:
            return f"Where is the way down? Not in this plane: the network has {self.weights:,} directions."
        return f"The lowest point here is {lowest:.3f}; training came to {self.centers[-1]:.3f}."

    @property
    def weights(self) -> int:
        """How many weights the network has, and so how many directions."""
        return sum(int(np.size(each)) for each in self.slices[0].center.values())

    def sentence_of_bowl(self) -> str:
        step, center = int(self.slices.steps[-1]), float(self.centers[-1])
        low, high = self.rim(len(self.slices) - 1)
        if low > high:  # no finite loss on the border
            return f"At step {step} it stands at {center:.3f}."
        if center < low:
            return f"At step {step} it stands at {center:.3f}, in a bowl whose rim is {low:.1f} to {high:.1f} high."
        return f"At step {step} it stands at {center:.3f}; the slice’s border is {low:.1f} to {high:.1f} high."

    # ── beat by beat ─────────────────────────────────────────────────────────────────────────────────────────────

    def walk_down(self, mountain: Mountain, seconds: float) -> Animation:
        """Return the recorded walk on the surface of film 3, with the clock."""
        steps, clock, last = self.walk.steps, self.clock, len(self.walk) - 1

        def show(_: Mobject, alpha: float) -> None:
            mountain.walk_to(alpha * last)
            clock.set_step(int(steps[int(alpha * last + 1e-9)]))

        return UpdateFromAlphaFunc(VGroup(mountain, clock), show, run_time=seconds, rate_func=linear)

    def glide(self, moment: int, seconds: float) -> Animation:
        """Return the way from one evaluated slice to the next; curve and clock pass through the recorded steps."""
        before, after = self.slices[moment - 1].losses, self.slices[moment].losses
        start, stop = self.places[moment - 1], self.places[moment]
        ground, curve, clock, steps, centers = self.ground, self.curve, self.clock, self.trace.steps, self.centers

        def show(_: Mobject, alpha: float) -> None:
            share = smooth(alpha)
            with np.errstate(invalid="ignore"):  # where a loss is not finite at either end, there is a hole
                ground.heights = (1 - share) * before + share * after if share < 1 else after
            ground.set_ball(0.0, 0.0, float(between(centers, moment - 1 + share)))
            position = start + share * (stop - start)
            curve.set_position(position)
            clock.set_step(int(steps[int(position + 1e-9)]))

        return UpdateFromAlphaFunc(VGroup(ground, curve, clock), show, run_time=seconds, rate_func=linear)

    def arrive(self, moment: int) -> None:
        """Print the loss at the ball, which was evaluated here."""
        self.counter.set_value(self.centers[moment])
        self.at_step.set_step(int(self.slices.steps[moment]))

    def stand_aside(self) -> None:
        """Make room for the surface of film 3 beside the slice."""
        small = self.make_ground(len(self.slices) - 1, 6.4, 4.6).move_to((-3.55, 0.75, 0))
        self.fitted = self.make_fitted(6.6, 4.6).move_to((3.45, 0.75, 0)).walk_to(0)
        under = self.label_of("two random directions", self.captured(), -3.55)
        self.under_fitted = self.label_of("the fitted plane (PCA)", self.walk.captured, 3.45)
        self.play(
            FadeOut(self.ground, self.panel, self.curve, self.about, *filter(None, [self._caption])), run_time=0.5
        )
        self.play(FadeIn(small, under), run_time=0.6)
        self.side_by_side = [small, under]

    def label_of(self, plane: str, captured: float, across: float) -> VGroup:
        """Return what a plane is, and how much of the walk it holds."""
        share = f"{100 * captured:.3g} %" if captured >= 1e-5 else "less than 0.001 %"
        lines = VGroup(self.words(plane, size=BODY), self.quiet(f"captures {share} of the walk’s distance²", SMALL))
        for line, y in zip(lines, (-1.95, -2.4), strict=True):
            line.set_x(across).at_baseline(y)
        return lines

    def line_up(self) -> None:
        """Stand the slices in a row, on one scale, the ball in each."""
        self.play(
            FadeOut(*self.side_by_side, self.fitted, self.under_fitted, *filter(None, [self._caption])), run_time=0.5
        )
        key = HeightKey(HeightScale(min(0.0, self.slices.lowest), self.slices.highest), theme=self.theme, height=2.9)
        stage = self.layout.whole_stage
        key.move_to((stage.right - key.width / 2, 0.35, 0))
        room = (key.get_left()[0] - 0.2 - stage.left) / len(self.slices)
        self.row: list[Mountain] = []
        self.under_row: list[VGroup] = []
        for moment in range(len(self.slices)):
            across = stage.left + (moment + 0.5) * room
            ground = self.make_ground(moment, room - 0.12, 3.9, **ROW).move_to((across, 0.4, 0))
            title = self.words(f"step {int(self.slices.steps[moment])}", size=BODY).move_to((across, 2.6, 0))
            number = Counter(self.centers[moment], size=0.42, colour=ink(LOSS, self.theme)).move_to((across, -1.75, 0))
            self.row.append(ground)
            self.under_row.append(VGroup(title, number))
        about = self.quiet(f"loss at the ball, of {self.slices[0].data}; one scale, the same two random directions")
        about.move_to(((stage.left + key.get_left()[0]) / 2, -2.3, 0))
        self.play(FadeIn(*self.row, *self.under_row, key, about), run_time=1.0)
