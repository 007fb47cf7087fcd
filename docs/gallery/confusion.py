"""Which digits does a network take for which after 60 steps? Asked of 360 scans that it does not learn from."""

import sys
from pathlib import Path

import torch

import explainer
from explainer import plots
from explainer.lessons import depth, digits

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
scans, model, criterion = depth.images(), depth.model("ReLU", "He", seed=42), torch.nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
probe = scans.test, scans.test_digits
with explainer.record(model, criterion=criterion, optimizer=optimizer, every=20, probe=probe) as recorder:
    for inputs, targets in digits.batches(scans, batch_size=64, steps=61, seed=0):
        optimizer.zero_grad()
        criterion(model(inputs), targets).backward()
        optimizer.step()
axes = plots.confusion(recorder.trace)
plots.save(axes, folder / "confusion.png", dpi=120)
