"""The loss itself as the judge of its gradient: nudge a parameter to both sides and look at the loss."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils._pytree import tree_map

from explainer.errors import RecordingError
from explainer.verify.captured import RecordedStep
from explainer.verify.comparing import Array, within
from explainer.verify.report import Report, Row
from explainer.verify.untouched import Trial, left_as_it_was

# A central difference is off by h² · f‴/6, and by ε · f / h where f is rounded: least at h = ε^(1/3), in units of the
# parameter's own size (W. H. Press et al., Numerical Recipes, 5.7). In float64 that is 6e-6.
STEP = float(np.finfo(np.float64).eps) ** (1 / 3)
TOLERANCE = 1e-5  # of the gradient's largest number: what is left of float64's digits, with room for a bent loss
ADVICE = (
    "whether the loss depends on something that changes from call to call; whether part of the model is computed "
    "without gradients (detach, no_grad, an integer step); and a backward of your own, if there is one"
)


@dataclass(frozen=True)
class Nudges:
    """How to ask the loss.

    Attributes:
        count: How many single numbers of each parameter are nudged, those with the largest gradient among them.
        numbers: Where the others, and the direction through all numbers, come from.
        step: How far, for parameters about as large as 1.
        tolerance: What is allowed, as a share of the parameter's largest gradient.
    """

    count: int
    numbers: np.random.Generator
    step: float
    tolerance: float

    def places(self, gradient: Array) -> list[int]:
        """Choose numbers of a parameter, by their place in the flat array."""
        largest = np.argsort(-np.abs(gradient), axis=None)[: -(-self.count // 2)]
        others = self.numbers.permutation(gradient.size)[: self.count]
        return list(dict.fromkeys(int(each) for each in (*largest, *others)))[: self.count]


def verify_finite_differences(trial: Trial, nudges: Nudges) -> Report:
    """Compare the recorded parameter gradients of a copy in float64 with differences of its loss."""
    double = in_float64(trial)
    with left_as_it_was(double) as put_back:
        recorded = RecordedStep(double, {})
        with torch.enable_grad():
            recorded()

        def loss() -> float:
            put_back()
            with torch.no_grad():
                return float(double.loss())

        level, rows = loss(), []
        for name, parameter in double.model.named_parameters():
            if name in recorded.trace.parameter_gradients:
                gradient = np.asarray(recorded.trace.parameter_gradients[name][0])
                rows += list(_rows(name, Line(parameter, loss, level), gradient, nudges))
            else:
                reason = recorded.trace.missing.get(name, "no parameter gradient was recorded")
                rows.append(Row(name, 0, _SLOPES, "missing", reason=reason))
    title = f"finite differences: {type(trial.model).__name__}, a copy in float64; each parameter nudged to both sides"
    return Report(title, tuple(rows), ADVICE)


_SLOPES, _DIRECTION = "parameter gradient", "slope along a random direction"


def _rows(name: str, line: "Line", gradient: Array, nudges: Nudges) -> Iterator[Row]:
    if not gradient.size:
        return
    rounding = 10 * float(np.finfo(np.float64).eps) * abs(line.level) / nudges.step
    places = nudges.places(gradient)
    units = [np.eye(1, gradient.size, place).reshape(gradient.shape) for place in places]
    slopes = [line.slope(unit, nudges.step) for unit in units]
    smooth = [at for at, slope in enumerate(slopes) if slope is not None]
    allowed = nudges.tolerance * float(np.abs(gradient).max()) + rounding
    rough = len(slopes) - len(smooth)
    left_out = f"{rough} of {len(slopes)} numbers left out: {_KINK}" if rough else ""
    if smooth:
        found = gradient.reshape(-1)[[places[at] for at in smooth]]
        expected = np.array([slopes[at] for at in smooth])
        row = within(name, 0, _SLOPES, found, expected, allowed, reason=left_out)
        worst = places[smooth[row.place[0]]] if row.place else 0
        yield replace(row, place=tuple(int(each) for each in np.unravel_index(worst, gradient.shape)))
    else:
        yield Row(name, 0, _SLOPES, "cannot", reason=_KINK)
    direction = nudges.numbers.standard_normal(gradient.shape)
    direction /= np.linalg.norm(direction)
    slope = line.slope(direction, nudges.step)
    if slope is None:
        yield Row(name, 0, _DIRECTION, "cannot", reason=_KINK)
        return
    allowed = nudges.tolerance * float(np.linalg.norm(gradient)) + rounding
    yield within(name, 0, _DIRECTION, np.asarray((gradient * direction).sum()), np.asarray(slope), allowed)


_KINK = "the loss has a kink there (ReLU, max), or jumps: two step sizes give two slopes"


@dataclass(frozen=True)
class Line:
    """The loss along lines through one parameter's value."""

    parameter: torch.Tensor
    loss: Callable[[], float]
    level: float  # the loss where the parameter is

    def slope(self, direction: Array, step: float) -> float | None:
        """Return ∂loss/∂(along the direction), or None where the loss is not smooth within two steps.

        For a smooth loss two step sizes give the same slope but for h², and the slopes of the two sides come together
        as h does. A kink inside the reach parts the first, a kink right here keeps the second apart.
        """
        size = max(1.0, float(self.parameter.detach().abs().max()))
        h = step * size
        right, left = self._at(direction, h), self._at(direction, -h)
        far_right, far_left = self._at(direction, 2 * h), self._at(direction, -2 * h)
        slope, coarse = (right - left) / (2 * h), (far_right - far_left) / (4 * h)
        bend = (right - 2 * self.level + left) / h
        far_bend = (far_right - 2 * self.level + far_left) / (2 * h)
        rounding = 20 * float(np.finfo(np.float64).eps) * (abs(self.level) + abs(right)) / h
        noise = rounding + 1e-6 * (abs(slope) + abs(coarse))
        parted = abs(slope - coarse) > noise
        bent = abs(bend) > noise and abs(bend) > 0.75 * abs(far_bend)
        return None if parted or bent else slope

    def _at(self, direction: Array, distance: float) -> float:
        before = self.parameter.detach().clone()
        with torch.no_grad():
            self.parameter.add_(torch.from_numpy(direction).to(self.parameter), alpha=distance)
        try:
            return self.loss()
        finally:
            with torch.no_grad():
                self.parameter.copy_(before)


def in_float64(trial: Trial) -> Trial:
    """Return a copy of a trial in float64.

    Raises:
        RecordingError: The model cannot be copied.
    """
    try:
        model, criterion = copy.deepcopy(trial.model), copy.deepcopy(trial.criterion)
    except (RuntimeError, TypeError) as error:
        raise RecordingError(f"finite differences need a copy of the model in float64, and: {error}") from error
    if isinstance(criterion, nn.Module):
        criterion = criterion.double()
    return Trial(model.double(), criterion, _doubled(trial.inputs), _doubled(trial.targets))


def _doubled(value: Any) -> Any:
    return tree_map(
        lambda leaf: leaf.double() if isinstance(leaf, torch.Tensor) and leaf.is_floating_point() else leaf, value
    )
