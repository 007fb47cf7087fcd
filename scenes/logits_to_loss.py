"""Storyboard 8: scores, probabilities, log-probabilities, and which loss wants which.

manim scenes/logits_to_loss.py LogitsToLoss
EXPLAINER_TRACE=runs/mine manim scenes/logits_to_loss.py LogitsToLoss      any classifier: CrossEntropyLoss, NLLLoss
"""

import math

import numpy as np
from manim import *

from explainer import scores
from explainer.mobjects.batch_matrix import BatchMatrix
from explainer.mobjects.counter import StepCounter
from explainer.mobjects.dial import Dial
from explainer.mobjects.gap_plot import GapPlot
from explainer.mobjects.layout import Region
from explainer.mobjects.roads import Roads
from explainer.mobjects.signed_bars import SignedBars
from explainer.mobjects.trace_scene import TraceScene
from explainer.mobjects.verdicts import Verdicts
from explainer.mobjects.words import BODY, MINIMUM, SMALL, Words, number
from explainer.theme import LOSS, ink

MOST_CLASSES = 10  # that get a bar
COLUMNS = (-4.75, -0.3, 4.15)  # where the middles of the three columns of bars are
FAR = 200  # the gap of two scores up to which the plot goes


class LogitsToLoss(TraceScene):
    """From scores to the loss on two roads, and four ways beside them, with the numbers of recorded batches."""

    lesson = "digits"
    needs = ("targets", "criterion")

    def construct(self) -> None:
        self.read()

        # Scores, probabilities, log-probabilities.
        self.beat("scores")
        self.say(self.told_of_scores(), *self.draw_scores())
        self.say("softmax makes probabilities of them: each above 0, and together 1.", *self.draw_column(1))
        self.say("Their logarithms are below 0: the likelier, the nearer to 0.", *self.draw_column(2))
        self.say(self.told_of_loss(), *self.point_at_loss())

        # Two roads, one number.
        self.beat("two roads")
        self.sweep()
        self.say(self.told_of_batch(), *self.draw_roads())
        self.play(self.roads.go(self.roads.upper))
        self.play(self.roads.go(self.roads.lower))
        self.say(self.told_of_roads(), *self.pulse_losses())

        # The mistake: a softmax too many.
        self.beat("mistake")
        self.sweep()
        self.say("A mistake that nobody reports: a softmax in front of CrossEntropyLoss.", *self.draw_dials())
        self.say(self.told_of_band(), FadeIn(self.wrong.mark(*self.band)))
        self.play(self.train(seconds=5))
        self.say(self.told_of_mistake())

        # For computational reasons.
        self.beat("float32")
        self.sweep()
        self.say("Why not softmax first, and its logarithm then? Two scores move apart:", *self.draw_plot())
        self.say(self.told_of_edge(), *self.break_off())
        self.say("log_softmax never leaves the logarithm. For computational reasons: use scores.", *self.compare_far())

        # dim: rows or columns.
        self.beat("dim")
        self.sweep()
        self.say("A row for each example: with dim=1 every row sums to 1.", *self.draw_matrix())
        self.run_along()
        self.say("With dim=0 every column sums to 1: examples take from each other.", *self.turn_matrix())
        self.run_along()
        self.say(self.told_of_diagnosis(), *self.go_to_start())
        self.wait(1)

        # Which loss wants which.
        self.beat("table")
        self.sweep()
        self.say("Scores go into CrossEntropyLoss, log-probabilities into NLLLoss.", *self.draw_table())
        self.wait(2)

    # ── The numbers ─────────────────────────────────────────────────────────────────────────────────────────────

    def read(self) -> None:
        """Read the scores, and choose the batch and the example to look at."""
        self.seen = scores.read_scores(self.trace)
        self.at = self.seen.on_the_way()
        self.x, self.log_p, self.targets = (
            kind[self.at] for kind in (self.seen.scores, self.seen.log_probabilities, self.seen.targets)
        )
        self.example = self.seen.telling_example(self.at)
        self.target = int(self.targets[self.example])
        row = self.x[self.example]
        likely = [each for each in np.argsort(-row, kind="stable") if each != self.target]
        self.classes = np.sort([self.target, *likely[: MOST_CLASSES - 1]])
        self.names = [self.seen.classes[each] for each in self.classes]
        self.count = len(self.seen.classes)
        self.noun = "digit" if set(self.seen.classes) == set("0123456789") else "class"
        self.item = "image" if self.noun == "digit" or "image_shape" in self.trace.notes else "example"
        self.right, self.mistaken = self.seen.right_losses, self.seen.mistaken_losses
        self.band = scores.bounds(self.count)
        self.clock = self.header()

    def header(self) -> StepCounter:
        """Say where the numbers are from: the data on the left, the step on the right; return the clock."""
        dtype = next((layer.dtype for layer in self.trace.model.layers.values() if layer.dtype), "float")
        steps = self.seen.steps
        clock = StepCounter(0, f"of {steps[-1] + 1} · recorded, {dtype}", largest=int(steps[-1]), theme=self.theme)
        self.layout.header.place(clock, across=1, up=1)
        clock.set_step(int(steps[self.at]))
        self.add(clock)
        if data := str(self.trace.notes.get("data", "")):
            words = self.layout.header.place(self.quiet(data, SMALL), across=-1)
            self.add(words.at_baseline(clock.baseline))
        self.still = [*self.mobjects]
        return clock

    def quiet(self, words: str, size: float = MINIMUM) -> Words:
        return Words(words, size=size, colour=self.theme.quiet)

    def loss_words(self, words: str, size: float = 0.4) -> Words:
        return Words(words, size=size, colour=ink(LOSS, self.theme), bold=True)

    @property
    def kept(self) -> str:
        """How many examples of a batch are in the trace, in words."""
        many = len(self.targets)
        return f"{many} of the batch’s {self.seen.batch} examples" if many < self.seen.batch else f"all {many} examples"

    def sweep(self) -> None:
        """Fade all out but the header; the caption has been read."""
        self.finish_reading()
        self.add(*self.still)  # out of the groups in which they moved
        gone = [each for each in self.mobjects if each not in self.still]
        self.play(FadeOut(*gone), run_time=0.5)
        self.remove(*gone)
        self.clock.set_step(int(self.seen.steps[self.at]))

    # ── Scores, probabilities, log-probabilities ────────────────────────────────────────────────────────────────

    def told_of_scores(self) -> str:
        many = {10: "ten"}.get(self.count, f"{self.count}")
        if self.seen.recorded_as != "scores":
            return f"Recorded are log-probabilities, which are scores too: one for each {self.noun}."
        return f"For one {self.item} the network gives {many} scores, one for each {self.noun}: any numbers."

    def draw_scores(self) -> list[Animation]:
        row = self.x[self.example].astype(np.float64)
        kinds = {"scores": row, "probabilities": scores.softmax(row), "log-probabilities": scores.log_softmax(row)}
        self.bars: list[SignedBars] = []
        self.titles: list[VGroup] = []
        right = int(np.flatnonzero(self.classes == self.target)[0])
        middle = float(self.layout.whole_stage.center[1]) - 0.2
        for (name, values), x in zip(kinds.items(), COLUMNS, strict=True):
            bars = SignedBars(
                values[self.classes], theme=self.theme, labels=[] if self.bars else self.names, right=right,
                decimals=3 if name == "probabilities" else 2, high=1.0 if name == "probabilities" else None,
            )  # fmt: skip
            bars.shift(np.array([x, middle, 0.0]) - (bars.rule.get_start() + bars.rule.get_end()) / 2)
            bars.shift(DOWN * (bars.zero.get_center()[1] - middle))
            title = Words(name, size=BODY, colour=self.theme.text)
            title.align_to(bars.rule, LEFT).at_baseline(float(bars.rule.get_y()) + 0.3)
            self.bars.append(bars)
            self.titles.append(VGroup(title))
        shown = f"{len(self.classes)} of {self.count} classes" if len(self.classes) < self.count else ""
        self.titles[0].add(self.quiet(shown).next_to(self.bars[0].zero, DOWN, buff=0.25))
        total = self.quiet(f"sum {number(float(kinds['probabilities'].sum()))}", SMALL)
        self.titles[1].add(total.next_to(self.bars[1].numbers, DOWN, buff=0.22).align_to(self.bars[1].numbers, RIGHT))
        return [FadeIn(self.bars[0], self.titles[0])]

    def draw_column(self, place: int) -> list[Animation]:
        """Return the next column being made of the one before."""
        before, after = self.titles[place - 1][0], self.titles[place][0]
        y = after.get_y()
        arrow = Arrow(
            np.array([before.get_right()[0] + 0.3, y, 0]), np.array([after.get_left()[0] - 0.3, y, 0]), buff=0,
            color=self.theme.quiet, stroke_width=4, tip_length=0.18, max_stroke_width_to_length_ratio=99,
            max_tip_length_to_length_ratio=1,
        )  # fmt: skip
        name = Words(("", "softmax", "log")[place], size=BODY, colour=self.theme.text)
        name.next_to(arrow, UP, buff=0.1).at_baseline(arrow.get_y() + 0.15)
        appear = FadeIn(self.bars[place], self.titles[place], shift=0.4 * RIGHT)
        return [Succession(FadeIn(arrow, name, run_time=0.6), appear)]

    def told_of_loss(self) -> str:
        name = self.seen.classes[self.target]
        loss = number(-float(scores.log_softmax(self.x[self.example].astype(np.float64))[self.target]), 2)
        return f"The right answer is {name}, and −log p({name}) = {loss} is the loss of this {self.item}."

    def point_at_loss(self) -> list[Animation]:
        bars, right = self.bars[2], int(np.flatnonzero(self.classes == self.target)[0])
        frame = SurroundingRectangle(bars.numbers[right], color=ink(LOSS, self.theme), buff=0.07, stroke_width=4)
        loss = self.loss_words(f"loss {number(-float(bars.values[right]), 2)}", 0.36)
        loss.next_to(bars.numbers, DOWN, buff=0.22).align_to(bars.numbers, RIGHT)
        return [Create(frame), FadeIn(loss, shift=0.2 * DOWN)]

    # ── Two roads ───────────────────────────────────────────────────────────────────────────────────────────────

    def told_of_batch(self) -> str:
        return f"Now {self.kept}. From the scores, two roads lead to their mean loss."

    def draw_roads(self) -> list[Animation]:
        self.ends = self.right[self.at], self.seen.likelihood_losses[self.at]
        written = number(self.ends[0], 6), number(self.ends[1], 6)
        self.roads = Roads(self.x, self.log_p, written, theme=self.theme)
        self.roads.shift(self.layout.whole_stage.center)
        return [FadeIn(self.roads.source)]

    def told_of_roads(self) -> str:
        same = number(self.ends[0], 6) == number(self.ends[1], 6)
        if same:
            return "The same number at the end of both: CrossEntropyLoss has the log_softmax inside."
        return f"The same at the end of both, but for {number(abs(self.ends[0] - self.ends[1]))} of rounding."

    def pulse_losses(self) -> list[Animation]:
        return [Transform(each, each.copy().scale(1.2), rate_func=there_and_back) for each in self.roads.losses]

    # ── The mistake ─────────────────────────────────────────────────────────────────────────────────────────────

    def draw_dials(self) -> list[Animation]:
        """Show both losses at the first recorded step."""
        largest = math.ceil(max(self.right.max(), self.mistaken.max(), self.band[1]))
        colour, stage = ink(LOSS, self.theme), self.layout.whole_stage
        titles = "CrossEntropyLoss(scores)", "CrossEntropyLoss(softmax(scores))"
        self.good, self.wrong = (
            Dial(float(values[0]), largest, title=title, colour=colour, theme=self.theme)
            for values, title in zip((self.right, self.mistaken), titles, strict=True)
        )
        for dial, column in zip((self.good, self.wrong), stage.columns(1, 1, gap=0.4), strict=True):
            dial.shift(column.center + 1.0 * DOWN - dial.hub.get_center())
        self.clock.set_step(int(self.seen.steps[0]))
        about = self.quiet(f"mean over {self.kept}", SMALL)
        about.move_to((0, stage.bottom + 0.3, 0))
        return [FadeIn(self.good, self.wrong, about)]

    def told_of_band(self) -> str:
        low, high = (number(each, 2) for each in self.band)
        return f"As scores for {self.count} classes, probabilities keep the loss between {low} and {high}."

    def train(self, seconds: float) -> Animation:
        """Return the training through all recorded steps; the numbers are recorded ones."""
        good, wrong, clock, steps = self.good, self.wrong, self.clock, self.seen.steps
        places = np.arange(len(steps))

        def show(_: Mobject, alpha: float) -> None:
            position = alpha * (len(steps) - 1)
            recorded = int(position + 1e-9)
            for dial, values in ((good, self.right), (wrong, self.mistaken)):
                dial.set_value(float(np.interp(position, places, values)), float(values[recorded]))
            clock.set_step(int(steps[recorded]))

        return UpdateFromAlphaFunc(VGroup(good, wrong, wrong.band, clock), show, run_time=seconds, rate_func=linear)

    def told_of_mistake(self) -> str:
        right, wrong = number(float(self.right[-1]), 2), number(float(self.mistaken[-1]), 2)
        if self.right[-1] >= self.band[0]:
            return f"At the last step the loss is {right}, and the mistaken one says {wrong}."
        return f"The loss has come down to {right}, but the mistaken one says {wrong}: it cannot go below the band."

    # ── float32 ─────────────────────────────────────────────────────────────────────────────────────────────────

    def draw_plot(self) -> list[Animation]:
        gaps = range(FAR + 1)
        self.roads_of = [scores.by_logarithms(gap) for gap in gaps], [scores.by_probabilities(gap) for gap in gaps]
        whole, broken = ([road.loss for road in roads] for roads in self.roads_of)
        self.plot = GapPlot(gaps, whole, broken, theme=self.theme)
        stage = self.layout.whole_stage
        self.plot.shift(np.array([stage.left + 3.7, stage.center[1] + 0.05, 0]) - self.plot.middle)
        about = self.quiet("schematic: two scores, computed in float32")
        about.next_to(self.plot.ends, DOWN, buff=0.15).align_to(self.plot.axis, LEFT)
        tick = self.plot.tick(self.seen.largest_gap(), f"recorded here: up to {self.seen.largest_gap():.0f}")
        self.through, self.breaking, self.infinite = self.plot.lines()
        return [FadeIn(self.plot, about, tick), Create(self.breaking, run_time=1.5)]

    def told_of_edge(self) -> str:
        return f"From a gap of {self.plot.edge:.0f} on, float32 rounds p to 0, and log 0 is −∞: the loss is infinite."

    def break_off(self) -> list[Animation]:
        return [FadeIn(self.infinite, shift=0.3 * UP)]

    def compare_far(self) -> list[Animation]:
        """Show the road that goes on, and what both give at the far end."""
        panel = VGroup(self.quiet(f"at a gap of {FAR}", BODY))
        names, inks = ("log_softmax(scores)", "log(softmax(scores))"), (self.theme.text, ink(LOSS, self.theme))
        for name, roads, colour in zip(names, self.roads_of, inks, strict=True):
            far = roads[FAR]
            gradient = ", ".join(number(each, 0) for each in far.gradient)
            panel.add(Words(name, size=BODY, colour=colour, bold=True))
            panel.add(Words(f"loss {number(far.loss, 0)}", size=BODY, colour=self.theme.text))
            panel.add(Words(f"gradient ({gradient})", size=BODY, colour=self.theme.text))
        panel.arrange(DOWN, buff=0.2, aligned_edge=LEFT)
        for part in panel[4:]:
            part.shift(0.3 * DOWN)
        stage = self.layout.whole_stage
        panel.move_to(((self.plot.axis.get_end()[0] + stage.right) / 2 + 0.1, stage.center[1], 0))
        self.far = panel
        return [Create(self.through, run_time=1.5), FadeIn(panel)]

    # ── dim ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def draw_matrix(self) -> list[Animation]:
        self.matrix = self.matrix_of(self.at, axis=1)
        self.verdict = VGroup(self.loss_of(self.at, axis=1))
        self.place_verdict()
        return [FadeIn(self.matrix, self.verdict)]

    def matrix_of(self, index: int, axis: int) -> BatchMatrix:
        """Return a batch's probabilities (example, class), and their sums along the axis over which they are made."""
        stage, p = self.layout.whole_stage, scores.softmax(self.seen.scores[index].astype(np.float64), axis)
        matrix = BatchMatrix(
            p, self.seen.targets[index], self.seen.classes, axis=axis, theme=self.theme,
            about=f"probabilities; a row for each example, {self.kept}",
        )  # fmt: skip
        return matrix.shift(np.array([stage.left + 0.65, stage.top - 1.3, 0]) - matrix.grid.cells.get_corner(UL))

    def loss_of(self, index: int, axis: int, more: str = "") -> VGroup:
        """Return what the loss is when log_softmax is over an axis."""
        log_p = scores.log_softmax(self.seen.scores[index], axis)
        loss = scores.negative_log_likelihood(log_p, self.seen.targets[index])
        parts = VGroup(
            Words(f"dim={axis}", size=BODY, colour=self.theme.text, bold=True),
            self.loss_words(f"loss {number(loss)}"),
        )  # fmt: skip
        if more:
            parts.add(self.quiet(more, SMALL))
        return parts.arrange(DOWN, buff=0.15, aligned_edge=LEFT)

    def place_verdict(self) -> None:
        stage, cells = self.layout.whole_stage, self.matrix.grid.cells
        left = self.matrix.grid.get_right()[0] + 1.1
        room = Region(left, stage.bottom, stage.right, 2 * cells.get_y() - stage.bottom)
        room.place(self.verdict.arrange(DOWN, buff=0.6, aligned_edge=LEFT), across=-1)

    def run_along(self) -> None:
        """Let a frame run over the rows, or the columns, and their sums appear."""
        sums = self.matrix.sums
        frame, last = self.matrix.frame(0), self.matrix.middle(len(sums) - 1)
        self.play(FadeIn(frame), FadeIn(sums[0]), run_time=0.4)
        self.play(
            Transform(frame, frame.copy().move_to(last), rate_func=linear, run_time=2.0),
            LaggedStart(*map(FadeIn, sums[1:]), lag_ratio=0.6, run_time=2.0),
        )  # fmt: skip
        self.play(FadeOut(frame), run_time=0.3)

    def turn_matrix(self, index: int | None = None) -> list[Animation]:
        """Replace the rows' probabilities by those of columns; at the first step, say what both losses are near."""
        at = self.at if index is None else index
        gone = [*self.matrix, *self.matrix.sums, self.verdict]
        self.matrix = self.matrix_of(at, axis=0)
        notes = ("", "") if index is None else (self.near(at, 1), self.near(at, 0))
        self.verdict = VGroup(*(self.loss_of(at, axis, note) for axis, note in zip((1, 0), notes, strict=True)))
        self.place_verdict()
        shown = [self.matrix, self.verdict, *([] if index is None else [self.matrix.sums])]
        return [Succession(AnimationGroup(*map(FadeOut, gone), run_time=0.5), FadeIn(*shown, run_time=0.7))]

    def near(self, index: int, axis: int) -> str:
        """Return the logarithm of how many share, where the loss is near it."""
        many = len(self.seen.targets[index]) if axis == 0 else self.count
        return f"≈ ln {many} = {number(math.log(many), 2)}" if self.knows_nothing(index, axis) else ""

    def knows_nothing(self, index: int, axis: int) -> bool:
        """Whether the loss of a batch over an axis is about that of equal shares."""
        many = len(self.seen.targets[index]) if axis == 0 else self.count
        log_p = scores.log_softmax(self.seen.scores[index], axis)
        return abs(scores.negative_log_likelihood(log_p, self.seen.targets[index]) - math.log(many)) < 0.1

    def go_to_start(self) -> list[Animation]:
        """Return the matrix of the first recorded step taking the place of the other, and the clock with it."""
        steps, late = self.seen.steps[[self.at, 0]], 0.4
        turn = UpdateFromAlphaFunc(self.clock, lambda clock, alpha: clock.set_step(int(steps[int(alpha > late)])))
        return [turn.set_run_time(1.2), *self.turn_matrix(0)]

    def told_of_diagnosis(self) -> str:
        rows, batch = len(self.seen.targets[0]), self.seen.batch
        if not (self.knows_nothing(0, 0) and self.knows_nothing(0, 1)):
            return "The same at the first recorded step: the two losses tell the two apart."
        whole = f" (ln {batch} = {number(math.log(batch), 2)} for all {batch})" if batch > rows else ""
        return f"Untrained, it gives itself away: about ln {rows} for {rows} rows{whole}, not ln {self.count}."

    # ── The table ───────────────────────────────────────────────────────────────────────────────────────────────

    def draw_table(self) -> list[Animation]:
        x, t = self.x, self.targets
        low, high = (number(each, 2) for each in self.band)
        columns = scores.negative_log_likelihood(scores.log_softmax(x, 0), t)
        below = scores.negative_log_likelihood(scores.softmax(x), t)
        rows = [
            ("scores", "CrossEntropyLoss", True, f"{number(self.right[self.at])}"),
            ("log_softmax, dim=1", "NLLLoss", True, f"{number(self.seen.likelihood_losses[self.at])}"),
            ("softmax", "CrossEntropyLoss", False, f"{number(self.mistaken[self.at])}: always {low} to {high}"),
            ("softmax", "NLLLoss", False, f"{number(below)}: −p, not −log p"),
            ("log(softmax)", "NLLLoss", False, f"∞ from a gap of {scores.breaking_gap()} (float32)"),
            ("log_softmax, dim=0", "NLLLoss", False, f"{number(columns)}: sums over examples"),
        ]
        self.table = Verdicts(rows, ("output of the network", "loss", f"mean over {self.kept}"), theme=self.theme)
        self.layout.whole_stage.place(self.table)
        return [FadeIn(self.table)]
