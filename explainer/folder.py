"""A trace's folder: `trace.json` and its shards, checked once where they enter."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from explainer.errors import TraceError
from explainer.shard_file import open_shard
from explainer.storage import FORMAT, Shard, shard_path, shard_paths
from explainer.untrusted import LONGEST_JSON, is_count, open_plain, parse_json, read_exactly

Check = Callable[[Any], bool]


def read_folder(folder: Path, known: Sequence[Shard] = ()) -> tuple[list[Shard], dict[str, Any]]:
    """Read what one process recorded.

    Args:
        known: The shards that were read before; they are kept where they still lie there.

    Returns:
        The shards in the order of their steps, and what `trace.json` says.

    Raises:
        TraceError: There is no trace, it is of a newer format, or a part of it is missing or damaged.
    """
    about = _read_about(folder)
    paths = shard_paths(folder)
    count = about["shards"] if about["finished"] else len(paths)
    shards: list[Shard] = []
    last = -1
    for number, path in enumerate(paths[:count]):
        if path != shard_path(folder, number):
            raise TraceError(f"{folder}: shard {number:06d} is missing; restore it from a copy, or record again")
        before = known[number] if number < len(known) else None
        shard = before if before is not None and before.identity == _identity(path) else open_shard(path)
        if shard.steps and shard.steps[0] <= last:
            raise TraceError(f"{path} begins with step {shard.steps[0]}, after step {last}; restore it from a copy")
        last = shard.steps[-1] if shard.steps else last
        shards.append(shard)
    if len(paths) < count:
        raise TraceError(f"{folder}: shard {len(paths):06d} is missing; restore it from a copy, or record again")
    return shards, about


def _identity(path: Path) -> tuple[int, ...] | None:
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _read_about(folder: Path) -> dict[str, Any]:
    path = folder / "trace.json"
    try:
        with open_plain(path) as file:
            about = parse_json(read_exactly(file, 0, os.fstat(file.fileno()).st_size, most=LONGEST_JSON))
    except FileNotFoundError as error:
        empty = "holds no trace.json" if any(folder.glob("*")) else "is empty"
        raise TraceError(
            f"{folder} {empty}, so it is not a trace; a trace is the folder that explainer.record wrote"
        ) from error
    except (OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise TraceError(f"{path} cannot be read ({reason}); restore it from a copy, or record again") from error
    form: Any = about.get("format") if isinstance(about, dict) else None
    if not is_count(form) or form == 0:
        raise TraceError(f"{path} holds no format number, so {folder} is not a trace")
    if form > FORMAT:
        raise TraceError(
            f"{folder} is a trace of format {form}; this version reads up to {FORMAT}: pip install -U explainer"
        )
    if wrong := [name for name, fits in _ABOUT.items() if not fits(about.get(name))]:
        raise TraceError(f"{path} lacks or mistypes {', '.join(wrong)}; restore it from a copy, or record again")
    if about["finished"] and about.get("shards") is None:
        raise TraceError(f"{path} does not say how many shards there are; restore it from a copy, or record again")
    return {**about, "ranks": 1}


# What trace.json may say, as far as anything is read of it; other words are left alone.


def _text(value: object) -> bool:
    return isinstance(value, str)


def _object(value: object) -> bool:
    return isinstance(value, dict)


def _optional(fits: Check) -> Check:
    return lambda value: value is None or fits(value)


def _list_of(fits: Check) -> Check:
    return lambda value: isinstance(value, list) and all(map(fits, value))


def _dict_of(fits: Check) -> Check:
    return lambda value: isinstance(value, dict) and all(map(fits, value.values()))


def _with(words: Mapping[str, Check]) -> Check:
    return lambda value: isinstance(value, dict) and all(fits(value.get(name)) for name, fits in words.items())


def _is_rank(value: Any) -> bool:
    return _with({"rank": is_count, "of": is_count})(value) and bool(value["rank"] < value["of"])


_SHAPE = _list_of(is_count)
_LAYER = _with(
    {
        "type": _text,
        "input_shape": _optional(_SHAPE),
        "output_shape": _optional(_SHAPE),
        "dtype": _optional(_text),
        "parameters": _dict_of(_SHAPE),
        "settings": _object,
        "fed_by": _list_of(_text),
        "unseen": _optional(_list_of(_text)),
    }
)
_MODEL = _with(
    {
        "type": _text,
        "layers": _dict_of(_LAYER),
        "criterion": _optional(
            _with({"type": _text, "settings": _object, "fed_by": _list_of(_text), "unseen": _optional(_list_of(_text))})
        ),
        "optimizer": _optional(_text),
        "tied": _optional(_dict_of(_text)),
        "parameter_count": is_count,
        "parameter_groups": _optional(_list_of(_with({"parameters": _list_of(_text), "settings": _object}))),
    }
)
_ABOUT: dict[str, Check] = {
    "model": _MODEL,
    "layers": _list_of(_text),
    "missing": _dict_of(_text),
    "aliases": _dict_of(_text),
    "notes": _object,
    "keep": _list_of(_text),
    "finished": lambda value: isinstance(value, bool),
    "shards": _optional(is_count),
    "full_at": _optional(is_count),
    "rank": _optional(_is_rank),
}
