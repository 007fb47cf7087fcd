"""What a long recording leaves in memory: python tests/benchmarks/leaks.py [--steps 20000]

Trains a tiny network, and prints at ten points of the run: resident memory and what Python allocated (in MB, the latter
by tracemalloc), how many objects and tensors there are, open files, threads, and the MB of a trace in memory.
Bare and on disk all of it should stand still from the second point on; in memory it grows by what the trace holds.
"""

from __future__ import annotations

import argparse
import gc
import tempfile
import threading
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

import explainer

POINTS = 10
WAYS: dict[str, dict[str, Any]] = {
    "bare": {},
    "on disk, everything": {"path": "run"},
    "on disk, every=10": {"path": "run", "every": 10},
    "on disk, keep=()": {"path": "run", "keep": ()},
    "in memory, keep=()": {"keep": ()},
}


def resident() -> float:
    """Resident memory of this process in MB; 0 where the system does not say."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0.0
    return next(int(line.split()[1]) / 1e3 for line in status.read_text().splitlines() if line.startswith("VmRSS"))


def open_files() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


def look(step: int, recorder: Any) -> None:
    gc.collect()
    objects = gc.get_objects()
    tensors = sum(type(each) in (torch.Tensor, nn.Parameter) for each in objects)
    shards = recorder._writer.shards if recorder is not None else []
    kept = sum(array.nbytes for shard in shards for array in shard._arrays.values())
    print(
        f"  {step:>8,} {resident():>9.1f} {tracemalloc.get_traced_memory()[0] / 1e6:>9.2f} {len(objects):>9,}"
        f" {tensors:>8,} {open_files():>6} {threading.active_count():>8} {kept / 1e6:>7.1f}",
        flush=True,
    )


def run(options: dict[str, Any] | None, steps: int) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=0.01)
    inputs, targets = torch.randn(16, 8), torch.arange(16) % 4

    def train(recorder: Any) -> None:
        for step in range(steps):
            optimizer.zero_grad()
            criterion(model(inputs), targets).backward()
            optimizer.step()
            if (step + 1) % (steps // POINTS) == 0:
                look(step + 1, recorder)

    tracemalloc.start()
    if options is None:
        train(None)
    else:
        with explainer.record(model, criterion=criterion, optimizer=optimizer, **options) as recorder:
            train(recorder)
        recorder = None
    tracemalloc.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--only", nargs="*", choices=WAYS, default=list(WAYS))
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    for name in asked.only:
        print(name)
        print("      step  resident    python   objects  tensors  files  threads   trace")
        with tempfile.TemporaryDirectory() as folder:
            options = dict(WAYS[name])
            if "path" in options:
                options["path"] = Path(folder) / options["path"]
            run(None if name == "bare" else options, asked.steps)
        gc.collect()
        print(f"  after: {resident():.1f} MB resident, {open_files()} files, {threading.active_count()} threads")


if __name__ == "__main__":
    main()
