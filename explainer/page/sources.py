"""The page's scripts and styles, which stand as files of their own beside this one, joined to one text each.

A script is an ES module that any browser can load by itself. Joined, each becomes a function that returns what it
exports, after those that it imports, by a rule so strict that it needs no parser. What it does not understand is
refused.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from explainer.errors import ExplainerError

HERE = Path(__file__).parent
ENTRY = "main"

_IMPORT = re.compile(r'import (\{[\w, ]+\}) from "\./(\w+)\.js";')
_EXPORT = re.compile(r"export ((?:async function|function|class|const) (\w+).*)")


@cache
def script() -> str:
    """Return all modules as one, each after those that it imports.

    Raises:
        ExplainerError: A module imports or exports in another way, or they import each other in a circle.
    """
    return "\n".join(_as_function(name) for name in _in_order(ENTRY, ()))


@cache
def style() -> str:
    """Return all style sheets, joined in the order of their names."""
    return "\n".join(path.read_text(encoding="utf-8") for path in sorted(HERE.glob("*.css")))


def _in_order(name: str, above: tuple[str, ...]) -> list[str]:
    """Return a module after all that it imports, by their files' names."""
    if name in above:
        raise ExplainerError(f"the page's modules import each other in a circle: {' → '.join((*above, name))}")
    found: list[str] = []
    for _, imported in _IMPORT.findall(_source(name)):
        found += [each for each in _in_order(imported, (*above, name)) if each not in found]
    return [*found, name]


def _source(name: str) -> str:
    return (HERE / f"{name}.js").read_text(encoding="utf-8")


def _as_function(name: str) -> str:
    lines, exported = [], []
    for line in _source(name).splitlines():
        if imports := _IMPORT.fullmatch(line):
            lines.append(f"const {imports[1]} = module_{imports[2]};")
        elif exports := _EXPORT.fullmatch(line):
            lines.append(exports[1])
            exported.append(exports[2])
        elif re.match(r"(import|export)\b", line):
            raise ExplainerError(f"{name}.js: {line!r} cannot be joined; see the rule in sources.py")
        else:
            lines.append(line)
    body = "\n".join(lines).strip()
    return f"const module_{name} = (() => {{\n{body}\nreturn {{ {', '.join(exported)} }};\n}})();"
