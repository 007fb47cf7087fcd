"""Traces of runs that nobody had to wait for: long, deep, or with exactly the numbers that a test wants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from explainer.statistics import STATISTICS
from explainer.storage import Shard, key_of
from explainer.trace import Trace


def synthetic(
    statistics: Mapping[str, Mapping[str, Mapping[str, Any]]],
    *,
    steps: Sequence[int] | np.ndarray,
    kinds: Mapping[str, str] | None = None,
    tensors: Mapping[str, Mapping[str, Any]] | None = None,
    missing: Mapping[str, str] | None = None,
) -> Trace:
    """Make a trace in memory.

    Args:
        statistics: Kind → name → statistic → (step,); what is not given is 0.
        steps: The recorded step numbers.
        kinds: Layer → class, in forward order; Linear of all in the statistics when omitted.
        tensors: Kind → name → (step, …), as kept.
        missing: Layer → reason.
    """
    count = len(steps)
    arrays: dict[str, Any] = {"steps": np.asarray(steps, np.int64)}
    names: dict[str, list[str]] = {}
    for kind, table in statistics.items():
        whole = np.zeros((count, len(table), len(STATISTICS)))
        for place, columns in enumerate(table.values()):
            for statistic, values in columns.items():
                whole[:, place, STATISTICS.index(statistic)] = values
        arrays[f"statistics/{kind}"], names[f"statistics/{kind}"] = whole, list(table)
    for kind, kept in (tensors or {}).items():
        for name, values in kept.items():
            arrays |= {key_of(kind, name, int(step)): each for step, each in zip(steps, values, strict=True)}
    layers = dict(kinds or {})
    for kind in ("activations", "gradients"):
        layers = {**dict.fromkeys(statistics.get(kind, {}), "Linear"), **layers}
    about = {
        "model": {
            "type": "Sequential",
            "layers": {name: {"type": kind, "parameters": {}} for name, kind in layers.items()},
            "parameter_count": 0,
        },
        "layers": list(layers), "missing": dict(missing or {}), "aliases": {}, "notes": {},
        "keep": list(tensors or {}), "finished": True,
    }  # fmt: skip
    shapes = {key: np.shape(value) for key, value in arrays.items()}
    return Trace([Shard(arrays, shapes, {"names": names})], about)


def of_gradients(norms: np.ndarray, layers: Sequence[str] | None = None, **options: Any) -> Trace:
    """Make a trace of gradient norms, (layer, step)."""
    names = layers or [str(place) for place in range(len(norms))]
    table = {name: {"norm": row} for name, row in zip(names, norms, strict=True)}
    return synthetic({"gradients": table}, **{"steps": range(norms.shape[1]), **options})


def small_run(activation: str = "ReLU", steps: int = 12, **options: Any) -> Trace:
    """Record a small network of that activation function, with Adam, on the same 20 examples in every step."""
    import torch
    from torch import nn

    import explainer

    torch.manual_seed(0)
    layers = [nn.Flatten(), nn.Linear(16, 6), getattr(nn, activation)(), nn.Linear(6, 3)]
    model, criterion = nn.Sequential(*layers), nn.CrossEntropyLoss()
    inputs, targets = torch.randn(20, 1, 4, 4), torch.arange(20) % 3
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    with explainer.record(model, criterion=criterion, optimizer=optimizer, **options) as recorder:
        for _ in range(steps):
            optimizer.zero_grad()
            criterion(model(inputs), targets).backward()
            optimizer.step()
    return recorder.trace
