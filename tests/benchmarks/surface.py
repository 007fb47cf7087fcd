"""What a loss surface costs: `python tests/benchmarks/surface.py [net cnn] [--rounds 5] [--resolution 51]`.

A 64→64→10 network and a small CNN, trained on scikit-learn's 1,797 digits for 20 and 10 epochs, and the loss of all of
them around it, from call to finished grid: `explainer.loss_surface(plane="random")`, exact and within a tolerance,
beside loss-landscapes' `random_plane` as its README calls it, and a plain loop over `torch.func.functional_call`. Each
runs once a round, in another order every time, so that a noisy machine disturbs all alike. Prints medians over the
rounds and how many times sooner each is than loss-landscapes; the largest relative error of the interpolated grid over
all points; and the multiplications that a plain loop does in the layers, per second, as a share of what one large
matrix product reaches: more than all of it where the first layer's are not done at every point.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

import explainer

TOLERANCE = 0.005
PEER, PLAIN, EXACT, NEAR = "loss-landscapes", "functional_call loop", "explainer, exact", f"explainer, {TOLERANCE=}"


@dataclass
class Case:
    """A trained network whose surface is measured."""

    title: str
    model: nn.Module
    inputs: torch.Tensor
    targets: torch.Tensor
    held_to: dict[str, float]


def net() -> Case:
    return trained(
        "64→64→10 net",
        lambda: nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)),
        (64,),
        {EXACT: 1.3, NEAR: 12},
        20,
    )


def cnn() -> Case:
    return trained(
        "small CNN",
        lambda: nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(64, 10),
        ),
        (1, 8, 8),
        {EXACT: 1.5, NEAR: 12},
        10,
    )


def trained(
    title: str, make: Callable[[], nn.Module], shape: tuple[int, ...], held_to: dict[str, float], epochs: int
) -> Case:
    digits = load_digits()
    inputs = torch.tensor(digits.data / 16, dtype=torch.float32).reshape(-1, *shape)
    targets = torch.tensor(digits.target)
    torch.manual_seed(0)
    model, criterion = make(), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(epochs):
        for chosen in torch.randperm(len(inputs)).split(64):
            optimizer.zero_grad()
            criterion(model(inputs[chosen]), targets[chosen]).backward()
            optimizer.step()
    return Case(title, model.eval(), inputs, targets, held_to)


def peer(case: Case, resolution: int) -> Any:
    """As in the example of its README, steps and data ours."""
    import loss_landscapes

    metric = loss_landscapes.metrics.Loss(nn.CrossEntropyLoss(), case.inputs, case.targets)
    return loss_landscapes.random_plane(
        case.model, metric, distance=1, steps=resolution, normalization="filter", deepcopy_model=True
    )


def plain(case: Case, resolution: int) -> Any:
    """What one writes without any tool; the directions are not filter-normalised, which costs nothing."""
    center = {name: each.detach() for name, each in case.model.named_parameters()}
    first, second = ({name: 0.1 * torch.randn_like(each) for name, each in center.items()} for _ in range(2))
    criterion, losses = nn.CrossEntropyLoss(), np.empty((resolution, resolution))
    axis = np.linspace(-1, 1, resolution).tolist()
    with torch.no_grad():
        for row, v in enumerate(axis):
            for column, u in enumerate(axis):
                weights = {name: each + u * first[name] + v * second[name] for name, each in center.items()}
                outputs = functional_call(case.model, weights, (case.inputs,))
                losses[row, column] = criterion(outputs, case.targets)
    return losses


def ours(tolerance: float | None) -> Callable[[Case, int], Any]:
    def measured(case: Case, resolution: int) -> Any:
        return explainer.loss_surface(
            case.model,
            nn.CrossEntropyLoss(),
            (case.inputs, case.targets),
            plane="random",
            resolution=resolution,
            tolerance=tolerance,
            progress=False,
        )

    return measured


WAYS: dict[str, Callable[[Case, int], Any]] = {PEER: peer, PLAIN: plain, EXACT: ours(None), NEAR: ours(TOLERANCE)}


def measure(case: Case, ways: dict[str, Callable[[Case, int], Any]], rounds: int, resolution: int) -> dict[str, Any]:
    """Return the seconds of each way, one a round, and the last results."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    found = {}
    for way in ways.values():
        way(case, 5)  # warms up
    for _ in range(rounds):
        for name, way in random.sample(list(ways.items()), len(ways)):
            start = time.perf_counter()
            found[name] = way(case, resolution)
            seconds[name].append(time.perf_counter() - start)
    return {name: (statistics.median(seconds[name]), found[name]) for name in ways}


def peak() -> float:
    """Return the operations per second that a large matrix product reaches."""
    side, seconds = 2048, []
    first, second = torch.randn(side, side), torch.randn(side, side)
    for _ in range(7):
        start = time.perf_counter()
        first @ second
        seconds.append(time.perf_counter() - start)
    return 2 * side**3 / statistics.median(seconds)


def operations(case: Case) -> int:
    """Return the operations of one plain pass, a multiplication and an addition being two."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        case.model(case.inputs)
    return counter.get_total_flops()


def report(case: Case, found: dict[str, Any], resolution: int) -> None:
    base = found[PEER][0] if PEER in found else found[PLAIN][0]
    reached = peak()
    for name, (seconds, result) in found.items():
        line = f"  {name:26} {seconds:8.3f} s   {base / seconds:6.2f} × as soon"
        if name in case.held_to:
            line += f", held to {case.held_to[name]:4}"
        if name != NEAR:
            line += f"   {operations(case) * resolution**2 / seconds / reached:6.1%} of the matrix product's peak"
        else:
            exact = found[EXACT][1].losses
            error = np.abs(result.losses / exact - 1).max()
            line += f"   {int(result.evaluated.sum())} evaluated; largest error {error:.3%}, seen {result.worst:.3%}"
        print(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", default=["net", "cnn"], help="net, cnn")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--resolution", type=int, default=51)
    arguments = parser.parse_args()
    ways = dict(WAYS)
    if not find_spec("loss_landscapes"):
        del ways[PEER]
        print("loss-landscapes is not installed, and not measured: pip install 'explainer[benchmarks]'")
    for name in arguments.cases:
        case = {"net": net, "cnn": cnn}[name]()
        side, threads = arguments.resolution, torch.get_num_threads()
        print(f"{case.title}, {side}×{side}, {arguments.rounds} rounds, {threads} threads")
        report(case, measure(case, ways, arguments.rounds, side), side)


if __name__ == "__main__":
    main()
