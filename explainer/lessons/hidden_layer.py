"""The hidden layer of small lessons: so many units, and an activation that bends or does not."""

from __future__ import annotations

from torch import nn

from explainer.errors import LessonError, unknown

ACTIVATIONS = {"identity": nn.Identity, "tanh": nn.Tanh, "ReLU": nn.ReLU}


def hidden_layer(lesson: str, inputs: int, width: int, activation: str) -> list[nn.Module]:
    """Return the layer, inputs → width, and its activation.

    Raises:
        LessonError: There is no such activation, or the layer would be empty.
    """
    if width < 1:
        raise LessonError(f"lesson {lesson!r}: width={width} leaves no hidden layer; it is a whole number from 1")
    if activation not in ACTIVATIONS:
        raise LessonError(f"lesson {lesson!r}: {unknown('activation', activation, ACTIVATIONS)}")
    return [nn.Linear(inputs, width), ACTIVATIONS[activation]()]
