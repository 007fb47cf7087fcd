"""Storyboard 4: α decides between crawling, arriving, bouncing and flying out.

manim scenes/learning_rates.py LearningRates
EXPLAINER_TRACE=runs/mine manim scenes/learning_rates.py LearningRates      a folder with a trace of each run
"""

from __future__ import annotations

import numpy as np
from manim import *

from explainer import flow
from explainer.errors import TraceError
from explainer.mobjects.contour_map import ContourMap
from explainer.mobjects.counter import StepCounter
from explainer.mobjects.curves import Curves
from explainer.mobjects.end_labels import EndLabels
from explainer.mobjects.formula import Formula
from explainer.mobjects.height_key import HeightKey
from explainer.mobjects.run_table import RunTable
from explainer.mobjects.step_rule import StepRule
from explainer.mobjects.trace_scene import TraceScene
from explainer.mobjects.trails import Trails, trail_styles
from explainer.mobjects.trough import Trough
from explainer.mobjects.words import MINIMUM, SMALL, Words
from explainer.theme import LOSS, ink
from explainer.trace import Trace

SHOWN = ("α = 0.003", "α = 0.05", "α = 0.3", "α = 0.5")  # of the lesson's runs
MOST = 4  # runs that have a style of their own
SMALL_STEPS = "α = 0.1"  # the trough's run of the first beat; the others are the second
ROLLS = 12  # steps that the trough of the first beat shows
HOPS = 6  # steps that each trough of the second beat shows at most
WIDE = 1.8  # how far a trough reaches, times where the ball starts


class LearningRates(TraceScene):
    """A trough of one weight, then four runs of a real network from one start, each with its own α.

    Between two recorded steps balls and curves glide; every printed number is that of a recorded step.
    """

    lesson = "learning-rates"
    compares = True
    needs = ("parameters", "updates")

    def construct(self) -> None:
        self.read()

        # "The smallest mountain: one weight w, and the loss ℓ = w²."
        self.beat("trough")
        self.say("The smallest mountain: one weight w, and the loss ℓ = w².", *self.draw_trough())

        # "The slope is 2.00. A step goes against it, α times as far: 0.1 · 2.00 = 0.20."
        self.say(self.sentence_of_step(), *self.touch())
        self.shorten()

        # "Near the bottom the slope is small, and so are the steps: the ball arrives."
        self.say("Near the bottom the slope is small, and so are the steps: the ball arrives.")
        last = min(ROLLS, len(self.gentle) - 1)
        self.play(self.roll(self.trough, self.gentle, 1, last, each=0.36, numbers=self.numbers))

        # "α = 0.9: over the bottom to the other wall, a little lower each time. …"
        self.finish_reading()
        self.beat("too large")
        self.sweep()
        self.lay_troughs()
        for name in self.troughs:
            shown = [] if name != next(iter(self.troughs)) else [FadeIn(*self.panels.values())]
            self.say(self.sentence_of_trough(name), *shown)
            self.bounce(name)

        # "A real network: 109,386 weights, one start, four learning rates."
        self.finish_reading()
        self.beat("real network")
        self.sweep()
        self.say(self.sentence_of_network(), *self.draw_runs())
        self.say("Each mark is a run. Where α is too large, a step turns back on the one before.")
        self.play(self.train(seconds=8))
        self.wait(1)

        # "Too large a step bounces around in the trough and never settles."
        self.finish_reading()
        self.beat("four curves")
        self.enlarge()
        self.say("Too large a step bounces around in the trough and never settles.")
        self.wait(1)

    # ── the traces ───────────────────────────────────────────────────────────────────────────────────────────────

    def read(self) -> None:
        """Read the runs, the trough's runs, and the one surface of all walks."""
        lesson = all(name in self.runs for name in SHOWN)
        self.shown = {name: self.runs[name] for name in SHOWN} if lesson else dict(self.runs)
        if len(self.shown) > MOST:
            raise TraceError(
                f"LearningRates tells {MOST} runs apart, and there are {len(self.shown)}: name a folder with at most "
                f"{MOST} traces"
            )
        for name, trace in self.shown.items():
            if "loss" not in trace.scalars:
                raise TraceError(f"LearningRates shows the loss, which the run {name} does not hold: record with "
                                 "criterion=criterion")  # fmt: skip
        self.turned = {name: flow.bounces(trace) for name, trace in self.shown.items()}
        self.losses = {name: np.asarray(trace.scalars["loss"], float) for name, trace in self.shown.items()}
        self.steps = {name: np.asarray(trace.steps) for name, trace in self.shown.items()}
        self.surface_of_runs = self.surface(self.shown)
        if lost := [name for name in self.shown if name not in self.surface_of_runs.walks]:
            raise TraceError(
                f"LearningRates draws all runs on one surface, and this one has no walk called {lost[0]!r}; make it "
                "with\n    explainer.loss_surface(model, criterion, data, trace=runs)"
            )
        small = self.lesson_runs("trough")
        self.gentle = small.pop(SMALL_STEPS)
        self.wild = small

    def weights(self, trace: Trace) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return a trough's recorded weights, slopes and updates, (S,) each."""
        ((name, weights),) = trace.parameters.items()
        kinds = weights, trace.parameter_gradients[name], trace.updates[name]
        first, second, third = (np.asarray(each, float).reshape(len(trace)) for each in kinds)
        return first, second, third

    def rate(self, trace: Trace) -> float:
        return float(trace.scalars["learning_rate"][0])

    def header(self, trace: Trace) -> StepCounter:
        """Say where the numbers are from: the data on the left, the step on the right; return the clock."""
        dtype = next((layer.dtype for layer in trace.model.layers.values() if layer.dtype), "float")
        last = int(trace.steps[-1])
        clock = StepCounter(0, f"of {last + 1} · recorded, {dtype}", largest=last, theme=self.theme)
        self.layout.header.place(clock, across=1, up=1)
        clock.set_step(int(trace.steps[0]))
        data = self.quiet(str(trace.notes.get("data", "")), SMALL)
        self.layout.header.place(data, across=-1).at_baseline(clock.baseline)
        self.add(data, clock)
        self.about = [data, clock]
        return clock

    def quiet(self, words: str, size: float = MINIMUM) -> Words:
        return Words(words, size=size, colour=self.theme.quiet)

    def sweep(self) -> None:
        """Fade all out; the caption has been read."""
        self.play(FadeOut(*self.mobjects), run_time=0.5)
        self.remove(*self.mobjects)

    # ── one trough ───────────────────────────────────────────────────────────────────────────────────────────────

    def make_trough(self, trace: Trace, width: float, height: float) -> Trough:
        """Return a trough through evaluated points, with a run's ball at its first step."""
        weights, slopes, _ = self.weights(trace)
        reach = WIDE * abs(float(weights[0])) or 1.0
        line = self.slice(trace, span=(-reach, reach))
        across = [next(iter(line.weights_at(float(t)).values())).item() for t in line.t]
        return Trough(
            across, line.losses, weights=weights, losses=trace.scalars["loss"], slopes=slopes, theme=self.theme,
            width=width, height=height,
        )  # fmt: skip

    def draw_trough(self) -> list[Animation]:
        """Show the trough of the first beat, and the three numbers of a step beside it."""
        self.clock = self.header(self.gentle)
        self.trough = self.make_trough(self.gentle, 7.2, 4.3)
        self.trough.shift(np.array([-2.35, 0.45, 0]) - self.trough.ball.get_center())
        colour = ink(LOSS, self.theme)
        name = Formula("ell = w^2", size=0.42, colour=colour)
        name.next_to(self.trough.at(-1.42, 2.0), LEFT, buff=0.25)
        weights, slopes, updates = self.weights(self.gentle)
        self.numbers = StepRule(weights[0], slopes[0], self.rate(self.gentle), updates[0], theme=self.theme)
        self.numbers.move_to((4.55, 0.75, 0))
        others = [part for part in self.trough if part is not self.trough.curve]
        return [Create(self.trough.curve, run_time=1.2), FadeIn(*others, name, self.numbers)]

    def sentence_of_step(self) -> str:
        _, slopes, updates = self.weights(self.gentle)
        rate = self.rate(self.gentle)
        return (
            f"The slope is {slopes[0]:.2f}. A step goes against it, α times as far: "
            f"{rate:g} · {slopes[0]:.2f} = {abs(updates[0]):.2f}."
        )

    def touch(self) -> list[Animation]:
        """Lay the tangent on, and let the whole slope grow out of the ball as an arrow."""
        self.tangent, self.arrow = self.trough.tangent(0), self.trough.arrow(0, 1.0)
        return [Succession(Create(self.tangent, run_time=0.8), GrowArrow(self.arrow, run_time=1.0))]

    def shorten(self) -> None:
        """Shorten the arrow to α times its length, and take that step."""
        rate = self.rate(self.gentle)
        self.wait(1.2)
        self.play(Transform(self.arrow, self.trough.arrow(0, rate)), run_time=1.4)
        self.wait(0.8)
        self.play(self.roll(self.trough, self.gentle, 0, 1, each=1.4, numbers=self.numbers))
        self.play(FadeOut(self.tangent, self.arrow), run_time=0.4)

    def roll(
        self, trough: Trough, trace: Trace, start: int, stop: int, *, each: float, numbers: StepRule | None = None
    ) -> Animation:
        """Return the ball's way from one recorded step to another; the numbers are those of the step it has come to."""
        values, clock = np.stack(self.weights(trace)), self.clock

        def show(_: Mobject, alpha: float) -> None:
            position = start + alpha * (stop - start)
            recorded = int(position + 1e-9)
            trough.set_position(recorded + smooth(position - recorded))
            clock.set_step(int(trace.steps[recorded]))
            if numbers is not None:
                numbers.set_values(*values[:, recorded])

        moving = VGroup(*filter(None, [trough.ball, numbers]), clock)
        return UpdateFromAlphaFunc(moving, show, run_time=each * (stop - start), rate_func=linear)

    # ── three troughs ────────────────────────────────────────────────────────────────────────────────────────────

    def lay_troughs(self) -> None:
        """Stand the troughs of the larger learning rates side by side."""
        self.clock = self.header(next(iter(self.wild.values())))
        self.troughs: dict[str, Trough] = {}
        self.panels: dict[str, VGroup] = {}
        self.ends: dict[str, Words] = {}
        columns = self.layout.whole_stage.columns(*[1] * len(self.wild), gap=0.7)
        for column, (name, trace) in zip(columns, self.wild.items(), strict=True):
            trough = self.make_trough(trace, column.width - 0.5, 3.0)
            trough.shift(np.array([column.center[0] - 0.1, 0.2, 0]) - trough.ball.get_center())
            title = self.words(name, size=0.4).next_to(trough.upright.get_end(), UP, buff=0.35)
            title.set_x(column.center[0] - 0.1)
            self.troughs[name], self.panels[name] = trough, VGroup(title, trough)

    def hops(self, name: str) -> int:
        """Return how many steps a trough shows: until the ball has left it."""
        return min(HOPS, self.troughs[name].last_inside + 1, len(self.wild[name]) - 1)

    def outcome(self, name: str) -> str:
        """Return in a word where the steps of a trough's run lead."""
        weights, _, _ = self.weights(self.wild[name])
        share = abs(float(weights[1] / weights[0]))
        return "inwards" if share < 1 - 1e-9 else "for ever" if share <= 1 + 1e-9 else "out"

    def sentence_of_trough(self, name: str) -> str:
        told = {
            "inwards": "over the bottom to the other wall, a little lower each time.",
            "for ever": "from wall to wall, for ever.",
            "out": "higher with every step, and out.",
        }
        return f"{name}: {told[self.outcome(name)]}"

    def bounce(self, name: str) -> None:
        """Let one ball go, and write where it has come."""
        trough, trace, last = self.troughs[name], self.wild[name], self.hops(name)
        self.play(self.roll(trough, trace, 0, last, each=0.5))
        weight, step = self.weights(trace)[0][last], int(trace.steps[last])
        said = f"{self.outcome(name)} · step {step}: w = {weight:.3f}".replace("-", "−")
        words = self.quiet(said, SMALL).next_to(trough.ticks, DOWN, buff=0.3).set_x(trough.ball.get_x())
        self.play(FadeIn(words), run_time=0.4)

    # ── the real network ─────────────────────────────────────────────────────────────────────────────────────────

    def sentence_of_network(self) -> str:
        count = {2: "two", 3: "three", 4: "four"}[len(self.shown)]
        return f"A real network: {self.trace.model.parameter_count:,} weights, one start, {count} learning rates."

    def draw_runs(self) -> list[Animation]:
        """Show the map with the runs at their start, their curves, and what is counted of them."""
        self.clock = self.header(next(iter(self.shown.values())))
        self.styles = trail_styles(self.theme)
        surface = self.surface_of_runs
        self.map = ContourMap(surface, theme=self.theme, width=5.6, height=4.15)
        self.map.shift(np.array([-6.5, 3.0, 0]) - self.map.get_corner(UL))
        self.key = HeightKey(self.map.height_scale, theme=self.theme, height=3.3)
        self.key.next_to(self.map, RIGHT, buff=0.25).align_to(self.map, DOWN)
        self.walks = self.make_walks()
        self.about_map = self.words_about_map()
        self.curves = self.make_curves(4.7, 2.2)
        self.curves.shift(np.array([4.3, 1.5, 0]) - self.curves.middle)
        self.table = self.make_table()
        return [FadeIn(self.map, self.key, self.about_map, self.walks, self.curves, self.table)]

    def make_walks(self) -> Trails:
        """Return the shadows of the recorded walks on the map."""
        map_, walks = self.map, {name: self.surface_of_runs.walks[name] for name in self.shown}
        ways = {name: map_.shares(walk.path[:, 0], walk.path[:, 1]) for name, walk in walks.items()}
        steps = {name: walk.steps for name, walk in walks.items()}
        return Trails(map_.corners(), steps, ways, styles=self.styles, theme=self.theme)

    def words_about_map(self) -> VGroup:
        """Say what the map is, and how much of the walks is on it."""
        captured = [self.surface_of_runs.walks[name].captured for name in self.shown]
        low, high = min(captured), max(captured)
        lines = VGroup(
            self.quiet("plane in which the walks differ most:"),
            self.quiet(f"it captures {low:.0%} to {high:.0%} of each walk".replace("%", " %")),
            self.quiet("colour: the plane’s loss; a run’s own is in the table"),
        )
        for place, line in enumerate(lines):
            line.at_baseline(-0.33 * place).set_x(0, LEFT)
        return lines.next_to(self.map, DOWN, buff=0.15).align_to(self.map, LEFT)

    def make_curves(self, width: float, height: float) -> Curves:
        """Return the recorded losses; what is much higher than at the start is cut off."""
        start = max(float(each[0]) for each in self.losses.values())
        highest = max(float(np.max(each[np.isfinite(each)], initial=0.0)) for each in self.losses.values())
        top = min(1.08 * highest, float(np.ceil(1.25 * start)))
        curves = Curves(
            self.steps, self.losses, title="loss, all images", largest=top, theme=self.theme, styles=self.styles,
            colour=ink(LOSS, self.theme), width=width, height=height,
        )  # fmt: skip
        curves.scale_marks(*range(int(top) + 1))
        return curves

    def make_table(self) -> RunTable:
        """Return a row for each run: how many steps have turned back, and the loss."""
        table = RunTable(list(self.shown), ("steps turned back", "loss"), self.styles, theme=self.theme)
        for name in self.shown:
            table.set_values(name, 0, self.losses[name][0])
        table.shift(self.curves.ends.get_corner(DL) + DOWN * 0.35 - table.get_corner(UL))
        return table

    def train(self, seconds: float) -> Animation:
        """Return the training of all runs, on one clock of recorded steps."""
        counted = {name: np.concatenate([[0], np.cumsum(each)]) for name, each in self.turned.items()}
        every = np.unique(np.concatenate(list(self.steps.values())))
        walks, curves, clock, table, losses, steps = (
            self.walks, self.curves, self.clock, self.table, self.losses, self.steps,
        )  # fmt: skip

        def show(_: Mobject, alpha: float) -> None:
            step = every[0] + alpha * (every[-1] - every[0])
            clock.set_step(int(every[np.searchsorted(every, step, "right") - 1]))
            walks.set_step(step)
            curves.set_step(step)
            for name in steps:
                index = max(int(np.searchsorted(steps[name], step, "right")) - 1, 0)
                table.set_values(name, counted[name][index], losses[name][index])

        moving = VGroup(walks, curves, *table.counts.values(), *table.values.values(), clock)
        return UpdateFromAlphaFunc(moving, show, run_time=seconds, rate_func=linear)

    def verdict(self, name: str) -> str:
        """Return in words what a run does: has its loss stayed low in the end, and do its steps turn back?"""
        losses = self.losses[name]
        if not np.isfinite(losses).all():
            return "flies out"
        end = losses[-max(1, len(losses) // 5) :]
        settled, turns = bool(end.max() < 0.5 * losses[0]), self.share(name) >= 0.1
        if turns:
            return "bounces, but gets down" if settled else "never settles"
        return "arrives" if settled else "crawls" if end.max() < losses[0] else "does not get down"

    def share(self, name: str) -> float:
        """Return the share of a run's steps that turn back."""
        return float(self.turned[name].mean()) if len(self.turned[name]) else 0.0

    # ── the last frame ───────────────────────────────────────────────────────────────────────────────────────────

    def enlarge(self) -> None:
        """The curves take the stage, each with its name and what it did."""
        gone = [self.map, self.key, self.about_map, self.walks, self.curves, self.table, self._caption]
        self.play(FadeOut(*filter(None, gone)), run_time=0.6)
        self.large = self.make_curves(8.0, 4.3).set_step(self.curves.last)
        self.large.shift(np.array([-2.3, 0.42, 0]) - self.large.middle)
        about = {
            name: (self.verdict(name), f"{self.share(name):.0%} of steps turn back".replace("%", " %"))
            for name in self.shown
        }
        self.labels = EndLabels(self.large.trails, about, low=-1.55, high=2.75, theme=self.theme)
        self.play(FadeIn(self.large, self.labels), run_time=1.0)
