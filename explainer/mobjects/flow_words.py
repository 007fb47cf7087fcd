"""What is said of gradient flow: sentences whose every claim is decided by a run's numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from explainer.mobjects.gradient_bars import factor_words
from explainer.mobjects.gradient_scale import size_words
from explainer.mobjects.layer_row import bar_names
from explainer.reach import GROWS, HOLDS, SHRINKS, Reach, Result, factor_range
from explainer.trace import Trace

COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
LEVEL = 0.7, 1.4  # factors that leave the bars about level
ALIKE = 1.6  # times the smallest factor: up to there one word will do for all
PARTS = (
    (0.42, 0.62, "about a half is left each time"),
    (0.28, 0.42, "about a third is left each time"),
    (0.2, 0.28, "about a quarter is left each time"),
)
STARTS = {"torch": "torch’s own start", "Xavier": "Xavier start", "He": "He start"}


@dataclass(frozen=True)
class RunTold:
    """A run, its gradients, and what came of it, in words.

    Attributes:
        name: What it is called among others.
        more: What else tells it apart; may be empty.
    """

    name: str
    trace: Trace
    reach: Reach
    result: Result

    @property
    def more(self) -> str:
        """What the run is of, in a few words."""
        settings = self.trace.notes.get("settings") or {}
        if _is_lesson(self):
            return STARTS.get(str(settings.get("initialisation")), "")
        return self.trace.model.type

    @property
    def title(self) -> str:
        """Its name and what tells it apart, in one line."""
        return f"{self.called}, {self.more}" if self.more and self.more != self.called else self.called

    @property
    def called(self) -> str:
        """Its name; in the lesson that of its activation, as the start stands beside it."""
        settings = self.trace.notes.get("settings") or {}
        return str(settings.get("activation")) if _is_lesson(self) else self.name

    @cached_property
    def moment(self) -> int:
        """The index of the step of which the first beats tell."""
        return self.reach.first_step

    @property
    def trend(self) -> str:
        """Whether the gradient shrinks, holds or grows in that step."""
        return self.reach.trend(self.moment)

    def layers(self) -> str:
        """Say what stands in the row."""
        count = len(self.reach.bars)
        few = COUNTS[count].capitalize() if count < len(COUNTS) else str(count)
        if self.reach.grouped:
            layers = sum(bar.layers for bar in self.reach.bars)
            return f"{layers} layers, put together to {few.lower()} stages; behind the last one stands the loss."
        if count == 1:
            return "One layer with weights, and behind it the loss."
        return f"{few} layers in a row, and behind the last one the loss."

    def bar(self) -> str:
        """Say what a bar is."""
        types = {bar.type for bar in self.reach.bars}
        if self.reach.grouped:
            of = "the last layer of each stage"
        else:
            of = f"each {types.pop()} layer" if len(types) == 1 else "each layer with weights"
        return f"norm of ∂loss/∂output of {of}, whole batch"

    def backward(self) -> str:
        """Say what the bars will be."""
        return f"Now backwards. A bar is how much gradient arrives at its {self.unit}."

    @property
    def unit(self) -> str:
        """What a bar stands for, in a word."""
        return "stage" if self.reach.grouped else "layer"

    def sentences(self) -> list[str]:
        """Say what happens on the way to the first layer, in one to three sentences."""
        return [each for each in (self.factors(), self.ends(), *self.troubles()) if each]

    def factors(self) -> str:
        """Say by which factors the gradient changes."""
        found = factor_range(self.reach.factors(self.moment))
        if found is None or len(self.reach.bars) < 3:
            return ""
        low, high = found
        span, unit = span_words(low, high), self.unit
        if high < 1:
            about = (low * high) ** 0.5 if high < ALIKE * low else 0.0
            part = next((words for least, most, words in PARTS if least <= about < most), "")
            if part and self._sigmoids():
                return f"A sigmoid’s slope is at most ¼. Here each {unit} passes on {span}: {part}."
            return f"Each {unit} passes on {span}" + (f": {part}." if part else ".")
        if low > LEVEL[0] and high < LEVEL[1]:
            return f"From {unit} to {unit} it changes by {span}: the bars are about level."
        return f"From one bar to the next it changes by {span}."

    def _sigmoids(self) -> bool:
        kinds = [layer.type for layer in self.trace.model.layers.values()]
        return kinds.count("Sigmoid") >= len(self.reach.bars) - 1

    def ends(self) -> str:
        """Set the first bar's gradient against the last one's."""
        found = self.reach.at(self.moment)
        first, last = found[0], found[-1]
        if not self.trend:
            return ""
        names = bar_names(self.reach.bars)
        sizes = size_words(first.size), size_words(last.size)
        if self.trend == SHRINKS:
            return f"At the first, {names[0]}, {sizes[0]} is left of {sizes[1]}."
        if self.trend == GROWS:
            return f"On its way to the first, {names[0]}, it has grown from {sizes[1]} to {sizes[0]}."
        return f"At the first, {names[0]}, it is {sizes[0]}; at the last it was {sizes[1]}."

    def troubles(self) -> list[str]:
        """Say where no gradient arrives and why, where it is 0, and where it is no finite number."""
        names = dict(zip(self.reach.bars, bar_names(self.reach.bars), strict=True))
        pairs = [(names[bar], each) for bar, each in zip(self.reach.bars, self.reach.at(self.moment), strict=True)]
        told = []
        for why in dict.fromkeys(each.missing for _, each in pairs if each.missing):
            reason = why.removeprefix("no gradient arrived: ").removeprefix("no gradient: ")
            told.append(f"No gradient at {listed([name for name, each in pairs if each.missing == why])}: {reason}.")
        if zero := [name for name, each in pairs if not each.missing and each.size == 0]:
            told.append(f"At {listed(zero)} the gradient is exactly 0.")
        if lost := [name for name, each in pairs if not each.missing and each.nonfinite]:
            told.append(f"At {listed(lost)} the gradient is not a finite number.")
        return told

    def run(self, before: RunTold) -> str:
        """Say of a further run what its gradient does."""
        found = factor_range(self.reach.factors(self.moment))
        if not self.trend or found is None:
            return f"{self.title}: {' '.join(self.troubles()) or 'it has one bar only.'}"
        still = "still " if self.trend == before.trend else ""
        level = found[0] > LEVEL[0] and found[1] < LEVEL[1]
        does = {SHRINKS: f"it {still}shrinks", GROWS: f"it {still}grows", HOLDS: f"it {still}arrives"}[self.trend]
        return f"{self.title}: {span_words(*found)} a {self.unit}, {'the bars are level' if level else does}."

    def training(self) -> str:
        """Say what the beat of training shows."""
        count = len(self.reach.steps)
        if count == 1:
            return "The trace holds one step: a map of one moment."
        return f"Now time runs: the same gradients through {int(self.reach.steps[-1]) + 1:,} steps of training."


def conclusion(runs: Sequence[RunTold]) -> str:
    """Say what all runs together show, no more than is so."""
    known = [run for run in runs if run.trend and run.result.learns is not None]
    lost = runs[0].reach.at(runs[0].moment)[0]
    if len(runs) == 1 and lost.missing:
        return f"No gradient arrives at the first {runs[0].unit}: nothing is learned there."
    if len(known) < len(runs):
        return "The stronger the colour, the more gradient arrives at a layer."
    shrunk = {run.result.learns for run in known if run.trend == SHRINKS}
    others = {run.result.learns for run in known if run.trend != SHRINKS}
    if len(runs) == 1:
        return _of_one(known[0])
    if shrunk == {False} and others == {True}:
        why = ": the activation and the start decide" if all(map(_is_lesson, runs)) else ""
        return f"Where no gradient arrives, nothing is learned{why}."
    if not others:
        return "In all of these little arrives at the first layer" + (
            ", and none learns." if shrunk == {False} else ", and yet something is learned."
        )
    if not shrunk:
        return "In all of these the gradient reaches the first layer" + (
            "; that alone does not make a network learn." if False in others else ", and all learn."
        )
    return "How much arrives at the first layer is not all that decides: compare the rows."


def _is_lesson(run: RunTold) -> bool:
    """Say whether a run is of the lesson, whose runs differ in their activation and their start."""
    return run.trace.notes.get("lesson") == "depth"


def _of_one(run: RunTold) -> str:
    arrives = {
        SHRINKS: "Little of the gradient arrives at the first layer",
        HOLDS: "The gradient reaches the first layer",
        GROWS: "The gradient grows on its way to the first layer",
    }[run.trend]
    fits = (run.trend == HOLDS) == run.result.learns
    return f"{arrives}, and {'' if fits else 'yet '}{'the network learns' if run.result.learns else _without(run)}."


def _without(run: RunTold) -> str:
    return {"flies out": "the loss flies out", "its loss rises": "the loss rises"}.get(
        run.result.verdict, "the network has not learned"
    )


def span_words(low: float, high: float) -> str:
    """Write a range of factors; one number where both ends are the same in words."""
    ends = dict.fromkeys(f"×{factor_words(each)}" for each in (low, high))
    return " to ".join(ends)


def listed(names: Sequence[str]) -> str:
    """Write names one after the other, a few of them."""
    few, last = (names[:-1], names[-1]) if len(names) <= 4 else (names[:3], f"{len(names) - 3} more")
    return f"{', '.join(few)} and {last}" if few else last
