"""Storyboard 2: a loss is one number for how wrong the prediction is.

manim scenes/loss_functions.py LossFunctions
EXPLAINER_TRACE=runs/mine manim scenes/loss_functions.py LossFunctions   a trace of a regression or of a classifier, or
                                                                          a folder with one of each
"""

from __future__ import annotations

from typing import Any

import numpy as np
from manim import *

from explainer.cross_entropy import CrossEntropy, classifies, read_cross_entropy
from explainer.errors import TraceError
from explainer.mobjects.bars import Bars
from explainer.mobjects.counter import Counter, StepCounter
from explainer.mobjects.falling_bars import FallingBars
from explainer.mobjects.formula import Formula
from explainer.mobjects.layout import Region
from explainer.mobjects.network_history import between
from explainer.mobjects.squared_errors import SquaredErrors
from explainer.mobjects.thumbnail import draw_thumbnail
from explainer.mobjects.trace_scene import TraceScene
from explainer.mobjects.words import BODY, MINIMUM, SMALL, Words, number
from explainer.regression import Regression, read_regression
from explainer.theme import LAYER, LOSS, ink
from explainer.theme import RIGHT as RIGHT_ANSWER
from explainer.trace import Trace

MOST_CLASSES = 12  # that get a bar
MOST_EXAMPLES = 10  # that get a falling bar
SQUARES = "{{ ell : l }} = 1/n sum_i ({{ hat(y)_i : o }} - {{ y_i : t }})^2"
SURPRISES = "{{ ell : l }} = 1/n sum_i - ln {{ p_i (y_i) : t }}"


class LossFunctions(TraceScene):
    """Squared errors as squares and their mean as a column; −log p as bars that fall, and their mean.

    Between two recorded steps line, squares and bars glide; every printed number is that of a recorded step.
    """

    lesson = "line"
    compares = True
    least = 1

    def construct(self) -> None:
        self.read()

        # "Examples, and what a network says of them: a line, and it is wrong."
        self.beat("squares")
        self.say(self.sentence_of_line(), *self.draw_line())

        # "Each error, from the line to the example, becomes a square."
        self.say("Each error, from the line to the example, becomes a square.", self.grow(seconds=3))

        # "Mean squared error: the average area."
        self.say("Mean squared error: the average area.", *self.draw_column())
        self.play(self.slide(seconds=3.5))
        self.play(FadeIn(self.picture.show_mean(float(self.line.mean_squares[0])).mean), run_time=0.5)

        # "Two recorded steps later: smaller squares."
        self.finish_reading()
        self.beat("smaller squares")
        self.say(self.sentence_of_later(), self.fit(0, self.later, seconds=2))
        self.say(self.sentence_of_last(), self.fit(self.later, self.last, seconds=3))
        self.wait(1)

        # "A classifier answers with a probability for each digit."
        self.finish_reading()
        self.beat("cross-entropy")
        self.play(FadeOut(*self.mobjects), run_time=0.5)
        self.remove(*self.mobjects)
        self.say(f"A classifier gives a probability to each {self.noun}.", *self.draw_answer())

        # "Cross-entropy looks only at the probability given to the right answer."
        self.say("Cross-entropy looks only at the probability given to the right answer.", *self.single_out())
        self.fall()
        self.learn()

        # "Its mean over the examples is the loss: 1.102."
        self.finish_reading()
        self.beat("mean")
        self.gather()
        self.say(self.sentence_of_mean(), *self.draw_mean())

        # "A loss is one number for how wrong the prediction is."
        self.finish_reading()
        self.beat("two losses")
        self.say("A loss is one number for how wrong the predictions are.", *self.draw_both())
        self.wait(1)

    # ── the traces ───────────────────────────────────────────────────────────────────────────────────────────────

    def read(self) -> None:
        """Find out which of the traces is a regression and which a classifier; the lessons' stand in for the other."""
        self.regressions: dict[str, tuple[Trace, Regression]] = {}
        self.classifiers: dict[str, tuple[Trace, CrossEntropy]] = {}
        for name, trace in self.runs.items():
            if classifies(trace):
                self.classifiers[name] = trace, read_cross_entropy(trace, f"the run {name}")
            else:
                self.regressions[name] = trace, read_regression(trace, f"the run {name}")
        if max(len(self.regressions), len(self.classifiers)) > 1:
            raise TraceError(
                f"LossFunctions shows one regression and one classifier, and there are {len(self.regressions)} and "
                f"{len(self.classifiers)}: name one trace, or a folder with one of each"
            )
        if not self.regressions:
            trace = self.lesson_runs("line")["line"]
            self.regressions["line"] = trace, read_regression(trace)
        if not self.classifiers:
            trace = self.lesson_runs("digits")["digits"]
            self.classifiers["digits"] = trace, read_cross_entropy(trace)
        ((self.line_trace, self.line),) = self.regressions.values()
        ((self.class_trace, self.answers),) = self.classifiers.values()
        self.read_moments()

    def read_moments(self) -> None:
        """Choose the recorded steps and the examples that are shown."""
        known = np.flatnonzero(np.isfinite(self.line.outputs).all(axis=1))
        if not len(known) or known[0] != 0:
            raise TraceError("the regression's first recorded outputs are not numbers: choose another trace")
        self.last = int(np.argmin(np.diff(known, append=-1) == 1)) if len(known) > 1 else 0  # of those in a row
        self.later = min(2, self.last)
        seen = self.answers
        self.noun = "digit" if set(seen.classes) <= set("0123456789") and len(seen.classes) == 10 else "class"
        fours = [at for at, target in enumerate(seen.targets) if seen.classes[target] == "4"]
        self.hero = fours[0] if self.noun == "digit" and fours else 0
        self.turn = seen.turn(self.hero)
        others = [at for at in range(len(seen.targets)) if at != self.hero]
        self.dealt = sorted([self.hero, *others[: MOST_EXAMPLES - 1]])

    def header(self, trace: Trace, step: int) -> StepCounter:
        """Say where the numbers are from: the data on the left, the step on the right; return the clock."""
        last = int(trace.steps[-1])
        self.clock = StepCounter(0, f"of {last + 1} · {recorded(trace)}", largest=last, theme=self.theme)
        self.layout.header.place(self.clock, across=1, up=1)
        self.clock.set_step(step)
        data = self.quiet(str(trace.notes.get("data", "the examples of the trace")), SMALL)
        room = self.clock.get_left()[0] - self.layout.header.left - 0.3
        data.scale(min(1.0, max(room / data.width, MINIMUM / SMALL)))
        self.layout.header.place(data, across=-1).at_baseline(self.clock.baseline)
        self.about = VGroup(data, self.clock)
        return self.clock

    def quiet(self, words: str, size: float = MINIMUM) -> Words:
        return Words(words, size=size, colour=self.theme.quiet)

    def formula(self, markup: str, size: float = 0.5) -> Formula:
        """Return a loss's formula: the loss, the network's answer and the right answer each in its colour."""
        colours = {"l": ink(LOSS, self.theme), "o": ink(LAYER, self.theme), "t": ink(RIGHT_ANSWER, self.theme)}
        return Formula(markup, size=size, colour=self.theme.text, colours=colours)

    # ── squares ──────────────────────────────────────────────────────────────────────────────────────────────────

    def squared_errors(self, region: Region, shown: np.ndarray, height: float, radius: float) -> SquaredErrors:
        """Return the picture of the squares, in the middle of a region."""
        size = {"height": height, "radius": radius}
        for words in (0.9, 1.5, 2.1):  # frame units that the words at the axes may take
            width = region.width - words
            picture = SquaredErrors(self.line.x, self.line.targets, shown, theme=self.theme, width=width, **size)
            if picture.width <= region.width:
                break
        return picture.move_to(region.center)

    def draw_line(self) -> list[Animation]:
        """Show the examples and the network's line at the first recorded step."""
        self.header(self.line_trace, int(self.line_trace.steps[0]))
        stage = self.layout.stage
        self.picture = self.squared_errors(stage, self.line.outputs[: self.last + 1], stage.height - 0.9, radius=0.075)
        plot = self.picture.plot
        self.picture.squares.set_rectangles(np.empty((0, 4)))
        self.name = self.formula(SQUARES)
        return [FadeIn(self.about, plot.about, plot.dots, run_time=0.8), plot.come(seconds=2)]

    def sentence_of_line(self) -> str:
        curve = "a line" if self.line.straight.all() else "a curve"
        wrong = "it is wrong" if self.line.mean_squares[0] > 0.1 * np.var(self.line.targets) else "a little wrong"
        return f"Examples, and a network's answer: {curve}, and {wrong}."

    def grow(self, seconds: float) -> Animation:
        """Return the errors' lines, which become squares."""
        picture = self.picture
        moving = VGroup(picture.squares, picture.plot.curve, picture.plot.dots)
        return UpdateFromAlphaFunc(moving, lambda _, alpha: picture.grow(alpha), run_time=seconds)

    def draw_column(self) -> list[Animation]:
        """Show the column's axis, the formula, and in words what happens to the areas."""
        count, wide = len(self.line.x), self.picture.wide
        height = "so its height is the mean" if wide == 1 else f"so {wide:g} · height is the mean"
        rule = VGroup(
            self.quiet(f"each square goes into the column with 1/{count} of its area;", SMALL),
            self.quiet(f"the column is {wide:g} wide, {height}: not ½ mean", SMALL),
        )  # fmt: skip
        rule.arrange(DOWN, buff=0.1, aligned_edge=LEFT)
        self.layout.formula.place(self.name)  # by itself too high; made smaller with it, the words could not be read
        self.layout.formula.place(VGroup(self.name, rule.next_to(self.name, RIGHT, buff=1.0)))
        return [FadeIn(self.picture.ruler, self.name, rule)]

    def slide(self, seconds: float) -> Animation:
        """Return the way of the squares' copies into the column."""
        slide, slabs = self.picture.slide, self.picture.slabs
        return UpdateFromAlphaFunc(slabs, lambda _, alpha: slide(alpha), run_time=seconds, rate_func=linear)

    def fit(self, start: int, stop: int, seconds: float) -> Animation:
        """Return the training from one recorded step to another: line, squares and column move together."""
        picture, clock, seen, steps = self.picture, self.clock, self.line, self.line_trace.steps

        def show(_: Mobject, alpha: float) -> None:
            position = start + alpha * (stop - start)
            picture.set_outputs(between(seen.outputs, position))
            recorded = int(position + 1e-9)
            picture.show_mean(float(seen.mean_squares[recorded]))
            clock.set_step(int(steps[recorded]))

        plot = picture.plot
        moving = VGroup(picture.squares, plot.curve, plot.dots, picture.slabs, picture.mean, clock)
        return UpdateFromAlphaFunc(moving, show, run_time=seconds, rate_func=linear)

    def sentence_of_later(self) -> str:
        first, now = (float(self.line.mean_squares[at]) for at in (0, self.later))
        when = {1: "One recorded step later", 2: "Two recorded steps later"}.get(self.later, "At the same step")
        said = "smaller squares" if now < first else "the squares are no smaller"
        return f"{when}: {said}, a mean of {self.written(now)}."

    def sentence_of_last(self) -> str:
        last = float(self.line.mean_squares[self.last])
        return f"At step {int(self.line_trace.steps[self.last])} the mean is {self.written(last)}."

    def written(self, mean: float) -> str:
        return number(mean, self.picture.mean.decimals)

    # ── falling bars ─────────────────────────────────────────────────────────────────────────────────────────────

    def draw_answer(self) -> list[Animation]:
        """Show an example and its bars at the first recorded step."""
        seen, target = self.answers, int(self.answers.targets[self.hero])
        self.header(self.class_trace, int(seen.steps[0]))
        peaks = np.exp(seen.log_probabilities[:, self.hero]).max(axis=0)
        peaks[target] += 1
        self.classes = np.sort(np.argsort(-peaks, kind="stable")[:MOST_CLASSES])
        stage = self.layout.whole_stage
        left, middle, right = stage.columns(1, 1.5, 1, gap=0.6)
        self.card = left.place(draw_thumbnail(seen.images, self.hero, min(3.2, left.width), self.theme))
        count = len(self.classes)
        self.bars = Bars(
            seen.probabilities[0, self.hero, self.classes], theme=self.theme,
            labels=[seen.classes[at] for at in self.classes], length=middle.width - 2.1, decimals=3,
            pitch=min(0.5, (stage.height - 1.0) / count), right=int(np.flatnonzero(self.classes == target)[0]),
        )  # fmt: skip
        middle.place(self.bars).shift(DOWN * 0.2)
        self.about_bars = self.quiet(f"probability of each {self.noun}", SMALL).next_to(self.bars.rule, UP, buff=0.3)
        self.about_bars.align_to(self.bars.base, LEFT)
        self.right_room = right
        return [FadeIn(self.about, self.card, self.bars, self.about_bars)]

    def single_out(self) -> list[Any]:
        """Let all but the right class's bar step back."""
        words = enumerate(zip(self.bars.labels, self.bars.counters, strict=True))
        faded = [part for at, pair in words if at != self.bars.right for part in pair]
        return [self.bars.others.animate.set_opacity(0.3), VGroup(*faded).animate.set_opacity(0.3)]

    def deepest(self) -> float:
        """Return the loss at the foot of the falling bars' axis: a little more than the largest that is shown."""
        shown = self.answers.losses[: self.turn + 1][:, self.dealt]
        return float(max(1.1 * np.max(shown[np.isfinite(shown)], initial=0.0), 1.0))

    def fall(self) -> None:
        """The right answer's bar hangs by −ln p below zero."""
        seen, room = self.answers, self.right_room
        loss = float(seen.losses[0, self.hero])
        self.bar = FallingBars([loss], deepest=self.deepest(), theme=self.theme, width=1.2, length=3.6)
        self.bar.shift(np.array([room.center[0] - 0.8, room.center[1] - 0.1, 0]) - self.bar.rule.get_center())
        colour = ink(LOSS, self.theme)
        self.title = Formula("-ln {{ p : t }}", size=0.42, colour=colour,
                             colours={"t": ink(RIGHT_ANSWER, self.theme)})  # fmt: skip
        self.title.next_to(self.bar.base, UP, buff=0.3)
        self.loss = Counter(loss, size=0.42, colour=colour)
        self.place_loss(loss)
        falling = self.bar.fall(seconds=1.5)
        self.play(FadeIn(self.bar.rule, self.bar.base, self.bar.marks, self.title), run_time=0.6)
        self.play(falling, FadeIn(self.loss, run_time=1.5))

    def place_loss(self, loss: float) -> None:
        """Put the loss's number to the right of the bar's end."""
        end = self.bar.at(0, loss)
        self.loss.move_to((end[0] + 0.55 + self.loss.width / 2, end[1], 0))

    def learn(self) -> None:
        """Training: the right answer's bar grows, and the other shortens."""
        seen = self.answers
        if self.turn == 0:
            return
        better = seen.losses[self.turn, self.hero] < seen.losses[0, self.hero]
        sure, long = ("surer", "shorter") if better else ("less sure", "longer")
        self.say(f"The {sure} of the right answer, the {long} the bar.")
        bars, bar, clock, hero = self.bars, self.bar, self.clock, self.hero
        given = seen.probabilities[:, hero, self.classes]  # (S, class)

        def show(_: Mobject, alpha: float) -> None:
            position = alpha * self.turn
            at = int(position + 1e-9)
            bars.set_values(between(given, position), given[at])
            loss = float(between(seen.losses[:, hero], position))
            bar.set_losses([loss])
            self.loss.set_value(float(seen.losses[at, hero]))
            self.place_loss(loss)
            clock.set_step(int(seen.steps[at]))

        moving = VGroup(bars, bar.bars, self.loss, clock)
        self.play(UpdateFromAlphaFunc(moving, show, run_time=4, rate_func=linear))
        self.wait(1)

    # ── the mean ─────────────────────────────────────────────────────────────────────────────────────────────────

    def falling(self, region: Region, length: float) -> tuple[FallingBars, VGroup]:
        """Return a falling bar for each example at the step that has been reached, and the examples above them."""
        losses = self.answers.losses[self.turn, self.dealt]
        width = region.width - 2.3  # the axis' numbers stand to the left, the mean to the right
        bars = FallingBars(losses, deepest=self.deepest(), theme=self.theme, width=width, length=length)
        size = min(0.9, 0.85 * width / len(losses))
        bars.shift(region.center + DOWN * (size + 0.2) / 2 - (bars.base.get_end() + bars.rule.get_end()) / 2)
        above = VGroup()
        for place, example in enumerate(self.dealt):
            picture = draw_thumbnail(self.answers.images, example, size, self.theme)
            above.add(picture.next_to(bars.at(place, 0.0), UP, buff=0.12))
        return bars, above

    def gather(self) -> None:
        """The example takes its place among the others, each with its own bar."""
        stage = self.layout.stage
        self.all_bars, self.above = self.falling(stage, stage.height - 1.7)
        self.name = self.layout.formula.place(self.formula(SURPRISES), up=0)
        mine = self.dealt.index(self.hero)
        gone = [self.bars, self.about_bars, self.bar, self.title, self.loss, self._caption]
        self.play(FadeOut(*filter(None, gone)), run_time=0.6)
        self.play(ReplacementTransform(self.card, self.above[mine]), run_time=1.0)
        others = [each for place, each in enumerate(self.above) if place != mine]
        bars = self.all_bars
        falling = bars.fall(seconds=1.5)
        self.play(FadeIn(*others, bars.rule, bars.base, bars.marks), run_time=0.6)
        self.play(falling)

    def draw_mean(self) -> list[Animation]:
        """Draw the bars' mean, and the formula under them."""
        self.average = self.all_bars.draw_mean(0.36)
        return [FadeIn(self.average, self.name)]

    def sentence_of_mean(self) -> str:
        mean, count = number(float(self.all_bars.losses.mean())), len(self.dealt)
        whole = count == len(self.answers.targets) and self.answers.is_recorded
        return f"{'The loss' if whole else 'This'} is the mean over these {count} examples: {mean}."

    # ── both ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def draw_both(self) -> list[Animation]:
        """Show the two formulas over the two pictures, each with its convention."""
        gone = list(self.mobjects)
        left, right = self.layout.whole_stage.columns(1, 1, gap=0.6)
        self.halves = VGroup(self.left_half(left), self.right_half(right))
        self.play(FadeOut(*gone), run_time=0.6)
        return [FadeIn(self.halves, run_time=1)]

    def left_half(self, region: Region) -> VGroup:
        """Return the formula of the mean squared error over its picture, and which mean it is."""
        mean, step = float(self.line.mean_squares[self.later]), int(self.line_trace.steps[self.later])
        picture = self.squared_errors(region, self.line.outputs[[self.later]], 2.7, radius=0.06).show_mean(mean)
        convention = f"the mean, not ½ mean (that would be {self.written(mean / 2)})"
        words = convention, self.where(self.regressions, self.line_trace, step)
        return self.half(region, "mean squared error", self.formula(SQUARES), picture, words)

    def right_half(self, region: Region) -> VGroup:
        """Return the formula of cross-entropy over its picture, and which logarithm it is."""
        bars, above = self.falling(region, 2.1)
        picture = VGroup(bars, above, bars.draw_mean(BODY))
        convention = f"the mean over {len(self.dealt)} examples, natural logarithm"
        words = convention, self.where(self.classifiers, self.class_trace, int(self.answers.steps[self.turn]))
        return self.half(region, "cross-entropy", self.formula(SURPRISES), picture, words)

    def half(self, region: Region, title: str, formula: Formula, picture: VGroup, words: tuple[str, str]) -> VGroup:
        """Return one loss of the last frame: from the top its name, formula, picture, convention and source."""
        across, top = region.center[0], self.layout.header.top
        name = self.words(title, size=0.4, bold=True).set_x(across).at_baseline(top - 0.36)
        formula.move_to((across, top - 1.2, 0))
        lines = VGroup(self.quiet(words[0], SMALL), self.quiet(words[1]))
        for place, line in enumerate(lines):
            line.set_x(across).at_baseline(region.bottom + 0.42 - 0.34 * place)
        room = (formula.get_bottom()[1] + lines.get_top()[1]) / 2
        return VGroup(name, formula, picture.shift(UP * (room - picture.get_center()[1])), lines)

    def where(self, kind: dict[str, Any], trace: Trace, step: int) -> str:
        """Say of which trace and step a picture is."""
        return f"{next(iter(kind))} · step {step} of {trace.steps[-1] + 1} · {recorded(trace)}"


def recorded(trace: Trace) -> str:
    """Say that the numbers are recorded, and in which kind of number."""
    return f"recorded, {next((layer.dtype for layer in trace.model.layers.values() if layer.dtype), 'float')}"
