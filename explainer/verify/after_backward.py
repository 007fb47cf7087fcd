"""What people do to parameter gradients between backward and the step: clip them, rescale them, add a penalty.

A trace holds the gradients as they were used. Each explanation here is one number for all parameters, and is believed
only where it explains more numbers than chance or a single mistake could make.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from explainer.verify.comparing import Array
from explainer.verify.losses import factor_between
from explainer.verify.one_layer import Again, agreement

Judged = tuple[str, Array, Again]  # a parameter's name, its gradient as recorded, and what backward gives
_ENOUGH = 8  # numbers that one number explains


def explained(judged: Sequence[Judged], weights: Mapping[str, Array]) -> Iterator[tuple[str, Array, Again, str]]:
    """Return what should have been recorded of each parameter, with a word about it where that is not backward's."""
    off = [each for each in judged if agreement(each[1], each[2]) < 0.5]
    explanations = []
    if sum(recorded.size for _, recorded, _ in off) >= _ENOUGH:
        explanations = [_rescaled(judged), _clipped_by_value(judged), _penalised(judged, off, weights)]
    for changed, said in explanations:
        if all(agreement(recorded, each) > 0.5 for (_, recorded, _), each in zip(judged, changed, strict=True)):
            for (name, recorded, before), each in zip(judged, changed, strict=True):
                yield name, recorded, each, "" if each is before else said
            return
    yield from ((name, recorded, again, "") for name, recorded, again in judged)


def _rescaled(judged: Sequence[Judged]) -> tuple[list[Again], str]:
    factor = float(np.median([factor_between(recorded, again.values) for _, recorded, again in judged]))
    changed = [Again(again.values * factor, again.allowed * max(1.0, abs(factor))) for _, _, again in judged]
    return changed, f"{factor:.6g} times what backward gave: all were clipped or rescaled before the step"


def _clipped_by_value(judged: Sequence[Judged]) -> tuple[list[Again], str]:
    bound = max(float(np.abs(recorded).max(initial=0)) for _, recorded, _ in judged)
    at_bound = sum(int((np.abs(recorded) == bound).sum()) for _, recorded, _ in judged)
    if at_bound < _ENOUGH:
        bound = np.inf
    changed = [Again(np.clip(again.values, -bound, bound), again.allowed) for _, _, again in judged]
    return changed, f"none is larger than {bound:.6g}: clipped by value before the step"


def _penalised(
    judged: Sequence[Judged], off: Sequence[Judged], weights: Mapping[str, Array]
) -> tuple[list[Again], str]:
    """Look for λ in gradient + λ · weight, as a penalty on some of the weights adds to the loss."""
    rate = float(np.median([factor_between(recorded - again.values, weights[name]) for name, recorded, again in off]))
    moved = {name: Again(again.values + rate * weights[name], again.allowed) for name, _, again in off}
    word = f"{rate:.6g} times the weight was added: a penalty on the weights, besides the recorded loss"
    return [moved.get(name, again) for name, _, again in judged], word
