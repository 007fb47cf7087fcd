"""Storyboard 10: how much of the gradient reaches the first layers decides whether they learn.

manim scenes/gradient_flow.py GradientFlow
EXPLAINER_TRACE=runs/mine manim scenes/gradient_flow.py GradientFlow      a trace, or a folder with a trace of each run
"""

from __future__ import annotations

import numpy as np
from manim import *

from explainer import reach
from explainer.errors import TraceError
from explainer.mobjects.counter import Counter, StepCounter
from explainer.mobjects.curves import Curves
from explainer.mobjects.flow_words import RunTold, conclusion
from explainer.mobjects.gradient_bars import GradientBars
from explainer.mobjects.gradient_map import GradientKey, GradientMap
from explainer.mobjects.gradient_scale import GradientScale, size_words, tick
from explainer.mobjects.layer_row import LayerRow, backward_arrow, bar_names, fitted, ruled_axis, stacked
from explainer.mobjects.layout import Region
from explainer.mobjects.level_lines import round_levels
from explainer.mobjects.trace_scene import TraceScene
from explainer.mobjects.trails import TrailStyle, swatch, trail_styles
from explainer.mobjects.words import BODY, MINIMUM, SMALL, Words, number
from explainer.theme import GRADIENT, LOSS, ink

MOST = 4  # runs that have a row, and a style of their own
LARGE = 1e4  # a loss that has no room beside a run's line
NAME = 2.1  # frame units that a run's name has
WIDEST = 1.6  # frame units from one bar to the next


class GradientFlow(TraceScene):
    """How much of the gradient reaches the first layers decides whether they learn.

    Every bar and every cell is one recorded norm, over the whole batch; all runs share one logarithmic scale.
    """

    lesson = "depth"
    compares = True
    least = 1

    def construct(self) -> None:
        self.read()

        # "Eight layers in a row; behind the last one stands the loss."
        self.beat("layers")
        self.say(self.first.layers(), *self.draw_layers())
        self.play(self.forward(seconds=2.5))

        # "Now backwards. A bar is how much gradient arrives at its layer."
        self.beat("backward")
        self.say(self.first.backward(), *self.turn_back())
        self.play(self.backward(self.large, seconds=5, row=self.row))

        # "A sigmoid’s slope is at most ¼: ×0.22 to ×0.28 a layer, about four times less each time."
        for sentence in self.first.sentences():
            self.say(sentence)

        # "ReLU, torch’s start: ×0.37 to ×0.48 a layer: it still shrinks." — and so on, a row for each run
        if len(self.runs) > 1:
            self.finish_reading()
            self.beat("other runs")
            self.lay_rows()
            for place in range(1, len(self.runs)):
                told, row = self.told[place].run(self.told[place - 1]), self.rows[place]
                self.say(told, FadeIn(self.names[place], row))
                self.play(self.backward(row, seconds=2.5))
                self.play(FadeIn(self.arriving[place]), run_time=0.5)
            self.wait(1)

        # "Now time runs: …"
        self.finish_reading()
        self.beat("training")
        self.sweep()
        self.say(self.first.training(), *self.draw_training())
        self.play(self.train(seconds=12))
        self.wait(1)

        # "Where no gradient arrives, nothing is learned."
        self.finish_reading()
        self.beat("heat maps")
        self.sweep()
        self.say(conclusion(self.told), *self.draw_maps())
        self.wait(1.5)

    # ── the traces ───────────────────────────────────────────────────────────────────────────────────────────────

    def read(self) -> None:
        """Read the gradients of all runs, and put them on one scale."""
        if len(self.runs) > MOST:
            raise TraceError(
                f"GradientFlow has room for {MOST} runs, and there are {len(self.runs)}: name a trace, or a folder "
                f"with at most {MOST}"
            )
        self.told = [
            RunTold(name, trace, reach.reach(trace), reach.result(trace)) for name, trace in self.runs.items()
        ]
        self.first = self.told[0]
        norms = [run.reach.norms for run in self.told]
        self.scale = GradientScale.of(norms, near=[run.reach.norms[:, run.moment] for run in self.told])
        self.cuts = "; what is beyond is cut off" if self.scale.cuts(norms) else ""
        self.styles = trail_styles(self.theme)
        self.every = np.unique(np.concatenate([run.reach.steps for run in self.told]))
        self.same_layers = len({tuple(bar_names(run.reach.bars)) for run in self.told}) < 2

    def header(self, step: int) -> list[Mobject]:
        """Say where the numbers are from: the data on the left, the step on the right."""
        dtype = next((layer.dtype for layer in self.trace.model.layers.values() if layer.dtype), "float")
        last = int(self.every[-1])
        self.clock = StepCounter(0, f"of {last + 1} · recorded, {dtype}", largest=last, theme=self.theme)
        self.layout.header.place(self.clock, across=1, up=1)
        self.clock.set_step(step)
        model = f"{self.trace.model.type}, {self.trace.model.parameter_count:,} weights"
        data = self.quiet(str(self.trace.notes.get("data") or model), SMALL)
        self.layout.header.place(data, across=-1).at_baseline(self.clock.baseline)
        return [data, self.clock]

    def quiet(self, words: str, size: float = MINIMUM) -> Words:
        return Words(words, size=size, colour=self.theme.quiet)

    def sweep(self) -> None:
        """Fade all out; the caption has been read."""
        self.play(FadeOut(*self.mobjects), run_time=0.5)
        self.remove(*self.mobjects)

    def bars_of(self, run: RunTold, width: float, height: float, *, words: bool = True) -> GradientBars:
        """Return a run's bars at the step of the first beats."""
        moment = run.moment
        return GradientBars(
            run.reach.at(moment), run.reach.factors(moment), self.scale, theme=self.theme, width=width, height=height,
            words=words,
        )  # fmt: skip

    def note(self) -> Words:
        """Say what a bar is, and on which scale."""
        kinds = {run.bar() for run in self.told}
        bar = kinds.pop() if len(kinds) == 1 else "norm of ∂loss/∂output of each layer with weights, or each stage"
        return self.quiet(f"bar: {bar} · {self.scale}")

    # ── one network ──────────────────────────────────────────────────────────────────────────────────────────────

    def draw_layers(self) -> list[Animation]:
        """Show the layers in a row, the loss behind them, and the empty axis below."""
        stage, run = self.layout.whole_stage, self.first
        count = len(run.reach.bars)
        width = min(stage.width - 2.8, WIDEST * count)
        self.large = self.bars_of(run, width, stage.height - 2.75).arrive(0)
        self.large.shift(np.array([stage.center[0] - 0.35, stage.bottom + 0.85, 0]) - self.large.base.get_center())
        blocks = [self.large.foot(index) * RIGHT + (stage.top - 1.05) * UP for index in range(count)]
        loss = size_words(self.loss(run, run.moment), 4) if "loss" in run.trace.scalars else ""
        self.row = LayerRow(bar_names(run.reach.bars), blocks, loss=loss, theme=self.theme)
        self.lifted = self.row.get_y() - stage.center[1]
        self.row.shift(DOWN * self.lifted)
        ticks = [(float(self.scale.share(value)), tick(value)) for value in self.scale.ticks()]
        self.axis = ruled_axis(self.large.base, self.large.tall, ticks, self.theme)
        self.about = self.note().move_to((0, stage.bottom + 0.14, 0))
        return [FadeIn(*self.header(int(run.reach.steps[run.moment])), self.row)]

    def forward(self, seconds: float) -> Animation:
        """Let the forward pass flash along the layers, to the loss."""
        count = len(self.row.blocks)
        return UpdateFromAlphaFunc(
            self.row, lambda row, alpha: row.light(-1 + alpha * count), run_time=seconds, rate_func=linear
        )

    def turn_back(self) -> list[Animation]:
        """Lift the layers, and show below them the axis for what will arrive, above the arrow of the backward pass."""
        left, right = self.row.blocks[0].get_left(), self.row.blocks[-1].get_right()
        level = (self.layout.whole_stage.top - 0.42) * UP
        self.arrow = backward_arrow(left * RIGHT + level, right * RIGHT + level, self.theme)
        late = squish_rate_func(smooth, 0.5, 1)
        return [
            ApplyMethod(self.row.shift, UP * self.lifted, run_time=0.9),
            FadeIn(self.axis, self.about, self.large, self.arrow, run_time=1.8, rate_func=late),
        ]

    def backward(self, bars: GradientBars, seconds: float, row: LayerRow | None = None) -> Animation:
        """Let the backward pass run from the loss to the first layer; a bar grows where it arrives."""
        count = len(bars.sizes)

        def show(_: Mobject, alpha: float) -> None:
            bars.arrive(alpha * count)
            if row is not None:
                row.light(alpha * (count + 1), backward=True)

        return UpdateFromAlphaFunc(VGroup(bars, *filter(None, [row])), show, run_time=seconds, rate_func=linear)

    # ── a row for each run ───────────────────────────────────────────────────────────────────────────────────────

    def lay_rows(self) -> None:
        """The first network's bars become a row; below it there is room for the others."""
        stage = self.layout.whole_stage
        top, body, foot = stage.rows(0.55, stage.height - 1.35, 0.8, gap=0)
        names, middle, results = body.columns(2.5, 8.4, 2.6, gap=0.1)
        regions = middle.rows(*[1] * len(self.told), gap=0.1)
        self.rows, self.names, self.arriving = [], [], []
        for run, region, place in zip(self.told, regions, range(MOST), strict=False):
            bars = self.bars_of(run, region.width, region.height - 0.5)
            bars.remove(*bars.ends.values())
            bars.shift(np.array([region.center[0], region.bottom + 0.42, 0]) - bars.base.get_center())
            middle_y = float(bars.base.get_y()) + bars.tall / 2
            self.rows.append(bars.arrive(0 if place else len(bars.sizes)))
            self.names.append(self.name_of(run).move_to((names.center[0], middle_y, 0)))
            self.arriving.append(self.arrives(run).move_to((results.center[0], middle_y, 0)))
        last = self.rows[-1]
        self.feet = VGroup()
        for index, lines in enumerate(fitted(bar_names(self.first.reach.bars), 0.94 * last.pitch, MINIMUM)):
            label = stacked(lines, MINIMUM, self.theme.text)
            self.feet.add(label.next_to((last.foot(index)[0], foot.top, 0), DOWN, buff=0.07))
        self.feet.set_opacity(float(self.same_layers))
        level = (top.bottom + 0.14) * UP
        arrow = backward_arrow(middle.left * RIGHT + level, middle.right * RIGHT + level, self.theme)
        words = [*self.large.factors.values(), *self.large.ends.values(), *self.large.instead.values()]
        gone = [self.row, self.axis, self.about, self._caption, *words]
        first = self.rows[0]
        self.play(FadeOut(*filter(None, gone)), run_time=0.5)
        self.remove(self.large)
        moving = [self.large.bars, self.large.gaps, self.large.broken, self.large.base]
        into = [first.bars, first.gaps, first.broken, first.base]
        self.play(
            *(ReplacementTransform(old, new) for old, new in zip(moving, into, strict=True)),
            Transform(self.arrow, arrow), run_time=1.2,
        )  # fmt: skip
        self.show(first, self.names[0], self.arriving[0], self.feet, self.note().move_to((0, foot.bottom + 0.14, 0)))

    def name_of(self, run: RunTold, style: TrailStyle | None = None) -> VGroup:
        """Return a run's name, and what tells it apart, in two lines; with the line that its curve has."""
        bars = bar_names(run.reach.bars)
        more = run.more if self.same_layers else f"{bars[0]} … {bars[-1]}"
        ((name,),) = fitted([run.called], 0.9 * NAME, BODY, most=1)  # bold letters are wider
        lines = VGroup(Words(name, size=BODY, colour=style.colour if style else self.theme.text, bold=True))
        if more:
            small = self.quiet(more, SMALL)
            lines.add(small if small.width <= NAME else self.quiet(fitted([more], NAME, MINIMUM, most=1)[0][0]))
        lines.arrange(DOWN, buff=0.1)
        if style is None:
            return lines
        mark = VGroup(swatch(style, self.theme))
        if "loss" in run.trace.scalars and not (run.trace.scalars["loss"] > LARGE).any():  # curves may hide each other
            self.losses[run.name] = Counter(self.loss(run, 0), size=MINIMUM, colour=ink(LOSS, self.theme))
            mark.add(self.losses[run.name])
        return VGroup(lines, mark.arrange(RIGHT, buff=0.18)).arrange(DOWN, buff=0.14)

    def loss(self, run: RunTold, index: int) -> float:
        return float(run.trace.scalars["loss"][index])

    def arrives(self, run: RunTold) -> VGroup:
        """Return what arrives at the first layer, set against the last, in two lines."""
        found = run.reach.at(run.moment)
        first, last = (size_words(each.size) if not each.missing else "none" for each in (found[0], found[-1]))
        large = Words(first, size=BODY, colour=ink(GRADIENT, self.theme), bold=True)
        return VGroup(large, self.quiet(f"of {last} arrives", SMALL)).arrange(DOWN, buff=0.1)

    # ── training ─────────────────────────────────────────────────────────────────────────────────────────────────

    def draw_training(self) -> list[Animation]:
        """Show for each run its bars, its map, and its loss at the first step."""
        stage, several = self.layout.whole_stage, len(self.told) > 1
        body = Region(stage.left, stage.bottom + 0.95, stage.right, stage.top - 0.5)
        if several:
            names, left, middle, right = body.columns(2.2, 3.5, 3.9, 2.9, gap=0.3)
            panels = [each.rows(*[1] * len(self.told), gap=0.3) for each in (left, middle)]
            plot = Region(right.left + 0.2, right.bottom + 0.6, right.right, right.top - 0.1)
        else:
            left, right = body.columns(1, 1, gap=0.7)
            upper, lower = right.rows(1.15, 1, gap=1.15)
            panels, plot, names = [(left,), (upper,)], lower, left
        self.bars = [self.bars_in(run, region) for run, region in zip(self.told, panels[0], strict=False)]
        self.maps = [self.map_in(run, region) for run, region in zip(self.told, panels[1], strict=False)]
        self.curves = self.curves_in(plot)
        self.losses: dict[str, Counter] = {}
        marks = VGroup(*self.words_of_training(left, panels[1][-1], panels[1][0]))
        for run, style, bars in zip(self.told, self.styles, self.bars, strict=False):
            if several:
                level = float(bars.base.get_y()) + bars.tall / 2
                marks.add(self.name_of(run, style).move_to((names.center[0], level, 0)))
        return [FadeIn(*self.header(int(self.every[0])), marks, *self.maps, *self.bars, *filter(None, [self.curves]))]

    def bars_in(self, run: RunTold, region: Region) -> GradientBars:
        """Return a run's bars in a region, without words; they show its first recorded step."""
        bars = self.bars_of(run, region.width, region.height, words=False).set_gradients(run.reach.at(0))
        return bars.shift(np.array([region.center[0], region.bottom, 0]) - bars.base.get_center())

    def map_in(self, run: RunTold, region: Region) -> GradientMap:
        """Return a run's map in a region, not filled yet."""
        found = GradientMap(
            run.reach.steps, run.reach.norms, run.reach.nonfinite, self.scale, last=float(self.every[-1]),
            theme=self.theme, width=region.width, height=region.height,
        )  # fmt: skip
        return found.move_to(region.center).set_step(float(self.every[0]))

    def curves_in(self, region: Region) -> Curves | None:
        """Return the recorded losses of the runs in a region; none where no run holds any."""
        shown = [run for run in self.told if "loss" in run.trace.scalars][::-1]  # whole lines below dashed ones
        losses = {run.name: np.asarray(run.trace.scalars["loss"], float) for run in shown}
        known = np.concatenate([np.empty(0), *(each[np.isfinite(each)] for each in losses.values())])
        if not len(known):
            return None
        starts = [float(each[np.isfinite(each)][0]) for each in losses.values() if np.isfinite(each).any()]
        start = max(each for each in starts if each <= 10 * min(starts)) if min(starts) > 0 else max(starts)
        steps = {run.name: run.reach.steps for run in shown}
        styles = tuple(self.styles[self.told.index(run)] for run in shown)
        curves = Curves(
            steps, losses, title="loss", largest=min(1.08 * float(known.max()), 3 * start), theme=self.theme,
            styles=styles, colour=ink(LOSS, self.theme), width=region.width - 0.3, height=region.height - 0.3,
        )  # fmt: skip
        curves.scale_marks(*round_levels(0, curves.largest, 4))
        return curves.shift(np.array([region.center[0] + 0.1, region.center[1], 0]) - curves.middle)

    def words_of_training(self, bars: Region, lowest: Region, highest: Region) -> list[Words]:
        """Say what the bars and the maps are, and where first and last stand."""
        names = bar_names(self.first.reach.bars) if self.same_layers else ["first layer", "last layer"]
        names = [name for (name,) in fitted(names, 0.45 * bars.width, MINIMUM, most=1)]
        ends = [self.quiet(names[0]), self.quiet(names[-1])]
        ends[0].next_to((bars.left, lowest.bottom if len(self.told) > 1 else bars.bottom, 0), DR, buff=0.1)
        ends[1].next_to((bars.right, 0, 0), DL, buff=0.1).at_baseline(ends[0].baseline)
        steps = self.first_and_last_step(lowest.left, lowest.right, lowest.bottom)
        titles = [self.words("gradient now", size=SMALL), self.words(f"{self.first.unit}s × steps", size=SMALL)]
        titles[0].next_to((bars.center[0], bars.top, 0), UP, buff=0.14)
        titles[1].next_to((highest.center[0], highest.top, 0), UP, buff=0.14).at_baseline(titles[0].baseline)
        maps = f"maps: the stronger the colour, the more; {names[0]} at the bottom"
        about = self.quiet(f"{self.scale}{self.cuts}; {maps}")
        about.move_to((0, self.layout.whole_stage.bottom + 0.14, 0))
        return [*ends[: len(names)], *steps, *titles, about]

    def first_and_last_step(self, left: float, right: float, y: float) -> list[Words]:
        """Write the first and the last step below the ends of a map."""
        first, last = self.quiet(str(self.every[0])), self.quiet(f"step {self.every[-1]}")
        first.next_to((left, y, 0), DR, buff=0.1)
        return [first, last.next_to((right, y, 0), DL, buff=0.1).at_baseline(first.baseline)]

    def train(self, seconds: float) -> Animation:
        """Return the training of all runs, on one clock of recorded steps."""
        every, runs = self.every, self.told

        def show(_: Mobject, alpha: float) -> None:
            step = every[0] + alpha * (every[-1] - every[0])
            self.clock.set_step(int(every[np.searchsorted(every, step, "right") - 1]))
            for run, bars, map_ in zip(runs, self.bars, self.maps, strict=True):
                index = max(int(np.searchsorted(run.reach.steps, step, "right")) - 1, 0)
                bars.set_gradients(run.reach.at(index))
                map_.set_step(step)
                if run.name in self.losses:
                    self.losses[run.name].set_value(self.loss(run, index))
            if self.curves is not None:
                self.curves.set_step(step)

        moving = VGroup(*self.bars, *self.maps, *filter(None, [self.curves]), *self.losses.values(), self.clock)
        return UpdateFromAlphaFunc(moving, show, run_time=seconds, rate_func=linear)

    # ── the last frame ───────────────────────────────────────────────────────────────────────────────────────────

    def draw_maps(self) -> list[Animation]:
        """The maps take the stage, each with its name and what came of its run."""
        stage, several = self.layout.whole_stage, len(self.told) > 1
        body = Region(stage.left, stage.bottom + 1.2, stage.right, stage.top - 0.2)
        names, feet, middle, results = body.columns(2.3 if several else 0.01, 1.15, 7.0, 2.6, gap=0.15)
        found = VGroup()
        self.maps = []
        regions = middle.rows(*[1] * len(self.told), gap=0.28)
        for run, region in zip(self.told, regions, strict=True):
            map_ = self.map_in(run, region).set_step(float(self.every[-1]))
            self.maps.append(map_)
            found.add(map_, self.outcome(run).move_to((results.center[0], region.center[1], 0)))
            if several:
                found.add(self.name_of(run).move_to((names.center[0], region.center[1], 0)))
            found.add(*self.rows_named(run, map_, feet.width, all_of_them=not several))
        steps = self.first_and_last_step(middle.left, middle.right, regions[-1].bottom)
        key = GradientKey(self.scale, title="norm of the gradient, log scale", theme=self.theme, width=3.6)
        key.add(*[self.quiet(self.stripes()).next_to(key.bar, RIGHT, buff=0.3)] * bool(self.stripes()))
        key.move_to((0, stage.bottom + 0.3, 0)).shift((middle.center[0] - key.bar.get_x()) * RIGHT)
        return [FadeIn(*self.header(int(self.every[-1])), found, *steps, key, run_time=1.0)]

    def rows_named(self, run: RunTold, map_: GradientMap, room: float, *, all_of_them: bool) -> list[Words]:
        """Return the names of a map's rows, on its left: of all, or of the first and the last layer."""
        names = fitted(bar_names(run.reach.bars), room, MINIMUM, most=1)
        count, pitch = len(names), map_.height / len(names)
        chosen = range(count) if all_of_them and pitch > 0.26 else dict.fromkeys((0, count - 1))
        found = {place: self.quiet(names[place][0]).next_to(map_, LEFT, buff=0.12) for place in chosen}
        return [words.set_y(map_.get_bottom()[1] + (place + 0.5) * pitch) for place, words in found.items()]

    def stripes(self) -> str:
        """Say what striped cells of the maps are, if there are any."""
        counts = np.concatenate([run.reach.nonfinite.ravel() for run in self.told])
        said = ["none (grey)"] * bool(np.isnan(counts).any()) + ["not finite (red)"] * bool((counts > 0).any())
        return f"striped: {', '.join(said)}" if said else ""

    def outcome(self, run: RunTold) -> VGroup:
        """Return what a run came to: its accuracy, or its loss, and in words whether it learns."""
        result = run.result
        if not result.what:
            return VGroup()
        loss = result.what == "loss"
        colour, said = (ink(LOSS, self.theme), size_words(result.value, 3)) if loss else (
            self.theme.text, number(result.value, 2))  # fmt: skip
        lines = VGroup(Words(said, size=0.4, colour=colour, bold=True), self.quiet(result.what, SMALL))
        lines.add(*[self.words(result.verdict, size=MINIMUM)] * bool(result.verdict))
        return lines.arrange(DOWN, buff=0.09)
