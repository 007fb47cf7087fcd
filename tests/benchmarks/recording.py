"""What recording costs: `python tests/benchmarks/recording.py [--rounds 9] [--steps 460] [--only …]`.

Trains the lecture's network on scikit-learn's digits, bare and recorded in several ways, each once a round, in another
order every time, so that a noisy machine disturbs all alike. Prints wall-clock ratios to the bare run (medians over the
rounds), closing the trace included, beside TensorBoard's histograms of the same tensors and the limit: copying and
writing the same bytes and nothing else.
"""

import argparse
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import explainer
from explainer.lessons import digits

Run = tuple[nn.Module, nn.Module, torch.optim.Optimizer]


def train(run: Run, data: digits.Images, steps: int, after_backward: Callable[[], None] = lambda: None) -> None:
    """Train as the lesson does."""
    network, criterion, optimizer = run
    for inputs, targets in digits.batches(data, 64, steps, seed=0):
        optimizer.zero_grad()
        loss = criterion(network(inputs), targets)
        loss.backward()
        after_backward()
        optimizer.step()


def fresh() -> Run:
    """Return the lecture's network, its loss and its optimizer."""
    network = digits.model(0)
    return network, nn.NLLLoss(), torch.optim.SGD(network.parameters(), lr=0.05)


@contextmanager
def recorded(run: Run, folder: Path, **options: Any) -> Iterator[None]:
    """Record into a folder."""
    network, criterion, optimizer = run
    with explainer.record(network, folder / "trace", criterion=criterion, optimizer=optimizer, **options) as recorder:
        yield
    if recorder.failure is not None:
        raise recorder.failure


class Limit:
    """Copies and writes as many bytes as a recorder that keeps everything, and does nothing else."""

    def __init__(self, run: Run, folder: Path) -> None:
        self._parameters = list(run[0].parameters())
        self._small = np.empty(8 * (784 + 2 * (128 + 128 + 64 + 64 + 10 + 10)), np.float32)
        count = sum(parameter.numel() for parameter in self._parameters)
        self._room = np.empty((12, 2 * count + len(self._small)), np.float32)
        self._row = 0
        self._file = open(folder / "limit", "wb", buffering=0)  # noqa: SIM115  (closed by close)

    def __call__(self) -> None:
        row = torch.from_numpy(self._room[self._row])
        start = 0
        for parameter in self._parameters:
            for tensor in (parameter.detach(), parameter.grad):
                assert tensor is not None
                row[start : start + tensor.numel()].copy_(tensor.reshape(-1))
                start += tensor.numel()
        self._room[self._row, start:] = self._small
        self._row += 1
        if self._row == len(self._room):
            self._file.write(self._room)
            self._row = 0

    def close(self) -> None:
        """Write the rest."""
        self._file.write(self._room[: self._row])
        self._file.close()


def bare(folder: Path, data: digits.Images, steps: int) -> None:
    """Only train."""
    train(fresh(), data, steps)


def with_options(**options: Any) -> Callable[[Path, digits.Images, int], None]:
    """Train under a recorder."""

    def measured(folder: Path, data: digits.Images, steps: int) -> None:
        run = fresh()
        with recorded(run, folder, **options):
            train(run, data, steps)

    return measured


def limit(folder: Path, data: digits.Images, steps: int) -> None:
    """Train, and copy and write the same bytes."""
    run = fresh()
    writer = Limit(run, folder)
    train(run, data, steps, writer)
    writer.close()


def tensorboard(folder: Path, data: digits.Images, steps: int) -> None:
    """Train, with `add_histogram` of every tensor that a recorder has statistics of."""
    from torch.utils.tensorboard import SummaryWriter

    run = fresh()
    network = run[0]
    writer = SummaryWriter(str(folder))
    step = 0
    seen: dict[str, torch.Tensor] = {}

    def listen(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: torch.Tensor) -> None:
            seen[f"activations/{name}"] = output.detach()
            output.register_hook(lambda gradient: seen.__setitem__(f"gradients/{name}", gradient))

        return hook

    for name, layer in network.named_children():
        layer.register_forward_hook(listen(name))

    def write() -> None:
        nonlocal step
        for name, parameter in network.named_parameters():
            seen[f"parameters/{name}"] = parameter.detach()
            assert parameter.grad is not None
            seen[f"parameter_gradients/{name}"] = parameter.grad
            seen[f"updates/{name}"] = parameter.grad
        for name, tensor in seen.items():
            writer.add_histogram(name, tensor, step)
        step += 1

    train(run, data, steps, write)
    writer.close()


def in_memory(folder: Path, data: digits.Images, steps: int) -> None:
    """Train under a recorder that keeps everything in memory."""
    network, criterion, optimizer = run = fresh()
    with explainer.record(network, criterion=criterion, optimizer=optimizer):
        train(run, data, steps)


WAYS = {
    "bare": bare,
    "statistics alone": with_options(keep=()),
    "everything kept, every=10": with_options(every=10),
    "everything kept, every step": with_options(),
    "… in memory": in_memory,
    "limit: copy and write the same bytes": limit,
    "TensorBoard add_histogram": tensorboard,
}
TARGETS = {"statistics alone": 2.2, "everything kept, every=10": 1.25, "everything kept, every step": 3.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=460)
    parser.add_argument("--only", nargs="*", help="beginnings of names; bare is always measured")
    arguments = parser.parse_args()
    data = digits.images()
    chosen = {
        name: way
        for name, way in WAYS.items()
        if name == "bare" or arguments.only is None or name.startswith(tuple(arguments.only))
    }
    try:
        import tensorboard as _  # noqa: F401
    except ImportError:
        if chosen.pop("TensorBoard add_histogram", None):
            print("TensorBoard is not installed, and not measured: pip install 'explainer[benchmarks]'")
    seconds: dict[str, list[float]] = {name: [] for name in chosen}
    for turn in range(arguments.rounds + 1):  # the first warms up
        for name, way in random.sample(list(chosen.items()), len(chosen)):  # what ran before leaves warm memory behind
            few = name.startswith("TensorBoard")
            if few and turn > 2:
                continue
            steps = arguments.steps // 10 if few else arguments.steps
            folder = Path(tempfile.mkdtemp())
            start = time.perf_counter()
            way(folder, data, steps)
            if turn:
                seconds[name].append((time.perf_counter() - start) / steps)
            shutil.rmtree(folder)
    base = statistics.median(seconds["bare"])
    print(f"lecture's network, batch 64, {arguments.steps} steps, {arguments.rounds} rounds")
    for name, measured in seconds.items():
        held = f"   held to {TARGETS[name]}" if name in TARGETS else ""
        middle = statistics.median(measured)
        print(f"  {name:40} {1e3 * middle:7.3f} ms a step   × {middle / base:5.2f}{held}")


if __name__ == "__main__":
    main()
