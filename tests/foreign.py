"""Other people's models, recorded as other people would: a ResNet-18, an LSTM, a small transformer."""

from __future__ import annotations

from typing import Any

import torch
import zoo
from torch import nn

import explainer
from explainer.trace import Trace


class Tagger(nn.Module):
    """Words → vectors → LSTM → a class for each sentence."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 8)
        self.lstm = nn.LSTM(8, 12, batch_first=True)
        self.head = nn.Linear(12, 3)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        states, _ = self.lstm(self.embedding(words))
        scores: torch.Tensor = self.head(states[:, -1])
        return scores


class Reader(nn.Module):
    """Words → vectors → two layers of attention → a class for each sentence."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 16)
        layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, 3)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.head(self.encoder(self.embedding(words)).mean(dim=1))
        return scores


def record(name: str, steps: int = 3) -> Trace:
    """Record one of "ResNet-18", "LSTM" or "transformer" for a few steps, with a probe of two examples."""
    torch.manual_seed(0)
    if name == "ResNet-18":
        model, (inputs,) = zoo.classifier("resnet18")
        targets = torch.tensor([1, 7, 1, 999])
    else:
        model = {"LSTM": Tagger, "transformer": Reader}[name]()
        inputs = torch.randint(0, 20, (6, 5), generator=torch.Generator().manual_seed(1))
        targets = torch.arange(6) % 3
    criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=0.01)
    keep: dict[str, Any] = {"keep": ("activations", "gradients", "inputs", "targets")} if name == "ResNet-18" else {}
    with explainer.record(
        model, criterion=criterion, optimizer=optimizer, examples=2, probe=(inputs[:2], targets[:2]), **keep
    ) as recorder:
        for _ in range(steps):
            optimizer.zero_grad()
            criterion(model(inputs), targets).backward()
            optimizer.step()
    return recorder.trace
