"""Operations and their own derivatives, side by side: what the lecture's chain rule multiplies.

Every function is one operation: what it makes of its input, and beside it how its output changes with its input. Plain
numpy; a new kind of layer is a new function and its row in LAYERS.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


# ── An operation's own derivative ───────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Local:
    """How an operation's output changes with its input, at the recorded point.

    Attributes:
        formula: As it is written by hand, of the input x and the output y; also valid Typst.
        values: The numbers; their shape depends on the kind of the derivative.
    """

    formula: str
    values: Array

    def times(self, incoming: Array) -> Array:
        """Multiply ∂ℓ/∂output, (example, …), with the derivative and return ∂ℓ/∂input, (example, …)."""
        raise NotImplementedError


class Elementwise(Local):
    """Each output depends on its own input alone; values (example, unit): the Jacobian's diagonal."""

    def times(self, incoming: Array) -> Array:
        """Multiply number by number."""
        return np.asarray(incoming * self.values)


class Matrix(Local):
    """The same matrix for every example; values (output, input)."""

    def times(self, incoming: Array) -> Array:
        """Multiply from the left with the transposed matrix, which is from the right where examples are rows."""
        return np.asarray(incoming @ self.values)


class Jacobian(Local):
    """Every output depends on every input, in each example differently; values (example, output, input)."""

    def times(self, incoming: Array) -> Array:
        """Multiply each example with its own matrix."""
        return np.asarray(np.einsum("...o,...oi->...i", incoming, self.values))


# ── Layers: (input, parameters) → output, ∂output/∂input, and per parameter incoming → ∂ℓ/∂parameter ────────────

ToParameter = Callable[[Array], Array]


@dataclass(frozen=True)
class Applied:
    """An operation applied to an input.

    Attributes:
        output: (example, …)
        local: Its derivative with respect to the input.
        parameters: Per parameter of the layer what turns ∂ℓ/∂output into ∂ℓ/∂parameter.
    """

    output: Array
    local: Local
    parameters: Mapping[str, ToParameter] = field(default_factory=dict)


def linear(x: Array, weight: Array, bias: Array | None = None) -> Applied:
    """Return y = x Wᵀ + b; x (example, input), W (output, input), b (output,)."""
    y = x @ weight.T + (0 if bias is None else bias)
    flat = x.reshape(-1, x.shape[-1])
    to_parameters: dict[str, ToParameter] = {
        "weight": lambda incoming: incoming.reshape(-1, len(weight)).T @ flat,
        "bias": lambda incoming: incoming.reshape(-1, len(weight)).sum(axis=0),
    }
    if bias is None:
        del to_parameters["bias"]
    return Applied(y, Matrix("W", weight), to_parameters)


def sigmoid(x: Array) -> Applied:
    """Return y = 1 / (1 + e⁻ˣ)."""
    with np.errstate(over="ignore"):  # 1 / (1 + ∞) is the 0 that is meant
        y = 1 / (1 + np.exp(-x))
    return Applied(y, Elementwise("y (1 - y)", y * (1 - y)))


def tanh(x: Array) -> Applied:
    """Return y = tanh x."""
    y = np.tanh(x)
    return Applied(y, Elementwise("1 - y^2", 1 - y**2))


def relu(x: Array) -> Applied:
    """Return y = max(x, 0); at 0 the derivative is 0, as in torch."""
    return Applied(np.maximum(x, 0), Elementwise("[x > 0]", (x > 0).astype(x.dtype)))


def softmax(x: Array) -> Applied:
    """Return y = eˣ / Σ eˣ over the last dimension."""
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    y = powers / powers.sum(axis=-1, keepdims=True)
    return Applied(y, Jacobian('"diag"(y) - y y^T', y[..., :, None] * (np.eye(y.shape[-1]) - y[..., None, :])))


def log_softmax(x: Array) -> Applied:
    """Return y = x − log Σ eˣ over the last dimension."""
    above = x - x.max(axis=-1, keepdims=True)
    y = above - np.log(np.exp(above).sum(axis=-1, keepdims=True))
    return Applied(y, Jacobian("I - bold(1) (e^y)^T", np.eye(y.shape[-1]) - np.exp(y)[..., None, :]))


# ── Losses: (prediction, target) → ℓ and ∂ℓ/∂prediction; n is 1 for a sum, else what the mean divides by ────────


def squared_error(y: Array, target: Array, n: float) -> Applied:
    """Return ℓ = Σ (y − t)² / n."""
    return Applied(((y - target) ** 2).sum() / n, Elementwise(f"2 (y - t){_over(n)}", 2 * (y - target) / n))


def negative_log_likelihood(y: Array, target: Array, n: float) -> Applied:
    """Return ℓ = −Σ y[t] / n for log-probabilities y (example, class) and classes t (example,)."""
    right = np.eye(y.shape[-1])[target]  # (example, class), 1 at the right one
    return Applied(-(right * y).sum() / n, Elementwise(f"-[c = t]{_over(n)}", -right / n))


def cross_entropy(y: Array, target: Array, n: float) -> Applied:
    """Return ℓ = −Σ log softmax(y)[t] / n for scores y (example, class) and classes t (example,)."""
    right = np.eye(y.shape[-1])[target]
    log_p = log_softmax(y).output
    local = Elementwise(f'("softmax"(y) - [c = t]){_over(n)}', (np.exp(log_p) - right) / n)
    return Applied(-(right * log_p).sum() / n, local)


def _over(n: float) -> str:
    return "" if n == 1 else f" / {n:g}"


# ── What torch calls them ───────────────────────────────────────────────────────────────────────────────────────

LAYERS: dict[str, Callable[..., Applied]] = {
    "Linear": linear,
    "Sigmoid": sigmoid,
    "Tanh": tanh,
    "ReLU": relu,
    "Softmax": softmax,
    "LogSoftmax": log_softmax,
}
LOSSES: dict[str, Callable[[Array, Array, float], Applied]] = {
    "MSELoss": squared_error,
    "NLLLoss": negative_log_likelihood,
    "CrossEntropyLoss": cross_entropy,
}
