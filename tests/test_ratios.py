"""How far a step moves parameters: against torch's norms of what the optimizer did."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

import explainer
from explainer.errors import TraceError
from explainer.ratios import update_ratios
from explainer.trace import Trace

Seen = list[dict[str, torch.Tensor]]


def trained(*, frozen: bool = False, zero: bool = False, **options: object) -> tuple[Trace, Seen]:
    """Train for three steps; returns the trace, and the parameters before each step and after the last."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    model[0].weight.requires_grad_(not frozen)
    model[0].bias.requires_grad_(not frozen)
    if zero:
        nn.init.zeros_(model[2].bias)
    optimizer = torch.optim.Adam([each for each in model.parameters() if each.requires_grad], lr=0.01)
    seen = []
    with explainer.record(model, criterion=nn.MSELoss(), optimizer=optimizer, **options) as recorder:
        for _ in range(3):
            seen.append({name: each.detach().clone() for name, each in model.named_parameters()})
            optimizer.zero_grad()
            nn.MSELoss()(model(torch.ones(5, 3)), torch.zeros(5, 2)).backward()
            optimizer.step()
    return recorder.trace, [*seen, {name: each.detach().clone() for name, each in model.named_parameters()}]


def expected(seen: Seen, names: list[str]) -> list[float]:
    def norm(tensors: list[torch.Tensor]) -> float:
        return float(torch.cat([each.double().flatten() for each in tensors]).norm())

    return [
        norm([after[name] - before[name] for name in names]) / norm([before[name] for name in names])
        for before, after in pairwise(seen)
    ]


@pytest.mark.parametrize(
    ("per", "groups"),
    [
        ("parameter", {name: [name] for name in ("0.weight", "0.bias", "2.weight", "2.bias")}),
        ("layer", {"0": ["0.weight", "0.bias"], "2": ["2.weight", "2.bias"]}),
        ("model", {"Sequential": ["0.weight", "0.bias", "2.weight", "2.bias"]}),
    ],
)
def test_a_ratio_is_that_of_torchs_norms(per: str, groups: dict[str, list[str]]) -> None:
    trace, seen = trained(keep=())
    found = update_ratios(trace, per)
    assert found.names == tuple(groups)
    assert found.still == ()
    np.testing.assert_allclose(found.values, [expected(seen, names) for names in groups.values()], rtol=1e-4)


def test_what_is_frozen_stands_still_and_has_no_row() -> None:
    trace, _ = trained(frozen=True)
    assert update_ratios(trace).names == ("2",)
    assert update_ratios(trace).still == ("0",)


def test_a_parameter_that_was_zero_moved_by_no_share_of_itself() -> None:
    trace, _ = trained(zero=True)
    ratios = update_ratios(trace, "parameter")
    row = ratios.values[ratios.names.index("2.bias")]
    assert np.isnan(row[0]) and np.isfinite(row[1:]).all()


def test_of_a_model_without_parameters_the_line_to_record_with_is_said() -> None:
    model = nn.Sequential(nn.ReLU())
    with explainer.record(model) as recorder:
        loss = model(torch.ones(1, 2, requires_grad=True)).sum()
        loss.backward()
        recorder.step(loss)
    with pytest.raises(TraceError, match=r"no parameters.*record a model that has some, with explainer.record\("):
        update_ratios(recorder.trace)


def test_an_unknown_choice_names_those_there_are() -> None:
    trace, _ = trained()
    with pytest.raises(TraceError, match=r"called 'layr'. Did you mean 'layer'"):
        update_ratios(trace, "layr")
