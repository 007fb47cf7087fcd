"""The page's style sheet: a browser understands every line of it, and drops what it does not without a word."""

from __future__ import annotations

import re

from explainer.page import sources


def declared(sheet: str) -> list[str]:
    """Return the name of each property that a style sheet sets."""
    rules = re.findall(r"\{([^{}]*)\}", re.sub(r"/\*.*?\*/", "", sheet, flags=re.DOTALL))
    return [line.split(":", 1)[0].strip() for rule in rules for line in rule.split(";") if line.strip()]


def test_every_property_that_is_set_has_a_name_in_one_piece() -> None:
    names = declared(sources.style())
    assert len(names) > 400
    assert [name for name in names if not re.fullmatch(r"-{0,2}[a-z]+(-[a-z]+)*", name)] == []
