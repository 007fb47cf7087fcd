"""Cards of operations: what stands on them is the chain rule of a recorded step."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("manim")

import torch
from torch import nn

import explainer
from explainer import chain
from explainer.lessons import record_lesson
from explainer.mobjects.factors import Card, Equation, Factor, OperationEquation, verdict
from explainer.mobjects.layout import Region
from explainer.mobjects.loss_bars import LossBars
from explainer.mobjects.symbols import symbols
from explainer.theme import GRADIENT
from explainer.trace import Trace


@pytest.fixture(scope="module")
def lesson() -> Trace:
    return record_lesson("two-layer")


def equation(trace: Trace, name: str, weight: str | None = None) -> OperationEquation:
    before = {"loss": trace.layers[-1], trace.layers[0]: "input"} | dict(
        zip(trace.layers[1:], trace.layers, strict=False)
    )
    return OperationEquation(chain.work_out(trace, 1)[name], before[name], symbols(trace.model), weight=weight)


def product(card: OperationEquation) -> np.ndarray:
    """Multiply what stands on a card, in the order in which it stands there, by the sign that stands between."""
    first, second = (factor.grid.values for factor in card.factors[:2])
    elementwise = card.signs[0].markup == "dot.o"
    return first * second if elementwise or first.size == 1 or second.size == 1 else first @ second


@pytest.mark.parametrize(("name", "weight"), [("loss", None), ("L2", None), ("S", None), ("L1", "L1.weight")])
def test_what_stands_on_a_card_multiplies_out(lesson: Trace, name: str, weight: str | None) -> None:
    card = equation(lesson, name, weight)
    np.testing.assert_allclose(product(card), card.outgoing.grid.values, rtol=0, atol=1e-15)
    assert [card.incoming.role.words, card.local.role.words, card.outgoing.role.words] == [
        "arrives",
        "its own",
        "passed on",
    ]


def test_a_card_names_the_local_derivative_and_the_shapes(lesson: Trace) -> None:
    card = equation(lesson, "S")
    assert "S (1 - S)" in card.local.label.markup
    assert [factor.shape.words for factor in card.factors] == ["4×1", "4×1", "4×1"]
    card = equation(lesson, "L1", "L1.weight")
    assert "x^T" in card.local.label.markup
    assert [factor.shape.words for factor in card.factors] == ["4×1", "1×2", "4×2"]


def test_what_stands_on_the_lessons_cards_was_recorded(lesson: Trace) -> None:
    for name, before in (("L2", "S"), ("S", "L1")):
        card = equation(lesson, name)
        np.testing.assert_allclose(card.incoming.grid.values, lesson.gradients[name][1].T, rtol=0, atol=1e-15)
        np.testing.assert_allclose(card.outgoing.grid.values, lesson.gradients[before][1].T, rtol=0, atol=1e-15)
    np.testing.assert_array_equal(equation(lesson, "L2").local.grid.values, lesson.parameters["L2.weight"][1].T)
    S = lesson.activations["S"][1].T
    np.testing.assert_allclose(equation(lesson, "S").local.grid.values, S * (1 - S), rtol=0, atol=1e-15)


@pytest.fixture(scope="module")
def wide() -> Trace:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 4), nn.LogSoftmax(dim=1)).double()
    optimizer, criterion = torch.optim.SGD(model.parameters(), lr=0.1), nn.NLLLoss()
    x, y = torch.randn(1, 3, dtype=torch.float64), torch.tensor([2])
    with explainer.record(model, criterion=criterion, optimizer=optimizer) as recorder:
        for _ in range(2):
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
    return recorder.trace


@pytest.mark.parametrize(
    ("name", "weight"), [("loss", None), ("3", None), ("2", None), ("1", None), ("0", "0.weight"), ("2", "2.weight")]
)
def test_with_several_outputs_the_matrix_stands_left_of_the_column_that_it_turns(
    wide: Trace, name: str, weight: str | None
) -> None:
    card = equation(wide, name, weight)
    np.testing.assert_allclose(product(card), card.outgoing.grid.values, rtol=0, atol=1e-15)


def test_frames_go_around_the_numbers_of_which_a_row_is_made(lesson: Trace, wide: Trace) -> None:
    assert len(equation(lesson, "S").row(2, "#FFFFFF")) == 3  # number by number
    card = equation(wide, "2")  # Wᵀ (5×4) times a column of 4: a row, the whole column, one number
    frames = card.row(0, "#FFFFFF")
    assert len(frames) == 1 + 4 + 1
    heights = [frame.get_y() for frame in frames]
    assert heights[0] == pytest.approx(heights[-1], abs=0.3)


def test_an_equation_stands_on_its_card(lesson: Trace) -> None:
    card = Card(Region(-6, -1.5, 6, 0.6))
    for name in ("loss", "L2", "S"):
        placed = card.place(equation(lesson, name))
        assert card.region.contains(placed)
        assert [part.get_x() for part in placed] == sorted(part.get_x() for part in placed)


def test_a_verdict_may_stand_in_place_of_a_matrix() -> None:
    shown = verdict("0", "largest difference", GRADIENT)
    left = Factor("W", "by hand", [[1.0]], colour=GRADIENT)
    assert Equation([left, shown], ["="]).factors == [left, shown]
    assert [words.words for words in shown] == ["0", "largest difference"]


def test_losses_are_bars_of_their_lengths() -> None:
    bars = LossBars({"before": 4.408, "after": 1.301}, width=4)
    assert bars.bars[1].width / bars.bars[0].width == pytest.approx(1.301 / 4.408)
    assert [row[2].words for row in bars.rows] == ["4.408", "1.301"]
    assert bars.bars[0].get_left()[0] == pytest.approx(bars.bars[1].get_left()[0])
