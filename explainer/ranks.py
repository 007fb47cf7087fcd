"""The recordings of several processes as one trace: what `torch.nn.parallel.DistributedDataParallel` trains.

Each process, or rank, records into a folder of its own beside the others, `rank0`, `rank1`, …; each is a trace. As one:

    steps                   those that every rank recorded
    activations, gradients, inputs, targets, criterion, probe
                            joined along the example axis in the order of the ranks. A gradient is that of its own
                            rank's loss: the gradient of the mean loss is the number of ranks smaller.
    parameters, parameter_gradients, updates
                            rank 0's. All ranks hold the same (gradients are averaged before the optimizer's step);
                            where they do not, reading raises TraceError with rank, name and step.
    scalars                 the mean over the ranks that have them, so the loss is that of the whole batch where
                            ranks have batches of one size
    statistics              of the whole batch, merged from each rank's; of parameters rank 0's, checked as above
    events                  rank 0's
    missing                 what any rank misses, with the rank where they differ
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from explainer.errors import TraceError
from explainer.folder import read_folder
from explainer.recordings import Steps, join
from explainer.statistics import STATISTICS
from explainer.storage import Array, Shard

_SHARED = ("parameters", "parameter_gradients", "updates")  # the kinds that all ranks have alike


def read_trace(folder: Path, known: Sequence[Shard] = ()) -> tuple[list[Shard], dict[str, Any]]:
    """Read a folder that one process recorded, or the folders of all ranks in it.

    Args:
        known: What was read before; what still lies there is not read again.

    Returns:
        The shards in the order of their steps, and what `trace.json` says.

    Raises:
        TraceError: There is no trace, or a part of it is missing, damaged, or of another run.
    """
    if not folder.is_dir():
        raise TraceError(f"{folder}: there is no such folder; a trace is the folder that explainer.record wrote")
    found = {} if (folder / "trace.json").is_symlink() or (folder / "trace.json").exists() else _rank_folders(folder)
    if not found:
        return read_folder(folder, known)
    before = [rank.shards for shard in known if isinstance(shard, JoinedRanks) for rank in shard.ranks]
    ranks: list[Steps] = []
    abouts: list[dict[str, Any]] = []
    while not abouts or len(abouts) < abouts[0]["rank"]["of"]:
        number = len(abouts)
        if number not in found:
            raise TraceError(
                f"{folder}: there is no rank{number}, only {', '.join(map(str, found.values()))}; copy "
                "its folder here, or open another rank alone"
            )
        shards, about = read_folder(found[number], before[number] if number < len(before) else ())
        _check_rank(folder, number, about, abouts)
        abouts.append(about)
        ranks.append(Steps())
        ranks[-1].take(shards, about)
    return [JoinedRanks(ranks, folder)], _joined(abouts)


class JoinedRanks(Shard):
    """The steps that several ranks recorded, read as one shard.

    Args:
        ranks: What each rank recorded.
        folder: Where, for messages.
    """

    def __init__(self, ranks: Sequence[Steps], folder: Path) -> None:
        self.ranks, self._folder = ranks, folder
        common = set.intersection(*(set(rank.numbers) for rank in ranks))
        self.steps = [step for step in ranks[0].numbers if step in common]
        self._places = [{step: index for index, step in enumerate(rank.numbers) if step in common} for rank in ranks]
        self._holding: dict[str, dict[str, list[int]]] = {}  # by kind and name: the ranks that kept it
        self._merged: dict[str, dict[str, Array]] = {}

    def kept(self, kind: str) -> list[str]:
        """Return the names of which any rank holds tensors of a kind."""
        return list(self._holders(kind))

    def tensor(self, kind: str, name: str, step: int) -> Array | None:
        """Return one step's tensor of all ranks that keep it, or None where one of them did not.

        Raises:
            TraceError: It should be the same on all ranks, and is not.
        """
        holders = self._holders(kind).get(name, [])
        parts = [self.ranks[rank].tensor(kind, name, self._places[rank][step]) for rank in holders]
        known = [part for part in parts if part is not None]
        if not known or len(known) < len(parts):
            return None
        if kind not in _SHARED:
            return join([np.atleast_1d(part) for part in known], f"{kind} of {name!r} at step {step} on several ranks")
        for rank, part in zip(holders, known, strict=True):
            if not _same(known[0], part):
                self._differ(kind, name, step, holders[0], rank)
        return known[0]

    def shape(self, kind: str, name: str, step: int) -> tuple[int, ...] | None:
        """Return the shape of what `tensor` returns, without reading it."""
        holders = self._holders(kind).get(name, [])
        shapes = [self.ranks[rank].shape(kind, name, self._places[rank][step]) for rank in holders]
        known = [shape for shape in shapes if shape is not None]
        if not known or len(known) < len(shapes):
            return None
        if kind in _SHARED:
            return known[0]
        known = [shape or (1,) for shape in known]
        if len(set(map(len, known))) > 1:
            raise TraceError(f"{kind} of {name!r} at step {step}: ranks differ in the number of dimensions {known}")
        return sum(shape[0] for shape in known), *map(max, zip(*(shape[1:] for shape in known), strict=True))

    def constant(self, name: str) -> Array | None:
        """Return what is the same for the whole run, of all ranks that have it."""
        parts = [part for rank in self.ranks if (part := rank.constant(name)) is not None]
        return join([np.atleast_1d(part) for part in parts], name) if parts else None

    def names(self, table: str) -> list[str]:
        """Return the names of a table's columns on any rank."""
        return list(dict.fromkeys(name for rank in self.ranks for name in rank.columns(table)))

    def tables(self, family: str) -> list[str]:
        """Return the kinds of which any rank has a table of a family."""
        return list(dict.fromkeys(kind for rank in self.ranks for kind in rank.tables(family)))

    def columns(self, table: str) -> dict[str, Array]:
        """Return a table's columns by name, merged over the ranks."""
        if table not in self._merged:
            self._merged[table] = {name: self._merge(table, name) for name in self.names(table)}
        return self._merged[table]

    def events(self) -> list[list[str]]:
        """Return what happened in each step on rank 0, in its order."""
        rows = [row for shard in self.ranks[0].shards for row in shard.events()]
        return [rows[index] for index in self._places[0].values()]

    def _holders(self, kind: str) -> dict[str, list[int]]:
        if kind not in self._holding:
            found: dict[str, list[int]] = {}
            for number, rank in enumerate(self.ranks):
                for name in rank.names(kind):
                    found.setdefault(name, []).append(number)
            self._holding[kind] = found
        return self._holding[kind]

    def _merge(self, table: str, name: str) -> Array:
        holders = [number for number, rank in enumerate(self.ranks) if name in rank.columns(table)]
        columns = [self.ranks[rank].column(table, name)[list(self._places[rank].values())] for rank in holders]
        rows = np.stack(columns)  # (rank, step) or (rank, step, statistic)
        kind = table.partition("/")[2]
        if not kind:
            with np.errstate(all="ignore"):
                mean: Array = np.where((rows == rows[0]).all(axis=0), rows[0], rows.mean(axis=0))
            return mean
        if kind not in _SHARED:
            return merged_statistics(rows)
        own = rows[..., [STATISTICS.index(each) for each in ("norm", "max_abs", "nonfinite")]]
        same = np.isclose(own, own[0], rtol=1e-5, atol=0, equal_nan=True).all(axis=-1)
        if not same.all():
            rank, index = np.argwhere(~same)[0].tolist()
            self._differ(kind, name, self.steps[index], holders[0], holders[rank])
        return columns[0]

    def _differ(self, kind: str, name: str, step: int, first: int, second: int) -> None:
        raise TraceError(
            f"{self._folder}: ranks {first} and {second} have different {kind} of {name!r} at step {step}, so they did "
            f"not train one model; open each rank alone, such as {self._folder / f'rank{second}'}"
        )


def _same(first: Array, second: Array) -> bool:
    if first.shape != second.shape or first.dtype != second.dtype:
        return False
    return bool(((first == second) | ((first != first) & (second != second))).all())  # a NaN equals a NaN


def merged_statistics(rows: Array) -> Array:
    """Merge the statistics of the parts of a batch into those of the whole.

    How many elements a part had is not stored; it follows from norm² = n (std² + mean²). Where all elements are zero
    it does not, and is taken to be that of another part.

    Args:
        rows: (part, …, 7) in the order of `STATISTICS`; a row of NaN stands for a part that was not seen.

    Returns:
        (…, 7); NaN where no part was seen.
    """
    mean, std, abs_mean, norm, max_abs, zero_fraction, nonfinite = np.moveaxis(rows, -1, 0)
    with np.errstate(all="ignore"):  # infinities and NaN are what is to be reported, not a warning
        counts = np.rint((norm / max_abs) ** 2 / ((std / max_abs) ** 2 + (mean / max_abs) ** 2))
        known = np.isfinite(counts)
        other = np.where(known, counts, 0).max(axis=0)
        seen = ~np.isnan(nonfinite) & ~(np.isnan(mean) & (nonfinite == 0))  # the mean of no elements is NaN
        counts = np.where(seen, np.where(known, counts, np.maximum(other, 1)), 0)

        def average(values: Array) -> Array:
            mean_of_all: Array = np.where(seen, counts * values, 0).sum(axis=0) / counts.sum(axis=0)
            return mean_of_all

        whole = average(mean)
        found = [
            whole,
            np.sqrt(average(std**2 + (mean - whole) ** 2)),
            average(abs_mean),
            np.sqrt(np.where(seen, norm**2, 0).sum(axis=0)),
            np.where(seen, max_abs, 0).max(axis=0),
            average(zero_fraction),
            np.where(seen, nonfinite, 0).sum(axis=0),
        ]
    joined: Array = np.where(np.isnan(nonfinite).all(axis=0)[..., None], np.nan, np.stack(found, axis=-1))
    return joined


def _rank_folders(folder: Path) -> dict[int, Path]:
    found = {
        int(path.name[4:]): path for path in folder.glob("rank*") if re.fullmatch(r"rank(0|[1-9]\d{0,8})", path.name)
    }
    for path in found.values():
        if path.is_symlink() or not path.is_dir():
            raise TraceError(f"{path} is no folder, but a link or a file; a trace is read only inside its folder")
    return dict(sorted(found.items()))


def _check_rank(folder: Path, number: int, about: Mapping[str, Any], before: Sequence[Mapping[str, Any]]) -> None:
    """Hold what a rank says of itself against its place and against rank 0."""
    first = before[0] if before else about
    said = about.get("rank")
    if said is None or said["rank"] != number or said["of"] != (first.get("rank") or said)["of"]:
        raise TraceError(
            f"{folder / f'rank{number}'} says that it is {_named(said)}, which does not fit beside rank 0, "
            f"{_named(first.get('rank'))}; a folder holds the ranks of one run"
        )
    if _weights(about["model"]) != _weights(first["model"]):
        raise TraceError(
            f"{folder}: ranks 0 and {number} recorded different models; a folder holds the ranks of one run"
        )


def _named(said: Mapping[str, int] | None) -> str:
    return "of no distributed run" if said is None else f"rank {said['rank']} of {said['of']}"


def _weights(model: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what ranks of one run have alike; which layers were called, and on how many examples, may differ."""
    parameters = {name: shape for layer in model["layers"].values() for name, shape in layer["parameters"].items()}
    return model["type"], model["parameter_count"], parameters


def _joined(abouts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Join what the ranks' trace.json say."""
    full = [about["full_at"] for about in abouts if about.get("full_at") is not None]
    return {
        **abouts[0],
        "layers": list(dict.fromkeys(layer for about in abouts for layer in about["layers"])),
        "missing": _missing([about["missing"] for about in abouts]),
        "aliases": {name: of for about in reversed(abouts) for name, of in about["aliases"].items()},
        "notes": {name: fact for about in reversed(abouts) for name, fact in about["notes"].items()},
        "full_at": min(full, default=None),
        "finished": all(about["finished"] for about in abouts),
        "ranks": len(abouts),
    }


def _missing(of_ranks: Sequence[Mapping[str, str]]) -> dict[str, str]:
    found = {}
    for name in dict.fromkeys(name for missing in of_ranks for name in missing):
        reasons = [missing.get(name) for missing in of_ranks]
        told = [f"rank {rank}: {reason}" for rank, reason in enumerate(reasons) if reason is not None]
        found[name] = told[0].partition(": ")[2] if len(set(reasons)) == 1 else "; ".join(told)
    return found
