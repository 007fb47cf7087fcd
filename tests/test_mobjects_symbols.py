"""The lecture's letters for a recorded model."""

from __future__ import annotations

import numpy as np
import pytest

from explainer import operations
from explainer.architecture import Layer, Model
from explainer.mobjects.symbols import computed, derivative, primed, spoken, symbols


def model(**types: str) -> Model:
    parameters = {"Linear": ("weight", "bias")}
    return Model(
        layers={
            name.strip("_"): Layer(kind, parameters={f"{name.strip('_')}.{p}": (1,) for p in parameters.get(kind, ())})
            for name, kind in types.items()
        }
    )


def test_the_lectures_names_are_its_symbols() -> None:
    found = symbols(model(L1="Linear", S="Sigmoid", L2="Linear"))
    assert found["L1"] == "L_1"
    assert found["S"] == "S"
    assert (found["L2.weight"], found["L2.bias"]) == ("W_2", "b_2")
    assert (found["input"], found["target"], found["loss"]) == ("x", "y", "ell")


def test_numbered_modules_get_the_letter_of_their_class() -> None:
    found = symbols(model(_0="Linear", _1="ReLU", _2="Linear", _3="ReLU", _4="Linear", _5="LogSoftmax"))
    assert [found[str(at)] for at in range(6)] == ["L_1", "R_1", "L_2", "R_2", "L_3", "Q"]
    assert found["4.weight"] == "W_3"


@pytest.mark.parametrize(("symbol", "words"), [("L_2", "L₂"), ("S", "S"), ("ell", "ℓ"), ("W_12", "W₁₂")])
def test_a_symbol_is_spoken_in_captions(symbol: str, words: str) -> None:
    assert spoken(symbol) == words


def test_derivatives_are_written_with_the_symbols_of_their_layers() -> None:
    x = np.array([[0.5, -1.0]])
    called = {"x": "L_1", "y": "S", "t": "y", "W": "W_2"}
    assert derivative(operations.sigmoid(x).local, called) == "S (1 - S)"
    assert derivative(operations.relu(x).local, called) == "[L_1 > 0]"
    assert derivative(operations.linear(x, np.ones((3, 2))).local, called) == "W_2^T"
    loss = operations.squared_error(x, x, n=2)
    assert derivative(loss.local, {"y": "L_2", "t": "y"}) == "2 (L_2 - y) / 2"
    assert derivative(operations.squared_error(x, x, n=1).local, {"y": "L_2", "t": "y"}) == "2 (L_2 - y)"


def test_what_a_layer_computes_is_written_with_its_own_parameters() -> None:
    symbol = symbols(model(L1="Linear", S="Sigmoid"))
    assert computed("L1", "input", "Linear", symbol, ["L1.weight", "L1.bias"]) == "L_1 = W_1 x + b_1"
    assert computed("L1", "input", "Linear", symbol, ["L1.weight"]) == "L_1 = W_1 x"
    assert computed("S", "L1", "Sigmoid", symbol) == "S = frac(1, 1 + e^(-L_1))"
    assert computed("S", "L1", "GELU", symbol) == ""


def test_what_is_after_the_step_has_a_prime() -> None:
    assert primed("W_1") == "W'_1"
    assert primed("W") == "W'"
