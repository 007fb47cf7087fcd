"""Storyboard 7: four verbs, again and again: forward, loss, backward, update.

manim scenes/training_loop.py TrainingLoop
EXPLAINER_TRACE=runs/mine manim scenes/training_loop.py TrainingLoop        any recorded training
"""

from __future__ import annotations

from typing import Any

import numpy as np
from manim import *

from explainer import laps
from explainer.baseline import class_count, knowing_nothing
from explainer.errors import TraceError
from explainer.mobjects.code_card import CodeCard
from explainer.mobjects.counter import Counter, StepCounter, advance, written
from explainer.mobjects.curve import Curve
from explainer.mobjects.stage_history import StageHistory
from explainer.mobjects.trace_scene import TraceScene
from explainer.mobjects.wheel import Wheel
from explainer.mobjects.words import BODY, MINIMUM, SMALL, Words, number
from explainer.theme import GRADIENT, LAYER, LOSS, NEGATIVE, POSITIVE, ink

CODE = {  # what happens in each line, in the order in which people write them
    "zero_grad": "optimizer.zero_grad()",
    "forward": "output = model(inputs)",
    "loss": "loss = criterion(output, targets)",
    "backward": "loss.backward()",
    "update": "optimizer.step()",
}
LINES = tuple(CODE)
ROOM_OF_STAGE = 1.05  # frame units that a stage of the network needs
LOSS_ROOM = 1.5  # beside the network
SLOW, FASTEST = 1.1, 0.12  # seconds of a lap once it has been told, and of the last that is shown by itself
LITTLE = 1.0  # that a weight moves: what is more is not called a little
TURNS = 40  # turns of the wheel while all recorded steps run


class TrainingLoop(TraceScene):
    """One recorded step told verb by verb, then all of them, faster and faster, and what zero_grad is for.

    Between two recorded steps weights and curve glide; every printed number is that of a recorded step.
    """

    lesson = "digits"

    def construct(self) -> None:
        self.read()
        self.build()

        # "Training adjusts the weights of a network that is already defined: 109,386 numbers."
        self.beat("code")
        self.say(self.sentence_of_network(), FadeIn(self.header, self.diagram, self.legend))
        self.say("One step of training is five lines of code.", FadeIn(self.code, shift=0.2 * RIGHT))

        # "Four verbs, again and again. Forward: …"
        self.beat("one lap")
        self.say(self.sentence_of_verbs(), FadeIn(self.wheel))
        self.clear_gradients()
        self.say("Forward: the inputs flow through the network, layer by layer.", self.turn_to("forward"))
        self.play(self.diagram.forward(seconds=2.6 / len(self.diagram.edges)))
        self.say(self.sentence_of_loss(), self.turn_to("loss"), FadeIn(self.loss, self.about_loss))
        self.say("Backward: the loss sends a gradient back to every layer.", self.turn_to("backward"))
        self.play(self.diagram.backward(seconds=2.8 / len(self.diagram.edges)))
        self.say(self.sentence_of_update(), self.turn_to("update"))
        self.play(self.update_weights())

        # "The same four in all 77 recorded steps: one lap is one step."
        self.finish_reading()
        self.beat("laps")
        self.swap_code_for_curve()
        self.say(self.sentence_of_laps())
        self.run_laps()
        self.say(self.sentence_of_fall())
        self.play(self.run_all(seconds=5))
        self.wait(0.8)

        # "Without zero_grad the next gradient is added to this one: twice as long."
        self.finish_reading()
        self.beat("zero_grad")
        self.leave_out_zeroing()
        self.say(self.sentence_of_doubling(), *self.draw_doubling())
        self.say("Forget to zero the gradients, and they add up.")

        # "Forward, loss, backward, update: again and again."
        self.finish_reading()
        self.beat("again and again")
        self.enlarge_curve()
        self.say(self.sentence_of_end())
        self.wait(1)

    # ── the trace, and what stands in several beats ──────────────────────────────────────────────────────────────

    def read(self) -> None:
        """Read the order of a step, the losses and the network."""
        if "loss" not in self.trace.scalars:
            raise TraceError(
                "TrainingLoop shows the loss, which this trace does not hold: record with criterion=criterion, or in "
                "each step\n    recorder.log(loss=loss)"
            )
        self.lap = laps.lap(self.trace, int(self.trace.steps[0]))
        self.verbs = self.lap.verbs
        self.steps, self.losses = self.trace.steps, np.asarray(self.trace.scalars["loss"], float)
        self.last = len(self.steps) - 1
        self.doubled = laps.accumulation(self.trace)
        left, self.right = self.layout.whole_stage.columns(4.75, 8.5, gap=0.35)
        self.above, self.below = left.rows(3.0, 2.6, gap=0.3)
        self.history = StageHistory(self.trace, most=int((self.right.width - LOSS_ROOM) / ROOM_OF_STAGE) + 1)

    def build(self) -> None:
        """Build what stands in several beats."""
        self.header = self.source_line()
        width = self.right.width - LOSS_ROOM - 0.9
        self.diagram = self.history.diagram(theme=self.theme, width=width, height=3.9)
        self.diagram.shift(np.array([self.right.left + 0.45 + width / 2, 0.62, 0]) - self.diagram.middle)
        self.history.show_gradients(self.diagram, 0)
        self.history.show_updates(self.diagram, 0)
        self.legend = self.make_legend()
        self.code = self.below.place(CodeCard(list(CODE.values()), theme=self.theme))
        self.wheel = self.make_wheel(3.2, 2.1).move_to(self.above.center)
        self.loss, self.about_loss = self.make_loss()
        self.curve = self.make_curve(3.9, 1.55)
        self.curve.shift(self.below.center + 0.05 * UP - self.curve.middle)

    def source_line(self) -> VGroup:
        """Say where the numbers are from: the data on the left, the step on the right."""
        last = int(self.steps[-1])
        dtype = next((layer.dtype for layer in self.trace.model.layers.values() if layer.dtype), "float")
        self.clock = StepCounter(0, f"of {last + 1} · recorded, {dtype}", largest=last, theme=self.theme)
        self.layout.header.place(self.clock, across=1, up=1)
        self.clock.set_step(int(self.steps[0]))
        what = str(self.trace.notes.get("data", f"a recorded {self.trace.model.type}"))
        data = self.quiet(what, SMALL)
        self.layout.header.place(data, across=-1).at_baseline(self.clock.baseline)
        return VGroup(data, self.clock)

    def quiet(self, words: str, size: float = MINIMUM) -> Words:
        return Words(words, size=size, colour=self.theme.quiet)

    def colour_of(self, verb: str) -> str:
        colours = {"forward": LAYER, "loss": LOSS, "backward": GRADIENT}
        return ink(colours[verb], self.theme) if verb in colours else self.theme.text

    def make_wheel(self, width: float, height: float) -> Wheel:
        colours = [self.colour_of(verb) for verb in self.verbs]
        return Wheel(self.verbs, colours, theme=self.theme, width=width, height=height)

    def make_legend(self) -> VGroup:
        """Say what the colours mean, and on what scale, above the network."""
        legend = VGroup()
        for words, colour in (("positive", POSITIVE), ("negative", NEGATIVE), ("gradient", GRADIENT)):
            stroke = Line(LEFT * 0.16, RIGHT * 0.16, color=colour, stroke_width=5)
            legend.add(stroke, Words(words, size=MINIMUM, colour=self.theme.quiet))
        legend.add(self.quiet("· each column on its own scale"))
        for word in legend.arrange(RIGHT, buff=0.13)[1::2]:
            word.at_baseline(-0.08)
        legend[-1].at_baseline(-0.08)
        return self.right.place(legend, across=-1, up=1)

    def make_loss(self) -> tuple[Counter, VGroup]:
        """Return the loss beside the network's output, and what it is."""
        colour = ink(LOSS, self.theme)
        middle = np.array([self.right.right - 0.62, self.diagram.middle[1], 0])
        longest = max(advance(written(each, 3)) for each in self.losses)
        loss = Counter(self.losses[0], size=min(0.4, LOSS_ROOM / longest), colour=colour).move_to(middle)
        loss.shift(LEFT * max(0.0, loss.get_right()[0] - self.right.right))
        title = Words("loss", size=BODY, colour=colour).next_to(loss, UP, buff=0.15)
        of = self.quiet("of the batch").next_to(loss, DOWN, buff=0.15)
        return loss, VGroup(title, of)

    def make_curve(self, width: float, height: float) -> Curve:
        colour = ink(LOSS, self.theme)
        curve = Curve(
            self.steps, self.losses, title="batch loss", theme=self.theme, colour=colour, width=width, height=height
        )
        nothing = knowing_nothing(self.trace)
        if nothing is not None:
            curve.guide(nothing, f"ln {class_count(self.trace)} = {nothing:.2f}: knows nothing")
        return curve

    # ── one lap ──────────────────────────────────────────────────────────────────────────────────────────────────

    def sentence_of_network(self) -> str:
        count = self.trace.model.parameter_count
        return f"Training adjusts the weights of a network that is already defined: {count:,} numbers."

    def sentence_of_verbs(self) -> str:
        count = {3: "Three", 4: "Four"}.get(len(self.verbs), str(len(self.verbs)))
        told = f"{count} verbs make a step, again and again"
        return f"{told}; here with {self.lap.passes} batches each." if self.lap.passes > 1 else f"{told}."

    def sentence_of_loss(self) -> str:
        return f"Loss: one number says how wrong the outputs are, here {number(self.losses[0])}."

    def sentence_of_update(self) -> str:
        """Say by how much the weights are moved, where that was recorded."""
        sizes = [np.abs(np.asarray(each[0])).max(initial=0.0) for each in self.trace.updates.values()]
        most = float(np.max(sizes, initial=0.0))
        told = "Update: every weight moves" + " a little" * (most <= LITTLE)
        return f"{told}, here by {number(most, 4)} at most." if sizes else f"{told}."

    def clear_gradients(self) -> None:
        """Nothing has flowed yet: zero_grad."""
        diagram, code = self.diagram, self.code

        def clear(_: Mobject, alpha: float) -> None:
            diagram.set_pass((1 - alpha) * len(diagram.edges) * 0.999 - alpha)
            code.light(0)

        self.play(UpdateFromAlphaFunc(VGroup(diagram, code), clear, run_time=0.5, rate_func=linear))

    def turn_to(self, verb: str) -> Animation:
        """Return how the wheel turns to a verb, and its line of code is lit."""
        wheel, code, colour = self.wheel, self.code, self.colour_of(verb)
        end = self.verbs.index(verb) if verb in self.verbs else None
        start = max(end - 1, 0) if end is not None else 0

        def turn(_: Mobject, alpha: float) -> None:
            if end is not None:
                wheel.set_turn(start + smooth(alpha) * (end - start))
            code.light(LINES.index(verb), colour if alpha >= 1 or verb == "forward" else None)

        return UpdateFromAlphaFunc(VGroup(wheel, code), turn, run_time=0.6, rate_func=linear)

    def update_weights(self) -> Animation:
        """Return how the updates of the first recorded step flare up above the weights, which move."""
        diagram, history = self.diagram, self.history
        moves = self.last > 0 and self.steps[1] == self.steps[0] + 1

        def move(_: Mobject, alpha: float) -> None:
            diagram.set_changing(np.sin(np.pi * alpha))
            if moves:
                history.show_weights(diagram, alpha)

        return UpdateFromAlphaFunc(diagram, move, run_time=2, rate_func=linear)

    # ── many laps ────────────────────────────────────────────────────────────────────────────────────────────────

    def swap_code_for_curve(self) -> None:
        """The code has been told; the curve takes its place."""
        self.play(FadeOut(self.code), run_time=0.4)
        self.play(FadeIn(self.curve), run_time=0.6)

    def sentence_of_laps(self) -> str:
        same, count = laps.alike(self.trace), len(self.steps)
        if count == 1:
            return "One lap is one step of training."
        if same < count:
            return f"One lap is one step; {same} of {count} recorded steps have this order."
        return f"One lap is one step: the same order in all {count} recorded steps."

    def run_laps(self) -> None:
        """Run the next recorded steps one by one, each faster than the one before."""
        self.laps_shown = min(4, self.last)
        for index in range(1, self.laps_shown + 1):
            seconds = max(SLOW * 0.6 ** (index - 1) * 2, 0.5)
            self.play(self.run_lap(index, seconds))

    def run_lap(self, index: int, seconds: float) -> Animation:
        """Return one whole lap: the flash forward, the loss, the gradient back, the weights' move."""
        history, diagram = self.history, self.diagram
        wheel, loss, curve, clock = self.wheel, self.loss, self.curve, self.clock
        columns, follows = len(diagram.edges), index < self.last
        begun = {"now": False}

        def show(_: Mobject, alpha: float) -> None:
            if not begun["now"]:
                begun["now"] = True
                history.show(diagram, index)
                history.show_gradients(diagram, index)
                diagram.set_changing(0)
            clock.set_step(int(self.steps[index]))
            wheel.set_turn(min(alpha, 0.999) * len(self.verbs))
            diagram.set_pass(min(alpha / 0.4, 1) * (columns + 0.36))
            diagram.set_back((alpha - 0.45) / 0.35 * (columns + 1.36) if alpha > 0.45 else None)
            if alpha > 0.4:
                loss.set_value(self.losses[index])
            curve.set_position(index - 1 + min(alpha / 0.45, 1))
            if follows and alpha > 0.8:
                history.show_weights(diagram, index + (alpha - 0.8) / 0.2 * 0.999)

        return UpdateFromAlphaFunc(
            VGroup(diagram, wheel, loss, curve, clock), show, run_time=seconds, rate_func=linear
        )

    def sentence_of_fall(self) -> str:
        """Say what the loss does, and where it began."""
        first, last = self.losses[0], self.losses[-1]
        nothing, taken = knowing_nothing(self.trace), int(self.steps[-1]) + 1
        moved = f"{number(last, 2)} after {taken} steps"
        if nothing is not None and abs(first - nothing) < 0.05 * nothing and last < 0.9 * nothing:
            return f"Who knows nothing has a loss of ln {class_count(self.trace)} = {nothing:.2f}; it is {moved}."
        return f"The loss: {number(first, 2)} at the first recorded step, {moved}."

    def run_all(self, seconds: float) -> Animation:
        """Return all recorded steps from here on, faster and faster."""
        history, diagram = self.history, self.diagram
        wheel, loss, curve, clock = self.wheel, self.loss, self.curve, self.clock
        start, columns, turns = self.laps_shown, len(diagram.edges), min(TURNS, max(self.last - self.laps_shown, 1))

        def show(_: Mobject, alpha: float) -> None:
            way = 0.35 * alpha + 0.65 * alpha**2  # faster and faster
            position = start + way * (self.last - start)
            recorded = int(position)
            clock.set_step(int(self.steps[recorded]))
            loss.set_value(self.losses[recorded])
            curve.set_position(position)
            wheel.set_turn(min(way * turns, turns - 1e-3) * len(self.verbs))
            diagram.set_back(None)
            diagram.set_pass(columns + 1)
            history.show(diagram, position)

        return UpdateFromAlphaFunc(
            VGroup(diagram, wheel, loss, curve, clock), show, run_time=seconds, rate_func=linear
        )

    # ── zero_grad ────────────────────────────────────────────────────────────────────────────────────────────────

    def leave_out_zeroing(self) -> None:
        """The network makes room; in the code, which is back, a line is struck out."""
        gone = [self.diagram, self.legend, self.loss, self.about_loss, self.curve, *filter(None, [self._caption])]
        self.play(FadeOut(*gone), run_time=0.5)
        self.code.light(None)
        self.clock.set_step(int(self.steps[0]))
        self.wheel.set_turn(self.verbs.index("backward"))
        self.struck = self.code.strike(0, ink(NEGATIVE, self.theme))
        self.play(FadeIn(self.code), run_time=0.5)
        self.play(Create(self.struck), run_time=0.5)

    def draw_doubling(self) -> list[Animation]:
        """Show the gradient after one backward pass and after two, as arrows on one scale."""
        colour = ink(GRADIENT, self.theme)
        once = 1.0 if self.doubled is None else self.doubled.once
        twice = 2.0 if self.doubled is None else self.doubled.twice
        left, unit = self.right.left + 0.5, 6.2 / twice
        rows = VGroup()
        self.arrows: list[Arrow] = []
        for place, (what, length) in enumerate((("with zero_grad", once), ("without zero_grad", twice))):
            up = self.right.center[1] + 1.0 - 1.6 * place
            name = self.words(what, size=BODY).next_to((left, up + 0.45, 0), RIGHT, buff=0)
            self.arrows.append(self.arrow((left, up, 0), length * unit))
            told = self.told_of_length(length).next_to((left + length * unit, up, 0), RIGHT, buff=0.25)
            rows.add(name, told.set_color(colour))
        seam, up = left + once * unit, self.arrows[1].get_y()
        mark = Line((seam, up - 0.2, 0), (seam, up + 0.2, 0), color=self.theme.text, stroke_width=4)
        about = self.about_doubling().next_to((left, up - 0.75, 0), RIGHT, buff=0)
        self.doubling = VGroup(rows, mark, about, *self.arrows)
        grown = [GrowArrow(arrow, run_time=1.2) for arrow in self.arrows]
        return [FadeIn(rows, about), Succession(grown[0], grown[1], FadeIn(mark, run_time=0.3))]

    def arrow(self, start: Any, length: float) -> Arrow:
        return Arrow(
            np.array(start), np.array(start) + length * RIGHT, buff=0, color=GRADIENT, stroke_width=10, tip_length=0.3,
            max_stroke_width_to_length_ratio=99, max_tip_length_to_length_ratio=1,
        )  # fmt: skip

    def told_of_length(self, length: float) -> Words:
        return Words(number(length) if self.doubled is not None else f"{length:.0f} ×", size=0.4)

    def about_doubling(self) -> Words:
        if self.doubled is None:
            return self.quiet("schematic: this run did not try it", SMALL)
        return self.quiet("length of ∂loss/∂(all weights), two backward passes, one batch", SMALL)

    def sentence_of_doubling(self) -> str:
        if self.doubled is None:
            return "Without zero_grad a second backward pass is added to the first."
        times = "exactly twice" if self.doubled.ratio == 2 else f"{self.doubled.ratio:g} times"
        return f"Without zero_grad a second backward pass is added to the first: {times} as long."

    # ── the last frame ───────────────────────────────────────────────────────────────────────────────────────────

    def enlarge_curve(self) -> None:
        """The wheel, and the curve in the place of all else."""
        gone = [self.code, self.struck, self.doubling, *filter(None, [self._caption])]
        self.play(FadeOut(*gone), run_time=0.5)
        self.clock.set_step(int(self.steps[-1]))
        self.large = self.make_curve(7.2, 4.2).set_position(self.last)
        self.large.shift(self.right.center + 0.1 * UP - self.large.middle)
        colour = ink(LOSS, self.theme)
        value = Counter(self.losses[-1], size=0.46, colour=colour)
        value.align_to(self.large.title.get_bottom(), DOWN).align_to(self.large.axis, RIGHT)
        middle = self.wheel.copy().light_all().scale(1.05)
        middle.move_to((self.above.center[0], self.large.middle[1], 0))
        self.play(Transform(self.wheel, middle), FadeIn(self.large, value), run_time=0.9)

    def sentence_of_end(self) -> str:
        *first, last = self.verbs
        return f"{', '.join([*first, last]).capitalize()}: again and again."
