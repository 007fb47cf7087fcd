"""What a figure costs: `python tests/benchmarks/figures.py [FIGURE...] [--rounds 3] [--steps 100000]`.

Each figure of a trace, drawn and rendered at slide size, of three runs: the lesson digits as it is recorded by default
(held to: under 0.5 s), a network of 200 layers, and a run of 100,000 steps (held to: under 2 s and 500 MB), which is a
recorded one of 500 over and over. A process of its own for each, forked from one that has matplotlib loaded and the
trace open, so that neither counts.
Prints the median of the seconds, and how much more memory than before the process had at its highest.
"""

import argparse
import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from torch import nn

import explainer
from explainer import lessons, plots
from explainer.errors import TraceError
from explainer.storage import Shard
from explainer.trace import Trace


def record(folder: Path, model: nn.Module, steps: int) -> Trace:
    """Record a run whose probe and data are points of a plane in two classes."""
    inputs = torch.randn(32, 2, generator=torch.Generator().manual_seed(0))
    targets = (inputs.prod(dim=1) > 0).long()
    criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=0.05)
    with explainer.record(
        model, folder, criterion=criterion, optimizer=optimizer, probe=(inputs[:8], targets[:8])
    ):
        for _ in range(steps):
            optimizer.zero_grad()
            criterion(model(inputs), targets).backward()
            optimizer.step()
    return explainer.open_trace(folder)


def deep() -> nn.Module:
    """200 layers: each second one a ReLU."""
    widths = [2, *[8] * 99, 2]
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers)


def shallow() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2))


class Later(Mapping[str, Any]):
    """A shard's arrays, recorded so many steps later than they were."""

    def __init__(self, arrays: Mapping[str, Any], by: int) -> None:
        self.arrays, self.by = arrays, by

    def __getitem__(self, key: str) -> Any:
        if key == "steps":
            return self.arrays[key] + self.by
        before, at, step = key.rpartition("@")
        return self.arrays[f"{before}@{int(step) - self.by}" if at else key]

    def __iter__(self) -> Iterator[str]:
        for key in self.arrays:
            before, at, step = key.rpartition("@")
            yield f"{before}@{int(step) + self.by}" if at else key

    def __len__(self) -> int:
        return len(self.arrays)


def over_and_over(trace: Trace, steps: int) -> Trace:
    """Return a trace of so many steps: those of a recorded one, repeated."""
    recorded, about = trace._steps.shards, trace._about
    shards = []
    for by in range(0, steps, len(trace)):
        for shard in recorded:
            arrays = Later(shard._arrays, by)
            shards.append(Shard(arrays, Shapes(arrays, shard), {"names": shard._names}))
    return Trace(shards, about)


class Shapes(Mapping[str, tuple[int, ...]]):
    """The shapes of a shard's arrays under their later names."""

    def __init__(self, arrays: Later, shard: Shard) -> None:
        self.arrays, self.shard = arrays, shard

    def __getitem__(self, key: str) -> tuple[int, ...]:
        before, at, step = key.rpartition("@")
        return self.shard._shapes[f"{before}@{int(step) - self.arrays.by}" if at else key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)


def cost(name: str, trace: Trace, answer: Connection) -> None:
    """Draw a figure and render it; answer with seconds and bytes, or with why it is not drawn."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    try:
        axes = plots.FIGURES[name].draw(trace)
        FigureCanvasAgg(axes.figure).draw()
    except TraceError as error:
        answer.send(str(error))
    else:
        more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        answer.send((time.perf_counter() - started, more * 1024))


def measured(name: str, trace: Trace, rounds: int) -> str:
    context = multiprocessing.get_context("fork")
    seconds, highest = [], 0
    for _ in range(rounds):
        ours, theirs = context.Pipe()
        process = context.Process(target=cost, args=(name, trace, theirs))
        process.start()
        theirs.close()
        found = ours.recv()
        process.join()
        if isinstance(found, str):
            return f"– {found[:24]}…"
        seconds.append(found[0])
        highest = max(highest, found[1])
    return f"{statistics.median(seconds):5.2f} s {highest / 1e6:5.0f} MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figures", nargs="*", default=[])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=100_000)
    options = parser.parse_args()
    names = [plots.find(name).name for name in options.figures] or [
        name for name, figure in plots.FIGURES.items() if figure.of in ("trace", "runs")
    ]
    with tempfile.TemporaryDirectory() as folder:
        traces = {
            "digits, default": lessons.record_lesson("digits", Path(folder) / "digits"),
            "200 layers": record(Path(folder) / "deep", deep(), 20),
            f"{options.steps:,} steps": over_and_over(record(Path(folder) / "long", shallow(), 500), options.steps),
        }
        plots.loss(traces["200 layers"])  # what is imported and laid out for the first time
        print(f"{'':24}" + "".join(f"{title:28}" for title in traces))
        for name in names:
            print(f"{name:24}" + "".join(f"{measured(name, trace, options.rounds):28}" for trace in traces.values()))


if __name__ == "__main__":
    main()
