"""`kill -9` at random moments: what was finished opens and is right, and nothing half-written is taken for whole.

Thirty runs of each size are killed; with `--thorough` a hundred.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import explainer

KILLS, THOROUGHLY = 30, 100  # of each size
SIZES = {"small": (6, 8_000), "large": (600, 200_000)}  # width of the network, bytes of a shard
KINDS = ("activations", "gradients", "parameters", "parameter_gradients", "updates")


def train(folder: Path | None, width: int, steps: int) -> explainer.Trace | None:
    """A run in which every number depends on the step only."""
    torch.set_num_threads(1)
    torch.manual_seed(1)
    model, criterion = nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, width)), nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    recorder = explainer.record(model, folder, criterion=criterion, optimizer=optimizer, max_bytes=10**12)
    with recorder:
        for _ in range(steps):
            optimizer.zero_grad()
            criterion(model(torch.randn(4, 8)), torch.zeros(4, width)).backward()
            optimizer.step()
    return recorder.trace if folder is None else None


def start(folder: Path, width: int, shard_bytes: int) -> int:
    """Train in a child process, which has nothing to import any more."""
    sys.stdout.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch's idle threads stay behind in the parent
        child = os.fork()
    if child == 0:
        try:
            explainer.writer._SHARD_BYTES = explainer.writer._LARGE_SHARD_BYTES = shard_bytes
            train(folder, width, 10**9)
        finally:
            os._exit(1)
    return child


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_every_killed_run_opens_and_holds_every_finished_shard(tmp_path: Path, size: str, thorough: bool) -> None:
    width, shard_bytes = SIZES[size]
    kills = THOROUGHLY if thorough else KILLS
    moments = random.Random(3)
    truth: explainer.Trace | None = train(None, width, 8)
    assert truth is not None
    opened = whole = 0
    for number in range(kills):
        folder = tmp_path / f"run{number}"
        child = start(folder, width, shard_bytes)
        # One in ten is killed at once, when perhaps nothing stands there yet; three in ten in their first steps.
        awaited = ["", *["trace.json"] * 3, *["[0-9]*.safetensors"] * 6][number % 10]
        deadline = time.monotonic() + 30
        while awaited and not any(folder.glob(awaited)) and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(moments.uniform(0, 0.05))
        os.kill(child, signal.SIGKILL)
        assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
        if not (folder / "trace.json").exists():
            with pytest.raises(explainer.TraceError, match=r"is not a trace|no such folder"):
                explainer.open_trace(folder)
            continue
        opened += 1
        shards = len(list(folder.glob("[0-9]*.safetensors")))
        whole += shards
        trace = explainer.open_trace(folder)
        assert (trace.finished, bool(len(trace))) == (False, bool(shards))
        assert trace.steps.tolist() == list(range(len(trace)))
        assert len(trace.scalars["loss"]) == len(trace) if shards else True
        for kind in KINDS if shards else ():
            for name, tensors in getattr(trace, kind).items():
                every = getattr(truth, kind)[name]
                for index in {*range(len(trace))[:8], *range(len(trace))[-8:]}:  # held against their checksums too
                    found = tensors[index]
                    if index < len(truth):
                        np.testing.assert_array_equal(found, every[index], err_msg=f"{kind} {name} {index}")
        for path in folder.iterdir():
            path.unlink()
    assert opened > kills / 2
    assert whole > kills / 2
