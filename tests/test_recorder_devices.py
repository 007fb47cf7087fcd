from __future__ import annotations

import math

import pytest
import torch

from explainer.moments import moments_of
from explainer.recorder.devices import moments_there

TENSORS = {
    "normal": lambda: torch.randn(7, 300),
    "half": lambda: torch.randn(5000).half(),
    "zeros": lambda: torch.relu(torch.randn(900)),
    "whole numbers": lambda: torch.arange(-3, 9),
    "empty": lambda: torch.zeros(0, 3),
    "infinite": lambda: torch.tensor([1.0, math.inf, -2.0]),
    "nan": lambda: torch.tensor([1.0, math.nan, 0.0, -math.inf]),
}


@pytest.mark.parametrize("make", TENSORS.values(), ids=TENSORS)
def test_moments_that_a_device_computes_are_those_of_the_host(make: object) -> None:
    torch.manual_seed(0)
    tensor = make()
    there, here = moments_there(tensor).tolist(), moments_of(tensor.reshape(-1).numpy())
    assert there == pytest.approx(tuple(here), rel=1e-6, nan_ok=True)
