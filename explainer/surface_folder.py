"""A surface's folder: `surface.json` says what it is, `surface.safetensors` holds the numbers. No pickle anywhere.

A slice's folder has `slice.json` and `slice.safetensors`; a sequence's has `sequence.json`, and a surface's folder for
each surface.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explainer.array_file import read_arrays, write_arrays
from explainer.errors import SurfaceError
from explainer.surface import Sampled, Slice, Surface, SurfaceSequence, Walk
from explainer.untrusted import LONGEST_JSON, open_plain, parse_json, read_exactly

FORMAT = 1
_OF_WALK = ("steps", "path", "losses", "true_losses", "plane_losses", "off_plane", "slopes")
_MOST_SURFACES = 1000  # in a sequence
_LOST = (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError, MemoryError)


def write(surface: Surface, folder: Path) -> Path:
    """Write a surface into a folder of its own; each file appears whole."""
    about = {"tolerance": surface.tolerance, "worst": surface.worst}
    return _write(surface, folder, "surface", ("losses", "u", "v", "evaluated"), about)


def read(folder: Path) -> Surface:
    """Read what `write` wrote.

    Raises:
        SurfaceError: There is none, it is damaged, or of a newer format.
    """

    def make(about: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], shared: dict[str, Any]) -> Surface:
        tolerance = about["tolerance"]
        return Surface(
            u=_floats(arrays["u"]),
            v=_floats(arrays["v"]),
            evaluated=_of_kind(arrays["evaluated"], "b"),
            tolerance=None if tolerance is None else _number(tolerance),
            worst=_number(about["worst"]),
            **shared,
        )

    found: Surface = _read(folder, "surface", 2, make)
    return found


def write_slice(line: Slice, folder: Path) -> Path:
    """Write a slice into a folder of its own; each file appears whole."""
    about = {"loss": line.loss, "slope": line.slope, "step": line.step}
    return _write(line, folder, "slice", ("losses", "t"), about)


def read_slice(folder: Path) -> Slice:
    """Read what `write_slice` wrote.

    Raises:
        SurfaceError: There is none, it is damaged, or of a newer format.
    """

    def make(about: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], shared: dict[str, Any]) -> Slice:
        step = about["step"]
        if step is not None and type(step) is not int:
            raise TypeError(f"step is {step!r:.80}")
        loss, slope = _number(about["loss"]), _number(about["slope"])
        return Slice(t=_floats(arrays["t"]), loss=loss, slope=slope, step=step, **shared)

    found: Slice = _read(folder, "slice", 1, make)
    return found


def write_sequence(sequence: SurfaceSequence, folder: Path) -> Path:
    """Write a sequence into a folder of its own, a folder for each surface."""
    _make_room(folder, "sequence.json")
    for place, surface in enumerate(sequence.surfaces):
        write(surface, folder / f"{place:03d}")
    about = {"format": FORMAT, "steps": sequence.steps.tolist(), "step_losses": sequence.step_losses.tolist()}
    _put_json(folder / "sequence.json", about)
    return folder


def read_sequence(folder: Path) -> SurfaceSequence:
    """Read what `write_sequence` wrote.

    Raises:
        SurfaceError: There is none, it is damaged, or of a newer format.
    """
    about = _read_json(folder, "sequence")
    try:
        steps, losses = about["steps"], [_number(each) for each in about["step_losses"]]
        if not all(type(each) is int for each in steps) or not 0 < len(steps) <= _MOST_SURFACES:
            raise ValueError(f"its steps are no {_MOST_SURFACES:,} whole numbers or fewer")
        numbers = np.array(steps, np.int64)
    except _LOST as error:
        raise _damaged(folder / "sequence.json", error) from error
    surfaces = tuple(read(folder / f"{place:03d}") for place in range(len(steps)))
    return SurfaceSequence(numbers, surfaces, np.array(losses))


def _write(sampled: Sampled, folder: Path, kind: str, own: tuple[str, ...], words: Mapping[str, Any]) -> Path:
    _make_room(folder, f"{kind}.json")
    arrays: dict[str, NDArray[Any]] = {name: getattr(sampled, name) for name in own}
    arrays |= {f"metric{place}": values for place, values in enumerate(sampled.metrics.values())}
    arrays |= {f"center/{name}": np.asarray(values) for name, values in sampled.center.items()}
    for place, direction in enumerate(sampled.directions):
        arrays |= {f"direction{place}/{name}": np.asarray(direction[name]) for name in sampled.center}
    for place, walk in enumerate(sampled.walks.values()):
        arrays |= {f"walk{place}/{name}": getattr(walk, name) for name in _OF_WALK}
    path = folder / f"{kind}.safetensors"
    scratch = path.with_name(f".{path.name}.writing")
    try:
        crc = write_arrays(scratch, arrays)
        os.replace(scratch, path)
    except ValueError as error:
        raise SurfaceError(f"the {kind} cannot be saved: {error}") from error
    except OSError as error:
        raise SurfaceError(f"{path} cannot be written: {error.strerror}; choose another path") from error
    about = {
        "format": FORMAT,
        **{name: getattr(sampled, name) for name in ("plane", "data", "batch_norm", "notes")},
        **words,
        "walks": [[name, walk.captured] for name, walk in sampled.walks.items()],
        "metrics": list(sampled.metrics),
        "center": list(sampled.center),
        "crc32": crc,
    }
    _put_json(folder / f"{kind}.json", about)
    return folder


def _read(folder: Path, kind: str, axes: int, make: Callable[..., Any]) -> Any:
    about = _read_json(folder, kind)
    path = folder / f"{kind}.safetensors"
    try:
        arrays = read_arrays(path, about["crc32"])
        names = _words(about["center"])
        shared = {
            "losses": _floats(arrays["losses"]),
            "center": {name: _of_kind(arrays[f"center/{name}"], "f") for name in names},
            "directions": tuple(
                {name: _of_kind(arrays[f"direction{place}/{name}"], "f") for name in names} for place in range(axes)
            ),
            "walks": {
                _word(name): _read_walk(arrays, place, captured)
                for place, (name, captured) in enumerate(about["walks"])
            },
            "metrics": {name: _floats(arrays[f"metric{place}"]) for place, name in enumerate(_words(about["metrics"]))},
            **{name: _word(about[name]) for name in ("plane", "data", "batch_norm")},
            "notes": _table(about["notes"]),
        }
        return make(about, arrays, shared)
    except SurfaceError as error:
        raise SurfaceError(f"{path} is damaged: {error}") from error
    except _LOST as error:
        raise _damaged(path, error) from error


def _read_walk(arrays: Mapping[str, NDArray[Any]], place: int, captured: Any) -> Walk:
    values = {name: arrays[f"walk{place}/{name}"] for name in _OF_WALK}
    steps = _of_kind(values.pop("steps"), "i")
    return Walk(steps=steps, captured=_number(captured), **{name: _floats(each) for name, each in values.items()})


def _read_json(folder: Path, kind: str) -> Mapping[str, Any]:
    path = folder / f"{kind}.json"
    try:
        with open_plain(path) as file:
            about = parse_json(read_exactly(file, 0, os.fstat(file.fileno()).st_size, most=LONGEST_JSON))
    except (OSError, ValueError, MemoryError) as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else _reason(error)
        raise SurfaceError(f"{path} cannot be read ({reason}); a {kind} is the folder that .save wrote") from error
    form = about.get("format") if isinstance(about, dict) else None
    if type(form) is not int or form < 1:
        raise SurfaceError(f"{path} holds no format number, so {folder} holds no {kind}")
    if form > FORMAT:
        raise SurfaceError(f"{folder} is of format {form}; this version reads up to {FORMAT}: pip install -U explainer")
    return about  # type: ignore[no-any-return]


def _make_room(folder: Path, name: str) -> None:
    if folder.exists() and not folder.is_dir():
        raise SurfaceError(f"{folder} is a file; a surface is a folder: choose another path")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / name).is_file():
        raise SurfaceError(f"{folder} holds something that is no {name.removesuffix('.json')}: choose a new folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SurfaceError(f"{folder} cannot be made: {error.strerror}; choose another path") from error


def _put_json(path: Path, about: Mapping[str, Any]) -> None:
    scratch = path.with_name(f".{path.name}.writing")
    data = json.dumps(_plain(about), ensure_ascii=False, allow_nan=False, indent=1).encode("utf-8", "replace")
    try:
        scratch.write_bytes(data)
        os.replace(scratch, path)
    except OSError as error:
        raise SurfaceError(f"{path} cannot be written: {error.strerror}; choose another path") from error


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: numbers that are not finite become null, what JSON has not its words."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)


def _number(value: Any) -> float:
    """Return a number of JSON; null is one that was not finite."""
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError(f"{value!r:.80} is no number")
    return float(value)


def _word(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.80} is no word")
    return value


def _words(value: Any) -> list[str]:
    if not isinstance(value, list):
        raise TypeError(f"{value!r:.80} is no list")
    return [_word(each) for each in value]


def _table(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r:.80} is no table")
    return value


def _floats(values: NDArray[Any]) -> NDArray[np.float64]:
    return _of_kind(values, "f").astype(np.float64, copy=False)


def _of_kind(values: NDArray[Any], kind: str) -> NDArray[Any]:
    if values.dtype.kind != kind:
        raise TypeError(f"an array is of dtype {values.dtype}")
    return values


def _damaged(path: Path, error: Exception) -> SurfaceError:
    return SurfaceError(f"{path} cannot be read ({_reason(error)}); compute it again")


def _reason(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "it is larger than this machine's memory"
    return f"it lacks {str(error.args[0])[:80]!r}" if isinstance(error, KeyError) else str(error)[:300]
