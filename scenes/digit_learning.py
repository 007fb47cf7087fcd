"""Storyboard 9: from a tenth for each digit to a lot of probability in the digit four.

manim scenes/digit_learning.py DigitLearning
EXPLAINER_TRACE=runs/mine manim scenes/digit_learning.py DigitLearning      any trace with a probe of images
"""

from __future__ import annotations

from typing import Any

import numpy as np
from manim import *

from explainer.baseline import knowing_nothing
from explainer.errors import TraceError
from explainer.mobjects.bars import Bars
from explainer.mobjects.counter import Counter, StepCounter, written
from explainer.mobjects.curve import Curve
from explainer.mobjects.example_card import ExampleCard
from explainer.mobjects.formula import Formula
from explainer.mobjects.heat_map import Picture
from explainer.mobjects.network_diagram import Edges, NetworkDiagram
from explainer.mobjects.network_history import NetworkHistory, between, network_history
from explainer.mobjects.pixel_flight import PixelFlight
from explainer.mobjects.stage_history import StageHistory
from explainer.mobjects.trace_scene import TraceScene
from explainer.mobjects.words import BODY, MINIMUM, SMALL, Words
from explainer.predictions import read_predictions
from explainer.theme import LAYER, LOSS, NEGATIVE, POSITIVE, ink
from explainer.theme import RIGHT as RIGHT_ANSWER

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
MIDDLE = 0.32  # the height in the frame at which image, network and bars stand
EXTENT = 4.6  # the height of all bars together
MOST_CLASSES = 12  # that get a bar
MOST_CARDS = 10
MOST_STAGES = 7  # of a network that is no chain of dense layers


class DigitLearning(TraceScene):
    """From a tenth for each digit to “a lot of probability in the digit four”.

    Between two recorded steps bars, curve and network glide; every printed number is that of a recorded step, the one
    whose number stands in the upper right corner.
    """

    lesson = "digits"
    needs = ("probe",)

    def construct(self) -> None:
        self.read()
        self.build()

        # "A real handwritten four: to the network, 784 numbers."
        self.beat("image")
        self.say(self.sentence_of_image(), FadeIn(self.header, self.picture, self.about_pixels))

        # "The network is a function F: pixels in, a probability for each digit out."
        self.say(f"The network is a function F: pixels in, a probability for each {self.noun} out.")
        self.play(FadeOut(self.about_pixels), self.picture.animate.scale(0.8).move_to((-4.9, MIDDLE, 0)))
        self.play(FadeIn(self.box, shift=0.3 * RIGHT))
        self.play(FadeIn(self.bars, self.about_bars, shift=0.3 * RIGHT))

        # "Untrained, it knows nothing: every digit gets about a tenth."
        self.say(self.sentence_of_start())

        # "Inside, every layer passes its numbers on to the next."
        self.beat("network")
        self.say(self.sentence_of_inside(), *self.open_box())
        self.forward()

        # "Training changes the weights a little in every step: the bars move."
        self.beat("training")
        self.say("Training changes the weights a little in every step: the bars move.", FadeIn(self.curve, self.loss))
        self.play(self.run(0, self.turn, seconds=4.5))

        # "After 44 steps the four has more than half of the probability."
        self.say(self.sentence_of_turn())
        self.play(self.run(self.turn, self.last, seconds=3.5))

        # "The same steps, all ten digits: a frame where the network is right."
        self.finish_reading()
        self.beat("all digits")
        self.deal()
        self.say(self.sentence_of_cards())
        self.play(self.run_cards(seconds=5))

        # "At the last recorded step it is right on 10 of these 10."
        self.say(self.sentence_of_score())

        # "From a tenth for each digit to a lot of probability in the digit four."
        self.finish_reading()
        self.beat("before and after")
        self.before_and_after()
        self.say(self.sentence_of_end())

    # ── the trace, and what stands in several beats ──────────────────────────────────────────────────────────────

    def read(self) -> None:
        """Read the numbers from the trace."""
        self.seen = read_predictions(self.trace)
        if "loss" not in self.trace.scalars:
            raise TraceError(
                "DigitLearning shows the loss, which this trace does not hold: record with criterion=criterion, or in "
                "each step\n    recorder.log(loss=loss)"
            )
        self.steps, self.losses = self.trace.steps, np.asarray(self.trace.scalars["loss"])
        self.last = len(self.steps) - 1
        self.hero = self.seen.first_of("4")
        self.target = int(self.seen.targets[self.hero])
        self.given = self.seen.probabilities[:, self.hero, self.target]  # (S,) to the right answer
        self.tips = bool((self.given > 0.5).any() and self.given[0] <= 0.5)
        self.turn = int((self.given > 0.5).argmax()) if self.tips else self.last // 2
        others = [example for example in range(len(self.seen.targets)) if example != self.hero]
        self.dealt = sorted([self.hero, *others[: MOST_CARDS - 1]])
        self.classes = self.seen.telling(MOST_CLASSES)  # (bar,)
        self.names = [self.seen.classes[index] for index in self.classes]
        self.limits = float(self.seen.images.min()), float(self.seen.images.max())
        name = self.seen.classes[self.target]
        if set(self.seen.classes) == set("0123456789"):
            self.noun, self.name = "digit", f"the {DIGITS[int(name)]}"
        else:
            self.noun, self.name = "class", f"“{name}”" if "classes" in self.trace.notes else f"class {name}"

    def build(self) -> None:
        """Build what stands in several beats."""
        self.header = self.source_line()
        self.picture = self.image(self.hero, 4.0).move_to((0, 0.62, 0))
        self.about_pixels = self.words_about_pixels()
        self.bars = self.big_bars()
        self.about_bars = self.words_about_bars()
        self.box = self.function_box()
        self.history = self.read_network()
        self.diagram = self.network()
        self.curve, self.loss = self.loss_curve()

    def source_line(self) -> VGroup:
        """Say where the numbers are from: the data on the left, the step on the right."""
        last = int(self.steps[-1])
        dtype = next((layer.dtype for layer in self.trace.model.layers.values() if layer.dtype), "float")
        self.clock = StepCounter(0, f"of {last + 1} · recorded, {dtype}", largest=last, theme=self.theme)
        self.layout.header.place(self.clock, across=1, up=1)
        self.clock.set_step(int(self.steps[0]))
        data = self.quiet(str(self.trace.notes.get("data", "images of the probe")), SMALL)
        self.layout.header.place(data, across=-1).at_baseline(self.clock.baseline)
        return VGroup(data, self.clock)

    def quiet(self, words: str, size: float = MINIMUM) -> Words:
        return Words(words, size=size, colour=self.theme.quiet)

    def image(self, example: int, height: float) -> Picture:
        low, high = self.limits
        return Picture(self.seen.images[example], theme=self.theme, height=height, low=low, high=high)

    def place_of(self, target: int) -> int:
        """Return which bar is a class's."""
        return int(np.flatnonzero(self.classes == target)[0])

    def big_bars(self) -> Bars:
        """Return the bars of the image that the film follows."""
        bars = Bars(
            self.seen.probabilities[0, self.hero, self.classes], theme=self.theme, labels=self.names, decimals=3,
            right=self.place_of(self.target), size=0.28, length=3.0, pitch=EXTENT / len(self.names),
        )  # fmt: skip
        return bars.shift(np.array([2.6, MIDDLE, 0]) - bars.base.get_center())

    def words_about_bars(self) -> VGroup:
        """Return what the bars are, above them, and their scale, below."""
        shown, count = len(self.classes), len(self.seen.classes)
        of_each = f"of each {self.noun}" if shown == count else f"of {shown} of {count} classes"
        title, scale = self.quiet(f"probability {of_each}", SMALL), self.quiet(self.bars.scale_name)
        title.next_to(self.bars.base.get_start(), UP, buff=0.18).align_to(self.bars.base, LEFT)
        scale.next_to(self.bars.base.get_end(), DOWN, buff=0.18).align_to(self.bars.base, LEFT)
        return VGroup(title, scale)

    # ── the image and the function F ─────────────────────────────────────────────────────────────────────────────

    def sentence_of_image(self) -> str:
        what = f"A real handwritten {self.name.split()[-1]}" if self.noun == "digit" else f"An image of {self.name}"
        return f"{what}: to the network, {self.seen.images[self.hero].size:,} numbers."

    def words_about_pixels(self) -> Words:
        rows, columns, *colour = self.seen.images.shape[1:]
        low, high = (written(limit, 0 if limit == round(limit) else 2) for limit in self.limits)
        each = "each red, green and blue" if colour else f"from {low} (black) to {high} (white)"
        return self.quiet(f"{rows} × {columns} pixels, {each}", BODY).next_to(self.picture, DOWN, buff=0.25)

    def function_box(self) -> VGroup:
        """Return the box F, with what goes in and what comes out."""
        left, right = -3.3, self.bars.get_left()[0]
        size = min(2.3, 0.42 * (right - left))
        panel = self.panel(size, size).move_to(((left + right) / 2, MIDDLE, 0))
        name = Formula("F", size=0.56 * size, colour=self.theme.text).move_to(panel)
        inward = self.arrow(left + 0.15, panel.get_left()[0] - 0.1)
        outward = self.arrow(panel.get_right()[0] + 0.1, right - 0.15)
        x = Formula("x", size=0.45, colour=self.theme.text).next_to(inward, UP, buff=0.15)
        y = Formula("F(x)", size=0.45, colour=self.theme.text).next_to(outward, UP, buff=0.15)
        return VGroup(panel, name, inward, outward, x, y)

    def panel(self, width: float, height: float) -> RoundedRectangle:
        return RoundedRectangle(
            width=width, height=height, corner_radius=0.15, color=LAYER, stroke_width=3,
            fill_color=self.theme.panel, fill_opacity=1,
        )  # fmt: skip

    def arrow(self, start: float, end: float) -> Arrow:
        return Arrow(
            np.array([start, MIDDLE, 0]), np.array([end, MIDDLE, 0]), buff=0, color=self.theme.quiet, stroke_width=5,
            tip_length=0.22, max_stroke_width_to_length_ratio=99, max_tip_length_to_length_ratio=1,
        )  # fmt: skip

    def sentence_of_start(self) -> str:
        count = len(self.seen.classes)
        if self.seen.probabilities[0, self.hero].max() >= 2 / count:
            return f"At the first recorded step {self.name} gets {self.given[0]:.3f}."
        share = "a tenth" if count == 10 else f"1/{count}"
        return f"Untrained, it knows nothing: every {self.noun} gets about {share}."

    # ── inside the box ───────────────────────────────────────────────────────────────────────────────────────────

    def sentence_of_inside(self) -> str:
        stages = f"each of {len(self.trace.layers)} layers" if self.diagram.panels else "every layer"
        return f"Inside, {stages} passes its numbers on to the next."

    def read_network(self) -> NetworkHistory | StageHistory:
        """Return the network as this image sees it: a chain of dense layers, or any other model in a few stages."""
        named = "digits" if self.noun == "digit" else "classes"
        outputs = self.seen.probabilities[:, self.hero]
        dense = network_history(self.trace, self.hero, outputs, self.classes, inputs="pixels", named=named)
        return dense or StageHistory(
            self.trace, example=self.hero, most=MOST_STAGES, probe=True, outputs=outputs, shown=self.classes,
            named=(named,),
        )  # fmt: skip

    def network(self) -> NetworkDiagram:
        """Return the network's diagram, its outputs beside their bars."""
        left, right = -3.15, self.bars.get_left()[0] - 0.62
        height = EXTENT * (1 - 1 / len(self.names))
        diagram = self.history.diagram(self.limits, theme=self.theme, width=right - left, height=height)
        diagram.shift(np.array([(left + right) / 2, MIDDLE, 0]) - diagram.middle)
        return diagram.set_pass(-1)

    def legend(self, room: RoundedRectangle) -> VGroup:
        """Say what the colours mean, at the upper edge of the box."""
        legend = VGroup()
        weights = any(isinstance(each, Edges) for each in self.diagram.edges)
        for words, colour in (("positive weight" if weights else "positive", POSITIVE), ("negative", NEGATIVE)):
            legend.add(Line(LEFT * 0.2, RIGHT * 0.2, color=colour, stroke_width=5), self.quiet(words))
        for word in legend.arrange(RIGHT, buff=0.14)[1::2]:
            word.at_baseline(-0.08)
        return legend.move_to(room.get_top() + DOWN * 0.3).align_to(room.get_right() + LEFT * 0.25, RIGHT)

    def open_box(self) -> list[Any]:
        """The box F grows, and its network appears inside; the image makes room for the loss."""
        panel, name, *around = self.box
        room = self.picture.animate.scale(2.3 / self.picture.height).move_to((-5.4, 1.72, 0))
        left, right = -3.95, self.bars.get_left()[0] - 0.12
        large = self.panel(right - left, 5.57).move_to(((left + right) / 2, 0.165, 0))
        corner = name.animate.scale_to_fit_height(0.3).move_to(large.get_corner(UL) + np.array([0.32, -0.3, 0]))
        inside = FadeIn(self.diagram, self.legend(large), rate_func=squish_rate_func(smooth, 0.6, 1))
        return [room, FadeOut(*around, run_time=0.4), Transform(panel, large), corner, inside]

    def forward(self) -> None:
        """The pixels flash into the network, and the forward pass runs through it."""
        count = int(np.prod(self.picture.values.shape[:2]))
        ends = self.diagram.units[0].landing(count)
        self.play(PixelFlight(self.picture, ends, theme=self.theme).fly(seconds=2), self.diagram.arrive(seconds=2))
        self.play(self.diagram.forward(seconds=min(1, 4 / len(self.diagram.edges))))

    # ── training ─────────────────────────────────────────────────────────────────────────────────────────────────

    def loss_curve(self) -> tuple[Curve, Counter]:
        """Return the loss of each step's batch below the image, and its number."""
        colour = ink(LOSS, self.theme)
        curve = Curve(
            self.steps, self.losses, title="batch loss", theme=self.theme, colour=colour, width=2.4, height=1.6
        )
        nothing = knowing_nothing(self.trace)
        if nothing is not None:
            curve.guide(nothing, f"ln {len(self.seen.classes)} = {nothing:.2f}: knows nothing")
        curve.shift(np.array([-5.4, -1.3, 0]) - curve.middle)
        loss = Counter(self.losses[0], size=BODY, colour=colour)
        loss.align_to(curve.title.get_bottom(), DOWN).align_to(curve.axis, RIGHT)
        return curve, loss

    def run(self, start: int, stop: int, seconds: float) -> Animation:
        """Return the training from one recorded step to another: bars, loss and network move with it."""
        probabilities, losses, steps = self.seen.probabilities[:, self.hero, self.classes], self.losses, self.steps
        bars, curve, loss, clock = self.bars, self.curve, self.loss, self.clock
        history, diagram = self.history, self.diagram

        def show(_: Mobject, alpha: float) -> None:
            position = start + alpha * (stop - start)
            recorded = int(position)
            bars.set_values(between(probabilities, position), printed=probabilities[recorded])
            curve.set_position(position)
            loss.set_value(losses[recorded])
            clock.set_step(int(steps[recorded]))
            history.show(diagram, position)

        moving = VGroup(diagram, bars, curve, loss, clock)
        return UpdateFromAlphaFunc(moving, show, run_time=seconds, rate_func=linear)

    def sentence_of_turn(self) -> str:
        step = self.steps[self.turn]
        if self.tips:
            return f"After {step} steps {self.name} has more than half of the probability."
        return f"At step {step} {self.name} has {self.given[self.turn]:.3f} of the probability."

    # ── all examples ─────────────────────────────────────────────────────────────────────────────────────────────

    def sentence_of_cards(self) -> str:
        ten = self.noun == "digit" and len({*self.seen.targets[self.dealt]}) == len(self.dealt) == 10
        return f"The same steps, {'all ten digits' if ten else f'{len(self.dealt)} images'}: a frame where it is right."

    def make_cards(self) -> list[ExampleCard]:
        """Return the probe's examples as cards in two rows, at the first recorded step."""
        cards = [
            ExampleCard(
                self.seen.images[example], self.seen.probabilities[0, example, self.classes], classes=self.names,
                target=self.place_of(self.seen.targets[example]), limits=self.limits, theme=self.theme,
            )
            for example in self.dealt
        ]  # fmt: skip
        rows = 2 if len(cards) > 5 else 1
        self.layout.whole_stage.place(VGroup(*cards).arrange_in_grid(rows=rows, buff=(0.12, 0.2)))
        return cards

    def deal(self) -> None:
        """The image of the four becomes one card of many, and the clock stands at the first step again."""
        self.cards = self.make_cards()
        hero = self.cards[self.dealt.index(self.hero)].picture
        self.play(FadeOut(*self.all_but(self.picture, self.header)), run_time=0.6)
        self.play(ReplacementTransform(self.picture, hero), run_time=0.8)
        self.clock.set_step(int(self.steps[0]))
        self.play(FadeIn(*(part for card in self.cards for part in card if part is not hero)))

    def all_but(self, *kept: Mobject) -> list[Mobject]:
        """Return all that is on screen but these."""
        family = {id(part) for mobject in kept for part in mobject.get_family()}
        seen = [part for mobject in self.mobjects for part in mobject.get_family() if len(part.points)]
        return [part for part in seen if id(part) not in family]

    def run_cards(self, seconds: float) -> Animation:
        """Return the training once more, seen by all cards."""
        seen, steps, dealt, shown = self.seen, self.steps, self.dealt, self.classes
        cards, clock = self.cards, self.clock
        answers, likely = seen.answers, seen.probabilities.max(axis=-1)  # (S, example)

        def show(_: Mobject, alpha: float) -> None:
            position = alpha * (len(steps) - 1)
            recorded = int(position)
            clock.set_step(int(steps[recorded]))
            for example, card in zip(dealt, cards, strict=True):
                probabilities = seen.probabilities[:, example, shown]
                said = seen.classes[answers[recorded, example]], float(likely[recorded, example])
                card.set_probabilities(between(probabilities, position), probabilities[recorded], said)

        return UpdateFromAlphaFunc(VGroup(clock, *cards), show, run_time=seconds, rate_func=linear)

    def sentence_of_score(self) -> str:
        right = self.seen.right[-1, self.dealt]
        return f"At the last recorded step it is right on {right.sum()} of these {len(right)}."

    # ── the last frame ───────────────────────────────────────────────────────────────────────────────────────────

    def before_and_after(self) -> None:
        """The image, its bars at the last step with those of the first as marks, and the two numbers that count."""
        marks = self.bars.ticks(self.seen.probabilities[0, self.hero, self.classes])
        legend = VGroup(Line(UP * 0.1, DOWN * 0.1, color=self.theme.text, stroke_width=2.5))
        legend.add(self.quiet(f"step {self.steps[0]}")).arrange(RIGHT, buff=0.1)
        legend.next_to(self.about_bars[1], RIGHT, buff=0.4)
        hero = self.cards[self.dealt.index(self.hero)].picture
        large = self.image(self.hero, 3.2).move_to((-4.9, MIDDLE, 0))
        self.play(FadeOut(*self.all_but(hero, self.header)), run_time=0.6)
        self.play(ReplacementTransform(hero, large), run_time=0.8)
        self.play(FadeIn(self.bars, self.about_bars, marks, legend, self.results()))

    def results(self) -> VGroup:
        """Return p(four) and the test accuracy, large, with what they are."""
        before = f"at step {self.steps[0]}: {self.given[0]:.3f}"
        colour = ink(RIGHT_ANSWER, self.theme)
        results = VGroup(self.result(f"p({self.seen.classes[self.target]})", self.given[-1], colour, before))
        accuracy = np.asarray(self.trace.scalars.get("test_accuracy", np.empty(0)))
        if np.isfinite(accuracy).any():
            count = self.trace.notes.get("test_images")
            of = f"of {count:,} images it never saw" if count else "of images it never saw"
            results.add(self.result("test accuracy", accuracy[np.isfinite(accuracy)][-1], self.theme.text, of))
        left, right = -3.3, self.bars.get_left()[0]
        return results.arrange(DOWN, buff=0.6).move_to(((left + right) / 2, MIDDLE, 0))

    def result(self, what: str, value: float, colour: str, more: str) -> VGroup:
        number = Counter(value, size=0.95, colour=colour)
        return VGroup(self.quiet(what, BODY), number, self.quiet(more, SMALL)).arrange(DOWN, buff=0.18)

    def sentence_of_end(self) -> str:
        first, last = self.given[0], self.given[-1]
        if self.noun == "digit" and first < 0.2 and last > 0.9:
            return f"From a tenth for each digit to a lot of probability in the digit {self.name.split()[-1]}."
        return f"Training moved {self.name} from {first:.3f} to {last:.3f}."
