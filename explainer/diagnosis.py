"""What is wrong with a recorded run, if anything: six questions, each answered in words with the numbers they rest on.

The thresholds are rules of thumb and no laws; each says where it comes from. What a trace cannot tell is said to be
unknown, with the reason, and never taken for healthy.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from explainer import flow
from explainer.baseline import knowing_nothing
from explainer.errors import TraceError
from explainer.lifetimes import lifetimes
from explainer.ratios import update_ratios
from explainer.same_answer import same_answer
from explainer.saturation import ends, saturated_share, zeroes
from explainer.units import dead_lately

if TYPE_CHECKING:
    from explainer.trace import Trace

Floats = npt.NDArray[np.float64]

KINDS = ("vanishing", "exploding", "dead", "saturated", "bouncing", "not learning")
FINE, MILD, SEVERE, UNKNOWN = "fine", "mild", "severe", "unknown"

# By what a gradient may shrink on its way to the first layer, or grow: with one learning rate for all layers, 1e-2
# lets the first one learn a hundred times slower than the last. Glorot and Bengio (2010) and Pascanu, Mikolov and
# Bengio (2013) describe both; the numbers are round ones.
VANISHING = (1e-2, 1e-3)
EXPLODING = (1e2, 1e3)
# The share of a layer's units that are dead. Karpathy's notes for CS231n: "as much as 40% of your network can be dead"
# where the learning rate is too high. Of healthy ReLUs that open for one example in ten, 0.9ⁿ are shut for n different
# examples by chance: for 16 they are fewer than half of that.
DEAD = (0.4, 0.75)
ENOUGH = 16
# The share of a layer's values within 5 % of an end of its range; Glorot and Bengio (2010), section 3.
SATURATED = (0.5, 0.8)
# Which share of steps turn back, and after which share the loss is higher: on a parabola, steps turn back at every step
# once the learning rate is above 1 / curvature, and the loss rises above 2 / curvature. Noise of small batches turns
# about every other step. A run whose loss fell by ARRIVED of itself nevertheless is not hindered much, or not at all.
TURNED, ROSE = 2 / 3, 1 / 3
ARRIVED = (0.5, 0.9)
# By which share the loss must have fallen, and below which share of the loss of who knows nothing it must be.
FALLEN, BELOW_NOTHING = 0.01, 0.99

_FEWEST = 4  # steps of which it can be said whether a run learns
_FOLLOWING = 9  # steps that follow each other, of which it can be said whether they bounce
_READ, _STEPS = 3_000_000, 200  # numbers of updates that are read, of the last steps, and of how many at most
_LAST = 4  # steps whose activations are looked at


@dataclass(frozen=True)
class Finding:
    """The answer to one question about a run.

    Attributes:
        kind: One of KINDS.
        severity: "fine", "mild", "severe", or "unknown" where the trace cannot tell.
        words: One sentence, with its numbers.
        numbers: What it rests on, by name.
        layer: The layer that is worst; "" where it is about none.
    """

    kind: str
    severity: str
    words: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    layer: str = ""

    @property
    def wrong(self) -> bool:
        """Whether something is."""
        return self.severity in (MILD, SEVERE)


def findings(trace: Trace) -> list[Finding]:
    """Answer the six questions of KINDS, in their order.

    Args:
        trace: A recorded run; reads statistics, losses, and of the last steps activations and updates.
    """
    asked = (_vanishing, _exploding, _dead, _saturated, _bouncing, _not_learning)
    found = []
    for kind, ask in zip(KINDS, asked, strict=True):
        try:
            found.append(ask(trace))
        except TraceError as error:
            found.append(Finding(kind, UNKNOWN, f"cannot be told: {error}"))
    return found


def verdict(found: Iterable[Finding]) -> str:
    """Say in one sentence what was found."""
    found = list(found)
    wrong = [each for each in found if each.wrong]
    unknown = [each.kind for each in found if each.severity == UNKNOWN]
    if not wrong:
        said = "Nothing wrong was found" if len(unknown) < len(found) else "Nothing can be told"
    else:
        worst = sorted(wrong, key=lambda each: each.severity != SEVERE)
        said = "Found: " + ", ".join(each.kind + (" (mild)" if each.severity == MILD else "") for each in worst)
    return said + (f"; cannot be told: {', '.join(unknown)}." if unknown else ".")


# ── gradients ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _vanishing(trace: Trace) -> Finding:
    ratio, numbers, first, last = _first_over_last(trace)
    severity = _below(ratio, VANISHING)
    if ratio == 0:
        told = f"no gradient reaches layer {first}: it is exactly 0, and not so at layer {last}"
        return Finding("vanishing", severity, told, numbers, first)
    told = f"the gradient at layer {first} is {_short(ratio)} times that at layer {last}"
    told += f", ×{_short(numbers['per layer'])} a layer" if numbers["layers"] > 2 else ""
    return Finding("vanishing", severity, told, numbers, first)


def _exploding(trace: Trace) -> Finding:
    lost = np.nan_to_num(flow.gradient_nonfinite(trace)) > 0
    if lost.any():
        when = int(np.flatnonzero(lost.any(axis=0))[0])
        layer = trace.layers[int(np.flatnonzero(lost[:, when])[-1])]
        told = f"gradients are infinite or NaN from step {trace.steps[when]} on, at {layer} first"
        numbers = {"first step": float(trace.steps[when]), "steps": float(lost.any(axis=0).sum())}
        return Finding("exploding", SEVERE, told, numbers, layer)
    ratio, numbers, first, last = _first_over_last(trace)
    grown = _growth(trace)
    numbers = {**numbers, "growth": grown}
    severity = max(_above(ratio, EXPLODING), _above(grown, EXPLODING), key=_ORDER.index)
    told = f"the gradient at layer {first} is {_short(ratio)} times that at layer {last}, and in no step"
    told += f" more than {_short(grown)} times as large as in the beginning"
    return Finding("exploding", severity, told, numbers, first if severity != FINE else "")


def _first_over_last(trace: Trace) -> tuple[float, dict[str, float], str, str]:
    """Return the gradient's norm at the first layer over that at the last, the middle one of all steps; and both.

    Raises:
        TraceError: Fewer than two layers have a gradient.
    """
    norms = flow.gradient_norms(trace)
    there = [place for place, row in enumerate(norms) if np.isfinite(row).any()]
    if len(there) < 2:
        raise TraceError(f"{len(there)} layer has a gradient, and it takes two to see one vanish or explode")
    first, last = norms[there[0]], norms[there[-1]]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(last > 0, first / last, np.nan)
    ratios = ratios[np.isfinite(ratios)]
    if not ratios.size:
        raise TraceError("no step has a gradient at the last layer that is neither 0 nor infinite")
    ratio, layers = float(np.median(ratios)), len(there)
    per_layer = ratio ** (1 / (layers - 1)) if ratio else 0.0
    numbers = {"first / last": ratio, "per layer": per_layer, "layers": float(layers), "steps": float(ratios.size)}
    return ratio, numbers, trace.layers[there[0]], trace.layers[there[-1]]


def _growth(trace: Trace) -> float:
    """Return by what the largest gradient of a run exceeds those of its first tenth, over all layers together."""
    totals = np.sqrt(np.nansum(flow.gradient_norms(trace) ** 2, axis=0))
    totals = totals[np.isfinite(totals) & (totals > 0)]
    begin = totals[: max(1, len(totals) // 10)]
    return float(totals.max() / np.median(begin)) if totals.size else 1.0


# ── units ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _dead(trace: Trace) -> Finding:
    try:
        judged = [each for each in lifetimes(trace) if not each.missing]
    except TraceError:
        return _all_zero(trace)
    last = {each.layer: (float(each.share[np.isfinite(each.share)][-1]), each.units, each.fewest) for each in judged}
    if not last:
        raise TraceError("of no layer were two examples or more kept")
    doubted = {name for name, (share, *_) in last.items() if share >= DEAD[0] and name in trace.activations}
    for name in doubted:
        found, examples = dead_lately(trace, name, ENOUGH)
        last[name] = (len(found.dead) / found.count, found.count, examples)
    layer = max(last, key=lambda name: (last[name][2] >= ENOUGH, last[name][0]))
    if _above(last[layer][0], DEAD) == FINE:
        layer = max(last, key=lambda name: last[name][0])
    share, units, examples = last[layer]
    numbers = {"share": share, "units": float(units), "examples": float(examples)}
    told = f"{share:.0%} of the {units} units of layer {layer} say the same to each of {examples} examples"
    if share >= DEAD[0] and examples < ENOUGH:
        raise TraceError(f"{told}, which are too few to call them dead: it takes {ENOUGH} "
                         "different ones; keep more with examples=, or record more steps")  # fmt: skip
    if share == 0:
        told = f"no unit says the same to each of {examples} examples"
    return Finding("dead", _above(share, DEAD), told, numbers, layer if share else "")


def _all_zero(trace: Trace) -> Finding:
    """Judge by statistics of whole batches alone: a layer that is 0 for all of one is dead, any other may be.

    Raises:
        TraceError: No layer is.
    """
    recorded: dict[str, Any] = trace.statistics.get("activations", {})
    for layer in (name for name in recorded if zeroes(trace, name)):
        zero = float(recorded[layer]["zero_fraction"][-1])
        if zero == 1:
            told = f"every value of layer {layer} is 0 for the whole batch at step {trace.steps[-1]}"
            return Finding("dead", SEVERE, told, {"share": 1.0}, layer)
    raise TraceError('activations were not kept: record with keep=("activations", …), or with probe=(inputs, targets)')


def _saturated(trace: Trace) -> Finding:
    judged = trace.model.criterion.fed_by if trace.model.criterion else ()
    squashing = [name for name in trace.layers if ends(trace, name) is not None and name not in judged]
    if not squashing:
        return Finding("saturated", FINE, "no hidden layer squashes its values between two ends", {})
    kept = [name for name in squashing if name in trace.activations]
    shares = {name: share for name in kept if not math.isnan(share := _share_of(trace, name))}
    if not shares:
        raise TraceError(f'activations of {squashing[0]} were not kept: record with keep=("activations", …)')
    layer = max(shares, key=lambda name: shares[name])
    told = (
        f"{shares[layer]:.0%} of what layer {layer} says lies at an end of its range, where its derivative is nearly 0"
    )
    return Finding("saturated", _above(shares[layer], SATURATED), told, {"share": shares[layer]}, layer)


def _share_of(trace: Trace, layer: str) -> float:
    """Return which share of a layer's values is saturated, over the last recorded steps that have it."""
    found = []
    for index in range(max(len(trace) - _LAST, 0), len(trace)):
        try:
            found.append(saturated_share(trace, layer, trace.activations[layer][index]))
        except TraceError:  # it was not called at this step
            continue
    known = [share for share in found if not math.isnan(share)]
    return float(np.mean(known)) if known else math.nan


# ── steps ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _bouncing(trace: Trace) -> Finding:
    part = _consecutive(trace)
    first, last = trace.steps[part][[0, -1]]
    losses = _losses(trace)[part]
    if not np.isfinite(losses).all():
        raise TraceError(f"not every loss of steps {first} to {last} is a finite number")
    turned = float(flow.bounces(trace, part).mean())
    rose = float(np.mean(np.diff(losses) > 0))
    numbers = {"turned back": turned, "loss rose": rose, "first step": float(first), "last step": float(last)}
    told = f"{turned:.0%} of steps {first} to {last} turn back, and after {rose:.0%} of them the loss is higher"
    fallen = _fallen(trace)
    severity = SEVERE if fallen < ARRIVED[0] else MILD if fallen < ARRIVED[1] else FINE
    bounces = turned >= TURNED and rose >= ROSE
    return Finding("bouncing", severity if bounces else FINE, told, {**numbers, "fallen": fallen})


def _consecutive(trace: Trace) -> slice:
    """Return the last recorded steps that follow each other without a gap, as many as can be read.

    Raises:
        TraceError: Nowhere do enough of them.
    """
    edges = [0, *(np.flatnonzero(np.diff(trace.steps) != 1) + 1), len(trace)]
    parts = [(int(begin), int(end)) for begin, end in pairwise(edges) if end - begin >= _FOLLOWING]
    if not parts:
        raise TraceError(f"it takes {_FOLLOWING} recorded steps that follow each other: record every step, every=1")
    begin, end = parts[-1]
    most = max(_FOLLOWING, min(_STEPS, _READ // max(trace.model.parameter_count, 1)))
    return slice(max(begin, end - most), end)


def _not_learning(trace: Trace) -> Finding:
    losses = _losses(trace)
    if len(losses) < _FEWEST:
        raise TraceError(f"{len(losses)} steps are too few to tell")
    moves, still = _moves(trace)
    if not np.isfinite(losses[-1]):
        when = int(np.flatnonzero(~np.isfinite(losses))[0])
        told = f"the loss is no finite number from step {trace.steps[when]} on"
        return Finding("not learning", SEVERE, told, {"first step": float(trace.steps[when])})
    first, last = _ends_of(losses)
    nothing, same, fallen = knowing_nothing(trace), same_answer(trace), _fallen(trace)
    numbers = {"first loss": first, "last loss": last, "fallen": fallen, "moves": moves}
    told = f"the loss goes from {first:.3g} to {last:.3g}"
    if nothing is not None:
        numbers["knowing nothing"] = nothing
        if last >= BELOW_NOTHING * nothing:
            return Finding("not learning", SEVERE, f"{told}, and who knows nothing has {nothing:.3f}{still}", numbers)
    if same is not None:
        numbers |= {"same answer": same.constant, "its own": same.given, "examples": float(same.examples)}
        if same.given >= BELOW_NOTHING * same.constant:
            told += f"; of the last {same.examples} examples kept it is {same.given:.3g}, and who gives each the same"
            return Finding("not learning", SEVERE, f"{told} answer has {same.constant:.3g}{still}", numbers)
        nothing = same.constant if nothing is None else min(nothing, same.constant)
    if fallen >= FALLEN or still:
        return Finding("not learning", SEVERE if fallen < FALLEN else FINE, told + still, numbers)
    return _stayed(trace, nothing, numbers)


def _stayed(trace: Trace, nothing: float | None, numbers: Mapping[str, float]) -> Finding:
    """Judge a run whose loss did not fall: one may have learned before, as that which goes on from a checkpoint.

    Args:
        nothing: The loss of who knows nothing, or does not look at the inputs; None where it is not known.
    """
    first, last = numbers["first loss"], numbers["last loss"]
    told = f"the loss goes from {first:.3g} to {last:.3g}"
    if nothing is None:
        told += ": it does not fall, and whether the model had learned before cannot be told of this loss"
        return Finding("not learning", MILD if last - first < FALLEN * abs(first) else SEVERE, told, numbers)
    if last - first >= FALLEN * nothing:
        return Finding("not learning", SEVERE, f"{told}: it rises", numbers)
    learned = 1 - last / nothing
    step = trace.steps[max(1, len(trace) // 10) - 1]
    told += f", and who knows nothing has {nothing:.3g}: what the model has learned it had learned by step {step}"
    return Finding("not learning", FINE if learned >= ARRIVED[0] else MILD, told, {**numbers, "learned": learned})


def _losses(trace: Trace) -> Floats:
    if "loss" not in trace.scalars:
        raise TraceError("no loss was recorded: record with criterion=criterion, or log one")
    return np.asarray(trace.scalars["loss"], np.float64)


def _ends_of(losses: Floats) -> tuple[float, float]:
    """Return the middle loss of the first tenth of the steps and of the last, of those that are finite numbers."""
    known = losses[np.isfinite(losses)]
    if not known.size:
        raise TraceError("no loss is a finite number")
    part = max(1, len(known) // 10)
    return float(np.median(known[:part])), float(np.median(known[-part:]))


def _fallen(trace: Trace) -> float:
    """Return by which share of itself the loss fell over the run; below 0 where it rose."""
    first, last = _ends_of(_losses(trace))
    return (first - last) / abs(first) if first else 0.0


def _moves(trace: Trace) -> tuple[float, str]:
    """Return by which share of itself the model moves in the middle step, and what is to be said where it does not."""
    try:
        found = update_ratios(trace, per="model")
    except TraceError:
        return math.nan, ""
    if not found.names:
        return 0.0, ": no step moves a weight"
    moved = found.values[np.isfinite(found.values)]
    return (float(np.median(moved)), "") if moved.size else (math.nan, "")


# ── scales ───────────────────────────────────────────────────────────────────────────────────────────────────────────

_ORDER = (FINE, MILD, SEVERE)


def _above(value: float, thresholds: tuple[float, float]) -> str:
    return _ORDER[sum(value >= each for each in thresholds)]


def _below(value: float, thresholds: tuple[float, float]) -> str:
    return _ORDER[sum(value <= each for each in thresholds)]


def _short(value: float) -> str:
    digits, e, exponent = f"{value:.2g}".partition("e")
    return (digits + (f"×10{str(int(exponent)).translate(_RAISED)}" if e else "")).replace("-", "−")


_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
