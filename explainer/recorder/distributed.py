"""Recording in several processes at once: a folder per rank, made without one rank asking another.

No rank ever waits for another here, so that nothing the recorder does can bring a training to a standstill.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import torch

from explainer.errors import RecordingError
from explainer.writer import clear_folder, replace

_FOLDER = re.compile(r"rank(0|[1-9]\d*)")


@dataclass(frozen=True)
class Rank:
    """Which of the processes that train together this one is."""

    number: int
    of: int


def own_rank() -> Rank | None:
    """Return this process's rank; None where it trains alone."""
    processes = torch.distributed
    if not processes.is_available() or not processes.is_initialized() or processes.get_world_size() == 1:
        return None
    return Rank(processes.get_rank(), processes.get_world_size())


def take_place(path: Path, rank: Rank | None, *, overwrite: bool) -> Path:
    """Return the folder in which this process records, once nothing of another run stands beside it.

    Every rank sees alike what an earlier run left, save its own folder; of what is to be replaced, each rank clears
    its share.

    Raises:
        RecordingError: Something stands there that must not be replaced.
    """
    ranks = _rank_folders(path)
    if rank is None:
        if ranks and not overwrite:
            raise RecordingError(
                f"{path} holds a trace of several ranks already: choose another folder, or pass overwrite=True"
            )
        stale = list(ranks.values())
    else:
        _check_beside(path, rank, overwrite=overwrite)
        beyond = {number: folder for number, folder in ranks.items() if number >= rank.of}
        if beyond and not overwrite:
            raise RecordingError(
                f"{path} holds {', '.join(each.name for each in beyond.values())} of an earlier run already, and this "
                f"one has {rank.of} ranks: choose another folder, or pass overwrite=True"
            )
        stale = [folder for number, folder in beyond.items() if number % rank.of == rank.number]
    for folder in stale:
        _remove(folder)
    return path if rank is None else path / f"rank{rank.number}"


def _check_beside(path: Path, rank: Rank, *, overwrite: bool) -> None:
    """See to what lies beside the folders of the ranks: it may be a trace of one process, and nothing else."""
    if not path.is_dir() or all(_FOLDER.fullmatch(each.name) for each in path.iterdir()):
        return
    if overwrite and rank.number > 0:
        return  # rank 0 looks after it, and may have begun to
    replace(path, overwrite=overwrite)


def _remove(folder: Path) -> None:
    clear_folder(folder)
    try:
        folder.rmdir()
    except OSError as error:
        raise RecordingError(
            f"{folder}, of an earlier run, cannot be removed: {error.strerror}; choose another path"
        ) from error


def _rank_folders(path: Path) -> dict[int, Path]:
    if not path.is_dir():
        return {}
    found = {int(match[1]): each for each in path.iterdir() if (match := _FOLDER.fullmatch(each.name))}
    return {number: folder for number, folder in sorted(found.items()) if folder.is_dir() and not folder.is_symlink()}
