"""Small networks and training loops that several tests record."""

from collections.abc import Callable

import torch
from torch import nn


class Residual(nn.Module):
    """A convolutional network with in-place activations, in-place residual addition, batch norm and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.act = nn.ReLU(inplace=True)
        self.block = nn.Conv2d(4, 4, 3, padding=1)
        self.act2 = nn.ReLU(inplace=True)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.flat = nn.Flatten()
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act(self.norm(self.stem(x)))
        shortcut = x.clone()
        x = self.block(x)
        x += shortcut
        return self.head(self.drop(self.flat(self.pool(self.act2(x)))))


def mlp() -> nn.Sequential:
    """5 → 6 → 3 with an in-place ReLU."""
    return nn.Sequential(nn.Linear(5, 6), nn.ReLU(inplace=True), nn.Linear(6, 3))


def batch_for(model: nn.Module, step: int, size: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a batch that depends on the step only."""
    generator = torch.Generator().manual_seed(100 + step)
    shape = (size, 1, 6, 6) if isinstance(model, Residual) else (size, 5)
    return torch.randn(shape, generator=generator), torch.randint(0, 3, (size,), generator=generator)


def train(
    model: nn.Module,
    criterion: nn.Module,
    optimizer: torch.optim.Optimizer,
    steps: int = 6,
    *,
    micro_batches: int = 1,
    size: int = 12,
    after_step: Callable[[int], None] = lambda step: None,
) -> list[float]:
    """Train as people do; returns the losses."""
    losses = []
    for step in range(steps):
        inputs, targets = batch_for(model, step, size)
        optimizer.zero_grad()
        for part, answer in zip(inputs.chunk(micro_batches), targets.chunk(micro_batches), strict=True):
            loss = criterion(model(part), answer) / micro_batches
            loss.backward()
            losses.append(loss.item())
        optimizer.step()
        after_step(step)
    return losses


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    """Return a model whose weights, and the dropout after it, are the same every time."""
    torch.manual_seed(7)
    return make()
