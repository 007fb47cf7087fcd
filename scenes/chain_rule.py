"""Storyboard 6, the heart: backpropagation multiplies what arrives by the operation’s own gradient, and passes it on.

manim scenes/chain_rule.py ChainRule
EXPLAINER_TRACE=runs/mine manim scenes/chain_rule.py ChainRule
"""

import itertools

import numpy as np
from manim import *

from explainer import chain
from explainer.chain import Array, Operation
from explainer.errors import TraceError
from explainer.mobjects.chain_formula import ChainFormula
from explainer.mobjects.computation_graph import ComputationGraph
from explainer.mobjects.factors import Card, Equation, Factor, OperationEquation, verdict
from explainer.mobjects.grid import Grid
from explainer.mobjects.layout import Region
from explainer.mobjects.loss_bars import LossBars
from explainer.mobjects.symbols import partial, primed, spoken
from explainer.mobjects.trace_scene import TraceScene
from explainer.mobjects.words import SMALL, Words, number
from explainer.theme import GRADIENT, LAYER, LOSS, ink

MOST_LAYERS = 5  # more do not fit beside each other and stay legible
MOST_ROWS = 6  # more are not gone through one by one
ALONE = 1.9  # how much lower the graph stands while nothing else is on screen
COLUMNS = 0.6  # where columns under the graph begin, up

OWN = {  # what is said of an operation’s own gradient; {0} is its symbol, {1} what it is given, {2} its weights
    "Linear": "{0} multiplied {1} by the weights {2}, so the weights are its own gradient.",
    "Sigmoid": "The sigmoid’s own gradient is {0} (1 − {0}): never more than a quarter.",
    "Tanh": "The own gradient of tanh is 1 − {0}²: never more than one.",
    "ReLU": "ReLU’s own gradient is 1 where its input is above zero, else 0: it passes on, or it does not.",
    "Softmax": "In a softmax every output depends on every input: its own gradient is a matrix.",
    "LogSoftmax": "In a log-softmax every output depends on every input: its own gradient is a matrix.",
}


class ChainRule(TraceScene):
    """From the loss back to the first weights, one factor at a time, with the numbers of one recorded step."""

    lesson = "two-layer"
    needs = (
        "activations", "gradients", "parameters", "parameter_gradients", "updates", "inputs", "targets", "criterion",
    )  # fmt: skip

    worked: OperationEquation  # what the card shows

    def construct(self) -> None:
        self.read_trace()

        # An example goes in, and the network's answer is compared with the target.
        self.beat("forward")
        self.say(f"One recorded step of training: {self.told_of_input()}", *self.draw_graph())
        self.say("Forward: every layer computes its values from those of the layer before.", *self.make_room())
        for name in self.graph.spine:
            self.flow_into(name)
        self.say(
            f"The loss ℓ says in one number how wrong the answer was: {number(self.loss)}.",
            self.pulse(self.graph.nodes[self.graph.loss]),
        )

        # The same way back.
        self.beat("backwards")
        self.say("Now backwards: what would a small change of each value change in the loss?", *self.turn_round())

        # At every operation: incoming × local = outgoing, and the outgoing is the next one's incoming.
        for operation in self.operations:
            self.beat(f"card of {operation.name}")
            self.open_card(operation)
            self.say(self.told_of(operation), *self.show_local())
            self.show_product()
            self.pass_on(operation)

        # At the weights the whole product stands; autograd recorded the same.
        self.beat("weights")
        self.say(
            f"All factors stand: this is the gradient of {self.called(self.weight)}, by hand.", *self.stand_whole()
        )
        self.say(self.told_of_difference(), *self.compare())

        # The update subtracts it, α times.
        self.beat("update")
        self.say(self.told_of_update(), *self.update())
        self.say(self.told_of_losses(), *self.compare_losses())

        # All of it on one picture.
        self.beat("all")
        self.say("Backpropagation: multiply, pass on, down to every weight. That is the chain rule.", *self.unfold())
        self.wait(1.5)

    # ── The numbers ─────────────────────────────────────────────────────────────────────────────────────────────

    def read_trace(self) -> None:
        """Take the step at which the network was most wrong, and work its chain rule out by hand."""
        trace, name = self.trace, self.trace.folder or "this trace"
        if len(trace.layers) > MOST_LAYERS:
            raise TraceError(f"ChainRule shows up to {MOST_LAYERS} layers in a row; {name} has {len(trace.layers)}")
        losses = np.nan_to_num(trace.scalars["loss"], nan=-np.inf, posinf=-np.inf)
        self.index = int(np.argmax(losses))
        self.step, self.loss = int(trace.steps[self.index]), float(trace.scalars["loss"][self.index])
        self.chain = chain.work_out(trace, self.step)
        if not self.chain.whole:
            raise TraceError(
                f"ChainRule sums over whole batches; {name} keeps parts of them: record with examples=None"
            )
        weights = [(layer, each) for layer in trace.layers for each in self.chain[layer].parameter_gradients]
        if not weights:
            raise TraceError(f"ChainRule goes back to the first layer with weights; {name} has none")
        self.layer, self.weight = weights[0]
        self.by_hand = self.chain.parameter_gradients[self.weight]
        self.difference = float(np.abs(self.by_hand - trace.parameter_gradients[self.weight][self.index]).max())
        self.after = chain.loss_after(trace, self.step)
        names = [operation.name for operation in self.chain]
        self.operations = list(self.chain)[: names.index(self.layer) + 1]

    def told_of_input(self) -> str:
        many = len(self.trace.inputs[self.index])
        if many == 1:
            return "the example x goes in, the answer should be y."
        return f"{many} examples x go in, the answers should be y."

    def called(self, name: str) -> str:
        return spoken(self.graph.symbols[name])

    def before(self, name: str) -> str:
        return self.graph.spine[self.graph.spine.index(name) - 1]

    def value_of(self, name: str) -> Array:
        """Return what was recorded of a node of the spine, (unit, example)."""
        recorded = self.trace.inputs if name == self.graph.input else self.trace.activations[name]
        values = recorded[self.index]
        return np.asarray(values.reshape(len(values), -1).T)

    def gradient_of(self, layer: str) -> Array:
        """Return the recorded ∂ℓ/∂layer, (unit, example)."""
        values = self.trace.gradients[layer][self.index]
        return np.asarray(values.reshape(len(values), -1).T)

    # ── Forward ─────────────────────────────────────────────────────────────────────────────────────────────────

    def draw_graph(self) -> list[Animation]:
        self.graph = ComputationGraph(self.trace.model, self.trace.layers, self.layout.stage, self.theme)
        stage = self.layout.stage
        self.card = Card(Region(stage.left + 0.5, stage.bottom + 0.08, stage.right - 0.5, 0.66), self.theme)
        self.columns: dict[str, VGroup] = {}
        self.computations = self.graph.computations(self.layout.formula)
        self.target = self.graph.target_beside(np.asarray(self.trace.targets[self.index]))
        self.source(self.step)
        self.model = VGroup(self.graph, self.target).shift(ALONE * DOWN)
        return [FadeIn(self.model, lag_ratio=0.05, run_time=1.8)]

    def make_room(self) -> list[Animation]:
        return [Transform(self.model, self.model.copy().shift(ALONE * UP))]

    def flow_into(self, name: str) -> None:
        """Flash along the edges to a node, and show what it computes."""
        feeders = self.graph.feeders(name)
        if feeders:
            self.play(*(self.flash(self.graph.edges[feeder, name]) for feeder in feeders), run_time=1.0)
        self.columns[name] = self.value_column(name)
        formula = [FadeIn(self.computations[name])] if name in self.computations else []
        self.play(FadeIn(self.columns[name], shift=0.15 * DOWN), *formula, run_time=0.5)

    def flash(self, edge: Line) -> Animation:
        return ShowPassingFlash(edge.copy().set_stroke(self.theme.text, 7), time_width=0.6)

    def value_column(self, name: str) -> VGroup:
        """Return what stands under a node of the spine: a column of its values, or the loss."""
        node = self.graph.nodes[name]
        if name == self.graph.loss:
            return VGroup(Words(number(self.loss), size=0.34, colour=ink(LOSS, self.theme), bold=True)).next_to(
                node, DOWN, buff=0.12
            )
        column = self.grid(self.value_of(name), LAYER if name in self.trace.layers else self.theme.quiet)
        return column.move_to((node.get_x(), COLUMNS - column.height / 2, 0))

    def grid(self, values: Array, outline: str) -> Grid:
        """Return a column that leaves room for another beside it."""
        return Grid(
            values, theme=self.theme, outline=outline, width=0.455 * self.layout.stage.width / len(self.graph.spine)
        )

    def pulse(self, mobject: VMobject, scale: float = 1.2) -> Animation:
        return Transform(mobject, mobject.copy().scale(scale), rate_func=there_and_back)

    # ── Backward ────────────────────────────────────────────────────────────────────────────────────────────────

    def turn_round(self) -> list[Animation]:
        """Fold the columns into rows of units under their nodes, turn the loss, and show what is looked for."""
        graph, symbol = self.graph, self.graph.symbols
        factors = [(symbol[operation.name], symbol[self.receiver(operation)]) for operation in self.operations]
        self.formula = ChainFormula(symbol[self.weight], factors, theme=self.theme)
        self.layout.formula.place(self.formula, up=0.3)
        self.units = VGroup(*(graph.units(name, self.value_of(name)) for name in graph.spine[:-1]))
        self.gradients: dict[str, VGroup] = {}
        self.arrows = VGroup()
        folded = [FadeOut(self.columns[name], shift=0.4 * UP, scale=0.4) for name in graph.spine[:-1]]
        forward = AnimationGroup(*folded, *map(FadeOut, self.computations.values()))
        backward = AnimationGroup(FadeIn(self.units), FadeIn(self.formula))
        return [Rotate(graph.nodes[graph.loss], -TAU, run_time=1.4), Succession(forward, backward, run_time=1.4)]

    def receiver(self, operation: Operation) -> str:
        """Return who gets what an operation passes on."""
        return self.weight if operation.name == self.layer else self.before(operation.name)

    def open_card(self, operation: Operation) -> None:
        """Let the card tell of an operation; what the one before passed on is what this one receives."""
        weight = self.weight if operation.name == self.layer else None
        pointer = self.card.pointer(self.values_under(operation.name))
        before, symbol = self.before(operation.name), self.graph.symbols
        new = self.card.place_widest(
            lambda width: OperationEquation(operation, before, symbol, self.theme, weight, width)
        )
        if operation is self.operations[0]:
            self.pointer = pointer
            self.play(FadeIn(self.card), Create(self.pointer), FadeIn(new.incoming))
        else:
            moved = Transform(self.pointer, pointer), self.slide(self.worked, self.worked.outgoing, new.incoming)
            if operation is self.operations[1]:
                self.say("What one operation passes on is what the next one receives.", *moved)
            else:
                self.play(*moved)
        self.worked = new

    def values_under(self, name: str) -> VMobject:
        """Return the row of units under a node, or the loss."""
        return self.columns[name] if name == self.graph.loss else self.units[self.graph.spine.index(name)]

    def slide(self, last: Equation, old: Factor, new: Factor) -> Animation:
        """Clear a card but for one matrix, and move that to where it plays another part."""
        gone = [FadeOut(part) for part in last if part is not old]
        pairs = [(old.label, new.label), (old.grid, new.grid), (old.shape, new.shape)]
        moved = [*(ReplacementTransform(a, b) for a, b in pairs), FadeIn(new.role)]
        return Succession(AnimationGroup(*gone, FadeOut(old.role), run_time=0.3), AnimationGroup(*moved, run_time=0.9))

    def told_of(self, operation: Operation) -> str:
        if operation.is_loss:
            return "At every operation: multiply what arrives by the operation’s own gradient, and pass it on."
        if operation.name == self.layer:
            given = self.called(self.before(operation.name))
            layer, weight = self.called(self.layer), self.called(self.weight)
            return f"{layer} multiplied {given} by {weight}, so the last factor is {given} itself."
        weights = [self.called(name) for name in operation.parameter_gradients]
        names = self.called(operation.name), self.called(self.before(operation.name)), *weights, ""
        return OWN[operation.type].format(*names)

    def show_local(self) -> list[Animation]:
        return [FadeIn(self.worked.signs[0]), FadeIn(self.worked.local)]

    def show_product(self) -> None:
        """Show what is passed on, and row by row what it was made of."""
        equation, colour = self.worked, self.theme.text
        self.play(FadeIn(equation.signs[1]), FadeIn(equation.outgoing, shift=0.3 * RIGHT), run_time=0.8)
        if 1 < equation.rows <= MOST_ROWS:
            frames = equation.row(0, colour)
            self.play(FadeIn(frames), run_time=0.3)
            for at in range(1, equation.rows):
                self.wait(0.5)
                self.play(Transform(frames, equation.row(at, colour)), run_time=0.3)
            self.wait(0.5)
            self.play(FadeOut(frames), run_time=0.3)

    def pass_on(self, operation: Operation) -> None:
        """Send the gradient along its edge, and light its factor in the formula."""
        to, graph = self.receiver(operation), self.graph
        arrow = graph.arrow_back(operation.name, to)
        self.arrows.add(arrow)
        if to == self.weight:
            label = graph.gradient_at_parameter(to, self.trace.parameter_gradients[to][self.index])
        else:
            label = graph.gradient_at_edge(operation.name, to, self.gradient_of(to))
        self.gradients[to] = label
        self.play(GrowArrow(arrow), FadeIn(label), *self.formula.light_next(), run_time=1.0)
        self.wait(0.8)

    # ── At the weights ──────────────────────────────────────────────────────────────────────────────────────────

    def stand_whole(self) -> list[Animation]:
        return [self.pulse(self.formula, 1.1), self.pulse(self.graph.nodes[self.weight])]

    def told_of_difference(self) -> str:
        largest = float(np.abs(self.trace.parameter_gradients[self.weight][self.index]).max())
        same = "the same numbers" if self.difference <= 1e-5 * largest else "other numbers"
        return f"PyTorch’s autograd recorded {same}: the largest difference is {digits(self.difference)}."

    def compare(self) -> list[Animation]:
        gradient = partial("ell", self.graph.symbols[self.weight])
        recorded = self.trace.parameter_gradients[self.weight][self.index]
        difference = verdict(digits(self.difference), "largest difference", GRADIENT, self.theme)

        def write(width: float) -> Equation:
            by_hand, autograd = (
                Factor(gradient, role, values, colour=GRADIENT, theme=self.theme, width=width)
                for role, values in (("by hand", self.by_hand), ("autograd", recorded))
            )
            return Equation([by_hand, autograd, difference], ["-", "="], self.theme)

        self.equation = self.card.place_widest(write)
        by_hand = self.equation.factors[0]
        slide = self.slide(self.worked, self.worked.outgoing, by_hand)
        return [Succession(slide, FadeIn(VGroup(*self.equation[1:]), run_time=0.6))]

    # ── The update ──────────────────────────────────────────────────────────────────────────────────────────────

    def step_made(self) -> tuple[str, str, str, Array]:
        """Return the sign, formula and name of what the optimizer did to the weights, and its numbers."""
        G, update = (kind[self.weight][self.index] for kind in (self.trace.parameter_gradients, self.trace.updates))
        rate = float(self.trace.scalars["learning_rate"][self.index])
        symbol = self.graph.symbols[self.weight]
        if np.allclose(update, -rate * G, rtol=1e-4, atol=1e-8):
            return "-", f"alpha {partial('ell', symbol)}", f"α = {rate:g}", rate * G
        return "+", f"Delta {symbol}", "the step", update

    def told_of_update(self) -> str:
        if self.step_made()[0] == "-":
            return "The update: from each weight, subtract α times its gradient."
        return f"The update: {self.trace.model.optimizer} makes a step of the gradient, and adds it to each weight."

    def update(self) -> list[Animation]:
        sign, made_of, name, made = self.step_made()
        W, symbol = self.trace.parameters[self.weight][self.index], self.graph.symbols[self.weight]
        after = W + self.trace.updates[self.weight][self.index]
        largest = float(max(np.abs(W).max(), np.abs(after).max()))
        parts = ((symbol, "before", W, LAYER), (made_of, name, made, GRADIENT), (primed(symbol), "after", after, LAYER))

        def write(width: float) -> Equation:
            factors = [
                Factor(formula, role, values, colour=colour, theme=self.theme, largest=largest, width=width)
                for formula, role, values, colour in parts
            ]
            return Equation(factors, [sign, "="], self.theme)

        last, self.equation = self.equation, self.card.place_widest(write)
        return [Succession(FadeOut(last, run_time=0.3), FadeIn(self.equation, run_time=0.7))]

    def told_of_losses(self) -> str:
        verb = "falls" if self.after < self.loss else "rises"
        again = "The same example" if len(self.trace.inputs[self.index]) == 1 else "The same examples"
        return f"{again} once more: the loss {verb} from {number(self.loss)} to {number(self.after)}."

    def compare_losses(self) -> list[Animation]:
        """Show the loss before, send the example through once more, and show the loss after."""
        self.bars = LossBars({"before the step": self.loss, "after it": self.after}, theme=self.theme)
        self.card.place(self.bars)
        pointed = Transform(self.pointer, self.card.pointer(self.values_under(self.graph.loss)))
        edges = [self.graph.edges[pair] for pair in itertools.pairwise(self.graph.spine)]
        return [
            Succession(
                AnimationGroup(FadeOut(self.equation), pointed, run_time=0.4),
                FadeIn(self.bars.rows[0], run_time=0.5),
                LaggedStart(*map(self.flash, edges), lag_ratio=0.4, run_time=2),
                FadeIn(self.bars.rows[1], run_time=0.5),
            )
        ]

    # ── Everything ──────────────────────────────────────────────────────────────────────────────────────────────

    def unfold(self) -> list[Animation]:
        """Open all columns again, and show every gradient at its edge."""
        graph, gone = self.graph, [self.card, self.pointer, self.bars, self.units]
        lowered = [label[0] for to, label in self.gradients.items() if to != self.weight]
        gone += [label[1] for to, label in self.gradients.items() if to != self.weight]
        shown = [self.columns[name] for name in graph.spine[:-1]]
        for operation in self.operations[:-1]:
            to = self.receiver(operation)
            column = self.grid(self.gradient_of(to), GRADIENT)
            self.columns[f"gradient of {to}"] = column
            shown.append(column.move_to((graph.middle(to, operation.name)[0], COLUMNS - column.height / 2, 0)))
        arrows = []
        for layer in self.trace.layers:
            for name in self.trace.model.layers[layer].parameters:
                if name not in self.gradients:
                    values = self.trace.parameter_gradients[name][self.index]
                    self.gradients[name] = graph.gradient_at_parameter(name, values)
                    arrows.append(graph.arrow_back(layer, name))
                    shown.append(self.gradients[name])
        self.arrows.add(*arrows)
        shown.append(self.legend())
        cleared = AnimationGroup(*map(FadeOut, gone), run_time=0.5)
        lower = [Transform(label, label.copy().shift(1.06 * DOWN)) for label in lowered]
        return [Succession(cleared, AnimationGroup(*lower, *map(FadeIn, shown), *map(GrowArrow, arrows), run_time=1.2))]

    def legend(self) -> VGroup:
        """Return what the outlines mean, beside the formula if there is room."""
        values = Words("values, forward", size=SMALL, colour=ink(LAYER, self.theme))
        gradients = Words("gradients, backward", size=SMALL, colour=ink(GRADIENT, self.theme))
        legend = VGroup(values, gradients).arrange(DOWN, buff=0.12, aligned_edge=LEFT)
        self.layout.formula.place(legend, across=-1)
        return legend if legend.get_right()[0] < self.formula.get_left()[0] else VGroup()


def digits(difference: float) -> str:
    """Return a difference as it is: 0 is 0, not 0.000."""
    return "0" if difference == 0 else number(difference)
