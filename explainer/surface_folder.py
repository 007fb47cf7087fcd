"""A surface's folder: `surface.json` says what it is, `surface.safetensors` holds the numbers. No pickle anywhere."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from explainer.errors import SurfaceError
from explainer.surface import Surface, SurfaceSequence, Walk
from explainer.untrusted import LONGEST_JSON, open_plain, parse_json, read_exactly

FORMAT = 1
_ARRAYS = ("losses", "u", "v", "evaluated")
_WORDS = ("plane", "data", "batch_norm", "tolerance", "worst", "notes")
_OF_WALK = ("steps", "path", "losses", "true_losses", "plane_losses", "off_plane", "slopes")


def write(surface: Surface, folder: Path) -> Path:
    """Write a surface into a folder of its own; each file appears whole."""
    _make_room(folder, "surface.json")
    arrays: dict[str, NDArray[Any]] = {name: getattr(surface, name) for name in _ARRAYS}
    arrays |= {f"metrics/{name}": values for name, values in surface.metrics.items()}
    arrays |= {f"center/{name}": values for name, values in surface.center.items()}
    for place, direction in enumerate(surface.directions):
        arrays |= {f"direction{place}/{name}": values for name, values in direction.items()}
    for place, walk in enumerate(surface.walks.values()):
        arrays |= {f"walk{place}/{name}": getattr(walk, name) for name in _OF_WALK}
    about: dict[str, Any] = {name: getattr(surface, name) for name in _WORDS}
    about["walks"] = [[name, walk.captured] for name, walk in surface.walks.items()]
    about["center"], about["metrics"] = list(surface.center), list(surface.metrics)
    _put(folder / "surface.safetensors", save({name: np.ascontiguousarray(values) for name, values in arrays.items()}))
    _put(folder / "surface.json", json.dumps({"format": FORMAT, **about}, ensure_ascii=False, indent=1).encode())
    return folder


def read(folder: Path) -> Surface:
    """Read what `write` wrote."""
    about = _read_json(folder, "surface.json")
    path = folder / "surface.safetensors"
    try:
        with open_plain(path) as file:
            arrays = load(read_exactly(file, 0, os.fstat(file.fileno()).st_size))
        walks = {
            name: Walk(**{each: arrays[f"walk{place}/{each}"] for each in _OF_WALK}, captured=float(captured))
            for place, (name, captured) in enumerate(about["walks"])
        }
        return Surface(
            **dict[str, Any]({name: arrays[name] for name in _ARRAYS}),
            **dict[str, Any]({name: about[name] for name in _WORDS}),
            metrics={name: arrays[f"metrics/{name}"] for name in about["metrics"]},
            center={name: arrays[f"center/{name}"] for name in about["center"]},
            directions=tuple(
                {name: arrays[f"direction{place}/{name}"] for name in about["center"]} for place in range(2)
            ),
            walks=walks,
        )
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise SurfaceError(f"{path} cannot be read ({error}); compute the surface again") from error


def write_sequence(sequence: SurfaceSequence, folder: Path) -> Path:
    """Write a sequence into a folder of its own, a folder for each surface."""
    _make_room(folder, "sequence.json")
    for place, surface in enumerate(sequence.surfaces):
        write(surface, folder / f"{place:03d}")
    about = {"format": FORMAT, "steps": sequence.steps.tolist(), "step_losses": sequence.step_losses.tolist()}
    _put(folder / "sequence.json", json.dumps(about, indent=1).encode())
    return folder


def read_sequence(folder: Path) -> SurfaceSequence:
    """Read what `write_sequence` wrote."""
    about = _read_json(folder, "sequence.json")
    try:
        steps, losses = np.array(about["steps"], np.int64), np.array(about["step_losses"], np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise SurfaceError(f"{folder} holds no sequence of surfaces ({error}); compute it again") from error
    return SurfaceSequence(steps, tuple(read(folder / f"{place:03d}") for place in range(len(steps))), losses)


def _read_json(folder: Path, name: str) -> Mapping[str, Any]:
    path = folder / name
    try:
        with open_plain(path) as file:
            about = parse_json(read_exactly(file, 0, os.fstat(file.fileno()).st_size, most=LONGEST_JSON))
    except (OSError, ValueError) as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise SurfaceError(f"{path} cannot be read ({reason}); a surface is the folder that .save wrote") from error
    form = about.get("format") if isinstance(about, dict) else None
    if not isinstance(form, int) or form < 1:
        raise SurfaceError(f"{path} holds no format number, so {folder} holds no surface")
    if form > FORMAT:
        raise SurfaceError(f"{folder} is of format {form}; this version reads up to {FORMAT}: pip install -U explainer")
    return about  # type: ignore[no-any-return]


def _make_room(folder: Path, name: str) -> None:
    if folder.exists() and not folder.is_dir():
        raise SurfaceError(f"{folder} is a file; a surface is a folder: choose another path")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / name).is_file():
        raise SurfaceError(f"{folder} holds something that is no surface: choose a new or empty folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SurfaceError(f"{folder} cannot be made: {error.strerror}; choose another path") from error


def _put(path: Path, data: bytes) -> None:
    scratch = path.with_name(f".{path.name}.writing")
    try:
        scratch.write_bytes(data)
        os.replace(scratch, path)
    except OSError as error:
        raise SurfaceError(f"{path} cannot be written: {error.strerror}; choose another path") from error
