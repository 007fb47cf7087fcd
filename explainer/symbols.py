"""What things are called in formulas: the lecture's letters for a recorded model's layers, parameters and gradients."""

import re
from collections.abc import Iterable, Mapping

from explainer.architecture import Model
from explainer.operations import Local, Matrix

_LETTERS = {"Linear": "L", "Sigmoid": "S", "Tanh": "T", "ReLU": "R", "Softmax": "P", "LogSoftmax": "Q"}
_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def symbols(model: Model) -> dict[str, str]:
    """Return a Typst symbol for the input, each layer, each parameter, the target and the loss, by their names.

    Those of the three that are no layers are `model.input_name`, `model.target_name` and `model.loss_name`.
    A layer called "L1" or "S" is L₁ or S; others get the letter of their class, counted where there are several.
    """
    names = list(model.layers)
    found = {model.input_name: "x", model.target_name: "y", model.loss_name: "ell"}
    if all(re.fullmatch(r"[A-Z]\d?", name) for name in names):
        found |= {name: "_".join(name) for name in names}
    else:
        letters = [_LETTERS.get(layer.type, "A") for layer in model.layers.values()]
        for at, (name, letter) in enumerate(zip(names, letters, strict=True)):
            alone = letters.count(letter) == 1 and letter != "L"
            found[name] = letter if alone else f"{letter}_{letters[: at + 1].count(letter)}"
    for layer, described in model.layers.items():
        number = found[layer].partition("_")[2]
        for parameter in described.parameters:
            letter = {"weight": "W", "bias": "b"}.get(parameter.rpartition(".")[2], "theta")
            found[parameter] = f"{letter}_{number}" if number else letter
    return found


def partial(above: str, below: str) -> str:
    """Return the Typst of ∂above/∂below."""
    return f"frac(partial {above}, partial {below})"


def computed(name: str, before: str, kind: str, symbol: Mapping[str, str], parameters: Iterable[str] = ()) -> str:
    """Return the Typst of what a layer or a loss computes, such as "L_1 = W_1 x + b_1"; "" for an unknown class."""
    weight, bias = (next((symbol[each] for each in parameters if each.endswith(end)), "") for end in ("weight", "bias"))
    x, y, called = symbol[before], "y", symbol[name]
    right = {
        "Linear": f"{weight} {x}" + (f" + {bias}" if bias else ""),
        "Sigmoid": f"frac(1, 1 + e^(-{x}))",
        "Tanh": f"tanh {x}",
        "ReLU": f"max({x}, 0)",
        "Softmax": f'"softmax" {x}',
        "LogSoftmax": f'log "softmax" {x}',
        "MSELoss": f"({x} - {y})^2",
        "NLLLoss": f"-{x}_{y}",
        "CrossEntropyLoss": f'-log "softmax"_{y} {x}',
    }.get(kind)
    return f"{called} = {right}" if right else ""


def spoken(typst: str) -> str:
    """Return a symbol as plain text, for captions: "L₁", "ℓ"."""
    letter, _, number = typst.partition("_")
    return {"ell": "ℓ"}.get(letter, letter) + number.translate(_SUBSCRIPTS)


def primed(symbol: str) -> str:
    """Return a symbol with a prime: what it is after the step."""
    letter, mark, index = symbol.partition("_")
    return f"{letter}'{mark}{index}"


def derivative(local: Local, called: Mapping[str, str]) -> str:
    """Return the Typst of an operation's own derivative, with its x, y, t and W called by their symbols."""
    if isinstance(local, Matrix):
        return f"{called['W']}^T"
    return re.sub(r"\b[xyt]\b", lambda letter: called.get(letter[0], letter[0]), local.formula)
