"""A small problem whose surface is computed in several places, and what can go wrong with a worker."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import explainer
from explainer.surface import Surface
from tests.networks import batch_for, mlp, seeded

RESOLUTION = 9


def surface(metrics: dict[str, Any] | None = None, **options: Any) -> Surface:
    """The surface of a small network, the same in every process."""
    model = seeded(mlp)
    chosen = {"plane": "random", "resolution": RESOLUTION, "progress": False, **options}
    return explainer.loss_surface(model, nn.CrossEntropyLoss(), batch_for(model, 0, 40), metrics=metrics, **chosen)


def same(found: Surface, expected: Surface) -> None:
    """Every point is where it belongs, with the loss that it has when one process computes all."""
    np.testing.assert_array_equal(found.u, expected.u)
    np.testing.assert_array_equal(found.v, expected.v)
    np.testing.assert_allclose(found.losses, expected.losses, rtol=1e-6, atol=0)
    assert sorted(found.metrics) == sorted(expected.metrics)
    for name, values in found.metrics.items():
        np.testing.assert_allclose(values, expected.metrics[name], rtol=1e-6, atol=0)


class Elsewhere:
    """A metric that does something where it is computed in another process (or thread) than the test's."""

    def __init__(self) -> None:
        self.home = os.getpid(), threading.get_ident()

    def __call__(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if (os.getpid(), threading.get_ident()) != self.home:
            self.there(outputs)
        return outputs.square().mean()

    def there(self, outputs: torch.Tensor) -> None:
        raise NotImplementedError


class Calm(Elsewhere):
    def there(self, outputs: torch.Tensor) -> None:
        pass


class Slow(Elsewhere):
    def there(self, outputs: torch.Tensor) -> None:
        time.sleep(0.02)


class DiesOnce(Elsewhere):
    """Ends its process without a word, at the third call that any worker makes, once."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def there(self, outputs: torch.Tensor) -> None:
        for place in range(3):
            try:
                (self.folder / f"call{place}").touch(exist_ok=False)
            except FileExistsError:
                continue
            if place == 2:
                os._exit(1)
            return


class AlwaysDies(Elsewhere):
    def there(self, outputs: torch.Tensor) -> None:
        os._exit(1)


class Refuses(Elsewhere):
    def there(self, outputs: torch.Tensor) -> None:
        raise ArithmeticError("no such outputs are known")


class Odd(Exception):
    """Cannot be sent to another process."""

    def __init__(self, said: str) -> None:
        super().__init__(said)
        self.lock = threading.Lock()


class RefusesOddly(Elsewhere):
    def there(self, outputs: torch.Tensor) -> None:
        raise Odd("an odd one")


class Lost(nn.Module):
    """A criterion that no other process can unpack."""

    def forward(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(outputs, targets)

    def __setstate__(self, state: dict[str, Any]) -> None:
        raise ModuleNotFoundError("No module named 'only_at_home'")
