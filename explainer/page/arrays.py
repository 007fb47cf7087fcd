"""Arrays inside a page: every number kept exactly, in as few bytes as that takes.

An array becomes its place in one blob, which is deflated and written as base64. Bytes of equal rank lie together, as in
HDF5's shuffle filter, and each is the difference to the one before where that deflates better: numbers that change
slowly from step to step become rows of small bytes. `arrays.js` undoes it.
"""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

# As JavaScript calls their arrays; the smallest that keeps every number, NaN and infinity among them, is taken.
_FLOATS = {"Uint8": "u1", "Float32": "<f4", "Float64": "<f8"}
_INTEGERS = {"Uint8": "u1", "Int32": "<i4", "Float64": "<f8"}
_PLACE = "array"  # what stands in a tree where an array was


def by_step(values: Any) -> Array:
    """Return (step, …) as (…, step): what one thing did over the steps lies side by side, and deflates better."""
    return np.moveaxis(np.asarray(values), 0, -1)


def quantized(values: Any, largest: float) -> Array:
    """Return signed numbers as 1 to 255 with 0 at 128, for widths and tones that are drawn and never read as numbers.

    Args:
        largest: The magnitude that becomes 1 or 255; 128 where a number is NaN.
    """
    share = np.nan_to_num(np.asarray(values, np.float64) / (largest or 1.0), posinf=1.0, neginf=-1.0)
    return np.asarray(128 + np.rint(127 * np.clip(share, -1, 1)), np.uint8)


def tones(values: Any, low: float, high: float) -> Array:
    """Return numbers between two limits as 0 to 255, for pixels that are drawn and never read as numbers."""
    share = np.nan_to_num((np.asarray(values, np.float64) - low) / ((high - low) or 1.0))
    return np.asarray(np.rint(255 * np.clip(share, 0, 1)), np.uint8)


def largest(values: Array) -> float:
    """Return the largest magnitude of the finite numbers; 0 where there is none."""
    return float(np.abs(values[np.isfinite(values)]).max(initial=0.0))


def limits(values: Array) -> tuple[float, float]:
    """Return the least and the largest finite number; 0 and 1 where there is none."""
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)


def packed(tree: Any) -> tuple[Any, str]:
    """Return a tree in JSON's types, in which arrays are places, and the base64 of the blob that they lie in.

    What is no finite number and stands outside an array becomes null: JSON has no word for it.
    """
    parts: list[bytes] = []
    plain = _plain(tree, parts)
    return plain, base64.b64encode(zlib.compress(b"".join(parts), 9)).decode("ascii")


def _plain(value: Any, parts: list[bytes]) -> Any:
    if isinstance(value, np.ndarray):
        kind, data, differences = _exactly(value)
        start = sum(map(len, parts))
        parts.append(data)
        return {_PLACE: [kind, start, int(differences), *value.shape]}
    if isinstance(value, Mapping):
        return {str(name): _plain(each, parts) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each, parts) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _exactly(values: Array) -> tuple[str, bytes, bool]:
    """Return the smallest type that keeps an array, its bytes, and whether they are differences."""
    wide = values.astype("<f8")  # integers to 2**53 are themselves; no step number and no index is larger
    known = wide.tobytes()
    for name, dtype in (_FLOATS if values.dtype.kind == "f" else _INTEGERS).items():
        with np.errstate(over="ignore", invalid="ignore"):
            tried = np.ascontiguousarray(wide.astype(dtype))
        if name == "Float64" or tried.astype("<f8").tobytes() == known:
            break
    planes = np.ascontiguousarray(tried.reshape(-1, 1).view(np.uint8).T).ravel()
    differing = np.diff(planes, prepend=np.uint8(0))  # modulo 256
    better = len(zlib.compress(differing.tobytes(), 6)) < len(zlib.compress(planes.tobytes(), 6))
    return name, (differing if better else planes).tobytes(), better
