"""What recording costs: `python tests/benchmarks/recording.py [lecture resnet18] [--rounds 9] [--only …]`.

Trains the lecture's network on scikit-learn's digits, and torchvision's resnet18 on noise (batch 16, 3×64×64), bare and
recorded in several ways, each once a round, in another order every time, so that a noisy machine disturbs all alike.
Prints wall-clock ratios to the bare run (medians over the rounds), closing the trace included, beside what other tools
take for the same tensors, and the limit: copying and writing the same bytes and nothing else.
"""

import argparse
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import explainer
from explainer.lessons import digits, vision

Batch = tuple[torch.Tensor, torch.Tensor]


@dataclass
class Case:
    """A training whose recording is measured."""

    title: str
    model: Callable[[], nn.Module]
    criterion: Callable[[], nn.Module]
    batches: Callable[[int], Iterable[Batch]]
    steps: int
    held_to: dict[str, float]
    few: int  # steps for tools that take long


def lecture() -> Case:
    data = digits.images()
    return Case(
        "lecture's network, batch 64",
        lambda: digits.model(0),
        nn.NLLLoss,
        lambda steps: digits.batches(data, 64, steps, seed=0),
        460,
        {STATISTICS: 1.6, TENTH: 1.1, EVERYTHING: 2.0},
        46,
    )


def resnet18() -> Case:
    models = vision.torchvision().models
    torch.manual_seed(0)
    batch = torch.randn(16, 3, 64, 64), torch.randint(0, 10, (16,))
    return Case(
        "resnet18, batch 16, 3×64×64",
        lambda: models.resnet18(num_classes=10),
        nn.CrossEntropyLoss,
        lambda steps: (batch for _ in range(steps)),
        20,
        {STATISTICS: 1.2, TENTH: 1.1, EVERYTHING: 2.0},
        2,
    )


@dataclass
class Run:
    """One run of a case: a fresh network, its loss, its optimizer, and somewhere to write."""

    case: Case
    steps: int
    folder: Path
    model: nn.Module = field(init=False)
    criterion: nn.Module = field(init=False)
    optimizer: torch.optim.Optimizer = field(init=False)

    def __post_init__(self) -> None:
        torch.manual_seed(0)
        self.model, self.criterion = self.case.model(), self.case.criterion()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01)

    def train(self, after_backward: Callable[[], None] = lambda: None) -> None:
        """Train as the lesson does."""
        for inputs, targets in self.case.batches(self.steps):
            self.optimizer.zero_grad()
            loss = self.criterion(self.model(inputs), targets)
            loss.backward()
            after_backward()
            self.optimizer.step()


def bare(run: Run) -> None:
    """Only train."""
    run.train()


def recorded(on_disk: bool = True, **options: Any) -> Callable[[Run], None]:
    """Train under a recorder."""

    def measured(run: Run) -> None:
        path = run.folder / "trace" if on_disk else None
        given = {"criterion": run.criterion, "optimizer": run.optimizer, "max_bytes": 1 << 40, **options}
        with explainer.record(run.model, path, **given) as recorder:
            run.train()
        if recorder.failure is not None:
            raise recorder.failure

    return measured


def limit(run: Run) -> None:
    """Train, and copy and write as many bytes as a recorder that keeps everything: weights and their gradients."""
    parameters = list(run.model.parameters())
    count = 2 * sum(parameter.numel() for parameter in parameters)
    room = np.empty((max(1, (12 << 20) // (4 * count)), count), np.float32)
    row = 0
    with open(run.folder / "limit", "wb", buffering=0) as file:

        def copy() -> None:
            nonlocal row
            target, start = torch.from_numpy(room[row]), 0
            for parameter in parameters:
                for tensor in (parameter.detach(), parameter.grad):
                    if tensor is not None:
                        target[start : start + tensor.numel()].copy_(tensor.reshape(-1))
                        start += tensor.numel()
            row += 1
            if row == len(room):
                file.write(room)
                row = 0

        run.train(copy)
        file.write(room[:row])


def tensorboard(run: Run) -> None:
    """Train, with `add_histogram` of every tensor that a recorder has statistics of."""
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(run.folder))
    step = 0
    seen: dict[str, torch.Tensor] = {}

    def listen(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: torch.Tensor) -> None:
            seen[f"activations/{name}"] = kept = output.detach().clone()
            output.register_hook(lambda gradient: seen.__setitem__(f"gradients/{name}", gradient.clone()))
            del kept

        return hook

    for name, layer in run.model.named_modules():
        if not any(layer.children()):
            layer.register_forward_hook(listen(name))

    def write() -> None:
        nonlocal step
        for name, parameter in run.model.named_parameters():
            seen[f"parameters/{name}"] = parameter.detach()
            seen[f"parameter_gradients/{name}"] = seen[f"updates/{name}"] = parameter.grad
        for name, tensor in seen.items():
            writer.add_histogram(name, tensor, step)
        step += 1

    run.train(write)
    writer.close()


def torchlens(run: Run) -> None:
    """Train, each forward and backward pass traced by torchlens, with all activations and gradients saved."""
    import torchlens as lens

    options = lens.options.CaptureOptions(save_grads=True)
    for inputs, targets in run.case.batches(run.steps):
        run.optimizer.zero_grad()
        trace = lens.trace(run.model, inputs, capture=options)
        trace.log_backward(run.criterion(trace[trace.output_layers[0]].out, targets))
        run.optimizer.step()


STATISTICS, TENTH, EVERYTHING = "statistics alone", "everything kept, every=10", "everything kept, every step"
WAYS: dict[str, Callable[[Run], None]] = {
    "bare": bare,
    STATISTICS: recorded(keep=()),
    TENTH: recorded(every=10),
    EVERYTHING: recorded(),
    "… in memory": recorded(on_disk=False),
    "limit: copy and write the same bytes": limit,
}
PEERS = {
    "TensorBoard add_histogram": ("tensorboard", tensorboard),
    "torchlens, trace + backward": ("torchlens", torchlens),
}


def measure(case: Case, ways: dict[str, Callable[[Run], None]], rounds: int) -> dict[str, list[float]]:
    """Return the seconds a step of each way, one a round."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):  # the first warms up
        for name, way in random.sample(list(ways.items()), len(ways)):  # what ran before leaves warm memory behind
            slow = name in PEERS
            if slow and turn > 2:
                continue
            steps = case.few if slow else case.steps
            folder = Path(tempfile.mkdtemp())
            run = Run(case, steps, folder)
            start = time.perf_counter()
            way(run)
            if turn:
                seconds[name].append((time.perf_counter() - start) / steps)
            shutil.rmtree(folder)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=["lecture", "resnet18"], help="lecture, resnet18")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, help="of a run; 460 and 20 when omitted")
    parser.add_argument("--only", nargs="*", help="beginnings of names; bare is always measured")
    arguments = parser.parse_args()
    ways = dict(WAYS)
    for name, (package, way) in PEERS.items():
        if find_spec(package):
            ways[name] = way
        else:
            print(f"{package} is not installed, and not measured: pip install 'explainer[benchmarks]'")
    if arguments.only is not None:
        ways = {name: way for name, way in ways.items() if name == "bare" or name.startswith(tuple(arguments.only))}
    for name in arguments.cases:
        case = {"lecture": lecture, "resnet18": resnet18}[name]()
        case.steps = arguments.steps or case.steps
        seconds = measure(case, ways, arguments.rounds)
        base = statistics.median(seconds["bare"])
        print(f"{case.title}, {case.steps} steps, {arguments.rounds} rounds, {torch.get_num_threads()} threads")
        for way_name, measured in seconds.items():
            held = f"   held to {case.held_to[way_name]}" if way_name in case.held_to else ""
            middle = statistics.median(measured)
            print(f"  {way_name:40} {1e3 * middle:8.3f} ms a step   × {middle / base:5.2f}{held}")


if __name__ == "__main__":
    main()
