"""How many points of a ResNet-18's surface are computed in a second, by one worker and by two.

    python tests/benchmarks/workers.py [--rounds 5] [--side 5]

One worker has one thread; two workers have one each. For honesty there is also one worker with as many threads as two
workers have. All three live throughout and are asked in turn, so that what else the machine does falls on all alike;
medians are of the rounds. The images are random numbers: what a point costs does not depend on what they show.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import torch
from torch import nn

import explainer
from explainer.lessons.vision import torchvision
from explainer.sampler.processes import Processes

CREWS = {"one worker": (1, 1), "two workers": (2, 1), "one worker, two threads": (1, 2)}  # workers, threads of each


class ResNet(nn.Module):
    """torchvision's ResNet-18, for workers that cannot import torchvision beside a CPU torch by themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = torchvision().models.resnet18(num_classes=10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.inner(images)

    def __reduce__(self) -> tuple[Any, ...]:
        return ResNet, (), self.state_dict()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.load_state_dict(state)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--side", type=int, default=5, help="points along a side of the surface")
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--pixels", type=int, default=64)
    chosen = parser.parse_args()
    torch.manual_seed(0)
    model = ResNet()
    data = torch.randn(chosen.images, 3, chosen.pixels, chosen.pixels), torch.randint(10, (chosen.images,))
    crews = {name: Processes(workers, threads=threads) for name, (workers, threads) in CREWS.items()}
    speeds: dict[str, list[float]] = {name: [] for name in crews}
    try:
        for number in range(chosen.rounds + 1):
            for name, crew in crews.items():
                speed = points_per_second(model, data, crew, chosen.side)
                if number:  # the first sends the model and finds out how to compute it
                    speeds[name].append(speed)
    finally:
        for crew in crews.values():
            crew.shutdown()
    one = statistics.median(speeds["one worker"])
    print(f"ResNet-18, {chosen.images} images of 3×{chosen.pixels}×{chosen.pixels}, {chosen.side}² points a round:")
    for name, found in speeds.items():
        middle = statistics.median(found)
        print(
            f"  {name:<24} {middle:7.2f} points/s  {middle / one:5.2f} ×  (rounds {min(found):.2f} to {max(found):.2f})"
        )


def points_per_second(model: nn.Module, data: Any, crew: Processes, side: int) -> float:
    """Time a whole call, the sending of the model's name and the collecting of the points included."""
    began = time.perf_counter()
    explainer.loss_surface(
        model, nn.CrossEntropyLoss(), data, plane="random", resolution=side, executor=crew, progress=False
    )
    return side**2 / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
