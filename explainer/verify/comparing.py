"""Two arrays, one row: where they differ most, by how much, and how much that may be."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explainer.verify.report import Row

Array = NDArray[Any]


def bitwise(name: str, step: int, what: str, recorded: Array, expected: Array, **more: Any) -> Row:
    """Compare bit by bit: nothing is allowed, −0 is not 0, and NaN equals NaN."""
    if recorded.shape == expected.shape and recorded.dtype == expected.dtype and _same_bits(recorded, expected):
        return Row(name, step, what, "equal", difference=0.0, allowed=0.0, **more)
    row = within(name, step, what, recorded, expected, 0.0, **more)
    if row.difference == 0.0:
        zeros = recorded.dtype == expected.dtype
        how = "the sign of a zero differs" if zeros else f"{recorded.dtype} is not {expected.dtype}"
        row = replace(row, state="differs", reason=f"equal numbers, but {how}")
    return row


def within(name: str, step: int, what: str, recorded: Array, expected: Array, allowed: float, **more: Any) -> Row:
    """Compare number by number; a place where only one of the two is NaN differs infinitely."""
    if recorded.shape != expected.shape:
        reason = f"the shapes differ: recorded {list(recorded.shape)}, expected {list(expected.shape)}"
        return Row(name, step, what, "differs", **{**more, "reason": reason})
    if not recorded.size:
        return Row(name, step, what, "equal", difference=0.0, allowed=allowed, **more)
    gaps = differences(recorded, expected)
    flat = int(np.argmax(gaps))
    place = tuple(int(each) for each in np.unravel_index(flat, gaps.shape))
    difference = float(gaps[place])
    equal = _same_bits(recorded, expected) if recorded.dtype == expected.dtype else difference == 0
    state = "equal" if equal else "close" if difference <= allowed and allowed > 0 else "differs"
    return Row(
        name, step, what, state, difference=difference, allowed=allowed, place=place,
        recorded=_number(recorded[place]), expected=_number(expected[place]), **more,
    )  # fmt: skip


def differences(recorded: Array, expected: Array) -> Array:
    """Return |recorded − expected|, 0 where both are the same infinity or NaN, ∞ where only one is."""
    wide = np.complex128 if "c" in (recorded.dtype.kind, expected.dtype.kind) else np.float64
    left, right = recorded.astype(wide), expected.astype(wide)
    with np.errstate(all="ignore"):
        gaps = np.abs(left - right)
    gaps = np.where((left == right) | (np.isnan(left) & np.isnan(right)), 0.0, gaps)
    return np.asarray(np.where(np.isnan(gaps), np.inf, gaps), np.float64)


def _same_bits(left: Array, right: Array) -> bool:
    if left.tobytes() == right.tobytes():
        return True
    if left.dtype.kind not in "fc":
        return False
    same = (left == right) & (np.signbit(left.real) == np.signbit(right.real))
    return bool((same | (np.isnan(left) & np.isnan(right))).all())


def _number(value: Any) -> float:
    return float(np.abs(value)) if np.iscomplexobj(value) else float(value)
