"""The page's sentences, one file for each language beside this one, in `texts`."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from explainer.errors import ExplainerError, unknown

HERE = Path(__file__).parent / "texts"


def languages() -> list[str]:
    """Return the languages that there is a file of, by their codes."""
    return sorted(path.stem for path in HERE.glob("*.json"))


@cache
def texts(language: str) -> dict[str, str]:
    """Return all sentences of a language by their keys; words in braces are filled in by the page.

    Raises:
        ExplainerError: There is no file of the language.
    """
    if language not in languages():
        raise ExplainerError(
            f"{unknown('language of a page', language, languages())} Another is another file of texts."
        )
    found: dict[str, str] = json.loads((HERE / f"{language}.json").read_text(encoding="utf-8"))
    return found
