"""How much of the gradient reaches the first layers of a network, and whether it learns: the numbers of `GradientFlow`.

A bar is a layer with weights, the gradient that of its output; where a model has more of them than can be read, a bar
is a stage, and the gradient that of its last layer's output. Every number is one recorded norm, over the whole batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from explainer import flow
from explainer.errors import TraceError
from explainer.flow import LayerGradient
from explainer.stages import stages
from explainer.trace import Trace

MOST = 12  # bars that can be read side by side
SHRUNK, GROWN = 0.1, 10.0  # of the last bar's gradient, that the first one gets
GUESSING = 1.5  # times the accuracy of a guess: what is not better has learned nothing
FALLEN, RISEN = 0.9, 1.1  # of the first loss: what is between has hardly moved

SHRINKS, HOLDS, GROWS, UNKNOWN = "shrinks", "holds", "grows", ""


@dataclass(frozen=True)
class Bar:
    """What one bar stands for.

    Attributes:
        name: The qualified name of its layer, or what its layers' names have in common.
        type: The class of its only layer with weights; "" where there are several.
        layer: At whose output the gradient is measured, as in `trace.layers`.
        layers: How many layers it stands for, those without weights too.
    """

    name: str
    type: str
    layer: str
    layers: int = 1


@dataclass(frozen=True)
class Reach:
    """The gradient at each bar, from the first layer to the last, at every recorded step.

    Attributes:
        bars: In forward order.
        grouped: Whether a bar is a stage of several layers with weights.
        steps: (S,) the recorded step numbers.
        norms: (bar, S); NaN where there is no gradient, and possibly where it is not finite.
        nonfinite: (bar, S) how many values are infinite or NaN; NaN where there is no gradient.
        missing: Per bar's layer why it has no gradient, where it has none.
        uncalled: The layers that were never called, and so have no bar.
    """

    bars: tuple[Bar, ...]
    grouped: bool
    steps: NDArray[np.int64]
    norms: NDArray[np.float64]
    nonfinite: NDArray[np.float64]
    missing: dict[str, str]
    uncalled: tuple[str, ...] = ()

    @property
    def first_step(self) -> int:
        """The index of the first recorded step in which a gradient arrived somewhere."""
        return int(np.argmax(np.isfinite(self.nonfinite).any(axis=0)))

    def at(self, index: int) -> list[LayerGradient]:
        """Return the gradient at each bar in the step of this index."""
        found = []
        for bar, size, count in zip(self.bars, self.norms[:, index], self.nonfinite[:, index], strict=True):
            none = np.isnan(count)
            why = self.missing.get(bar.layer, f"no gradient was seen at step {self.steps[index]}") if none else ""
            found.append(LayerGradient(bar.layer, float(size), 0 if none else int(count), why))
        return found

    def factors(self, index: int) -> list[float | None]:
        """Return the factor between each two neighbours, the one nearer the input over the other, (bar − 1,)."""
        return flow.factors(self.at(index))

    def share(self, index: int) -> float | None:
        """Return how much of the last bar's gradient the first one gets; None where one of them has no size."""
        found = self.at(index)
        if len(found) < 2 or not found[0].drawable or not found[-1].drawable:
            return None
        return found[0].size / found[-1].size

    def trend(self, index: int) -> str:
        """Return whether the gradient "shrinks", "holds" or "grows" on its way to the first bar; "" where unknown."""
        share = self.share(index)
        if share is None:
            return UNKNOWN
        return SHRINKS if share < SHRUNK else GROWS if share > GROWN else HOLDS


def reach(trace: Trace, most: int = MOST) -> Reach:
    """Return the gradient at each bar of a trace.

    Args:
        most: How many bars there may be.

    Raises:
        TraceError: The trace holds no step, or no gradient at all.
    """
    trace.index_of(-1)
    found = stages(trace.model, most + 1)[1:]
    found = tuple(stage for stage in found if stage.weighted) or found
    grouped = any(len(stage.weighted) > 1 for stage in found)
    bars = tuple(
        Bar(stage.name, stage.type, stage.output if grouped else (*stage.weighted, stage.output)[0], len(stage.members))
        for stage in found
    )
    row = {layer: place for place, layer in enumerate(trace.layers)}
    rows = [row[bar.layer] for bar in bars]
    norms, nonfinite = flow.gradient_norms(trace)[rows], flow.gradient_nonfinite(trace)[rows]
    if not np.isfinite(nonfinite).any():
        reasons = list(dict.fromkeys(trace.missing.get(bar.layer, "no backward pass was seen") for bar in bars))
        raise TraceError(
            f"{trace.folder or 'the trace'} holds no gradient: {', '.join(reasons) or 'no layer was recorded'}; call "
            "loss.backward() while the recorder listens"
        )
    missing = {bar.layer: trace.missing[bar.layer] for bar in bars if bar.layer in trace.missing}
    uncalled = tuple(name for name, layer in trace.model.layers.items() if layer.output_shape is None)
    return Reach(bars, grouped, trace.steps, norms, nonfinite, missing, uncalled)


def factor_range(factors: list[float | None]) -> tuple[float, float] | None:
    """Return the smallest and the largest factor; None where there is none."""
    known = [factor for factor in factors if factor is not None]
    return (min(known), max(known)) if known else None


# ── does it learn? ────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Result:
    """What a run came to.

    Attributes:
        what: "test accuracy" or whatever accuracy was logged, else "loss"; "" where the trace holds neither.
        value: The last that was recorded of it.
        verdict: In words what the run did.
        learns: None where nothing tells.
    """

    what: str = ""
    value: float = float("nan")
    verdict: str = ""
    learns: bool | None = None


def result(trace: Trace) -> Result:
    """Return a run's last accuracy where one was logged, else its last loss, and what they say."""
    losses = np.asarray(trace.scalars["loss"], float) if "loss" in trace.scalars else np.empty(0)
    known = losses[~np.isnan(losses)] if np.isnan(losses).all() or not np.isnan(losses[-1:]).any() else losses
    if len(known) and not np.isfinite(known[-1]):
        return Result("loss", float(known[-1]), "flies out", False)
    for name, values in _accuracies(trace):
        value = float(values[-1])
        classes = _classes(trace)
        if classes:
            guess = value / (100 if np.nanmax(values) > 1 else 1) <= GUESSING / classes
            return Result(name.replace("_", " "), value, "no better than guessing" if guess else "learns", not guess)
        return Result(name.replace("_", " "), value, *_judged(known))
    if not len(known):
        return Result()
    return Result("loss", float(known[-1]), *_judged(known))


def _judged(losses: NDArray[np.float64]) -> tuple[str, bool | None]:
    """Say in words how far the loss fell; losses are of batches, so that the last fifth is taken together."""
    if len(losses) < 2 or not losses[0] > 0:
        return "", None
    share = float(losses[-max(1, len(losses) // 5) :].mean() / losses[0])
    if share > RISEN:
        return "its loss rises", False
    return ("learns", True) if share < FALLEN else ("its loss hardly falls", False)


def _accuracies(trace: Trace) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Yield each accuracy that was logged with its finite values, of the test data first."""
    names = sorted((name for name in trace.scalars if "accuracy" in name), key=lambda name: ("train" in name, name))
    for name in names:
        values = np.asarray(trace.scalars[name], float)
        if np.isfinite(values).any():
            yield name, values[np.isfinite(values)]


def _classes(trace: Trace) -> int:
    """Return between how many classes the model chooses; 0 where that is not known."""
    criterion = trace.model.criterion
    if trace.notes.get("classes"):
        return len(trace.notes["classes"])
    if criterion is None or criterion.type not in ("CrossEntropyLoss", "NLLLoss"):
        return 0
    shapes = [trace.model.layers[each].output_shape for each in criterion.fed_by if each in trace.model.layers]
    return shapes[0][1] if len(shapes) == 1 and shapes[0] and len(shapes[0]) > 1 else 0
