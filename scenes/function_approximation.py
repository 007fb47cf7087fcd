"""Storyboard 1: a network can become any function, if it has non-linear activations.

manim scenes/function_approximation.py FunctionApproximation
EXPLAINER_TRACE=runs/mine manim scenes/function_approximation.py FunctionApproximation   a folder with a trace of each
"""

from __future__ import annotations

import numpy as np
from manim import *

from explainer.errors import TraceError
from explainer.mobjects.counter import Counter, StepCounter
from explainer.mobjects.function_plot import FunctionPlot, limits_of
from explainer.mobjects.trace_scene import TraceScene
from explainer.mobjects.words import BODY, MINIMUM, SMALL, Words, number
from explainer.regression import read_regression
from explainer.theme import LAYER, LOSS, ink
from explainer.theme import RIGHT as RIGHT_ANSWER

SHOWN = ("identity", "tanh", "ReLU")  # of the lesson's runs, from left to right
HERO = "ReLU"  # the run that the first beats show
NARROW = "identity, 4 wide"  # the lesson's run that shows that width does not help
MOST = 4  # runs that have room side by side
DOTS = 40  # about so many are told apart, and let the curve be seen between them
BENDS_NOT = ("Linear", "Identity", "Flatten", "Sequential", "Dropout")  # layers without a bend


class FunctionApproximation(TraceScene):
    """Dots of a function that is known by examples only, and curves of networks that learn to go through them.

    Between two recorded steps curves glide; every printed number is that of a recorded step.
    """

    lesson = "sine"
    compares = True
    needs = ("criterion", "probe")

    def construct(self) -> None:
        self.read()
        self.build()

        # "Training looks for a function that we only know by examples."
        self.beat("examples")
        self.say("Training looks for a function that we only know by examples.", *self.draw_examples())

        # "At first the network knows nothing."
        self.beat("untrained")
        self.say(self.sentence_of_start(), *self.draw_curve())

        # "Step by step it bends towards the examples."
        self.beat("training")
        self.say(self.sentence_of_training())
        self.play(self.train({self.hero: (self.plot, self.loss)}, seconds=9))
        self.wait(1)

        # "Three activations, one clock: the identity bends nothing."
        self.finish_reading()
        self.beat("side by side")
        self.split()
        self.say(self.sentence_of_runs())
        self.play(self.train(self.panels, seconds=10))

        # "Without a non-linear activation it can only ever be a straight line."
        self.say(self.sentence_of_end(), *self.draw_verdicts())
        self.wait(1)

    # ── the traces ───────────────────────────────────────────────────────────────────────────────────────────────

    def read(self) -> None:
        """Read the curves of all runs, and choose the run of the first beats."""
        lesson = all(name in self.runs for name in SHOWN)
        names = SHOWN if lesson else tuple(self.runs)
        if len(names) > MOST:
            raise TraceError(
                f"FunctionApproximation has room for {MOST} runs side by side, and there are {len(names)}: name a "
                f"folder with at most {MOST} traces"
            )
        self.read_of = {name: read_regression(trace, f"the run {name}") for name, trace in self.runs.items()}
        self.shown = {name: self.read_of[name] for name in names}
        for name, seen in self.shown.items():
            if not seen.probed or not np.isfinite(seen.losses).any():
                raise TraceError(f"FunctionApproximation draws the examples of a probe and their loss, which the run "
                                 f"{name} does not hold: record with criterion=criterion, probe=(x, y)")  # fmt: skip
        ends = {name: seen.losses[-1] for name, seen in self.shown.items()}
        self.hero = HERO if lesson else min(ends, key=lambda name: np.nan_to_num(ends[name], nan=np.inf))
        self.steps = {name: np.asarray(self.runs[name].steps) for name in names}
        self.every = np.unique(np.concatenate(list(self.steps.values())))
        smallest = min((end for end in ends.values() if end > 0), default=1.0)
        self.decimals = int(np.clip(np.ceil(-np.log10(smallest)), 3, 5))
        every = list(self.shown.values())
        self.across = limits_of(*(each.x for each in every), margin=0.02)
        self.up = limits_of(*(each.targets for each in every), margin=0.25)
        self.thinned = max(1, len(self.shown[self.hero].x) // DOTS)

    def build(self) -> None:
        """Build the header, and the plot of the first beats with what stands beside it."""
        trace = self.runs[self.hero]
        dtype = next((layer.dtype for layer in trace.model.layers.values() if layer.dtype), "float")
        last = int(self.every[-1])
        self.clock = StepCounter(0, f"of {last + 1} · recorded, {dtype}", largest=last, theme=self.theme)
        self.layout.header.place(self.clock, across=1, up=1)
        self.clock.set_step(int(self.every[0]))
        says = str(trace.notes.get("data", "the examples of the probe"))
        if self.thinned > 1:
            says += f"; a dot for one in {self.thinned}"
        data = self.quiet(says, SMALL)
        self.layout.header.place(data, across=-1).at_baseline(self.clock.baseline)
        self.about = VGroup(data, self.clock)
        left, self.side = self.layout.whole_stage.columns(3.4, 1, gap=0.5)
        self.plot = self.make_plot(self.hero, left.width - 0.9, min(left.height - 0.9, 5.6), radius=0.075)
        self.plot.shift(left.center + RIGHT * 0.1 - self.plot.middle)
        self.loss, self.legend, self.network = self.make_side()

    def make_plot(self, name: str, width: float, height: float, radius: float) -> FunctionPlot:
        """Return a run's plot at its first recorded step."""
        seen = self.shown[name]
        return FunctionPlot(
            seen.x, seen.targets, seen.outputs[0], across=self.across, up=self.up, theme=self.theme, width=width,
            height=height, radius=radius, every=self.thinned,
        )  # fmt: skip

    def quiet(self, words: str, size: float = MINIMUM) -> Words:
        return Words(words, size=size, colour=self.theme.quiet)

    def measure(self, name: str) -> str:
        """Return what the loss is called."""
        kind = self.shown[name].measure
        return "mean squared error" if self.shown[name].is_mean_square else f"loss ({kind})"

    # ── one network ──────────────────────────────────────────────────────────────────────────────────────────────

    def make_side(self) -> tuple[Counter, VGroup, VGroup]:
        """Return what stands beside the plot: the loss's number, its legend, and what the network is."""
        colour = ink(LOSS, self.theme)
        example = self.legend_line(Dot(radius=0.08, color=RIGHT_ANSWER), "an example")
        output = self.legend_line(Line(LEFT * 0.2, RIGHT * 0.2, color=LAYER, stroke_width=7), "the network")
        self.what = self.quiet(self.architecture(self.hero), SMALL)
        title = Words(self.measure(self.hero), size=SMALL, colour=colour)
        loss = Counter(self.shown[self.hero].losses[0], decimals=self.decimals, size=0.62, colour=colour)
        left = self.side.left
        for line, up in ((example, 1.9), (output, 1.4), (self.what, 0.98), (title, -0.35), (loss, -0.9)):
            line.set_x(left, LEFT).set_y(self.side.center[1] + up)
        self.what.shift(RIGHT * 0.55)
        return loss, VGroup(example), VGroup(output, self.what, title, loss)

    def legend_line(self, sign: VMobject, words: str) -> VGroup:
        line = VGroup(sign, self.words(words, size=BODY))
        sign.move_to(LEFT * 0.2)
        line[1].set_x(0.35, LEFT).at_baseline(-0.1)
        return VGroup(Line(LEFT * 0.4, ORIGIN, stroke_opacity=0), *line)

    def architecture(self, name: str) -> str:
        """Return a network's widths, "1 → 64 → 1, ReLU", else how many weights it has."""
        model = self.runs[name].model
        bends = [layer.type for layer in model.layers.values() if layer.type not in BENDS_NOT]
        widths = self.widths(name)
        if not 3 <= len(widths) <= 4:
            return f"{model.parameter_count:,} weights"
        return " → ".join(map(str, widths)) + (f", {bends[0]}" if bends else "")

    def widths(self, name: str) -> list[int]:
        """Return how many numbers go into a network's first linear layer, and come out of each."""
        layers = [layer for layer in self.runs[name].model.layers.values() if layer.type == "Linear"]
        shapes = [(layer.input_shape, layer.output_shape) for layer in layers]
        return [into[-1] for into, _ in shapes[:1] if into] + [out[-1] for _, out in shapes if out]

    def draw_examples(self) -> list[Animation]:
        """Show the axes, then the dots one after the other from the left."""
        dots, count = self.plot.dots, len(self.plot.dots.places)

        def appear(_: Mobject, alpha: float) -> None:
            dots.seen = np.array(alpha * count)

        appear(dots, 0)
        return [
            FadeIn(self.about, self.plot.about, self.legend, run_time=0.8),
            UpdateFromAlphaFunc(dots, appear, run_time=2.6, rate_func=linear),
        ]

    def draw_curve(self) -> list[Animation]:
        """Draw the network's curve from the left, at its first recorded step."""
        return [FadeIn(self.network), self.plot.come(seconds=1.6)]

    def sentence_of_start(self) -> str:
        seen = self.shown[self.hero]
        if seen.mean_squares[0] > 0.5 * np.var(seen.targets):
            return "At first the network knows nothing."
        return f"At the first recorded step its loss is {number(seen.losses[0], self.decimals)}."

    def sentence_of_training(self) -> str:
        seen = self.shown[self.hero]
        if seen.mean_squares[-1] < seen.mean_squares[0]:
            return f"Step by step it {'turns' if seen.straight.all() else 'bends'} towards the examples."
        first, last = (number(seen.losses[at], self.decimals) for at in (0, -1))
        return f"Its loss goes from {first} to {last}."

    def train(self, plots: dict[str, tuple[FunctionPlot, Counter]], seconds: float) -> Animation:
        """Return the training of runs, on one clock of recorded steps: the first ones, where most happens, slowest."""
        every, steps, shown, clock = self.every, self.steps, self.shown, self.clock

        def show(_: Mobject, alpha: float) -> None:
            place = alpha * (len(every) - 1)
            step = float(np.interp(place, np.arange(len(every)), every))
            recorded = int(every[int(place + 1e-9)])
            clock.set_step(recorded)
            for name, (plot, loss) in plots.items():
                plot.set_outputs(between(shown[name].outputs, steps[name], step))
                loss.set_value(shown[name].losses[max(int(np.searchsorted(steps[name], recorded, "right")) - 1, 0)])

        moving = VGroup(*(part for plot, loss in plots.values() for part in (plot.curve, plot.dots, loss)), clock)
        return UpdateFromAlphaFunc(moving, show, run_time=seconds, rate_func=linear)

    # ── several networks, side by side ───────────────────────────────────────────────────────────────────────────

    def split(self) -> None:
        """The dots go to a plot for each run; all stand at the first recorded step again."""
        stage, count = self.layout.whole_stage, len(self.shown)
        self.panels: dict[str, tuple[FunctionPlot, Counter]] = {}
        self.titles = VGroup()
        colour = ink(LOSS, self.theme)
        for column, name in zip(stage.columns(*[1] * count, gap=0.35), self.shown, strict=True):
            width = min(column.width - 0.85, 5.2)
            plot = self.make_plot(name, width, min(3.0, 0.9 * width), radius=0.045)
            plot.shift(np.array([column.center[0] + 0.1, stage.center[1] + 0.7, 0]) - plot.middle)
            title = self.words(name, size=min(0.4, 0.085 * column.width), bold=True)
            title.set_x(plot.middle[0]).at_baseline(plot.dots.get_top()[1] + 0.3)
            loss = Counter(self.shown[name].losses[0], decimals=self.decimals, size=0.5, colour=colour)
            loss.move_to((plot.middle[0], plot.dots.get_bottom()[1] - 0.78, 0))
            self.panels[name] = plot, loss
            what = Words(self.measure(name), size=MINIMUM, colour=colour).next_to(loss, DOWN, buff=0.16)
            self.titles.add(title, what)
        old = [self.plot.about, self.plot.curve, self.legend, self.network, self._caption]
        self.play(FadeOut(*filter(None, old)), run_time=0.6)
        copies = [self.plot.dots.copy() for _ in self.panels]
        self.remove(self.plot.dots)
        pairs = zip(copies, self.panels.values(), strict=True)
        self.play(*(ReplacementTransform(dots, plot.dots) for dots, (plot, _) in pairs), run_time=1.2)
        self.clock.set_step(int(self.every[0]))
        rest = [part for plot, loss in self.panels.values() for part in (plot.about, plot.curve, loss)]
        self.bring_to_back(*(plot.curve for plot, _ in self.panels.values()))
        self.play(FadeIn(*rest, self.titles), run_time=0.8)

    def sentence_of_runs(self) -> str:
        count = {2: "two", 3: "three", 4: "four"}.get(len(self.shown), str(len(self.shown)))
        if set(SHOWN) == set(self.shown):
            return f"{count.capitalize()} activations, one clock: the identity bends nothing."
        return f"The same clock, {count} networks."

    def straight(self) -> list[str]:
        """Return the runs whose curve is a straight line at every recorded step."""
        return [name for name, seen in self.shown.items() if seen.straight.all()]

    def is_linear(self, name: str) -> bool:
        """Say whether a network has no layer that bends."""
        layers = self.runs[name].model.layers.values()
        return all(layer.type in BENDS_NOT for layer in layers)

    def draw_verdicts(self) -> list[Animation]:
        """Say under each number what it is of."""
        verdicts = VGroup()
        for name, (_, loss) in self.panels.items():
            lines = self.verdict(name)
            for place, line in enumerate(lines):
                verdicts.add(self.quiet(line, SMALL).move_to(loss).shift(DOWN * (0.9 + 0.33 * place)))
        return [FadeIn(verdicts)]

    def verdict(self, name: str) -> list[str]:
        """Return in a line or two what a run's curve has become."""
        seen = self.shown[name]
        if name in self.straight():
            lines = ["straight at every step"]
            if seen.is_mean_square and seen.losses[-1] < 1.001 * seen.best_straight:
                lines = ["straight: the best line there is"]
            narrow = self.read_of.get(NARROW)
            if name == "identity" and narrow is not None:
                ends = [number(each.losses[-1], self.decimals) for each in (seen, narrow)]
                if ends[0] == ends[1]:
                    few, many = (self.widths(run)[1] for run in (NARROW, name))
                    lines.append(f"the same with {few} units or {many}")
            return lines
        if not np.isfinite(seen.outputs[-1]).all():
            return ["has left the numbers"]
        if seen.mean_squares[-1] < 0.01 * np.var(seen.targets):
            return ["on the examples"]
        return ["nearer than it was" if seen.mean_squares[-1] < seen.mean_squares[0] else "no nearer than it was"]

    def sentence_of_end(self) -> str:
        straight = self.straight()
        if straight and all(self.is_linear(name) for name in straight):
            return "Without a non-linear activation it can only ever be a straight line."
        if straight:
            return f"{straight[0]} has stayed a straight line at every recorded step."
        return f"{self.hero} ends nearest to the examples."


def between(outputs: np.ndarray, steps: np.ndarray, step: float) -> np.ndarray:
    """Return a run's curve at a step, (example,); between two recorded ones, what lies between."""
    place = float(np.interp(step, steps, np.arange(len(steps))))
    before = int(place)
    after = min(before + 1, len(steps) - 1)
    return np.asarray(outputs[before] + (place - before) * (outputs[after] - outputs[before]))


