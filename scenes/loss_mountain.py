"""Storyboard 3: the gradient points up the mountain; training walks the other way.

manim scenes/loss_mountain.py LossMountain
EXPLAINER_SURFACE=surfaces/mine manim scenes/loss_mountain.py LossMountain      any surface with a walk
"""

from __future__ import annotations

import numpy as np
from manim import *

from explainer.errors import SurfaceError
from explainer.mobjects.counter import Counter, StepCounter
from explainer.mobjects.height_key import HeightKey
from explainer.mobjects.height_scale import HeightScale
from explainer.mobjects.level_lines import round_levels
from explainer.mobjects.mountain import Mountain
from explainer.mobjects.mountain_view import View
from explainer.mobjects.rises import Rises
from explainer.mobjects.trace_scene import TraceScene
from explainer.mobjects.words import BODY, MINIMUM, SMALL, Words, number
from explainer.surface import Surface as LossSurface
from explainer.theme import GRADIENT, LOSS, ink

BUNDLE = 13  # arrows in random directions
STEP = 0.03  # of the plane's longer side: how long an arrow is
CLEAR = 20.0  # degrees around the gradient that stay free of other arrows
BRIGHT = "#F2F2F2"  # on every theme: the mountain's colours are the same on both
SLANT = 24.0  # degrees: how high the camera stands
LEAST = 0.005  # of the highest loss: a smaller gap between walk and plane cannot be seen
ASIDE = 2.4  # frame units beside the mountain, for the loss and the key of the colours
LEVELS = (8.0, 20.0, 35.0, 55.0)  # degrees: low, steep can be told from flat; the first from where it is seen
NOWHERE = (np.nan, np.nan, np.nan)
SAID_NORMS = ("as is", "re-estimated")  # ways of batch norm that decide how high the surface is
PLANES = {
    "pca": "the plane in which the recorded weights move most",
    "random": "the plane of two random directions",
    "ends": "the plane through the first and the last weights",
    "hessian": "the plane of the two sharpest directions",
    "weights": "the plane of its two weights",
}


class LossMountain(TraceScene):
    """The gradient points up the mountain; training walks the other way.

    The ball stands at the true loss of the recorded weights, on all of the surface's examples; the ground below it is
    the loss on the plane. Both are numbers of the surface, and the difference is shown.
    """

    lesson = "digits"
    surfaces = ({"plane": "pca", "span": ((-1.4, 5.6), (-2.5, 2.5)), "resolution": 51},)

    def construct(self) -> None:
        self.read()
        self.build()

        # "This network has 109,386 weights. Two directions through them make a plane."
        self.beat("plane")
        self.say(self.sentence_of_plane(), FadeIn(self.header, self.mountain, self.about))

        # "Over every point of it stands the loss that the network has with those weights."
        self.beat("mountain")
        self.say("Over each of its points stands the loss that the network has with those weights.")
        self.play(self.mountain.animate.set_rise(1.0), FadeIn(self.key), run_time=3)
        self.say("High loss up here, low loss down here.", *self.high_and_low())

        # "Training starts here. Steps of one length, in many directions: some rise, some fall."
        self.beat("gradient")
        self.say("Training starts here. Which way is down?", *self.go_to_start())
        self.say("Try steps of one length in many directions: some go up, some go down.", *self.draw_finer_lines())
        self.play(self.grow_bundle(seconds=2.5))
        self.say("The gradient points in the direction of fastest change: uphill.", self.grow_gradient(seconds=2))

        # "So we go the opposite way."
        self.beat("downhill")
        self.say("So we go the opposite way.", self.flip(seconds=2.5))

        # "Step by step the recorded training walks down; not always: each step sees one batch only."
        self.beat("walk")
        self.say(self.sentence_of_walk(), *self.step_back())
        self.play(self.walk(0.0, 0.5, seconds=7))
        self.say(self.sentence_of_batches())
        self.play(self.walk(0.5, 1.0, seconds=7))

        # "The walk is not exactly on this plane: a stem shows how far off the ground is."
        if self.leaves_plane:
            self.beat("gap")
            self.say(
                "The walk is not exactly on this plane: each stem is what the ground is off by.", *self.go_to_gap()
            )
            self.play(self.mountain.animate.set_stems(1.0), FadeIn(self.gap), run_time=1.5)

        # "The same walk from above."
        self.beat("map")
        self.say("The same walk from above: along each line the loss is the same.", *self.rise_above())
        self.play(FadeIn(*self.tags()), run_time=0.8)

    # ── the numbers ──────────────────────────────────────────────────────────────────────────────────────────────

    def read(self) -> None:
        """Read the surface, its walk, and the slope at the start."""
        surface = self.surface()
        if not self.is_on(surface):
            surface = self.surface(plane="pca", resolution=51)  # of the same lesson, but with other settings
        self.ground, self.walked = surface, surface.walk
        walk = self.walked
        if not np.isfinite(walk.slopes[0]).all() or not np.hypot(*walk.slopes[0]) > 0:
            raise SurfaceError(
                "LossMountain draws the gradient at the walk's first step, which this surface does not hold; compute "
                "it again from a trace that keeps its parameters"
            )
        if not self.is_on(surface) or not np.isfinite(self.ground.height(*walk.path[0])):
            raise SurfaceError(
                "LossMountain begins where the walk does, and this surface does not reach as far or has a hole there; "
                "compute it again with a larger span"
            )
        self.last = len(walk) - 1
        self.worst = int(np.nanargmax(np.abs(walk.gap)))
        self.leaves_plane = bool(abs(walk.gap[self.worst]) > LEAST * np.nanmax(walk.true_losses))
        finite = surface.losses[np.isfinite(surface.losses)]
        highest = 1.25 * float(np.nanmax([walk.true_losses.max(), walk.plane_losses.max()]))
        self.ceiling = min(float(finite.max()), highest) if float(finite.max()) > 2 * highest else float(finite.max())
        lowest = float(finite.min())  # where all losses are about alike, heights from zero would be those of a slab
        self.floor = lowest - 0.1 * (self.ceiling - lowest) if lowest > self.ceiling / 2 else min(0.0, lowest)
        self.weights = sum(int(np.size(weights)) for weights in surface.center.values())
        self.choose_arrows()
        self.side, self.level = self.find_side()

    @staticmethod
    def is_on(surface: LossSurface) -> bool:
        """Say whether the whole walk is above the surface."""
        (u, v), path = (surface.u, surface.v), surface.walk.path
        return bool((path >= [u[0], v[0]]).all() and (path <= [u[-1], v[-1]]).all())

    def choose_arrows(self) -> None:
        """Choose arrows in random directions, all of one length, so short that the ground does not bend back below."""
        (u, v), slope = self.walked.path[0], self.walked.slopes[0]
        self.uphill = float(np.degrees(np.arctan2(slope[1], slope[0])))
        shares = (np.arange(BUNDLE) + np.random.default_rng(3).uniform(size=BUNDLE)) / BUNDLE  # spread, yet random
        turns = np.radians(np.append(CLEAR + shares * (360 - 2 * CLEAR), 0.0) + self.uphill)
        ways = np.stack([np.cos(turns), np.sin(turns)], axis=1)
        length = STEP * float(max(np.ptp(self.ground.u), np.ptp(self.ground.v)))
        for _ in range(6):
            self.rises, self.falls = self.changes(length * ways), self.changes(-length * ways[-1:])
            if np.nanargmax(self.rises) == BUNDLE:
                break
            length /= 2
        self.length, self.ways, self.start = length, length * ways, (float(u), float(v))

    def changes(self, ways: np.ndarray) -> np.ndarray:
        """Return by how much the ground rises along arrows (arrow, 2) from the start, (arrow,)."""
        u, v = self.walked.path[0]
        height = self.ground.height
        return np.array([height(u + across, v + along) for across, along in ways]) - height(u, v)

    # ── what stands in several beats ─────────────────────────────────────────────────────────────────────────────

    def build(self) -> None:
        """Build what stands in several beats."""
        stage = self.layout.whole_stage
        self.mountain = Mountain(
            self.ground, theme=self.theme, width=stage.width, height=stage.height - 0.35, floor=self.floor,
            ceiling=self.ceiling, azimuth=self.side, elevation=SLANT, aside=ASIDE,
        )  # fmt: skip
        self.mountain.move_to(stage.center + 0.175 * UP).set_rise(0.0)
        self.levels = self.mountain.levels
        self.header = self.source_line()
        self.about = self.quiet(self.words_about_plane()).move_to((0, stage.bottom + 0.18, 0))
        self.key = HeightKey(HeightScale(self.mountain.floor, self.ceiling), theme=self.theme, height=2.6)
        self.key.move_to((stage.right - 0.5 - self.key.width / 2, 0.6, 0))
        self.loss = self.loss_counter()
        self.panel, self.bars = self.panel_of_rises()

    def find_side(self) -> tuple[float, float]:
        """Return the azimuth and elevation from which the camera looks at the arrows.

        Across the gradient, and so low that steep can be told from flat; where the mountain would hide them, from the
        other side, or from higher up.
        """
        trial = Mountain(self.ground, floor=self.floor, ceiling=self.ceiling)
        tips = np.array(self.start) + np.concatenate([self.ways, -self.ways[-1:], np.zeros((1, 2))])
        above = [self.ground.height(u, v) + 0.02 * (self.ceiling - self.floor) for u, v in tips]
        points = trial.space(np.column_stack([tips, above]))
        sides = [((self.uphill + way + 180) % 360 - 180, height) for height in LEVELS for way in (-90, 90)]
        hidden = [int(trial.ground().hidden(points, View(*side)).sum()) for side in sides]
        return sides[int(np.argmin(hidden))]

    def quiet(self, words: str, size: float = MINIMUM) -> Words:
        return Words(words, size=size, colour=self.theme.quiet)

    def source_line(self) -> VGroup:
        """Say where the numbers are from: the data on the left, the step on the right."""
        last = int(self.walked.steps[-1])
        dtype = next(iter(self.ground.center.values())).dtype
        self.clock = StepCounter(0, f"of {last + 1} · recorded, {dtype}", largest=last, theme=self.theme)
        self.layout.header.place(self.clock, across=1, up=1)
        self.clock.set_step(int(self.walked.steps[0]))
        data = self.quiet(str(self.ground.notes.get("examples") or self.ground.data), SMALL)
        self.layout.header.place(data, across=-1).at_baseline(self.clock.baseline)
        return VGroup(data, self.clock)

    def words_about_plane(self) -> str:
        plane = PLANES.get(self.ground.plane, "the plane of two given directions")
        share = self.walked.captured
        held = f"; it holds {100 * share:.1f} % of their way’s variance" if np.isfinite(share) else ""
        norms = f"; batch norm {self.ground.batch_norm}" if self.ground.batch_norm in SAID_NORMS else ""
        return f"u, v: {plane}{held}{norms}"

    def loss_counter(self) -> VGroup:
        """Return the true loss, large, with what it is the loss of."""
        self.counter = Counter(self.walked.true_losses[0], size=0.8, colour=ink(LOSS, self.theme))
        about = [self.quiet("true loss", BODY), self.quiet(f"of {self.ground.data}", MINIMUM)]
        return VGroup(about[0], self.counter, about[1]).arrange(DOWN, buff=0.14).move_to((-5.6, 2.1, 0))

    def panel_of_rises(self) -> tuple[VGroup, Rises]:
        """Return a card with the bars of what each arrow rises."""
        largest = float(np.nanmax(np.abs(np.append(self.rises, self.falls))))
        bars = Rises(self.rises[:-1], float(self.rises[-1]), largest, theme=self.theme)
        card = RoundedRectangle(
            width=bars.width + 0.6, height=4.0, corner_radius=0.12, stroke_width=1.5, stroke_color=self.theme.line,
            fill_color=self.theme.panel, fill_opacity=1,
        )  # fmt: skip
        title = Words("what the loss changes by", size=MINIMUM, colour=self.theme.text)
        scale = self.quiet(f"steps {self.length:.2g} long, in this plane")
        card.stretch_to_fit_width(max(card.width, title.width + 0.4, scale.width + 0.4))
        bars.shift(card.get_center() + 0.25 * DOWN - bars.zero.get_center())
        VGroup(title, scale).arrange(DOWN, buff=0.1).next_to(card.get_top(), DOWN, buff=0.16)
        panel = VGroup(card, title, scale, bars)
        panel.move_to((self.layout.stage.right - 0.25 - panel.width / 2, 0.4, 0))
        return panel, bars

    # ── beat by beat ─────────────────────────────────────────────────────────────────────────────────────────────

    def sentence_of_plane(self) -> str:
        return f"This network has {self.weights:,} weights. Two directions through them make a plane."

    def high_and_low(self) -> list[Animation]:
        """Name the highest and the lowest place that can be seen."""
        shown = self.mountain
        u, v = np.meshgrid(shown.u, shown.v)
        points = np.stack([u, v, shown.cut], axis=-1)
        out = np.array([0, 0, 0.02 * (self.ceiling - self.floor)])  # of the ground
        lifted = shown.space(points + out).reshape(-1, 3)
        losses = np.where(shown.ground().hidden(lifted, shown.view), np.nan, shown.cut.ravel())
        self.names = VGroup()
        for place, words in ((np.nanargmax(losses), "high loss"), (np.nanargmin(losses), "low loss")):
            self.names.add(self.tag(words).move_to(shown.at(*points.reshape(-1, 3)[place]) + 0.3 * UP))
        return [FadeIn(self.names)]

    def tag(self, words: str, size: float = SMALL) -> VGroup:
        """Return words on a dark ground of their own, to stand on any colour."""
        text = Words(words, size=size, colour=self.theme.text)
        back = RoundedRectangle(
            width=text.width + 0.24, height=text.height + 0.2, corner_radius=0.08, stroke_width=0,
            fill_color=self.theme.background, fill_opacity=0.85,
        )  # fmt: skip
        return VGroup(back, text.move_to(back))

    def go_to_start(self) -> list[Animation]:
        """The camera goes to where the walk starts, and looks from the side at the ground there."""
        u, v = self.start
        loss = float(self.walked.plane_losses[0])
        self.mountain.set_ball(u, v, loss)
        self.mountain.set_arrows(
            u, v, self.ways, colours=[BRIGHT] * BUNDLE + [GRADIENT], widths=[0.035] * BUNDLE + [0.08], grown=0.0
        )
        aside = 0.7 * self.ways[-1]  # the card stands on the right
        near = self.closeness(shown=2.9)
        closer = self.mountain.copy().turn(self.side, self.level, zoom=near, onto=(u + aside[0], v + aside[1], loss))
        closer.set_opacities(frame=0.0, lines=0.0)
        return [FadeOut(self.names, self.about, self.key, run_time=0.6), Transform(self.mountain, closer, run_time=2.5)]

    def draw_finer_lines(self) -> list[Animation]:
        """Lines of equal loss near the start, where those of the whole mountain are too far apart to be seen."""
        near = float(self.walked.plane_losses[0]) + np.array([-2.5, 2.5]) * np.nanmax(np.abs(self.rises))
        self.mountain.levels = round_levels(float(near[0]), float(near[1]), 24)
        return [Transform(self.mountain, self.mountain.copy().set_opacities(lines=0.5)), FadeIn(self.panel)]

    def closeness(self, shown: float) -> float:
        """Return the zoom at which the longest arrow, along the plane or upwards, is so many frame units long."""
        fitted, _ = self.mountain.fitting(self.side, self.level)
        across, _, up = self.mountain.scales
        steepest = float(np.nanmax(np.abs([*self.rises, *self.falls])))
        return shown / (max(self.length * float(across), steepest * float(up)) * float(fitted))

    def grow_bundle(self, seconds: float) -> Animation:
        """The arrows in random directions grow with their bars."""

        def show(_: Mobject, alpha: float) -> None:
            self.mountain.grow(np.append(np.full(BUNDLE, alpha), 0.0))
            self.bars.grow(alpha, 0.0)

        return UpdateFromAlphaFunc(VGroup(self.mountain, self.panel), show, run_time=seconds)

    def grow_gradient(self, seconds: float) -> Animation:
        """The gradient's arrow grows, and the others step back."""

        def show(_: Mobject, alpha: float) -> None:
            others = np.full(BUNDLE, 1 - 0.5 * alpha)
            self.mountain.grow(np.append(np.ones(BUNDLE), alpha), clear=np.append(others, 1.0))
            self.bars.grow(1.0, alpha)

        return UpdateFromAlphaFunc(VGroup(self.mountain, self.panel), show, run_time=seconds)

    def flip(self, seconds: float) -> Animation:
        """The gradient's arrow turns over, and points down."""

        def show(_: Mobject, alpha: float) -> None:
            turned = 1 - 2 * alpha
            others = np.full(BUNDLE, 0.5 * (1 - alpha))
            self.mountain.grow(np.append(np.ones(BUNDLE), turned), clear=np.append(others, 1))
            self.bars.grow(1.0, 1.0, change=float(self.changes(turned * self.ways[-1:])[0]))

        return UpdateFromAlphaFunc(VGroup(self.mountain, self.panel), show, run_time=seconds)

    def sentence_of_walk(self) -> str:
        """Say how long the walk is; of several, which it is."""
        walks, many = self.ground.walks, self.walked.steps[-1] + 1
        if len(walks) > 1:
            return f"Of the {len(walks)} recorded walks this is the first, {next(iter(walks))}: it takes {many} steps."
        steps = f"The recorded training takes {many} steps"
        return f"{steps}, each against its gradient." if "lesson" in self.ground.notes else f"{steps}."

    def sentence_of_batches(self) -> str:
        """Say how often the loss rose, and why it may."""
        losses = self.walked.true_losses
        rose = int((np.diff(losses) > 0).sum())
        size = (self.ground.notes.get("settings") or {}).get("batch_size")
        if rose and size:
            return f"Each sees only {size} examples, so now and then the loss rises: {rose} of {self.last} times here."
        ends = f"from {number(losses[0])} to {number(losses[-1])}"
        if losses[-1] < losses[0]:
            return f"The loss falls {ends}."
        stale = self.ground.batch_norm == "as is" and self.walked.losses[-1] < self.walked.losses[0]
        return f"The loss rises {ends}" + (": batch norm as the model has it, not as in training." if stale else ".")

    def step_back(self) -> list[Animation]:
        """The whole mountain again."""
        self.mountain.levels = self.levels
        whole = self.mountain.copy().turn(self.side, SLANT).set_opacities(frame=1.0, lines=0.6).grow(0.0)
        return [FadeOut(self.panel), Transform(self.mountain, whole, run_time=2.5), self.late(self.loss, self.key)]

    def late(self, *mobjects: Mobject) -> Animation:
        """Fade in what stands beside the mountain, once the mountain has drawn back."""
        return FadeIn(*mobjects, run_time=3, rate_func=squish_rate_func(smooth, 0.7, 1))

    def walk(self, start: float, stop: float, seconds: float) -> Animation:
        """The ball walks the recorded steps and glides between them; the numbers are those of the step reached.

        Args:
            start: From which share of the recorded steps; `stop` to which.
        """
        mountain, losses, steps, side = self.mountain, self.walked.true_losses, self.walked.steps, self.side

        def show(_: Mobject, alpha: float) -> None:
            share = start + alpha * (stop - start)
            reached = int(share * self.last + 1e-9)
            mountain.set_ball(*NOWHERE).walk_to(share * self.last)  # from the ground to its true loss
            mountain.turn(side + smooth(share) * self.way_round, SLANT + smooth(share) * 8)
            self.counter.set_value(losses[reached])
            self.clock.set_step(int(steps[reached]))

        moving = VGroup(mountain, self.counter, self.clock)
        return UpdateFromAlphaFunc(moving, show, run_time=seconds, rate_func=linear)

    @property
    def way_round(self) -> float:
        """How far the camera turns while the ball walks, in degrees: towards where it will look from above."""
        return float(np.clip((-90 - self.side + 180) % 360 - 180, -30, 30))

    def go_to_gap(self) -> list[Animation]:
        """The camera goes to where the plane is farthest from the walk."""
        u, v = self.walked.path[self.worst]
        loss, below = self.walked.true_losses[self.worst], self.walked.plane_losses[self.worst]
        onto = (u, v, (loss + below) / 2)
        words = f"step {self.walked.steps[self.worst]}: walk {number(loss)}, ground {number(below)}"
        closer = self.mountain.copy().turn(self.side, 12, zoom=5, onto=onto).set_opacities(frame=0.0, lines=0.4)
        self.gap = self.tag(words).next_to(closer.at(u, v, max(loss, below)), UL, buff=0.2)
        return [FadeOut(self.loss, self.key, run_time=0.6), Transform(self.mountain, closer, run_time=2.5)]

    def rise_above(self) -> list[Animation]:
        """The camera looks straight down."""
        gone = [FadeOut(self.gap)] if self.leaves_plane else []
        beside = [self.about] if not self.leaves_plane else [self.loss, self.key, self.about]
        now = float(self.mountain.azimuth)
        south = round(now + (-90 - now + 180) % 360 - 180, 9)  # the nearer way round
        above = self.mountain.copy().turn(south, 90).set_opacities(frame=1.0, lines=0.8)
        return [*gone, Transform(self.mountain, above, run_time=3), self.late(*beside)]

    def tags(self) -> list[VGroup]:
        """Name both ends of the walk on the map, with their losses."""
        walk, found = self.walked, []
        for place, words in ((0, "start"), (self.last, "end")):
            u, v = walk.path[place]
            at = self.mountain.at(u, v, walk.true_losses[place])
            tag = self.tag(f"{words}, {number(walk.true_losses[place])}").next_to(at, DOWN, buff=0.25)
            edge = float(self.mountain.at(u, self.ground.v[0], 0.0)[1])  # below it stand the axis's numbers
            found.append(tag if tag.get_bottom()[1] > edge else tag.next_to(at, UP, buff=0.25))
        return found
