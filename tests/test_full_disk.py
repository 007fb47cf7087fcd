"""The disk filling up at a random moment: training goes on, bitwise the same, and what was finished opens."""

from __future__ import annotations

import errno
import os
import random
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import explainer
from explainer.errors import ExplainerWarning
from tests.networks import mlp, seeded, train

STEPS = 40


class Disk:
    """A disk with room for some bytes; every write of the library comes through here."""

    def __init__(self, room: int, patch: pytest.MonkeyPatch) -> None:
        self.room = room
        write, write_text = os.write, Path.write_text

        def limited(descriptor: int, data: Any) -> int:
            view = memoryview(data).cast("B")
            if self.room <= 0 and len(view):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            fits = view[: self.room]  # a disk that is nearly full takes what it can, and says how much
            self.room -= len(fits)
            return write(descriptor, fits)

        def limited_text(path: Path, text: str, *args: Any, **kwargs: Any) -> int:
            if len(text) > self.room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.room -= len(text)
            return write_text(path, text, *args, **kwargs)

        patch.setattr(os, "write", limited)
        patch.setattr(Path, "write_text", limited_text)


def weights(model: nn.Module) -> list[torch.Tensor]:
    return [each.detach().clone() for each in model.state_dict().values()]


@pytest.mark.slow
def test_fifty_full_disks_cost_the_training_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("explainer.writer._SHARD_BYTES", 8000)
    monkeypatch.setattr("explainer.writer._LARGE_SHARD_BYTES", 8000)
    bare, criterion = seeded(mlp), nn.CrossEntropyLoss()
    losses = train(bare, criterion, torch.optim.SGD(bare.parameters(), lr=0.1), steps=STEPS)
    moments = random.Random(5)
    kept = 0
    for number in range(50):
        folder, model = tmp_path / f"run{number}", seeded(mlp)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with explainer.record(model, folder, criterion=criterion, optimizer=optimizer) as recorder:
                Disk(moments.randrange(100, 60_000), patch)
                seen = train(model, criterion, optimizer, steps=STEPS)
        assert seen == losses
        assert all(torch.equal(one, other) for one, other in zip(weights(bare), weights(model), strict=True))
        assert [each.category for each in caught] == [ExplainerWarning]
        assert isinstance(recorder.failure, OSError)
        assert recorder.failure.errno == errno.ENOSPC
        assert not list(folder.glob(".*.unfinished"))
        trace = explainer.open_trace(folder)
        assert not trace.finished
        assert trace.steps.tolist() == list(range(len(trace)))
        for tensors in trace.parameters.values():
            assert all(part.size for part in tensors)
        kept += len(trace)
    assert 0 < kept < 50 * STEPS
