"""Formulas in matplotlib's own letters, of those that `explainer.symbols` writes in Typst."""

from __future__ import annotations

import re
from collections.abc import Mapping

from explainer.operations import Local
from explainer.symbols import derivative


def mathtext(typst: str) -> str:
    """Return a formula as matplotlib sets it, without the dollars around it."""
    written = re.sub(r'"([^"]*)"', r"\\mathrm{\1}", typst)
    written = re.sub(r"bold\((\w+)\)", r"\\mathbf{\1}", written)
    written = re.sub(r"\b([A-Za-z]+)_(\d+)", r"{\1_{\2}}", written)
    written = re.sub(r"\b(ell|theta)\b", r"\\\1", written)
    return re.sub(r"\^\(([^()]*)\)", r"^{\1}", written).replace("-", "−")


def fraction(below: str) -> str:
    """Return ∂ℓ/∂below, of a symbol in Typst."""
    return rf"$\frac{{\partial \ell}}{{\partial {mathtext(below)}}}$"


def derivative_of(local: Local, called: Mapping[str, str]) -> str:
    """Return an operation's own derivative, with its x, y, t and W called by their symbols."""
    return f"${mathtext(derivative(local, called))}$"
