"""Storyboard 5: a small change of one weight travels to the loss, and the share that arrives is its gradient.

manim scenes/ripple.py Ripple
EXPLAINER_TRACE=runs/mine manim scenes/ripple.py Ripple        layers one after the other, as ChainRule takes them
"""

import itertools
import math

import numpy as np
from manim import *

from explainer import change
from explainer.chain import Array
from explainer.errors import TraceError
from explainer.mobjects.computation_graph import ComputationGraph
from explainer.mobjects.formula import Formula
from explainer.mobjects.grid import Grid
from explainer.mobjects.layout import Region
from explainer.mobjects.symbols import partial, spoken
from explainer.mobjects.trace_scene import TraceScene
from explainer.mobjects.words import BODY, SMALL, Words, number
from explainer.theme import GRADIENT, LAYER, LOSS, ink

MOST_LAYERS = 5  # more do not fit beside each other and stay legible
UNDER = 1.0  # from the middle of a node down to the column under it
NAMED = 1.3  # the same, where the column has a name above it
MILLION = 1e6
SIGNIFICANT = 6  # digits of the two numbers that are compared


class Ripple(TraceScene):
    """One weight is changed by a millionth, and the change is followed to the loss, in one recorded step."""

    lesson = "two-layer"
    needs = ("activations", "parameters", "parameter_gradients", "inputs", "targets", "criterion")

    def construct(self) -> None:
        self.read_trace()
        self.build()

        # An example goes in, and layer by layer it becomes a loss.
        self.beat("forward")
        self.say(self.told_of_step(), *self.draw_graph())
        for name in self.graph.spine:
            self.flow_into(name)

        # One single weight becomes a little larger.
        self.beat("nudge")
        self.say(self.told_of_weight(), *self.fold(), FadeIn(self.large))
        self.nudge()

        # A change here changes that, which changes the next.
        self.beat("ripple")
        self.say("A change here changes that, which changes the next.", *self.put_aside(), FadeIn(self.about_changes))
        for name in self.graph.spine[1:]:
            self.ripple_to(name)
        self.say(self.told_of_arrival(), self.pulse(self.moved[self.graph.loss][1]))

        # How much of it arrives is the gradient.
        self.beat("ratio")
        self.say("Divide the change of the loss by the change of the weight:", FadeIn(self.division))
        self.say(self.told_of_gradient(), *self.compare())
        self.wait(0.8)

        # Backwards, all of them at once.
        self.beat("backwards")
        self.say(self.told_of_backwards())
        self.run_back()
        self.wait(1.5)

    # ── The numbers ─────────────────────────────────────────────────────────────────────────────────────────────

    def read_trace(self) -> None:
        """Take the step at which the network was most wrong, and follow a change of one weight through it."""
        trace, name = self.trace, self.trace.folder or "this trace"
        if len(trace.layers) > MOST_LAYERS:
            raise TraceError(f"Ripple shows up to {MOST_LAYERS} layers in a row; {name} has {len(trace.layers)}")
        losses = np.nan_to_num(trace.scalars["loss"], nan=-np.inf, posinf=-np.inf)
        self.index = int(np.argmax(losses))
        self.step = int(trace.steps[self.index])
        self.seen = change.follow(trace, self.step)
        self.changes = {**self.seen.changes, trace.model.loss_name: np.array([[self.seen.loss_change]])}
        gradient = abs(self.seen.recorded)
        self.decimals = int(np.clip(SIGNIFICANT - 1 - math.floor(math.log10(gradient)), 2, 9)) if gradient else 6

    def told_of_step(self) -> str:
        many = len(self.trace.inputs[self.index])
        what = "the example x goes in" if many == 1 else f"{many} examples x go in"
        return f"One recorded step of training: {what}, and layer by layer the loss ℓ comes out."

    def told_of_weight(self) -> str:
        return f"Make one single weight of {self.called(self.seen.parameter)} a tiny bit larger: by one millionth."

    def told_of_arrival(self) -> str:
        moved = self.seen.loss_change
        if moved == 0:
            return "Nothing of it arrives: the loss does not change at all."
        size, verb = abs(moved) * MILLION, "rises" if moved > 0 else "falls"
        return f"In the end the loss {verb}, by {number(size)} millionths."

    def told_of_gradient(self) -> str:
        seen = self.seen
        if self.written(seen.ratio) == self.written(seen.recorded):
            return "That ratio is the gradient: autograd recorded the same number."
        if seen.difference <= 1e-3 * abs(seen.recorded):
            return f"That ratio is the gradient: autograd’s is the same to within {number(seen.difference)}."
        return f"Autograd recorded another number: they differ by {number(seen.difference)}."

    def told_of_backwards(self) -> str:
        count = self.trace.model.parameter_count
        return f"Going backwards once, training finds this ratio for all {count:,} parameters."

    def written(self, value: float) -> str:
        return number(value, self.decimals)

    def called(self, name: str) -> str:
        return spoken(self.graph.symbols[name])

    # ── What stands in several beats ────────────────────────────────────────────────────────────────────────────

    def build(self) -> None:
        self.graph = ComputationGraph(self.trace.model, self.trace.layers, self.layout.stage, self.theme)
        self.target = self.graph.target_beside(np.asarray(self.trace.targets[self.index]))
        self.spacing = float(self.graph.nodes[self.graph.spine[1]].get_x() - self.graph.nodes[self.graph.input].get_x())
        self.columns: dict[str, VGroup] = {}
        self.moved: dict[str, VGroup] = {}
        self.arrows = VGroup()
        self.large, self.weight = self.large_weights(), self.weight_beside_node()
        self.about_changes = self.words_about_changes()
        self.division, self.ratio, self.recorded = self.numbers()

    def large_weights(self) -> VGroup:
        """Return the whole matrix where the columns were, with its symbol and a frame around the weight."""
        stage, seen = self.layout.stage, self.seen
        room = Region(stage.left + 2.5, stage.bottom + 0.1, stage.right - 2.5, self.graph.height_of_spine - 0.9)
        values = self.trace.parameters[seen.parameter][self.index]
        matrix = Grid(values, theme=self.theme, outline=LAYER, height=1.8, width=5.0, decimals=6)
        name = Formula(self.graph.symbols[seen.parameter], size=0.5, colour=self.theme.text)
        name.next_to(matrix.cells, LEFT, buff=0.3)
        large = VGroup(matrix, frame_of(matrix, seen.entry, self.theme.text), name)
        return room.place(large)

    def weight_beside_node(self) -> VGroup:
        """Return the small matrix beside its node, with the frame around the weight, and the sum that is made of it."""
        seen = self.seen
        values = self.trace.parameters[seen.parameter][self.index]
        matrix = Grid(values, theme=self.theme, outline=LAYER, height=0.75, width=0.75, numbers=False)
        matrix.next_to(self.graph.nodes[seen.parameter], LEFT, buff=0.14)
        old = Words(number(seen.weight, 6), size=SMALL, colour=self.theme.quiet)
        added = Words(number(seen.epsilon, 6, signed=True), size=SMALL, colour=self.theme.text, bold=True)
        old.next_to(matrix, LEFT, buff=0.16).shift(0.19 * UP)
        added.next_to(old, DOWN, buff=0.12).align_to(old, RIGHT)
        return VGroup(matrix, frame_of(matrix, seen.entry, self.theme.text), old, added)

    def words_about_changes(self) -> VGroup:
        """Say what the columns are, where the input would have its column: the input does not change."""
        stage, first = self.layout.stage, float(self.graph.nodes[self.graph.spine[1]].get_x())
        room = Region(stage.left, stage.bottom, first - 0.45 * self.spacing, self.graph.height_of_spine - NAMED)
        about = "in millionths, computed in float64"
        words = Words(about, size=SMALL, colour=self.theme.quiet, width=min(2.4, room.width))
        lines = VGroup(Words("changes", size=BODY, colour=self.theme.text), words).arrange(DOWN, buff=0.12)
        return room.place(lines, up=1)

    def numbers(self) -> tuple[Formula, VGroup, VGroup]:
        """Return the division in full, and in the formula line its result beside the recorded gradient."""
        seen = self.seen
        row, column = (place + 1 for place in seen.entry)
        colours = {"loss": ink(LOSS, self.theme)}
        quotient, moved = "frac({{ Delta ell : loss }}, Delta w)", number(seen.loss_change * MILLION, self.decimals)
        division = self.formula(f"{quotient} = frac({{{{ {moved} : loss }}}} dot 10^(-6), 10^(-6))", colours)
        ratio = self.formula(f"{quotient} = {self.written(seen.ratio)}", colours)
        sought = partial("ell", f"w_({row}, {column})")
        gradient = self.formula(f"{sought} = {self.written(seen.recorded)}", {})
        gradient.set_color(ink(GRADIENT, self.theme))
        sides = [
            VGroup(Words(words, size=SMALL, colour=self.theme.quiet), formula).arrange(RIGHT, buff=0.25)
            for words, formula in (("nudged", ratio), ("autograd recorded", gradient))
        ]
        self.layout.formula.place(VGroup(*sides).arrange(RIGHT, buff=1.0), up=0.6)
        sides[1].shift(UP * (ratio.baseline - gradient.baseline))
        return self.layout.formula.place(division, up=0.6), sides[0], sides[1]

    def formula(self, markup: str, colours: dict[str, str]) -> Formula:
        return Formula(markup.replace("−", "-"), size=0.44, colour=self.theme.text, colours=colours)

    # ── Forward ─────────────────────────────────────────────────────────────────────────────────────────────────

    def draw_graph(self) -> list[Animation]:
        corner = self.source(self.step)
        if data := str(self.trace.notes.get("data", "")):
            words = Words(data, size=SMALL, colour=self.theme.quiet)
            self.add(self.layout.header.place(words, across=-1).at_baseline(corner.baseline))
        return [FadeIn(VGroup(self.graph, self.target), lag_ratio=0.05, run_time=1.4)]

    def flow_into(self, name: str) -> None:
        """Flash along the edges to a node, and show what it computes."""
        if feeders := self.graph.feeders(name):
            self.play(*(self.flash(self.graph.edges[feeder, name]) for feeder in feeders), run_time=0.7)
        self.columns[name] = self.value_column(name)
        self.play(FadeIn(self.columns[name], shift=0.15 * DOWN), run_time=0.4)

    def flash(self, edge: Line) -> Animation:
        return ShowPassingFlash(edge.copy().set_stroke(self.theme.text, 7), time_width=0.6)

    def pulse(self, mobject: VMobject, scale: float = 1.25) -> Animation:
        return Transform(mobject, mobject.copy().scale(scale), rate_func=there_and_back)

    def value_of(self, name: str) -> Array:
        """Return what was recorded of a node of the spine, (unit, example)."""
        recorded = self.trace.inputs if name == self.graph.input else self.trace.activations[name]
        return as_columns(recorded[self.index])

    def value_column(self, name: str) -> VGroup:
        """Return what stands under a node of the spine: a column of its values, or the loss."""
        if name == self.graph.loss:
            return self.number_under_loss(number(float(self.trace.scalars["loss"][self.index])))
        outline = LAYER if name in self.trace.layers else self.theme.quiet
        return self.column(name, self.value_of(name), outline, UNDER)

    def column(self, name: str, values: Array, outline: str, under: float) -> Grid:
        x, stage = float(self.graph.nodes[name].get_x()), self.layout.stage
        width = min(0.8 * self.spacing, 2 * min(x - stage.left, stage.right - x))
        grid = Grid(values, theme=self.theme, outline=outline, width=width)
        return grid.move_to((x, self.graph.height_of_spine - under - grid.height / 2, 0))

    def number_under_loss(self, digits: str) -> VGroup:
        words = Words(digits, size=0.34, colour=ink(LOSS, self.theme), bold=True)
        return VGroup(words.next_to(self.graph.nodes[self.graph.loss], DOWN, buff=0.12))

    # ── The change ──────────────────────────────────────────────────────────────────────────────────────────────

    def fold(self) -> list[Animation]:
        """Fold the columns of values into rows of units under their nodes: what comes now are changes."""
        spine = self.graph.spine[:-1]
        self.units = VGroup(*(self.graph.units(name, self.value_of(name)) for name in spine))
        gone = [FadeOut(self.columns[name], shift=0.4 * UP, scale=0.4) for name in spine]
        return [AnimationGroup(*gone, FadeIn(self.units), run_time=1.0)]

    def nudge(self) -> None:
        """Add the millionth to the weight, in sight."""
        _, frame, _ = self.large
        self.added = Words(number(self.seen.epsilon, 6, signed=True), size=BODY, colour=self.theme.text, bold=True)
        self.added.next_to(self.large, RIGHT, buff=0.3).set_y(frame.get_y())
        self.play(FadeIn(self.added, shift=0.3 * LEFT), self.pulse(frame, 1.2), run_time=0.9)

    def put_aside(self) -> list[Animation]:
        """Put the matrix beside its node, and under the weight what was added to it."""
        matrix, frame, name = self.large
        small, small_frame, old, added = self.weight
        moved = [(matrix[0], small[0]), (frame, small_frame), (self.added, added)]
        return [FadeOut(name, *matrix[1:]), FadeIn(old, *small[1:]), *(ReplacementTransform(a, b) for a, b in moved)]

    def ripple_to(self, name: str) -> None:
        """Let the change arrive at a node, along the way by which it comes, and show how large it is there."""
        before = self.graph.spine[self.graph.spine.index(name) - 1]
        if name not in self.changed:
            return
        edge = self.graph.edges[self.seen.parameter if before not in self.changed else before, name]
        self.play(self.flash(edge), run_time=0.8)
        new = self.change_under(name)
        gone = [FadeOut(self.columns[name])] if name == self.graph.loss else []
        self.moved[name] = new
        self.play(self.pulse(self.graph.nodes[name]), *gone, FadeIn(new, shift=0.15 * DOWN), run_time=0.8)
        self.wait(0.5)

    @property
    def changed(self) -> tuple[str, ...]:
        """The nodes that a change of the weight reaches, in forward order."""
        spine = self.graph.spine
        first = next(place for place, name in enumerate(spine) if (self.seen.parameter, name) in self.graph.edges)
        return spine[first:]

    def change_under(self, name: str) -> VGroup:
        """Return what stands under a node once the change has come: its symbol with a Δ, and the change."""
        colour = ink(LOSS, self.theme) if name == self.graph.loss else self.theme.text
        symbol = Formula(f"Delta {self.graph.symbols[name]}", size=0.38, colour=colour)
        x, y = float(self.graph.nodes[name].get_x()), self.graph.height_of_spine
        symbol.move_to((x, y - NAMED + 0.26, 0))
        if name != self.graph.loss:
            return VGroup(symbol, self.column(name, as_columns(self.changes[name]) * MILLION, colour, NAMED))
        moved = number(self.seen.loss_change * MILLION)
        return VGroup(symbol, Words(moved, size=0.36, colour=colour, bold=True).move_to((x, y - NAMED - 0.21, 0)))

    def compare(self) -> list[Animation]:
        """The division is carried out, and beside it stands what was recorded."""
        words, ratio = self.ratio
        late = squish_rate_func(smooth, 0.5, 1)
        return [ReplacementTransform(self.division, ratio), FadeIn(words, self.recorded, rate_func=late)]

    # ── Backwards ───────────────────────────────────────────────────────────────────────────────────────────────

    def run_back(self) -> None:
        """Let the gradient run back, from the loss to the weight."""
        way = [*reversed(self.changed), self.seen.parameter]
        for fed, feeder in itertools.pairwise(way):
            arrow = self.graph.arrow_back(fed, feeder)
            self.arrows.add(arrow)
            self.play(GrowArrow(arrow), run_time=0.7)


def frame_of(matrix: Grid, entry: tuple[int, ...], colour: str) -> Rectangle:
    """Return a frame around an entry of a matrix."""
    rows, columns = matrix.cells.values.shape
    width, height = matrix.cells.width / columns, matrix.cells.height / rows
    frame = Rectangle(width=width + 0.04, height=height + 0.04, color=colour, stroke_width=4)
    return frame.move_to(matrix.cells.cell(*entry))


def as_columns(values: Array) -> Array:
    """Return (example, …) as (unit, example)."""
    return np.asarray(values.reshape(len(values), -1).T)
