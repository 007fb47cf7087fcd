"""The page's chain rule over batches: all products are there or added up, and a smaller last batch is no obstacle."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from browser import Visit
from torch import nn

import explainer
from explainer import chain
from explainer.page.products import products
from explainer.page.shown import every
from explainer.trace import Trace

Opened = Callable[..., Visit]
SIZES = (8, 8, 3)  # of the batches: the last one is smaller, as a data loader's is


@pytest.fixture(scope="module")
def uneven() -> Trace:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 2), nn.Sigmoid())
    criterion, optimizer = nn.MSELoss(), torch.optim.SGD(model.parameters(), lr=0.5)
    inputs, targets = torch.randn(8, 3), torch.rand(8, 2)
    with explainer.record(model, criterion=criterion, optimizer=optimizer) as recorder:
        for size in SIZES:
            optimizer.zero_grad()
            criterion(model(inputs[:size]), targets[:size]).backward()
            optimizer.step()
    return recorder.trace


def test_the_products_of_a_smaller_batch_are_its_own(uneven: Trace) -> None:
    found = products(uneven, every(uneven))
    table = next(each for each in found["operations"][0]["tables"] if each["parameter"] == "0.weight")
    assert table["count"].tolist() == list(SIZES)
    incoming = np.asarray(uneven.gradients["0"][2], np.float64)  # (example, unit)
    given = np.asarray(uneven.inputs[2], np.float64)
    for row, (unit, weight) in enumerate(table["rows"]):
        of = table["of"][row][table["of"][row] < SIZES[2]]
        wanted = incoming[of, unit] * given[of, weight]
        shown = table["product"][row, :, 2]
        np.testing.assert_array_equal(shown[np.isfinite(shown)], wanted)
        recorded = uneven.parameter_gradients["0.weight"][2][unit, weight]
        assert np.nansum(shown) + table["rest"][row, 2] == pytest.approx(recorded, rel=1e-5)


def test_products_and_the_rest_on_the_page_add_up_to_the_gradient_of_a_weight(
    uneven: Trace, opened: Opened, tmp_path: Path
) -> None:
    found = opened(uneven.page().save(tmp_path / "uneven.html"))
    found.page.get_by_role("button", name="0 Linear").click()
    found.page.get_by_label("to 0.weight").check(force=True)
    for step, size in enumerate(SIZES):
        found.show(step)
        for row in found.page.locator("#chain tbody tr").all():
            name, unit, weight = re.findall(r"0\.weight|\d+", row.locator("th").inner_text())
            products = [
                float(each.get_attribute("data-value") or "")
                for each in row.locator("li:not([hidden]) > data:last-child").all()
            ]
            recorded = uneven.parameter_gradients[name][step][int(unit), int(weight)]
            assert sum(products) == pytest.approx(recorded, rel=1e-5)
            more = size - (len(products) - 1) if size > 4 else None
            told = row.locator("li.quiet:not([hidden])").all_inner_texts()
            assert len(products) <= size
            if more is not None:
                assert told[0].startswith(f"+ {more} more: ")
    assert found.complaints == []


def test_an_empty_batch_has_no_products_and_the_others_do(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.Sigmoid())
    criterion, optimizer = nn.MSELoss(reduction="sum"), torch.optim.SGD(model.parameters(), lr=0.5)
    with explainer.record(model, criterion=criterion, optimizer=optimizer) as recorder:
        for size in (4, 0, 3):
            optimizer.zero_grad()
            criterion(model(torch.ones(size, 3)), torch.zeros(size, 2)).backward()
            optimizer.step()
    trace = recorder.trace
    assert products(trace, every(trace))["steps"].tolist() == [0, 2]
    worked = chain.work_out(trace, 1)
    for name, gradient in worked.parameter_gradients.items():
        np.testing.assert_array_equal(gradient, trace.parameter_gradients[name][1])  # zeros, of the parameter's shape
